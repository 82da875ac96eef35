"""Checks of messages: read unchanged at their sequences, in pages, from the channel that they were written to."""

from durabus.streaming.store_port import Batch
from durabus.testing.conformance.probe import expect
from durabus.testing.conformance.trial import IF_RECOVERABLE, MUCH, Check, Trial

__all__ = ["CHECKS"]


async def _one_channel(trial: Trial, *sizes: int) -> int:
    """A channel with one message of each size, in one batch."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    for size in sizes:
        trial.publish(batch, channel_id, 1, size)
    await trial.write(batch)
    return channel_id


async def messages_are_read_unchanged(trial: Trial) -> None:
    """Messages are read unchanged at their sequences, from wherever one begins, however they came."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    trial.publish(batch, channel_id, 7)
    await trial.write(batch)
    for count, chunk in ((1, 0), (25, 4), (1, 1), (100, 1)):
        batch = trial.batch()
        trial.publish(batch, channel_id, count, chunk=chunk)
        trial.publish(batch, channel_id, 2)
        await trial.write(batch)
    for first in range(1, trial.model.channels[channel_id].last + 2):
        await trial.verify_messages(channel_id, first)
    await trial.verify()


async def bodies_of_every_size(trial: Trial) -> None:
    """A body is bytes, not text: short, long, and with every byte in it."""
    channel_id = await _one_channel(trial, 0, 1, 127, 128, 1000, 65_535, 65_536, 100_000, 0, 3)
    await trial.verify_messages(channel_id, 1)
    await trial.verify()


async def channels_do_not_mix(trial: Trial) -> None:
    """Each channel has its own messages and its own sequences, also when batches carry several channels."""
    batch = trial.batch()
    channels = [trial.add_channel(batch) for _ in range(5)]
    await trial.write(batch)
    for step in range(12):
        batch = trial.batch()
        chosen = channels if step % 3 == 0 else [channels[step % 5], channels[(step * 2 + 1) % 5]]
        for channel_id in chosen:
            trial.publish(batch, channel_id, 4)
        await trial.write(batch)
    for channel_id in channels:
        await trial.verify_messages(channel_id, 1)
    await trial.verify()


async def channel_may_begin_anywhere(trial: Trial) -> None:
    """The first run of a channel may begin at any sequence, as in a copy of a channel that lost its oldest messages."""
    batch = trial.batch()
    one, two = trial.add_channel(batch), trial.add_channel(batch)
    batch.runs.append(trial.run(one, 5_000_000_001, 10, chunk=2))
    trial.publish(batch, two, 3)
    await trial.write(batch)
    await trial.verify()
    batch = trial.batch()
    trial.publish(batch, one, 5)
    batch.floors[one] = 5_000_000_004
    await trial.write(batch)
    await trial.verify()


async def beyond_the_last_message(trial: Trial) -> None:
    """There is nothing to read beyond the last message, in a channel without messages, and in one that never was."""
    batch = trial.batch()
    channel_id, empty = trial.add_channel(batch), trial.add_channel(batch)
    trial.publish(batch, channel_id, 3)
    await trial.write(batch)
    for where, first in ((channel_id, 4), (channel_id, 5), (channel_id, 1_000_000), (empty, 1), (trial.new_id(), 1)):
        page = await trial.page(where, first)
        expect(page == [], f"channel {where} has {len(page)} messages from {first} on, and should have none")


async def _both(trial: Trial, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[list[bytes]]:
    """A page from `read`, and one from `read_now` unless it passes."""
    pages = [await trial.probe.page(trial.probe.ask_page(channel_id, first, count_max, bytes_max))]
    at_hand = trial.store.read_now(channel_id, first, count_max, bytes_max)
    return pages if at_hand is None else [*pages, at_hand]


async def count_limits_a_page(trial: Trial) -> None:
    """A page has at most `count_max` messages, and at least one when there is one."""
    channel_id = await _one_channel(trial, *[20] * 50)
    channel = trial.model.channels[channel_id]
    for first in (1, 2, 30, 49, 50):
        for count in (1, 2, 3, 20, 49, 50, 51, 1000):
            for page in await _both(trial, channel_id, first, count, MUCH):
                right = bool(page) and page == channel.range(first, len(page)) and len(page) <= count
                expect(right, f"a page of at most {count} messages from {first} on has {len(page)}, or wrong ones")


async def bytes_limit_a_page(trial: Trial) -> None:
    """A page has at most `bytes_max` bytes of bodies, but at least one message whatever that limit says."""
    sizes = (0, 10, 2000, 50, 70_000, 5, 5, 5, 300, 100, 100_000, 100_000, 1, 1)
    channel_id = await _one_channel(trial, *sizes)
    channel = trial.model.channels[channel_id]
    for first in range(1, len(sizes) + 1):
        for limit in (0, 1, 64, 200, 1000, 2500, 72_000, 150_000, MUCH):
            for count in (1, 4, MUCH):
                for page in await _both(trial, channel_id, first, count, limit):
                    what = f"a page of at most {limit} bytes from {first} on"
                    expect(bool(page), f"{what} is empty, though there is a message")
                    expect(page == channel.range(first, len(page)), f"{what} has wrong messages")
                    total = sum(map(len, page))
                    expect(total <= limit or len(page) == 1, f"{what} has {len(page)} messages of {total} bytes")
                    expect(len(page) <= count, f"{what} and {count} messages has {len(page)}")


async def every_read_is_answered_once(trial: Trial) -> None:
    """Every `read` ends in exactly one `on_page` with its own number, however many are open."""
    batch = trial.batch()
    channels = [trial.add_channel(batch) for _ in range(3)]
    for channel_id in channels:
        trial.publish(batch, channel_id, 30)
    await trial.write(batch)
    asked: list[tuple[int, int, int]] = []
    for first in range(1, 33):
        for channel_id in channels:
            asked.append((trial.probe.ask_page(channel_id, first, 5, MUCH), channel_id, first))
    for request, channel_id, first in reversed(asked):
        page = await trial.probe.page(request)
        wanted = trial.model.channels[channel_id].range(first, 5)
        right = page == wanted[: len(page)] and bool(page) == bool(wanted)
        expect(right, f"read {request}, of channel {channel_id} from {first} on, was answered with another page")


async def pages_belong_to_the_reader(trial: Trial) -> None:
    """The core may do with a page what it likes: the next reader sees what was stored."""
    channel_id = await _one_channel(trial, *[20] * 10)
    for first in (1, 5):
        for page in await _both(trial, channel_id, first, MUCH, MUCH):
            page.reverse()
            page.clear()
        await trial.verify_messages(channel_id, first)
    await trial.verify()


async def many_thousand_messages(trial: Trial) -> None:
    """Many thousand messages, in large and small runs, are all there and in order."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    await trial.write(batch)
    for count in (4095, 1, 1, 4096, 8193, 1000, 17, 3000):
        batch = trial.batch()
        trial.publish(batch, channel_id, count, chunk=64)
        await trial.write(batch)
    await trial.verify()
    for first in (2, 4095, 4096, 4097, 8192, 8193, 8194, 12_289, 16_385, 20_403):
        await trial.verify_messages(channel_id, first)


async def batch_is_read_once(trial: Trial) -> None:
    """What the core does to a batch's lists after its end does not reach what is stored."""
    batch = trial.batch()
    channel_id = trial.add_channel(batch)
    run = trial.publish(batch, channel_id, 5, chunk=2)
    await trial.write(batch)
    run.bodies.clear()
    run.stamps.clear()
    batch.state.clear()
    await trial.verify()


def _publish_lost(trial: Trial, batch: Batch, channel_id: int, kept: str) -> None:
    """Let `batch` append a run with a message for every `+` of `kept`, and one that is lost for every `-`."""
    run = trial.publish(batch, channel_id, len(kept))
    run.bodies = [body if sign == "+" else b"" for sign, body in zip(kept, run.bodies, strict=True)]
    trial.has_lost = True


async def lost_messages_keep_their_numbers(trial: Trial) -> None:
    """An empty body is a message that was lost before it came here: it is read back as one, and its number is used up."""
    batch = trial.batch()
    channels = [trial.add_channel(batch) for _ in range(3)]
    await trial.write(batch)
    for runs in (("+--+", "+-", "+"), ("++", "-", "-"), ("-", "+", "--"), ("-+-", "+--+-", "+")):
        batch = trial.batch()
        for channel_id, kept in zip(channels, runs, strict=True):
            _publish_lost(trial, batch, channel_id, kept)
        await trial.write(batch)
        for channel_id in channels:
            first = trial.model.channels[channel_id].first
            found = await trial.messages(channel_id, first)
            wanted = trial.model.channels[channel_id].range(first, MUCH)
            expect(found == wanted, f"of {wanted}, where some are lost, {found} are read")
            expect(trial.store.has_lost, "pages hold empty bodies, and has_lost does not say so")
        trial.verify_recovered(await trial.recover())


async def lost_messages_stay_lost(trial: Trial) -> None:
    """After opening again lost messages are still lost, and the number of the last one is still used up."""
    batch = trial.batch()
    middle, end, none, last = (trial.add_channel(batch) for _ in range(4))
    for channel_id, kept in ((middle, "+-+--++"), (end, "++-"), (none, "-"), (last, "+-")):
        _publish_lost(trial, batch, channel_id, kept)
    batch.floors[none] = 2
    batch.floors[last] = 3
    await trial.write(batch)
    for _ in range(2):
        await trial.reopen()
        for channel_id in (middle, end):
            found = await trial.messages(channel_id, 1)
            wanted = trial.model.channels[channel_id].range(1, MUCH)
            expect(found == wanted, f"of {wanted}, where some are lost, {found} are read after opening again")
            expect(trial.store.has_lost, "after opening again pages hold empty bodies, and has_lost does not say so")
        batch = trial.batch()
        for channel_id in (middle, end, none, last):
            trial.publish(batch, channel_id, 2)
        await trial.write(batch)
    trial.verify_recovered(await trial.recover())


CHECKS = (
    Check(messages_are_read_unchanged),
    Check(bodies_of_every_size),
    Check(channels_do_not_mix),
    Check(channel_may_begin_anywhere),
    Check(beyond_the_last_message),
    Check(count_limits_a_page),
    Check(bytes_limit_a_page),
    Check(every_read_is_answered_once),
    Check(pages_belong_to_the_reader),
    Check(many_thousand_messages),
    Check(batch_is_read_once),
    Check(lost_messages_keep_their_numbers),
    Check(lost_messages_stay_lost, IF_RECOVERABLE),
)
