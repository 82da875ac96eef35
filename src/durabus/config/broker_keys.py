"""The keys of the NATS half: ports, who may connect, TLS, limits of connections, logs, files of the process."""

import dataclasses
import re
from collections.abc import Callable

from durabus.config.ciphers import CIPHERS
from durabus.config.document import Entry, Section, kind_of
from durabus.config.flag_table import client_port, listen_host, monitoring_port
from durabus.config.keys import (
    ANY,
    BOOL,
    DURATION,
    FLOAT64,
    INT64,
    MAP,
    SLICE,
    STRING,
    Draft,
    Key,
    array_of,
    duration_of,
    number,
    number_of,
    read_section,
    refused,
    section_of,
    special,
    switch,
    switch_of,
    text,
    text_value,
    without_effect,
    wrong_kind,
)
from durabus.config.options import BrokerOptions, ConfigError, Setting
from durabus.config.refusals import (
    ACCOUNTS,
    CURVES,
    JETSTREAM,
    NKEYS,
    OTHER_PROTOCOLS,
    PERMISSIONS,
    PINNED,
    PROFILE,
    REVOCATION,
    ROUTES,
    VERIFY_AND_MAP,
)
from durabus.config.units import NS_PER_UNIT, quote

__all__ = ["BROKER"]

BUILT_IN = BrokerOptions()
INT32_MAX = 2**31 - 1
TOKENS_MAX = 255
PORT = re.compile(r"[+-]?[0-9]{1,18}\Z")


def or_built_in(built_in: int) -> Callable[[Setting], Setting]:
    """0 stands for the built-in value."""
    return lambda value: value or built_in


def or_any_number(built_in: int) -> Callable[[Setting], Setting]:
    """0 stands for the built-in value, and less for any number (which the options write as 0)."""
    return lambda value: max(int(str(value)), 0) if value else built_in


def read_size(names: str, option: str, built_in: int) -> Key:
    """A size of 31 bits."""

    def read(entry: Entry, draft: Draft) -> None:
        value = number_of(entry)
        if value > INT32_MAX:
            raise ConfigError(f"{entry.key} value is too big", entry.place)
        draft.put(entry, option, value or built_in)

    return special(names, INT64, read)


def read_tokens(entry: Entry, draft: Draft) -> None:
    """The most tokens that a subject may have."""
    value = number_of(entry)
    if value > TOKENS_MAX:
        raise ConfigError(f"{entry.key} value is too big", entry.place)
    if value <= 0:
        raise ConfigError(f"{entry.key} value can not be negative", entry.place)
    draft.put(entry, "broker.max_subject_tokens", value)


def seconds(name: str, option: str, built_in: int) -> Key:
    """A duration; a number is taken as seconds, as of old."""

    def read(entry: Entry, draft: Draft) -> None:
        if isinstance(entry.value, int) and not isinstance(entry.value, bool):
            value = entry.value * NS_PER_UNIT["s"]
            draft.warnings.append(
                f"{entry.place}: invalid use of field {quote(entry.key)}: {entry.key} should be converted to a duration"
            )
        else:
            value = duration_of(entry)
        draft.put(entry, option, value or built_in)

    return special(name, DURATION, read)


def timeout_of(entry: Entry) -> int:
    """A duration, or a number of seconds with or without a point; in nanoseconds."""
    if isinstance(entry.value, str):
        return duration_of(entry)
    if isinstance(entry.value, int | float) and not isinstance(entry.value, bool):
        return int(entry.value * NS_PER_UNIT["s"])
    raise wrong_kind(entry, FLOAT64)


# Addresses.


def host_and_port(entry: Entry) -> tuple[str, int]:
    """`host:port`, or only a port; raises ConfigError."""
    if not isinstance(entry.value, str):
        if isinstance(entry.value, int) and not isinstance(entry.value, bool):
            return "", entry.value
        raise ConfigError(f"{entry.key}: expected port or host:port, got {kind_of(entry.value)}", entry.place)
    host, colon, port = entry.value.rpartition(":")
    has_brackets = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not has_brackets):
        raise ConfigError(f"{entry.key}: could not parse address string {quote(entry.value)}", entry.place)
    if not PORT.match(port):
        raise ConfigError(f"{entry.key}: could not parse port {quote(port)}", entry.place)
    return host[1:-1] if has_brackets else host, int(port)


def read_listen(entry: Entry, draft: Draft) -> None:
    """Where clients connect."""
    host, port = host_and_port(entry)
    draft.put(entry, "broker.host", listen_host(host))
    draft.put(entry, "broker.port", client_port(port))


def read_monitor(option: str) -> Callable[[Entry, Draft], None]:
    """Where tools connect; `option` is the port's."""

    def read(entry: Entry, draft: Draft) -> None:
        host, port = host_and_port(entry)
        draft.put(entry, "monitoring.host", host)
        draft.put(entry, option, monitoring_port(port))

    return read


# Who may connect. No error here shows a value.


def set_auth(option: str) -> Callable[[Entry, Draft], None]:
    """A text of the one user."""

    def read(entry: Entry, draft: Draft) -> None:
        draft.put(entry, f"auth.{option}", text_value(entry))

    return read


def read_auth_timeout(entry: Entry, draft: Draft) -> None:
    """How long a client may take to say who it is."""
    draft.put(entry, "auth.timeout_ns", timeout_of(entry))


def read_users(entry: Entry, draft: Draft) -> None:
    """Several users with their passwords."""
    if not isinstance(entry.value, tuple):
        raise ConfigError(f"Expected users field to be an array, got {kind_of(entry.value)}", entry.place)
    users: list[tuple[str, str]] = []
    for item in entry.value:
        if not isinstance(item.value, Section):
            raise ConfigError(f"Expected user entry to be a map/struct, got {kind_of(item.value)}", item.place)
        own = Draft()
        read_section(item.value, USER, own)
        draft.refusals += own.refusals
        user = own.settings.get("auth.user", "")
        if not user and not own.refusals:
            raise ConfigError("User entry requires a user", item.place)
        users.append((str(user), str(own.settings.get("auth.password", ""))))
    draft.put(entry, "auth.users", tuple(users))


def read_authorization(entry: Entry, draft: Draft) -> None:
    """The section as a whole: one user, or a token, or several users."""
    own = Draft()
    read_section(section_of(entry), AUTHORIZATION, own)
    user, password, token, users = (own.settings.get(f"auth.{name}") for name in ("user", "password", "token", "users"))
    if (user or password) and token:
        raise ConfigError("Cannot have a user/pass and token", entry.place)
    if users is not None and user:
        raise ConfigError("Can not have a single user/pass and a users array", entry.place)
    if users is not None and token:
        raise ConfigError("Can not have a token and a users array", entry.place)
    draft.settings.update(own.settings)
    draft.origins.update(own.origins)
    draft.refusals += own.refusals


USER = (
    special("user username", STRING, set_auth("user")),
    special("pass password", STRING, set_auth("password")),
    refused("nkey", STRING, "", NKEYS),
    refused("permission permissions authorization", ANY, None, PERMISSIONS),
    refused("allowed_connection_types connection_types clients", ANY, None, PERMISSIONS),
)

AUTHORIZATION = (
    special("user username", STRING, set_auth("user")),
    special("pass password", STRING, set_auth("password")),
    special("token", STRING, set_auth("token")),
    special("timeout", FLOAT64, read_auth_timeout),
    special("users", SLICE, read_users),
    refused("default_permission default_permissions permissions", ANY, None, PERMISSIONS),
)


# TLS.

CLIENT_TLS = (
    "client_cert",
    "client_key",
    "client_ca",
    "client_cacert",
    "server_name",
    "server_hostname",
    "skip_verify",
)


def tls_file(name: str, option: str) -> Key:
    """A key with the name of a file."""

    def read(entry: Entry, draft: Draft) -> None:
        if not isinstance(entry.value, str):
            raise ConfigError(f"error parsing tls config, expected '{name}' to be filename", entry.place)
        draft.put(entry, f"tls.{option}", entry.value)

    return special(name, STRING, read)


def tls_switch(name: str, use: Callable[[Entry, Draft], None]) -> Key:
    """A key with true or false; `use` is called for true."""

    def read(entry: Entry, draft: Draft) -> None:
        if not isinstance(entry.value, bool):
            raise ConfigError(f"error parsing tls config, expected '{name}' to be a boolean", entry.place)
        if entry.value:
            use(entry, draft)

    return special(name, BOOL, read)


def turn_on_verify(entry: Entry, draft: Draft) -> None:
    """Ask clients for a certificate."""
    draft.put(entry, "tls.verify", True)


def refuse_map(entry: Entry, draft: Draft) -> None:
    """Users by certificates."""
    draft.refuse(entry, VERIFY_AND_MAP)


def refuse_known_urls(entry: Entry, draft: Draft) -> None:
    """Only for links between servers."""
    raise ConfigError(f"{entry.key} not supported in this context", entry.place)


def use_nothing(entry: Entry, draft: Draft) -> None:
    """Only for the side that connects."""


def read_ciphers(entry: Entry, draft: Draft) -> None:
    """Names of cipher suites."""
    items = array_of(entry)
    if not items:
        raise ConfigError(f"error parsing tls config, '{entry.key}' cannot be empty", entry.place)
    names = [text_value(dataclasses.replace(item, key=entry.key)) for item in items]
    for name, item in zip(names, items, strict=True):
        if name not in CIPHERS:
            raise ConfigError(f"unrecognized cipher {name}", item.place)
    draft.put(entry, "tls.ciphers", tuple(names))


def read_tls_timeout(entry: Entry, draft: Draft) -> None:
    """How long the handshake may take."""
    draft.put(entry, "tls.timeout_ns", timeout_of(entry))


def read_pinned(entry: Entry, draft: Draft) -> None:
    """Certificates by their fingerprints."""
    if array_of(entry):
        draft.refuse(entry, PINNED)


def read_tls(entry: Entry, draft: Draft) -> None:
    """The section as a whole; here alone an unknown key is an error, for what it asked for could matter."""
    entries = section_of(entry)
    known = {name for key in TLS for name in key.names}
    for inner in entries:
        name = inner.key.lower()
        if name not in known:
            hint = ": it belongs into streaming { tls { ... } }" if name in CLIENT_TLS else ""
            raise ConfigError(f"error parsing tls config, unknown field [{quote(inner.key)}]{hint}", inner.place)
    read_section(entries, TLS, draft)
    has_certificate, has_key = (bool(draft.settings.get(f"tls.{name}_file")) for name in ("certificate", "key"))
    if has_certificate != has_key:
        missing = "key_file" if has_certificate else "cert_file"
        raise ConfigError(f"missing '{missing}' in TLS configuration", entry.place)
    draft.put(entry, "tls.enabled", True)


TLS = (
    tls_file("cert_file", "certificate_file"),
    tls_file("key_file", "key_file"),
    tls_file("ca_file", "authority_file"),
    tls_switch("verify", turn_on_verify),
    tls_switch("verify_and_map", refuse_map),
    tls_switch("verify_cert_and_check_known_urls", refuse_known_urls),
    tls_switch("insecure", use_nothing),
    special("cipher_suites", SLICE, read_ciphers),
    refused("curve_preferences", SLICE, None, CURVES),
    special("timeout", FLOAT64, read_tls_timeout),
    special("pinned_certs", SLICE, read_pinned),
)


# The rest.


def read_trace_verbose(entry: Entry, draft: Draft) -> None:
    """Traces, and those of internal traffic."""
    for option in ("log.broker_trace", "log.broker_trace_verbose"):
        draft.put(entry, option, switch_of(entry))


def read_tags(entry: Entry, draft: Draft) -> None:
    """One label, or several."""
    items = entry.value if isinstance(entry.value, tuple) else (entry,)
    draft.put(entry, "broker.tags", tuple(text_value(dataclasses.replace(item, key=entry.key)) for item in items))


def read_jetstream(entry: Entry, draft: Draft) -> None:
    """JetStream, unless it is turned off."""
    value = entry.value.lower() if isinstance(entry.value, str) else entry.value
    if value not in (False, "disabled", "disable"):
        draft.refuse(entry, JETSTREAM)


def without(value: Setting) -> Setting:
    """The opposite."""
    return not value


BROKER = (
    special("listen", ANY, read_listen),
    number("port", "broker.port", client_port),
    text("host net", "broker.host", listen_host),
    text("server_name", "broker.server_name"),
    special("server_tags", ANY, read_tags),
    refused("client_advertise", STRING, "", ROUTES),
    special("authorization", MAP, read_authorization),
    special("tls", MAP, read_tls),
    switch("allow_non_tls", "tls.allow_plain"),
    refused("ocsp", ANY, False, REVOCATION),
    special("http", ANY, read_monitor("monitoring.port")),
    special("https", ANY, read_monitor("monitoring.https_port")),
    number("http_port monitor_port", "monitoring.port", monitoring_port),
    number("https_port", "monitoring.https_port", monitoring_port),
    text("http_base_path", "monitoring.base_path"),
    read_size("max_control_line", "broker.max_control_line_bytes", BUILT_IN.max_control_line_bytes),
    read_size("max_payload", "broker.max_payload_bytes", BUILT_IN.max_payload_bytes),
    number("max_pending", "broker.max_pending_bytes", or_built_in(BUILT_IN.max_pending_bytes)),
    number("max_connections max_conn", "broker.max_connections", or_any_number(BUILT_IN.max_connections)),
    number("max_subscriptions max_subs", "broker.max_subscriptions", or_any_number(BUILT_IN.max_subscriptions)),
    special("max_sub_tokens max_subscription_tokens", INT64, read_tokens),
    seconds("ping_interval", "broker.ping_interval_ns", BUILT_IN.ping_interval_ns),
    number("ping_max", "broker.ping_max", or_built_in(BUILT_IN.ping_max)),
    seconds("write_deadline", "broker.write_deadline_ns", BUILT_IN.write_deadline_ns),
    switch("no_header_support", "broker.with_headers", without),
    switch("debug", "log.broker_debug"),
    switch("trace", "log.broker_trace"),
    special("trace_verbose", BOOL, read_trace_verbose),
    number("max_traced_msg_len", "log.max_traced_message_bytes"),
    switch("logtime", "log.with_time"),
    text("logfile log_file", "log.file"),
    number("logfile_size_limit log_size_limit", "log.file_bytes_max"),
    switch("syslog", "log.syslog"),
    text("remote_syslog", "log.remote_syslog"),
    text("pidfile pid_file", "process.pid_file"),
    text("ports_file_dir", "process.ports_folder"),
    # These are about links between servers, which there are none of, about a cache, an account or a shutdown.
    without_effect("connect_error_reports", INT64),
    without_effect("reconnect_error_reports", INT64),
    without_effect("disable_sublist_cache no_sublist_cache", BOOL),
    without_effect("no_system_account no_system no_sys_acc", BOOL),
    without_effect("lame_duck_duration", DURATION),
    without_effect("lame_duck_grace_period", DURATION),
    refused("prof_port", INT64, 0, PROFILE),
    refused("cluster", ANY, None, ROUTES),
    refused("gateway", ANY, None, ROUTES),
    refused("leaf leafnodes", ANY, None, ROUTES),
    refused("websocket ws", ANY, None, OTHER_PROTOCOLS),
    refused("mqtt", ANY, None, OTHER_PROTOCOLS),
    special("jetstream", ANY, read_jetstream),
    refused("store_dir storedir", STRING, "", JETSTREAM),
    refused("accounts", ANY, None, ACCOUNTS),
    refused("mappings maps", ANY, None, ACCOUNTS),
    refused("system_account system", STRING, "", ACCOUNTS),
    refused("no_auth_user", STRING, "", ACCOUNTS),
    refused("operator operators roots root root_operators root_operator", ANY, None, ACCOUNTS),
    refused("resolver account_resolver accounts_resolver", ANY, None, ACCOUNTS),
    refused("resolver_tls", ANY, None, ACCOUNTS),
    refused("resolver_preload", ANY, None, ACCOUNTS),
    refused("resolver_pinned_accounts", ANY, None, ACCOUNTS),
    refused("trusted trusted_keys", ANY, None, ACCOUNTS),
)
"""All keys."""
