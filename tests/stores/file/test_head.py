"""The second copy of how a segment begins, and the mark, held to FORMAT.md §5 byte for byte."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.head import (
    COPY_OFFSET,
    Mark,
    decode_mark,
    encode_mark,
    read_head,
    snapshot_of,
    write_head,
    write_mark,
)
from durabus.stores.file.layout import HEADER_BYTES, decode_header, head_name, segment_name
from durabus.streaming.store_port import KIND_CLIENT
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import BadFiles
from tests.stores.file.journal_steps import Desk, batch_of, desk_on, frames_of, segments_of

# By hand from FORMAT.md §5; only the CRC was calculated.
GOLDEN = bytes.fromhex(
    "44 55 52 41 4d 52 4b 0a"  # DURAMRK, new line
    "01 00 00 00"  # version
    "00 00 00 00"
    "03 00 00 00 00 00 00 00"  # segment number
    "88 77 66 55 44 33 22 11"  # its salt
    "09 00 00 00 00 00 00 00"  # frame number
    "00 10 00 00 00 00 00 00"  # where it ends
    "0d f0 ad 0b"  # its CRC
    "00 00 00 00 00 00 00 00"
)
MARK = (3, 0x1122334455667788, 9, 4096, 0x0BADF00D)


def fields(mark: Mark | None) -> tuple[int, ...]:
    assert mark is not None
    return (mark.segment_number, mark.salt, mark.frame_number, mark.end, mark.frame_crc)


def with_crc(head: bytes) -> bytes:
    return head[:60] + zlib.crc32(head[:60]).to_bytes(4, "little")


# The mark


def test_a_mark_is_as_the_format_says() -> None:
    assert encode_mark(Mark(*MARK)) == with_crc(GOLDEN)
    assert fields(decode_mark(with_crc(GOLDEN) + bytes(448), 3)) == MARK


@given(
    st.integers(1, 1 << 62), st.integers(0, (1 << 64) - 1), st.integers(1, 1 << 62), st.integers(8, 1 << 36),
    st.integers(0, (1 << 32) - 1),
)  # fmt: skip
def test_a_mark_comes_back(number: int, salt: int, frame: int, eighths: int, crc: int) -> None:
    mark = Mark(number, salt, frame, eighths * 8, crc)
    assert fields(decode_mark(encode_mark(mark), number)) == fields(mark)


@given(st.integers(0, 63), st.integers(1, 255))
def test_a_damaged_mark_is_none(at: int, mask: int) -> None:
    data = bytearray(with_crc(GOLDEN))
    data[at] ^= mask
    assert decode_mark(bytes(data), 3) is None


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [(8, "<I", 2), (32, "<Q", 0), (32, "<Q", 1 << 63), (40, "<Q", 56), (40, "<Q", 4097), (40, "<Q", 1 << 41)],
    ids=["another version", "no frame", "no number", "in the header", "between frames", "beyond any disk"],
)
def test_a_mark_that_cannot_be_is_none(at: int, form: str, value: int) -> None:
    data = bytearray(GOLDEN)
    struct.pack_into(form, data, at, value)
    assert decode_mark(with_crc(bytes(data)), 3) is None


def test_nothing_and_another_segments_is_none() -> None:
    assert decode_mark(b"", 3) is None
    assert decode_mark(bytes(64), 3) is None
    assert decode_mark(with_crc(GOLDEN), 4) is None


# The copy


def busy_desk() -> Desk:
    """A journal with two segments, whose second snapshot has something in it."""
    desk, _ = desk_on(SimulatedDisk())
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"x" * 900)]))
    desk.publish(1, 1, 2000)
    desk.publish(1, 1, 1500)
    assert segments_of(desk.disk.contents()) == [segment_name(1), segment_name(2)]
    return desk


def test_a_segment_that_begins_gets_its_copy_after_its_name() -> None:
    desk = busy_desk()
    contents = desk.disk.contents()
    for number in (1, 2):
        segment = contents[segment_name(number)]
        (snapshot, *_) = frames_of(segment, segment_name(number))
        assert contents[head_name(number)] == bytes(COPY_OFFSET) + segment[: snapshot.head.end]
    calls = desk.disk.calls
    named = calls.index(("rename_new", segment_name(2) + ".new"))
    copied = calls.index(("create", head_name(2) + ".new"))
    assert ("sync_directory", "") in calls[named:copied], "else it could be there without its segment"
    assert calls[copied : copied + 5] == [
        ("create", head_name(2) + ".new"),
        ("write", head_name(2) + ".new"),
        ("sync", head_name(2) + ".new"),
        ("close", head_name(2) + ".new"),
        ("rename", head_name(2) + ".new"),
    ]


def test_what_a_copy_says() -> None:
    desk = busy_desk()
    job = desk.publish(1)
    assert job.frame is not None
    desk.journal.note_durable(job, is_synced=True)
    header = decode_header(desk.disk.contents()[segment_name(2)], "")
    assert header is not None
    head = read_head(desk.files, 2, True)
    assert head.header is not None and head.snapshot is not None and head.mark is not None
    assert head.header.crc == header.crc
    assert [value for _, _, value in head.snapshot.state] == [b"x" * 900]
    assert len(head.beginning) == head.snapshot.head.end
    assert fields(head.mark) == (2, header.salt, job.frame.head.number, job.frame.head.end, job.frame.head.crc)
    short = read_head(desk.files, 2, False)
    assert short.snapshot is None and short.mark is not None and len(short.beginning) == HEADER_BYTES
    assert read_head(desk.files, 7, True).header is None


@pytest.mark.parametrize("size", [0, 60, 64, 512, 575, 576, 700])
def test_of_a_copy_that_is_cut_off_what_is_whole_counts(size: int) -> None:
    desk = busy_desk()
    desk.journal.note_durable(desk.publish(1), is_synced=True)
    disk = SimulatedDisk()
    disk.put(head_name(2), desk.disk.contents()[head_name(2)][:size])
    head = read_head(SimulatedFiles(disk), 2, True)
    assert (head.mark is not None) == (size >= 64)
    assert (head.header is not None) == (size >= COPY_OFFSET + HEADER_BYTES)
    assert head.snapshot is None
    assert len(head.beginning) == (HEADER_BYTES if head.header is not None else 0)


def test_a_mark_of_which_one_half_of_the_file_cannot_be_read() -> None:
    desk = busy_desk()
    desk.journal.note_durable(desk.publish(1), is_synced=True)
    for bad, has_mark in ((0, False), (COPY_OFFSET + 10, True)):
        files = BadFiles(desk.disk, {bad})
        head = read_head(files, 2, True)
        assert (head.mark is not None, head.header is not None) == (has_mark, not has_mark)


def test_the_snapshot_of_an_open_segment() -> None:
    desk = busy_desk()
    segment = desk.journal._segments[2]
    found = snapshot_of(desk.files, segment.handle, segment.header)
    assert found is not None
    assert found.head.end == segment.snapshot_end
    desk.files.write(segment.handle, HEADER_BYTES + 70, b"?")
    assert snapshot_of(desk.files, segment.handle, segment.header) is None
    desk.files.write(segment.handle, HEADER_BYTES, bytes(64))
    assert snapshot_of(desk.files, segment.handle, segment.header) is None


def test_no_copy_is_made_of_what_does_not_read_as_it_was_written() -> None:
    desk = busy_desk()
    segment = desk.journal._segments[2]
    before = desk.disk.contents()[head_name(2)]
    desk.files.write(segment.handle, HEADER_BYTES + 70, b"?")
    with pytest.raises(OSError, match="does not read as it was written"):
        write_head(desk.files, 2, segment.handle, segment.snapshot_end, None)
    write_head(desk.files, 2, segment.handle, HEADER_BYTES, Mark(2, segment.header.salt, 5, 4096, 1))
    after = desk.disk.contents()[head_name(2)]
    assert after[COPY_OFFSET:] == before[COPY_OFFSET : COPY_OFFSET + HEADER_BYTES]
    desk.files.write(segment.handle, 20, b"?")
    with pytest.raises(OSError, match="does not read as it was written"):
        write_head(desk.files, 2, segment.handle, HEADER_BYTES, None)
    assert desk.disk.contents()[head_name(2)] == after


def test_a_half_written_copy_is_no_obstacle() -> None:
    desk = busy_desk()
    segment = desk.journal._segments[2]
    desk.files.close(desk.files.create(head_name(2) + ".new"))
    write_head(desk.files, 2, segment.handle, segment.snapshot_end, None)
    assert head_name(2) + ".new" not in desk.files.names()


@pytest.mark.parametrize("is_synced", [True, False])
def test_a_mark_is_written_in_its_place_and_nowhere_else(is_synced: bool) -> None:
    desk = busy_desk()
    before = desk.disk.durable_contents()[head_name(2)]
    mark = Mark(2, 1, 2, 4096, 3)
    write_mark(desk.files, mark, is_synced)
    assert desk.disk.contents()[head_name(2)] == encode_mark(mark) + before[64:]
    assert (desk.disk.durable_contents()[head_name(2)] == before) != is_synced
    with pytest.raises(FileNotFoundError):
        write_mark(desk.files, Mark(9, 1, 2, 4096, 3), is_synced)
