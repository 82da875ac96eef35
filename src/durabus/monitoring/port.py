"""The monitoring port as its owner sees it: open it, serve in a task, stop.

    port = MonitoringPort("0.0.0.0", 8222, source, log.streaming.error)
    port.open()                          # raises MonitoringError, before anything slow is imported
    task_group.create_task(port.serve()) # after the clients' port is open
    ...
    port.stop()                          # serve() ends

Requests that come between `open` and the moment when HTTP is loaded wait in the socket's queue.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from durabus.config.addresses import describe_listen_error
from durabus.errors import StartError
from durabus.monitoring.state import StateSource

if TYPE_CHECKING:
    from durabus.monitoring.web import EmbeddedServer

__all__ = ["MonitoringError", "MonitoringPort"]

BACKLOG = 128


class MonitoringError(StartError):
    """The monitoring port cannot be opened; the text is one line that names the address and the reason."""


class MonitoringPort:
    """One HTTP or HTTPS port with the documents about one server."""

    def __init__(
        self,
        host: str,
        port: int,
        source: StateSource,
        report_error: Callable[[str], None],
        *,
        tls: ssl.SSLContext | None = None,
        base_path: str = "",
    ) -> None:
        """Listen on `host` and `port` (0: any free one) when `open` is called; bugs in documents are reported.

        With `tls` it is HTTPS. `base_path` is put before the paths of the broker's pages, not of the streaming ones.
        """
        self._host = host
        self._port = port
        self._source = source
        self._report_error = report_error
        self._tls = tls
        self._base_path = base_path
        self._socket: socket.socket | None = None
        self._serving = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def port(self) -> int:
        """The TCP port; once open, the one that the system chose if it was to choose."""
        return self._port

    def open(self) -> None:
        """Listen, so that the port is ours; raises MonitoringError."""
        try:
            family, _, _, _, place = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(place)
                listener.listen(BACKLOG)
                listener.setblocking(False)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            reason = describe_listen_error(self._host, self._port, error)
            raise MonitoringError(f"Can't start monitoring: can't listen to the monitor port: {reason}") from None
        self._socket = listener
        self._port = listener.getsockname()[1]

    async def serve(self) -> None:
        """Answer requests until `stop` is called; the port is closed when this ends."""
        listener = self._socket
        assert listener is not None, "open() comes before serve()"
        try:
            server = await asyncio.to_thread(self._load)
            if not self._stopping.is_set():
                await server.serve([listener])
        finally:
            listener.close()

    def _load(self) -> "EmbeddedServer":
        """The HTTP server; importing it takes long, so this runs in a thread."""
        from durabus.monitoring.endpoints import Site
        from durabus.monitoring.web import EmbeddedServer, application

        app = application(Site(self._source, self._base_path), self._report_error)
        return EmbeddedServer(app, self._tls, self._serving, self._stopping)

    async def wait_serving(self) -> None:
        """Wait until requests are answered without waiting."""
        await self._serving.wait()

    def stop(self) -> None:
        """Let `serve` end; before it, or twice, is fine."""
        self._stopping.set()

    def close(self) -> None:
        """Close a port on which `serve` was never called."""
        self.stop()
        if self._socket is not None:
            self._socket.close()
