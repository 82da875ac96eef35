"""Walking through segments: in their order, the newest one last, and none that went meanwhile."""

import random

import pytest

from durabus.errors import StoreError
from durabus.stores.file.layout import COMPACTED, HEADER_BYTES, head_name, segment_name, spare_name
from durabus.stores.file.walking import Found, missed_segments, walk
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.busy_steps import BusyFiles, Server
from tests.stores.file.damage_steps import disk_with, flipped, several_segments
from tests.stores.file.journal_steps import desk_on, frames_of, segments_of

FOUR = several_segments(4)
NAMES = segments_of(FOUR)


def walked(content: dict[str, bytes]) -> list[Found]:
    return list(walk(SimulatedFiles(disk_with(content))))


def test_all_segments_come_in_their_order() -> None:
    found = walked(FOUR)
    assert [one.name for one in found] == NAMES
    assert [one.is_last for one in found] == [False, False, False, True]
    assert [bytes(one.content.data) for one in found] == [FOUR[name] for name in NAMES]
    ends = [frames_of(FOUR[name], name)[-1].head.end for name in NAMES]
    assert [one.limit for one in found] == [*ends[:-1], 0]
    assert not any(one.is_head_damaged for one in found)


def test_nothing_comes_of_an_empty_directory() -> None:
    assert list(walk(SimulatedFiles(SimulatedDisk()))) == []


def test_a_damaged_head_comes_from_its_copy() -> None:
    found = walked(flipped(FOUR, NAMES[1], 3))
    assert [one.is_head_damaged for one in found] == [False, True, False, False]
    assert found[1].header is not None
    assert found[1].limit == walked(FOUR)[1].limit
    assert found[0].limit == 0  # where the one before ended, only the damaged head says
    without_copy = {name: data for name, data in flipped(FOUR, NAMES[1], 3).items() if name != head_name(2)}
    assert walked(without_copy)[1].header is None


def test_a_copy_of_a_former_life_does_not_count() -> None:
    content = {**FOUR, head_name(2): FOUR[head_name(3)]}
    assert [one.head.header is None for one in walked(content)] == [False, True, False, False]


def test_where_a_compacted_segment_ends_says_its_mark() -> None:
    server = Server(random.Random(3))
    server.steps(120)
    compacted = [
        one for one in walk(SimulatedFiles(server.disk)) if one.header is not None and one.header.flags & COMPACTED
    ]
    assert compacted
    for one in compacted:
        frames = frames_of(bytes(one.content.data), one.name)
        assert one.limit in (0, frames[-1].head.end)


class ShrinkingFiles(SimulatedFiles):
    """Segments go, one after the other, just before they are opened for the second time."""

    def __init__(self, disk: SimulatedDisk, going: list[str]) -> None:
        super().__init__(disk)
        self.going = going
        self.opened: dict[str, int] = {}

    def open(self, name: str, writable: bool) -> int:
        self.opened[name] = self.opened.get(name, 0) + 1
        if name in self.going and self.opened[name] == 2:
            self.remove(name)
        return super().open(name, writable)


def test_a_segment_that_goes_is_left_out() -> None:
    files = ShrinkingFiles(disk_with(FOUR), [NAMES[0], NAMES[2]])
    assert [one.name for one in walk(files)] == [NAMES[1], NAMES[3]]


class ReusingFiles(SimulatedFiles):
    """The first segment is dropped when all of it is about to be read, and its file is written over as a new one."""

    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__(disk)
        self.server = SimulatedFiles(disk)
        self.first = -1

    def open(self, name: str, writable: bool) -> int:
        handle = super().open(name, writable)
        if name == NAMES[0]:
            self.first = handle
        return handle

    def read(self, handle: int, offset: int, count: int) -> bytes:
        if handle == self.first and count > HEADER_BYTES and self.server.exists(NAMES[0]):
            self.server.rename(NAMES[0], spare_name(1))
            self.server.rename(spare_name(1), segment_name(5))
            reused = self.server.open(segment_name(5), True)
            self.server.write(reused, 0, FOUR[NAMES[3]])
            self.server.close(reused)
        return super().read(handle, offset, count)


def test_a_segment_whose_file_is_used_again_is_left_out() -> None:
    found = list(walk(ReusingFiles(disk_with(FOUR))))
    assert [one.number for one in found][:3] == [2, 3, 4]


def test_names_that_change_for_ever_are_told() -> None:
    class Endless(SimulatedFiles):
        """There is always one more segment, and the newest is always gone."""

        number = 0

        def names(self) -> list[str]:
            self.number += 1
            return [segment_name(self.number // 2 + 1)]

    with pytest.raises(StoreError, match="change faster than they can be read"):
        list(walk(Endless(SimulatedDisk())))


def test_a_segment_that_was_not_seen_is_missed() -> None:
    files = SimulatedFiles(disk_with(FOUR))
    assert missed_segments(files, {1, 2, 3, 4}) == []
    assert missed_segments(files, {1, 4}) == [2, 3]
    assert missed_segments(files, {1, 2}) == []  # newer ones are begun all the time
    assert missed_segments(files, set()) == []


@pytest.mark.parametrize("seed", range(10))
def test_what_a_walk_ends_with_rests_on_what_it_has_read(seed: int) -> None:
    """Whatever goes meanwhile: the floors that made it go are in the frames that were read."""
    server = Server(random.Random(seed))
    server.steps(50)
    disk = SimulatedDisk()
    for one in walk(BusyFiles(server, 0.3)):
        disk.put(one.name, bytes(one.content.data[: one.limit or None]))
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    for channel_id, log in desk.journal.contents.channels.items():
        assert desk.sequences(channel_id) == list(range(log.first, log.last + 1))
