"""A delegating store is its inner store, from either side."""

import pytest

from durabus.errors import StoreError
from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import REFUSED, Batch, Run
from durabus.testing.conformance import Check, StoreHarness, checks_for, run_check
from durabus.testing.conformance.probe import Probe
from tests.stores.harnesses import MemoryHarness


def harness() -> StoreHarness:
    return MemoryHarness(lambda: DelegatingStore(DelegatingStore(MemoryStore())))


@pytest.mark.parametrize("check", checks_for(harness()), ids=str)
async def test_it_keeps_what_the_inner_store_promises(check: Check) -> None:
    await run_check(check, harness())


async def test_it_says_what_the_inner_store_says() -> None:
    inner = MemoryStore()
    inner.message_overhead_bytes, inner.batches_in_flight_max, inner.batch_messages_best = 8, 3, 9
    store = DelegatingStore(inner)
    assert (store.name, store.durability) == (inner.name, inner.durability)
    assert store.message_bytes_max == inner.message_bytes_max
    assert (store.message_overhead_bytes, store.batches_in_flight_max, store.batch_messages_best) == (8, 3, 9)
    with pytest.raises(StoreError):
        await store.acquire("me")
    await store.close()


def test_without_a_listener_nobody_is_told() -> None:
    store = DelegatingStore(MemoryStore())
    store.submit(Batch(1, 0))
    store.read(1, 1, 1, 1, 1)
    store.seek(1, 1, 1)
    store.on_failed(1, REFUSED, "nobody hears this")


def test_the_last_listener_is_told() -> None:
    store = DelegatingStore(MemoryStore())
    first, second = Probe(store, 1), Probe(store, 1)
    second.submit(Batch(1, 0))
    batch = Batch(2, 0)
    for sequence in (1, 5):
        run = Run(1, sequence)
        run.bodies.append(b"body")
        run.stamps.append((0, 1))
        batch.runs.append(run)
    second.submit(batch)
    assert (first.durable, second.durable) == ([], [1])
    assert second.failed[2][0] == REFUSED


async def test_what_changes_with_recovery_is_taken_over() -> None:
    inner = MemoryStore()
    store = DelegatingStore(DelegatingStore(inner))
    inner.name, inner.durability, inner.message_bytes_max = "OTHER", "none at all, as one can see", 5
    inner.message_overhead_bytes, inner.data_overhead_bytes, inner.batches_in_flight_max = 6, 7, 8
    inner.has_lost = True
    assert store.name == "MEMORY"
    await store.recover(None)
    assert (store.name, store.durability, store.message_bytes_max) == ("OTHER", inner.durability, 5)
    assert (store.message_overhead_bytes, store.data_overhead_bytes, store.batches_in_flight_max) == (6, 7, 8)
    assert store.has_lost


async def test_what_a_wrapper_says_itself_stays() -> None:
    store = DelegatingStore(MemoryStore())
    store.name, store.batches_in_flight_max = "MINE", 4
    await store.recover(None)
    assert (store.name, store.batches_in_flight_max) == ("MINE", 4)
    assert not store.is_immediate, "it may hold answers back"


def test_that_messages_were_lost_is_known_before_their_page() -> None:
    inner = MemoryStore()
    store = DelegatingStore(inner)
    probe = Probe(store, 1)
    inner.has_lost = True
    assert store.read_now(1, 1, 1, 1) == []
    had_lost, store.has_lost = store.has_lost, False
    assert had_lost
    probe.ask_page(1, 1, 1, 1)
    assert store.has_lost
