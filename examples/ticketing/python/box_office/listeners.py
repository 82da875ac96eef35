"""What the box office hears: an order reserves its ticket, a cancelled order sets it free.

Both handlers run in the transaction of the inbox: the ticket, the event that tells of it, the version of the order and the
fact that this was done are written together, or not at all.
"""

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from ticketing_events import OrderCancelled, OrderCreated, TicketUpdated

from durabus.client import Bus, StartPosition
from durabus.events import Listener, VersionOrder

from .database import FollowedOrder, Ticket, inbox, outbox

GROUP = "box-office"


def order_listeners(
    bus: Bus, sessions: async_sessionmaker[AsyncSession], ack_wait_s: int
) -> tuple[Listener[OrderCreated], Listener[OrderCancelled]]:
    """Listeners to orders, which do not listen yet."""

    @inbox.handler(sessions)
    async def reserve(session: AsyncSession, order: OrderCreated) -> None:
        await _follow(session, order)
        ticket = await session.get(Ticket, order.ticket.id)  # None: it is of another office
        if ticket is not None and ticket.order_id is None:
            ticket.order_id = order.id
            await tell_update(session, ticket)

    @inbox.handler(sessions)
    async def set_free(session: AsyncSession, order: OrderCancelled) -> None:
        await _follow(session, order)
        ticket = await session.get(Ticket, order.ticket.id)
        if ticket is not None and ticket.order_id == order.id:
            ticket.order_id = None
            await tell_update(session, ticket)

    async def followed(order_id: str) -> int | None:
        async with sessions() as session:
            order = await session.get(FollowedOrder, order_id)
            return order.version if order else None

    # A cancellation may overtake its order, as they are in two channels: it waits then.
    order = VersionOrder(entity="id", version="version", position=followed, first_version=1)
    start = StartPosition.all_available()
    return (
        Listener[OrderCreated](
            bus, reserve, queue_group=GROUP, durable_name=GROUP, ack_wait_s=ack_wait_s, start=start, order=order
        ),
        Listener[OrderCancelled](
            bus, set_free, queue_group=GROUP, durable_name=GROUP, ack_wait_s=ack_wait_s, start=start, order=order
        ),
    )


async def _follow(session: AsyncSession, order: OrderCreated | OrderCancelled) -> None:
    await session.merge(FollowedOrder(id=order.id, version=order.version))


async def tell_update(session: AsyncSession, ticket: Ticket) -> None:
    """Write the change of a ticket, and the event that tells of it; raises StaleDataError if another was quicker."""
    await session.flush()  # gives the ticket its new version
    updated = TicketUpdated(
        id=ticket.id,
        version=ticket.version,
        title=ticket.title,
        price=ticket.price,
        user_id=ticket.user_id,
        order_id=ticket.order_id,
    )
    await outbox.add(session, updated, entity=ticket.id)
