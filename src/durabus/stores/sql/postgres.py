"""PostgreSQL through asyncpg: messages by COPY or as arrays, never row by row.

The connection that writes holds an advisory lock of the database: alone when there is one server, shared in a group. A
transaction that stands still is ended by the database, so that a server that was stopped cannot block the others.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.connections import Connections
from durabus.stores.sql.database import (
    LOADING_S,
    LOST_LOCK,
    NO_ANSWER_S,
    READERS_MAX,
    ConnectionLostError,
    Database,
    WriteFailedError,
    shown,
)
from durabus.stores.sql.plan import Changes, Messages, Row
from durabus.stores.sql.schema import POSTGRES
from durabus.stores.sql.source import PostgresSource, tls_context
from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN

__all__ = ["PostgresDatabase"]

Connect = Callable[..., Awaitable[Any]]

_COPY_MIN: Final = 50  # rows from which COPY is faster than arrays
_VALUE_BYTES_MAX: Final = 500_000_000
_LOCK_CLASS: Final = 0x44757261  # "Dura"
_LOCK: Final = f"({_LOCK_CLASS}, hashtext(current_schema()))"
_ALONE: Final = f"SELECT pg_try_advisory_lock{_LOCK}"
_IN_GROUP: Final = f"SELECT pg_try_advisory_lock_shared{_LOCK}"
_LOCK_PATIENCE_S: Final = 3.0
"""How long the connections of a server that just ended may take to be gone."""
_PAUSE_S: Final = 0.1
_STANDSTILL: Final = "5s"
_INSERT_ARRAYS: Final = (
    "INSERT INTO Messages (id, seq, timestamp, size, data)"
    " SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[], $5::bytea[])"
)
_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_UNSURE_STATES: Final = ("08", "57P", "58", "XX")


class PostgresDatabase(Database):
    """The database at `source`, with at most `connections_max` connections (0: as many as are useful)."""

    def __init__(self, source: PostgresSource, connections_max: int = 0, connect: Connect = asyncpg.connect) -> None:
        """Touch nothing yet; `connect` makes connections."""
        self.dialect = POSTGRES
        self.message_bytes_max = _VALUE_BYTES_MAX
        self._source = source
        self._connect_with = connect
        self._answer_s = source.answer_timeout_s or NO_ANSWER_S
        self._writer: Any = None
        self._writer_turn = asyncio.Lock()
        self._is_single = connections_max == 1
        self._backend: tuple[int, object] | None = None  # of the last connection that wrote: pid and start
        others = min(connections_max - 1, READERS_MAX) if connections_max > 1 else READERS_MAX
        self._others: Connections[Any] = Connections(
            others, self._connect, lambda connection: bool(connection.is_closed()), _end
        )

    async def _connect(self) -> Any:  # noqa: ANN401 - asyncpg has no types
        source = self._source
        mode = source.tls_mode
        tls: ssl.SSLContext | bool = False
        if mode != "disable":
            verify = mode != "require" or bool(source.tls_files[2])
            tls = tls_context(verify, mode == "verify-full", source.tls_files)
        settings = {"idle_in_transaction_session_timeout": _STANDSTILL, **dict(source.settings)}
        try:
            return await self._connect_with(
                host=source.host or None,
                port=source.port or None,
                user=source.user or None,
                password=source.password or None,
                database=source.database or None,
                ssl=tls,
                timeout=source.connect_timeout_s or NO_ANSWER_S,
                command_timeout=self._answer_s,
                statement_cache_size=100 if source.prepares else 0,
                server_settings=settings,
            )
        except (*_ERRORS, ValueError) as error:
            place = f"{source.host or 'localhost'}:{source.port or 5432}"
            text = f"sql: cannot connect to the database at {place}: {shown(error, source.password)}"
            raise ConnectionLostError(text) from None

    async def open(self, exclusive: bool) -> None:
        """Connect anew, when nothing of the connections before is at work any more."""
        self._end_all()
        writer = await self._connect()
        try:
            await self._end_backend(writer)
            await self._take_lock(writer, exclusive)
            # An acknowledgement means that it is on stable storage, whatever the database has for a default.
            await writer.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
            row = await writer.fetchrow("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            fsync = await writer.fetchval("SHOW fsync")
        except _ERRORS as error:
            _end(writer)
            raise ConnectionLostError(f"sql: cannot open the database: {self._shown(error)}") from None
        except BaseException:
            _end(writer)
            raise
        self.weakness = "" if fsync == "on" else "PostgreSQL runs with fsync=off"
        self._backend = (row[0], row[1]) if row is not None else None
        self._writer = writer

    async def _end_backend(self, writer: Any) -> None:  # noqa: ANN401
        """End our connection before, if the database still has it: it may be about to commit."""
        if self._backend is None:
            return
        for _ in range(round(NO_ANSWER_S / _PAUSE_S)):
            rows = await writer.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid=$1 AND backend_start=$2",
                *self._backend,
            )
            if not rows:
                self._backend = None
                return
            await asyncio.sleep(_PAUSE_S)
        raise ConnectionLostError("sql: an earlier connection to the database does not end")

    async def _take_lock(self, writer: Any, exclusive: bool) -> None:  # noqa: ANN401
        """Be the only server, or one of a group: then nobody may be the only one."""
        for _ in range(round(_LOCK_PATIENCE_S / _PAUSE_S)):
            if await writer.fetchval(_ALONE if exclusive else _IN_GROUP):
                return
            await asyncio.sleep(_PAUSE_S)
        raise StoreError("sql: another server uses the database")

    async def transact(self, changes: Changes, owner: str) -> None:
        """Make `changes` in one transaction."""
        async with self._writer_turn:
            writer = self._writer
            if writer is None or writer.is_closed():
                raise WriteFailedError(REFUSED, "sql: the connection to the database is lost")
            work = _Transaction(writer, changes, owner)
            try:
                async with asyncio.timeout(self._answer_s):
                    await work.run()
            except _ERRORS as error:
                _end(writer)
                text = self._text(work.statement, error)
                is_answer = isinstance(error, asyncpg.PostgresError) and not _is_unsure(error)
                raise WriteFailedError(_outcome(error, work.is_committing), text, is_answer) from None
            except BaseException:
                _end(writer)
                raise

    async def fetch(self, statement: str, arguments: Row = ()) -> Sequence[Sequence[Any]]:
        """Ask on a connection for reading."""
        limit_s = LOADING_S if statement in sql.LOADING else self._answer_s
        rows: Sequence[Sequence[Any]] = await self._on_other(
            statement, lambda connection, text: connection.fetch(text, *arguments, timeout=limit_s)
        )
        return rows

    async def execute(self, statement: str, arguments: Row = ()) -> int:
        """Change something on a connection of its own."""
        status: str = await self._on_other(statement, lambda connection, text: connection.execute(text, *arguments))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def _on_other(self, statement: str, work: Callable[[Any, str], Awaitable[Any]]) -> Any:  # noqa: ANN401
        text = self.dialect.statement(statement)
        try:
            if self._is_single:
                async with self._writer_turn:
                    if self._writer is None:
                        raise ConnectionLostError("sql: the connection to the database is lost")
                    return await work(self._writer, text)
            async with self._others.one() as connection:
                return await work(connection, text)
        except _ERRORS as error:
            lost = not isinstance(error, asyncpg.PostgresError) or _is_unsure(error)
            kind = ConnectionLostError if lost else StoreError
            raise kind(self._text(statement, error)) from None

    def _text(self, statement: str, error: BaseException) -> str:
        """What to tell of an error in `statement`."""
        if isinstance(error, asyncpg.PostgresError | TimeoutError):
            return f'sql: error executing "{statement}": {self._shown(error)}'
        return f"sql: the connection to the database is lost: {self._shown(error)}"

    def _shown(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"the database did not answer within {self._answer_s:g} s"
        return shown(error, self._source.password)

    def _end_all(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            _end(writer)
        self._others.end_all()

    async def close(self) -> None:
        """Close all connections."""
        writer = self._writer
        if writer is not None and not writer.is_closed():
            # Without its cooperation, it is ended below.
            with suppress(*_ERRORS):
                await writer.close(timeout=1)
        self._end_all()


class _Transaction:
    """One transaction under way: `statement` is the one at work, `is_committing` whether it may have been committed."""

    def __init__(self, connection: Any, changes: Changes, owner: str) -> None:  # noqa: ANN401
        self._connection = connection
        self._changes = changes
        self._owner = owner
        self.statement = "BEGIN"
        self.is_committing = False

    async def run(self) -> None:
        """From its beginning to its end."""
        changes = self._changes
        statements = changes.before + changes.after
        messages = changes.messages
        if not self._owner and (len(statements) == 0 or (not messages.bodies and _is_one(statements))):
            # A statement alone is a transaction.
            self.is_committing = True
            await self._do(statements)
            if messages.bodies:
                await self._insert(messages)
            return
        await self._connection.execute("BEGIN")
        await self._do(changes.before)
        if messages.bodies:
            await self._insert(messages)
        await self._do(changes.after)
        if self._owner:
            # At the end, so that nobody waits for us in between; it holds until the transaction has ended.
            self.statement = sql.FENCE
            rows = await self._connection.fetch(sql.FENCE + " FOR SHARE")
            if [row[0] for row in rows] != [self._owner]:
                await self._connection.execute("ROLLBACK")
                raise WriteFailedError(FATAL, LOST_LOCK)
        self.statement = "COMMIT"
        self.is_committing = True
        if await self._connection.execute("COMMIT") != "COMMIT":
            raise WriteFailedError(REFUSED, "sql: the database rolled the transaction back")

    async def _do(self, statements: list[tuple[str, list[Row]]]) -> None:
        for statement, rows in statements:
            self.statement = statement
            text = POSTGRES.statement(statement)
            if len(rows) == 1:
                await self._connection.execute(text, *rows[0])
            else:
                await self._connection.executemany(text, rows)

    async def _insert(self, messages: Messages) -> None:
        self.statement = sql.INSERT_MESSAGE
        columns = (
            messages.channel_ids,
            messages.sequences,
            messages.timestamps_ns,
            list(map(len, messages.bodies)),
            messages.bodies,
        )
        if len(messages.bodies) < _COPY_MIN:
            await self._connection.execute(_INSERT_ARRAYS, *columns)
        else:
            await self._connection.copy_records_to_table(
                "messages", records=zip(*columns, strict=True), columns=("id", "seq", "timestamp", "size", "data")
            )


def _is_one(statements: list[tuple[str, list[Row]]]) -> bool:
    return len(statements) == 1 and len(statements[0][1]) == 1


def _end(connection: Any) -> None:  # noqa: ANN401
    connection.terminate()


def _is_unsure(error: asyncpg.PostgresError) -> bool:
    """Whether the server's answer says that it, or the connection, is at its end."""
    state = getattr(error, "sqlstate", None) or "XX"
    return str(state).startswith(_UNSURE_STATES)


def _outcome(error: BaseException, is_committing: bool) -> int:
    """How a transaction failed."""
    if not is_committing or (isinstance(error, asyncpg.PostgresError) and not _is_unsure(error)):
        return REFUSED
    return UNKNOWN
