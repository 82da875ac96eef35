"""What differs between two configurations of one server, and whether it can be changed while the server runs.

Of the NATS half most can, as in the original; one difference that cannot makes the whole reload fail, with the name that
the original gives to the option. The durable half is never reloaded: what differs there waits for a restart. Pure.
"""

import dataclasses
from collections.abc import Callable, Iterator

from durabus.config.options import Options, Setting
from durabus.config.units import NS_PER_UNIT, format_duration
from durabus.errors import DurabusError

__all__ = ["Changes", "ReloadError", "find_changes"]


class ReloadError(DurabusError):
    """A configuration that the running server cannot take over; the text is the original's, and shows no secret."""


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """The differences that can be taken over, and those that wait."""

    names: frozenset[str]
    """The options to take over, by dotted names."""
    lines: tuple[str, ...]
    """One line for the log about each."""
    waiting: tuple[str, ...]
    """The options that a restart will take over, by dotted names."""

    def touch(self, *sections: str) -> bool:
        """Whether there are options to take over in one of these sections."""
        return any(name.partition(".")[0] in sections for name in self.names)


Show = Callable[[Setting], str]


def go_text(value: Setting) -> str:
    """A value as Go prints it."""
    if value is None:
        return "0"
    if isinstance(value, tuple):
        return f"[{' '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def assigned(name: str, show: Show = go_text) -> Show:
    """A line with the new value."""
    return lambda value: f"Reloaded: {name} = {show(value)}"


def mentioned(name: str) -> Show:
    """A line without the value, which is a secret."""
    return lambda value: f"Reloaded: {name}"


def ns_text(value: Setting) -> str:
    """Nanoseconds as a duration."""
    return format_duration(value if isinstance(value, int) else 0)


def seconds_text(value: Setting) -> str:
    """Nanoseconds as a number of seconds."""
    return f"{(value if isinstance(value, int) else 0) / NS_PER_UNIT['s']:g}"


TLS_ENABLED = "tls.enabled"

RELOADABLE: dict[str, Show] = {
    "log.broker_trace": assigned("trace"),
    "log.broker_trace_verbose": assigned("trace_verbose"),
    "log.broker_debug": assigned("debug"),
    "log.with_time": assigned("logtime"),
    "log.file": assigned("log_file"),
    "log.syslog": assigned("syslog"),
    "log.remote_syslog": assigned("remote_syslog"),
    "log.max_traced_message_bytes": assigned("max_traced_msg_len"),
    "auth.user": mentioned("authorization username"),
    "auth.password": mentioned("authorization password"),
    "auth.token": mentioned("authorization token"),
    "auth.users": mentioned("authorization users"),
    "auth.timeout_ns": assigned("authorization timeout", seconds_text),
    TLS_ENABLED: assigned("tls", lambda value: "enabled" if value else "disabled"),
    "tls.timeout_ns": assigned("tls timeout", seconds_text),
    "broker.max_connections": assigned("max_connections"),
    "broker.max_control_line_bytes": assigned("max_control_line"),
    "broker.max_payload_bytes": assigned("max_payload"),
    "broker.ping_interval_ns": assigned("ping_interval", ns_text),
    "broker.ping_max": assigned("ping_max"),
    "broker.write_deadline_ns": assigned("write_deadline", ns_text),
    "process.pid_file": assigned("pid_file"),
    "process.ports_folder": assigned("ports_file_dir"),
}
"""What can be changed, with what the log says about it."""

WITH_TLS = ("tls.certificate_file", "tls.key_file", "tls.authority_file", "tls.verify", "tls.ciphers")
"""What is told as a change of TLS as such."""

FIXED = {
    "broker.host": "Host",
    "broker.port": "Port",
    "broker.server_name": "ServerName",
    "broker.tags": "Tags",
    "broker.max_pending_bytes": "MaxPending",
    "broker.max_subscriptions": "MaxSubs",
    "broker.max_subject_tokens": "MaxSubTokens",
    "broker.with_headers": "NoHeaderSupport",
    "tls.allow_plain": "AllowNonTLS",
    "log.file_bytes_max": "LogSizeLimit",
    "monitoring.host": "HTTPHost",
    "monitoring.port": "HTTPPort",
    "monitoring.https_port": "HTTPSPort",
    "monitoring.base_path": "HTTPBasePath",
}
"""What cannot, with the original's names."""


def find_changes(old: Options, new: Options) -> Changes:
    """What `new` changes; raises ReloadError for the first difference that a running server cannot take over."""
    names: set[str] = set()
    waiting: list[str] = []
    for name, before, after in differences(old, new):
        if name in FIXED:
            shown = f"old={go_text(before)}, new={go_text(after)}"
            raise ReloadError(f"config reload not supported for {FIXED[name]}: {shown}")
        if name in RELOADABLE or name in WITH_TLS:
            names.add(TLS_ENABLED if name in WITH_TLS else name)
        else:
            waiting.append(name)
    if new.tls.enabled:
        # The same files may hold new certificates: that is what a reload is mostly for.
        names.add(TLS_ENABLED)
    values = {name: value for name, _, value in all_values(new, new) if name in names}
    lines = [show(values[name]) for name, show in RELOADABLE.items() if name in names]
    return Changes(frozenset(names), tuple(lines), tuple(waiting))


def differences(old: Options, new: Options) -> Iterator[tuple[str, Setting, Setting]]:
    """Dotted names with the old and the new value, where they differ."""
    return ((name, before, after) for name, before, after in all_values(old, new) if before != after)


def all_values(old: Options, new: Options) -> Iterator[tuple[str, Setting, Setting]]:
    """Every option by its dotted name, with both values."""
    for section in dataclasses.fields(Options):
        before, after = getattr(old, section.name), getattr(new, section.name)
        for option in dataclasses.fields(before):
            yield f"{section.name}.{option.name}", getattr(before, option.name), getattr(after, option.name)
