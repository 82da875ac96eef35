"""Sales of the ticket shop: a read model that begins anew when its database is gone, and goes on when it is there."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from ticketing_events import AdmissionUsed, OrderCancelled, OrderCreated, OrderedTicket, PaymentCreated
from ticketing_events.order_created import OrderStatus

import durabus.testing
from durabus.testing.running.bus import RunningBus
from examples.ticketing.python.sales.app import create_app
from examples.ticketing.python.settings import Settings

pytestmark = pytest.mark.once

CONCERT = OrderedTicket(id="t1", title="concert", price=20)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOLD = {"ticketId": "t1", "title": "concert", "orders": 2, "cancelled": 1, "revenue": 20, "visitors": 1}


@pytest.fixture
async def bus() -> AsyncIterator[RunningBus]:
    async with durabus.testing.bus("-cid", "ticketing") as bus:
        yield bus


@asynccontextmanager
async def sales(bus: RunningBus, database: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service at work, and who asks it, when it has read all there is."""
    app = create_app(Settings(bus.url, "sales-a", database))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sales") as http,
    ):
        await bus.wait_idle()
        yield http


def order(number: int) -> OrderCreated:
    return OrderCreated(
        id=f"o{number}", version=1, status=OrderStatus.CREATED, user_id="ben", expires_at=NOW, ticket=CONCERT
    )


async def sell(bus: RunningBus) -> None:
    """Two orders, of which one is cancelled and one paid and used; and some of it twice, or in an odd order."""
    await bus.publish(OrderCancelled(id="o2", version=2, user_id="ben", ticket=CONCERT))
    for number in (1, 2, 1):
        await bus.publish(order(number))
    payment = PaymentCreated(id="p1", order_id="o1", user_id="ben", price=20)
    await bus.publish(payment)
    await bus.publish(payment)
    await bus.publish(AdmissionUsed(code="c1", order_id="o1", door="north", used_at=NOW))


async def test_what_became_of_each_ticket(bus: RunningBus, tmp_path: Path) -> None:
    async with sales(bus, tmp_path / "sales.db") as http:
        assert (await http.get("/sales")).json() == []
        await sell(bus)
        await bus.wait_idle()
        assert (await http.get("/sales")).json() == [SOLD]


async def test_a_lost_database_is_made_again(bus: RunningBus, tmp_path: Path) -> None:
    await sell(bus)
    for name in ("first.db", "second.db"):
        async with sales(bus, tmp_path / name) as http:
            assert (await http.get("/sales")).json() == [SOLD]


async def test_what_is_in_the_database_is_not_read_again(bus: RunningBus, tmp_path: Path) -> None:
    await sell(bus)
    database = tmp_path / "sales.db"
    async with sales(bus, database):
        pass
    connection = sqlite3.connect(database)
    connection.execute("DELETE FROM sold_order")
    connection.commit()
    connection.close()
    await bus.publish(order(3))
    async with sales(bus, database) as http:
        (sold,) = (await http.get("/sales")).json()
    assert (sold["orders"], sold["revenue"]) == (1, 0)
