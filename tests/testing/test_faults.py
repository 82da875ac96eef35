"""The faulty store: without faults a good one, with each fault exactly as asked."""

import asyncio

import pytest

from durabus.errors import StoreError
from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import FATAL, KIND_CLIENT, REFUSED, UNKNOWN, Batch, Run, StoreListener
from durabus.testing.conformance import Check, StoreHarness, checks_for, run_check
from durabus.testing.faults import FaultyStore
from tests.stores.harnesses import MemoryHarness

MUCH = 1 << 30


class Listener(StoreListener):
    """Writes down what it is told."""

    def __init__(self, store: FaultyStore) -> None:
        self.told: list[tuple[object, ...]] = []
        store.bind(self)

    def on_durable(self, number: int) -> None:
        self.told.append(("durable", number))

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        self.told.append(("failed", number, outcome, text))

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        self.told.append(("page", request, bodies))

    def on_seek(self, request: int, sequence: int) -> None:
        self.told.append(("seek", request, sequence))


class LaterStore(DelegatingStore):
    """A memory store that ends its batches when it is told to."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.waiting: list[Batch] = []

    def submit(self, batch: Batch) -> None:
        self.waiting.append(batch)

    def go_on(self) -> None:
        self.inner.submit(self.waiting.pop(0))


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def told(store: FaultyStore) -> list[tuple[object, ...]]:
    return Listener(store).told


def batch_of(number: int, *bodies: bytes, first: int = 1) -> Batch:
    batch = Batch(number, 0)
    batch.state.append((KIND_CLIENT, b"%d" % number, b"client"))
    if bodies:
        run = Run(1, first)
        run.bodies.extend(bodies)
        run.stamps.append((0, number * 100))
        batch.runs.append(run)
    return batch


async def state_of(store: FaultyStore) -> list[bytes]:
    return [key for _, key, _ in (await store.recover(None)).state]


def harness() -> StoreHarness:
    return MemoryHarness(lambda: FaultyStore(MemoryStore()))


@pytest.mark.parametrize("check", checks_for(harness()), ids=str)
async def test_without_faults_it_is_a_good_store(check: Check) -> None:
    await run_check(check, harness())


def test_held_batches_are_neither_written_nor_reported(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.hold()
    for number in (1, 2, 3):
        store.submit(batch_of(number, b"body-%d" % number, first=number))
    assert told == []
    assert store.held_count == 3
    assert len(store.submitted) == 3
    assert store.read_now(1, 1, 10, MUCH) == []
    assert store.release(2) == 2
    assert told == [("durable", 1), ("durable", 2)]
    assert store.read_now(1, 1, 10, MUCH) == [b"body-1", b"body-2"]
    assert store.release() == 1
    assert store.release() == 0
    store.submit(batch_of(4))
    assert store.held_count == 1
    store.stop_holding()
    store.submit(batch_of(5))
    assert told[2:] == [("durable", 3), ("durable", 4), ("durable", 5)]


async def test_lost_batches_are_gone(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.hold()
    store.submit(batch_of(1))
    store.submit(batch_of(2))
    assert store.lose_held() == 2
    store.stop_holding()
    assert told == []
    assert await state_of(store) == []


def test_what_is_submitted_from_within_a_report_comes_after_what_is_held(store: FaultyStore) -> None:
    class Eager(Listener):
        def on_durable(self, number: int) -> None:
            super().on_durable(number)
            if number == 1:
                store.submit(batch_of(3))

    eager = Eager(store)
    store.hold()
    store.submit(batch_of(1))
    store.submit(batch_of(2))
    store.stop_holding()
    assert eager.told == [("durable", 1), ("durable", 2), ("durable", 3)]


async def test_the_nth_batch_is_refused(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.submit(batch_of(1))
    store.fail(REFUSED, "disk full", nth=2)
    for number in (2, 3, 4):
        store.submit(batch_of(number))
    assert told == [("durable", 1), ("durable", 2), ("failed", 3, REFUSED, "disk full"), ("durable", 4)]
    assert await state_of(store) == [b"1", b"2", b"4"]


@pytest.mark.parametrize("applied", [False, True])
async def test_after_unknown_everything_is_refused_until_recovery(
    store: FaultyStore, told: list[tuple[object, ...]], applied: bool
) -> None:
    store.fail(UNKNOWN, "connection lost", applied=applied)
    store.submit(batch_of(1, b"one"))
    store.submit(batch_of(2, b"two", first=2))
    assert told == [
        ("failed", 1, UNKNOWN, "connection lost"),
        ("failed", 2, REFUSED, "connection lost; the store was not recovered since"),
    ]
    assert await state_of(store) == ([b"1"] if applied else [])
    assert store.read_now(1, 1, 10, MUCH) == ([b"one"] if applied else [])
    store.submit(batch_of(1, b"one"))
    assert told[2:] == [("durable", 1)]


async def test_after_fatal_everything_is_fatal(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.fail(FATAL, "fsync failed")
    store.submit(batch_of(1))
    await store.recover(None)
    store.submit(batch_of(1))
    assert told == [("failed", 1, FATAL, "fsync failed")] * 2


async def test_held_batches_fail_in_their_order(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.hold()
    store.fail(UNKNOWN, "connection lost", nth=2)
    for number in (1, 2, 3):
        store.submit(batch_of(number))
    store.release(2)
    assert told == [("durable", 1), ("failed", 2, UNKNOWN, "connection lost")]
    assert await state_of(store) == [b"1"]
    assert told[2:] == [("failed", 3, REFUSED, "connection lost; the store was not recovered since")]


def test_a_failure_waits_for_the_batches_before_it() -> None:
    inner = LaterStore()
    store = FaultyStore(inner)
    told = Listener(store).told
    store.fail(REFUSED, "disk full", nth=2)
    store.fail(UNKNOWN, "connection lost", nth=3, applied=True)
    for number in (1, 2, 3):
        store.submit(batch_of(number))
    assert told == []
    inner.go_on()
    assert told == [("durable", 1), ("failed", 2, REFUSED, "disk full")]
    inner.go_on()
    assert told[2:] == [("failed", 3, UNKNOWN, "connection lost")]


def test_the_inner_stores_own_failures_are_passed_on(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.submit(batch_of(1, b"one"))
    store.submit(batch_of(2, b"nine", first=9))
    assert told[1][:3] == ("failed", 2, REFUSED)


def test_impossible_faults(store: FaultyStore) -> None:
    with pytest.raises(ValueError, match="number 1"):
        store.fail(REFUSED, "no", nth=0)
    with pytest.raises(ValueError, match="not written"):
        store.fail(REFUSED, "no", applied=True)


async def test_recover_fails_as_often_as_asked(store: FaultyStore) -> None:
    store.recover_errors = ["no connection", "still none"]
    for text in ("no connection", "still none"):
        with pytest.raises(StoreError, match=text):
            await store.recover(None)
    assert (await store.recover(None)).damage == []


def test_nothing_is_at_hand(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.submit(batch_of(1, b"one", b"two"))
    store.answers_now = False
    assert store.read_now(1, 1, 10, MUCH) is None
    store.read(1, 1, 2, 10, MUCH)
    assert told[1:] == [("page", 1, [b"two"])]
    assert store.reads == 1
    store.answers_now = True
    assert store.read_now(1, 1, 1, MUCH) == [b"one"]


def test_held_answers_are_as_old_as_their_questions(store: FaultyStore, told: list[tuple[object, ...]]) -> None:
    store.submit(batch_of(1, b"one", b"two"))
    store.hold_answers()
    store.read(1, 1, 2, 10, MUCH)
    store.seek(2, 1, 101)
    store.submit(batch_of(2, b"three", first=3))
    store.read(3, 1, 3, 10, MUCH)
    assert store.held_answers_count == 3
    assert store.release_answers(1) == 1
    assert told == [("durable", 1), ("durable", 2), ("page", 1, [b"two"])]
    store.stop_holding_answers()
    store.seek(4, 1, 101)
    assert told[3:] == [("seek", 2, 3), ("page", 3, [b"three"]), ("seek", 4, 3)]


@pytest.mark.parametrize("ending", ["recover", "close"])
async def test_everything_held_has_its_end(store: FaultyStore, told: list[tuple[object, ...]], ending: str) -> None:
    store.hold()
    store.hold_answers()
    store.submit(batch_of(1))
    store.read(1, 1, 1, 1, 1)
    store.seek(2, 1, 1)
    if ending == "recover":
        assert (await store.recover(None)).state == [(KIND_CLIENT, b"1", b"client")]
    else:
        await store.close()
    assert told == [("durable", 1), ("page", 1, []), ("seek", 2, 0)]


async def test_batches_lost_in_a_crash_leave_what_was_durable(store: FaultyStore) -> None:
    listener = Listener(store)
    store.submit(batch_of(1, b"one"))
    store.hold()
    store.submit(batch_of(2, b"two", first=2))
    await asyncio.sleep(0)
    store.lose_held()
    restarted = FaultyStore(store.inner)
    assert await state_of(restarted) == [b"1"]
    assert restarted.read_now(1, 1, 10, MUCH) == [b"one"]
    assert listener.told == [("durable", 1)]
