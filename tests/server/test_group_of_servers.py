"""Servers of one group behind a real nats-server, with a store that they share: take-over, and what clients see of it."""

import asyncio
from collections.abc import Iterator

import pytest

from durabus.config.options import Setting
from durabus.server import server as server_module
from durabus.stores.memory import MemoryStore
from durabus.testing.faults import FaultyStore
from durabus.testing.shared_store import SharedStore
from durabus.wire.control_messages import (
    GROUP_HEARTBEAT,
    decode_control_message,
    decode_moment,
    encode_control_message,
    encode_moment,
)
from tests.blackbox.stan_client import FIRST, StanClient
from tests.blackbox.wire_client import QUIET, WITH_HEADERS, WireClient
from tests.clients.tcp_proxy import TcpProxy
from tests.nats_server import NatsServer
from tests.server.in_process import InProcess, Servers, channels

pytestmark = [pytest.mark.row(161), pytest.mark.usefixtures("interpreter")]

GROUP: dict[str, Setting] = {"streaming.ft_group": "g"}
SUBJECT = b"_STAN.ft.test-cluster.g"
READY = "Streaming Server is ready"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats that come often, and standbys without much patience."""
    monkeypatch.setattr(server_module, "HEARTBEAT_NS", 50_000_000)
    monkeypatch.setattr(server_module, "PATIENCE_NS", 400_000_000)


@pytest.fixture
def shared() -> SharedStore:
    """The store of the group."""
    return SharedStore(MemoryStore())


@pytest.fixture
def wire(nats: NatsServer) -> Iterator[WireClient]:
    """Somebody who hears what the group says."""
    with WireClient(nats.port, QUIET + b"SUB %b 1\r\n" % SUBJECT) as client:
        client.ask()
        yield client


async def pair(servers: Servers, shared: SharedStore) -> tuple[InProcess, InProcess]:
    """An active server and a standby."""
    active = await servers.start(GROUP, shared.open())
    await active.wait_line(READY)
    standby = await servers.start(GROUP, shared.open())
    return active, standby


class Worker(StanClient):
    """A client that works on, on the same connection, and need not even know that another server took over."""

    def begin(self) -> None:
        """A durable that has one of two messages unacknowledged, and a plain subscription."""
        self.connect()
        self.durable = self.subscribe(b"orders", durable=b"d", start=FIRST, ack_wait_s=1)
        self.plain = self.subscribe(b"news", start=FIRST)
        self.publish(b"orders", b"one", b"two")
        assert [got.data for got in self.deliveries(2, self.durable)] == [b"one", b"two"]
        self.acknowledge(self.durable, 1)
        assert self.ping() == b""

    def go_on(self) -> set[int]:
        """What was unacknowledged comes again, what is new comes, and everything is there; what came of the durable."""
        assert self.ping() == b""
        self.publish(b"orders", b"three")
        got: set[int] = set()
        while not {2, 3} <= got:
            got.add(self.delivery(self.durable).sequence)
        self.acknowledge(self.durable, 1, 2, 3)
        self.publish(b"news", b"hello")
        assert self.delivery(self.plain).data == b"hello"
        replay = self.subscribe(b"orders", start=FIRST)
        assert [(got.sequence, got.data) for got in self.deliveries(3, replay)] == [
            (1, b"one"),
            (2, b"two"),
            (3, b"three"),
        ]
        return got


async def test_the_standby_takes_over_when_the_active_one_is_stopped(
    nats: NatsServer, shared: SharedStore, wire: WireClient
) -> None:
    with Worker(nats.port) as worker:
        async with Servers(nats.url) as servers:
            active, standby = await pair(servers, shared)
            await asyncio.to_thread(worker.begin)
            said = decode_control_message((await asyncio.to_thread(wire.message)).payload)
            assert (said.kind, said.server_id) == (GROUP_HEARTBEAT, active.server.server_id.encode())
            first_ns = decode_moment(said.data)
            assert "Server is active" not in standby.log
            await servers.stop(active)
            await standby.wait_line(READY)
            assert [line for line in standby.lines if "active" in line or "Recover" in line] == [
                "INF Server is active",
                "INF Recovering the state...",
                "INF Recovered 2 channel(s)",
            ]
            assert await asyncio.to_thread(worker.go_on) == {2, 3}
            while True:
                said = decode_control_message((await asyncio.to_thread(wire.message)).payload)
                if said.server_id == standby.server.server_id.encode():
                    break
            assert decode_moment(said.data) > first_ns


async def test_the_standby_takes_over_when_the_active_one_is_killed(nats: NatsServer, shared: SharedStore) -> None:
    """Its network is gone, and its lock: whatever it still decides, the store refuses."""
    with TcpProxy(nats.port) as proxy, Worker(nats.port) as worker:
        async with Servers(nats.url) as servers:
            active = await servers.start(GROUP, shared.open(), f"nats://127.0.0.1:{proxy.port}")
            await active.wait_line(READY)
            standby = await servers.start(GROUP, shared.open())
            await asyncio.to_thread(worker.begin)
            proxy.lets_through = False
            proxy.cut()
            shared.free()
            await standby.wait_line(READY)
            assert await asyncio.to_thread(worker.go_on) >= {2, 3}, (
                "and perhaps 1: its acknowledgement was not stored yet"
            )
            proxy.lets_through = True
            line = await active.failure()
            # It is back, and asks its store before it claims anything.
            assert line == "the store failed and cannot be trusted any more: lost store lock, aborting"
            assert (await standby.serverz())["state"] == "FT_ACTIVE"


async def test_what_monitoring_says(nats: NatsServer, shared: SharedStore) -> None:
    async with Servers(nats.url) as servers:
        active, standby = await pair(servers, shared)
        assert (await active.get("/streaming/isFTActive"), await standby.get("/streaming/isFTActive")) == (
            (200, b""),
            (204, b""),
        )
        one, two = await active.serverz(), await standby.serverz()
        assert (one["cluster_id"], one["state"]) == ("test-cluster", "FT_ACTIVE")
        assert (two["cluster_id"], two["state"]) == ("", "FT_STANDBY")
        assert (two["clients"], two["channels"], two["total_msgs"]) == (0, 0, 0)
        for page in ("/streaming/storez", "/streaming/clientsz", "/streaming/channelsz", "/varz"):
            assert (await standby.get(page))[0] == 200
        assert ((await active.get("/healthz"))[0], (await standby.get("/healthz"))[0]) == (200, 503)
        await servers.stop(active)
        await standby.wait_line(READY)
        assert (await standby.get("/streaming/isFTActive"))[0] == 200
        assert (await standby.serverz())["cluster_id"] == "test-cluster"
        assert (await standby.get("/healthz"))[0] == 200


async def test_a_standby_serves_nobody(nats: NatsServer, shared: SharedStore) -> None:
    await shared.open().acquire("somebody of another group")
    async with Servers(nats.url) as servers:
        standby = await servers.start(GROUP, shared.open())
        await standby.wait_line("ft: unable to get store lock at this time, going back to standby")
        with WireClient(nats.port, WITH_HEADERS + b"SUB answer 1\r\n") as client:
            client.publish(b"_STAN.discover.test-cluster", b"", b"answer")
            assert client.message().headers.startswith(b"NATS/1.0 503")
        await servers.stop(standby)
        assert standby.lines[-1] == "INF Shutting down."
        assert not any(line.startswith("ERR") for line in standby.lines)


async def test_a_standby_listens_to_its_group_at_once(nats: NatsServer, shared: SharedStore) -> None:
    await shared.open().acquire("somebody of another group")
    async with Servers(nats.url) as servers:
        await servers.start(GROUP, shared.open())

        def is_heard(client: WireClient) -> bool:
            client.publish(SUBJECT, b"", b"answer")
            return b"503" not in client.ask()

        with WireClient(nats.port, WITH_HEADERS + b"SUB answer 1\r\n") as client:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(is_heard, client):
                    pass


async def test_a_group_with_brokers_of_its_own(shared: SharedStore) -> None:
    """Two brokers know nothing of each other: the lock alone decides. That of the standby is there for NATS clients."""
    async with Servers() as servers:
        active, standby = await pair(servers, shared)
        await standby.wait_line("ft: unable to get store lock at this time, going back to standby")

        def ask(port: int) -> bytes:
            with WireClient(port, WITH_HEADERS + b"SUB answer 1\r\nSUB news 2\r\n") as client:
                client.publish(b"_STAN.discover.test-cluster", b"", b"answer")
                client.publish(b"news", b"plain NATS")
                found = {message.subject: message for message in (client.message(), client.message())}
                assert found[b"news"].payload == b"plain NATS"
                return found[b"answer"].headers + found[b"answer"].payload

        assert b"invalid connection request" in await asyncio.to_thread(ask, active.server.port)
        assert b"503" in await asyncio.to_thread(ask, standby.server.port)
        await servers.stop(active)
        await standby.wait_line(READY)
        assert b"invalid connection request" in await asyncio.to_thread(ask, standby.server.port)


async def test_of_two_active_servers_the_later_one_ends(
    nats: NatsServer, shared: SharedStore, wire: WireClient
) -> None:
    async with Servers(nats.url) as servers:
        one = await servers.start(GROUP, shared.open())
        await one.wait_line(READY)
        said = decode_control_message((await asyncio.to_thread(wire.message)).payload)
        moment_ns = decode_moment(said.data)
        later = encode_control_message(GROUP_HEARTBEAT, b"LATER", encode_moment(moment_ns + 1))
        await asyncio.to_thread(wire.publish, SUBJECT, later)
        await one.wait_line('[ERR] STREAM: ft: serverID "LATER" claims to be active')
        earlier = encode_control_message(GROUP_HEARTBEAT, b"EARLIER", encode_moment(moment_ns - 1))
        await asyncio.to_thread(wire.publish, SUBJECT, earlier)
        assert await one.failure() == 'ft: serverID "EARLIER" claims to be active, aborting'
        assert (await one.serverz())["state"] == "FAILED"
        assert (await one.get("/healthz"))[0] == 503
        epoch = shared.epoch
        await servers.stop(one)
        assert shared.epoch == epoch and shared.holder is None


async def test_nothing_is_written_after_the_step_down(nats: NatsServer, shared: SharedStore, wire: WireClient) -> None:
    async with Servers(nats.url) as servers:
        one = await servers.start(GROUP, shared.open())
        await one.wait_line(READY)

        def publish() -> list[bytes]:
            with StanClient(nats.port) as client:
                client.connect()
                client.publish(b"foo", b"1")
                earlier = encode_control_message(GROUP_HEARTBEAT, b"EARLIER", encode_moment(0))
                client.wire.publish(SUBJECT, earlier)
                return [client.try_publish(b"foo", b"2"), client.try_publish(b"bar", b"3")]

        assert await asyncio.to_thread(publish) == [b'ft: serverID "EARLIER" claims to be active, aborting'] * 2
        await servers.stop(one)
        two = await servers.start(GROUP, shared.open())
        await two.wait_line("Recovered 1 channel(s)")
        await two.wait_line(READY)
        assert (await two.serverz())["total_msgs"] == 1


async def test_a_store_that_is_another_clusters(nats: NatsServer, shared: SharedStore) -> None:
    """It is found out when it is recovered, not before."""
    async with Servers(nats.url) as servers:
        one = await servers.start(GROUP, shared.open())
        await one.wait_line(READY)
        await servers.stop(one)
        two = await servers.start(GROUP | {"streaming.cluster_id": "wrong"}, shared.open())
        assert two.lines[-1] == "INF Starting in standby mode"
        assert await two.failure() == 'cluster ID "wrong" does not match recovered value of "test-cluster"'
        assert two.lines[-2:] == ["INF Server is active", "INF Recovering the state..."]
        assert (await two.serverz())["state"] == "FAILED"


async def test_a_store_that_cannot_be_read(nats: NatsServer) -> None:
    """The lock is there, and then the store fails: this server ends, and another one may have more luck."""
    inner = FaultyStore(MemoryStore())
    inner.recover_errors = ["the disk cannot be read"]
    shared = SharedStore(inner)
    async with Servers(nats.url) as servers:
        one = await servers.start(GROUP, shared.open())
        assert await one.failure() == "the disk cannot be read"
        await servers.stop(one)
        two = await servers.start(GROUP, shared.open())
        await two.wait_line(READY)


async def test_stopped_at_once_and_while_it_becomes_active(nats: NatsServer, shared: SharedStore) -> None:
    async with Servers(nats.url) as servers:
        one = await servers.start(GROUP, shared.open())
        await servers.stop(one)
        assert one.lines[-1] == "INF Shutting down."
        two = await servers.start(GROUP | channels("foo"), shared.open())
        await two.wait_line("Server is active")  # and asks whether others own its channels
        await servers.stop(two)
        assert "Recovering" not in two.log and shared.holder is None
        three = await servers.start(GROUP, shared.open())
        await three.wait_line(READY)


async def test_a_name_that_makes_no_subject(shared: SharedStore) -> None:
    servers = Servers()
    with pytest.raises(Exception, match="ft: unable to subscribe on ft subject"):
        servers.make({"streaming.ft_group": "two words"}, shared.open())


# With partitioning.


async def test_a_pair_for_each_partition(nats: NatsServer) -> None:
    """Two groups on one network, each with its channels; the standby of a group does not object to its active server."""
    foos, bars = SharedStore(MemoryStore()), SharedStore(MemoryStore())

    def work(channel: bytes) -> None:
        with StanClient(nats.port) as client:
            client.connect()
            client.publish(channel, b"x")
            subscription = client.subscribe(channel, start=FIRST)
            while client.receive().subject != subscription.inbox:
                pass  # both servers have answered the connect request

    async with Servers(nats.url) as servers:
        foo = {**channels("foo"), "streaming.ft_group": "foos"}
        bar = {**channels("bar.*"), "streaming.ft_group": "bars"}
        active_foo = await servers.start(foo, foos.open())
        await active_foo.wait_line(READY)
        active_bar = await servers.start(bar, bars.open())
        await active_bar.wait_line(READY)
        standby_foo = await servers.start(foo, foos.open())
        await asyncio.to_thread(work, b"foo")
        await asyncio.to_thread(work, b"bar.a")
        await servers.stop(active_foo)
        await standby_foo.wait_line(READY)
        await asyncio.to_thread(work, b"foo")
        assert (await standby_foo.serverz())["total_msgs"] == 2
        assert (await active_bar.serverz())["channels"] == 1


@pytest.mark.parametrize("is_group_first", [True, False])
async def test_channels_of_another_server_are_found_when_it_becomes_active(
    nats: NatsServer, shared: SharedStore, is_group_first: bool
) -> None:
    """Whichever of the two is there first: the one that comes into conflict ends."""
    async with Servers(nats.url) as servers:
        if is_group_first:
            await (await servers.start(GROUP | channels("foo.*"), shared.open())).wait_line(READY)
            with pytest.raises(Exception, match=r'^channel "foo\.a" causes conflict with channels on server'):
                await servers.start(channels("foo.a"))
            return
        other = await servers.start(channels("foo.a"))
        one = await servers.start(GROUP | channels("foo.*"), shared.open())
        line = f'channel "foo.a" causes conflict with channels on server "{other.server.server_id}"'
        assert await one.failure() == line
        assert "Recovering" not in one.log
