"""Every key of the NATS half: what it sets, what is wrong with a value, what is refused and what has no effect."""

from collections.abc import Iterator

import pytest

from durabus.config.broker_keys import AUTHORIZATION, BROKER, TLS
from durabus.config.keys import Draft, read_section
from durabus.config.options import BrokerOptions, ConfigError, Options, Setting, with_settings
from durabus.config.parser import parse_text
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
    refusal,
)

S = 10**9
BUILT_IN = BrokerOptions()


def read(text: str) -> Draft:
    draft = Draft()
    read_section(parse_text(text, "f", {}), BROKER, draft)
    return draft


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


# Names, a value, and what it sets.
SET: dict[str, tuple[str, dict[str, Setting]]] = {
    "listen": ("127.0.0.1:5222", {"broker.host": "127.0.0.1", "broker.port": 5222}),
    "port": ("5222", {"broker.port": 5222}),
    "host net": ("127.0.0.1", {"broker.host": "127.0.0.1"}),
    "server_name": ("me", {"broker.server_name": "me"}),
    "server_tags": ("[a, b\n]", {"broker.tags": ("a", "b")}),
    "allow_non_tls": ("yes", {"tls.allow_plain": True}),
    "http": ("'localhost:8222'", {"monitoring.host": "localhost", "monitoring.port": 8222}),
    "https": ("'localhost:8222'", {"monitoring.host": "localhost", "monitoring.https_port": 8222}),
    "http_port monitor_port": ("8222", {"monitoring.port": 8222}),
    "https_port": ("8222", {"monitoring.https_port": 8222}),
    "http_base_path": ("/nats", {"monitoring.base_path": "/nats"}),
    "max_control_line": ("8KB", {"broker.max_control_line_bytes": 8192}),
    "max_payload": ("2MB", {"broker.max_payload_bytes": 2 * 1024**2}),
    "max_pending": ("128MB", {"broker.max_pending_bytes": 128 * 1024**2}),
    "max_connections max_conn": ("5", {"broker.max_connections": 5}),
    "max_subscriptions max_subs": ("5", {"broker.max_subscriptions": 5}),
    "max_sub_tokens max_subscription_tokens": ("5", {"broker.max_subject_tokens": 5}),
    "ping_interval": ("5s", {"broker.ping_interval_ns": 5 * S}),
    "ping_max": ("5", {"broker.ping_max": 5}),
    "write_deadline": ("5s", {"broker.write_deadline_ns": 5 * S}),
    "no_header_support": ("yes", {"broker.with_headers": False}),
    "debug": ("yes", {"log.broker_debug": True}),
    "trace": ("yes", {"log.broker_trace": True}),
    "trace_verbose": ("yes", {"log.broker_trace": True, "log.broker_trace_verbose": True}),
    "max_traced_msg_len": ("5", {"log.max_traced_message_bytes": 5}),
    "logtime": ("no", {"log.with_time": False}),
    "logfile log_file": ("a.log", {"log.file": "a.log"}),
    "logfile_size_limit log_size_limit": ("1MB", {"log.file_bytes_max": 1024**2}),
    "syslog": ("yes", {"log.syslog": True}),
    "remote_syslog": ("'udp://h:514'", {"log.remote_syslog": "udp://h:514"}),
    "pidfile pid_file": ("a.pid", {"process.pid_file": "a.pid"}),
    "ports_file_dir": ("/x", {"process.ports_folder": "/x"}),
    "authorization": ("{ user: u }", {"auth.user": "u"}),
    "tls": ("{ cert_file: c, key_file: k }",
            {"tls.certificate_file": "c", "tls.key_file": "k", "tls.enabled": True}),
}  # fmt: skip
# Names, a value that asks for something, one that asks for nothing if there is one, and the reason.
REFUSED: dict[str, tuple[str, str, str]] = {
    "client_advertise": ("h:4222", "''", ROUTES),
    "ocsp": ("yes", "no", REVOCATION),
    "prof_port": ("5", "0", PROFILE),
    "cluster": ("{ port: 6222 }", "", ROUTES),
    "gateway": ("{ port: 7222 }", "", ROUTES),
    "leaf leafnodes": ("{ port: 7422 }", "", ROUTES),
    "websocket ws": ("{ port: 8080 }", "", OTHER_PROTOCOLS),
    "mqtt": ("{ port: 1883 }", "", OTHER_PROTOCOLS),
    "jetstream": ("{ max_mem: 1GB }", "disabled", JETSTREAM),
    "store_dir storedir": ("/x", "''", JETSTREAM),
    "accounts": ("{ a: {} }", "", ACCOUNTS),
    "mappings maps": ("{ a: b }", "", ACCOUNTS),
    "system_account system": ("SYS", "''", ACCOUNTS),
    "no_auth_user": ("bob", "''", ACCOUNTS),
    "operator operators roots root root_operators root_operator": ("x.jwt", "", ACCOUNTS),
    "resolver account_resolver accounts_resolver": ("MEMORY", "", ACCOUNTS),
    "resolver_tls": ("{}", "", ACCOUNTS),
    "resolver_preload": ("{}", "", ACCOUNTS),
    "resolver_pinned_accounts": ("[]", "", ACCOUNTS),
    "trusted trusted_keys": ("[]", "", ACCOUNTS),
}
WITHOUT_EFFECT = {
    "connect_error_reports": "5",
    "reconnect_error_reports": "5",
    "disable_sublist_cache no_sublist_cache": "yes",
    "no_system_account no_system no_sys_acc": "yes",
    "lame_duck_duration": "30s",
    "lame_duck_grace_period": "10s",
}


def cases() -> Iterator[tuple[str, dict[str, Setting]]]:
    """A text for every name of every key that sets something, and what it sets."""
    for names, (value, settings) in SET.items():
        yield from ((f"{name}: {value}", settings) for name in names.split())


@pytest.mark.row(127)
@pytest.mark.parametrize(("text", "settings"), list(cases()))
def test_every_name_of_every_key(text: str, settings: dict[str, Setting]) -> None:
    draft = read(text)
    assert draft == Draft(settings=settings)
    with_settings(Options(), draft.settings)
    name, colon, value = text.partition(":")
    assert read(name.upper() + colon + value) == draft


def test_every_key_is_tested() -> None:
    assert {" ".join(key.names) for key in BROKER} == {*SET, *REFUSED, *WITHOUT_EFFECT}


@pytest.mark.parametrize(("names", "row"), REFUSED.items())
def test_what_is_not_there_is_refused(names: str, row: tuple[str, str, str]) -> None:
    value, harmless, why = row
    for name in names.split():
        assert read(f"{name}: {value}") == Draft(refusals=[f"f:1:1: {refusal(name, why)}"])
        if harmless:
            assert read(f"{name}: {harmless}") == Draft()


@pytest.mark.parametrize(("names", "value"), WITHOUT_EFFECT.items())
def test_what_has_no_effect_is_taken(names: str, value: str) -> None:
    for name in names.split():
        assert read(f"{name}: {value}") == Draft()
        assert "value is expected to be" in error_of(f"{name}: [1\n]")


@pytest.mark.parametrize("value", ["false", "no", "disabled", "Disable"])
def test_jetstream_may_be_off(value: str) -> None:
    assert read(f"jetstream: {value}") == Draft()


@pytest.mark.parametrize("value", ["true", "enabled", "{}"])
def test_jetstream_must_not_be_on(value: str) -> None:
    assert read(f"jetstream: {value}").refusals == [f"f:1:1: {refusal('jetstream', JETSTREAM)}"]


# Numbers that stand for something else.
@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("port: 0", "broker.port", 4222),
        ("port: -1", "broker.port", 0),
        ("listen: 4333", "broker.port", 4333),
        ("listen: ':4333'", "broker.host", "0.0.0.0"),
        ("listen: '[::1]:4333'", "broker.host", "::1"),
        ("listen: 'h:-1'", "broker.port", 0),
        ("host: ''", "broker.host", "0.0.0.0"),
        ("http: 8222", "monitoring.port", 8222),
        ("http: 8222", "monitoring.host", ""),
        ("http_port: -1", "monitoring.port", 0),
        ("http_port: 0", "monitoring.port", None),
        ("https_port: 0", "monitoring.https_port", None),
        ("max_payload: 0", "broker.max_payload_bytes", BUILT_IN.max_payload_bytes),
        ("max_control_line: 0", "broker.max_control_line_bytes", BUILT_IN.max_control_line_bytes),
        ("max_pending: 0", "broker.max_pending_bytes", BUILT_IN.max_pending_bytes),
        ("max_connections: 0", "broker.max_connections", 65536),
        ("max_connections: -1", "broker.max_connections", 0),
        ("max_subs: 0", "broker.max_subscriptions", 0),
        ("max_subs: -1", "broker.max_subscriptions", 0),
        ("ping_max: 0", "broker.ping_max", 2),
        ("ping_interval: '0s'", "broker.ping_interval_ns", 120 * S),
        ("write_deadline: '0s'", "broker.write_deadline_ns", 10 * S),
        ("server_tags: a", "broker.tags", ("a",)),
        ("trace: yes, trace_verbose: no", "log.broker_trace", False),
        ("port: 5, listen: 'h:6'", "broker.port", 6),
    ],
)
def test_values_with_a_meaning_of_their_own(text: str, option: str, value: Setting) -> None:
    assert read(text).settings[option] == value


def test_a_number_of_seconds_is_taken_with_a_warning() -> None:
    draft = read("\nping_interval: 5")
    assert draft.settings == {"broker.ping_interval_ns": 5 * S}
    assert draft.warnings == [
        'f:2:1: invalid use of field "ping_interval": ping_interval should be converted to a duration'
    ]


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("port: x", 'parameter "port" value is expected to be int64, got string'),
        ("port: 1.5", 'parameter "port" value is expected to be int64, got float64'),
        ("debug: 5", 'parameter "debug" value is expected to be bool, got int64'),
        ("log_file: 5", 'parameter "log_file" value is expected to be string, got int64'),
        ("server_tags: 5", 'parameter "server_tags" value is expected to be string, got int64'),
        ("listen: x", 'listen: could not parse address string "x"'),
        ("listen: '::1:5'", 'listen: could not parse address string "::1:5"'),
        ("listen: 'a:b'", 'listen: could not parse port "b"'),
        ("http: 'a:'", 'http: could not parse port ""'),
        ("https: 1.5", "https: expected port or host:port, got float64"),
        ("listen: yes", "listen: expected port or host:port, got bool"),
        ("max_payload: 10gb", "max_payload value is too big"),
        ("max_control_line: 10gb", "max_control_line value is too big"),
        ("max_sub_tokens: 0", "max_sub_tokens value can not be negative"),
        ("max_sub_tokens: 256", "max_sub_tokens value is too big"),
        ("ping_interval: x", 'parameter "ping_interval": time: invalid duration "x"'),
        ("ping_interval: []", 'parameter "ping_interval" value is expected to be string, got slice'),
    ],
)
def test_mistakes(text: str, error: str) -> None:
    assert error_of(text) == f"f:1:1: {error}"


# Who may connect.


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("user: a, password: b", {"auth.user": "a", "auth.password": "b"}),
        ("username: a, pass: b", {"auth.user": "a", "auth.password": "b"}),
        ("token: t", {"auth.token": "t"}),
        ("user: a, timeout: 2", {"auth.user": "a", "auth.timeout_ns": 2 * S}),
        ("timeout: 0.5", {"auth.timeout_ns": S // 2}),
        ('timeout: "3s"', {"auth.timeout_ns": 3 * S}),
        ("users: [{user: a, password: b}, {username: c, pass: d}, {user: e}]",
         {"auth.users": (("a", "b"), ("c", "d"), ("e", ""))}),
        ("users: []", {"auth.users": ()}),
        ("other: 5", {}),
    ],
)  # fmt: skip
def test_authorization(text: str, settings: dict[str, Setting]) -> None:
    assert read(f"authorization {{ {text} }}") == Draft(settings=settings)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("5", 'f:1:1: parameter "authorization" value is expected to be map, got int64'),
        ("{ user: 5 }", 'f:1:17: parameter "user" value is expected to be string, got int64'),
        ("{ pass: [s3cret] }", 'f:1:17: parameter "pass" value is expected to be string, got slice'),
        ("{ timeout: yes }", 'f:1:17: parameter "timeout" value is expected to be float64, got bool'),
        ("{ user: a, pass: b, token: s3cret }", "f:1:1: Cannot have a user/pass and token"),
        (
            "{ user: a, users: [{user: b}] }",
            "f:1:1: Can not have a single user/pass and a users array",
        ),
        ("{ token: s3cret, users: [{user: b}] }", "f:1:1: Can not have a token and a users array"),
        ("{ users: s3cret }", "f:1:17: Expected users field to be an array, got string"),
        ("{ users: [s3cret] }", "f:1:25: Expected user entry to be a map/struct, got string"),
        ("{ users: [[s3cret]] }", "f:1:25: Expected user entry to be a map/struct, got slice"),
        ("{ users: [{pass: s3cret}] }", "f:1:25: User entry requires a user"),
    ],
)
def test_mistakes_of_authorization_tell_no_secret(text: str, error: str) -> None:
    assert error_of(f"authorization {text}") == error


@pytest.mark.row(120)
@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("permissions: {}", "permissions", PERMISSIONS),
        ("default_permissions: {}", "default_permissions", PERMISSIONS),
        ("users: [{nkey: UABC}]", "nkey", NKEYS),
        ("users: [{user: a, permissions: {}}]", "permissions", PERMISSIONS),
        ("users: [{user: a, authorization: {}}]", "authorization", PERMISSIONS),
        ("users: [{user: a, allowed_connection_types: [WEBSOCKET]}]", "allowed_connection_types", PERMISSIONS),
    ],
)
def test_parts_of_authorization_that_are_refused(text: str, name: str, why: str) -> None:
    (refused,) = read(f"authorization {{ {text} }}").refusals
    assert refused.endswith(f": {refusal(name, why)}")


def test_all_keys_of_authorization_are_known() -> None:
    assert [" ".join(key.names) for key in AUTHORIZATION] == [
        "user username",
        "pass password",
        "token",
        "timeout",
        "users",
        "default_permission default_permissions permissions",
    ]


# TLS.


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("ca_file: a", {"tls.authority_file": "a"}),
        ("verify: yes", {"tls.verify": True}),
        ("verify: no, insecure: yes, verify_and_map: no, verify_cert_and_check_known_urls: no", {}),
        ("timeout: 5", {"tls.timeout_ns": 5 * S}),
        ("timeout: 0.5", {"tls.timeout_ns": S // 2}),
        ('timeout: "1m"', {"tls.timeout_ns": 60 * S}),
        ("pinned_certs: []", {}),
        ('cipher_suites: ["TLS_AES_128_GCM_SHA256"]', {"tls.ciphers": ("TLS_AES_128_GCM_SHA256",)}),
    ],
)
def test_tls(text: str, settings: dict[str, Setting]) -> None:
    assert read(f"tls {{ {text} }}") == Draft(settings={**settings, "tls.enabled": True})


# What the original said about the same text; columns count from 1 here.
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("5", 'f:1:1: parameter "tls" value is expected to be map, got int64'),
        ("{x: 1}", 'f:1:6: error parsing tls config, unknown field ["x"]'),
        (
            "{client_cert: x}",
            'f:1:6: error parsing tls config, unknown field ["client_cert"]: it belongs into streaming { tls { ... } }',
        ),
        ("{cert_file: 5}", "f:1:6: error parsing tls config, expected 'cert_file' to be filename"),
        ("{key_file: 5}", "f:1:6: error parsing tls config, expected 'key_file' to be filename"),
        ("{ca_file: 5}", "f:1:6: error parsing tls config, expected 'ca_file' to be filename"),
        ("{verify: 5}", "f:1:6: error parsing tls config, expected 'verify' to be a boolean"),
        ("{insecure: 5}", "f:1:6: error parsing tls config, expected 'insecure' to be a boolean"),
        ("{cert_file: a}", "f:1:1: missing 'key_file' in TLS configuration"),
        ("{key_file: a}", "f:1:1: missing 'cert_file' in TLS configuration"),
        ("{timeout: []}", 'f:1:6: parameter "timeout" value is expected to be float64, got slice'),
        ('{timeout: "x"}', 'f:1:6: parameter "timeout": time: invalid duration "x"'),
        ("{cipher_suites: []}", "f:1:6: error parsing tls config, 'cipher_suites' cannot be empty"),
        ("{cipher_suites: [X]}", "f:1:22: unrecognized cipher X"),
        ("{cipher_suites: [5 ]}", 'f:1:22: parameter "cipher_suites" value is expected to be string, got int64'),
        (
            "{verify_cert_and_check_known_urls: yes}",
            "f:1:6: verify_cert_and_check_known_urls not supported in this context",
        ),
    ],
)  # fmt: skip
def test_mistakes_of_tls(text: str, error: str) -> None:
    assert error_of(f"tls: {text}".replace("tls: {", "tls {")) == error


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("verify_and_map: yes", "verify_and_map", VERIFY_AND_MAP),
        ("curve_preferences: [X25519]", "curve_preferences", CURVES),
        ("pinned_certs: [a]", "pinned_certs", PINNED),
    ],
)
def test_parts_of_tls_that_are_refused(text: str, name: str, why: str) -> None:
    assert read(f"tls {{ {text} }}").refusals == [f"f:1:7: {refusal(name, why)}"]


def test_all_keys_of_tls_are_known() -> None:
    assert [" ".join(key.names) for key in TLS] == [
        "cert_file",
        "key_file",
        "ca_file",
        "verify",
        "verify_and_map",
        "verify_cert_and_check_known_urls",
        "insecure",
        "cipher_suites",
        "curve_preferences",
        "timeout",
        "pinned_certs",
    ]
