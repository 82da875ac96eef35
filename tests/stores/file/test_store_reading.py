"""Reading from the FILE store: how far it reads ahead, what is damaged, and readers while segments come and go."""

from pathlib import Path

from durabus.stores.file.layout import segment_name
from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import KIND_CHANNEL
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import MUCH, SMALL, batch_of, body, run_of, segments_of
from tests.stores.file.store_steps import Desk, GatedFiles, broken, listed, opened, wanted


async def test_reading_ahead_is_bounded_by_bytes() -> None:
    """Large messages of many channels that are asked for one by one: what is read ahead stays within a page each."""
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk), 32 << 20) as first:
        for _ in range(40):
            await first.put(1, 100_000)
    files = SimulatedFiles(disk.kill())
    async with opened(files, 32 << 20) as desk:
        before = len(files._disk.calls)
        request = desk.probe.ask_page(1, 1, 1, 1)
        assert await desk.probe.page(request) == wanted(1, 1, 100_000)
        reads = [kind for kind, _ in files._disk.calls[before:]].count("read")
        assert 2 <= reads <= 10
        assert desk.store.read_now(1, 2, 1, 1) == wanted(2, 2, 100_000)
        assert desk.store.read_now(1, 20, 1, 1) is None


async def test_reading_ahead_is_bounded_by_count() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk), 32 << 20) as first:
        await first.put(1)
        for _ in range(2999):
            first.publish(1)
        await first.probe.wait_all_ended()
    files = SimulatedFiles(disk.kill())
    async with opened(files, 32 << 20) as desk:
        before = len(files._disk.calls)
        assert await desk.probe.page(desk.probe.ask_page(1, 1, 10, MUCH)) == wanted(10)
        assert [kind for kind, _ in files._disk.calls[before:]].count("read") == 1024
        assert desk.store.read_now(1, 1024, 9, MUCH) == wanted(1024, 1024)
        assert desk.store.read_now(1, 1025, 9, MUCH) is None
        assert await desk.messages() == wanted(3000)


async def test_a_damaged_message_is_left_out_and_told() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        await first.put(3, 20)
        await first.put(2, 20)
    content = disk.contents()[segment_name(1)]
    again = disk.kill()
    files = SimulatedFiles(again)
    async with opened(files) as desk:
        at = content.index(body(1, 2))
        handle = files.open(segment_name(1), True)
        files.write(handle, at + 8, b"?")
        files.close(handle)
        page = await desk.probe.page(desk.probe.ask_page(1, 1, 10, MUCH))
        assert page == [body(1, 1, 20), b"", body(1, 3, 20), body(1, 4, 20), body(1, 5, 20)]
        assert desk.store.has_lost
        assert any("message 2 of channel 1 is damaged" in problem for problem in desk.problems)


async def test_a_read_that_fails_is_answered_and_may_succeed_later() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        await first.put(3)
    files = SimulatedFiles(disk.kill())
    async with opened(files) as desk:
        files._disk.fail(1, broken(), kind="read")
        page = await desk.probe.page(desk.probe.ask_page(1, 1, 10, MUCH))
        assert page in ([], [b""], wanted(3))
        assert await desk.messages() == wanted(3)


async def test_a_damaged_index_answers_everybody() -> None:
    """Also whoever looks for a time, and the work in the background: nobody waits for ever."""
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        for _ in range(30):
            await first.put(1, 300)
    again = disk.kill()
    name = next(name for name in again.contents() if name.endswith(".index"))
    again.put(name, again.contents()[name][:-10] + bytes(10))
    async with opened(SimulatedFiles(again)) as desk:
        assert await desk.probe.found(desk.probe.ask_seek(1, 1)) == 1
        assert await desk.messages() == wanted(30, 1, 300)
        for _ in range(20):
            await desk.put(1, 300)
        desk.submit(batch=batch_of(floors={1: 49}))
        await desk.probe.wait_all_ended()
        assert await desk.messages(1, 49) == wanted(50, 49, 300)


async def test_a_page_that_comes_after_its_channel_was_deleted_is_empty() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        await first.put(3)
    files = GatedFiles(disk.kill(), "read")
    async with opened(files) as desk:
        files.gate.clear()
        request = desk.probe.ask_page(1, 1, 10, MUCH)
        await files.wait_for_one()
        number = desk.submit(batch=batch_of(state=[(KIND_CHANNEL, b"1", None)]))
        await desk.probe.wait_ended(number)
        files.gate.set()
        assert await desk.probe.page(request) == []
        assert await desk.messages() == []


async def test_many_readers_while_segments_come_and_go(tmp_path: Path) -> None:
    """Real files and threads: whoever reads gets what is right, while segments begin, are sealed, dropped and used again."""
    desk = Desk(FileStore(str(tmp_path), None, 16 * SMALL))
    await desk.recover()
    for step in range(120):
        desk.last += 20
        run = run_of(1, desk.last - 19, 20, 100)
        floor = max(1, desk.last - 1500)
        number = desk.submit(batch=batch_of(run, floors={1: floor}))
        requests = [
            (first, desk.probe.ask_page(1, first, 50, MUCH)) for first in range(floor + 50, desk.last - 60, 199)
        ]
        for first, request in requests:
            page = await desk.probe.page(request)
            assert page == wanted(first + len(page) - 1, first, 100)
            assert page, (step, first)
        await desk.probe.wait_ended(number)
    assert desk.problems == []
    await desk.recover()
    assert await desk.messages(1, desk.last - 1500) == wanted(desk.last, desk.last - 1500, 100)
    assert len(segments_of(dict.fromkeys(listed(tmp_path), b""))) <= 5
    await desk.store.close()
