"""What is to be seen in the databases of the shop. Most return a function to look with, again and again."""

from collections.abc import Callable
from typing import Any

from .database import Document
from .narrator import Narrator
from .shop import Service, Shop


def on_sale(version: int, price: int) -> str:
    """A ticket that can be ordered."""
    return f"version {version} for {price}, on sale"


def reserved(version: int, price: int, order_id: str) -> str:
    """A ticket that somebody has ordered."""
    return f"version {version} for {price}, reserved for order {order_id}"


def tickets_seen_by(service: Service, *ticket_ids: str) -> Callable[[], dict[str, str]]:
    """Title and state of these tickets."""

    def state(ticket: Document) -> str:
        version, price, order_id = ticket["version"], ticket["price"], ticket["orderId"]
        return reserved(version, price, order_id) if order_id else on_sale(version, price)

    def look() -> dict[str, str]:
        tickets = service.database.latest("tickets")
        return {tickets[key]["title"]: state(tickets[key]) for key in ticket_ids if key in tickets}

    return look


def statuses(service: Service, *order_ids: str) -> Callable[[], dict[str, str]]:
    """The status of these orders."""

    def look() -> dict[str, str]:
        orders = service.database.latest("orders")
        return {order_id: orders[order_id]["status"] for order_id in order_ids if order_id in orders}

    return look


def versions(service: Service, collection: str, document_id: str) -> list[int]:
    """The versions of one document that are stored."""
    return [document["version"] for document in service.database.versions(collection, document_id)]


def mails_about(shop: Shop, order_id: str) -> Callable[[], list[str]]:
    """What the mails about this order say happened to it."""

    def look() -> list[str]:
        about = shop.notifications.database.latest("mails")
        return sorted(words[2] for words in (key.split() for key in about) if words[1] == order_id)

    return look


def all_agree(shop: Shop, tell: Narrator) -> None:
    """Compares what each service has in its own database with the one that has the say."""
    tell.scene("The five databases are laid side by side.")
    tickets = shop.tickets.database.latest("tickets")
    orders = shop.orders.database.latest("orders")
    cancelled = sorted(key for key, document in orders.items() if document["status"] == "cancelled")
    complete = sorted(key for key, document in orders.items() if document["status"] == "complete")

    def differing_tickets() -> list[str]:
        copies = shop.orders.database.latest("tickets")
        return [key for key, ticket in tickets.items() if copies.get(key) != ticket]

    def followed_by_tickets() -> dict[str, int]:
        return {key: document["version"] for key, document in shop.tickets.database.latest("orders").items()}

    def known_to_payments() -> dict[str, Any]:
        copies = shop.payments.database.latest("orders")
        return {
            "orders": len(copies),
            "cancelled": sorted(key for key, document in copies.items() if document["status"] == "cancelled"),
            "paid": sorted(shop.payments.database.latest("payments")),
        }

    def deadlines_over() -> dict[str, Any]:
        deadlines = shop.expiration.database.latest("deadlines")
        over = sorted(key for key, document in deadlines.items() if document["isOver"])
        return {"deadlines": len(deadlines), "over": over}

    mails = {f"order {key} received" for key in orders}
    mails |= {f"order {key} cancelled" for key in cancelled} | {f"order {key} paid" for key in complete}
    tell.wait(f"of the {len(tickets)} tickets, those that tickets and orders see differently", [], differing_tickets)
    tell.wait(
        "tickets knows the same version of every order",
        {key: 2 if key in cancelled else 1 for key in orders},
        followed_by_tickets,
    )
    tell.wait(
        "payments has the same orders, and was paid for the complete ones",
        {"orders": len(orders), "cancelled": cancelled, "paid": complete},
        known_to_payments,
    )
    tell.wait(
        "expiration has every deadline, and those of the cancelled orders are over",
        {"deadlines": len(orders), "over": cancelled},
        deadlines_over,
    )
    tell.wait(
        f"of the {len(mails)} mails that notifications should have written, those missing or too many",
        [],
        lambda: sorted(mails ^ shop.notifications.database.latest("mails").keys()),
    )
