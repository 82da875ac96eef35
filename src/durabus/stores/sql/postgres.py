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
from durabus.stores.sql.database import LOST_LOCK, NO_ANSWER_S, ConnectionLostError, WriteFailedError, shown
from durabus.stores.sql.networked import NetworkedDatabase, Transaction
from durabus.stores.sql.plan import Changes, Messages, Row
from durabus.stores.sql.schema import POSTGRES
from durabus.stores.sql.source import PostgresSource, tls_context
from durabus.streaming.store_port import FATAL, REFUSED

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
_KEEPALIVES: Final = tuple(
    f"set_config('tcp_keepalives_{name}', '{value}', false)"
    for name, value in (("idle", 10), ("interval", 5), ("count", 4))
)
_INSERT_ARRAYS: Final = (
    "INSERT INTO Messages (id, seq, timestamp, size, data)"
    " SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::int[], $5::bytea[])"
)
_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_BROKEN_OFF: Final = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_UNSURE_STATES: Final = ("08", "57P", "58", "XX")


class PostgresDatabase(NetworkedDatabase):
    """The database at `source`, with at most `connections_max` connections (0: as many as are useful)."""

    def __init__(self, source: PostgresSource, connections_max: int = 0, connect: Connect = asyncpg.connect) -> None:
        """Touch nothing yet; `connect` makes connections."""
        super().__init__(_ERRORS, source.password, source.answer_timeout_s, connections_max)
        self.dialect = POSTGRES
        self.message_bytes_max = _VALUE_BYTES_MAX
        self._source = source
        self._connect_with = connect
        self._backend: tuple[int, object] | None = None  # of the last connection that wrote: pid and start

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
            if "rejected SSL upgrade" in text:
                text += "; sslmode=disable in -sql_source does without encryption"
            raise ConnectionLostError(text) from None

    async def open(self, exclusive: bool) -> None:
        """Connect anew, when nothing of the connections before is at work any more."""
        self._end_all()
        writer = await self._connect()
        row, fsync = await self._opened(writer, self._begin(writer, exclusive), self._answer_s + NO_ANSWER_S)
        self.weakness = "" if fsync == "on" else "PostgreSQL runs with fsync=off"
        self._backend = (row[0], row[1]) if row is not None else None
        self._writer = writer

    async def _begin(self, writer: Any, exclusive: bool) -> tuple[Any, str]:  # noqa: ANN401
        """What comes before anything else on the connection that writes: its pid and start, and whether fsync is on."""
        await self._end_backend(writer)
        await self._take_lock(writer, exclusive)
        # An acknowledgement means that it is on stable storage, whatever the database has for a default.
        await writer.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        # A machine that lost its power holds the lock until the database sees that it is gone.
        await writer.execute(f"SELECT {', '.join(_KEEPALIVES)}")
        row = await writer.fetchrow("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        return row, await writer.fetchval("SHOW fsync")

    async def _begin_snapshot(self, writer: Any) -> None:  # noqa: ANN401
        await writer.execute("SET idle_in_transaction_session_timeout = 0")
        await writer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await writer.fetchval("SELECT 1")  # the moment is that of the first question

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

    async def fetch(self, statement: str, arguments: Row = ()) -> Sequence[Sequence[Any]]:
        """Ask on a connection for reading."""

        async def ask(connection: Any, text: str, limit_s: float) -> Sequence[Sequence[Any]]:  # noqa: ANN401
            rows: Sequence[Sequence[Any]] = await connection.fetch(text, *arguments, timeout=limit_s)
            return rows

        return await self._on_other(statement, ask, self.dialect.statement(statement))

    async def execute(self, statement: str, arguments: Row = ()) -> int:
        """Change something on a connection of its own."""

        async def run(connection: Any, text: str, limit_s: float) -> str:  # noqa: ANN401
            return str(await connection.execute(text, *arguments, timeout=limit_s))

        status = await self._on_other(statement, run, self.dialect.statement(statement))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    def _is_closed(self, connection: Any) -> bool:  # noqa: ANN401
        return bool(connection.is_closed())

    def _end(self, connection: Any) -> None:  # noqa: ANN401
        connection.terminate()

    def _transaction(self, changes: Changes, owner: str) -> Transaction:
        return _Transaction(self._writer, changes, owner)

    def _is_answer(self, error: BaseException) -> bool:
        return isinstance(error, asyncpg.PostgresError) and not isinstance(error, _BROKEN_OFF)

    def _shown(self, error: BaseException) -> str:
        # What the driver says then is about itself: "cannot switch to state 12; another operation (2) is in progress".
        return "it broke off in the middle of an operation" if isinstance(error, _BROKEN_OFF) else super()._shown(error)

    def _is_unsure(self, error: BaseException) -> bool:
        state = str(getattr(error, "sqlstate", None) or "XX")
        return not self._is_answer(error) or state.startswith(_UNSURE_STATES)

    async def close(self) -> None:
        """Close all connections."""
        writer = self._writer
        if writer is not None and not writer.is_closed():
            # Without its cooperation, it is ended below.
            with suppress(*_ERRORS):
                await writer.close(timeout=1)
        self._end_all()


class _Transaction(Transaction):
    """Statements with their values beside them."""

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
        if len(messages.bodies) == 1:
            await self._connection.execute(POSTGRES.statement(sql.INSERT_MESSAGE), *(column[0] for column in columns))
        elif len(messages.bodies) < _COPY_MIN:
            await self._connection.execute(_INSERT_ARRAYS, *columns)
        else:
            await self._connection.copy_records_to_table(
                "messages", records=zip(*columns, strict=True), columns=("id", "seq", "timestamp", "size", "data")
            )


def _is_one(statements: list[tuple[str, list[Row]]]) -> bool:
    return len(statements) == 1 and len(statements[0][1]) == 1
