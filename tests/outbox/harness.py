"""A service with a table of its own, an outbox and an inbox, on each kind of database, with asyncio and without."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Column, Engine, Integer, MetaData, String, Table, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from durabus.client import Bus, Message, StartPosition
from durabus.clock import Clock
from durabus.events import Event, event_id
from durabus.events import event as is_event
from durabus.outbox import Inbox, Outbox
from tests.client.harness import PATIENCE_S
from tests.databases import PASSWORD, mariadb_server, postgres_server

__all__ = [
    "KINDS", "PATIENCE_S", "Anonymous", "Paid", "Service", "Ticket", "WithVersion", "new_service", "new_subject", "received",
]  # fmt: skip

KINDS: Final = ("sqlite", "postgresql", "mariadb")
_numbers: Final = itertools.count(1)


def new_subject() -> str:
    """A subject of which nobody has heard."""
    return f"outbox.{next(_numbers)}"


@is_event("ticket:paid")
class Paid(Event):
    """An event with an ID of its own."""

    ticket: int
    event_id: str = event_id()


@is_event("ticket:changed", identity=("id", "version"))
class WithVersion(Event):
    """An event that is known by two fields."""

    id: int
    version: int


@is_event("ticket:seen")
class Anonymous(Event):
    """An event without an identity."""

    ticket: int


class Base(DeclarativeBase):
    """Of the tables that the service maps."""


class Ticket(Base):
    """What the service keeps."""

    __tablename__ = "ticket"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(String(100), default="")


class Service:
    """Its database, in the two forms of an address, and its tables."""

    def __init__(self, kind: str, plain: URL, of_asyncio: URL, schema: str = "") -> None:
        self.kind = kind
        self._async_arguments = {"server_settings": {"search_path": schema}} if schema else {}
        self.plain_url = plain
        self.async_url = of_asyncio
        self.metadata = MetaData()
        self.tickets = Table(
            "ticket",
            self.metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("title", String(100), nullable=False, default=""),
        )
        self.outbox = Outbox(self.metadata)
        self.inbox = Inbox(self.metadata, "billing")

    def timed(self, clock: Clock) -> tuple[Outbox, Inbox]:
        """The same with another clock."""
        return Outbox(self.metadata, clock=clock), Inbox(self.metadata, "billing", clock=clock)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An engine without asyncio."""
        engine = create_engine(self.plain_url)
        try:
            yield engine
        finally:
            engine.dispose()

    @asynccontextmanager
    async def async_engine(self) -> AsyncIterator[AsyncEngine]:
        """An engine of asyncio."""
        engine = create_async_engine(self.async_url, connect_args=self._async_arguments)
        try:
            yield engine
        finally:
            await engine.dispose()

    @contextmanager
    def sessions(self) -> Iterator[sessionmaker[Session]]:
        """Sessions without asyncio."""
        with self.engine() as engine:
            yield sessionmaker(engine)

    @asynccontextmanager
    async def async_sessions(self) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
        """Sessions of asyncio."""
        async with self.async_engine() as engine:
            yield async_sessionmaker(engine, expire_on_commit=False)


@contextmanager
def new_service(kind: str, folder: Path) -> Iterator[Service]:
    """A service with empty tables in a new database."""
    drop: Callable[[], None] | None = None
    if kind == "sqlite":
        path = folder / "service.db"
        service = Service(kind, make_url(f"sqlite:///{path}"), make_url(f"sqlite+aiosqlite:///{path}"))
    elif kind == "postgresql":
        postgres = postgres_server()
        source = postgres.new_database()
        schema = source.rpartition(" search_path=")[2]
        url = URL.create("postgresql+psycopg", "durabus", PASSWORD, "127.0.0.1", postgres.port, "postgres")
        plain = url.update_query_dict({"options": f"-csearch_path={schema}"})
        service = Service(kind, plain, url.set(drivername="postgresql+asyncpg"), schema)
        drop = partial(postgres.drop_database, source)
    else:
        mariadb = mariadb_server()
        source = mariadb.new_database()
        name = source.rpartition("/")[2].partition("?")[0]
        url = URL.create("mysql+pymysql", "durabus", PASSWORD, "127.0.0.1", mariadb.port, name)
        service = Service(kind, url, url.set(drivername="mysql+asyncmy"))
        drop = partial(mariadb.drop_database, source)
    try:
        with service.engine() as engine:
            if kind == "sqlite":
                with engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            service.metadata.create_all(engine)
        yield service
    finally:
        if drop is not None:
            drop()


async def received(bus: Bus, subject: str, count: int) -> list[Message]:
    """The first `count` messages of a channel."""
    async with (
        asyncio.timeout(PATIENCE_S),
        await bus.subscribe(subject, start=StartPosition.all_available()) as subscription,
    ):
        return [await subscription.next() for _ in range(count)]
