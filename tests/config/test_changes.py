"""What a reload can change: the original's lines and refusals, and no secret in any of them."""

import dataclasses

import pytest

from durabus.config.changes import FIXED, RELOADABLE, WITH_TLS, ReloadError, all_values, find_changes
from durabus.config.options import Options, Setting, with_settings

S = 10**9
WAITING = (
    "streaming.",
    "limits.",
    "file.",
    "sql.",
    "encryption.",
    "external.",
    "log.streaming_",
    "log.syslog_name",
    "process.config_file",
)


def changed(**settings: Setting) -> Options:
    return with_settings(Options(), {name.replace("__", "."): value for name, value in settings.items()})


def test_nothing_new() -> None:
    changes = find_changes(Options(), Options())
    assert (changes.names, changes.lines, changes.waiting) == (frozenset(), (), ())


def test_every_option_can_be_changed_or_not() -> None:
    for name, _, _ in all_values(Options(), Options()):
        places = [name in RELOADABLE, name in WITH_TLS, name in FIXED, name.startswith(WAITING)]
        assert places.count(True) == 1, name


# As the original logged them.
@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("log.broker_trace", True, "Reloaded: trace = true"),
        ("log.broker_debug", True, "Reloaded: debug = true"),
        ("log.with_time", False, "Reloaded: logtime = false"),
        ("log.file", "a.log", "Reloaded: log_file = a.log"),
        ("log.syslog", True, "Reloaded: syslog = true"),
        ("log.remote_syslog", "udp://h:514", "Reloaded: remote_syslog = udp://h:514"),
        ("log.max_traced_message_bytes", 5, "Reloaded: max_traced_msg_len = 5"),
        ("broker.max_connections", 5, "Reloaded: max_connections = 5"),
        ("broker.ping_interval_ns", 5 * S, "Reloaded: ping_interval = 5s"),
        ("broker.ping_max", 7, "Reloaded: ping_max = 7"),
        ("broker.max_control_line_bytes", 512, "Reloaded: max_control_line = 512"),
        ("broker.max_payload_bytes", 1000, "Reloaded: max_payload = 1000"),
        ("broker.write_deadline_ns", 3 * S, "Reloaded: write_deadline = 3s"),
        ("auth.user", "bob", "Reloaded: authorization username"),
        ("auth.password", "s3cret", "Reloaded: authorization password"),
        ("auth.token", "s3cret", "Reloaded: authorization token"),
        ("auth.users", (("bob", "s3cret"),), "Reloaded: authorization users"),
        ("auth.timeout_ns", 5 * S, "Reloaded: authorization timeout = 5"),
        ("auth.timeout_ns", S // 2, "Reloaded: authorization timeout = 0.5"),
        ("tls.timeout_ns", 5 * S, "Reloaded: tls timeout = 5"),
        ("process.pid_file", "a.pid", "Reloaded: pid_file = a.pid"),
        ("process.ports_folder", "a", "Reloaded: ports_file_dir = a"),
    ],
)
def test_what_can_be_changed(option: str, value: Setting, line: str) -> None:
    changes = find_changes(Options(), with_settings(Options(), {option: value}))
    assert (changes.names, changes.lines, changes.waiting) == (frozenset({option}), (line,), ())
    section = option.partition(".")[0]
    assert changes.touch(section)
    assert not changes.touch("monitoring")


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("broker.max_pending_bytes", 1048576, "MaxPending: old=67108864, new=1048576"),
        ("broker.host", "127.0.0.1", "Host: old=0.0.0.0, new=127.0.0.1"),
        ("broker.port", 5222, "Port: old=4222, new=5222"),
        ("broker.server_name", "x", "ServerName: old=, new=x"),
        ("broker.max_subscriptions", 5, "MaxSubs: old=0, new=5"),
        ("broker.max_subject_tokens", 5, "MaxSubTokens: old=0, new=5"),
        ("broker.with_headers", False, "NoHeaderSupport: old=true, new=false"),
        ("broker.tags", ("a", "b"), "Tags: old=[], new=[a b]"),
        ("tls.allow_plain", True, "AllowNonTLS: old=false, new=true"),
        ("log.file_bytes_max", 5, "LogSizeLimit: old=0, new=5"),
        ("monitoring.port", 8222, "HTTPPort: old=0, new=8222"),
        ("monitoring.https_port", 8222, "HTTPSPort: old=0, new=8222"),
        ("monitoring.host", "h", "HTTPHost: old=, new=h"),
        ("monitoring.base_path", "/x", "HTTPBasePath: old=, new=/x"),
    ],
)
def test_what_needs_a_restart_refuses_the_whole(option: str, value: Setting, error: str) -> None:
    new = with_settings(Options(), {option: value, "log.broker_debug": True})
    with pytest.raises(ReloadError) as caught:
        find_changes(Options(), new)
    assert str(caught.value) == f"config reload not supported for {error}"


def test_the_durable_half_waits() -> None:
    new = changed(streaming__cluster_id="x", limits__max_messages=5, log__streaming_debug=True, log__broker_debug=True)
    changes = find_changes(Options(), new)
    assert changes.names == {"log.broker_debug"}
    assert sorted(changes.waiting) == ["limits.max_messages", "log.streaming_debug", "streaming.cluster_id"]


def test_another_key_waits_and_is_not_shown() -> None:
    changes = find_changes(changed(encryption__key="s3cret"), changed(encryption__key="an0ther"))
    assert changes.waiting == ("encryption.key",)
    assert "s3cret" not in repr(changes)
    assert "an0ther" not in repr(changes)


@pytest.mark.parametrize("option", WITH_TLS)
def test_certificates_are_a_change_of_tls(option: str) -> None:
    old = changed(tls__enabled=True)
    values: dict[str, Setting] = {"tls.verify": True, "tls.ciphers": ("x",)}
    changes = find_changes(old, with_settings(old, {option: values.get(option, "new.pem")}))
    assert (changes.names, changes.lines) == (frozenset({"tls.enabled"}), ("Reloaded: tls = enabled",))


def test_files_of_certificates_are_always_read_again() -> None:
    old = changed(tls__enabled=True)
    assert find_changes(old, old).lines == ("Reloaded: tls = enabled",)
    assert find_changes(old, Options()).lines == ("Reloaded: tls = disabled",)


def test_options_are_told_in_one_order() -> None:
    new = changed(log__broker_debug=True, log__broker_trace=True, broker__ping_max=3)
    assert find_changes(Options(), new).lines == (
        "Reloaded: trace = true",
        "Reloaded: debug = true",
        "Reloaded: ping_max = 3",
    )


def test_every_section_is_compared() -> None:
    names = {name.partition(".")[0] for name, _, _ in all_values(Options(), Options())}
    assert names == {field.name for field in dataclasses.fields(Options)}
