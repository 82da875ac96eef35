"""The workloads that are measured, and the one exception of this package."""

from __future__ import annotations

from typing import Final, NamedTuple

CHANNEL: Final = "foo"
"""The channel (or plain NATS subject) of workloads with one; where there are more, their names begin with it."""

PUBLISH_WINDOW: Final = 512
"""Messages that a publisher may have unacknowledged."""

PLAIN_WINDOW: Final = 4096
"""Messages that may be between publisher and subscriber in plain NATS: few enough that nobody is cut off as slow."""

MAX_IN_FLIGHT: Final = 1024
"""Deliveries that a subscriber may have unacknowledged."""


REPLAYED_CHANNELS: Final = 100
"""How many channels are replayed, one after the other, where there are many."""


class BenchmarkError(Exception):
    """A run that must not be counted: something was lost, doubled, out of order, refused or late."""


class Workload(NamedTuple):
    """Who publishes and who listens; every subscriber receives every message of its channel."""

    name: str
    publishers: int
    subscribers: int
    window: int
    """Messages that each publisher may have unacknowledged (for `plain`: undelivered)."""
    messages: int
    """Messages published by all publishers together, unless the command line says otherwise."""
    turns: int
    """Runs of each server per round: more than one where a single run is short and says little."""
    plain: bool
    """True for core NATS without acknowledgements, False for a durable bus."""
    title: str
    channels: int = 1
    """Channels that take turns, message by message."""
    is_replay: bool = False
    """The messages are stored before, and the server (unless it has them in memory) started again: what is measured is
    how they are delivered."""

    def channel_names(self) -> list[str]:
        """Return the names of the channels, all of one length."""
        if self.channels == 1:
            return [CHANNEL]
        digits = len(str(self.channels - 1))
        return [f"{CHANNEL}{number:0{digits}}" for number in range(self.channels)]


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("1p", 1, 0, PUBLISH_WINDOW, 400_000, 1, False, "one publisher"),
        Workload("4p", 4, 0, PUBLISH_WINDOW, 400_000, 1, False, "four publishers"),
        Workload("1p1s", 1, 1, PUBLISH_WINDOW, 300_000, 1, False, "one publisher and one subscriber at once"),
        Workload("4p4s", 4, 4, PUBLISH_WINDOW, 200_000, 1, False, "four publishers and four subscribers at once"),
        Workload("sync", 1, 0, 1, 4_000, 4, False, "one publish at a time"),
        Workload("plain", 1, 1, PLAIN_WINDOW, 2_000_000, 1, True, "plain NATS, one publisher to one subscriber"),
        Workload("1000c", 1, 0, PUBLISH_WINDOW, 400_000, 1, False, "one publisher to 1,000 channels in turn", 1000),
        Workload("replay", 0, 1, 0, 1_000_000, 1, False, "one subscriber, messages stored before", is_replay=True),
        Workload(
            "replay1000",
            *(0, 1, 0, 2_000_000, 1, False, f"{REPLAYED_CHANNELS} of 1,000 interleaved channels, one at a time"),
            *(1000, True),
        ),
    )
}
"""Every workload by name, in the order of the report."""

USUAL: Final = ("1p", "4p", "1p1s", "4p4s", "sync", "plain")
"""Those that are run when none is named."""
