"""No bytes on the port crash the server, disturb another client or make memory grow (docs/protocol.md §1.1, §2.1)."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blackbox.stan_client import StanClient
from tests.blackbox.wire_client import QUIET, WITH_HEADERS, WireClient
from tests.server_process import HOST, PATIENCE_S, ServerProcess, running_server
from tests.wire import streams, wire_format
from tests.wire.wire_format import blob, integer

MIB = 1 << 20
STAN_SUBJECTS = (
    b"_STAN.discover.test-cluster", b"_STAN.discover.test-cluster.pings", b"_STAN.pub.test-cluster.x",
    b"_STAN.pub.test-cluster.>", b"_STAN.sub.test-cluster", b"_STAN.unsub.test-cluster", b"_STAN.subclose.test-cluster",
    b"_STAN.close.test-cluster",
)  # fmt: skip

payloads = wire_format.noise | wire_format.messages | st.binary(max_size=40)


@st.composite
def stan_requests(draw: st.DrawFn) -> bytes:
    """Anything, sent to where requests go; sometimes with real names in front of it."""
    subject = draw(st.sampled_from(STAN_SUBJECTS))
    start = draw(st.sampled_from((b"", b"", blob(1, b"fuzz") + blob(2, b"fuzz"), blob(2, b"g") + blob(6, b"fuzz"))))
    payload = start + draw(payloads)
    reply = draw(st.sampled_from((b"", b" fuzz.answers", b" _STAN.sub.test-cluster", b" _STAN.pub.test-cluster.x")))
    return b"PUB %b%b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)


anything = st.lists(
    st.binary(max_size=60) | streams.noise | streams.conversations().map(lambda pair: pair[1]) | stan_requests(),
    max_size=8,
).map(b"".join)
greetings = st.sampled_from((b"", QUIET, WITH_HEADERS, QUIET + b"SUB > 1\r\n", QUIET + b"SUB fuzz.> g 1\r\n"))


class Bystander:
    """A client that does its work while others send nonsense."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.client = StanClient(server.port, b"bystander").connect()
        self.subscription = self.client.subscribe(b"quiet-work", max_in_flight=1)
        self.sequence = 0

    def works(self) -> bool:
        """Whether a message is stored, delivered and acknowledged, and nothing else comes."""
        self.sequence += 1
        data = b"%d" % self.sequence
        self.client.publish(b"quiet-work", data)
        assert self.client.delivery(self.subscription) == (self.sequence, b"quiet-work", data, 0)
        self.client.acknowledge(self.subscription, self.sequence)
        assert self.client.quiet()
        return self.server.is_running()


@pytest.fixture(scope="module")
def bystander() -> Iterator[Bystander]:
    """A server with very short heartbeats, and its one well-behaved client."""
    with running_server("-mc", "0", "-mm", "1000", "-hbi", "200ms", "-hbt", "20s") as server:
        bystander = Bystander(server)
        with bystander.client:
            yield bystander


def send_all(port: int, data: bytes, cuts: list[int]) -> None:
    """Send the pieces, read whatever comes, and leave."""
    with socket.create_connection((HOST, port), timeout=PATIENCE_S) as connection, contextlib.suppress(OSError):
        for piece in streams.pieces(data, cuts):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


@given(greeting=greetings, data=anything, cuts=streams.cuts)
@settings(max_examples=200)
def test_any_bytes(bystander: Bystander, greeting: bytes, data: bytes, cuts: list[int]) -> None:
    send_all(bystander.server.port, greeting + data, cuts)
    assert bystander.works()


@given(requests=st.lists(stan_requests(), min_size=1, max_size=10))
@settings(max_examples=200)
def test_any_stan_requests(bystander: Bystander, requests: list[bytes]) -> None:
    with WireClient(bystander.server.port) as client:
        connect = blob(1, b"fuzz") + blob(2, b"fuzz.heartbeats") + integer(3, 1) + blob(4, b"fuzz")
        client.publish(STAN_SUBJECTS[0], connect)
        # Nothing of it is a mistake of the wire, so the connection stays.
        client.ask(b"SUB fuzz.> 1\r\n" + b"".join(requests))
    assert bystander.works()


def test_what_one_connection_may_leave_unfinished_is_bounded(bystander: Bystander) -> None:
    server = bystander.server
    before_bytes = server.resident_bytes
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(WireClient(server.port))
            client.send(b"PUB unfinished %d\r\n" % MIB + bytes(MIB - 1))
        for _ in range(50):
            client = stack.enter_context(WireClient(server.port))
            client.send(b"PUB " + b"a" * 4000)
        assert bystander.works()
        # A payload each, and what the system calls take; there is no doubling without end.
        assert server.resident_bytes - before_bytes < 20 * 4 * MIB
    assert bystander.works()


def test_a_line_without_end_is_not_kept(bystander: Bystander) -> None:
    server = bystander.server
    before_bytes = server.resident_bytes
    for _ in range(20):
        with WireClient(server.port) as client:
            with contextlib.suppress(ConnectionError):
                for _ in range(8):
                    client.send(b"x" * MIB)
            client.rest()
    assert server.resident_bytes - before_bytes < 40 * MIB
    assert bystander.works()


def test_clients_that_come_and_go_leave_no_memory_behind(bystander: Bystander) -> None:
    server = bystander.server

    def come_and_go() -> None:
        for _ in range(100):
            with StanClient(server.port) as client:
                client.connect()
                subscription = client.subscribe(b"visited", group=b"g")
                client.publish(b"visited", b"x")
                client.acknowledge(subscription, client.delivery(subscription).sequence)
                assert client.disconnect() == b""

    come_and_go()
    before_bytes = server.resident_bytes
    come_and_go()
    come_and_go()
    assert server.resident_bytes - before_bytes < 8 * MIB
    assert bystander.works()
