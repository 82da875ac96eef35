"""What a program holds of a subscription: `async for message in subscription`, and the ways to end it."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from durabus.client.errors import ClosedError
from durabus.client.intake import Message
from durabus.client.options import SubscriptionOptions
from durabus.client.subscriber import Loop, Subscriber

__all__ = ["MessageLoop", "Subscription"]


class Subscription:
    """A subscription that `Bus.subscribe` made. It outlives lost connections and restarts of the server.

    `async for message in subscription` gives its messages, one after the other; several loops share them. Without
    `manual_ack` a message is acknowledged when the loop asks for the next one: one whose work failed, or in the middle
    of which the loop was left, is delivered again. As a context manager it is closed at the end.
    """

    def __init__(self, subscriber: Subscriber, leave: Callable[[Subscriber, bool], Awaitable[None]]) -> None:
        """Made by `Bus.subscribe`; `leave` closes or unsubscribes."""
        self._subscriber = subscriber
        self._leave = leave

    @property
    def channel(self) -> str:
        """The channel that it listens to."""
        return self._subscriber.channel

    @property
    def options(self) -> SubscriptionOptions:
        """What it was asked for with."""
        return self._subscriber.options

    @property
    def last_sequence(self) -> int:
        """The highest sequence that came; 0 when none did."""
        return int(self._subscriber.intake.last_sequence)

    @property
    def waiting_count(self) -> int:
        """How many messages have come and wait to be taken."""
        return len(self._subscriber.intake.waiting)

    @property
    def is_over(self) -> bool:
        """Whether it ended: closed by the program, refused in a new session, or with the bus."""
        return self._subscriber.is_over

    def __aiter__(self) -> "MessageLoop":
        return MessageLoop(self._subscriber)

    async def next(self) -> Message:
        """The next message, which is the program's to acknowledge, with `manual_ack` or without.

        Raises ClosedError when there will be no more, or the error that ended the subscription.
        """
        message = await self._subscriber.take()
        if message is None:
            raise ClosedError(f"the subscription to {self.channel!r} is closed")
        message.let_go()
        return message

    async def next_batch(self, count_max: int) -> list[Message]:
        """The next message, and up to `count_max` in all of those that are there already; empty when there will be no more.

        Each is the program's: to `ack()` or to `let_go()`. Copies of it are held back until then. Raises the error that
        ended the subscription.
        """
        message = await self._subscriber.take()
        if message is None:
            return []
        batch = [message]
        waiting = self._subscriber.intake.waiting
        while waiting and len(batch) < count_max:
            batch.append(waiting.popleft())
        return batch

    def put_back(self, message: Message) -> None:
        """Give a message that was taken, and is not acknowledged, once more: as the next one, to whoever takes that.

        For a program that could not deal with it yet, and can now. Nothing happens when the subscription is over, or
        begun in a new session: then the server delivers it again.
        """
        self._subscriber.put_back(message)

    async def drain(self) -> None:
        """Take no more from the server, wait until what came is dealt with, acknowledge, and close.

        Handlers get what was waiting; loops end when they are done with the message that they are at, and what they had
        not taken is left for redelivery. Raises what `close` raises.
        """
        self._subscriber.begin_drain()
        await self._subscriber.wait_handled(asyncio.current_task())
        await self._leave(self._subscriber, False)

    async def close(self) -> None:
        """End it; a durable keeps its position on the server. Handlers at work are cancelled.

        Raises SubscriptionRefusedError or RequestTimeoutError; it is closed here all the same.
        """
        await self._leave(self._subscriber, False)

    async def unsubscribe(self) -> None:
        """End it, and remove the durable with its position (that of a group when its last member does this).

        Raises SubscriptionRefusedError or RequestTimeoutError; it is closed here all the same.
        """
        await self._leave(self._subscriber, True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class MessageLoop(Loop):
    """One loop over a subscription: acknowledges what it gave when it is asked for the next."""

    def __init__(self, subscriber: Subscriber) -> None:
        """Made by `async for`."""
        super().__init__()
        self._subscriber = subscriber
        self._is_manual = subscriber.options.manual_ack
        self._waiting = subscriber.intake.waiting
        self._in_hand: Message | None = None

    def __aiter__(self) -> "MessageLoop":
        return self

    async def __anext__(self) -> Message:
        """The next message; the one before is acknowledged."""
        in_hand = self._in_hand
        if in_hand is not None:
            self._in_hand = None
            in_hand.ack()
        elif self.task is None:
            self.task = asyncio.current_task()
            self._subscriber.loops.add(self)
        if self._waiting:
            message: Message | None = self._waiting.popleft()
        else:
            self._subscriber.note_idle()
            message = await self._subscriber.take()
        if message is None:
            raise StopAsyncIteration
        if self._is_manual:
            message.let_go()
        else:
            self._in_hand = message
        return message

    def let_go(self) -> None:
        """Leave the message that the loop is at for redelivery: asking for the next one does not acknowledge it."""
        if self._in_hand is not None:
            self._in_hand.let_go()
            self._in_hand = None

    def is_busy(self) -> bool:
        """Whether its program is at work on a message that it has not acknowledged."""
        return self._in_hand is not None

    def __del__(self) -> None:
        if self._in_hand is not None:
            self._in_hand.let_go()  # the loop was left in the middle: what comes again is news
            self._in_hand = None
            self._subscriber.note_idle()
