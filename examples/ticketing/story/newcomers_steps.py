"""The last three steps: services in Python and TypeScript join the Node services that have always been there."""

from collections.abc import Callable
from typing import Any

from .glances import on_sale, reserved, statuses, tickets_seen_by, versions
from .narrator import Narrator
from .newcomers import Newcomer
from .service import CommandRefusedError
from .shop import Shop
from .steps import order


def put_on_sale(office: Newcomer, title: str, price: int) -> str:
    """Returns the id of the new ticket."""
    ticket_id: str = office.request("POST", "/tickets", title=title, price=price, userId="anna")["id"]
    return ticket_id


def ticket_at(office: Newcomer, ticket_id: str) -> Callable[[], str]:
    """The state of a ticket, as the office shows it."""

    def look() -> str:
        ticket = office.request("GET", f"/tickets/{ticket_id}")
        version, price, order_id = ticket["version"], int(ticket["price"]), ticket["orderId"]
        return reserved(version, price, order_id) if order_id else on_sale(version, price)

    return look


def sale_of(sales: Newcomer, ticket_id: str) -> Callable[[], dict[str, int] | None]:
    """What sales knows of a ticket."""

    def look() -> dict[str, int] | None:
        for sale in sales.request("GET", "/sales"):
            if sale["ticketId"] == ticket_id:
                return {name: int(sale[name]) for name in ("orders", "cancelled", "revenue", "visitors")}
        return None

    return look


def refusal(ask: Callable[[], Any]) -> str:
    """Why a service does not do what it is asked for."""
    try:
        return f"done: {ask()}"
    except CommandRefusedError as error:
        return str(error)


def open_all(shop: Shop, tell: Narrator) -> None:
    """Starts the newcomers that do not run."""
    if started := shop.newcomers.start():
        tell.note(f"Ready: {', '.join(started)}.")


def newcomers(shop: Shop, tell: Narrator) -> None:
    """Services in Python and TypeScript join, on the same bus; nobody told the old ones."""
    tell.scene("Four services are started that the bus has not seen before. They read what has happened until now.")
    open_all(shop, tell)
    office, sales, doors = shop.newcomers.box_office, shop.newcomers.sales, shop.newcomers.doors
    past = shop.orders.database.latest("orders")
    tell.wait(
        "sales (Python) knows all the orders of orders (Node)",
        len(past),
        lambda: sum(sale["orders"] for sale in sales.request("GET", "/sales")),
    )

    tell.scene("Anna puts a ticket on sale at the box office (Python, FastAPI), and makes it dearer.")
    ticket = put_on_sale(office, "fado", 20)
    office.request("PUT", f"/tickets/{ticket}", price=25)
    tell.wait("orders (Node) has it", {"fado": on_sale(2, 25)}, tickets_seen_by(shop.orders, ticket))

    tell.scene("Ben orders it at orders (Node).")
    bens = order(shop, ticket, "ben")
    tell.wait("the box office reserves it", reserved(3, 25, bens), ticket_at(office, ticket))
    tell.wait("orders hears that", {"fado": reserved(3, 25, bens)}, tickets_seen_by(shop.orders, ticket))
    dearer = refusal(lambda: office.request("PUT", f"/tickets/{ticket}", price=50))
    tell.check("Anna cannot change the price now", "the ticket is reserved", dearer)

    tell.scene("He pays at payments (Node). admissions (TypeScript) issues a code, which doors (TypeScript) expects.")
    tell.wait("payments waits for the money", {bens: "created"}, statuses(shop.payments, bens))
    shop.payments.a.call("pay", orderId=bens, userId="ben")
    issued = tell.wait_for(
        "admissions issues a code", lambda: shop.newcomers.admissions.instance.find("issued", orderId=bens)
    )
    code = issued.details["code"]
    tell.wait_for("doors expects it", lambda: doors.instance.find("expects", code=code))
    tell.check("Ben is let in", "welcome, ben", doors.instance.call("scan", code=code, door="north"))
    again = refusal(lambda: doors.instance.call("scan", code=code, door="south"))
    tell.check("nobody else is, with the same code", "the code was used", again)
    tell.wait(
        "sales (Python) has it all; that he was there it knows from an event in Protobuf",
        {"orders": 1, "cancelled": 0, "revenue": 25, "visitors": 1},
        sale_of(sales, ticket),
    )


def outbox(shop: Shop, tell: Narrator) -> None:
    """A service is killed when it has written a change and not told it yet."""
    open_all(shop, tell)
    office = shop.newcomers.box_office
    tell.scene(
        "The bus hangs (SIGSTOP). Anna puts a ticket on sale all the same: the box office needs its database only."
    )
    shop.bus.freeze()
    try:
        ticket = put_on_sale(office, "tango", 30)
        tell.check("it is in the database of the box office", on_sale(1, 30), ticket_at(office, ticket)())
        tell.scene("The box office is killed (SIGKILL). The event is in its outbox, and nowhere else that lasts.")
        office.kill()
    finally:
        shop.bus.thaw()
    tell.scene("The bus wakes up, and the box office is started again.")
    open_all(shop, tell)
    tell.wait("orders hears of the ticket", {"tango": on_sale(1, 30)}, tickets_seen_by(shop.orders, ticket))
    doras = order(shop, ticket, "dora")
    tell.wait("the box office reserves it for Dora", reserved(2, 30, doras), ticket_at(office, ticket))
    tell.wait("orders hears that", {"tango": reserved(2, 30, doras)}, tickets_seen_by(shop.orders, ticket))
    tell.check("orders has each version once", [1, 2], versions(shop.orders, "tickets", ticket))


def read_model(shop: Shop, tell: Narrator) -> None:
    """A read model loses its database, and makes it again from the bus."""
    open_all(shop, tell)
    office, sales = shop.newcomers.box_office, shop.newcomers.sales
    tell.scene("Cleo orders a ticket and is too late to pay; Dora orders another one.")
    waltz, swing = put_on_sale(office, "waltz", 15), put_on_sale(office, "swing", 15)
    for_sale = {"waltz": on_sale(1, 15), "swing": on_sale(1, 15)}
    tell.wait("orders has both", for_sale, tickets_seen_by(shop.orders, waltz, swing))
    late = order(shop, waltz, "cleo", secondsToPay=0.5)
    tell.wait("Cleo's order is cancelled", {late: "cancelled"}, statuses(shop.orders, late))
    cancelled = {"orders": 1, "cancelled": 1, "revenue": 0, "visitors": 0}
    tell.wait("sales knows that", cancelled, sale_of(sales, waltz))
    order(shop, swing, "dora")
    tell.wait("and that Dora has ordered", {**cancelled, "cancelled": 0}, sale_of(sales, swing))
    before = sales.request("GET", "/sales")

    tell.scene("sales is shut down, and its database is deleted. Then it is started as always: no switch, no backup.")
    sales.end()
    sales.database.unlink()
    open_all(shop, tell)
    told = f"what it knew of {len(before)} tickets"
    tell.wait(
        "sales knows again",
        told,
        lambda: told if (now := sales.request("GET", "/sales")) == before else f"of {len(now)} tickets, not the same",
    )

    tell.scene("And it goes on with what is new.")
    tell.wait("Cleo's ticket is free", on_sale(3, 15), ticket_at(office, waltz))
    tell.wait("orders knows that", {"waltz": on_sale(3, 15)}, tickets_seen_by(shop.orders, waltz))
    order(shop, waltz, "ben")
    tell.wait("sales hears that Ben orders it", {**cancelled, "orders": 2}, sale_of(sales, waltz))


NEWCOMERS_STEPS: dict[str, Callable[[Shop, Narrator], None]] = {
    "newcomers": newcomers,
    "outbox": outbox,
    "read-model": read_model,
}
