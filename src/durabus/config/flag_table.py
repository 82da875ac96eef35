"""Every flag of the original, and ours, in one table.

A flag whose feature is not there says why and what to do instead, and is refused unless its value is what the server
does anyway: `-encrypt=false` is harmless, `-encrypt` is an error, and nothing is ever ignored. Names, kinds and defaults
are the original's; the words are ours.
"""

from collections.abc import Callable

from durabus.config.flags import Flag, Kind, unchanged
from durabus.config.options import BrokerOptions, Limits, LogOptions, Setting, StreamingOptions

__all__ = ["FLAGS", "GROUPS", "HELP", "VERSION"]

BOOL, INT, SIZE, DURATION, STRING = Kind.BOOL, Kind.INT, Kind.SIZE, Kind.DURATION, Kind.STRING

BUS = "The bus"
KEPT = "What is kept (0 is unlimited)"
BEATS = "Clients that do not answer"
PORTS = "Where it listens"
LOGS = "What it logs"
OTHER = "Other"
GROUPS = (BUS, KEPT, BEATS, PORTS, LOGS, OTHER)
"""The headings of the help, in its order; refused flags stand under none of them."""
REFUSED = "Refused"

# Why a flag is refused, and what to do instead.
DURABLE = "it comes with the durable stores; leave it out, -st MEMORY has no use for it"
ENCRYPTION = "encryption at rest comes with the durable stores; leave it out"
CLUSTERED = "clustering between streaming servers is not rebuilt; run one server, without this flag"
STANDBY = "standby servers come with the durable stores; run one server, without this flag"
EXTERNAL = "connecting to a NATS server comes later; leave it out, clients connect to this server directly"
CONFIG = "configuration files are not read yet; give the options as flags, see --help"
AUTH = "authentication comes later, and running open instead is no choice; leave it out and guard the port"
TLS = "TLS comes later; leave it out and end TLS in front of the server"
SYSLOG = "logging to a syslog comes later; log to standard error or, with -l, to a file"
ROTATION = "size limits of log files come later; move the file away and send SIGUSR1, then a new one is begun"
SIGNALS = "it comes later; use kill: INT or TERM stop the server, USR1 reopens its log file"
PROCESS_FILES = "it comes later; what starts the server knows its process ID, and its log the ports"
ROUTES = "servers are not linked to each other; run one server, without this flag"
JETSTREAM = "JetStream is not part of this server; leave it out"
PROFILE = "there is no Go profiler in a Python program; leave it out"
PAUSES = "batches form by themselves while the one before is written; leave it out or give 0"
HTTPS = "HTTPS for monitoring comes later; use -m and end TLS in front of it"


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
    )


def refused(names: str, kind: Kind, default: Setting, why: str) -> Flag:
    """A flag whose feature is not there; `default` is the value that asks for nothing."""
    return Flag(names=tuple(names.split()), kind=kind, default=default, group=REFUSED, refused=why)


LIMITS, STREAMING, BROKER, LOG = Limits(), StreamingOptions(), BrokerOptions(), LogOptions()

VERSION = flag("v version", BOOL, False, OTHER, "", "print the version and end")
HELP = flag("h help", BOOL, False, OTHER, "", "print this and end")

FLAGS = (
    flag(
        "cid cluster_id", STRING, STREAMING.cluster_id, BUS, "streaming.cluster_id", "name of the bus; clients give it"
    ),
    flag("st store", STRING, STREAMING.store, BUS, "streaming.store", "where events are kept: MEMORY", store_type),
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
    flag("n name server_name", STRING, "", PORTS, "broker.server_name", "name of the server, told to clients"),
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
    VERSION,
    HELP,
    refused("dir", STRING, "", DURABLE),
    refused("file_compact_enabled", BOOL, True, DURABLE),
    refused("file_compact_frag", INT, 50, DURABLE),
    refused("file_compact_interval", INT, 300, DURABLE),
    refused("file_compact_min_size", SIZE, 1024 * 1024, DURABLE),
    refused("file_buffer_size", SIZE, 2 * 1024 * 1024, DURABLE),
    refused("file_crc", BOOL, True, DURABLE),
    refused("file_crc_poly", INT, 0xEDB88320, DURABLE),
    refused("file_sync", BOOL, True, DURABLE),
    refused("file_slice_max_msgs", INT, 0, DURABLE),
    refused("file_slice_max_bytes", SIZE, 64 * 1024 * 1024, DURABLE),
    refused("file_slice_max_age", DURATION, 0, DURABLE),
    refused("file_slice_archive_script", STRING, "", DURABLE),
    refused("file_fds_limit", INT, 0, DURABLE),
    refused("file_parallel_recovery", INT, 1, DURABLE),
    refused("file_truncate_bad_eof", BOOL, False, DURABLE),
    refused("file_read_buffer_size", SIZE, 2 * 1024 * 1024, DURABLE),
    refused("file_auto_sync", DURATION, 60 * 1_000_000_000, DURABLE),
    refused("sql_driver", STRING, "", DURABLE),
    refused("sql_source", STRING, "", DURABLE),
    refused("sql_no_caching", BOOL, False, DURABLE),
    refused("sql_max_open_conns", INT, 0, DURABLE),
    refused("sql_bulk_insert_limit", INT, 0, DURABLE),
    refused("encrypt", BOOL, False, ENCRYPTION),
    refused("encryption_cipher", STRING, "", ENCRYPTION),
    refused("encryption_key", STRING, "", ENCRYPTION),
    refused("ft_group", STRING, "", STANDBY),
    refused("clustered", BOOL, False, CLUSTERED),
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
    refused("ns nats_server", STRING, "", EXTERNAL),
    refused("connect_retries", INT, 0, ROUTES),
    refused("c config", STRING, "", CONFIG),
    refused("sc stan_config", STRING, "", CONFIG),
    refused("t", BOOL, False, CONFIG),
    refused("user", STRING, "", AUTH),
    refused("pass", STRING, "", AUTH),
    refused("auth", STRING, "", AUTH),
    refused("secure", BOOL, False, TLS),
    refused("tls_client_cert", STRING, "", TLS),
    refused("tls_client_key", STRING, "", TLS),
    refused("tls_client_cacert", STRING, "", TLS),
    refused("tls", BOOL, False, TLS),
    refused("tlsverify", BOOL, False, TLS),
    refused("tlscert", STRING, "", TLS),
    refused("tlskey", STRING, "", TLS),
    refused("tlscacert", STRING, "", TLS),
    refused("help_tls", BOOL, False, TLS),
    refused("ms https_port", INT, 0, HTTPS),
    refused("s syslog", BOOL, False, SYSLOG),
    refused("r remote_syslog", STRING, "", SYSLOG),
    refused("syslog_name", STRING, "", SYSLOG),
    refused("log_size_limit", INT, 0, ROTATION),
    refused("sl signal", STRING, "", SIGNALS),
    refused("P pid", STRING, "", PROCESS_FILES),
    refused("ports_file_dir", STRING, "", PROCESS_FILES),
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
