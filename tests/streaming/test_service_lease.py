"""A service on a store that others share: it writes with its lease, finds out whether it still may, and gives up in time."""

import asyncio

import pytest

from durabus.errors import StoreError
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import FATAL, KIND_SERVER, UNKNOWN
from durabus.testing.faults import FaultyStore
from durabus.testing.shared_store import SharedStore
from tests.streaming.test_service import House, LaterStore, Peer, virtual

pytestmark = pytest.mark.row(161)


async def open_with_lease(shared: SharedStore) -> tuple[House, Peer]:
    """A service that has the store, and its first client."""
    store = shared.open()
    lease = await store.acquire("me")
    assert lease is not None
    house = House(store)
    await house.service.recover(lease)
    house.service.listen()
    peer = Peer(house)
    await peer.connect()
    return house, peer


@virtual
async def test_everything_is_written_with_the_epoch_of_the_lease() -> None:
    shared = SharedStore(FaultyStore(MemoryStore()))
    shared.epoch = 41
    _, peer = await open_with_lease(shared)
    peer.publish("1")
    assert await peer.acks(1) == [("1", "")]
    assert isinstance(shared.inner, FaultyStore)
    assert {batch.epoch for batch in shared.inner.submitted} == {42}


@virtual
async def test_after_a_failed_batch_it_recovers_with_the_same_lease() -> None:
    shared = SharedStore(FaultyStore(MemoryStore()))
    assert isinstance(shared.inner, FaultyStore)
    house, peer = await open_with_lease(shared)
    core = house.service.core
    shared.inner.fail(UNKNOWN, "try again")
    peer.publish("1")
    await house.serving_again(core)
    peer.publish("2")
    assert await peer.acks(2) == [("1", "try again"), ("2", "")]
    assert {batch.epoch for batch in shared.inner.submitted} == {1}


@virtual
async def test_without_the_lease_there_is_nothing_to_recover() -> None:
    house = House(SharedStore(MemoryStore()).open())
    with pytest.raises(StoreError, match="the store belongs to another server"):
        await house.service.recover()


@virtual
async def test_a_lock_that_is_lost_ends_the_service() -> None:
    shared = SharedStore(MemoryStore())
    house, peer = await open_with_lease(shared)
    shared.free()
    peer.publish("1")
    assert await peer.acks(1) == [("1", "lost store lock, aborting")]
    assert house.service.failed is not None
    assert await house.service.failed == "lost store lock, aborting"


# Is the store still ours?


@virtual
async def test_a_store_that_takes_what_is_written_is_ours() -> None:
    house = House(LaterStore())
    await house.open()
    assert isinstance(house.store, FaultyStore)
    before = len(house.store.submitted)
    assert await house.service.confirm()
    assert [kind for kind, _, _ in house.store.submitted[before].state] == [KIND_SERVER]


@virtual
async def test_what_is_written_for_that_changes_nothing() -> None:
    store = MemoryStore()
    house = House(store)
    peer = await house.open()
    peer.publish("1")
    await peer.acks(1)
    assert await house.service.confirm()
    remembered = (await store.recover(None)).state
    again = House(store)
    await again.service.recover()
    assert (await store.recover(None)).state == remembered
    for name in ("channel_id_last", "subscription_id_last"):
        assert getattr(again.service.core.state, name) == getattr(house.service.core.state, name)


@virtual
async def test_a_store_that_is_lost_is_not_ours() -> None:
    shared = SharedStore(MemoryStore())
    house, _ = await open_with_lease(shared)
    shared.free()
    assert not await house.service.confirm()
    assert house.service.failed is not None
    assert await house.service.failed == "lost store lock, aborting"
    assert not await house.service.confirm()


@virtual
async def test_a_question_with_a_batch_that_fails() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    await house.open()
    core = house.service.core
    store.fail(UNKNOWN, "try again")
    assert not await house.service.confirm()
    await house.serving_again(core)
    assert await house.service.confirm()


# Giving up.


@virtual
async def test_nothing_is_written_after_giving_up() -> None:
    house = House(FaultyStore(MemoryStore()))
    peer = await house.open()
    assert isinstance(house.store, FaultyStore)
    before = len(house.store.submitted)
    house.service.give_up("another server is active")
    peer.publish("1")
    assert await peer.acks(1) == [("1", "another server is active")]
    assert house.service.failed is not None
    assert await house.service.failed == "another server is active"
    await house.service.stop()
    assert len(house.store.submitted) == before


@virtual
async def test_giving_up_in_the_middle_of_a_recovery() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    core = house.service.core
    store.recover_errors = ["not yet"] * 1000
    store.fail(UNKNOWN, "try again")
    peer.publish("1")
    await peer.acks(1)
    house.service.give_up("another server is active")
    await asyncio.sleep(10)
    assert house.service.core is core
    assert len(store.recover_errors) >= 998
    peer.publish("2")
    assert (await peer.acks(2))[1] == ("2", "another server is active")
    await house.service.stop()


@virtual
async def test_giving_up_before_anything_was_recovered() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    house.service.give_up("another server is active")
    await house.service.stop()
    assert store.submitted == []


@virtual
async def test_a_store_that_fails_for_good_is_told_once() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    store.fail(FATAL, "the disk is gone")
    peer.publish("1")
    assert house.service.failed is not None
    assert await house.service.failed == "the disk is gone"
    house.service.give_up("another server is active")
    assert await house.service.failed == "the disk is gone"
    await house.service.stop()
