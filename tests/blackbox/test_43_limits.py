"""Limits by messages, bytes and age on the stores that keep what they acknowledged: on the fly, and for what is there already.

Nobody who publishes waits for what has to go, and nobody gets what is gone.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.stores.file.store import FileStore
from durabus.streaming.records import encode_channel_name, encode_server
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SERVER, Batch, Run
from durabus.testing.conformance.probe import Probe
from durabus.wire.stan_messages import encode_message
from tests.blackbox.durable_stores import DURABLE, Place, new_place
from tests.blackbox.stan_client import FIRST, StanClient
from tests.blackbox.test_30_start import get
from tests.server_process import PATIENCE_S, ServerProcess
from tests.stores.sql_harness import ask

pytestmark = pytest.mark.skipif(
    "DURABUS_TEST_SERVER" in os.environ, reason="the original has other files and no sqlite"
)

SIZE = 1000


@pytest.fixture(params=DURABLE)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store."""
    return new_place(request.param, tmp_path)


def figures(server: ServerProcess, channel: str) -> tuple[int, int, int, int]:
    """How many messages and bytes a channel has, its first and its last sequence."""
    found = json.loads(get(server.monitor_port, f"/streaming/channelsz?channel={channel}&subs=1")[1])
    return found["msgs"], found["bytes"], found["first_seq"], found["last_seq"]


def until(holds: str, condition: Callable[[], bool]) -> None:
    """Ask again until it holds, which is soon."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {holds}"
        time.sleep(0.02)


def sequences(client: StanClient, channel: bytes) -> list[int]:
    """Those that somebody new gets, and that of one more message: if it removes one, that may have gone out before."""
    subscription = client.subscribe(channel, start=FIRST)
    end = b"end %d" % time.monotonic_ns()
    client.publish(channel, end)
    found: list[int] = []
    is_over = False
    while not is_over:
        got = client.delivery(subscription)
        found.append(got.sequence)
        is_over = got.data == end
    assert found == [*range(found[0], found[-1] + 1)]
    assert client.unsubscribe(subscription) == b""
    return found


@pytest.mark.row(106, 154)
def test_on_the_fly(place: Place, tmp_path: Path) -> None:
    """Each channel has a limit of another kind, and a reader that is slower than the publisher."""
    config = tmp_path / "limits.conf"
    config.write_text(
        """streaming { store_limits { channels {
            count { max_msgs: 5 }
            size { max_bytes: 5000 }
            age { max_age: "1s" }
            long { max_age: "1h" }
        } } }""",
        encoding="utf-8",
    )
    with place.server("-m", "-1", "-sc", str(config)) as server, StanClient(server.port) as client:
        client.connect()
        slow = client.subscribe(b"count", start=FIRST, max_in_flight=1, ack_wait_s=600)
        for channel in (b"count", b"size", b"age", b"long"):
            client.publish(channel, *[bytes(SIZE)] * 20)
        assert client.delivery(slow).sequence == 1
        assert figures(server, "count")[0] == 5
        until("the size is within its limit", lambda: figures(server, "size")[1] <= 5000)
        assert figures(server, "size")[0] == 4
        until("what is old is gone", lambda: figures(server, "age") == (0, 0, 21, 20))
        assert figures(server, "long")[0] == 20
        client.acknowledge(slow, 1)
        assert client.delivery(slow).sequence == 16, "what limits removed is passed over"
        client.acknowledge(slow, 16)
        assert client.delivery(slow).sequence == 17
        assert client.unsubscribe(slow) == b""
        assert sequences(client, b"count")[-5:] == [17, 18, 19, 20, 21]
        assert sequences(client, b"size")[-1] == 21
        assert sequences(client, b"age") == [21]
        server.kill()
    with place.server("-m", "-1", "-sc", str(config)) as server, StanClient(server.port) as client:
        client.connect()
        assert sequences(client, b"count")[-5:] == [18, 19, 20, 21, 22]
        assert sequences(client, b"age")[-1] == 22


@pytest.mark.row(111, 155)
@pytest.mark.parametrize(
    ("flags", "kept"), [(("-mm", "4"), 4), (("-mb", "4300"), 4), (("-mm", "4", "-mb", "2200"), 2), (("-ma", "1ms"), 0)]
)
def test_limits_that_are_smaller_after_a_restart(place: Place, flags: tuple[str, ...], kept: int) -> None:
    with place.server() as server, StanClient(server.port, b"me") as client:
        client.connect().publish(b"foo", *[bytes(SIZE)] * 30)
        position = client.subscribe(b"foo", durable=b"d", start=FIRST, max_in_flight=30, ack_wait_s=600)
        assert [got.sequence for got in client.deliveries(30, position)] == [*range(1, 31)]
        assert client.close_subscription(position) == b""
        assert server.stop(signal.SIGTERM) == 143
    with place.server("-m", "-1", *flags) as server, client:
        until("the limit holds", lambda: figures(server, "foo")[0] == kept)
        assert figures(server, "foo")[2:] == (31 - kept, 30)
        client.reconnect(server.port)
        # What was in flight and is gone counts as acknowledged.
        resumed = client.subscribe(b"foo", durable=b"d", max_in_flight=30, ack_wait_s=600)
        assert [got.sequence for got in client.deliveries(kept, resumed)] == [*range(31 - kept, 31)]
        assert client.try_publish(b"foo", b"31") == b""
        server.kill()
    # With the limits of before, what is gone stays gone.
    with place.server("-m", "-1") as server:
        assert figures(server, "foo")[2] >= 31 - kept
        assert figures(server, "foo")[3] == 31


@pytest.mark.row(106, 155)
def test_bytes_are_exact_whatever_has_removed_messages(place: Place) -> None:
    """Also of messages that the server has never had in memory: those before its start."""
    data = [bytes(i * 37 % 900) for i in range(300)]
    sizes = [len(encode_message(i + 1, b"foo", b"", one, time.time_ns())) for i, one in enumerate(data)]
    with place.server() as server, StanClient(server.port) as client:
        client.connect().publish(b"foo", *data[:200])
    with place.server("-m", "-1", "-mm", "120") as server, StanClient(server.port) as client:
        until("what a start drops is counted", lambda: figures(server, "foo") == (120, sum(sizes[80:200]), 81, 200))
        client.connect()
        for first, last in ((200, 250), (250, 290)):
            client.publish(b"foo", *data[first:last])
            wanted = (120, sum(sizes[last - 120 : last]), last - 119, last)
            until("what is dropped on the fly is counted", lambda: figures(server, "foo") == wanted)  # noqa: B023
    limit = sum(sizes[240:290]) + 5
    with place.server("-m", "-1", "-mm", "1000", "-mb", str(limit)) as server, StanClient(server.port) as client:
        until("as much stays as fits", lambda: figures(server, "foo") == (50, limit - 5, 241, 290))
        client.connect().publish(b"foo", *data[290:])
        first = next(at for at in range(240, 300) if sum(sizes[at:]) <= limit)
        wanted = (300 - first, sum(sizes[first:]), first + 1, 300)
        until("as much stays as fits", lambda: figures(server, "foo") == wanted)
    with place.server("-m", "-1") as server:
        assert figures(server, "foo") == wanted


def fill(directory: Path, count: int) -> None:
    """A million messages, without a server: the same one again and again, for nobody will get to see them."""

    async def work() -> None:
        store = FileStore(str(directory))
        probe = Probe(store, PATIENCE_S)
        await store.recover(None)
        body = encode_message(1, b"foo", b"", bytes(100), 1)
        for number in range(1, count // 10_000 + 1):
            batch = Batch(number, 0)
            if number == 1:
                batch.state.append((KIND_SERVER, b"server", encode_server(b"test-cluster")))
                batch.state.append((KIND_CHANNEL, b"1", encode_channel_name(b"foo")))
            run = Run(1, (number - 1) * 10_000 + 1)
            run.bodies = [body] * 10_000
            run.stamps = [(0, number)]
            batch.runs.append(run)
            await probe.wait_room()
            probe.submit(batch)
        await probe.wait_all_ended()
        probe.check()
        await store.close()

    asyncio.run(work())


@pytest.mark.row(111)
def test_a_million_messages_that_are_too_many_hold_up_nobody(tmp_path: Path) -> None:
    """The server is ready, and publishers are served, while what is too much goes."""
    count = 1_000_000
    for flags in (("-mm", "1000"), ("-mb", "100KB"), ("-ma", "1s")):
        directory = tmp_path / flags[0]
        fill(directory, count)
        with Place("file", str(directory)).server("-m", "-1", *flags) as server, StanClient(server.port) as client:
            client.connect()
            assert "Recovered 1 channel(s)" in server.log
            published = 0
            while figures(server, "foo")[0] > 1000 + published:
                client.publish(b"foo", b"x")
                published += 1
            assert figures(server, "foo")[3] == count + published
            assert server.resident_bytes < 150 << 20


@pytest.mark.row(159)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_channel_that_goes_leaves_nothing_behind(place: Place, number: signal.Signals) -> None:
    """Its messages, offline durables and positions go with it; created again, it begins anew; also after a restart."""
    flags = ("-mi", "1s")
    with place.server(*flags) as server, StanClient(server.port, b"me") as client:
        client.connect()
        for channel in (b"gone", b"again"):
            client.publish(channel, *[bytes(SIZE)] * 10)
            durable = client.subscribe(channel, durable=b"d", start=FIRST)
            client.deliveries(10, durable)
            assert client.close_subscription(durable) == b""
        kept = client.subscribe(b"kept", durable=b"d")
        client.publish(b"kept", b"1")
        assert client.delivery(kept).sequence == 1
        server.wait_line('Channel "gone" has been deleted')
        server.wait_line('Channel "again" has been deleted')
        client.publish(b"again", b"new")
        server.stop(number)
    with place.server(*flags) as server, client:
        assert "Recovered 2 channel(s)" in server.log
        client.reconnect(server.port)
        assert sequences(client, b"again") == [1, 2]
        durable = client.subscribe(b"again", durable=b"d", start=FIRST)
        assert [got.sequence for got in client.deliveries(2, durable)] == [1, 2]
        if place.kind != "file":
            names = "SELECT name FROM Channels ORDER BY name"
            until("its rows are gone", lambda: ask(place.kind, place.path, names) == [("again",), ("kept",)])
            assert len(ask(place.kind, place.path, "SELECT seq FROM Messages")) == 3
            assert len(ask(place.kind, place.path, "SELECT DISTINCT id FROM Subscriptions WHERE NOT deleted")) == 2
