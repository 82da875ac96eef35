"""Checks of state and cursors: put, replaced and deleted, and what goes with a deleted channel or subscription."""

from durabus.streaming.records import encode_server
from durabus.streaming.store_port import KIND_CLIENT, KIND_SERVER, KIND_SUBSCRIPTION, Cursor
from durabus.testing.conformance.probe import expect
from durabus.testing.conformance.trial import Check, Trial

__all__ = ["CHECKS"]


async def state_is_put_replaced_and_deleted(trial: Trial) -> None:
    """State entries are put, replaced and deleted in their order, those of one batch too; other kinds do not notice."""
    batch = trial.batch()
    batch.state.append((KIND_SERVER, b"server", encode_server(b"test-cluster")))
    for client_id in (b"1", b"2", b"three"):
        trial.put_client(batch, client_id)
    channel_id = trial.add_channel(batch)
    trial.add_subscription(batch, channel_id)
    await trial.write(batch)
    await trial.verify()
    batch = trial.batch()
    trial.put_client(batch, b"2", b"_INBOX.second")
    batch.state.append((KIND_CLIENT, b"three", None))
    batch.state.append((KIND_SERVER, b"server", encode_server(b"other-cluster")))
    await trial.write(batch)
    await trial.verify()
    batch = trial.batch()
    trial.put_client(batch, b"three", b"_INBOX.third")
    batch.state.append((KIND_CLIENT, b"three", None))
    batch.state.append((KIND_CLIENT, b"1", None))
    trial.put_client(batch, b"1", b"_INBOX.fourth")
    batch.state.append((KIND_CLIENT, b"nobody", None))
    await trial.write(batch)
    await trial.verify()


async def deleted_channel_takes_its_messages(trial: Trial) -> None:
    """With a channel go its messages, figures and timestamps; a new one of the same name begins with nothing."""
    batch = trial.batch()
    old, other = trial.add_channel(batch, b"same"), trial.add_channel(batch)
    trial.publish(batch, old, 30)
    trial.publish(batch, other, 30)
    await trial.write(batch)
    batch = trial.batch()
    trial.delete_channel(batch, old)
    await trial.write(batch)
    for first in (1, 30, 31):
        expect(await trial.page(old, first) == [], "messages of a deleted channel can be read")
    await trial.verify_seeks(old, [0, trial.now_ns])
    await trial.verify()
    batch = trial.batch()
    new = trial.add_channel(batch, b"same")
    trial.publish(batch, new, 4)
    trial.publish(batch, other, 4)
    await trial.write(batch)
    await trial.verify()


async def deletion_and_creation_in_one_batch(trial: Trial) -> None:
    """A channel may be deleted and made again, under a new id, in one batch."""
    batch = trial.batch()
    old = trial.add_channel(batch, b"same")
    trial.publish(batch, old, 5)
    await trial.write(batch)
    batch = trial.batch()
    trial.delete_channel(batch, old)
    new = trial.add_channel(batch, b"same")
    trial.publish(batch, new, 2)
    await trial.write(batch)
    expect(await trial.page(old, 1) == [], "messages of a deleted channel can be read")
    await trial.verify()


async def deletion_takes_all_of_its_batch(trial: Trial) -> None:
    """What a batch deletes is gone after it, even when it brings messages or a cursor of the same; late floors are harmless."""
    batch = trial.batch()
    one, two = trial.add_channel(batch), trial.add_channel(batch)
    number = trial.add_subscription(batch, two)
    trial.publish(batch, one, 5)
    trial.publish(batch, two, 5)
    await trial.write(batch)
    batch = trial.batch()
    trial.publish(batch, one, 5)
    trial.delete_channel(batch, one)
    batch.floors[one] = 3
    batch.state.append((KIND_SUBSCRIPTION, b"%d" % number, None))
    batch.cursors.append(Cursor(number, 3, []))
    await trial.write(batch)
    expect(await trial.page(one, 6) == [], "messages of a deleted channel can be read")
    await trial.verify()
    batch = trial.batch()
    batch.floors[one] = 6
    trial.publish(batch, two, 1)
    await trial.write(batch)
    await trial.verify()


async def cursors_are_replaced_as_a_whole(trial: Trial) -> None:
    """A cursor replaces the one before it, its pending ranges too; the last one of a batch counts."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 3000)
    one, two = trial.add_subscription(batch, channel_id), trial.add_subscription(batch, channel_id)
    batch.cursors += [Cursor(one, 0, []), Cursor(two, 20, [(1, 20)])]
    await trial.write(batch)
    await trial.verify()
    scattered = [(first, first) for first in range(1, 3000, 2)]
    for pending in ([(11, 15), (17, 17), (20, 30)], [], [(1, 1)], scattered, [(3000, 3000)]):
        batch = trial.batch()
        batch.cursors.append(Cursor(one, 3000, [(1, 3000)]))
        batch.cursors.append(Cursor(one, 3000, pending))
        await trial.write(batch)
        await trial.verify()


async def cursors_go_with_their_subscription(trial: Trial) -> None:
    """A deleted subscription's cursor is gone; replacing its record leaves the cursor."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 10)
    numbers = [trial.add_subscription(batch, channel_id) for _ in range(3)]
    batch.cursors += [Cursor(number, 10, [(2, 4), (9, 9)]) for number in numbers]
    await trial.write(batch)
    batch = trial.batch()
    trial.put_subscription(batch, numbers[0], 5)
    batch.state.append((KIND_SUBSCRIPTION, b"%d" % numbers[1], None))
    await trial.write(batch)
    await trial.verify()
    batch = trial.batch()
    batch.state += [(KIND_SUBSCRIPTION, b"%d" % number, None) for number in numbers]
    await trial.write(batch)
    await trial.verify()


CHECKS = (
    Check(state_is_put_replaced_and_deleted),
    Check(deleted_channel_takes_its_messages),
    Check(deletion_and_creation_in_one_batch),
    Check(deletion_takes_all_of_its_batch),
    Check(cursors_are_replaced_as_a_whole),
    Check(cursors_go_with_their_subscription),
)
