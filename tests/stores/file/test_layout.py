"""Names of files and the header of a segment, held to FORMAT.md §1 and §2 byte for byte."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.file.layout import (
    COMPACTED,
    DAMAGED_SUFFIX,
    HEADER_BYTES,
    LOCK_NAME,
    NEW_SUFFIX,
    VERSION,
    SegmentHeader,
    aligned,
    decode_header,
    encode_header,
    head_name,
    head_number,
    index_name,
    index_number,
    region_bounds,
    region_name,
    segment_name,
    segment_number,
    spare_name,
)

NUMBERS = st.integers(0, (1 << 64) - 1)
NAME = "durabus-0000000003.segment"

# By hand from FORMAT.md §2; only the CRC was calculated.
GOLDEN = bytes.fromhex(
    "44 55 52 41 42 55 53 0a"  # DURABUS, new line
    "01 00 00 00"  # version
    "01 00 00 00"  # flags: compacted
    "03 00 00 00 00 00 00 00"  # segment number
    "02 00 00 00 00 00 00 00"  # epoch
    "07 00 00 00 00 00 00 00"  # first frame
    "00 10 00 00 00 00 00 00"  # end of the segment before
    "88 77 66 55 44 33 22 11"  # salt
    "00 00 00 00"  # zero
    "73 45 db 66"  # CRC of all before
)


def golden_header() -> SegmentHeader:
    return SegmentHeader(3, 2, 7, 4096, 0x1122334455667788, COMPACTED)


def fields(header: SegmentHeader) -> tuple[int, ...]:
    return (header.number, header.epoch, header.first_frame, header.previous_end, header.salt, header.flags, header.crc)


def with_crc(head: bytes) -> bytes:
    return head[:60] + zlib.crc32(head[:60]).to_bytes(4, "little")


# Names


@pytest.mark.parametrize(
    ("number", "segment", "index", "spare"),
    [
        (1, "durabus-0000000001.segment", "durabus-0000000001.index", "durabus-spare-1"),
        (9_999_999_999, "durabus-9999999999.segment", "durabus-9999999999.index", "durabus-spare-9999999999"),
        (12_345_678_901, "durabus-12345678901.segment", "durabus-12345678901.index", "durabus-spare-12345678901"),
    ],
)
def test_names_are_those_of_the_document(number: int, segment: str, index: str, spare: str) -> None:
    assert (segment_name(number), index_name(number), spare_name(number)) == (segment, index, spare)
    assert segment_number(segment) == number


def test_other_names_are_those_of_the_document() -> None:
    assert (LOCK_NAME, NEW_SUFFIX, DAMAGED_SUFFIX) == ("durabus.lock", ".new", ".damaged")
    assert head_name(3) == "durabus-0000000003.head"
    assert region_name(3, 64, 4096) == "durabus-0000000003.segment.64-4096.damaged"


@given(st.integers(1, 10**18))
def test_names_of_copies_and_indexes_give_their_numbers_back(number: int) -> None:
    assert (head_number(head_name(number)), index_number(index_name(number))) == (number, number)
    for other in (segment_name(number), index_name(number), head_name(number) + ".new", region_name(number, 0, 1)):
        assert head_number(other) == 0
    for other in (segment_name(number), head_name(number), index_name(number) + ".new", "durabus-1.index"):
        assert index_number(other) == 0


@given(st.integers(1, 10**18))
def test_a_name_gives_its_number_back(number: int) -> None:
    assert segment_number(segment_name(number)) == number


@pytest.mark.parametrize(
    "name",
    [
        "",
        "durabus-.segment",
        "durabus-1.segment",
        "durabus-000000001.segment",
        "durabus-00000000001.segment",
        "durabus-0000000000.segment",
        "durabus-0000000001.segment.new",
        "durabus-0000000001.segment.damaged",
        "durabus-0000000001.segment\n",
        "durabus-0000000001.index",
        "durabus--000000001.segment",
        "durabus-+000000001.segment",
        "durabus-0000000 01.segment",
        "durabus-" + "\u0660" * 9 + "\u0661.segment",
        "durabus-" + "9" * 40 + ".segment",
        "durabus-spare-1",
        "xdurabus-0000000001.segment",
    ],
)
def test_another_name_is_no_segment(name: str) -> None:
    assert segment_number(name) == 0


@pytest.mark.parametrize(("offset", "place"), [(0, 0), (1, 8), (7, 8), (8, 8), (9, 16), (64, 64), (1 << 40, 1 << 40)])
def test_frames_are_at_multiples_of_eight(offset: int, place: int) -> None:
    assert aligned(offset) == place


# The header


def test_header_is_written_as_in_the_document() -> None:
    header = golden_header()
    assert encode_header(header) == GOLDEN
    assert header.crc == 0x66DB4573
    assert (VERSION, HEADER_BYTES) == (1, 64)


def test_header_is_read_as_in_the_document() -> None:
    header = decode_header(GOLDEN + b"what follows is not looked at", NAME)
    assert header is not None
    assert fields(header) == (3, 2, 7, 4096, 0x1122334455667788, COMPACTED, 0x66DB4573)
    assert header.is_compacted


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from([0, COMPACTED]))
def test_header_is_read_as_it_was_written(number: int, epoch: int, first: int, end: int, salt: int, flags: int) -> None:
    header = SegmentHeader(number, epoch, first, end, salt, flags)
    found = decode_header(encode_header(header), NAME)
    assert found is not None
    assert fields(found) == fields(header)
    assert found.is_compacted == bool(flags)


def test_no_bit_of_a_header_may_change() -> None:
    for bit in range(8 * HEADER_BYTES):
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_header(bytes(damaged), NAME) is None, f"bit {bit}"


@pytest.mark.parametrize("data", [b"", GOLDEN[:63], bytes(64), b"\xff" * 64, b"\0" + GOLDEN], ids=len)
def test_what_is_no_header_is_none(data: bytes) -> None:
    assert decode_header(data, NAME) is None


def test_other_first_bytes_are_no_header_whatever_the_crc_says() -> None:
    assert decode_header(with_crc(b"DURABUS\r" + GOLDEN[8:60]), NAME) is None


@pytest.mark.parametrize("version", [2, 1000, 0xFFFFFFFF])
def test_a_later_version_is_refused_in_words(version: int) -> None:
    later = with_crc(GOLDEN[:8] + version.to_bytes(4, "little") + GOLDEN[12:60])
    with pytest.raises(StoreError) as caught:
        decode_header(later, NAME)
    text = str(caught.value)
    assert NAME in text
    assert f"version {version} " in text
    assert "start the newer server again" in text


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_none(data: bytes) -> None:
    assert decode_header(data, NAME) is None


@given(st.binary(min_size=48, max_size=48))
def test_any_fields_with_a_right_crc_are_read(data: bytes) -> None:
    header = decode_header(with_crc(GOLDEN[:12] + data), NAME)
    assert header is not None
    assert header.crc == zlib.crc32(GOLDEN[:12] + data)


@pytest.mark.parametrize(("start", "end"), [(0, 1), (64, 4096), (7, 1 << 40)])
def test_the_name_of_what_is_set_aside_says_what_it_is(start: int, end: int) -> None:
    name = region_name(12, start, end)
    assert region_bounds(name, 12) == (start, end)
    assert region_bounds(name, 13) == (0, 0)
    assert region_bounds(name + "x", 12) == (0, 0)
    assert region_bounds(name.replace("-", "x", 2), 12) == (0, 0)


@pytest.mark.parametrize("name", ["durabus-0000000012.segment.damaged", "durabus-0000000012.segment.-.damaged", ""])
def test_other_files_are_none_of_these(name: str) -> None:
    assert region_bounds(name, 12) == (0, 0)
