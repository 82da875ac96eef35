"""sqlite beyond what every database does: the file, its locks, how it fails."""

import sqlite3
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.sql.plan import Changes
from durabus.stores.sql.sqlite import SqliteDatabase, _outcome
from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN
from tests.stores.sql.driving import bodies, driven
from tests.stores.sql_harness import open_store


async def test_every_commit_is_synchronised(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "x.db"))
    await database.open(True)
    assert list(await database.fetch("PRAGMA journal_mode")) == [("wal",)]
    assert list(await database.fetch("PRAGMA synchronous")) == [(2,)]
    assert database._writer is not None
    await database.close()
    await database.close()


async def test_messages_in_any_number_are_stored(tmp_path: Path) -> None:
    """They are inserted 64 at once, and the rest one by one."""
    async with driven(open_store("sqlite", str(tmp_path / "x.db"))) as driver:
        await driver.begin()
        first = 1
        for count in (1, 63, 64, 65, 200):
            batch = driver.batch()
            driver.publish(batch, first, count)
            assert await driver.submit(batch) is None
            first += count
        await driver.recover()
        assert await driver.messages() == bodies(1, first - 1)
        rows = await driver.store._database.fetch(
            "SELECT seq, timestamp, size, length(data) FROM Messages ORDER BY seq"
        )
        assert [(row[0], row[1]) for row in rows] == [(sequence, sequence) for sequence in range(1, first)]
        assert all(row[2] == row[3] for row in rows)


def failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "is_commit", "expected"),
    [
        (sqlite3.SQLITE_FULL, False, REFUSED),
        (sqlite3.SQLITE_FULL, True, REFUSED),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True, REFUSED),
        (sqlite3.SQLITE_IOERR_WRITE, False, REFUSED),
        (sqlite3.SQLITE_IOERR_WRITE, True, UNKNOWN),
        (sqlite3.SQLITE_IOERR_FSYNC, True, FATAL),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, False, FATAL),
    ],
)
def test_how_it_fails(code: int, is_commit: bool, expected: int) -> None:
    assert _outcome(failure(code), is_commit) == expected


async def test_a_full_disk_refuses_and_is_survived(tmp_path: Path) -> None:
    async with driven(open_store("sqlite", str(tmp_path / "x.db"))) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 3)
        assert await driver.submit(batch) is None
        await driver.store._database.fetch("SELECT 1")
        database = driver.store._database
        assert isinstance(database, SqliteDatabase)
        await database._in(
            database._write_thread, lambda: database._writer and database._writer.execute("PRAGMA max_page_count=30")
        )
        batch = driver.batch()
        driver.publish(batch, 4, 100, b"x" * 10_000)
        failure = await driver.submit(batch)
        assert failure is not None
        assert failure[0] == REFUSED
        assert "full" in failure[1]
        await driver.recover()
        batch = driver.batch()
        driver.publish(batch, 4, 100, b"x" * 10_000)
        assert await driver.submit(batch) is None
        assert await driver.messages() == bodies(1, 3) + bodies(4, 100, b"x" * 10_000)


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is no database, but it is long enough to be looked at" * 100)
    store = open_store("sqlite", str(tmp_path / "x.db"))
    with pytest.raises(StoreError, match=r"sql: cannot open .*x\.db: file is not a database"):
        await store.recover(None)
    await store.close()


async def test_a_database_that_is_not_open_refuses(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "x.db"))
    for work in (database.fetch("SELECT 1"), database.execute("SELECT 1"), database.transact(Changes(), "")):
        with pytest.raises(StoreError, match="the database is not open"):
            await work


async def test_a_statement_that_is_none(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "x.db"))
    await database.open(True)
    for work in (database.fetch, database.execute):
        with pytest.raises(StoreError, match='sql: error executing "SELEKT": near "SELEKT"'):
            await work("SELEKT")
    await database.close()
