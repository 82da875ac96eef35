"""What sales hears, and how it remembers how far it got.

Its position in each channel stands in its own database and is written in the transaction of the change. So it needs no
durable name on the bus, and no switch for starting anew: who deletes the database has it read from the first event.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from ticketing_events import AdmissionUsed, OrderCancelled, OrderCreated, PaymentCreated

from durabus.client import Bus, Message, StartPosition
from durabus.events import Listener, event_type

from .database import Cancellation, Order, Payment, Position, Visit

E = TypeVar("E")


# What an event does to the tables. It may come twice, which changes nothing.


async def ordered(session: AsyncSession, order: OrderCreated) -> None:
    """Somebody wants a ticket."""
    await session.merge(Order(id=order.id, ticket_id=order.ticket.id, title=order.ticket.title))


async def cancelled(session: AsyncSession, order: OrderCancelled) -> None:
    """And has not paid in time."""
    await session.merge(Cancellation(order_id=order.id))


async def paid(session: AsyncSession, payment: PaymentCreated) -> None:
    """Or has."""
    await session.merge(Payment(order_id=payment.order_id, price=payment.price))


async def used(session: AsyncSession, admission: AdmissionUsed) -> None:
    """And was there."""
    await session.merge(Visit(order_id=admission.order_id, door=admission.door))


async def sales_listeners(bus: Bus, sessions: async_sessionmaker[AsyncSession]) -> list[Listener[Any]]:
    """Listeners to all that counts, from where the database is; they do not listen yet."""

    async def follow(event_class: type[E], apply: Callable[[AsyncSession, E], Awaitable[None]]) -> Listener[E]:
        channel = event_type(event_class).subject

        async def handle(event: E, message: Message) -> None:
            async with sessions.begin() as session:
                await apply(session, event)
                await session.merge(Position(channel=channel, sequence=message.sequence))

        async with sessions() as session:
            position = await session.get(Position, channel)
        start = StartPosition.at_sequence(position.sequence + 1) if position else StartPosition.all_available()
        # One at a time: the next event comes when the position of this one is written.
        return Listener(bus, handle, event_class=event_class, start=start, max_in_flight=1)

    return [
        await follow(OrderCreated, ordered),
        await follow(OrderCancelled, cancelled),
        await follow(PaymentCreated, paid),
        await follow(AdmissionUsed, used),
    ]
