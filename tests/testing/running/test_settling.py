"""Coming to rest: what has reached whom when `settle` returns."""

import asyncio

import pytest

import durabus.testing
from durabus.client import Bus, Message
from durabus.testing.running import settling
from durabus.testing.running.settling import is_at_rest
from tests.testing.running.listening import Worker, all_of


async def test_what_was_published_has_reached_its_listeners() -> None:
    async with durabus.testing.bus(store="FILE") as bus, bus.connect("a") as client:
        subscription = await client.subscribe("orders", manual_ack=True)
        for number in range(100):
            client.publish_nowait("orders", str(number))
        await client.flush()
        await bus.settle()
        assert subscription.waiting_count == 100
        assert bus._server is not None and bus._store is not None
        assert is_at_rest(bus._server, bus._store)


async def test_what_listeners_answer_at_once_is_delivered_too() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:

        def bill(message: Message) -> None:
            client.publish_nowait("bills", message.data)

        await client.subscribe("orders", bill, max_in_flight=1)
        bills = await client.subscribe("bills", manual_ack=True)
        for number in range(20):
            await bus.publish("orders", str(number))
        await bus.published("bills", 20)
        await bus.settle()
        assert bills.waiting_count == 20


async def test_who_goes_on_and_on_is_not_waited_for() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        worker = Worker()

        async def echo(client: Bus) -> None:
            async for message in await client.subscribe("echo"):
                client.publish_nowait("echo", message.data)

        echoing = asyncio.create_task(echo(client))
        await all_of(client, "orders", worker)
        await bus.wait_subscribed("echo")
        await bus.publish("echo", b"1")
        async with asyncio.timeout(20):
            await bus.settle()
        echoing.cancel()
        await asyncio.wait([echoing])


async def test_who_reads_nothing_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_PATIENCE_S", 0.5)
    async with durabus.testing.bus() as bus:
        _, writer = await asyncio.open_connection("127.0.0.1", bus.port)
        writer.write(b"CONNECT {}\r\nSUB a 1\r\nPING\r\n")
        assert bus._server is not None and bus._server.broker is not None
        sessions = bus._server.broker.connections
        async with asyncio.timeout(60):
            await bus._turns.until(lambda: any(session.subscriptions for session in sessions.values()), 20)
            for _ in range(100):
                await bus.advance(10)
        assert [session.pings_out for session in sessions.values()] == [1]
        writer.close()
        await writer.wait_closed()
