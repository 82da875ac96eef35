"""Checks of `seek`: the first message at or after a moment."""

from durabus.testing.conformance.probe import expect
from durabus.testing.conformance.trial import TICK_NS, Check, Trial

__all__ = ["CHECKS"]


async def seek_finds_first_at_or_after(trial: Trial) -> None:
    """A moment leads to the first message at or after it: before the first, between, exact, and after the last."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    start = trial.now_ns
    trial.publish(batch, channel_id, 20, chunk=3)
    await trial.write(batch)
    trial.now_ns += 10 * TICK_NS
    batch = trial.batch()
    trial.publish(batch, channel_id, 5, chunk=1)
    trial.publish(batch, channel_id, 5)
    await trial.write(batch)
    moments = range(start - TICK_NS, trial.now_ns + 3 * TICK_NS, TICK_NS)
    await trial.verify_seeks(channel_id, [moment + more for moment in moments for more in (-1, 0, 1)])
    await trial.verify_seeks(channel_id, [0, 1, trial.now_ns * 2])


async def seek_finds_first_of_equal_stamps(trial: Trial) -> None:
    """Of messages with one timestamp the first is found, also when they came in several runs and batches."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 4)
    await trial.write(batch)
    shared = trial.now_ns + TICK_NS
    for _ in range(3):
        trial.now_ns = shared - TICK_NS
        batch = trial.batch()
        trial.publish(batch, channel_id, 2)
        trial.now_ns = shared - TICK_NS
        trial.publish(batch, channel_id, 3)
        await trial.write(batch)
    await trial.verify_seeks(channel_id, [shared - 1, shared, shared + 1])
    batch = trial.batch()
    trial.publish(batch, channel_id, 1)
    batch.floors[channel_id] = 7
    await trial.write(batch)
    await trial.verify_seeks(channel_id, [shared - 1, shared, shared + 1, trial.now_ns])


async def seek_where_nothing_was_stored(trial: Trial) -> None:
    """In a channel where nothing was ever stored, any moment leads to 0; so it does where there is no channel."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for where in (channel_id, trial.new_id()):
        for moment in (0, trial.now_ns):
            found = await trial.seek(where, moment)
            expect(found == 0, f"a seek where nothing was ever stored leads to {found}, not 0")


async def seek_respects_floors(trial: Trial) -> None:
    """A moment never leads below the floor; when all messages are gone, it leads to last + 1."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 20, chunk=3)
    await trial.write(batch)
    stamps = sorted(set(trial.model.channels[channel_id].stamps.values()))
    moments = [0, *[moment + more for moment in stamps for more in (-1, 0, 1)], trial.now_ns * 2]
    for floor in (2, 3, 4, 5, 11, 20, 21):
        batch = trial.batch()
        batch.floors[channel_id] = floor
        await trial.write(batch)
        await trial.verify_seeks(channel_id, moments)
    batch = trial.batch()
    trial.publish(batch, channel_id, 2)
    await trial.write(batch)
    await trial.verify_seeks(channel_id, [*moments, trial.now_ns])


async def seek_in_many_thousands(trial: Trial) -> None:
    """Moments are found among many thousands of timestamps, while a floor follows."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for _ in range(6):
        batch = trial.batch()
        start = trial.now_ns
        run = trial.publish(batch, channel_id, 1500, chunk=1)
        batch.floors[channel_id] = max(1, int(run.first_sequence) - 1000)
        await trial.write(batch)
        await trial.verify_seeks(channel_id, range(start - 1200 * TICK_NS, trial.now_ns + 2 * TICK_NS, 97 * TICK_NS))


async def every_seek_is_answered_once(trial: Trial) -> None:
    """Every `seek` ends in exactly one `on_seek` with its own number, however many are open, among reads too."""
    batch = trial.batch()
    channels = [trial.add_channel(batch) for _ in range(3)]
    start = trial.now_ns
    for channel_id in channels:
        trial.publish(batch, channel_id, 10, chunk=1)
    await trial.write(batch)
    asked: list[tuple[int, int, int]] = []
    reads: list[int] = []
    for moment in range(start, trial.now_ns + TICK_NS, TICK_NS):
        for channel_id in channels:
            asked.append((trial.probe.ask_seek(channel_id, moment), channel_id, moment))
            reads.append(trial.probe.ask_page(channel_id, 1, 1, 1))
    for request, channel_id, moment in reversed(asked):
        found, wanted = await trial.probe.found(request), trial.model.channels[channel_id].seek(moment)
        expect(found == wanted, f"seek {request}, of {moment} in channel {channel_id}, leads to {found}, not {wanted}")
    for request in reads:
        await trial.probe.page(request)


CHECKS = (
    Check(seek_finds_first_at_or_after),
    Check(seek_finds_first_of_equal_stamps),
    Check(seek_where_nothing_was_stored),
    Check(seek_respects_floors),
    Check(seek_in_many_thousands),
    Check(every_seek_is_answered_once),
)
