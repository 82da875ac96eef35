"""The tables of the box office: its tickets, the orders it has followed, its outbox and its inbox."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from durabus.outbox import Inbox, Outbox


class Base(DeclarativeBase):
    """All tables are in its metadata, those of outbox and inbox too."""


class Ticket(Base):
    """A ticket on sale. SQLAlchemy counts the versions, and refuses a change on top of one that is not the newest."""

    __tablename__ = "ticket"
    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column()
    title: Mapped[str]
    price: Mapped[float]
    user_id: Mapped[str]
    order_id: Mapped[str | None]

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own way to say it


class FollowedOrder(Base):
    """How far we have followed an order: the version that its last event had."""

    __tablename__ = "followed_order"
    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]


outbox = Outbox(Base.metadata)
inbox = Inbox(Base.metadata, "box-office")
