"""MySQL and MariaDB beyond what every database does."""

import asyncio

import pytest
from asyncmy.errors import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.sql import mysql
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import WriteFailedError
from durabus.stores.sql.mysql import MysqlDatabase, _filled, _literal
from durabus.stores.sql.plan import Changes
from durabus.stores.sql.source import parse_mysql
from durabus.streaming.store_port import REFUSED, UNKNOWN, Cursor
from tests.databases import PASSWORD, MariadbServer, mariadb_server
from tests.stores.sql.driving import bodies, driven
from tests.stores.sql.original_rows import CREATION
from tests.stores.sql_harness import ask, open_store


@pytest.fixture
def source() -> str:
    """Where an empty database is."""
    return mariadb_server().new_database()


@pytest.mark.parametrize(
    ("error", "is_committing", "expected"),
    [
        (OperationalError(1062, "duplicate"), False, REFUSED),
        (OperationalError(1213, "deadlock"), True, REFUSED),
        (OperationalError(1180, "error during commit"), True, UNKNOWN),
        (OperationalError(1053, "shutdown"), True, UNKNOWN),
        (OperationalError(2013, "lost"), True, UNKNOWN),
        (OperationalError(2013, "lost"), False, REFUSED),
        (OperationalError("no number"), True, UNKNOWN),
        (ConnectionResetError(), True, UNKNOWN),
        (TimeoutError(), False, REFUSED),
    ],
)
def test_how_it_fails(error: Exception, is_committing: bool, expected: int) -> None:
    assert MysqlDatabase(parse_mysql("u@/db"))._outcome(error, is_committing) == expected


@given(st.one_of(st.text(), st.binary(), st.integers(), st.booleans(), st.none()))
def test_a_value_cannot_end_a_statement(value: object) -> None:
    text = _literal(value)
    assert text.isascii()
    inner = text.removeprefix("_utf8mb4 ").removeprefix("x'").removesuffix("'")
    assert all(char.isalnum() or char == "-" for char in inner)


def test_only_values_are_filled_in() -> None:
    assert _filled("SELECT ? WHERE {row}=?", (b"\x01'", None)) == "SELECT x'0127' WHERE `row`=NULL"
    with pytest.raises(TypeError, match="no value for a column: list"):
        _literal([])


async def test_messages_above_64_kb_on_our_tables(source: str) -> None:
    async with driven(open_store("mysql", source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 3, b"x" * 1_000_000)
        assert await driver.submit(batch) is None
        assert await driver.messages() == bodies(1, 3, b"x" * 1_000_000)
        assert driver.store.message_bytes_max >= 1024 * 1024


async def test_messages_above_64_kb_on_the_tables_of_the_original(source: str) -> None:
    ask("mysql", source, CREATION["mysql"])
    async with driven(open_store("mysql", source)) as driver:
        await driver.begin()
        assert driver.store.message_bytes_max == 65_535 - 64
        batch = driver.batch()
        driver.publish(batch, 1, 1, b"x" * 65_000)
        assert await driver.submit(batch) is None
        batch = driver.batch()
        driver.publish(batch, 2, 1, b"x" * 66_000)
        failure = await driver.submit(batch)
        assert failure is not None
        assert failure[0] == REFUSED
        assert "does not fit: the column Messages.data takes 65535 (in MySQL more after ALTER TABLE" in failure[1]
        await driver.recover()
        assert await driver.messages() == bodies(1, 1, b"x" * 65_000)


async def test_a_commit_that_is_not_on_the_disk_is_told(source: str) -> None:
    ask("mysql", source, "SET GLOBAL innodb_flush_log_at_trx_commit=2")
    try:
        async with driven(open_store("mysql", source)) as driver:
            weaknesses = (await driver.recover()).weaknesses
    finally:
        ask("mysql", source, "SET GLOBAL innodb_flush_log_at_trx_commit=1")
    assert weaknesses == [
        (
            "sql: MySQL runs with innodb_flush_log_at_trx_commit=2: "
            "what was acknowledged is lost when the machine of the database fails"
        )
    ]


async def test_what_does_not_fit_is_an_error_and_not_cut_off(source: str) -> None:
    source += "&sql_mode=%27%27"
    async with driven(open_store("mysql", source)) as driver:
        await driver.begin()
        with pytest.raises(StoreError, match="Data too long"):
            await driver.store._database.execute("UPDATE StoreLock SET id=?", ("x" * 31,))


@pytest.mark.row(157)
async def test_many_rows_and_many_bytes_are_several_statements(source: str) -> None:
    async with driven(open_store("mysql", source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 2500, b"x" * 2000)
        for number in range(2, 1500):
            driver.add_client(batch, b"client-%d" % number)
        assert await driver.submit(batch) is None
        assert await driver.messages() == bodies(1, 2500, b"x" * 2000)
    assert ask("mysql", source, "SELECT COUNT(*) FROM Clients") == [("1498",)]


async def test_many_positions_are_one_statement(source: str) -> None:
    async with driven(open_store("mysql", source)) as driver:
        await driver.begin()
        batch = driver.batch()
        for number in range(2, 1500):
            driver.add_subscription(batch, number, b"foo")
        driver.publish(batch, 1, 5)
        batch.cursors = [Cursor(number, 5, []) for number in range(1, 1500)]
        assert await driver.submit(batch) is None
        batch = driver.batch()
        batch.cursors = [Cursor(number, 3 + number % 2, [(1, 2)]) for number in range(1, 1500)]
        assert await driver.submit(batch) is None
        found = (await driver.recover()).cursors
        assert [(one.last_sent, one.pending) for one in found] == [(3 + n % 2, [(1, 2)]) for n in range(1, 1500)]
    assert ask("mysql", source, "SELECT COUNT(*), MAX(LENGTH(proto)) > 0 FROM Subscriptions") == [("1499", "1")]


async def test_by_its_unix_socket(source: str) -> None:
    server = mariadb_server()
    assert isinstance(server, MariadbServer)
    async with driven(open_store("mysql", server.unix_source(source))) as driver:
        await driver.begin()


async def test_an_earlier_connection_is_ended_before_anything_is_read(source: str) -> None:
    """It may be about to commit: nothing of it may come after the recovery."""
    database = MysqlDatabase(parse_mysql(source))
    await database.open(True)
    old, database._writer = database._writer, None
    await old.query("START TRANSACTION")
    await database.open(True)
    with pytest.raises(OperationalError):
        await old.query("COMMIT")
    await database.close()


async def test_a_wrong_password_is_not_told(source: str) -> None:
    database = MysqlDatabase(parse_mysql(source.replace(PASSWORD, "wrong1")))
    with pytest.raises(StoreError, match="sql: cannot connect to the database") as caught:
        await database.open(True)
    assert "wrong1" not in str(caught.value)


async def test_an_answer_that_does_not_come(source: str) -> None:
    store = open_store("mysql", source.replace("readTimeout=20s&writeTimeout=20s", "readTimeout=300ms"))
    async with driven(store) as driver:
        await driver.begin()
        holder = MysqlDatabase(parse_mysql(source))
        connection = await holder._connect()
        await connection.query("LOCK TABLES Messages WRITE")
        batch = driver.batch()
        driver.publish(batch, 1, 3)
        failure = await driver.submit(batch)
        assert failure is not None
        assert "the database did not answer within 0.3 s" in failure[1]
        assert sql.INSERT_MESSAGE in failure[1]
        await connection.query("UNLOCK TABLES")
        connection.close()
        await driver.recover()


async def test_a_connection_without_a_sign_of_life_gives_up_its_locks(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that lost its power does not keep the next one away until somebody looks after it."""
    monkeypatch.setattr(mysql, "_SILENCE_S", 1)
    monkeypatch.setattr(mysql, "_SIGN_S", 3600.0)
    gone, following = MysqlDatabase(parse_mysql(source)), MysqlDatabase(parse_mysql(source))
    await gone.open(True)
    await following.open(True)  # within the time that it waits for the lock
    with pytest.raises(WriteFailedError):
        await gone.transact(Changes(), "")
    await following.close()
    await gone.close()


async def test_a_connection_that_is_lost_is_found_out_without_work(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql, "_SIGN_S", 0.01)
    database, other = MysqlDatabase(parse_mysql(source)), MysqlDatabase(parse_mysql(source))
    await database.open(True)
    assert database._signs is not None
    (row,) = await database.fetch(f"SELECT IS_USED_LOCK('{database._own_name}')")
    killer = await other._connect()
    await killer.query(f"KILL {row[0]}")
    async with asyncio.timeout(20):
        await database._signs
    with pytest.raises(WriteFailedError, match="the connection to the database is lost"):
        await database.transact(Changes(), "")
    killer.close()
    await database.close()
