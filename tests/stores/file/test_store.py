"""The FILE store: its threads, its lock, what it says when something fails, and that nobody waits for ever."""

import asyncio
import contextlib
import errno
import os
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.file.layout import LOCK_NAME, segment_name
from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import FATAL, KIND_CHANNEL, REFUSED, Batch, Run
from durabus.testing.conformance.probe import Probe
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import MUCH, SMALL, batch_of, body, run_of, segments_of

PATIENCE_S = 20.0


class GatedFiles(SimulatedFiles):
    """Calls of one kind wait at a gate, on whichever thread they are, until the test opens it."""

    def __init__(self, disk: SimulatedDisk, kind: str) -> None:
        super().__init__(disk)
        self.kind = kind
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Semaphore(0)

    def pass_gate(self, kind: str) -> None:
        if kind == self.kind and not self.gate.is_set():
            self.waiting.release()
            assert self.gate.wait(PATIENCE_S), "the gate was never opened"

    async def wait_for_one(self) -> None:
        """Until a call stands at the gate."""
        assert await asyncio.to_thread(self.waiting.acquire, True, PATIENCE_S)

    def sync(self, handle: int) -> None:
        self.pass_gate("sync")
        super().sync(handle)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        self.pass_gate("read")
        return super().read(handle, offset, count)

    def map(self, handle: int) -> memoryview:
        self.pass_gate("map")
        return super().map(handle)


class Desk:
    """A store with its listener; batches are numbered as they must be."""

    def __init__(self, store: FileStore) -> None:
        self.store = store
        self.probe = Probe(store, PATIENCE_S)
        self.problems: list[str] = []
        store.on_problem = self.problems.append
        self.number = 0
        self.last = 0

    def submit(self, *runs: Run, batch: Batch | None = None) -> int:
        self.number += 1
        batch = batch or batch_of(*runs)
        batch.number = self.number
        self.probe.submit(batch)
        return self.number

    def publish(self, count: int = 1, size: int = 0) -> int:
        """The next messages of channel 1."""
        self.last += count
        return self.submit(run_of(1, self.last - count + 1, count, size))

    async def put(self, count: int = 1, size: int = 0) -> None:
        number = self.publish(count, size)
        await self.probe.wait_ended(number)
        assert number in self.probe.durable, self.probe.failed

    async def recover(self) -> None:
        recovered = await self.store.recover(None)
        self.probe.begin_again()
        self.number = 0
        self.last = max([found.last_sequence for found in recovered.channels if found.channel_id == 1], default=0)
        assert recovered.damage == []

    async def messages(self, channel_id: int = 1, first: int = 1) -> list[bytes]:
        """All messages from `first` on."""
        found: list[bytes] = []
        while page := await self.probe.page(self.probe.ask_page(channel_id, first + len(found), 100_000, MUCH)):
            found += page
        return found


@contextlib.asynccontextmanager
async def opened(files: SimulatedFiles, segment_bytes: int = SMALL) -> AsyncGenerator[Desk]:
    """A store on a simulated disk, closed in the end."""
    desk = Desk(FileStore("simulated", files, segment_bytes))
    await desk.recover()
    try:
        yield desk
    finally:
        await asyncio.wait_for(desk.store.close(), PATIENCE_S)
        desk.probe.check()


def broken() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def wanted(last: int, first: int = 1, size: int = 0) -> list[bytes]:
    return [body(1, sequence, size) for sequence in range(first, last + 1)]


def listed(directory: Path) -> dict[str, Path]:
    """The files of a directory by their names."""
    return {path.name: path for path in directory.iterdir()}


# The directory


async def test_a_directory_is_made_when_it_is_not_there(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    desk = Desk(FileStore(str(directory)))
    assert not directory.exists()
    await desk.recover()
    await desk.put(3)
    await desk.store.close()
    assert sorted(listed(directory)) == [segment_name(1), LOCK_NAME]
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


async def test_the_data_of_the_original_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "server.dat").write_bytes(b"theirs")
    store = FileStore(str(tmp_path))
    with pytest.raises(StoreError, match="holds the data of a NATS Streaming Server"):
        await store.recover(None)
    await store.close()
    assert (tmp_path / "server.dat").read_bytes() == b"theirs"
    assert set(listed(tmp_path)) <= {"server.dat", LOCK_NAME}


async def test_what_cannot_be_read_at_a_start_is_said_in_words() -> None:
    disk = SimulatedDisk()
    async with opened(SimulatedFiles(disk)) as desk:
        await desk.put()
    for kind in ("names", "open", "read", "map", "sync", "sync_directory", "size"):
        again = disk.kill()
        again.fail(2 if kind == "names" else 1, broken(), kind=kind)  # type: ignore[arg-type]
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
        with pytest.raises(StoreError) as caught:
            await store.recover(None)
        assert str(caught.value) == (
            f"another server uses the directory {tmp_path}: stop it first, or give this one another -dir"
        )
        assert list(listed(tmp_path)) == [LOCK_NAME]
    finally:
        other.stdin.close()
        await asyncio.wait_for(other.wait(), PATIENCE_S)
    await store.recover(None)
    await store.close()


async def test_another_store_of_this_process_has_the_directory(tmp_path: Path) -> None:
    one, two = FileStore(str(tmp_path)), FileStore(str(tmp_path))
    await one.recover(None)
    with pytest.raises(StoreError, match="another server uses the directory"):
        await two.recover(None)
    await two.close()
    with pytest.raises(StoreError, match="another server uses the directory"):
        await two.recover(None)
    await one.close()
    await two.recover(None)
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
    files = GatedFiles(disk.kill(), "map")
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
    files._disk.fail(1, broken(), kind="map")
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


# Reading


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
        assert page in ([], [b""])
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
