"""MySQL and MariaDB through asyncmy: many rows in one INSERT, values as text without anything to escape.

The connection that writes holds two named locks: one that says that the database has a server, and one with a name that
nobody else knows, by which we find and end our own connection when it is lost but the database does not know it yet.
"""

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncmy
from asyncmy.errors import MySQLError

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import LOST_LOCK, NO_ANSWER_S, ConnectionLostError, WriteFailedError, shown
from durabus.stores.sql.networked import NetworkedDatabase, Transaction
from durabus.stores.sql.plan import Changes, Messages, Row
from durabus.stores.sql.schema import MYSQL
from durabus.stores.sql.source import MysqlSource, tls_context
from durabus.streaming.store_port import FATAL

__all__ = ["MysqlDatabase"]

Connect = Callable[..., Awaitable[Any]]

_ROWS_MAX: Final = 1000  # of one INSERT
_PACKET_BYTES_MAX: Final = 4 * 1024 * 1024
_PACKET_SPARE_BYTES: Final = 4096
_LOCK_PATIENCE_S: Final = 3
_PAUSE_S: Final = 0.1
_WAIT_S: Final = 31_536_000  # how long an idle connection may stay: the most there is
_STANDSTILL_S: Final = 5
_SILENCE_S: Final = 30  # how long the one that writes may: with it goes what it has locked
_SIGN_S: Final = 8.0
# What these do for many rows, which are all there, is one statement for all of them.
_MANY: Final = {
    sql.MOVE_SUBSCRIPTION: (
        "INSERT INTO Subscriptions (lastsent, id, subid) VALUES (?, ?, ?)",
        " ON DUPLICATE KEY UPDATE lastsent=VALUES(lastsent)",
    ),
}
_ERRORS: Final = (MySQLError, OSError, TimeoutError, EOFError)
# Answers that leave open what became of a commit: shutting down, errors in committing itself, lost packets, killed.
_UNSURE_NUMBERS: Final = frozenset((1053, 1152, 1158, 1159, 1160, 1161, 1180, 1184, 1317, 1927))


class MysqlDatabase(NetworkedDatabase):
    """The database at `source`, with at most `connections_max` connections (0: as many as are useful)."""

    def __init__(self, source: MysqlSource, connections_max: int = 0, connect: Connect = asyncmy.connect) -> None:
        """Touch nothing yet; `connect` makes connections."""
        super().__init__(_ERRORS, source.password, source.answer_timeout_s, connections_max)
        self.dialect = MYSQL
        self.message_bytes_max = _PACKET_BYTES_MAX
        self._source = source
        self._connect_with = connect
        self._lock_name = "durabus-" + hashlib.sha256(source.database.encode()).hexdigest()[:32]
        self._own_name = "durabus-" + secrets.token_hex(16)
        self._was_open = False
        self._signs: asyncio.Task[None] | None = None  # of life, on the connection that writes

    async def _connect(self) -> Any:  # noqa: ANN401 - its stubs are not what it does
        source = self._source
        tls: ssl.SSLContext | None = None
        if source.tls != "false":
            tls = tls_context(source.tls == "true", source.tls == "true")
        try:
            try:
                connection = await self._connect_once(tls)
            except _ERRORS:
                if source.tls != "preferred":
                    raise
                connection = await self._connect_once(None)
        except (*_ERRORS, ValueError) as error:
            place = source.socket or f"{source.host}:{source.port}"
            text = f"sql: cannot connect to the database at {place}: {shown(error, source.password)}"
            raise ConnectionLostError(text) from None
        await self._opened(connection, self._prepare(connection))
        return connection

    async def _connect_once(self, tls: ssl.SSLContext | None) -> Any:  # noqa: ANN401
        source = self._source
        place: dict[str, object] = (
            {"unix_socket": source.socket} if source.socket else {"host": source.host, "port": source.port}
        )
        limit_s = source.connect_timeout_s or NO_ANSWER_S
        async with asyncio.timeout(limit_s):  # its own limit does not go beyond the first answer
            return await self._connect_with(
                user=source.user or None,
                password=source.password,
                database=source.database,
                charset=source.charset,
                connect_timeout=limit_s,
                autocommit=True,
                ssl=tls,
                **place,
            )

    async def _prepare(self, connection: Any) -> None:  # noqa: ANN401
        """What every connection begins with."""
        await _run(connection, f"SET SESSION wait_timeout = {_WAIT_S}")
        for name, value in self._source.variables:
            await _run(connection, f"SET {name} = {value}")
        # What does not fit must be an error, never be cut off.
        await _run(connection, "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")

    async def open(self, exclusive: bool) -> None:
        """Connect anew, when nothing of the connections before is at work any more."""
        self._end_all()
        writer = await self._connect()
        packet, flush = await self._opened(writer, self._begin(writer, exclusive), self._answer_s + NO_ANSWER_S)
        self.weakness = "" if flush == "1" else f"MySQL runs with innodb_flush_log_at_trx_commit={flush}"
        # As text, a byte takes two.
        self.message_bytes_max = (packet - _PACKET_SPARE_BYTES) // 2
        self._writer = writer
        self._signs = asyncio.get_running_loop().create_task(self._show_signs(writer))

    async def _begin(self, writer: Any, exclusive: bool) -> tuple[int, str]:  # noqa: ANN401
        """What comes before anything else on the connection that writes: how large a packet may be, and what syncs."""
        await self._end_own(writer)
        await self._take_lock(writer, exclusive)
        await _ask(writer, f"SELECT GET_LOCK('{self._own_name}', 0)")
        self._was_open = True
        packet = int(str((await _ask(writer, "SELECT @@max_allowed_packet"))[0][0]))
        flush = str((await _ask(writer, "SELECT @@innodb_flush_log_at_trx_commit"))[0][0])
        await self._end_standstill(writer)
        return packet, flush

    async def _show_signs(self, writer: Any) -> None:  # noqa: ANN401
        """Say something on the connection that writes every now and then: without, the database ends it."""
        while True:
            await asyncio.sleep(_SIGN_S)
            async with self._writer_turn:
                if self._is_closed(writer):
                    return
                try:
                    async with asyncio.timeout(self._answer_s):
                        await _run(writer, "DO 0")
                except _ERRORS:
                    self._end(writer)  # the next batch finds it so, and the store begins anew
                    return

    async def _begin_snapshot(self, writer: Any) -> None:  # noqa: ANN401
        await _run(writer, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await _run(writer, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    async def _end_own(self, writer: Any) -> None:  # noqa: ANN401
        """End our connection before, if the database still has it: it may be about to commit."""
        if not self._was_open:
            return
        for _ in range(round(NO_ANSWER_S / _PAUSE_S)):
            rows = await _ask(writer, f"SELECT IS_USED_LOCK('{self._own_name}')")
            if rows[0][0] is None:
                return
            # There may be nothing left to end.
            with suppress(MySQLError):
                await _run(writer, f"KILL {int(str(rows[0][0]))}")
            await asyncio.sleep(_PAUSE_S)
        raise ConnectionLostError("sql: an earlier connection to the database does not end")

    async def _take_lock(self, writer: Any, exclusive: bool) -> None:  # noqa: ANN401
        """Be the only server, or one of a group: then nobody may be the only one."""
        if exclusive:
            question = f"SELECT GET_LOCK('{self._lock_name}', {_LOCK_PATIENCE_S})"
        else:
            question = f"SELECT IS_FREE_LOCK('{self._lock_name}')"
        if (await _ask(writer, question))[0][0] != 1:
            raise StoreError("sql: another server uses the database")

    async def _end_standstill(self, writer: Any) -> None:  # noqa: ANN401
        """A transaction that stands still is ended, so that a server that was stopped does not block the others.

        So is a connection without a sign of life, with the locks it has: its machine may have lost its power.
        """
        # MariaDB has this variable, MySQL has not.
        with suppress(MySQLError):
            await _run(writer, f"SET SESSION idle_transaction_timeout = {_STANDSTILL_S}")
        await _run(writer, f"SET SESSION wait_timeout = {_SILENCE_S}")

    async def fetch(self, statement: str, arguments: Row = ()) -> Sequence[Sequence[Any]]:
        """Ask on a connection for reading."""

        async def ask(connection: Any, text: str, limit_s: float) -> Sequence[Sequence[Any]]:  # noqa: ANN401
            return await _ask(connection, text)

        return await self._on_other(statement, ask, _filled(statement, arguments))

    async def execute(self, statement: str, arguments: Row = ()) -> int:
        """Change something on a connection of its own."""

        async def run(connection: Any, text: str, limit_s: float) -> int:  # noqa: ANN401
            return await _run(connection, text)

        return await self._on_other(statement, run, _filled(statement, arguments))

    def _is_closed(self, connection: Any) -> bool:  # noqa: ANN401
        return not connection.connected

    def _end(self, connection: Any) -> None:  # noqa: ANN401
        connection.close()

    def _transaction(self, changes: Changes, owner: str) -> Transaction:
        packet_max = min(_PACKET_BYTES_MAX, self.message_bytes_max * 2)
        return _Transaction(self._writer, changes, owner, packet_max)

    def _is_answer(self, error: BaseException) -> bool:
        return 1000 <= _number(error) < 2000

    def _is_unsure(self, error: BaseException) -> bool:
        return not self._is_answer(error) or _number(error) in _UNSURE_NUMBERS

    def _end_all(self) -> None:
        signs, self._signs = self._signs, None
        if signs is not None:
            signs.cancel()
        super()._end_all()

    async def close(self) -> None:
        """Close all connections."""
        writer = self._writer
        if writer is not None and writer.connected:
            # Without its cooperation, it is ended below.
            with suppress(*_ERRORS):
                async with asyncio.timeout(1):
                    await writer.ensure_closed()
        self._end_all()


class _Transaction(Transaction):
    """Statements with their values in them."""

    def __init__(self, connection: Any, changes: Changes, owner: str, packet_bytes_max: int) -> None:  # noqa: ANN401
        self._connection = connection
        self._changes = changes
        self._owner = owner
        self._packet_bytes_max = packet_bytes_max
        self.statement = "START TRANSACTION"
        self.is_committing = False

    async def run(self) -> None:
        """From its beginning to its end."""
        changes = self._changes
        texts = [(name, text) for name, rows in changes.before for text in self._texts(name, rows)]
        texts += [(sql.INSERT_MESSAGE, text) for text in self._inserts(changes.messages)]
        texts += [(name, text) for name, rows in changes.after for text in self._texts(name, rows)]
        if len(texts) == 1 and not self._owner:
            # A statement alone is a transaction.
            self.statement = texts[0][0]
            self.is_committing = True
            await self._connection.query(texts[0][1])
            return
        await self._connection.query("START TRANSACTION")
        for self.statement, text in texts:
            await self._connection.query(text)
        if self._owner:
            # At the end, so that nobody waits for us in between; it holds until the transaction has ended.
            self.statement = sql.FENCE
            rows = await _ask(self._connection, sql.FENCE + " LOCK IN SHARE MODE")
            if [row[0] for row in rows] != [self._owner]:
                await self._connection.query("ROLLBACK")
                raise WriteFailedError(FATAL, LOST_LOCK)
        self.statement = "COMMIT"
        self.is_committing = True
        await self._connection.query("COMMIT")

    def _texts(self, statement: str, rows: list[Row]) -> list[str]:
        """The texts that do `statement` for all `rows`: as few as there can be."""
        if statement == sql.DELETE_PENDING and len(rows) > 1:
            numbers = ",".join(_literal(row[0]) for row in rows)
            return [f"DELETE FROM SubsPending WHERE subid IN ({numbers})"]  # noqa: S608 - numbers, as they are
        many, end = _MANY.get(statement, (statement, "")) if len(rows) > 1 else (statement, "")
        head, values, row_text = many.partition(" VALUES ")
        if not values:
            return [_filled(statement, row) for row in rows]
        head = MYSQL.statement(head) + values
        return [
            head + ",".join(_filled(row_text, row) for row in rows[at : at + _ROWS_MAX]) + end
            for at in range(0, len(rows), _ROWS_MAX)
        ]

    def _inserts(self, messages: Messages) -> list[str]:
        head = sql.INSERT_MESSAGE.partition("(?")[0]
        texts: list[str] = []
        rows: list[str] = []
        size = 0
        for channel_id, sequence, timestamp_ns, body in zip(
            messages.channel_ids, messages.sequences, messages.timestamps_ns, messages.bodies, strict=True
        ):
            length = len(body)
            if rows and (len(rows) >= _ROWS_MAX or size + 2 * length + 80 > self._packet_bytes_max):
                texts.append(head + ",".join(rows))
                rows = []
                size = 0
            rows.append(f"({channel_id},{sequence},{timestamp_ns},{length},x'{body.hex()}')")
            size += 2 * length + 80
        if rows:
            texts.append(head + ",".join(rows))
        return texts


def _literal(value: object) -> str:
    """A value as SQL, in ASCII and without anything that could end it early."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return f"_utf8mb4 x'{value.encode(errors='replace').hex()}'"
    raise TypeError(f"no value for a column: {type(value).__name__}")


def _filled(statement: str, row: Row) -> str:
    """`statement` with the values of `row` in it."""
    parts = MYSQL.statement(statement).split("%s")
    text = parts[0]
    for part, value in zip(parts[1:], row, strict=True):
        text += _literal(value) + part
    return text


async def _run(connection: Any, text: str) -> int:  # noqa: ANN401
    """Do something; how many rows it changed."""
    return int(await connection.query(text))


async def _ask(connection: Any, text: str) -> Sequence[Sequence[Any]]:  # noqa: ANN401
    """The rows of a question."""
    async with connection.cursor() as cursor:
        await cursor.execute(text)
        rows: Sequence[Sequence[Any]] = await cursor.fetchall()
        return rows


def _number(error: BaseException) -> int:
    """The number of an answer of the server, from 1000 to 1999, or of the client's, from 2000 on; 0: neither."""
    is_numbered = isinstance(error, MySQLError) and error.args and isinstance(error.args[0], int)
    return int(error.args[0]) if is_numbered else 0
