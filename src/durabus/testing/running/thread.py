"""The bus of a test without asyncio: the same, on an event loop in a thread of its own, with calls that block."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from durabus.client import Publication
from durabus.testing.running.bus import HANDLING_S, RunningBus, StartingBus
from durabus.testing.running.history import StoredMessage
from durabus.testing.running.positions import Position
from durabus.testing.running.watching import WAIT_S

if TYPE_CHECKING:
    import durabus.sync

__all__ = ["BusInThread"]

E = TypeVar("E")
_Result = TypeVar("_Result")


class BusInThread:
    """`with durabus.testing.bus_in_thread() as bus`: what each call does is said at the same one of `RunningBus`."""

    def __init__(self, starting: StartingBus) -> None:
        """Nothing runs yet."""
        self._starting = starting
        self._bus: RunningBus | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: list[durabus.sync.Bus] = []

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="durabus.testing", daemon=True)
        self._thread.start()
        try:
            self._bus = self._run(self._starting.__aenter__())
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for client in self._clients:
                client.close(0)
            self._run(self._starting.__aexit__(kind, error, trace))
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        assert self._loop is not None, "it was entered"
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        if self._loop is None:
            work.close()
            raise RuntimeError("the bus is not there: use it within its `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _call(self, work: Callable[[], _Result]) -> _Result:
        """Something that does not wait, done in the loop's thread."""

        async def call() -> _Result:
            return work()

        return self._run(call())

    @property
    def _inner(self) -> RunningBus:
        if self._bus is None:
            raise RuntimeError("the bus is not there: use it within its `with` block")
        return self._bus

    # Where it is, and its life.

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._inner.port

    @property
    def url(self) -> str:
        """What clients in any language connect to."""
        return self._inner.url

    @property
    def cluster_id(self) -> str:
        """The cluster ID."""
        return self._inner.cluster_id

    @property
    def directory(self) -> Path | None:
        """Where the FILE store is."""
        return self._inner.directory

    @property
    def is_running(self) -> bool:
        """Whether there is a server now."""
        return self._inner.is_running

    def now(self) -> datetime:
        """What time it is on the bus."""
        return self._inner.now()

    def start(self) -> None:
        """Start the server again after `stop`."""
        self._run(self._inner.start())

    def stop(self) -> None:
        """Stop the server; the port stays reserved."""
        self._run(self._inner.stop())

    def restart(self) -> None:
        """Stop the server and start it again."""
        self._run(self._inner.restart())

    def kill_connections(self, client_id: str = "") -> int:
        """Cut the connections of all clients, or of one."""
        return self._run(self._inner.kill_connections(client_id))

    @contextlib.contextmanager
    def refusing_publishes(self, reason: str = "the test refuses this") -> Iterator[None]:
        """Within the block the store refuses whatever is published."""
        refusing = self._inner.refusing_publishes(reason)
        self._run(refusing.__aenter__())
        try:
            yield
        finally:
            self._run(refusing.__aexit__(None, None, None))

    # Clients.

    def connect(self, client_id: str = "", **options: Any) -> "durabus.sync.Bus":  # noqa: ANN401 - those of connect
        """`durabus.sync.connect` to this bus; what is left open is closed with it."""
        import durabus.sync

        options.setdefault("reconnect_wait_s", 0.01)
        options.setdefault("reconnect_wait_max_s", 0.1)
        options.setdefault("cluster_id", self.cluster_id)
        client = durabus.sync.connect(self.url, client_id=client_id, **options)
        self._clients.append(client)
        return client

    @overload
    def publish(self, what: str, data: bytes | str) -> Publication: ...
    @overload
    def publish(self, what: object) -> Publication: ...
    def publish(self, what: Any, data: Any = None) -> Publication:
        """Publish an event of a class, or data to a channel."""
        return self._run(self._inner.publish(what, data))

    def wait_connected(self, client_id: str, timeout_s: float = WAIT_S) -> None:
        """Wait until a client is registered and there."""
        self._run(self._inner.wait_connected(client_id, timeout_s))

    def subscriptions(self) -> list[Position]:
        """Who has a position on the bus."""
        return self._call(self._inner.subscriptions)

    # Time.

    def settle(self) -> None:
        """Return when nothing is under way."""
        self._run(self._inner.settle())

    def advance(self, seconds: float | timedelta, *, handling_s: float = HANDLING_S) -> None:
        """Let time pass."""
        self._run(self._inner.advance(seconds, handling_s=handling_s))

    # Events.

    @overload
    def events(self, what: type[E]) -> list[E]: ...
    @overload
    def events(self, what: str) -> list[StoredMessage]: ...
    def events(self, what: Any) -> list[Any]:
        """What is stored now."""
        return self._call(lambda: self._inner.events(what))

    @overload
    def published(
        self, what: type[E], count: int = 1, *, where: Callable[[E], bool] | None = None, timeout_s: float = WAIT_S
    ) -> list[E]: ...
    @overload
    def published(
        self,
        what: str,
        count: int = 1,
        *,
        where: Callable[[StoredMessage], bool] | None = None,
        timeout_s: float = WAIT_S,
    ) -> list[StoredMessage]: ...
    def published(
        self,
        what: Any,
        count: int = 1,
        *,
        where: Callable[[Any], bool] | None = None,
        timeout_s: float = WAIT_S,
    ) -> list[Any]:
        """Wait until `count` events have been published, and return all that were."""
        return self._run(self._inner.published(what, count, where=where, timeout_s=timeout_s))

    @overload
    def wait_for(self, what: type[E], *, where: Callable[[E], bool] | None = None, timeout_s: float = WAIT_S) -> E: ...
    @overload
    def wait_for(
        self, what: str, *, where: Callable[[StoredMessage], bool] | None = None, timeout_s: float = WAIT_S
    ) -> StoredMessage: ...
    def wait_for(self, what: Any, *, where: Callable[[Any], bool] | None = None, timeout_s: float = WAIT_S) -> Any:
        """The first such event that was published."""
        return self._run(self._inner.wait_for(what, where=where, timeout_s=timeout_s))

    def assert_nothing(
        self, what: type[Any] | str | None = None, *, where: Callable[[Any], bool] | None = None
    ) -> None:
        """Raise AssertionError if any such event was published."""
        self._run(self._inner.assert_nothing(what, where=where))

    def forget_events(self) -> None:
        """From here on only what is published later counts as published."""
        self._call(self._inner.forget_events)

    def wait_idle(self, timeout_s: float = WAIT_S, *, ignore_offline: bool = False) -> None:
        """Wait until everything that was published is acknowledged."""
        self._run(self._inner.wait_idle(timeout_s, ignore_offline=ignore_offline))

    def wait_subscribed(
        self, what: type[Any] | str, count: int = 1, *, queue_group: str | None = None, timeout_s: float = WAIT_S
    ) -> None:
        """Wait until there are `count` subscribers."""
        self._run(self._inner.wait_subscribed(what, count, queue_group=queue_group, timeout_s=timeout_s))
