"""Sockets and turns, in both event loops: what frames a turn, when a connection ends, and why."""

import asyncio
import socket

import pytest

from durabus.broker.broker import Broker
from durabus.broker.session import Link, Session, SessionLimits
from durabus.broker.transport import WRITE_DEADLINE, Connection, Turn
from durabus.clock import SystemClock
from tests.broker.fakes import SECOND_NS, FakeExchange, session_limits
from tests.broker.loops import LOOPS, PATIENCE_S, Peer, Runner, open_broker, settings_for

MILLISECOND_NS = SECOND_NS // 1000

pytestmark = pytest.mark.parametrize("run", LOOPS)


def test_a_turn_is_framed_once_however_often_it_is_opened(run: Runner) -> None:
    async def scenario() -> None:
        told: list[str] = []
        turn = Turn(lambda: told.append("begin"), lambda: told.append("end"))
        for _ in range(2):
            for _ in range(3):
                turn.open()
                told.append("input")
            await asyncio.sleep(0)
        assert told == ["begin", "input", "input", "input", "end"] * 2

    run(scenario())


def test_input_during_the_end_of_a_turn_begins_the_next_one(run: Runner) -> None:
    async def scenario() -> None:
        told: list[str] = []

        def end() -> None:
            told.append("end")
            if len(told) < 4:
                turn.open()

        turn = Turn(lambda: told.append("begin"), end)
        turn.open()
        for _ in range(3):
            await asyncio.sleep(0)
        assert told == ["begin", "end", "begin", "end"]

    run(scenario())


def test_one_turn_for_all_sockets_that_have_something(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, turns):
            peers = [await Peer.connect(broker) for _ in range(5)]
            for peer in peers:
                assert await peer.ask() == b""
            before = turns.ended
            for peer in peers:
                peer.writer.write(b"PING\r\n")
            for peer in peers:
                assert await peer.reader.readline() == b"PONG\r\n"
            assert turns.ended - before == 1
            for peer in peers:
                await peer.close()

    run(scenario())


def test_a_connection_that_ends_is_input_as_well(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, turns):
            peer = await Peer.connect(broker)
            await peer.ask(b"SUB a 1\r\n")
            session = next(iter(broker.connections.values()))
            assert broker.router.has_interest(b"a")
            await peer.close()
            await turns.wait_for(lambda: session.is_closed)
            assert not broker.router.has_interest(b"a")
            assert broker.connections == {}

    run(scenario())


def test_what_was_asked_before_the_end_of_input_is_answered(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, _):
            peer = await Peer.connect(broker)
            peer.writer.write(b"SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n")
            peer.writer.write_eof()
            assert await peer.rest() == b"MSG a 1 2\r\nhi\r\nPONG\r\n"
            await peer.close()

    run(scenario())


def test_a_mistake_is_told_before_the_connection_ends(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker() as (broker, turns):
            peer = await Peer.connect(broker)
            peer.writer.write(b"PING\r\nNONSENSE\r\nPING\r\n")
            assert await peer.rest() == b"PONG\r\n-ERR 'Unknown Protocol Operation'\r\n"
            await peer.close()
            await turns.wait_for(lambda: not broker.connections)

    run(scenario())


def pinging(interval_ms: int) -> SessionLimits:
    """Limits of an impatient server: two pings may be unanswered."""
    return SessionLimits(256, 100_000, 1_000_000, interval_ms * MILLISECOND_NS, 2)


def test_a_stale_connection_is_closed(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker(settings_for(pinging(10))) as (broker, _):
            peer = await Peer.connect(broker)
            assert await peer.rest() == b"PING\r\nPING\r\n-ERR 'Stale Connection'\r\n"
            await peer.close()

    run(scenario())


def test_who_answers_pings_stays(run: Runner) -> None:
    async def scenario() -> None:
        async with open_broker(settings_for(pinging(50))) as (broker, _):
            peer = await Peer.connect(broker)
            for _ in range(5):
                async with asyncio.timeout(PATIENCE_S):
                    assert await peer.reader.readline() == b"PING\r\n"
                peer.writer.write(b"PONG\r\n")
            assert (await peer.ask()).replace(b"PING\r\n", b"") == b""
            await peer.close()

    run(scenario())


class FakeTransport(asyncio.Transport):
    """A socket whose peer takes of what waits what it is told to take, each time somebody looks."""

    def __init__(self, *takes: int) -> None:
        super().__init__()
        self.takes = list(takes)
        self.waiting = 0
        self.ended = ""
        self.over = asyncio.Event()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def get_write_buffer_size(self) -> int:
        if self.takes:
            self.waiting = max(0, self.waiting - self.takes.pop(0))
        return self.waiting

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)

    def is_closing(self) -> bool:
        return bool(self.ended)

    def abort(self) -> None:
        self.ended = "abort"
        self.over.set()

    def close(self) -> None:
        self.ended = "close"
        self.over.set()


class Alone:
    """A connection on a fake transport; its session writes 100,000 bytes as soon as it is made."""

    def __init__(self, transport: FakeTransport, write_deadline_s: float) -> None:
        self.transport = transport
        self.reasons: list[str] = []
        self.turns: list[str] = []
        turn = Turn(lambda: self.turns.append("begin"), lambda: self.turns.append("end"))
        self.connection = Connection(self.make_session, self.on_end, turn, SystemClock(), write_deadline_s)
        self.connection.connection_made(transport)
        self.link.write(bytes(100_000))

    def make_session(self, _: Connection, link: Link, address: str) -> Session:
        self.link = link
        return Session(1, address, FakeExchange(), link, session_limits())

    def on_end(self, _: Connection, reason: str) -> None:
        self.reasons.append(reason)

    def lose(self) -> str:
        """What the loop does at the end of a socket; the reason."""
        self.transport.ended = self.transport.ended or "lost"
        self.connection.connection_lost(None)
        (reason,) = self.reasons
        return reason


def test_who_takes_nothing_until_the_write_deadline_is_cut_off(run: Runner) -> None:
    async def scenario() -> None:
        alone = Alone(FakeTransport(), 0.01)
        alone.connection.pause_writing()
        alone.connection.pause_writing()
        async with asyncio.timeout(PATIENCE_S):
            await alone.transport.over.wait()
        assert alone.transport.ended == "abort"
        assert alone.lose() == WRITE_DEADLINE
        # Once it is over, nothing is written and nothing is read.
        alone.link.write(b"more")
        alone.connection.data_received(b"PING\r\n")
        assert alone.transport.waiting == 100_000
        await asyncio.sleep(0)
        assert alone.turns[-1] == "end"

    run(scenario())


def test_who_is_slow_but_reads_is_not_cut_off(run: Runner) -> None:
    async def scenario() -> None:
        alone = Alone(FakeTransport(0, *[1] * 6), 0.005)
        alone.connection.pause_writing()
        async with asyncio.timeout(PATIENCE_S):
            await alone.transport.over.wait()
        assert alone.transport.waiting == 100_000 - 6, "it was given time as long as it took something"
        assert alone.lose() == WRITE_DEADLINE

    run(scenario())


def test_who_reads_in_time_has_all_the_time_again(run: Runner) -> None:
    async def scenario() -> None:
        alone = Alone(FakeTransport(), 0.01)
        alone.connection.pause_writing()
        alone.connection.resume_writing()
        alone.connection.resume_writing()
        await asyncio.sleep(0.03)
        assert alone.transport.ended == ""
        assert alone.lose() == "Client Closed"

    run(scenario())


def test_an_end_leaves_no_timer_behind(run: Runner) -> None:
    async def scenario() -> None:
        alone = Alone(FakeTransport(), 0.01)
        alone.connection.pause_writing()
        alone.lose()
        await asyncio.sleep(0.03)
        assert alone.transport.ended == "lost"

    run(scenario())


def test_a_deaf_peer_is_cut_off_by_the_real_deadline(run: Runner) -> None:
    async def scenario() -> None:
        settings = settings_for(session_limits(pending_bytes_max=50_000_000))
        settings.write_deadline_s = 0.05
        async with open_broker(settings) as (broker, turns):
            deaf, other = await Peer.connect(broker), await Peer.connect(broker)
            await deaf.ask(b"SUB flood 1\r\n")
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(200):  # more than the system's own buffers hold
                await other.ask(b"PUB flood 90000\r\n%b\r\n" % bytes(90_000))
            await turns.wait_for(lambda: broker.slow_consumers_total == 1)
            assert await other.ask(b"SUB a 1\r\nPUB a 1\r\nx\r\n") == b"MSG a 1 1\r\nx\r\n"
            deaf.writer.transport.abort()
            await other.close()

    run(scenario())


def test_a_connection_without_an_address(run: Runner) -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        async with open_broker() as (broker, _):
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: connection_of(broker), ours)
            reader, writer = await asyncio.open_connection(sock=theirs)
            info = await reader.readline()
            assert info.startswith(b"INFO {")
            assert b'"client_ip"' not in info
            assert await Peer(reader, writer).ask(b'CONNECT {"verbose":false}\r\n') == b""
            await Peer(reader, writer).close()

    run(scenario())


def connection_of(broker: Broker) -> Connection:
    """A connection as the broker makes one."""
    turn = Turn(lambda: None, broker.router.flush)
    return Connection(broker._make_session, broker._on_end, turn, SystemClock(), 10)
