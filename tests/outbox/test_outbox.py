"""What is written into an outbox: in the transaction of the service, and only what a bus can take."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import scoped_session

from durabus.clock import ManualClock
from durabus.events import EncodeError, Event, EventDefinitionError, event
from durabus.outbox import IdentityError, NotPublishableError, Outbox, OutboxState
from tests.outbox.harness import Anonymous, Paid, Service, Ticket, WithVersion

pytestmark = pytest.mark.once
SECOND_NS = 1_000_000_000


def rows(service: Service) -> list[tuple[object, ...]]:
    """What is in the outbox, in its order."""
    table = service.outbox.table.c
    wanted = select(table.subject, table.lane, table.identity, table.payload).order_by(table.id)
    with service.engine() as engine, engine.connect() as connection:
        return [(row[0], row[1], row[2], bytes(row[3])) for row in connection.execute(wanted)]


async def test_an_event_commits_with_the_change(service: Service) -> None:
    async with service.async_sessions() as sessions:
        async with sessions.begin() as session:
            session.add(Ticket(id=1))
            await service.outbox.add(session, Paid(ticket=1, event_id="a"))
        async with sessions() as session:
            session.add(Ticket(id=2))
            await service.outbox.add(session, Paid(ticket=2, event_id="b"))
            await session.rollback()
        async with sessions.begin() as session:
            await service.outbox.add(session, WithVersion(id=1, version=2), entity="ticket-1")
    assert rows(service) == [
        ("ticket:paid", "ticket:paid", "a", b'{"ticket":1,"event_id":"a"}'),
        ("ticket:changed", "ticket-1", "1:2", b'{"id":1,"version":2}'),
    ]


def test_the_same_without_asyncio(service: Service) -> None:
    with service.sessions() as sessions:
        with sessions.begin() as session:
            session.add(Ticket(id=1))
            service.outbox.add(session, Paid(ticket=1, event_id="a"))
        with sessions() as session:
            service.outbox.add(session, Paid(ticket=2, event_id="b"))
            session.rollback()
        registry = scoped_session(sessions)
        service.outbox.add(registry, Paid(ticket=3, event_id="c"), channel="elsewhere")
        registry.commit()
        registry.remove()
    assert [row[:3] for row in rows(service)] == [
        ("ticket:paid", "ticket:paid", "a"),
        ("elsewhere", "elsewhere", "c"),
    ]


async def test_connections_without_a_mapper(service: Service) -> None:
    async with service.async_engine() as engine, engine.begin() as connection:
        await service.outbox.add_payload(connection, "raw", b"\x00\xff" * 50_000, identity="x\0")
    with service.engine() as plain, plain.begin() as connection_too:
        service.outbox.add_payload(connection_too, "raw", b"", identity="y")
    assert rows(service) == [("raw", "raw", "x\\0", b"\x00\xff" * 50_000), ("raw", "raw", "y", b"")]


@pytest.mark.parametrize("service", ["postgresql", "mariadb"], indirect=True)  # Python's driver for SQLite has none
def test_a_savepoint_takes_its_events_with_it(service: Service) -> None:
    with service.sessions() as sessions, sessions.begin() as session:
        service.outbox.add(session, Paid(ticket=1, event_id="a"))
        savepoint = session.begin_nested()
        service.outbox.add(session, Paid(ticket=2, event_id="b"))
        savepoint.rollback()
    assert [row[2] for row in rows(service)] == ["a"]


def test_a_session_is_flushed_first(sqlite: Service) -> None:
    """The change holds its locks before the event has its place."""
    with sqlite.sessions() as sessions, sessions() as session:
        ticket = Ticket(id=1)
        session.add(ticket)
        sqlite.outbox.add(session, Paid(ticket=1))
        assert ticket not in session.new


def test_what_no_bus_would_take(sqlite: Service) -> None:
    outbox = sqlite.outbox
    with sqlite.sessions() as sessions, sessions.begin() as session:
        for subject in ("", "a..b", "a/b", "a.*", "a b", "a" * 256, "a\0b", "\ud800"):
            with pytest.raises(NotPublishableError):
                outbox.add_payload(session, subject, b"", identity="1")
        for entity in ("", "e" * 256, "e\0"):
            with pytest.raises(NotPublishableError):
                outbox.add(session, Paid(ticket=1), entity=entity)
        outbox.add(session, Paid(ticket=1, event_id="fine"))
    assert [row[2] for row in rows(sqlite)] == ["fine"]


def test_an_event_needs_an_identity(sqlite: Service) -> None:
    lax = Outbox(sqlite.metadata, requires_identity=False)
    assert lax.table is sqlite.outbox.table, "one table, however often it is asked for"
    with sqlite.sessions() as sessions, sessions.begin() as session:
        with pytest.raises(IdentityError, match="event_id"):
            sqlite.outbox.add(session, Anonymous(ticket=1))
        lax.add(session, Anonymous(ticket=1))
    assert [row[2] for row in rows(sqlite)] == [None]


@event("odd")
class Odd(Event):
    """One that cannot be encoded."""

    what: object
    event_id: str = "1"


@pytest.mark.parametrize(("make", "error"), [(lambda: Odd(what=object()), EncodeError), (object, EventDefinitionError)])
def test_what_is_no_event(sqlite: Service, make: Callable[[], object], error: type[Exception]) -> None:
    with sqlite.sessions() as sessions, sessions() as session, pytest.raises(error):
        sqlite.outbox.add(session, make())


async def test_the_state(service: Service) -> None:
    clock = ManualClock()
    outbox, _ = service.timed(clock)
    async with service.async_sessions() as sessions:
        async with sessions() as session:
            assert await outbox.state(session) == OutboxState(0, 0.0, 0)
        async with sessions.begin() as session:
            await outbox.add(session, Paid(ticket=1))
            clock.advance(3 * SECOND_NS)
            await outbox.add(session, Paid(ticket=2))
            assert await outbox.state(session) == OutboxState(2, 3.0, 0)


async def test_retrying_what_was_set_aside(service: Service) -> None:
    table = service.outbox.table
    with service.sessions() as sessions:
        with sessions.begin() as session:
            for number in range(3):
                service.outbox.add(session, Paid(ticket=number, event_id=str(number)))
            session.execute(table.update().values(set_aside_ns=1, reason="too large", attempts=1))
        with sessions.begin() as session:
            found = service.outbox.set_aside(session)
            assert [(each.identity, each.reason) for each in found] == [(str(n), "too large") for n in range(3)]
            assert found[0].payload == b'{"ticket":0,"event_id":"0"}'
            assert service.outbox.retry(session, [found[1].id]) == 1
        with sessions.begin() as session:
            assert service.outbox.state(session).set_aside == 2
            assert service.outbox.retry(session) == 2
        with sessions() as session:
            assert service.outbox.state(session).waiting == 3
            assert service.outbox.set_aside(session) == []


async def test_making_the_tables(sqlite: Service) -> None:
    outbox = Outbox(sqlite.metadata, name="second")
    async with sqlite.async_engine() as engine:
        await outbox.create(engine)
        await outbox.create(engine)
        async with engine.begin() as connection:
            await outbox.create(connection)
            await outbox.add(connection, Paid(ticket=1))
    with sqlite.engine() as plain:
        outbox.create(plain)
        sqlite.outbox.create(plain)
