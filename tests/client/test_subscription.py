"""Every option of a subscription against a real server, loops, and the ways to end it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from durabus.client import Bus, ClosedError, Message, StartPosition, Subscription, SubscriptionRefusedError
from durabus.client.errors import DurableInUseError
from tests.client.harness import PATIENCE_S, collect, connect, new_channel, new_client_id, until


async def loop(subscription: Subscription, count: int) -> list[Message]:
    """Take `count` messages with a loop that is left when it has them."""
    messages: list[Message] = []
    async with asyncio.timeout(PATIENCE_S):
        async for message in subscription:
            messages.append(message)
            if len(messages) == count:
                break
    return messages


async def filled(bus: Bus, count: int = 5) -> str:
    """A new channel with messages."""
    channel = new_channel()
    await bus.publish_all((channel, b"%d" % n) for n in range(1, count + 1))
    return channel


async def first_sequence(bus: Bus, channel: str, start: StartPosition) -> int:
    subscription = await bus.subscribe(channel, start=start)
    await bus.publish(channel, b"one more")
    (message,) = await collect(subscription, 1)
    await subscription.close()
    return message.sequence


async def test_start_positions(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus)
        assert await first_sequence(bus, channel, StartPosition.new_only()) == 6
        assert await first_sequence(bus, channel, StartPosition.last_received()) == 6
        assert await first_sequence(bus, channel, StartPosition.at_sequence(3)) == 3
        assert await first_sequence(bus, channel, StartPosition.all_available()) == 1
        assert await first_sequence(bus, channel, StartPosition.time_delta(timedelta(hours=1))) == 1
        assert await first_sequence(bus, channel, StartPosition.time_delta(0)) == 11
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        assert await first_sequence(bus, channel, StartPosition.at_time(hour_ago)) == 1


async def test_new_only_is_the_default(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus)
        subscription = await bus.subscribe(channel)
        await bus.publish(channel, b"new")
        assert [message.data for message in await collect(subscription, 1)] == [b"new"]
        assert subscription.last_sequence == 6
        assert subscription.channel == channel


async def test_a_loop_acknowledges_what_it_is_done_with(port: int) -> None:
    client_id = new_client_id()
    async with connect(port, client_id=client_id) as bus:
        channel = await filled(bus)
        subscription = await bus.subscribe(channel, durable_name="d", start=StartPosition.all_available())
        assert [message.sequence for message in await loop(subscription, 3)] == [1, 2, 3]
    async with connect(port, client_id=client_id) as bus:
        subscription = await bus.subscribe(channel, durable_name="d")
        messages = await collect(subscription, 3)
        assert [message.sequence for message in messages] == [3, 4, 5], "the loop was left in the middle of the third"
        assert messages[0].is_redelivered


async def test_a_loop_that_failed_leaves_its_message_for_redelivery(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 2)
        subscription = await bus.subscribe(channel, start=StartPosition.all_available(), ack_wait_s=1)

        async def fail() -> None:
            async for _ in subscription:
                raise ValueError("at the first")

        with pytest.raises(ValueError, match="at the first"):
            await fail()
        messages = await loop(subscription, 2)
        assert sorted(message.sequence for message in messages) == [1, 2]


async def test_a_loop_can_leave_the_message_that_it_is_at(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 2)
        subscription = await bus.subscribe(channel, start=StartPosition.all_available(), ack_wait_s=1)
        messages = aiter(subscription)
        async with asyncio.timeout(PATIENCE_S):
            assert (await anext(messages)).sequence == 1
            messages.let_go()
            messages.let_go()
            assert not messages.is_busy()
            assert (await anext(messages)).sequence == 2
            again = await anext(messages)
        assert (again.sequence, again.is_redelivered) == (1, True)


async def test_a_message_that_was_put_back_is_the_next(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 3)
        subscription = await bus.subscribe(channel, start=StartPosition.all_available(), ack_wait_s=1)
        one = await subscription.next()
        subscription.put_back(one)
        messages = await collect(subscription, 3)
        assert [message.sequence for message in messages] == [1, 2, 3]
        taken = asyncio.create_task(subscription.next())
        await until(lambda: bool(subscription._subscriber._waiters))
        subscription.put_back(one)
        assert await taken is one, "who waits is woken"
        await subscription.close()
        subscription.put_back(one)
        assert subscription.waiting_count == 0


async def test_acknowledging_by_hand(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 3)
        subscription = await bus.subscribe(
            channel, start=StartPosition.all_available(), manual_ack=True, ack_wait_s=1, max_in_flight=2
        )
        one, two = await loop(subscription, 2)
        two.ack()
        (three,) = await loop(subscription, 1)
        assert three.sequence == 3, "the acknowledgement made room for it"
        three.ack()
        (again,) = await loop(subscription, 1)
        assert (again.sequence, again.redelivery_count) == (one.sequence, 1)
        again.ack()


async def test_the_window(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 5)
        subscription = await bus.subscribe(channel, start=StartPosition.all_available(), max_in_flight=2)
        await until(lambda: subscription.waiting_count == 2)
        await bus.publish(channel, b"")  # answered behind whatever else would have been sent
        assert subscription.waiting_count == 2
        assert len(await collect(subscription, 6)) == 6


async def test_a_queue_group_shares(port: int) -> None:
    async with connect(port) as one, connect(port) as two:
        channel = new_channel()
        got: dict[str, list[int]] = {"one": [], "two": []}
        await one.subscribe(channel, lambda message: got["one"].append(message.sequence), queue_group="g")
        await two.subscribe(channel, lambda message: got["two"].append(message.sequence), queue_group="g")
        await one.publish_all((channel, b"") for _ in range(20))
        await until(lambda: len(got["one"]) + len(got["two"]) == 20)
        assert sorted(got["one"] + got["two"]) == list(range(1, 21))
        assert got["one"]
        assert got["two"]


async def test_a_durable_group_outlives_its_members(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        subscription = await bus.subscribe(channel, queue_group="g", durable_name="d")
        await bus.publish_all((channel, b"") for _ in range(2))
        await collect(subscription, 2)
    async with connect(port) as bus:
        await bus.publish(channel, b"meanwhile")
        subscription = await bus.subscribe(channel, queue_group="g", durable_name="d")
        assert [message.data for message in await collect(subscription, 1)] == [b"meanwhile"]


async def test_close_keeps_a_durable_and_unsubscribe_removes_it(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 2)
        start = StartPosition.all_available()
        subscription = await bus.subscribe(channel, durable_name="d", start=start)
        await collect(subscription, 2)
        await subscription.close()
        assert subscription.is_over
        subscription = await bus.subscribe(channel, durable_name="d", start=start)
        await bus.publish(channel, b"3")
        assert [message.sequence for message in await collect(subscription, 1)] == [3]
        await subscription.unsubscribe()
        subscription = await bus.subscribe(channel, durable_name="d", start=start)
        assert [message.sequence for message in await collect(subscription, 3)] == [1, 2, 3]


async def test_a_durable_cannot_be_online_twice(port: int) -> None:
    async with connect(port) as bus:
        channel = new_channel()
        await bus.subscribe(channel, durable_name="d")
        with pytest.raises(DurableInUseError) as caught:
            await bus.subscribe(channel, durable_name="d")
        assert caught.value.server_text == "stan: duplicate durable registration"
        assert isinstance(caught.value, SubscriptionRefusedError)


async def test_a_subscription_that_is_closed_gives_nothing(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus)
        async with await bus.subscribe(channel, start=StartPosition.all_available()) as subscription:
            await collect(subscription, 1)
        with pytest.raises(ClosedError):
            await subscription.next()
        assert [message async for message in subscription] == []
        await subscription.close()
        await subscription.unsubscribe()


async def test_drain_hands_out_what_came(port: int) -> None:
    client_id = new_client_id()
    done: list[int] = []
    async with connect(port, client_id=client_id) as bus:
        channel = await filled(bus, 10)

        async def handler(message: Message) -> None:
            await asyncio.sleep(0)
            done.append(message.sequence)

        subscription = await bus.subscribe(
            channel, handler, durable_name="d", start=StartPosition.all_available(), max_in_flight=4
        )
        await until(lambda: bool(done))
        await subscription.drain()
        last = done[-1]
        assert done == list(range(1, last + 1))
        subscription = await bus.subscribe(channel, durable_name="d")
        if last < 10:
            messages = await collect(subscription, 10 - last)
            assert [message.sequence for message in messages] == list(range(last + 1, 11))


async def test_several_loops_share_a_subscription(port: int) -> None:
    async with connect(port) as bus:
        channel = await filled(bus, 20)
        subscription = await bus.subscribe(channel, start=StartPosition.all_available())
        seen: list[int] = []

        async def work() -> None:
            async for message in subscription:
                await asyncio.sleep(0)
                seen.append(message.sequence)

        tasks = [asyncio.create_task(work()) for _ in range(3)]
        await until(lambda: len(seen) == 20)
        await subscription.close()
        await asyncio.gather(*tasks)
        assert sorted(seen) == list(range(1, 21))


async def test_a_loop_that_is_cancelled_while_waiting_loses_nothing(port: int) -> None:
    async with connect(port) as bus:
        channel = new_channel()
        subscription = await bus.subscribe(channel)
        waiting = [asyncio.create_task(subscription.next()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await bus.publish(channel, b"1")
        assert (await waiting[1]).data == b"1"
