"""The publishing side without a network: a link that a test looks at, and time in its hand."""

import asyncio

import pytest

from durabus.client.errors import (
    ClosedError,
    FlushError,
    PossiblyDuplicatedError,
    PublishRefusedError,
    PublishUnknownError,
)
from durabus.client.options import BusOptions
from durabus.client.outbox import Outbox
from durabus.client.servers import parse_servers
from durabus.client.session import Session
from durabus.clock import ManualClock
from durabus.wire.client_messages import ConnectResponse
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import encode_publish_ack


class FakeLink:
    """What an outbox wants of a link."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.inbox = b"_INBOX.x"
        self.payload_bytes_max = 1 << 20
        self.flushes = 0

    def flush_soon(self) -> None:
        self.flushes += 1


class Side:
    """An outbox and its surroundings."""

    def __init__(self, **options: object) -> None:
        self.options = BusOptions(parse_servers("a"), "c", "me", **options)  # type: ignore[arg-type]
        self.clock = ManualClock()
        self.doubts: list[object] = []
        self.outbox = Outbox(self.options, self.clock, self.doubts.append)
        self.link = FakeLink()

    def open(self) -> None:
        response = ConnectResponse()
        response.publish_prefix = b"_STAN.pub.c"
        self.link = FakeLink()
        self.outbox.open_session(Session(self.link, self.options, response, b"conn"))  # type: ignore[arg-type]

    def answer(self, error: str = "") -> None:
        """Answer everything that waits."""
        guids = list(self.outbox.window.pending)
        self.say([encode_publish_ack(guid, error) for guid in guids])

    def say(self, payloads: list[bytes], header_bytes: int = 0) -> None:
        self.outbox.on_run(Publish(b"_INBOX.x.a.0", b"", header_bytes, payloads))


async def begun(side: Side, count: int = 1) -> list["asyncio.Task[object]"]:
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(side.outbox.publish("orders", b"%d" % n)) for n in range(count)
    ]
    await asyncio.sleep(0)
    return tasks


async def test_a_publish_is_over_when_it_is_answered() -> None:
    side = Side()
    side.open()
    (task,) = await begun(side)
    assert side.link.flushes > 0
    assert not task.done()
    side.answer()
    await task


async def test_an_error() -> None:
    side = Side()
    side.open()
    (task,) = await begun(side)
    side.answer("too many channels")
    with pytest.raises(PublishRefusedError, match="too many channels"):
        await task


async def test_possibly_duplicated_is_an_error_where_that_was_asked_for() -> None:
    for raises in (True, False):
        side = Side(raises_possibly_duplicated=raises)
        side.open()
        (task,) = await begun(side)
        side.outbox.close_session()
        side.open()
        side.answer()
        if raises:
            with pytest.raises(PossiblyDuplicatedError):
                await task
        else:
            assert (await task).is_possibly_duplicated  # type: ignore[attr-defined]


async def test_room_goes_to_who_waits_longest() -> None:
    side = Side(window_messages_max=2)
    side.open()
    tasks = await begun(side, 5)
    assert [publication.data for publication in side.outbox.window.pending.values()] == [b"0", b"1"]
    for expected in ([b"2", b"3"], [b"4"]):
        side.answer()
        await asyncio.sleep(0)
        assert [publication.data for publication in side.outbox.window.pending.values()] == expected
    side.answer()
    await asyncio.gather(*tasks)


async def test_flush_waits_for_what_was_before_it() -> None:
    side = Side()
    side.open()
    one = side.outbox.publish_nowait("orders", b"1")
    flushing = asyncio.create_task(side.outbox.flush())
    await asyncio.sleep(0)
    side.outbox.publish_nowait("orders", b"2")
    assert not flushing.done()
    side.say([encode_publish_ack(one.guid_bytes, "")])
    await flushing
    assert len(side.outbox.window.pending) == 1


async def test_flush_has_the_failures_once() -> None:
    side = Side()
    side.open()
    side.outbox.publish_nowait("orders", b"1")
    side.answer("no")
    with pytest.raises(FlushError) as caught:
        await side.outbox.flush()
    assert caught.value.count == 1
    await side.outbox.flush()


async def test_time_is_up() -> None:
    side = Side(publish_timeout_s=30.0)
    side.open()
    (task,) = await begun(side)
    side.clock.advance(29_999_999_999)
    side.outbox._on_timer()
    await asyncio.sleep(0)
    assert not task.done()
    side.clock.advance(1)
    side.outbox._on_timer()
    with pytest.raises(PublishUnknownError, match="not acknowledged in time"):
        await task


async def test_refused_as_somebody_unknown_asks_whether_that_is_so() -> None:
    side = Side()
    side.open()
    (task,) = await begun(side)
    side.answer("stan: invalid publish request")
    assert not task.done()
    (stands,) = side.doubts
    assert callable(stands)
    stands()
    with pytest.raises(PublishRefusedError):
        await task


async def test_a_channel_that_nobody_takes() -> None:
    side = Side()
    side.open()
    (task,) = await begun(side)
    side.say([b"NATS/1.0 503\r\n\r\n"], header_bytes=16)
    (stands,) = side.doubts
    assert callable(stands)
    stands()
    with pytest.raises(PublishUnknownError, match="no server of the cluster"):
        await task


async def test_the_end() -> None:
    side = Side(window_messages_max=1)
    side.open()
    tasks = await begun(side, 2)
    side.outbox.end(ClosedError("the bus is closed"), "closed")
    with pytest.raises(PublishUnknownError, match="closed"):
        await tasks[0]
    with pytest.raises(ClosedError):
        await tasks[1]
    with pytest.raises(ClosedError):
        side.outbox.publish_nowait("orders", b"")
    with pytest.raises(ClosedError):
        await side.outbox.wait_room(0)
