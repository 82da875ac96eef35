"""Pings of clients: answered by connection alone."""

import pytest

from durabus.stores.memory import MemoryStore
from tests.streaming.harness import Bus, Client, decoded, encoded
from tests.wire.wire_format import blob, integer

PINGS = "_STAN.discover.test-cluster.pings"
REPLACED = "client has been replaced or is no longer registered"


@pytest.mark.row(13)
def test_a_known_connection_gets_an_empty_answer() -> None:
    client = Bus().connect("a", connection_id=b"\x00\xff")
    assert client.request(PINGS, encoded("Ping", connection_id=b"\x00\xff")) == b""


@pytest.mark.row(13)
@pytest.mark.parametrize("payload", [encoded("Ping", connection_id="other"), blob(1, b""), blob(9, b"x")])
def test_an_unknown_connection_is_told(payload: bytes) -> None:
    client = Bus().connect("a")
    assert decoded("PingResponse", client.request(PINGS, payload))["error"].decode() == REPLACED


@pytest.mark.row(13)
@pytest.mark.parametrize("payload", [b"", integer(1, 7), b"\x0a\x09x", b"garbage"])
def test_what_is_no_ping_is_not_answered(payload: bytes) -> None:
    client = Bus().connect("a")
    assert client.ask(PINGS, payload) == []


def test_a_client_that_gave_no_connection_id_can_never_ping() -> None:
    bus = Bus()
    client = bus.connect("a", connection_id=b"")
    assert client.ask(PINGS, encoded("Ping", connection_id=b"")) == [], "an empty payload"
    assert decoded("PingResponse", client.request(PINGS, blob(1, b"")))["error"].decode() == REPLACED


def test_a_ping_without_reply_subject_does_no_harm() -> None:
    client = Bus().connect("a")
    client.send(PINGS, encoded("Ping", connection_id=client.connection_id), b"garbage", b"")
    assert client.ping() == ""


@pytest.mark.row(14)
def test_after_being_replaced() -> None:
    bus = Bus()
    old = bus.connect("a")
    old.vanish()
    bus.connect("a")
    old.return_()
    assert old.ping() == REPLACED


@pytest.mark.row(14)
def test_after_closing() -> None:
    client = Bus().connect("a")
    client.close()
    assert client.ping() == REPLACED


@pytest.mark.row(16)
def test_after_a_restart_on_a_store_that_remembers() -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.restart()
    assert client.ping() == ""


@pytest.mark.row(14)
def test_after_a_restart_on_a_store_that_remembers_nothing() -> None:
    bus = Bus()
    client = bus.connect("a")
    assert client.publish("foo", b"1")[0].error == ""
    bus.store = MemoryStore()
    bus.restart()
    assert client.ping() == REPLACED
    assert client.publish("foo", b"2")[0].error == "stan: invalid publish request"
    client.connect()
    assert client.ping() == ""
    client.publish("foo", b"3")
    assert [(message.sequence, message.data) for message in bus.stored("foo")] == [(1, b"3")], "from 1 again"


def test_two_clients_with_one_connection_id() -> None:
    bus = Bus()
    first = bus.connect("a", connection_id="same")
    second = bus.connect("b", connection_id="same")
    first.connection_id = second.connection_id = b"same"
    assert (first.ping(), second.ping()) == ("", "")
    first.close()
    assert (first.ping(), second.ping()) == (REPLACED, REPLACED)


def hang_until_failed(bus: Bus, client: Client) -> None:
    """One heartbeat is sent, and not answered."""
    client.hangs = True
    bus.advance(40)


@pytest.mark.row(15)
def test_a_ping_while_heartbeats_fail_hurries_the_next_one() -> None:
    bus = Bus()
    client = bus.connect("a")
    hang_until_failed(bus, client)
    assert client.heartbeats == [30.0]
    client.hangs = False
    assert client.ping() == ""
    bus.advance(0.0005)
    assert client.heartbeats == [30.0]
    bus.advance(0.0005)
    assert client.heartbeats == [30.0, 40.001]
    bus.advance(30)
    assert client.heartbeats[2:] == [70.001]


def test_a_ping_does_not_disturb_heartbeats_that_are_answered() -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.advance(20)
    client.ping()
    bus.advance(40)
    assert client.heartbeats == [30.0, 60.0]


@pytest.mark.row(15)
def test_a_ping_while_a_heartbeat_waits_for_its_answer_sends_no_second_one() -> None:
    bus = Bus()
    client = bus.connect("a")
    hang_until_failed(bus, client)
    bus.advance(30)
    assert client.heartbeats == [30.0, 70.0]
    client.ping()
    bus.advance(9.999)
    known = bus.core.state.clients.by_id[b"a"]
    assert (client.heartbeats, known.failed_heartbeats) == ([30.0, 70.0], 1), "it has its time to answer"
    bus.advance(0.001)
    assert known.failed_heartbeats == 2
