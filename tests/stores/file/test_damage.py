"""Damage: what is named, what is left out, and that nothing else is lost by it (FORMAT.md §8)."""

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.file.layout import HEADER_BYTES, index_name
from durabus.stores.file.writer import WriteError
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
