"""The same event as each kind of class that can be one, and channels that nobody has used."""

import dataclasses

import pydantic

from durabus.events import Event, event, event_id, new_event_id
from tests.client.harness import new_channel

__all__ = ["Body", "Kind", "Model", "TicketCreated", "make", "with_subject"]


@event("ticket:created", version=2)
class TicketCreated(Event, rename="camel"):
    event_id: str = event_id()
    id: str
    version: int = 1
    price: float
    user_id: str = "u"


@event("ticket:created", version=2)
@dataclasses.dataclass(frozen=True)
class Body:
    id: str
    price: float
    version: int = 1
    event_id: str = dataclasses.field(default_factory=new_event_id)


@event("ticket:created", version=2)
class Model(pydantic.BaseModel):
    id: str
    price: float
    version: int = 1
    event_id: str = pydantic.Field(default_factory=new_event_id, alias="eventId")


Kind = TicketCreated | Body | Model


def make(kind: type[Kind], number: int = 1) -> Kind:
    """An event of a kind."""
    return kind(id=f"t{number}", price=number * 1.5)


def with_subject(cls: type[Event], identity: str | None = None) -> str:
    """Make a class an event with a subject of its own; the subject."""
    subject = new_channel()
    event(subject, identity=identity)(cls)
    return subject
