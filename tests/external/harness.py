"""An uplink as a server composes it, without the server: turns, a log that is kept, and something that listens.

def test_it(loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        async with connected(settings) as one:
            one.bus.subscribe(b"foo", one.receiver)
    run(loop_factory, scenario())
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from durabus.broker.bus import Receiver
from durabus.broker.external import ExternalBus
from durabus.broker.uplink import ServerAddress, Uplink, UplinkSettings, parse_servers
from durabus.wire.operations import Publish

__all__ = ["LOOPS", "Listener", "LoopFactory", "Station", "connected", "open_sockets", "run", "settings_for", "until"]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE_S = 20.0
NAME = "_NSS-test-cluster-general"


def open_sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += entry.readlink().name.startswith("socket:")
        except FileNotFoundError:
            continue  # the one that looked
    return count


def run(make_loop: LoopFactory, scenario: Coroutine[object, object, None]) -> None:
    """Run `scenario` on a loop of this kind: nothing may go wrong unseen, and no socket stays open."""
    before = open_sockets()
    wrong: list[str] = []
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: wrong.append(str(context)))
        runner.run(scenario)
    gc.collect()  # what was forgotten complains when it is collected
    assert wrong == []
    assert open_sockets() == before


async def until(is_so: Callable[[], bool], what: str = "it") -> None:
    """Wait until `is_so`."""
    for _ in range(int(PATIENCE_S / 0.005)):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{what} did not happen")


def settings_for(servers: str | list[ServerAddress]) -> UplinkSettings:
    """Settings as for -ns, but for tests that have no time."""
    addresses = parse_servers(servers) if isinstance(servers, str) else servers
    settings = UplinkSettings(addresses, NAME)
    settings.reconnect_wait_s = 0.02
    return settings


class Listener(Receiver):
    """Keeps what it gets, and remembers whether that was within a turn."""

    def __init__(self, station: "Station") -> None:
        self.runs: list[Publish] = []
        self._station = station

    def on_publish(self, publish: Publish) -> None:
        assert self._station.is_in_turn, "input comes in turns only"
        self.runs.append(publish)

    @property
    def payloads(self) -> list[bytes]:
        """The payload of every message."""
        return [payload for publish in self.runs for payload in publish.payloads]


class Station:
    """What a server has around its uplink."""

    def __init__(self, settings: UplinkSettings) -> None:
        self.bus = ExternalBus()
        self.lines: list[str] = []
        self.changes: list[bool] = []
        self.is_in_turn = False
        self.uplink = Uplink(settings, self.bus, self, self._on_change)
        self.listener = Listener(self)

    def info(self, text: str, /) -> None:
        self.lines.append(f"[INF] {text}")

    def error(self, text: str, /) -> None:
        self.lines.append(f"[ERR] {text}")

    def _on_change(self, is_connected: bool) -> None:
        assert self.is_in_turn, "a change is told in a turn"
        assert self.bus.is_open() == is_connected
        self.changes.append(is_connected)

    def _begin(self) -> None:
        assert not self.is_in_turn
        self.is_in_turn = True

    def _end(self) -> None:
        assert self.is_in_turn
        self.is_in_turn = False
        self.uplink.flush()

    async def start(self) -> None:
        """Connect; raises StartError."""
        await self.uplink.start(self._begin, self._end)

    def say(self, subject: bytes, *payloads: bytes) -> bool:
        """Publish, and send it."""
        done = self.bus.publish_run(subject, b"", list(payloads))
        self.uplink.flush()
        return done

    async def listen(self, subject: bytes) -> None:
        """Hear `subject` from now on."""
        self.bus.subscribe(subject, self.listener)
        assert await self.uplink.sync(PATIENCE_S)

    async def hears(self, *payloads: bytes) -> None:
        """Wait for messages, which must be these and no others."""
        await until(
            lambda: len(self.listener.payloads) >= len(payloads), f"a message, after {self.listener.payloads!r},"
        )
        assert self.listener.payloads == list(payloads)
        self.listener.runs.clear()


@asynccontextmanager
async def connected(settings: UplinkSettings) -> AsyncIterator[Station]:
    """An uplink that stands; stopped at the end."""
    station = Station(settings)
    try:
        await station.start()
        yield station
    finally:
        await station.uplink.stop()
        assert not station.uplink.is_connected() and not station.bus.is_open()
