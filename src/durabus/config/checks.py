"""What no server can start with, found before anything is opened; the texts are the original's where it has some."""

from durabus.config.limits import check_limits
from durabus.config.options import (
    AuthOptions,
    BrokerOptions,
    EncryptionOptions,
    ExternalOptions,
    FileOptions,
    MonitoringOptions,
    Options,
    OptionsError,
    SqlOptions,
    StreamingOptions,
    TlsOptions,
)
from durabus.config.store_table import first_refusal
from durabus.config.units import format_duration, quote

__all__ = ["check_options"]

PORT_MAX = 65535
CRC_POLYNOMIAL_MAX = 2**32 - 1
SLICES = "slice max values must be positive numbers"
ENCRYPTION_CIPHERS = ("AES", "CHACHA")
SQL_DRIVERS = ("mysql", "postgres", "sqlite")
BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2x$", "$2y$")


def check_options(options: Options) -> None:
    """Raise OptionsError for the first value, or combination of values, that no server can start with."""
    check_store(options)
    check_encryption(options.encryption)
    check_limits(options.limits)
    check_streaming(options.streaming)
    if options.streaming.partitioning and not options.limits.per_channel:
        raise OptionsError("stan: no configured channel", "limits.per_channel", "streaming.partitioning")
    check_broker(options.broker)
    check_tls(options.tls)
    if options.external.url:
        check_external(options.external)
    else:
        check_auth(options.auth)
    check_monitoring(options.monitoring, options.tls)


def check_store(options: Options) -> None:
    """Refuse a store that nobody knows, and what the chosen one cannot do."""
    match options.streaming.store:
        case "MEMORY":
            return
        case "FILE":
            check_file_store(options.file)
        case "SQL":
            check_sql_store(options.sql)
        case unknown:
            raise OptionsError(f"unsupported store type: {unknown}", "streaming.store")
    refused, option = first_refusal(options)
    if refused:
        raise OptionsError(refused, option)


def check_file_store(file: FileOptions) -> None:
    """Refuse what the original refuses, in its order, though most of it has no effect here."""
    if not file.directory:
        raise OptionsError("for FILE stores, root directory must be specified", "file.directory", "streaming.store")
    for is_wrong, option, text in (
        (file.write_buffer_bytes < 0, "write_buffer_bytes", "buffer size value must be a positive number"),
        (file.compact_interval_s < 1, "compact_interval_s", "compact interval value must at least be 1 seconds"),
        (
            file.compact_fragmentation_percent < 1,
            "compact_fragmentation_percent",
            "compact fragmentation value must at least be 1",
        ),
        (file.compact_bytes_min < 0, "compact_bytes_min", "compact minimum file size value must be a positive number"),
        (
            not 1 <= file.crc_polynomial <= CRC_POLYNOMIAL_MAX,
            "crc_polynomial",
            f"crc polynomial should be between 1 and {CRC_POLYNOMIAL_MAX}",
        ),
        (file.slice_messages_max < 0, "slice_messages_max", SLICES),
        (file.slice_bytes_max < 0, "slice_bytes_max", SLICES),
        (file.slice_age_max_ns < 0, "slice_age_max_ns", SLICES),
        (file.open_files_max < 0, "open_files_max", "file descriptor limit must be a positive number"),
        (file.parallel_recoveries < 1, "parallel_recoveries", "parallel recovery value must be at least 1"),
        (file.read_buffer_bytes < 0, "read_buffer_bytes", "read buffer size value must be a positive number"),
    ):
        if is_wrong:
            raise OptionsError(text, f"file.{option}")
    if "\0" in file.directory:
        raise OptionsError("the directory of the store has a NUL in its name", "file.directory")


def check_sql_store(sql: SqlOptions) -> None:
    """Refuse a kind of database that nobody knows."""
    if sql.driver not in SQL_DRIVERS:
        raise OptionsError(
            f"sql: unknown driver {quote(sql.driver)} (forgotten import?)", "sql.driver", "streaming.store"
        )
    if not sql.source:
        raise OptionsError(
            "sql: for SQL stores, the source must be specified: -sql_source says where the database is",
            "sql.source",
            "streaming.store",
        )


def check_encryption(encryption: EncryptionOptions) -> None:
    """Refuse encryption with a cipher that nobody knows, or without a key."""
    if not encryption.is_on:
        return
    if encryption.cipher and encryption.cipher.upper() not in ENCRYPTION_CIPHERS:
        raise OptionsError("encryption cipher not supported", "encryption.cipher")
    if not encryption.key:
        raise OptionsError("encryption key required", "encryption.key", "encryption.enabled")


def check_streaming(streaming: StreamingOptions) -> None:
    """Refuse identities that make no subject, and times that make timers run wild or backwards."""
    # The server needs the wire anyway; a wrong flag is told without loading it.
    from durabus.wire.subjects import is_literal_subject

    names = [
        ("cluster ID", "cluster_id", streaming.cluster_id),
        ("discover prefix", "discover_prefix", streaming.discover_prefix),
    ]
    if streaming.ft_group:
        names.append(("fault-tolerance group", "ft_group", streaming.ft_group))
    for name, option, text in names:
        if not is_text(text) or not is_literal_subject(text.encode()):
            raise OptionsError(
                f"invalid {name} '{text}': it becomes part of NATS subjects, so it cannot be empty, "
                "have spaces, wildcards or control characters, or begin or end with a dot",
                f"streaming.{option}",
            )
    # The original takes these two, and then sends heartbeats without a pause.
    for name, option, value in (
        ("heartbeat interval", "heartbeat_interval_ns", streaming.heartbeat_interval_ns),
        ("heartbeat timeout", "heartbeat_timeout_ns", streaming.heartbeat_timeout_ns),
    ):
        if value <= 0:
            raise OptionsError(f"{name} must be greater than zero ({format_duration(value)})", f"streaming.{option}")
    count, grace_ns, batch = streaming.heartbeat_fail_count, streaming.presence_grace_ns, streaming.io_batch_size
    if count < 0:
        raise OptionsError(f"heartbeat fail count cannot be negative ({count})", "streaming.heartbeat_fail_count")
    if grace_ns < 0:
        raise OptionsError(
            f"presence grace cannot be negative ({format_duration(grace_ns)})", "streaming.presence_grace_ns"
        )
    if batch < 1:
        raise OptionsError(f"I/O batch size must be at least 1 ({batch})", "streaming.io_batch_size")
    if streaming.ft_group and streaming.store == "MEMORY":
        raise OptionsError("ft: only FILE or SQL stores supported in FT mode", "streaming.ft_group", "streaming.store")


def check_broker(broker: BrokerOptions) -> None:
    """Refuse what cannot be listened on or told to clients, and limits that let nobody do anything."""
    check_port("client", broker.port, "broker.port")
    for name, option, text in (("host", "host", broker.host), ("server name", "server_name", broker.server_name)):
        if not is_text(text):
            raise OptionsError(
                f"invalid {name} '{text}': it has control characters or is not UTF-8", f"broker.{option}"
            )
    for name, option, value in (
        ("max_payload", "max_payload_bytes", broker.max_payload_bytes),
        ("max_control_line", "max_control_line_bytes", broker.max_control_line_bytes),
        ("max_pending", "max_pending_bytes", broker.max_pending_bytes),
        ("ping_max", "ping_max", broker.ping_max),
    ):
        if value < 1:
            raise OptionsError(f"{name} must be greater than zero ({value})", f"broker.{option}")
    for name, value in (("ping_interval", broker.ping_interval_ns), ("write_deadline", broker.write_deadline_ns)):
        if value < 1:
            raise OptionsError(f"{name} must be greater than zero ({format_duration(value)})", f"broker.{name}_ns")
    if broker.max_payload_bytes > broker.max_pending_bytes:
        raise OptionsError(
            f"max_payload ({broker.max_payload_bytes}) cannot be higher than max_pending ({broker.max_pending_bytes})",
            "broker.max_payload_bytes",
            "broker.max_pending_bytes",
        )


def check_auth(auth: AuthOptions) -> None:
    """Refuse what looks like protection and is none; the texts never tell a secret."""
    if auth.password and not auth.user:
        # The original lets everybody in then.
        raise OptionsError("a password without a user protects nothing: give the user, too", "auth.password")
    if auth.timeout_ns < 0:
        raise OptionsError(
            f"authorization timeout cannot be negative ({format_duration(auth.timeout_ns)})", "auth.timeout_ns"
        )
    for user, secret in (*auth.accounts, ("", auth.token)):
        option = "auth.token" if not user else "auth.users" if auth.users else "auth.password"
        if not is_utf8(user + secret):
            raise OptionsError(
                "users, passwords and tokens must be UTF-8, because clients can show nothing else", option
            )
        if secret.startswith(BCRYPT_PREFIXES):
            whose = f"the password of user '{user}'" if user else "the token"
            raise OptionsError(
                f"{whose} is a bcrypt hash, which is not available yet: give it in plain text, "
                "from an environment variable for instance (password: $NAME)",
                option,
            )


def check_tls(tls: TlsOptions) -> None:
    """Refuse TLS without a certificate and its key; whether they fit is seen when they are loaded."""
    if not tls.enabled:
        return
    if not tls.certificate_file:
        raise OptionsError("TLS Server certificate must be present and valid", "tls.certificate_file", "tls.enabled")
    if not tls.key_file:
        raise OptionsError("TLS Server private key must be present and valid", "tls.key_file", "tls.enabled")
    if tls.timeout_ns <= 0:
        raise OptionsError(
            f"TLS timeout must be greater than zero ({format_duration(tls.timeout_ns)})", "tls.timeout_ns"
        )


def check_external(external: ExternalOptions) -> None:
    """Refuse a URL without scheme, host or port, unless it is one of several or has a user: as the original does."""
    url = external.url
    if "," not in url and "@" not in url:
        scheme, _, address = url.partition("://")
        if not scheme or not address or "://" in address:
            raise OptionsError(f"malformed url: {url}", "external.url")
        check_address(address)
    if bool(external.certificate_file) != bool(external.key_file):
        have, lack = ("certificate", "key") if external.certificate_file else ("key", "certificate")
        given = "external.certificate_file" if external.certificate_file else "external.key_file"
        raise OptionsError(f"the client {have} for the NATS server needs its {lack}, too", given)


def check_address(address: str) -> None:
    """Refuse what is not `host:port`, in Go's words."""
    host, colon, _ = address.rpartition(":")
    if not colon or (address.startswith("[") and address.endswith("]")):
        raise OptionsError(f"address {address}: missing port in address", "external.url")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise OptionsError(f"address {address}: too many colons in address", "external.url")


def check_monitoring(monitoring: MonitoringOptions, tls: TlsOptions) -> None:
    """Refuse two ports for monitoring, and HTTPS without a certificate."""
    check_port("monitoring", monitoring.port or 0, "monitoring.port")
    check_port("monitoring", monitoring.https_port or 0, "monitoring.https_port")
    if monitoring.port is not None and monitoring.https_port is not None:
        ports = f"HTTP ({monitoring.port or -1}) and HTTPs ({monitoring.https_port or -1})"
        raise OptionsError(f"Can't start monitoring: can't specify both {ports} ports", "monitoring.https_port")
    if monitoring.https_port is not None and not tls.enabled:
        raise OptionsError("Can't start monitoring: TLS cert and key required for HTTPS", "monitoring.https_port")


def check_port(purpose: str, port: int, option: str) -> None:
    """Refuse a number that is no TCP port."""
    if not 0 <= port <= PORT_MAX:
        raise OptionsError(f"invalid {purpose} port {port}: use 1 to {PORT_MAX}, or -1 for any free port", option)


def is_text(text: str) -> bool:
    """Whether `text` is free of control characters and of bytes that were not UTF-8 (lone surrogates)."""
    return text.isprintable()


def is_utf8(text: str) -> bool:
    """Whether `text` has none of the lone surrogates that stand for bytes which were not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
