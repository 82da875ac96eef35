"""The store port: what its values are when they are new, and that its methods are promises only."""

import asyncio
from collections.abc import Callable

import pytest

from durabus.streaming.store_port import (
    FATAL,
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    REFUSED,
    UNKNOWN,
    Batch,
    ChannelState,
    Cursor,
    Lease,
    Recovered,
    Run,
    Store,
    StoreListener,
)


def test_kinds_and_outcomes_are_what_stores_have_written_down() -> None:
    assert (KIND_SERVER, KIND_CLIENT, KIND_CHANNEL, KIND_SUBSCRIPTION) == (0, 1, 2, 3)
    assert (REFUSED, UNKNOWN, FATAL) == (1, 2, 3)


def test_a_new_batch_is_empty() -> None:
    batch = Batch(7, 3)
    assert (batch.number, batch.epoch) == (7, 3)
    assert batch.is_empty()


@pytest.mark.parametrize(
    "fill",
    [
        lambda batch: batch.state.append((KIND_CLIENT, b"a", None)),
        lambda batch: batch.runs.append(Run(1, 1)),
        lambda batch: batch.floors.update({1: 5}),
        lambda batch: batch.cursors.append(Cursor(1, 0, [])),
    ],
)
def test_any_change_makes_it_worth_storing(fill: Callable[[Batch], None]) -> None:
    batch = Batch(1, 0)
    fill(batch)
    assert not batch.is_empty()


def test_batches_share_nothing() -> None:
    first, second = Batch(1, 0), Batch(2, 0)
    first.state.append((KIND_CLIENT, b"a", b"x"))
    first.floors[1] = 1
    assert second.is_empty()


def test_values_keep_what_they_are_given() -> None:
    run = Run(4, 11)
    assert (run.channel_id, run.first_sequence, run.bodies, run.stamps) == (4, 11, [], [])
    cursor = Cursor(9, 12, [(3, 4), (7, 7)])
    assert (cursor.subscription_id, cursor.last_sent, cursor.pending) == (9, 12, [(3, 4), (7, 7)])
    lease = Lease(2, 99)
    assert (lease.epoch, lease.expires_boottime_ns) == (2, 99)
    figures = ChannelState(4, 5, 10, 600, 1_700_000_000_000_000_000)
    assert (figures.channel_id, figures.first_sequence, figures.last_sequence) == (4, 5, 10)
    assert (figures.stored_bytes, figures.last_timestamp_ns) == (600, 1_700_000_000_000_000_000)


def test_nothing_recovered() -> None:
    recovered = Recovered()
    assert (recovered.state, recovered.cursors, recovered.channels, recovered.damage) == ([], [], [], [])


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.bind(StoreListener()),
        lambda store: asyncio.run(store.acquire("a")),
        lambda store: asyncio.run(store.recover(None)),
        lambda store: store.submit(Batch(1, 0)),
        lambda store: store.read_now(1, 1, 1, 1),
        lambda store: store.read(1, 1, 1, 1, 1),
        lambda store: store.seek(1, 1, 1),
        lambda store: store.measure(1, 1, 1, 2, 0),
        lambda store: asyncio.run(store.close()),
    ],
)
def test_a_store_has_to_do_everything_itself(call: Callable[[Store], object]) -> None:
    with pytest.raises(NotImplementedError):
        call(Store())


@pytest.mark.parametrize(
    "call",
    [
        lambda listener: listener.on_durable(1),
        lambda listener: listener.on_failed(1, REFUSED, "no"),
        lambda listener: listener.on_page(1, []),
        lambda listener: listener.on_seek(1, 0),
        lambda listener: listener.on_measured(1, 1, 0),
    ],
)
def test_so_does_a_listener(call: Callable[[StoreListener], None]) -> None:
    with pytest.raises(NotImplementedError):
        call(StoreListener())


def test_a_store_that_says_nothing_takes_one_batch_at_a_time() -> None:
    store = Store()
    assert (store.name, store.durability) == ("", "")
    assert (store.message_bytes_max, store.message_overhead_bytes, store.batches_in_flight_max) == (0, 0, 1)
    assert (store.data_overhead_bytes, store.is_immediate, store.has_lost) == (0, False, False)


def test_sizes_are_those_of_what_can_be_read_now() -> None:
    class Reading(Store):
        def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
            return [b"x" * first] * count_max if channel_id == 1 else None

    store = Reading()
    assert store.sizes_now(1, 7, 2) == [7, 7]
    assert store.sizes_now(2, 7, 2) == []
