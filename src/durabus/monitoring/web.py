"""HTTP for the endpoints: a small application on Starlette, and uvicorn's server made to live inside ours.

Only `monitoring/port.py` imports this module, in a thread and after the clients' port is open: it takes longer to import
than all the rest. Uvicorn is meant to own its process; three things are taken from it here. It does not catch signals,
it does not wake ten times a second to see whether it should end, and it does not write to any log.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Final

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from durabus.monitoring.endpoints import Reply, answer, failure
from durabus.monitoring.state import StateSource

__all__ = ["EmbeddedServer", "application"]

CONNECTIONS_MAX: Final = 256
"""Connections at a time; one more is closed at once. Probes and tools need a handful, each costs some 20 KB."""

IDLE_S_MAX: Final = 5
"""Seconds that a connection may be open without a request."""

FINISH_S_MAX: Final = 1.0
"""Seconds that an answer may take to leave when the server stops."""

# Silent, and of our own name: uvicorn's loggers belong to the process, which may use uvicorn for itself.
QUIET: Final = logging.getLogger("durabus.monitoring")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False
QUIET.setLevel(logging.CRITICAL)


def application(source: StateSource, report_error: Callable[[str], None]) -> ASGIApp:
    """The endpoints as an ASGI application; what goes wrong in one is reported as one line, and answered with 500."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        reply = reply_to(request, source, report_error)
        headers = {"date": formatdate(usegmt=True), **reply.headers}
        await Response(reply.body, reply.status, headers)(scope, receive, send)

    return respond


def reply_to(request: Request, source: StateSource, report_error: Callable[[str], None]) -> Reply:
    """The reply to one request."""
    path = request.scope["path"]
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, value)
    try:
        return answer(path, query, source)
    except Exception as error:  # noqa: BLE001 - a bug in one document must not become a traceback on standard error
        report_error(f"Error getting information about {path}: {type(error).__name__}: {error}")
        return failure(path)


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

    def __init__(self, app: ASGIApp, serving: asyncio.Event, stopping: asyncio.Event) -> None:
        """Set `serving` when requests are answered."""
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
        self._serving = serving
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they are the server's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and tell so."""
        await super().startup(sockets)
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
