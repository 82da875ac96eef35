"""One transaction around the work on one event: what `Inbox.once` gives, with and without asyncio."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeGuard

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from durabus.outbox.errors import OutboxUsageError, TransactionError
from durabus.outbox.targets import AsyncTarget, Executor, Target

__all__ = ["AsyncOnce", "Once", "is_async"]


class _Claim(Protocol):
    def __call__(self, executor: Executor, /) -> bool:
        """Whether the event is new; from the end of the transaction on it is not."""
        ...


def is_async(target: AsyncTarget | Target) -> TypeGuard[AsyncTarget]:
    """Whether a session or connection is one of asyncio; raises OutboxUsageError when it is neither."""
    if isinstance(target, AsyncSession | AsyncConnection | async_scoped_session):
        return True
    if isinstance(target, Session | Connection | scoped_session):
        return False
    raise OutboxUsageError(f"{target!r} is neither a session nor a connection of SQLAlchemy; take one of those")


def _check_begin(is_in_transaction: bool) -> None:
    if is_in_transaction:
        raise TransactionError(
            "the session is in a transaction already, which inbox.once() would have to commit; begin with once(), or ask"
            " inbox.claim() in a transaction of your own, and acknowledge the event when that has committed"
        )


class Once:
    """`with` it: a transaction in which the event is claimed."""

    def __init__(self, target: Target, claim: _Claim, afterwards: Callable[[Executor], None]) -> None:
        """`afterwards` is called after a commit, and commits by itself what it does."""
        self._executor: Executor = target() if isinstance(target, scoped_session) else target
        self._claim = claim
        self._afterwards = afterwards
        self._is_new = False
        self._transaction: Any = None

    def __enter__(self) -> bool:
        _check_begin(self._executor.in_transaction())
        self._transaction = self._executor.begin()
        self._transaction.__enter__()
        try:
            self._is_new = self._claim(self._executor)
        except BaseException as error:
            self._transaction.__exit__(type(error), error, error.__traceback__)
            raise
        return self._is_new

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._is_new:
            self._transaction.rollback()
        self._transaction.__exit__(kind, error, trace)
        if error is None and self._is_new:
            self._afterwards(self._executor)


class AsyncOnce:
    """`async with` it: the same with asyncio."""

    def __init__(self, target: AsyncTarget, claim: _Claim, afterwards: Callable[[Executor], None]) -> None:
        """`afterwards` is called after a commit, and commits by itself what it does."""
        self._target: AsyncSession | AsyncConnection = target() if isinstance(target, async_scoped_session) else target
        self._claim = claim
        self._afterwards = afterwards
        self._is_new = False
        self._transaction: Any = None

    async def __aenter__(self) -> bool:
        _check_begin(self._target.in_transaction())
        self._transaction = self._target.begin()
        await self._transaction.__aenter__()
        try:
            self._is_new = await self._target.run_sync(self._claim)
        except BaseException as error:
            await self._transaction.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._is_new

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._is_new:
            await self._transaction.rollback()
        await self._transaction.__aexit__(kind, error, trace)
        if error is None and self._is_new:
            await self._target.run_sync(self._afterwards)
