"""How the conformance suite opens the stores of this project, and a durable store made of memory to try the suite on."""

import asyncio
from collections.abc import Callable

from durabus.errors import StoreError
from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Batch, Lease, Recovered, Run, Store
from durabus.testing.conformance import StoreHarness
from durabus.testing.faults import FaultyStore


class MemoryHarness(StoreHarness):
    """A store in memory: a new core on the same object finds everything, so opening again is the same object."""

    def __init__(self, kind: Callable[[], Store] = MemoryStore) -> None:
        self.kind = kind

    async def open(self) -> Store:
        return self.kind()

    async def reopen(self, store: Store) -> Store:
        return store


def copy_of(batch: Batch) -> Batch:
    """A batch with lists of its own."""
    copy = Batch(batch.number, batch.epoch)
    copy.state = list(batch.state)
    copy.floors = dict(batch.floors)
    copy.cursors = list(batch.cursors)
    for run in batch.runs:
        own = Run(run.channel_id, int(run.first_sequence))
        own.bodies, own.stamps = list(run.bodies), list(run.stamps)
        copy.runs.append(own)
    return copy


class JournalStore(DelegatingStore):
    """A store that could be durable: what is in `journal` when it is made, is there; what becomes durable, is added."""

    def __init__(self, journal: list[Batch]) -> None:
        super().__init__(MemoryStore())
        self.name = "JOURNAL"
        self.journal = journal
        self.submitted: dict[int, Batch] = {}
        for batch in journal:
            self.inner.submit(batch)

    def submit(self, batch: Batch) -> None:
        self.submitted[batch.number] = copy_of(batch)
        self.inner.submit(batch)

    def on_durable(self, number: int) -> None:
        self.write(number)
        super().on_durable(number)

    def write(self, number: int) -> None:
        """Make batch `number` safe; nothing to do while the journal is replayed."""
        batch = self.submitted.pop(number, None)
        if batch is not None:
            self.journal.append(batch)


class JournalHarness(StoreHarness):
    """A journal store: opened again and after a crash it is another object, made from the journal alone."""

    crashes = True

    def __init__(self, kind: type[JournalStore] = JournalStore) -> None:
        self.kind = kind

    async def open(self) -> Store:
        return self.kind([])

    async def reopen(self, store: Store) -> Store:
        assert isinstance(store, JournalStore)
        return self.kind(store.journal)

    def crash_copy(self, store: Store) -> object:
        assert isinstance(store, JournalStore)
        return list(store.journal)

    async def open_copy(self, copy: object) -> Store:
        assert isinstance(copy, list)
        return JournalStore(copy)


class SlowStore(FaultyStore):
    """A store as slow as a disk: nothing ends within the call, nothing is at hand, and several batches are in flight."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.batches_in_flight_max = 4
        self.answers_now = False
        self.hold()
        self.hold_answers()

    def submit(self, batch: Batch) -> None:
        super().submit(batch)
        self.later()

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        super().on_page(request, bodies)
        self.later()

    def on_seek(self, request: int, sequence: int) -> None:
        super().on_seek(request, sequence)
        self.later()

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        super().on_measured(request, end, size_bytes)
        self.later()

    def later(self) -> None:
        """Do one thing that waits, a little later."""
        asyncio.get_running_loop().call_later(0, self.do_one)

    def do_one(self) -> None:
        """Let the oldest answer go, and the oldest batch."""
        self.release_answers(1)
        self.release(1)

    async def acquire(self, owner: str) -> Lease | None:
        return Lease(7, 0)

    async def recover(self, lease: Lease | None) -> Recovered:
        if lease is None:
            raise StoreError("this store has one writer, who acquired it")
        return await super().recover(lease)


class SlowHarness(MemoryHarness):
    """The memory store behind a slow one that wants to be acquired."""

    leased = True

    def __init__(self, kind: type[SlowStore] = SlowStore) -> None:
        super().__init__(lambda: kind(MemoryStore()))
        self.slow_kind = kind

    async def reopen(self, store: Store) -> Store:
        assert isinstance(store, SlowStore)
        return self.slow_kind(store.inner)


def harness_of(kind: type[Store]) -> StoreHarness:
    """A harness for one of the kinds of store that the tests make up, without much patience."""
    harness: StoreHarness
    if issubclass(kind, JournalStore):
        harness = JournalHarness(kind)
    elif issubclass(kind, SlowStore):
        harness = SlowHarness(kind)
    else:
        harness = MemoryHarness(kind)
    harness.patience_s = 0.2
    return harness
