"""Reading messages from segments: which fit into a page, what is damaged, and what a page takes in memory."""

import itertools
import random
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.frame import Frame, FrameHead, Part, Place, encode_frame
from durabus.stores.file.index import Entries
from durabus.stores.file.layout import SegmentHeader
from durabus.stores.file.reader import LOST, Reader, Stretch, bytes_before, stamps_of
from durabus.stores.file.segment import Segment
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import BadFiles

MUCH = 1 << 40
NAME = "segment"


class Shelf:
    """One file with frames of one channel: a run per frame."""

    def __init__(self, runs: Sequence[Sequence[bytes]], gap: int = 0) -> None:
        self.disk = SimulatedDisk()
        self.files = SimulatedFiles(self.disk)
        self.segment = Segment(SegmentHeader(1, 1, 1, 0, 0), self.files.create(NAME))
        self.reader = Reader(self.files)
        self.entries = Entries()
        self.places: list[Place] = []
        first, before, offset = 1, 0, 0
        for bodies in runs:
            head = FrameHead()
            head.offset = offset
            frame = Frame(head)
            stamps = [(index, 1000 * (first + index)) for index in range(0, len(bodies), 2)]
            parts = [Part(1, first, list(bodies), stamps, before)]
            if gap:  # another channel, whose run makes the table longer
                parts.append(Part(2, first, [b""] * (gap // 8), [(0, 1)], 0))
            data = encode_frame(frame, parts, 0)
            self.files.write(self.segment.handle, offset, data)
            self.entries.add(parts[0].entry, first, len(bodies), parts[0].bodies_bytes, stamps[-1][1])
            self.places.append(self.entries.at(len(self.entries) - 1))
            first, before, offset = first + len(bodies), before + sum(map(len, bodies)), head.end
        self.count = first - 1

    def read(self, first: int, stop: int = 0, bytes_max: int = MUCH) -> tuple[list[bytes], list[int]]:
        stop = stop or self.count + 1
        rows = self.entries.rows(self.entries.find(first), self.entries.find(stop - 1) + 1)
        return self.reader.read([Stretch(self.segment, rows, first, stop)], bytes_max)

    def damage(self, offset: int, data: bytes) -> None:
        self.files.write(self.segment.handle, offset, data)


def texts(count: int, size: int = 0, first: int = 1) -> list[bytes]:
    return [b"%d." % sequence + b"x" * size for sequence in range(first, first + count)]


def joined(runs: Sequence[Sequence[bytes]]) -> list[bytes]:
    return list(itertools.chain(*runs))


# Pages


def test_messages_are_read_from_any_one_to_any_other() -> None:
    shelf = Shelf([texts(3), texts(1, 0, 4), texts(4, 50, 5), texts(1, 9, 9)])
    whole = [*texts(3), *texts(1, 0, 4), *texts(4, 50, 5), *texts(1, 9, 9)]
    for first in range(1, 10):
        for stop in range(first + 1, 11):
            bodies, lost = shelf.read(first, stop)
            assert (bodies, lost) == (whole[first - 1 : stop - 1], []), (first, stop)


@pytest.mark.parametrize("gap", [0, 80, 8000])
def test_a_table_longer_than_the_gap_that_is_read_along(gap: int) -> None:
    shelf = Shelf([texts(5, 100)], gap)
    assert shelf.read(1, 2, 1) == (texts(1, 100), [])
    assert shelf.read(2)[0] == texts(5, 100)[1:]


def test_several_segments_make_one_page() -> None:
    one, two = Shelf([texts(3)]), Shelf([texts(3)])
    stretches = [Stretch(one.segment, one.entries.rows(0, 1), 2, 4), Stretch(one.segment, one.entries.rows(0, 1), 1, 3)]
    assert one.reader.read(stretches, MUCH) == ([b"2.", b"3.", b"1.", b"2."], [])
    assert two.read(1)[0] == texts(3)


SIZES = st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=5), min_size=1, max_size=6)


@given(SIZES, st.integers(0, 2000), st.randoms(use_true_random=False))
def test_a_page_has_at_least_one_message_and_then_as_many_as_fit(
    sizes: list[list[int]], bytes_max: int, chance: random.Random
) -> None:
    whole = [b"%d." % number + b"x" * size for number, size in enumerate(itertools.chain(*sizes), 1)]
    runs, at = [], 0
    for run in sizes:
        runs.append(whole[at : at + len(run)])
        at += len(run)
    shelf = Shelf(runs)
    first = chance.randint(1, len(whole))
    bodies, lost = shelf.read(first, 0, bytes_max)
    assert lost == []
    assert bodies == whole[first - 1 : first - 1 + len(bodies)]
    assert len(bodies) == 1 or sum(map(len, bodies)) <= bytes_max
    following = whole[first - 1 + len(bodies) :]
    if following and len(bodies) < len(runs[0]):
        assert sum(map(len, bodies)) + len(following[0]) > bytes_max


# Large runs are read in pieces


def test_a_large_run_is_read_in_pieces_of_bounded_size() -> None:
    whole = texts(400, 10_000)
    shelf = Shelf([whole])
    first, pages = 1, 0
    while first <= 400:
        before = len(shelf.disk.calls)
        bodies, lost = shelf.read(first)
        assert bodies == whole[first - 1 : first - 1 + len(bodies)]
        assert lost == []
        assert 0 < sum(map(len, bodies)) <= 1024 * 1024
        assert len(shelf.disk.calls) - before == 2
        first += len(bodies)
        pages += 1
    assert pages == 4


def test_a_message_larger_than_a_page_is_read_alone() -> None:
    big = b"b" * 3_000_000
    for runs in ([[b"1", big, b"3"]], [[b"1"], [big], [b"3"]]):
        shelf = Shelf(runs)
        assert shelf.read(2, 0, 1024 * 1024) == ([big], [])
        assert shelf.read(1, 0, 1024 * 1024) == ([b"1"], [])


def test_a_page_takes_about_what_it_holds() -> None:
    shelf = Shelf([texts(300, 10_000)])
    shelf.read(1)
    tracemalloc.start()
    bodies, _ = shelf.read(150)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, bodies)) > 900_000
    assert held < 1_200_000
    assert peak < 2_500_000


# Damage


@pytest.mark.parametrize("runs", [[texts(6)], [[one] for one in texts(6)], [texts(2), texts(1, 0, 3), texts(3, 0, 4)]])
def test_no_byte_of_the_file_makes_a_wrong_message(runs: list[list[bytes]]) -> None:
    """Whatever byte changes: each message is right or said to be lost."""
    shelf = Shelf(runs)
    content = shelf.disk.contents()[NAME]
    whole = joined(runs)
    found_lost: set[int] = set()
    for at in range(len(content)):
        for change in (0xFF, 1 << at % 8):
            shelf.damage(at, bytes([content[at] ^ change]))
            bodies, lost = shelf.read(1)
            found_lost.update(lost)
            assert bodies == [LOST if sequence in lost else one for sequence, one in enumerate(whole, 1)], at
        shelf.damage(at, content[at : at + 1])
    assert found_lost == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
@pytest.mark.parametrize("size", [8, 64, 512])
def test_an_overwritten_stretch_makes_no_wrong_message(size: int, filling: bytes) -> None:
    """Zeros, as a lost sector leaves them: an empty body has the CRC zero, and it is no message all the same."""
    runs = [texts(20, 30), texts(1, 200, 21), texts(20, 30, 22)]
    shelf = Shelf(runs)
    content = shelf.disk.contents()[NAME]
    whole = joined(runs)
    for at in range(0, len(content), 8):
        shelf.damage(at, filling * min(size, len(content) - at))
        bodies, lost = shelf.read(1)
        assert bodies == [LOST if sequence in lost else one for sequence, one in enumerate(whole, 1)], at
        shelf.damage(at, content[at : at + size])


def test_a_large_run_with_a_damaged_table() -> None:
    """No length is trusted: the file bounds what is read."""
    whole = texts(200, 10_000)
    shelf = Shelf([whole])
    place = shelf.places[0]
    shelf.damage(place.lengths_offset, b"\xff" * 4)
    tracemalloc.start()
    bodies, lost = shelf.read(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (bodies[:1], lost[:1]) == ([LOST], [1])
    assert peak < 3 * place.bodies_bytes


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_file_that_was_cut_off(size: int) -> None:
    runs = [texts(3, size), texts(1, size, 4), texts(3, size, 5)]
    shelf = Shelf(runs)
    whole = joined(runs)
    content = shelf.disk.contents()[NAME]
    for end in [*range(0, len(content), max(1, len(content) // 100)), 0]:
        shelf.files.truncate(shelf.segment.handle, end)
        bodies, lost = shelf.read(1)
        assert bodies == [LOST if sequence in lost else one for sequence, one in enumerate(whole, 1)], end
        shelf.damage(0, content)
    assert lost == list(range(1, 8))


def test_damage_is_told_by_sequence() -> None:
    shelf = Shelf([texts(3, 10), texts(1, 10, 4), texts(3, 10, 5)])
    shelf.damage(shelf.places[0].bodies_offset + 13, b"?")
    shelf.damage(shelf.places[1].bodies_offset, b"?")
    bodies, lost = shelf.read(1)
    assert lost == [2, 4]
    assert [number for number, one in enumerate(bodies, 1) if one == LOST] == [2, 4]
    assert shelf.read(5)[1] == []


# Time, and how many bytes came before


def test_the_first_message_at_or_after_a_time_is_found_in_its_run() -> None:
    shelf = Shelf([texts(3), texts(6, 0, 4)])
    found = [
        shelf.reader.find_time(shelf.segment, shelf.places[1], moment) for moment in (0, 4000, 4001, 6000, 8000, 8001)
    ]
    assert found == [0, 0, 2, 2, 4, 6]


def test_bytes_before_a_message_count_all_that_went_before() -> None:
    shelf = Shelf([texts(3, 7), texts(6, 11, 4)])
    found = [
        bytes_before(shelf.files, shelf.segment, place, index) for place in shelf.places for index in range(place.count)
    ]
    whole = [*texts(3, 7), *texts(6, 11, 4)]
    assert found == [sum(map(len, whole[:index])) for index in range(9)]


def test_a_single_message_needs_no_table() -> None:
    shelf = Shelf([[b"alone"]])
    assert shelf.places[0].single_crc == zlib.crc32(b"alone")
    before = len(shelf.disk.calls)
    assert shelf.read(1) == ([b"alone"], [])
    assert shelf.disk.calls[before:] == [("read", NAME)]


# Tables that are damaged


@given(st.integers(0, 35), st.binary(min_size=1, max_size=36))
def test_timestamps_that_are_damaged_lead_to_no_message_outside_of_their_run(at: int, noise: bytes) -> None:
    """And where that shows, to the first one: rather too many than too few."""
    shelf = Shelf([texts(3), texts(6, 0, 4)])
    place = shelf.places[1]
    shelf.damage(place.lengths_offset + 8 * place.count + at, noise[: 36 - at])
    for moment in (0, 4001, 6000, 8001, 1 << 62):
        assert 0 <= shelf.reader.find_time(shelf.segment, place, moment) <= place.count


@pytest.mark.parametrize(
    ("at", "data"),
    [(0, b"\1"), (4, b"\0"), (12, b"\0"), (12, b"\6"), (24, b"\2"), (0, bytes(36)), (24, b"\xff" * 12)],
    ids=["not from the start", "another first time", "twice at 0", "beyond", "twice at 2", "zeros", "noise"],
)
def test_timestamps_that_cannot_be_are_not_used(at: int, data: bytes) -> None:
    shelf = Shelf([texts(3), texts(6, 0, 4)])
    place = shelf.places[1]
    shelf.damage(place.lengths_offset + 8 * place.count + at, data)
    with pytest.raises(ValueError, match="damaged"):
        stamps_of(shelf.files, shelf.segment, place)
    assert shelf.reader.find_time(shelf.segment, place, 8000) == 0


def test_timestamps_behind_the_end_of_the_file_are_not_used() -> None:
    shelf = Shelf([texts(3), texts(6, 0, 4)])
    place = shelf.places[1]
    assert stamps_of(shelf.files, shelf.segment, place) == [(0, 4000), (2, 6000), (4, 8000)]
    shelf.files.truncate(shelf.segment.handle, place.lengths_offset + 8 * place.count + 30)
    with pytest.raises(ValueError, match="missing"):
        stamps_of(shelf.files, shelf.segment, place)
    assert shelf.reader.find_time(shelf.segment, place, 8000) == 0


@given(st.integers(0, 23), st.binary(min_size=1, max_size=24))
def test_lengths_that_are_damaged_make_bytes_wrong_by_no_more_than_their_run(at: int, noise: bytes) -> None:
    shelf = Shelf([texts(3, 7), texts(6, 11, 4)])
    place = shelf.places[1]
    shelf.damage(place.lengths_offset + at, noise[: 24 - at])
    for index in range(place.count):
        found = bytes_before(shelf.files, shelf.segment, place, index)
        assert place.bytes_before <= found <= place.bytes_before + place.bodies_bytes


@pytest.mark.parametrize("size", [10, 3000, 400_000])
def test_what_cannot_be_read_costs_nothing_else(size: int) -> None:
    """One byte of a run, wherever it is: of its table, then all of the run; of a message, then that one."""
    whole = [*texts(4, size), *texts(1, size, 5)]
    shelf = Shelf([texts(4, size), texts(1, size, 5)])
    place = shelf.places[0]
    each = len(whole[0])
    for bad, lost in (
        (place.lengths_offset, [1, 2, 3, 4]),
        (place.bodies_offset, [1]),
        (place.bodies_offset + 2 * each, [3]),
        (place.bodies_offset + 4 * each - 1, [4]),
        (shelf.places[1].bodies_offset, [5]),
    ):
        files = BadFiles(shelf.disk, {bad})
        handle = files.open(NAME, False)
        segment = Segment(shelf.segment.header, handle)
        found: dict[int, bytes] = {}
        while len(found) < 5:
            first = len(found) + 1
            rows = shelf.entries.rows(shelf.entries.find(first), len(shelf.entries))
            bodies, missing = Reader(files).read([Stretch(segment, rows, first, 6)], MUCH)
            found.update(enumerate(bodies, first))
            assert [sequence for sequence, one in enumerate(bodies, first) if not one] == missing
        assert found == {number: LOST if number in lost else one for number, one in enumerate(whole, 1)}
