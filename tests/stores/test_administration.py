"""What an operator does by hand: with each kind of store, on directories and files of their own."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.administration import (
    back_up,
    check_place,
    copy_place,
    default_quarantine,
    import_place,
    init_place,
    on_thread,
    repair_place,
)
from durabus.stores.file.layout import segment_name
from durabus.stores.file.store import FileStore
from durabus.stores.places import FILE, SQL, Place, parse_place
from durabus.streaming.store_port import Store
from tests.stores.copy_steps import ChannelContent, Content, Found, fill, found_in
from tests.stores.file.store_steps import listed
from tests.stores.sql_harness import ask, new_source, open_store

KINDS = ("file", "sqlite")
SOME = Content(
    [ChannelContent(1, "++++++++++", 3, 50), ChannelContent(1, "++-++"), ChannelContent(1, "++++", 4)],
    clients=2,
    durables=[(0, 8, [(4, 5)]), (1, 0, [])],
)


def quiet(_: str) -> None:
    """Say nothing."""


def place(kind: str, folder: Path, name: str = "one") -> Place:
    text = {"file": f"{folder}/{name}", "sqlite": f"sqlite:{folder}/{name}.db", "backup": f"{folder}/{name}.tar"}[kind]
    return parse_place(text, {})


def opened(where: Place) -> Store:
    """The store at a place, as a server would open it."""
    return FileStore(where.value) if where.kind == FILE else open_store(where.driver, where.value)


async def filled(where: Place, content: Content = SOME) -> None:
    store = opened(where)
    await fill(store, content)
    await store.close()


async def found(where: Place) -> Found:
    store = opened(where)
    try:
        return await found_in(store)
    finally:
        await store.close()


def contents(folder: Path) -> dict[str, bytes]:
    """The segments of a directory."""
    return {name: path.read_bytes() for name, path in listed(folder).items() if name.endswith(".segment")}


# Making.


@pytest.mark.parametrize("kind", KINDS)
async def test_making_twice_is_making_once(kind: str, tmp_path: Path) -> None:
    where = place(kind, tmp_path)
    made = await init_place(where, quiet)
    assert made[0] == f"made the {'directory' if kind == 'file' else 'file'} {where.path}"
    assert (kind == "sqlite") == ("made table Channels" in made)
    assert await init_place(where, quiet) == []
    await filled(where)
    assert await init_place(where, quiet) == []
    assert (await found(where)).channels


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_making_tables(kind: str, tmp_path: Path) -> None:
    where = Place(SQL, new_source(kind, tmp_path), "a database", kind)
    assert len(await init_place(where, quiet)) == 7
    ask(kind, where.value, "ALTER TABLE Clients DROP COLUMN proto")
    assert await init_place(where, quiet) == ["made column Clients.proto"]


async def test_a_directory_of_the_original_is_nothing_to_make(tmp_path: Path) -> None:
    (tmp_path / "server.dat").write_bytes(b"x")
    where = parse_place(str(tmp_path), {})
    other = place("file", tmp_path, "other")
    for work in (init_place(where, quiet), check_place(where, quiet), copy_place(where, other, quiet)):
        with pytest.raises(StoreError, match="holds the data of a NATS Streaming Server"):
            await work
    await filled(other)
    with pytest.raises(StoreError, match="holds the data of a NATS Streaming Server"):
        await copy_place(other, where, quiet)
    with pytest.raises(StoreError, match="`durabus store backup` makes one"):
        await init_place(place("backup", tmp_path), quiet)


@pytest.mark.parametrize("kind", ["file", "sqlite"])
async def test_a_store_is_not_copied_onto_itself(tmp_path: Path, kind: str) -> None:
    where = place(kind, tmp_path)
    await filled(where)
    with pytest.raises(StoreError, match="is the source and the target: name another store to copy to"):
        await copy_place(where, where, quiet)


# Checking and repairing.


@pytest.mark.parametrize("kind", KINDS)
async def test_a_check_beside_a_server(kind: str, tmp_path: Path) -> None:
    where = place(kind, tmp_path)
    store = opened(where)
    await fill(store, SOME)
    try:
        before = contents(tmp_path / "one") if kind == "file" else {}
        report = await check_place(where, quiet)
        assert before == (contents(tmp_path / "one") if kind == "file" else {})
    finally:
        await store.close()
    assert report.messages == 7 + 4
    assert ("in use by" in " ".join(report.notes)) == (kind == "file")
    assert not (await check_place(where, quiet)).notes


async def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_bytes(b"")
    for name, words in (
        ("nowhere", "there is no directory"),
        ("other", "there is no store in the directory"),
        ("backup.tar", "there is no backup"),
        ("sqlite:nowhere.db", "there is no database"),
    ):
        text = name if name.startswith("sqlite") else str(tmp_path / name)
        for work in (check_place, lambda one, say: copy_place(one, place("file", tmp_path, "target"), say)):
            with pytest.raises(StoreError, match=words):
                await work(parse_place(text, {}), quiet)
    assert list(listed(tmp_path)) == ["other"]


async def test_a_repair_sets_aside_beside_the_data(tmp_path: Path) -> None:
    for kind, aside in (("file", "one/durabus-quarantine.jsonl"), ("sqlite", "one.db-durabus-quarantine.jsonl")):
        where = place(kind, tmp_path)
        assert default_quarantine(where) == tmp_path / aside
        await filled(where)
        if kind == "file":
            path = tmp_path / "one" / segment_name(1)
            data = await asyncio.to_thread(path.read_bytes)
            at = data.index(b"x" * 50)
            path.write_bytes(data[:at] + b"y" + data[at + 1 :])
        else:
            ask(kind, where.value, "UPDATE Messages SET data=x'ff' WHERE id=1 AND seq=10")
        before, after = await repair_place(where, default_quarantine(where), quiet)
        assert before.finding_count >= 1
        assert (kind == "sqlite") or after.is_well
        assert listed(tmp_path / "one").get("durabus-quarantine.jsonl") or kind == "sqlite"
        assert (await found(where)).clients
    assert default_quarantine(parse_place("mysql:x@tcp(y)/z", {})) == Path("durabus-quarantine.jsonl")


async def test_nothing_is_repaired_beside_a_server(tmp_path: Path) -> None:
    for kind, words in (("file", "uses the directory"), ("sqlite", "another server uses the database")):
        where = place(kind, tmp_path)
        store = opened(where)
        await fill(store, SOME)
        try:
            with pytest.raises(StoreError, match=words):
                await repair_place(where, default_quarantine(where), quiet)
        finally:
            await store.close()
    with pytest.raises(StoreError, match="copy it into a store"):
        await repair_place(place("backup", tmp_path), tmp_path / "x", quiet)


async def test_a_directory_of_a_group_is_repaired_as_its_next_owner(tmp_path: Path) -> None:
    where = place("file", tmp_path)
    store = FileStore(where.value)
    await store.recover(await store.acquire("me"))
    await store.close()
    path = tmp_path / "one" / segment_name(1)
    data = await asyncio.to_thread(path.read_bytes)
    path.write_bytes(data[:70] + b"y" + data[71:])
    before, after = await repair_place(where, tmp_path / "aside", quiet)
    assert (before.is_well, after.is_well) == (False, True)
    assert "durabus-0000000002.lease" in listed(tmp_path / "one")


# Copying.


@pytest.mark.parametrize("two", [*KINDS, "backup"])
@pytest.mark.parametrize("one", [*KINDS, "backup"])
async def test_between_any_two(one: str, two: str, tmp_path: Path) -> None:
    start = place("file", tmp_path, "start")
    await filled(start)
    source = place(one, tmp_path)
    if one == "backup":
        await back_up(start, source, quiet)
    else:
        await filled(source)
    before = contents(tmp_path / "one") if one == "file" else {}
    target = place(two, tmp_path, "two")
    if two == "backup":
        report = await back_up(source, target, quiet)
        assert (report.messages, report.finding_count) == (11, 0)
        again = place("file", tmp_path, "again")
        await copy_place(target, again, quiet)
        target = again
    else:
        assert (await copy_place(source, target, quiet)).messages == 12
        assert (await copy_place(source, target, quiet)).was_complete
    assert await found(target) == await found(start)
    if one == "file":
        assert contents(tmp_path / "one") == before
    assert not [name for name in listed(tmp_path) if "partial" in name]


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_database_at_work_is_backed_up(kind: str, tmp_path: Path) -> None:
    source = Place(SQL, new_source(kind, tmp_path), "a database", kind)
    store = open_store(kind, source.value)
    await fill(store, SOME)
    try:
        backup = place("backup", tmp_path)
        assert (await back_up(source, backup, quiet)).messages == 11
    finally:
        await store.close()
    target = place("file", tmp_path, "two")
    await copy_place(backup, target, quiet)
    assert await found(target) == await found(source)


async def test_nothing_is_copied_beside_a_server(tmp_path: Path) -> None:
    one, two = place("file", tmp_path, "one"), place("file", tmp_path, "two")
    await filled(one)
    store = opened(one)
    await store.recover(None)
    try:
        for source, target in ((one, two), (two, one)):
            with pytest.raises(StoreError, match=r"uses the directory|there is no directory"):
                await copy_place(source, target, quiet)
        await back_up(one, place("backup", tmp_path), quiet)
    finally:
        await store.close()


async def test_a_backup_never_takes_the_place_of_anything(tmp_path: Path) -> None:
    one = place("file", tmp_path)
    await filled(one)
    (tmp_path / "there.tar").write_bytes(b"x")
    with pytest.raises(StoreError, match="is there already"):
        await back_up(one, place("backup", tmp_path, "there"), quiet)
    with pytest.raises(StoreError, match="there is no directory"):
        await back_up(one, parse_place(f"backup:{tmp_path}/not/there", {}), quiet)
    with pytest.raises(StoreError, match="is a backup's name"):
        await copy_place(one, place("backup", tmp_path, "new"), quiet)


async def test_a_cut_off_backup_is_not_copied(tmp_path: Path) -> None:
    one, backup, two = place("file", tmp_path), place("backup", tmp_path), place("file", tmp_path, "two")
    await filled(one)
    await back_up(one, backup, quiet)
    data = await asyncio.to_thread(backup.path.read_bytes)
    backup.path.write_bytes(data[:1500])
    for work in (copy_place(backup, two, quiet), check_place(backup, quiet)):
        with pytest.raises(StoreError, match="is cut off"):
            await work
    assert "two" not in listed(tmp_path)


async def test_a_changed_backup_is_told(tmp_path: Path) -> None:
    one, backup = place("file", tmp_path), place("backup", tmp_path)
    await filled(one)
    await back_up(one, backup, quiet)
    report = await check_place(backup, quiet)
    assert report.is_well
    assert report.notes[0].startswith("made at ")
    data = await asyncio.to_thread(backup.path.read_bytes)
    at = data.index(b"x" * 50)
    backup.path.write_bytes(data[:at] + b"y" + data[at + 1 :])
    texts = [finding.text for finding in (await check_place(backup, quiet)).findings]
    assert any("SHA-256" in text for text in texts)


async def test_importing_goes_into_stores_only(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="taken over into a store"):
        await import_place(
            str(tmp_path), place("backup", tmp_path), quiet, quarantine="", cluster_id="", crc_polynomial=None
        )


async def test_who_does_not_wait_any_more_ends_the_work() -> None:
    told = threading.Event()
    ended = threading.Event()

    def work(tell: Callable[[str], None]) -> None:
        try:
            while True:
                tell("on and on")
                told.set()
        finally:
            ended.set()

    task = asyncio.create_task(on_thread(work, quiet))
    assert await asyncio.to_thread(told.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 20)
