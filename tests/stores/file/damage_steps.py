"""What the tests of starts and of damage share: journals as files, and ways to damage them."""

import errno
import os
import re

from durabus.stores.file.layout import head_number, segment_name
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SUBSCRIPTION, Cursor, Recovered
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import (
    Desk,
    batch_of,
    desk_on,
    frames_of,
    segments_of,
)

__all__ = [
    "ACTIVE",
    "BadFiles",
    "UnreadableFiles",
    "assert_named",
    "changed",
    "damage_of",
    "disk_with",
    "flipped",
    "one_segment",
    "places_of",
    "served",
    "several_segments",
    "uncopied",
]

ACTIVE = segment_name(1)


class BadFiles(SimulatedFiles):
    """Files of which some bytes cannot be read, with this error; `times` says how often that happens."""

    def __init__(self, disk: SimulatedDisk, bad: set[int], number: int = errno.EIO, times: int = 1 << 30) -> None:
        super().__init__(disk)
        self.bad = bad
        self.number = number
        self.times = times

    def read(self, handle: int, offset: int, count: int) -> bytes:
        if self.times > 0 and any(offset <= at < offset + count for at in self.bad):
            self.times -= 1
            raise OSError(self.number, os.strerror(self.number))
        return super().read(handle, offset, count)


class UnreadableFiles(SimulatedFiles):
    """Files of which some bytes cannot be read, however often one tries."""

    def __init__(self, disk: SimulatedDisk, name: str, start: int, end: int) -> None:
        super().__init__(disk)
        self.bad = name, start, end
        self.names_by_handle: dict[int, str] = {}

    def open(self, name: str, writable: bool) -> int:
        handle = super().open(name, writable)
        self.names_by_handle[handle] = name
        return handle

    def read(self, handle: int, offset: int, count: int) -> bytes:
        name, start, end = self.bad
        if self.names_by_handle.get(handle) == name and offset < end and start < offset + count:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return super().read(handle, offset, count)


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


def uncopied(content: dict[str, bytes]) -> dict[str, bytes]:
    """The same files without the second copies of how segments begin: as servers of before left them."""
    return {name: data for name, data in content.items() if not head_number(name)}


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


def served(desk: Desk) -> dict[int, list[int]]:
    return {channel_id: desk.sequences(channel_id) for channel_id in (1, 2, 3)}


def places_of(content: dict[str, bytes], name: str) -> dict[int, set[int]]:
    """The messages of each channel in one segment."""
    found: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
    for frame in frames_of(content[name], name):
        for place in frame.places:
            found[place.channel_id].update(range(place.first, place.first + place.count))
    return found


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
