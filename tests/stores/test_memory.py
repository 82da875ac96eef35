"""The memory store beyond what every store promises: what it lets go of, and what it says of itself."""

import tracemalloc

import pytest

from durabus.errors import StoreError
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import KIND_CHANNEL, REFUSED, Batch, Run
from durabus.testing.conformance.probe import Probe

MUCH = 1 << 30
BLOCK = 4096


def run_of(first: int, bodies: list[bytes], stamps: list[tuple[int, int]] | None = None) -> Run:
    run = Run(1, first)
    run.bodies = bodies
    run.stamps = [(0, first)] if stamps is None else stamps
    return run


def batch_of(*runs: Run, floor: int = 0) -> Batch:
    batch = Batch(1, 0)
    batch.runs = list(runs)
    if floor:
        batch.floors[1] = floor
    return batch


def window(store: MemoryStore, first: int, last: int, kept: int, body_bytes: int = 1000) -> None:
    """Append `first` to `last`, one message and one timestamp per batch, and keep the newest `kept`."""
    for sequence in range(first, last + 1):
        body = b"%d." % sequence + b"x" * body_bytes
        store.submit(batch_of(run_of(sequence, [body]), floor=max(1, sequence + 1 - kept)))


def grown_bytes(store: MemoryStore, first: int, last: int, kept: int) -> int:
    """What a moving window adds to the memory in use."""
    tracemalloc.start()
    window(store, first, last, kept)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return grown


def test_what_lies_below_the_floor_is_let_go() -> None:
    store = MemoryStore()
    window(store, 1, 2 * BLOCK, 100)
    assert grown_bytes(store, 2 * BLOCK + 1, 5 * BLOCK, 100) < 700_000
    assert store.read_now(1, 5 * BLOCK, 1, MUCH) == [b"%d." % (5 * BLOCK) + b"x" * 1000]


def test_a_body_is_let_go_even_where_its_block_stays() -> None:
    store = MemoryStore()
    tracemalloc.start()
    store.submit(batch_of(run_of(1, [b"%d" % number + b"x" * 10_000 for number in range(1000)])))
    store.submit(batch_of(floor=1001))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


def test_a_deleted_channel_is_let_go() -> None:
    store = MemoryStore()
    tracemalloc.start()
    store.submit(batch_of(run_of(1, [b"%d" % number + b"x" * 10_000 for number in range(1000)])))
    deletion = Batch(2, 0)
    deletion.state.append((KIND_CHANNEL, b"1", None))
    store.submit(deletion)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_a_page_ends_where_a_block_ends(count: int) -> None:
    store = MemoryStore()
    store.submit(batch_of(run_of(1, [b"%d" % number for number in range(1, count + 1)])))
    page = store.read_now(1, 1, MUCH, MUCH) or []
    assert len(page) == min(count, BLOCK)
    rest = store.read_now(1, BLOCK + 1, MUCH, MUCH) or []
    assert page + rest == [b"%d" % number for number in range(1, count + 1)]


async def test_a_run_of_nothing_stores_nothing() -> None:
    store = MemoryStore()
    probe = Probe(store, 1)
    probe.submit(batch_of(run_of(5, [], [])))
    figures = (await store.recover(None)).channels[0]
    assert (figures.first_sequence, figures.last_sequence) == (0, 0)
    store.submit(batch_of(run_of(1, [b"one"])))
    assert store.read_now(1, 1, 1, MUCH) == [b"one"]


@pytest.mark.parametrize(("size", "limit", "count"), [(50, 3200, 64), (65, 3200, 49), (129, 1000, 7), (20, 100, 5)])
def test_the_byte_limit_holds_for_any_size(size: int, limit: int, count: int) -> None:
    store = MemoryStore()
    store.submit(batch_of(run_of(1, [b"x" * size] * 100)))
    assert len(store.read_now(1, 1, MUCH, limit) or []) == count
    assert len(store.read_now(1, 1, MUCH, MUCH) or []) == 100


async def test_an_unchanged_stamp_is_kept_once() -> None:
    store = MemoryStore()
    tracemalloc.start()
    for sequence in range(1, 5001):
        store.submit(batch_of(run_of(sequence, [b""], [(0, 7)])))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000
    probe = Probe(store, 1)
    assert [await probe.found(probe.ask_seek(1, moment)) for moment in (6, 7, 8)] == [1, 1, 5001]


def test_a_gap_is_refused_in_words() -> None:
    store = MemoryStore()
    probe = Probe(store, 1)
    probe.submit(batch_of(run_of(1, [b"one"])))
    batch = batch_of(run_of(3, [b"three"]))
    batch.number = 2
    probe.submit(batch)
    assert probe.failed == {2: (REFUSED, "channel 1 ends at 1, so 3 cannot be its next message")}


async def test_nobody_has_to_listen() -> None:
    store = MemoryStore()
    store.submit(batch_of(run_of(1, [b"one"])))
    store.submit(batch_of(run_of(3, [b"three"])))
    store.read(1, 1, 1, 1, 1)
    store.seek(1, 1, 1)
    assert store.read_now(1, 1, 5, MUCH) == [b"one"]


async def test_memory_cannot_be_shared() -> None:
    store = MemoryStore()
    with pytest.raises(StoreError, match="not supported"):
        await store.acquire("me")
    assert store.name == "MEMORY"
    assert "lost" in store.durability
