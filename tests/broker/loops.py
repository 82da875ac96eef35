"""Both event loops that the server may run on, and a broker on real sockets in one of them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from durabus.broker.broker import Broker, BrokerSettings
from durabus.broker.router import Router
from durabus.broker.session import SessionLimits
from durabus.clock import SystemClock
from durabus.wire.documents import InfoDocument
from tests.broker.fakes import QUIET, session_limits

__all__ = ["LOCAL", "LOOPS", "Peer", "Runner", "Turns", "open_broker", "settings_for"]

LOCAL = "127.0.0.1"
PATIENCE_S = 20.0

Runner = Callable[[Coroutine[Any, Any, None]], None]


def on_asyncio(scenario: Coroutine[Any, Any, None]) -> None:
    """Run on the standard library's loop."""
    asyncio.run(scenario)


def on_uvloop(scenario: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop."""
    import uvloop

    uvloop.run(scenario)


LOOPS: list[Runner] = [on_asyncio] if sys.platform == "win32" else [on_asyncio, on_uvloop]


class Turns:
    """Keeps when turns began and ended, and flushes at their end as the server does."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self.began = 0
        self.ended = 0
        self.on_change = asyncio.Event()

    def begin(self) -> None:
        """A turn begins; the one before is over."""
        assert self.began == self.ended
        self.began += 1

    def end(self) -> None:
        """A turn ends."""
        self.ended += 1
        assert self.began == self.ended
        self.router.flush()
        self.on_change.set()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a turn has ended after which `condition` holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.on_change.clear()
                await self.on_change.wait()


def settings_for(limits: SessionLimits | None = None, port: int = 0) -> BrokerSettings:
    """Any free port of this machine, small limits."""
    info = InfoDocument("ID", "name", "1", 1, "go", LOCAL, port, True, 100_000)
    return BrokerSettings(LOCAL, port, info, limits or session_limits())


@asynccontextmanager
async def open_broker(settings: BrokerSettings | None = None) -> AsyncIterator[tuple[Broker, Turns]]:
    """A broker whose port is open."""
    router = Router()
    broker, turns = Broker(settings or settings_for(), router, SystemClock()), Turns(router)
    assert await broker.start(turns.begin, turns.end) == broker.settings.port
    try:
        yield broker, turns
    finally:
        await broker.stop()


class Peer:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, broker: Broker, connect: bytes = QUIET) -> "Peer":
        """Connect, and read INFO."""
        peer = cls(*await asyncio.open_connection(LOCAL, broker.settings.port))
        assert (await peer.reader.readline()).startswith(b"INFO {")
        peer.writer.write(connect)
        return peer

    async def ask(self, data: bytes = b"") -> bytes:
        """Send bytes; everything that has come when they were acted on."""
        self.writer.write(data + b"PING\r\n")
        async with asyncio.timeout(PATIENCE_S):
            return (await self.reader.readuntil(b"PONG\r\n"))[:-6]

    async def rest(self) -> bytes:
        """Everything until the end."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        """Close this end."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return
