"""One of several leads: by the lock of a row, or by a lease where there are no such locks."""

import time

import pytest
from sqlalchemy import Connection

from durabus.clock import ManualClock
from durabus.outbox.leading import Lead, Lease, RowLock, lead_for
from tests.outbox.harness import Service

pytestmark = pytest.mark.once
SECOND_NS = 1_000_000_000
PATIENCE_S = 60


def lead(service: Service, clock: ManualClock) -> Lead:
    kind = "mysql" if service.kind == "mariadb" else service.kind
    return lead_for(kind, service.outbox.relay_table, clock, 10.0)


def take(one: Lead, connection: Connection) -> bool:
    """Take it, and keep the transaction where that is what holds it."""
    taken = one.take(connection)
    if not one.is_transaction:
        connection.commit()
    return taken


def test_one_at_a_time(service: Service) -> None:
    clock = ManualClock()
    one, two = lead(service, clock), lead(service, clock)
    assert isinstance(one, Lease if service.kind == "sqlite" else RowLock)
    with service.engine() as engine, engine.connect() as first, engine.connect() as second:
        for each, connection in ((one, first), (two, second), (one, first)):
            each.make_row(connection)
        assert take(one, first)
        assert not take(two, second)
        assert take(one, first), "it is ours already"
        one.release(first)
        first.commit()
        second.rollback()
        assert take(two, second)
        assert not take(one, first)


def test_it_goes_with_whoever_had_it(service: Service) -> None:
    clock = ManualClock()
    one, two = lead(service, clock), lead(service, clock)
    with service.engine() as engine, engine.connect() as second:
        first = engine.connect()
        one.make_row(first)
        two.make_row(second)
        assert take(one, first)
        first.invalidate()  # as if its process had been killed
        first.close()
        if not one.is_transaction:
            assert not take(two, second)
            clock.advance(10 * SECOND_NS)
        give_up = time.monotonic() + PATIENCE_S
        while not take(two, second):  # the database notices a moment later that it has ended
            second.rollback()
            assert time.monotonic() < give_up


def test_a_lease_of_a_clock_that_was_wrong(sqlite: Service) -> None:
    table = sqlite.outbox.relay_table
    one = Lease(table, ManualClock(), 10.0)
    with sqlite.engine() as engine, engine.connect() as connection:
        one.make_row(connection)
        connection.execute(table.update().values(owner="x", until_ns=2**62))
        connection.commit()
        assert take(one, connection)
