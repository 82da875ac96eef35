"""Who listens to a bus, and what each of them has still to deal with."""

from dataclasses import dataclass
from typing import Final

from durabus.streaming.channel import Channel
from durabus.streaming.cohort import Cohort
from durabus.streaming.core import Core

__all__ = ["Position", "positions"]

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Position:
    """Where a subscription stands in its channel; a queue group has one position for all of its members.

    `client_ids` are the clients that are subscribed now: none when a durable is offline. `unacknowledged` are the sequences
    that were delivered and not acknowledged, `waiting_count` is how many messages were not delivered yet.
    """

    channel: str
    queue_group: str
    durable_name: str
    client_ids: tuple[str, ...]
    unacknowledged: tuple[int, ...]
    waiting_count: int

    @property
    def is_online(self) -> bool:
        """Whether anybody is subscribed."""
        return bool(self.client_ids)

    @property
    def is_done(self) -> bool:
        """Whether everything that was published is acknowledged."""
        return not self.unacknowledged and not self.waiting_count

    def __str__(self) -> str:
        """One line, for people."""
        words = [self.channel]
        if self.queue_group:
            words.append(f"queue group {self.queue_group}")
        if self.durable_name:
            words.append(f"durable {self.durable_name}")
        words.append(f"of {', '.join(self.client_ids)}" if self.client_ids else "offline")
        return f"{', '.join(words)}: {self._state()}"

    def _state(self) -> str:
        if self.is_done:
            return "everything is acknowledged"
        found: list[str] = []
        if self.unacknowledged:
            shown = ", ".join(f"#{number}" for number in self.unacknowledged[:_SHOWN])
            rest = len(self.unacknowledged) - _SHOWN
            found.append(f"{shown}{f' and {rest} more' if rest > 0 else ''} delivered and not acknowledged")
        if self.waiting_count:
            found.append(f"{self.waiting_count} not delivered yet")
        return ", ".join(found)


def positions(core: Core) -> list[Position]:
    """Everybody who has a position on the bus, channel by channel."""
    return [_position(channel, cohort) for channel in core.state.channels.values() for cohort in channel.cohorts]


def _position(channel: Channel, cohort: Cohort) -> Position:
    everybody = cohort.everybody()
    group, durable = b"", b""
    if everybody:
        record = everybody[0].record
        group, durable = record.queue_group, record.durable_name
        if cohort.is_queue and cohort.is_durable:
            durable, _, group = group.partition(b":")
    return Position(
        _text(channel.name),
        _text(group),
        _text(durable),
        tuple(_text(member.record.client_id) for member in cohort.members),
        tuple(cohort.window.sequences()),
        max(0, int(channel.last) - max(int(cohort.last_sent), int(channel.first) - 1)),
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
