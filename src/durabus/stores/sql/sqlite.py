"""sqlite: one file, one thread that writes and one that reads.

A transaction is committed when it is in the write-ahead log and that is synchronised (WAL, synchronous=FULL). A lock on a
file beside the database keeps a second server away.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import LOST_LOCK, ConnectionLostError, Database, WriteFailedError
from durabus.stores.sql.plan import Changes, Messages, Row
from durabus.stores.sql.schema import SQLITE
from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN

__all__ = ["SqliteDatabase"]

T = TypeVar("T")
_FAILED_SYNC: Final = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)
_BUSY_S: Final = 5.0
_VALUE_BYTES_MAX: Final = 500_000_000
"""What a value may be in sqlite as it is usually built, halved."""
_ROWS: Final = 64
_INSERT_ROWS: Final = sql.INSERT_MESSAGE + ", (?, ?, ?, ?, ?)" * (_ROWS - 1)


class SqliteDatabase(Database):
    """The database in the file `path`."""

    def __init__(self, path: str, connect: Callable[..., sqlite3.Connection] = sqlite3.connect) -> None:
        """Open nothing yet; `connect` makes connections."""
        self.dialect = SQLITE
        self.message_bytes_max = _VALUE_BYTES_MAX
        self._path = Path(path)
        self._connect = connect
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._write_thread: ThreadPoolExecutor | None = None
        self._read_thread: ThreadPoolExecutor | None = None
        self._lock_file = -1

    async def open(self, exclusive: bool) -> None:
        """Open the file, which is made when it is not there."""
        if self._write_thread is None:
            self._write_thread = ThreadPoolExecutor(1, "durabus-sql-write")
            self._read_thread = ThreadPoolExecutor(1, "durabus-sql-read")
        await self._in(self._read_thread, self._close_reader)
        await self._in(self._write_thread, lambda: self._open(exclusive))
        await self._in(self._read_thread, self._open_reader)

    def _open(self, exclusive: bool) -> None:
        self._close_writer()
        try:
            is_new = not self._path.exists()
            if self._lock_file < 0:
                self._lock_file = os.open(f"{self._path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._lock(exclusive)
            self._writer = self._connection()
            if is_new:
                folder = os.open(self._path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise StoreError(f"sql: cannot open {self._path}: {error.strerror or error}") from error
        except sqlite3.Error as error:
            raise StoreError(f"sql: cannot open {self._path}: {error}") from error

    def _lock(self, exclusive: bool) -> None:
        """Be the only server, or one of a group: then nobody may be the only one."""
        try:
            fcntl.flock(self._lock_file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"sql: another server uses the database {self._path}") from None

    def _connection(self) -> sqlite3.Connection:
        connection = self._connect(str(self._path), timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=1")
        connection.execute("PRAGMA cache_size=-16000")
        return connection

    def _open_reader(self) -> None:
        try:
            self._reader = self._connection()
        except sqlite3.Error as error:
            raise StoreError(f"sql: cannot open {self._path}: {error}") from error

    async def _in(self, thread: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
        if thread is None:
            raise ConnectionLostError("sql: the database is not open")
        # Work that has begun is not given up half-way: whoever waits for it may be.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(thread, work))

    async def open_snapshot(self) -> None:
        """Open the file for reading, in a transaction that lasts until the end."""
        if self._read_thread is None:
            self._read_thread = ThreadPoolExecutor(1, "durabus-sql-read")
            self._write_thread = ThreadPoolExecutor(1, "durabus-sql-write")
        await self._in(self._read_thread, self._open_snapshot)

    def _open_snapshot(self) -> None:
        self._close_reader()
        if not self._path.exists():
            raise StoreError(f"sql: there is no database {self._path}")
        try:
            address = f"file:{quote(str(self._path.absolute()))}?mode=ro"
            self._reader = self._connect(
                address, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._reader.execute("BEGIN")
            self._reader.execute(
                "SELECT COUNT(*) FROM sqlite_master"
            ).fetchall()  # the moment is that of the first question
        except sqlite3.Error as error:
            raise StoreError(f"sql: cannot open {self._path}: {error}") from error

    async def transact(self, changes: Changes, owner: str) -> None:
        """Make `changes` in the writing thread."""
        try:
            await self._in(self._write_thread, lambda: self._transact(changes, owner))
        except ConnectionLostError as error:
            raise WriteFailedError(REFUSED, str(error)) from error

    def _transact(self, changes: Changes, owner: str) -> None:
        writer = self._writer
        if writer is None:
            raise WriteFailedError(REFUSED, "sql: the database is not open")
        statement = "BEGIN IMMEDIATE"
        try:
            writer.execute(statement)
            for statement, rows in changes.before:
                writer.executemany(self.dialect.statement(statement), rows)
            if changes.messages.bodies:
                statement = sql.INSERT_MESSAGE
                _insert(writer, changes.messages)
            for statement, rows in changes.after:
                writer.executemany(self.dialect.statement(statement), rows)
            if owner:
                statement = sql.FENCE
                if writer.execute(statement).fetchall() != [(owner,)]:
                    self._roll_back(writer)
                    raise WriteFailedError(FATAL, LOST_LOCK)
            statement = "COMMIT"
            writer.execute(statement)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            self._roll_back(writer)
            text = f'sql: error executing "{statement}": {error}'
            raise WriteFailedError(_outcome(error, statement == "COMMIT"), text, is_answer=True) from error

    def _roll_back(self, writer: sqlite3.Connection) -> None:
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        except sqlite3.Error:
            # It cannot be used any more: closing it ends its transaction, and `open` makes another.
            self._close_writer()

    async def fetch(self, statement: str, arguments: Row = ()) -> Sequence[Sequence[Any]]:
        """Ask in the reading thread."""
        return await self._in(self._read_thread, lambda: self._fetch(statement, arguments))

    def _fetch(self, statement: str, arguments: Row) -> list[tuple[object, ...]]:
        if self._reader is None:
            raise ConnectionLostError("sql: the database is not open")
        try:
            return self._reader.execute(self.dialect.statement(statement), arguments).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f'sql: error executing "{statement}": {error}') from error

    async def execute(self, statement: str, arguments: Row = ()) -> int:
        """Change something in the writing thread, between two batches."""
        return await self._in(self._write_thread, lambda: self._execute(statement, arguments))

    def _execute(self, statement: str, arguments: Row) -> int:
        if self._writer is None:
            raise ConnectionLostError("sql: the database is not open")
        try:
            return self._writer.execute(self.dialect.statement(statement), arguments).rowcount
        except sqlite3.Error as error:
            raise StoreError(f'sql: error executing "{statement}": {error}') from error

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _unlock(self) -> None:
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    async def close(self) -> None:
        """Let go of the file, and end the threads."""
        read_thread, self._read_thread = self._read_thread, None
        write_thread, self._write_thread = self._write_thread, None
        if read_thread is None or write_thread is None:
            return
        await self._in(read_thread, self._close_reader)
        await self._in(write_thread, self._close_writer)
        await self._in(write_thread, self._unlock)
        read_thread.shutdown()
        write_thread.shutdown()


def _insert(writer: sqlite3.Connection, messages: Messages) -> None:
    """Insert messages, many with each statement: after each one this thread waits until the others let it go on."""
    rows = zip(
        messages.channel_ids,
        messages.sequences,
        messages.timestamps_ns,
        map(len, messages.bodies),
        messages.bodies,
        strict=True,
    )
    for _ in range(len(messages.bodies) // _ROWS):
        writer.execute(_INSERT_ROWS, tuple(chain.from_iterable(islice(rows, _ROWS))))
    writer.executemany(sql.INSERT_MESSAGE, rows)


def _outcome(error: Exception, is_commit: bool) -> int:
    """How a transaction failed."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _FAILED_SYNC:
        return FATAL
    # Full and busy are answers from before anything was committed.
    if not is_commit or code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
        return REFUSED
    return UNKNOWN
