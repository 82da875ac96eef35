"""Checks of closing and opening again: everything is there, and work goes on where it stopped."""

from durabus.streaming.store_port import KIND_CLIENT, KIND_SUBSCRIPTION, Batch, Cursor
from durabus.testing.conformance.probe import expect, within
from durabus.testing.conformance.trial import IF_RECOVERABLE, MUCH, Check, Trial

__all__ = ["CHECKS"]


async def _some_of_everything(trial: Trial) -> tuple[list[int], list[int]]:
    """Three channels with messages, three subscriptions, two clients; the ids of the former two."""
    batch = trial.batch()
    channels = [trial.add_channel(batch) for _ in range(3)]
    numbers = [trial.add_subscription(batch, channel_id) for channel_id in channels]
    for client_id in (b"one", b"two"):
        trial.put_client(batch, client_id)
    await trial.write(batch)
    for count in (10, 1, 300):
        batch = trial.batch()
        for channel_id in channels:
            trial.publish(batch, channel_id, count, 50, chunk=4)
        batch.cursors += [Cursor(number, count, [(count, count)]) for number in numbers]
        await trial.write(batch)
    return channels, numbers


async def closing_twice_is_closing_once(trial: Trial) -> None:
    """Closing twice is closing once."""
    await _some_of_everything(trial)
    await trial.close()
    await within(trial.harness.patience_s, "the second close", trial.store.close())


async def close_finishes_what_was_submitted(trial: Trial) -> None:
    """Everything submitted has ended when `close` returns, and is there afterwards."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for _ in range(trial.store.batches_in_flight_max):
        batch = trial.batch()
        trial.publish(batch, channel_id, 500)
        trial.submit(batch)
    await within(trial.harness.patience_s, "close", trial.store.close())
    trial.open = False
    expect(trial.probe.has_ended(trial.batch_number), f"batch {trial.batch_number} had not ended when close returned")
    expect(not trial.probe.failed, f"close failed proper batches: {trial.probe.failed}")


async def recover_agrees_with_reading(trial: Trial) -> None:
    """`recover` may be called whenever no batch is open, as after a failure, and agrees with what is read."""
    channels, _ = await _some_of_everything(trial)
    for floor in (1, 100, 311, 312):
        batch = trial.batch()
        batch.floors[channels[0]] = floor
        await trial.write(batch)
        for figures in (await trial.recover()).channels:
            found = await trial.messages(figures.channel_id, figures.first_sequence)
            total = trial.counted_bytes(found)
            after = figures.first_sequence + len(found)
            expect(
                after == figures.last_sequence + 1,
                f"recover says up to {figures.last_sequence}, read up to {after - 1}",
            )
            expect(total == figures.stored_bytes, f"recover says {figures.stored_bytes} bytes, read were {total}")
            total = await trial.measure(figures.channel_id, figures.first_sequence, after)
            total += len(found) * trial.store.message_overhead_bytes
            expect(total == figures.stored_bytes, f"recover says {figures.stored_bytes} bytes, measured are {total}")
        await trial.verify()


async def recover_is_a_barrier(trial: Trial) -> None:
    """When `recover` returns, everything asked before it has had its end: the next core numbers anew and is not confused."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for _ in range(3):
        for _ in range(trial.store.batches_in_flight_max):
            batch = trial.batch()
            trial.publish(batch, channel_id, 100, chunk=7)
            trial.submit(batch)
        for first in (1, 2, 3):
            trial.probe.ask_page(channel_id, first, 5, MUCH)
            trial.probe.ask_seek(channel_id, trial.now_ns)
        trial.verify_recovered(await trial.recover())
        batch = trial.batch()
        trial.publish(batch, channel_id, 1)
        await trial.write(batch)
    await trial.verify()


async def everything_is_found_again(trial: Trial) -> None:
    """After opening again all state, cursors, figures and messages are there, as often as one does that."""
    channels, numbers = await _some_of_everything(trial)
    await trial.reopen()
    await trial.verify()
    batch = trial.batch()
    batch.cursors.append(Cursor(numbers[1], 311, [(5, 9), (311, 311)]))
    batch.floors[channels[2]] = 200
    trial.put_client(batch, b"two", b"_INBOX.two")
    trial.publish(batch, channels[0], 7)
    await trial.write(batch)
    for _ in range(3):
        await trial.reopen()
        await trial.verify()


async def work_goes_on_after_reopening(trial: Trial) -> None:
    """Sequences go on where they stopped, also in a channel of which nothing was left."""
    batch = trial.batch()
    full, empty, never = (trial.add_channel(batch) for _ in range(3))
    trial.publish(batch, full, 5000, chunk=100)
    trial.publish(batch, empty, 5000, chunk=100)
    batch.floors[full] = 4500
    batch.floors[empty] = 5001
    await trial.write(batch)
    for count in (1, 20, 4096):
        await trial.reopen()
        await trial.verify()
        batch = trial.batch()
        for channel_id in (full, empty, never):
            trial.publish(batch, channel_id, count)
        batch.floors[empty] = trial.model.channels[empty].last + count + 1
        await trial.write(batch)
        await trial.verify()


async def deleted_stays_deleted(trial: Trial) -> None:
    """What was deleted does not come back: channels, clients, subscriptions, messages below a floor."""
    channels, numbers = await _some_of_everything(trial)
    batch = trial.batch()
    trial.delete_channel(batch, channels[0])
    batch.state.append((KIND_SUBSCRIPTION, b"%d" % numbers[0], None))
    batch.state.append((KIND_CLIENT, b"one", None))
    batch.floors[channels[1]] = 100
    await trial.write(batch)
    await trial.reopen()
    await trial.verify()
    expect(await trial.page(channels[0], 1) == [], "messages of a deleted channel can be read after opening again")
    batch = trial.batch()
    new = trial.add_channel(batch)
    for channel_id in (new, channels[1]):
        trial.publish(batch, channel_id, 5)
    await trial.write(batch)
    await trial.reopen()
    await trial.verify()


async def resubmitting_after_reopening(trial: Trial) -> None:
    """The last batch, submitted once more after opening again, changes nothing; a gap is refused then as ever."""
    channels, numbers = await _some_of_everything(trial)
    last = trial.batch()
    for channel_id in channels:
        trial.publish(last, channel_id, 25, chunk=5)
    last.floors[channels[0]] = 330
    last.cursors.append(Cursor(numbers[0], 336, [(330, 336)]))
    trial.put_client(last, b"three")
    trial.delete_channel(last, channels[2])
    last.runs = last.runs[:2]
    await trial.write(last)
    for _ in range(2):
        await trial.reopen()
        await trial.write(trial.again(last))
        await trial.verify()
    await trial.refuse(_far_ahead(trial, channels[0]))
    await trial.verify()


def _far_ahead(trial: Trial, channel_id: int) -> Batch:
    """A batch that leaves a gap."""
    batch = trial.batch()
    batch.runs.append(trial.run(channel_id, trial.model.channels[channel_id].last + 100, 5))
    return batch


CHECKS = (
    Check(closing_twice_is_closing_once),
    Check(close_finishes_what_was_submitted),
    Check(recover_agrees_with_reading),
    Check(recover_is_a_barrier),
    Check(everything_is_found_again, IF_RECOVERABLE),
    Check(work_goes_on_after_reopening, IF_RECOVERABLE),
    Check(deleted_stays_deleted, IF_RECOVERABLE),
    Check(resubmitting_after_reopening, IF_RECOVERABLE),
)
