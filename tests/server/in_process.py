"""Servers in the test's own process, behind a real nats-server: several at once, each with its log, ended as tests want.

async with Servers(nats.url) as servers:
    one = await servers.start({"streaming.ft_group": "g"}, store)
    await one.wait_line("is ready")
    await servers.stop(one)
"""

import asyncio
import http.client
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from durabus.clock import SystemClock
from durabus.config.options import ChannelOverride, Options, Setting, with_settings
from durabus.logs import LogOutput
from durabus.server.server import Server
from durabus.streaming.store_port import Store
from tests.server.hub import Stream

__all__ = ["HOST", "InProcess", "Servers", "channels"]

HOST = "127.0.0.1"
PATIENCE_S = 20.0


def channels(*names: str) -> dict[str, Setting]:
    """The settings of a server that owns only these channels."""
    return {
        "streaming.partitioning": True,
        "limits.per_channel": tuple(ChannelOverride(name=name) for name in names),
    }


class InProcess:
    """One server, and its log."""

    def __init__(self, options: Options, store: Store | None) -> None:
        self.stream = Stream()
        self.server = Server(options, LogOutput(options.log, self.stream), SystemClock(), store)

    @property
    def log(self) -> str:
        """All of its lines."""
        return self.stream.getvalue()

    @property
    def lines(self) -> list[str]:
        """Level and text of its streaming lines."""
        return [
            line.partition("] [")[2].replace("] STREAM:", "", 1) for line in self.log.splitlines() if "STREAM" in line
        ]

    async def wait_line(self, words: str) -> str:
        """The first line with these words in it, as soon as it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in self.log:
                self.stream.written.clear()
                await self.stream.written.wait()
        return next(line for line in self.log.splitlines() if words in line)

    async def failure(self) -> str:
        """Why it cannot go on, as soon as that is so."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.server.wait_failed()

    async def get(self, path: str) -> tuple[int, bytes]:
        """What its monitoring port answers."""
        return await asyncio.to_thread(ask, self.server.monitoring_port, path)

    async def serverz(self) -> dict[str, Any]:
        """What it says of itself."""
        status, body = await self.get("/streaming/serverz")
        assert status == 200
        document: dict[str, Any] = json.loads(body)
        return document


def ask(port: int, path: str) -> tuple[int, bytes]:
    """A GET request; not to be called from the loop's thread."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Servers:
    """The servers of a test; whichever still run are stopped at its end. Without `url` they have a broker of their own."""

    def __init__(self, url: str = "") -> None:
        self._url = url
        self._running: list[InProcess] = []

    def make(self, settings: Mapping[str, Setting], store: Store | None = None, url: str = "") -> InProcess:
        """A server that is not started yet."""
        common: dict[str, Setting] = {
            "broker.host": HOST,
            "broker.port": 0,
            "monitoring.port": 0,
            "external.url": url or self._url,
            "log.with_time": False,
        }
        one = InProcess(with_settings(Options(), {**common, **settings}), store)
        self._running.append(one)
        return one

    async def start(self, settings: Mapping[str, Setting], store: Store | None = None, url: str = "") -> InProcess:
        """A server that is started."""
        one = self.make(settings, store, url)
        try:
            await one.server.start()
        except BaseException as error:
            error.add_note(f"the log of the server:\n{one.log}")
            raise
        return one

    async def stop(self, one: InProcess) -> None:
        """Stop a server as a signal would."""
        self._running.remove(one)
        async with asyncio.timeout(PATIENCE_S):
            await one.server.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in list(self._running):
            if error is not None:
                error.add_note(f"the log of server {one.server.server_id}:\n{one.log}")
            await self.stop(one)
