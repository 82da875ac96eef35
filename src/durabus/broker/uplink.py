"""The socket of an external NATS network: connects, says who we are, and connects again when that is lost.

`ExternalBus` is the mind of the connection; this gives it bytes, and takes its output once per turn. At the start, no
server to be had is an error; after that, one is looked for without end, a quarter of a second apart.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import unquote, urlsplit

from durabus.broker.external import ExternalBus
from durabus.broker.transport import Turn
from durabus.errors import StartError
from durabus.wire.documents import ConnectRequestDocument, DocumentError, decode_info, encode_connect
from durabus.wire.framing import PING

__all__ = ["ServerAddress", "Uplink", "UplinkSettings", "parse_address"]

_GREETING_S = 2.0
_RECONNECT_S = 0.25
_PING_S = 120.0
_PINGS_OUT_MAX = 2
_UNSENT_BYTES_MAX = 256 * 1024 * 1024
NO_SERVERS = "nats: no servers available for connection"


class ServerAddress:
    """One server: where it is, and what it wants to know. Prints without the password."""

    def __init__(self, host: str, port: int, user: str, password: str, token: str, is_tls: bool) -> None:
        """Keep the parts of the URL."""
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.token = token
        self.is_tls = is_tls

    def __str__(self) -> str:
        """The URL as the log may show it."""
        secret = "[REDACTED]@" if self.user or self.token else ""
        return f"{'tls' if self.is_tls else 'nats'}://{secret}{self.host}:{self.port}"


def parse_address(url: str) -> ServerAddress:
    """Read `nats://[user:password@|token@]host:port` (or `tls://`); raises StartError."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        host, port = parts.hostname, parts.port or 4222
    except ValueError as error:
        raise StartError(f"malformed url: {error}") from None
    if not host:
        raise StartError(f"malformed url: {url.rpartition('@')[2]}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.password is None:
        return ServerAddress(host, port, "", "", user, parts.scheme == "tls")
    return ServerAddress(host, port, user, password, "", parts.scheme == "tls")


class UplinkSettings:
    """Where to connect, and as whom; credentials in an address win over these. `tls` is used when a server wants it."""

    def __init__(self, addresses: list[ServerAddress], name: str) -> None:
        """Keep the addresses, tried in this order, and the name that the server's monitoring shows."""
        self.addresses = addresses
        self.name = name
        self.user = ""
        self.password = ""
        self.token = ""
        self.tls: ssl.SSLContext | None = None
        self.tls_server_name = ""
        self.must_be_tls = False


class _Socket(asyncio.Protocol):
    """One connection, from its opening to its loss."""

    def __init__(self, bus: ExternalBus, turn: Turn) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard = asyncio.Event()
        self.is_serving = False
        self._bus = bus
        self._turn = turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.is_serving:
            self._turn.open()
        self._bus.feed(data)
        self.heard.set()
        if self._bus.failure and self.transport is not None:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.heard.set()
        if not self.lost.done():
            self.lost.set_result(None)


class Uplink:
    """Keeps `bus` connected. `on_change` is called, as a turn, whenever a connection was lost or stands again."""

    def __init__(
        self, settings: UplinkSettings, bus: ExternalBus, log: Callable[[str], None], on_change: Callable[[bool], None]
    ) -> None:
        """Put the parts together; `start` connects."""
        self._settings = settings
        self._bus = bus
        self._log = log
        self._on_change = on_change
        self._socket: _Socket | None = None
        self._turn: Turn | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.address: ServerAddress | None = None

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> None:
        """Connect to the first server that takes us; raises StartError when none does."""
        self._turn = Turn(begin_turn, end_turn)
        refusal = await self._connect_to_any()
        if self._socket is None:
            raise StartError(refusal or NO_SERVERS)
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    def is_connected(self) -> bool:
        """Whether a connection stands."""
        return self._socket is not None

    async def stop(self) -> None:
        """Send what is gathered, then close for good."""
        if self._keeper is not None:
            self._keeper.cancel()
        self.flush()
        if self._socket is not None and self._socket.transport is not None:
            self._socket.transport.close()
            await asyncio.wait([self._socket.lost], timeout=1)
        self._bus.close()

    def flush(self) -> None:
        """Send what the bus has gathered."""
        data = self._bus.take_output()
        if data and self._socket is not None and self._socket.transport is not None:
            transport = self._socket.transport
            transport.write(data)
            if transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
                self._log("the NATS server does not take what is sent to it: connecting again")
                transport.abort()

    async def _connect_to_any(self) -> str:
        """Try every address once; the last refusal when none took us."""
        refusal = ""
        for address in self._settings.addresses:
            try:
                refusal = await self._connect(address)
            except (OSError, TimeoutError) as error:
                # Not there is not the same as not wanted: only the latter says something the user can mend.
                if isinstance(error, ssl.SSLError):
                    refusal = f"nats: {error}"
                continue
            if not refusal:
                self.address = address
                return ""
        return refusal

    async def _connect(self, address: ServerAddress) -> str:
        """Connect to `address` and introduce ourselves; why the server refused, empty when it did not."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        assert self._turn is not None, "start() comes first"
        turn, bus = self._turn, self._bus
        bus.begin()
        async with asyncio.timeout(_GREETING_S):
            raw, socket = await loop.create_connection(lambda: _Socket(bus, turn), address.host, address.port)
            try:
                await self._hear(socket, lambda: bool(bus.info))
                info = decode_info(bus.info)
                if info.tls_required or address.is_tls or settings.must_be_tls:
                    await self._secure(socket, raw, address)
                bus.open(self._greeting(address, info.tls_required))
                self._write_through(socket)
                pongs = bus.pongs
                await self._hear(socket, lambda: bus.pongs > pongs or bool(bus.refusal))
            except DocumentError as error:
                socket.lost.cancel()
                raw.abort()
                bus.close()
                return f"nats: the server's INFO is not understood: {error}"
            except BaseException:
                raw.abort()
                bus.close()
                raise
        if bus.refusal or socket.lost.done():
            raw.abort()
            bus.close()
            return f"nats: {bus.refusal}" if bus.refusal else NO_SERVERS
        socket.is_serving = True
        self._socket = socket
        return ""

    async def _secure(self, socket: _Socket, raw: asyncio.BaseTransport, address: ServerAddress) -> None:
        context = self._settings.tls or ssl.create_default_context()
        name = self._settings.tls_server_name or address.host
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(raw, socket, context, server_hostname=name)  # type: ignore[arg-type]
        socket.transport = secured

    def _greeting(self, address: ServerAddress, is_tls: bool) -> bytes:
        settings = self._settings
        has_own = bool(address.user or address.token)
        document = ConnectRequestDocument(
            name=settings.name,
            tls_required=is_tls,
            user=address.user if has_own else settings.user,
            password=address.password if has_own else settings.password,
            auth_token=address.token if has_own else settings.token,
        )
        return b"CONNECT " + encode_connect(document) + b"\r\n" + PING

    def _write_through(self, socket: _Socket) -> None:
        data = self._bus.take_output()
        if socket.transport is not None:
            socket.transport.write(data)

    async def _hear(self, socket: _Socket, is_heard: Callable[[], bool]) -> None:
        """Wait until the server has said something that makes `is_heard` true, or the socket is lost."""
        while not is_heard() and not socket.lost.done():
            socket.heard.clear()
            await socket.heard.wait()
        if not is_heard():
            raise ConnectionResetError("the server closed the connection")

    async def _keep(self) -> None:
        """Notice a lost connection, and look for a new one, until cancelled."""
        while True:
            socket = self._socket
            assert socket is not None
            await self._watch(socket)
            self._socket = None
            self._bus.close()
            self._log(f"connection to NATS server {self.address} lost, connecting again")
            self._on_change(False)
            while not self.is_connected():
                await asyncio.sleep(_RECONNECT_S)
                await self._connect_to_any()
            self._log(f"connected again to NATS server {self.address}")
            self._on_change(True)

    async def _watch(self, socket: _Socket) -> None:
        """Return when the connection is lost; a server that answers no pings is as good as lost."""
        pings_out = 0
        while not socket.lost.done():
            pongs = self._bus.pongs
            done, _ = await asyncio.wait([socket.lost], timeout=_PING_S)
            if done:
                return
            pings_out = 0 if self._bus.pongs > pongs else pings_out + 1
            if pings_out > _PINGS_OUT_MAX and socket.transport is not None:
                socket.transport.abort()
                await socket.lost
                return
            if socket.transport is not None:
                socket.transport.write(PING)
