"""Checks of sizes: what messages count for, as they are stored, asked for without reading them."""

from durabus.testing.conformance.probe import expect
from durabus.testing.conformance.trial import Check, Trial

__all__ = ["CHECKS"]

_COUNT = 2500


async def _filled(trial: Trial) -> tuple[int, list[int]]:
    """A channel between others with messages of many sizes, in several batches; and those sizes."""
    batch = trial.batch()
    channels = [trial.add_channel(batch) for _ in range(3)]
    await trial.write(batch)
    for round_number in range(10):
        batch = trial.batch()
        for channel_id in channels:
            for part in range(5):
                trial.publish(batch, channel_id, _COUNT // 50, 10 + 7 * round_number + 31 * part)
        await trial.write(batch)
    one = trial.batch()
    trial.publish(one, channels[1], 1, 3000)
    await trial.write(one)
    return channels[1], trial.sizes(channels[1])


async def measure_counts_what_is_stored(trial: Trial) -> None:
    """A range counts for what its messages are stored as: one message, some, all; in one run and over many."""
    channel_id, sizes = await _filled(trial)
    last = len(sizes)
    ranges = [
        (1, last + 1),
        (1, 2),
        (last, last + 1),
        (7, 8),
        (40, 60),
        (50, 51),
        (51, 52),
        (1, 51),
        (500, last),
        (3, 3),
    ]
    asked = [trial.probe.ask_measure(channel_id, first, end, 0) for first, end in ranges]
    for (first, end), request in zip(ranges, asked, strict=True):
        found = await trial.probe.measured(request)
        wanted = (end, sum(sizes[first - 1 : end - 1]))
        expect(found == wanted, f"messages {first} to before {end} are measured as {found}, not as {wanted}")


async def sizes_at_hand_are_those_of_a_measure(trial: Trial) -> None:
    """`sizes_now` gives the sizes of as many messages as it likes, from the wanted one on."""
    channel_id, sizes = await _filled(trial)
    last = len(sizes)
    for first in (1, 2, 50, 51, 700, last - 1, last, last + 1):
        for count_max in (1, 3, 10_000):
            found = trial.store.sizes_now(channel_id, first, count_max)
            expect(len(found) <= count_max, f"{count_max} sizes were asked for, {len(found)} came")
            wanted = sizes[first - 1 : first - 1 + len(found)]
            expect(list(found) == wanted, f"the sizes from {first} on are {found[:5]}, not {wanted[:5]}")


async def enough_ends_a_measure(trial: Trial) -> None:
    """With `enough_bytes` no message more is measured than it takes, and step by step one gets there."""
    channel_id, sizes = await _filled(trial)
    last = len(sizes)
    for first in (1, 33, 50, 1200, last - 1):
        for enough in (1, 30, 31, 32, 5000, 60_000, 10_000_000):
            at, left = first, enough
            while left > 0 and at < last + 1:
                end, found = await trial.probe.measured(trial.probe.ask_measure(channel_id, at, last + 1, left))
                expect(at < end <= last + 1, f"a measure from {at} on went up to {end}")
                wanted = sum(sizes[at - 1 : end - 1])
                expect(found == wanted, f"messages {at} to before {end} are measured as {found}, not as {wanted}")
                before = found - sizes[end - 2]
                expect(before < left, f"{left} bytes were enough, the measure went from {at} up to {end}")
                at, left = end, left - found


async def later_floors_do_not_change_a_measure(trial: Trial) -> None:
    """What was asked before a floor came is answered as if it had not come; so is what is asked within that answer."""
    channel_id, sizes = await _filled(trial)
    half, end = 1 + _COUNT // 2, len(sizes)
    within: list[int] = []
    trial.probe.at_measured = lambda: within.append(trial.probe.ask_measure(channel_id, half, end, 0))
    asked = trial.probe.ask_measure(channel_id, 1, half, 0)
    for floor in (2, half, end - 1, end):
        batch = trial.batch()
        batch.floors[channel_id] = floor
        trial.publish(batch, channel_id, 40, 1000)
        await trial.write(batch)
    first = await trial.probe.measured(asked)
    second = await trial.probe.measured(within[0])
    for found, wanted in (
        (first, (half, sum(sizes[: half - 1]))),
        (second, (end, sum(sizes[half - 1 : end - 1]))),
    ):
        expect(found == wanted, f"what was dropped meanwhile is measured as {found}, not as {wanted}")
    await trial.verify()


async def recover_ends_measures(trial: Trial) -> None:
    """`recover` is a barrier for them, too."""
    channel_id, sizes = await _filled(trial)
    trial.probe.ask_measure(channel_id, 1, 20, 0)
    trial.probe.ask_measure(channel_id, 1, len(sizes), 100)
    await trial.verify()


async def measure_of_nothing(trial: Trial) -> None:
    """A channel that is not there has nothing to measure."""
    end, found = await trial.probe.measured(trial.probe.ask_measure(trial.new_id(), 1, 5, 0))
    expect((end, found) == (1, 0), f"a channel that is not there is measured up to {end}, as {found}")


CHECKS = (
    Check(measure_counts_what_is_stored),
    Check(sizes_at_hand_are_those_of_a_measure),
    Check(enough_ends_a_measure),
    Check(later_floors_do_not_change_a_measure),
    Check(recover_ends_measures),
    Check(measure_of_nothing),
)
