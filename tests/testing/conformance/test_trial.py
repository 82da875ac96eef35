"""A trial: what it writes is proper, and it sees every difference between a store and the model."""

from collections.abc import Callable
from functools import partial

import pytest

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import ChannelState, Cursor, Lease, Recovered, Store
from durabus.testing.conformance import Check, Trial
from durabus.wire.stan_messages import encode_message
from tests.stores.harnesses import MemoryHarness, SlowHarness


class Lying(DelegatingStore):
    """Recovers what a function makes of the truth."""

    def __init__(self, lie: Callable[[Recovered], object]) -> None:
        super().__init__(MemoryStore())
        self.lie = lie

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await self.inner.recover(lease)
        if recovered.state:
            self.lie(recovered)
        return recovered


async def test_a_run_is_what_the_core_would_write() -> None:
    trial = await Trial.start(MemoryHarness())
    start = trial.now_ns
    run = trial.run(3, 9, 5, data_bytes=8, chunk=2)
    assert run.stamps == [(0, start + 1_000_000), (2, start + 2_000_000), (4, start + 3_000_000)]
    assert run.bodies[0] == encode_message(9, b"foo.3", b"", b"3/9 \x09\x0a\x0b\x0c", start + 1_000_000)
    assert len(set(run.bodies)) == 5
    assert len(trial.run(3, 1, 1, data_bytes=100_000).bodies[0]) > 100_000


async def test_a_proper_history_passes() -> None:
    for harness in (MemoryHarness(), SlowHarness()):
        trial = await Trial.start(harness)
        batch = trial.batch()
        channel_id = trial.add_channel(batch)
        assert trial.publish(batch, channel_id, 3).first_sequence == 1
        assert trial.publish(batch, channel_id, 2).first_sequence == 4
        await trial.write(batch)
        assert await trial.messages(channel_id, 4) == trial.model.channels[channel_id].range(4, 2)
        await trial.verify()
        assert trial.batch().number == 1
        gap = trial.batch()
        gap.runs.append(trial.run(channel_id, 9, 1))
        gap.number = 1
        await trial.refuse(gap)
        await trial.reopen()
        await trial.finish()
        await trial.finish()


async def test_differences_are_seen() -> None:
    lies: list[tuple[Callable[[Recovered], object], str]] = [
        (lambda found: found.damage.append("a hole"), "damage is reported where none was done"),
        (lambda found: found.state.append(found.state[0]), "a state entry is recovered twice"),
        (lambda found: found.state.pop(), "is None, not b"),
        (
            lambda found: found.state.append((1, b"you", b"")),
            r"the state of \(kind, key\) \(1, b'you'\) is b'', not None",
        ),
        (lambda found: found.cursors.append(found.cursors[0]), "a cursor is recovered twice"),
        (lambda found: found.cursors.clear(), "the cursor of subscription 2 is None, not"),
        (
            lambda found: found.cursors.__setitem__(0, Cursor(2, 2, [(2, 3)])),
            r"is \(2, \[\(2, 3\)\]\), not \(3, \[\(2, 3\)\]\)",
        ),
        (lambda found: found.channels.append(found.channels[0]), "a channel is recovered twice"),
        (lambda found: found.channels.clear(), "channel 1 is not recovered"),
        (lambda found: found.channels.append(ChannelState(9, 1, 1, 0, 0)), "channel 9 has first_sequence 1, not 0"),
        (lambda found: setattr(found.channels[0], "stored_bytes", 1), "channel 1 has stored_bytes 1, not"),
        (lambda found: setattr(found.channels[0], "last_timestamp_ns", 0), "channel 1 has last_timestamp_ns 0, not"),
    ]
    for lie, complaint in lies:
        trial = await Trial.start(MemoryHarness(partial(Lying, lie)))
        batch = trial.batch()
        channel_id = trial.add_channel(batch)
        number = trial.add_subscription(batch, channel_id)
        trial.publish(batch, channel_id, 3)
        batch.cursors.append(Cursor(number, 3, [(2, 3)]))
        await trial.write(batch)
        with pytest.raises(AssertionError, match=complaint):
            await trial.verify()


async def test_what_may_be_forgotten() -> None:
    trial = await Trial.start(MemoryHarness())
    batch = trial.batch()
    channel_id, empty = trial.add_channel(batch), trial.add_channel(batch)
    number = trial.add_subscription(batch, channel_id)
    trial.publish(batch, channel_id, 10)
    batch.floors[channel_id] = 11
    batch.cursors.append(Cursor(number, 10, [(2, 3), (9, 10)]))
    await trial.write(batch)
    recovered = await trial.recover()
    recovered.cursors = [Cursor(number, 10, [])]
    recovered.channels = [ChannelState(channel_id, 11, 10, 0, 0), ChannelState(empty, 0, 0, 0, 0)]
    trial.verify_recovered(recovered)


async def test_what_has_to_be_refused_and_is_not() -> None:
    trial = await Trial.start(MemoryHarness())
    with pytest.raises(AssertionError, match="batch 1 leaves a gap and was reported durable"):
        await trial.refuse(trial.batch())


async def test_a_leased_store_has_to_be_free() -> None:
    class Taken(DelegatingStore):
        async def acquire(self, owner: str) -> Lease | None:
            return None

    class Harness(MemoryHarness):
        leased = True

        async def open(self) -> Store:
            return Taken(MemoryStore())

    with pytest.raises(AssertionError, match="acquire returned None"):
        await Trial.start(Harness())


async def test_a_check_has_a_name_and_a_promise() -> None:
    async def some_check(trial: Trial) -> None:
        """A promise is kept.

        More about that.
        """

    check = Check(some_check)
    assert (check.name, str(check), check.promise) == ("some_check", "some_check", "A promise is kept.")
