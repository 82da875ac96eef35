"""Reading a database as it was at one moment, beside a server that goes on writing."""

from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.sql.snapshot import SqlSnapshot
from durabus.streaming.store_port import KIND_CLIENT, REFUSED, Batch
from durabus.testing.conformance.probe import Probe
from tests.stores.file.store_steps import listed
from tests.stores.sql.driving import MUCH, bodies, driven
from tests.stores.sql_harness import ask, new_database, new_source, open_store


async def read_all(store: SqlSnapshot, probe: Probe, last: int) -> list[bytes]:
    """All messages of channel 1 up to `last`."""
    found: list[bytes] = []
    while len(found) < last:
        page = await probe.page(probe.ask_page(1, len(found) + 1, 100, MUCH))
        assert page, store.problem
        found += page
    return found


async def test_what_comes_later_is_not_in_it(kind: str, source: str) -> None:
    snapshot = SqlSnapshot(new_database(kind, source))
    probe = Probe(snapshot, 30)
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.some_of_everything(batch, 1, 250)
        assert await driver.submit(batch) is None
        try:
            recovered = await snapshot.recover(None)
            batch = driver.batch()
            driver.some_of_everything(batch, 251, 10)
            assert await driver.submit(batch) is None
            await driver.sweep()
            assert await read_all(snapshot, probe, 250) == bodies(1, 250)
            assert await probe.found(probe.ask_seek(1, 100)) == 100
            assert await probe.found(probe.ask_seek(1, 1000)) == 251
        finally:
            await snapshot.close()
    assert [(one.first_sequence, one.last_sequence) for one in recovered.channels] == [(1, 250)]
    assert [key for found, key, _ in recovered.state if found == KIND_CLIENT] == [b"client-1"]
    assert [(one.last_sent, one.pending) for one in recovered.cursors] == [(1, [(1, 1)])]
    probe.check()


async def test_nothing_is_made_that_is_missing(kind: str, source: str, tmp_path: Path) -> None:
    snapshot = SqlSnapshot(new_database(kind, source))
    try:
        with pytest.raises(StoreError, match=r"no (database|table ServerInfo)"):
            await snapshot.recover(None)
    finally:
        await snapshot.close()
    assert listed(tmp_path) == {}


async def test_old_tables_are_told(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)):
        pass
    ask(kind, source, "ALTER TABLE Clients DROP COLUMN proto")
    snapshot = SqlSnapshot(new_database(kind, source))
    try:
        with pytest.raises(StoreError, match="table Clients has no column proto: `durabus store init`"):
            await snapshot.recover(None)
    finally:
        await snapshot.close()


async def test_batches_are_refused_and_questions_beside_it_are_answered(tmp_path: Path) -> None:
    source = new_source("sqlite", tmp_path)
    async with driven(open_store("sqlite", source)) as driver:
        await driver.begin()
    snapshot = SqlSnapshot(new_database("sqlite", source))
    probe = Probe(snapshot, 30)
    try:
        await snapshot.recover(None)
        probe.submit(Batch(1, 0))
        assert probe.failed[1][0] == REFUSED
        assert snapshot.read_now(7, 1, 10, MUCH) == []
        assert snapshot.read_now(1, 1, 10, MUCH) == []
        assert await probe.page(probe.ask_page(7, 1, 10, MUCH)) == []
        assert await probe.found(probe.ask_seek(7, 5)) == 0
        with pytest.raises(StoreError, match="not supported"):
            await snapshot.acquire("me")
    finally:
        await snapshot.close()


async def test_why_the_database_does_not_answer_is_kept(tmp_path: Path) -> None:
    source = new_source("sqlite", tmp_path)
    async with driven(open_store("sqlite", source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 3)
        assert await driver.submit(batch) is None
    database = new_database("sqlite", source)
    snapshot = SqlSnapshot(database)
    probe = Probe(snapshot, 30)
    try:
        await snapshot.recover(None)
        await database.close()
        assert await probe.page(probe.ask_page(1, 1, 10, MUCH)) == []
        assert await probe.found(probe.ask_seek(1, 1)) == 0
        assert "not open" in snapshot.problem
    finally:
        await snapshot.close()
