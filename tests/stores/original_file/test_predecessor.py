"""The FILE store on a directory that the original has left: taken over once, whatever happens on the way, and watched later."""

import asyncio
import contextlib
import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from durabus.errors import StoreError, StoreLostError
from durabus.stores.file.lease import LOST_TEXT, SILENCE_NS
from durabus.stores.file.store import FileStore
from durabus.stores.original_file.lock import OriginalLock
from durabus.stores.original_file.marker import MARKER_FILE
from durabus.stores.original_file.predecessor import Predecessor
from durabus.stores.original_file.store import OriginalOptions
from durabus.streaming.records import decode_server
from durabus.streaming.store_port import Batch, Lease, Run
from durabus.testing.conformance.probe import Probe
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from durabus.wire.stan_messages import encode_message
from tests.stores.copy_steps import Found, found_in
from tests.stores.file.store_steps import NEVER_S, PATIENCE_S
from tests.stores.original_file.original_writer import OriginalDirectory
from tests.stores.original_file.reading_steps import checksums_of

SMALL = 64 * 1024


@dataclass
class Opened:
    """A store, and what it says."""

    store: FileStore
    said: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def opened(
    folder: Path, disk: SimulatedDisk | None = None, cluster_id: bytes = b"test-cluster"
) -> AsyncGenerator[Opened]:
    """The FILE store on `folder`, or on a simulated disk with the original's files in `folder`; closed in the end."""
    files = SimulatedFiles(disk) if disk is not None else None
    it = Opened(FileStore(str(folder), files, SMALL, mark_s=NEVER_S))
    it.store.on_problem = it.complaints.append
    options = OriginalOptions(cluster_id)
    it.store.predecessor = Predecessor(str(folder), options, it.said.append, it.complaints.append)
    try:
        yield it
    finally:
        await asyncio.wait_for(it.store.close(), PATIENCE_S)


def made(folder: Path, messages: int = 40) -> OriginalDirectory:
    """A store with something of each kind."""
    original = OriginalDirectory(folder)
    orders = original.channel("orders")
    orders.next = 3
    for number in (2, 3, 5):
        orders.publish(*[b"%d" % i * 5 for i in range(messages)], number=number)
    orders.new(1, client="me", durable="d")
    orders.sent(1, 3, 4, 5, 6)
    orders.acknowledged(1, 4, 6)
    news = original.channel("news")
    news.publish(b"first")
    news.new(1, client="me", group="w:g", last_sent=1)
    original.channel("empty")
    original.client("me")
    original.write()
    return original


def check(found: Found, original: OriginalDirectory) -> None:
    """All of it is there, once."""
    assert found.server is not None
    assert decode_server(found.server).cluster_id == b"test-cluster"
    assert list(found.clients) == [b"me"]
    orders = original.channel("orders").bodies()
    assert found.channels == {
        b"orders": (3, len(orders) + 2, orders),
        b"news": (1, 1, original.channel("news").bodies()),
        b"empty": (0, 0, []),
    }
    assert {(sent, *pending) for _, sent, pending in found.subscriptions.values()} == {(1,), (6, (3, 3), (5, 5))}


async def publish(store: FileStore, channel_id: int, sequence: int) -> bytes:
    """Store one message; it."""
    probe = Probe(store, PATIENCE_S)
    batch = Batch(1, 0)
    run = Run(channel_id, sequence)
    body = encode_message(sequence, b"orders", b"", b"ours", 1_800_000_000_000_000_000)
    run.bodies, run.stamps = [body], [(0, 1_800_000_000_000_000_000)]
    batch.runs.append(run)
    probe.submit(batch)
    await probe.wait_ended(1)
    assert probe.durable == [1], probe.failed
    return body


async def test_all_of_it_is_there_and_the_files_are_as_they_were(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    before = checksums_of(original.folder)
    async with opened(original.folder) as it:
        check(await found_in(it.store), original)
        assert it.complaints == []
        assert "taken over before anything is served" in it.said[0]
        assert "3 channels, 121 messages, 1 clients and 2 subscriptions taken over" in it.said[-2]
        assert "not needed any more" in it.said[-1]
    assert checksums_of(original.folder) == before
    async with opened(original.folder) as it:
        check(await found_in(it.store), original)
        assert it.complaints == []
        assert len(it.said) == 1
        assert "were taken over before, and are not needed any more" in it.said[0]


async def test_a_directory_without_an_original(tmp_path: Path) -> None:
    async with opened(tmp_path / "new") as it:
        await it.store.recover(None)
        assert (it.said, it.complaints) == ([], [])
    assert not (tmp_path / "new" / ".rootdir.lck").exists()


async def test_who_listened_before_listens_afterwards(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    async with opened(original.folder) as it:
        probe = Probe(it.store, PATIENCE_S)
        recovered = await it.store.recover(None)
        assert len(recovered.channels) >= 2
        batch = Batch(1, 0)
        batch.floors[2] = 2
        probe.submit(batch)
        await probe.wait_ended(1)
        probe.check()


async def test_what_came_later_stays_when_the_files_are_gone(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    async with opened(original.folder) as it:
        await it.store.recover(None)
        ours = await publish(it.store, 3, 123)
    for name in ("server.dat", "clients.dat", "orders/subs.dat", "news/msgs.1.dat"):
        (original.folder / name).unlink()
        async with opened(original.folder) as it:
            await it.store.recover(None)
            assert it.complaints == []
    for path in (*original.folder.glob("*/*"), original.folder / ".rootdir.lck"):
        path.unlink()
    async with opened(original.folder) as it:
        assert (await found_in(it.store)).channels[b"orders"][2][-1] == ours
        assert (it.said, it.complaints) == ([], [])


@pytest.mark.parametrize("how", ["more", "other", "touched", "new", "begun again"])
async def test_a_start_of_the_original_in_between_is_seen(tmp_path: Path, how: str) -> None:
    original = made(tmp_path / "data")
    async with opened(original.folder) as it:
        await it.store.recover(None)
        await publish(it.store, 3, 123)
    path = original.folder / "orders" / "msgs.5.dat"
    if how == "more":
        path.write_bytes(path.read_bytes() + b"more")
        words = f"orders/msgs.5.dat has {path.stat().st_size} bytes instead of {path.stat().st_size - 4}"
    elif how == "other":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        words = "orders/msgs.5.dat has other bytes"
    elif how == "touched":
        os.utime(path, ns=(1, 1))
        words = "orders/msgs.5.dat was written to"
    elif how == "new":
        (original.folder / "added").mkdir()
        (original.folder / "added" / "subs.dat").touch()
        words = "added/subs.dat is new"
    else:
        for name in checksums_of(original.folder):
            (original.folder / name).unlink()
        (original.folder / "server.dat").write_bytes(b"\x01\0\0\0")
        words = "server.dat has 4 bytes instead of "
    for _ in range(2):
        async with opened(original.folder) as it:
            with pytest.raises(StoreError) as caught:
                await it.store.recover(None)
        assert words in str(caught.value)
        assert "changed after they were taken over" in str(caught.value)
        assert "To go on with Durabus' store, move those files away; to go on with those files" in str(caught.value)


async def test_both_ways_out_of_that(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    folder = original.folder
    async with opened(folder) as it:
        await it.store.recover(None)
        ours = await publish(it.store, 3, 123)
    (folder / "orders").rename(folder / "orders.new")  # as if it had been written to
    (folder / "away").mkdir()
    theirs = ["server.dat", "clients.dat", "orders.new", "news", "empty"]
    for name in theirs:
        (folder / name).rename(folder / "away" / name)
    (folder / "away").rename(tmp_path / "away")
    async with opened(folder) as it:
        assert (await found_in(it.store)).channels[b"orders"][2][-1] == ours
    (tmp_path / "away" / "orders.new").rename(tmp_path / "away" / "orders")
    for path in folder.glob("durabus*"):
        path.unlink()
    for name in (*theirs[:2], "orders", *theirs[3:]):
        (tmp_path / "away" / name).rename(folder / name)
    async with opened(folder) as it:
        check(await found_in(it.store), original)


async def test_two_stores_that_do_not_come_from_one_another(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened(folder) as it:
        await it.store.recover(None)
        await publish(it.store, 1, 1)
        batch = Batch(2, 0)
        batch.state.append((1, b"me", b"record"))
        it.store.submit(batch)
    original = OriginalDirectory(tmp_path / "other")
    original.channel("orders").publish(b"x")
    for path in original.write().iterdir():
        path.rename(folder / path.name)
    async with opened(folder) as it:
        with pytest.raises(StoreError, match="do not come from one another: move away the files of one of them"):
            await it.store.recover(None)


async def test_a_store_that_was_never_used_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened(folder) as it:
        await it.store.recover(None)
        probe = Probe(it.store, PATIENCE_S)
        batch = Batch(1, 0)
        batch.state.append((0, b"server", b"\n\x05other"))
        probe.submit(batch)
        await probe.wait_ended(1)
    original = made(folder)
    async with opened(folder) as it:
        check(await found_in(it.store), original)


async def test_another_cluster_is_told_before_anything_is_done(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    async with opened(original.folder, cluster_id=b"mine") as it:
        with pytest.raises(StoreError, match='cluster ID "mine" does not match recovered value of "test-cluster"'):
            await it.store.recover(None)
    assert not (original.folder / MARKER_FILE).exists()
    async with opened(original.folder) as it:
        check(await found_in(it.store), original)


async def test_damage_is_told_and_the_rest_is_served(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    path = original.folder / "orders" / "msgs.3.dat"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    async with opened(original.folder) as it:
        await it.store.recover(None)
        (complaint,) = it.complaints
        found = await found_in(it.store)
        assert found.channels[b"orders"][2].count(b"") == 1
        assert complaint.startswith('in the data of NATS Streaming Server: channel "orders": message ')
        assert "1 of them damaged" in it.said[-2]
    (line,) = map(json.loads, (original.folder / "durabus-quarantine.jsonl").read_text().splitlines())
    assert line["file"] == "orders/msgs.3.dat"


# Interrupted.


async def run_to_the_end(folder: Path, disk: SimulatedDisk) -> int:
    """Open the store on `disk`; how many calls that took."""
    with contextlib.suppress(StoreError, OSError):
        async with opened(folder, disk) as it:
            await it.store.recover(None)
    return len(disk.calls)


async def check_after(folder: Path, disk: SimulatedDisk, original: OriginalDirectory) -> None:
    async with opened(folder, disk) as it:
        check(await found_in(it.store), original)
    async with opened(folder, disk.kill()) as it:
        check(await found_in(it.store), original)


@pytest.mark.parametrize("ending", ["kill", "power"])
async def test_a_process_that_ends_at_any_call(tmp_path: Path, ending: str) -> None:
    """Whatever was done of it, the next start ends with all of it, and nothing twice."""
    original = made(tmp_path / "data", messages=4)
    calls = await run_to_the_end(original.folder, SimulatedDisk())
    assert calls > 40
    chance = random.Random(calls)
    for call in range(1, calls + 1):
        disk = SimulatedDisk()
        disk.end(call)
        await run_to_the_end(original.folder, disk)
        after = disk.kill() if ending == "kill" else disk.cut_power(chance)
        if call % 3 == 0:  # and once more
            after.end(chance.randrange(1, 30))
            await run_to_the_end(original.folder, after)
            after = after.kill() if ending == "kill" else after.cut_power(chance)
        await check_after(original.folder, after, original)


async def test_any_call_fails(tmp_path: Path) -> None:
    original = made(tmp_path / "data", messages=4)
    calls = await run_to_the_end(original.folder, SimulatedDisk())
    for call in range(1, calls + 1):
        disk = SimulatedDisk()
        disk.fail(call, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        await run_to_the_end(original.folder, disk)
        disk.heal()
        await check_after(original.folder, disk.kill(), original)


async def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Not from the beginning: half of what is stored is not stored once more."""
    original = OriginalDirectory(tmp_path / "data")
    for name in ("a", "b"):
        original.channel(name).publish(*[b"x" * 100_000 for i in range(60)])
    original.write()
    whole = SimulatedDisk()
    await run_to_the_end(original.folder, whole)
    disk = SimulatedDisk()
    disk.end(len(whole.calls) * 2 // 3)
    await run_to_the_end(original.folder, disk)
    half = disk.kill()
    size = sum(map(len, half.contents().values()))
    async with opened(original.folder, half) as it:
        found = await found_in(it.store)
        assert [len(found.channels[name][2]) for name in (b"a", b"b")] == [60, 60]
    assert size > 3_000_000
    assert sum(map(len, half.contents().values())) < 16_000_000


async def test_the_files_changed_before_it_was_done(tmp_path: Path) -> None:
    """Then what is there of it may be wrong: it begins anew."""
    original = made(tmp_path / "data", messages=4)
    calls = await run_to_the_end(original.folder, SimulatedDisk())
    for call in range(calls - 25, calls + 1):
        folder = tmp_path / str(call)
        other = made(folder, messages=4)
        disk = SimulatedDisk()
        disk.end(call)
        await run_to_the_end(folder, disk)
        after = disk.kill()
        is_complete = b'"complete": true' in after.contents().get(MARKER_FILE, b"")
        orders = other.channel("orders")
        orders.publish(b"later", number=5)
        (folder / "orders" / "msgs.5.dat").write_bytes(orders.slice(5).data)
        (folder / "orders" / "msgs.5.idx").write_bytes(orders.slice(5).index)
        async with opened(folder, after) as it:
            if is_complete:
                with pytest.raises(StoreError, match="changed after they were taken over"):
                    await it.store.recover(None)
            else:
                check(await found_in(it.store), other)


async def test_the_files_were_removed_before_it_was_done(tmp_path: Path) -> None:
    original = made(tmp_path / "data", messages=4)
    call = await run_to_the_end(original.folder, SimulatedDisk())
    noted = b""
    while b'"complete": false' not in noted:
        disk = SimulatedDisk()
        disk.end(call)
        await run_to_the_end(original.folder, disk)
        noted = disk.contents().get(MARKER_FILE, b"")
        call -= 1
    for name in checksums_of(original.folder):
        (original.folder / name).unlink()
    async with opened(original.folder, disk.kill()) as it:
        with pytest.raises(StoreError, match=r"were removed from .* before all of them was taken over: put them back"):
            await it.store.recover(None)


async def test_the_note_is_unreadable(tmp_path: Path) -> None:
    """What was stored since is worth more than what it said."""
    original = made(tmp_path / "data")
    async with opened(original.folder) as it:
        await it.store.recover(None)
        ours = await publish(it.store, 3, 123)
    (original.folder / MARKER_FILE).write_bytes(b'{"version": 1, "comp')
    async with opened(original.folder) as it:
        assert (await found_in(it.store)).channels[b"orders"][2][-1] == ours
        (complaint,) = it.complaints
        assert "is unreadable: whether the files of NATS Streaming Server there changed" in complaint
    async with opened(original.folder) as it:
        await it.store.recover(None)
        assert it.complaints == []


async def test_a_note_of_a_later_version(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    (original.folder / MARKER_FILE).write_bytes(b'{"version": 2}')
    async with opened(original.folder) as it:
        with pytest.raises(StoreError, match="written by a newer version"):
            await it.store.recover(None)


async def test_an_original_that_still_runs_is_seen_by_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not of a group takes no lock."""
    original = made(tmp_path / "data", messages=4)
    path = original.folder / "orders" / "subs.dat"

    async with opened(original.folder) as it:
        predecessor = it.store.predecessor
        assert isinstance(predecessor, Predecessor)
        monkeypatch.setattr(predecessor, "_say", lambda _: path.write_bytes(path.read_bytes() + b"1"))
        with pytest.raises(
            StoreError, match=r"changed while they were read .*: stop that server, then start this again"
        ):
            await it.store.recover(None)
    path.write_bytes(original.channel("orders").subscriptions)
    async with opened(original.folder) as it:
        check(await found_in(it.store), original)


# The original's lock.

LOCKING = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locked_by_the_original(path: Path) -> Iterator[int]:
    """Another process has the lock as the original takes it; its number."""
    command = [sys.executable, "-c", LOCKING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None and process.stdout is not None
        if process.stdout.readline() != b"locked\n":
            raise BlockingIOError
        yield process.pid
        process.stdin.close()


@pytest.mark.row(150)
async def test_the_original_cannot_have_the_lock_as_long_as_we_run(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    lock = original.folder / ".rootdir.lck"
    for _ in range(2):
        async with opened(original.folder) as it:
            await it.store.recover(None)
            with pytest.raises(BlockingIOError), locked_by_the_original(lock):
                pass
        with locked_by_the_original(lock):
            pass


@pytest.mark.row(150)
async def test_an_original_of_a_group_that_runs_is_named(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    with locked_by_the_original(original.folder / ".rootdir.lck") as process:
        async with opened(original.folder) as it:
            with pytest.raises(
                StoreError, match=rf"of a group \(process {process}\) is at work on .*: stop all servers"
            ):
                await it.store.recover(None)
    async with opened(original.folder) as it:
        check(await found_in(it.store), original)


async def test_somebody_takes_it_over_by_hand_right_now(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    lock = OriginalLock(str(original.folder))
    assert lock.take()
    async with opened(original.folder) as it:
        with pytest.raises(StoreError, match="another Durabus is at work on"):
            await it.store.recover(None)
    lock.release()


class Member:
    """A server of a group, on a clock that the test moves."""

    def __init__(self, folder: Path, disk: SimulatedDisk, now: list[int]) -> None:
        self.store = FileStore(str(folder), SimulatedFiles(disk), SMALL, lambda: now[0])
        self.said: list[str] = []
        self.predecessor = Predecessor(
            str(folder), OriginalOptions(b"test-cluster"), self.said.append, self.said.append
        )
        self.store.predecessor = self.predecessor

    async def stand_still(self) -> None:
        """The clock goes, and it renews nothing."""
        assert self.store._renewals is not None
        await asyncio.to_thread(self.store._renewals.stop)


async def test_a_group_takes_over_once_and_the_next_owner_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durabus.stores.original_file.predecessor._LOOK_S", 0.001)
    original = made(tmp_path / "data")
    disk, now = SimulatedDisk(), [1]
    first, second = Member(original.folder, disk, now), Member(original.folder, disk, now)
    lease = await first.store.acquire("first")
    assert await second.store.acquire("second") is None
    await first.store.recover(lease)
    assert "taken over before anything is served" in first.said[0]
    await first.stand_still()
    assert await second.store.acquire("second") is None
    now[0] += SILENCE_NS
    lease = await second.store.acquire("second")
    assert lease is not None
    recovered = await second.store.recover(lease)
    assert max(one.last_sequence for one in recovered.channels) == 122
    assert "were taken over before" in second.said[0]
    # Its lock is held by a process that stands still; as soon as that ends, it is ours.
    assert not second.predecessor._lock.is_ours
    await first.store.close()
    waiting = second.predecessor._waiting
    assert waiting is not None
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert second.predecessor._lock.take(), "it is already"
    await second.store.close()


async def test_a_group_is_overtaken_while_it_takes_over(tmp_path: Path) -> None:
    original = made(tmp_path / "data")
    disk, now = SimulatedDisk(), [1]
    first, second = Member(original.folder, disk, now), Member(original.folder, disk, now)
    lease = await first.store.acquire("first")
    leases: list[Lease | None] = []
    loop = asyncio.get_running_loop()

    def overtaken(line: str) -> None:
        if "found" in line and not leases:  # on the thread that reads the original's files
            asyncio.run_coroutine_threadsafe(first.stand_still(), loop).result(PATIENCE_S)
            for _ in range(2):
                leases.append(asyncio.run_coroutine_threadsafe(second.store.acquire("second"), loop).result(PATIENCE_S))
                now[0] += SILENCE_NS

    first.predecessor._say = overtaken
    with pytest.raises(StoreLostError, match=LOST_TEXT):
        await first.store.recover(lease)
    assert leases[-1] is not None
    recovered = await second.store.recover(leases[-1])
    assert sum(one.last_sequence for one in recovered.channels) == 123
    await first.store.close()
    await second.store.close()
