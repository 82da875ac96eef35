"""The options: the original's defaults, what no server can start with, and settings by dotted names."""

import dataclasses

import pytest

from durabus.config.options import (
    BrokerOptions,
    Limits,
    LogOptions,
    MonitoringOptions,
    Options,
    OptionsError,
    Setting,
    StreamingOptions,
    with_settings,
)
from durabus.errors import StartError

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
    )
    assert options.log == LogOptions(with_time=True, file="")
    assert options.monitoring == MonitoringOptions(port=None)
    options.check()


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().limits.max_channels = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        # the original's texts
        ("streaming.store", "BOGUS", "unsupported store type: BOGUS"),
        ("streaming.store", "", "unsupported store type: "),
        ("limits.max_channels", -3, "max channels limit cannot be negative (-3)"),
        ("limits.max_subscriptions", -3, "max subscriptions limit cannot be negative (-3)"),
        ("limits.max_messages", -5, "max messages limit cannot be negative (-5)"),
        ("limits.max_bytes", -3, "max bytes limit cannot be negative (-3)"),
        ("limits.max_age_ns", -3 * S, "max age limit cannot be negative (-3s)"),
        ("limits.max_inactivity_ns", -3 * S, "max inactivity limit cannot be negative (-3s)"),
        # ours, where it would start and then misbehave
        ("streaming.heartbeat_interval_ns", 0, "heartbeat interval must be greater than zero (0s)"),
        ("streaming.heartbeat_timeout_ns", -S, "heartbeat timeout must be greater than zero (-1s)"),
        ("streaming.heartbeat_fail_count", -1, "heartbeat fail count cannot be negative (-1)"),
        ("streaming.presence_grace_ns", -1, "presence grace cannot be negative (-1ns)"),
        ("streaming.io_batch_size", 0, "I/O batch size must be at least 1 (0)"),
        ("broker.port", 65536, "invalid client port 65536: use 1 to 65535, or -1 for any free port"),
        ("broker.port", -2, "invalid client port -2: use 1 to 65535, or -1 for any free port"),
        ("monitoring.port", 99999, "invalid monitoring port 99999: use 1 to 65535, or -1 for any free port"),
        ("broker.server_name", "a\nb", "invalid server name 'a\nb': it has control characters or is not UTF-8"),
        ("broker.host", "\udcff", "invalid host '\udcff': it has control characters or is not UTF-8"),
    ],
)
def test_what_no_server_can_start_with(name: str, value: Setting, error: str) -> None:
    with pytest.raises(OptionsError) as caught:
        with_settings(Options(), {name: value}).check()
    assert str(caught.value) == error
    assert isinstance(caught.value, StartError)


@pytest.mark.parametrize("store", ["FILE", "SQL"])
def test_stores_that_are_to_come(store: str) -> None:
    with pytest.raises(
        OptionsError, match=f"store type {store} is not available yet: it comes with the durable stores"
    ):
        with_settings(Options(), {"streaming.store": store}).check()


@pytest.mark.parametrize("cluster_id", ["test-cluster", "a.b", "\u00e9", "a*b"])
def test_cluster_ids_that_make_subjects(cluster_id: str) -> None:
    with_settings(Options(), {"streaming.cluster_id": cluster_id}).check()


@pytest.mark.parametrize("cluster_id", ["", "a b", "a..b", ".b", "b.", "a.*", ">", "a\nb", "a\tb", "\udcff", "\x00"])
def test_cluster_ids_that_make_none(cluster_id: str) -> None:
    with pytest.raises(OptionsError, match=r"^invalid cluster ID "):
        with_settings(Options(), {"streaming.cluster_id": cluster_id}).check()


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
