"""Listen to events of one class: `Listener[TicketCreated]`, as a class, with a function, or as a loop."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from durabus.client import Bus, ClosedError, Message, StartPosition, Subscription, UsageError
from durabus.client.subscriber import is_cancelled_from_outside
from durabus.client.subscription import MessageLoop
from durabus.events.dead_letters import DeadLetterPlace, ToChannel, check_place
from durabus.events.event import EventType
from durabus.events.ordering import VersionOrder
from durabus.events.reception import Reception
from durabus.events.typed import Typed

__all__ = ["EventLoop", "Listener"]

E = TypeVar("E")


class Listener(Typed[E]):
    """Listens to events of one class.

    As a class: derive from `Listener[TicketCreated]`, say the options as attributes, and write `on_event`. With a function:
    `Listener[TicketCreated](bus, handler, queue_group="orders")`. As a loop: `async for event, message in Listener[TicketCreated](bus)`.

    An event is acknowledged when the handler returns, or the loop asks for the next one. When the handler fails, that is logged, and
    the event is left for redelivery. What does not decode goes to `dead_letters`, and is acknowledged when it is there.
    """

    queue_group: str = ""
    """Each event goes to one member of the group."""
    durable_name: str = ""
    """The server keeps the position under this name: with the client ID, or the group's name."""
    ack_wait_s: int = 30
    """After so many seconds without an acknowledgement an event is delivered again."""
    max_in_flight: int = 1024
    """So many events the server sends without an acknowledgement."""
    start: StartPosition = StartPosition.new_only()
    """Where a subscription begins that is new."""
    concurrency: int = 1
    """So many events are worked on at a time; above 1 they are handled out of their order."""
    manual_ack: bool = False
    """Events that the handler returned from are acknowledged by `message.ack()` alone."""
    channel: str = ""
    """Another channel than the subject of the events."""
    dead_letters: DeadLetterPlace = ToChannel()
    """Where that goes which does not decode, was rejected, failed or came early too often."""
    failures_max: int = 0
    """After so many failures in this process an event is a dead letter; 0: it is delivered again for ever."""
    order: VersionOrder | None = None
    """The events of each entity in the order of its versions."""

    def __init__(
        self,
        bus: Bus,
        handler: Callable[[E, Message], Awaitable[None] | None] | None = None,
        *,
        event_class: type[E] | None = None,
        queue_group: str | None = None,
        durable_name: str | None = None,
        ack_wait_s: int | None = None,
        max_in_flight: int | None = None,
        start: StartPosition | None = None,
        concurrency: int | None = None,
        manual_ack: bool | None = None,
        channel: str | None = None,
        dead_letters: DeadLetterPlace | None = None,
        failures_max: int | None = None,
        order: VersionOrder | None = None,
    ) -> None:
        """Not listening yet: `listen` begins. What is not given is as the class says it; raises EventDefinitionError, UsageError."""
        self.event_type: EventType[E] = self._find_type(event_class)
        self.queue_group = self.queue_group if queue_group is None else queue_group
        self.durable_name = self.durable_name if durable_name is None else durable_name
        self.ack_wait_s = self.ack_wait_s if ack_wait_s is None else ack_wait_s
        self.max_in_flight = self.max_in_flight if max_in_flight is None else max_in_flight
        self.start = start or self.start
        self.concurrency = self.concurrency if concurrency is None else concurrency
        self.manual_ack = self.manual_ack if manual_ack is None else manual_ack
        self.channel = (self.channel if channel is None else channel) or self.event_type.subject
        self.dead_letters = dead_letters or self.dead_letters
        self.failures_max = self.failures_max if failures_max is None else failures_max
        self.order = order or self.order
        self._check()
        self._bus = bus
        self._handler = handler
        self._subscription: Subscription | None = None
        self._reception = Reception(bus, self.event_type, self.dead_letters, self.failures_max, self.order)

    def _check(self) -> None:
        check_place(self.dead_letters, self.event_type, self.channel)
        if self.failures_max < 0:
            raise UsageError(f"failures_max is a number from 0 up, not {self.failures_max}")
        if self.order is not None:
            self.order.check(self.event_type)

    def on_event(self, event: E, message: Message) -> Awaitable[None] | None:
        """Deal with an event; a coroutine function or a plain one. Written by the class that derives from this."""
        raise NotImplementedError  # pragma: no cover - abstract

    @property
    def is_loop(self) -> bool:
        """Whether its events are for loops: there is neither a handler nor an `on_event`."""
        return self._handler is None and type(self).on_event is Listener.on_event

    @property
    def subscription(self) -> Subscription:
        """The subscription; raises ClosedError before `listen`."""
        if self._subscription is None:
            raise ClosedError(f"the listener to {self.channel!r} does not listen yet; await listen() first")
        return self._subscription

    async def listen(self) -> Self:
        """Begin; returns when the server has accepted it. Twice is once.

        Raises UsageError, SubscriptionRefusedError, DurableInUseError, RequestTimeoutError, ClosedError, ReplacedError.
        """
        if self._subscription is None:
            # A handler's messages are acknowledged here, one by one; a loop's by asking for the next.
            self._subscription = await self._bus.subscribe(
                self.channel,
                None if self.is_loop else self._work,
                queue_group=self.queue_group,
                durable_name=self.durable_name,
                ack_wait_s=self.ack_wait_s,
                max_in_flight=self.max_in_flight,
                start=self.start,
                manual_ack=self.manual_ack or not self.is_loop,
                concurrency=self.concurrency,
            )
        return self

    async def _work(self, message: Message) -> None:
        """Deal with one message; what is not acknowledged at the end is left for redelivery."""
        event = self._reception.take_at_once(message)
        if event is None:
            taken = await self._reception.take(message, self._put_back)
            event = taken.event
            if event is None:
                if taken.is_done:
                    message.ack()
                return
        try:
            result = self.on_event(event, message) if self._handler is None else self._handler(event, message)
            if result is not None:
                await result
        except Exception as error:  # noqa: BLE001 - it is the program's
            if await self._reception.fail(event, message, error):
                message.ack()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError) or is_cancelled_from_outside():
                self._reception.abandon(event)
                raise
            failure = RuntimeError("something that the handler waited for was cancelled")
            failure.__cause__ = error
            if await self._reception.fail(event, message, failure):
                message.ack()
        else:
            self._reception.finish(event, message)
            if not self.manual_ack:
                message.ack()

    def _put_back(self, message: Message) -> None:
        if self._subscription is not None:
            self._subscription.put_back(message)

    def __aiter__(self) -> "EventLoop[E]":
        if not self.is_loop:
            raise UsageError("a listener with a handler cannot be looped over as well; make another one for that")
        return EventLoop(self, self._reception)

    async def drain(self) -> None:
        """Take no more, wait until what came is dealt with, acknowledge, and close; see `Subscription.drain`."""
        await self.subscription.drain()

    async def close(self) -> None:
        """End it; a durable keeps its position on the server. Handlers at work are cancelled. See `Subscription.close`."""
        if self._subscription is not None:
            await self._subscription.close()

    async def unsubscribe(self) -> None:
        """End it, and remove the durable with its position; see `Subscription.unsubscribe`."""
        await self.subscription.unsubscribe()

    async def __aenter__(self) -> Self:
        return await self.listen()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class EventLoop(Generic[E]):
    """One `async for` over a listener: pairs of an event and its message; several loops share them."""

    def __init__(self, listener: Listener[E], reception: Reception[E]) -> None:
        """Made by `async for`; it begins to listen when the first event is asked for."""
        self._listener = listener
        self._reception = reception
        self._at_hand: tuple[E, Message] | None = None
        self._messages: MessageLoop | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[E, Message]:
        """The next event, with its message; the one before is acknowledged."""
        at_hand, self._at_hand = self._at_hand, None
        if at_hand is not None:
            self._reception.finish(*at_hand)
        if self._messages is None:
            await self._listener.listen()
            self._messages = aiter(self._listener.subscription)
        while True:
            message = await self._messages.__anext__()
            event = self._reception.take_at_once(message)
            if event is None:
                event = await self._take(self._messages, message)
            if event is not None:
                self._at_hand = (event, message)
                return self._at_hand

    async def _take(self, messages: MessageLoop, message: Message) -> E | None:
        """The event in a message; None when the next one is to be asked for."""
        try:
            taken = await self._reception.take(message, self._listener.subscription.put_back)
        except BaseException:
            messages.let_go()  # told to stop, in the middle of it
            raise
        if taken.event is None:
            if not taken.is_done:
                messages.let_go()
            elif self._listener.manual_ack:
                message.ack()
        return taken.event

    def __del__(self) -> None:
        if self._at_hand is not None:
            self._reception.abandon(self._at_hand[0])  # the loop was left in the middle
            self._at_hand = None
