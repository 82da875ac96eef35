"""The client without asyncio, for scripts, Django and Flask: the same bus, with calls that block.

    with durabus.sync.connect("nats://localhost:4222", client_id="shop") as bus:
        bus.publish("orders", b"{}")
        for message in bus.subscribe("orders", durable_name="shop"):
            print(message.sequence, message.data)

Each bus has an event loop in a thread of its own. It may be used from any thread; calls wait no longer than the times given to
`connect` allow. It does not survive a fork: connect in the process that publishes (after a web server has made its workers).
"""

import asyncio
import atexit
import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from durabus import client
from durabus.client.connecting import Connecting
from durabus.client.errors import ClosedError, UsageError

__all__ = ["Bus", "Message", "Subscription", "connect"]

_BATCH: Final = 64
_CHUNK: Final = 1024
_EXIT_S: Final = 5.0
_Result = TypeVar("_Result")
_Options = ParamSpec("_Options")


class _LoopThread:
    """An event loop that runs in a daemon thread until it is stopped."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._loop.run_forever, name="durabus.sync", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _Result], timeout_s: float | None = None) -> _Result:
        """Run `work` there, and wait for its result; raises TimeoutError, and what `work` raises."""
        if os.getpid() != self._pid:
            work.close()
            raise UsageError("this bus was made before the process forked; connect in the process that uses it")
        if threading.current_thread() is self._thread:
            work.close()
            raise UsageError("a call that blocks would wait for itself here, in the thread that on_event is called in")
        if self._loop.is_closed():
            work.close()
            raise ClosedError("the bus is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call `function` there; nothing happens any more when it is stopped."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Stop, wait for the thread, and free what it had."""
        if os.getpid() == self._pid and not self._loop.is_closed():
            with contextlib.suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(2 * _EXIT_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_EXIT_S)
            if not self._thread.is_alive():
                self._loop.close()


async def _cancel_others() -> None:
    """End what `Bus.run` began and did not wait for."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    if others:
        await asyncio.wait(others, timeout=_EXIT_S)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Message:
    """One event as it came; the attributes are those of `durabus.client.Message`."""

    def __init__(self, thread: _LoopThread, message: client.Message) -> None:
        """Keep the message, and where to acknowledge it."""
        self._thread = thread
        self._message = message
        self.channel = message.channel
        self.sequence = message.sequence
        self.data = message.data
        self.reply = message.reply
        self.timestamp_ns = message.timestamp_ns
        self.redelivery_count = message.redelivery_count
        self.is_redelivered = message.is_redelivered

    def ack(self) -> None:
        """Say that the event was dealt with; from any thread. Twice is once."""
        self._thread.call_soon(self._message.ack)

    def let_go(self) -> None:
        """Leave the event for redelivery."""
        self._thread.call_soon(self._message.let_go)

    def __repr__(self) -> str:
        return repr(self._message)


class Subscription:
    """A subscription that `Bus.subscribe` made; iterate over it, from one thread or several.

    Without `manual_ack` a message is acknowledged when the loop asks for the next one: one whose work failed, or in the
    middle of which the loop was left, is delivered again.
    """

    def __init__(self, thread: _LoopThread, subscription: client.Subscription) -> None:
        """Made by `Bus.subscribe`."""
        self._thread = thread
        self._subscription = subscription
        self._taken: deque[Message] = deque()  # from the subscription, and by nobody yet

    @property
    def channel(self) -> str:
        """The channel that it listens to."""
        return self._subscription.channel

    @property
    def last_sequence(self) -> int:
        """The highest sequence that came; 0 when none did."""
        return self._subscription.last_sequence

    def next(self, timeout_s: float | None = None) -> Message:
        """The next message, which is the program's to acknowledge; without `timeout_s` it is waited for without end.

        Raises TimeoutError, ClosedError when there will be no more, or the error that ended the subscription.
        """
        message = self.take(timeout_s)
        if message is None:
            raise ClosedError(f"the subscription to {self.channel!r} is closed")
        message.let_go()
        return message

    def take(self, timeout_s: float | None = None) -> Message | None:
        """The next message; copies of it are held back until its `ack` or `let_go`. None when there will be no more.

        Raises TimeoutError, or the error that ended the subscription.
        """
        while True:
            with contextlib.suppress(IndexError):
                return self._taken.popleft()
            batch = self._thread.run(self._subscription.next_batch(_BATCH), timeout_s)
            if not batch:
                return None
            self._taken.extend(Message(self._thread, message) for message in batch)

    def __iter__(self) -> Iterator[Message]:
        is_manual = self._subscription.options.manual_ack
        while (message := self.take(None)) is not None:
            if is_manual:
                message.let_go()
                yield message
                continue
            is_done = False
            try:
                yield message
                is_done = True
            finally:
                if is_done:
                    message.ack()
                else:
                    message.let_go()

    def _leave(self, work: Coroutine[Any, Any, None]) -> None:
        while self._taken:
            with contextlib.suppress(IndexError):
                self._taken.popleft().let_go()
        self._thread.run(work)

    def close(self) -> None:
        """End it; a durable keeps its position on the server. Raises what `durabus.client.Subscription.close` raises."""
        self._leave(self._subscription.close())

    def unsubscribe(self) -> None:
        """End it, and remove the durable with its position; raises what `close` raises."""
        self._leave(self._subscription.unsubscribe())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Bus:
    """A connected bus, made by `connect`. Closed when its `with` block ends, by `close`, or when the program ends."""

    def __init__(self, connecting: Connecting) -> None:
        """Connect; raises ConnectError, ClientIdInUseError, NotAuthorizedError."""
        self._thread = _LoopThread()
        try:
            self._bus = self._thread.run(_awaited(connecting))
        except BaseException:
            self._thread.stop()
            raise
        self._lock = threading.Lock()
        self._is_closed = False
        atexit.register(self._close_at_exit)

    @property
    def client_id(self) -> str:
        """The client ID: that of `connect`, or the one that was made up."""
        return self._bus.client_id

    @property
    def is_connected(self) -> bool:
        """Whether there is a session now. Without one, publishes wait for the next."""
        return self._bus.is_connected

    def publish(self, channel: str, data: bytes | str) -> client.Publication:
        """Publish an event, and wait until the server has stored it; see `durabus.client.Bus.publish`."""
        return self._thread.run(self._bus.publish(channel, data))

    def publish_all(self, events: Iterable[tuple[str, bytes | str]]) -> int:
        """Publish events, pairs of channel and data, as fast as the window allows; how many they were.

        `events` is iterated over in the calling thread. Returns when all are stored; raises FlushError when some are not.
        """
        count = 0
        rest = iter(events)
        while chunk := list(itertools.islice(rest, _CHUNK)):
            self._thread.run(self._begin_all(chunk))
            count += len(chunk)
        self._thread.run(self._bus.flush())
        return count

    async def _begin_all(self, events: list[tuple[str, bytes | str]]) -> None:
        for channel, data in events:
            body = data.encode() if isinstance(data, str) else data
            await self._bus.wait_room(len(body))
            self._bus.publish_nowait(channel, body)

    def subscribe(
        self,
        channel: str,
        *,
        queue_group: str = "",
        durable_name: str = "",
        ack_wait_s: int = 30,
        max_in_flight: int = 1024,
        start: client.StartPosition | None = None,
        manual_ack: bool = False,
    ) -> Subscription:
        """Listen to a channel; see `durabus.client.Bus.subscribe` for what each option means, and what is raised."""
        work = self._bus.subscribe(
            channel,
            queue_group=queue_group,
            durable_name=durable_name,
            ack_wait_s=ack_wait_s,
            max_in_flight=max_in_flight,
            start=start,
            manual_ack=manual_ack,
        )
        return Subscription(self._thread, self._thread.run(work))

    def run(
        self, work: Callable[[client.Bus], Coroutine[Any, Any, _Result]], timeout_s: float | None = None
    ) -> _Result:
        """Call `work` with the asyncio bus below, in its event loop, and wait for the result of what it returns.

        For what only asyncio code can do. Raises what that raises, TimeoutError, UsageError, ClosedError.
        """
        return self._thread.run(work(self._bus), timeout_s)

    def close(self, drain_s: float = 30.0) -> None:
        """Wait up to `drain_s` seconds for publishes, acknowledge what was dealt with, and close. Twice is once."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        atexit.unregister(self._close_at_exit)
        try:
            self._thread.run(self._bus.drain(drain_s) if drain_s else self._bus.close())
        finally:
            self._thread.stop()

    def _close_at_exit(self) -> None:
        with contextlib.suppress(UsageError):  # a fork of the process that made it
            self.close(_EXIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(30.0 if error is None else 0.0)


async def _awaited(connecting: Connecting) -> client.Bus:
    return await connecting


def _blocking(make: Callable[_Options, Connecting]) -> Callable[_Options, Bus]:
    """The same function, but what it makes is there when it returns."""

    def connect_now(*arguments: _Options.args, **options: _Options.kwargs) -> Bus:
        return Bus(make(*arguments, **options))

    connect_now.__doc__ = (
        "Connect to a bus, and wait until that is done; the arguments are those of `durabus.connect`.\n\n"
        "Raises UsageError, ConnectError, ClientIdInUseError, NotAuthorizedError. `on_event` is called in another thread."
    )
    return connect_now


connect = _blocking(client.connect)
