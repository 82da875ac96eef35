"""The outbox: events that a service writes in its own transaction, to be published when that has committed.

outbox = Outbox(metadata)

async with sessions.begin() as session:
    session.add(ticket)
    await outbox.add(session, TicketCreated(id=ticket.id))

What publishes them is a `Relay`.
"""

import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from sqlalchemy import MetaData, Table, func, select, update
from sqlalchemy.orm import Session

from durabus.client.errors import UsageError
from durabus.client.options import channel_bytes
from durabus.clock import Clock, SystemClock
from durabus.events.event import event_type
from durabus.outbox.errors import IdentityError, NotPublishableError
from durabus.outbox.tables import NAME_LENGTH_MAX, outbox_tables
from durabus.outbox.targets import AsyncBind, AsyncTarget, Bind, Executor, Target, create_tables, execute
from durabus.outbox.wakes import wake_after_commit

__all__ = ["Outbox", "OutboxState", "SetAside"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How an outbox is: events that wait, for how long the oldest has (0.0 when none does), and how many are set aside."""

    waiting: int
    oldest_s: float
    set_aside: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that the bus does not take, and the `reason`."""

    id: int
    subject: str
    identity: str | None
    payload: bytes
    reason: str


class Outbox:
    """The outbox of a database. It may be used by any number of sessions, threads and event loops at once."""

    def __init__(
        self,
        metadata: MetaData,
        *,
        name: str = "durabus_outbox",
        schema: str | None = None,
        requires_identity: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Put the tables `name` and `<name>_relay` into `metadata`, in `schema` if one is given.

        Events are published at least once, so each needs an identity, by which a consumer knows a repeated one; with
        `requires_identity=False` those without are taken, too.
        """
        self.table: Table
        self.relay_table: Table
        self.table, self.relay_table = outbox_tables(metadata, name, schema)
        self.clock = clock or SystemClock()
        self._requires_identity = requires_identity
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []

    @overload
    def create(self, bind: AsyncBind) -> Coroutine[Any, Any, None]: ...
    @overload
    def create(self, bind: Bind) -> None: ...
    def create(self, bind: AsyncBind | Bind) -> Coroutine[Any, Any, None] | None:
        """Make its tables where they are missing; to be awaited with an engine or a connection of asyncio."""
        return create_tables(bind, [self.table, self.relay_table])

    # Writing.

    @overload
    def add(
        self, target: AsyncTarget, event: object, *, entity: str | None = None, channel: str = ""
    ) -> Coroutine[Any, Any, None]: ...
    @overload
    def add(self, target: Target, event: object, *, entity: str | None = None, channel: str = "") -> None: ...
    def add(
        self, target: AsyncTarget | Target, event: object, *, entity: str | None = None, channel: str = ""
    ) -> Coroutine[Any, Any, None] | None:
        """Write `event` in the transaction of a session or a connection; with one of asyncio, to be awaited.

        It is published when the transaction has committed, and never if it is rolled back. Events of one subject are
        published one after the other in the order in which they were added. With `entity` (such as `"ticket-17"`)
        this holds for the events of that entity instead, whatever their subjects, and those of others need not wait.
        `channel` is another one than the subject of the event.

        To have the order of what was done, change first and add then: the change makes other transactions that want to
        change the same wait. A session is flushed before, for that reason.

        Raises EncodeError, EventDefinitionError (no event), IdentityError, NotPublishableError, OutboxUsageError.
        """
        kind = event_type(type(event))
        return self.add_payload(
            target, channel or kind.subject, kind.encode(event), identity=kind.identity_of(event), entity=entity
        )

    @overload
    def add_payload(
        self, target: AsyncTarget, subject: str, payload: bytes, *, identity: str | None, entity: str | None = None
    ) -> Coroutine[Any, Any, None]: ...
    @overload
    def add_payload(
        self, target: Target, subject: str, payload: bytes, *, identity: str | None, entity: str | None = None
    ) -> None: ...
    def add_payload(
        self,
        target: AsyncTarget | Target,
        subject: str,
        payload: bytes,
        *,
        identity: str | None,
        entity: str | None = None,
    ) -> Coroutine[Any, Any, None] | None:
        """Write an event that is encoded already: like `add`. Its `identity` is for people who look at the table.

        Raises IdentityError, NotPublishableError, OutboxUsageError.
        """
        if identity is None and self._requires_identity:
            raise IdentityError(
                f"an event for {subject!r} has no identity, so a consumer could not know it again when it is published"
                " twice; give its class a field `event_id: str = event_id()`, name one with @event(..., identity=...),"
                " or make the outbox with requires_identity=False"
            )
        _check_name("subject", subject)
        if entity is not None:
            _check_name("entity", entity)
        try:
            channel_bytes(subject)
        except (UsageError, UnicodeEncodeError) as error:
            raise NotPublishableError(f"the subject of an event: {error}") from None
        values = {
            "subject": subject,
            "lane": subject if entity is None else entity,
            "identity": None if identity is None else identity.replace("\0", "\\0"),
            "payload": payload,
            "created_ns": self.clock.wall_ns(),
            "attempts": 0,
        }

        def write(executor: Executor) -> None:
            if isinstance(executor, Session):
                executor.flush()
            executor.execute(self.table.insert().values(values))
            wake_after_commit(executor, self.wake)

        return self._in(target, write)

    # Looking.

    @overload
    def state(self, target: AsyncTarget) -> Coroutine[Any, Any, OutboxState]: ...
    @overload
    def state(self, target: Target) -> OutboxState: ...
    def state(self, target: AsyncTarget | Target) -> Coroutine[Any, Any, OutboxState] | OutboxState:
        """How many events wait, and for how long: what to watch, next to the log."""
        table = self.table.c
        waits = table.set_aside_ns.is_(None)
        wanted = select(func.count(), func.min(table.created_ns)).where(waits)
        aside = select(func.count()).select_from(self.table).where(~waits)

        def ask(executor: Executor) -> OutboxState:
            waiting, oldest_ns = executor.execute(wanted).one()
            age_ns = 0 if oldest_ns is None else max(0, self.clock.wall_ns() - oldest_ns)
            return OutboxState(waiting, age_ns / 1e9, executor.execute(aside).scalar_one())

        return self._in(target, ask)

    @overload
    def set_aside(self, target: AsyncTarget) -> Coroutine[Any, Any, list[SetAside]]: ...
    @overload
    def set_aside(self, target: Target) -> list[SetAside]: ...
    def set_aside(self, target: AsyncTarget | Target) -> Coroutine[Any, Any, list[SetAside]] | list[SetAside]:
        """The events that the bus refused for good, with the reasons, in their order."""
        table = self.table.c
        columns = (table.id, table.subject, table.identity, table.payload, table.reason)
        wanted = select(*columns).where(table.set_aside_ns.is_not(None)).order_by(table.id)

        def ask(executor: Executor) -> list[SetAside]:
            return [SetAside(row[0], row[1], row[2], bytes(row[3]), row[4] or "") for row in executor.execute(wanted)]

        return self._in(target, ask)

    @overload
    def retry(self, target: AsyncTarget, ids: Iterable[int] | None = None) -> Coroutine[Any, Any, int]: ...
    @overload
    def retry(self, target: Target, ids: Iterable[int] | None = None) -> int: ...
    def retry(self, target: AsyncTarget | Target, ids: Iterable[int] | None = None) -> Coroutine[Any, Any, int] | int:
        """Have events that were set aside (all, or those with these IDs) published after all; how many they are.

        It is part of the transaction of `target`. They come after what was published meanwhile.
        """
        table = self.table.c
        change = update(self.table).where(table.set_aside_ns.is_not(None)).values(set_aside_ns=None)
        if ids is not None:
            change = change.where(table.id.in_(list(ids)))

        def release(executor: Executor) -> int:
            count: int = executor.execute(change).rowcount  # type: ignore[attr-defined]
            wake_after_commit(executor, self.wake)
            return count

        return self._in(target, release)

    def _in(
        self, target: AsyncTarget | Target, work: Callable[[Executor], _Result]
    ) -> Coroutine[Any, Any, _Result] | _Result:
        return execute(target, work)

    # Waking.

    def wake(self) -> None:
        """Have the relays of this process look now, from any thread: for transactions that SQLAlchemy does not see."""
        with self._lock:
            wakers = list(self._wakers)
        for waker in wakers:
            waker()

    def add_waker(self, waker: Callable[[], None]) -> None:
        """Call `waker` after each commit of this process that has events, in whatever thread that is."""
        with self._lock:
            self._wakers.append(waker)

    def remove_waker(self, waker: Callable[[], None]) -> None:
        """Call it no more."""
        with self._lock:
            self._wakers.remove(waker)


def _check_name(what: str, name: str) -> None:
    if not 0 < len(name) <= NAME_LENGTH_MAX:
        raise NotPublishableError(
            f"the {what} of an event has 1 to {NAME_LENGTH_MAX} letters, {name[:40]!r} has {len(name)}"
        )
    if "\0" in name:
        raise NotPublishableError(f"the {what} {name!r} has a NUL in it, which databases do not take")
