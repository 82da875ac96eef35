"""The steps of the Node services. Each makes its own tickets and orders, so each can be played alone."""

import time
from collections.abc import Callable

from .database import summary
from .glances import all_agree, mails_about, on_sale, reserved, statuses, tickets_seen_by, versions
from .narrator import Narrator
from .service import CommandRefusedError, Instance, Message
from .shop import Service, Shop

MUCH_SOONER_S = 10.0  # an instance was killed: its message must be elsewhere by then, though AckWait is 30 s
CLOCK_TOLERANCE_S = 0.2  # the bus counts from sending, we from seeing the line that says "received"
LATE_S = 4.0  # a redelivery may come that much after AckWait


def put_on_sale(shop: Shop, title: str, price: int) -> str:
    """Returns the id of the new ticket."""
    ticket_id: str = shop.tickets.a.call("create_ticket", title=title, price=price, userId="anna")["id"]
    return ticket_id


def order(shop: Shop, ticket_id: str, user: str, **details: object) -> str:
    """Returns the id of the new order."""
    order_id: str = shop.orders.a.call("create_order", ticketId=ticket_id, userId=user, **details)["id"]
    return order_id


def ticket_for_sale(shop: Shop, tell: Narrator, title: str) -> str:
    """Puts a ticket on sale that the later part of a step needs."""
    ticket_id = put_on_sale(shop, title, 10)
    tell.wait_for(f"orders knows the {title} ticket", lambda: shop.orders.database.latest("tickets").get(ticket_id))
    return ticket_id


def hold_one_of_both(tell: Narrator, service: Service, cause: Callable[[], str]) -> tuple[str, Instance, Message]:
    """Lets one instance stop in the middle of the order:created that `cause` brings about; the other one is free."""
    for instance in (service.a, service.b):
        instance.call("hold", subject="order:created")
    order_id = cause()

    def holding() -> tuple[Instance, Message] | None:
        for instance in (service.a, service.b):
            if message := instance.find("holding", id=order_id):
                return instance, message
        return None

    holder, message = tell.wait_for(f"one of both {service.name} gets order:created", holding)
    service.other(holder).call("release")
    tell.note(f"{holder.name} has it: number {message.details['sequence']} on order:created.")
    return order_id, holder, message


def orders_flow(shop: Shop, tell: Narrator) -> None:
    """Tickets are ordered and paid for, and are on sale again when nobody pays."""
    tell.scene("Anna puts two tickets on sale; tickets tells it to the others.")
    concert = put_on_sale(shop, "concert", 20)
    theatre = put_on_sale(shop, "theatre", 35)
    tell.wait(
        "orders has both in its own database",
        {"concert": on_sale(1, 20), "theatre": on_sale(1, 35)},
        tickets_seen_by(shop.orders, concert, theatre),
    )

    tell.scene("She makes the theatre ticket cheaper.")
    shop.tickets.b.call("update_ticket", id=theatre, price=30)
    tell.wait("orders has the new price", {"theatre": on_sale(2, 30)}, tickets_seen_by(shop.orders, theatre))

    tell.scene("Ben orders the concert ticket.")
    bens = order(shop, concert, "ben")
    his = {"concert": reserved(2, 20, bens)}
    tell.wait("tickets reserves it", his, tickets_seen_by(shop.tickets, concert))
    tell.wait("orders hears that it is reserved", his, tickets_seen_by(shop.orders, concert))
    tell.wait("payments waits for the money", {bens: "created"}, statuses(shop.payments, bens))
    tell.wait("Ben has got a mail", ["received"], mails_about(shop, bens))

    tell.scene("Cleo is too late: the ticket is Ben's.")
    try:
        answer = "ordered " + order(shop, concert, "cleo")
    except CommandRefusedError as refusal:
        answer = str(refusal)
    tell.check("orders refuses", "the ticket is reserved", answer)

    tell.scene("Ben pays.")
    shop.payments.a.call("pay", orderId=bens, userId="ben")
    tell.wait("his order is complete", {bens: "complete"}, statuses(shop.orders, bens))
    tell.wait("Ben has got a second mail", ["paid", "received"], mails_about(shop, bens))

    tell.scene("Cleo orders the theatre ticket, has one second to pay, and does not.")
    cleos = order(shop, theatre, "cleo", secondsToPay=1)
    tell.wait("her order is cancelled", {cleos: "cancelled"}, statuses(shop.orders, cleos))
    tell.wait("payments takes no money for it", {cleos: "cancelled"}, statuses(shop.payments, cleos))
    free = {"theatre": on_sale(4, 30)}
    tell.wait("tickets has it on sale again", free, tickets_seen_by(shop.tickets, theatre))
    tell.wait("orders knows that, too", free, tickets_seen_by(shop.orders, theatre))
    tell.wait("Cleo has got two mails", ["cancelled", "received"], mails_about(shop, cleos))

    tell.scene("Dora gets it.")
    doras = order(shop, theatre, "dora")
    tell.wait(
        "tickets reserves it for her", {"theatre": reserved(5, 30, doras)}, tickets_seen_by(shop.tickets, theatre)
    )
    tell.wait("payments waits for her money", {doras: "created"}, statuses(shop.payments, doras))
    shop.payments.b.call("pay", orderId=doras, userId="dora")
    tell.wait("her order is complete", {doras: "complete"}, statuses(shop.orders, doras))

    all_agree(shop, tell)


def killed_instance(shop: Shop, tell: Narrator) -> None:
    """An instance is killed in the middle of an event; the other one gets it at once."""
    service = shop.notifications
    tell.scene("An order comes in. One of the two notifications receives it and, before it has acknowledged it, ...")
    ticket = ticket_for_sale(shop, tell, "opera")
    order_id, victim, held = hold_one_of_both(tell, service, lambda: order(shop, ticket, "ben"))
    heir = service.other(victim)
    tell.check(f"{victim.name} has not written the mail", [], mails_about(shop, order_id)())

    tell.scene(f"... is killed (SIGKILL). {heir.name} is well. AckWait is {service.ack_wait_s} s.")
    killed_at = time.monotonic()
    victim.kill()
    service.forget(victim)
    again = tell.wait_for(
        f"{heir.name} receives what {victim.name} had not acknowledged",
        lambda: heir.find("received", id=order_id, sequence=held.details["sequence"]),
        MUCH_SOONER_S,
    )
    tell.check_between(f"{heir.name} has it after", 0, MUCH_SOONER_S, again.at - killed_at)
    tell.check("it is marked as redelivered", True, again.details["redelivered"])
    tell.wait("the mail is written", ["received"], mails_about(shop, order_id))

    tell.scene(f"{victim.name} is started again, under the same name.")
    (reborn,) = service.start(victim.letter)
    tell.check("the bus admits it", victim.name, reborn.wait_ready().details["client"])


def hung_instance(shop: Shop, tell: Narrator) -> None:
    """An instance hangs in the middle of an event; the other one gets it after AckWait."""
    service = shop.payments
    tell.scene("An order comes in. One of the two payments receives it and hangs (SIGSTOP): connected, but silent.")
    ticket = ticket_for_sale(shop, tell, "circus")
    order_id, frozen, held = hold_one_of_both(tell, service, lambda: order(shop, ticket, "cleo"))
    frozen.freeze()
    heir = service.other(frozen)

    tell.scene(f"{heir.name} gets the same event when AckWait is over, which is {service.ack_wait_s} s here.")
    least_s, most_s = service.ack_wait_s - CLOCK_TOLERANCE_S, service.ack_wait_s + LATE_S
    again = tell.wait_for(
        f"{heir.name} receives what {frozen.name} does not acknowledge",
        lambda: heir.find("received", id=order_id, sequence=held.details["sequence"]),
        most_s,
    )
    tell.check_between(f"{heir.name} has it after", least_s, most_s, again.at - held.at)
    tell.check("it is marked as redelivered", True, again.details["redelivered"])
    tell.wait("payments waits for the money", {order_id: "created"}, statuses(service, order_id))

    tell.scene(f"{frozen.name} wakes up (SIGCONT) and goes on where it was.")
    frozen.thaw()
    frozen.call("release")
    late = tell.wait_for(f"{frozen.name} comes to an end", lambda: frozen.find("handled", id=order_id))
    tell.check("it finds that the work is done", "known", late.details["outcome"])
    tell.check("the order is in the database once", [1], versions(service, "orders", order_id))


def catch_up(shop: Shop, tell: Narrator) -> None:
    """A service is down while events are published, and catches up."""
    service = shop.payments
    tickets = [ticket_for_sale(shop, tell, title) for title in ("ballet", "jazz", "comedy")]
    tell.scene("Both payments are shut down.")
    service.end()
    before = service.database.contents()

    tell.scene("Business goes on: Dora orders three tickets, and is too slow with the third one.")
    orders = [order(shop, ticket, "dora") for ticket in tickets[:2]]
    orders.append(order(shop, tickets[2], "dora", secondsToPay=0.5))
    expected = {orders[0]: "created", orders[1]: "created", orders[2]: "cancelled"}
    tell.wait("orders has all three", expected, statuses(shop.orders, *orders))
    tell.wait("the third ticket is on sale again", {"comedy": on_sale(3, 10)}, tickets_seen_by(shop.orders, tickets[2]))
    tell.check("payments has heard of nothing", summary(before), summary(service.database.contents()))

    tell.scene("payments is started again. Its durable is where it was.")
    for instance in service.start():
        instance.wait_ready()
    tell.wait("payments knows all three orders", expected, statuses(service, *orders))
    tell.check(
        "nothing is in its database twice",
        {orders[0]: [1], orders[1]: [1], orders[2]: [1, 2]},
        {order_id: versions(service, "orders", order_id) for order_id in orders},
    )
    now = service.database.contents()
    for order_id in orders:
        del now["orders"][order_id]
    tell.check("what it had before is as it was", summary(before), summary(now))


def read_in(report: dict[str, int]) -> str:
    """What a service read in a channel to rebuild its database."""
    if not report["read"]:
        return "empty"
    return f"{report['first']} to {report['last']}" + (f", {report['unused']} of no use" if report["unused"] else "")


def rebuild(shop: Shop, tell: Narrator) -> None:
    """A service has lost its database, and rebuilds it from the bus alone."""
    service = shop.orders
    tell.scene("Two more tickets, one more order; then both orders are shut down, and their database is deleted.")
    ticket, _ = ticket_for_sale(shop, tell, "magic"), ticket_for_sale(shop, tell, "puppets")
    paid = order(shop, ticket, "ben")
    tell.wait("payments waits for the money", {paid: "created"}, statuses(shop.payments, paid))
    shop.payments.a.call("pay", orderId=paid, userId="ben")
    tell.wait("the order is complete", {paid: "complete"}, statuses(service, paid))
    tell.wait("its ticket is reserved", {"magic": reserved(2, 10, paid)}, tickets_seen_by(service, ticket))
    service.end()
    before = summary(service.database.contents())
    service.database.delete()

    tell.scene("orders is started with --rebuild: it reads five channels again, through subscriptions without a name.")
    (first,) = service.start("a", arguments=("--rebuild",))
    first.wait_ready()
    channels = first.wait_message("rebuild its database", "rebuilt").details["channels"]
    tell.check(
        "every channel is read from the first message to the last, and nothing in it is of no use",
        {subject: f"1 to {report['last']}" if report["read"] else "empty" for subject, report in channels.items()},
        {subject: read_in(report) for subject, report in channels.items()},
    )
    tell.check("the database is what it was", before, summary(service.database.contents()))

    tell.scene("The durable was not touched by that, and goes on with what is new.")
    (second,) = service.start("b")
    second.wait_ready()
    ticket = put_on_sale(shop, "poetry", 10)
    tell.wait_for("orders gets the new ticket", lambda: service.find("handled", id=ticket))
    received = [
        f"{message.details['subject']} {message.details['sequence']}"
        for message in first.messages + second.messages
        if message.what == "received"
    ]
    next_sequence = channels["ticket:created"]["last"] + 1
    tell.check("orders has received one event since", [f"ticket:created {next_sequence}"], received)
    tell.check("the new ticket is in the database once", [1], versions(service, "tickets", ticket))


def out_of_order(shop: Shop, tell: Narrator) -> None:
    """Events arrive out of order; their versions tell."""
    service = shop.orders
    tell.scene("Another ticket office speaks on the same bus: it has a musical for 50.")
    ticket: dict[str, object] = {"id": "musical-1", "title": "musical", "userId": "office", "orderId": None}
    office = shop.tickets.a
    office.call("publish", subject="ticket:created", data={**ticket, "version": 1, "price": 50})
    tell.wait("orders has version 1", [1], lambda: versions(service, "tickets", "musical-1"))

    tell.scene("Its third version (70) overtakes its second one (60).")
    office.call("publish", subject="ticket:updated", data={**ticket, "version": 3, "price": 70})
    early = tell.wait_for(
        "one of both orders gets version 3", lambda: service.find("handled", id="musical-1", version=3)
    )
    tell.check("it sees that version 2 is missing, and does not acknowledge", "early", early.details["outcome"])
    tell.check("the database still has version 1 only", [1], versions(service, "tickets", "musical-1"))

    tell.scene("Version 2 comes.")
    office.call("publish", subject="ticket:updated", data={**ticket, "version": 2, "price": 60})
    tell.wait("first 2, then 3 are applied", [1, 2, 3], lambda: versions(service, "tickets", "musical-1"))
    tell.check("the last word counts", {"musical": on_sale(3, 70)}, tickets_seen_by(service, "musical-1")())
    again = tell.wait_for(
        "version 3 is delivered again",
        lambda: service.find("received", id="musical-1", version=3, redelivered=True),
    )
    least_s, most_s = service.ack_wait_s - CLOCK_TOLERANCE_S, service.ack_wait_s + LATE_S
    tell.check_between("version 3 came again after", least_s, most_s, again.at - early.at)
    all_agree(shop, tell)


STEPS: dict[str, Callable[[Shop, Narrator], None]] = {
    "orders-flow": orders_flow,
    "killed-instance": killed_instance,
    "hung-instance": hung_instance,
    "catch-up": catch_up,
    "rebuild": rebuild,
    "out-of-order": out_of_order,
}
