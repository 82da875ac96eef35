"""A service without asyncio: outbox, relay in the thread of its bus, and a consumer with an inbox."""

import subprocess
import sys

import pytest

import durabus.sync
from durabus.client import StartPosition
from durabus.events import event_type
from durabus.outbox import OutboxUsageError
from durabus.outbox.sync import Relay
from tests.outbox.harness import PATIENCE_S, Paid, Service, Ticket, new_subject

pytestmark = pytest.mark.once


def test_from_one_service_to_another(service: Service, url: str) -> None:
    subject, kind = new_subject(), event_type(Paid)
    with (
        service.engine() as engine,
        service.sessions() as sessions,
        durabus.sync.connect(url) as bus,
        Relay(service.outbox, engine, bus, poll_s=1000.0) as relay,
    ):
        relay.flush(PATIENCE_S)
        for number in (1, 2):
            with sessions.begin() as session:
                service.outbox.add(session, Paid(ticket=number, event_id=str(number)), channel=subject)
        relay.flush(PATIENCE_S)
        bus.publish(subject, kind.encode(Paid(ticket=1, event_id="1")))  # once more
        news = []
        for message in bus.subscribe(subject, start=StartPosition.all_available()):
            event = kind.decode(message.data)
            with sessions() as session, service.inbox.once(session, event, message=message) as is_new:
                news.append(is_new)
                if is_new:
                    session.add(Ticket(id=event.ticket))
            if message.sequence == 3:
                break
        assert news == [True, True, False]
        relay.stop()
        relay.stop()


def test_a_bus_that_was_closed_before(sqlite: Service, url: str) -> None:
    with sqlite.engine() as engine:
        bus = durabus.sync.connect(url)
        relay = Relay(sqlite.outbox, engine, bus)
        relay.start()
        bus.close()
        relay.stop()


def test_what_is_no_bus(sqlite: Service) -> None:
    with sqlite.engine() as engine, pytest.raises(OutboxUsageError, match=r"durabus\.sync"):
        Relay(sqlite.outbox, engine, "bus")  # type: ignore[arg-type]


def test_a_program_that_just_ends(sqlite: Service, url: str) -> None:
    """What it had committed and did not wait for is published, or there at the next start."""
    subject = new_subject()
    program = f"""
import sqlalchemy, durabus.sync
from durabus.outbox import Outbox
from durabus.outbox.sync import Relay
engine = sqlalchemy.create_engine({str(sqlite.plain_url)!r})
outbox = Outbox(sqlalchemy.MetaData())
bus = durabus.sync.connect({url!r})
Relay(outbox, engine, bus).start()
with engine.begin() as connection:
    outbox.add_payload(connection, {subject!r}, b"1", identity="1")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    with sqlite.engine() as engine, durabus.sync.connect(url) as bus, Relay(sqlite.outbox, engine, bus) as relay:
        relay.flush(PATIENCE_S)
        with bus.subscribe(subject, start=StartPosition.all_available()) as subscription:
            assert subscription.next(PATIENCE_S).data == b"1"
