"""The NATS network of one server: the broker in this process, or a connection to another server (`-ns`).

Both are a bus for the streaming half, and a thing that is started and stopped; nobody else has to know which it is.
"""

import errno
import ssl
from collections.abc import Callable
from typing import Protocol

from durabus import logs
from durabus.broker.auth import Gate
from durabus.broker.broker import Broker, BrokerSettings
from durabus.broker.bus import Bus
from durabus.broker.external import ExternalBus
from durabus.broker.router import Router
from durabus.broker.session import SessionLimits
from durabus.broker.uplink import SKIP_VERIFY_WARNING, Uplink, UplinkSettings, make_tls_context, parse_servers
from durabus.clock import Clock
from durabus.config.addresses import describe_listen_error
from durabus.config.options import ExternalOptions, Options, OptionsError
from durabus.errors import StartError
from durabus.server.tls import server_tls
from durabus.server.trace import trace_broker
from durabus.version import NATS_VERSION, python_name
from durabus.wire.documents import InfoDocument, encode_info

__all__ = ["EmbeddedNetwork", "ExternalNetwork", "Network", "broker_settings", "make_network"]


class Network(Protocol):
    """What the server needs of either."""

    bus: Bus
    broker: Broker | None

    @property
    def port(self) -> int:
        """The port that clients connect to here; 0 when they connect elsewhere."""
        ...

    @property
    def payload_bytes_max(self) -> int:
        """The largest message, in bytes."""
        ...

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> None:
        """Be there; the two callables frame every turn with input. Raises StartError."""
        ...

    def flush(self) -> None:
        """Send what was gathered in a turn."""
        ...

    def hold_back(self, is_held: bool) -> None:
        """Keep clients that send much from sending more, or let them go on."""
        ...

    async def sync(self) -> None:
        """Wait until what was subscribed is known wherever clients connect."""
        ...

    async def drain(self) -> None:
        """Take nobody new, and go on serving until nothing more comes, for a moment at most."""
        ...

    async def stop(self) -> None:
        """Send what is gathered, and close everything."""
        ...


class EmbeddedNetwork:
    """The broker in this process."""

    def __init__(self, options: Options, server_id: str, log: logs.Log, clock: Clock) -> None:
        """Put it together; raises StartError for options of no use."""
        router = Router()
        self.bus: Bus = router
        self.broker: Broker | None = Broker(broker_settings(options, server_id), router, clock)
        self._broker = self.broker
        self._router = router
        self._options = options
        self._server_id = server_id
        self._log = log

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._broker.settings.port

    @property
    def payload_bytes_max(self) -> int:
        """The largest message, in bytes."""
        return self._options.broker.max_payload_bytes

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> None:
        """Open the port; raises StartError."""
        log, broker, options = self._log, self._broker, self._options.broker
        log.info(*logs.broker_lines(broker.settings.info.server_name, self._server_id))
        if self._options.process.config_file:
            log.info(logs.config_line(self._options.process.config_file))
        broker.on_notice = log.info
        if log.debug_enabled:
            broker.on_debug = log.debug
        trace_broker(broker, self._options.log, log)
        try:
            await broker.start(begin_turn, end_turn)
        except OSError as error:
            reason = describe_listen_error(options.host, options.port, error)
            what_to_do = " (choose another port with -p, or stop what listens there)"
            raise StartError(reason + (what_to_do if error.errno == errno.EADDRINUSE else "")) from None
        log.info(logs.listening_line(options.host, self.port), logs.BROKER_READY_LINE)

    def flush(self) -> None:
        """Send what was gathered in a turn."""
        self._router.flush()

    def hold_back(self, is_held: bool) -> None:
        """Keep clients that send much from sending more, or let them go on."""
        self._broker.hold_back(is_held)

    async def sync(self) -> None:
        """Nothing to wait for: a subscription holds when the call returns."""

    async def drain(self) -> None:
        """Take nobody new, and go on serving for a moment."""
        await self._broker.drain()

    async def stop(self) -> None:
        """Close every connection."""
        await self._broker.stop()


class ExternalNetwork:
    """A connection to another NATS server, to which clients connect as well."""

    def __init__(
        self, options: Options, log: logs.Log, on_change: Callable[[bool], None], on_new_servers: Callable[[], None]
    ) -> None:
        """Put it together; raises StartError for addresses or files of no use."""
        self._bus = ExternalBus()
        self.bus: Bus = self._bus
        self.broker: Broker | None = None
        self.port = 0
        if options.external.skip_verify:
            log.warning(SKIP_VERIFY_WARNING)
        self._uplink = Uplink(uplink_settings(options), self._bus, log, on_change)
        self._uplink.on_new_servers = on_new_servers

    @property
    def payload_bytes_max(self) -> int:
        """The largest message that the server takes, in bytes."""
        return self._bus.payload_bytes_max

    async def start(self, begin_turn: Callable[[], None], end_turn: Callable[[], None]) -> None:
        """Connect; raises StartError when no server takes us."""
        await self._uplink.start(begin_turn, end_turn)

    def flush(self) -> None:
        """Send what was gathered in a turn."""
        self._uplink.flush()

    def hold_back(self, is_held: bool) -> None:
        """Nothing to do: clients send to another server, which would take us for too slow. They are refused when it is too much."""

    async def sync(self) -> None:
        """Wait until the server has taken what we asked for."""
        await self._uplink.sync()

    async def drain(self) -> None:
        """Hear what the server has sent already."""
        await self._uplink.sync()

    async def stop(self) -> None:
        """Close the connection."""
        await self._uplink.stop()


def make_network(
    options: Options,
    server_id: str,
    log: logs.LogOutput,
    clock: Clock,
    on_change: Callable[[bool], None],
    on_new_servers: Callable[[], None],
) -> Network:
    """The network that `options` ask for.

    `on_change` is told when an external one is lost or there again, `on_new_servers` when servers have joined it.
    """
    if options.external.url:
        return ExternalNetwork(options, log.streaming, on_change, on_new_servers)
    return EmbeddedNetwork(options, server_id, log.broker, clock)


def uplink_settings(options: Options) -> UplinkSettings:
    """How to connect to the external network: the broker's single user comes before the streaming half's own."""
    external = options.external
    settings = UplinkSettings(parse_servers(external.url), f"_NSS-{options.streaming.cluster_id}-general")
    settings.user, settings.password, settings.token = options.external_credentials
    settings.must_be_tls = external.secure
    settings.tls_server_name = external.server_name
    files = external.authority_file, external.certificate_file, external.key_file
    if any(files) or external.skip_verify:
        settings.tls = uplink_tls(external)
        settings.must_be_tls = True
    elif external.server_name:
        settings.must_be_tls = True  # whoever says what is in the certificate wants to see it
    return settings


def uplink_tls(external: ExternalOptions) -> ssl.SSLContext:
    """How to talk TLS to an external server; raises OptionsError for a file of no use."""
    option = "external.authority_file"
    try:
        if external.authority_file:
            make_tls_context(external.authority_file)  # so that it is known which file it is
        option = "external.certificate_file"
        return make_tls_context(
            external.authority_file, external.certificate_file, external.key_file, external.skip_verify
        )
    except StartError as error:
        raise OptionsError(str(error), option) from None


def broker_settings(options: Options, server_id: str) -> BrokerSettings:
    """The broker's settings out of the server's options; raises StartError."""
    broker, auth, tls = options.broker, options.auth, options.tls
    info = InfoDocument(
        server_id=server_id,
        server_name=broker.server_name or server_id,
        version=NATS_VERSION,
        proto=1,
        go=python_name(),
        host=broker.host,
        port=broker.port,
        headers=broker.with_headers,
        max_payload=broker.max_payload_bytes,
        auth_required=auth.is_required,
        tls_required=tls.enabled,
        tls_verify=tls.enabled and tls.verify,
    )
    try:
        encode_info(info)  # each client is told; whether it can be told is known now
    except ValueError as error:
        raise StartError(f"the server's name cannot be told to clients: {error}") from None
    limits = SessionLimits(
        broker.max_control_line_bytes,
        broker.max_payload_bytes,
        broker.max_pending_bytes,
        broker.ping_interval_ns,
        broker.ping_max,
    )
    limits.subscriptions_max = broker.max_subscriptions
    limits.subject_tokens_max = broker.max_subject_tokens
    limits.with_headers = broker.with_headers
    if auth.is_required:
        limits.gate = Gate(list(auth.accounts), auth.token)
    settings = BrokerSettings(broker.host, broker.port, info, limits)
    settings.connections_max = broker.max_connections
    settings.write_deadline_s = broker.write_deadline_ns / 1e9
    settings.auth_timeout_s = options.auth_timeout_ns / 1e9
    if tls.enabled and tls.allow_plain:
        raise OptionsError(
            "allow_non_tls is not available: clients connect with TLS, or without on a server without it",
            "tls.allow_plain",
        )
    if tls.enabled:
        try:
            settings.tls = server_tls(tls, asks_client=True)
        except OptionsError as error:
            raise OptionsError(f"error parsing X509 certificate/key pair: {error}", *error.options) from None
        settings.tls_timeout_s = tls.timeout_ns / 1e9
    return settings
