"""The FILE store: the journal behind the store port, with a thread that writes and threads that read.

A batch is turned into bytes where it is submitted; the writing thread takes all that waits, and makes it durable with one write
and one sync. What is said to the listener is said on the event loop, in the order of the batches.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Protocol, TypeVar

from durabus.clock import boottime_ns
from durabus.errors import StoreError, StoreLostError
from durabus.stores.file.fenced_files import FencedFiles
from durabus.stores.file.files import Files, LockLostError, OsFiles, make_directory
from durabus.stores.file.housekeeping import Task
from durabus.stores.file.journal import SEGMENT_BYTES, Journal, JournalJob
from durabus.stores.file.layout import LOCK_NAME, index_name
from durabus.stores.file.lease import LOST_TEXT, Ownership, Renewals
from durabus.stores.file.lookup import DamagedIndexError
from durabus.stores.file.reader import LOST, Stretch
from durabus.stores.file.taking_over import take_over
from durabus.stores.file.writer import Job, WriteError, reason
from durabus.streaming.store_port import FATAL, REFUSED, Batch, Lease, Recovered, Store, StoreListener

__all__ = ["FileStore", "Predecessor"]

T = TypeVar("T")

_READ_AHEAD_MESSAGES: Final = 1024
_PAGE_BYTES_MAX: Final = 1024 * 1024
_THREADS: Final = 2
MARK_S: Final = 1.0
"""How long there is nothing to write before the writing thread notes what is durable."""
_LOOK_S: Final = 0.5
"""How often a lease is looked at that somebody may still renew, or a lock that somebody may release."""
LOCK_WAIT_S: Final = 5.0
"""How long a server that is stopping may keep the directory from the next one."""


class Predecessor(Protocol):
    """What else may be in the directory: data of another server, which belong into the journal before it is served."""

    async def take_over(self, store: Store, files: Files, lease: Lease | None, recovered: Recovered) -> bool:
        """See that they are in `store`; whether it is to be bound and recovered once more. Raises StoreError and OSError.

        `files` are those of the directory, `recovered` is what the journal has.
        """

    async def release(self) -> None:
        """Let go of what was held."""


class FileStore(Store):
    """Keeps batches in the journal of one directory, which is created when it is not there."""

    def __init__(
        self,
        directory: str,
        files: Files | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        clock_ns: Callable[[], int] = boottime_ns,
        mark_s: float = MARK_S,
    ) -> None:
        """Nothing is touched before `acquire` or `recover`. All but the directory stand in for real ones in tests."""
        self.name = "FILE"
        self.durability = "an acknowledged event is on the disk, synced"
        self.message_bytes_max = 64 * 1024 * 1024
        self.message_overhead_bytes = 0
        self.batches_in_flight_max = 2
        self._directory = directory
        self._files = files
        self._fenced: Files | None = None  # the same, for us as long as we are the owner
        self._segment_bytes = segment_bytes
        self._journal: Journal | None = None
        self._clock_ns = clock_ns
        self._mark_s = mark_s
        self._ownership: Ownership | None = None
        self._acquiring: asyncio.Future[Lease | None] | None = None
        self._renewals: Renewals | None = None
        self._is_shared = False  # among the servers of a group: then what is durable counts only while we are the owner
        self._has_begun = False  # a segment, since we are the owner
        self._listener: StoreListener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[JournalJob | None] = SimpleQueue()
        self._writer: Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._unended = 0  # jobs and reads that have not had their end
        self._idle = asyncio.Event()
        self._opening: asyncio.Future[Recovered] | None = None
        self._postponed: list[Callable[[], None]] = []
        self._mending: dict[int, list[Callable[[], None]]] = {}  # what waits for the index of a segment
        self._fatal = ""  # why nothing helps any more
        self.on_problem: Callable[[str], None] = lambda _: None
        self.on_progress: Callable[[str], None] = lambda _: None
        self.lock_wait_s = LOCK_WAIT_S
        self.predecessor: Predecessor | None = None  # asked once
        self._is_asked = False

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how work ends, from now on."""
        self._listener = listener

    async def acquire(self, owner: str) -> Lease | None:
        """Become the owner of the directory, or see how long the other one has been silent. Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        # Whoever is not waiting for this any more does not end it: `close` waits for it.
        self._acquiring = asyncio.ensure_future(asyncio.to_thread(self._acquire, owner))
        try:
            return await asyncio.shield(self._acquiring)
        except OSError as error:
            raise self._unusable(error) from None

    def _acquire(self, owner: str) -> Lease | None:
        """On a thread."""
        ownership = self._owning()
        if ownership.is_lost:
            raise StoreLostError(LOST_TEXT)
        lease = ownership.acquire(owner)
        if lease is not None and self._renewals is None:
            self._renewals = Renewals(ownership, self._report)
        return lease

    def _owning(self) -> Ownership:
        """The question of who owns the directory, which is created when it is not there."""
        if self._files is None:
            make_directory(Path(self._directory))
            self._files = OsFiles(self._directory)
        if self._ownership is None:
            self._ownership = Ownership(self._files, self._clock_ns)
        return self._ownership

    def _report(self, problem: str) -> None:
        """On any thread: tell a problem."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(lambda: self.on_problem(problem))

    def _is_ours(self) -> bool:
        try:
            assert self._ownership is not None
            self._ownership.check()
        except LockLostError:
            return False
        return True

    def _is_lost(self) -> bool:
        return self._ownership is not None and self._ownership.is_lost

    def _unusable(self, error: OSError) -> StoreError:
        if isinstance(error, LockLostError):
            return StoreLostError(LOST_TEXT)
        return StoreError(f"the directory {self._directory} cannot be used: {_describe(error)}")

    # Opening and closing.

    async def recover(self, lease: Lease | None) -> Recovered:
        """Read what the directory holds. Raises StoreError in words that an operator can use."""
        recovered = await self._recover(lease)
        if self.predecessor is None or self._is_asked:
            return recovered
        assert self._fenced is not None
        self._is_asked = True
        listener = self._listener
        is_taken = False
        try:
            with self._in_words():
                has_changed = await self.predecessor.take_over(self, self._fenced, lease, recovered)
            is_taken = True
        finally:
            self._listener = listener
            self._is_asked = is_taken
        return await self._recover(lease) if has_changed else recovered

    async def _recover(self, lease: Lease | None) -> Recovered:
        """The journal alone."""
        self._loop = asyncio.get_running_loop()
        await self._wait_idle()
        if self._fatal:
            raise StoreError(self._fatal)
        with self._in_words():
            journal = await self._begin(lease)
        # Progress is no problem to be told. Whoever is not waiting for this any more does not end it: `close` waits for it.
        self._opening = asyncio.ensure_future(asyncio.to_thread(self._open, journal, self._owning().lease))
        try:
            with self._in_words():
                return await asyncio.shield(self._opening)
        finally:
            self._after_opening()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """What stands against opening the directory, as an operator is told of it."""
        try:
            yield
        except OSError as error:
            raise self._unusable(error) from None
        except StoreError:
            if self._is_lost():
                raise StoreLostError(LOST_TEXT) from None
            raise

    def _open(self, journal: Journal, lease: Lease | None) -> Recovered:
        """On a thread: read the journal. Who took over seals what was found before anything else."""
        if lease is None or self._has_begun:  # without one, nobody else was here since the lock is ours
            return journal.open(lambda _: None, lease.epoch if lease is not None else 0)
        recovered = take_over(journal, lease.epoch)
        self._has_begun = True
        return recovered

    def _after_opening(self) -> None:
        """Do what waited for the end of opening, if that has come."""
        if self._opening is not None and self._opening.done():
            self._opening = None
            self._run_tasks()
            postponed, self._postponed = self._postponed, []
            for ask in postponed:
                ask()

    async def _begin(self, lease: Lease | None) -> Journal:
        """Take the directory, and start the threads; once. Raises StoreError and OSError."""
        ownership = self._owning()
        if lease is not None and ownership.lease is not lease:
            raise StoreError("the lease is not one of this store: acquire it first")
        if self._journal is not None:
            return self._journal
        if lease is None:
            await self._own_alone(ownership)
        assert self._files is not None
        self._is_shared = ownership.lease is not None
        self._has_begun = False
        self._fenced = FencedFiles(self._files, ownership) if self._is_shared else self._files
        self._journal = Journal(self._fenced, self._segment_bytes)
        self._pool = ThreadPoolExecutor(_THREADS, "durabus-read")
        self._writer = Thread(target=self._write_all, name="durabus-write", daemon=True)
        self._writer.start()
        return self._journal

    async def _own_alone(self, ownership: Ownership) -> None:
        """Take the directory without a group. Where one was, see first that none of its servers is at work."""
        owner = f"{socket.gethostname()}, process {os.getpid()}"
        waited_s = 0.0
        while not (is_ours := ownership.acquire_alone(owner)):
            who = ownership.holder() or "another server"
            if is_ours is not None and waited_s >= self.lock_wait_s:
                raise StoreError(
                    f"another server uses the directory {self._directory}: stop it first, or give this one another -dir "
                    f"({who} holds {LOCK_NAME})"
                )
            if is_ours is not None and waited_s == 0:
                self.on_progress(
                    f"The directory {self._directory} is in use by {who}: "
                    f"waiting up to {self.lock_wait_s:g}s, in case that is stopping"
                )
            await asyncio.sleep(_LOOK_S)
            waited_s += _LOOK_S if is_ours is not None else 0

    async def close(self) -> None:
        """Finish what was submitted, and let go of the directory."""
        try:
            await self._close()
        finally:
            if self.predecessor is not None:
                await self.predecessor.release()

    async def _close(self) -> None:
        if self._acquiring is not None:
            await asyncio.gather(self._acquiring, return_exceptions=True)
            self._acquiring = None
        if self._journal is not None:
            await self._wait_idle()
            journal, self._journal = self._journal, None
            self._jobs.put(None)
            assert self._writer is not None
            assert self._pool is not None
            await asyncio.to_thread(self._writer.join)
            await asyncio.to_thread(self._pool.shutdown)
            journal.close()
        renewals, self._renewals = self._renewals, None
        if renewals is not None:
            await asyncio.to_thread(renewals.stop)
        ownership, self._ownership = self._ownership, None
        if ownership is not None:
            try:
                await asyncio.to_thread(ownership.release)
            except OSError as error:  # then others see that it is renewed no more
                self.on_problem(f"the lease of {self._directory} cannot be released: {_describe(error)}")

    async def _wait_idle(self) -> None:
        if self._opening is not None:  # left alone by whoever began it
            await asyncio.gather(self._opening, return_exceptions=True)
            self._after_opening()
        while self._unended:
            self._idle.clear()
            await self._idle.wait()

    def _begun(self) -> None:
        self._unended += 1

    def _ended(self) -> None:
        self._unended -= 1
        if self._unended == 0:
            self._idle.set()

    # Writing.

    def submit(self, batch: Batch) -> None:
        """Give `batch` to the writing thread."""
        journal = self._journal
        if journal is None or self._opening is not None:
            if self._listener is not None:
                self._listener.on_failed(batch.number, REFUSED, "the store is not open")
            return
        self._begun()
        job = journal.prepare(batch)
        if job.frame is not None and job.frame.has_lost:  # in memory its pages are served as they came
            self.has_lost = True
        self._jobs.put(job)

    def _write_all(self) -> None:
        """The writing thread: take all that waits, make it durable, say so; until told to end."""
        journal = self._journal
        assert journal is not None
        unmarked: JournalJob | None = None  # the last one that is durable, as long as that is not noted
        while True:
            try:
                job = self._jobs.get(True, self._mark_s if unmarked is not None else None)
            except Empty:
                journal.note_durable(unmarked, is_synced=False)
                unmarked = None
                continue
            jobs: list[JournalJob] = []
            while job is not None:
                jobs.append(job)
                if self._jobs.empty():
                    break
                job = self._jobs.get()
            unmarked = self._write_together(jobs) or unmarked
            if job is None:
                journal.note_durable(unmarked, is_synced=True)
                return

    def _write_together(self, jobs: list[JournalJob]) -> JournalJob | None:
        """Make `jobs` durable, and say how they ended; the last one of which that is certain."""
        assert self._loop is not None
        durable: JournalJob | None = None
        refused = next((index for index, job in enumerate(jobs) if job.refusal), len(jobs))
        for group in (jobs[:refused], jobs[refused:]):
            if not group:
                continue
            refusal = group[0].refusal
            error = WriteError(REFUSED, refusal) if refusal else self._try_to_write(group)
            durable_count = len(group) if error is None else error.durable_count
            durable = group[durable_count - 1] if durable_count else durable
            self._loop.call_soon_threadsafe(self._on_written, group, durable_count, error)
        return durable

    def _try_to_write(self, group: list[JournalJob]) -> WriteError | None:
        assert self._journal is not None
        try:
            writable: list[Job] = list(group)
            self._journal.writer.write(writable)
        except WriteError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever, and nothing counts
            return WriteError(FATAL, f"internal error in the FILE store, please report it: {error!r}")
        return None

    def _on_written(self, jobs: list[JournalJob], durable_count: int, error: WriteError | None) -> None:
        """On the event loop: the end of `jobs`, of which the first `durable_count` are durable."""
        journal, listener = self._journal, self._listener
        assert journal is not None
        if durable_count and self._is_shared and not self._is_ours():
            # The process stood still since the writing thread looked: the next owner has it, and is the one to say so.
            durable_count, error = 0, WriteError(FATAL, LOST_TEXT)
        for index, job in enumerate(jobs):
            if error is None or index < durable_count:
                journal.complete(job)
                if listener is not None:
                    listener.on_durable(job.number)
            else:
                journal.fail(str(error))
                if error.outcome == FATAL:
                    self._fatal = str(error)
                if listener is not None:
                    listener.on_failed(job.number, error.outcome, str(error))
            self._ended()
        self._run_tasks()

    # Reading.

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages that were written or read a moment ago."""
        if self._journal is None or self._opening is not None:
            return None
        return self._journal.read_now(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Answer at once what is in memory; read the rest, and a little more than was asked for, on another thread."""
        if self._opening is not None:
            self._postponed.append(lambda: self.read(request, channel_id, first, count_max, bytes_max))
            return
        at_hand = self.read_now(channel_id, first, count_max, bytes_max)
        if at_hand is not None or self._journal is None:
            self._answer(request, at_hand or [])
            return
        journal = self._journal
        ahead = max(count_max, _READ_AHEAD_MESSAGES)
        try:
            stretches = journal.stretches(channel_id, first, ahead, max(bytes_max, _PAGE_BYTES_MAX))
            missing = min(journal.missing(channel_id, first), count_max) if not stretches else 0
        except DamagedIndexError as damaged:
            self._mend(damaged, lambda: self.read(request, channel_id, first, count_max, bytes_max))
            return
        if not stretches:
            self.has_lost = self.has_lost or missing > 0
            self._answer(request, [LOST] * missing)
            return

        def done(found: tuple[list[bytes], list[int]]) -> None:
            for stretch in stretches:
                journal.release(stretch.segment)
            bodies, lost = found
            self.has_lost = self.has_lost or bool(lost)
            for sequence in lost:
                self.on_problem(f"message {sequence} of channel {channel_id} is damaged")
            journal.recent.add_page(channel_id, first, bodies)
            page = journal.read_now(channel_id, first, count_max, bytes_max)
            if lost:
                journal.recent.drop_page(channel_id)  # it may be readable the next time
            self._answer(request, page if page is not None else bodies[:count_max])

        self._on_thread(lambda: self._read_stretches(stretches, bytes_max), done)

    def _read_stretches(self, stretches: list[Stretch], bytes_max: int) -> tuple[list[bytes], list[int]]:
        """On a reading thread. What cannot be read is lost, too."""
        assert self._journal is not None
        try:
            return self._journal.reader.read(stretches, max(bytes_max, _PAGE_BYTES_MAX))
        except OSError:
            return [LOST], [stretches[0].first]

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Find the run in the index, then the message in the run."""
        if self._opening is not None:
            self._postponed.append(lambda: self.seek(request, channel_id, timestamp_ns))
            return
        journal = self._journal
        if journal is None:
            self._found(request, 0)
            return
        try:
            sequence, run = journal.seek(channel_id, timestamp_ns)
        except DamagedIndexError as damaged:
            self._mend(damaged, lambda: self.seek(request, channel_id, timestamp_ns))
            return
        if run is None:
            self._found(request, sequence)
            return
        segment, place = run
        log = journal.contents.channels[channel_id]

        def find() -> int:
            try:
                return journal.reader.find_time(segment, place, timestamp_ns)
            except OSError:
                return 0

        def done(index: int) -> None:
            journal.release(segment)
            found = place.first + index if index < place.count else sequence
            self._found(request, max(found, log.first))

        self._on_thread(find, done)

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Find out by the index, and by the lengths of the runs at both ends; what is asked for stays until it is answered."""
        if self._opening is not None:
            self._postponed.append(lambda: self.measure(request, channel_id, first, end, enough_bytes))
            return
        journal = self._journal
        log = journal.contents.channels.get(channel_id) if journal is not None else None
        if journal is None or log is None:
            if self._listener is not None:
                self._listener.on_measured(request, first, 0)
            return

        def again() -> None:
            log.measured.remove(first)
            self.measure(request, channel_id, first, end, enough_bytes)

        log.measured.append(first)
        try:
            found = journal.to_measure(log, first, end, enough_bytes)
        except DamagedIndexError as damaged:
            self._mend(damaged, again)
            return

        def measure() -> tuple[int, int]:
            with contextlib.suppress(OSError):
                return found.measure(journal.reader.files) if found is not None else (first, 0)
            return first, 0

        def done(answer: tuple[int, int]) -> None:
            for segment in found.segments() if found is not None else ():
                journal.release(segment)
            if self._listener is not None:
                self._listener.on_measured(request, *answer)
            log.measured.remove(first)
            journal.let_go(log)

        self._on_thread(measure, done)

    def _on_thread(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Do `work` on another thread, then `done` with its result on the event loop."""
        pool, loop = self._pool, self._loop
        assert pool is not None
        assert loop is not None
        self._begun()

        def finish(result: T) -> None:
            try:
                done(result)
            finally:
                self._ended()

        def crash(error: Exception) -> None:
            self.on_problem(f"internal error in the FILE store, please report it: {error!r}")
            self._ended()

        def run() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - whoever waits for the store must not wait for ever
                loop.call_soon_threadsafe(crash, error)
            else:
                loop.call_soon_threadsafe(finish, result)

        pool.submit(run)

    def _answer(self, request: int, bodies: list[bytes]) -> None:
        if self._listener is not None:
            self._listener.on_page(request, bodies)

    def _found(self, request: int, sequence: int) -> None:
        if self._listener is not None:
            self._listener.on_seek(request, sequence)

    # Work that nobody waits for.

    def _run_tasks(self) -> None:
        journal = self._journal
        if journal is None:
            return
        for task in journal.take_tasks():
            self._run_task(task)

    def _mend(self, damaged: DamagedIndexError, again: Callable[[], None]) -> None:
        """Have a damaged index made again on another thread, then ask `again`."""
        journal, number = self._journal, damaged.segment.number
        assert journal is not None
        if number in self._mending:
            self._mending[number].append(again)
            return
        self._mending[number] = [again]
        self.on_problem(f"{index_name(number)} is damaged: it is made again from its segment")
        self._run_task(journal.mending(damaged.segment))

    def _run_task(self, task: Task) -> None:
        journal = self._journal
        assert journal is not None

        def run() -> str:
            try:
                task.run()
            except OSError as error:
                return _describe(error)
            return ""

        def done(problem: str) -> None:
            if problem:
                self.on_problem(f"housekeeping in {self._directory} failed: {problem}")
            task.finish(problem)
            while journal.findings:
                self.on_problem(journal.findings.pop(0))
            for again in self._mending.pop(task.mended, []):
                again()

        self._on_thread(run, done)


def _describe(error: OSError) -> str:
    """What the system says, and of which file."""
    return f"{reason(error)}: {error.filename}" if error.filename else reason(error)
