"""Publish events of one class: `Publisher[TicketCreated](bus)`."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TypeVar

from durabus.client import Bus, Publication
from durabus.events.event import EventType
from durabus.events.typed import Typed

__all__ = ["Publisher"]

E = TypeVar("E")


class Publisher(Typed[E]):
    """Publishes events of one class to their subject.

    `Publisher[TicketCreated](bus)`, `Publisher(bus, TicketCreated)`, or a class of its own:
    `class TicketCreatedPublisher(Publisher[TicketCreated])`.
    """

    def __init__(self, bus: Bus, event_class: type[E] | None = None, *, channel: str = "") -> None:
        """`channel` is another one than the subject of the events; raises EventDefinitionError."""
        self.event_type: EventType[E] = self._find_type(event_class)
        self.channel = channel or self.event_type.subject
        self._bus = bus

    async def publish(self, event: E) -> Publication:
        """Publish an event, and wait until the server has stored it; raises EncodeError, and what `Bus.publish` raises."""
        return await self._bus.publish(self.channel, self.event_type.encode(event))

    def publish_nowait(self, event: E) -> Publication:
        """Begin to publish an event; what becomes of it is in what is returned, and its error in the next `Bus.flush`.

        Raises EncodeError, and what `Bus.publish_nowait` raises.
        """
        return self._bus.publish_nowait(self.channel, self.event_type.encode(event))

    async def publish_all(self, events: Iterable[E] | AsyncIterable[E]) -> int:
        """Publish events as fast as the window of the bus allows; how many they were.

        Returns when all are stored. Raises FlushError, with the errors of those that are not, when the last is answered;
        EncodeError at once, where those before it are on their way.
        """
        if isinstance(events, AsyncIterable):
            return await self._bus.publish_all(self._encode_async(events))
        return await self._bus.publish_all(self._encode(events))

    def _encode(self, events: Iterable[E]) -> Iterator[tuple[str, bytes]]:
        channel, encode = self.channel, self.event_type.encode
        for event in events:
            yield channel, encode(event)

    async def _encode_async(self, events: AsyncIterable[E]) -> AsyncIterator[tuple[str, bytes]]:
        async for event in events:
            yield self.channel, self.event_type.encode(event)
