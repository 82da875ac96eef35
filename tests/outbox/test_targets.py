"""Sessions and connections of both kinds are told apart, and nothing else is taken."""

import pytest
from sqlalchemy.ext.asyncio import async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from durabus.outbox import OutboxUsageError
from durabus.outbox.targets import create_tables, dialect_name, execute
from tests.outbox.harness import Service

pytestmark = pytest.mark.once


async def test_all_kinds(service: Service) -> None:
    wanted = "mysql" if service.kind == "mariadb" else service.kind
    table = service.tickets
    async with service.async_sessions() as of_asyncio, of_asyncio() as session:
        assert await execute(session, lambda executor: dialect_name(executor, table)) == wanted
        connection = await session.connection()
        assert await execute(connection, lambda executor: dialect_name(executor, table)) == wanted
        registry = async_scoped_session(of_asyncio, scopefunc=lambda: 1)
        assert await execute(registry, lambda executor: dialect_name(executor, table)) == wanted
        await registry.remove()
    with service.sessions() as sessions, sessions() as plain:
        assert execute(plain, lambda executor: dialect_name(executor, table)) == wanted
        assert execute(plain.connection(), lambda executor: dialect_name(executor, table)) == wanted
        plain_registry = scoped_session(sessions)
        assert execute(plain_registry, lambda executor: isinstance(executor, Session))
        plain_registry.remove()


def test_nothing_else(sqlite: Service) -> None:
    with sqlite.engine() as engine, pytest.raises(OutboxUsageError, match="AsyncSession"):
        execute(engine, lambda _: None)  # type: ignore[call-overload]
    with pytest.raises(OutboxUsageError):
        create_tables("engine", [])  # type: ignore[call-overload]
