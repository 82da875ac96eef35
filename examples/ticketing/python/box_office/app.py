"""The HTTP side of the box office: tickets are made, changed and shown.

A change and the event that tells of it are one transaction; the relay publishes the event afterwards. So the answer comes
when the database has both, whatever becomes of the bus or of this process.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm.exc import StaleDataError
from ticketing_events import TicketCreated

import durabus
from durabus.outbox import Relay

from ..settings import Settings
from .database import Base, Ticket, outbox
from .listeners import order_listeners, tell_update

LEASE_S = 2.0


class NewTicket(BaseModel):
    """What one says to sell a ticket."""

    title: str = Field(min_length=1)
    price: float = Field(ge=0)
    user_id: str = Field(alias="userId")


class NewPrice(BaseModel):
    """What one says to change a ticket."""

    price: float = Field(ge=0)


class TicketView(BaseModel):
    """A ticket as it is shown."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)
    id: str
    version: int
    title: str
    price: float
    user_id: str
    order_id: str | None


async def a_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(a_session)]


def create_app(settings: Settings) -> FastAPI:
    """The app, which connects to bus and database while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(settings.database_url)
        app.state.sessions = sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        connecting = durabus.connect(settings.bus_url, cluster_id=settings.cluster_id, client_id=settings.client_id)
        async with connecting as bus, Relay(outbox, engine, bus, lease_s=LEASE_S):
            created, cancelled = order_listeners(bus, sessions, settings.ack_wait_s)
            async with created, cancelled:
                yield
        await engine.dispose()

    app = FastAPI(title="Box office", lifespan=lifespan)
    app.post("/tickets", status_code=201)(create_ticket)
    app.put("/tickets/{ticket_id}")(update_ticket)
    app.get("/tickets/{ticket_id}")(show_ticket)
    app.get("/tickets")(show_tickets)
    return app


async def create_ticket(new: NewTicket, session: Session) -> TicketView:
    """A ticket is on sale."""
    async with session.begin():
        ticket = Ticket(id=secrets.token_hex(4), title=new.title, price=new.price, user_id=new.user_id, order_id=None)
        session.add(ticket)
        await session.flush()  # gives the ticket its first version
        created = TicketCreated(
            id=ticket.id,
            version=ticket.version,
            title=ticket.title,
            price=ticket.price,
            user_id=ticket.user_id,
            order_id=None,
        )
        await outbox.add(session, created, entity=ticket.id)
    return TicketView.model_validate(ticket)


async def update_ticket(ticket_id: str, new: NewPrice, session: Session) -> TicketView:
    """It has another price."""
    try:
        async with session.begin():
            ticket = await _find(session, ticket_id)
            if ticket.order_id is not None:
                raise HTTPException(409, "the ticket is reserved")
            ticket.price = new.price
            await tell_update(session, ticket)
    except StaleDataError:
        raise HTTPException(409, "somebody else has just changed the ticket") from None
    return TicketView.model_validate(ticket)


async def show_ticket(ticket_id: str, session: Session) -> TicketView:
    """One ticket."""
    return TicketView.model_validate(await _find(session, ticket_id))


async def show_tickets(session: Session) -> list[TicketView]:
    """All of them."""
    tickets = await session.scalars(select(Ticket).order_by(Ticket.title, Ticket.id))
    return [TicketView.model_validate(ticket) for ticket in tickets]


async def _find(session: AsyncSession, ticket_id: str) -> Ticket:
    ticket = await session.get(Ticket, ticket_id)
    if ticket is None:
        raise HTTPException(404, "there is no such ticket")
    return ticket
