"""A consumer's inbox: what was dealt with has an effect once, whoever delivers it how often."""

import asyncio
import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from durabus.client import Bus
from durabus.clock import ManualClock
from durabus.events import Event, Listener, Publisher, event_type
from durabus.events import event as is_event
from durabus.events import event_id as new_id
from durabus.outbox import IdentityError, Inbox, OutboxUsageError, TransactionError
from durabus.outbox.inbox import digest
from tests.client.harness import until
from tests.outbox.harness import PATIENCE_S, Anonymous, Paid, Service, Ticket, new_subject, received

pytestmark = pytest.mark.once
DAY_NS = 24 * 3600 * 1_000_000_000


def titles(service: Service) -> list[str]:
    """What the consumer has in its own table."""
    with service.engine() as engine, engine.connect() as connection:
        return list(connection.execute(select(service.tickets.c.title).order_by(service.tickets.c.id)).scalars())


async def test_once_with_sessions(service: Service) -> None:
    event = Paid(ticket=1)
    async with service.async_sessions() as sessions:
        for _ in range(3):
            async with sessions() as session, service.inbox.once(session, event) as is_new:
                if is_new:
                    session.add(Ticket(id=1, title="paid"))
        async with sessions() as session, service.inbox.once(session, Paid(ticket=1)) as is_new:
            assert is_new, "another event"
    assert titles(service) == ["paid"]


def test_once_without_asyncio(service: Service) -> None:
    event = Paid(ticket=1)
    with service.sessions() as sessions:
        for _ in range(3):
            with sessions() as session, service.inbox.once(session, event) as is_new:
                if is_new:
                    session.add(Ticket(id=1, title="paid"))
    assert titles(service) == ["paid"]


async def test_once_with_connections(service: Service) -> None:
    event, news = Paid(ticket=1), []
    async with service.async_engine() as engine, engine.connect() as connection:
        for _ in range(2):
            async with service.inbox.once(connection, event) as is_new:
                news.append(is_new)
                # Even who does not look does nothing twice.
                await connection.execute(service.tickets.insert().values(id=len(news), title="paid"))
    with (
        service.engine() as plain,
        plain.connect() as connection_too,
        service.inbox.once(connection_too, event) as is_new,
    ):
        news.append(is_new)
    assert news == [True, False, False]
    assert titles(service) == ["paid"]


async def test_what_failed_is_as_new_as_before(service: Service) -> None:
    event = Paid(ticket=1)

    async def fail(session: AsyncSession) -> None:
        async with service.inbox.once(session, event) as is_new:
            assert is_new
            session.add(Ticket(id=1, title="half"))
            await session.flush()
            raise KeyError

    async with service.async_sessions() as sessions, sessions() as session:
        with pytest.raises(KeyError):
            await fail(session)
        async with service.inbox.once(session, event) as is_new:
            assert is_new, "the session can be used again, too"
            session.add(Ticket(id=2, title="whole"))
    assert titles(service) == ["whole"]


async def test_two_at_once_are_settled_by_the_database(service: Service) -> None:
    """The second waits until the first one has committed, or was rolled back."""
    first, second = Paid(ticket=1), Paid(ticket=2)
    seen: list[bool] = []

    async def other(session: AsyncSession, event: Paid) -> None:
        async with service.inbox.once(session, event) as is_new:
            seen.append(is_new)

    async def race(event: Paid, succeeds: bool) -> None:
        async with service.async_sessions() as sessions, sessions() as one, sessions() as two:
            once = service.inbox.once(one, event)
            assert await once.__aenter__()
            task = asyncio.create_task(other(two, event))
            await asyncio.wait({task}, timeout=0.05)
            assert not task.done()
            await (once.__aexit__(None, None, None) if succeeds else once.__aexit__(KeyError, KeyError(), None))
            async with asyncio.timeout(PATIENCE_S):
                await task

    await race(first, True)
    await race(second, False)
    assert seen == [False, True]


def test_two_threads_at_once(service: Service) -> None:
    event, inside, news = Paid(ticket=1), threading.Event(), []

    def other() -> None:
        with service.sessions() as sessions, sessions() as session, service.inbox.once(session, event) as is_new:
            news.append(is_new)

    with service.sessions() as sessions, sessions() as session, service.inbox.once(session, event) as is_new:
        assert is_new
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(0.05)
    thread.join(PATIENCE_S)
    assert news == [False]


async def test_a_transaction_of_somebody_else_is_not_committed(sqlite: Service) -> None:
    event = Paid(ticket=1)
    async with sqlite.async_sessions() as sessions, sessions() as session:
        await session.execute(select(1))
        with pytest.raises(TransactionError, match="claim"):
            async with sqlite.inbox.once(session, event):
                pass
        assert await sqlite.inbox.claim(session, event)
        assert not await sqlite.inbox.claim(session, event)
        await session.rollback()
        assert await sqlite.inbox.claim(session, event)
        await session.commit()
    with sqlite.sessions() as plain, plain() as session_too:
        assert not sqlite.inbox.claim(session_too, event)
        with pytest.raises(TransactionError), sqlite.inbox.once(session_too, event):
            pass


def test_a_commit_in_the_middle_is_refused(sqlite: Service) -> None:
    """Or the event would be known, and half of it not done."""

    def commit_early(session: Session) -> None:
        with sqlite.inbox.once(session, Paid(ticket=1)):
            session.commit()
            session.execute(select(1))

    with sqlite.sessions() as sessions, sessions() as session, pytest.raises(InvalidRequestError):
        commit_early(session)


def test_who_is_who(service: Service) -> None:
    """Consumers share a table, and no two identities are taken for one, whatever the database makes of letters."""
    other = Inbox(service.metadata, "Billing")
    event = [Paid(ticket=1, event_id=each) for each in ("a", "A", "a ", "ä", "x" * 3000, "\0")]
    with service.sessions() as sessions, sessions.begin() as session:
        for inbox in (service.inbox, other):
            assert [inbox.claim(session, each) for each in event] == [True] * 6
            assert [inbox.claim(session, each) for each in event] == [False] * 6
    assert len({digest("a", "b", "c"), digest("ab", "", "c"), digest("a", "bc", ""), digest("", "a", "bc")}) == 4


async def test_events_without_an_identity(sqlite: Service, bus: Bus) -> None:
    event = Anonymous(ticket=1)
    subject = new_subject()
    await bus.publish_all((subject, b"{}") for _ in range(2))
    one, two = await received(bus, subject, 2)
    by_sequence = Inbox(sqlite.metadata, "billing", falls_back_to_sequence=True)
    with sqlite.sessions() as sessions, sessions.begin() as session:
        with pytest.raises(IdentityError, match=r"event_id.*identity.*falls_back_to_sequence"):
            sqlite.inbox.claim(session, event)
        with pytest.raises(IdentityError):
            sqlite.inbox.claim(session, event, message=one)
        with pytest.raises(IdentityError):
            by_sequence.claim(session, event)
        with pytest.raises(IdentityError):
            sqlite.inbox.claim(session, one)
        assert sqlite.inbox.claim(session, one, identity="said")
        assert not sqlite.inbox.claim(session, two, identity="said")
        assert by_sequence.claim(session, event, message=one)
        assert not by_sequence.claim(session, event, message=one)
        assert not by_sequence.claim(session, one)
        assert by_sequence.claim(session, two)
        assert sqlite.inbox.claim(session, event, identity="said, too")


@is_event("ticket:paid")
class PaidByNobody(Event):
    """What an older publisher sends has no ID: decoding would make up another one each time."""

    ticket: int
    event_id: str = new_id()


async def test_an_identity_that_was_not_sent_is_none(sqlite: Service, bus: Bus) -> None:
    subject = new_subject()
    await bus.publish(subject, b'{"ticket": 1}')
    await bus.publish(subject, b'{"ticket": 1, "event_id": "a"}')
    kind = event_type(PaidByNobody)
    old, new = await received(bus, subject, 2)
    with sqlite.sessions() as sessions, sessions.begin() as session:
        with pytest.raises(IdentityError, match="as its publisher sends it"):
            sqlite.inbox.claim(session, kind.decode(old.data), message=old)
        assert sqlite.inbox.claim(session, kind.decode(new.data), message=new)
        assert not sqlite.inbox.claim(session, kind.decode(new.data), message=new)


async def test_a_listener(service: Service, bus: Bus) -> None:
    """Acknowledged when it is committed, and a repeat without an effect; a failure comes again."""
    subject = new_subject()
    publisher = Publisher[Paid](bus, channel=subject)
    failures, done = list[Paid](), asyncio.Event()
    async with service.async_sessions() as sessions:

        @service.inbox.handler(sessions)
        async def bill(session: AsyncSession, event: Paid) -> None:
            session.add(Ticket(id=event.ticket, title="paid"))
            await session.flush()
            if event.ticket == 2 and not failures:
                failures.append(event)
                raise KeyError
            if event.ticket == 3:
                done.set()

        async with Listener[Paid](
            bus, bill, channel=subject, queue_group="billing", durable_name="billing", ack_wait_s=1
        ):
            for number in (1, 2, 1):
                await publisher.publish(Paid(ticket=number, event_id=str(number)))
            await until(lambda: len(titles(service)) == 2)
            await publisher.publish(Paid(ticket=3, event_id="3"))
            async with asyncio.timeout(PATIENCE_S):
                await done.wait()
    assert titles(service) == ["paid"] * 3
    assert len(failures) == 1


def test_a_handler_without_asyncio(service: Service) -> None:
    with service.sessions() as sessions:

        @service.inbox.handler(sessions)
        def bill(session: Session, event: Paid) -> None:
            session.add(Ticket(id=event.ticket, title="paid"))

        event = Paid(ticket=1)
        bill(event)
        bill(event)
    assert titles(service) == ["paid"]


async def test_old_events_are_forgotten(service: Service) -> None:
    clock = ManualClock()
    _, inbox = service.timed(clock)
    old, other = Paid(ticket=1), Inbox(service.metadata, "other", clock=clock, keeps=None)

    def count(session: Session) -> int:
        return session.execute(select(func.count()).select_from(inbox.table)).scalar_one()

    with service.sessions() as sessions:
        for each in (inbox, other):
            with sessions() as session, each.once(session, old) as is_new:
                assert is_new
        clock.advance(29 * DAY_NS)
        with sessions() as session, inbox.once(session, old) as is_new:
            assert not is_new
        with sessions() as session, inbox.once(session, Paid(ticket=2)) as is_new:
            assert is_new
            assert count(session) == 3
        clock.advance(2 * DAY_NS)
        with sessions() as session, inbox.once(session, Paid(ticket=3)) as is_new:
            assert is_new
        with sessions.begin() as session:
            assert count(session) == 3, "the old one has gone, and that of the other consumer stays"
            assert other.prune(session) == 0
            clock.advance(31 * DAY_NS)
            assert inbox.prune(session, events_max=1) == 1
            assert inbox.prune(session) == 1
    async with service.async_sessions() as of_asyncio, of_asyncio.begin() as session_too:
        assert await inbox.prune(session_too) == 0


def test_forgetting_that_fails_harms_nobody(sqlite: Service, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite.sessions() as sessions, sessions() as session:
        with sqlite.inbox.once(session, Paid(ticket=1)):
            session.execute(
                text("CREATE TRIGGER no BEFORE DELETE ON durabus_inbox BEGIN SELECT RAISE(FAIL, 'no'); END")
            )
        session.execute(sqlite.inbox.table.update().values(seen_ns=1))
        session.commit()
        fresh = Inbox(sqlite.metadata, "billing")
        with fresh.once(session, Paid(ticket=2)):
            pass
    assert "could not forget" in caplog.text


async def test_making_the_table(sqlite: Service) -> None:
    inbox = Inbox(sqlite.metadata, "billing", name="second")
    async with sqlite.async_engine() as engine:
        await inbox.create(engine)
        async with engine.begin() as connection:
            assert await inbox.claim(connection, Paid(ticket=1))
    with sqlite.engine() as plain:
        inbox.create(plain)


def test_what_cannot_be_an_inbox(sqlite: Service) -> None:
    for consumer in ("", "c" * 256):
        with pytest.raises(OutboxUsageError):
            Inbox(sqlite.metadata, consumer)
    with pytest.raises(OutboxUsageError):
        Inbox(sqlite.metadata, "billing", keeps=timedelta(0))
    with pytest.raises(OutboxUsageError):
        sqlite.inbox.once("no session", Paid(ticket=1))  # type: ignore[call-overload]
