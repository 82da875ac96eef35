"""The embedded broker: owns the listener and the connections of one server (docs/protocol.md §1)."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from durabus.broker.router import Router
from durabus.broker.session import SLOW_CONSUMER, Link, Session, SessionLimits
from durabus.broker.transport import WRITE_DEADLINE, Connection, Turn, Valve
from durabus.clock import Clock
from durabus.wire.documents import InfoDocument, encode_info
from durabus.wire.framing import error_line, info_line

__all__ = ["Broker", "BrokerSettings"]

_BACKLOG = 1024
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, not bound to
_DRAIN_MAX_S = 0.5
_STOP_MAX_S = 1.0


class BrokerSettings:
    """Where the broker listens and what a client may do there."""

    def __init__(self, host: str, port: int, info: InfoDocument, limits: SessionLimits) -> None:
        """Keep the settings; port 0 lets the system choose."""
        self.host = host
        self.port = port
        self.info = info
        self.limits = limits
        self.connections_max = 65536
        self.write_deadline_s = 10.0
        self.tls: ssl.SSLContext | None = None
        self.tls_timeout_s = 2.0
        self.auth_timeout_s = 2.0


class Broker:
    """Listens, makes a session of each connection, and ends them all."""

    def __init__(self, settings: BrokerSettings, router: Router, clock: Clock) -> None:
        """Put the parts together; `start` opens the port."""
        self.settings = settings
        self.router = router
        self.connections: dict[Connection, Session] = {}
        self.by_client_id: dict[int, Connection] = {}
        self.connections_total = 0
        self.slow_consumers_total = 0
        self.drain_poll_s = 0.02  # how long nothing has to come for the end to be quiet
        self.on_debug: Callable[[str], None] | None = None
        self.on_notice: Callable[[str], None] | None = None
        self.on_closed: Callable[[Connection, Session, str], None] | None = None
        self._clock = clock
        self._valve = Valve()
        self._server: asyncio.Server | None = None
        self._input_count = 0

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> int:
        """Open the port and return its number; the two callables frame every turn with input.

        Raises OSError when the port cannot be had.
        """
        loop = asyncio.get_running_loop()
        settings = self.settings

        def begin() -> None:
            self._input_count += 1
            begin_turn()

        turn = Turn(begin, end_turn)

        def make() -> Connection:
            connection = Connection(self._make_session, self._on_end, turn, self._clock, settings.write_deadline_s)
            connection.tls = settings.tls
            connection.tls_timeout_s = settings.tls_timeout_s
            connection.auth_timeout_s = settings.auth_timeout_s
            connection.valve = self._valve
            return connection

        self._server = await loop.create_server(
            make, settings.host, settings.port, backlog=_BACKLOG, family=_family(settings.host)
        )
        settings.port = self._server.sockets[0].getsockname()[1]
        settings.info.port = settings.port
        return settings.port

    def _make_session(self, connection: Connection, link: Link, address: str) -> Session:
        self.connections_total += 1
        session = Session(self.connections_total, address, self.router.exchange, link, self.settings.limits)
        session.port = connection.peer_port
        info = self.settings.info
        info.client_id = session.client_id
        info.client_ip = address
        session.send(info_line(encode_info(info)))
        if self.settings.connections_max and len(self.connections) >= self.settings.connections_max:
            session.send(error_line("maximum connections exceeded"))
            session.close("maximum connections exceeded", False)
        else:
            self.connections[connection] = session
            self.by_client_id[session.client_id] = connection
            self._tell(self.on_debug, session, "Client connection created")
        return session

    def _on_end(self, connection: Connection, reason: str) -> None:
        if self.on_closed is not None and connection.session is not None:
            self.on_closed(connection, connection.session, reason)
        session = self.connections.pop(connection, None)
        if session is None:
            return
        del self.by_client_id[session.client_id]
        if reason in (SLOW_CONSUMER, WRITE_DEADLINE):
            self.slow_consumers_total += 1
            self._tell(self.on_notice, session, f"Slow Consumer Detected: {self._exceeded(reason)}")
        self._tell(self.on_debug, session, f"Client connection closed: {reason}")

    def _tell(self, log: Callable[[str], None] | None, session: Session, text: str) -> None:
        if log is not None:
            log(f"{session.label()} - {text}")

    def _exceeded(self, reason: str) -> str:
        """The limit that a slow consumer went beyond, in the original's words."""
        if reason == WRITE_DEADLINE:
            return f"WriteDeadline of {self.settings.write_deadline_s:g}s exceeded"
        return f"MaxPending of {self.settings.limits.pending_bytes_max} Exceeded"

    def hold_back(self, is_held: bool) -> None:
        """From now on, read no more from who sends much; or read from everybody again."""
        if is_held:
            self._valve.shut()
        else:
            self._valve.open()

    async def drain(self) -> None:
        """Take no new connections, and go on serving those that there are until nothing more comes, half a second at most.

        So that a publish that was on its way when the stop was asked for is still stored and answered.
        """
        if self._server is not None:
            self._server.close()
        for _ in range(int(_DRAIN_MAX_S / self.drain_poll_s)):
            seen = self._input_count
            await asyncio.sleep(self.drain_poll_s)
            if seen == self._input_count:
                return

    async def stop(self) -> None:
        """Send what is gathered, then close every connection; a client that does not read is cut off after a second."""
        if self._server is not None:
            self._server.close()
        self.router.flush()
        for session in list(self.connections.values()):
            session.close("Server Shutdown", False)
        for _ in range(int(_STOP_MAX_S / self.drain_poll_s)):
            if not self.connections:
                return
            await asyncio.sleep(self.drain_poll_s)
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()


def _family(host: str) -> socket.AddressFamily:
    """IPv4 for the default address, so that one port is one socket; whatever the name leads to otherwise."""
    return socket.AF_INET if host == _EVERYWHERE else socket.AF_UNSPEC
