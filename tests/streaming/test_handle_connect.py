"""Connecting: what is refused and in which order, what success says, and who gets an ID that somebody has."""

from typing import Any

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import REFUSED
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import SECOND_NS, Bus, Client, PubAck, decoded, encoded
from tests.wire.wire_format import blob, integer

DISCOVER = "_STAN.discover.test-cluster"
INVALID = "stan: invalid connection request"
INVALID_ID = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed"
TAKEN = "stan: clientID already registered"
REPLACED = "client has been replaced or is no longer registered"


def said(response: dict[str, Any]) -> dict[str, Any]:
    """The fields of a response that are not at their default."""
    return {name: value for name, value in response.items() if value}


def error_of(client: Client, payload: bytes) -> str:
    """The error in the answer to a connect request; nothing else may be in it."""
    response = said(decoded("ConnectResponse", client.request(DISCOVER, payload)))
    assert set(response) <= {"error"}
    return str(response.get("error", b""), "utf-8")


SUBJECTS = {
    "publish_prefix": b"_STAN.pub.test-cluster",
    "subscribe": b"_STAN.sub.test-cluster",
    "unsubscribe": b"_STAN.unsub.test-cluster",
    "close": b"_STAN.close.test-cluster",
    "subscription_close": b"_STAN.subclose.test-cluster",
    "protocol": 1,
}


@pytest.mark.row(1)
def test_success_tells_all_subjects() -> None:
    client = Bus().connect("a", protocol=1, ping_interval_s=5, ping_out_max=88)
    assert said(client.response) == {
        **SUBJECTS,
        "ping": b"_STAN.discover.test-cluster.pings",
        "ping_interval_s": 5,
        "ping_out_max": 88,
    }


@pytest.mark.row(1)
def test_a_client_of_protocol_0_is_told_nothing_of_pings() -> None:
    client = Bus().connect("a", protocol=0, ping_interval_s=5, ping_out_max=88)
    assert said(client.response) == SUBJECTS


def test_a_client_of_protocol_0_is_known_by_its_connection_all_the_same() -> None:
    client = Bus().connect("a", protocol=0)
    assert client.ping() == ""
    assert client.publish("foo", b"x", client_id="") == [PubAck("a.1")]


@pytest.mark.row(1)
@pytest.mark.parametrize(("interval_s", "out_max"), [(0, 0), (-1, -5), (2**31 - 1, 3)])
def test_ping_numbers_come_back_as_they_came(interval_s: int, out_max: int) -> None:
    client = Bus().connect("a", protocol=2, ping_interval_s=interval_s, ping_out_max=out_max)
    assert (client.response["ping_interval_s"], client.response["ping_out_max"]) == (interval_s, out_max)
    assert client.response["ping"]


@pytest.mark.row(3)
@pytest.mark.parametrize("client_id", ["a", "A-b_9", "-", "_", "0", "x" * 300])
def test_valid_client_ids(client_id: str) -> None:
    assert Bus().connect(client_id).is_connected


@pytest.mark.row(3)
@pytest.mark.parametrize(
    "client_id", ["", ".", "a.b", "a b", "a:b", "a*", "a>", "a/b", "é", "a\n", "\n", b"\xff", "a\x00"]
)
def test_invalid_client_ids(client_id: str | bytes) -> None:
    bus = Bus()
    client = bus.dial("x")
    payload = encoded("ConnectRequest", client_id=client_id, heartbeat_inbox="_INBOX.x")
    assert error_of(client, payload) == INVALID_ID
    assert bus.core.state.clients.by_id == {}


@pytest.mark.row(2)
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        b"\x0a\x09a",
        integer(1, 5),
        encoded("ConnectRequest", client_id="a"),
        encoded("ConnectRequest", client_id="not valid either"),
        blob(1, b"a") + blob(2, b"_INBOX.x") + blob(3, b"wrong type"),
    ],
)
def test_invalid_requests(payload: bytes) -> None:
    assert error_of(Bus().dial("x"), payload) == INVALID


@pytest.mark.parametrize("inbox", [b"a b", b"a\r\nPUB x 0\r\n", b"a..b", b".", b"a\t"])
def test_a_heartbeat_inbox_that_is_no_subject(inbox: bytes) -> None:
    """What nobody can listen on must not get into the lines that listeners to everything are sent."""
    client = Bus().dial("x")
    assert error_of(client, encoded("ConnectRequest", client_id="a", heartbeat_inbox=inbox)) == INVALID


def test_without_a_reply_subject_it_is_registered_all_the_same() -> None:
    bus = Bus()
    client = bus.dial("a")
    request = encoded("ConnectRequest", client_id="a", heartbeat_inbox="_INBOX.x", connection_id=client.connection_id)
    client.send(DISCOVER, request)
    assert client.ping() == ""


@pytest.mark.row(16)
def test_what_a_client_said_is_remembered() -> None:
    bus = Bus()
    bus.connect("a", connection_id=b"\x00\xff", protocol=1, ping_interval_s=7, ping_out_max=9)
    bus.restart()
    record = bus.core.state.clients.by_id[b"a"].record
    assert (record.connection_id, record.protocol) == (b"\x00\xff", 1)
    assert (record.ping_interval_s, record.ping_out_max) == (7, 9)


# An ID that somebody has.


@pytest.mark.row(4)
def test_an_owner_who_is_there_keeps_it() -> None:
    bus = Bus()
    owner = bus.connect("a")
    newcomer = bus.dial("a")
    newcomer.connect()
    assert said(newcomer.response) == {"error": TAKEN.encode()}
    assert bus.now_s == 0.0, "at once"
    assert owner.heartbeats == [0.0]
    assert (owner.ping(), newcomer.ping()) == ("", REPLACED)
    bus.advance(29.999)
    assert owner.heartbeats == [0.0]
    bus.advance(0.001)
    assert owner.heartbeats == [0.0, 30.0], "the question changes nothing about its own heartbeats"


@pytest.mark.row(5)
def test_an_owner_who_hangs_has_half_a_second() -> None:
    bus = Bus()
    owner = bus.connect("a", hangs=True)
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(0.499)
    assert newcomer.response == {}
    assert owner.ping() == ""
    bus.advance(0.001)
    assert newcomer.is_connected
    assert (owner.ping(), newcomer.ping()) == (REPLACED, "")


@pytest.mark.row(5)
def test_of_an_owner_that_was_replaced_only_what_is_durable_stays() -> None:
    bus = Bus()
    owner, publisher = bus.connect("a", hangs=True), bus.connect("p")
    owner.subscribe("foo")
    owner.subscribe("foo", queue="q")
    owner.subscribe("foo", durable="d")
    newcomer = bus.dial("a")
    newcomer.connect()
    channel = bus.core.state.channels[b"foo"]
    bus.advance(0.499)
    assert channel.subscription_count == 3
    bus.advance(0.001)
    assert newcomer.is_connected
    assert (channel.subscription_count, channel.has_active_subscription()) == (1, False)
    heard = len(owner.heard)
    publisher.publish("foo", b"1")
    assert len(owner.heard) == heard
    assert newcomer.subscribe("foo", durable="d").sequences == [1]


def test_the_log_tells_who_came_in_whose_place() -> None:
    bus = Bus()
    old = bus.connect("a")
    old.vanish()
    new = bus.connect("a")
    lines = [line for line in bus.log.texts("debug") if "(Inbox=" in line]
    assert lines == [
        f"[Client:a] Connected (Inbox={old.heartbeat_inbox})",
        f"[Client:a] Closed (Inbox={old.heartbeat_inbox})",
        f"[Client:a] Replaced old client (Inbox={new.heartbeat_inbox})",
    ]


def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    bus = Bus()
    owner = bus.connect("a", hangs=True)
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(0.5)
    for token in range(1, 5):
        owner.send(bus.core.heartbeats.reply_subject(token), b"")
    assert (owner.ping(), newcomer.ping()) == (REPLACED, "")


@pytest.mark.row(6)
def test_an_owner_whose_socket_is_gone_is_replaced_at_once() -> None:
    bus = Bus()
    owner = bus.connect("a")
    sub = owner.subscribe("foo", durable="d")
    owner.subscribe("foo")
    owner.vanish()
    newcomer = bus.connect("a")
    assert bus.now_s == 0.0
    assert bus.core.state.channels[b"foo"].subscription_count == 1, "what was durable stays"
    newcomer.publish("foo", b"1")
    assert newcomer.subscribe("foo", durable="d").sequences == [1]
    owner.return_()
    assert owner.ping() == REPLACED
    assert [ack.error for ack in owner.publish("foo", b"2")] == ["stan: invalid publish request"]
    assert sub.messages == []


@pytest.mark.row(6)
def test_an_inbox_that_nobody_ever_listened_on_cannot_be_asked() -> None:
    bus = Bus()
    first = bus.dial("first")
    request = encoded("ConnectRequest", client_id="a", heartbeat_inbox="_INBOX.deaf", connection_id="first")
    assert not said(decoded("ConnectResponse", first.request(DISCOVER, request))).get("error")
    assert bus.connect("a").is_connected
    assert bus.now_s == 0.0


def test_an_owner_that_returned_keeps_it() -> None:
    bus = Bus()
    owner = bus.connect("a")
    owner.vanish()
    owner.return_()
    newcomer = bus.dial("a")
    newcomer.connect()
    assert newcomer.connect_error == TAKEN


@pytest.mark.row(7)
def test_while_one_waits_for_the_owners_answer_all_others_are_refused_at_once() -> None:
    bus = Bus()
    bus.connect("a", hangs=True)
    newcomers = [bus.dial("a") for _ in range(3)]
    for newcomer in newcomers:
        newcomer.connect()
    assert [newcomer.connect_error for newcomer in newcomers] == ["", TAKEN, TAKEN]
    bus.advance(0.5)
    assert [newcomer.is_connected for newcomer in newcomers] == [True, False, False]
    assert [newcomer.ping() for newcomer in newcomers] == ["", REPLACED, REPLACED]


@pytest.mark.row(7)
def test_of_several_connects_at_the_same_moment_one_wins() -> None:
    bus = Bus()
    newcomers = [bus.dial("a") for _ in range(3)]
    with bus.turn():
        for newcomer in newcomers:
            newcomer.connect()
    assert [newcomer.is_connected for newcomer in newcomers] == [True, False, False]
    assert [newcomer.connect_error for newcomer in newcomers] == ["", TAKEN, TAKEN]
    bus.advance(1)
    assert newcomers[0].ping() == ""


@pytest.mark.row(8)
def test_a_question_about_one_client_does_not_delay_another() -> None:
    bus = Bus()
    bus.connect("a", hangs=True)
    bus.connect("c", hangs=True)
    first, second = bus.dial("a"), bus.dial("c")
    first.connect()
    assert bus.connect("b").is_connected
    assert bus.now_s == 0.0
    bus.advance(0.3)
    second.connect()
    bus.advance(0.2)
    assert (first.is_connected, second.is_connected) == (True, False)
    bus.advance(0.3)
    assert second.is_connected, "each question has its own half a second"


def test_retries_succeed_when_the_owner_has_gone() -> None:
    bus = Bus()
    owner = bus.connect("a")
    newcomer = bus.dial("a")
    for _ in range(3):
        newcomer.connect()
        assert newcomer.connect_error == TAKEN
        bus.advance(1)
    owner.close()
    newcomer.connect()
    assert newcomer.is_connected


def test_an_owner_who_closes_while_it_is_asked() -> None:
    bus = Bus()
    owner = bus.connect("a", hangs=True)
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(0.2)
    assert owner.close() == ""
    bus.advance(0.3)
    assert newcomer.is_connected
    assert newcomer.ping() == ""


def test_an_owner_whose_socket_goes_while_it_is_asked() -> None:
    bus = Bus()
    owner = bus.connect("a", hangs=True)
    newcomer = bus.dial("a")
    newcomer.connect()
    owner.vanish()
    bus.advance(0.5)
    assert newcomer.is_connected


def test_an_owner_whose_session_ends_while_it_is_asked() -> None:
    bus = Bus()
    bus.options.heartbeat_failures_max = 0
    bus.connect("a", hangs=True)
    bus.advance(39.8)
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(0.3)
    assert newcomer.response == {}
    bus.advance(0.2)
    assert newcomer.is_connected
    assert newcomer.ping() == ""


def test_the_half_second_is_an_option() -> None:
    bus = Bus()
    bus.options.duplicate_probe_timeout_ns = 2 * SECOND_NS
    bus.connect("a", hangs=True)
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(1.999)
    assert newcomer.response == {}
    bus.advance(0.001)
    assert newcomer.is_connected


def test_the_replaced_client_is_fenced_off_before_the_newcomer_is_told() -> None:
    bus = Bus()
    owner = bus.connect("a", hangs=True)
    sub = owner.subscribe("foo", durable="d", ack_wait_s=1)
    owner.publish("foo", b"1")
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(0.5)
    sub.ack(1)
    again = newcomer.subscribe("foo", durable="d")
    assert [(message.sequence, message.redelivered) for message in again.messages] == [(1, True)]


# A store that fails.


def faulty() -> tuple[Bus, FaultyStore]:
    """A bus on a store that fails on demand."""
    store = FaultyStore(MemoryStore())
    return Bus(store), store


def test_a_client_is_not_told_before_it_is_remembered() -> None:
    bus, store = faulty()
    store.hold()
    client = bus.dial("a")
    client.connect()
    assert client.response == {}
    with bus.turn():
        store.release()
    assert client.is_connected


def test_what_cannot_be_stored_is_an_error_of_the_stores() -> None:
    bus, store = faulty()
    store.fail(REFUSED, "no space left on device")
    client = bus.dial("a")
    client.connect()
    assert client.connect_error == "no space left on device"
    bus.recover()
    assert client.ping() == REPLACED
    client.connect()
    assert client.is_connected


def test_while_the_store_is_not_recovered_nobody_is_registered() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    store.fail(REFUSED, "no space left on device")
    client.publish("foo", b"1")
    other = bus.dial("b")
    other.connect()
    assert other.connect_error == "no space left on device"
    assert error_of(other, encoded("ConnectRequest", client_id="b c", heartbeat_inbox="x")) == INVALID_ID


def test_who_waits_for_the_owners_answer_when_the_store_fails_is_refused() -> None:
    bus, store = faulty()
    client = bus.connect("a", hangs=True)
    newcomer = bus.dial("a")
    newcomer.connect()
    store.fail(REFUSED, "no space left on device")
    client.publish("foo", b"1")
    assert newcomer.connect_error == "no space left on device"
    bus.recover()
    bus.advance(1)
    assert client.ping() == ""


def test_a_client_that_goes_while_it_is_asked_frees_its_id_at_once() -> None:
    bus = Bus()
    old = bus.connect("me")
    old.hangs = True
    new = bus.dial("me")
    new.connect()
    assert new.connect_error == "", "the old one has half a second to answer"
    assert old.ping() == ""
    old.vanish()
    assert new.is_connected, "and the new one did not wait for the rest of it"
    assert bus.now_s == 0


def test_a_server_that_stood_still_does_not_take_an_owner_for_dead() -> None:
    bus = Bus()
    owner = bus.connect("a")
    owner.hangs = True  # its answer is on its way, and unread
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.clock.advance(2 * SECOND_NS)
    bus.settle()
    assert not newcomer.response, "the time that passed was not the owner's"
    bus.advance(0.4)
    assert not newcomer.response
    bus.advance(0.1)
    assert newcomer.is_connected
