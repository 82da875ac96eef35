"""Everything a server can be told, as one frozen value; made once at the start, then only read.

Times are nanoseconds and sizes are bytes, as their names say. The defaults are the original's. Flags and, later, the
configuration file do not build these classes by themselves: each gives `settings`, a mapping from a dotted name such as
`limits.max_channels` to a value, and `with_settings` applies it, the file's first and the command line's over it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from durabus.config.units import NS_PER_UNIT, format_duration
from durabus.errors import StartError
from durabus.wire.limits import CONTROL_LINE_BYTES_MAX, PAYLOAD_BYTES_MAX

__all__ = [
    "BrokerOptions",
    "Limits",
    "LogOptions",
    "MonitoringOptions",
    "Options",
    "OptionsError",
    "Setting",
    "StreamingOptions",
    "check_store",
    "with_settings",
]

SECOND_NS = NS_PER_UNIT["s"]
PORT_MAX = 65535
STORES = ("MEMORY",)
STORES_TO_COME = ("FILE", "SQL")

Setting = bool | int | str | None
"""What a single option can be set to."""


class OptionsError(StartError):
    """Options that no server can start with; the text is one line, in the original's words where it has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is kept and admitted, per channel except for `max_channels`; 0 means unlimited everywhere."""

    max_channels: int = 100
    """Channels of the server; creating one more is refused."""
    max_subscriptions: int = 1000
    """Subscriptions of a channel, offline durables included; one more is refused."""
    max_messages: int = 1_000_000
    """Messages kept; the oldest goes when one more is stored."""
    max_bytes: int = 1_024_000_000
    """Bytes kept; the oldest messages go, though the last one always stays."""
    max_age_ns: int = 0
    """How long a message is kept."""
    max_inactivity_ns: int = 0
    """How long a channel without an active subscription and without a new message is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingOptions:
    """The durable half: identity, store, heartbeats."""

    cluster_id: str = "test-cluster"
    """The name of the bus, part of its subjects; clients must use the same."""
    store: str = "MEMORY"
    """The kind of store, in capital letters."""
    heartbeat_interval_ns: int = 30 * SECOND_NS
    """How often a client is asked for a sign of life."""
    heartbeat_timeout_ns: int = 10 * SECOND_NS
    """How long its answer may take."""
    heartbeat_fail_count: int = 10
    """Heartbeats a client may miss in a row; at one more it is removed."""
    presence_grace_ns: int = 3 * SECOND_NS
    """How long a client may be gone before its unacknowledged queue messages move to other members; 0: at once."""
    replace_durable: bool = False
    """Whether a second subscription on a durable that is online replaces the first instead of being refused."""
    io_batch_size: int = 1024
    """Messages that go to the store in one batch at most, at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """The NATS half: where clients connect, and what one connection may do."""

    host: str = "0.0.0.0"  # noqa: S104 - what the original listens on, and what a container needs
    """The address or host name to listen on."""
    port: int = 4222
    """The TCP port to listen on; 0 lets the system choose."""
    server_name: str = ""
    """The name that INFO tells; empty: the server's ID."""
    max_payload_bytes: int = PAYLOAD_BYTES_MAX
    """The largest message, headers included."""
    max_control_line_bytes: int = CONTROL_LINE_BYTES_MAX
    """The longest protocol line."""
    max_pending_bytes: int = 64 * 1024 * 1024
    """Bytes that may wait for a slow client before it is cut off."""
    max_connections: int = 65536
    """Clients connected at a time."""
    ping_interval_ns: int = 120 * SECOND_NS
    """How often a silent connection is pinged."""
    ping_max: int = 2
    """Pings that may be unanswered; at one more the connection is stale and closed."""
    write_deadline_ns: int = 10 * SECOND_NS
    """How long a client may take nothing while bytes wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What is logged, how, and where to."""

    streaming_debug: bool = False
    """Debug lines of the durable half (-SD)."""
    streaming_trace: bool = False
    """Trace lines of the durable half (-SV)."""
    broker_debug: bool = False
    """Debug lines of the NATS half (-D)."""
    broker_trace: bool = False
    """Protocol traces of the NATS half (-V)."""
    broker_trace_verbose: bool = False
    """Whether those include the server's own internal traffic (-VV)."""
    max_traced_message_bytes: int = 0
    """Bytes of a message that a trace shows; 0: all of it."""
    with_time: bool = True
    """Whether lines carry date and time (-T)."""
    file: str = ""
    """The file to append to; empty: standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringOptions:
    """The HTTP port for tools and probes; it listens on the broker's host."""

    port: int | None = None
    """The TCP port; None: no monitoring, 0: the system chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All of it. `check` says whether a server can start with it."""

    streaming: StreamingOptions = field(default_factory=StreamingOptions)
    limits: Limits = field(default_factory=Limits)
    broker: BrokerOptions = field(default_factory=BrokerOptions)
    log: LogOptions = field(default_factory=LogOptions)
    monitoring: MonitoringOptions = field(default_factory=MonitoringOptions)

    def check(self) -> None:
        """Raise OptionsError for the first value that no server can start with."""
        check_store(self.streaming.store)
        check_limits(self.limits)
        check_streaming(self.streaming)
        check_broker(self.broker)
        check_port("monitoring", self.monitoring.port or 0)


def check_store(store: str) -> None:
    """Refuse a store (in capital letters) that nobody knows, or that is not there yet: raises OptionsError."""
    if store in STORES_TO_COME:
        raise OptionsError(
            f"store type {store} is not available yet: it comes with the durable stores; "
            "use -st MEMORY, which keeps events only while the process runs"
        )
    if store not in STORES:
        raise OptionsError(f"unsupported store type: {store}")


def check_limits(limits: Limits) -> None:
    """Refuse negative limits with the original's texts, in its order."""
    for name, value in (
        ("max channels", limits.max_channels),
        ("max subscriptions", limits.max_subscriptions),
        ("max messages", limits.max_messages),
        ("max bytes", limits.max_bytes),
    ):
        if value < 0:
            raise OptionsError(f"{name} limit cannot be negative ({value})")
    for name, value in (("max age", limits.max_age_ns), ("max inactivity", limits.max_inactivity_ns)):
        if value < 0:
            raise OptionsError(f"{name} limit cannot be negative ({format_duration(value)})")


def check_streaming(streaming: StreamingOptions) -> None:
    """Refuse identities that make no subject, and times that make timers run wild or backwards."""
    # The server needs the wire anyway; a wrong flag is told without loading it.
    from durabus.wire.subjects import is_literal_subject

    cluster_id = streaming.cluster_id
    if not is_text(cluster_id) or not is_literal_subject(cluster_id.encode()):
        raise OptionsError(
            f"invalid cluster ID '{cluster_id}': it becomes part of NATS subjects, so it cannot be empty, "
            "have spaces, wildcards or control characters, or begin or end with a dot"
        )
    # The original takes these two, and then sends heartbeats without a pause.
    for name, value in (
        ("heartbeat interval", streaming.heartbeat_interval_ns),
        ("heartbeat timeout", streaming.heartbeat_timeout_ns),
    ):
        if value <= 0:
            raise OptionsError(f"{name} must be greater than zero ({format_duration(value)})")
    if streaming.heartbeat_fail_count < 0:
        raise OptionsError(f"heartbeat fail count cannot be negative ({streaming.heartbeat_fail_count})")
    if streaming.presence_grace_ns < 0:
        raise OptionsError(f"presence grace cannot be negative ({format_duration(streaming.presence_grace_ns)})")
    if streaming.io_batch_size < 1:
        raise OptionsError(f"I/O batch size must be at least 1 ({streaming.io_batch_size})")


def check_broker(broker: BrokerOptions) -> None:
    """Refuse what cannot be listened on or told to clients."""
    check_port("client", broker.port)
    for name, text in (("host", broker.host), ("server name", broker.server_name)):
        if not is_text(text):
            raise OptionsError(f"invalid {name} '{text}': it has control characters or is not UTF-8")


def check_port(purpose: str, port: int) -> None:
    """Refuse a number that is no TCP port."""
    if not 0 <= port <= PORT_MAX:
        raise OptionsError(f"invalid {purpose} port {port}: use 1 to {PORT_MAX}, or -1 for any free port")


def is_text(text: str) -> bool:
    """Whether `text` is free of control characters and of bytes that were not UTF-8 (lone surrogates)."""
    return text.isprintable()


def with_settings(options: Options, settings: Mapping[str, Setting]) -> Options:
    """A copy of `options` with some values replaced; keys are dotted names, `limits.max_channels` for example.

    A name that is none is a mistake in a table of ours, never in the user's input: it raises what Python raises.
    """
    sections: dict[str, dict[str, Setting]] = {}
    for name, value in settings.items():
        section, _, option = name.partition(".")
        sections.setdefault(section, {})[option] = value
    replaced = {
        section: dataclasses.replace(getattr(options, section), **values) for section, values in sections.items()
    }
    return dataclasses.replace(options, **replaced)
