"""Listeners for tests of buses in tests."""

from collections.abc import Callable

from durabus.client import Bus, Message, StartPosition, Subscription
from durabus.events import Event, event

__all__ = ["OrderCreated", "TicketCreated", "Worker", "all_of"]


@event("ticket:created")
class TicketCreated(Event):
    """An event."""

    id: str
    price: float = 0.0


@event("order:created")
class OrderCreated(Event):
    """Another one."""

    id: str


class Worker:
    """Keeps what it got as (sequence, redelivery count); fails while `fails` says so."""

    def __init__(self, fails: Callable[["Worker"], bool] = lambda _: False) -> None:
        self.got: list[tuple[int, int]] = []
        self._fails = fails

    def __call__(self, message: Message) -> None:
        self.got.append((message.sequence, message.redelivery_count))
        if self._fails(self):
            raise ValueError("the test wants this")


async def all_of(bus: Bus, channel: str, worker: Worker, **options: int | str) -> Subscription:
    """A durable that gets everything."""
    return await bus.subscribe(
        channel,
        worker,
        durable_name=str(options.pop("durable_name", "d")),
        start=StartPosition.all_available(),
        **options,  # type: ignore[arg-type]
    )
