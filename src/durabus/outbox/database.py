"""The relay's connection to the database, over an engine of asyncio or a plain one, which works in a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from durabus.outbox.errors import OutboxUsageError

__all__ = ["Database", "Work"]

_Result = TypeVar("_Result")


class Work(Protocol):
    """Does something with a connection."""

    def __call__(self, step: Callable[[Connection], _Result], /) -> Awaitable[_Result]:
        """What `step` returns; raises what the database says."""
        ...


class Database:
    """Where a relay finds its outbox; of one event loop."""

    def __init__(self, engine: AsyncEngine | Engine) -> None:
        """Nothing is connected yet; raises OutboxUsageError."""
        if not isinstance(engine, AsyncEngine | Engine):
            raise OutboxUsageError(f"{engine!r} is no engine of SQLAlchemy; take an AsyncEngine or an Engine")
        self._engine = engine
        self._thread: _Thread | None = None

    @property
    def dialect_name(self) -> str:
        """Which kind of database it is."""
        return self._engine.dialect.name

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Work]:
        """A connection; what is not committed when it is given back is rolled back."""
        engine = self._engine
        if isinstance(engine, AsyncEngine):
            async with engine.connect() as connection:
                yield connection.run_sync
            return
        if self._thread is None:
            self._thread = _Thread()
        thread = self._thread
        opened: list[Connection] = []

        async def work(step: Callable[[Connection], _Result]) -> _Result:
            return await thread.run(lambda: step(opened[0]))

        def give_back() -> None:
            for connection in opened:
                connection.close()

        try:
            await thread.run(lambda: opened.append(engine.connect()))
            yield work
        finally:
            # Behind whatever it is still at work on, should nobody wait for that any more.
            await asyncio.shield(thread.run(give_back))

    def close(self) -> None:
        """End the thread, if there is one; the engine is its owner's."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None


class _Thread:
    """A thread that does one thing after the other. A daemon: a program that ends does not wait for its database."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="durabus.outbox", daemon=True).start()

    def run(self, work: Callable[[], _Result]) -> "asyncio.Future[_Result]":
        """What `work` returns there."""
        future: asyncio.Future[_Result] = self._loop.create_future()
        self._queue.put((work, future))
        return future

    def stop(self) -> None:
        """End when all is done."""
        self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            work, future = item
            try:
                result, error = work(), None
            except BaseException as caught:  # noqa: BLE001 - it goes to whoever waits
                result, error = None, caught
            if self._loop.is_closed():
                return
            self._loop.call_soon_threadsafe(_tell, future, result, error)


def _tell(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
