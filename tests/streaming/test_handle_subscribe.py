"""Subscribing: what is refused and in which order, and what a subscription shares with others.

Where it begins is in test_start_positions.py.
"""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION, REFUSED
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import (
    FIRST,
    LAST_RECEIVED,
    NEW_ONLY,
    SECOND_NS,
    SEQUENCE,
    TIME_DELTA,
    Bus,
    Client,
    at_once,
    decoded,
    encoded,
)

SUBSCRIBE = "_STAN.sub.test-cluster"
CLOSE_SUBSCRIPTION = "_STAN.subclose.test-cluster"
INT32_MIN = -(2**31)
COLON = "stan: durable name of a durable queue subscriber can't contain the character ':'"
DUPLICATE = "stan: duplicate durable registration"
FULL = "too many subscriptions per channel"


def options(**limits: int) -> CoreOptions:
    """The defaults, but for limits of every channel."""
    made = CoreOptions()
    made.channel_limits = ChannelLimits(**limits)
    return made


def refusal(client: Client, **fields: object) -> str:
    """The error that a request gets: a good one, but for `fields`."""
    values: dict[str, object] = {
        "client_id": client.name,
        "subject": "foo",
        "inbox": "_INBOX.sub",
        "max_in_flight": 1,
        "ack_wait_s": 1,
        **fields,
    }
    answer = decoded("SubscriptionResponse", client.request(SUBSCRIBE, encoded("SubscriptionRequest", **values)))
    assert bool(answer["ack_inbox"]) != bool(answer["error"])
    error: bytes = answer["error"]
    return error.decode()


def stored_keys(bus: Bus, kind: int) -> list[bytes]:
    """The keys of all that the store remembers of one kind."""
    return [key for known, key, _ in at_once(bus.store.recover(None)).state if known == kind]


def count_of(bus: Bus, channel: str = "foo") -> int:
    """How many subscriptions a channel has."""
    return bus.core.state.channels[channel.encode()].subscription_count


# What is refused.


@pytest.mark.row(35)
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"client_id": ""}, "stan: clientID missing"),
        ({"client_id": "nobody"}, "stan: unknown clientID"),
        ({"ack_wait_s": 0}, "stan: invalid ack wait time, should be >= 1s"),
        ({"ack_wait_s": -1}, "stan: invalid ack wait time, should be >= 1s"),
        ({"ack_wait_s": INT32_MIN}, "stan: invalid ack wait time, should be >= 1s"),
        ({"max_in_flight": 0}, "stan: invalid MaxInflight, should be >= 1"),
        ({"max_in_flight": -1}, "stan: invalid MaxInflight, should be >= 1"),
        ({"max_in_flight": INT32_MIN}, "stan: invalid MaxInflight, should be >= 1"),
        ({"start_position": 5}, "stan: invalid start position"),
        ({"start_position": -1}, "stan: invalid start position"),
        ({"subject": ""}, "stan: invalid subject"),
        ({"subject": "foo.*"}, "stan: invalid subject"),
        ({"subject": "foo.>"}, "stan: invalid subject"),
        ({"subject": ".foo"}, "stan: invalid subject"),
        ({"subject": "foo."}, "stan: invalid subject"),
        ({"subject": "foo..bar"}, "stan: invalid subject"),
        ({"subject": "foo/bar"}, "stan: invalid subject"),
        ({"queue_group": "g", "durable_name": "a:b"}, COLON),
    ],
)
def test_what_is_refused(fields: dict[str, object], error: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    assert refusal(client, **fields) == error
    assert client.subscriptions == []
    assert refusal(client) == "", "and the same without the mistake is not"


@pytest.mark.row(35)
def test_the_first_mistake_is_the_one_that_is_answered() -> None:
    settings = options(subscriptions_max=1)
    settings.channels_max = 1
    client = Bus(options=settings).connect("a")
    client.subscribe("foo")
    fields: dict[str, object] = {
        "client_id": "",
        "ack_wait_s": 0,
        "max_in_flight": 0,
        "start_position": 9,
        "subject": "foo..bar",
        "queue_group": "g",
        "durable_name": "a:b",
    }
    corrections: list[tuple[str, object, str]] = [
        ("client_id", "nobody", "stan: invalid ack wait time, should be >= 1s"),
        ("ack_wait_s", 1, "stan: invalid MaxInflight, should be >= 1"),
        ("max_in_flight", 1, "stan: invalid start position"),
        ("start_position", FIRST, "stan: invalid subject"),
        ("subject", "bar", "stan: unknown clientID"),
        ("client_id", "a", "too many channels"),
        ("subject", "foo", COLON),
        ("durable_name", "ab", FULL),
    ]
    assert refusal(client, **fields) == "stan: clientID missing"
    for name, value, error in corrections:
        fields[name] = value
        assert refusal(client, **fields) == error


@pytest.mark.row(35)
@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", b"stan: clientID missing"),
        (b"\xff", b"stan: invalid subscription request"),
        (b"\x0a\x05a", b"stan: invalid subscription request"),
        (b"\x08\x01", b"stan: invalid subscription request"),
    ],
)
def test_payloads_that_are_no_request(payload: bytes, error: bytes) -> None:
    client = Bus().connect("a")
    assert decoded("SubscriptionResponse", client.request(SUBSCRIBE, payload)) == {"ack_inbox": b"", "error": error}


def test_a_name_that_differs_by_case_only() -> None:
    client = Bus().connect("a")
    client.publish("foo", b"1")
    assert refusal(client, subject="Foo") == (
        'rejecting channel "Foo" because channel "foo" alreay exists (different cases not allowed)'
    )


@pytest.mark.row(43)
def test_an_unknown_client_leaves_no_channel() -> None:
    bus = Bus()
    assert refusal(bus.dial("nobody")) == "stan: unknown clientID"
    assert bus.core.state.channels == {}
    assert stored_keys(bus, KIND_CHANNEL) == []


@pytest.mark.row(43)
def test_a_closed_client_is_unknown() -> None:
    client = Bus().connect("a")
    client.close()
    assert refusal(client) == "stan: unknown clientID"


@pytest.mark.row(42)
def test_a_refused_subscription_leaves_nothing() -> None:
    bus = Bus(options=options(subscriptions_max=1))
    client = bus.connect("a")
    client.subscribe("foo", durable="d")
    for fields, error in (
        ({"queue_group": "g", "durable_name": "a:b"}, COLON),
        ({"durable_name": "d"}, DUPLICATE),
        ({}, FULL),
        ({"durable_name": "e"}, FULL),
        ({"queue_group": "g"}, FULL),
    ):
        assert refusal(client, **fields) == error
    assert count_of(bus) == 1
    assert len(stored_keys(bus, KIND_SUBSCRIPTION)) == 1
    assert len(bus.core.state.clients.by_id[b"a"].subscriptions) == 1
    assert len(bus.core.state.channels[b"foo"].cohorts) == 1


@pytest.mark.row(42)
def test_a_batch_that_fails_takes_its_subscriptions_with_it() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    store.fail(REFUSED, "the disk is full")
    assert client.subscribe("foo").error == "the disk is full"
    assert client.subscribe("foo").error == "the disk is full", "nothing is decided before the store is recovered"
    bus.recover()
    assert bus.core.state.channels == {}
    sub = client.subscribe("foo")
    client.publish("foo", b"1")
    assert sub.sequences == [1]


def test_a_request_without_reply_is_carried_out() -> None:
    bus = Bus()
    client = bus.connect("a")
    payload = encoded("SubscriptionRequest", client_id="a", subject="foo", inbox="i", max_in_flight=1, ack_wait_s=1)
    client.listen("i")
    client.send(SUBSCRIBE, payload)
    client.send(SUBSCRIBE, b"\xff")
    client.publish("foo", b"1")
    assert [subject for subject, _ in client.heard if subject == b"i"] == [b"i"]


# What is shared.


@pytest.mark.row(36)
def test_the_response_comes_before_any_message() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    client.heard.clear()
    sub = client.subscribe("foo")
    subjects = [subject for subject, _ in client.heard]
    assert subjects[1:] == [sub.inbox.encode()] * 2
    assert subjects[0] != sub.inbox.encode()


@pytest.mark.row(36)
def test_the_response_waits_for_the_store() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    client.publish("foo", b"1")
    store.hold()
    sub = client.subscribe("foo")
    assert (sub.is_answered, sub.messages) == (False, [])
    with bus.turn():
        store.release()
    assert sub.sequences == [1]


@pytest.mark.row(47)
def test_each_subscription_has_an_ack_inbox_of_its_own() -> None:
    client = Bus().connect("a")
    inboxes = {client.subscribe("foo").ack_inbox for _ in range(5)}
    assert len(inboxes) == 5
    assert all(len(inbox) == len("_INBOX.") + 22 and inbox.startswith(b"_INBOX.") for inbox in inboxes)


@pytest.mark.row(75)
def test_plain_subscriptions_are_independent() -> None:
    bus = Bus()
    client = bus.connect("a")
    one, other = client.subscribe("foo"), client.subscribe("foo", start=NEW_ONLY)
    client.publish("foo", b"1")
    one.ack(1)
    bus.advance(30)
    assert (one.sequences, other.sequences) == ([1], [1, 1])


def test_two_subscriptions_on_one_inbox() -> None:
    bus = Bus()
    client = bus.connect("a")
    one = client.subscribe("foo", inbox="_INBOX.both")
    other = client.subscribe("foo", inbox="_INBOX.both")
    client.stop_listening("_INBOX.both")
    client.listen("_INBOX.both")
    assert one.ack_inbox != other.ack_inbox
    client.publish("foo", b"1")
    assert [subject for subject, _ in client.heard].count(b"_INBOX.both") == 2
    one.ack(1)
    bus.advance(30)
    assert [subject for subject, _ in client.heard].count(b"_INBOX.both") == 3, "only the other's is sent again"


@pytest.mark.row(40, 80)
def test_a_resumed_durable_goes_on_where_it_was() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3", b"4")
    sub = client.subscribe("foo", durable="d", max_in_flight=3)
    sub.ack(1, 3)
    assert sub.sequences == [1, 2, 3, 4]
    sub.close()
    client.publish("foo", b"5")
    for start in (NEW_ONLY, LAST_RECEIVED, SEQUENCE, FIRST, TIME_DELTA):
        again = client.subscribe("foo", durable="d", start=start, start_sequence=1, start_delta_ns=SECOND_NS)
        assert [(message.sequence, message.redelivered) for message in again.messages][:2] == [(2, True), (4, True)]
        assert again.sequences[2:] == [5]
        again.close()


@pytest.mark.row(47)
def test_a_resumed_durable_has_a_new_ack_inbox() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1")
    sub = client.subscribe("foo", durable="d")
    sub.close()
    again = client.subscribe("foo", durable="d")
    assert again.ack_inbox != sub.ack_inbox
    sub.ack(1)
    bus.advance(60)
    assert again.sequences == [1, 1], "the old ack inbox is dead"
    again.ack(1)
    bus.advance(100)
    assert again.sequences == [1, 1]


@pytest.mark.row(82)
def test_a_durable_that_is_online_cannot_be_had_twice() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d")
    assert client.subscribe("foo", durable="d").error == DUPLICATE
    client.publish("foo", b"1")
    assert sub.sequences == [1]
    assert client.subscribe("bar", durable="d").error == "", "another channel, another durable"
    assert client.subscribe("foo", durable="e").error == "", "another name, too"


@pytest.mark.row(83)
def test_a_durable_belongs_to_its_client() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    a.publish("foo", b"1", b"2")
    one = a.subscribe("foo", durable="d")
    other = b.subscribe("foo", durable="d", start=NEW_ONLY)
    assert (one.sequences, other.sequences, other.error) == ([1, 2], [], "")
    one.ack(1, 2)
    one.close()
    a.publish("foo", b"3")
    assert other.sequences == [3]
    assert b.subscribe("foo", durable="d").error == DUPLICATE
    assert a.subscribe("foo", durable="d").sequences == [3]


def test_names_that_join_to_the_same_text_are_different() -> None:
    bus = Bus()
    one, other = bus.connect("a-b"), bus.connect("a")
    assert one.subscribe("foo", durable="c").error == ""
    assert other.subscribe("foo", durable="b-c").error == ""
    assert count_of(bus) == 2


@pytest.mark.row(82)
def test_a_durable_is_replaced_where_that_is_wanted() -> None:
    settings = CoreOptions()
    settings.replace_durable = True
    bus = Bus(options=settings)
    client = bus.connect("a")
    old = client.subscribe("foo", durable="d")
    client.publish("foo", b"1", b"2")
    old.ack(1)
    new = client.subscribe("foo", durable="d", start=NEW_ONLY)
    assert new.error == ""
    assert [(message.sequence, message.count) for message in new.messages] == [(2, 1)]
    client.publish("foo", b"3")
    assert (old.sequences, new.sequences) == ([1, 2], [2, 3])
    old.ack(2)
    bus.advance(60)
    assert new.sequences == [2, 3, 3, 2, 3], "the old one cannot acknowledge any more"
    assert count_of(bus) == 1
    assert old.close() == "stan: invalid subscription"


def test_a_durable_that_is_replaced_in_the_same_turn_was_answered_too() -> None:
    settings = CoreOptions()
    settings.replace_durable = True
    bus = Bus(options=settings)
    client = bus.connect("a")
    client.publish("foo", b"1")
    with bus.turn():
        old = client.subscribe("foo", durable="d")
        new = client.subscribe("foo", durable="d")
    assert (old.is_answered, old.error, old.sequences) == (True, "", [])
    assert new.sequences == [1]
    assert old.ack_inbox != new.ack_inbox


def test_replacing_is_not_for_groups() -> None:
    settings = CoreOptions()
    settings.replace_durable = True
    bus = Bus(options=settings)
    client = bus.connect("a")
    one, other = client.subscribe("foo", queue="g", durable="d"), client.subscribe("foo", queue="g", durable="d")
    client.publish("foo", b"1", b"2")
    assert (one.sequences, other.sequences) == ([1], [2])


@pytest.mark.row(89, 104)
def test_a_colon_is_refused_in_the_durable_name_of_a_group_only() -> None:
    client = Bus().connect("a")
    assert client.subscribe("foo", durable="a:b").error == ""
    assert client.subscribe("foo", queue="a:b").error == ""
    assert client.subscribe("foo", queue="a:b", durable="d").error == ""
    assert client.subscribe("foo", queue="g", durable="a:b").error == COLON


@pytest.mark.row(97)
def test_groups_that_only_look_alike_are_different() -> None:
    bus = Bus()
    client = bus.connect("a")
    subs = [
        client.subscribe("foo", queue="g"),
        client.subscribe("foo", queue="g", durable="d"),
        client.subscribe("foo", queue="d:g"),
        client.subscribe("foo", durable="d"),
        client.subscribe("foo", queue="g", durable="e"),
    ]
    client.publish("foo", b"1")
    assert [sub.sequences for sub in subs] == [[1]] * 5


@pytest.mark.row(40, 41)
@pytest.mark.parametrize("later", [FIRST, NEW_ONLY])
@pytest.mark.parametrize("durable", ["", "d"])
def test_the_first_member_says_where_a_group_begins(durable: str, later: int) -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    a.publish("foo", b"1", b"2", b"3", b"4")
    first = a.subscribe("foo", queue="g", durable=durable, start=SEQUENCE, start_sequence=3, max_in_flight=1)
    second = b.subscribe("foo", queue="g", durable=durable, start=later)
    assert (first.sequences, second.sequences) == ([3], [4]), "neither back to the first nor on to what is new"
    a.publish("foo", b"5")
    assert (first.sequences, second.sequences) == ([3], [4, 5])


@pytest.mark.row(40, 94)
def test_a_durable_group_is_resumed_by_anybody() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    a.publish("foo", b"1", b"2")
    first = a.subscribe("foo", queue="g", durable="d")
    first.ack(1)
    first.close()
    b.publish("foo", b"3")
    assert count_of(bus) == 1
    second = b.subscribe("foo", queue="g", durable="d", start=NEW_ONLY)
    assert [(message.sequence, message.count) for message in second.messages] == [(2, 1), (3, 0)]
    third = a.subscribe("foo", queue="g", durable="d")
    assert (third.error, third.sequences, count_of(bus)) == ("", [], 2)


@pytest.mark.row(55, 84)
@pytest.mark.parametrize("queue", ["", "g"])
def test_a_resumed_durable_takes_the_new_limits(queue: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 6)
    sub = client.subscribe("foo", queue=queue, durable="d", max_in_flight=5, ack_wait_s=30)
    sub.close()
    bus.advance(1)
    again = client.subscribe("foo", queue=queue, durable="d", max_in_flight=2, ack_wait_s=1)
    assert again.sequences == [1, 2, 3, 4, 5], "all that is pending, though it is more than the window"
    again.ack(1, 2, 3)
    assert again.sequences == [1, 2, 3, 4, 5], "two are pending: stalled"
    again.ack(4)
    assert again.sequences == [1, 2, 3, 4, 5, 6]
    again.clear()
    bus.advance(28.9)
    assert [(message.sequence, message.at_s) for message in again.messages][:2] == [(6, 2.0), (6, 3.0)], (
        "what is new is due after the new AckWait"
    )
    assert 5 not in again.sequences
    again.clear()
    bus.advance(1.2)
    assert [(message.sequence, message.at_s, message.count) for message in again.messages if message.sequence == 5] == [
        (5, 31.0, 2)
    ], "what was pending is due at its old time plus the new AckWait"
    bus.restart()
    (member,) = bus.core.state.channels[b"foo"].cohorts[0].members
    assert (member.max_in_flight, member.ack_wait_ns) == (2, SECOND_NS)


# How many there may be.


@pytest.mark.row(45)
def test_offline_durables_and_shadows_count() -> None:
    bus = Bus(options=options(subscriptions_max=2))
    client = bus.connect("a")
    durable = client.subscribe("foo", durable="d")
    group = client.subscribe("foo", queue="g", durable="d")
    assert client.subscribe("foo").error == FULL
    durable.close()
    group.close()
    assert count_of(bus) == 2
    assert client.subscribe("foo").error == FULL
    durable, group = client.subscribe("foo", durable="d"), client.subscribe("foo", queue="g", durable="d")
    assert (durable.error, group.error) == ("", ""), "what comes back was counted all the time"
    assert client.subscribe("foo", queue="g", durable="d").error == FULL, "one more member was not"
    assert client.subscribe("bar").error == "", "each channel counts for itself"
    durable.unsubscribe()
    assert client.subscribe("foo").error == ""
    assert client.subscribe("foo").error == FULL
    group.unsubscribe()
    assert client.subscribe("foo").error == ""


@pytest.mark.row(45)
@pytest.mark.parametrize("queue", ["", "g"])
def test_a_plain_subscription_that_is_closed_makes_room(queue: str) -> None:
    bus = Bus(options=options(subscriptions_max=2))
    client = bus.connect("a")
    for turn in range(3):
        subs = [client.subscribe("foo", queue=queue and f"{queue}{turn}") for _ in range(3)]
        assert [sub.error for sub in subs] == ["", "", FULL]
        assert [sub.close() for sub in subs[:2]] == ["", ""]


@pytest.mark.row(46)
def test_no_limit_is_no_limit() -> None:
    client = Bus(options=options(subscriptions_max=0)).connect("a")
    assert {client.subscribe("foo").error for _ in range(1100)} == {""}


def test_a_thousand_subscriptions_by_default() -> None:
    client = Bus().connect("a")
    assert [client.subscribe("foo").error for _ in range(1001)] == [""] * 1000 + [FULL]


# Requests that overtake each other.


def test_a_subscription_that_is_closed_in_the_same_turn_was_answered_too() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1")
    with bus.turn():
        sub = client.subscribe("foo")
        request = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=sub.inbox)
        answers = client.ask(CLOSE_SUBSCRIPTION, request)
    assert (sub.is_answered, sub.error, sub.messages) == (True, "", [])
    assert answers == [b""]
    assert count_of(bus) == 0


def test_a_client_that_closes_in_the_same_turn_leaves_nothing() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1")
    with bus.turn():
        sub = client.subscribe("foo")
        client.ask("_STAN.close.test-cluster", encoded("CloseRequest", client_id="a"))
    assert (sub.is_answered, sub.messages, count_of(bus)) == (True, [], 0)
    assert stored_keys(bus, KIND_SUBSCRIPTION) == []


@pytest.mark.row(105)
def test_a_group_goes_on_when_who_resumed_it_is_gone_in_the_same_turn() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    a.publish("foo", b"1", b"2")
    a.subscribe("foo", queue="g", durable="d").close()
    with bus.turn():
        first = a.subscribe("foo", queue="g", durable="d")
        second = b.subscribe("foo", queue="g", durable="d")
        request = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=first.inbox)
        a.ask(CLOSE_SUBSCRIPTION, request)
    bus.settle()
    assert first.messages == []
    assert [(message.sequence, message.redelivered) for message in second.messages] == [(1, True), (2, True)]
    a.publish("foo", b"3")
    assert second.sequences == [1, 2, 3]


@pytest.mark.parametrize("inbox", ["a\r\nPUB b 0\r\n", "a b", ".", "a..b"])
def test_an_inbox_that_is_no_subject(inbox: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    request = encoded("SubscriptionRequest", client_id="a", subject="foo", inbox=inbox, max_in_flight=1, ack_wait_s=1)
    answer = client.request("_STAN.sub.test-cluster", request)
    assert decoded("SubscriptionResponse", answer)["error"] == b"stan: invalid subscription request"
    assert bus.core.state.channels == {}


def test_an_inbox_without_a_name_gets_nothing() -> None:
    """A message to it would be a line without a subject for whoever listens to everything."""
    bus = Bus()
    client, listener = bus.connect("a"), bus.dial("listener")
    listener.listen(">")
    assert refusal(client, inbox="", start_position=FIRST, durable_name="d") == ""
    client.publish("foo", b"1")
    bus.advance(100)
    assert all(subject.startswith((b"_STAN.", b"_INBOX.")) for subject, _ in listener.heard)
    cohort = bus.core.state.channels[b"foo"].cohorts[0]
    assert (cohort.last_sent, cohort.window.count) == (0, 0)
    client.close()
    client.connect()
    assert client.subscribe("foo", durable="d").sequences == [1]
