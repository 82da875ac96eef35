"""Events of every kind of class, for the tests of exporting."""

import datetime
import enum
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pydantic

from durabus.events import Event, event
from durabus.events.event import event_id


class Status(enum.Enum):
    OPEN = "open"
    SOLD = "sold"


class Seat(Event, rename="camel"):
    row_number: int
    taken_at: datetime.datetime | None = None


@event("ticket:created", version=2, identity=("ticket_id", "version"))
class TicketCreated(Event, rename="camel"):
    """A ticket is for sale."""

    ticket_id: uuid.UUID
    version: int
    price: Annotated[float, msgspec.Meta(ge=0, description="in euros")]
    status: Status
    seats: list[Seat]
    day: datetime.date
    picture: bytes
    moments: dict[str, list[datetime.datetime]] = {}  # noqa: RUF012 - msgspec copies it
    kind: Literal["child", "adult"] = "adult"
    note: str | None = None
    again: "TicketCreated | None" = None
    anything: Any = None


@event("ticket:sold")
class TicketSold(Event):
    seat: Seat
    event_id: str = event_id()


@event("order:created")
@dataclass(frozen=True)
class OrderCreated:
    order_id: str
    at: datetime.datetime
    numbers: list[int] = field(default_factory=list)


@event("payment:created", identity="payment_id")
class PaymentCreated(pydantic.BaseModel):
    """A payment."""

    payment_id: str = pydantic.Field(alias="paymentId", description="whose", default_factory=lambda: "x")
    at: datetime.datetime
    status: Status = Status.OPEN
    way: Literal["card", "cash"] = "card"
    parts: "list[PaymentCreated]" = []
