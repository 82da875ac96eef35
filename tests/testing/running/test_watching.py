"""What tests ask of a bus, and what they are told when the answer is no."""

import asyncio

import pytest

import durabus.testing
from durabus.events import EventDefinitionError, Listener
from durabus.testing.running.watching import Watching
from tests.testing.running.listening import OrderCreated, TicketCreated, Worker, all_of


async def test_events_come_by_class_and_by_channel() -> None:
    async with durabus.testing.bus() as bus:
        first, second = TicketCreated(id="1"), TicketCreated(id="2", price=3)
        await bus.publish(first)
        waiting = asyncio.create_task(bus.published(TicketCreated, 2))
        await asyncio.sleep(0)
        assert not waiting.done()
        await bus.publish(second)
        assert await waiting == [first, second]
        assert await bus.published(TicketCreated, where=lambda event: event.price > 1) == [second]
        assert await bus.wait_for(TicketCreated, where=lambda event: event.id == "2") == second
        assert (
            await bus.wait_for("ticket:created", where=lambda message: message.sequence == 2)
        ).data == b'{"id":"2","price":3}'
        assert bus.events(TicketCreated) == [first, second]


async def test_what_a_service_publishes_is_waited_for() -> None:
    async with durabus.testing.bus() as bus, bus.connect("orders") as client:

        async def order(event: TicketCreated, _: object) -> None:
            await asyncio.sleep(0)
            await client.publish("order:created", b'{"id":"for %b"}' % event.id.encode())

        await Listener(client, order, event_class=TicketCreated, queue_group="orders").listen()
        await bus.wait_subscribed(TicketCreated, queue_group="orders")
        await bus.publish(TicketCreated(id="1"))
        assert (await bus.wait_for(OrderCreated)).id == "for 1"
        await bus.wait_idle()


async def test_only_what_comes_after_forgetting_counts() -> None:
    async with durabus.testing.bus() as bus:
        await bus.publish(TicketCreated(id="1"))
        bus.forget_events()
        await bus.assert_nothing()
        await bus.publish(TicketCreated(id="2"))
        assert [event.id for event in await bus.published(TicketCreated)] == ["2"]


async def test_a_failure_shows_what_was_there() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        with pytest.raises(AssertionError) as nothing:
            await bus.wait_for("orders", timeout_s=0)
        assert str(nothing.value) == (
            "1 of orders expected within 0 s, 0 published\nNothing was published.\nNobody is subscribed."
        )
        await all_of(client, "ticket:created", Worker())
        await bus.publish("ticket:created", b"no ticket")
        await bus.publish(TicketCreated(id="1"))
        await bus.wait_idle()
        with pytest.raises(AssertionError) as too_few:
            await bus.published(TicketCreated, 2, where=lambda event: True, timeout_s=0)
        lines = str(too_few.value).splitlines()
        assert lines[:4] == [
            "2 of TicketCreated (ticket:created) with what was asked for expected within 0 s, 1 published",
            "Published:",
            "  ticket:created #1 no ticket",
            '  ticket:created #2 {"id":"1","price":0.0}',
        ]
        assert lines[4].startswith("  ticket:created #1 no ticket does not decode as TicketCreated: ")
        assert lines[5:] == ["Subscriptions:", "  ticket:created, durable d, of a: everything is acknowledged"]


async def test_of_many_events_the_last_are_shown() -> None:
    async with durabus.testing.bus() as bus:
        for number in range(1, 26):
            await bus.publish("orders", str(number))
        with pytest.raises(AssertionError) as failure:
            await bus.wait_for("other", timeout_s=0)
        assert "Published, the last 20 of 25:\n  orders #6 6\n" in str(failure.value)


async def test_a_payload_that_is_no_such_event_is_told_when_all_are_asked_for() -> None:
    async with durabus.testing.bus() as bus:
        await bus.publish("ticket:created", b"no ticket")
        with pytest.raises(AssertionError, match="ticket:created #1 no ticket does not decode as TicketCreated"):
            bus.events(TicketCreated)


async def test_that_there_is_nothing() -> None:
    async with durabus.testing.bus() as bus:
        await bus.assert_nothing()
        await bus.publish(TicketCreated(id="1"))
        await bus.assert_nothing(OrderCreated)
        await bus.assert_nothing(TicketCreated, where=lambda event: event.id == "2")
        with pytest.raises(AssertionError, match="nothing was to be published\nPublished:\n  ticket:created #1"):
            await bus.assert_nothing()
        with pytest.raises(AssertionError, match="no ticket:created was to be published"):
            await bus.assert_nothing("ticket:created")


async def test_what_was_not_acknowledged_is_told() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        subscription = await client.subscribe("orders", durable_name="d", manual_ack=True)
        await bus.publish("orders", b"1")
        with pytest.raises(AssertionError) as failure:
            await bus.wait_idle(0)
        assert str(failure.value) == (
            "not everything was acknowledged within 0 s:\n  orders, durable d, of a: #1 delivered and not acknowledged\n"
            "The time of the bus stands still: advance() makes it redeliver what was not acknowledged in AckWait."
        )
        waiting = asyncio.create_task(bus.wait_idle())
        (await subscription.next()).ack()
        await waiting
        await subscription.close()
        await bus.publish("orders", b"2")
        with pytest.raises(AssertionError, match="durable d, offline: 1 not delivered yet"):
            await bus.wait_idle(0)
        await bus.wait_idle(0, ignore_offline=True)


async def test_subscribers_are_waited_for() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        waiting = asyncio.create_task(bus.wait_subscribed("orders", 2, queue_group="g"))
        await client.subscribe("orders", queue_group="g")
        await bus.settle()
        assert not waiting.done()
        await client.subscribe("orders", queue_group="g")
        await waiting
        with pytest.raises(
            AssertionError, match="1 subscribed to orders in queue group h expected within 0 s, 0 there\nSubscriptions:"
        ):
            await bus.wait_subscribed("orders", queue_group="h", timeout_s=0)


async def test_a_class_that_is_no_event_is_told() -> None:
    async with durabus.testing.bus() as bus:
        with pytest.raises(EventDefinitionError, match="Watching"):
            bus.events(Watching)
