"""A sealed segment that is mostly dead is written again: what is wanted stays as it was, and the rest makes room."""

import errno

import pytest

from durabus.stores.file.compaction import compact, live_share
from durabus.stores.file.layout import segment_name
from durabus.stores.file.salvage import set_aside
from durabus.stores.file.segment import Segment
from durabus.testing.disk import SimulatedDisk
from tests.stores.file.journal_steps import Desk, batch_of, body, run_of

CALLS_MAX = 60


def sealed_desk(*, size: int = 0) -> tuple[Desk, Segment]:
    """A journal whose first segment has forty messages of channel 1, ten of channel 2, and is sealed."""
    desk = Desk(SimulatedDisk(), 1 << 20)
    desk.open()
    for index in range(10):
        first = 4 * index + 1
        run = run_of(1, first, 4, size)
        run.stamps = [(0, 1000 * first), (2, 1000 * first + 2000)]
        desk.put(batch_of(run, run_of(2, index + 1, 1, size)))
    desk.lasts = {1: 40, 2: 10}
    segment = desk.journal._segments[1]
    desk.journal._segment_bytes = 1  # so the next batch begins another segment
    desk.publish(3)
    desk.journal._segment_bytes = 1 << 20
    return desk, segment


def compacted(desk: Desk, segment: Segment, floors: dict[int, int]) -> Segment:
    found = compact(desk.files, segment, floors)
    assert found is not None
    return found


def rows(segment: Segment) -> dict[int, tuple[int, int]]:
    """The first and the last message of each channel."""
    return {row[0]: (row[1], row[2]) for row in segment.index.channels()}


@pytest.mark.parametrize(
    ("floors", "share"),
    [({1: 1, 2: 1}, 1.0), ({1: 21, 2: 1}, 0.6), ({1: 41, 2: 11}, 0.0), ({2: 6}, 0.1), ({}, 0.0), ({1: 0}, 0.8)],
)
def test_how_much_is_wanted(floors: dict[int, int], share: float) -> None:
    _, segment = sealed_desk(size=1000)
    assert live_share(segment, floors) == pytest.approx(share, abs=0.01)


def test_a_segment_without_messages_is_dead() -> None:
    desk = Desk(SimulatedDisk())
    desk.open()
    desk.put(batch_of(state=[(1, b"a", b"b")]))
    assert live_share(desk.journal._segments[1], {}) == 0.0


@pytest.mark.parametrize("size", [0, 500])
def test_what_is_wanted_is_there_and_nothing_else(size: int) -> None:
    desk, segment = sealed_desk(size=size)
    before = desk.files.size(segment.handle)
    made = compacted(desk, segment, {1: 30, 2: 11})
    assert rows(made) == {1: (30, 40)}
    assert made.header.is_compacted
    assert desk.files.size(made.handle) < before / 2
    desk.journal._replace(segment, made)
    assert desk.page(1, 30) == [body(1, sequence, size) for sequence in range(30, 41)]


def test_times_lead_to_the_same_messages() -> None:
    desk, segment = sealed_desk()
    entries = compacted(desk, segment, {1: 31}).index.entries(1)
    assert entries is not None
    times = [entries.at(index).first_timestamp_ns for index in range(len(entries))]
    assert times == [31_000, 33_000, 37_000], "message 31 is the third of its run, with the second of its stamps"


@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_start_finds_it(is_indexed: bool) -> None:
    desk, segment = sealed_desk()
    desk.put(batch_of(floors={1: 30, 2: 9}))
    compacted(desk, segment, {1: 30, 2: 9})
    if not is_indexed:
        desk.files.remove("durabus-0000000001.index")
    again = Desk(desk.disk.kill())
    recovered = again.open()
    assert recovered.damage == []
    assert again.sequences(1) == list(range(30, 41))
    assert again.sequences(2) == [9, 10]
    assert {one.channel_id: one.stored_bytes for one in recovered.channels if one.channel_id < 3} == {
        1: sum(len(body(1, sequence)) for sequence in range(30, 41)),
        2: len(body(2, 9)) + len(body(2, 10)),
    }


def test_a_large_run_is_copied_in_pieces() -> None:
    desk = Desk(SimulatedDisk(), 1 << 24)
    desk.open()
    desk.publish(1, 40, 100_000)
    segment = desk.journal._segments[1]
    desk.journal._segment_bytes = 1
    desk.publish(2)
    made = compacted(desk, segment, {1: 11})
    entries = made.index.entries(1)
    assert entries is not None
    assert len(entries) > 1
    desk.journal._replace(segment, made)
    assert [desk.page(1, sequence, 1) for sequence in range(11, 41)] == [
        [body(1, sequence, 100_000)] for sequence in range(11, 41)
    ]


def test_a_segment_with_a_damaged_message_stays_as_it_is() -> None:
    desk, segment = sealed_desk(size=50)
    data = desk.files.read(segment.handle, 0, 1 << 20)
    at = data.index(body(1, 39, 50))
    desk.files.write(segment.handle, at, b"?")
    assert compact(desk.files, segment, {1: 30}) is None
    assert segment_name(1) + ".new" not in desk.files.names()
    assert [len(one) > 0 for one in desk.page(1, 38, 3)] == [True, False, True]
    assert compact(desk.files, segment, {1: 40}) is not None, "what is damaged and not wanted does not matter"


def damage(desk: Desk, segment: Segment, sequence: int) -> tuple[int, bytes]:
    """Damage a message of channel 1, which has fifty more bytes; where it begins, and what is there now."""
    whole = body(1, sequence, 50)
    at = desk.files.read(segment.handle, 0, 1 << 20).index(whole)
    desk.files.write(segment.handle, at, b"?")
    return at, b"?" + whole[1:]


def test_a_damaged_message_that_was_set_aside_is_known_to_be_lost() -> None:
    desk, segment = sealed_desk(size=50)
    at, found = damage(desk, segment, 38)
    assert set_aside(desk.files, 1, at - 100, b"." * 100 + found + b"." * 10) == ""
    made = compacted(desk, segment, {1: 30})
    desk.journal._replace(segment, made)
    assert [len(one) > 0 for one in desk.page(1, 30, 11)] == [True] * 8 + [False] + [True] * 2
    again = compacted(desk, made, {1: 35})
    desk.journal._replace(made, again)
    assert [len(one) > 0 for one in desk.page(1, 35, 11)] == [True] * 3 + [False] + [True] * 2, "it stays known"


def test_what_was_set_aside_is_compared() -> None:
    """Of a former life of the segment, in which something else was there."""
    desk, segment = sealed_desk(size=50)
    at, found = damage(desk, segment, 38)
    assert set_aside(desk.files, 1, at, b"!" + found[1:]) == ""
    assert set_aside(desk.files, 1, at + 1, found[1:]) == "", "not all of it"
    assert compact(desk.files, segment, {1: 30}) is None
    assert set_aside(desk.files, 1, at, found + b".") == ""
    assert compact(desk.files, segment, {1: 30}) is not None


@pytest.mark.parametrize("call", range(1, CALLS_MAX))
def test_every_call_may_fail(call: int) -> None:
    """Whatever fails: the old file or the new one is in its place, and a start finds all that is wanted."""
    desk, segment = sealed_desk()
    desk.put(batch_of(floors={1: 30, 2: 9}))
    desk.disk.fail(call, OSError(errno.EIO, "broken"))
    try:
        made = compact(desk.files, segment, {1: 30, 2: 9})
    except OSError:
        made = None
    desk.disk.heal()
    if made is None:
        assert desk.page(1, 30) == [body(1, sequence) for sequence in range(30, 41)], "the old one is still read"
    again = Desk(desk.disk.kill())
    assert again.open().damage == []
    assert again.sequences(1) == list(range(30, 41))
    assert again.sequences(2) == [9, 10]


def test_the_calls_that_may_fail_are_all_there() -> None:
    desk, segment = sealed_desk()
    before = len(desk.disk.calls)
    compacted(desk, segment, {1: 30, 2: 9})
    assert len(desk.disk.calls) - before < CALLS_MAX


def test_who_reads_from_the_old_file_finishes() -> None:
    desk, segment = sealed_desk()
    (stretch,) = desk.journal.stretches(1, 30, 5, 1 << 20)
    desk.journal._replace(segment, compacted(desk, segment, {1: 30, 2: 9}))
    bodies, lost = desk.journal.reader.read([stretch], 1 << 20)
    assert (bodies, lost) == ([body(1, sequence) for sequence in range(30, 35)], [])
    desk.journal.release(stretch.segment)
    with pytest.raises(OSError, match="Bad file descriptor"):
        desk.files.size(segment.handle)


def test_a_segment_that_died_meanwhile_goes() -> None:
    desk, segment = sealed_desk()
    made = compacted(desk, segment, {1: 30, 2: 9})
    segment.readers += 1  # as whoever compacts does
    desk.put(batch_of(floors={1: 41, 2: 11}))
    assert segment.is_dropped
    desk.journal._replace(segment, made)
    desk.journal.release(segment)
    desk.tasks()
    assert segment_name(1) not in desk.files.names()


def test_the_journal_does_it_by_itself() -> None:
    desk = Desk(SimulatedDisk(), 4096)
    desk.open()
    desk.publish(2)  # one message that is wanted for ever
    for index in range(60):
        desk.publish(1, 10, 50, floor=10 * index)
    names = [name for name in desk.files.names() if name.endswith(".segment")]
    sizes = [desk.files.size(one.handle) for one in desk.journal._segments.values()]
    assert len(names) <= 4, "those of channel 1 alone were dropped"
    assert min(sizes) < 2000, "the one with the message of channel 2 was written again"
    assert desk.sequences(2) == [1]
    again = Desk(desk.disk.kill(), 4096)
    assert again.open().damage == []
    assert again.sequences(2) == [1]
