"""A group of real processes with one directory, behind a real nats-server: killed, stopped and continued, ended in order.

What ends a wait is a line of a log, a message or the end of a process; nothing is measured.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from durabus.clock import boottime_ns
from durabus.stores.file.layout import LOCK_NAME, lease_epoch
from durabus.stores.file.lease import LEASE_NS, LOST_TEXT
from tests.blackbox.stan_client import FIRST, StanClient, Subscription, read_fields
from tests.nats_server import HOST, NatsServer, running_nats_server
from tests.server_process import PATIENCE_S, ServerProcess, failed_start

STANDING_BY = "Starting in standby mode"
ACTIVE = "Server is active"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """The network."""
    with running_nats_server(tmp_path) as server:
        yield server


class Group:
    """Servers that share a directory, or another store."""

    def __init__(self, nats: NatsServer, folder: Path) -> None:
        self.nats = nats
        self.directory = folder / "events"
        self.store: tuple[str, ...] = ("-st", "FILE", "-dir", str(self.directory))
        self.servers: list[ServerProcess] = []

    def start(self) -> ServerProcess:
        """One more, which stands by at first."""
        server = ServerProcess("-ns", self.nats.url, *self.store, "-ft_group", "ft", "-m", "-1")
        self.servers.append(server)
        server.wait_line(STANDING_BY)
        return server

    def pair(self) -> tuple[ServerProcess, ServerProcess]:
        """An active one and a standby."""
        first = self.start()
        first.wait_ready()
        return first, self.start()


@pytest.fixture
def group(nats: NatsServer, tmp_path: Path) -> Iterator[Group]:
    """No server yet. In the end, none is left, and none has complained in a way that nobody planned."""
    with ended(Group(nats, tmp_path)) as found:
        yield found


@contextmanager
def ended(group: Group) -> Iterator[Group]:
    try:
        yield group
        for server in group.servers:
            assert "Traceback" not in server.log
    except BaseException as error:
        for number, server in enumerate(group.servers):
            error.add_note(f"the log of server {number}:\n{server.log}")
        raise
    finally:
        for server in group.servers:
            if server.is_running():
                server.kill()


def is_active(server: ServerProcess) -> bool:
    """What monitoring says."""
    with urlopen(f"http://{HOST}:{server.monitor_port}/streaming/isFTActive", timeout=PATIENCE_S) as answer:
        assert answer.status in (200, 204)
        return bool(answer.status == 200)


def receive_all(client: StanClient, subscription: Subscription, wanted: set[int]) -> list[int]:
    """Receive until all of `wanted` have come, as often as they may."""
    received: list[int] = []
    while not wanted <= set(received):
        received.append(client.delivery(subscription).sequence)
    return received


def stored(client: StanClient, count: int) -> list[bytes]:
    """The first `count` messages of the channel, and that there are no more."""
    subscription = client.subscribe(b"foo", start=FIRST)
    found = [client.delivery(subscription).data for _ in range(count)]
    assert client.quiet()
    return found


@pytest.mark.row(161)
def test_when_the_active_one_is_killed_the_standby_takes_over(group: Group) -> None:
    first, second = group.pair()
    assert is_active(first) and not is_active(second)
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        durable = client.subscribe(b"foo", durable=b"d", ack_wait_s=1)
        client.publish(b"foo", b"one", b"two", b"three")
        assert sorted(set(receive_all(client, durable, {1, 2, 3}))) == [1, 2, 3]
        client.acknowledge(durable, 1)
        first.kill()
        second.wait_line(ACTIVE)
        second.wait_ready()
        assert is_active(second)
        # The same client, connection and subscription: what it had not acknowledged comes again.
        assert client.ping() == b""
        client.waiting.clear()
        assert set(receive_all(client, durable, {2, 3})) <= {1, 2, 3}
        client.acknowledge(durable, 1, 2, 3)
        client.publish(b"foo", b"four")
        receive_all(client, durable, {4})
        client.acknowledge(durable, 4)
        client.waiting.clear()
    third = group.start()
    second.kill()
    third.wait_ready()
    with StanClient(group.nats.port, b"another") as client:
        assert stored(client.connect(), 4) == [b"one", b"two", b"three", b"four"]


@pytest.mark.row(161)
@pytest.mark.row(150)
def test_who_was_stopped_and_overtaken_acknowledges_nothing_and_ends(group: Group) -> None:
    first, second = group.pair()
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"one")
        first.process.send_signal(signal.SIGSTOP)
        # The NATS server passes it on: the active one finds it when it wakes up.
        client.send_publish(b"foo", b"late")
        second.wait_ready()
        client.publish(b"foo", b"two")
        assert not client.waiting
        before = {path.name: path.stat().st_size for path in group.directory.iterdir()}
        first.process.send_signal(signal.SIGCONT)
        assert first.wait_end() == 1
        assert LOST_TEXT in first.log
        # It may say that it could not store; that it could, it must not say.
        assert client.ping() == b""
        for message in client.waiting:
            assert message.subject == client.ack_subject
            assert read_fields(message.payload).text(2) != b""
        client.waiting.clear()
        client.publish(b"foo", b"three")
        assert stored(client, 3) == [b"one", b"two", b"three"]
        assert set(before) <= {path.name for path in group.directory.iterdir()}
        assert second.is_running()
    third = group.start()
    second.kill()
    third.wait_ready()
    with StanClient(group.nats.port, b"another") as client:
        assert stored(client.connect(), 3) == [b"one", b"two", b"three"]


@pytest.mark.row(161)
def test_who_was_stopped_at_work_and_overtaken_has_promised_nothing_that_is_not_there(group: Group) -> None:
    """Wherever it stood still: before a write, between a write and its sync, or with acknowledgements on their way."""
    first, second = group.pair()
    guids: dict[bytes, bytes] = {}
    with StanClient(group.nats.port, b"me") as client:
        client.connect()

        def send(*all_data: bytes) -> None:
            for data in all_data:
                payload = client.publish_payload(b"foo", data)
                guids[read_fields(payload).text(2)] = data
                client.wire.publish(client.registered.text(1) + b".foo", payload, client.ack_subject)

        send(*[b"%d" % i for i in range(300)])
        client.waiting.append(client.receive())
        first.process.send_signal(signal.SIGSTOP)
        send(*[b"late %d" % i for i in range(300)])
        second.wait_ready()
        send(b"by the second")
        first.process.send_signal(signal.SIGCONT)
        assert first.wait_end() == 1
        assert LOST_TEXT in first.log
        assert client.ping() == b""
        acknowledged = [
            guids[read_fields(message.payload).text(1)]
            for message in client.waiting
            if message.subject == client.ack_subject and not read_fields(message.payload).text(2)
        ]
        client.waiting.clear()
        client.publish(b"foo", b"the end")
        replay = client.subscribe(b"foo", start=FIRST, max_in_flight=10_000)
        found = []
        while (got := client.delivery(replay)).data != b"the end":
            found.append(got.data)
            assert got.sequence == len(found)
        assert [data for data in found if data in acknowledged] == acknowledged
        assert acknowledged.count(b"by the second") == 1
        assert not [data for data in found[found.index(b"by the second") :] if data.startswith(b"late")]
        assert is_active(second)


@pytest.mark.row(161)
def test_who_was_stopped_and_not_overtaken_goes_on(group: Group) -> None:
    """Its lease has ended, but it gets the next one."""
    first = group.start()
    first.wait_ready()
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"one")
        first.process.send_signal(signal.SIGSTOP)
        client.send_publish(b"foo", b"late")
        ends_ns = boottime_ns() + LEASE_NS
        while (left_ns := ends_ns - boottime_ns()) > 0:
            time.sleep(left_ns / 1e9)
        first.process.send_signal(signal.SIGCONT)
        assert read_fields(client.receive().payload).text(2) == b""
        assert stored(client, 2) == [b"one", b"late"]
    assert [lease_epoch(path.name) for path in group.directory.iterdir() if lease_epoch(path.name) > 1]
    assert first.stop() == 0


@pytest.mark.row(161)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_when_the_active_one_is_stopped_in_order_the_standby_takes_over(group: Group, number: signal.Signals) -> None:
    first, second = group.pair()
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"one")
        assert first.stop(number) == (0 if number == signal.SIGINT else 143)
        second.wait_ready()
        client.publish(b"foo", b"two")
        assert stored(client, 2) == [b"one", b"two"]
    assert second.stop() == 0


@pytest.mark.row(161)
def test_a_standby_can_be_stopped_and_the_lock_stays_with_the_active_one(group: Group) -> None:
    first, second = group.pair()
    assert second.stop() == 0
    with StanClient(group.nats.port, b"me") as client:
        client.connect().publish(b"foo", b"one")
    assert is_active(first)
    assert [lease_epoch(path.name) for path in group.directory.iterdir() if lease_epoch(path.name)] == [1]


@pytest.mark.row(161)
def test_a_server_without_a_group_is_kept_out(group: Group) -> None:
    first = group.start()
    first.wait_ready()
    refused = failed_start("-p", "-1", "-st", "FILE", "-dir", str(group.directory))
    assert refused.returncode == 1
    assert "another server uses the directory" in refused.stdout + refused.stderr
    assert first.stop() == 0
    assert LOCK_NAME in {path.name for path in group.directory.iterdir()}
