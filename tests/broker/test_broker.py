"""The broker on real sockets, in both event loops: its port, its connections, its end."""

import asyncio
import json
import socket

import pytest

from durabus.broker import broker as broker_module
from durabus.broker.broker import Broker
from durabus.broker.router import Router
from durabus.clock import SystemClock
from tests.broker.fakes import session_limits
from tests.broker.loops import LOCAL, LOOPS, PATIENCE_S, Peer, Runner, Turns, open_broker, settings_for

pytestmark = pytest.mark.parametrize("run", LOOPS)


def test_info_tells_the_port_and_who_connected(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, _):
            for number in (1, 2):
                reader, writer = await asyncio.open_connection(LOCAL, broker.settings.port)
                info = json.loads((await reader.readline()).removeprefix(b"INFO "))
                assert (info["port"], info["client_id"], info["client_ip"]) == (broker.settings.port, number, LOCAL)
                await Peer(reader, writer).close()
            assert broker.connections_total == 2

    run(scenario())


def test_an_occupied_port(run: Runner) -> None:
    async def scenario() -> None:
        with socket.create_server((LOCAL, 0)) as taken:
            router = Router()
            broker = Broker(settings_for(port=taken.getsockname()[1]), router, SystemClock())
            turns = Turns(router)
            with pytest.raises(OSError, match="in use"):
                await broker.start(turns.begin, turns.end)
            await broker.drain()
            await broker.stop()

    run(scenario())


def test_too_many_connections(run: Runner) -> None:
    async def scenario() -> None:
        settings = settings_for()
        settings.connections_max = 2
        async with open_broker(settings) as (broker, turns):
            first, second = await Peer.connect(broker), await Peer.connect(broker)
            assert await first.ask() == await second.ask() == b""
            third = await Peer.connect(broker, b"")
            assert await third.rest() == b"-ERR 'maximum connections exceeded'\r\n"
            await third.close()
            assert await first.ask(b"SUB a 1\r\nPUB a 1\r\nx\r\n") == b"MSG a 1 1\r\nx\r\n"
            await second.close()
            await turns.wait_for(lambda: len(broker.connections) == 1)
            fourth = await Peer.connect(broker)
            assert await fourth.ask() == b""
            await fourth.close()
            await first.close()

    run(scenario())


def test_what_is_logged(run: Runner) -> None:
    async def scenario() -> None:
        said: list[str] = []
        async with open_broker(settings_for(session_limits(pending_bytes_max=200_000))) as (broker, turns):
            broker.on_debug = broker.on_notice = said.append
            slow, other = await Peer.connect(broker, b""), await Peer.connect(broker)
            ports = [peer.writer.get_extra_info("sockname")[1] for peer in (slow, other)]
            labels = {f"{LOCAL}:{port} - cid:{number}" for number, port in enumerate(ports, 1)}
            slow.writer.write(b'CONNECT {"verbose":false}\r\nSUB flood 1\r\n')
            slow.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await other.ask()
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while broker.slow_consumers_total == 0:
                await other.ask(b"PUB flood 90000\r\n%b\r\n" % bytes(90_000))
            await turns.wait_for(lambda: len(broker.connections) == 1)
            slow.writer.transport.abort()
            await other.close()
            await turns.wait_for(lambda: not broker.connections)
        assert [line.split(" - ", 2)[2] for line in said] == [
            "Client connection created",
            "Client connection created",
            "Slow Consumer Detected: MaxPending of 200000 Exceeded",
            "Client connection closed: Slow Consumer",
            "Client connection closed: Client Closed",
        ]
        assert {line.rpartition(" - ")[0] for line in said} == labels

    run(scenario())


def test_drain_takes_what_is_on_its_way_and_nobody_new(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, _):
            peer = await Peer.connect(broker, b"")
            peer.writer.write(b'CONNECT {"verbose":false}\r\nSUB a 1\r\n' + b"PUB a 1\r\nx\r\n" * 100)
            async with asyncio.timeout(PATIENCE_S):
                await broker.drain()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(LOCAL, broker.settings.port)
            assert await peer.ask() == b"MSG a 1 1\r\nx\r\n" * 100
            await broker.stop()
            assert await peer.rest() == b""
            await peer.close()
            assert broker.connections == {}

    run(scenario())


def test_drain_ends_although_somebody_goes_on(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_DRAIN_MAX_S", 0.1)

    async def scenario() -> None:
        async with open_broker() as (broker, _):
            peer = await Peer.connect(broker)

            async def chatter() -> None:
                while await peer.ask() == b"":
                    pass

            task = asyncio.create_task(chatter())
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await broker.drain()
            task.cancel()
            await peer.close()

    run(scenario())


def test_stop_sends_what_is_gathered(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, _):
            peer = await Peer.connect(broker)
            await peer.ask(b"SUB news 1\r\n")
            broker.router.publish(b"news", b"", b"the last")
            await broker.stop()
            assert await peer.rest() == b"MSG news 1 8\r\nthe last\r\n"
            await peer.close()

    run(scenario())


def test_stop_does_not_wait_for_who_does_not_read(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_STOP_MAX_S", 0.1)

    async def scenario() -> None:
        async with open_broker(settings_for(session_limits(pending_bytes_max=50_000_000))) as (broker, turns):
            deaf, other = await Peer.connect(broker), await Peer.connect(broker)
            await deaf.ask(b"SUB flood 1\r\n")
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(200):
                await other.ask(b"PUB flood 90000\r\n%b\r\n" % bytes(90_000))
            assert len(broker.connections) == 2
            async with asyncio.timeout(PATIENCE_S):
                await broker.stop()
            await turns.wait_for(lambda: not broker.connections)
            deaf.writer.transport.abort()
            await other.close()

    run(scenario())


def test_stop_before_start_and_twice(run: Runner) -> None:
    async def scenario() -> None:
        broker = Broker(settings_for(), Router(), SystemClock())
        await broker.drain()
        await broker.stop()
        async with open_broker() as (broker, _):
            await broker.stop()

    run(scenario())
