"""A few connections that take turns: for questions, and for what happens on the side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

__all__ = ["Connections"]

C = TypeVar("C")


class Connections(Generic[C]):
    """At most `count` connections, made when they are needed. One on which anything went wrong is not used again."""

    def __init__(
        self, count: int, connect: Callable[[], Awaitable[C]], is_closed: Callable[[C], bool], end: Callable[[C], None]
    ) -> None:
        """`connect` makes one, `end` ends one at once."""
        self._room = asyncio.Semaphore(count)
        self._connect = connect
        self._is_closed = is_closed
        self._end = end
        self._idle: list[C] = []
        self._busy: list[C] = []
        self._generation = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[C]:
        """A connection of one's own for a while."""
        async with self._room:
            generation = self._generation
            connection = self._take_idle()
            if connection is None:
                connection = await self._connect()
            self._busy.append(connection)
            try:
                yield connection
            except BaseException:
                self._end(connection)
                raise
            finally:
                self._busy.remove(connection)
            if generation == self._generation and not self._is_closed(connection):
                self._idle.append(connection)
            else:
                self._end(connection)

    def _take_idle(self) -> C | None:
        while self._idle:
            connection = self._idle.pop()
            if not self._is_closed(connection):
                return connection
        return None

    def end_all(self) -> None:
        """End all connections, also those in use."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for connection in (*idle, *self._busy):
            self._end(connection)
