"""Damage: what is named, what is left out, and that nothing else is lost by it (FORMAT.md §8)."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.file.index import SegmentIndex, encode_index
from durabus.stores.file.layout import HEADER_BYTES, decode_header, index_name, segment_name, segment_number
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT
from durabus.testing.disk import SimulatedDisk
from tests.stores.file.damage_steps import (
    ACTIVE,
    assert_named,
    changed,
    damage_of,
    disk_with,
    flipped,
    one_segment,
    places_of,
    served,
    several_segments,
    uncopied,
)
from tests.stores.file.journal_steps import (
    batch_of,
    desk_on,
    frames_of,
    run_of,
    segments_of,
)

WHOLE = one_segment()


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
    if hit is None:  # in the header: there is a copy of it
        assert f"{ACTIVE} is damaged: its head is not valid; the copy in" in damage_of(recovered), where
        assert (desk.sequences(1), desk.sequences(2)) == ([1, 2, 3, 4, 5], [1, 2]), where
        assert desk.disk.contents()[ACTIVE] == content[ACTIVE], where
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
    last = frames_of(content[name], name)[-1]
    target = last.places[0]
    desk, recovered = desk_on(disk_with(flipped(content, name, target.bodies_offset)))
    found = served(desk)
    missing = {channel_id: set(whole[channel_id]) - set(found[channel_id]) for channel_id in whole}
    assert missing == {1: set(), 2: set(), 3: set(), target.channel_id: {target.first}}
    assert_named(recovered, target.channel_id, target.first, name, "")


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_sealed_segment_whose_head_is_damaged_is_set_aside_and_all_else_is_served(position: int) -> None:
    content = uncopied(several_segments(4))
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
    content = uncopied(several_segments(4))
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


def test_an_index_that_was_made_before_its_segment_was_whole_is_made_again() -> None:
    """Servers of before wrote on behind a segment that had been sealed, when the one after it was set aside."""
    content = several_segments(3)
    whole = served(desk_on(disk_with(content))[0])
    name = segments_of(content)[1]
    header = decode_header(content[name], name)
    assert header is not None
    early = SegmentIndex()
    for frame in frames_of(content[name], name)[:4]:
        early.end = frame.head.end
        for place in frame.places:
            early.add(place)
    disk = disk_with({**content, index_name(2): encode_index(early, 2, header.salt)})
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    assert served(desk) == whole
    assert disk.contents()[index_name(2)] == content[index_name(2)]


def test_behind_a_segment_that_was_set_aside_a_new_one_begins_and_nothing_else_is_written_to() -> None:
    content = uncopied(several_segments(3))
    name = segments_of(content)[-1]
    disk = disk_with(flipped(content, name, 20))
    desk, recovered = desk_on(disk)
    last = desk.lasts[1]
    before = {other: data for other, data in disk.contents().items() if segment_number(other)}
    desk.publish(1, 1, 10)
    after = disk.contents()
    assert {other: after[other] for other in before} == before
    assert segments_of(after) == [segment_name(1), segment_name(2), segment_name(4)]
    assert after[name + ".damaged"] == flipped(content, name, 20)[name]
    again, found = desk_on(disk.kill())
    assert again.sequences(1)[-1] == last + 1
    assert set(found.damage) <= set(recovered.damage)
