"""A database that is killed under load and comes back: errors at once, nothing false acknowledged, and all goes on by itself."""

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.blackbox.durable_stores import Place, new_place
from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.databases import PASSWORD, DatabaseServer
from tests.server_process import ServerProcess
from tests.stores.sql_harness import ask, server_of

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="the original ends, and makes no tables")

WINDOW = 64
"""How many messages of the load are on their way."""


@pytest.fixture(params=["postgres", "mysql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database."""
    return new_place(request.param, tmp_path)


@pytest.fixture
def database(place: Place) -> Iterator[DatabaseServer]:
    """The instance that it is in; at the end it runs, whatever a test did to it."""
    instance = server_of(place.kind)
    yield instance
    if not instance.is_ready():
        instance.start()


class Load:
    """One publisher that never waits for one acknowledgement before it sends the next message."""

    def __init__(self, client: StanClient, channel: bytes) -> None:
        self.client = client
        self.channel = channel
        self.open: dict[bytes, bytes] = {}
        """What is on its way, by GUID."""
        self.acknowledged: list[bytes] = []
        self.refused: list[bytes] = []
        self.errors: set[bytes] = set()
        self._count = 0

    def send(self, count: int) -> None:
        """Send messages, and take acknowledgements so that never more than the window is on its way."""
        for _ in range(count):
            self._count += 1
            data = b"%b %d" % (self.client.client_id, self._count)
            payload = self.client.publish_payload(self.channel, data)
            self.open[read_fields(payload).text(2)] = data
            subject = self.client.registered.text(1) + b"." + self.channel
            self.client.wire.publish(subject, payload, self.client.ack_subject)
            while len(self.open) >= WINDOW:
                self.take()

    def take(self) -> bytes:
        """Take the next acknowledgement; its error."""
        message = self.client.receive()
        assert message.subject == self.client.ack_subject
        fields = read_fields(message.payload)
        error = fields.text(2)
        (self.refused if error else self.acknowledged).append(self.open.pop(fields.text(1)))
        if error:
            self.errors.add(error)
        return error

    def take_all(self) -> None:
        """Take all that are missing."""
        while self.open:
            self.take()


def everything(server: ServerProcess, channel: bytes, count_min: int) -> list[bytes]:
    """All that a channel holds, which are at least so many: at consecutive sequences from 1."""
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(channel, start=FIRST, max_in_flight=100_000)
        client.publish(channel, b"the end")
        found = []
        while (got := client.delivery(subscription)).data != b"the end":
            found.append(got.data)
            assert got.sequence == len(found)
        assert client.unsubscribe(subscription) == b""
        assert client.disconnect() == b""
    assert len(found) >= count_min
    return found


def fail(client: StanClient) -> None:
    """Publish until that is refused: a process of PostgreSQL whose parent was killed may go on for a moment."""
    while not (error := client.try_publish(b"foo", b"lost")):
        pass
    assert error.startswith(b"sql: ")


@pytest.mark.row(152, 157)
def test_killed_and_started_again_under_load(place: Place, database: DatabaseServer) -> None:
    with place.server() as server, StanClient(server.port, b"one") as one, StanClient(server.port, b"two") as two:
        loads = [Load(one.connect(), b"orders"), Load(two.connect(), b"other")]
        with StanClient(server.port, b"reader") as reader:
            reader.connect()
            durable = reader.subscribe(b"orders", durable=b"d", ack_wait_s=1)
            for _ in range(3):
                for load in loads:
                    load.send(200)
                database.kill()
                for load in loads:
                    load.take_all()
                    # A process of PostgreSQL may go on for a moment; then nothing is taken any more, and all is answered.
                    load.send(1)
                    while not load.take():
                        load.send(1)
                    load.send(WINDOW - 1)
                    accepted = len(load.acknowledged)
                    load.take_all()
                    assert len(load.acknowledged) == accepted
                database.start()
                server.wait_line("the store is recovered, serving again")
                for load in loads:
                    load.send(1)
                    while load.take():
                        load.send(1)
            got: set[bytes] = set()
            while not got >= {*loads[0].acknowledged}:
                delivery = reader.delivery(durable)
                reader.acknowledge(durable, delivery.sequence)
                got.add(delivery.data)
        for load in loads:
            assert len(load.acknowledged) > 300
            assert len(load.refused) >= 3
            assert all(error.startswith(b"sql: ") for error in load.errors)
            stored = everything(server, load.channel, len(load.acknowledged))
            assert [data for data in stored if data in {*load.acknowledged}] == load.acknowledged, "in order, and once"
            assert {*stored} <= {*load.acknowledged, *load.refused}
        assert got <= {*loads[0].acknowledged, *loads[0].refused}
        assert PASSWORD not in server.log
        assert server.stop(signal.SIGTERM) == 143
    with place.server() as server:
        for load in loads:
            assert {*everything(server, load.channel, 300)} >= {*load.acknowledged}


def test_clients_keep_their_sessions_while_it_is_away(place: Place, database: DatabaseServer) -> None:
    """Pings are answered, requests are refused, and whoever was known is known afterwards, with what it had in flight."""
    with place.server() as server, StanClient(server.port, b"me") as client:
        client.connect()
        durable = client.subscribe(b"foo", durable=b"d", ack_wait_s=1)
        client.publish(b"foo", b"1")
        assert client.delivery(durable).data == b"1"
        database.kill()
        fail(client)
        assert client.ping() == b""
        assert client.try_subscribe(b"foo")[1].startswith(b"sql: ")
        with StanClient(server.port, b"new") as other:
            assert other.try_connect().startswith(b"sql: ")
        client.waiting.clear()
        database.start()
        server.wait_line("the store is recovered, serving again")
        assert client.ping() == b""
        while client.try_publish(b"foo", b"2"):
            pass
        seen = {client.delivery(durable).data}
        while seen < {b"1", b"2"}:
            seen.add(client.delivery(durable).data)
        assert client.unsubscribe(durable) == b""


def test_a_server_is_stopped_while_it_is_away(place: Place, database: DatabaseServer) -> None:
    with place.server() as server, StanClient(server.port, b"me") as client:
        client.connect().publish(b"foo", b"1")
        database.kill()
        fail(client)
        assert server.stop(signal.SIGTERM) == 143
    database.start()
    with place.server() as server:
        assert everything(server, b"foo", 1)[0] == b"1"


@pytest.mark.row(154)
def test_what_gets_too_old_while_it_is_away_is_gone_afterwards(place: Place, database: DatabaseServer) -> None:
    """Also from the tables: what removes it there goes on by itself after an error."""
    with place.server("-ma", "1s") as server, StanClient(server.port, b"me") as client:
        client.connect().publish(b"foo", b"1", b"2")
        database.kill()
        fail(client)
        database.start()
        server.wait_line("the store is recovered, serving again")
        while client.try_publish(b"foo", b"3"):
            pass
        subscription = client.subscribe(b"foo", start=FIRST)
        while ask(place.kind, place.path, "SELECT seq FROM Messages"):
            assert server.is_running()
        client.publish(b"foo", b"4")
        sequences = [client.delivery(subscription).sequence]
        while sequences[-1] < 4:
            sequences.append(client.delivery(subscription).sequence)
        assert sequences == sorted({*sequences})


def allow_files_of(server: ServerProcess, size_bytes: int) -> None:
    """How large a file of the server may get from now on."""
    hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """The one of a database that is a file of ours."""
    place = new_place("sqlite", tmp_path)
    with place.server() as server, StanClient(server.port, b"me") as client:
        client.connect()
        durable = client.subscribe(b"foo", durable=b"d")
        client.publish(b"foo", b"before")
        assert client.delivery(durable).data == b"before"
        client.acknowledge(durable, 1)
        largest = max(path.stat().st_size for path in tmp_path.iterdir())
        allow_files_of(server, largest)
        count = 1
        while not (error := client.try_publish(b"foo", b"%d" % count + bytes(100_000))):
            count += 1
        assert error.startswith(b"sql: ")
        assert count < 100
        assert client.try_publish(b"foo", bytes(200_000)).startswith(b"sql: "), "it is still full"
        assert client.ping() == b""
        allow_files_of(server, resource.RLIM_INFINITY)
        server.wait_line("the store is recovered, serving again")
        while client.try_publish(b"foo", b"after"):
            pass
        sequences = {1}
        while (got := client.delivery(durable)).data != b"after":
            sequences.add(got.sequence)
        assert sequences == {*range(1, count + 1)}
        server.kill()
    with place.server() as server:
        assert [data[:6] for data in everything(server, b"foo", count + 1)][::count] == [b"before", b"after"]


@pytest.mark.parametrize("name", ["sqlite"])
def test_a_file_that_somebody_else_locks(name: str, tmp_path: Path) -> None:
    """A program that looks into the database, or backs it up, and takes its time about it."""
    place = new_place(name, tmp_path)
    with place.server() as server, StanClient(server.port, b"me") as client:
        client.connect().publish(b"foo", b"1")
        with closing(sqlite3.connect(place.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            client.send_publish(b"foo", b"2")
            message = client.receive()
            assert message.subject == client.ack_subject
            assert read_fields(message.payload).text(2).startswith(b"sql: ")
        while client.try_publish(b"foo", b"3"):
            pass
        assert b"1" in everything(server, b"foo", 2)
