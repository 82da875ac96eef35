"""Senders that are held back: who sends much is not read, everybody else is, and nothing is lost or cut off by it."""

import asyncio
import contextlib

import pytest

from durabus.broker import transport
from tests.broker.fakes import session_limits
from tests.broker.loops import LOOPS, PATIENCE_S, Peer, Runner, open_broker, settings_for

pytestmark = pytest.mark.parametrize("run", LOOPS)

FLOOD_BYTES = 40 * 1024 * 1024
ONE = b"PUB flood 50000\r\n" + bytes(50_000) + b"\r\n"


def test_who_floods_is_not_read_and_who_does_not_is(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, turns):
            flooder, quiet = await Peer.connect(broker), await Peer.connect(broker)
            await flooder.ask()
            await quiet.ask(b"SUB talk 1\r\n")
            broker.hold_back(True)
            session = broker.connections[broker.by_client_id[1]]
            flood = asyncio.ensure_future(pour(flooder))
            await turns.wait_for(lambda: broker._valve.holds(broker.by_client_id[1]))
            for _ in range(50):  # while others are served, nothing more comes of the flood
                assert await quiet.ask(b"PUB talk 2\r\nhi\r\n") == b"MSG talk 1 2\r\nhi\r\n"
            seen = session.in_bytes
            assert seen < 4 * 1024 * 1024
            assert not flood.done()
            broker.hold_back(False)
            async with asyncio.timeout(PATIENCE_S):
                await flood
            await flooder.ask()
            assert session.in_bytes >= FLOOD_BYTES
            await flooder.close()
            await quiet.close()

    run(scenario())


async def pour(peer: Peer) -> None:
    """Send a flood, as fast as it is taken."""
    for _ in range(FLOOD_BYTES // 50_000 + 1):
        peer.writer.write(ONE)
        await peer.writer.drain()


def test_a_connection_that_is_held_back_is_not_stale_and_can_end(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers to our pings are not read: that is our doing."""
    monkeypatch.setattr(transport, "HELD_BACK_BYTES", 10)
    limits = session_limits()
    limits.ping_interval_ns = 20_000_000

    async def scenario() -> None:
        async with open_broker(settings_for(limits)) as (broker, turns):
            held, other = await Peer.connect(broker), await Peer.connect(broker)
            await held.ask()
            broker.hold_back(True)
            held.writer.write(b"PUB a 100\r\n" + bytes(100) + b"\r\n")
            connection = broker.by_client_id[1]
            await turns.wait_for(lambda: broker._valve.holds(connection))
            began = turns.ended
            await turns.wait_for(lambda: turns.ended > began + 20)  # of which most are times to ping
            assert connection in broker.connections
            connection.end("because", True)
            await turns.wait_for(lambda: connection not in broker.connections)
            assert not broker._valve.holds(connection)
            broker.hold_back(False)
            for peer in (held, other):
                with contextlib.suppress(ConnectionError):
                    await peer.close()

    run(scenario())


def test_a_connection_that_is_closing_is_left_alone(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, turns):
            peer = await Peer.connect(broker)
            await peer.ask()
            connection = broker.by_client_id[1]
            broker.hold_back(True)
            peer.writer.write(ONE + ONE)
            await turns.wait_for(lambda: broker._valve.holds(connection))
            connection.end("because", False)
            broker.hold_back(False)
            await turns.wait_for(lambda: not broker.connections)
            await peer.close()

    run(scenario())
