"""What a test asks of a bus about its events: what was published, to wait for more, and that there was nothing.

Every question is about a channel, by its name, or about a class of events (`durabus.events`), which are decoded.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, overload

from durabus.errors import DurabusError
from durabus.testing.running.history import History, StoredMessage
from durabus.testing.running.positions import Position
from durabus.testing.running.turns import Turns

__all__ = ["WAIT_S", "Watching"]

E = TypeVar("E")

WAIT_S: Final = 5.0
"""How long is waited for something, in seconds of real time, unless a test says otherwise."""
_SHOWN: Final = 20


class Watching:
    """The questions. What fails is an AssertionError that shows what there was instead."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._history = History()
        self._turns = Turns()
        self._undecoded: list[str] = []  # of the events that were asked for last

    async def settle(self) -> None:
        """Return when nothing is under way any more."""
        raise NotImplementedError  # pragma: no cover - abstract

    def subscriptions(self) -> list[Position]:
        """Who has a position on the bus."""
        raise NotImplementedError  # pragma: no cover - abstract

    # Events.

    @overload
    def events(self, what: type[E]) -> list[E]: ...
    @overload
    def events(self, what: str) -> list[StoredMessage]: ...
    def events(self, what: type[Any] | str) -> list[Any]:
        """What is stored now of a class of events, or in a channel, in the order of the sequences.

        Raises AssertionError for a payload that does not decode.
        """
        channel, decode = _question(what)
        return [decode(message) for message in self._history.stored(channel)]

    @overload
    async def published(
        self, what: type[E], count: int = 1, *, where: Callable[[E], bool] | None = None, timeout_s: float = WAIT_S
    ) -> list[E]: ...
    @overload
    async def published(
        self,
        what: str,
        count: int = 1,
        *,
        where: Callable[[StoredMessage], bool] | None = None,
        timeout_s: float = WAIT_S,
    ) -> list[StoredMessage]: ...
    async def published(
        self,
        what: type[Any] | str,
        count: int = 1,
        *,
        where: Callable[[Any], bool] | None = None,
        timeout_s: float = WAIT_S,
    ) -> list[Any]:
        """Wait until `count` events have been published (and `where` is true of them), and return all that were.

        What counts is everything that was stored since the bus was made, over restarts, or since `forget_events`. There may
        be more than `count`. Raises AssertionError after `timeout_s` seconds.
        """
        found: list[Any] = []

        def is_enough() -> bool:
            found[:] = self._matching(what, where)
            return len(found) >= count

        if not await self._turns.until(is_enough, timeout_s):
            raise AssertionError(
                f"{count} of {_named(what)}{_condition(where)} expected within {timeout_s:g} s, {len(found)} published\n"
                f"{self._published_text()}"
            )
        return found

    @overload
    async def wait_for(
        self, what: type[E], *, where: Callable[[E], bool] | None = None, timeout_s: float = WAIT_S
    ) -> E: ...
    @overload
    async def wait_for(
        self, what: str, *, where: Callable[[StoredMessage], bool] | None = None, timeout_s: float = WAIT_S
    ) -> StoredMessage: ...
    async def wait_for(
        self, what: type[Any] | str, *, where: Callable[[Any], bool] | None = None, timeout_s: float = WAIT_S
    ) -> Any:
        """The first event that was published (and that `where` is true of), as soon as it is; see `published`."""
        return (await self.published(what, where=where, timeout_s=timeout_s))[0]

    async def assert_nothing(
        self, what: type[Any] | str | None = None, *, where: Callable[[Any], bool] | None = None
    ) -> None:
        """Raise AssertionError if any such event was published, or with no `what` any event at all.

        What is on its way is waited for, but not what a service has still to do: `wait_idle` comes before.
        """
        await self.settle()
        found: Sequence[Any] = self._history.published if what is None else self._matching(what, where)
        if found:
            wanted = "nothing" if what is None else f"no {_named(what)}{_condition(where)}"
            raise AssertionError(f"{wanted} was to be published\n{self._published_text()}")

    def forget_events(self) -> None:
        """From here on only what is published later counts as published; what is stored stays stored."""
        self._history.forget()

    def _matching(self, what: type[Any] | str, where: Callable[[Any], bool] | None) -> list[Any]:
        """What was published; a payload that does not decode is none of that, and is told when something is missing."""
        channel, decode = _question(what)
        self._undecoded = []
        events: list[Any] = []
        for message in self._history.published:
            if message.channel == channel:
                try:
                    events.append(decode(message))
                except AssertionError as error:
                    self._undecoded.append(f"  {error}")
        return events if where is None else [event for event in events if where(event)]

    # Listeners.

    async def wait_idle(self, timeout_s: float = WAIT_S, *, ignore_offline: bool = False) -> None:
        """Wait until every subscription has acknowledged everything that was published.

        Durables that are offline count, unless `ignore_offline`. Raises AssertionError after `timeout_s` seconds.
        """

        def left() -> list[Position]:
            return [
                position
                for position in self.subscriptions()
                if not position.is_done and (position.is_online or not ignore_offline)
            ]

        await self.settle()
        if not await self._turns.until(lambda: not left(), timeout_s):
            lines = "\n".join(f"  {position}" for position in left())
            raise AssertionError(f"not everything was acknowledged within {timeout_s:g} s:\n{lines}{self._time_text()}")

    async def wait_subscribed(
        self, what: type[Any] | str, count: int = 1, *, queue_group: str | None = None, timeout_s: float = WAIT_S
    ) -> None:
        """Wait until there are `count` subscribers to a channel or a class of events (of `queue_group`, if given).

        Each member of a queue group is one. Raises AssertionError after `timeout_s` seconds.
        """
        channel, _ = _question(what)

        def found() -> int:
            return sum(
                len(position.client_ids)
                for position in self.subscriptions()
                if position.channel == channel and queue_group in (None, position.queue_group)
            )

        if not await self._turns.until(lambda: found() >= count, timeout_s):
            group = f" in queue group {queue_group}" if queue_group is not None else ""
            raise AssertionError(
                f"{count} subscribed to {_named(what)}{group} expected within {timeout_s:g} s, {found()} there\n"
                f"{self._subscriptions_text()}"
            )

    # What there is, for people.

    def _time_text(self) -> str:
        """What to know about the time when something has not happened."""
        return ""

    def _published_text(self) -> str:
        messages = self._history.published
        if not messages:
            return f"Nothing was published.\n{self._subscriptions_text()}"
        shown = [f"  {message}" for message in messages[-_SHOWN:]]
        left_out = len(messages) - len(shown)
        head = f"Published, the last {_SHOWN} of {len(messages)}:" if left_out else "Published:"
        return "\n".join([head, *shown, *self._undecoded, self._subscriptions_text()])

    def _subscriptions_text(self) -> str:
        found = self.subscriptions()
        if not found:
            return "Nobody is subscribed."
        return "\n".join(["Subscriptions:", *(f"  {position}" for position in found)])


def _question(what: type[Any] | str) -> tuple[str, Callable[[StoredMessage], Any]]:
    """The channel that is asked about, and what makes an answer of a message."""
    if isinstance(what, str):
        return what, lambda message: message
    from durabus.events.event import event_type

    kind = event_type(what)

    def decode(message: StoredMessage) -> object:
        try:
            return kind.decode(message.data)
        except DurabusError as error:
            raise AssertionError(f"{message} does not decode as {kind.name}: {error}") from error

    return kind.subject, decode


def _named(what: type[Any] | str) -> str:
    """What is asked about, for people."""
    if isinstance(what, str):
        return what
    channel, _ = _question(what)
    return f"{what.__name__} ({channel})"


def _condition(where: Callable[[Any], bool] | None) -> str:
    return "" if where is None else " with what was asked for"
