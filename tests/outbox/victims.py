"""The programs that the kill test kills: a producer with outbox and relay, and a consumer with an inbox.

    python -m tests.outbox.victims producer|consumer asyncio|threads URL DATABASE NAME [STEP COUNT [FAULT]]

They kill themselves with SIGKILL when they come to STEP for the COUNTth time: before or after a statement or a commit
of the `service` or the `relay`, a publish, or an acknowledgement. What is looked at is SQLAlchemy and the bus, so what runs is
the code that everybody has. A producer without a STEP publishes all there is, and ends. A consumer with a FAULT is one that the test has to
find out: `acknowledges-first`, or `no-inbox`.
"""

import asyncio
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, event, func, make_url, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

import durabus
import durabus.sync
from durabus.client import Bus, Message, StartPosition
from durabus.events import Event, event_id, event_type
from durabus.events import event as is_event
from durabus.outbox import Inbox, Outbox, Relay
from durabus.outbox import sync as outbox_sync

__all__ = ["CONSUMER_STEPS", "INVOICES", "METADATA", "PRODUCER_STEPS", "SUBJECT", "TICKETS", "Paid", "lane_of"]

SUBJECT: Final = "ticket:paid"
METADATA: Final = MetaData()
TICKETS: Final = Table("ticket", METADATA, Column("id", Integer, primary_key=True, autoincrement=False))
INVOICES: Final = Table("invoice", METADATA, Column("id", Integer, primary_key=True), Column("ticket", Integer))
"""Nothing keeps a ticket from having two of them, but the inbox."""
OUTBOX: Final = Outbox(METADATA)
INBOX: Final = Inbox(METADATA, "billing")
TRANSACTIONS_MAX: Final = 300
PAUSE_S: Final = 0.003
LEASE_S: Final = 0.5
LAST: Final = 5

_STATEMENT: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b.*?\b(ticket|invoice|durabus_\w+)\b", re.DOTALL)
_AROUND: Final = ("before", "after")
PRODUCER_STEPS: Final = [
    *(f"service {when} {what}" for when in _AROUND for what in ("INSERT ticket", "INSERT durabus_outbox", "COMMIT")),
    *(f"relay {when} {what}" for when in _AROUND for what in ("SELECT durabus_outbox", "DELETE durabus_outbox", "COMMIT")),
    *(f"{when} publish" for when in ("before", "during", "after")),
]  # fmt: skip
CONSUMER_STEPS: Final = [
    *(f"service {when} {what}" for when in _AROUND for what in ("INSERT durabus_inbox", "INSERT invoice", "COMMIT")),
    "before work", "before ack", "after ack", "long after ack",
]  # fmt: skip


@is_event(SUBJECT)
class Paid(Event):
    """What the producer says."""

    ticket: int
    event_id: str = event_id()


def lane_of(ticket: int) -> str | None:
    """Every other ticket belongs to one of three entities; the rest are in order by their subject."""
    return f"entity-{ticket % 6 // 2}" if ticket % 2 else None


class Death:
    """Where it is to happen."""

    def __init__(self, step: str, count: int) -> None:
        self.step = step
        self.count = count

    def at(self, step: str) -> None:
        """The program is here."""
        if step == self.step:
            self.count -= 1
            if self.count <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch_engine(self, engine: Engine, name: str) -> None:
        """What `name` says to its database."""

        def said(when: str) -> Callable[..., None]:
            def look(*arguments: Any) -> None:  # noqa: ANN401 - of SQLAlchemy
                found = _STATEMENT.match(arguments[2])
                if found is not None:
                    self.at(f"{name} {when} {found[1]} {found[2]}")

            return look

        event.listen(engine, "before_cursor_execute", said("before"))
        event.listen(engine, "after_cursor_execute", said("after"))
        commit = engine.dialect.do_commit

        def do_commit(connection: Any) -> None:  # noqa: ANN401 - of the driver
            self.at(f"{name} before COMMIT")
            commit(connection)
            self.at(f"{name} after COMMIT")

        engine.dialect.do_commit = do_commit  # type: ignore[assignment,method-assign]

    def watch_bus(self, bus: Bus) -> None:
        """What the relay publishes."""
        publish = bus.publish

        async def publish_watched(channel: str, data: bytes | str) -> Any:  # noqa: ANN401 - what `publish` returns
            self.at("before publish")
            task = asyncio.ensure_future(publish(channel, data))
            for _ in range(3):
                await asyncio.sleep(0)
            self.at("during publish")
            result = await task
            self.at("after publish")
            return result

        bus.publish = publish_watched  # type: ignore[method-assign]


async def produce(url: str, database: str, death: Death) -> None:
    """Tickets and their events; every seventh is rolled back."""
    service, relay = create_async_engine(database), create_async_engine(database)
    death.watch_engine(service.sync_engine, "service")
    death.watch_engine(relay.sync_engine, "relay")
    sessions = async_sessionmaker(service)
    async with durabus.connect(url, client_id="producer", connect_timeout_s=60.0, reconnect_wait_max_s=0.2) as bus:
        death.watch_bus(bus)
        async with Relay(
            OUTBOX, relay, bus, poll_s=0.05, batch_events=20, lease_s=LEASE_S, retry_wait_s=0.01
        ) as working:
            for count in range(TRANSACTIONS_MAX if death.step else LAST):
                async with sessions() as session:
                    last = (await session.execute(select(func.max(TICKETS.c.id)))).scalar_one_or_none() or 0
                    ticket = last + 1
                    await session.execute(TICKETS.insert().values(id=ticket))
                    await OUTBOX.add(session, Paid(ticket=ticket), entity=lane_of(ticket))
                    if count % 7 == 6:
                        await session.rollback()
                    else:
                        await session.commit()
                await asyncio.sleep(PAUSE_S)
            if death.step:
                await asyncio.Event().wait()
            await working.flush()
    await service.dispose()
    await relay.dispose()


def produce_in_threads(url: str, database: str, death: Death) -> None:
    """The same without asyncio."""
    service, relay = create_engine(database), create_engine(database)
    death.watch_engine(service, "service")
    death.watch_engine(relay, "relay")
    sessions = sessionmaker(service)
    with durabus.sync.connect(
        url, client_id="producer", connect_timeout_s=60.0, reconnect_wait_max_s=0.2
    ) as bus, outbox_sync.Relay(
        OUTBOX, relay, bus, poll_s=0.05, batch_events=20, lease_s=LEASE_S, retry_wait_s=0.01
    ) as working:  # fmt: skip

        async def watch(inner: Bus) -> None:
            death.watch_bus(inner)

        bus.run(watch)
        for count in range(TRANSACTIONS_MAX if death.step else LAST):
            with sessions() as session:
                ticket = (session.execute(select(func.max(TICKETS.c.id))).scalar_one_or_none() or 0) + 1
                session.execute(TICKETS.insert().values(id=ticket))
                OUTBOX.add(session, Paid(ticket=ticket), entity=lane_of(ticket))
                if count % 7 == 6:
                    session.rollback()
                else:
                    session.commit()
            time.sleep(PAUSE_S)
        if death.step:
            signal.pause()
        working.flush()
    service.dispose()
    relay.dispose()


SUBSCRIPTION: Final[dict[str, Any]] = {
    "queue_group": "billing",
    "durable_name": "billing",
    "ack_wait_s": 1,
    "max_in_flight": 32,
    "start": StartPosition.all_available(),
    "manual_ack": True,
}


async def consume(url: str, database: str, death: Death, name: str, fault: str) -> None:
    """An invoice for each event."""
    engine = create_async_engine(database)
    death.watch_engine(engine.sync_engine, "service")
    sessions = async_sessionmaker(engine)
    kind = event_type(Paid)
    async with durabus.connect(url, client_id=name, connect_timeout_s=60.0, reconnect_wait_max_s=0.2) as bus:
        bus.drain_on_signals()

        async def work(message: Message) -> None:
            death.at("before work")
            paid = kind.decode(message.data)
            if fault == "acknowledges-first":
                message.ack()
                await bus.flush()
                await asyncio.sleep(0.05)
            identity = str(uuid.uuid4()) if fault == "no-inbox" else None  # another one each time
            once = INBOX.once(session := sessions(), paid, message=message, identity=identity)
            async with session, once as is_new:
                if is_new:
                    await session.execute(INVOICES.insert().values(ticket=paid.ticket))
            death.at("before ack")
            message.ack()
            death.at("after ack")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            death.at("long after ack")

        await bus.subscribe(SUBJECT, work, **SUBSCRIPTION)
        await bus.wait_closed()
    await engine.dispose()


def consume_in_threads(url: str, database: str, death: Death, name: str) -> None:
    """The same without asyncio."""
    engine = create_engine(database)
    death.watch_engine(engine, "service")
    sessions = sessionmaker(engine)
    kind = event_type(Paid)
    with durabus.sync.connect(url, client_id=name, connect_timeout_s=60.0, reconnect_wait_max_s=0.2) as bus:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        for message in bus.subscribe(SUBJECT, **SUBSCRIPTION):
            death.at("before work")
            paid = kind.decode(message.data)
            with sessions() as session, INBOX.once(session, paid, message=message) as is_new:
                if is_new:
                    session.execute(INVOICES.insert().values(ticket=paid.ticket))
            death.at("before ack")
            message.ack()
            death.at("after ack")
            time.sleep(0.001)
            death.at("long after ack")


DRIVERS: Final = {
    "sqlite": ("sqlite+aiosqlite", "sqlite"),
    "postgresql": ("postgresql+asyncpg", "postgresql+psycopg"),
    "mysql": ("mysql+asyncmy", "mysql+pymysql"),
}


def main(
    role: str, style: str, url: str, database: str, name: str, step: str = "", count: str = "0", fault: str = ""
) -> None:
    """See the top of this file; `name` is the client ID of a consumer."""
    death = Death(step, int(count))
    is_async = style == "asyncio"
    address = make_url(database)
    address = address.set(drivername=DRIVERS[address.get_backend_name()][0 if is_async else 1])
    text = address.render_as_string(hide_password=False)
    if role == "producer":
        if is_async:
            asyncio.run(produce(url, text, death))
        else:
            produce_in_threads(url, text, death)
    elif is_async:
        asyncio.run(consume(url, text, death, name, fault))
    else:
        consume_in_threads(url, text, death, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
