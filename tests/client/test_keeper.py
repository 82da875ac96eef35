"""Sessions that are made again, and one that is not: when another instance has taken the client ID."""

import asyncio
from pathlib import Path

import pytest

import durabus
from durabus.client import (
    ClientIdInUseError,
    Connected,
    ConnectError,
    Disconnected,
    PublishError,
    ReplacedError,
    Stopped,
    StoreReset,
)
from durabus.client.link import new_name, open_link
from durabus.client.servers import parse_server
from durabus.client.session import register
from tests.client.harness import (
    PATIENCE_S,
    Events,
    collect,
    connect,
    lose,
    new_channel,
    new_client_id,
    serving,
    until,
)
from tests.client.wires import held_wire
from tests.clients.tcp_proxy import TcpProxy
from tests.nats_server import closed_port, running_nats_server
from tests.server_process import HOST, running_server


async def test_one_client_id_is_for_one_instance(port: int) -> None:
    async with connect(port) as bus:
        with pytest.raises(ClientIdInUseError):
            await connect(port, client_id=bus.client_id)
        await bus.publish(new_channel(), b"undisturbed")


async def test_an_instance_that_was_replaced_stops_and_does_not_fight(port: int) -> None:
    channel, events, client_id = new_channel(), Events(), new_client_id()
    with TcpProxy(port) as proxy:
        old = await connect(proxy.port, client_id=client_id, on_event=events)
        subscription = await old.subscribe(channel)
        proxy.lets_through = False
        proxy.cut()
        await until(lambda: not old.is_connected)
        publishing = asyncio.create_task(old.publish(channel, b"from the old one"))
        new = await connect(port, client_id=client_id)
        proxy.lets_through = True
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ReplacedError):
                await old.wait_closed()
            with pytest.raises(ReplacedError):
                await subscription.next()
            with pytest.raises(ReplacedError):
                await old.publish(channel, b"too late")
            with pytest.raises(ReplacedError):
                await old.subscribe(channel)
            with pytest.raises(PublishError) as caught:
                await publishing
        assert caught.value.is_stored is False, "it was never sent"
        assert len(events.of(Stopped)) == 1
        await old.close()
        await old.drain()
        await new.publish(channel, b"undisturbed")
        assert new.is_connected
        await new.close()


async def test_a_ping_finds_out_that_somebody_else_is_there(port: int) -> None:
    """The newcomer comes while the old one's process stands still, whose connection stays."""
    client_id, events = new_client_id(), Events()
    async with held_wire(port) as (proxy_port, passes):
        old = await connect(proxy_port, client_id=client_id, on_event=events, ping_interval_s=0.2)
        passes.clear()  # nothing of what the old one says arrives, its answers to the server's questions neither
        new = await connect(port, client_id=client_id, connect_timeout_s=PATIENCE_S)
        passes.set()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ReplacedError):
                await old.wait_closed()
        assert any("does not know this client" in str(event) for event in events.of(Disconnected))
        await new.publish(new_channel(), b"")
        await new.close()


async def test_an_id_is_taken_back_when_nobody_answers_under_it(port: int) -> None:
    channel, client_id = new_channel(), new_client_id()
    with TcpProxy(port) as proxy:
        async with connect(proxy.port, client_id=client_id) as bus:
            subscription = await bus.subscribe(channel)
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            await (await connect(port, client_id=client_id)).close()
            proxy.lets_through = True
            await until(lambda: bus.is_connected)
            await bus.publish(channel, b"back")
            assert [message.data for message in await collect(subscription, 1)] == [b"back"]


async def test_a_registration_whose_answer_got_lost_is_our_own(port: int) -> None:
    """The server knows the client by the connection ID of an attempt that nobody heard the end of."""
    events = Events()
    with TcpProxy(port) as proxy:
        async with connect(proxy.port, on_event=events) as bus:
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            attempt = new_name()
            bus._keeper._connection_ids.append(attempt)
            link = await open_link(parse_server(f"nats://{HOST}:{port}"), bus.options)
            await register(link, bus.options, attempt)
            await link.close()
            proxy.lets_through = True
            connected = await events.wait(Connected, 2)
            assert isinstance(connected, Connected)
            assert connected.was_known


async def test_nobody_there() -> None:
    with closed_port() as port, pytest.raises(ConnectError, match="not connected after"):
        await connect(port, connect_timeout_s=0.2)


async def test_a_server_that_comes_late_is_waited_for() -> None:
    with closed_port() as port:
        connecting = asyncio.create_task(connect(port)._start())
        await asyncio.sleep(0)
    with running_server(port=port):
        bus = await connecting
        await bus.publish(new_channel(), b"")
        await bus.close()


async def test_another_cluster(port: int) -> None:
    with pytest.raises(ConnectError, match="'another'"):
        await connect(port, cluster_id="another", connect_timeout_s=0.5)


async def test_the_next_of_several_servers_is_tried(port: int) -> None:
    with closed_port() as nobody:
        urls = [f"nats://{HOST}:{nobody}", f"nats://{HOST}:{port}"]
        async with durabus.connect(urls, client_id=new_client_id(), reconnect_wait_s=0.02) as bus:
            await bus.publish(new_channel(), b"")


async def test_a_streaming_server_behind_another_nats_server(tmp_path: Path) -> None:
    """The connection stays, and what is behind it goes and comes back empty."""
    channel, events = new_channel(), Events()
    with running_nats_server(tmp_path) as nats:
        flags = ("-ns", nats.url)
        server = serving(*flags)
        try:
            async with connect(nats.port, on_event=events, ping_interval_s=0.2) as bus:
                subscription = await bus.subscribe(channel)
                await bus.publish(channel, b"1")
                await collect(subscription, 1)
                server.kill()
                publishing = asyncio.create_task(bus.publish(channel, b"2"))
                server = await asyncio.to_thread(serving, *flags)
                await publishing
                await events.wait(StoreReset)
                assert [(m.sequence, m.data) for m in await collect(subscription, 1)] == [(1, b"2")]
        finally:
            server.kill()


async def test_a_session_that_is_lost_again_and_again(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        subscription = await bus.subscribe(channel)
        for n in range(10):
            await bus.publish(channel, b"%d" % n)
            await lose(bus)
        assert [message.data for message in await collect(subscription, 10)] == [b"%d" % n for n in range(10)]
