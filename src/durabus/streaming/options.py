"""What the core is told at its start: limits and times, all resolved, all in one place (docs/protocol.md §11)."""

from typing import Final

__all__ = ["ChannelLimits", "CoreOptions"]

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000


class ChannelLimits:
    """The limits of one channel; 0 is unlimited. Age and inactivity in nanoseconds."""

    def __init__(
        self,
        messages_max: int = 1_000_000,
        bytes_max: int = 1_024_000_000,
        age_max_ns: int = 0,
        subscriptions_max: int = 1000,
        inactivity_max_ns: int = 0,
    ) -> None:
        """Keep the limits; the defaults are the original's."""
        self.messages_max = messages_max
        self.bytes_max = bytes_max
        self.age_max_ns = age_max_ns
        self.subscriptions_max = subscriptions_max
        self.inactivity_max_ns = inactivity_max_ns


class CoreOptions:
    """Everything else that the core is told. `instance` is unique to this activation: 12 or more base-62 characters."""

    def __init__(self, cluster_id: str = "test-cluster", instance: str = "000000000000") -> None:
        """The original's defaults; set the other attributes before the core is made."""
        self.cluster_id = cluster_id.encode()
        self.instance = instance.encode()
        self.channels_max = 100
        self.channel_limits = ChannelLimits()
        self.channel_rules: list[tuple[bytes, ChannelLimits]] = []  # from wide to narrow: the last that matches counts
        self.discover_prefix = b"_STAN.discover"
        self.heartbeat_interval_ns = 30 * SECOND_NS
        self.heartbeat_timeout_ns = 10 * SECOND_NS
        self.heartbeat_failures_max = 10
        self.duplicate_probe_timeout_ns = 500 * MILLISECOND_NS
        self.presence_grace_ns = 3 * SECOND_NS
        self.cursor_interval_ns = SECOND_NS
        self.acks_wait_for_us = True  # clients are connected to this server: what they say while it is away comes later
        self.replace_durable = False
        self.partition: list[bytes] = []  # names and patterns of the channels that are this server's; none: all
        self.newcomer_wait_ns = SECOND_NS  # with a partition: how long a request waits for its sender to register
        self.batch_messages_max = 1024
        self.undurable_bytes_max = 128 * 1024 * 1024  # at half of it publishers are held back, at all of it refused
        self.redelivery_on = True
