"""A store that servers share: as good as its inner store for whoever has the lock, and of no use to anybody else."""

import pytest

from durabus.errors import StoreError
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import FATAL, KIND_CLIENT, Batch, Store
from durabus.testing.conformance import Check, StoreHarness, checks_for, run_check
from durabus.testing.conformance.probe import Probe
from durabus.testing.shared_store import LockedStore, SharedStore


class SharedHarness(StoreHarness):
    """A server alone with a shared store."""

    leased = True

    async def open(self) -> Store:
        return SharedStore(MemoryStore()).open()

    async def reopen(self, store: Store) -> Store:
        assert isinstance(store, LockedStore)
        return store._shared.open()


@pytest.mark.parametrize("check", checks_for(SharedHarness()), ids=str)
async def test_it_keeps_what_the_inner_store_promises(check: Check) -> None:
    await run_check(check, SharedHarness())


def batch(number: int, epoch: int, value: bytes) -> Batch:
    """A batch that registers a client."""
    made = Batch(number, epoch)
    made.state.append((KIND_CLIENT, b"me", value))
    return made


@pytest.mark.row(161)
async def test_one_has_the_lock_until_it_closes() -> None:
    shared = SharedStore(MemoryStore())
    first, second = shared.open(), shared.open()
    lease = await first.acquire("first")
    assert lease is not None and first.has_lock and not second.has_lock
    assert await second.acquire("second") is None
    again = await first.acquire("first")
    assert again is not None and again.epoch > lease.epoch
    await second.close()
    assert first.has_lock, "whoever has no lock lets go of nothing"
    await first.close()
    assert await second.acquire("second") is not None
    assert shared.tries == 4


@pytest.mark.row(161)
async def test_the_next_one_finds_what_the_last_one_wrote() -> None:
    shared = SharedStore(MemoryStore())
    first, second = shared.open(), shared.open()
    lease = await first.acquire("first")
    assert lease is not None
    await first.recover(lease)
    first_probe = Probe(first, 1)
    first_probe.submit(batch(1, lease.epoch, b"1"))
    assert first_probe.durable == [1]
    shared.free()
    lease_2 = await second.acquire("second")
    assert lease_2 is not None
    assert (await second.recover(lease_2)).state == [(KIND_CLIENT, b"me", b"1")]
    second_probe = Probe(second, 1)
    first_probe.submit(batch(2, lease.epoch, b"too late"))
    assert first_probe.failed == {2: (FATAL, "lost store lock, aborting")}
    second_probe.submit(batch(1, lease_2.epoch, b"2"))
    assert (second_probe.durable, first_probe.durable) == ([1], [1])
    assert (await second.recover(lease_2)).state == [(KIND_CLIENT, b"me", b"2")]


async def test_nothing_without_the_lock() -> None:
    shared = SharedStore(MemoryStore())
    first, second = shared.open(), shared.open()
    lease = await first.acquire("first")
    for store, held in ((first, None), (second, lease)):
        with pytest.raises(StoreError, match="the store belongs to another server"):
            await store.recover(held)
    probe = Probe(second, 1)
    probe.submit(batch(1, 1, b"x"))
    assert 1 in probe.failed


async def test_a_lock_that_cannot_be_asked_for() -> None:
    shared = SharedStore(MemoryStore())
    shared.errors = ["on purpose"]
    store = shared.open()
    with pytest.raises(StoreError, match="on purpose"):
        await store.acquire("me")
    assert await store.acquire("me") is not None
