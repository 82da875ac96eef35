"""Databases behind a network: no wait is without end, and no connection is used on which an answer is missing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import ConnectionLostError, WriteFailedError
from durabus.stores.sql.networked import NetworkedDatabase, Transaction
from durabus.stores.sql.plan import Changes, Row
from durabus.streaming.store_port import REFUSED, UNKNOWN
from tests.stores.sql_harness import new_database

QUESTION = "SELECT 1"


class AnswerError(Exception):
    """What the database answers."""


class FakeConnection:
    """Does what it is told to with the next question."""

    def __init__(self) -> None:
        self.is_closed = False
        self.error: Exception | None = None
        self.hangs = False

    async def ask(self) -> int:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return 1


class FakeTransaction(Transaction):
    def __init__(self, connection: FakeConnection, is_committing: bool) -> None:
        self.statement = QUESTION
        self.is_committing = is_committing
        self._connection = connection

    async def run(self) -> None:
        await self._connection.ask()


class FakeDatabase(NetworkedDatabase):
    """A driver with connections of ours; answers may take a hundredth of a second."""

    def __init__(self, connections_max: int = 0) -> None:
        super().__init__((AnswerError, OSError), "s3cret", 0.01, connections_max)
        self.made: list[FakeConnection] = []
        self.is_committing = False

    async def _connect(self) -> FakeConnection:
        self.made.append(FakeConnection())
        return self.made[-1]

    def _is_closed(self, connection: object) -> bool:
        assert isinstance(connection, FakeConnection)
        return connection.is_closed

    def _end(self, connection: object) -> None:
        assert isinstance(connection, FakeConnection)
        connection.is_closed = True

    def _transaction(self, changes: Changes, owner: str) -> Transaction:
        return FakeTransaction(self._writer, self.is_committing)

    def _is_answer(self, error: BaseException) -> bool:
        return isinstance(error, AnswerError)

    def _is_unsure(self, error: BaseException) -> bool:
        return not self._is_answer(error)

    async def open(self, exclusive: bool) -> None:
        self._end_all()
        writer = await self._connect()
        await self._opened(writer, writer.ask())
        self._writer = writer

    async def fetch(self, statement: str, arguments: Row = ()) -> Sequence[Sequence[Any]]:
        async def ask(connection: FakeConnection, text: str, limit_s: float) -> list[tuple[int]]:
            assert (text, limit_s) == (statement, 0.01)
            return [(await connection.ask(),)]

        return await self._on_other(statement, ask, statement)


async def opened(connections_max: int = 0) -> tuple[FakeDatabase, FakeConnection]:
    """A database with its connection that writes."""
    database = FakeDatabase(connections_max)
    await database.open(True)
    return database, database.made[0]


async def test_an_opening_that_is_not_answered() -> None:
    database = FakeDatabase()
    writer = await database._connect()
    writer.hangs = True
    with pytest.raises(ConnectionLostError, match=r"sql: cannot open the database: .* did not answer within 0.01 s"):
        await database._opened(writer, writer.ask())
    assert writer.is_closed
    writer = await database._connect()
    writer.error = StoreError("another server uses the database")
    with pytest.raises(StoreError, match="another server"):
        await database._opened(writer, writer.ask())
    assert writer.is_closed


@pytest.mark.parametrize(
    ("error", "is_committing", "outcome", "is_answer", "text"),
    [
        (AnswerError("no, s3cret"), False, REFUSED, True, 'sql: error executing "SELECT 1": no, ***'),
        (AnswerError("no"), True, REFUSED, True, 'sql: error executing "SELECT 1": no'),
        (ConnectionResetError("gone"), False, REFUSED, False, "sql: the connection to the database is lost: gone"),
        (ConnectionResetError("gone"), True, UNKNOWN, False, "sql: the connection to the database is lost: gone"),
        (
            None,
            True,
            UNKNOWN,
            False,
            'sql: error executing "SELECT 1": the database did not answer within 0.01 s',
        ),
    ],
)
async def test_a_transaction_that_fails(
    error: Exception | None, is_committing: bool, outcome: int, is_answer: bool, text: str
) -> None:
    database, writer = await opened()
    database.is_committing = is_committing
    writer.error, writer.hangs = error, error is None
    with pytest.raises(WriteFailedError) as caught:
        await database.transact(Changes(), "")
    assert (caught.value.outcome, caught.value.is_answer, str(caught.value)) == (outcome, is_answer, text)
    assert writer.is_closed, "whatever it was: begin anew"
    with pytest.raises(WriteFailedError, match="the connection to the database is lost") as caught:
        await database.transact(Changes(), "")
    assert caught.value.outcome == REFUSED


async def test_a_transaction_that_is_given_up() -> None:
    database, writer = await opened()
    writer.hangs = True
    database._answer_s = 3600
    work = asyncio.create_task(database.transact(Changes(), ""))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert writer.is_closed


@pytest.mark.parametrize("connections_max", [0, 1])
@pytest.mark.parametrize("is_answer", [True, False])
async def test_a_question_that_fails(connections_max: int, is_answer: bool) -> None:
    database, writer = await opened(connections_max)
    assert await database.fetch(QUESTION) == [(1,)]
    used = database.made[-1]
    assert (used is writer) == (connections_max == 1)
    used.error = AnswerError("no") if is_answer else OSError("gone")
    with pytest.raises(StoreError) as caught:
        await database.fetch(QUESTION)
    assert isinstance(caught.value, ConnectionLostError) == (not is_answer)
    # What was answered, if only with an error, has come to its end; the only connection may have the right to write.
    assert used.is_closed == (not is_answer or used is not writer)


@pytest.mark.parametrize("connections_max", [0, 1])
async def test_a_question_that_is_not_answered(connections_max: int) -> None:
    database, _ = await opened(connections_max)
    await database.fetch(QUESTION)
    used = database.made[-1]
    used.hangs = True
    with pytest.raises(ConnectionLostError, match=f'executing "{QUESTION}": the database did not answer within 0.01 s'):
        await database.fetch(QUESTION)
    assert used.is_closed
    if connections_max == 1:
        with pytest.raises(ConnectionLostError, match="the connection to the database is lost"):
            await database.fetch(QUESTION)
    else:
        assert await database.fetch(QUESTION) == [(1,)]
    database._end_all()
    assert all(connection.is_closed for connection in database.made)


def test_questions_through_whole_tables_may_take_longer() -> None:
    assert QUESTION not in sql.LOADING


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_database_that_takes_connections_and_says_nothing(kind: str) -> None:
    """A lost network while the connection is made is told, not waited for."""
    writers: list[asyncio.StreamWriter] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    source = {
        "postgres": f"host=127.0.0.1 port={port} user=u sslmode=disable connect_timeout=1",
        "mysql": f"u@tcp(127.0.0.1:{port})/db?timeout=300ms",
    }[kind]
    database = new_database(kind, source)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionLostError, match="sql: cannot connect to the database"):
                await database.open(True)
    finally:
        await database.close()
        silent.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
