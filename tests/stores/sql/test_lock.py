"""The row by which servers agree on who writes; an owner that was overtaken writes nothing."""

import asyncio

import pytest

from durabus.errors import StoreError, StoreLostError
from durabus.streaming.store_port import FATAL
from tests.stores.sql.driving import Driver, bodies, driven
from tests.stores.sql_harness import TICK_S, ask, new_database, open_store

LOST = "lost store lock, aborting"


def row(kind: str, source: str) -> tuple[str, ...]:
    return ask(kind, source, "SELECT id, tick FROM StoreLock")[0]


async def freeze(driver: Driver) -> None:
    """Let the owner count no more, as if its process stood still."""
    lock = driver.store._lock
    ticking, lock._ticking = lock._ticking, None
    assert ticking is not None
    lock._stopped.set()
    await ticking


@pytest.mark.row(156)
async def test_the_owner_counts_and_the_other_one_waits(kind: str, source: str) -> None:
    async with driven(open_store(kind, source), "first") as driver:
        await driver.begin()
        owner, tick = row(kind, source)
        assert owner == "first"
        other = open_store(kind, source)
        assert await other.acquire("second") is None
        assert int(row(kind, source)[1]) > int(tick)
        await other.close()
    assert row(kind, source)[0] == ""


async def test_the_next_owner_has_a_higher_epoch(kind: str, source: str) -> None:
    epochs: list[int] = []
    for name in ("first", "second"):
        async with driven(open_store(kind, source), name) as driver:
            assert driver.lease is not None
            epochs.append(driver.lease.epoch)
            assert await driver.store.acquire(name) is not None
    assert epochs[0] < epochs[1]


async def test_an_owner_that_asks_again_does_not_take_its_own_counting_for_anothers(kind: str, source: str) -> None:
    async with driven(open_store(kind, source, tick_s=0.001), "first") as driver:
        for _ in range(20):
            assert await driver.store.acquire("first") is not None


@pytest.mark.row(156)
async def test_an_owner_that_stood_still_writes_nothing_any_more(kind: str, source: str) -> None:
    async with driven(open_store(kind, source), "first") as old:
        await old.begin()
        batch = old.batch()
        old.publish(batch, 1, 3)
        assert await old.submit(batch) is None
        await freeze(old)
        async with driven(open_store(kind, source), "second") as new:
            assert row(kind, source)[0] == "second"
            assert new.lease is not None and old.lease is not None
            assert new.lease.epoch > old.lease.epoch
            batch = old.batch()
            old.some_of_everything(batch, 4, 3)
            assert await old.submit(batch) == (FATAL, LOST)
            batch = old.batch()
            assert await old.submit(batch) == (FATAL, LOST)
            with pytest.raises(StoreLostError, match=LOST):
                await old.recover()
            batch = new.batch()
            new.publish(batch, 4, 2, b"new")
            assert await new.submit(batch) is None
            assert await new.messages() == bodies(1, 3) + bodies(4, 2, b"new")
    async with driven(open_store(kind, source)) as last:
        assert await last.messages() == bodies(1, 3) + bodies(4, 2, b"new")
        assert sorted(key for _, key, _ in (await last.recover()).state) == [b"1", b"1", b"server"]


async def test_an_owner_that_was_overtaken_stumbles_over_what_the_other_one_wrote(kind: str, source: str) -> None:
    async with driven(open_store(kind, source), "first") as old:
        await old.begin()
        await freeze(old)
        async with driven(open_store(kind, source), "second") as new:
            batch = new.batch()
            new.publish(batch, 1, 2, b"new")
            assert await new.submit(batch) is None
            batch = old.batch()
            old.publish(batch, 1, 3)
            assert await old.submit(batch) == (FATAL, LOST)


@pytest.mark.row(156)
async def test_an_owner_that_wakes_up_sees_that_it_was_overtaken(kind: str, source: str) -> None:
    async with driven(open_store(kind, source), "first") as driver:
        await driver.begin()
        ask(kind, source, "UPDATE StoreLock SET id='somebody', tick=1")
        ticking = driver.store._lock._ticking
        assert ticking is not None
        async with asyncio.timeout(20):
            await ticking  # it ends when the row is somebody else's
        assert await driver.submit(driver.batch()) == (FATAL, LOST)
    assert row(kind, source) == ("somebody", "1")


async def test_a_batch_of_another_epoch_is_not_ours(kind: str, source: str) -> None:
    async with driven(open_store(kind, source), "first") as driver:
        batch = driver.batch()
        batch.epoch += 1
        assert await driver.submit(batch) == (FATAL, LOST)


async def test_a_server_of_its_own_is_refused_where_a_group_is_active(kind: str, source: str) -> None:
    """The owner may be the original, which knows of no other lock than the row."""
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
    async with driven(open_store(kind, source), "first") as driver:
        other = open_store(kind, source)
        with pytest.raises(StoreError):
            await other.recover(None)
        await other.close()

    async def count() -> None:
        database = new_database(kind, source)  # not opened: no lock but the row
        try:
            while True:
                await database.execute("UPDATE StoreLock SET id='original', tick=tick+1")
                await asyncio.sleep(TICK_S / 4)
        finally:
            await database.close()

    if kind == "sqlite":
        return  # the original has no sqlite
    counting = asyncio.create_task(count())
    store = open_store(kind, source, tick_s=0.5)
    await asyncio.sleep(TICK_S)
    try:
        with pytest.raises(StoreError, match="a server of an FT group is active"):
            await store.recover(None)
    finally:
        counting.cancel()
        await asyncio.wait([counting])
        await store.close()


async def test_an_owner_that_crashed_does_not_keep_a_server_of_its_own_away(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
    ask(kind, source, "UPDATE StoreLock SET id='crashed', tick=7")
    async with driven(open_store(kind, source)) as driver:
        batch = driver.batch()
        driver.publish(batch, 1, 1)
        assert await driver.submit(batch) is None


async def test_an_owner_must_have_a_name(kind: str, source: str) -> None:
    store = open_store(kind, source)
    with pytest.raises(StoreError, match="must have a name"):
        await store.acquire("")
    lease = await store.acquire("x" * 100)
    assert lease is not None
    assert row(kind, source)[0] == "x" * 30
    await store.close()


async def test_there_is_one_row(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)):
        pass
    ask(kind, source, "INSERT INTO StoreLock (id, tick) VALUES ('', 0)")
    store = open_store(kind, source)
    with pytest.raises(StoreError, match="StoreLock has 2 rows"):
        await store.acquire("first")
    await store.close()
