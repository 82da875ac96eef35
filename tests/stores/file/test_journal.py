"""The journal at work: segments begin, are sealed, dropped and used again; what is wanted can always be read."""

import errno
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.stores.file.journal import SEGMENT_BYTES, Journal
from durabus.stores.file.layout import decode_header, index_name, segment_name, segment_number
from durabus.stores.file.writer import WriteError
from durabus.streaming.store_port import FATAL, KIND_CHANNEL, KIND_CLIENT, REFUSED, Cursor
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import (
    MUCH,
    SMALL,
    Desk,
    batch_of,
    body,
    desk_on,
    frames_of,
    indexes_fit,
    run_of,
    segments_of,
)


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def started() -> Desk:
    return desk_on(SimulatedDisk())[0]


def segments(desk: Desk) -> list[int]:
    return [segment_number(name) for name in segments_of(desk.disk.contents())]


def fill(desk: Desk, channel_id: int, segment: int, size: int = 300) -> None:
    """Publish until this segment is the active one."""
    while segments(desk)[-1:] < [segment]:
        desk.publish(channel_id, 1, size)


# Segments


def test_nothing_is_written_before_the_first_batch() -> None:
    desk = started()
    assert desk.disk.contents() == {}
    desk.publish(1)
    assert segments(desk) == [1]


@pytest.mark.row(141)
def test_a_full_segment_is_followed_by_the_next() -> None:
    desk = started()
    while len(segments(desk)) < 6:
        desk.publish(1, 2, 200)
    contents = desk.disk.durable_contents()
    number, end = 1, 0
    for name in segments_of(contents):
        header = decode_header(contents[name], name)
        assert header is not None
        frames = frames_of(contents[name], name)
        assert (header.first_frame, header.previous_end, header.flags) == (number, end, 0)
        assert [frame.head.number for frame in frames] == list(range(number, number + len(frames)))
        assert [frame.head.is_snapshot for frame in frames] == [True] + [False] * (len(frames) - 1)
        assert frames[0].head.previous_crc == header.crc
        assert [frame.head.previous_crc for frame in frames[1:]] == [frame.head.crc for frame in frames[:-1]]
        number, end = frames[-1].head.number + 1, frames[-1].head.end
        assert end <= SMALL
    assert desk.sequences(1) == list(range(1, desk.lasts[1] + 1))
    indexes_fit(desk.disk.contents())


def test_each_segment_has_a_salt_of_its_own() -> None:
    desk = started()
    fill(desk, 1, 6)
    headers = [decode_header(data, name) for name, data in desk.disk.contents().items() if segment_number(name)]
    assert len({header.salt for header in headers if header is not None}) == 6


def test_a_snapshot_makes_the_segments_before_superfluous_for_state() -> None:
    desk = started()
    desk.put(batch_of(state=[(KIND_CLIENT, b"a", b"1"), (KIND_CLIENT, b"b", b"2")], cursors=[Cursor(5, 9, [(3, 4)])]))
    desk.put(batch_of(state=[(KIND_CLIENT, b"a", None)]))
    fill(desk, 1, 4)
    desk.put(batch_of(floors={1: desk.lasts[1]}))
    desk.publish(1)
    assert segments(desk) == [4]
    found, recovered = desk_on(desk.disk.kill())
    assert recovered.state == [(KIND_CLIENT, b"b", b"2")]
    assert [(c.subscription_id, c.last_sent, c.pending) for c in recovered.cursors] == [(5, 9, [(3, 4)])]
    assert found.sequences(1) == [desk.lasts[1] - 1, desk.lasts[1]]


def test_a_batch_larger_than_a_segment_has_one_of_its_own() -> None:
    desk = started()
    desk.publish(1)
    desk.publish(1, 3, 3 * SMALL)
    desk.publish(1)
    assert len(desk.disk.contents()[segment_name(2)]) > 3 * SMALL
    assert desk.sequences(1) == [1, 2, 3, 4, 5]
    found, recovered = desk_on(desk.disk.kill())
    assert recovered.damage == []
    assert found.sequences(1) == [1, 2, 3, 4, 5]


def test_a_snapshot_larger_than_a_segment_does_not_begin_one_for_every_batch() -> None:
    desk = started()
    desk.put(batch_of(state=[(KIND_CLIENT, b"%d" % number, b"x" * 100) for number in range(100)]))
    desk.publish(1)
    before = segments(desk)[-1]
    for _ in range(20):
        desk.publish(1)
    assert segments(desk)[-1] - before <= 2


@pytest.mark.row(143)
def test_state_alone_fills_segments_too_and_they_are_dropped() -> None:
    desk = started()
    desk.publish(1, 1)
    for step in range(200):
        desk.put(batch_of(cursors=[Cursor(1, step, [(step, step)] * 10)]))
    assert len(segments(desk)) <= 2
    assert segments(desk)[-1] > 3
    assert desk.sequences(1) == [1]
    assert [cursor.last_sent for cursor in desk_on(desk.disk.kill())[1].cursors] == [199]


# Batches


def test_several_runs_of_one_channel_in_one_batch() -> None:
    desk = started()
    batch = batch_of(run_of(1, 1, 2), run_of(2, 1, 1), run_of(1, 3, 1), run_of(1, 4, 3), floors={1: 2})
    desk.put(batch)
    assert (desk.sequences(1), desk.sequences(2)) == ([2, 3, 4, 5, 6], [1])
    found, recovered = desk_on(copy_of(desk.disk))
    assert (found.sequences(1), found.sequences(2)) == ([2, 3, 4, 5, 6], [1])
    assert recovered.channels[0].stored_bytes == sum(len(body(1, sequence)) for sequence in range(2, 7))
    desk.put(batch_of(run_of(1, 7)))
    assert desk.sequences(1) == [2, 3, 4, 5, 6, 7]


def test_runs_of_one_channel_that_overlap_in_one_batch() -> None:
    desk = started()
    desk.put(batch_of(run_of(1, 1, 3)))
    desk.put(batch_of(run_of(1, 2, 4), run_of(1, 5, 3), run_of(1, 1, 8)))
    assert desk.sequences(1) == list(range(1, 9))
    assert desk_on(desk.disk.kill())[0].sequences(1) == list(range(1, 9))


def test_the_same_batch_again_changes_nothing_and_its_rest_is_added_with_the_right_times() -> None:
    desk = started()
    run = run_of(1, 1, 4)
    run.stamps = [(0, 100), (2, 200), (3, 300)]
    desk.put(batch_of(run))
    desk.put(batch_of(run))
    more = run_of(1, 3, 5)  # 3 to 7, of which 5 to 7 are new
    more.stamps = [(0, 200), (1, 300), (3, 400)]
    desk.put(batch_of(more))
    assert desk.sequences(1) == [1, 2, 3, 4, 5, 6, 7]
    assert [found_time(desk, 1, moment) for moment in (1, 100, 101, 200, 201, 300, 301, 400, 401)] == [
        1, 1, 3, 3, 4, 4, 6, 6, 8,
    ]  # fmt: skip


def test_a_gap_refuses_the_batch_and_all_after_it_until_it_is_opened_again() -> None:
    desk = started()
    desk.publish(1, 3)
    for batch in (batch_of(run_of(2, 1), run_of(1, 5)), batch_of(run_of(1, 4)), batch_of()):
        job = desk.journal.prepare(batch)
        assert job.refusal == "channel 1 ends at 3, so 5 cannot be its next message"
    desk.open()
    desk.publish(1)
    assert (desk.sequences(1), desk.sequences(2)) == ([1, 2, 3, 4], [])


def test_a_gap_between_runs_of_one_batch_is_refused() -> None:
    desk = started()
    job = desk.journal.prepare(batch_of(run_of(1, 10, 2), run_of(1, 13)))
    assert job.refusal == "channel 1 ends at 11, so 13 cannot be its next message"


def test_what_is_in_flight_is_not_read() -> None:
    desk = started()
    desk.publish(1)
    job = desk.journal.prepare(batch_of(run_of(1, 2)))
    assert desk.page(1, 1) == [body(1, 1)]
    assert desk.journal.read_now(1, 2, 9, MUCH) == []
    assert found_time(desk, 1, 1 << 60) == 2
    desk.end(job)
    assert desk.sequences(1) == [1, 2]


def test_batches_in_flight_over_the_end_of_a_segment() -> None:
    desk = started()
    jobs = [desk.journal.prepare(batch_of(run_of(1, sequence, 1, 700))) for sequence in range(1, 16)]
    assert sum(job.start is not None for job in jobs) >= 3
    desk.end(*jobs)
    assert desk.sequences(1) == list(range(1, 16))
    indexes_fit(desk.disk.contents())
    assert desk_on(desk.disk.kill())[0].sequences(1) == list(range(1, 16))


# Failures


def test_after_a_refused_write_the_journal_opens_again_where_it_was() -> None:
    for number in range(1, 10):
        desk = started()
        desk.publish(1, 1, 3000)
        desk.disk.fail(number, full())
        jobs = [desk.journal.prepare(batch_of(run_of(1, sequence, 1, 500))) for sequence in (2, 3, 4)]
        with pytest.raises(WriteError) as caught:
            desk.journal.writer.write(list(jobs))
        if caught.value.outcome == FATAL:
            continue
        assert caught.value.outcome == REFUSED
        recovered = desk.open()
        assert recovered.damage == []
        kept = [1, 2, 3, 4][: 1 + caught.value.durable_count]
        assert desk.sequences(1) == kept
        desk.publish(1)
        desk.publish(1, 1, 2000)
        assert desk_on(desk.disk.kill())[0].sequences(1) == [*kept, len(kept) + 1, len(kept) + 2]


def test_the_index_may_fail_to_be_written_at_every_call() -> None:
    """Nobody waits for it: the messages are there, and the next start makes it again."""
    for number in range(1, 9):
        desk = started()
        desk.publish(1, 2, 800)
        job = desk.journal.prepare(batch_of(run_of(1, 3, 1, 3000)))
        desk.journal.writer.write([job])
        desk.journal.complete(job)
        task = desk.journal.take_tasks()[0]
        desk.disk.fail(number, full(), partial=0.5)
        try:
            task.run()
        except OSError:
            assert desk.disk.failures == 1
        desk.disk.heal()
        assert desk.sequences(1) == [1, 2, 3]
        again = desk.disk.kill()
        assert desk_on(again)[0].sequences(1) == [1, 2, 3]
        indexes_fit(again.contents())
        if not desk.disk.failures:
            break
    else:
        raise AssertionError("more calls than expected")


# Spares


def test_a_dropped_segment_is_used_again_and_its_frames_are_not() -> None:
    """Every segment is as large as the others, so the frames of a former life lie exactly where new ones may be expected."""
    desk = started()
    for step in range(60):
        desk.publish(1, 1, 500, floor=max(1, step - 3))
        found, recovered = desk_on(copy_of(desk.disk))
        assert recovered.damage == []
        assert found.sequences(1) == desk.sequences(1) == list(range(max(1, step - 3), step + 2))
    created = [name for kind, name in desk.disk.calls if kind == "create" and ".segment" in name]
    assert segments(desk)[-1] > 8
    assert len(created) <= 3


def copy_of(disk: SimulatedDisk) -> SimulatedDisk:
    """Another disk with the same files."""
    copy = SimulatedDisk()
    for name, data in disk.contents().items():
        copy.put(name, data)
    return copy


def test_a_spare_is_found_again_by_a_start_and_more_than_one_is_removed() -> None:
    desk = started()
    fill(desk, 1, 5)
    desk.put(batch_of(floors={1: desk.lasts[1]}))
    spares = [name for name in desk.disk.contents() if "spare" in name]
    assert len(spares) == 1
    disk = desk.disk.kill()
    for number in (90, 91):
        disk.put(f"durabus-spare-{number}", bytes(SMALL))
    desk, _ = desk_on(disk)
    assert len([name for name in disk.contents() if "spare" in name]) == 1
    before = len(disk.calls)
    fill(desk, 1, 6)
    assert not [name for name in disk.contents() if "spare" in name]
    assert ("create", segment_name(6) + ".new") not in disk.calls[before:]
    assert desk.sequences(1)[-1] == desk.lasts[1]


def test_a_segment_of_another_size_is_not_kept_as_a_spare() -> None:
    desk = started()
    desk.publish(1, 1, 3 * SMALL)
    desk.publish(1, 1, 100, floor=2)
    desk.publish(1)
    assert not [name for name in desk.disk.contents() if "spare" in name]
    assert segments(desk) == [2]


def test_the_power_may_go_at_any_time_while_spares_are_used_again() -> None:
    """What was a segment of that number, and is one of another now, is never found under its old name."""
    desk = started()
    for step in range(40):
        desk.publish(1, 1, 500, floor=max(1, step - 3))
        for seed in range(4):
            found, recovered = desk_on(cut(desk.disk, seed))
            assert recovered.damage == []
            assert found.sequences(1) == desk.sequences(1)


def cut(disk: SimulatedDisk, seed: int) -> SimulatedDisk:
    """The disk after a power cut, while the one that is cut goes on."""
    after = disk.cut_power(random.Random(seed))
    disk.is_ended = False
    return after


# Retention


@pytest.mark.row(141)
def test_segments_go_when_nothing_lives_in_them() -> None:
    desk = started()
    fill(desk, 1, 6)
    assert segments(desk) == [1, 2, 3, 4, 5, 6]
    firsts = list(desk.journal.contents.channels[1].firsts)
    for floor, left in ((firsts[1] - 1, 6), (firsts[1], 5), (firsts[3] + 1, 3), (desk.lasts[1] + 1, 1)):
        desk.put(batch_of(floors={1: floor}))
        assert len(segments(desk)) == left
        assert desk.sequences(1) == list(range(floor, desk.lasts[1] + 1))
        indexes_fit(desk.disk.contents())


def test_one_channel_holds_a_segment_that_others_left() -> None:
    desk = started()
    desk.publish(2)
    fill(desk, 1, 5)
    desk.put(batch_of(floors={1: desk.lasts[1] + 1}))
    assert segments(desk) == [1, 5]
    assert (desk.sequences(1), desk.sequences(2)) == ([], [1])
    found, recovered = desk_on(desk.disk.kill())
    assert recovered.damage == []
    assert (found.sequences(1), found.sequences(2)) == ([], [1])
    found.put(batch_of(state=[(KIND_CHANNEL, b"2", None)]))
    assert segments(found) == [5]


@pytest.mark.row(149)
def test_a_deleted_channel_goes_and_so_do_its_segments() -> None:
    desk = started()
    desk.put(batch_of(state=[(KIND_CHANNEL, b"1", b"one")]))
    fill(desk, 1, 5)
    desk.publish(2)
    desk.put(batch_of(state=[(KIND_CHANNEL, b"1", None)]))
    assert segments(desk) == [5]
    assert desk.page(1, 1) == []
    assert desk.journal.seek(1, 1) == (0, None)
    found, recovered = desk_on(desk.disk.kill())
    assert [one.channel_id for one in recovered.channels] == [2]
    assert (found.sequences(1), found.sequences(2)) == ([], [1])


def test_a_channel_deleted_while_its_messages_are_in_flight() -> None:
    desk = started()
    fill(desk, 1, 3)
    last = desk.lasts[1]
    jobs = [
        desk.journal.prepare(batch_of(run_of(1, last + 1), run_of(2, 1))),
        desk.journal.prepare(batch_of(run_of(1, last + 2), state=[(KIND_CHANNEL, b"1", None)])),
        desk.journal.prepare(batch_of(run_of(2, 2))),
    ]
    desk.end(*jobs)
    assert (desk.sequences(1), desk.sequences(2), segments(desk)) == ([], [1, 2], [3])
    found, recovered = desk_on(desk.disk.kill())
    assert (recovered.damage, found.sequences(2), found.sequences(1)) == ([], [1, 2], [])


def test_a_channel_whose_messages_are_all_gone_keeps_its_sequence() -> None:
    desk = started()
    desk.publish(1, 3)
    desk.put(batch_of(floors={1: 4}))
    fill(desk, 2, 4)
    desk.put(batch_of(floors={2: desk.lasts[2] + 1}))
    disk = desk.disk
    for _ in range(3):
        disk = disk.kill()
        desk, recovered = desk_on(disk)
        figures = {
            one.channel_id: (one.first_sequence, one.last_sequence, one.stored_bytes) for one in recovered.channels
        }
        assert figures[1] == (4, 3, 0)
        assert desk.journal.seek(1, 1) == (4, None)
        desk.publish(2)
    desk.publish(1)
    assert desk.messages(1) == {4: body(1, 4)}


def test_messages_that_are_gone_before_their_segment_is_full_do_not_hold_it() -> None:
    desk = started()
    desk.publish(1, 3)
    desk.put(batch_of(floors={1: 4}))
    fill(desk, 2, 3)
    desk.put(batch_of(floors={2: desk.lasts[2]}))
    desk.publish(2, floor=desk.lasts[2] + 1)
    assert segments(desk) == [3]


def test_nothing_goes_before_its_floor_is_durable() -> None:
    """Two batches in flight, the second one with the higher floor: the end of the first must not drop what that is about."""
    desk = started()
    fill(desk, 1, 4)
    firsts = list(desk.journal.contents.channels[1].firsts)
    one = desk.journal.prepare(batch_of(floors={1: firsts[1]}))
    two = desk.journal.prepare(batch_of(floors={1: firsts[3]}))
    desk.end(one)
    assert segments(desk) == [2, 3, 4]
    for seed in range(10):
        assert desk_on(cut(desk.disk, seed))[0].sequences(1)[0] == firsts[1]
    desk.end(two)
    assert segments(desk) == [4]


def test_a_segment_that_is_read_is_dropped_afterwards() -> None:
    desk = started()
    fill(desk, 1, 3)
    stretches = desk.journal.stretches(1, 1, 1000, MUCH)
    assert [stretch.segment.number for stretch in stretches] == [1, 2, 3]
    desk.put(batch_of(floors={1: desk.lasts[1] + 1}))
    assert segments(desk) == [1, 2, 3]
    bodies, lost = desk.journal.reader.read(stretches, MUCH)
    assert (len(bodies), lost) == (desk.lasts[1], [])
    for stretch in stretches:
        desk.journal.release(stretch.segment)
        desk.tasks()
    assert segments(desk) == [3]


def test_the_tasks_of_a_segment_may_end_in_any_order() -> None:
    """They run on several threads: its index must not outlive a segment that is dropped meanwhile."""
    for order in (1, -1):
        desk = started()
        desk.publish(1, 2, 1500)
        jobs = [desk.journal.prepare(batch_of(run_of(1, 3, 1, 3000))), desk.journal.prepare(batch_of(floors={1: 3}))]
        desk.journal.writer.write(list(jobs))
        for job in jobs:
            desk.journal.complete(job)
        tasks = desk.journal.take_tasks()
        for task in tasks[::order]:
            task.run()
            task.finish("")
        desk.tasks()
        assert segments(desk) == [2]
        indexes_fit(desk_on(desk.disk.kill())[0].disk.contents())


# Reading


def found_time(desk: Desk, channel_id: int, timestamp_ns: int) -> int:
    """The first message at or after a time."""
    sequence, run = desk.journal.seek(channel_id, timestamp_ns)
    if run is None:
        return sequence
    segment, place = run
    index = desk.journal.reader.find_time(segment, place, timestamp_ns)
    desk.journal.release(segment)
    first = desk.journal.contents.channels[channel_id].first
    return max(place.first + index if index < place.count else sequence, first)


def test_times_are_found_over_segments() -> None:
    """Runs of three with a time of their own each, of two channels, over several segments, with and without a floor."""
    desk = started()
    while segments(desk)[-1:] != [5]:
        for channel_id in (1, 2):
            first = desk.lasts.get(channel_id, 0) + 1
            run = run_of(channel_id, first, 3, 150)
            run.stamps = [(index, 10 * (first + index)) for index in range(3)]
            desk.put(batch_of(run))
            desk.lasts[channel_id] = first + 2
    for floor in (1, 20, desk.lasts[1] + 1):
        desk.put(batch_of(floors={1: floor}))
        for opened in (desk, desk_on(copy_of(desk.disk))[0]):
            for moment in range(0, 10 * desk.lasts[1] + 15, 5):
                wanted = min(max(floor, -(-moment // 10), 1), desk.lasts[1] + 1)
                assert found_time(opened, 1, moment) == wanted, (floor, moment)


def test_a_page_goes_over_segments_and_ends_with_count_and_bytes() -> None:
    desk = started()
    fill(desk, 1, 6)
    last = desk.lasts[1]
    whole = desk.page(1, 1, 1000)
    assert whole == [body(1, sequence, 300) for sequence in range(1, last + 1)]
    for first in (1, 2, last // 2, last):
        for count in (1, 2, 9, 1000):
            assert desk.page(1, first, count) == whole[first - 1 : first - 1 + count]
        for size in (1, 308, 1000, 5000):
            page = desk.page(1, first, 1000, size)
            assert page == whole[first - 1 : first - 1 + len(page)]
            assert len(page) == 1 or sum(map(len, page)) <= size
    assert desk.page(1, last + 1) == desk.page(1, 0) == desk.page(9, 1) == []


def test_what_is_planned_for_a_page_is_bounded_by_count_and_bytes() -> None:
    """One-message runs: a page of few messages does not look at the rows of many."""
    desk, _ = desk_on(SimulatedDisk(), 1 << 20)
    desk.end(*[desk.journal.prepare(batch_of(run_of(1, sequence))) for sequence in range(1, 6001)])
    (stretch,) = desk.journal.stretches(1, 100, 10, MUCH)
    assert len(stretch.rows) == 10 * 64
    desk.journal.release(stretch.segment)
    (stretch,) = desk.journal.stretches(1, 1, 6000, MUCH)
    assert len(stretch.rows) == 4096 * 64
    desk.journal.release(stretch.segment)
    assert desk.sequences(1) == list(range(1, 6001))


def test_recent_messages_are_read_from_memory() -> None:
    disk = SimulatedDisk()
    desk = Desk(disk, SMALL, 1 << 20)
    desk.open()
    desk.publish(1, 5)
    assert desk.journal.read_now(1, 2, 2, MUCH) == [body(1, 2), body(1, 3)]
    assert desk.journal.read_now(1, 6, 2, MUCH) == []
    desk.put(batch_of(floors={1: 4}))
    assert desk.journal.read_now(1, 4, 9, MUCH) == [body(1, 4), body(1, 5)]
    desk.put(batch_of(state=[(KIND_CHANNEL, b"1", None)]))
    assert desk.journal.read_now(1, 4, 9, MUCH) == []


def test_the_usual_segment_is_of_32_mib() -> None:
    assert SEGMENT_BYTES == 32 * 1024 * 1024
    journal = Journal(SimulatedFiles(SimulatedDisk()))
    assert journal.open(lambda _: None).channels == []


# Any history


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 700), st.integers(0, 5)), max_size=60),
    st.data(),
)
@settings(max_examples=60)
def test_any_history_is_read_as_it_was_written(steps: list[tuple[int, int, int, int]], data: st.DataObject) -> None:
    """Publishing, floors, deletions, index files that vanish, and starts in between: what is wanted is there, and right."""
    desk = started()
    ids = {1: 1, 2: 2, 3: 3}
    firsts = dict.fromkeys(ids, 1)
    for slot, count, size, action in steps:
        channel_id = ids[slot]
        if action == 0 and desk.lasts.get(channel_id):
            firsts[slot] = data.draw(st.integers(firsts[slot], desk.lasts[channel_id] + 1))
            desk.put(batch_of(floors={channel_id: firsts[slot]}))
        elif action == 1 and size > 600:
            desk.put(batch_of(state=[(KIND_CHANNEL, b"%d" % channel_id, None)]))
            ids[slot], firsts[slot] = channel_id + 3, 1
        elif action == 2 and size > 350:
            disk = SimulatedDisk()
            for name, content in desk.disk.contents().items():
                if not (name == index_name(count) and size > 600):
                    disk.put(name, content)
            desk, recovered = desk_on(disk)
            assert recovered.damage == []
        else:
            desk.publish(channel_id, count, size)
    for opened in (desk, desk_on(copy_of(desk.disk))[0]):
        for slot, channel_id in ids.items():
            wanted = list(range(firsts[slot], desk.lasts.get(channel_id, 0) + 1))
            assert opened.sequences(channel_id) == wanted
    indexes_fit(desk.disk.contents())
    lived = {
        number for log in desk.journal.contents.channels.values() for number in log.segments if log.first <= log.last
    }
    assert set(segments(desk)[:-1]) <= lived
