"""Servers that share a network watch over their channels: questions and answers, the start, conflicts that come later."""

import asyncio
from collections.abc import Awaitable

import pytest

from durabus.errors import StartError
from durabus.server.partition_check import CHANGE_NS, SILENCE_NS, PartitionCheck
from durabus.server.partition_guard import PartitionGuard
from durabus.wire import framing
from durabus.wire.control_messages import (
    PARTITIONING,
    decode_channel_list,
    decode_control_message,
    encode_control_message,
)
from durabus.wire.operations import Publish
from tests.server.hub import Ear, Hub, HubNetwork, LineLog
from tests.streaming.test_service import clock, virtual

pytestmark = pytest.mark.row(162)

SUBJECT = b"_STAN.part.c"
PATIENCE_S = 1000.0
"""Of virtual seconds; nothing here takes any time."""
LONG_NAME = b"n" * 54


class Watched:
    """One server's guard, and what became of it."""

    def __init__(self, hub: Hub, name: str, *channels: bytes) -> None:
        self.name = name
        self.network = HubNetwork(hub)
        self.output = LineLog()
        self.failures: list[str] = []
        self._failed = asyncio.Event()
        check = PartitionCheck(name.encode(), list(channels))
        self.guard = PartitionGuard(check, self.network, clock(), self.output.log, self._fail)

    def _fail(self, line: str) -> None:
        self.failures.append(line)
        self._failed.set()

    async def start(self) -> None:
        """Ask for the first time."""
        await within(self.guard.start("c", b"_INBOX." + self.name.encode()))

    async def failure(self) -> str:
        """The first reason why it cannot go on, as soon as there is one."""
        await within(self._failed.wait())
        return self.failures[0]


async def within(work: Awaitable[object]) -> None:
    """Wait for it, not forever."""
    async with asyncio.timeout(PATIENCE_S):
        await work


class Asker:
    """A server that asks by hand."""

    def __init__(self, hub: Hub) -> None:
        self.ear = Ear(hub, b"_INBOX.asker")
        self._hub = hub

    def ask(self, question: bytes, reply: bytes = b"_INBOX.asker") -> None:
        """Ask anything."""
        self._hub.publish(SUBJECT, question, reply)

    def tell(self, *channels: bytes) -> None:
        """Ask about channels."""
        data = b"".join(len(name).to_bytes(2, "little") + name for name in channels)
        self.ask(encode_control_message(PARTITIONING, b"asker", data))


@virtual
async def test_alone_on_the_network() -> None:
    """It hears its own question and does not answer it; the start takes as long as somebody may answer."""
    hub = Hub()
    questions, answers = Ear(hub, b"_STAN.part.*"), Ear(hub, b"_INBOX.one")
    one = Watched(hub, "one", b"foo", b"bar.*")
    start_ns = clock().monotonic_ns()
    await one.start()
    assert 0 <= clock().monotonic_ns() - start_ns - SILENCE_NS < 1000
    assert questions.replies == [b"_INBOX.one"]
    assert decode_channel_list(decode_control_message(questions.payloads[0]).data) == [b"foo", b"bar.*"]
    assert answers.payloads == []
    assert one.network.flushes >= 1
    one.guard.stop()
    one.guard.stop()
    assert one.network.own.receivers == {}


@virtual
async def test_servers_that_share_the_channels() -> None:
    hub = Hub()
    servers = [Watched(hub, "one", b"foo"), Watched(hub, "two", b"bar.*"), Watched(hub, "three", b"bar.a.b")]
    await asyncio.gather(*(server.start() for server in servers))
    assert [server.failures + server.output.lines for server in servers] == [[], [], []]
    for server in servers:
        server.guard.stop()


@virtual
async def test_a_start_that_is_refused() -> None:
    hub = Hub()
    one, two = Watched(hub, "one", b"foo.*"), Watched(hub, "two", b"bar", b"foo.bar")
    await one.start()
    with pytest.raises(StartError, match=r'^channel "foo\.bar" causes conflict with channels on server "one"$'):
        await two.start()
    two.guard.stop()
    assert one.failures == [], "whoever was there first stays"
    one.guard.stop()


@virtual
async def test_two_networks_become_one() -> None:
    """Servers that could not see each other at their start: each learns of the other, and ends."""
    hub = Hub()
    one, two = Watched(hub, "one", b"foo"), Watched(hub, "two", b"foo")
    two.network.own.opened = False
    await one.start()
    await two.start()
    two.network.own.opened = True
    one.guard.on_change()
    two.guard.on_change()
    line = 'Partitioning error: channel "foo" causes conflict with channels on server '
    assert await one.failure() == f'{line}"two"'
    assert await two.failure() == f'{line}"one"'
    one.guard.stop()
    two.guard.stop()


@virtual
async def test_a_change_of_the_network_is_followed_by_a_question() -> None:
    hub = Hub()
    questions = Ear(hub, b"_STAN.part.*")
    one = Watched(hub, "one", b"foo")
    one.guard.on_change()  # before the start, which asks anyway
    await one.start()
    assert len(questions.payloads) == 1
    change_ns = clock().monotonic_ns()
    one.guard.on_change()
    assert await questions.hear(2) == [questions.payloads[0]] * 2
    assert 0 <= clock().monotonic_ns() - change_ns - CHANGE_NS < 1000
    one.guard.stop()


@virtual
async def test_questions_are_answered() -> None:
    hub = Hub()
    one = Watched(hub, "one", b"foo", b"bar.*")
    await one.start()
    asker = Asker(hub)
    for channels in ([b"other"], [b"x", b"bar.a"], [b">"]):
        asker.tell(*channels)
    answers = [decode_control_message(answer) for answer in await asker.ear.hear(3)]
    assert [(said.kind, said.server_id) for said in answers] == [(PARTITIONING, b"one")] * 3
    assert [said.data for said in answers] == [b"", b"bar.a", b"foo"]
    one.guard.stop()


@virtual
async def test_what_is_no_question_gets_no_answer_and_does_no_harm() -> None:
    hub = Hub()
    one = Watched(hub, "one", b"foo")
    await one.start()
    asker = Asker(hub)
    asker.ask(b"hello", reply=b"")
    asker.ask(b"")
    asker.ask(b"hello")
    asker.ask(encode_control_message(PARTITIONING, b"otherserver", b"\x01\x02\x03\x04\x05"))
    asker.ask(encode_control_message(PARTITIONING, b"otherserver", b"\x01"))
    asker.tell(b"last")
    assert decode_control_message((await asker.ear.hear(1))[0]).data == b""
    assert len(asker.ear.payloads) == 1
    assert [line.partition(":")[0] for line in one.output.lines] == ["ERR Error processing partitioning request"]
    assert one.failures == []
    one.guard.stop()


@virtual
async def test_what_is_no_answer_does_no_harm() -> None:
    hub = Hub()
    one = Watched(hub, "one", b"foo")
    starting = asyncio.ensure_future(one.start())
    await asyncio.sleep(0)
    hub.publish(b"_INBOX.one", b"\xff")
    hub.spread(Publish(b"_INBOX.one", b"", len(framing.NO_RESPONDERS), [framing.NO_RESPONDERS]))
    await within(starting)
    assert [line.partition(":")[0] for line in one.output.lines] == ["ERR Error processing partitioning reply"]
    one.guard.stop()


@virtual
async def test_too_many_questions_at_once() -> None:
    hub = Hub()
    one = Watched(hub, "one", b"foo")
    await one.start()
    asker = Asker(hub)
    for _ in range(1001):
        asker.tell(b"bar")
    assert one.output.lines == ["ERR Error processing partitioning request: there are too many of them"]
    await asker.ear.hear(1000)
    one.guard.stop()


@virtual
async def test_a_message_too_small_for_a_name() -> None:
    one = Watched(Hub(), "0123456789012345678901", LONG_NAME)
    one.network.payload_bytes_max = 50
    with pytest.raises(
        StartError, match="unable to send channels list: message payload too small to send channels list"
    ):
        await one.start()
    one.guard.stop()


@virtual
async def test_a_network_that_takes_only_smaller_messages_than_before() -> None:
    one = Watched(Hub(), "0123456789012345678901", LONG_NAME)
    await one.start()
    one.network.payload_bytes_max = 50
    one.guard.on_change()
    line = "Partitioning error: unable to send channels list: message payload too small to send channels list"
    assert await one.failure() == line
    one.guard.stop()


@virtual
async def test_stopped_in_the_middle_of_the_start() -> None:
    one = Watched(Hub(), "one", b"foo")
    starting = asyncio.ensure_future(one.start())
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    one.guard.stop()
    assert one.network.own.receivers == {}


@virtual
async def test_stopped_in_the_middle_of_an_answer() -> None:
    hub = Hub()
    one = Watched(hub, "one", *(b"%d.*" % number for number in range(100)))
    await one.start()
    asker = Asker(hub)
    asker.tell(*(b"x%d.*" % number for number in range(5000)))
    await asyncio.sleep(0)
    one.guard.stop()
    await asyncio.sleep(0)
    asker.tell(b"foo")
    await asyncio.sleep(0)
    assert asker.ear.payloads == []
