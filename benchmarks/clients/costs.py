"""What it costs to encode and decode an event of five fields, as each kind of class that an event can be."""

from __future__ import annotations

import timeit
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from benchmarks.clients.typed_event import Measured
from durabus.events import event, event_type

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS: Final = 20_000
FIELDS: Final[dict[str, Any]] = {
    "id": "5f4e0b1d",
    "title": "concert",
    "price": 20.5,
    "user_id": "61c8a0f2",
    "version": 1,
}
"""The same event for each class."""


@event("cost:struct")
class StructEvent(msgspec.Struct):
    """A plain Struct."""

    id: str
    title: str
    price: float
    user_id: str
    version: int


@event("cost:dataclass")
@dataclass(frozen=True)
class DataclassEvent:
    """A dataclass."""

    id: str
    title: str
    price: float
    user_id: str
    version: int


def classes() -> dict[str, type[Any]]:
    """The classes by their kind; pydantic's only where that is installed."""
    found: dict[str, type[Any]] = {"Event": Measured, "Struct": StructEvent, "dataclass": DataclassEvent}
    try:
        import pydantic
    except ImportError:
        return found

    @event("cost:model")
    class ModelEvent(pydantic.BaseModel):
        id: str
        title: str
        price: float
        user_id: str
        version: int

    return {**found, "pydantic model": ModelEvent}


@dataclass(frozen=True)
class Cost:
    """Microseconds per event."""

    encode_us: float
    decode_us: float

    @property
    def both_us(self) -> float:
        """Encoding and decoding together."""
        return self.encode_us + self.decode_us


def measure(cls: type[Any], calls: int = _CALLS) -> Cost:
    """Encode and decode one event of a class again and again, as a publisher and a listener do."""
    kind = event_type(cls)
    made = cls(**FIELDS)
    data = kind.encode(made)
    assert kind.decode(data) == made, "it is not measured how fast something wrong is done"
    return Cost(_us(lambda: kind.encode(made), calls), _us(lambda: kind.decode(data), calls))


def _us(call: Callable[[], object], calls: int) -> float:
    return timeit.timeit(call, number=calls) / calls * 1e6
