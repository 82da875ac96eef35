"""The socket of an external NATS network: connects, says who we are, and connects again when that is lost.

`ExternalBus` is the mind of the connection; this gives it bytes, and takes its output once per turn. At the start, no
server to be had is an error; after that, one is looked for without end: the others that are known at once, since what
clients ask for until then is lost, and the one that was lost a quarter of a second later, when it may have come back.
"""

import asyncio
import errno
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, cast
from urllib.parse import unquote, urlsplit

from durabus.broker.external import ExternalBus
from durabus.broker.transport import Turn
from durabus.errors import StartError
from durabus.wire.documents import ConnectRequestDocument, decode_info, encode_connect

__all__ = [
    "NO_SERVERS",
    "SKIP_VERIFY_WARNING",
    "ServerAddress",
    "Uplink",
    "UplinkLog",
    "UplinkSettings",
    "make_tls_context",
    "parse_address",
    "parse_servers",
]

NO_SERVERS: Final = "nats: no servers available for connection"
SKIP_VERIFY_WARNING: Final = "TLS certificate chain and hostname will not be verified. DO NOT USE IN PRODUCTION!"
"""For the log, when a context is made with `skip_verify`."""
_DEFAULT_PORT: Final = 4222
_UNSENT_BYTES_MAX: Final = 256 * 1024 * 1024
_STOP_S: Final = 1.0
# What OpenSSL calls a chain that does not end at a certificate which we trust, and a certificate out of its time.
_UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21)
_OUT_OF_TIME: Final = (9, 10)


class ServerAddress:
    """One server: where it is, and what it wants to know. Prints without the password."""

    def __init__(
        self, host: str, port: int, user: str, password: str, token: str, is_tls: bool, certificate_name: str = ""
    ) -> None:
        """Keep the parts of the URL; `certificate_name` is what its certificate says instead of `host`, if not empty."""
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.token = token
        self.is_tls = is_tls
        self.certificate_name = certificate_name

    @property
    def has_credentials(self) -> bool:
        """Whether these are to be used, instead of those of the settings."""
        return bool(self.user or self.password or self.token)

    def __str__(self) -> str:
        """The URL as the log may show it."""
        secret = "[REDACTED]@" if self.has_credentials else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.is_tls else 'nats'}://{secret}{host}:{self.port}"


def parse_servers(text: str) -> list[ServerAddress]:
    """Read the value of -ns; raises StartError, whose text never has a credential in it.

    As in the original, one URL without credentials has to name scheme and port; in one with credentials, and in a list
    with commas between, both may be missing.
    """
    entries = [entry.strip() for entry in text.split(",")]
    if "@" not in text:
        if len(entries) == 1:
            _check_complete(text)
        return [parse_address(entry, shown=entry) for entry in entries]
    # An entry may be a piece of a password with a comma in it: show none of them.
    total = len(entries)
    shown = ["[REDACTED]" + (f" (number {i} of {total})" if total > 1 else "") for i in range(1, total + 1)]
    return [parse_address(entry, shown=name) for entry, name in zip(entries, shown, strict=True)]


def _check_complete(url: str) -> None:
    """Refuse a URL without scheme or port, in the original's words."""
    parts = url.split("://")
    if len(parts) != 2:
        raise StartError(f"malformed url: {url}")
    place = parts[1]
    if "]" not in place and place.count(":") > 1:
        raise StartError(f"address {place}: too many colons in address")
    if ":" not in place.rpartition("]")[2]:
        raise StartError(f"address {place}: missing port in address")


def parse_address(url: str, shown: str = "[REDACTED]") -> ServerAddress:
    """Read `[nats://|tls://][user:password@|token@]host[:port]`; raises StartError, which names it as `shown`."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:  # whose text may quote the password
        raise StartError(f"malformed url: {shown}") from None
    is_cut = "@" in f"{parts.path}{parts.query}{parts.fragment}"  # a `/`, `?` or `#` that belongs to the password
    if not parts.netloc or is_cut or not host.isprintable() or any(char.isspace() for char in host):
        raise StartError(f"malformed url: {shown}")
    if parts.scheme in ("ws", "wss"):
        raise StartError(f"malformed url: {shown}: WebSocket is not supported, use nats:// or tls://")
    host = host or "localhost"
    port = port if port is not None else _DEFAULT_PORT
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    is_tls = parts.scheme == "tls"
    if parts.password is None:
        return ServerAddress(host, port, "", "", user, is_tls)
    return ServerAddress(host, port, user, password, "", is_tls)


def make_tls_context(
    ca_file: str = "", certificate_file: str = "", key_file: str = "", skip_verify: bool = False
) -> ssl.SSLContext:
    """How to talk TLS to a server: trusts the system, or only `ca_file`; raises StartError for a file of no use."""
    if ca_file:
        _check_readable(ca_file, "nats: error loading or parsing rootCA file")
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise StartError(f'nats: failed to parse root certificate from "{ca_file}"') from None
    context.hostname_checks_common_name = False
    # Newer Pythons refuse authorities without fields that most private ones lack, and that no other client asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate_file or key_file:
        for path in (certificate_file, key_file):
            _check_readable(path, "nats: error loading client certificate")
        try:
            context.load_cert_chain(certificate_file, key_file, password="")  # and never ask a person
        except ssl.SSLError as error:
            words = _tls_words(error) if error.reason else "tls: no PEM data in it, or the key has a passphrase"
            raise StartError(f"nats: error loading client certificate: {words}") from None
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check_readable(path: str, what: str) -> None:
    try:
        if not path:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        with Path(path).open("rb"):
            return
    except OSError as error:
        raise StartError(f"{what}: open {path}: {_system_words(error)}") from None


def _system_words(error: OSError) -> str:
    """What the system says, as the original writes it."""
    if isinstance(error, ConnectionError) and not error.strerror:
        return "connection reset by peer"
    return (error.strerror or str(error) or type(error).__name__).lower()


def _tls_words(error: ssl.SSLError) -> str:
    """What is wrong with a certificate, or with the conversation about it, in few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN_AUTHORITY:
            return "x509: certificate signed by unknown authority"
        if error.verify_code in _OUT_OF_TIME:
            return "x509: certificate has expired or is not yet valid"
        return f"x509: {error.verify_message}"
    reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    return f"remote error: tls: {reason}" if " alert " in reason else f"tls: {reason}"


def _network_words(error: OSError | ValueError, address: ServerAddress) -> str:
    """Why a server cannot be reached; nothing when nobody is there, of which there is nothing to say."""
    if isinstance(error, ssl.SSLError):
        return _tls_words(error)
    if isinstance(error, socket.gaierror | ValueError):
        return f"dial tcp: lookup {address.host}: no such host"
    place = f"dial tcp {address.host}:{address.port}"
    if isinstance(error, TimeoutError):
        return f"{place}: i/o timeout"
    # A host with several addresses fails with one error that quotes those of all.
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return ""
    return f"{place}: {_system_words(error)}"


class UplinkSettings:
    """Where to connect, and as whom. Credentials in an address win over `user`, `password` and `token`."""

    def __init__(self, addresses: list[ServerAddress], name: str) -> None:
        """Keep the addresses, tried in this order, and the name that logs and the other server's monitoring show."""
        self.addresses = addresses
        self.name = name
        self.user = ""
        self.password = ""
        self.token = ""
        self.tls: ssl.SSLContext | None = None  # None: trust what the system trusts, if a server wants TLS
        self.tls_server_name = ""  # what the certificate of every server says; empty: its host
        self.must_be_tls = False  # refuse a server without TLS
        self.connect_timeout_s = 2.0  # for everything from the socket to the server's first PONG
        self.reconnect_wait_s = 0.25  # before the server that was lost is tried again
        self.settled_s = 0.25  # servers that drop us sooner than this after they took us get that wait each time
        self.ping_interval_s = 120.0
        self.pings_out_max = 2  # unanswered, when the next one is due: the server counts as lost


class UplinkLog(Protocol):
    """What a log has to offer here; the server's own has it."""

    def info(self, text: str, /) -> None:
        """One line about how things are."""

    def error(self, text: str, /) -> None:
        """One line about what went wrong."""


class _Refused(Exception):  # noqa: N818 - it is not an error of ours
    """A server is there and does not take us, or is none at all; the text says why."""


class _Connection(asyncio.Protocol):
    """One socket, from its opening to its loss."""

    def __init__(self, uplink: "Uplink") -> None:
        loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        self.heard = asyncio.Event()
        self.is_serving = False
        self.reason = ""  # why it was lost
        self._uplink = uplink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class

    def data_received(self, data: bytes) -> None:
        self._uplink.on_data(self, data)
        self.heard.set()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        if isinstance(error, ssl.SSLError):
            self._uplink.on_lost(self, _tls_words(error))
        else:
            self._uplink.on_lost(self, _system_words(error) if isinstance(error, OSError) else "EOF")
        self.heard.set()

    def farewell(self) -> str:
        """Why the server closed the connection before it was in use, as far as that can be known."""
        if self.reason.startswith("remote error: "):
            return self.reason
        text = f"nats: the server closed the connection: {self.reason}"
        if self.transport is not None and self.transport.get_extra_info("ssl_object") is not None:
            # In TLS 1.3 it judges us when we believe to be done, and its reason may get lost on the way.
            text += " (it may want another client certificate)"
        return text

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    async def end(self) -> None:
        """Close at once, and wait until nothing is open any more."""
        self.abort()
        if self.transport is not None and not self.lost.done():
            await asyncio.wait([self.lost], timeout=_STOP_S)
        await asyncio.sleep(0)  # the loop closes the socket in its next turn


class Uplink:
    """Keeps `bus` connected. `on_change` is told, in a turn, when the connection is lost (False) or stands again.

    `on_new_servers` is told, in a turn, when the server names others of its cluster that it did not name before.
    """

    def __init__(
        self, settings: UplinkSettings, bus: ExternalBus, log: UplinkLog, on_change: Callable[[bool], None]
    ) -> None:
        """Put the parts together; `start` connects."""
        self.address: ServerAddress | None = None  # of the last server that took us
        self.on_new_servers: Callable[[], None] | None = None
        self._settings = settings
        self._bus = bus
        self._log = log
        self._on_change = on_change
        self._turn: Turn | None = None
        self._connection: _Connection | None = None  # the one at work, or being made
        self._advertised: list[ServerAddress] = []
        self._keeper: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> None:
        """Connect to the first server that takes us; raises StartError when none does."""
        self._turn = Turn(begin_turn, end_turn)
        refusal = await self._connect_to_any(self._settings.addresses)
        if refusal:
            raise StartError(refusal)
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    def is_connected(self) -> bool:
        """Whether a connection stands."""
        return self._connection is not None and self._connection.is_serving

    def flush(self) -> None:
        """Send what the bus has gathered. Belongs at the end of every turn."""
        data = self._bus.take_output()
        connection = self._connection
        transport = connection.transport if connection is not None else None
        if data and connection is not None and transport is not None and not transport.is_closing():
            transport.write(data)
            if transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
                self._lose(connection, "nats: the server takes nothing of what is sent to it")
        self._bus.socket_unsent_bytes = transport.get_write_buffer_size() if transport is not None else 0
        self._log_complaints()

    async def sync(self, timeout_s: float = 2.0) -> bool:
        """Send what the bus has gathered; whether the server has taken all of it within `timeout_s`."""
        connection = self._connection
        if connection is None or not connection.is_serving:
            return False
        number = self._bus.ping()
        self.flush()
        try:
            async with asyncio.timeout(timeout_s):
                while not connection.reason and self._bus.pongs < number:
                    connection.heard.clear()
                    await connection.heard.wait()
        except TimeoutError:
            return False
        return not connection.reason

    async def stop(self) -> None:
        """Send what is gathered, then close for good. Nothing is heard any more. Twice is once."""
        self._is_stopping = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        self._bus.stop_listening()
        await self.sync(_STOP_S)  # closing with something unread would make the kernel drop what is on its way
        self._bus.close()
        connection = self._connection
        if connection is None or connection.transport is None:
            return
        connection.is_serving = False
        connection.transport.close()
        if not connection.lost.done():
            await asyncio.wait([connection.lost], timeout=_STOP_S)
        await connection.end()

    # Connecting.

    async def _connect_to_any(self, addresses: list[ServerAddress], refusal: str = NO_SERVERS) -> str:
        """Try every address once; empty when one took us, else why not: the last reason that says something."""
        for address in addresses:
            try:
                await self._connect(address)
            except _Refused as refused:
                refusal = str(refused)
            except (OSError, ValueError) as error:
                refusal = _network_words(error, address) or refusal
            else:
                return ""
        return refusal

    async def _connect(self, address: ServerAddress) -> None:
        """Connect to `address` and introduce ourselves; raises _Refused, OSError or ValueError."""
        loop = asyncio.get_running_loop()
        bus = self._bus
        connection = _Connection(self)
        self._connection = connection
        bus.begin()
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await loop.create_connection(lambda: connection, address.host, address.port)
                await self._hear(connection, lambda: bool(bus.info))
                is_tls = self._wants_tls(address)
                if is_tls:
                    await self._secure(connection, address)
                bus.greet(encode_connect(self._introduction(address, is_tls)))
                self.flush()
                await self._hear(connection, lambda: bus.pongs > 0)
        except TimeoutError:
            await connection.end()
            if connection.transport is not None:
                raise _Refused("nats: timeout") from None  # it is there, and says nothing
            raise
        except Exception:
            await connection.end()
            raise
        except BaseException:
            connection.abort()
            raise
        self.address = address
        connection.is_serving = True
        bus.open()
        self.flush()

    async def _hear(self, connection: _Connection, is_heard: Callable[[], bool]) -> None:
        """Wait until the server has said something that makes `is_heard` true; raises _Refused when it will not."""
        while True:
            if self._bus.complaints:
                raise _Refused(f"nats: {self._bus.complaints[0]}")
            if self._bus.failure:
                raise _Refused(f"nats: this is no NATS server: {self._bus.failure}")
            if connection.reason:
                raise _Refused(connection.farewell())
            if is_heard():
                return
            connection.heard.clear()
            await connection.heard.wait()

    def _wants_tls(self, address: ServerAddress) -> bool:
        """Whether to go on in TLS; raises _Refused when that is a must and the server cannot."""
        is_required = decode_info(self._bus.info).tls_required
        if not is_required and (address.is_tls or self._settings.must_be_tls):
            if json.loads(self._bus.info).get("tls_available") is not True:
                raise _Refused("nats: secure connection not available")
            return True
        return is_required

    async def _secure(self, connection: _Connection, address: ServerAddress) -> None:
        """Go on in TLS; raises OSError."""
        settings = self._settings
        if settings.tls is None:
            settings.tls = make_tls_context()
        name = settings.tls_server_name or address.certificate_name or address.host
        raw = connection.transport
        assert raw is not None, "the server has spoken on it"
        try:
            secured = await asyncio.get_running_loop().start_tls(raw, connection, settings.tls, server_hostname=name)
        except BaseException:
            connection.connection_lost(None)  # of which the loop says nothing, in the middle of a handshake
            raise
        if secured is None:
            raise ConnectionResetError
        connection.transport = secured

    def _introduction(self, address: ServerAddress, is_tls: bool) -> ConnectRequestDocument:
        source = address if address.has_credentials else self._settings
        return ConnectRequestDocument(
            name=self._settings.name,
            tls_required=is_tls,
            user=source.user,
            password=source.password,
            auth_token=source.token,
        )

    # What the socket says.

    def on_data(self, connection: _Connection, data: bytes) -> None:
        """The server has said something."""
        if connection is not self._connection or connection.reason:
            return
        if not connection.is_serving:
            self._bus.feed(data)
            self.flush()
            return
        if self._turn is not None and not self._is_stopping:
            self._turn.open()  # whose end flushes
        info = self._bus.info
        self._bus.feed(data)
        if self._bus.info is not info:
            self._compare(info)
        self._log_complaints()
        if self._bus.failure:
            self._lose(connection, f"nats: this is no NATS server: {self._bus.failure}")

    def on_lost(self, connection: _Connection, reason: str) -> None:
        """The socket is gone: what the bus publishes from now on is refused at once, not lost."""
        if connection.reason:
            return
        connection.reason = reason
        if not connection.is_serving:
            return
        connection.is_serving = False
        self._bus.close()
        if self._is_stopping or self._turn is None:
            return
        self._learn()
        self._log.error(f'connection "{self._settings.name}" has been disconnected: {reason}')
        self._turn.open()
        self._on_change(False)

    def _compare(self, former_info: bytes) -> None:
        """The server has spoken of itself again: see whether others have joined its cluster."""
        has_new = not _cluster_places(self._bus.info) <= _cluster_places(former_info)
        if has_new and self.on_new_servers is not None:
            self.on_new_servers()

    def _lose(self, connection: _Connection, reason: str) -> None:
        """Give a connection up."""
        self.on_lost(connection, reason)
        connection.abort()

    def _log_complaints(self) -> None:
        if self._bus.complaints and self.is_connected():
            for text in self._bus.complaints:
                self._log.error(f'connection "{self._settings.name}": nats: {text}')
            self._bus.complaints.clear()

    # Staying connected.

    async def _keep(self) -> None:
        """Notice a lost connection, and look for a new one, until cancelled."""
        name = self._settings.name
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await self._watch()
            was_settled = loop.time() - began_s >= self._settings.settled_s
            complaint = NO_SERVERS  # of which the log already says enough
            while not self.is_connected():
                refusal = await self._connect_again(was_settled)
                if refusal not in ("", NO_SERVERS, complaint):
                    complaint = refusal
                    self._log.error(f'connection "{name}" cannot be made again yet: {refusal}')
            self._log.info(f'connection "{name}" reconnected to NATS Server at "{self.address}"')
            if self._turn is not None:
                self._turn.open()
            self._on_change(True)

    async def _connect_again(self, was_settled: bool) -> str:
        """Try every server that we know of once; empty when one took us, else why not.

        All but the one lost are tried at once, unless we would go round between servers that take us and drop us.
        """
        candidates = self._candidates()
        at_once = len(candidates) - 1 if was_settled else 0
        refusal = await self._connect_to_any(candidates[:at_once])
        if refusal:
            await asyncio.sleep(self._settings.reconnect_wait_s)
            refusal = await self._connect_to_any(candidates[at_once:], refusal)
        return refusal

    async def _watch(self) -> None:
        """Return when the connection is lost; a server that answers no pings is as good as lost."""
        connection = self._connection
        assert connection is not None, "start() made one"
        while connection.is_serving:
            await asyncio.wait([connection.lost], timeout=self._settings.ping_interval_s)
            if connection.is_serving:
                if self._bus.pings - self._bus.pongs >= self._settings.pings_out_max:
                    self._lose(connection, "nats: stale connection")
                else:
                    self._bus.ping()
                    self.flush()

    def _candidates(self) -> list[ServerAddress]:
        """Every server that we know of, the one lost comes last."""
        known: dict[tuple[str, int], ServerAddress] = {}
        for address in (*self._settings.addresses, *self._advertised):
            known.setdefault((address.host, address.port), address)
        places = list(known)
        lost = (self.address.host, self.address.port) if self.address is not None else places[0]
        after = places.index(lost) + 1 if lost in places else 0
        return [known[place] for place in places[after:] + places[:after]]

    def _learn(self) -> None:
        """Remember the servers that the lost one has told of: they take us as it did."""
        address = self.address
        places = json.loads(self._bus.info).get("connect_urls")
        if address is None or not isinstance(places, list):
            return
        self._advertised = []
        for place in places:
            try:
                other = parse_address(place if isinstance(place, str) else "")
            except StartError:
                continue
            other.user, other.password, other.token = address.user, address.password, address.token
            other.is_tls = address.is_tls
            other.certificate_name = address.certificate_name or address.host
            self._advertised.append(other)


def _cluster_places(info: bytes) -> set[str]:
    """The servers of a cluster that one of them names in its INFO."""
    places = json.loads(info).get("connect_urls")
    return {place for place in places if isinstance(place, str)} if isinstance(places, list) else set()
