"""Checks of how batches end: each once, in order, not before they are safe, and as often as one likes."""

from durabus.errors import StoreError
from durabus.streaming.store_port import KIND_CLIENT, Batch, Cursor, Lease
from durabus.testing.conformance.model import Model
from durabus.testing.conformance.probe import expect, within
from durabus.testing.conformance.trial import IF_CRASHES, MUCH, Check, Trial

__all__ = ["CHECKS"]


async def store_says_what_it_is(trial: Trial) -> None:
    """A store has a name, says what an acknowledgement is worth, and its limits are possible ones."""
    store = trial.store
    expect(bool(store.name), "the store has no name")
    expect(len(store.durability) > 20, f"durability does not say in words what it is worth: {store.durability!r}")
    expect(
        store.message_bytes_max >= 1024 * 1024, f"messages of 1 MB are usual, here {store.message_bytes_max} is most"
    )
    expect(store.message_overhead_bytes >= 0, "message_overhead_bytes is negative")
    expect(store.data_overhead_bytes >= 0, "data_overhead_bytes is negative")
    expect(store.batches_in_flight_max >= 1, "not even one batch may be in flight")


async def acquire_refuses_or_leases(trial: Trial) -> None:
    """`acquire` makes the only one who asks the writer, or raises StoreError where that is not supported."""
    if trial.lease is None:
        try:
            lease = await within(trial.harness.patience_s, "acquire", trial.store.acquire("conformance"))
        except StoreError as error:
            expect(bool(str(error)), "acquire raised a StoreError without a text")
        else:
            expect(isinstance(lease, Lease), f"acquire returned {lease!r}, but nobody else has this store")
            trial.lease = lease
    batch = trial.batch()
    trial.publish(batch, trial.add_channel(batch), 3)
    await trial.write(batch)
    await trial.verify()


async def every_batch_ends_once_and_in_order(trial: Trial) -> None:
    """Each batch, an empty one too, ends in exactly one report; batches become durable in the order of their numbers."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    await trial.write(trial.batch())
    for count in range(1, 31):
        await trial.probe.wait_room()
        batch = trial.batch()
        trial.publish(batch, channel_id, count)
        trial.submit(batch)
    await trial.probe.wait_all_ended()
    expect(not trial.probe.failed, f"proper batches failed: {trial.probe.failed}")
    numbers = list(range(1, trial.batch_number + 1))
    expect(trial.probe.durable == numbers, f"the batches became durable in the order {trial.probe.durable}")
    await trial.verify()


async def next_batch_from_within_on_durable(trial: Trial) -> None:
    """The core may submit the next batch from within `on_durable`."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)

    def submit_more(number: int) -> None:
        if number < 10:
            more = trial.batch()
            trial.publish(more, channel_id, number)
            trial.submit(more)

    trial.probe.at_durable = submit_more
    trial.submit(batch)
    await trial.probe.wait_ended(10)
    trial.probe.at_durable = None
    expect(trial.probe.durable == list(range(1, 11)), f"the batches became durable in the order {trial.probe.durable}")
    await trial.verify()


async def acknowledged_is_readable(trial: Trial) -> None:
    """What `on_durable` reports can be read at that moment, from within the call."""
    batches: dict[int, Batch] = {}
    early: list[str] = []
    requests: list[tuple[int, bytes]] = []

    def read_back(number: int) -> None:
        for run in batches[number].runs:
            for first in (int(run.first_sequence), int(run.first_sequence) + len(run.bodies) - 1):
                body = run.bodies[first - int(run.first_sequence)]
                page = trial.store.read_now(run.channel_id, first, 1, MUCH)
                requests.append((trial.probe.ask_page(run.channel_id, first, 1, MUCH), body))
                if page is not None and page != [body]:
                    early.append(f"batch {number} was reported durable, but sequence {first} reads as {page!r}"[:200])

    trial.probe.at_durable = read_back
    channels: list[int] = []
    for count in (1, 5, 40, 2):
        batch = trial.batch()
        batches[batch.number] = batch
        channels.append(trial.add_channel(batch))
        for channel_id in channels:
            trial.publish(batch, channel_id, count)
        await trial.write(batch)
    expect(not early, "; ".join(early))
    for request, body in requests:
        page = await trial.probe.page(request)
        expect(page == [body], f"a read from within on_durable got {page!r}, not {body!r}"[:200])


async def only_durable_messages_are_read(trial: Trial) -> None:
    """Messages of a batch cannot be read before it is reported durable."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for count in (1, 3, 200):
        await trial.probe.wait_all_ended()
        batch = trial.batch()
        first = int(trial.publish(batch, channel_id, count).first_sequence)
        trial.submit(batch)
        page = None if trial.probe.has_ended(batch.number) else trial.store.read_now(channel_id, first, count, MUCH)
        request = trial.probe.ask_page(channel_id, first, count, MUCH)
        answer = None if trial.probe.has_ended(batch.number) else trial.probe.page_now(request)
        expect(not page, f"{len(page or [])} messages were at hand before their batch was durable")
        expect(not answer, f"{len(answer or [])} messages were read before their batch was durable")
        await trial.probe.page(request)
        await trial.probe.wait_ended(batch.number)
    await trial.verify()


async def acknowledged_survives_a_crash(trial: Trial) -> None:
    """What `on_durable` reports is there after a power failure at that moment."""
    history: list[Batch] = []
    copies: list[tuple[int, object]] = []
    trial.probe.at_durable = lambda number: copies.append((number, trial.harness.crash_copy(trial.store)))
    channels: list[int] = []
    for number in range(1, 9):
        batch = trial.batch()
        history.append(batch)
        trial.put_client(batch, b"client-%d" % number)
        if number > 4:
            batch.state.append((KIND_CLIENT, b"client-%d" % (number - 4), None))
        channels.append(trial.add_channel(batch))
        for channel_id in channels:
            trial.publish(batch, channel_id, number * 3, chunk=2)
        batch.floors[channels[0]] = number * 2
        await trial.write(batch)
    trial.probe.at_durable = None
    expect(len(copies) == len(history), f"{len(history)} batches ended in {len(copies)} reports")
    for number, copy in copies:
        await _holds(trial, copy, history[:number])


async def _holds(trial: Trial, copy: object, history: list[Batch]) -> None:
    """Expect that the copy holds all of `history`; of what came after, it may hold something too."""
    model = Model()
    for batch in history:
        model.apply(batch)
    store = await within(trial.harness.patience_s, "open_copy", trial.harness.open_copy(copy))
    other = Trial(trial.harness, store)
    other.lease = await store.acquire("conformance") if trial.harness.leased else None
    recovered = await other.recover()
    after = f"after a crash at the moment of on_durable({len(history)})"
    state = {(kind, key): value for kind, key, value in recovered.state}
    for entry in sorted({(kind, key) for batch in history for kind, key, _ in batch.state}):
        found, wanted = state.get(entry), model.state.get(entry)
        expect(found == wanted, f"{after} the state of {entry} is {found!r}, not {wanted!r}")
    channels = {channel.channel_id: channel for channel in recovered.channels}
    for channel_id, channel in model.channels.items():
        there = channels.get(channel_id)
        last = 0 if there is None else there.last_sequence
        expect(last >= channel.last, f"{after} channel {channel_id} ends at {last}, not at {channel.last}")
        first = 0 if there is None else there.first_sequence
        expect(first >= channel.first, f"{after} channel {channel_id} begins at {first}, not at {channel.first}")
        found_bodies = (await other.messages(channel_id, first))[: channel.last + 1 - first]
        same = found_bodies == channel.range(first, channel.last + 1 - first)
        expect(same, f"{after} channel {channel_id} has other messages than before")
    await other.finish()


async def resubmitting_changes_nothing(trial: Trial) -> None:
    """A batch applied twice is a batch applied once: nothing is doubled, moved, or counted again."""
    batch = trial.batch()
    one, two = trial.add_channel(batch), trial.add_channel(batch)
    trial.put_client(batch, b"me")
    number = trial.add_subscription(batch, one)
    trial.publish(batch, one, 10, chunk=3)
    trial.publish(batch, one, 4, chunk=2)
    trial.publish(batch, two, 6)
    batch.cursors.append(Cursor(number, 5, [(2, 3), (5, 5)]))
    await trial.write(batch)
    await trial.write(trial.again(batch))
    await trial.verify()
    batch = trial.batch()
    trial.publish(batch, one, 5, chunk=1)
    trial.put_client(batch, b"me", b"_INBOX.two")
    batch.floors[one] = 12
    batch.floors[two] = 7
    await trial.write(batch)
    await trial.write(trial.again(batch))
    await trial.verify()
    batch = trial.batch()
    trial.delete_channel(batch, two)
    batch.state.append((KIND_CLIENT, b"me", None))
    trial.publish(batch, one, 1)
    await trial.write(batch)
    await trial.write(trial.again(batch))
    await trial.verify()


async def overlapping_run_adds_the_rest(trial: Trial) -> None:
    """Of a run that is there in part, the rest is added; what was there stays as it was, timestamps too."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    whole = trial.run(channel_id, 1, 20, chunk=3)
    part = trial.run(channel_id, 1, 0)
    part.bodies = whole.bodies[:14]
    part.stamps = [stamp for stamp in whole.stamps if stamp[0] < 14]
    batch.runs.append(part)
    await trial.write(batch)
    batch = trial.batch()
    batch.runs.append(whole)
    await trial.write(batch)
    await trial.verify()
    await trial.verify_seeks(channel_id, [ns + more for _, ns in whole.stamps for more in (-1, 0, 1)])


async def gap_is_refused(trial: Trial) -> None:
    """A run that leaves a gap is REFUSED, with all of its batch; what comes after is taken as if it had never been."""
    batch = trial.batch()
    one, two = trial.add_channel(batch), trial.add_channel(batch)
    number = trial.add_subscription(batch, one)
    trial.publish(batch, one, 10)
    trial.publish(batch, two, 10)
    await trial.write(batch)
    await trial.refuse(_with_gap(trial, trial.batch(), one, two, number))
    await trial.verify()
    batch = trial.batch()
    third = trial.add_channel(batch)
    for channel_id in (one, two, third):
        trial.publish(batch, channel_id, 5)
    await trial.write(batch)
    batch = trial.batch()
    trial.publish(batch, one, 3)
    last = trial.publish(batch, one, 3)
    last.first_sequence += 1
    await trial.refuse(batch)
    await trial.verify()
    batch = trial.batch()
    trial.publish(batch, one, 7)
    await trial.write(batch)
    await trial.verify()


async def after_a_failure_everything_fails(trial: Trial) -> None:
    """What is decided after a batch that failed rests on it: so it fails, too, whatever it is, until `recover`."""
    batch = trial.batch()
    one, two = trial.add_channel(batch), trial.add_channel(batch)
    number = trial.add_subscription(batch, one)
    trial.publish(batch, one, 10)
    trial.publish(batch, two, 10)
    await trial.write(batch)
    failing = [_with_gap(trial, trial.batch(), one, two, number), *(trial.batch() for _ in range(4))]
    failing[1].runs.append(trial.run(one, 11, 3))
    failing[2].runs.append(trial.run(two, 11, 1))
    trial.put_client(failing[3], b"somebody")
    for batch in failing:
        await trial.probe.wait_room()
        trial.probe.submit(batch)
    await trial.probe.wait_all_ended()
    for batch in failing:
        expect(
            batch.number in trial.probe.failed,
            f"batch {failing[0].number} failed, and batch {batch.number}, which was decided after it, was stored",
        )
    trial.verify_recovered(await trial.recover())
    await trial.verify()
    batch = trial.batch()
    trial.publish(batch, one, 2)
    trial.publish(batch, two, 2)
    await trial.write(batch)
    await trial.verify()


def _with_gap(trial: Trial, batch: Batch, one: int, two: int, number: int) -> Batch:
    """A batch with changes of every kind, all proper except that its last run leaves a gap."""
    trial.put_client(batch, b"nobody")
    trial.put_subscription(batch, number, 7)
    batch.cursors.append(Cursor(number, 3, [(1, 3)]))
    batch.floors[one] = 5
    trial.publish(batch, one, 2)
    batch.runs.append(trial.run(two, 12, 2))
    return batch


CHECKS = (
    Check(store_says_what_it_is),
    Check(acquire_refuses_or_leases),
    Check(every_batch_ends_once_and_in_order),
    Check(next_batch_from_within_on_durable),
    Check(acknowledged_is_readable),
    Check(only_durable_messages_are_read),
    Check(acknowledged_survives_a_crash, IF_CRASHES),
    Check(resubmitting_changes_nothing),
    Check(overlapping_run_adds_the_rest),
    Check(gap_is_refused),
    Check(after_a_failure_everything_fails),
)
