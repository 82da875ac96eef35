"""The transaction around one event; what it does to an event is in test_inbox."""

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_scoped_session
from sqlalchemy.orm import scoped_session

from durabus.outbox import OutboxUsageError
from durabus.outbox.once import AsyncOnce, Once, is_async
from durabus.outbox.targets import Executor
from tests.outbox.harness import Service

pytestmark = pytest.mark.once


def fail(_: Executor) -> bool:
    raise IntegrityError("INSERT", None, Exception("lost"))


def yes(_: Executor) -> bool:
    return True


def nothing(_: Executor) -> None:
    return None


async def test_a_claim_that_fails_leaves_no_transaction(service: Service) -> None:
    async with service.async_sessions() as of_asyncio, of_asyncio() as session:
        with pytest.raises(IntegrityError):
            async with AsyncOnce(session, fail, nothing):
                pass
        assert not session.in_transaction()
    with service.sessions() as sessions, sessions() as plain:
        with pytest.raises(IntegrityError), Once(plain, fail, nothing):
            pass
        assert not plain.in_transaction()


async def test_registries_of_sessions(service: Service) -> None:
    afterwards: list[Executor] = []
    async with service.async_sessions() as of_asyncio:
        registry = async_scoped_session(of_asyncio, scopefunc=lambda: 1)
        async with AsyncOnce(registry, yes, afterwards.append) as is_new:
            assert is_new
            assert registry().in_transaction()
        assert not registry().in_transaction()
        await registry.remove()
    with service.sessions() as sessions:
        plain = scoped_session(sessions)
        with Once(plain, yes, afterwards.append) as is_new:
            assert is_new
        plain.remove()
    assert len(afterwards) == 2


def test_which_is_which(sqlite: Service) -> None:
    with sqlite.sessions() as sessions, sessions() as session:
        assert not is_async(session)
    with pytest.raises(OutboxUsageError):
        is_async(sessions)  # type: ignore[arg-type]
