"""The relay: publishes what is committed in an outbox, and removes it when the server has stored it.

async with durabus.connect(URL) as bus, Relay(outbox, engine, bus):
    ...

At least once: an event that was published and could not be removed, because one of the two was killed or lost, is published
again, the same bytes with the same identity.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Connection, Engine, Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from durabus.client import Bus
from durabus.client.errors import ClosedError, ReplacedError
from durabus.outbox.database import Database, Work
from durabus.outbox.errors import OutboxUsageError, RelayStoppedError
from durabus.outbox.lanes import Outcome, Rests, Row, publish_rows
from durabus.outbox.leading import lead_for
from durabus.outbox.outbox import Outbox, SetAside

__all__ = ["Relay"]

_LANES_MAX: Final = 1000
"""So many resting lanes are named to the database."""
_IDS_MAX: Final = 500
_BUSY_S: Final = 0.1
_log = logging.getLogger("durabus.outbox")


class Relay:
    """Publishes the events of one outbox. Several may run for one outbox, in one process or many: one publishes at a time."""

    def __init__(
        self,
        outbox: Outbox,
        engine: AsyncEngine | Engine,
        bus: Bus,
        *,
        poll_s: float = 1.0,
        batch_events: int = 500,
        lease_s: float = 10.0,
        retry_wait_s: float = 0.1,
        retry_wait_max_s: float = 10.0,
        is_pipelined: bool = False,
        on_set_aside: Callable[[SetAside], None] | None = None,
    ) -> None:
        """Nothing is done before `start`, `run` or `async with`; `bus` is of the same event loop.

        It looks at once when a transaction of this process has committed, and every `poll_s` seconds for those of
        others. `batch_events` are read at a time. What could not be published, or a database that could not be asked,
        is tried again after `retry_wait_s`, and twice as long each time, up to `retry_wait_max_s`.

        An event waits until the one before it (of its subject, or of its entity) is stored. With `is_pipelined` it
        does not, which is many times faster; then, when the server refuses one for the moment (its disk is full),
        others can come before it.

        `lease_s`: with a database that cannot lock rows (SQLite), for how long a killed relay keeps others waiting.
        `on_set_aside` is told of each event that the bus refuses for good, after it was logged.

        Raises OutboxUsageError.
        """
        if poll_s <= 0 or batch_events < 1 or lease_s <= 0 or retry_wait_s <= 0 or retry_wait_max_s < retry_wait_s:
            raise OutboxUsageError("a relay's times and batch_events are more than 0, and no wait above its maximum")
        self._outbox = outbox
        self._database = Database(engine)
        self._bus = bus
        self._poll_s = poll_s
        self._batch_events = batch_events
        self._lease_s = lease_s
        self._wait_s = retry_wait_s
        self._wait_max_s = retry_wait_max_s
        self._is_pipelined = is_pipelined
        self._on_set_aside = on_set_aside
        self._clock = outbox.clock
        self._lead = lead_for(self._database.dialect_name, outbox.relay_table, self._clock, lease_s)
        self._rests = Rests(retry_wait_s, retry_wait_max_s)
        self._failures = 0  # of the database, in a row
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._turned = asyncio.Event()  # at the end of the turn that is next
        self._is_in_turn = False
        self._is_stopping = False

    # Its life.

    async def start(self) -> None:
        """Begin, in the background. A database or a bus that is not there is waited for."""
        if self._task is not None:
            raise OutboxUsageError("this relay was started before; make a new one")
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is being published, for `timeout_s` seconds at most, and end."""
        task = self._task
        if task is None:
            return
        self._is_stopping = True
        if not self._is_in_turn:
            task.cancel()
        await asyncio.wait({task}, timeout=timeout_s)
        task.cancel()
        await asyncio.wait({task})

    async def run(self) -> None:
        """Start, and go on until this is cancelled or the bus is over: for a program that does nothing else.

        Returns when the bus was closed by its own program; raises RelayStoppedError when another took its place.
        """
        await self.start()
        try:
            await self.wait_stopped()
        finally:
            await self.stop()

    async def wait_stopped(self) -> None:
        """Wait until it has ended; raises RelayStoppedError when the bus was replaced by another instance."""
        assert self._task is not None, "it was started"
        await asyncio.wait({self._task})
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and not isinstance(error, ClosedError):
            raise RelayStoppedError(f"the relay of the outbox has stopped: {error}") from error

    async def flush(self) -> None:
        """Wait until nothing waits in the outbox any more: all is published, by whichever relay, or set aside.

        Raises RelayStoppedError.
        """
        self._woken.set()
        while True:
            turned = self._turned
            if self._task is None or self._task.done():
                raise RelayStoppedError("the relay of the outbox does not run, and events may wait; start one")
            async with self._database.connected() as work:
                if not await work(lambda connection: self._is_waiting(connection, [])):
                    return
            await turned.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be woken
            self._loop.call_soon_threadsafe(self._woken.set)

    def _on_over(self, over: "asyncio.Future[None]") -> None:
        """The bus is over, which the next turn says; or we are."""
        if not over.cancelled():
            over.exception()
            self._woken.set()

    # Its work.

    async def _run(self) -> None:
        self._outbox.add_waker(self._wake)
        over = asyncio.ensure_future(self._bus.wait_closed())
        over.add_done_callback(self._on_over)
        try:
            while not self._is_stopping:
                await self._bus.wait_connected()
                self._woken.clear()
                self._is_in_turn = True
                pause_s = await self._try_turn()
                self._is_in_turn = False
                turned, self._turned = self._turned, asyncio.Event()
                turned.set()
                if pause_s and not self._is_stopping:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause_s):
                            await self._woken.wait()
        except (ClosedError, ReplacedError) as error:
            _log.error("the relay of the outbox has stopped: %s", error)
            raise
        finally:
            over.cancel()
            self._outbox.remove_waker(self._wake)
            self._database.close()
            self._turned.set()

    async def _try_turn(self) -> float:
        """One turn; how many seconds to wait after it, unless somebody wakes us. Raises ClosedError, ReplacedError."""
        try:
            pause_s = await self._turn()
        except (ClosedError, ReplacedError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a driver raises when its database is lost
            pause_s = min(self._wait_s * 2 ** min(self._failures, 30), self._wait_max_s)
            self._failures += 1
            _log.warning("the outbox cannot be worked on, again in %g s: %s", pause_s, _one_line(error))
            self._is_in_turn = False
            await asyncio.sleep(pause_s)  # who commits while the database comes back must not cut this short
            return 0.0
        if self._failures:
            _log.info("the outbox is worked on again")
            self._failures = 0
        return pause_s

    async def _turn(self) -> float:
        """Publish what waits, up to a batch; how many seconds to wait afterwards."""
        resting = self._rests.resting(self._clock.monotonic_ns())[:_LANES_MAX]
        async with self._database.connected() as work:
            await work(self._lead.make_row)
            is_waiting = await work(lambda connection: self._is_waiting(connection, resting))
            await work(_commit)
            if not is_waiting:
                return self._pause_s()
            if not await work(self._lead.take):
                return min(self._poll_s, _BUSY_S)  # whoever has it may not have seen what we were woken for
            if not self._lead.is_transaction:
                await work(_commit)
            rows = await work(lambda connection: self._read(connection, resting))
            if not self._lead.is_transaction:
                await work(_commit)
            outcome = await self._publish(rows, work)
            await work(lambda connection: self._settle(connection, outcome))
        self._tell(outcome)
        if outcome.error is not None:
            raise outcome.error
        return 0.0 if len(rows) == self._batch_events else self._pause_s()

    def _pause_s(self) -> float:
        wait_ns = self._rests.wait_ns(self._clock.monotonic_ns())
        return self._poll_s if wait_ns is None else min(self._poll_s, wait_ns / 1e9)

    async def _publish(self, rows: list[Row], work: Work) -> Outcome:
        """Publish `rows`, and keep the lead meanwhile."""
        publishing = asyncio.ensure_future(publish_rows(self._bus.publish, rows, self._is_pipelined))
        try:
            while not publishing.done():
                await asyncio.wait({publishing}, timeout=None if self._lead.is_transaction else self._lease_s / 3)
                if not publishing.done():
                    await work(self._lead.take)
                    await work(_commit)
        finally:
            publishing.cancel()
        return publishing.result()

    def _tell(self, outcome: Outcome) -> None:
        """Log what was not published, and note which lanes have to wait."""
        now_ns = self._clock.monotonic_ns()
        for row in outcome.published:
            self._rests.end(row.lane)
        waits_s = {lane: self._rests.begin(lane, now_ns) / 1e9 for lane in {row.lane for row, _ in outcome.failed}}
        for row, reason in outcome.failed:
            _log.warning("%s is not published, again in %g s: %s", row, waits_s[row.lane], reason)
        for row, reason in outcome.refused:
            _log.error("%s can never be published, it is set aside: %s", row, reason)
            if self._on_set_aside is not None:
                try:
                    self._on_set_aside(SetAside(row.id, row.subject, row.identity, row.payload, reason))
                except Exception:  # noqa: BLE001 - it is the program's
                    _log.exception("on_set_aside failed")

    # Its statements.

    def _waiting(self, columns: Sequence[str], resting: list[str]) -> Select[tuple[object, ...]]:
        """The rows to be published, in their order, but for those of `resting` lanes."""
        table = self._outbox.table.c
        wanted = select(*(table[name] for name in columns)).where(table.set_aside_ns.is_(None))
        if resting:
            wanted = wanted.where(table.lane.not_in(resting))
        return wanted.order_by(table.id)

    def _is_waiting(self, connection: Connection, resting: list[str]) -> bool:
        return connection.execute(self._waiting(["id"], resting).limit(1)).first() is not None

    def _read(self, connection: Connection, resting: list[str]) -> list[Row]:
        columns = ("id", "lane", "subject", "identity", "payload", "attempts")
        found = connection.execute(self._waiting(columns, resting).limit(self._batch_events))
        return [Row(row.id, row.lane, row.subject, row.identity, bytes(row.payload), row.attempts) for row in found]

    def _settle(self, connection: Connection, outcome: Outcome) -> None:
        """Remove what is published, note what is not, and give the lead away."""
        table = self._outbox.table
        ids = [row.id for row in outcome.published]
        for start in range(0, len(ids), _IDS_MAX):
            connection.execute(delete(table).where(table.c.id.in_(ids[start : start + _IDS_MAX])))
        for row, reason in outcome.failed:
            self._note(connection, row, reason, None)
        for row, reason in outcome.refused:
            self._note(connection, row, reason, self._clock.wall_ns())
        self._lead.release(connection)
        connection.commit()

    def _note(self, connection: Connection, row: Row, reason: str, set_aside_ns: int | None) -> None:
        table = self._outbox.table
        values = {"attempts": row.attempts + 1, "reason": reason, "set_aside_ns": set_aside_ns}
        connection.execute(update(table).where(table.c.id == row.id).values(**values))


def _commit(connection: Connection) -> None:
    connection.commit()


def _one_line(error: BaseException) -> str:
    """What a driver said, without the statement and its parameters, which can have events in them."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:500]}"
