"""The client without asyncio: threads, timeouts, ends of programs; against a real server."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import durabus.sync
from durabus.client import ClosedError, ConnectError, FlushError, PublishRefusedError, StartPosition, UsageError
from tests.client.harness import PATIENCE_S, new_channel, new_client_id
from tests.nats_server import closed_port
from tests.server_process import HOST, running_server

EVERYTHING = StartPosition.all_available()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_server("-mc", "0") as server:
        yield f"nats://{HOST}:{server.port}"


def test_publish_and_listen(url: str) -> None:
    channel = new_channel()
    with durabus.sync.connect(url, client_id=new_client_id()) as bus:
        assert bus.is_connected
        assert bus.publish(channel, "1").is_acknowledged
        assert bus.publish_all((channel, b"%d" % n) for n in range(2, 3001)) == 2999
        subscription = bus.subscribe(channel, start=EVERYTHING)
        sequences: list[int] = []
        for message in subscription:
            assert (message.channel, message.data) == (channel, b"%d" % message.sequence)
            sequences.append(message.sequence)
            if message.sequence == 3000:
                break
        assert sequences == list(range(1, 3001))
        assert subscription.last_sequence == 3000
        assert subscription.channel == channel
        subscription.close()
        with pytest.raises(ClosedError):
            subscription.next()


def test_next_waits_as_long_as_it_is_told(url: str) -> None:
    channel = new_channel()
    with durabus.sync.connect(url) as bus, bus.subscribe(channel) as subscription:
        with pytest.raises(TimeoutError):
            subscription.next(timeout_s=0.01)
        bus.publish(channel, b"1")
        message = subscription.next(timeout_s=PATIENCE_S)
        message.ack()
        assert not message.is_redelivered
        with pytest.raises(TimeoutError):
            subscription.next(timeout_s=0.01)


def test_what_a_loop_was_done_with_is_acknowledged(url: str) -> None:
    channel, client_id = new_channel(), new_client_id()
    with durabus.sync.connect(url, client_id=client_id) as bus:
        bus.publish_all((channel, b"") for _ in range(5))
        for message in bus.subscribe(channel, durable_name="d", start=EVERYTHING):
            if message.sequence == 3:
                break
    with durabus.sync.connect(url, client_id=client_id) as bus:
        subscription = bus.subscribe(channel, durable_name="d")
        rest = [subscription.next(PATIENCE_S) for _ in range(3)]
        assert [message.sequence for message in rest] == [3, 4, 5]
        subscription.unsubscribe()


def test_acknowledging_by_hand(url: str) -> None:
    channel = new_channel()
    with durabus.sync.connect(url) as bus:
        bus.publish_all((channel, b"") for _ in range(2))
        subscription = bus.subscribe(channel, start=EVERYTHING, manual_ack=True, ack_wait_s=1)
        got = []
        for message in subscription:
            got.append((message.sequence, message.redelivery_count))
            if message.sequence == 1 or message.is_redelivered:
                message.ack()
            if message.is_redelivered:
                break
        assert got == [(1, 0), (2, 0), (2, 1)]


def test_several_threads_share_a_bus_and_a_subscription(url: str) -> None:
    channel = new_channel()
    seen: list[int] = []
    with durabus.sync.connect(url, window_messages_max=8) as bus:
        subscription = bus.subscribe(channel, start=EVERYTHING)

        def publish() -> None:
            for _ in range(50):
                bus.publish(channel, b"")

        def listen() -> None:
            for message in subscription:
                seen.append(message.sequence)
                if len(seen) >= 200:
                    subscription.close()

        threads = [threading.Thread(target=work) for work in [publish] * 4 + [listen] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    assert set(seen) == set(range(1, 201))


def test_errors_come_through(url: str) -> None:
    with durabus.sync.connect(url) as bus:
        with pytest.raises(PublishRefusedError):
            bus.publish("a", b"x" * (1 << 21))
        with pytest.raises(FlushError):
            bus.publish_all([("a", b"x" * (1 << 21))])
        with pytest.raises(UsageError):
            bus.subscribe("a.*")
    bus.close()
    with pytest.raises(ClosedError):
        bus.publish("a", b"")


def test_nobody_there() -> None:
    before = threading.active_count()
    with closed_port() as port, pytest.raises(ConnectError):
        durabus.sync.connect(f"nats://{HOST}:{port}", connect_timeout_s=0.1)
    assert threading.active_count() == before


def test_a_mistake_in_the_block_closes_at_once(url: str) -> None:
    made = []

    def fail() -> None:
        with durabus.sync.connect(url) as bus:
            made.append(bus)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(ClosedError):
        made[0].publish("a", b"")


def test_the_thread_of_the_loop_cannot_wait_for_itself(url: str) -> None:
    caught: list[BaseException] = []
    holder: list[durabus.sync.Bus] = []

    def on_event(event: object) -> None:
        if holder:
            try:
                holder[0].publish("a", b"")
            except UsageError as error:
                caught.append(error)

    bus = durabus.sync.connect(url, on_event=on_event, reconnect_wait_s=0.01)
    holder.append(bus)
    bus._thread.run(_cut(bus))
    deadline = time.monotonic() + PATIENCE_S
    while len(caught) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(caught) >= 2, "it was told of the loss, and of the new session"
    bus.close()


async def _cut(bus: durabus.sync.Bus) -> None:
    session = bus._bus._session
    assert session is not None
    session.link.abort("a test cut it")


def test_what_only_asyncio_code_can_do(url: str) -> None:
    ended: list[bool] = []

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def begin(inner: durabus.client.Bus) -> str:
        tasks.append(asyncio.create_task(last()))
        return inner.client_id

    tasks: list[asyncio.Task[None]] = []
    with durabus.sync.connect(url) as bus:
        assert bus.run(begin) == bus.client_id
    assert ended == [True], "what it left running ends with the bus"


def test_a_fork_is_told(url: str) -> None:
    with durabus.sync.connect(url) as bus:
        bus._thread._pid += 1  # what a child process would find
        with pytest.raises(UsageError, match="forked"):
            bus.publish("a", b"")
        bus._thread._pid = os.getpid()


def test_a_program_that_just_ends(url: str) -> None:
    """It closes in order: what it was done with is acknowledged, and its client ID is free."""
    channel, client_id = new_channel(), new_client_id()
    program = f"""
import durabus.sync
bus = durabus.sync.connect({url!r}, client_id={client_id!r})
bus.publish_all([({channel!r}, b"1"), ({channel!r}, b"2")])
for message in bus.subscribe({channel!r}, durable_name="d", start=durabus.client.StartPosition.all_available()):
    if message.sequence == 2:
        message.ack()
        break
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
    with durabus.sync.connect(url, client_id=client_id) as bus:
        subscription = bus.subscribe(channel, durable_name="d")
        bus.publish(channel, b"3")
        assert subscription.next(PATIENCE_S).sequence == 3
