"""What the server tells monitoring: documents of a real server with real clients, as the original showed the same ones."""

import asyncio
import gc
import http.client
import io
import json
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from durabus.broker.router import Router
from durabus.clock import ManualClock, SystemClock
from durabus.config.options import ChannelOverride, MonitoringOptions, Options, TlsOptions
from durabus.logs import LogOutput
from durabus.monitoring.port import MonitoringError
from durabus.monitoring.state import ConnectionState, InterestState
from durabus.monitoring.steps import finish
from durabus.server import monitoring_source
from durabus.server.monitoring_source import (
    ClosedConnections,
    MonitoringSource,
    closing_reason,
    make_port,
    suite_name,
)
from durabus.server.server import Server, core_options
from durabus.stores.memory import MemoryStore
from durabus.streaming.log_port import Log
from durabus.streaming.service import StreamingService
from tests.blackbox.stan_client import FIRST, StanClient
from tests.blackbox.wire_client import WireClient
from tests.broker.fakes import QUIET, SECOND_NS, WITH_HEADERS, Client, FakeReceiver
from tests.monitoring.certificates import make_certificate
from tests.monitoring.sources import CONNECTION, INTEREST

LOCAL = "127.0.0.1"
PATIENCE_S = 20.0
NAMED = b'CONNECT {"verbose":false,"pedantic":false,"name":"alice <&>","lang":"raw","version":"9.9","user":"joe"}\r\n'
HEADERS = b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'

T = TypeVar("T")


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """A server changes settings of its process; here the process goes on."""
    threshold, switch_interval_s = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)
    sys.setswitchinterval(switch_interval_s)


class Running:
    """A server in this process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.log = io.StringIO()
        self.server = Server(options, LogOutput(options.log, self.log), SystemClock())
        self.authority: Path | None = None

    @property
    def port(self) -> int:
        return self.server.port

    def get(self, target: str) -> tuple[int, bytes]:
        """Ask the monitoring port."""
        line = re.search(r"Starting (https?) monitor on .*:(\d+)", self.log.getvalue())
        assert line is not None
        port = int(line[2])
        if line[1] == "https":
            context = ssl.create_default_context(cafile=self.authority)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(LOCAL, port, context=context)
        else:
            connection = http.client.HTTPConnection(LOCAL, port)
        connection.timeout = PATIENCE_S
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def text(self, target: str) -> str:
        """A document, with an ack inbox written as `ACK`."""
        status, body = self.get(target)
        assert status == 200, body
        return re.sub(r'"ack_inbox": "_INBOX\.\w{22}"', '"ack_inbox": "ACK"', body.decode())

    def json(self, target: str) -> dict[str, Any]:
        """A document, decoded."""
        document: dict[str, Any] = json.loads(self.text(target))
        return document

    def connection(self, wire: WireClient, query: str = "") -> dict[str, Any]:
        """The entry of one connection."""
        (entry,) = self.json(f"/connz?cid={wire.info['client_id']}{query}")["connections"]
        found: dict[str, Any] = entry
        return found

    def closed(self, wire: WireClient) -> dict[str, Any]:
        """The entry of a connection as soon as it is closed."""
        for _ in range(1000):
            found = self.json(f"/connz?state=closed&subs=detail&cid={wire.info['client_id']}")["connections"]
            if found:
                entry: dict[str, Any] = found[0]
                return entry
        raise AssertionError("it is not listed as closed")


def options_with(**broker: int) -> Options:
    """Any free ports of this machine."""
    options = Options(monitoring=MonitoringOptions(port=0))
    return replace(options, broker=replace(options.broker, host=LOCAL, port=0, **broker))  # type: ignore[arg-type]


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """A server that is started, and stopped in the end."""
    it = Running(options)
    try:
        await it.server.start()
        yield it
    finally:
        async with asyncio.timeout(PATIENCE_S):
            await it.server.stop()


async def play(story: Callable[[Running], T], options: Options | None = None) -> T:
    """Let a story happen to a server, in a thread of its own: its clients block."""
    async with running(options or options_with()) as it:
        return await asyncio.to_thread(story, it)


# The same clients were shown to the original: this is what it answered. The order of groups is any there.
SUBSCRIPTIONS_OF_FOO = [
    ("a", "", "", False, False, 1024, 30, 21, 21, False),
    ("a", "dur", "", True, False, 5, 60, 5, 5, True),
    ("z", "", "", False, False, 1024, 30, 21, 0, False),
    ("b", "dur2", "", True, True, 3, 30, 5, 3, True),
    ("b", "", "g", False, False, 4, 30, 4, 4, True),
    ("a", "", "g", False, False, 4, 30, 8, 4, True),
    ("b", "", "d:dg", True, True, 4, 30, 4, 4, True),
    ("a", "", "d:ag", True, False, 4, 30, 4, 4, True),
]


def subscribe_in_all_ways(port: int) -> list[StanClient]:
    """Three clients, a channel with 21 messages, and a subscription of every kind, some of them closed again."""
    a, b, z = (StanClient(port, client_id).connect() for client_id in (b"a", b"b", b"z"))
    a.publish(b"foo", b"hello", *(b"x" * size for size in range(20)))
    a.publish(b"foo.bar", b"hello")
    a.deliveries(21, a.subscribe(b"foo", start=FIRST))
    a.deliveries(5, a.subscribe(b"foo", durable=b"dur", start=FIRST, max_in_flight=5, ack_wait_s=60))
    durable = b.subscribe(b"foo", durable=b"dur2", start=FIRST, max_in_flight=3)
    b.deliveries(3)
    b.acknowledge(durable, 1, 2)
    b.deliveries(2)
    b.close_subscription(durable)
    for client in (b, a):
        client.deliveries(4, client.subscribe(b"foo", group=b"g", start=FIRST, max_in_flight=4))
    shadow = b.subscribe(b"foo", group=b"dg", durable=b"d", start=FIRST, max_in_flight=4)
    b.deliveries(4)
    b.close_subscription(shadow)
    a.deliveries(4, a.subscribe(b"foo", group=b"ag", durable=b"d", start=FIRST, max_in_flight=4))
    a.subscribe(b"foo.bar")
    z.subscribe(b"foo")
    return [a, b, z]


@pytest.mark.row(63, 133)
async def test_channels_and_clients_of_a_real_server() -> None:
    def story(it: Running) -> None:
        clients = subscribe_in_all_ways(it.port)
        channel = it.json("/streaming/channelsz?channel=foo&subs=1")
        assert {key: channel[key] for key in ("name", "msgs", "first_seq", "last_seq", "subs_count")} == {
            "name": "foo", "msgs": 21, "first_seq": 1, "last_seq": 21, "subs_count": 8,
        }  # fmt: skip
        keys = ("client_id", "is_durable", "is_offline", "max_inflight", "ack_wait", "last_sent", "pending_count")
        seen = [
            (
                entry["client_id"],
                entry.get("durable_name", ""),
                entry.get("queue_name", ""),
                *(entry[key] for key in keys[1:]),
                entry["is_stalled"],
            )
            for entry in channel["subscriptions"]
        ]
        assert seen == SUBSCRIPTIONS_OF_FOO
        assert [client["id"] for client in it.json("/streaming/clientsz?offset=1")["clients"]] == ["b", "z"]
        client = it.json("/streaming/clientsz?client=a&subs=1")
        assert (client["hb_inbox"], client["subs_count"]) == (clients[0].heartbeat_inbox.decode(), 5)
        queues = [entry.get("queue_name", "") for entry in client["subscriptions"]["foo"]]
        assert (list(client["subscriptions"]), queues) == (["foo", "foo.bar"], ["", "", "g", "d:ag"])
        assert it.json("/streaming/channelsz")["names"] == ["foo", "foo.bar"]
        serverz = it.json("/streaming/serverz")
        numbers = [
            serverz[key] for key in ("clients", "subscriptions", "channels", "total_msgs", "in_msgs", "out_msgs")
        ]
        assert numbers == [3, 9, 2, 22, 22, 47]
        for target in ("/streaming/clientsz?client=c", "/streaming/channelsz?channel=c"):
            assert it.get(target)[0] == 404
        for one in clients:
            one.wire.close()

    await play(story)


@pytest.mark.row(134)
async def test_limits_of_channels() -> None:
    overrides = (
        ChannelOverride(
            name="one.>", max_messages=1000, max_bytes=1048576, max_age_ns=3600 * 10**9, max_subscriptions=1
        ),
        ChannelOverride(name="one.*", max_bytes=7),
        ChannelOverride(name="Unl", max_messages=0, max_subscriptions=50),
    )

    def story(it: Running) -> None:
        storez = it.json("/streaming/storez")
        assert (storez["type"], storez["total_msgs"], storez["limits"]["max_channels"]) == ("MEMORY", 0, 100)
        channels = storez["limits"]["channels"]
        assert list(channels) == ["Unl", "one.*", "one.>"]
        assert list(channels["one.*"].values()) == [1000, 7, 3600 * 10**9, 1, 0]
        assert list(channels["Unl"].values()) == [0, 1024000000, 0, 50, 0]

    options = options_with()
    await play(story, replace(options, limits=replace(options.limits, per_channel=overrides)))


async def test_connections_of_a_real_server() -> None:
    def story(it: Running) -> None:
        alice = WireClient(it.port, NAMED)
        assert it.connection(alice)["rtt"] == "0s"
        alice.ask(b"SUB foo.* 1\r\nSUB bar q1 abc\r\nSUB foo.> 7\r\nSUB max 9\r\nUNSUB 9 5\r\n")
        bob = WireClient(it.port, HEADERS)
        bob.ask(b"PUB foo.a 3\r\nxyz\r\nPUB bar 2\r\nab\r\nHPUB max 12 13\r\nNATS/1.0\r\n\r\nm\r\n")
        entry = it.connection(alice, "&auth=1&subs=detail")
        # Whoever has not asked for headers gets none, and none are counted.
        counted = [entry[key] for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes", "subscriptions")]
        assert counted == [0, 4, 0, 9, 4]
        assert (entry["ip"], entry["port"]) == (LOCAL, alice.socket.getsockname()[1])
        assert [entry[key] for key in ("name", "lang", "version", "authorized_user")] == [
            "alice <&>",
            "raw",
            "9.9",
            "joe",
        ]
        assert entry["rtt"] != "0s"
        number = alice.info["client_id"]
        assert entry["subscriptions_list_detail"] == [
            {"subject": "foo.*", "sid": "1", "msgs": 1, "cid": number},
            {"subject": "bar", "qgroup": "q1", "sid": "abc", "msgs": 1, "cid": number},
            {"subject": "foo.>", "sid": "7", "msgs": 1, "cid": number},
            {"subject": "max", "sid": "9", "msgs": 1, "max": 5, "cid": number},
        ]
        entry = it.connection(bob, "&subs=1")
        assert [entry[key] for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes")] == [3, 0, 18, 0]
        assert "subscriptions_list" not in entry
        assert [one["cid"] for one in it.json("/connz?user=joe")["connections"]] == [number]
        assert [one["cid"] for one in it.json("/connz?sort=bytes_from&limit=1")["connections"]] == [
            bob.info["client_id"]
        ]
        interest = it.json("/subsz?subs=1&test=foo.a")["subscriptions_list"]
        assert sorted((one["subject"], one["cid"]) for one in interest) == [("foo.*", number), ("foo.>", number)]
        everything = it.json("/subsz?subs=1")
        own = [one["subject"] for one in everything["subscriptions_list"] if one["cid"] == 0]
        assert "_STAN.close.test-cluster" in own
        assert everything["total"] == everything["num_subscriptions"] == len(own) + 4
        for one in (alice, bob):
            one.close()
            it.closed(one)
        varz = it.json("/varz")
        keys = ("connections", "total_connections", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "subscriptions")
        assert [varz[key] for key in keys] == [0, 2, 3, 4, 18, 9, len(own)]
        subsz = it.json("/subsz")
        assert subsz["num_inserts"] - subsz["num_removes"] == len(own)
        assert subsz["num_matches"] >= 3

    await play(story)


async def test_a_closed_connection_is_remembered_with_its_subscriptions() -> None:
    def story(it: Running) -> None:
        wire = WireClient(it.port, NAMED)
        wire.ask(b"SUB a 1\r\nSUB b q 2\r\nUNSUB 1 5\r\nSUB c 3\r\nUNSUB 3\r\n")
        wire.close()
        entry = it.closed(wire)
        assert (entry["reason"], entry["name"], entry["subscriptions"]) == ("Client Closed", "alice <&>", 2)
        number = wire.info["client_id"]
        assert entry["subscriptions_list_detail"] == [
            {"account": "$G", "subject": "a", "sid": "1", "msgs": 0, "cid": number},
            {"account": "$G", "subject": "b", "qgroup": "q", "sid": "2", "msgs": 0, "cid": number},
        ]
        assert entry["start"] < entry["last_activity"] <= entry["stop"]
        document = it.json("/connz?state=any")
        assert (document["num_connections"], document["total"]) == (1, 1)
        assert it.json("/connz")["connections"] == []

    await play(story)


# What the original gave as the reason for the same bytes.
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"FOO\r\n", "Protocol Violation"),
        (b"PUB a 9999999\r\n", "Maximum Message Payload Exceeded"),
        (b"PUB a b c d\r\n", "Protocol Violation"),
        (b"PUB a x\r\n", "Protocol Violation"),
        (b"PUB " + b"a" * 5000, "Maximum Control Line Exceeded"),
        (b'CONNECT {"protocol":7}\r\n', "Bad Client Protocol Version"),
        (b'CONNECT {"no_responders":true}\r\n', "No Responders Requires Headers"),
        (b"CONNECT {xx\r\n", "Protocol Violation"),
    ],
)
async def test_why_a_connection_was_closed(data: bytes, reason: str) -> None:
    def story(it: Running) -> None:
        with WireClient(it.port) as wire:
            wire.send(data)
            wire.rest()
            assert it.closed(wire)["reason"] == reason

    await play(story)


async def test_a_connection_that_is_reset_and_one_too_many() -> None:
    def story(it: Running) -> None:
        wire = WireClient(it.port)
        wire.ask()
        wire.reset()
        assert it.closed(wire)["reason"] == "Read Error"
        with WireClient(it.port) as first, WireClient(it.port, b"") as second:
            first.ask()
            assert b"maximum connections exceeded" in second.rest()
            assert it.closed(second)["reason"] == "Maximum Connections Exceeded"

    await play(story, options_with(max_connections=1))


async def test_what_counts_as_activity() -> None:
    def story(it: Running) -> None:
        wire, other = WireClient(it.port), WireClient(it.port)
        wire.ask(b"SUB x 1\r\n")
        last: str = it.connection(wire)["last_activity"]

        def is_active(data: bytes, of: WireClient = wire) -> bool:
            nonlocal last
            of.ask(data)
            before, last = last, it.connection(wire)["last_activity"]
            return before < last

        assert not is_active(b"")  # a PING
        assert not is_active(b"PONG\r\n")
        assert is_active(b"SUB y 2\r\n")
        assert is_active(b"UNSUB 2\r\n")
        assert is_active(b"PUB nobody 0\r\n\r\n")
        assert not is_active(b"PUB nobody 0\r\n\r\n", other)
        other.ask(b"PUB x 1\r\na\r\n")
        wire.message()
        assert is_active(b"")
        assert is_active(b"CONNECT {}\r\n")
        wire.close()
        other.close()

    await play(story)


async def test_output_that_nobody_takes() -> None:
    def story(it: Running) -> None:
        slow = WireClient(it.port, receive_buffer_bytes=4096)
        slow.ask(b"SUB big 1\r\n")
        fast = WireClient(it.port)
        fast.ask(b"PUB big 1000000\r\n%b\r\n" % bytes(1_000_000) * 20)
        numbers = [slow.info["client_id"], fast.info["client_id"]]
        entry, other = it.json("/connz?sort=pending")["connections"]
        assert [entry["cid"], other["cid"]] == numbers
        assert 5_000_000 < entry["pending_bytes"] < 20_001_000
        assert other["pending_bytes"] == 0
        slow.close()
        fast.close()

    await play(story)


async def test_https_with_the_certificate_of_the_options(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = TlsOptions(certificate_file=str(certificate), key_file=str(key))
    monitoring = MonitoringOptions(https_port=0, base_path="nats", host=LOCAL)

    def story(it: Running) -> None:
        it.authority = certificate
        assert it.json("/streaming/serverz")["state"] == "STANDALONE"
        varz = it.json("/nats/varz")
        assert (varz["http_port"], varz["http_host"], varz["http_base_path"]) == (0, LOCAL, "/nats")
        assert f"Starting https monitor on {LOCAL}:{varz['https_port']}" in it.log.getvalue()
        assert it.get("/varz")[0] == 404

    await play(story, replace(options_with(), tls=tls, monitoring=monitoring))


def test_round_trips_are_measured_by_pings() -> None:
    router, clock = Router(), ManualClock()
    client = Client(router, b"", clock)
    session = client.session
    clock.advance(3 * SECOND_NS)
    client.say(b"PING\r\n")
    assert session.round_trip_ns == 0  # who has not said CONNECT may be anything
    client.say(QUIET + b"PING\r\n")
    assert session.round_trip_ns == 3 * SECOND_NS
    clock.advance(20 * SECOND_NS)
    session.on_ping_time(clock.monotonic_ns())
    clock.advance(5)
    client.say(b"PONG\r\nPING\r\n")
    assert session.round_trip_ns == 5
    clock.advance(7)
    client.say(b"PONG\r\n")  # that nobody asked for
    assert session.round_trip_ns == 5


def test_output_is_counted_without_its_control_lines() -> None:
    router = Router()
    client = Client(router, WITH_HEADERS)
    client.say(b"SUB a 1\r\n")
    router.publish_run(b"a", b"head", [b"x", b"yy", b"zz", b""])
    router.publish(b"a", b"reply", b"12345")
    assert (client.session.out_messages, client.session.out_payload_bytes) == (5, 4 * 4 + 5 + 5)
    client.publish(b"a", b"abc", b"abc")
    assert client.session.out_payload_bytes == 26 + 6
    client.say(b"HPUB a 12 13\r\nNATS/1.0\r\n\r\nm\r\n")
    assert client.session.out_payload_bytes == 32 + 13


def test_the_register_counts() -> None:
    router = Router()
    sublist = router.sublist
    client = Client(router)
    client.say(b"SUB a.* 1\r\nSUB a.b 2\r\nSUB a.b q 3\r\nSUB a.b q 4\r\nUNSUB 2\r\n")
    assert (sublist.count, sublist.inserted_count, sublist.removed_count) == (3, 4, 1)
    client.publish(b"a.b", b"")
    client.publish(b"a.b", b"")
    client.publish(b"nobody", b"")
    assert (sublist.hit_count, sublist.miss_count, sorted(sublist.fanouts())) == (1, 2, [0, 2])
    receiver = FakeReceiver()
    router.subscribe(b"in.>", receiver)
    router.subscribe(b"out", receiver)
    client.publish(b"in.a", b"", b"")
    seen = [(one.subject, one.sid, one.delivered_count) for one in router.receivers()]
    assert seen == [(b"in.>", b"1", 2), (b"out", b"2", 0)]


def options_for_https(certificate: Path, key: Path) -> Options:
    """HTTPS with these files."""
    tls = TlsOptions(certificate_file=str(certificate), key_file=str(key))
    return replace(options_with(), tls=tls, monitoring=MonitoringOptions(https_port=0))


def test_certificates_that_are_none(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    source = alone(Options())
    for files, words in (
        ((tmp_path / "none.pem", key), f"open {tmp_path / 'none.pem'}: no such file or directory"),
        ((certificate, tmp_path / "none.key"), f"open {tmp_path / 'none.key'}: no such file or directory"),
        ((key, key), ""),
        ((certificate, certificate), ""),
    ):
        with pytest.raises(MonitoringError) as caught:
            make_port(options_for_https(*files), source, print)
        assert str(caught.value).startswith(f"error parsing X509 certificate/key pair: {words}")
        assert "\n" not in str(caught.value)
    assert make_port(options_for_https(certificate, key), source, print) is not None
    assert make_port(Options(), source, print) is None


def alone(options: Options) -> MonitoringSource:
    """A source without a broker, for clients that connect to another server."""
    router, clock = Router(), ManualClock()
    service = StreamingService(core_options(options, "0" * 22), router, MemoryStore(), Log(False), clock, router.flush)
    return MonitoringSource(options, "0" * 22, clock, service, None)


@pytest.mark.row(138)
def test_without_a_broker_there_are_no_connections() -> None:
    source = alone(Options())
    assert source.open_connections() == source.closed_connections() == []
    assert source.connection(1) is None
    assert list(source.connection_interest(1)) == list(source.interest()) == list(source.interest_in(b"a")) == []
    assert source.subjects().subscriptions == 0
    state = finish(source.broker())
    assert (state.connections, state.total_connections, state.subscriptions) == (0, 0, 0)
    where = source.listening()
    assert (where.server_name, where.port) == ("0" * 22, 4222)


def test_readiness_and_identity() -> None:
    source = alone(Options())
    assert not source.is_ready()
    source.is_serving = True
    assert source.is_ready()
    assert (source.identity().cluster_id, source.identity().state) == ("test-cluster", "STANDALONE")
    source.state = "FT_STANDBY"
    assert source.identity().cluster_id == ""


def closed(client_id: int, **changes: int | str) -> ConnectionState:
    """A closed connection."""
    return replace(CONNECTION, client_id=client_id, stop_ns=1, **changes)  # type: ignore[arg-type]  # its fields


def test_closed_connections_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring_source, "CLOSED_MAX", 3)
    kept = ClosedConnections()
    for client_id in (5, 2, 9, 4, 7):
        kept.add(closed(client_id, in_messages=1, in_bytes=2, out_messages=3, out_bytes=4), [INTEREST] * client_id)
    assert kept.numbers() == [4, 7, 9]
    assert kept.state(5) is None
    assert kept.interest(5) == []
    assert kept.state(9) == closed(9, in_messages=1, in_bytes=2, out_messages=3, out_bytes=4)
    assert kept.interest(7) == [INTEREST] * 7
    assert (kept.in_messages, kept.in_bytes, kept.out_messages, kept.out_bytes) == (5, 10, 15, 20)


def test_closed_connections_are_bounded_in_size() -> None:
    kept = ClosedConnections()
    big: list[InterestState] = [replace(INTEREST, subject=b"x" * 4000)] * 1000
    for client_id in range(1, 30):
        kept.add(closed(client_id), big)
    assert kept.numbers() == list(range(23, 30))
    for client_id in range(30, 35):
        kept.add(closed(client_id, name="n" * 5_000_000), [])
    assert kept.numbers() == [28, 29, 30, 31, 32, 33, 34]


@pytest.mark.parametrize(
    ("noted", "shown"),
    [
        ("Client Closed", "Client Closed"),
        ("Slow Consumer", "Slow Consumer (Pending Bytes)"),
        ("Slow Consumer (Write Deadline)", "Slow Consumer (Write Deadline)"),
        ("Stale Connection: no answer to our pings", "Stale Connection"),
        ("Authorization Violation: user 'x' was not admitted", "Authentication Failure"),
        ("Unknown Protocol Operation: b'x: y'", "Protocol Violation"),
        ("Server Shutdown", "Server Shutdown"),
    ],
)
def test_reasons(noted: str, shown: str) -> None:
    assert closing_reason(noted) == shown


@pytest.mark.parametrize(
    ("name", "registered"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        ("AES256-SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256"),
        ("SOMETHING-NEW", "SOMETHING-NEW"),
    ],
)
def test_names_of_cipher_suites(name: str, registered: str) -> None:
    assert suite_name(name) == registered
