"""The FILE store: its threads, its lock, what it says when something fails, and that nobody waits for ever."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.file.layout import LOCK_NAME, head_name, segment_name
from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import FATAL, REFUSED
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import MUCH, SMALL, batch_of, run_of
from tests.stores.file.store_steps import PATIENCE_S, Desk, GatedFiles, broken, listed, opened, wanted

# The directory


async def test_a_directory_is_made_when_it_is_not_there(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    desk = Desk(FileStore(str(directory)))
    assert not directory.exists()
    await desk.recover()
    await desk.put(3)
    await desk.store.close()
    assert sorted(listed(directory)) == [head_name(1), segment_name(1), LOCK_NAME]
    assert {path.stat().st_mode & 0o777 for path in listed(directory).values()} == {0o600}
    again = Desk(FileStore(str(directory)))
    await again.recover()
    assert await again.messages() == wanted(3)
    await again.store.close()


async def test_it_says_what_it_is() -> None:
    store = FileStore("d")
    assert (store.name, store.message_bytes_max, store.message_overhead_bytes) == ("FILE", 64 << 20, 0)
    assert "synced" in store.durability


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        store = FileStore(str(path))
        with pytest.raises(StoreError, match=r"the directory .*file.* cannot be used: (not a directory|file exists)"):
            await store.recover(None)
        await store.close()


async def test_what_cannot_be_read_at_a_start_is_said_in_words() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put()
    for kind in ("names", "open", "sync", "sync_directory", "size"):
        again = disk.kill()
        again.fail(2 if kind == "names" else 1, broken(), kind=kind)
        store = FileStore("simulated", SimulatedFiles(again), SMALL)
        with pytest.raises(StoreError, match="the directory simulated cannot be used: input/output error"):
            await store.recover(None)
        await store.close()


# The lock

LOCKER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"""


async def test_another_process_has_the_directory(tmp_path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    path = str(tmp_path / LOCK_NAME)
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", LOCKER, path, stdin=pipe, stdout=pipe)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert await asyncio.wait_for(other.stdout.readline(), PATIENCE_S) == b"locked\n"
        store = FileStore(str(tmp_path))
        store.lock_wait_s = 0
        with pytest.raises(StoreError) as caught:
            await store.recover(None)
        assert str(caught.value) == (
            f"another server uses the directory {tmp_path}: stop it first, or give this one another -dir "
            "(another server holds durabus.lock)"
        )
        assert list(listed(tmp_path)) == [LOCK_NAME]
    finally:
        other.stdin.close()
        await asyncio.wait_for(other.wait(), PATIENCE_S)
    await store.recover(None)
    await store.close()


async def test_another_store_of_this_process_has_the_directory(tmp_path: Path) -> None:
    one, two = FileStore(str(tmp_path)), FileStore(str(tmp_path))
    two.lock_wait_s = 0
    await one.recover(None)
    with pytest.raises(
        StoreError, match=rf"another server uses the directory .*\(.*, process {os.getpid()} holds durabus.lock\)"
    ):
        await two.recover(None)
    await two.close()
    with pytest.raises(StoreError, match="another server uses the directory"):
        await two.recover(None)
    await one.close()
    await two.recover(None)
    await two.close()


async def test_a_server_that_is_stopping_is_waited_for(tmp_path: Path) -> None:
    """A rolling restart: the one before has the directory for a moment longer."""
    one, two = FileStore(str(tmp_path)), FileStore(str(tmp_path))
    await one.recover(None)
    said: list[str] = []
    is_waiting = asyncio.Event()

    def on_progress(line: str) -> None:
        said.append(line)
        is_waiting.set()

    two.on_progress = on_progress
    two.lock_wait_s = PATIENCE_S
    recovering = asyncio.ensure_future(two.recover(None))
    await asyncio.wait_for(is_waiting.wait(), PATIENCE_S)
    assert not recovering.done()
    await one.close()
    await asyncio.wait_for(recovering, PATIENCE_S)
    assert len(said) == 1
    assert f"The directory {tmp_path} is in use by " in said[0]
    assert f"process {os.getpid()}: waiting up to 20s, in case that is stopping" in said[0]
    await two.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can list what it has open")
async def test_close_lets_go_of_everything(tmp_path: Path) -> None:
    names = {thread.name for thread in threading.enumerate()}
    desk = Desk(FileStore(str(tmp_path), None, SMALL))
    await desk.recover()
    for _ in range(30):
        await desk.put(1, 500)
    assert len(await desk.messages()) == 30
    assert len(open_files(tmp_path)) > 3
    await desk.store.close()
    await desk.store.close()
    assert {thread.name for thread in threading.enumerate() if "durabus" in thread.name} <= names
    assert open_files(tmp_path) == []


def open_files(directory: Path) -> list[str]:
    """The files of a directory that this process has open."""
    found: list[str] = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them is gone again
            found.append(str(path.readlink()))
    return [path for path in found if path.startswith(f"{directory}/")]


# Writing


@pytest.mark.row(148)
async def test_waiting_batches_share_a_sync_and_end_in_order() -> None:
    disk = SimulatedDisk()
    files = GatedFiles(disk, "sync")
    async with opened(files, 1 << 20) as desk:
        await desk.put()
        files.gate.clear()
        desk.publish()
        await files.wait_for_one()
        for _ in range(5):
            desk.publish(2)
        before = len(disk.calls)
        files.gate.set()
        await desk.probe.wait_all_ended()
        assert desk.probe.durable == [1, 2, 3, 4, 5, 6, 7]
        assert [kind for kind, _ in disk.calls[before:] if kind in ("write", "sync")] == ["sync", "write", "sync"]
        assert await desk.messages() == wanted(12)


@pytest.mark.row(148)
async def test_nothing_is_said_before_the_sync_has_returned() -> None:
    disk = SimulatedDisk()
    files = GatedFiles(disk, "sync")
    async with opened(files) as desk:
        await desk.put()
        files.gate.clear()
        number = desk.publish()
        await files.wait_for_one()
        await asyncio.sleep(0)
        assert not desk.probe.has_ended(number)
        assert desk.store.read_now(1, 2, 1, MUCH) == []
        files.gate.set()
        await desk.probe.wait_ended(number)
        assert await desk.messages() == wanted(2)


async def test_a_full_disk_refuses_at_once_and_recover_goes_on() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put(3)
        disk.capacity_bytes = 0
        numbers = [desk.publish(1, 3 * SMALL), desk.publish()]
        await desk.probe.wait_all_ended()
        outcome, text = desk.probe.failed[numbers[0]]
        assert outcome == REFUSED
        assert "no space left on device" in text
        assert desk.probe.failed[numbers[1]] == (REFUSED, text)
        later = desk.submit(run_of(2, 1))
        await desk.probe.wait_ended(later)
        assert desk.probe.failed[later] == (REFUSED, text)
        assert await desk.messages() == wanted(3)
        await desk.recover()
        assert await desk.messages() == wanted(3)
        disk.capacity_bytes = None
        await desk.recover()
        await desk.put(2)
        assert await desk.messages() == wanted(5)


async def test_no_call_that_fails_loses_or_invents_a_message() -> None:
    """Whichever call of the writing thread fails: durable stays, refused is not there, and the store works on."""
    for number in range(1, 30):
        disk = SimulatedDisk()
        files = SimulatedFiles(disk)
        async with opened(files) as desk:
            await desk.put(1, 3000)
            disk.fail(number, broken(), partial=0.5)
            numbers = [desk.publish(1, 700), desk.publish(1, 700), desk.publish(1, 700)]
            await desk.probe.wait_all_ended()
            outcomes = {desk.probe.failed[one][0] for one in numbers if one in desk.probe.failed}
            durable = 1 + sum(one in desk.probe.durable for one in numbers)
            disk.heal()
            if FATAL in outcomes:
                continue
            await desk.recover()
            last = desk.last
            assert last == durable if outcomes <= {REFUSED} else last >= durable, number
            assert [one[:5] for one in await desk.messages()] == wanted(last), number
            await desk.put()
        if not disk.failures:
            return
    raise AssertionError("more calls than expected")


async def test_a_failed_sync_is_fatal_and_stays_so() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put()
        disk.fail(1, broken(), kind="sync")
        numbers = [desk.publish(), desk.publish()]
        await desk.probe.wait_all_ended()
        for number in numbers:
            outcome, text = desk.probe.failed[number]
            assert "cannot be synced" in text
            assert outcome == FATAL or number != numbers[0]
        later = desk.publish()
        await desk.probe.wait_ended(later)
        assert later in desk.probe.failed
        with pytest.raises(StoreError, match="cannot be synced"):
            await desk.store.recover(None)


async def test_a_failed_index_is_told_and_hurts_nobody() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put(1, 3000)
        names = [name for name in disk.contents() if name.endswith(".index")]
        assert names == []
        disk.fail(2, broken(), kind="create")  # after that of the segment: the index
        await desk.put(1, 3000)
        await desk.recover()  # a barrier, so that the index had its end
        assert desk.problems == ["housekeeping in simulated failed: input/output error: durabus-0000000001.index.new"]
        assert [len(one) for one in await desk.messages()] == [3005, 3005]


# Closing and opening, with work under way


async def test_close_finishes_what_was_submitted_and_asked() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        await first.put(3)
    files = GatedFiles(disk.kill(), "read")
    desk = Desk(FileStore("simulated", files, SMALL))
    await desk.recover()
    files.gate.clear()
    request = desk.probe.ask_page(1, 1, 10, MUCH)
    await files.wait_for_one()
    numbers = [desk.publish(), desk.publish()]
    closing = asyncio.ensure_future(desk.store.close())
    await desk.probe.wait_all_ended()
    assert not closing.done()
    files.gate.set()
    await asyncio.wait_for(closing, PATIENCE_S)
    assert desk.probe.page_now(request) == wanted(3)
    assert desk.probe.durable == numbers
    assert desk.store.read_now(1, 1, 1, MUCH) is None
    desk.submit(run_of(1, 6))
    assert desk.probe.failed[3] == (REFUSED, "the store is not open")
    assert await desk.messages() == []
    assert await desk.probe.found(desk.probe.ask_seek(1, 1)) == 0


async def test_recover_is_a_barrier_for_reads_and_batches() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        await first.put(3)
    files = GatedFiles(disk.kill(), "read")
    async with opened(files) as desk:
        files.gate.clear()
        request = desk.probe.ask_page(1, 1, 10, MUCH)
        await files.wait_for_one()
        number = desk.publish()
        recovering = asyncio.ensure_future(desk.store.recover(None))
        await desk.probe.wait_ended(number)
        assert not recovering.done()
        files.gate.set()
        recovered = await asyncio.wait_for(recovering, PATIENCE_S)
        assert desk.probe.page_now(request) == wanted(3)
        assert [found.last_sequence for found in recovered.channels] == [4]
        desk.probe.begin_again()


@pytest.fixture
async def opening() -> AsyncGenerator[tuple[Desk, GatedFiles, "asyncio.Task[object]"]]:
    """A store of three messages that stands in the middle of opening."""
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as first:
        await first.put(3)
    files = GatedFiles(disk.kill(), "read")
    files.gate.clear()
    desk = Desk(FileStore("simulated", files, SMALL))
    recovering: asyncio.Task[object] = asyncio.ensure_future(desk.store.recover(None))
    await files.wait_for_one()
    try:
        yield desk, files, recovering
    finally:
        files.gate.set()
        await asyncio.wait([recovering])
        await asyncio.wait_for(desk.store.close(), PATIENCE_S)


Opening = tuple[Desk, GatedFiles, "asyncio.Task[object]"]


async def test_what_is_asked_while_opening_is_answered_afterwards(opening: Opening) -> None:
    desk, files, recovering = opening
    page, seek = desk.probe.ask_page(1, 2, 10, MUCH), desk.probe.ask_seek(1, 1 << 60)
    assert desk.store.read_now(1, 1, 1, MUCH) is None
    assert desk.probe.page_now(page) is None
    number = desk.publish()
    assert desk.probe.failed[number] == (REFUSED, "the store is not open")
    files.gate.set()
    await recovering
    assert await desk.probe.page(page) == wanted(3, 2)
    assert await desk.probe.found(seek) == 4


async def test_what_is_asked_while_opening_is_answered_even_when_that_fails(opening: Opening) -> None:
    desk, files, recovering = opening
    page, seek = desk.probe.ask_page(1, 2, 10, MUCH), desk.probe.ask_seek(1, 1)
    files._disk.fail(1, broken(), kind="sync")
    files.gate.set()
    with pytest.raises(StoreError, match="input/output error"):
        await recovering
    assert await desk.probe.page(page) == []
    assert await desk.probe.found(seek) == 0


async def test_close_waits_for_an_opening_that_was_interrupted(opening: Opening) -> None:
    """Or else another server could have the directory while this one still works in it."""
    desk, files, recovering = opening
    page = desk.probe.ask_page(1, 2, 10, MUCH)
    recovering.cancel()
    await asyncio.wait([recovering])
    closing = asyncio.ensure_future(desk.store.close())
    await asyncio.wait([closing], timeout=0.2)
    assert SimulatedFiles(files._disk).lock(LOCK_NAME) is None
    files.gate.set()
    await asyncio.wait_for(closing, PATIENCE_S)
    assert desk.probe.page_now(page) == wanted(3, 2)
    assert SimulatedFiles(files._disk).lock(LOCK_NAME) is not None


async def test_nobody_has_to_listen() -> None:
    store = FileStore("simulated", SimulatedFiles(SimulatedDisk()), SMALL)
    store.submit(batch_of(run_of(1, 1)))
    store.read(1, 1, 1, 1, 1)
    store.seek(1, 1, 1)
    await store.recover(None)
    batch = batch_of(run_of(1, 1))
    store.submit(batch)
    await store.recover(None)
    assert store.read_now(1, 9, 1, 1) == []
    store.read(1, 1, 1, 1, 1)
    store.seek(1, 1, 1)
    await store.close()
