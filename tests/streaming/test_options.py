"""The core's options: the original's defaults, and one object per core."""

from durabus.streaming.options import MILLISECOND_NS, SECOND_NS, ChannelLimits, CoreOptions


def test_defaults_are_the_originals() -> None:
    options = CoreOptions()
    assert options.cluster_id == b"test-cluster"
    assert options.channels_max == 100
    assert (options.heartbeat_interval_ns, options.heartbeat_timeout_ns) == (30 * SECOND_NS, 10 * SECOND_NS)
    assert options.heartbeat_failures_max == 10
    assert options.duplicate_probe_timeout_ns == 500 * MILLISECOND_NS
    assert options.batch_messages_max == 1024
    assert options.replace_durable is False
    limits = options.channel_limits
    assert (limits.messages_max, limits.bytes_max, limits.subscriptions_max) == (1_000_000, 1_024_000_000, 1000)
    assert (limits.age_max_ns, limits.inactivity_max_ns) == (0, 0)


def test_ours() -> None:
    options = CoreOptions()
    assert options.presence_grace_ns == 3 * SECOND_NS
    assert options.cursor_interval_ns == SECOND_NS
    assert options.redelivery_on is True


def test_names_become_bytes() -> None:
    options = CoreOptions("tickets", "abcdefghijkl")
    assert (options.cluster_id, options.instance) == (b"tickets", b"abcdefghijkl")


def test_limits_are_kept_as_given() -> None:
    limits = ChannelLimits(1, 2, 3, 4, 5)
    assert (limits.messages_max, limits.bytes_max, limits.age_max_ns) == (1, 2, 3)
    assert (limits.subscriptions_max, limits.inactivity_max_ns) == (4, 5)


def test_two_cores_share_no_limits() -> None:
    first, second = CoreOptions(), CoreOptions()
    first.channel_limits.messages_max = 5
    assert second.channel_limits.messages_max == 1_000_000
