"""The event that is published, received, encoded and decoded here: five fields."""

from __future__ import annotations

from typing import Final

from durabus.events import Event, event, event_type

CHANNEL: Final = "measured"
"""The subject of `Measured`; also where everybody else publishes."""


@event(CHANNEL)
class Measured(Event, rename="camel"):
    """What a ticket shop says of a new ticket."""

    id: str
    title: str
    price: float
    user_id: str
    version: int


def payload(size_bytes: int) -> bytes:
    """A `Measured` of so many bytes as JSON; ValueError when that is too short for one."""
    missing = size_bytes - len(_payload(""))
    if missing < 0:
        raise ValueError(f"an event has at least {size_bytes - missing} bytes, not {size_bytes}")
    return _payload("t" * missing)


def _payload(title: str) -> bytes:
    made = Measured(id="5f4e0b1d", title=title, price=20.5, user_id="61c8a0f2", version=1)
    return event_type(Measured).encode(made)
