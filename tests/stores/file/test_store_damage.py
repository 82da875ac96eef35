"""The FILE store where something is damaged while it works: nobody waits for it but who has to, and it is named."""

import asyncio
import errno
import os

import pytest

from durabus.stores.file.head import decode_mark
from durabus.stores.file.layout import head_name, index_name, segment_name
from durabus.stores.file.store import FileStore
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import MUCH, SMALL, body, frames_of, run_of, segments_of
from tests.stores.file.store_steps import PATIENCE_S, Desk, GatedFiles, opened, wanted


async def stored(count: int, size: int = 300) -> SimulatedDisk:
    """A disk with so many messages of channel 1."""
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        for _ in range(count):
            await desk.put(1, size)
    return disk.kill()


# Indexes


class GatedSegments(GatedFiles):
    """Only reads of segments wait at the gate."""

    def read(self, handle: int, offset: int, count: int) -> bytes:
        if self._name(handle).endswith(".segment"):
            return super().read(handle, offset, count)
        return SimulatedFiles.read(self, handle, offset, count)


async def test_an_index_is_made_again_while_publishers_and_other_readers_go_on() -> None:
    disk = await stored(30)
    name = index_name(2)
    disk.put(name, disk.contents()[name][:-64] + bytes(64))
    begin = frames_of(disk.contents()[segment_name(2)], name)[1].places[0].first
    files = GatedSegments(disk, "read")
    async with opened(files) as desk:
        files.gate.clear()
        pages = [desk.probe.ask_page(1, first, 1, 1) for first in (begin, begin + 1)]
        seek = desk.probe.ask_seek(1, 1000 * begin)
        await files.wait_for_one()
        for _ in range(3):
            await desk.put(1, 300)
        assert [desk.probe.page_now(page) for page in pages] == [None, None]
        assert desk.store.read_now(1, 33, 1, MUCH) == [body(1, 33, 300)]
        files.gate.set()
        found = [await desk.probe.page(page) for page in pages]
        assert found == [[body(1, begin, 300)], [body(1, begin + 1, 300)]]
        assert await desk.probe.found(seek) == begin
        assert desk.problems == [f"{name} is damaged: it is made again from its segment"], "and once is enough"
        assert await desk.messages() == wanted(33, 1, 300)


async def test_damage_that_shows_then_is_told() -> None:
    disk = await stored(30)
    name, segment = index_name(2), segment_name(2)
    begin = frames_of(disk.contents()[segment], name)[1].places[0].first
    disk.put(name, disk.contents()[name][:-64] + bytes(64))
    data = disk.contents()[segment]
    hit = frames_of(data, segment)[3]
    disk.put(segment, data[: hit.head.offset] + bytes(64) + data[hit.head.offset + 64 :])
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.probe.page(desk.probe.ask_page(1, begin, 10, MUCH))
        await desk.store.recover(None)  # a barrier
        assert any(f"{segment} is damaged from byte {hit.head.offset}" in text for text in desk.problems)
        desk.probe.begin_again()


# Messages


class Unreadable(SimulatedFiles):
    """Files in which one message cannot be read, wherever it is."""

    bad = b""

    def read(self, handle: int, offset: int, count: int) -> bytes:
        found = super().read(handle, offset, count)
        if self.bad and self.bad in found:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return found


@pytest.mark.parametrize(("count", "size"), [(1, 10), (7, 10), (7, 5000), (3, 300_000)])
async def test_one_message_that_cannot_be_read_is_named_and_the_others_are_served(count: int, size: int) -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk), 1 << 24) as desk:
        for _ in range(5):
            await desk.put(count, size)
    total = 5 * count
    files = Unreadable(disk.kill())
    async with opened(files, 1 << 24) as desk:
        lost = total // 2 + 1
        files.bad = body(1, lost, 1)
        found: list[bytes] = []
        while len(found) < total:
            found += await desk.probe.page(desk.probe.ask_page(1, len(found) + 1, 100, MUCH))
        assert found == [b"" if sequence == lost else body(1, sequence, size) for sequence in range(1, total + 1)]
        assert desk.store.has_lost
        assert set(desk.problems) == {f"message {lost} of channel 1 is damaged"}
        await desk.put()
        files.bad = b""
        page = await desk.probe.page(desk.probe.ask_page(1, lost, 1, MUCH))
        assert page == [body(1, lost, size)], "it may be readable the next time"


# What is known to be durable


class Watched(SimulatedFiles):
    """Files that tell when what is durable is noted."""

    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__(disk)
        self.loop = asyncio.get_running_loop()
        self.marked = asyncio.Event()

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        super().write(handle, offset, data)
        if self._name(handle).endswith(".head"):
            self.loop.call_soon_threadsafe(self.marked.set)


def last_frame(disk: SimulatedDisk) -> tuple[int, int]:
    """The number and the end of the last frame."""
    name = segments_of(disk.contents())[-1]
    head = frames_of(disk.contents()[name], name)[-1].head
    return head.number, head.end


def marked(content: dict[str, bytes], number: int) -> tuple[int, int] | None:
    """The number and the end of the frame that is noted; None when none is, or there is no second copy yet."""
    mark = decode_mark(content.get(head_name(number), b""), number)
    return (mark.frame_number, mark.end) if mark is not None else None


async def test_when_there_is_nothing_to_write_what_is_durable_is_noted() -> None:
    disk = SimulatedDisk()
    files = Watched(disk)
    desk = Desk(FileStore("simulated", files, SMALL, mark_s=0.001))
    await desk.recover()
    await desk.put(2)
    await desk.store.recover(None)  # so that the second copy is there
    desk.probe.begin_again()
    desk.number = 0
    await desk.put(2)
    async with asyncio.timeout(PATIENCE_S):
        while marked(disk.contents(), 1) != last_frame(disk):
            files.marked.clear()
            await files.marked.wait()
    await desk.store.close()


async def test_when_it_is_closed_what_is_durable_is_noted_durably() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put(2)
        await desk.store.recover(None)
        desk.probe.begin_again()
        desk.number = 0
        await desk.put(1)
    assert marked(disk.durable_contents(), 1) == last_frame(disk)


async def test_the_last_messages_of_a_store_that_was_closed_are_not_taken_for_torn() -> None:
    """They were acknowledged: so they are named when they are damaged, and their numbers are not given again."""
    disk = await stored(3)
    name = segment_name(1)
    data = disk.contents()[name]
    place = frames_of(data, name)[-1].places[0]
    disk.put(name, data[: place.bodies_offset] + b"?" + data[place.bodies_offset + 1 :])
    desk = Desk(FileStore("simulated", SimulatedFiles(disk), SMALL))
    recovered = await desk.store.recover(None)
    assert recovered.damage[0] == f"{name}: message 3 of channel 1 is damaged"
    assert [found.last_sequence for found in recovered.channels] == [3]
    assert await desk.messages() == [*wanted(2, 1, 300), b""]
    desk.last = 3
    await desk.put()
    await desk.store.close()


async def test_a_mark_that_cannot_be_written_is_nobodys_concern() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put()
        disk.fail(1, OSError(errno.EIO, "broken"), kind="open", repeated=True)
        number = desk.submit(run_of(1, 2))
        await desk.probe.wait_ended(number)
        assert number in desk.probe.durable
    assert disk.failures > 0
    disk.heal()
    again = Desk(FileStore("simulated", SimulatedFiles(disk.kill()), SMALL))
    await again.recover()
    assert await again.messages() == wanted(2)
    await again.store.close()
