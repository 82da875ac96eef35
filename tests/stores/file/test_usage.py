"""Who uses a directory: a server by itself, one of a group, or nobody; and asking changes nothing."""

import asyncio
from pathlib import Path

from durabus.stores.file.files import OsFiles
from durabus.stores.file.lease import LeaseRecord, encode_record
from durabus.stores.file.store import FileStore
from durabus.stores.file.usage import who_uses
from tests.stores.file.store_steps import listed


async def test_nobody(tmp_path: Path) -> None:
    assert who_uses(str(tmp_path)) == ""
    assert listed(tmp_path) == {}
    store = FileStore(str(tmp_path))
    await store.recover(None)
    await store.close()
    before = listed(tmp_path)
    assert who_uses(str(tmp_path)) == ""
    assert listed(tmp_path) == before


async def test_one_server(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    await store.recover(None)
    try:
        assert "process" in await asyncio.to_thread(who_uses, str(tmp_path))
    finally:
        await store.close()


async def test_a_server_of_a_group(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    lease = await store.acquire("me")
    await store.recover(lease)
    try:
        assert who_uses(str(tmp_path))
    finally:
        await store.close()
    assert who_uses(str(tmp_path)) == ""


def lease_of(folder: Path, record: LeaseRecord) -> None:
    files = OsFiles(str(folder))
    handle = files.create(f"durabus-{record.epoch:010}.lease")
    files.write(handle, 0, encode_record(record))
    files.close(handle)


def test_the_last_lease_counts(tmp_path: Path) -> None:
    lease_of(tmp_path, LeaseRecord("first", 1))
    assert who_uses(str(tmp_path)) == "first of a group, if that did not end without a word"
    second = LeaseRecord("second", 2)
    second.is_released = True
    lease_of(tmp_path, second)
    assert who_uses(str(tmp_path)) == ""
    third = LeaseRecord("third", 3)
    third.has_lock = True  # and nobody has the lock
    lease_of(tmp_path, third)
    assert who_uses(str(tmp_path)) == ""


def test_a_lease_that_is_unreadable_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "durabus-0000000001.lease").write_bytes(b"junk")
    assert who_uses(str(tmp_path)) == ""
