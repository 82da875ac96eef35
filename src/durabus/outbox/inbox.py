"""The inbox: what a consumer has dealt with, in its own database, so that a repeated event changes nothing.

inbox = Inbox(metadata, "billing")

async with inbox.once(session, event) as is_new:
    if is_new:
        session.add(Invoice(...))

The row of the inbox and the consumer's own changes commit together, or not at all. Who acknowledges the event afterwards, as
a handler that returns does, loses none and does none twice.
"""

import hashlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar, overload

from sqlalchemy import MetaData, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from durabus.clock import Clock, SystemClock
from durabus.events.codecs import DecodeError
from durabus.events.event import EventType, event_type
from durabus.outbox.errors import IdentityError, OutboxUsageError
from durabus.outbox.once import AsyncOnce, Once, is_async
from durabus.outbox.tables import NAME_LENGTH_MAX, inbox_table
from durabus.outbox.targets import AsyncBind, AsyncTarget, Bind, Executor, Target, create_tables, dialect_name, execute

__all__ = ["Inbox", "Received"]

E = TypeVar("E")
_AUTOMATIC_PRUNE_NS: Final = 3600 * 1_000_000_000
_PRUNED_MAX: Final = 1000
_log = logging.getLogger("durabus.outbox")


class Received(Protocol):
    """A message as `durabus.client` and `durabus.sync` give it."""

    channel: str
    sequence: int
    data: bytes
    timestamp_ns: int


class Inbox:
    """The inbox of one consumer. It may be used by any number of sessions, threads and event loops at once."""

    def __init__(
        self,
        metadata: MetaData,
        consumer: str,
        *,
        name: str = "durabus_inbox",
        schema: str | None = None,
        keeps: timedelta | None = timedelta(days=30),
        falls_back_to_sequence: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Put the table `name` into `metadata`, in `schema` if one is given; consumers of one database share it.

        `consumer` is who does the work, such as the name of the queue group: each does an event once. What is older than
        `keeps` is forgotten, a little at a time by `once`; an event that comes again later than that counts as new. None:
        nothing is forgotten.

        With `falls_back_to_sequence` an event without an identity is known by its channel, sequence and time of storing,
        if the message is given: then one that is delivered again is known, and one that was published twice is not.

        Raises OutboxUsageError.
        """
        if not 0 < len(consumer) <= NAME_LENGTH_MAX:
            raise OutboxUsageError(f"a consumer has a name of 1 to {NAME_LENGTH_MAX} letters, not {consumer!r}")
        if keeps is not None and keeps <= timedelta(0):
            raise OutboxUsageError(f"an inbox keeps events for some time, not for {keeps}; None is for ever")
        self.consumer = consumer
        self.table: Table = inbox_table(metadata, name, schema)
        self._keeps_ns = None if keeps is None else keeps // timedelta(microseconds=1) * 1000
        self._falls_back = falls_back_to_sequence
        self._clock = clock or SystemClock()
        self._prune_at_ns = 0  # of the monotonic clock

    @overload
    def create(self, bind: AsyncBind) -> Coroutine[Any, Any, None]: ...
    @overload
    def create(self, bind: Bind) -> None: ...
    def create(self, bind: AsyncBind | Bind) -> Coroutine[Any, Any, None] | None:
        """Make its table where it is missing; to be awaited with an engine or a connection of asyncio."""
        return create_tables(bind, [self.table])

    # Once.

    @overload
    def once(
        self, target: AsyncTarget, event: object, *, message: Received | None = None, identity: str | None = None
    ) -> AbstractAsyncContextManager[bool]: ...
    @overload
    def once(
        self, target: Target, event: object, *, message: Received | None = None, identity: str | None = None
    ) -> AbstractContextManager[bool]: ...
    def once(
        self,
        target: AsyncTarget | Target,
        event: object,
        *,
        message: Received | None = None,
        identity: str | None = None,
    ) -> AbstractAsyncContextManager[bool] | AbstractContextManager[bool]:
        """A block that is one transaction of `target`, and says whether `event` is new: `async with` (or `with`) it.

        If it is, the transaction commits at the end of the block, and the event is known from then on; after an exception
        it is rolled back, and the event is as new as before. If it is not, what the block did is rolled back all the same.
        While another transaction is at work on the same event, this one waits for it.

        `event` is an object of an event class, or a message, whose `identity` has to be said. `message` is the one that
        the event came in. Begin with this: it raises TransactionError when the session is in a transaction already.
        Raises IdentityError, EventDefinitionError, OutboxUsageError.
        """
        key = self._key(event, message, identity)

        def claim(executor: Executor) -> bool:
            return self._claim(executor, *key)

        if is_async(target):
            return AsyncOnce(target, claim, self._prune_now_and_then)
        return Once(target, claim, self._prune_now_and_then)  # type: ignore[arg-type]

    @overload
    def claim(
        self, target: AsyncTarget, event: object, *, message: Received | None = None, identity: str | None = None
    ) -> Coroutine[Any, Any, bool]: ...
    @overload
    def claim(
        self, target: Target, event: object, *, message: Received | None = None, identity: str | None = None
    ) -> bool: ...
    def claim(
        self,
        target: AsyncTarget | Target,
        event: object,
        *,
        message: Received | None = None,
        identity: str | None = None,
    ) -> Coroutine[Any, Any, bool] | bool:
        """Whether `event` is new, in a transaction that you begin and commit; like `once` otherwise.

        It is known when that transaction has committed, and only then may it be acknowledged.
        """
        key = self._key(event, message, identity)
        return execute(target, lambda executor: self._claim(executor, *key))

    @overload
    def handler(
        self, sessions: Callable[[], AsyncSession]
    ) -> Callable[[Callable[[AsyncSession, E], Awaitable[None]]], Callable[..., Coroutine[Any, Any, None]]]: ...
    @overload
    def handler(
        self, sessions: Callable[[], Session]
    ) -> Callable[[Callable[[Session, E], None]], Callable[..., None]]: ...
    def handler(self, sessions: Callable[[], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator: makes of `handle(session, event)` a handler of events, which is called for new ones only.

        Each event has a session of its own, made by `sessions`, and a transaction, which has committed when the handler
        returns, so that a `Listener` acknowledges afterwards. The handler takes an event and, if there is one, the message
        that it came in.
        """

        def decorate(handle: Callable[..., Any]) -> Callable[..., Any]:
            async def handle_async(event: object, message: Received | None = None) -> None:
                async with sessions() as session, self.once(session, event, message=message) as is_new:
                    if is_new:
                        await handle(session, event)

            def handle_sync(event: object, message: Received | None = None) -> None:
                with sessions() as session, self.once(session, event, message=message) as is_new:
                    if is_new:
                        handle(session, event)

            return handle_async if inspect.iscoroutinefunction(handle) else handle_sync

        return decorate

    # Forgetting.

    @overload
    def prune(self, target: AsyncTarget, events_max: int = _PRUNED_MAX) -> Coroutine[Any, Any, int]: ...
    @overload
    def prune(self, target: Target, events_max: int = _PRUNED_MAX) -> int: ...
    def prune(self, target: AsyncTarget | Target, events_max: int = _PRUNED_MAX) -> Coroutine[Any, Any, int] | int:
        """Forget up to `events_max` events that are older than this inbox keeps them; how many it forgot.

        It is part of the transaction of `target`. `once` does it by itself, now and then.
        """
        return execute(target, lambda executor: self._prune(executor, events_max))

    def _prune(self, executor: Executor, events_max: int) -> int:
        if self._keeps_ns is None:
            return 0
        table = self.table.c
        before_ns = self._clock.wall_ns() - self._keeps_ns
        # Two statements: not every database has a limit for DELETE.
        old = select(table.digest).where(table.consumer == self.consumer, table.seen_ns < before_ns).limit(events_max)
        digests = list(executor.execute(old).scalars())
        if digests:
            executor.execute(delete(self.table).where(table.digest.in_(digests)))
        return len(digests)

    def _prune_now_and_then(self, executor: Executor) -> None:
        """Forget, if it is time to; commits. What goes wrong is logged: the event was dealt with."""
        now_ns = self._clock.monotonic_ns()
        if self._keeps_ns is None or now_ns < self._prune_at_ns:
            return
        self._prune_at_ns = now_ns + min(_AUTOMATIC_PRUNE_NS, self._keeps_ns)
        try:
            if self._prune(executor, _PRUNED_MAX) == _PRUNED_MAX:
                self._prune_at_ns = 0  # there is more
            executor.commit()
        except SQLAlchemyError as error:
            executor.rollback()
            _log.warning("the inbox of %s could not forget old events: %s", self.consumer, error)

    # Its statements.

    def _key(self, event: object, message: Received | None, identity: str | None) -> tuple[str, str]:
        """Subject and identity."""
        if message is None and hasattr(event, "sequence") and hasattr(event, "timestamp_ns") and hasattr(event, "data"):
            message = event  # type: ignore[assignment] # it is one
        if event is message and message is not None:
            subject, kind = message.channel, f"a message of {message.channel!r}"
        else:
            found = event_type(type(event))
            subject, kind = found.subject, found.name
            if identity is None:
                identity = found.identity_of(event)
                if identity is not None and message is not None and not _is_sent(found, identity, message):
                    kind, identity = f"{found.name}, as its publisher sends it,", None
        if identity is not None:
            return subject, identity
        if self._falls_back and message is not None:
            # The time, too: sequences begin anew in a server that lost its store.
            return message.channel, f"#{message.sequence}@{message.timestamp_ns}"
        raise IdentityError(
            f"{kind} has no identity, so nobody can say whether it came before; give its class a field"
            " `event_id: str = event_id()`, name one with @event(..., identity=...), pass identity=, or know it by its"
            " channel and sequence, with Inbox(..., falls_back_to_sequence=True) and message="
        )

    def _claim(self, executor: Executor, subject: str, identity: str) -> bool:
        """Write the row; False when it is there. Waits for another transaction that has written it and not ended."""
        values = {
            "digest": digest(self.consumer, subject, identity),
            "consumer": self.consumer,
            "subject": _readable(subject),
            "identity": _readable(identity),
            "seen_ns": self._clock.wall_ns(),
        }
        dialect = dialect_name(executor, self.table)
        if dialect == "postgresql":
            return _count(executor, postgresql.insert(self.table).values(values).on_conflict_do_nothing()) == 1
        if dialect == "sqlite":
            return _count(executor, sqlite.insert(self.table).values(values).on_conflict_do_nothing()) == 1
        if dialect in ("mysql", "mariadb"):
            return _count(executor, self.table.insert().prefix_with("IGNORE").values(values)) == 1
        try:
            with executor.begin_nested():
                executor.execute(self.table.insert().values(values))
        except IntegrityError:
            return False
        return True


def digest(consumer: str, subject: str, identity: str) -> str:
    """What stands for these three in the table; no other three have the same."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (consumer, subject, identity)]
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()


def _is_sent(kind: EventType[Any], identity: str, message: Received) -> bool:
    """Whether a message has the identity in it. Else it is a default, such as a new `event_id`, another one each time."""
    try:
        again = kind.decode(message.data)
    except DecodeError:
        return True  # the event was made of the message in another way
    return kind.identity_of(again) == identity


def _readable(text: str) -> str:
    """As a database can keep it, for people."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _count(executor: Executor, statement: Any) -> int:  # noqa: ANN401 - an INSERT of one dialect or another
    result = executor.execute(statement, execution_options={"preserve_rowcount": True})
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count
