"""The FILE store as one of a group: acquiring it, taking over, being overtaken, letting go."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from durabus.errors import StoreError, StoreLostError
from durabus.stores.file.layout import LOCK_NAME, lease_name
from durabus.stores.file.lease import LEASE_NS, LOST_TEXT, SILENCE_NS, LeaseRecord, decode_record, encode_record
from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import FATAL, UNKNOWN, Lease
from durabus.testing.conformance.probe import Probe
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import MUCH, SMALL, batch_of, body, run_of

PATIENCE_S = 20.0


class Member:
    """A store of the group, on a clock that the test moves."""

    def __init__(self, disk: SimulatedDisk, now: list[int], name: str) -> None:
        self.files = SimulatedFiles(disk)
        self.store = FileStore("simulated", self.files, SMALL, lambda: now[0])
        self.probe = Probe(self.store, PATIENCE_S)
        self.problems: list[str] = []
        self.store.on_problem = self.problems.append
        self.name = name
        self.number = 0

    async def acquire(self) -> Lease | None:
        return await self.store.acquire(self.name)

    async def serve(self) -> None:
        lease = await self.acquire()
        assert lease is not None
        await self.store.recover(lease)
        self.probe.begin_again()

    def publish(self, first: int, count: int = 1) -> int:
        self.number += 1
        batch = batch_of(run_of(1, first, count))
        batch.number = self.number
        self.probe.submit(batch)
        return self.number

    async def put(self, first: int, count: int = 1) -> None:
        number = self.publish(first, count)
        await self.probe.wait_ended(number)
        assert number in self.probe.durable, self.probe.failed

    async def messages(self) -> list[bytes]:
        found: list[bytes] = []
        while page := await self.probe.page(self.probe.ask_page(1, 1 + len(found), 100_000, MUCH)):
            found += page
        return found

    async def close(self) -> None:
        await asyncio.wait_for(self.store.close(), PATIENCE_S)


async def test_one_after_the_other() -> None:
    disk, now = SimulatedDisk(), [1]
    first, second = Member(disk, now, "a"), Member(disk, now, "b")
    await first.serve()
    await first.put(1, 3)
    assert await second.acquire() is None
    await first.close()
    await second.serve()
    await second.put(4)
    assert await second.messages() == [body(1, sequence) for sequence in range(1, 5)]
    await second.close()
    record = decode_record(disk.contents()[lease_name(2)], 2)
    assert record is not None and record.is_released and record.has_lock
    assert first.problems == second.problems == []


async def test_an_overtaken_one_reports_nothing() -> None:
    disk, now = SimulatedDisk(), [1]
    first, second = Member(disk, now, "a"), Member(disk, now, "b")
    await first.serve()
    await first.put(1, 3)
    # As if it stood still: the clock goes, and it renews nothing.
    assert first.store._renewals is not None
    await asyncio.to_thread(first.store._renewals.stop)
    assert await second.acquire() is None
    now[0] += SILENCE_NS
    await second.serve()
    await second.put(4)
    number = first.publish(4)
    await first.probe.wait_ended(number)
    assert first.probe.failed[number] == (FATAL, LOST_TEXT)
    with pytest.raises(StoreError, match=LOST_TEXT):
        await first.store.recover(first.store._ownership.lease if first.store._ownership else None)
    with pytest.raises(StoreLostError, match=LOST_TEXT):
        await first.acquire()
    await first.close()
    assert await second.messages() == [body(1, sequence) for sequence in range(1, 5)]
    await second.close()


async def test_overtaken_between_the_disk_and_the_report() -> None:
    """The writing thread found that it counts; then the process stood still, and the next owner has it."""
    disk, now = SimulatedDisk(), [1]
    first, second = Member(disk, now, "a"), Member(disk, now, "b")
    await first.serve()
    assert first.store._renewals is not None
    await asyncio.to_thread(first.store._renewals.stop)
    written = first.store._on_written
    held = asyncio.Event()
    arguments: list[object] = []

    def hold(*given: object) -> None:
        arguments.extend(given)
        held.set()

    first.store._on_written = hold  # type: ignore[method-assign, assignment]
    number = first.publish(1)
    await asyncio.wait_for(held.wait(), PATIENCE_S)
    assert await second.acquire() is None
    now[0] += SILENCE_NS
    await second.serve()
    written(*arguments)  # type: ignore[arg-type]
    assert first.probe.failed[number] == (FATAL, LOST_TEXT)
    assert await second.messages() == [body(1, 1)]
    await first.close()
    await second.close()


@pytest.mark.parametrize("partial", [0.0, 1.0])
async def test_a_write_that_fails_has_an_unknown_outcome(partial: float) -> None:
    """What is there may count for the next owner, so it counts here, too; and the same owner goes on."""
    disk, now = SimulatedDisk(), [1]
    first = Member(disk, now, "a")
    await first.serve()
    assert first.store._renewals is not None
    await asyncio.to_thread(first.store._renewals.stop)
    await first.put(1)
    disk.fail(1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), kind="write", partial=partial)
    number = first.publish(2)
    await first.probe.wait_ended(number)
    assert first.probe.failed[number][0] == UNKNOWN
    await first.store.recover(await first.acquire())
    first.probe.begin_again()
    first.number = 0
    assert await first.messages() == [body(1, 1), body(1, 2)][: 2 if partial else 1]
    await first.put(3 if partial else 2)
    await first.close()


async def test_recovery_of_an_overtaken_one_says_so() -> None:
    disk, now = SimulatedDisk(), [1]
    first = Member(disk, now, "a")
    lease = await first.acquire()
    disk.put(lease_name(2), b"")
    with pytest.raises(StoreLostError, match=LOST_TEXT):
        await first.store.recover(lease)
    await first.close()


async def test_a_lease_of_another_store_is_none() -> None:
    disk, now = SimulatedDisk(), [1]
    first = Member(disk, now, "a")
    with pytest.raises(StoreError, match="acquire it first"):
        await first.store.recover(Lease(1, LEASE_NS))
    assert await first.acquire() is not None
    with pytest.raises(StoreError, match="acquire it first"):
        await first.store.recover(Lease(1, LEASE_NS))
    await first.close()


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(str(tmp_path / "file" / "events"))
    with pytest.raises(StoreError, match="cannot be used"):
        await store.acquire("a")
    await store.close()


async def test_nobody_waits_for_the_lock_any_more() -> None:
    """Whoever asked is gone, but the answer came: closing gives back what was got."""
    disk, now = SimulatedDisk(), [1]
    first, second = Member(disk, now, "a"), Member(disk, now, "b")
    asking = asyncio.create_task(first.acquire())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await first.close()
    assert await second.acquire() is not None
    await second.close()


async def test_a_lease_that_cannot_be_released_is_told() -> None:
    disk, now = SimulatedDisk(), [1]
    first = Member(disk, now, "a")
    await first.serve()
    assert first.store._renewals is not None
    await asyncio.to_thread(first.store._renewals.stop)
    disk.fail(1, OSError(errno.EIO, os.strerror(errno.EIO)), kind="write")
    await first.close()
    assert [problem for problem in first.problems if "cannot be released" in problem]
    second = Member(disk, now, "b")
    assert await second.acquire() is not None  # the lock went all the same
    await second.close()


@pytest.mark.parametrize("is_alive", [False, True])
async def test_without_a_group_where_one_may_be_at_work(is_alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that went without the lock: is it at work? That takes a while to see."""
    monkeypatch.setattr("durabus.stores.file.store._LOOK_S", 0)
    disk, now = SimulatedDisk(), [1]
    record = LeaseRecord("somebody", 3)
    disk.put(lease_name(3), encode_record(record))
    files = SimulatedFiles(disk)
    looks = 0

    def clock_ns() -> int:
        nonlocal looks
        looks += 1
        now[0] += SILENCE_NS // 4
        if is_alive and looks == 3:
            record.counter += 1
            disk.put(lease_name(3), encode_record(record))
        return now[0]

    store = FileStore("simulated", files, SMALL, clock_ns)
    store.lock_wait_s = 0
    if is_alive:
        with pytest.raises(StoreError, match="another server uses the directory"):
            await store.recover(None)
        assert lease_name(4) not in disk.contents()
    else:
        await store.recover(None)
        assert looks >= 5
        found = decode_record(disk.contents()[lease_name(4)], 4)
        assert found is not None and found.needs_lock
    await store.close()
    again = FileStore("simulated", SimulatedFiles(disk), SMALL)
    if not is_alive:
        await again.recover(None)
    await again.close()


async def test_without_a_group_no_lease_is_made() -> None:
    disk = SimulatedDisk()
    store = FileStore("simulated", SimulatedFiles(disk), SMALL)
    await store.recover(None)
    await store.close()
    assert list(disk.contents()) == [LOCK_NAME]
