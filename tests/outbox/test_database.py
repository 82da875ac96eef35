"""A relay's connection, over both kinds of engines."""

import asyncio
import threading

import pytest
from sqlalchemy import Connection, text

from durabus.outbox import OutboxUsageError
from durabus.outbox.database import Database
from tests.client.harness import until
from tests.outbox.harness import PATIENCE_S, Service

pytestmark = pytest.mark.once


def answer(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT 1")).scalar_one()
    return number


async def test_both_kinds_of_engines(service: Service) -> None:
    async with service.async_engine() as of_asyncio:
        database = Database(of_asyncio)
        assert database.dialect_name == ("mysql" if service.kind == "mariadb" else service.kind)
        async with database.connected() as work:
            assert await work(answer) == 1
        database.close()
    with service.engine() as plain:
        database = Database(plain)
        async with database.connected() as work:
            assert await work(answer) == 1
            assert await work(lambda _: threading.current_thread().name) == "durabus.outbox"
        database.close()


async def test_what_is_not_committed_is_rolled_back(service: Service) -> None:
    with service.engine() as engine:
        database = Database(engine)
        insert = service.tickets.insert().values(id=1, title="")
        async with database.connected() as work:
            await work(lambda connection: connection.execute(insert))
        async with database.connected() as work:
            assert await work(lambda connection: connection.execute(service.tickets.select()).all()) == []
        database.close()


async def test_errors_come_through(sqlite: Service) -> None:
    with sqlite.engine() as engine:
        database = Database(engine)
        async with database.connected() as work:
            with pytest.raises(ZeroDivisionError):
                await work(lambda _: 1 // 0)
            assert await work(answer) == 1
        database.close()


async def test_who_gives_up_waiting_leaves_nothing_behind(sqlite: Service) -> None:
    """The connection is given back behind what it is still at work on."""
    release = threading.Event()
    with sqlite.engine() as engine:
        database = Database(engine)

        async def wait() -> None:
            async with database.connected() as work:
                await work(lambda _: release.wait(PATIENCE_S))

        task = asyncio.create_task(wait())
        await until(lambda: engine.pool.checkedout() == 1)  # type: ignore[attr-defined]
        task.cancel()
        asyncio.get_running_loop().call_soon(release.set)
        await asyncio.wait({task})
        assert task.cancelled()
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        database.close()


async def test_what_is_no_engine() -> None:
    with pytest.raises(OutboxUsageError):
        Database("sqlite://")  # type: ignore[arg-type]
