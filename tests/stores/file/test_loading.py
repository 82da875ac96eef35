"""A start: what counts, what is made again, and what a snapshot stands for (FORMAT.md §7 and §8)."""

import contextlib
import errno
import os
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.file.compaction import compact
from durabus.stores.file.frame import Frame, FrameHead, Part, encode_frame
from durabus.stores.file.head import COPY_OFFSET
from durabus.stores.file.layout import HEADER_BYTES, decode_header, head_name, index_name, segment_name
from durabus.stores.file.writer import WriteError
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, ChannelState, Cursor
from durabus.testing.disk import SimulatedDisk
from tests.stores.file.damage_steps import (
    ACTIVE,
    changed,
    damage_of,
    disk_with,
    flipped,
    one_segment,
    served,
    several_segments,
    uncopied,
)
from tests.stores.file.journal_steps import (
    SMALL,
    batch_of,
    desk_on,
    frames_of,
    indexes_fit,
    run_of,
    segments_of,
)

# Nothing, and what is not ours


def figures(channel: ChannelState) -> tuple[int, int, int, int, int]:
    """All that is recovered of a channel."""
    return (
        channel.channel_id,
        channel.first_sequence,
        channel.last_sequence,
        channel.stored_bytes,
        channel.last_timestamp_ns,
    )


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


# Snapshots


@pytest.mark.parametrize("count", [2, 4])
def test_a_damaged_snapshot_is_replaced_by_that_of_the_segment_before(count: int) -> None:
    content = uncopied(several_segments(count))
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
        assert [figures(found) for found in recovered.channels] == [figures(found) for found in before.channels]
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


def test_without_any_snapshot_the_messages_are_served() -> None:
    """The segments before were dropped, and both copies are damaged: state is lost and that is said, but the messages are there."""
    disk = SimulatedDisk()
    desk, _ = desk_on(disk)
    while len(segments_of(disk.contents())) < 3:
        desk.publish(1, 1, 300)
    desk.put(batch_of(floors={1: desk.lasts[1]}))
    desk.publish(1)
    assert segments_of(disk.contents()) == [segment_name(3)]
    name = segment_name(3)
    content = flipped(disk.contents(), name, HEADER_BYTES + 8)
    content = flipped(content, head_name(3), COPY_OFFSET + HEADER_BYTES + 8)
    whole = desk.sequences(1)
    desk, recovered = desk_on(disk_with(content))
    text = damage_of(recovered)
    assert f"{name} is damaged: its first frame is not valid" in text
    assert "no segment of the journal begins with a valid snapshot" in text
    assert "the record of channel 1 is lost" in text
    assert desk.sequences(1) == whole
    assert recovered.channels[0].last_sequence == whole[-1]
    desk.publish(1)
    assert desk.sequences(1) == [*whole, whole[-1] + 1]


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
    content = uncopied(flipped(disk.contents(), segment_name(3), HEADER_BYTES + 8))
    desk, recovered = desk_on(disk_with(content))
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
        desk.may_fail = True  # a snapshot of what cannot be is not valid
        assert 1 in (frame.floors[0][0], part.channel_id) or list(found) == [1, 2, 3, 4, 5] or frame.state[0][2] is None
        while len(segments_of(disk.contents())) < 2:
            desk.publish(7, 1, 500)


def test_a_compacted_segment_still_says_where_the_one_before_it_ended() -> None:
    """Else what a former owner wrote behind that end would count when the index is made again."""
    disk = disk_with(several_segments(4))
    desk, _ = desk_on(disk)
    name = segment_name(2)
    former = decode_header(disk.contents()[name], name)
    compacted = compact(desk.files, desk.journal._segments[2], {1: 1, 2: 1, 3: 1})
    header = decode_header(disk.contents()[name], name)
    assert compacted is not None
    assert former is not None
    assert header is not None
    assert header.is_compacted
    assert header.previous_end == former.previous_end > HEADER_BYTES
