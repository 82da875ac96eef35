"""The composition: which option reaches which part, what monitoring is told, how starts fail and stops end."""

import asyncio
import gc
import http.client
import io
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from durabus.clock import SystemClock
from durabus.config.options import ChannelOverride, Options, Setting, with_settings
from durabus.errors import StartError
from durabus.logs import LogOutput
from durabus.server import server as server_module
from durabus.server.network import broker_settings
from durabus.server.server import Server, core_options
from durabus.stores.file.store import FileStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import FATAL, UNKNOWN
from durabus.testing.faults import FaultyStore
from tests.blackbox.stan_client import FIRST, StanClient
from tests.streaming.harness import Bus

LOCAL = "127.0.0.1"
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """A server changes settings of its process; here the process goes on."""
    threshold, switch_interval_s = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    sys.setswitchinterval(switch_interval_s)


def options_with(**settings: Setting) -> Options:
    """Any free port of this machine, and what else is asked for; `__` in a name stands for its dot."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return with_settings(Options(), {"broker.host": LOCAL, "broker.port": 0, **named})


class Running:
    """A server in this process, and its log."""

    def __init__(self, options: Options) -> None:
        self.stream = io.StringIO()
        self.server = Server(options, LogOutput(options.log, self.stream), SystemClock())

    @property
    def log(self) -> str:
        """All of its lines."""
        return self.stream.getvalue()

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the monitoring port; not to be called from the loop's thread."""
        port = int(self.log.partition("Starting http monitor on ")[2].splitlines()[0].rpartition(":")[2])
        connection = http.client.HTTPConnection(LOCAL, port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """A server that is started, and stopped in the end."""
    running = Running(options)
    try:
        await running.server.start()
        yield running
    finally:
        async with asyncio.timeout(PATIENCE_S):
            await running.server.stop()


# Options.


@pytest.mark.row(32)
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("streaming.cluster_id", "shop", lambda core: core.cluster_id.decode()),
        ("streaming.discover_prefix", "_FOO", lambda core: core.discover_prefix.decode()),
        ("streaming.heartbeat_interval_ns", 11, lambda core: core.heartbeat_interval_ns),
        ("streaming.heartbeat_timeout_ns", 12, lambda core: core.heartbeat_timeout_ns),
        ("streaming.heartbeat_fail_count", 13, lambda core: core.heartbeat_failures_max),
        ("streaming.presence_grace_ns", 14, lambda core: core.presence_grace_ns),
        ("streaming.replace_durable", True, lambda core: core.replace_durable),
        ("streaming.io_batch_size", 15, lambda core: core.batch_messages_max),
        ("limits.max_channels", 16, lambda core: core.channels_max),
        ("limits.max_messages", 17, lambda core: core.channel_limits.messages_max),
        ("limits.max_bytes", 18, lambda core: core.channel_limits.bytes_max),
        ("limits.max_age_ns", 19, lambda core: core.channel_limits.age_max_ns),
        ("limits.max_subscriptions", 20, lambda core: core.channel_limits.subscriptions_max),
        ("limits.max_inactivity_ns", 21, lambda core: core.channel_limits.inactivity_max_ns),
    ],
)
def test_what_the_core_is_told(name: str, value: Setting, told: Callable[[CoreOptions], object]) -> None:
    assert told(core_options(with_settings(Options(), {name: value}), "instance")) == value
    assert told(core_options(Options(), "instance")) != value


def test_acknowledgements_wait_for_the_server_that_clients_are_connected_to() -> None:
    assert core_options(Options(), "instance").acks_wait_for_us
    for name, value in (("external.url", "nats://127.0.0.1:4222"), ("streaming.ft_group", "g")):
        assert not core_options(with_settings(Options(), {name: value}), "instance").acks_wait_for_us


@pytest.mark.row(108)
def test_limits_of_channels_reach_the_channels() -> None:
    """From the overrides of a configuration to what the core does: the narrowest one counts, and 0 is unlimited."""
    overrides = (
        ChannelOverride(name="foo.bar", max_messages=3),
        ChannelOverride(name="foo.>", max_messages=2, max_subscriptions=1),
        ChannelOverride(name="foo.*", max_messages=0),
    )
    options = replace(Options(), limits=replace(Options().limits, max_messages=4, per_channel=overrides))
    bus = Bus(options=core_options(options, "0" * 22))
    client = bus.connect("a")
    full = "too many subscriptions per channel"
    for name, first, error in (("other", 3, ""), ("foo.a.b", 5, full), ("foo.a", 1, full), ("foo.bar", 4, full)):
        client.publish(name, *[b"x"] * 6)
        assert [message.sequence for message in bus.stored(name)] == list(range(first, 7))
        assert [client.subscribe(name).error for _ in range(2)] == ["", error]


def test_the_core_has_the_defaults_of_the_options() -> None:
    """Both say the original's defaults: whoever makes a core by itself gets the same one."""
    told, own = core_options(Options(), "instance"), CoreOptions("test-cluster", "instance")
    for name in (name for name in dir(own) if not name.startswith("_") and name != "channel_limits"):
        assert getattr(told, name) == getattr(own, name), name
    for name in (name for name in dir(own.channel_limits) if not name.startswith("_")):
        assert getattr(told.channel_limits, name) == getattr(own.channel_limits, name), name


def test_what_the_broker_is_told() -> None:
    options = options_with(
        broker__port=4000,
        broker__server_name="the bus",
        broker__max_payload_bytes=1,
        broker__max_control_line_bytes=2,
        broker__max_pending_bytes=3,
        broker__ping_interval_ns=4,
        broker__ping_max=5,
        broker__max_connections=6,
        broker__write_deadline_ns=7_500_000_000,
    )
    settings = broker_settings(options, "THE-ID")
    assert (settings.host, settings.port) == (LOCAL, 4000)
    limits = settings.limits
    assert (limits.payload_bytes_max, limits.control_line_bytes_max, limits.pending_bytes_max) == (1, 2, 3)
    assert (limits.ping_interval_ns, limits.pings_out_max) == (4, 5)
    assert (settings.connections_max, settings.write_deadline_s) == (6, 7.5)
    info = settings.info
    assert (info.server_id, info.server_name, info.max_payload) == ("THE-ID", "the bus", 1)
    assert (info.host, info.port, info.headers, info.proto) == (LOCAL, 4000, True, 1)


def test_a_server_without_a_name_has_its_id() -> None:
    assert broker_settings(Options(), "THE-ID").info.server_name == "THE-ID"


def test_a_name_that_cannot_be_told() -> None:
    with pytest.raises(StartError, match="the server's name cannot be told to clients"):
        broker_settings(options_with(broker__server_name="\udcff"), "THE-ID")


def test_a_store_that_is_none() -> None:
    with pytest.raises(StartError, match="unsupported store type: PAPER"):
        Running(options_with(streaming__store="PAPER"))


# Start.


@pytest.mark.row(126)
async def test_a_server_serves_until_it_is_stopped() -> None:
    async with running(options_with(monitoring__port=0)) as it:
        assert it.log.rstrip().endswith("STREAM: Streaming Server is ready")
        assert await asyncio.to_thread(it.get, "/healthz") == (200, b'{"status":"ok"}')
        assert await asyncio.to_thread(publish_and_replay, it.server.port, 5) == [1, 2, 3, 4, 5]
        await it.server.stop()
        await it.server.stop()
        assert it.log.count("Shutting down.") == 1
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOCAL, it.server.port)


def publish_and_replay(port: int, count: int) -> list[int]:
    """Publish, then read from the first message; the sequences."""
    with StanClient(port) as client:
        client.connect()
        client.publish(b"replayed", *[b"x"] * count)
        subscription = client.subscribe(b"replayed", start=FIRST)
        return [got.sequence for got in client.deliveries(count, subscription)]


async def test_two_servers_of_one_process_do_not_know_each_other() -> None:
    async with running(options_with()) as first, running(options_with()) as second:
        assert first.server.server_id != second.server.server_id
        assert await asyncio.to_thread(publish_and_replay, first.server.port, 3) == [1, 2, 3]
        assert await asyncio.to_thread(publish_and_replay, second.server.port, 2) == [1, 2]


@pytest.mark.row(118)
async def test_a_store_of_another_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(server_module, "make_store", lambda *_: store)
    async with running(options_with(streaming__cluster_id="first")):
        pass
    it = Running(options_with(streaming__cluster_id="second"))
    with pytest.raises(StartError, match=r'^cluster ID "second" does not match recovered value of "first"$'):
        await it.server.start()
    await it.server.stop()
    assert "Streaming Server is ready" not in it.log
    async with running(options_with(streaming__cluster_id="first")) as again:
        assert "Streaming Server is ready" in again.log


async def test_an_occupied_port() -> None:
    with socket.create_server((LOCAL, 0)) as taken:
        port = taken.getsockname()[1]
        it = Running(options_with(broker__port=port, monitoring__port=0))
        with pytest.raises(StartError, match=rf"{LOCAL}:{port}: bind: address already in use"):
            await it.server.start()
        await it.server.stop()
        await it.server.stop()
    assert "is ready" not in it.log
    assert "Shutting down." not in it.log


async def test_an_occupied_monitoring_port() -> None:
    with socket.create_server((LOCAL, 0)) as taken:
        port = taken.getsockname()[1]
        it = Running(options_with(monitoring__port=port))
        with pytest.raises(StartError, match=rf"can't listen to the monitor port: .*{port}: bind: address already"):
            await it.server.start()
        await it.server.stop()


async def test_what_a_failed_start_had_opened_is_closed() -> None:
    with socket.create_server((LOCAL, 0)) as taken:
        it = Running(options_with(broker__port=taken.getsockname()[1], monitoring__port=0))
        with pytest.raises(StartError):
            await it.server.start()
        monitoring = it.server._monitoring
        assert monitoring is not None
        (await asyncio.open_connection(LOCAL, monitoring.port))[1].close()
        await it.server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOCAL, monitoring.port)


async def test_the_ports_are_told_before_the_server_is_ready() -> None:
    """As the original's file of ports: whoever waits for it can connect, and finds out by itself when it is served."""
    it = Running(options_with(monitoring__port=0))
    told: list[tuple[int, int]] = []

    def tell() -> None:
        assert "is ready" in it.log, "that of the NATS half"
        assert "Recovering the state" not in it.log
        told.append((it.server.port, it.server.monitoring_port))

    await it.server.start(tell)
    try:
        ((port, monitoring_port),) = told
        for number in (port, monitoring_port):
            (await asyncio.open_connection(LOCAL, number))[1].close()
    finally:
        await it.server.stop()


@pytest.mark.row(126)
async def test_a_stop_without_a_start() -> None:
    it = Running(options_with(monitoring__port=0))
    await it.server.stop()
    assert it.log == ""


# What monitoring is told.


@pytest.mark.row(34, 133)
async def test_the_server_in_numbers() -> None:
    def work(port: int) -> None:
        with StanClient(port, cluster=b"numbers") as client, StanClient(port, cluster=b"numbers") as gone:
            client.connect()
            gone.connect()
            subscription = client.subscribe(b"one", durable=b"d")
            client.subscribe(b"two")
            client.publish(b"one", b"12345", b"678")
            client.publish(b"two", b"x")
            assert len(client.deliveries(3)) == 3
            # An offline durable counts as a subscription, a refused publish as one that came in.
            assert client.close_subscription(subscription) == b""
            assert gone.disconnect() == b""
            assert gone.try_publish(b"one", b"refused") != b""

    async with running(options_with(monitoring__port=0, streaming__cluster_id="numbers")) as it:
        await asyncio.to_thread(work, it.server.port)
        status, body = await asyncio.to_thread(it.get, "/streaming/serverz")
        serverz = json.loads(body)
        assert status == 200
        assert (serverz["cluster_id"], serverz["server_id"]) == ("numbers", it.server.server_id)
        assert serverz["state"] == "STANDALONE"
        assert (serverz["clients"], serverz["subscriptions"], serverz["channels"]) == (1, 2, 2)
        assert (serverz["total_msgs"], serverz["in_msgs"], serverz["out_msgs"]) == (3, 4, 3)
        assert serverz["total_bytes"] >= serverz["out_bytes"] > 9
        assert serverz["start_time"] <= serverz["now"]


@pytest.mark.row(132)
async def test_the_numbers_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store remembers is there again; what counts from the start counts from there."""
    store = MemoryStore()
    monkeypatch.setattr(server_module, "make_store", lambda *_: store)

    def work(port: int) -> None:
        with StanClient(port) as client:
            client.connect()
            client.subscribe(b"foo", durable=b"d")
            client.subscribe(b"foo", group=b"g")
            client.publish(b"foo", b"1", b"2", b"3")
            client.deliveries(6)

    seen: list[dict[str, object]] = []
    for _ in range(2):
        async with running(options_with(monitoring__port=0)) as it:
            if not seen:
                await asyncio.to_thread(work, it.server.port)
            seen.append(json.loads((await asyncio.to_thread(it.get, "/streaming/serverz"))[1]))
    before, after = seen
    names = ("clients", "subscriptions", "channels", "total_msgs", "total_bytes")
    assert [after[name] for name in names] == [before[name] for name in names]
    assert [before[name] for name in names[:-1]] == [1, 2, 1, 3]
    counters = ("in_msgs", "in_bytes", "out_msgs", "out_bytes")
    assert all(before[name] for name in counters)
    assert [after[name] for name in counters] == [0, 0, 0, 0]
    assert (after["start_time"], after["server_id"]) != (before["start_time"], before["server_id"])


# A store on the disk.


async def test_the_store_of_the_options(tmp_path: Path) -> None:
    settings: dict[str, Setting] = {"streaming__store": "FILE", "file__directory": str(tmp_path)}
    for number in (1, 2):
        async with running(options_with(**settings, file__check_crc=False)) as it:
            assert await asyncio.to_thread(publish_and_replay, it.server.port, 1) == [1]
            assert "Message store is FILE\n" in it.log
            assert f"Store location: {tmp_path}\n" in it.log
            assert it.log.count("[WRN] STREAM: -file_crc has no effect here: ") == 1
            assert ("No recovered state" in it.log) == (number == 1)


async def test_problems_of_the_store_are_errors_of_the_log(tmp_path: Path) -> None:
    settings: dict[str, Setting] = {"streaming__store": "FILE", "file__directory": str(tmp_path)}
    async with running(options_with(**settings)) as it:
        store = it.server._store
        assert isinstance(store, FileStore)
        store.on_problem("message 5 of channel 1 is damaged")
        assert it.log.endswith("[ERR] STREAM: message 5 of channel 1 is damaged\n")


async def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    it = Running(options_with(streaming__store="FILE", file__directory=str(file)))
    with pytest.raises(StartError, match=rf"^the directory {file} cannot be used: "):
        await it.server.start()
    await it.server.stop()
    assert "Streaming Server is ready" not in it.log


# A store that fails.


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyStore:
    """The store of the next server."""
    store = FaultyStore(MemoryStore())
    monkeypatch.setattr(server_module, "make_store", lambda *_: store)
    return store


async def test_a_store_that_fails_for_good_ends_the_server(faulty: FaultyStore) -> None:
    def publish(port: int) -> bytes:
        with StanClient(port) as client:
            client.connect()
            faulty.fail(FATAL, "the disk is gone")
            return client.try_publish(b"lost", b"x")

    async with running(options_with(monitoring__port=0)) as it:
        assert await asyncio.to_thread(publish, it.server.port) == b"the disk is gone"
        async with asyncio.timeout(PATIENCE_S):
            line = await it.server.wait_failed()
        assert line == "the store failed and cannot be trusted any more: the disk is gone"
        assert (await asyncio.to_thread(it.get, "/healthz"))[0] == 503


@pytest.mark.row(130)
async def test_a_store_that_recovers_serves_again(faulty: FaultyStore) -> None:
    def publish(port: int) -> bytes:
        with StanClient(port) as client:
            client.connect()
            client.publish(b"kept", b"1")
            faulty.fail(UNKNOWN, "try again")
            error = client.try_publish(b"kept", b"2")
            while client.try_publish(b"kept", b"3"):
                pass
            subscription = client.subscribe(b"kept", start=FIRST)
            assert [got.data for got in client.deliveries(2, subscription)] == [b"1", b"3"]
            return error

    async with running(options_with(monitoring__port=0)) as it:
        assert await asyncio.to_thread(publish, it.server.port) == b"try again"
        assert (await asyncio.to_thread(it.get, "/healthz"))[0] == 200
        assert "the store is recovered, serving again" in it.log
        assert it.log.count("Streaming Server is ready") == 1, "once, and not once more when it serves again"


async def test_a_store_that_cannot_be_recovered_at_the_start(faulty: FaultyStore) -> None:
    faulty.recover_errors = ["cannot be read"]
    it = Running(options_with(monitoring__port=0))
    with pytest.raises(Exception, match="cannot be read"):
        await it.server.start()
    await it.server.stop()
    assert "is ready" not in it.log.partition("Recovering the state...")[2]
