"""The events of the folder `samples`, with every kind of field set, made of a module that was generated from it."""

import datetime
from types import ModuleType
from typing import Any, TypeAlias
from uuid import UUID

__all__ = ["sample_events"]

Made: TypeAlias = Any  # an instance of a class that was generated

MOMENT = datetime.datetime(2026, 11, 24, 12, 30, 15, 250_000, tzinfo=datetime.UTC)
DAY = datetime.date(2026, 12, 24)
ID = UUID("6f1c3a52-6a0f-4d0e-9d5c-0d7a8f3a2b10")
BEYOND_DOUBLE = 2**53 + 1
"""The least integer that JavaScript's number does not hold."""


def sample_events(shop: ModuleType) -> dict[str, Made]:
    """One event per subject; `shop` is the generated package."""
    return {
        "order:created": _order_created(shop),
        "order:cancelled": shop.OrderCancelled(
            event_id="e1", order_id="o1", status=shop.OrderStatus.CANCELLED, ticket=_ticket(shop)
        ),
        "parcel:sent": _parcel_sent(shop),
        "payment:created": _payment_created(shop),
    }


def _ticket(shop: ModuleType) -> Made:
    return shop.Ticket(id="t1", title="Ænima, “live”", price=12.5)


def _order_created(shop: ModuleType) -> Made:
    return shop.OrderCreated(
        id=ID,
        version=3,
        status=shop.OrderStatus.AWAITING_PAYMENT,
        user_id="ben",
        expires_at=MOMENT,
        delivery_date=DAY,
        ticket=_ticket(shop),
        more=[_ticket(shop)],
        payment=shop.order_created.CardPayment(last_digits="1234"),
        labels={"a b": "c", "__proto__": "x"},
        counts={"seen": BEYOND_DOUBLE, "negative": -(2**63)},
        discount=None,
        priority=2,
        receipt=b"\x00\xff\xfe",
        trace=2**63 - 1,
        from_="web",
        note=None,
        extra={"anything": [1, "two", None, True]},
    )


def _parcel_sent(shop: ModuleType) -> Made:
    module = shop.parcel_sent
    return shop.ParcelSent(
        parcel_id=ID,
        sent_at=MOMENT,
        due=DAY,
        weight_grams=-5,
        barcode=BEYOND_DOUBLE,
        label=b"\x00\xff\xfe",
        checksum=b"abcd",
        speed=module.Speed.FAST,
        note="fragile",
        items=[module.Item(sku="a"), module.Item(sku="b", amount=2, price=1.5)],
        sizes={"width": 0.25},
        target=module.Address(lines=["first", "second"]),
        first=module.Item(sku="c"),
        mark=BEYOND_DOUBLE,
        scanned_at=MOMENT,
    )


def _payment_created(shop: ModuleType) -> Made:
    module = shop.payment_created
    return shop.PaymentCreated(
        payment_id="p1",
        order_id="o1",
        amount_cents=-BEYOND_DOUBLE,
        reference=2**64 - 1,
        method=module.Method.METHOD_CARD,
        paid_at=MOMENT,
        note="",
        lines=[module.Line(text="ticket", cents=BEYOND_DOUBLE, count=-3)],
        taxes={"vat": BEYOND_DOUBLE},
        remarks={-5: "minus five", 7: "seven"},
        signature=b"\x00\xff\xfe",
        rate=0.25,
        is_final=True,
        card=module.Card(last_digits="1234", expiry_month=12),
        retries=0,
        tried=[module.Method.METHOD_CASH, module.Method.METHOD_UNKNOWN],
    )
