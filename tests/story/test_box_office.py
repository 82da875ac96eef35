"""The box office of the ticket shop, tested as its owners would: on a real bus, which `durabus.testing` starts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from ticketing_events import OrderCancelled, OrderCreated, OrderedTicket, TicketCreated, TicketUpdated
from ticketing_events.order_created import OrderStatus

import durabus.testing
from durabus.testing.running.bus import RunningBus
from examples.ticketing.python.box_office.app import create_app
from examples.ticketing.python.settings import Settings

pytestmark = pytest.mark.once

CONCERT = {"title": "concert", "price": 20, "userId": "anna"}


@pytest.fixture
async def bus() -> AsyncIterator[RunningBus]:
    async with durabus.testing.bus("-cid", "ticketing") as bus:
        yield bus


@pytest.fixture
async def office(bus: RunningBus, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The service at work, and who asks it."""
    app = create_app(Settings(bus.url, "box-office-a", tmp_path / "tickets.db", ack_wait_s=5))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://office") as http,
    ):
        yield http


async def new_ticket(office: httpx.AsyncClient) -> str:
    """Puts a ticket on sale; returns its id."""
    ticket_id: str = (await office.post("/tickets", json=CONCERT)).json()["id"]
    return ticket_id


def created(ticket_id: str) -> OrderCreated:
    ticket = OrderedTicket(id=ticket_id, title="concert", price=20)
    expires_at = datetime(2026, 11, 24, 12, 15, tzinfo=UTC)
    return OrderCreated(
        id=f"{ticket_id}-1", version=1, status=OrderStatus.CREATED, user_id="ben", expires_at=expires_at, ticket=ticket
    )


def cancelled(order: OrderCreated) -> OrderCancelled:
    return OrderCancelled(id=order.id, version=2, user_id=order.user_id, ticket=order.ticket)


async def test_a_ticket_is_put_on_sale_and_told(bus: RunningBus, office: httpx.AsyncClient) -> None:
    answer = await office.post("/tickets", json=CONCERT)
    assert answer.status_code == 201
    ticket = answer.json()
    assert ticket == {"id": ticket["id"], "version": 1, "orderId": None, **CONCERT}
    told = await bus.wait_for(TicketCreated)
    assert told == TicketCreated(id=ticket["id"], version=1, title="concert", price=20, user_id="anna", order_id=None)


async def test_a_new_price_is_the_next_version(bus: RunningBus, office: httpx.AsyncClient) -> None:
    ticket_id = await new_ticket(office)
    for price in (25, 30):
        answer = await office.put(f"/tickets/{ticket_id}", json={"price": price})
        assert answer.status_code == 200
    told = await bus.published(TicketUpdated, 2)
    assert [(update.version, update.price) for update in told] == [(2, 25), (3, 30)]
    assert (await office.get(f"/tickets/{ticket_id}")).json()["version"] == 3
    assert [ticket["id"] for ticket in (await office.get("/tickets")).json()] == [ticket_id]


async def test_what_is_refused_is_not_told(bus: RunningBus, office: httpx.AsyncClient) -> None:
    assert (await office.post("/tickets", json={**CONCERT, "price": -1})).status_code == 422
    assert (await office.get("/tickets/none")).status_code == 404
    assert (await office.put("/tickets/none", json={"price": 1})).status_code == 404
    await bus.assert_nothing(TicketCreated)
    await bus.assert_nothing(TicketUpdated)


async def test_an_order_reserves_its_ticket_once(bus: RunningBus, office: httpx.AsyncClient) -> None:
    ticket_id = await new_ticket(office)
    order = created(ticket_id)
    await bus.publish(order)
    await bus.publish(order)  # as a publisher does that did not hear of the first one's end
    update = await bus.wait_for(TicketUpdated)
    assert (update.version, update.order_id) == (2, order.id)
    assert (await office.put(f"/tickets/{ticket_id}", json={"price": 1})).status_code == 409

    await bus.wait_idle()
    await bus.publish(cancelled(order))
    update = await bus.wait_for(TicketUpdated, where=lambda event: event.version == 3)
    assert update.order_id is None
    await bus.wait_idle()
    assert len(bus.events(TicketUpdated)) == 2
    assert (await office.put(f"/tickets/{ticket_id}", json={"price": 1})).status_code == 200


async def test_a_cancellation_that_comes_first_waits_for_its_order(bus: RunningBus, office: httpx.AsyncClient) -> None:
    ticket_id = await new_ticket(office)
    order = created(ticket_id)
    await bus.publish(cancelled(order))
    await bus.publish(order)
    await bus.wait_for(TicketUpdated, where=lambda event: event.version == 3)
    await bus.wait_idle()
    assert [update.order_id for update in bus.events(TicketUpdated)] == [order.id, None]


async def test_the_office_is_open_while_the_bus_takes_nothing(bus: RunningBus, office: httpx.AsyncClient) -> None:
    async with bus.refusing_publishes("the disk is full"):
        ticket_id = await new_ticket(office)
        await bus.assert_nothing(TicketCreated)
    assert (await bus.wait_for(TicketCreated)).id == ticket_id
