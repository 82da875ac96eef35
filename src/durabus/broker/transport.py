"""The broker's sockets: asyncio protocols that feed sessions and carry their output. The only file with sockets.

A turn: whatever arrives in one turn of the event loop is fed to the sessions as it comes, then the turn is ended once,
for everybody: `TurnEnd.end_turn` stores and sends.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from durabus.broker.session import Link, Session
from durabus.clock import Clock

__all__ = ["WRITE_DEADLINE", "Connection", "Turn", "Valve"]

CLIENT_CLOSED: Final = "Client Closed"
"""Why a connection ended that the client ended."""
HELD_BACK_BYTES: Final = 64 * 1024
"""So much a connection may send while senders are held back."""
WRITE_DEADLINE: Final = "Slow Consumer (Write Deadline)"
"""Why a connection ended whose client took nothing for too long."""


class Turn:
    """Ends a turn of the event loop once, however many sockets had something in it."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Call `begin` before the first input of a turn, and `end` after the last."""
        self._begin = begin
        self._end = end
        self._is_open = False

    def open(self) -> None:
        """Input is about to be fed to a session."""
        if not self._is_open:
            self._is_open = True
            self._begin()
            asyncio.get_running_loop().call_soon(self._close)

    def _close(self) -> None:
        self._is_open = False
        self._end()


class Valve:
    """Shut, it keeps connections that send much from sending more: they are not read until it is open again.

    Who sends little is read all the same: acknowledgements, pings and heartbeats do not wait.
    """

    def __init__(self) -> None:
        """Open."""
        self.is_shut = False
        self._sent: dict[Connection, int] = {}  # since it was shut, in bytes
        self._held: set[Connection] = set()

    def shut(self) -> None:
        """From now on it counts who sends how much."""
        self.is_shut = True

    def open(self) -> None:
        """Everybody is read again."""
        self.is_shut = False
        self._sent.clear()
        held, self._held = self._held, set()
        for connection in held:
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                transport.resume_reading()

    def count(self, connection: "Connection", count: int) -> None:
        """`connection` has sent so many bytes."""
        sent = self._sent.get(connection, 0) + count
        self._sent[connection] = sent
        transport = connection.transport
        if (
            sent > HELD_BACK_BYTES
            and connection not in self._held
            and transport is not None
            and not transport.is_closing()
        ):
            self._held.add(connection)
            transport.pause_reading()

    def holds(self, connection: "Connection") -> bool:
        """Whether `connection` is not read at the moment."""
        return connection in self._held

    def forget(self, connection: "Connection") -> None:
        """The connection is gone."""
        self._sent.pop(connection, None)
        self._held.discard(connection)


class _SocketLink(Link):
    """A session's way to its transport."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def unsent_bytes(self) -> int:
        transport = self._connection.transport
        return transport.get_write_buffer_size() if transport is not None else 0

    def write(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is not None and not transport.is_closing():
            self._connection.given_bytes += len(data)
            transport.write(data)
            self._connection.note_messages()

    def close(self, reason: str, at_once: bool) -> None:
        self._connection.end(reason, at_once)


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(
        self,
        make_session: Callable[["Connection", Link, str], Session],
        on_end: Callable[["Connection", str], None],
        turn: Turn,
        clock: Clock,
        write_deadline_s: float,
    ) -> None:
        """Make a session when the socket opens; call `on_end` once, with the reason, when it is over."""
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.given_bytes = 0  # to the transport, since the start
        self.peer_port = 0
        self.valve = Valve()
        self.start_wall_ns = 0
        self.tls: ssl.SSLContext | None = None  # set where the client must encrypt after our INFO
        self.tls_timeout_s = 2.0
        self.auth_timeout_s = 2.0
        self.last_messages_ns = 0  # when messages were last handed to the transport
        self._messages_noted = 0
        self._make_session = make_session
        self._on_end = on_end
        self._turn = turn
        self._clock = clock
        self._write_deadline_s = write_deadline_s
        self._deadline: asyncio.TimerHandle | None = None
        self._taken_bytes = 0  # by the client, when the write deadline was set
        self._ping_timer: asyncio.TimerHandle | None = None
        self._auth_timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._reason = CLIENT_CLOSED

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the session; its INFO is the first thing that the client reads."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class
        self.start_wall_ns = self._clock.wall_ns()
        peer = transport.get_extra_info("peername")
        self.peer_port = peer[1] if peer else 0
        self._turn.open()
        self.session = self._make_session(self, _SocketLink(self), str(peer[0]) if peer else "")
        now_ns = self._clock.monotonic_ns()
        self.session.start_ns = self.session.last_active_ns = self.session.last_used_ns = now_ns
        self._check_alive()
        if not self.session.is_admitted:
            wait_s = self.auth_timeout_s + (self.tls_timeout_s if self.tls is not None else 0)
            self._auth_timer = asyncio.get_running_loop().call_later(wait_s, self._on_auth_timeout)
        if self.tls is not None and not self.session.is_closed:
            self._handshake = asyncio.get_running_loop().create_task(self._encrypt(self.transport, self.tls))

    async def _encrypt(self, plain: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Send INFO in the clear, then go on encrypted, on top of `plain`."""
        if self.session is not None:
            # Only now: the client begins the handshake when it has read this, and from here to the first wait of
            # `start_tls`, which takes the reading over, nothing can be read.
            self.session.flush()
        try:
            self.transport = await asyncio.get_running_loop().start_tls(
                plain, self, context, server_side=True, ssl_handshake_timeout=self.tls_timeout_s
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError is one, a lost connection too
            if self.session is not None:
                self._turn.open()
                self.session.close(f"TLS handshake error: {error}", True)
            plain.abort()

    def _on_auth_timeout(self) -> None:
        self._auth_timer = None
        if self.session is not None and not self.session.is_admitted:
            self._turn.open()
            self.session.fail("Authentication Timeout", "the client did not say who it is")

    def data_received(self, data: bytes) -> None:
        """Feed the session."""
        if self.session is not None:
            self._turn.open()
            self.session.feed(data, self._clock.monotonic_ns())
            if self.valve.is_shut:
                self.valve.count(self, len(data))

    def note_messages(self) -> None:
        """Note the time when what was written had messages in it: for monitoring, that is activity of the client."""
        session = self.session
        if session is not None and session.out_messages != self._messages_noted:
            self._messages_noted = session.out_messages
            self.last_messages_ns = self._clock.monotonic_ns()

    def eof_received(self) -> bool:
        """The client will send no more: the connection is over."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone: whoever watched for this client's interest learns it in this turn."""
        self._turn.open()
        for timer in (self._deadline, self._ping_timer, self._auth_timer):
            if timer is not None:
                timer.cancel()
        self._ping_timer = None
        self.valve.forget(self)
        if self._handshake is not None and not self._handshake.done():
            self._handshake.cancel()
        if error is not None and self._reason == CLIENT_CLOSED:
            self._reason = "Write Error" if isinstance(error, BrokenPipeError) else "Read Error"
        if self.session is not None:
            self.session.close(self._reason, True)
        self._on_end(self, self._reason)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write: it has until the write deadline to take something."""
        if self.session is not None:
            self.session.is_writing_paused = True
        if self._deadline is None:
            self._set_deadline()

    def resume_writing(self) -> None:
        """The client reads again."""
        if self.session is not None:
            self.session.is_writing_paused = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _set_deadline(self) -> None:
        assert self.transport is not None, "nobody writes before the connection is made"
        self._taken_bytes = self.given_bytes - self.transport.get_write_buffer_size()
        self._deadline = asyncio.get_running_loop().call_later(self._write_deadline_s, self._on_write_deadline)

    def _on_write_deadline(self) -> None:
        self._deadline = None
        if self.session is None or self.transport is None:
            return
        if self.given_bytes - self.transport.get_write_buffer_size() > self._taken_bytes:
            self._set_deadline()  # slow, but it reads
        else:
            self._turn.open()
            self.session.close(WRITE_DEADLINE, True)

    def _check_alive(self) -> None:
        self._ping_timer = None
        if self.session is None or self.transport is None:
            return
        now_ns = self._clock.monotonic_ns()
        self._turn.open()
        if self.valve.holds(self):
            self.session.last_active_ns = now_ns  # what it answers is not read: that is no reason to close it
        next_ns = self.session.on_ping_time(now_ns)
        if next_ns:
            delay_s = max(next_ns - now_ns, 1_000_000) / 1e9
            self._ping_timer = asyncio.get_running_loop().call_later(delay_s, self._check_alive)

    def end(self, reason: str, at_once: bool) -> None:
        """Close the socket, with or without sending what is unsent."""
        self._reason = reason
        if self.transport is not None and not self.transport.is_closing():
            if at_once:
                self.transport.abort()
            else:
                self.transport.close()
