"""Typed events without asyncio, over a bus of `durabus.sync`: for scripts, Django and Flask."""

import inspect
import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar, cast

from durabus import client
from durabus.client import PossiblyDuplicatedError, Publication, StartPosition, UsageError
from durabus.events.codecs import DecodeError
from durabus.events.dead_letters import (
    DeadLetter,
    DeadLetterPlace,
    DeadLetterReason,
    Drop,
    ToChannel,
    ToFunction,
    check_place,
    dead_letter_channel,
)
from durabus.events.event import EventType
from durabus.events.typed import Typed
from durabus.sync import Bus, Message, Subscription

__all__ = ["Listener", "Publisher"]

E = TypeVar("E")

_log = logging.getLogger("durabus.events")


class Publisher(Typed[E]):
    """Publishes events of one class to their subject: `Publisher[TicketCreated](bus)`; from any thread."""

    def __init__(self, bus: Bus, event_class: type[E] | None = None, *, channel: str = "") -> None:
        """`channel` is another one than the subject of the events; raises EventDefinitionError."""
        self.event_type: EventType[E] = self._find_type(event_class)
        self.channel = channel or self.event_type.subject
        self._bus = bus

    def publish(self, event: E) -> Publication:
        """Publish an event, and wait until the server has stored it; raises EncodeError, and what `Bus.publish` raises."""
        return self._bus.publish(self.channel, self.event_type.encode(event))

    def publish_all(self, events: Iterable[E]) -> int:
        """Publish events as fast as the window of the bus allows; how many they were. Returns when all are stored.

        Raises FlushError when some are not, and EncodeError at once, where those before it may be on their way.
        """
        return self._bus.publish_all((self.channel, self.event_type.encode(event)) for event in events)


class Listener(Typed[E]):
    """Listens to events of one class: `for event, message in Listener[TicketCreated](bus, durable_name="orders")`.

    An event is acknowledged when the loop asks for the next one; one whose work failed, or in the middle of which the loop was
    left, is delivered again. What does not decode goes to `dead_letters`, and is acknowledged when it is there; a function
    is called in the thread of the loop. Several threads may loop over one listener.
    """

    def __init__(
        self,
        bus: Bus,
        event_class: type[E] | None = None,
        *,
        queue_group: str = "",
        durable_name: str = "",
        ack_wait_s: int = 30,
        max_in_flight: int = 1024,
        start: StartPosition | None = None,
        manual_ack: bool = False,
        channel: str = "",
        dead_letters: DeadLetterPlace | None = None,
    ) -> None:
        """Begin to listen; the options are those of `durabus.events.Listener`. Raises what its `listen` raises."""
        self.event_type: EventType[E] = self._find_type(event_class)
        self.channel = channel or self.event_type.subject
        self.manual_ack = manual_ack
        self.dead_letters = dead_letters or ToChannel()
        check_place(self.dead_letters, self.event_type, self.channel)
        self._bus = bus
        self.subscription: Subscription = bus.subscribe(
            self.channel,
            queue_group=queue_group,
            durable_name=durable_name,
            ack_wait_s=ack_wait_s,
            max_in_flight=max_in_flight,
            start=start,
            manual_ack=manual_ack,
        )

    def __iter__(self) -> Iterator[tuple[E, Message]]:
        while (message := self.subscription.take()) is not None:
            event = self._decode(message)
            if event is None:
                continue
            is_done = False
            try:
                yield event, message
                is_done = not self.manual_ack
            finally:
                if is_done:
                    message.ack()
                else:
                    message.let_go()

    def _decode(self, message: Message) -> E | None:
        """The event in a message; None when it has none, and was put away or left for redelivery."""
        try:
            return self.event_type.decode(message.data)
        except DecodeError as error:
            # To a function, this message is like that of a bus with asyncio: it has the same names.
            same = cast("client.Message", message)
            letter = DeadLetter(self.event_type, same, DeadLetterReason.UNDECODABLE, error)
        try:
            goal = self._bring(letter)
        except Exception:  # noqa: BLE001 - of the bus, or of the program's function
            _log.exception("%s; its place for dead letters failed: left for redelivery", letter)
            message.let_go()
        else:
            _log.error("%s; %s", letter, goal)
            message.ack()
        return None

    def _bring(self, letter: DeadLetter) -> str:
        """Put a dead letter where it belongs, and say where that is; raises what stands against it."""
        match self.dead_letters:
            case ToChannel() as place:
                channel = dead_letter_channel(place, self.event_type)
                try:
                    self._bus.publish(channel, letter.message.data)
                except PossiblyDuplicatedError:  # it is there
                    return f"stored in {channel}, perhaps twice"
                return f"stored in {channel}"
            case ToFunction(function):
                result = function(letter)
                if inspect.iscoroutine(result):
                    result.close()
                    raise UsageError("a listener without asyncio calls plain functions only")
                return "given to a function of the program"
            case Drop():
                return f"dropped, {len(letter.message.data)} bytes"

    def close(self) -> None:
        """End it; a durable keeps its position on the server. Loops end. See `durabus.sync.Subscription.close`."""
        self.subscription.close()

    def unsubscribe(self) -> None:
        """End it, and remove the durable with its position; raises what `close` raises."""
        self.subscription.unsubscribe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
