"""HTTP for the endpoints: a small application on Starlette, and uvicorn's server made to live inside ours.

Only `monitoring/port.py` imports this module, in a thread and after the clients' port is open: it takes longer to import
than all the rest. Uvicorn is meant to own its process; three things are taken from it here. It does not catch signals,
it does not wake ten times a second to see whether it should end, and it does not write to any log.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Final

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from durabus.monitoring.endpoints import Site
from durabus.monitoring.replies import Reply, failure
from durabus.monitoring.steps import Steps

__all__ = ["EmbeddedServer", "application"]

CONNECTIONS_MAX: Final = 256
"""Connections at a time; one more is closed at once. Probes and tools need a handful, each costs some 20 KB."""

IDLE_S_MAX: Final = 5
"""Seconds that a connection may be open without a request."""

SLICE_BYTES: Final = 64 * 1024
"""The part of a long reply that is sent at once."""

READ_S_MAX: Final = 10.0
"""Seconds that a client may take to read as much as a slice; after that the rest is dropped and the connection closed."""

FINISH_S_MAX: Final = 1.0
"""Seconds that an answer may take to leave when the server stops."""

# Silent, and of our own name: uvicorn's loggers belong to the process, which may use uvicorn for itself.
QUIET: Final = logging.getLogger("durabus.monitoring")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False
QUIET.setLevel(logging.CRITICAL)


def application(site: Site, report_error: Callable[[str], None]) -> ASGIApp:
    """The pages as an ASGI application; what goes wrong in one is reported as one line, and answered with 500."""
    turn = asyncio.Lock()

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        try:
            reply = await made(site.answer(path, scope["query_string"]), turn)
        except Exception as error:  # noqa: BLE001 - a bug in one document must not become a traceback on standard error
            report_error(f"Error getting information about {path}: {type(error).__name__}: {error}")
            reply = failure(path)
        await send_reply(reply, scope, receive, send)

    return respond


async def send_reply(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a reply; a long one in slices, so that what a client does not read is not kept for long."""
    headers = {"date": formatdate(usegmt=True), **reply.headers}
    if len(reply.body) <= SLICE_BYTES:
        await Response(reply.body, reply.status, headers)(scope, receive, send)
        return
    headers["content-length"] = str(len(reply.body))
    raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers})
    for start in range(0, len(reply.body), SLICE_BYTES):
        end = start + SLICE_BYTES
        async with asyncio.timeout(READ_S_MAX):
            is_last = end >= len(reply.body)
            await send({"type": "http.response.body", "body": reply.body[start:end], "more_body": not is_last})


async def made(steps: Steps[Reply], turn: asyncio.Lock) -> Reply:
    """The reply, a step per turn of the event loop; however many are being made, one of them takes a step at a time.

    The first step is for all at once, so that short replies do not wait for long ones.
    """
    try:
        next(steps)
        while True:
            async with turn:
                await asyncio.sleep(0)
                next(steps)
    except StopIteration as done:
        reply: Reply = done.value
        return reply


class BoundedProtocol(H11Protocol):
    """One connection: silent, refused beyond the bound, closed when nothing is asked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it at once when there are too many."""
        self.logger = QUIET
        self.access_log = False
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self.timeout_keep_alive_task = self.loop.call_later(IDLE_S_MAX, self.timeout_keep_alive_handler)


class EmbeddedServer(uvicorn.Server):
    """Uvicorn's server on a socket that listens already, from `serve` until `stopping` is set."""

    def __init__(
        self, app: ASGIApp, tls: ssl.SSLContext | None, serving: asyncio.Event, stopping: asyncio.Event
    ) -> None:
        """Serve HTTP, or with `tls` HTTPS; set `serving` when requests are answered."""
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                loop="none",
                log_config=None,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE_S_MAX,
            )
        )
        self.config.load()
        self._tls = tls
        self._serving = serving
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they are the server's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and tell so."""
        loop = asyncio.get_running_loop()

        def make() -> BoundedProtocol:
            return BoundedProtocol(self.config, self.server_state, {}, loop)

        handshake_s = IDLE_S_MAX if self._tls is not None else None
        self.servers = [
            await loop.create_server(make, sock=listener, ssl=self._tls, ssl_handshake_timeout=handshake_s)
            for listener in sockets or ()
        ]
        self.started = True
        self._serving.set()

    async def main_loop(self) -> None:
        """Wait for the end."""
        try:
            await self._stopping.wait()
        except asyncio.CancelledError:
            self.close()
            raise

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let answers that are under way leave."""
        self.close()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=FINISH_S_MAX)

    def close(self) -> None:
        """Close the listening socket and the idle connections; the others close with their answer."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
