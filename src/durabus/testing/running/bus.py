"""The bus of a test: a whole server in this process and on this event loop, with its time in the hands of the test."""

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, overload

import durabus.client
from durabus.client import Bus, Publication
from durabus.client.connecting import Connecting
from durabus.client.options import BusOptions
from durabus.config.command_line import Action, read_command_line
from durabus.config.options import Options, with_settings
from durabus.errors import StartError
from durabus.server.server import Server
from durabus.stores.names import make_store
from durabus.testing.running.clock import ClientClock, MovableClock
from durabus.testing.running.history import RecordingStore
from durabus.testing.running.log import forwarded_log
from durabus.testing.running.positions import Position, positions
from durabus.testing.running.settling import settle
from durabus.testing.running.watching import WAIT_S, Watching
from durabus.wire.subjects import matches

__all__ = ["HANDLING_S", "RunningBus", "StartingBus"]

HANDLING_S: Final = 0.1
"""How long, in real time, listeners have for what they got before the time goes on."""
_HOST: Final = "127.0.0.1"
_POLL_S: Final = 0.001
_SECOND_NS: Final = 1_000_000_000


class RunningBus(Watching):
    """One bus, made by `durabus.testing.bus`. Everything here is for the event loop that it was started on."""

    def __init__(self, options: Options, clock: MovableClock, directory: Path | None) -> None:
        """Nothing runs yet: `start`."""
        super().__init__()
        self.directory = directory
        self._options = options
        self._clock = clock
        self._client_clock = ClientClock(clock)
        self._server: Server | None = None
        self._store: RecordingStore | None = None
        self._seat: socket.socket | None = None  # keeps the port ours while no server listens there
        self._clients: list[Bus] = []
        self._own: Bus | None = None
        self._is_advancing = False

    # Where it is.

    @property
    def port(self) -> int:
        """The port, of this machine, that clients connect to; the same after a restart."""
        return self._options.broker.port

    @property
    def url(self) -> str:
        """What clients in any language connect to: `nats://127.0.0.1:port`."""
        return f"{'tls' if self._options.tls.enabled else 'nats'}://{_HOST}:{self.port}"

    @property
    def cluster_id(self) -> str:
        """The cluster ID: `test-cluster`, unless it was given."""
        return self._options.streaming.cluster_id

    @property
    def is_running(self) -> bool:
        """Whether there is a server now."""
        return self._server is not None

    def now(self) -> datetime:
        """What time it is on the bus: the machine's time, and as much later as the test has moved it."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._clock.wall_ns() // 1000)

    # Its life.

    async def start(self) -> None:
        """Start the server, again after `stop`; returns when it serves. Raises StartError."""
        if self._server is not None:
            return
        if self._seat is None and sys.platform == "linux":
            self._take_seat()
        output = forwarded_log(self._options.log)
        store = RecordingStore(make_store(self._options, output.streaming.error, output.streaming.info), self._history)
        server = Server(self._options, output, self._clock, store, owns_process=False)
        assert server.broker is not None, "there is no external network"
        server.broker.drain_poll_s = _POLL_S
        server.service.on_turn = self._turns.end
        server.service.retry_s = _POLL_S
        try:
            await server.start()
        except BaseException:
            await server.stop()
            raise
        self._server, self._store = server, store
        self._options = with_settings(self._options, {"broker.port": server.port})

    def _take_seat(self) -> None:
        """Reserve a port: while the server is down nobody else gets it, and nobody connects to himself there."""
        self._seat = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._seat.bind((_HOST, self._options.broker.port))
        self._options = with_settings(self._options, {"broker.port": self._seat.getsockname()[1]})

    async def stop(self) -> None:
        """Stop the server in order, as SIGTERM does; clients lose their connections. The port stays reserved."""
        server, self._server, self._store = self._server, None, None
        if server is not None:
            await server.stop()
            self._turns.end()

    async def restart(self) -> None:
        """Stop the server and start it again, on the same port: with a memory store it has forgotten everything then.

        Clients find their way back by themselves; this does not wait for them.
        """
        await self.stop()
        await self.start()

    async def close(self) -> None:
        """The end: the clients that `connect` made are closed if they are still open, and nothing stays behind."""
        clients, self._clients, self._own = self._clients, [], None
        await asyncio.gather(*(client.close() for client in clients))
        await self.stop()
        if self._seat is not None:
            self._seat.close()
            self._seat = None

    async def kill_connections(self, client_id: str = "") -> int:
        """Cut the connections of all clients, or of the one with this client ID, as a broken network does; how many.

        Returns when the server has noticed. Clients that can do so connect again.
        """
        server = self._running()
        assert server.broker is not None, "there is no external network"
        inbox = b""
        if client_id:
            client = server.service.core.state.clients.by_id.get(client_id.encode())
            if client is None:
                raise ValueError(f"no client {client_id!r} is registered on the bus")
            inbox = client.record.heartbeat_inbox
        cut = [
            connection
            for connection, session in server.broker.connections.items()
            if not inbox or any(matches(subscription.subject, inbox) for subscription in session.subscriptions.values())
        ]
        for connection in cut:
            if connection.transport is not None:
                connection.transport.abort()
        there = server.broker.connections
        await self._turns.until(lambda: not any(connection in there for connection in cut), WAIT_S)
        return len(cut)

    @contextlib.asynccontextmanager
    async def refusing_publishes(self, reason: str = "the test refuses this") -> AsyncIterator[None]:
        """Within the block the store refuses whatever is published, and publishers are told this reason.

        When the block ends the bus takes events again.
        """
        self._running()
        assert self._store is not None, "it runs"
        self._store.refusal = reason
        try:
            yield
        finally:
            if self._store is not None:
                self._store.refusal = ""
                await self._turns.until(lambda: not self._running().service.core.state.failure, WAIT_S)

    def _running(self) -> Server:
        if self._server is None:
            raise StartError("the bus is stopped; start() starts it again")
        return self._server

    # Clients.

    def connect(self, client_id: str = "", **options: Any) -> Connecting:  # noqa: ANN401 - those of durabus.connect
        """`durabus.connect` to this bus: `async with` it, or `await` it; what is left open is closed with the bus.

        `options` are those of `durabus.connect`. Unless they say otherwise it comes back quickly when a connection is lost.
        """
        options.setdefault("reconnect_wait_s", 0.01)
        options.setdefault("reconnect_wait_max_s", 0.1)
        options.setdefault("cluster_id", self.cluster_id)
        return Connecting(durabus.client.connect(self.url, client_id=client_id, **options).options, self._make_client)

    def _make_client(self, options: BusOptions) -> Bus:
        client = Bus(options, self._client_clock)
        self._clients = [*(other for other in self._clients if not other.is_closed), client]
        return client

    @overload
    async def publish(self, what: str, data: bytes | str) -> Publication: ...
    @overload
    async def publish(self, what: object) -> Publication: ...
    async def publish(self, what: object, data: bytes | str | None = None) -> Publication:
        """Publish an event of a class, or data to a channel, by a client of the bus's own; returns when it is stored.

        Raises what `durabus.client.Bus.publish` raises.
        """
        if self._own is None or self._own.is_closed:
            self._own = await self.connect()
        if isinstance(what, str):
            if data is None:
                raise TypeError("publish() takes an event, or a channel and data")
            return await self._own.publish(what, data)
        from durabus.events.event import event_type

        kind: Any = event_type(type(what))
        return await self._own.publish(kind.subject, kind.encode(what))

    async def wait_connected(self, client_id: str, timeout_s: float = WAIT_S) -> None:
        """Wait until a client is registered and there; raises AssertionError after `timeout_s` seconds."""

        def is_there() -> bool:
            server = self._server
            client = server.service.core.state.clients.by_id.get(client_id.encode()) if server is not None else None
            return client is not None and client.was_seen and not client.is_absent

        if not await self._turns.until(is_there, timeout_s):
            known = self._server.service.core.state.clients.by_id if self._server is not None else {}
            names = ", ".join(sorted(name.decode() for name in known)) or "nobody"
            raise AssertionError(f"client {client_id} is not connected within {timeout_s:g} s; registered: {names}")

    def subscriptions(self) -> list[Position]:
        """Who has a position on the bus, and what of it is not acknowledged."""
        return positions(self._server.service.core) if self._server is not None else []

    # Time.

    async def settle(self) -> None:
        """Return when nothing is under way: what was published is stored, what can be delivered has reached its clients.

        What their handlers do with it may still go on: that is what `wait_idle` and `published` are for.
        """
        if self._server is not None and self._store is not None:
            await settle(self._server, self._store, self._turns)

    async def advance(self, seconds: float | timedelta, *, handling_s: float = HANDLING_S) -> None:
        """Let time pass: everything that becomes due happens, in its order and each at its time.

        When this returns it is so much later, and what was sent because of that has reached its clients. Whenever something
        is delivered on the way, listeners have up to `handling_s` seconds of real time to acknowledge it before time goes on.
        Clients stay alive: they answer the heartbeats on the way. Raises ValueError for less than 0 seconds.
        """
        duration_ns = round((seconds.total_seconds() if isinstance(seconds, timedelta) else seconds) * _SECOND_NS)
        if duration_ns < 0:
            raise ValueError(f"time only goes forward, not by {seconds}")
        if self._is_advancing:
            raise RuntimeError("advance() is at work already: await one after the other")
        self._is_advancing = True
        try:
            await self._advance_to(self._clock.monotonic_ns() + duration_ns, handling_s)
        finally:
            self._is_advancing = False

    async def _advance_to(self, target_ns: int, handling_s: float) -> None:
        await self.settle()
        while (server := self._server) is not None:
            due_ns = server.service.core.next_deadline_ns()
            if not due_ns or due_ns > target_ns:
                break
            self._clock.move_to(due_ns)
            before = server.service.core.state.statistics.out_messages
            server.service.do_due()
            await self.settle()
            if server.service.core.state.statistics.out_messages != before:
                await self._turns.until(
                    lambda: not any(each.unacknowledged for each in self.subscriptions()), handling_s
                )
                await self.settle()
        self._clock.move_to(target_ns)
        if self._server is not None:
            self._server.service.do_due()
            await self.settle()

    def _time_text(self) -> str:
        if self._clock.is_running:
            return ""
        return "\nThe time of the bus stands still: advance() makes it redeliver what was not acknowledged in AckWait."


class StartingBus:
    """A bus to be: `async with` it."""

    def __init__(
        self, flags: tuple[str, ...], store: str, directory: str | Path | None, *, controlled_time: bool
    ) -> None:
        """Nothing is done yet; raises StartError for options that no server can start with."""
        self._flags = flags
        self._store = store
        self._directory = Path(directory) if directory is not None else None
        self._controlled_time = controlled_time
        self._stack = contextlib.ExitStack()
        self._bus: RunningBus | None = None

    async def __aenter__(self) -> RunningBus:
        try:
            directory = self._directory
            if directory is None and self._store.upper() == "FILE":
                directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="durabus-")))
            options = bus_options(self._flags, self._store, directory)
            bus = RunningBus(options, MovableClock(is_running=not self._controlled_time), directory)
            try:
                await bus.start()
            except BaseException:
                await bus.close()
                raise
        except BaseException:
            self._stack.close()
            raise
        self._bus = bus
        return bus

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._bus is not None, "it was entered"
        try:
            await self._bus.close()
        finally:
            self._stack.close()


def bus_options(flags: tuple[str, ...], store: str, directory: Path | None) -> Options:
    """The options of a bus: the server's flags, but always on a free port of this machine, and without monitoring.

    Raises StartError, or what the command line raises for flags that it does not take.
    """
    words = [
        *(("-store", store) if store else ()),
        *(("-dir", str(directory)) if directory is not None else ()),
        *flags,
    ]
    request = read_command_line(words)
    if request.action is not Action.SERVE:
        raise StartError(f"the flags {' '.join(flags)} do not start a server")
    options = request.options
    if options.external.url or options.streaming.ft_group:
        raise StartError("the bus of a test has its own network and no standby: leave out -ns and -ft_group")
    return with_settings(
        options,
        {"broker.host": _HOST, "broker.port": 0, "monitoring.port": None, "monitoring.https_port": None},
    )
