"""Where SQL is said: sessions and connections, of asyncio and not. Everything else is written once, for the latter.

A *target* is what a service has in its hands; the *executor* is the session or connection below it that executes.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, overload

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from durabus.outbox.errors import OutboxUsageError

__all__ = ["AsyncBind", "AsyncTarget", "Bind", "Executor", "Target", "create_tables", "dialect_name", "execute"]

Executor = Session | Connection
Target = Session | Connection | scoped_session[Any]
AsyncTarget = AsyncSession | AsyncConnection | async_scoped_session[Any]
Bind = Engine | Connection
AsyncBind = AsyncEngine | AsyncConnection

_Result = TypeVar("_Result")
_WANTED: Final = "a Session, an AsyncSession, a Connection or an AsyncConnection of SQLAlchemy"


@overload
def execute(target: AsyncTarget, work: Callable[[Executor], _Result]) -> Coroutine[Any, Any, _Result]: ...
@overload
def execute(target: Target, work: Callable[[Executor], _Result]) -> _Result: ...
def execute(
    target: AsyncTarget | Target, work: Callable[[Executor], _Result]
) -> Coroutine[Any, Any, _Result] | _Result:
    """Do `work` with the executor of `target`, to be awaited where `target` is one of asyncio; raises OutboxUsageError."""
    if isinstance(target, scoped_session | async_scoped_session):
        target = target()
    if isinstance(target, AsyncSession | AsyncConnection):
        return target.run_sync(work)
    if isinstance(target, Session | Connection):
        return work(target)
    raise OutboxUsageError(f"{target!r} is not {_WANTED}; take one of those")


@overload
def create_tables(bind: AsyncBind, tables: list[Table]) -> Coroutine[Any, Any, None]: ...
@overload
def create_tables(bind: Bind, tables: list[Table]) -> None: ...
def create_tables(bind: AsyncBind | Bind, tables: list[Table]) -> Coroutine[Any, Any, None] | None:
    """Make those of `tables` that are not there; raises OutboxUsageError, and what the database says."""

    def create(connection: Bind) -> None:
        for table in tables:
            table.create(connection, checkfirst=True)

    if isinstance(bind, AsyncEngine):
        return _create_async(bind, create)
    if isinstance(bind, AsyncConnection):
        return bind.run_sync(create)
    if isinstance(bind, Engine | Connection):
        create(bind)
        return None
    raise OutboxUsageError(f"{bind!r} is neither an engine nor a connection of SQLAlchemy; take one of those")


async def _create_async(engine: AsyncEngine, create: Callable[[Connection], None]) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(create)


def dialect_name(executor: Executor, table: Table) -> str:
    """Which kind of database `table` is in."""
    if isinstance(executor, Connection):
        return executor.dialect.name
    return executor.get_bind(clause=table).dialect.name
