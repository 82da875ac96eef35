"""Networks without sockets, for parts of servers that only publish and listen, and a log that can be read.

hub = Hub()
one, two = HubNetwork(hub), HubNetwork(hub)         # two servers on one network
one.bus.publish(...)                                # heard by both
one.bus.opened = False                              # one is cut off
"""

import asyncio
import io
from collections.abc import Callable

from durabus.broker.broker import Broker
from durabus.broker.bus import Bus, Receiver
from durabus.config.options import LogOptions
from durabus.logs import LogOutput
from durabus.wire.operations import Publish
from durabus.wire.subjects import matches

__all__ = ["Ear", "Hub", "HubBus", "HubNetwork", "LineLog"]

PATIENCE_S = 1000.0
"""Of virtual seconds, where there are such."""


class Hub:
    """What joins the buses: what one of them publishes, all hear."""

    def __init__(self) -> None:
        self.buses: list[HubBus] = []

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Publish as somebody else on the network."""
        self.spread(Publish(subject, reply, 0, [payload]))

    def spread(self, publish: Publish) -> bool:
        """Give a message to everybody who is not cut off; whether somebody listened."""
        receivers = [receiver for bus in self.buses if bus.opened for receiver in bus.receivers_of(publish.subject)]
        for receiver in receivers:
            receiver.on_publish(publish)
        return bool(receivers)


class HubBus(Bus):
    """One server's bus."""

    def __init__(self, hub: Hub) -> None:
        self.opened = True
        self.receivers: dict[bytes, Receiver] = {}
        self._hub = hub
        hub.buses.append(self)

    def receivers_of(self, subject: bytes) -> list[Receiver]:
        """Who listens here."""
        return [receiver for pattern, receiver in self.receivers.items() if matches(pattern, subject)]

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        self.receivers[subject] = receiver

    def unsubscribe(self, subject: bytes) -> None:
        self.receivers.pop(subject, None)

    def is_open(self) -> bool:
        return self.opened

    def publish(self, subject: bytes, reply: bytes, payload: bytes) -> bool:
        return self.opened and self._hub.spread(Publish(subject, reply, 0, [payload]))


class HubNetwork:
    """One server's network."""

    def __init__(self, hub: Hub) -> None:
        self.own = HubBus(hub)
        self.bus: Bus = self.own
        self.broker: Broker | None = None
        self.port = 0
        self.payload_bytes_max = 1 << 20
        self.flushes = 0

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> None:
        raise AssertionError("nobody starts it")

    def flush(self) -> None:
        self.flushes += 1

    def hold_back(self, is_held: bool) -> None:
        raise AssertionError("nobody is too fast")

    async def sync(self) -> None:
        raise AssertionError("nobody waits for it")

    async def drain(self) -> None:
        raise AssertionError("nobody drains it")

    async def stop(self) -> None:
        raise AssertionError("nobody stops it")


class Ear(Receiver):
    """Somebody on the network who keeps what is published on a subject, with the reply subjects."""

    def __init__(self, hub: Hub, subject: bytes) -> None:
        self.payloads: list[bytes] = []
        self.replies: list[bytes] = []
        self._came = asyncio.Event()
        HubBus(hub).subscribe(subject, self)

    def on_publish(self, publish: Publish) -> None:
        self.payloads += publish.payloads
        self.replies += [publish.reply] * len(publish.payloads)
        self._came.set()

    async def hear(self, count: int) -> list[bytes]:
        """The first `count` messages, as soon as they are there."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.payloads) < count:
                self._came.clear()
                await self._came.wait()
        return self.payloads[:count]


class Stream(io.StringIO):
    """A stream that tells when something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def write(self, text: str, /) -> int:
        self.written.set()
        return super().write(text)


class LineLog:
    """A log whose lines can be read."""

    def __init__(self) -> None:
        self._stream = Stream()
        self.log = LogOutput(LogOptions(with_time=False), self._stream).streaming

    async def wait(self, words: str) -> None:
        """Wait for a line with these words in it."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in self._stream.getvalue():
                self._stream.written.clear()
                await self._stream.written.wait()

    @property
    def lines(self) -> list[str]:
        """Level and text of each line."""
        return [line.partition("] [")[2].replace("] STREAM:", "", 1) for line in self._stream.getvalue().splitlines()]
