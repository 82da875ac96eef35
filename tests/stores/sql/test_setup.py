"""Tables are made when they are missing, and those that are there stay as they are."""

import asyncio

import pytest

from durabus.errors import StoreError
from durabus.stores.sql.schema import TABLES
from durabus.stores.sql.setup import BLOB_BYTES_MAX, column_bytes_max, prepare_tables
from tests.stores.sql.original_rows import CREATION
from tests.stores.sql_harness import ask, new_database


async def prepare(kind: str, source: str, create: bool = True) -> tuple[list[str], int]:
    """What was made, and how long a message may be then."""
    database = new_database(kind, source)
    await database.open(True)
    try:
        return await prepare_tables(database, create), await column_bytes_max(database)
    finally:
        await database.close()


async def test_all_tables_are_made_once(kind: str, source: str) -> None:
    assert (await prepare(kind, source))[0] == [f"table {name}" for name in TABLES]
    assert ask(kind, source, "SELECT id, tick FROM StoreLock") == [("", "0")]
    made, message_bytes_max = await prepare(kind, source, create=False)
    assert made == []
    assert message_bytes_max > 1 << 30
    assert ask(kind, source, "SELECT COUNT(*) FROM StoreLock") == [("1",)]


async def test_the_tables_of_the_original_will_do(kind: str, source: str) -> None:
    ask(kind, source, CREATION[kind])
    made, message_bytes_max = await prepare(kind, source, create=False)
    assert made == []
    assert message_bytes_max == 65_535 if kind == "mysql" else message_bytes_max > 1 << 30
    assert BLOB_BYTES_MAX["blob"] == 65_535


async def test_servers_that_begin_at_once_make_one_row(kind: str, source: str) -> None:
    """The row of the lock is one, however many servers of a group make it; one that stumbles tries again."""
    databases = [new_database(kind, source) for _ in range(4)]
    for database in databases:
        await database.open(False)
    await prepare_tables(databases[0], True)
    ask(kind, source, "DELETE FROM StoreLock")
    await asyncio.gather(*(prepare_tables(database, True) for database in databases), return_exceptions=True)
    for database in databases:
        await database.close()
    assert ask(kind, source, "SELECT COUNT(*) FROM StoreLock") == [("1",)]


async def test_a_table_is_missing(kind: str, source: str) -> None:
    await prepare(kind, source)
    ask(kind, source, "DROP TABLE SubsPending")
    with pytest.raises(StoreError, match="sql: the database lacks SubsPending; leave out -sql_create_tables=false"):
        await prepare(kind, source, create=False)
    assert (await prepare(kind, source))[0] == ["table SubsPending"]


async def test_a_database_of_before_0_10(kind: str, source: str) -> None:
    ask(kind, source, CREATION[kind].rpartition("ALTER TABLE")[0])
    with pytest.raises(StoreError, match="lacks column proto of Clients"):
        await prepare(kind, source, create=False)
    assert (await prepare(kind, source))[0] == ["column Clients.proto"]
    assert (await prepare(kind, source))[0] == []


@pytest.mark.row(152)
async def test_a_table_of_somebody_else(kind: str, source: str) -> None:
    ask(kind, source, "CREATE TABLE Messages (id INTEGER, body TEXT)")
    with pytest.raises(StoreError, match="table Messages has no column seq, timestamp, size, data"):
        await prepare(kind, source)
