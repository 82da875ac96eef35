"""Publishing rows of the outbox in order: one *lane* after the other within itself, lanes beside each other.

Within a lane an event is sent when the one before it is stored. What cannot be published now ends its lane for this time, as
nothing may overtake it; what never can be steps aside, and its lane goes on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from durabus.client.errors import (
    ClientError,
    ClosedError,
    PossiblyDuplicatedError,
    PublishError,
    PublishRefusedError,
    PublishTooLargeError,
    ReplacedError,
    UsageError,
)

__all__ = ["Outcome", "Publish", "Rests", "Row", "publish_rows"]

Publish = Callable[[str, bytes], Awaitable[object]]
"""`Bus.publish`."""

_NEVER: Final = "stan: invalid publish request"
"""How the server refuses what it would refuse again: the client has made sure that it does know us."""


@dataclass(frozen=True, slots=True)
class Row:
    """An event in the outbox."""

    id: int
    lane: str
    subject: str
    identity: str | None
    payload: bytes
    attempts: int

    def __str__(self) -> str:
        return f"event {self.identity or 'without identity'} for {self.subject!r} (row {self.id})"


@dataclass(slots=True)
class Outcome:
    """What became of rows: stored, not published now, never to be published; each of the latter two with the reason.

    `error` is why the bus is over, if it is: rows that are in none of the lists were not tried.
    """

    published: list[Row] = field(default_factory=list)
    failed: list[tuple[Row, str]] = field(default_factory=list)
    refused: list[tuple[Row, str]] = field(default_factory=list)
    error: ClientError | None = None


async def publish_rows(publish: Publish, rows: list[Row], is_pipelined: bool) -> Outcome:
    """Publish `rows`; with `is_pipelined` each is sent at once, and only a refusal can change their order."""
    outcome = Outcome()
    if is_pipelined:
        lanes = [[row] for row in rows]
    else:
        by_lane: dict[str, list[Row]] = {}
        for row in rows:
            by_lane.setdefault(row.lane, []).append(row)
        lanes = list(by_lane.values())
    async with asyncio.TaskGroup() as group:  # tasks begin in the order in which they are made
        for lane in lanes:
            group.create_task(_publish_lane(publish, lane, outcome))
    return outcome


async def _publish_lane(publish: Publish, rows: list[Row], outcome: Outcome) -> None:
    for row in rows:
        try:
            await publish(row.subject, row.payload)
        except (ClosedError, ReplacedError) as error:
            outcome.error = error
            return
        except PossiblyDuplicatedError:
            outcome.published.append(row)
        except (UsageError, PublishError) as error:
            if _is_for_good(error):
                outcome.refused.append((row, error.what))
            else:
                outcome.failed.append((row, error.what))
                return
        else:
            outcome.published.append(row)


def _is_for_good(error: ClientError) -> bool:
    if isinstance(error, PublishRefusedError) and not isinstance(error, PublishTooLargeError):
        return _NEVER in error.what
    return isinstance(error, UsageError | PublishTooLargeError)


class Rests:
    """The lanes whose first event could not be published, each for a while that grows."""

    def __init__(self, wait_s: float, wait_max_s: float) -> None:
        """The first time for `wait_s`, then twice as long each time, up to `wait_max_s`."""
        self._wait_ns = int(wait_s * 1e9)
        self._wait_max_ns = int(wait_max_s * 1e9)
        self._lanes: dict[str, tuple[int, int]] = {}  # until when, how often

    def begin(self, lane: str, now_ns: int) -> int:
        """Let `lane` rest; for how long, in nanoseconds."""
        count = self._lanes.get(lane, (0, 0))[1]
        wait_ns = min(self._wait_ns << min(count, 30), self._wait_max_ns)
        self._lanes[lane] = (now_ns + wait_ns, count + 1)
        return wait_ns

    def end(self, lane: str) -> None:
        """Something of `lane` was published."""
        self._lanes.pop(lane, None)

    def resting(self, now_ns: int) -> list[str]:
        """The lanes that are not to be tried now."""
        return [lane for lane, (until_ns, _) in self._lanes.items() if until_ns > now_ns]

    def wait_ns(self, now_ns: int) -> int | None:
        """In how many nanoseconds the next of them can be tried; None when none rests."""
        waits = [until_ns - now_ns for until_ns, _ in self._lanes.values() if until_ns > now_ns]
        return min(waits) if waits else None
