"""The tables of sales, which may be lost at any time: the bus has all that is in them.

Each is written by one listener only, so it does not matter which of two channels is read faster.
"""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables are in its metadata."""


class Order(Base):
    """Somebody wanted a ticket."""

    __tablename__ = "sold_order"
    id: Mapped[str] = mapped_column(primary_key=True)
    ticket_id: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]


class Cancellation(Base):
    """An order was cancelled."""

    __tablename__ = "cancellation"
    order_id: Mapped[str] = mapped_column(primary_key=True)


class Payment(Base):
    """An order was paid."""

    __tablename__ = "payment"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[float]


class Visit(Base):
    """Somebody was let in."""

    __tablename__ = "visit"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    door: Mapped[str]


class Position(Base):
    """The last event of a channel that is in these tables."""

    __tablename__ = "position"
    channel: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
