"""PostgreSQL beyond what every database does."""

import asyncpg
import pytest

from durabus.errors import StoreError
from durabus.stores.sql.postgres import PostgresDatabase
from durabus.stores.sql.source import parse_postgres
from durabus.streaming.store_port import REFUSED, UNKNOWN
from tests.databases import PASSWORD, postgres_server
from tests.stores.sql.driving import bodies, driven
from tests.stores.sql_harness import ask, open_store


@pytest.fixture
def source() -> str:
    """Where an empty database is."""
    return postgres_server().new_database()


def answer(state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("no")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("error", "is_committing", "expected"),
    [
        (answer("23505"), False, REFUSED),
        (answer("40001"), True, REFUSED),
        (answer("53100"), True, REFUSED),
        (answer("57P01"), True, UNKNOWN),
        (answer("58030"), True, UNKNOWN),
        (answer("08006"), True, UNKNOWN),
        (answer("08006"), False, REFUSED),
        (ConnectionResetError(), True, UNKNOWN),
        (ConnectionResetError(), False, REFUSED),
        (TimeoutError(), True, UNKNOWN),
        (asyncpg.InterfaceError("closed"), True, UNKNOWN),
    ],
)
def test_how_it_fails(error: Exception, is_committing: bool, expected: int) -> None:
    assert PostgresDatabase(parse_postgres("user=u"))._outcome(error, is_committing) == expected


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    ],
)
def test_a_connection_that_breaks_is_told_in_our_words(error: Exception) -> None:
    """What the driver says of itself then is of no use to a publisher."""
    database = PostgresDatabase(parse_postgres("user=u"))
    text = database._text("COMMIT", error)
    assert text == "sql: the connection to the database is lost: it broke off in the middle of an operation"
    assert database._outcome(error, True) == UNKNOWN


@pytest.mark.row(157)
@pytest.mark.parametrize("count", [1, 49, 50, 3000])
async def test_few_messages_are_arrays_and_many_are_copied(source: str, count: int) -> None:
    async with driven(open_store("postgres", source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, count)
        assert await driver.submit(batch) is None
        assert await driver.messages() == bodies(1, count)


async def test_a_commit_waits_for_the_disk_whatever_the_default_is(source: str) -> None:
    database = PostgresDatabase(parse_postgres(source + " synchronous_commit=off"))
    await database.open(True)
    assert await database._writer.fetchval("SHOW synchronous_commit") == "on"
    await database.close()


async def test_an_earlier_connection_is_ended_before_anything_is_read(source: str) -> None:
    """It may be about to commit: nothing of it may come after the recovery."""
    database = PostgresDatabase(parse_postgres(source))
    await database.open(True)
    old, database._writer = database._writer, None
    await old.execute("BEGIN")
    await database.open(True)
    assert old.is_closed() or await is_ended(old)
    await database.close()


async def is_ended(connection: asyncpg.Connection) -> bool:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("COMMIT")
    return True


async def test_without_prepared_statements(source: str) -> None:
    async with driven(open_store("postgres", source + " binary_parameters=yes")) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.some_of_everything(batch, 1, 100)
        assert await driver.submit(batch) is None
        assert await driver.messages() == bodies(1, 100)


async def test_a_wrong_password_is_not_told(source: str) -> None:
    database = PostgresDatabase(parse_postgres(source + " password=wrong1"))
    with pytest.raises(StoreError, match=r"sql: cannot connect to the database at 127.0.0.1:\d+: .*password") as caught:
        await database.open(True)
    assert "wrong1" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "password authentication failed" in str(caught.value)


async def test_encryption_that_the_database_does_not_offer(source: str) -> None:
    database = PostgresDatabase(parse_postgres(source + " sslmode=require"))
    with pytest.raises(StoreError, match="sslmode=disable in -sql_source does without encryption"):
        await database.open(True)


@pytest.mark.row(158)
async def test_an_answer_that_does_not_come(source: str) -> None:
    store = open_store("postgres", source + " readTimeout=100ms writeTimeout=200ms")
    async with driven(store) as driver:
        await driver.begin()
        holder = PostgresDatabase(parse_postgres(source))
        connection = await holder._connect()
        await connection.execute("BEGIN; LOCK TABLE Messages IN ACCESS EXCLUSIVE MODE")
        batch = driver.batch()
        driver.publish(batch, 1, 3)
        failure = await driver.submit(batch)
        assert failure is not None
        assert "the database did not answer within 0.3 s" in failure[1]
        await connection.execute("ROLLBACK")
        await connection.close()
        await driver.recover()
        batch = driver.batch()
        driver.publish(batch, 1, 3)
        assert await driver.submit(batch) is None


async def test_the_index_of_names_takes_long_names(source: str) -> None:
    async with driven(open_store("postgres", source)) as driver:
        batch = driver.batch()
        driver.add_channel(batch, 1, "é".encode() * 1024)
        assert await driver.submit(batch) is None
    assert ask("postgres", source, "SELECT length(name) FROM Channels") == [("1024",)]
