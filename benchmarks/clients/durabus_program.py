"""A program that uses this project's client; `running.py` starts it and says what to do, as JSON in its argument."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import durabus
from benchmarks.clients.typed_event import Measured
from benchmarks.workloads import BenchmarkError
from durabus.client import StartPosition
from durabus.events import Listener, Publisher, event_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from durabus.client import Bus, Message

_ALL: Final = StartPosition.all_available()


class Program:
    """One run: warms up, then does the same at length, and takes the time."""

    def __init__(self, bus: Bus, task: dict[str, Any]) -> None:
        """`task` is what `running.Task` says."""
        self._bus: Final = bus
        self._payload: Final[bytes] = task["payload"].encode()
        self._window: Final[int] = task["window"]
        self._max_in_flight: Final[int] = task["max_in_flight"]
        self._close: Callable[[], Awaitable[None]] | None = None

    # Publishing.

    async def publish_all(self, channel: str, count: int) -> None:
        """Pairs of channel and data, as many as there are."""
        payload = self._payload
        await self._bus.publish_all((channel, payload) for _ in range(count))

    async def publish(self, channel: str, count: int) -> None:
        """Tasks that wait for one acknowledgement each, as the requests of a service do."""
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                await self._bus.publish(channel, self._payload)

        await asyncio.gather(*(work() for _ in range(self._window)))

    async def publisher(self, channel: str, count: int) -> None:
        """Typed events, each of them encoded."""
        event = event_type(Measured).decode(self._payload)
        await Publisher(self._bus, Measured, channel=channel).publish_all(event for _ in range(count))

    # Receiving.

    async def handler(self, channel: str, count: int) -> None:
        """A handler, called for each message."""
        arrivals = Arrivals(count, len(self._payload))

        async def handle(message: Message) -> None:
            arrivals.count(message)

        subscription = await self._bus.subscribe(channel, handle, start=_ALL, max_in_flight=self._max_in_flight)
        await arrivals.all_came
        self._close = subscription.close

    async def loop(self, channel: str, count: int) -> None:
        """A loop over the subscription."""
        arrivals = Arrivals(count, len(self._payload))
        subscription = await self._bus.subscribe(channel, start=_ALL, max_in_flight=self._max_in_flight)
        async for message in subscription:
            arrivals.count(message)
            if arrivals.all_came.done():
                message.ack()
                break
        self._close = subscription.close

    async def listener(self, channel: str, count: int) -> None:
        """A class that listens to typed events, each of them decoded."""
        arrivals = Arrivals(count, len(self._payload))

        class MeasuredListener(Listener[Measured]):
            start = _ALL

            async def on_event(self, event: Measured, message: Message) -> None:
                arrivals.count(message)

        listener = MeasuredListener(self._bus, channel=channel, max_in_flight=self._max_in_flight)
        await listener.listen()
        await arrivals.all_came
        self._close = listener.close

    async def listener_loop(self, channel: str, count: int) -> None:
        """A loop over typed events, each of them decoded."""
        arrivals = Arrivals(count, len(self._payload))
        listener = Listener(
            self._bus, event_class=Measured, channel=channel, start=_ALL, max_in_flight=self._max_in_flight
        )
        async for _, message in listener:
            arrivals.count(message)
            if arrivals.all_came.done():
                message.ack()
                break
        self._close = listener.close

    async def end(self) -> None:
        """Close the subscription of the last run, if there is one."""
        if self._close is not None:
            await self._close()
            self._close = None


class Arrivals:
    """Counts messages: each once, in order, as long as it was."""

    def __init__(self, count: int, size_bytes: int) -> None:
        """None yet."""
        self.all_came: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._count: Final = count
        self._size_bytes: Final = size_bytes
        self._last_sequence = 0

    def count(self, message: Message) -> None:
        """Count one; what is wrong ends the run."""
        sequence = message.sequence
        if sequence != self._last_sequence + 1 or message.redelivery_count or len(message.data) != self._size_bytes:
            if not self.all_came.done():
                words = (
                    f"sequence {sequence} behind {self._last_sequence}, redelivered {message.redelivery_count} times"
                )
                self.all_came.set_exception(BenchmarkError(words))
            return
        self._last_sequence = sequence
        if sequence == self._count:
            self.all_came.set_result(None)


async def main(task: dict[str, Any]) -> None:
    """Do what `task` says, tell how long it took, and leave when standard input ends."""
    async with durabus.connect(
        task["url"], cluster_id=task["cluster_id"], client_id="measured", window_messages_max=task["window"]
    ) as bus:
        program = Program(bus, task)
        work: Callable[[str, int], Awaitable[None]] = getattr(program, task["way"])
        await work(task["warm_up_channel"], task["warm_up_count"])
        await program.end()
        with measured():
            await work(task["channel"], task["count"])
        await asyncio.to_thread(sys.stdin.read)
        await program.end()


@contextlib.contextmanager
def measured() -> Iterator[None]:
    """Print how long the block took, in time and in processor time."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    yield
    took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    print(json.dumps({"seconds": took_s, "cpu_seconds": took_cpu_s}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
