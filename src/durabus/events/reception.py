"""What a listener does with each message, whether a handler or a loop works on it: decode, order, give up."""

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from durabus.client import Bus, Message, PossiblyDuplicatedError
from durabus.events.codecs import DecodeError
from durabus.events.dead_letters import (
    DeadLetter,
    DeadLetterPlace,
    DeadLetterReason,
    Drop,
    RejectedError,
    ToChannel,
    ToFunction,
    dead_letter_channel,
)
from durabus.events.event import EventType
from durabus.events.ordering import EarlyEventError, Standing, VersionOrder

__all__ = ["Reception", "Taken"]

E = TypeVar("E")

_FAILING_MAX: Final = 10_000
"""Of how many messages it is remembered how often they failed."""
_log = logging.getLogger("durabus.events")


@dataclass(frozen=True, slots=True)
class Taken(Generic[E]):
    """What became of a message: there is an `event` to work on; or there is none, and it `is_done` or left for redelivery."""

    event: E | None
    is_done: bool = False


class Reception(Generic[E]):
    """The messages of one listener. It acknowledges nothing itself: it says what is done."""

    def __init__(
        self,
        bus: Bus,
        event_type: EventType[E],
        dead_letters: DeadLetterPlace,
        failures_max: int,
        order: VersionOrder | None,
    ) -> None:
        """`failures_max` is how often an event may fail before it is given up; 0: as often as it likes."""
        self._bus = bus
        self._event_type = event_type
        self._dead_letters = dead_letters
        self._failures_max = failures_max
        self._order = order
        self._failures: OrderedDict[tuple[int, int], int] = OrderedDict()  # by sequence and time

    def take_at_once(self, message: Message) -> E | None:
        """The event in a message, where nothing has to be waited for; None: `take` it. For most, and a third of the time."""
        if self._order is not None:
            return None
        try:
            return self._event_type.decode(message.data)
        except DecodeError:
            return None

    async def take(self, message: Message, put_back: Callable[[Message], None]) -> Taken[E]:
        """The event in a message, if there is something to be done with it now; `put_back` has it taken once more."""
        try:
            event = self._event_type.decode(message.data)
        except DecodeError as error:
            return Taken(None, await self._give_up(message, DeadLetterReason.UNDECODABLE, error))
        order = self._order
        if order is None:
            return Taken(event)
        try:
            standing = await order.begin(event, message.channel, message.sequence)
        except Exception as error:  # noqa: BLE001 - it is the program's
            return Taken(None, await self.fail(None, message, error))
        if standing is Standing.NEXT:
            return Taken(event)
        if standing is Standing.STALE:
            _log.info("%s, message %d: stale, its entity is further on", message.channel, message.sequence)
            return Taken(None, is_done=True)
        deliveries = message.redelivery_count + 1
        if standing is Standing.EARLY and 0 < order.early_deliveries_max <= deliveries:
            early = EarlyEventError(f"delivered {deliveries} times, and the versions before it were not dealt with")
            order.drop(event, message.channel, message.sequence)
            return Taken(None, await self._give_up(message, DeadLetterReason.EARLY, early))
        self._hold(order, event, standing, message, put_back)
        return Taken(None)

    def _hold(
        self, order: VersionOrder, event: E, standing: Standing, message: Message, put_back: Callable[[Message], None]
    ) -> None:
        """Have a message handed out again when that may change something."""
        channel, sequence = message.channel, message.sequence
        is_new = order.hold(event, standing, channel, sequence, lambda: put_back(message))
        if standing is Standing.EARLY:
            if is_new:
                _log.info("%s, message %d: early, waits for the version before", channel, sequence)
            recheck = order.recheck_later(event, channel, sequence)
            if recheck is not None:
                asyncio.get_running_loop().call_later(order.recheck_s, recheck)

    def finish(self, event: E, message: Message) -> None:
        """The event was dealt with."""
        if self._failures:
            self._failures.pop((message.sequence, message.timestamp_ns), None)
        if self._order is not None:
            self._order.finish(event)

    def abandon(self, event: E) -> None:
        """Work on the event ended in the middle: it is left for redelivery."""
        if self._order is not None:
            self._order.abandon(event)

    async def fail(self, event: E | None, message: Message, error: Exception) -> bool:
        """Work on a message failed. Whether it is done all the same, as it was given up; else it is left for redelivery."""
        try:
            if isinstance(error, RejectedError):
                return await self._give_up(message, DeadLetterReason.REJECTED, error)
            key = (message.sequence, message.timestamp_ns)
            count = self._failures.get(key, 0) + 1
            if 0 < self._failures_max <= count and await self._give_up(message, DeadLetterReason.FAILED, error):
                self._failures.pop(key, None)
                return True
            self._failures[key] = count
            if len(self._failures) > _FAILING_MAX:
                self._failures.popitem(last=False)
            _log.error(
                "%s failed for %s, message %d: left for redelivery",
                self._event_type.name, message.channel, message.sequence, exc_info=error,
            )  # fmt: skip
            return False
        finally:
            if event is not None:
                self.abandon(event)

    async def _give_up(self, message: Message, reason: DeadLetterReason, error: Exception) -> bool:
        """Bring a message to its place; whether it is there."""
        letter = DeadLetter(self._event_type, message, reason, error)
        try:
            goal = await self._bring(letter)
        except Exception as failure:  # noqa: BLE001 - of the bus, or of the program's function
            _log.error("%s; its place for dead letters failed: left for redelivery", letter, exc_info=failure)
            return False
        trace = None if reason in (DeadLetterReason.UNDECODABLE, DeadLetterReason.EARLY) else error
        _log.error("%s; %s", letter, goal, exc_info=trace)
        return True

    async def _bring(self, letter: DeadLetter) -> str:
        """Put a dead letter where it belongs, and say where that is; raises what stands against it."""
        match self._dead_letters:
            case ToChannel() as place:
                channel = dead_letter_channel(place, self._event_type)
                try:
                    await self._bus.publish(channel, letter.message.data)
                except PossiblyDuplicatedError:  # it is there
                    return f"stored in {channel}, perhaps twice"
                return f"stored in {channel}"
            case ToFunction(function):
                result = function(letter)
                if inspect.isawaitable(result):
                    await result
                return "given to a function of the program"
            case Drop():
                return f"dropped, {len(letter.message.data)} bytes"
