"""Checks of floors: what lies below is gone for every reader at once, and sequences go on as if nothing had happened."""

from durabus.testing.conformance.trial import Check, Trial

__all__ = ["CHECKS"]


async def _raise_floor(trial: Trial, channel_id: int, floor: int) -> None:
    batch = trial.batch()
    batch.floors[channel_id] = floor
    await trial.write(batch)


async def floor_hides_what_lies_below(trial: Trial) -> None:
    """From a floor on everything is there; first sequence and bytes follow it; other channels do not notice."""
    batch = trial.batch()
    one, two = trial.add_channel(batch), trial.add_channel(batch)
    for channel_id in (one, two):
        trial.publish(batch, channel_id, 50, 30)
        trial.publish(batch, channel_id, 50, 60, chunk=7)
    await trial.write(batch)
    for floor in (1, 2, 3, 20, 50, 51, 99, 100):
        await _raise_floor(trial, one, floor)
        await trial.verify()


async def floor_never_sinks(trial: Trial) -> None:
    """A lower floor than before changes nothing: what is gone stays gone."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 20)
    await trial.write(batch)
    for floor in (15, 3, 1, 14, 15):
        await _raise_floor(trial, channel_id, floor)
        await trial.verify()


async def floor_above_everything(trial: Trial) -> None:
    """A floor of last + 1 removes everything: first is last + 1, and the next message gets that sequence."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 9, chunk=2)
    await trial.write(batch)
    for count in (1, 3, 5000):
        last = trial.model.channels[channel_id].last
        await _raise_floor(trial, channel_id, last + 1)
        await trial.verify()
        batch = trial.batch()
        trial.publish(batch, channel_id, count)
        await trial.write(batch)
        await trial.verify()


async def floor_in_the_batch_of_its_messages(trial: Trial) -> None:
    """A floor counts after the messages of its own batch, up to removing all of them."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 10)
    batch.floors[channel_id] = 8
    await trial.write(batch)
    await trial.verify()
    for above in (5, 0, 3, 20):
        batch = trial.batch()
        run = trial.publish(batch, channel_id, 20, chunk=3)
        batch.floors[channel_id] = int(run.first_sequence) + above
        await trial.write(batch)
        await trial.verify()


async def floor_of_an_empty_channel(trial: Trial) -> None:
    """A floor of a channel without messages changes nothing, nor does one of a channel that is not there."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    batch.floors[channel_id] = 1
    batch.floors[trial.new_id()] = 1
    await trial.write(batch)
    await trial.verify()
    batch = trial.batch()
    trial.publish(batch, channel_id, 3)
    await trial.write(batch)
    await trial.verify()


async def floors_through_many_thousands(trial: Trial) -> None:
    """Floors anywhere in many thousands of messages, while more arrive: a window moves over the channel."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for _ in range(5):
        batch = trial.batch()
        trial.publish(batch, channel_id, 4000, chunk=1)
        await trial.write(batch)
    for floor in (2, 4095, 4096, 4097, 4098, 8192, 8193, 8194, 15_000, 19_999, 20_000, 20_001):
        await _raise_floor(trial, channel_id, floor)
        await trial.verify_messages(channel_id, floor)
    await trial.verify()
    for _ in range(30):
        batch = trial.batch()
        run = trial.publish(batch, channel_id, 700, chunk=1)
        batch.floors[channel_id] = max(1, int(run.first_sequence) - 500)
        await trial.write(batch)
    await trial.verify()


CHECKS = (
    Check(floor_hides_what_lies_below),
    Check(floor_never_sinks),
    Check(floor_above_everything),
    Check(floor_in_the_batch_of_its_messages),
    Check(floor_of_an_empty_channel),
    Check(floors_through_many_thousands),
)
