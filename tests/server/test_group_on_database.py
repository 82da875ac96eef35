"""A group of real processes with one database: killed, stopped and continued, robbed of the lock, and the database killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.nats_server import NatsServer, running_nats_server
from tests.server.test_group_process import ACTIVE, Group, ended, is_active, receive_all, stored
from tests.server_process import PATIENCE_S
from tests.stores.sql_harness import KINDS, ask, new_source, server_of

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="the original makes no tables")

LOST = "lost store lock, aborting"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """The network."""
    with running_nats_server(tmp_path) as server:
        yield server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which database."""
    name: str = request.param
    return name


@pytest.fixture
def source(kind: str, tmp_path: Path) -> str:
    """Where it is."""
    return new_source(kind, tmp_path)


@pytest.fixture
def group(nats: NatsServer, tmp_path: Path, kind: str, source: str) -> Iterator[Group]:
    """No server yet; in the end none is left."""
    group = Group(nats, tmp_path)
    group.store = ("-st", "SQL", "-sql_driver", kind, "-sql_source", source)
    with ended(group) as found:
        yield found


@pytest.mark.row(156, 161)
def test_when_the_active_one_is_killed_the_standby_takes_over(group: Group) -> None:
    first, second = group.pair()
    assert is_active(first) and not is_active(second)
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        durable = client.subscribe(b"foo", durable=b"d", ack_wait_s=1)
        client.publish(b"foo", b"one", b"two")
        receive_all(client, durable, {1, 2})
        first.kill()
        second.wait_line(ACTIVE)
        second.wait_ready()
        assert client.ping() == b""
        client.waiting.clear()
        assert set(receive_all(client, durable, {1, 2})) == {1, 2}
        client.acknowledge(durable, 1, 2)
        client.publish(b"foo", b"three")
        receive_all(client, durable, {3})
        client.acknowledge(durable, 3)
        client.waiting.clear()
    with StanClient(group.nats.port, b"another") as client:
        assert stored(client.connect(), 3) == [b"one", b"two", b"three"]


@pytest.mark.row(156, 161)
@pytest.mark.parametrize("kind", ["postgres", "mysql"], indirect=True)
def test_who_was_stopped_under_load_and_overtaken_acknowledges_nothing_and_ends(group: Group) -> None:
    """Whatever was acknowledged by either of the two is there, in the order in which it was sent.

    With sqlite a server that is stopped within a transaction keeps the file.
    """
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
        send(
            *[b"late %d" % i for i in range(300)]
        )  # the NATS server keeps them for the active one, which finds them when it wakes up
        second.wait_ready()
        send(b"by the second")
        first.process.send_signal(signal.SIGCONT)
        assert first.wait_end() == 1
        assert LOST in first.log
        assert client.ping() == b""
        acknowledged = []
        for message in client.waiting:
            if message.subject == client.ack_subject and not read_fields(message.payload).text(2):
                acknowledged.append(guids[read_fields(message.payload).text(1)])
        client.waiting.clear()
        client.publish(b"foo", b"the end")
        replay = client.subscribe(b"foo", start=FIRST, max_in_flight=10_000)
        found = []
        while (got := client.delivery(replay)).data != b"the end":
            found.append(got.data)
            assert got.sequence == len(found)
        assert [data for data in found if data in acknowledged] == acknowledged
        assert acknowledged.count(b"by the second") == 1
        assert is_active(second)


@pytest.mark.row(156)
@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
def test_who_stood_still_and_was_not_overtaken_goes_on(group: Group) -> None:
    """However long that was: the row still has its name."""
    first = group.start()
    first.wait_ready()
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"one")
        first.process.send_signal(signal.SIGSTOP)
        client.send_publish(b"foo", b"late")
        time.sleep(5)  # longer than a standby would have waited; nothing but the clock goes on meanwhile
        first.process.send_signal(signal.SIGCONT)
        assert read_fields(client.receive().payload).text(2) == b""
        assert stored(client, 2) == [b"one", b"late"]
    assert first.stop() == 0


@pytest.mark.row(156)
def test_a_lock_that_somebody_took_away(group: Group, kind: str, source: str) -> None:
    first = group.start()
    first.wait_ready()
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"one")
        ask(kind, source, "UPDATE StoreLock SET id = 'thief', tick = tick + 1")
        client.send_publish(b"foo", b"two")
        assert first.wait_end() == 1
        assert LOST in first.log
    assert ask(kind, source, "SELECT id FROM StoreLock") == [("thief",)]
    assert len(ask(kind, source, "SELECT seq FROM Messages")) == 1


@pytest.mark.row(156)
def test_an_orderly_end_releases_the_lock(group: Group, kind: str, source: str) -> None:
    first, second = group.pair()
    assert first.stop(signal.SIGTERM) == 143
    second.wait_ready()
    assert second.stop(signal.SIGINT) == 0
    assert ask(kind, source, "SELECT id FROM StoreLock") in ([("",)], [("None",)], [("NULL",)], [])


@pytest.mark.row(156, 161)
@pytest.mark.parametrize("kind", ["postgres", "mysql"], indirect=True)
def test_a_database_that_is_killed_and_started_again_under_a_group(group: Group, kind: str) -> None:
    """One of the two is active afterwards, and what was acknowledged is there."""
    first, second = group.pair()
    database = server_of(kind)
    with StanClient(group.nats.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"one")
        database.kill()
        try:
            while not client.try_publish(b"foo", b"lost"):
                pass
        finally:
            database.start()
        accepted = False
        deadline = time.monotonic() + PATIENCE_S
        while not accepted:
            assert time.monotonic() < deadline
            accepted = client.try_publish(b"foo", b"the end") == b""
        active = [server for server in (first, second) if server.is_running() and is_active(server)]
        assert len(active) == 1
        replay = client.subscribe(b"foo", start=FIRST)
        found = [client.delivery(replay).data]
        while found[-1] != b"the end":
            found.append(client.delivery(replay).data)
        assert found[0] == b"one"
        assert {*found} <= {b"one", b"lost", b"the end"}
