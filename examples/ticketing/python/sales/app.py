"""The HTTP side of sales: what became of each ticket."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import durabus

from ..settings import Settings
from .database import Base, Cancellation, Order, Payment, Visit
from .listeners import sales_listeners


class Sale(BaseModel):
    """How often a ticket was ordered, what was paid for it, and whether somebody came."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    ticket_id: str
    title: str
    orders: int
    cancelled: int
    revenue: float
    visitors: int


def create_app(settings: Settings) -> FastAPI:
    """The app, which connects to bus and database while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(settings.database_url)
        app.state.sessions = sessions = async_sessionmaker(engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        connecting = durabus.connect(settings.bus_url, cluster_id=settings.cluster_id, client_id=settings.client_id)
        async with connecting as bus, AsyncExitStack() as stack:
            for listener in await sales_listeners(bus, sessions):
                await stack.enter_async_context(listener)
            yield
        await engine.dispose()

    app = FastAPI(title="Sales", lifespan=lifespan)
    app.get("/sales")(show_sales)
    return app


async def show_sales(request: Request) -> list[Sale]:
    """Every ticket that somebody has wanted."""
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    wanted = (
        select(
            Order.ticket_id,
            func.max(Order.title),
            func.count(Order.id),
            func.count(Cancellation.order_id),
            func.coalesce(func.sum(Payment.price), 0),
            func.count(Visit.order_id),
        )
        .outerjoin(Cancellation, Cancellation.order_id == Order.id)
        .outerjoin(Payment, Payment.order_id == Order.id)
        .outerjoin(Visit, Visit.order_id == Order.id)
        .group_by(Order.ticket_id)
        .order_by(func.max(Order.title), Order.ticket_id)
    )
    async with sessions() as session:
        return [
            Sale(
                ticket_id=ticket_id, title=title, orders=orders, cancelled=cancelled, revenue=revenue, visitors=visitors
            )
            for ticket_id, title, orders, cancelled, revenue, visitors in await session.execute(wanted)
        ]
