"""The bus against a real server: publish, subscribe, drain, close, signals."""

import asyncio
import logging
import os
import signal

import pytest

from durabus.client import (
    Bus,
    ClosedError,
    FlushError,
    Message,
    PublishRefusedError,
    PublishUnknownError,
    StartPosition,
    UsageError,
    WindowFullError,
)
from tests.client.harness import PATIENCE_S, collect, connect, lose, new_channel, until


async def test_an_event_comes_back(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        publication = await bus.publish(channel, "grüße")
        assert publication.is_acknowledged
        subscription = await bus.subscribe(channel, start=StartPosition.all_available())
        (message,) = await collect(subscription, 1)
        assert (message.channel, message.sequence, message.data) == (channel, 1, "grüße".encode())
        assert message.timestamp_ns > 1_600_000_000_000_000_000


async def test_many_within_a_window(port: int) -> None:
    channel = new_channel()
    async with connect(port, window_messages_max=16) as bus:
        assert await bus.publish_all((channel, b"%d" % n) for n in range(500)) == 500

        async def more() -> object:
            for n in range(500, 600):
                yield channel, b"%d" % n

        assert await bus.publish_all(more()) == 100  # type: ignore[arg-type]
        subscription = await bus.subscribe(channel, start=StartPosition.all_available())
        assert [message.data for message in await collect(subscription, 600)] == [b"%d" % n for n in range(600)]


async def test_tasks_that_wait_for_room_come_in_their_order(port: int) -> None:
    channel = new_channel()
    async with connect(port, window_messages_max=2) as bus:
        await asyncio.gather(*(bus.publish(channel, b"%d" % n) for n in range(50)))
        subscription = await bus.subscribe(channel, start=StartPosition.all_available())
        assert [message.data for message in await collect(subscription, 50)] == [b"%d" % n for n in range(50)]


async def test_without_waiting(port: int) -> None:
    channel = new_channel()
    async with connect(port, window_messages_max=3) as bus:
        made = [bus.publish_nowait(channel, b"x") for _ in range(3)]
        with pytest.raises(WindowFullError):
            bus.publish_nowait(channel, b"x")
        await bus.wait_room()
        made.append(bus.publish_nowait(channel, b"x"))
        await bus.flush()
        assert all(publication.is_acknowledged for publication in made)


async def test_a_task_that_gives_up_waiting_for_room_leaves_it_to_others(port: int) -> None:
    channel = new_channel()
    async with connect(port, window_messages_max=1) as bus:
        bus.publish_nowait(channel, b"first")
        given_up = asyncio.create_task(bus.publish(channel, b"never"))
        other = asyncio.create_task(bus.publish(channel, b"second"))
        await asyncio.sleep(0)
        given_up.cancel()
        await other
        subscription = await bus.subscribe(channel, start=StartPosition.all_available())
        assert [message.data for message in await collect(subscription, 2)] == [b"first", b"second"]


async def test_too_large_is_refused_and_the_connection_stays(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        with pytest.raises(PublishRefusedError):
            await bus.publish(channel, b"x" * (1 << 21))
        bus.publish_nowait(channel, b"x" * (1 << 21))
        with pytest.raises(FlushError) as caught:
            await bus.flush()
        assert isinstance(caught.value.failures[0], PublishRefusedError)
        await bus.publish(channel, b"small")
        assert bus.is_connected


async def test_mistakes_are_found_before_they_are_sent(port: int) -> None:
    async with connect(port) as bus:
        for wrong in ("", "a.*", "a b", "a..b"):
            with pytest.raises(UsageError):
                await bus.publish(wrong, b"")
            with pytest.raises(UsageError):
                await bus.subscribe(wrong)
        with pytest.raises(UsageError):
            await bus.subscribe("a", concurrency=0)
        with pytest.raises(UsageError):
            await bus.subscribe("a", max_in_flight=0)
        with pytest.raises(UsageError, match="the handler is a function"):
            await bus.subscribe("a", "handler")  # type: ignore[arg-type]
        wrong_data: list[object] = [{}, None, 5, "\ud800"]
        for data in wrong_data:
            with pytest.raises(UsageError):
                await bus.publish("a", data)  # type: ignore[arg-type]
            with pytest.raises(UsageError):
                bus.publish_nowait("a", data)  # type: ignore[arg-type]
            with pytest.raises(UsageError):
                await bus.publish_all([("a", data)])  # type: ignore[list-item]
        await bus.publish("a", b"")  # nothing of that has hurt the bus


async def test_a_durable_needs_a_client_id_of_its_own(port: int) -> None:
    async with connect(port, client_id="") as bus:
        with pytest.raises(UsageError, match="client_id"):
            await bus.subscribe("a", durable_name="d")
        await bus.subscribe(new_channel(), durable_name="d", queue_group="g")


async def test_a_handler_works_and_its_mistakes_stay_its_own(port: int, caplog: pytest.LogCaptureFixture) -> None:
    channel = new_channel()
    done: list[int] = []
    failed: list[int] = []
    async with connect(port) as bus:

        async def handler(message: Message) -> None:
            if message.sequence == 2 and not message.is_redelivered:
                failed.append(2)
                raise ValueError("cannot do it")
            done.append(message.sequence)

        await bus.publish_all((channel, b"") for _ in range(3))
        with caplog.at_level(logging.ERROR, "durabus.client"):
            await bus.subscribe(channel, handler, start=StartPosition.all_available(), ack_wait_s=1)
            await until(lambda: len(done) == 3)
        assert sorted(done) == [1, 2, 3]
        assert failed == [2]
        assert "cannot do it" in caplog.text
        await bus.publish(channel, b"")
        await until(lambda: done[-1] == 4)


async def test_handlers_at_work_at_the_same_time_are_bounded(port: int) -> None:
    channel = new_channel()
    at_work, most, done = 0, 0, 0
    release = asyncio.Event()
    async with connect(port) as bus:

        async def handler(message: Message) -> None:
            nonlocal at_work, most, done
            at_work += 1
            most = max(most, at_work)
            await release.wait()
            at_work -= 1
            done += 1

        await bus.publish_all((channel, b"") for _ in range(10))
        subscription = await bus.subscribe(channel, handler, start=StartPosition.all_available(), concurrency=3)
        await until(lambda: at_work == 3 and subscription.waiting_count == 7)
        release.set()
        await until(lambda: done == 10)
        assert most == 3


async def test_drain_finishes_what_came(port: int) -> None:
    channel, results = new_channel(), new_channel()
    begun = asyncio.Event()
    bus = await connect(port)

    async def handler(message: Message) -> None:
        begun.set()
        await asyncio.sleep(0)
        await bus.publish(results, message.data)

    await bus.publish_all((channel, b"%d" % n) for n in range(20))
    subscription = await bus.subscribe(channel, handler, durable_name="d", start=StartPosition.all_available())
    await begun.wait()
    await until(lambda: subscription.last_sequence == 20)
    bus.publish_nowait(results, b"last")
    await bus.drain()
    assert bus.is_closed
    with pytest.raises(ClosedError):
        await bus.publish(results, b"too late")
    with pytest.raises(ClosedError):
        await bus.subscribe(results)
    async with connect(port, client_id=bus.client_id) as again:
        everything = await again.subscribe(results, start=StartPosition.all_available())
        assert max(message.data for message in await collect(everything, 21)) == b"last"
        rest = await again.subscribe(channel, durable_name="d")
        await again.publish(channel, b"new")
        assert [message.data for message in await collect(rest, 1)] == [b"new"], "all was acknowledged"


async def test_drain_waits_for_the_message_that_a_loop_is_at(port: int) -> None:
    channel = new_channel()
    bus = await connect(port)
    await bus.publish_all((channel, b"") for _ in range(3))
    subscription = await bus.subscribe(channel, durable_name="d", start=StartPosition.all_available())
    at_work, release = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def loop() -> None:
        async for message in subscription:
            at_work.set()
            await release.wait()
            seen.append(message.sequence)

    looping = asyncio.create_task(loop())
    await at_work.wait()
    draining = asyncio.create_task(bus.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    release.set()
    await draining
    await looping
    assert seen == [1]
    async with connect(port, client_id=bus.client_id) as again:
        rest = await again.subscribe(channel, durable_name="d")
        assert [message.sequence for message in await collect(rest, 2)] == [2, 3]


async def test_a_loop_may_drain_its_own_bus(port: int) -> None:
    channel = new_channel()
    bus = await connect(port)
    await bus.publish(channel, b"stop")
    async for _ in await bus.subscribe(channel, start=StartPosition.all_available()):
        async with asyncio.timeout(PATIENCE_S):
            await bus.drain()
    assert bus.is_closed


async def test_who_gives_up_waiting_for_the_end_does_not_stop_it(port: int) -> None:
    bus = await connect(port)
    draining = asyncio.create_task(bus.drain())
    await asyncio.sleep(0)
    draining.cancel()
    await bus.close()
    assert bus.is_closed


async def test_a_drain_that_takes_too_long_closes(port: int) -> None:
    channel = new_channel()
    bus = await connect(port)
    await bus.publish(channel, b"")
    cancelled = asyncio.Event()

    async def handler(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    subscription = await bus.subscribe(channel, handler, start=StartPosition.all_available())
    await until(lambda: subscription.last_sequence == 1 and subscription.waiting_count == 0)
    await bus.drain(timeout_s=0.05)
    assert cancelled.is_set()
    assert bus.is_closed


async def test_close_says_what_is_known_of_what_waits(port: int) -> None:
    bus = await connect(port)
    publishing = asyncio.create_task(bus.publish(new_channel(), b""))
    await asyncio.sleep(0)
    await lose(bus)
    await bus.close()
    with pytest.raises(PublishUnknownError):
        await publishing
    await bus.close()
    await bus.drain()
    await bus.wait_closed()


async def test_an_error_closes_without_waiting(port: int) -> None:
    made: list[Bus] = []

    async def fail() -> None:
        async with connect(port) as bus:
            made.append(bus)
            await bus.subscribe(new_channel())
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert made[0].is_closed


async def test_a_loop_ends_with_the_bus(port: int) -> None:
    bus = await connect(port)
    subscription = await bus.subscribe(new_channel())

    async def loop() -> int:
        return len([message async for message in subscription])

    looping = asyncio.create_task(loop())
    await asyncio.sleep(0)
    await bus.close()
    assert await looping == 0
    assert subscription.is_over


async def test_a_signal_drains(port: int) -> None:
    channel = new_channel()
    bus = await connect(port)
    done: list[bytes] = []

    async def handler(message: Message) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
        done.append(message.data)

    bus.drain_on_signals(signal.SIGTERM)
    await bus.publish(channel, b"last")
    await bus.subscribe(channel, handler, start=StartPosition.all_available())
    await asyncio.wait_for(bus.wait_closed(), PATIENCE_S)
    assert done == [b"last"]


async def test_a_mistake_in_on_event_is_logged(port: int, caplog: pytest.LogCaptureFixture) -> None:
    def on_event(event: object) -> None:
        raise ValueError(f"no {event}")

    async with connect(port, on_event=on_event) as bus:
        assert bus.is_connected
    assert "on_event failed" in caplog.text
