"""Who is woken by a commit, and when."""

import pytest

from durabus.outbox.wakes import wake_after_commit
from tests.outbox.harness import Service, Ticket

pytestmark = pytest.mark.once


def test_a_session_wakes_after_its_commit(sqlite: Service) -> None:
    told: list[str] = []
    with sqlite.sessions() as sessions, sessions() as session:
        session.add(Ticket(id=1))
        wake_after_commit(session, lambda: told.append("one"))
        assert told == []
        session.commit()
        assert told == ["one"]
        session.add(Ticket(id=2))
        session.commit()
        assert told == ["one"], "once"


@pytest.mark.parametrize("service", ["postgresql", "mariadb"], indirect=True)
def test_the_end_of_a_savepoint_is_no_commit(service: Service) -> None:
    told: list[str] = []
    with service.sessions() as sessions, sessions() as session:
        with session.begin_nested():
            session.add(Ticket(id=1))
            wake_after_commit(session, lambda: told.append("one"))
        assert told == []
        session.commit()
        assert told == ["one"]


def test_a_connection_wakes_when_it_is_given_back(sqlite: Service) -> None:
    told: list[str] = []

    def wake() -> None:
        told.append("one")

    with sqlite.engine() as engine:
        for _ in range(2):
            with engine.begin() as connection:
                wake_after_commit(connection, wake)
                wake_after_commit(connection, wake)
                assert len(told) < 2
        assert told == ["one", "one"]
        with engine.begin():
            pass
        assert told == ["one", "one"]
