"""Every flag of the original, and ours, in one table.

A flag whose feature is not there says why and what to do instead, and is refused unless its value is what the server
does anyway: `-clustered=false` is harmless, `-clustered` is an error. What tunes a store of the original and has nothing to
tune here is accepted, and the log says so (`config/store_table.py`). Names, kinds and defaults are the original's; the
words are ours.
"""

from collections.abc import Callable

from durabus.config.flags import Flag, Kind, unchanged
from durabus.config.options import (
    ENCRYPTION_KEY_VARIABLE,
    BrokerOptions,
    Limits,
    LogOptions,
    Setting,
    StreamingOptions,
)
from durabus.config.refusals import CLUSTERED, CLUSTERING_MODE, JETSTREAM, PAUSES, PROFILE, ROUTES
from durabus.config.store_table import STORE_TABLE, StoreOption

__all__ = [
    "CHECK",
    "CONFIG",
    "FLAGS",
    "GROUPS",
    "HELP",
    "REFUSED",
    "SIGNAL",
    "STREAMING_CONFIG",
    "TLS_HELP",
    "VERSION",
    "WITHOUT_EFFECT",
    "client_port",
    "listen_host",
    "monitoring_port",
    "store_type",
]

BOOL, INT, SIZE, DURATION, STRING = Kind.BOOL, Kind.INT, Kind.SIZE, Kind.DURATION, Kind.STRING

BUS = "The bus"
STORES = "Where it is kept"
KEPT = "What is kept (0 is unlimited)"
BEATS = "Clients that do not answer"
PORTS = "Where it listens"
GUARDED = "Who may connect"
EXTERNAL = "A NATS server instead of its own port"
LOGS = "What it logs"
OTHER = "Other"
GROUPS = (BUS, STORES, KEPT, BEATS, PORTS, GUARDED, EXTERNAL, LOGS, OTHER)
"""The headings of the help, in its order; what is refused or has no effect stands under none of them."""
REFUSED = "Refused"
WITHOUT_EFFECT = "Without effect"


def client_port(value: Setting) -> Setting:
    """As the original reads -p: 0 is the default port, -1 any free one (which the options write as 0)."""
    if value == 0:
        return BrokerOptions().port
    return 0 if value == -1 else value


def monitoring_port(value: Setting) -> Setting:
    """As the original reads -m: 0 is no monitoring, -1 any free port (which the options write as 0)."""
    if value == 0:
        return None
    return 0 if value == -1 else value


def listen_host(value: Setting) -> Setting:
    """As the original reads -a: the empty text is the default."""
    return value or BrokerOptions().host


def store_type(value: Setting) -> Setting:
    """The type of a store may be written in any case."""
    return str(value).upper()


def flag(
    names: str,
    kind: Kind,
    default: Setting,
    group: str,
    settings: str,
    words: str,
    option_value: Callable[[Setting], Setting] = unchanged,
    turns_on: str = "",
) -> Flag:
    """A flag whose feature is there; `names` and `settings` are divided by blanks, `words` are its help."""
    return Flag(
        names=tuple(names.split()),
        kind=kind,
        default=default,
        group=group,
        settings=tuple(settings.split()),
        help=words,
        option_value=option_value,
        turns_on=turns_on,
    )


def refused(names: str, kind: Kind, default: Setting, why: str) -> Flag:
    """A flag whose feature is not there; `default` is the value that asks for nothing."""
    return Flag(names=tuple(names.split()), kind=kind, default=default, group=REFUSED, refused=why)


def of_store(entry: StoreOption) -> Flag:
    """The flag of an option of a store."""
    group = WITHOUT_EFFECT if entry.ignored else REFUSED if entry.refused else STORES
    return flag(entry.flag, entry.kind, entry.default, group, entry.option, entry.help)


TLS = "tls.enabled"
LIMITS, STREAMING, BROKER, LOG = Limits(), StreamingOptions(), BrokerOptions(), LogOptions()

CONFIG = flag("c config", STRING, "", OTHER, "", "configuration file, for the bus as well unless -sc is given")
STREAMING_CONFIG = flag(
    "sc stan_config", STRING, "", OTHER, "", "configuration file of the bus, and all of it without -c"
)
CHECK = flag("t", BOOL, False, OTHER, "", "check the configuration and end")
SIGNAL = flag(
    "sl signal",
    STRING,
    "",
    OTHER,
    "",
    "send stop, quit, term, reopen or reload to a server, as reload=<pid or pid file>",
)
TLS_HELP = flag("help_tls", BOOL, False, OTHER, "", "print what TLS can be told and end")
VERSION = flag("v version", BOOL, False, OTHER, "", "print the version and end")
HELP = flag("h help", BOOL, False, OTHER, "", "print this and end")

FLAGS = (
    flag(
        "cid cluster_id", STRING, STREAMING.cluster_id, BUS, "streaming.cluster_id", "name of the bus; clients give it"
    ),
    flag(
        "replace_durable",
        BOOL,
        False,
        BUS,
        "streaming.replace_durable",
        "a client that subscribes again replaces its durable subscription",
    ),
    flag(
        "io_batch_size",
        INT,
        STREAMING.io_batch_size,
        BUS,
        "streaming.io_batch_size",
        "messages stored at a time, at most",
    ),
    flag(
        "st store",
        STRING,
        STREAMING.store,
        STORES,
        "streaming.store",
        "kind of store: MEMORY, FILE or SQL",
        store_type,
    ),
    flag("dir", STRING, "", STORES, "file.directory", "directory of the FILE store"),
    *(of_store(entry) for entry in STORE_TABLE),
    flag("encrypt", BOOL, False, STORES, "encryption.enabled", "encrypt the data of messages, in any store"),
    flag(
        "encryption_cipher",
        STRING,
        "",
        STORES,
        "encryption.cipher",
        "AES or CHACHA; without it, whichever is faster here",
    ),
    flag(
        "encryption_key",
        STRING,
        "",
        STORES,
        "encryption.key",
        f"key for that, which ps shows; better given as {ENCRYPTION_KEY_VARIABLE}",
    ),
    flag("mc max_channels", INT, LIMITS.max_channels, KEPT, "limits.max_channels", "channels"),
    flag("msu max_subs", INT, LIMITS.max_subscriptions, KEPT, "limits.max_subscriptions", "subscriptions of a channel"),
    flag("mm max_msgs", INT, LIMITS.max_messages, KEPT, "limits.max_messages", "messages of a channel"),
    flag("mb max_bytes", SIZE, LIMITS.max_bytes, KEPT, "limits.max_bytes", "size of the messages of a channel"),
    flag("ma max_age", DURATION, LIMITS.max_age_ns, KEPT, "limits.max_age_ns", "age of a message"),
    flag(
        "mi max_inactivity",
        DURATION,
        LIMITS.max_inactivity_ns,
        KEPT,
        "limits.max_inactivity_ns",
        "time until an unused channel is deleted",
    ),
    flag(
        "hbi hb_interval",
        DURATION,
        STREAMING.heartbeat_interval_ns,
        BEATS,
        "streaming.heartbeat_interval_ns",
        "time between heartbeats to a client",
    ),
    flag(
        "hbt hb_timeout",
        DURATION,
        STREAMING.heartbeat_timeout_ns,
        BEATS,
        "streaming.heartbeat_timeout_ns",
        "time a client has to answer one",
    ),
    flag(
        "hbf hb_fail_count",
        INT,
        STREAMING.heartbeat_fail_count,
        BEATS,
        "streaming.heartbeat_fail_count",
        "heartbeats it may miss in a row before it is removed",
    ),
    flag(
        "presence_grace",
        DURATION,
        STREAMING.presence_grace_ns,
        BEATS,
        "streaming.presence_grace_ns",
        "time until queue messages of a client that is gone move to others",
    ),
    flag("p port", INT, BROKER.port, PORTS, "broker.port", "port for clients, -1 for any free one", client_port),
    flag("a addr net", STRING, BROKER.host, PORTS, "broker.host", "address to listen on", listen_host),
    flag("m http_port", INT, 0, PORTS, "monitoring.port", "port for monitoring over HTTP, 0 for none", monitoring_port),
    flag(
        "ms https_port",
        INT,
        0,
        PORTS,
        "monitoring.https_port",
        "the same over HTTPS, with the certificate of -tlscert",
        monitoring_port,
    ),
    flag("n name server_name", STRING, "", PORTS, "broker.server_name", "name of the server, told to clients"),
    flag("user", STRING, "", GUARDED, "auth.user", "user that clients give, or that -ns asks for"),
    flag("pass", STRING, "", GUARDED, "auth.password", "password of the user; a configuration file hides it better"),
    flag("auth", STRING, "", GUARDED, "auth.token", "token instead of user and password"),
    flag("tls", BOOL, False, GUARDED, "tls.enabled", "encrypted connections only"),
    flag("tlscert", STRING, "", GUARDED, "tls.certificate_file", "file with the certificate", turns_on=TLS),
    flag("tlskey", STRING, "", GUARDED, "tls.key_file", "file with its private key", turns_on=TLS),
    flag("tlsverify", BOOL, False, GUARDED, "tls.verify", "clients must show a certificate, too", turns_on=TLS),
    flag("tlscacert", STRING, "", GUARDED, "tls.authority_file", "file with the authority of theirs", turns_on=TLS),
    flag("ns nats_server", STRING, "", EXTERNAL, "external.url", "URL of a NATS server, or several with commas"),
    flag("secure", BOOL, False, EXTERNAL, "external.secure", "connect to it with TLS only"),
    flag("tls_client_cert", STRING, "", EXTERNAL, "external.certificate_file", "file with a certificate to show it"),
    flag("tls_client_key", STRING, "", EXTERNAL, "external.key_file", "file with the private key of that"),
    flag("tls_client_cacert", STRING, "", EXTERNAL, "external.authority_file", "file with the authority of its own"),
    flag("SD stan_debug", BOOL, False, LOGS, "log.streaming_debug", "debug lines of streaming"),
    flag("SV stan_trace", BOOL, False, LOGS, "log.streaming_trace", "trace lines of streaming"),
    flag("SDV", BOOL, False, LOGS, "log.streaming_debug log.streaming_trace", "-SD and -SV"),
    flag("D debug", BOOL, False, LOGS, "log.broker_debug", "debug lines of the connections"),
    flag("V trace", BOOL, False, LOGS, "log.broker_trace", "protocol of the connections"),
    flag("DV", BOOL, False, LOGS, "log.broker_debug log.broker_trace", "-D and -V"),
    flag("VV", BOOL, False, LOGS, "log.broker_trace log.broker_trace_verbose", "-V, and internal traffic"),
    flag(
        "DVV",
        BOOL,
        False,
        LOGS,
        "log.broker_debug log.broker_trace log.broker_trace_verbose",
        "-D and -V, and internal traffic",
    ),
    flag(
        "max_traced_msg_len",
        INT,
        0,
        LOGS,
        "log.max_traced_message_bytes",
        "bytes of a message that a trace shows, 0 for all",
    ),
    flag("T logtime", BOOL, True, LOGS, "log.with_time", "date and time in every line"),
    flag("l log", STRING, "", LOGS, "log.file", "file to log to, instead of standard error"),
    flag(
        "log_size_limit",
        INT,
        0,
        LOGS,
        "log.file_bytes_max",
        "size in bytes at which that file is set aside, 0 for never",
    ),
    flag("s syslog", BOOL, False, LOGS, "log.syslog", "log to the syslog of this machine instead"),
    flag("r remote_syslog", STRING, "", LOGS, "log.remote_syslog", "log to a syslog such as udp://host:514 instead"),
    flag("syslog_name", STRING, "", LOGS, "log.syslog_name", "name of the program there"),
    flag("ft_group", STRING, "", OTHER, "streaming.ft_group", "group of servers of which one is active"),
    flag("P pid", STRING, "", OTHER, "process.pid_file", "file to write the process ID to"),
    flag("ports_file_dir", STRING, "", OTHER, "process.ports_folder", "folder for a file that tells the open ports"),
    CONFIG,
    STREAMING_CONFIG,
    CHECK,
    SIGNAL,
    TLS_HELP,
    VERSION,
    HELP,
    refused("clustered", BOOL, False, CLUSTERING_MODE),
    refused("cluster_node_id", STRING, "", CLUSTERED),
    refused("cluster_bootstrap", BOOL, False, CLUSTERED),
    refused("cluster_peers", STRING, "", CLUSTERED),
    refused("cluster_log_path", STRING, "", CLUSTERED),
    refused("cluster_log_cache_size", INT, 512, CLUSTERED),
    refused("cluster_log_snapshots", INT, 2, CLUSTERED),
    refused("cluster_trailing_logs", INT, 10240, CLUSTERED),
    refused("cluster_sync", BOOL, False, CLUSTERED),
    refused("cluster_raft_logging", BOOL, False, CLUSTERED),
    refused("cluster_proceed_on_restore_failure", BOOL, False, CLUSTERED),
    refused("cluster_allow_add_remove_node", BOOL, False, CLUSTERED),
    refused("io_sleep_time", INT, 0, PAUSES),
    refused("connect_retries", INT, 0, ROUTES),
    refused("profile", INT, 0, PROFILE),
    refused("client_advertise", STRING, "", ROUTES),
    refused("routes", STRING, "", ROUTES),
    refused("cluster cluster_listen", STRING, "", ROUTES),
    refused("cluster_advertise", STRING, "", ROUTES),
    refused("cluster_name", STRING, "", ROUTES),
    refused("no_advertise", BOOL, False, ROUTES),
    refused("js jetstream", BOOL, False, JETSTREAM),
    refused("sd store_dir", STRING, "", JETSTREAM),
)
"""All flags; each name stands once."""
