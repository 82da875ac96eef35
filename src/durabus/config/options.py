"""Everything a server can be told, as one frozen value; made once at the start, then only read.

Times are nanoseconds and sizes are bytes, as their names say. The defaults are the original's. Flags and configuration
files do not build these classes by themselves: each gives `settings`, a mapping from a dotted name such as
`limits.max_channels` to a value, and `with_settings` applies it, the files' first and the command line's over it.
What no server can start with is found by `config/checks.py`. Secrets are left out of what these values print.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from durabus.config.units import NS_PER_UNIT, escape_char
from durabus.errors import DurabusError, StartError
from durabus.wire.limits import CONTROL_LINE_BYTES_MAX, PAYLOAD_BYTES_MAX

__all__ = [
    "ENCRYPTION_KEY_VARIABLE",
    "SEGMENT_BYTES_MIN",
    "AuthOptions",
    "BrokerOptions",
    "ChannelOverride",
    "ConfigError",
    "EncryptionOptions",
    "ExternalOptions",
    "FileOptions",
    "Limits",
    "LogOptions",
    "MonitoringOptions",
    "Options",
    "OptionsError",
    "ProcessOptions",
    "Setting",
    "SqlOptions",
    "StreamingOptions",
    "TlsOptions",
    "with_settings",
]

SECOND_NS = NS_PER_UNIT["s"]
ENCRYPTION_KEY_VARIABLE = "NATS_STREAMING_ENCRYPTION_KEY"
"""The variable of the environment that has the key of encryption at rest, which then counts more than any other."""
SEGMENT_BYTES_MIN = 1024 * 1024
"""The files of the FILE store are not smaller than this, whatever is asked for: each begins with all that is known."""


class OptionsError(StartError):
    """Options that no server can start with; the text is one line, in the original's words where it has some."""

    def __init__(self, text: str, *options: str) -> None:
        """`text` says what is wrong with `options`, dotted names: the one that is wrong first, then what makes it so."""
        super().__init__(text)
        self.options = options

    def with_origin(self, origins: Mapping[str, str]) -> "OptionsError":
        """The same error, after where the option was set: `bus.conf:3:5: mm: ...` from a file, `-mm: ...` from a flag.

        `origins` tells that for each option that was set. What is not set, because it is missing, may be wrong for the
        sake of another option in a file; a flag is named only where its own value is wrong.
        """
        for option in self.options:
            origin = origins.get(option, "")
            if origin.startswith("-") and (option != self.options[0] or str(self).startswith(origin)):
                continue
            if origin:
                return OptionsError(f"{origin}: {self}")
        return self


class ConfigError(DurabusError):
    """A configuration file that cannot be read; the text is one line that names file, line and key."""

    def __init__(self, text: str, place: object = None) -> None:
        """`text` says what is wrong; the place, if it is known, comes before it."""
        shown = "".join(escape_char(char) for char in text)
        super().__init__(f"{place}: {shown}" if place else shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOverride:
    """Limits of one channel, or of all that match a pattern. None: inherited (`config/limits.py`); 0: unlimited."""

    name: str
    """A channel's name, or a pattern with `*` and `>`; bytes that are not UTF-8 are lone surrogates."""
    max_subscriptions: int | None = None
    max_messages: int | None = None
    max_bytes: int | None = None
    max_age_ns: int | None = None
    max_inactivity_ns: int | None = None


Setting = bool | int | str | tuple[str, ...] | tuple[tuple[str, str], ...] | tuple[ChannelOverride, ...] | None
"""What a single option can be set to."""


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
    per_channel: tuple[ChannelOverride, ...] = ()
    """Where channels differ from that; each name stands once."""


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
    discover_prefix: str = "_STAN.discover"
    """The subject, without the cluster ID, on which clients look for the server."""
    ft_group: str = ""
    """The group of standby servers that this one belongs to; empty: none."""
    partitioning: bool = False
    """Whether only the channels named in the limits belong to this server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """The FILE store. What has no effect here, or only one value, is kept to be checked and told (`store_table.py`)."""

    directory: str = ""
    """Where its files are; created when it is not there."""
    slice_bytes_max: int = 64 * 1024 * 1024
    """How large a file may be, at least SEGMENT_BYTES_MIN; 0: as large as the store likes it best."""
    slice_messages_max: int = 0
    slice_age_max_ns: int = 0
    slice_archive_script: str = ""
    compact: bool = True
    compact_fragmentation_percent: int = 50
    compact_interval_s: int = 300
    compact_bytes_min: int = 1024 * 1024
    check_crc: bool = True
    crc_polynomial: int = 0xEDB88320
    sync: bool = True
    """Whether a message is acknowledged only when it is synced."""
    auto_sync_interval_ns: int = 60 * SECOND_NS
    write_buffer_bytes: int = 2 * 1024 * 1024
    read_buffer_bytes: int = 2 * 1024 * 1024
    open_files_max: int = 0
    parallel_recoveries: int = 1
    truncate_bad_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlOptions:
    """The SQL store."""

    driver: str = ""
    """The kind of database."""
    source: str = field(default="", repr=False)
    """Where it is and how to get in, in the form of the driver. May hold a password."""
    no_caching: bool = False
    """Whether each pending message of a subscription is a row of its own."""
    connections_max: int = 0
    """Connections to the database; 0: as many as are of use."""
    bulk_insert_messages: int = 0
    """Messages of one INSERT in the original."""
    create_tables: bool = True
    """Whether tables that are missing are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionOptions:
    """Encryption at rest, of the data of messages, in any store."""

    enabled: bool = False
    """Whether it is asked for; a key asks for it, too."""
    cipher: str = ""
    """AES or CHACHA, in any case; empty: AES where processors help with it."""
    key: str = field(default="", repr=False)
    """The key as the operator gave it."""

    @property
    def is_on(self) -> bool:
        """Whether messages are encrypted."""
        return self.enabled or bool(self.key)


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
    """Clients connected at a time; 0: any number."""
    max_subscriptions: int = 0
    """NATS subscriptions of one connection; 0: any number."""
    max_subject_tokens: int = 0
    """Tokens that the subject of a subscription may have; 0: any number."""
    ping_interval_ns: int = 120 * SECOND_NS
    """How often a silent connection is pinged."""
    ping_max: int = 2
    """Pings that may be unanswered; at one more the connection is stale and closed."""
    write_deadline_ns: int = 10 * SECOND_NS
    """How long a client may take nothing while bytes wait for it."""
    with_headers: bool = True
    """Whether messages may have headers."""
    tags: tuple[str, ...] = ()
    """Labels of the server that monitoring shows."""


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
    """The file to append to; empty: none."""
    file_bytes_max: int = 0
    """The size above which the file is set aside and a new one begun; 0: never."""
    remote_syslog: str = ""
    """The syslog to send to when there is no file: a URL with udp, tcp or unix; empty: none."""
    syslog: bool = False
    """Whether to log to the syslog of this machine, when there is neither file nor remote syslog."""
    syslog_name: str = ""
    """The name of the program in syslogs; empty: the one it was called by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringOptions:
    """The port for tools and probes, over HTTP or HTTPS, never both."""

    host: str = ""
    """The address to listen on; empty: the broker's."""
    port: int | None = None
    """The TCP port for HTTP; None: none, 0: the system chooses."""
    https_port: int | None = None
    """The TCP port for HTTPS, which takes the broker's certificate; None: none, 0: the system chooses."""
    base_path: str = ""
    """What the paths of all pages begin with."""

    @property
    def is_secure(self) -> bool:
        """Whether it is HTTPS."""
        return self.https_port is not None

    @property
    def listen_port(self) -> int | None:
        """The port, whichever of the two it is."""
        return self.port if self.port is not None else self.https_port


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """Who may connect to the broker. With an external NATS server: who we are there."""

    user: str = ""
    """The one user there is."""
    password: str = field(default="", repr=False)
    """The password of the one user."""
    token: str = field(default="", repr=False)
    """The token that stands for user and password."""
    users: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Several users with their passwords; they take the place of the one, and of the token."""
    timeout_ns: int = 0
    """How long a client may take to say who it is; 0: as `Options.auth_timeout_ns` says."""

    @property
    def accounts(self) -> tuple[tuple[str, str], ...]:
        """The users that may connect, with their passwords; empty where a token is asked for, or nothing."""
        if self.users:
            return self.users
        return ((self.user, self.password),) if self.user and not self.token else ()

    @property
    def is_required(self) -> bool:
        """Whether a client has to say who it is."""
        return bool(self.users or self.user or self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """TLS between clients and the broker."""

    enabled: bool = False
    """Whether connections are encrypted."""
    certificate_file: str = ""
    """The server's certificate, with what leads to its authority."""
    key_file: str = ""
    """The private key of the certificate."""
    authority_file: str = ""
    """The authorities whose clients are believed."""
    verify: bool = False
    """Whether a client must show a certificate."""
    timeout_ns: int = 2 * SECOND_NS
    """How long the handshake may take."""
    allow_plain: bool = False
    """Whether clients may also come without TLS."""
    ciphers: tuple[str, ...] = ()
    """Cipher suites by the names of `config/ciphers.py`; none: those that Python takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalOptions:
    """The NATS server that clients and we connect to, instead of the broker."""

    url: str = field(default="", repr=False)
    """One URL, or several with commas between them; empty: the broker is the server. May hold passwords."""
    user: str = ""
    """Who we are there, where the broker's options have no single user."""
    password: str = field(default="", repr=False)
    """The password that belongs to the user."""
    token: str = field(default="", repr=False)
    """The token that stands for user and password, where the broker's options have none."""
    secure: bool = False
    """Whether only an encrypted connection will do."""
    certificate_file: str = ""
    """Our certificate, if it asks for one."""
    key_file: str = ""
    """The private key of our certificate."""
    authority_file: str = ""
    """The authorities that we believe; empty: those of the system."""
    server_name: str = ""
    """The name that its certificate must have; empty: that of the URL."""
    skip_verify: bool = False
    """Whether its certificate is not looked at."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs, one by one, without blanks around them."""
        return tuple(url.strip() for url in self.url.split(",")) if self.url else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """The process and its files."""

    pid_file: str = ""
    """Where to write the process ID; empty: nowhere."""
    ports_folder: str = ""
    """Where to write a file that tells the open ports; empty: nowhere."""
    config_file: str = ""
    """The configuration file of the NATS half, as it was named; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All of it."""

    streaming: StreamingOptions = field(default_factory=StreamingOptions)
    limits: Limits = field(default_factory=Limits)
    file: FileOptions = field(default_factory=FileOptions)
    sql: SqlOptions = field(default_factory=SqlOptions)
    encryption: EncryptionOptions = field(default_factory=EncryptionOptions)
    broker: BrokerOptions = field(default_factory=BrokerOptions)
    auth: AuthOptions = field(default_factory=AuthOptions)
    tls: TlsOptions = field(default_factory=TlsOptions)
    external: ExternalOptions = field(default_factory=ExternalOptions)
    log: LogOptions = field(default_factory=LogOptions)
    monitoring: MonitoringOptions = field(default_factory=MonitoringOptions)
    process: ProcessOptions = field(default_factory=ProcessOptions)

    @property
    def auth_timeout_ns(self) -> int:
        """How long a client may take to say who it is; with TLS, its handshake comes before that."""
        if self.auth.timeout_ns:
            return self.auth.timeout_ns
        return self.tls.timeout_ns + SECOND_NS if self.tls.enabled else 2 * SECOND_NS

    @property
    def external_credentials(self) -> tuple[str, str, str]:
        """User, password and token for an external server: the broker's single ones first, as in the original."""
        auth, external = self.auth, self.external
        return auth.user or external.user, auth.password or external.password, auth.token or external.token


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
