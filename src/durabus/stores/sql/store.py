"""The SQL store: the port on one side, a driver on the other.

One transaction per batch, one batch at a time, in the order of their numbers. What a failed transaction may have left
behind is found out by `recover`, which connects anew and loads everything; until then every batch fails.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError, StoreLostError
from durabus.stores.sql.contents import Contents, StoredChannel
from durabus.stores.sql.database import LOST_LOCK, Database, WriteFailedError
from durabus.stores.sql.loading import load
from durabus.stores.sql.lock import StoreLock
from durabus.stores.sql.plan import Changes, PlanError, Rules, apply, plan
from durabus.stores.sql.reading import measure, read_page, seek
from durabus.stores.sql.rows import channel_complaint
from durabus.stores.sql.setup import column_bytes_max, prepare_tables
from durabus.stores.sql.sweeping import Sweeper
from durabus.stores.tail import Tail
from durabus.streaming.store_port import FATAL, REFUSED, Batch, Lease, Recovered, Store, StoreListener

__all__ = ["SqlStore"]

TAIL_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes of the latest messages that are kept in memory, over all channels."""
_MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
_ENCODING_BYTES_MAX: Final = 64
"""What a stored message may be longer than the request that brought it: sequence, timestamp, and their tags."""
_BATCH_MESSAGES: Final = 256
"""A database is another process: while it commits so many, the next ones are decided. Half of what one publisher mostly has in flight."""
_READS_AT_ONCE: Final = 4
_AGAIN_S: Final = 1.0
"""How long to wait before a question is asked again that the database did not answer."""


class _Question:
    """A `read`, a `seek` or a `measure` that has not been answered.

    For a seek, `timestamp_ns` is not None; for a measure, `channel` is not, and the rows from `first` on stay in the table.
    """

    def __init__(self, request: int, channel_id: int) -> None:
        self.request = request
        self.channel_id = channel_id
        self.first = 0
        self.count_max = 0
        self.bytes_max = 0
        self.timestamp_ns: int | None = None
        self.channel: StoredChannel | None = None
        self.end = 0


class SqlStore(Store):
    """Keeps batches in a database."""

    def __init__(self, database: Database, rules: Rules, create_tables: bool = True, tick_s: float = 1.0) -> None:
        """Touch nothing yet. `create_tables` says whether missing ones may be made, `tick_s` how often an owner counts."""
        self.name = "SQL"
        self.durability = (
            "an acknowledged event is committed in the database, and as safe as that keeps what is committed"
        )
        self.message_bytes_max = _MESSAGE_BYTES_MAX
        self.message_overhead_bytes = 0
        self.batches_in_flight_max = 2
        self.batch_messages_best = _BATCH_MESSAGES
        self.has_lost = False
        self._database = database
        self._rules = rules
        self._create_tables = create_tables
        self._listener: StoreListener | None = None
        self._lock = StoreLock(database, tick_s)
        self._epoch = 0
        self._contents = Contents()
        self._tail = Tail(TAIL_BYTES_MAX)
        self._sweeper: Sweeper | None = None
        self._broken: tuple[int, str] | None = (REFUSED, "sql: the store is not recovered yet")
        self._is_open = False
        self._is_connected = False
        self._batches: deque[Batch] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._unreported: list[int] = []  # batches that are committed, and the listener has not been told
        self._questions: deque[_Question] = deque()
        self._answering: set[asyncio.Task[None]] = set()
        self._gives_up = asyncio.Event()  # questions that cannot be answered now are answered with nothing
        self._reading_problem = ""  # why they cannot
        self.on_problem: Callable[[str], None] = lambda _: None

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how work ends, from now on."""
        self._listener = listener

    def channel_complaint(self, name: bytes) -> str:
        """A name must fit in its column."""
        return channel_complaint(name)

    # The right to write.

    async def acquire(self, owner: str) -> Lease | None:
        """Become the writer of a group, as `StoreLock` says; None: another one is. Raises StoreError."""
        if not self._is_open:
            await self._open(exclusive=False)
        lease = await self._lock.acquire(owner)
        if lease is not None:
            self._epoch = lease.epoch
            self._is_connected = False  # a standby's connection may have waited for months: begin with another one
        return lease

    async def _open(self, exclusive: bool) -> None:
        """Connect, and see to the tables."""
        self._is_connected = False
        await self._database.open(exclusive)
        await prepare_tables(self._database, self._create_tables)
        column_max = min(await column_bytes_max(self._database), self._database.message_bytes_max)
        self._rules.message_bytes_max = column_max
        self.message_bytes_max = min(column_max - _ENCODING_BYTES_MAX, _MESSAGE_BYTES_MAX)
        self._is_open = True
        self._is_connected = True

    async def recover(self, lease: Lease | None) -> Recovered:
        """Everything in the tables. Raises StoreError, and StoreLostError when another one owns the store now."""
        await self._end_work()
        if not self._is_connected:
            await self._open(exclusive=lease is None)
        if lease is None:
            if await self._lock.is_busy():
                raise StoreError(
                    "sql: a server of an FT group is active on this database: be one of its group (-ft_group)"
                )
        elif not await self._lock.is_ours():
            raise StoreLostError(LOST_LOCK)
        self._contents, recovered = await load(self._database)
        if self._database.weakness:
            recovered.weaknesses.append(
                f"sql: {self._database.weakness}: what was acknowledged is lost when the machine of the database fails"
            )
        self.has_lost = any(channel.has_gaps for channel in self._contents.channels.values())
        self._tail.clear()
        self._broken = None
        self._gives_up.clear()
        self._sweeper = Sweeper(self._database, self._contents, on_problem=self._report_problem)
        self._sweeper.start()
        if lease is not None:
            self._epoch = lease.epoch
        return recovered

    def _report_problem(self, text: str) -> None:
        self.on_problem(text)

    async def _end_work(self) -> None:
        """Wait for the end of everything that was submitted and asked."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._gives_up.set()
        while self._answering:
            await asyncio.wait(self._answering)
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            await sweeper.stop()

    # Writing.

    def submit(self, batch: Batch) -> None:
        """Write `batch` when those before it have ended."""
        self._batches.append(batch)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._batches:
                batch = self._batches[0]
                failure = await self._write_one(batch)
                self._batches.popleft()
                if failure is None:
                    self._unreported.append(batch.number)
                    if self._batches:
                        # The database gets the next one first, and works on it while acknowledgements go out.
                        loop.call_soon(self._report)
                    else:
                        self._report()
                    continue
                self._report()
                if self._broken is None:
                    self._broken = failure if failure[0] == FATAL else (REFUSED, failure[1])
                if self._listener is not None:
                    self._listener.on_failed(batch.number, *failure)
        finally:
            self._report()
            self._writing = None

    def _report(self) -> None:
        """Tell the listener what is committed."""
        while self._unreported:
            number = self._unreported.pop(0)
            if self._listener is not None:
                self._listener.on_durable(number)

    async def _write_one(self, batch: Batch) -> tuple[int, str] | None:
        """Write `batch`; how it failed, if it did."""
        if self._broken is not None:
            return self._broken
        if self._lock.is_lost or (self._lock.owner and batch.epoch != self._epoch):
            return FATAL, LOST_LOCK
        try:
            changes = plan(batch, self._contents, self._rules)
            if not changes.is_empty:
                await self._database.transact(changes, self._lock.owner)
        except PlanError as error:
            return REFUSED, f"sql: {error}"
        except WriteFailedError as error:
            self._is_connected = False  # whatever it was, begin anew: then nothing of it is under way any more
            if error.is_answer and await self._was_overtaken():
                return FATAL, LOST_LOCK
            return error.outcome, str(error)
        self._note(changes)
        return None

    async def _was_overtaken(self) -> bool:
        """Whether a transaction failed because another server of the group writes: what it wrote was in the way."""
        try:
            return bool(self._lock.owner) and not await self._lock.is_ours()
        except StoreError:
            return False

    def _note(self, changes: Changes) -> None:
        """The transaction is committed."""
        apply(changes, self._contents)
        self.has_lost = self.has_lost or changes.has_lost
        for channel_id, first, bodies in changes.segments:
            self._tail.add(channel_id, first, bodies)
        sweeper = self._sweeper
        for channel_id in changes.gone_channels:
            self._tail.forget(channel_id)
        if sweeper is not None:
            for channel_id in changes.floors:
                sweeper.floor_raised(self._contents.channels[channel_id])
            if changes.gone_channels:
                sweeper.channel_deleted()

    # Reading.

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """The latest messages are in memory; None for older ones."""
        channel = self._contents.channels.get(channel_id)
        if channel is None or first > channel.last:
            return []
        return self._tail.read(channel_id, int(first), count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Ask the database, unless the messages are in memory."""
        question = _Question(request, channel_id)
        question.first, question.count_max, question.bytes_max = int(first), int(count_max), int(bytes_max)
        self._ask(question)

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Ask the database."""
        question = _Question(request, channel_id)
        question.timestamp_ns = int(timestamp_ns)
        self._ask(question)

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Ask the database; what is only to be counted is so before it is swept, when that is due."""
        question = _Question(request, channel_id)
        question.first, question.end, question.bytes_max = int(first), int(end), int(enough_bytes)
        question.channel = channel = self._contents.channels.get(channel_id)
        if channel is None or self._sweeper is None:
            self._reply_measured(question, question.first, 0)
            return
        channel.measured.append(question.first)
        if enough_bytes > 0:
            self._ask(question)
        else:
            self._sweeper.measure(
                channel, question.first, question.end, lambda *answer: self._reply_measured(question, *answer)
            )

    def _reply_measured(self, question: _Question, end: int, size_bytes: int) -> None:
        if self._listener is not None:
            self._listener.on_measured(question.request, end, size_bytes)
        channel = question.channel
        if channel is not None and question.first in channel.measured:
            channel.measured.remove(question.first)
            if self._sweeper is not None:
                self._sweeper.floor_raised(channel)

    def _ask(self, question: _Question) -> None:
        self._questions.append(question)
        if len(self._answering) < _READS_AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._answer_all())
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer_all(self) -> None:
        while self._questions:
            question = self._questions.popleft()
            while True:
                try:
                    await self._answer(question)
                    self._reading_problem = ""
                    break
                except StoreError as error:
                    # Nothing is not an answer: the messages are there. Unless who asked is about to be replaced.
                    if str(error) != self._reading_problem:
                        self._reading_problem = str(error)
                        self._report_problem(f"messages cannot be read, this is tried again: {error}")
                    if self._gives_up.is_set():
                        self._reply(question, [], 0)
                        break
                    await self._wait_a_while()

    async def _wait_a_while(self) -> None:
        try:
            async with asyncio.timeout(_AGAIN_S):
                await self._gives_up.wait()
        except TimeoutError:
            pass

    async def _answer(self, question: _Question) -> None:
        """Answer `question`; raises StoreError."""
        channel = self._contents.channels.get(question.channel_id)
        if channel is None:
            self._reply(question, [], 0)
        elif question.channel is not None:
            answer = await measure(self._database, channel, question.first, question.end, question.bytes_max)
            self._reply_measured(question, *answer)
        elif question.timestamp_ns is not None:
            self._reply(question, [], await seek(self._database, channel, question.timestamp_ns))
        else:
            first, count_max, bytes_max = question.first, question.count_max, question.bytes_max
            bodies = self.read_now(question.channel_id, first, count_max, bytes_max)
            if bodies is None:
                bodies = await read_page(self._database, channel, first, count_max, bytes_max)
            self._reply(question, bodies, 0)

    def _reply(self, question: _Question, bodies: list[bytes], sequence: int) -> None:
        if question.channel is not None:
            self._reply_measured(question, question.first, 0)
        elif self._listener is None:
            return
        elif question.timestamp_ns is not None:
            self._listener.on_seek(question.request, sequence)
        else:
            self._listener.on_page(question.request, bodies)

    # Ending.

    async def close(self) -> None:
        """Finish what was submitted, let another one be the writer, and let go of the database."""
        await self._end_work()
        self._broken = (REFUSED, "sql: the store is closed")
        try:
            await self._lock.release()
        finally:
            self._is_open = self._is_connected = False
            await self._database.close()
