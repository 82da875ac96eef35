"""Requests that come before their sender is known: how long they wait, in which order they are handled, how much may wait."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.broker.bus import Receiver
from durabus.stores.memory import MemoryStore
from durabus.streaming.newcomers import Newcomers, sender_key
from durabus.streaming.options import SECOND_NS, CoreOptions
from durabus.streaming.store_port import UNKNOWN
from durabus.streaming.timers import Timers
from durabus.testing.faults import FaultyStore
from durabus.wire.operations import Publish
from tests.streaming.harness import Bus, Client, PubAck, decoded, encoded

WAIT_NS = 1000
INVALID_PUBLISH = "stan: invalid publish request"
INVALID_SUBSCRIBE = "stan: invalid subscription request"


# By itself.


class Desk(Receiver):
    """Takes requests: handles those of clients that are registered, holds or refuses the others, as handlers do."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.newcomers = Newcomers(self.timers, WAIT_NS)
        self.registered: set[bytes] = set()
        self.handled: list[bytes] = []
        self.refused: list[bytes] = []
        self.now_ns = 1

    def on_publish(self, publish: Publish) -> None:
        key = publish.subject
        if key in self.registered:
            self.handled += publish.payloads
        elif not self.newcomers.hold(key, self, publish, self.now_ns):
            self.refused += publish.payloads

    def request(self, key: bytes, payload: bytes) -> None:
        """A request of the sender `key`."""
        self.on_publish(Publish(key, b"", 0, [payload]))

    def register(self, client_id: bytes, connection_id: bytes = b"") -> None:
        """A client is known."""
        self.registered |= {sender_key(client_id, b""), sender_key(client_id, connection_id)}
        self.newcomers.admit(client_id, connection_id)

    def advance(self, duration_ns: int) -> None:
        """Time passes."""
        self.now_ns += duration_ns
        self.timers.fire(self.now_ns)


ANN, ANNS_CONNECTION = sender_key(b"ann", b""), sender_key(b"", b"1")
BOB = sender_key(b"bob", b"")


def test_a_connection_id_says_more_than_a_client_id() -> None:
    assert sender_key(b"ann", b"1") == sender_key(b"", b"1") != sender_key(b"1", b"")


def test_requests_wait_for_their_sender_and_keep_their_order() -> None:
    desk = Desk()
    for key, payload in ((ANN, b"1"), (BOB, b"-"), (ANNS_CONNECTION, b"2"), (ANN, b"3"), (ANNS_CONNECTION, b"4")):
        desk.request(key, payload)
    desk.register(b"ann", b"1")
    assert desk.handled == [b"1", b"2", b"3", b"4"]
    desk.advance(WAIT_NS)
    assert (desk.handled, desk.refused) == ([b"1", b"2", b"3", b"4"], [b"-"])


def test_a_wait_begins_with_the_first_request_and_ends_for_all_of_a_sender() -> None:
    desk = Desk()
    desk.request(ANN, b"1")
    desk.advance(WAIT_NS - 1)
    desk.request(ANN, b"2")
    desk.request(BOB, b"3")
    assert desk.refused == []
    desk.advance(1)
    assert desk.refused == [b"1", b"2"]
    desk.advance(WAIT_NS - 2)
    assert desk.refused == [b"1", b"2"]
    desk.advance(1)
    assert desk.refused == [b"1", b"2", b"3"]


def test_who_did_not_register_in_time_is_not_waited_for_again_until_it_does() -> None:
    desk = Desk()
    desk.request(ANN, b"1")
    desk.advance(WAIT_NS)
    desk.request(ANN, b"2")
    assert desk.refused == [b"1", b"2"]
    desk.register(b"ann")
    desk.registered.clear()  # and it goes again
    desk.request(ANN, b"3")
    assert desk.refused == [b"1", b"2"]
    desk.register(b"ann")
    assert desk.handled == [b"3"]


@pytest.mark.row(162)
def test_only_so_many_senders_are_remembered_as_invalid() -> None:
    desk = Desk()
    for number in range(300):
        desk.request(b"%d" % number, b"first")
    desk.advance(WAIT_NS)
    assert len(desk.refused) == 300
    waiting = desk.newcomers.held_bytes
    assert waiting == 0
    for number in range(299, 43, -1):
        desk.request(b"%d" % number, b"again")
    assert len(desk.refused) == 556, "the last 256 are known"
    for number in range(44):
        desk.request(b"%d" % number, b"again")
    assert len(desk.refused) == 556, "the first ones were forgotten, and are waited for again"
    assert desk.newcomers.held_bytes > 0


def test_what_waits_is_bounded() -> None:
    desk = Desk()
    for number in range(100):
        desk.request(b"%d" % number, bytes(1_000_000))
    assert desk.newcomers.held_bytes <= 64 * 1024 * 1024
    assert len(desk.refused) == 33
    desk.advance(WAIT_NS)
    assert (len(desk.refused), desk.newcomers.held_bytes) == (100, 0)


def test_nobody_is_waited_for_after_the_end() -> None:
    desk = Desk()
    desk.request(ANN, b"1")
    desk.request(BOB, b"2")
    desk.newcomers.close()
    desk.request(ANN, b"3")
    assert desk.refused == [b"1", b"2", b"3"]
    assert desk.timers.next_ns() == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("request"), st.integers(0, 3)),
        st.tuples(st.just("register"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, WAIT_NS // 2, WAIT_NS])),
    ),
    max_size=40,
)


@given(steps)
def test_every_request_has_one_end_and_those_of_a_sender_keep_their_order(script: list[tuple[str, int]]) -> None:
    desk = Desk()
    sent: list[bytes] = []
    for number, (step, value) in enumerate(script):
        key = sender_key(b"%d" % (value % 4), b"")
        if step == "request":
            sent.append(b"%b/%d" % (key, number))
            desk.request(key, sent[-1])
        elif step == "register":
            desk.register(b"%d" % value)
        elif step == "leave":
            desk.registered.discard(key)
        else:
            desk.advance(value)
    desk.advance(WAIT_NS)
    assert sorted(desk.handled + desk.refused) == sorted(sent)
    assert desk.newcomers.held_bytes == 0
    assert desk.timers.next_ns() == 0
    for key in {payload.split(b"/")[0] for payload in sent}:
        for ends in (desk.handled, desk.refused):
            mine = [payload for payload in ends if payload.startswith(key + b"/")]
            assert mine == [payload for payload in sent if payload in mine]


# In a server that owns some channels.


def partitioned(store: FaultyStore | None = None) -> Bus:
    """A bus of one server with the channels `foo` and `bar`."""
    options = CoreOptions()
    options.partition = [b"foo", b"bar"]
    return Bus(store, options)


def subscribe_request(name: str, channel: str = "foo") -> bytes:
    """A SubscriptionRequest that is in order."""
    return encoded(
        "SubscriptionRequest", client_id=name, subject=channel, inbox="_INBOX.x", ack_wait_s=30, max_in_flight=10
    )


def errors(answers: list[bytes]) -> list[str]:
    """The errors in answers to subscription requests."""
    return [decoded("SubscriptionResponse", answer)["error"].decode() for answer in answers]


@pytest.mark.row(162)
def test_a_publish_that_overtakes_the_connect() -> None:
    bus = partitioned()
    client = bus.dial("early")
    first = client.publish("foo", b"1", b"2")
    without_connection = client.publish("foo", b"3", connection_id=b"")
    bus.advance(0.9)
    second = client.publish("bar", b"4")
    assert (first, without_connection, second) == ([], [], [])
    client.connect()
    assert client.is_connected
    assert first == [PubAck("early.1"), PubAck("early.2")]
    assert [ack.error for ack in without_connection + second] == ["", ""]
    assert [message.data for message in bus.stored("foo")] == [b"1", b"2", b"3"]
    statistics = bus.core.state.statistics
    assert statistics.in_messages == 4, "each counts once"
    bus.advance(5)
    assert client.publish("foo", b"5")[0].error == ""


@pytest.mark.row(162)
def test_a_publish_of_somebody_who_never_connects() -> None:
    bus = partitioned()
    client = bus.dial("nobody")
    acks = client.publish("foo", b"1")
    bus.advance(0.999)
    assert acks == []
    bus.advance(0.001)
    assert acks == [PubAck("nobody.1", INVALID_PUBLISH)]
    assert client.publish("foo", b"2") == [PubAck("nobody.2", INVALID_PUBLISH)], "the next one does not wait"
    client.connect()
    assert client.publish("foo", b"3")[0].error == ""
    assert bus.core.state.statistics.in_messages == 3


@pytest.mark.row(162)
def test_a_subscription_that_overtakes_the_connect() -> None:
    bus = partitioned()
    client = bus.dial("early")
    subscription = client.subscribe("foo")
    acks = client.publish("foo", b"1")
    bus.advance(0.5)
    before = subscription.is_answered
    client.connect()
    assert (before, subscription.is_answered, subscription.error) == (False, True, "")
    assert acks[0].error == ""
    assert subscription.sequences == [1]


@pytest.mark.row(162)
def test_a_subscription_of_somebody_who_never_connects() -> None:
    bus = partitioned()
    client = bus.connect("me")
    answers = client.ask("_STAN.sub.test-cluster", subscribe_request("nobody"))
    assert client.ask("_STAN.sub.test-cluster", subscribe_request("nobody", "other")) == []
    assert client.subscribe("foo").error == "", "nobody else has to wait"
    bus.advance(1)
    assert errors(answers) == [INVALID_SUBSCRIBE]
    assert errors(client.ask("_STAN.sub.test-cluster", subscribe_request("nobody"))) == [INVALID_SUBSCRIBE]
    assert b"nobody" not in bus.core.state.clients.by_id


def wrong_guid(client: Client) -> bytes:
    return client.publish_message("foo", b"x", guid="")


def wrong_channel(client: Client) -> bytes:
    return client.publish_message("foo.", b"x")


def foreign_channel(client: Client) -> bytes:
    return client.publish_message("other", b"x")


def no_message(client: Client) -> bytes:
    return b"\xff"


@pytest.mark.parametrize("message", [wrong_guid, wrong_channel, foreign_channel, no_message])
def test_what_is_wrong_in_itself_does_not_wait(message: Callable[[Client], bytes]) -> None:
    bus = partitioned()
    client = bus.dial("nobody")
    answer = client.request("_STAN.pub.test-cluster.foo", message(client))
    assert decoded("PubAck", answer)["error"].decode() == INVALID_PUBLISH


def test_a_connection_that_was_replaced_is_refused_after_the_wait() -> None:
    bus = partitioned()
    old = bus.connect("me", hangs=True)
    new = bus.dial("me")
    new.connect()
    bus.advance(0.5)
    assert new.is_connected
    acks = old.publish("foo", b"1")
    bus.advance(1)
    assert [ack.error for ack in acks] == [INVALID_PUBLISH]
    assert new.publish("foo", b"2")[0].error == ""


def test_a_newcomer_is_not_taken_for_the_client_that_it_replaces() -> None:
    """Another server has admitted it already; here the old client is still being asked."""
    bus = partitioned()
    bus.connect("me", hangs=True)
    new = bus.dial("me")
    new.connect()
    subscription = new.subscribe("foo")
    acks = new.publish("foo", b"1")
    bus.advance(0.499)
    assert (new.is_connected, subscription.is_answered, acks) == (False, False, [])
    bus.advance(0.001)
    assert (new.is_connected, subscription.is_answered, [ack.error for ack in acks]) == (True, True, [""])
    assert subscription.sequences == [1]


def test_a_client_that_proves_to_be_there_goes_on() -> None:
    bus = partitioned()
    old = bus.connect("me", hangs=True)
    new = bus.dial("me")
    new.connect()
    subscription = old.subscribe("foo")
    before = subscription.is_answered
    assert len(old.heartbeats) == 1, "it is asked whether it is there"
    old.send(bus.core.heartbeats.reply_subject(bus.core.state.request_count), b"")
    assert new.connect_error == "stan: clientID already registered"
    assert (before, subscription.is_answered, subscription.error) == (False, True, "")


def test_a_store_that_fails_lets_nobody_wait() -> None:
    store = FaultyStore(MemoryStore())
    bus = partitioned(store)
    other = bus.connect("other")
    client = bus.dial("early")
    acks = client.publish("foo", b"1")
    answers = other.ask("_STAN.sub.test-cluster", subscribe_request("early"))
    store.fail(UNKNOWN, "try again")
    other.publish("foo", b"fails")
    assert [ack.error for ack in acks] == [INVALID_PUBLISH]
    assert errors(answers) == [INVALID_SUBSCRIBE]
    bus.recover()
    late = client.publish("foo", b"2")
    assert late == []
    client.connect()
    assert [ack.error for ack in late] == [""]


def test_without_partitioning_nobody_waits() -> None:
    bus = Bus()
    client = bus.dial("nobody")
    assert client.publish("foo", b"1") == [PubAck("nobody.1", INVALID_PUBLISH)]
    assert client.subscribe("foo").error == "stan: unknown clientID"
    assert CoreOptions().newcomer_wait_ns == SECOND_NS
