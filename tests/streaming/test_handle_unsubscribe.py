"""Ending a subscription: how it is named, who may, and what is left of each kind."""

from typing import Any

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import KIND_SUBSCRIPTION, REFUSED
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import NEW_ONLY, Bus, Client, Sub, at_once, decoded, encoded

UNSUBSCRIBE = "_STAN.unsub.test-cluster"
CLOSE = "_STAN.subclose.test-cluster"
BOTH = pytest.mark.parametrize("where", [UNSUBSCRIBE, CLOSE])

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "durable": {"durable": "d"},
    "group": {"queue": "g"},
    "durable group": {"queue": "g", "durable": "d"},
}


def end(client: Client, where: str, **fields: object) -> str:
    """The error that a request gets; empty when it went well, and then there is nothing else in the response."""
    values: dict[str, object] = {"client_id": client.name, "subject": "foo", **fields}
    answer = client.request(where, encoded("UnsubscribeRequest", **values))
    error: bytes = decoded("SubscriptionResponse", answer)["error"]
    assert answer == (encoded("SubscriptionResponse", error=error) if error else b"")
    return error.decode()


def count_of(bus: Bus) -> int:
    """How many subscriptions the channel has, as the bus and the store know them."""
    known = bus.core.state.channels[b"foo"].subscription_count
    recovered = at_once(bus.store.recover(None))
    assert len([key for kind, key, _ in recovered.state if kind == KIND_SUBSCRIPTION]) == known
    return known


# How a subscription is named.


@pytest.mark.row(48, 50)
@BOTH
def test_by_ack_inbox(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    one, other = client.subscribe("foo"), client.subscribe("foo")
    assert end(client, where, inbox=one.ack_inbox) == ""
    client.publish("foo", b"1")
    assert (one.sequences, other.sequences) == ([], [1])


@pytest.mark.row(48)
@BOTH
def test_by_delivery_inbox(where: str) -> None:
    """What a client says whose request for the subscription was not answered in time."""
    bus = Bus()
    client = bus.connect("a")
    one, other = client.subscribe("foo"), client.subscribe("foo")
    assert end(client, where, inbox=one.inbox) == ""
    client.publish("foo", b"1")
    assert (one.sequences, other.sequences) == ([], [1])


@BOTH
def test_of_two_with_one_inbox_the_later_one_is_meant(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    one, other = client.subscribe("foo", inbox="_INBOX.x"), client.subscribe("foo", inbox="_INBOX.x")
    assert end(client, where, inbox="_INBOX.x") == ""
    assert end(client, where, inbox=other.ack_inbox) == "stan: invalid subscription"
    assert end(client, where, inbox=one.ack_inbox) == ""


@pytest.mark.row(48)
@BOTH
@pytest.mark.parametrize("is_older", [False, True])
def test_an_ack_inbox_comes_before_a_delivery_inbox(where: str, is_older: bool) -> None:
    """Whoever takes somebody's ack inbox as its own delivery inbox does not hide it, wherever in the channel it is."""
    bus = Bus()
    client = bus.connect("a")
    if is_older:
        client.subscribe("foo", durable="d").close()
    one = client.subscribe("foo")
    other = client.subscribe("foo", durable="d", inbox=one.ack_inbox.decode(), start=NEW_ONLY)
    assert end(client, where, inbox=one.ack_inbox) == ""
    client.publish("foo", b"1")
    assert (one.sequences, other.sequences) == ([], [1])
    assert end(client, where, inbox=one.ack_inbox) == ""
    assert end(client, where, inbox=other.ack_inbox) == "stan: invalid subscription"


@pytest.mark.row(48)
@BOTH
@pytest.mark.parametrize("by", ["ack_inbox", "inbox"])
def test_any_member_of_a_group_is_found(where: str, by: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    subs = [client.subscribe("foo", queue="g") for _ in range(3)]
    assert end(client, where, inbox=getattr(subs[1], by)) == ""
    client.publish("foo", b"1", b"2")
    assert [sub.sequences for sub in subs] == [[1], [], [2]]


@BOTH
def test_the_durable_name_does_not_count(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d")
    assert end(client, where, inbox=sub.ack_inbox, durable_name="another") == ""


# What is refused.


@pytest.mark.row(49)
@BOTH
def test_unknown_channel(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    assert end(client, where, subject="bar", inbox=sub.ack_inbox) == "stan: unknown channel"
    assert end(client, where, subject="", inbox=sub.ack_inbox) == "stan: unknown channel"
    assert b"bar" not in bus.core.state.channels


@pytest.mark.row(49)
@BOTH
def test_unknown_subscription(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("bar", b"1")
    assert end(client, where, inbox="_INBOX.other") == "stan: invalid subscription"
    assert end(client, where, inbox="") == "stan: invalid subscription"
    assert end(client, where, subject="bar", inbox=sub.ack_inbox) == "stan: invalid subscription"
    assert count_of(bus) == 1


@BOTH
def test_twice_is_once(where: str) -> None:
    client = Bus().connect("a")
    sub = client.subscribe("foo")
    assert end(client, where, inbox=sub.ack_inbox) == ""
    assert end(client, where, inbox=sub.ack_inbox) == "stan: invalid subscription"


@pytest.mark.row(49)
@BOTH
def test_the_subscription_of_somebody_else(where: str) -> None:
    bus = Bus()
    owner, other = bus.connect("a"), bus.connect("b")
    sub = owner.subscribe("foo")
    assert end(other, where, inbox=sub.ack_inbox) == "stan: unknown clientID"
    assert end(other, where, inbox=sub.inbox) == "stan: unknown clientID"
    owner.publish("foo", b"1")
    assert sub.sequences == [1], "nothing has changed"
    assert end(other, where, inbox=sub.ack_inbox, client_id="a") == "", "who says that it is the owner is the owner"


@pytest.mark.row(49)
@BOTH
def test_an_unknown_client(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    assert end(client, where, inbox=sub.ack_inbox, client_id="nobody") == "stan: unknown clientID"
    assert end(client, where, inbox=sub.ack_inbox, client_id="") == "stan: unknown clientID"
    assert end(client, where, inbox="_INBOX.other", client_id="nobody") == "stan: invalid subscription"
    assert end(client, where, inbox="i", client_id="nobody", subject="bar") == "stan: unknown channel"
    assert count_of(bus) == 1


@BOTH
def test_an_offline_durable_cannot_be_named(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d")
    sub.close()
    assert end(client, where, inbox=sub.ack_inbox) == "stan: invalid subscription"
    assert end(client, where, inbox=sub.inbox) == "stan: invalid subscription"
    assert count_of(bus) == 1


@BOTH
@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", b"stan: unknown channel"),
        (b"\xff", b"stan: invalid unsubscribe request"),
        (b"\x0a\x09a", b"stan: invalid unsubscribe request"),
        (b"\x08\x01", b"stan: invalid unsubscribe request"),
    ],
)
def test_payloads_that_are_no_request(where: str, payload: bytes, error: bytes) -> None:
    client = Bus().connect("a")
    assert decoded("SubscriptionResponse", client.request(where, payload)) == {"ack_inbox": b"", "error": error}


@BOTH
def test_a_request_without_reply_is_carried_out(where: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.send(where, encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=sub.inbox))
    assert count_of(bus) == 0


@BOTH
def test_a_store_that_fails_answers_for_itself(where: str) -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo")
    store.fail(REFUSED, "the disk is full")
    assert end(client, where, inbox=sub.ack_inbox) == "the disk is full"
    assert end(client, where, inbox=sub.ack_inbox) == "the disk is full"
    bus.recover()
    client.publish("foo", b"1")
    assert sub.sequences == [1], "it was not ended"


@pytest.mark.row(50)
@BOTH
def test_the_answer_waits_for_the_store(where: str) -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo")
    store.hold()
    answers = client.ask(where, encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=sub.ack_inbox))
    assert answers == []
    with bus.turn():
        store.release()
    assert answers == [b""]


# What is left of each kind.


@pytest.mark.row(51, 81)
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("how", ["close", "unsubscribe", "close the client"])
def test_what_is_left(kind: str, how: str) -> None:
    """One subscription of each kind, with one message acknowledged, one not, and one sent after it is gone."""
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    sub = a.subscribe("foo", **KINDS[kind])
    b.publish("foo", b"1", b"2")
    sub.ack(1)
    errors = {"close": sub.close, "unsubscribe": sub.unsubscribe, "close the client": a.close}
    assert errors[how]() == ""
    stays = "durable" in kind and how != "unsubscribe"
    assert count_of(bus) == int(stays)
    assert not bus.router.has_interest(sub.ack_inbox)
    sub.messages.clear()
    b.publish("foo", b"3")
    bus.advance(100)
    assert sub.messages == []
    if how == "close the client":
        a.connect()
    again = a.subscribe("foo", start=NEW_ONLY, **KINDS[kind])
    assert again.error == ""
    assert [(message.sequence, message.count) for message in again.messages] == ([(2, 1), (3, 0)] if stays else [])
    assert count_of(bus) == 1


@pytest.mark.row(96)
@pytest.mark.parametrize("kind", ["group", "durable group"])
@pytest.mark.parametrize("how", ["close", "unsubscribe", "close the client"])
def test_what_is_left_of_a_group_with_other_members(kind: str, how: str) -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    leaving, staying = a.subscribe("foo", **KINDS[kind]), b.subscribe("foo", **KINDS[kind])
    b.publish("foo", b"1", b"2", b"3", b"4")
    assert (leaving.sequences, staying.sequences) == ([1, 3], [2, 4])
    leaving.ack(1)
    errors = {"close": leaving.close, "unsubscribe": leaving.unsubscribe, "close the client": a.close}
    assert errors[how]() == ""
    assert [(message.sequence, message.count) for message in staying.messages] == [(2, 0), (4, 0), (3, 1)]
    b.publish("foo", b"5")
    assert staying.sequences == [2, 4, 3, 5]
    assert count_of(bus) == 1
    assert bus.router.has_interest(staying.ack_inbox)
    assert not bus.router.has_interest(leaving.ack_inbox)


@pytest.mark.row(85)
@pytest.mark.parametrize("kind", ["durable", "durable group"])
def test_who_was_unsubscribed_begins_anew(kind: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    first = client.subscribe("foo", **KINDS[kind])
    first.ack(1, 2, 3)
    first.unsubscribe()
    assert client.subscribe("foo", **KINDS[kind]).sequences == [1, 2, 3], "its start position counts again"


def test_an_offline_durable_is_removed_by_resuming_it() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.subscribe("foo", durable="d").close()
    client.subscribe("foo", durable="d").unsubscribe()
    assert count_of(bus) == 0


@pytest.mark.row(88)
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_durable_that_is_unsubscribed_leaves_others_alone(is_restarted: bool) -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    durables = [(a, "d"), (a, "e"), (b, "d")]
    subs = [client.subscribe("foo", durable=durable, auto_ack=True) for client, durable in durables]
    subs[0].unsubscribe()
    a.publish("foo", b"1")
    assert [sub.sequences for sub in subs] == [[], [1], [1]]
    if is_restarted:
        bus.restart()
    a.publish("foo", b"2")
    assert [sub.sequences for sub in subs] == [[], [1, 2], [1, 2]]
    assert [sub.close() for sub in subs[1:]] == ["", ""]
    a.publish("foo", b"3")
    assert [client.subscribe("foo", durable=durable).sequences for client, durable in durables] == [[1, 2, 3], [3], [3]]


@pytest.mark.row(95)
def test_the_last_member_that_closes_leaves_a_shadow_and_the_last_that_unsubscribes_does_not() -> None:
    bus = Bus()
    client = bus.connect("a")

    def member() -> Sub:
        return client.subscribe("foo", queue="g", durable="d")

    first, second = member(), member()
    client.publish("foo", b"1", b"2")
    first.unsubscribe()
    second.close()
    assert count_of(bus) == 1
    third = member()
    assert sorted(third.sequences) == [1, 2]
    third.unsubscribe()
    assert count_of(bus) == 0
    assert bus.core.state.channels[b"foo"].by_key == {}


@pytest.mark.row(46)
def test_thousands_of_subscriptions_come_and_go() -> None:
    options = CoreOptions()
    options.channel_limits.subscriptions_max = 0
    bus = Bus(options=options)
    client = bus.connect("a")
    subs = [client.subscribe("foo") for _ in range(2000)]
    for sub in subs[::2]:
        assert sub.unsubscribe() == ""
    client.publish("foo", b"1")
    assert [sub.sequences for sub in subs] == [[], [1]] * 1000
    for sub in reversed(subs[1::2]):
        assert sub.unsubscribe() == ""
    assert count_of(bus) == 0
    channel, known = bus.core.state.channels[b"foo"], bus.core.state.clients.by_id[b"a"]
    assert (channel.cohorts, channel.by_key, known.subscriptions) == ([], {}, {})
    assert not any(bus.router.has_interest(sub.ack_inbox) for sub in subs)
    again = [client.subscribe("foo") for _ in range(10)]
    client.publish("foo", b"2")
    assert [sub.sequences for sub in again] == [[1, 2]] * 10
