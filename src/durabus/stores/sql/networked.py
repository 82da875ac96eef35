"""What databases behind a network have in common: one connection that writes, a few for the rest, and nothing that hangs.

Every wait for the database has an end. A connection on which an answer did not come is ended, for nobody knows what would
come on it next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.connections import Connections
from durabus.stores.sql.database import (
    LOADING_S,
    NO_ANSWER_S,
    READERS_MAX,
    ConnectionLostError,
    Database,
    WriteFailedError,
    shown,
)
from durabus.stores.sql.plan import Changes
from durabus.streaming.store_port import REFUSED, UNKNOWN

__all__ = ["NetworkedDatabase", "Transaction"]

T = TypeVar("T")


class Transaction:
    """One transaction under way: `statement` is the one at work, `is_committing` whether it may have been committed."""

    statement = ""
    is_committing = False

    async def run(self) -> None:
        """From its beginning to its end. Raises WriteFailedError, and what the driver raises."""
        raise NotImplementedError  # pragma: no cover - abstract


class NetworkedDatabase(Database):
    """The connections; a driver says how one is made and ended, what it does, and what its errors mean."""

    def __init__(
        self, errors: tuple[type[BaseException], ...], secret: str, answer_timeout_s: float, connections_max: int
    ) -> None:
        """Touch nothing yet. `errors` are those of the driver; `secret` is a password, which none of them may show.

        `answer_timeout_s` is how long an answer may take, 0: as long as NO_ANSWER_S; there are at most `connections_max`
        connections, 0: as many as are useful.
        """
        self._errors = errors
        self._secret = secret
        self._answer_s = answer_timeout_s or NO_ANSWER_S
        self._writer: Any = None
        self._writer_turn = asyncio.Lock()
        self._is_single = connections_max == 1
        others = min(connections_max - 1, READERS_MAX) if connections_max > 1 else READERS_MAX
        self._others: Connections[Any] = Connections(others, self._connect, self._is_closed, self._end)

    # What a driver says.

    async def _connect(self) -> Any:  # noqa: ANN401 - what a driver's connection is, it knows itself
        """Make a connection; raises ConnectionLostError."""
        raise NotImplementedError  # pragma: no cover - abstract

    async def _begin_snapshot(self, writer: Any) -> None:  # noqa: ANN401
        """Begin a transaction that only reads, and sees everything as it is now."""
        raise NotImplementedError  # pragma: no cover - abstract

    def _is_closed(self, connection: Any) -> bool:  # noqa: ANN401
        """Whether a connection is known to be of no use any more."""
        raise NotImplementedError  # pragma: no cover - abstract

    def _end(self, connection: Any) -> None:  # noqa: ANN401
        """End a connection at once, whatever is under way on it."""
        raise NotImplementedError  # pragma: no cover - abstract

    def _transaction(self, changes: Changes, owner: str) -> Transaction:
        """The transaction that makes `changes` on the connection that writes."""
        raise NotImplementedError  # pragma: no cover - abstract

    def _is_answer(self, error: BaseException) -> bool:
        """Whether an error is what the database answered."""
        raise NotImplementedError  # pragma: no cover - abstract

    def _is_unsure(self, error: BaseException) -> bool:
        """Whether an error leaves open what became of a commit: the connection, or the database, is at its end."""
        raise NotImplementedError  # pragma: no cover - abstract

    # What follows from that.

    async def _opened(self, writer: Any, work: Awaitable[T], limit_s: float = 0.0) -> T:  # noqa: ANN401
        """The result of the first `work` on `writer`, within `limit_s`; raises StoreError, and then `writer` is ended."""
        try:
            async with asyncio.timeout(limit_s or self._answer_s):
                return await work
        except BaseException as error:
            self._end(writer)
            if isinstance(error, self._errors):
                raise ConnectionLostError(f"sql: cannot open the database: {self._shown(error)}") from None
            raise

    async def open_snapshot(self) -> None:
        """Connect, and begin the one transaction in which everything is read."""
        self._end_all()
        self._is_single = True
        writer = await self._connect()
        await self._opened(writer, self._begin_snapshot(writer))
        self._writer = writer

    async def transact(self, changes: Changes, owner: str) -> None:
        """Make `changes` in one transaction."""
        async with self._writer_turn:
            writer = self._writer
            if writer is None or self._is_closed(writer):
                raise WriteFailedError(REFUSED, "sql: the connection to the database is lost")
            work = self._transaction(changes, owner)
            try:
                async with asyncio.timeout(self._answer_s):
                    await work.run()
            except BaseException as error:
                self._end(writer)
                if isinstance(error, self._errors):
                    text = self._text(work.statement, error)
                    raise WriteFailedError(
                        self._outcome(error, work.is_committing), text, not self._is_unsure(error)
                    ) from None
                raise

    async def _on_other(self, statement: str, work: Callable[[Any, str, float], Awaitable[T]], text: str) -> T:
        """The result of `work`, which gets a connection, the `text` of `statement` and how long it may take."""
        limit_s = LOADING_S if statement in sql.LOADING else self._answer_s
        try:
            if not self._is_single:
                async with self._others.one() as connection, asyncio.timeout(limit_s):
                    return await work(connection, text, limit_s)
            async with self._writer_turn:
                writer = self._writer
                if writer is None or self._is_closed(writer):
                    raise ConnectionLostError("sql: the connection to the database is lost")
                try:
                    async with asyncio.timeout(limit_s):
                        return await work(writer, text, limit_s)
                except BaseException as error:
                    if not self._is_answer(error):
                        self._end(writer)
                    raise
        except self._errors as error:
            kind = ConnectionLostError if self._is_unsure(error) else StoreError
            raise kind(self._text(statement, error)) from None

    def _outcome(self, error: BaseException, is_committing: bool) -> int:
        """How a transaction failed."""
        return UNKNOWN if is_committing and self._is_unsure(error) else REFUSED

    def _text(self, statement: str, error: BaseException) -> str:
        """What to tell of an error in `statement`."""
        if isinstance(error, TimeoutError) or self._is_answer(error):
            return f'sql: error executing "{statement}": {self._shown(error)}'
        return f"sql: the connection to the database is lost: {self._shown(error)}"

    def _shown(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"the database did not answer within {self._answer_s:g} s"
        return shown(error, self._secret)

    def _end_all(self) -> None:
        """End every connection at once."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._end(writer)
        self._others.end_all()
