"""What a listener cannot deal with, and where that goes, so that the events behind it go on."""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from durabus.client import Message, UsageError
from durabus.client.options import channel_bytes
from durabus.errors import DurabusError
from durabus.events.event import EventType

__all__ = [
    "DeadLetter",
    "DeadLetterPlace",
    "DeadLetterReason",
    "Drop",
    "RejectedError",
    "ToChannel",
    "ToFunction",
    "check_place",
    "dead_letter_channel",
]

SUFFIX = ".dead-letters"


class RejectedError(DurabusError):
    """Raised by a handler: this event will never be dealt with, and is not to be delivered again."""


class DeadLetterReason(enum.Enum):
    """Why a listener gave up."""

    UNDECODABLE = "undecodable"  # the payload is no such event
    REJECTED = "rejected"  # the handler raised RejectedError
    FAILED = "failed"  # the handler failed `failures_max` times
    EARLY = "early"  # versions before it never came: `VersionOrder.early_deliveries_max`


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a listener has given up; `message` has its bytes as they came, in `data`."""

    event_type: EventType[Any]
    message: Message
    reason: DeadLetterReason
    error: Exception  # what is wrong: a DecodeError, or what the handler raised

    def __str__(self) -> str:
        """One line for a log."""
        said = str(self.error) or type(self.error).__name__
        return f"{self.message.channel}, message {self.message.sequence}: {self.reason.value}: {said}"


@dataclass(frozen=True, slots=True)
class ToChannel:
    """Publish the bytes, as they came, to a channel: that of the event's subject with `.dead-letters` behind it, or this."""

    channel: str = ""


@dataclass(frozen=True, slots=True)
class ToFunction:
    """Call a function of the program. When it fails, the event is left for redelivery, and it is called again then."""

    function: Callable[[DeadLetter], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Drop:
    """Keep nothing but the line in the log."""


DeadLetterPlace = ToChannel | ToFunction | Drop


def dead_letter_channel(place: ToChannel, event_type: EventType[Any]) -> str:
    """The channel that a place means for events of a type."""
    return place.channel or event_type.subject + SUFFIX


def check_place(place: DeadLetterPlace, event_type: EventType[Any], channel: str) -> None:
    """Raise UsageError for a place that a listener to `channel` cannot have."""
    if not isinstance(place, DeadLetterPlace):
        raise UsageError(f"dead letters go to ToChannel(...), ToFunction(...) or Drop(), not to {place!r}")
    if isinstance(place, ToChannel):
        goal = dead_letter_channel(place, event_type)
        channel_bytes(goal)
        if goal == channel:
            raise UsageError(f"dead letters of {channel!r} cannot go to {channel!r} itself; say another place for them")
