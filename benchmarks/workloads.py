"""The workloads that are measured, and the one exception of this package."""

from __future__ import annotations

from typing import Final, NamedTuple

CHANNEL: Final = "foo"
"""The channel (or plain NATS subject) that every workload uses."""

PUBLISH_WINDOW: Final = 512
"""Messages that a publisher may have unacknowledged."""

PLAIN_WINDOW: Final = 4096
"""Messages that may be between publisher and subscriber in plain NATS: few enough that nobody is cut off as slow."""

MAX_IN_FLIGHT: Final = 1024
"""Deliveries that a subscriber may have unacknowledged."""


class BenchmarkError(Exception):
    """A run that must not be counted: something was lost, doubled, out of order, refused or late."""


class Workload(NamedTuple):
    """Who publishes and who listens, all on one channel; every subscriber receives every message."""

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


WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("1p", 1, 0, PUBLISH_WINDOW, 400_000, 1, False, "one publisher"),
        Workload("4p", 4, 0, PUBLISH_WINDOW, 400_000, 1, False, "four publishers"),
        Workload("1p1s", 1, 1, PUBLISH_WINDOW, 300_000, 1, False, "one publisher and one subscriber at once"),
        Workload("4p4s", 4, 4, PUBLISH_WINDOW, 200_000, 1, False, "four publishers and four subscribers at once"),
        Workload("sync", 1, 0, 1, 4_000, 4, False, "one publish at a time"),
        Workload("plain", 1, 1, PLAIN_WINDOW, 2_000_000, 1, True, "plain NATS, one publisher to one subscriber"),
    )
}
"""Every workload by name, in the order of the report."""
