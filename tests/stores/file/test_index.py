"""The index of a segment, held to FORMAT.md §6 byte for byte, and against bytes that are not an index."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.frame import Place
from durabus.stores.file.index import ENTRY_BYTES, Entries, SegmentIndex, decode_index, encode_index, unpack_rows
from durabus.stores.file.layout import index_name
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import BadFiles

SALT = 0x1122334455667788

# By hand from FORMAT.md §6; only the CRCs were calculated. Two channels, 5 with two runs and 9 with one.
HEADER = bytes.fromhex(
    "44 55 52 41 49 44 58 0a"  # DURAIDX, new line
    "01 00 00 00"  # version
    "02 00 00 00"  # channels
    "03 00 00 00 00 00 00 00"  # segment number
    "88 77 66 55 44 33 22 11"  # salt
    "00 04 00 00 00 00 00 00"  # where the last frame ends
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
    "ac c3 ea 6f"  # CRC of all before and of the directory
)
DIRECTORY = bytes.fromhex(
    # Channel, number of the first entry, number of entries, first and last sequence, last time, bytes, CRC, zero.
    "05 00 00 00 00 00 00 00   00 00 00 00 00 00 00 00   02 00 00 00 00 00 00 00   0a 00 00 00 00 00 00 00"
    "0c 00 00 00 00 00 00 00   b8 0b 00 00 00 00 00 00   0a 00 00 00 00 00 00 00   54 b4 43 1a   00 00 00 00"
    "09 00 00 00 00 00 00 00   02 00 00 00 00 00 00 00   01 00 00 00 00 00 00 00   01 00 00 00 00 00 00 00"
    "01 00 00 00 00 00 00 00   a0 0f 00 00 00 00 00 00   05 00 00 00 00 00 00 00   bc 0a 82 86   00 00 00 00"
)
ENTRIES = bytes.fromhex(
    # First sequence, count, stamps, where the lengths begin, where the first body lies,
    # bytes of the bodies, bytes before, first time, CRC of a single body, zero.
    "0a 00 00 00 00 00 00 00   02 00 00 00   02 00 00 00   6c 01 00 00 00 00 00 00   f4 01 00 00 00 00 00 00"
    "05 00 00 00 00 00 00 00   64 00 00 00 00 00 00 00   e8 03 00 00 00 00 00 00   00 00 00 00   00 00 00 00"
    "0c 00 00 00 00 00 00 00   01 00 00 00   01 00 00 00   98 02 00 00 00 00 00 00   bc 02 00 00 00 00 00 00"
    "05 00 00 00 00 00 00 00   69 00 00 00 00 00 00 00   b8 0b 00 00 00 00 00 00   b8 be ad 96   00 00 00 00"
    "01 00 00 00 00 00 00 00   01 00 00 00   01 00 00 00   fc 02 00 00 00 00 00 00   20 03 00 00 00 00 00 00"
    "05 00 00 00 00 00 00 00   00 00 00 00 00 00 00 00   a0 0f 00 00 00 00 00 00   20 35 58 d9   00 00 00 00"
)
GOLDEN = HEADER + DIRECTORY + ENTRIES


def place_of(
    channel_id: int, first: int, count: int, timestamp_ns: int, bytes_before: int = 0, size: int = 5, at: int = 1000
) -> Place:
    place = Place(channel_id, first, count, 1, bytes_before)
    place.lengths_offset, place.bodies_offset, place.bodies_bytes = at, at + 100, size
    place.first_timestamp_ns = place.last_timestamp_ns = timestamp_ns
    return place


def golden_index() -> SegmentIndex:
    index = SegmentIndex()
    index.end = 1024
    two = Place(5, 10, 2, 2, 100)
    two.lengths_offset, two.bodies_offset, two.bodies_bytes = 364, 500, 5
    two.first_timestamp_ns, two.last_timestamp_ns = 1000, 2000
    other = Place(9, 1, 1, 1, 0)
    other.lengths_offset, other.bodies_offset, other.bodies_bytes = 764, 800, 5
    other.first_timestamp_ns = other.last_timestamp_ns = 4000
    other.single_crc = zlib.crc32(b"other")
    alone = Place(5, 12, 1, 1, 105)
    alone.lengths_offset, alone.bodies_offset, alone.bodies_bytes = 664, 700, 5
    alone.first_timestamp_ns = alone.last_timestamp_ns = 3000
    alone.single_crc = zlib.crc32(b"alone")
    for place in (two, other, alone):
        index.add(place)
    return index


def read(data: bytes, number: int = 3, salt: int = SALT) -> SegmentIndex | None:
    return decode_index(memoryview(data), number, salt)


def rows(index: SegmentIndex, channel_id: int) -> list[tuple[int, ...]]:
    entries = index.entries(channel_id)
    return [] if entries is None else list(unpack_rows(entries.rows(0, len(entries))))


def content(index: SegmentIndex) -> list[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    return [(channel, rows(index, channel[0])) for channel in index.channels()]


FIELDS = [
    (
        (5, 10, 12, 3000, 10),
        [(10, 2, 2, 364, 500, 5, 100, 1000, 0, 0), (12, 1, 1, 664, 700, 5, 105, 3000, 0x96ADBEB8, 0)],
    ),
    ((9, 1, 1, 4000, 5), [(1, 1, 1, 764, 800, 5, 0, 4000, 0xD9583520, 0)]),
]

# The document


def test_index_is_written_as_in_the_document() -> None:
    assert encode_index(golden_index(), 3, SALT) == GOLDEN
    assert ENTRY_BYTES == 64


def test_index_is_read_as_in_the_document() -> None:
    index = read(GOLDEN)
    assert index is not None
    assert index.end == 1024
    assert content(index) == FIELDS


def test_an_index_in_memory_reads_like_one_of_a_file() -> None:
    assert content(golden_index()) == FIELDS


def test_an_index_of_nothing() -> None:
    data = encode_index(SegmentIndex(), 3, SALT)
    assert len(data) == 64
    index = read(data)
    assert index is not None
    assert (index.channels(), index.entries(5)) == ([], None)


def test_a_run_is_given_back_as_a_place() -> None:
    entries = golden_index().entries(5)
    assert entries is not None
    place = entries.at(1)
    assert (place.first, place.count, place.stamp_count, place.bytes_before) == (12, 1, 1, 105)
    assert (place.lengths_offset, place.bodies_offset, place.bodies_bytes) == (664, 700, 5)
    assert (place.first_timestamp_ns, place.single_crc) == (3000, 0x96ADBEB8)


# Round trips

RUNS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 50), st.integers(0, 100)), min_size=1, max_size=40
)


@given(RUNS, st.integers(1, 1 << 62), st.integers(0, (1 << 64) - 1), st.integers(0, 1 << 62))
def test_an_index_is_read_as_it_was_written(
    runs: list[tuple[int, int, int, int]], number: int, salt: int, end: int
) -> None:
    index = SegmentIndex()
    index.end = end
    lasts: dict[int, int] = {}
    now = 0
    for channel_id, count, size, later in runs:
        now += later
        index.add(place_of(channel_id, lasts.get(channel_id, 0) + 1, count, now, size=size))
        lasts[channel_id] = lasts.get(channel_id, 0) + count
    found = decode_index(memoryview(encode_index(index, number, salt)), number, salt)
    assert found is not None
    assert found.end == end
    assert content(found) == content(index)
    assert {channel[0]: channel[2] for channel in found.channels()} == lasts
    assert [found.entries(channel_id) for channel_id in (0, 7, 1 << 63) if channel_id not in lasts] == [None] * 3


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=30))
def test_runs_are_found_by_sequence_and_by_time(runs: list[tuple[int, int]]) -> None:
    entries = Entries()
    first, now = 1, 0
    begins: list[tuple[int, int]] = []
    for count, later in runs:
        now += later
        place = place_of(1, first, count, now)
        entries.add(place.entry(), first, count, place.bodies_bytes, now)
        begins.append((first, now))
        first += count
    assert (entries.first, entries.last, entries.last_timestamp_ns) == (1, first - 1, now)
    assert entries.bodies_bytes == 5 * len(runs)
    for sequence in range(first + 2):
        assert entries.find(sequence) == sum(begin <= sequence for begin, _ in begins) - 1
    for moment in range(now + 2):
        assert entries.find_time(moment) == sum(begin < moment for _, begin in begins) - 1


# What is no index


def test_no_bit_of_header_and_directory_may_change() -> None:
    for bit in range(8 * len(HEADER + DIRECTORY)):
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        assert read(bytes(damaged)) is None, f"bit {bit}"


def test_no_bit_of_the_entries_may_change() -> None:
    start = len(HEADER + DIRECTORY)
    for bit in range(8 * start, 8 * len(GOLDEN)):
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        index = read(bytes(damaged))
        assert index is not None
        bad, good = (5, 9) if bit // 8 < start + 128 else (9, 5)
        with pytest.raises(ValueError, match=f"the entries of channel {bad} are damaged"):
            index.entries(bad)
        assert rows(index, good) == {channel[0]: found for channel, found in FIELDS}[good]


def test_an_index_that_is_cut_off() -> None:
    for size in range(len(GOLDEN)):
        index = read(GOLDEN[:size])
        assert (index is None) == (size < len(HEADER + DIRECTORY)), size
        if index is not None:
            with pytest.raises(ValueError, match="damaged"):
                index.entries(9)


@pytest.mark.parametrize(("number", "salt"), [(2, SALT), (4, SALT), (3, SALT ^ 1), (3, SALT ^ 1 << 63)])
def test_the_index_of_another_segment_is_none(number: int, salt: int) -> None:
    assert read(GOLDEN, number, salt) is None


def with_crc(head: bytes, directory: bytes = b"") -> bytes:
    return head + zlib.crc32(head + directory).to_bytes(4, "little") + directory


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOLDEN[:63],
        bytes(64),
        with_crc(b"DURAIDX\r" + HEADER[8:60], DIRECTORY),
        with_crc(HEADER[:8] + b"\2\0\0\0" + HEADER[12:60], DIRECTORY),
        with_crc(HEADER[:8] + b"\0\0\0\0" + HEADER[12:60], DIRECTORY),
        with_crc(HEADER[:12] + b"\3\0\0\0" + HEADER[16:60], DIRECTORY),
        with_crc(HEADER[:12] + b"\xff\xff\xff\xff" + HEADER[16:60], DIRECTORY),
    ],
    ids=[
        "nothing",
        "short",
        "zeros",
        "other",
        "version 2",
        "version 0",
        "one channel too many",
        "four billion channels",
    ],
)
def test_what_is_no_index_is_none_whatever_its_crc_says(data: bytes) -> None:
    tracemalloc.start()
    found = read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is None
    assert peak < 100_000


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=14, max_size=14), st.binary(max_size=200))
def test_any_directory_with_a_right_crc_allocates_no_more_than_there_is(numbers: list[int], entries: bytes) -> None:
    directory = b"".join(
        b"".join(number.to_bytes(8, "little") for number in numbers[start : start + 7]) + bytes(8) for start in (0, 7)
    )
    index = read(with_crc(HEADER[:60], directory) + entries)
    assert index is not None
    assert len(index.channels()) == 2
    for channel_id in (numbers[0], numbers[7]):
        try:
            found = index.entries(channel_id)
        except ValueError:
            continue
        assert found is None or len(found.data) <= len(entries)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_index(data: bytes) -> None:
    assert read(data) is None


# Memory


def test_a_mapped_index_remembers_only_so_many_channels() -> None:
    index = SegmentIndex()
    for channel_id in range(1, 5001):
        index.add(place_of(channel_id, 1, 1, channel_id))
    found = read(encode_index(index, 3, SALT))
    assert found is not None
    tracemalloc.start()
    for channel_id in range(1, 5001):
        assert [row[0] for row in rows(found, channel_id)] == [1]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 300_000
    again = found.entries(5000)
    assert again is found.entries(5000)


def test_an_index_in_memory_takes_little_more_than_its_entries() -> None:
    index = SegmentIndex()
    tracemalloc.start()
    for sequence in range(1, 20_001):
        index.add(place_of(1, sequence, 1, sequence))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1.3 * 20_000 * ENTRY_BYTES


def test_entries_that_cannot_be_read_are_damaged() -> None:
    """Whoever looked at them where they are mapped would be ended by the system."""
    disk = SimulatedDisk()
    disk.put(index_name(3), GOLDEN)
    for bad, is_readable in ((len(GOLDEN) - 1, False), (0, True)):
        files = BadFiles(disk, {bad})
        found = read(GOLDEN)
        assert found is not None
        found.read_first(files, 3)
        if is_readable:
            assert content(found) == FIELDS
            continue
        assert rows(found, 5) == FIELDS[0][1]
        with pytest.raises(ValueError, match="the entries of channel 9 are damaged"):
            found.entries(9)
    without_file = read(GOLDEN)
    assert without_file is not None
    without_file.read_first(SimulatedFiles(SimulatedDisk()), 3)
    assert content(without_file) == FIELDS, "what was mapped is there, though its file has gone"
