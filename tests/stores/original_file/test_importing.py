"""Taking over by hand, into any store."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.file.store import FileStore
from durabus.stores.memory import MemoryStore
from durabus.stores.original_file.importing import import_directory, look_at
from durabus.stores.original_file.lock import OriginalLock
from durabus.stores.original_file.store import OriginalOptions
from durabus.streaming.records import decode_server
from durabus.streaming.store_port import Store
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.copy_steps import CutError, CutStore, Found, found_in
from tests.stores.original_file.original_writer import OriginalDirectory
from tests.stores.original_file.reading_steps import checksums_of
from tests.stores.sql_harness import new_source, open_store

OPTIONS = OriginalOptions(b"given")


def made(folder: Path) -> OriginalDirectory:
    original = OriginalDirectory(folder / "data", "theirs")
    orders = original.channel("orders")
    orders.next = 5
    orders.publish(*[b"%d" % i * 50_000 for i in range(100)])
    orders.slice(1).data[orders.slice(1).offsets[3] + 30] ^= 1
    orders.new(1, client="me", durable="d")
    orders.sent(1, 5, 6, 7)
    original.channel("news").publish(b"x")
    original.client("me")
    original.write()
    return original


def quarantined(folder: Path) -> list[bytes]:
    return (folder / "quarantine").read_bytes().splitlines()


def opener(kind: str, folder: Path) -> Callable[[], Store]:
    """What opens a target, again and again."""
    if kind == "memory":
        store = MemoryStore()
        return lambda: store
    if kind == "file":
        disk = SimulatedDisk()
        return lambda: FileStore("simulated", SimulatedFiles(disk), 1 << 20)
    source = new_source(kind, folder)
    return lambda: open_store(kind, source)


def check(found: Found, original: OriginalDirectory) -> None:
    assert found.server is not None and decode_server(found.server).cluster_id == b"theirs"
    bodies = original.channel("orders").bodies()
    bodies[3] = b""
    assert found.channels == {b"orders": (5, 104, bodies), b"news": (1, 1, original.channel("news").bodies())}
    assert list(found.clients) == [b"me"]
    ((_, sent, pending),) = found.subscriptions.values()
    assert (sent, pending) == (7, [(5, 7)])


@pytest.mark.parametrize("kind", ["memory", "file", "sqlite"])
async def test_into_any_store(tmp_path: Path, kind: str) -> None:
    original = made(tmp_path)
    before = checksums_of(original.folder)
    open_target = opener(kind, tmp_path)
    said: list[str] = []
    target = open_target()
    copied = await import_directory(str(original.folder), target, OPTIONS, said.append)
    await target.close()
    assert (copied.channels, copied.messages, copied.lost_count, copied.clients, copied.subscriptions) == (
        2,
        101,
        1,
        1,
        1,
    )
    assert [str(lost) for lost in copied.lost] == ['message 8 of channel "orders"']
    assert len(copied.damage) == 1
    assert "2 channels, 101 messages, 1 of them damaged, 1 clients and 1 subscriptions taken over" in said[-1]
    target = open_target()
    check(await found_in(target), original)
    await target.close()
    assert checksums_of(original.folder) == before
    assert (original.folder / "durabus-quarantine.jsonl").exists()
    # Whoever asks once more is told that it is all there.
    target = open_target()
    assert (await import_directory(str(original.folder), target, OPTIONS, said.append)).was_complete
    assert said[-1] == "101 messages: all of it was taken over before"
    await target.close()


@pytest.mark.parametrize("kind", ["file", "sqlite"])
async def test_it_can_be_broken_off_and_repeated(tmp_path: Path, kind: str) -> None:
    original = made(tmp_path)
    open_target = opener(kind, tmp_path)
    quarantine = str(tmp_path / "quarantine")
    for batches in range(8):
        target = open_target()
        try:
            await import_directory(
                str(original.folder), CutStore(target, batches), OPTIONS, lambda _: None, quarantine=quarantine
            )
        except CutError:
            continue
        finally:
            await target.close()
        break
    else:
        pytest.fail("it never came to its end")
    assert batches > 1
    target = open_target()
    check(await found_in(target), original)
    await target.close()
    assert len(quarantined(tmp_path)) == 1


async def test_files_that_change_meanwhile(tmp_path: Path) -> None:
    original = made(tmp_path)
    path = original.folder / "clients.dat"
    target = MemoryStore()

    def report(line: str) -> None:
        path.write_bytes(path.read_bytes() + b"?")

    with pytest.raises(StoreError, match=r"changed while they were read \(clients.dat has \d+ bytes instead of \d+\)"):
        await import_directory(str(original.folder), target, OPTIONS, report)
    # Nobody may serve what was read of two moments; when the original has stopped, the same goes on.
    assert (await found_in(target)).server is None
    original.client("another")
    original.channel("orders").publish(b"the last one")
    shutil.rmtree(original.folder)
    original.write()
    assert not (await import_directory(str(original.folder), target, OPTIONS, lambda _: None)).was_complete
    found = await found_in(target)
    assert found.server is not None
    assert sorted(found.clients) == [b"another", b"me"]
    assert found.channels[b"orders"][1] == 105


async def test_a_file_that_goes_meanwhile(tmp_path: Path) -> None:
    original = made(tmp_path)
    path = original.folder / "news" / "subs.dat"
    with pytest.raises(StoreError, match=r"cannot be read: No such file or directory: .*news/subs.dat"):
        await import_directory(str(original.folder), MemoryStore(), OPTIONS, lambda _: path.unlink(missing_ok=True))


async def test_somebody_else_is_at_work(tmp_path: Path) -> None:
    original = made(tmp_path)
    lock = OriginalLock(str(original.folder))
    assert lock.take()
    with pytest.raises(StoreError, match="another Durabus is at work on"):
        await import_directory(str(original.folder), MemoryStore(), OPTIONS, lambda _: None)
    lock.release()
    await import_directory(str(original.folder), MemoryStore(), OPTIONS, lambda _: None)
    assert lock.take(), "it was given back"
    lock.release()


async def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be taken: No such file"):
        await import_directory(str(tmp_path / "missing"), MemoryStore(), OPTIONS, lambda _: None)
    with pytest.raises(StoreError, match="holds no data of a NATS Streaming Server"):
        await import_directory(str(tmp_path), MemoryStore(), OPTIONS, lambda _: None)


async def test_a_look_at_what_cannot_be_read(tmp_path: Path) -> None:
    original = made(tmp_path)
    (original.folder / "clients.dat").unlink()
    os.mkfifo(original.folder / "clients.dat")
    with pytest.raises(StoreError, match=r"cannot be read: this is no plain file: clients.dat"):
        await look_at(str(original.folder))
