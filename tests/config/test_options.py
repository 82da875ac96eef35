"""The options: the original's defaults, no secrets in what they print, and settings by dotted names."""

import dataclasses

import pytest

from durabus.config.checks import check_options
from durabus.config.options import (
    AuthOptions,
    BrokerOptions,
    ChannelOverride,
    ExternalOptions,
    Limits,
    LogOptions,
    MonitoringOptions,
    Options,
    OptionsError,
    ProcessOptions,
    Setting,
    StreamingOptions,
    TlsOptions,
    with_settings,
)

S = 10**9


def test_defaults_are_the_originals() -> None:
    options = Options()
    assert options.limits == Limits(
        max_channels=100,
        max_subscriptions=1000,
        max_messages=1_000_000,
        max_bytes=1_024_000_000,
        max_age_ns=0,
        max_inactivity_ns=0,
        per_channel=(),
    )
    assert options.streaming == StreamingOptions(
        cluster_id="test-cluster",
        store="MEMORY",
        heartbeat_interval_ns=30 * S,
        heartbeat_timeout_ns=10 * S,
        heartbeat_fail_count=10,
        presence_grace_ns=3 * S,
        replace_durable=False,
        io_batch_size=1024,
        discover_prefix="_STAN.discover",
        ft_group="",
        partitioning=False,
    )
    assert options.broker == BrokerOptions(
        host="0.0.0.0",
        port=4222,
        server_name="",
        max_payload_bytes=1024 * 1024,
        max_control_line_bytes=4096,
        max_pending_bytes=64 * 1024 * 1024,
        max_connections=65536,
        ping_interval_ns=120 * S,
        ping_max=2,
        write_deadline_ns=10 * S,
        max_subscriptions=0,
        max_subject_tokens=0,
        with_headers=True,
        tags=(),
    )
    assert options.log == LogOptions(with_time=True, file="")
    assert options.monitoring == MonitoringOptions(port=None)
    assert (options.auth, options.tls, options.external, options.process) == (
        AuthOptions(),
        TlsOptions(timeout_ns=2 * S),
        ExternalOptions(),
        ProcessOptions(),
    )
    check_options(options)


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().limits.max_channels = 1  # type: ignore[misc]


def test_settings_replace_only_what_they_name() -> None:
    options = with_settings(Options(), {"limits.max_channels": 5, "log.file": "x", "limits.max_messages": 7})
    assert options == Options(limits=Limits(max_channels=5, max_messages=7), log=LogOptions(file="x"))
    assert with_settings(options, {}) == options


def test_later_settings_win() -> None:
    from_file = with_settings(Options(), {"limits.max_channels": 5, "limits.max_messages": 6})
    assert with_settings(from_file, {"limits.max_channels": 0}).limits == Limits(max_channels=0, max_messages=6)


def test_a_name_that_is_none_is_found_out() -> None:
    with pytest.raises((TypeError, AttributeError)):
        with_settings(Options(), {"limits.nope": 1})
    with pytest.raises((TypeError, AttributeError)):
        with_settings(Options(), {"nope.max_channels": 1})


SECRETS: dict[str, Setting] = {
    "auth.password": "s3cret-1",
    "auth.token": "s3cret-2",
    "auth.users": (("bob", "s3cret-3"),),
    "external.url": "nats://bob:s3cret-4@host:4222",
    "external.password": "s3cret-5",
    "external.token": "s3cret-6",
}


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_not_printed(name: str) -> None:
    assert "s3cret" not in repr(with_settings(Options(), {name: SECRETS[name]}))


@pytest.mark.parametrize(
    ("auth", "accounts", "is_required"),
    [
        (AuthOptions(), (), False),
        (AuthOptions(user="a", password="b"), (("a", "b"),), True),
        (AuthOptions(user="a"), (("a", ""),), True),
        (AuthOptions(token="t"), (), True),
        (AuthOptions(user="a", password="b", token="t"), (), True),
        (AuthOptions(user="a", users=(("c", "d"), ("e", "f"))), (("c", "d"), ("e", "f")), True),
    ],
)
def test_who_may_connect(auth: AuthOptions, accounts: tuple[tuple[str, str], ...], is_required: bool) -> None:
    assert (auth.accounts, auth.is_required) == (accounts, is_required)


@pytest.mark.parametrize(
    ("settings", "timeout_ns"),
    [
        ({}, 2 * S),
        ({"tls.enabled": True}, 3 * S),
        ({"tls.enabled": True, "tls.timeout_ns": S // 2}, S + S // 2),
        ({"auth.timeout_ns": 5}, 5),
    ],
)
def test_time_to_say_who_one_is(settings: dict[str, bool | int], timeout_ns: int) -> None:
    assert with_settings(Options(), settings).auth_timeout_ns == timeout_ns


def test_credentials_for_an_external_server() -> None:
    own = ExternalOptions(user="u", password="p", token="t")
    assert Options(external=own).external_credentials == ("u", "p", "t")
    assert Options(external=own, auth=AuthOptions(user="v")).external_credentials == ("v", "p", "t")
    assert Options(external=own, auth=AuthOptions(password="q", token="s")).external_credentials == ("u", "q", "s")


def test_urls_of_an_external_server() -> None:
    assert ExternalOptions().urls == ()
    assert ExternalOptions(url="nats://a:1, nats://b:2").urls == ("nats://a:1", "nats://b:2")


@pytest.mark.parametrize(
    ("monitoring", "port", "is_secure"),
    [
        (MonitoringOptions(), None, False),
        (MonitoringOptions(port=0), 0, False),
        (MonitoringOptions(https_port=8443), 8443, True),
    ],
)
def test_the_one_port_of_monitoring(monitoring: MonitoringOptions, port: int | None, is_secure: bool) -> None:
    assert (monitoring.listen_port, monitoring.is_secure) == (port, is_secure)


def test_limits_of_channels_are_a_setting_like_others() -> None:
    override = ChannelOverride(name="a", max_messages=3)
    assert with_settings(Options(), {"limits.per_channel": (override,)}).limits == Limits(per_channel=(override,))


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        ({}, "it is wrong"),
        ({"a.b": "bus.conf:3:5: b"}, "bus.conf:3:5: b: it is wrong"),
        ({"a.b": "-b", "c.d": "bus.conf:1:1: d"}, "-b: it is wrong"),
        ({"c.d": "bus.conf:1:1: d"}, "bus.conf:1:1: d: it is wrong"),
        ({"c.d": "-d"}, "it is wrong"),
    ],
)
def test_an_error_tells_where_its_option_was_set(origins: dict[str, str], told: str) -> None:
    """A flag is named for its own value only, not for what is missing because of it."""
    assert str(OptionsError("it is wrong", "a.b", "c.d").with_origin(origins)) == told


def test_a_text_that_names_its_flag_does_not_get_it_twice() -> None:
    assert str(OptionsError("-b is not available", "a.b").with_origin({"a.b": "-b"})) == "-b is not available"
