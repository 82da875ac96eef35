"""A start: what counts, what is damage, and that nothing else is lost by it (FORMAT.md §7 and §8)."""

import contextlib
import errno
import os
import random
import re
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.file.frame import Frame, FrameHead, Part, encode_frame
from durabus.stores.file.layout import HEADER_BYTES, decode_header, index_name, segment_name
from durabus.stores.file.writer import WriteError
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SUBSCRIPTION, Cursor, Recovered
from durabus.testing.disk import SimulatedDisk
from tests.stores.file.journal_steps import (
    SMALL,
    Desk,
    batch_of,
    desk_on,
    frames_of,
    indexes_fit,
    run_of,
    segments_of,
)

ACTIVE = segment_name(1)


def disk_with(content: dict[str, bytes]) -> SimulatedDisk:
    disk = SimulatedDisk()
    for name, data in content.items():
        disk.put(name, data)
    return disk


def damage_of(recovered: Recovered) -> str:
    return "\n".join(recovered.damage)


def changed(content: dict[str, bytes], name: str, at: int, data: bytes) -> dict[str, bytes]:
    """The same files, with other bytes in one place."""
    whole = content[name]
    return {**content, name: whole[:at] + data + whole[at + len(data) :]}


def flipped(content: dict[str, bytes], name: str, at: int, mask: int = 0xFF) -> dict[str, bytes]:
    return changed(content, name, at, bytes([content[name][at] ^ mask]))


def one_segment() -> dict[str, bytes]:
    """A journal of one segment: five messages of channel 1 and two of channel 2, in a frame each, and state."""
    desk, _ = desk_on(SimulatedDisk())
    desk.put(batch_of(state=[(KIND_CHANNEL, b"1", b"one"), (KIND_CHANNEL, b"2", b"two")]))
    for channel_id in (1, 2, 1, 1, 2, 1, 1):
        desk.publish(channel_id, size=10)
    desk.put(batch_of(cursors=[Cursor(3, 2, [(1, 1)])], state=[(KIND_SUBSCRIPTION, b"3", b"three")]))
    return dict(desk.disk.contents())


def several_segments(count: int = 4) -> dict[str, bytes]:
    """A journal of so many segments, whose batches have one, two and three messages; state changes in each of them."""
    desk, _ = desk_on(SimulatedDisk())
    step = 0
    while len(segments_of(desk.disk.contents())) < count:
        step += 1
        desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"%d" % step)]))
        for channel_id in (1, 2, 3):
            desk.publish(channel_id, channel_id, 60)
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"last")], cursors=[Cursor(7, step, [])]))
    return dict(desk.disk.contents())


# Nothing, and what is not ours


def test_a_new_directory_holds_nothing() -> None:
    desk, recovered = desk_on(SimulatedDisk())
    assert (recovered.state, recovered.cursors, recovered.channels, recovered.damage) == ([], [], [], [])
    assert desk.disk.contents() == {}


def test_other_files_are_left_alone() -> None:
    others = {"notes.txt": b"mine", "durabus.lock": b"", "durabus-x.segment": b"?", "server.dat.new": b"theirs"}
    disk = disk_with(
        {**one_segment(), **others, "durabus-0000000002.segment.new": b"half", "durabus-0000000001.index.new": b"?"}
    )
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    assert {name: disk.contents().get(name) for name in others} == others
    assert [name for name in disk.contents() if name.endswith(".new")] == ["server.dat.new"]
    assert desk.sequences(1) == [1, 2, 3, 4, 5]


def test_a_later_version_is_refused_and_everything_stays() -> None:
    content = several_segments()
    names = segments_of(content)
    for name in names:
        data = content[name]
        head = data[:8] + (2).to_bytes(4, "little") + data[12:60]
        later = changed(content, name, 0, head + zlib.crc32(head).to_bytes(4, "little"))
        disk = disk_with(later)
        with pytest.raises(StoreError, match=f"{name} was written in version 2 of the format"):
            desk_on(disk)
        assert disk.contents() == later


# The end of the journal


@given(st.integers(0, 600), st.binary(max_size=300))
def test_what_is_torn_at_the_end_does_not_count(cut: int, rest: bytes) -> None:
    """The last frame was cut off anywhere, and anything follows: all before it is there, and nothing is said."""
    content = WHOLE
    last = frames_of(content[ACTIVE], ACTIVE)[-1].head
    at = last.offset + min(cut, last.end - last.offset - 8)
    tail = (rest + bytes(SMALL))[: SMALL - at]
    if content[ACTIVE][at : last.end] == tail[: last.end - at]:
        return
    desk, recovered = desk_on(disk_with(changed(content, ACTIVE, at, tail)))
    assert recovered.damage == []
    assert (desk.sequences(1), desk.sequences(2)) == ([1, 2, 3, 4, 5], [1, 2])
    assert recovered.cursors == []
    desk.publish(1)
    assert desk.sequences(1) == [1, 2, 3, 4, 5, 6]


WHOLE = one_segment()


def test_a_body_torn_at_the_end_does_not_count() -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(1, 3)
    desk.publish(1, 2)
    content = dict(desk.disk.contents())
    place = frames_of(content[ACTIVE], ACTIVE)[-1].places[0]
    desk, recovered = desk_on(disk_with(flipped(content, ACTIVE, place.bodies_offset)))
    assert recovered.damage == []
    assert desk.sequences(1) == [1, 2, 3]
    assert recovered.channels[0].last_sequence == 3


def test_frames_that_were_cut_off_never_come_back() -> None:
    """Three frames in one write, the first of them torn: the next one takes its place, and those behind stay dead."""
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(1)
    start = desk.journal._frame_number
    jobs = [desk.journal.prepare(batch_of(run_of(1, sequence))) for sequence in (2, 3, 4)]
    desk.end(*jobs)
    content = dict(desk.disk.contents())
    head = frames_of(content[ACTIVE], ACTIVE)[-3].head
    assert head.number == start + 1
    disk = disk_with(flipped(content, ACTIVE, head.offset + 8))
    desk, recovered = desk_on(disk)
    assert (recovered.damage, desk.sequences(1)) == ([], [1])
    desk.put(batch_of(state=[(KIND_CLIENT, b"same", b"size")]))
    assert desk_on(disk.kill())[0].sequences(1) == [1]
    desk, _ = desk_on(disk.kill())
    job = desk.put(batch_of(run_of(1, 2)))
    assert job.data[8:] != jobs[0].data[8:]
    assert desk_on(disk.kill())[0].sequences(1) == [1]


def test_frames_that_are_not_known_to_be_durable_are_written_once_more_before_anything_is_served() -> None:
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    desk.publish(1)
    job = desk.journal.prepare(batch_of(run_of(1, 2)))
    disk.fail(1, OSError(errno.EIO, os.strerror(errno.EIO)), kind="sync")
    with pytest.raises(WriteError, match="cannot be synced"):
        desk.journal.writer.write([job])
    again = disk.kill()
    desk, recovered = desk_on(again)
    found = recovered.channels[0].last_sequence
    assert found == 2
    for seed in range(20):
        later, _ = desk_on(again.cut_power(random.Random(seed)))
        assert later.sequences(1) == [1, 2]


@pytest.mark.parametrize("number", range(1, 12))
def test_a_kill_while_a_segment_begins_leaves_one_that_is_durable(number: int) -> None:
    """Whatever call it was in: what the next start takes for the active segment is there after a power cut."""
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    desk.publish(1)
    jobs = [desk.journal.prepare(batch_of(run_of(1, sequence, 1, 1500))) for sequence in (2, 3, 4)]
    disk.end(number)
    with contextlib.suppress(WriteError, OSError):
        desk.end(*jobs)
    again = disk.kill()
    desk, recovered = desk_on(again)
    assert recovered.damage == []
    desk.lasts[1] = recovered.channels[0].last_sequence
    desk.publish(1)
    for seed in range(20):
        later, found = desk_on(again.cut_power(random.Random(seed)))
        assert found.damage == []
        assert later.sequences(1) == list(range(1, desk.lasts[1] + 1))


# Damage of the active segment


def test_no_byte_of_a_journal_makes_a_wrong_message_or_hides_a_right_one() -> None:
    """Every byte of one segment, in two ways: what is damaged is named, and everything else is served."""
    content = one_segment()
    frames = frames_of(content[ACTIVE], ACTIVE)
    for at in range(frames[-1].head.end):
        for mask in (0xFF, 1 << at % 8):
            check_damage(content, at, mask)


def check_damage(content: dict[str, bytes], at: int, mask: int) -> None:
    """Change one byte, start, and look at everything."""
    frames = frames_of(content[ACTIVE], ACTIVE)
    where = f"byte {at} ^ {mask:#x}"
    desk, recovered = desk_on(disk_with(flipped(content, ACTIVE, at, mask)))
    hit = next((frame for frame in frames if frame.head.offset <= at < frame.head.end), None)
    if hit is None:  # in the header: the segment is left out as a whole
        assert f"{ACTIVE} is damaged: its head is not valid" in damage_of(recovered), where
        assert desk.disk.contents()[ACTIVE + ".damaged"], where
        return
    head = hit.head
    padding = head.end - (head.end - head.offset - 64 - head.table_bytes - head.bodies_bytes) <= at
    lost = [] if padding else [(p.channel_id, p.first) for p in hit.places]
    for channel_id, last in ((1, 5), (2, 2)):
        wanted = [sequence for sequence in range(1, last + 1) if (channel_id, sequence) not in lost]
        assert desk.sequences(channel_id) == wanted, where
    is_proven = hit is not frames[-1]
    assert bool(recovered.damage) == (is_proven and not padding), where
    if lost and is_proven:
        assert_named(recovered, *lost[0], ACTIVE, where, is_last=lost[0] in ((1, 5), (2, 2)))
    for found in recovered.channels:
        assert found.stored_bytes >= sum(map(len, desk.messages(found.channel_id).values())), where
    cursors = [(cursor.subscription_id, cursor.last_sent) for cursor in recovered.cursors]
    assert cursors == ([] if hit is frames[-1] and not padding else [(3, 2)]), where
    if hit not in (frames[0], frames[1]) or padding:
        assert recovered.state[:2] == [(KIND_CHANNEL, b"1", b"one"), (KIND_CHANNEL, b"2", b"two")], where


def assert_named(
    recovered: Recovered, channel_id: int, sequence: int, name: str, where: str, *, is_last: bool = False
) -> None:
    """The damage says which message of which channel it was, and in which file."""
    text = damage_of(recovered)
    assert name in text, where
    if is_last and "is damaged from" in text:
        wanted = "what batches"  # nothing of the channel follows, so nobody knows that there was one more
    elif sequence == 1 and "is damaged from" in text:
        wanted = rf"messages before 2 of channel {channel_id}\b"  # of which it is not known where they began
    else:
        wanted = rf"messages? {sequence}( to {sequence})? of channel {channel_id}\b"
    assert re.search(wanted, text), f"{where}: {text}"


@given(st.lists(st.tuples(st.integers(64, 1500), st.binary(min_size=1, max_size=100)), min_size=1, max_size=4))
@settings(max_examples=200)
def test_no_damage_makes_a_wrong_message(places: list[tuple[int, bytes]]) -> None:
    content = WHOLE
    for at, data in places:
        content = changed(content, ACTIVE, at, data)
    try:
        desk, recovered = desk_on(disk_with(content))
    except StoreError:
        return
    for channel_id in (1, 2):
        desk.sequences(channel_id)
        desk.journal.seek(channel_id, 1)
    lasts = {found.channel_id: found.last_sequence for found in recovered.channels}
    desk.put(batch_of(run_of(9, 1), *(run_of(channel_id, last + 1) for channel_id, last in lasts.items() if last)))
    assert desk.sequences(9) == [1]


def test_a_hole_is_not_closed_by_what_follows() -> None:
    """A run is lost between two others of its channel, in one segment: its messages read as lost, and none moves up."""
    for is_sealed in (False, True):
        disk = SimulatedDisk()
        desk, _ = desk_on(disk)
        for _ in range(5):
            desk.publish(1, 2, 10)
        content = dict(disk.contents())
        middle = frames_of(content[ACTIVE], ACTIVE)[3]
        if is_sealed:
            desk.publish(2, 1, 4000)
            content = {name: data for name, data in disk.contents().items() if not name.endswith(".index")}
        desk, recovered = desk_on(disk_with(flipped(content, ACTIVE, middle.head.offset)))
        assert desk.sequences(1) == [1, 2, 3, 4, 7, 8, 9, 10]
        assert recovered.channels[0].last_sequence == 10
        assert [desk.journal.missing(1, sequence) for sequence in range(1, 12)] == [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0]
        assert re.search(r"messages 5 to 6 of channel 1\b", damage_of(recovered)), recovered.damage


def test_one_damaged_message_is_lost_and_the_others_of_its_run_are_not() -> None:
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    desk.publish(1, 5, 10)
    desk.publish(1, 1, 10)
    content = dict(disk.contents())
    place = frames_of(content[ACTIVE], ACTIVE)[1].places[0]
    desk, recovered = desk_on(disk_with(flipped(content, ACTIVE, place.bodies_offset + 2 * 15 + 3)))
    assert desk.sequences(1) == [1, 2, 4, 5, 6]
    assert_named(recovered, 1, 3, ACTIVE, "")


def test_damage_behind_which_the_end_is_torn() -> None:
    """The frame that proves the damage need not count itself: its bodies may be torn."""
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    for _ in range(4):
        desk.publish(1, 1, 10)
    content = dict(disk.contents())
    frames = frames_of(content[ACTIVE], ACTIVE)
    content = flipped(content, ACTIVE, frames[3].head.offset)
    content = flipped(content, ACTIVE, frames[4].places[0].bodies_offset)
    disk = disk_with(content)
    desk, recovered = desk_on(disk)
    assert desk.sequences(1) == [1, 2]
    assert recovered.channels[0].last_sequence in (2, 3)
    assert ACTIVE in damage_of(recovered)
    desk.lasts[1] = recovered.channels[0].last_sequence
    desk.publish(1, 1, 10)
    desk, _ = desk_on(disk.kill())
    assert desk.sequences(1) == [1, 2, recovered.channels[0].last_sequence + 1]


def test_work_goes_on_behind_damage_and_what_is_damaged_stays_named() -> None:
    content = one_segment()
    frames = frames_of(content[ACTIVE], ACTIVE)
    disk = disk_with(flipped(content, ACTIVE, frames[4].head.offset))
    desk, recovered = desk_on(disk)
    named = damage_of(recovered)
    assert named
    desk.publish(1)
    assert desk.sequences(1) == [1, 3, 4, 5, 6]
    desk, recovered = desk_on(disk.kill())
    assert damage_of(recovered) == named
    assert desk.sequences(1) == [1, 3, 4, 5, 6]


# Damage of sealed segments


def served(desk: Desk) -> dict[int, list[int]]:
    return {channel_id: desk.sequences(channel_id) for channel_id in (1, 2, 3)}


def places_of(content: dict[str, bytes], name: str) -> dict[int, set[int]]:
    """The messages of each channel in one segment."""
    found: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
    for frame in frames_of(content[name], name):
        for place in frame.places:
            found[place.channel_id].update(range(place.first, place.first + place.count))
    return found


@pytest.mark.parametrize("is_indexed", [True, False])
def test_no_byte_of_a_sealed_segment_makes_a_wrong_message_or_hides_a_right_one(is_indexed: bool) -> None:
    """With its index, and where that has to be made again: at most the frame that was hit is lost."""
    content = several_segments(3)
    if not is_indexed:
        content = {name: data for name, data in content.items() if not name.endswith(".index")}
    whole = served(desk_on(disk_with(content))[0])
    name = segments_of(content)[1]
    frames = frames_of(content[name], name)
    for at in range(HEADER_BYTES, frames[-1].head.end, 3):
        desk, recovered = desk_on(disk_with(flipped(content, name, at)))
        found = served(desk)
        hit = next(frame for frame in frames if frame.head.offset <= at < frame.head.end)
        lost = {place.channel_id: set(range(place.first, place.first + place.count)) for place in hit.places}
        for channel_id, sequences in found.items():
            missing = set(whole[channel_id]) - set(sequences)
            assert missing <= lost.get(channel_id, set()), f"byte {at} of {name}"
            if missing and not is_indexed:
                assert f"of channel {channel_id}" in damage_of(recovered), f"byte {at} of {name}"
        assert (KIND_CLIENT, b"client", b"last") in recovered.state
        assert [cursor.subscription_id for cursor in recovered.cursors] == [7]


def test_a_damaged_message_at_the_end_of_a_sealed_segment_is_that_message_alone() -> None:
    """All of a sealed segment was durable: its last frame is not taken for torn."""
    content = {name: data for name, data in several_segments(3).items() if not name.endswith(".index")}
    whole = served(desk_on(disk_with(content))[0])
    name = segments_of(content)[0]
    place = [place for frame in frames_of(content[name], name) for place in frame.places if place.channel_id == 3][-1]
    last = frames_of(content[name], name)[-1]
    assert last.places[0].count > 1 or last.places[0].channel_id != 3
    target = last.places[0]
    desk, recovered = desk_on(disk_with(flipped(content, name, target.bodies_offset)))
    found = served(desk)
    missing = {channel_id: set(whole[channel_id]) - set(found[channel_id]) for channel_id in whole}
    assert missing == {1: set(), 2: set(), 3: set(), target.channel_id: {target.first}}
    assert_named(recovered, target.channel_id, target.first, name, "")
    assert place


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_sealed_segment_whose_head_is_damaged_is_set_aside_and_all_else_is_served(position: int) -> None:
    content = several_segments(4)
    whole = served(desk_on(disk_with(content))[0])
    name = segments_of(content)[position]
    gone = places_of(content, name)
    disk = disk_with(flipped(content, name, 20))
    desk, recovered = desk_on(disk)
    assert served(desk) == {
        channel_id: [s for s in whole[channel_id] if s not in gone[channel_id]] for channel_id in whole
    }
    text = damage_of(recovered)
    assert f"{name} is damaged: its head is not valid; it is kept as {name}.damaged" in text
    for channel_id, sequences in gone.items():
        assert f"messages {min(sequences)} to {max(sequences)} of channel {channel_id} are missing" in text
    assert disk.contents()[name + ".damaged"] == flipped(content, name, 20)[name]
    assert {found.channel_id: found.last_sequence for found in recovered.channels} == {c: whole[c][-1] for c in whole}
    assert (KIND_CLIENT, b"client", b"last") in recovered.state
    desk, recovered = desk_on(disk.kill())
    assert "are missing" in damage_of(recovered)
    desk.publish(1)
    assert desk.sequences(1)[-1] == whole[1][-1] + 1


def test_an_active_segment_whose_head_is_damaged_is_set_aside_and_its_number_not_used_again() -> None:
    content = several_segments(4)
    whole = served(desk_on(disk_with(content))[0])
    name = segments_of(content)[-1]
    gone = places_of(content, name)
    disk = disk_with(flipped(content, name, 20))
    for _ in range(3):  # each start is another server
        desk, _ = desk_on(disk)
        assert served(desk) == {c: [s for s in whole[c] if s not in gone[c]] for c in whole}
        disk = disk.kill()
    desk, _ = desk_on(disk)
    for _ in range(10):
        desk.publish(1, 3, 300)
    names = segments_of(disk.contents())
    assert name not in names
    assert len(names) > 4
    desk, _ = desk_on(disk.kill())
    assert served(desk)[1] == list(range(1, desk.lasts[1] + 1))


def test_a_segment_that_became_active_again_gets_a_new_index_when_it_is_sealed_again() -> None:
    """The index that it has does not know what was written since."""
    content = several_segments(3)
    name = segments_of(content)[-1]
    disk = disk_with(flipped(content, name, 20))
    desk, _ = desk_on(disk)
    former = disk.contents()[index_name(2)]
    desk.publish(1, 1, 10)
    disk.end(1, kind="create")  # of the next segment, or of its index
    with contextlib.suppress(WriteError, OSError):
        for _ in range(20):
            desk.publish(1, 1, 200)
    assert disk.is_ended
    again = disk.kill()
    if index_name(2) not in again.contents():
        again.put(index_name(2), former)
    desk, recovered = desk_on(again)
    while len(segments_of(again.contents())) < 4:
        desk.publish(1, 1, 200)
    last = desk.lasts[1]
    content = {**again.contents(), index_name(2): former}  # as if the power had gone before the new one was there
    desk, recovered = desk_on(disk_with(content))
    assert "missing" not in damage_of(recovered)
    assert desk.sequences(1)[-1] == last


# Snapshots


@pytest.mark.parametrize("count", [2, 4])
def test_a_damaged_snapshot_is_replaced_by_that_of_the_segment_before(count: int) -> None:
    content = several_segments(count)
    desk, before = desk_on(disk_with(content))
    whole = served(desk)
    name = segments_of(content)[-1]
    for at in (HEADER_BYTES, HEADER_BYTES + 8, HEADER_BYTES + 70):
        disk = disk_with(flipped(content, name, at))
        desk, recovered = desk_on(disk)
        assert served(desk) == whole, f"byte {at}"
        assert f"{name} is damaged: its first frame is not valid" in damage_of(recovered)
        assert recovered.state == before.state
        assert [(c.subscription_id, c.last_sent) for c in recovered.cursors] == [(7, before.cursors[0].last_sent)]
        assert [vars(found) for found in recovered.channels] == [vars(found) for found in before.channels]
        desk.publish(1)
        assert desk_on(disk.kill())[0].sequences(1) == [*whole[1], whole[1][-1] + 1]


def test_a_damaged_snapshot_with_one_frame_behind_it() -> None:
    """That frame cannot know the snapshot to be durable, but the segment has its name: so it is, and the frame counts."""
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    while len(segments_of(disk.contents())) < 2:
        desk.publish(1, 1, 300)
    last = desk.lasts[1]
    name = segment_name(2)
    assert len(frames_of(disk.contents()[name], name)) == 2
    desk, recovered = desk_on(disk_with(flipped(disk.contents(), name, HEADER_BYTES + 8)))
    assert desk.sequences(1) == list(range(1, last + 1))
    assert name in damage_of(recovered)


def test_a_damaged_first_snapshot_costs_nothing_but_itself() -> None:
    """There is none before it, and it says nothing: everything is in the frames behind it."""
    content = one_segment()
    desk, recovered = desk_on(disk_with(flipped(content, ACTIVE, HEADER_BYTES + 8)))
    assert ACTIVE in damage_of(recovered)
    assert (desk.sequences(1), desk.sequences(2)) == ([1, 2, 3, 4, 5], [1, 2])
    assert (KIND_CHANNEL, b"1", b"one") in recovered.state


@pytest.mark.xfail(reason="a start is refused when no snapshot is left", raises=StoreError)
def test_without_any_snapshot_the_messages_are_served() -> None:
    """The segments before were dropped: state is lost and that is said, but the messages are there."""
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    while len(segments_of(disk.contents())) < 3:
        desk.publish(1, 1, 300)
    desk.put(batch_of(floors={1: desk.lasts[1]}))
    desk.publish(1)
    assert segments_of(disk.contents()) == [segment_name(3)]
    name = segment_name(3)
    desk, recovered = desk_on(disk_with(flipped(disk.contents(), name, HEADER_BYTES + 8)))
    assert f"{name} is damaged" in damage_of(recovered)
    assert desk.sequences(1)[-1] == recovered.channels[0].last_sequence


def test_state_of_a_dropped_segment_that_a_damaged_snapshot_stood_for_is_named() -> None:
    """Between the segment before and this one was another, which is gone: what it changed is lost, and must be said."""
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    desk.publish(9)  # keeps the first segment
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"old")]))
    while len(segments_of(disk.contents())) < 2:
        desk.publish(1, 1, 300)
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"new")]))
    while segment_name(3) not in disk.contents():
        desk.publish(1, 1, 300)
    desk.put(batch_of(floors={1: desk.lasts[1]}))
    assert segments_of(disk.contents()) == [segment_name(1), segment_name(3)]
    desk, recovered = desk_on(disk_with(flipped(disk.contents(), segment_name(3), HEADER_BYTES + 8)))
    assert desk.sequences(9) == [1]
    assert "what batches" in damage_of(recovered)


# Indexes


def test_indexes_fit_their_segments() -> None:
    content = several_segments(4)
    assert len(segments_of(content)) == 4
    indexes_fit(content)


def test_with_its_indexes_a_start_reads_sealed_segments_no_further_than_their_heads() -> None:
    content = several_segments(4)
    disk = disk_with(content)
    desk_on(disk)
    mapped = [name for kind, name in disk.calls if kind == "map"]
    sealed = segments_of(content)[:-1]
    assert [name for name in mapped if name in sealed] == []
    assert [name for kind, name in disk.calls if kind == "read" and name in sealed] == sealed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data, other: None,
        lambda data, other: b"",
        lambda data, other: data[:100],
        lambda data, other: bytes(len(data)),
        lambda data, other: other,
        lambda data, other: data[:8] + b"\2" + data[9:],
    ],
    ids=["missing", "empty", "cut off", "zeros", "of another segment", "another version"],
)
def test_a_missing_or_wrong_index_is_made_again(spoil: "object") -> None:
    assert callable(spoil)
    content = several_segments(4)
    whole = served(desk_on(disk_with(content))[0])
    one, two = index_name(1), index_name(2)
    data = spoil(content[one], content[two])
    changed_content = {name: found for name, found in content.items() if name != one}
    if data is not None:
        changed_content[one] = data
    disk = disk_with(changed_content)
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    assert served(desk) == whole
    assert disk.contents()[one] == content[one]
    indexes_fit(disk.contents())


def test_no_byte_of_an_index_makes_a_wrong_message_or_hides_a_right_one() -> None:
    """An index can be made again from its segment, whatever of it is damaged."""
    content = several_segments(3)
    whole = served(desk_on(disk_with(content))[0])
    name = index_name(1)
    for at in range(0, len(content[name]), 3):
        desk, recovered = desk_on(disk_with(flipped(content, name, at)))
        assert recovered.damage == [], f"byte {at}"
        assert served(desk) == whole, f"byte {at}"
        assert desk.journal.seek(1, 1)[0] > 0


def test_the_index_of_a_segment_that_is_gone_goes() -> None:
    disk = disk_with({**several_segments(3), index_name(77): b"old"})
    desk_on(disk)
    indexes_fit(disk.contents())


# Bytes that nobody wrote by accident


def test_any_change_with_a_right_crc_is_refused_in_words_or_taken() -> None:
    """A frame whose CRC fits and whose fields are anything: a start says so or serves, and raises nothing else."""
    chance = random.Random(5)
    header = decode_header(WHOLE[ACTIVE], ACTIVE)
    assert header is not None
    end = frames_of(WHOLE[ACTIVE], ACTIVE)[-1].head
    large = [0, 1, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]
    for _ in range(300):
        head = FrameHead()
        head.number, head.epoch = end.number + 1, chance.choice(large)
        head.durable_number, head.previous_crc, head.offset = chance.choice(large), end.crc, end.end
        frame = Frame(head)
        frame.floors = [(chance.choice(large), chance.choice(large))]
        frame.cursors = [
            Cursor(chance.choice(large), chance.choice(large), [(chance.choice(large), chance.choice(large))])
        ]
        frame.state = [
            (chance.choice([0, 1, 2, 3, 99]), chance.choice([b"", b"1", b"x", b"9" * 5000]), chance.choice([None, b""]))
        ]
        part = Part(
            chance.choice(large), chance.choice(large), [b"1"] * 3, [(9, chance.choice(large))], chance.choice(large)
        )
        data = encode_frame(frame, [part], header.salt)
        disk = disk_with(changed(WHOLE, ACTIVE, end.end, data))
        try:
            desk, _ = desk_on(disk)
        except StoreError:
            continue
        found = desk.messages(1)
        assert 1 in (frame.floors[0][0], part.channel_id) or list(found) == [1, 2, 3, 4, 5] or frame.state[0][2] is None
        while len(segments_of(disk.contents())) < 2:
            desk.publish(7, 1, 500)
