"""Which channels a server owns, what it listens to for them, and that it leaves all others alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.broker.bus import Receiver
from durabus.broker.router import Router
from durabus.streaming.options import CoreOptions
from durabus.streaming.partition import Partition
from durabus.wire.operations import Publish
from durabus.wire.subjects import matches
from tests.streaming.harness import Bus, Client, PubAck, decoded, encoded

PREFIX = b"_STAN.pub.c"
NOBODY = [PubAck("")]
"""What the broker, not the server, answers where nobody listens: a message without anything in it."""

names = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b".".join)
patterns = st.tuples(
    st.lists(st.sampled_from([b"a", b"b", b"*"]), min_size=1, max_size=3), st.sampled_from([b"", b".>"])
).map(lambda parts: b".".join(parts[0]) + parts[1])


class Counter(Receiver):
    """Counts what it gets, by subject."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}

    def on_publish(self, publish: Publish) -> None:
        self.counts[publish.subject] = self.counts.get(publish.subject, 0) + len(publish.payloads)


@given(st.lists(patterns, max_size=5), names)
def test_a_channel_is_owned_by_whoever_has_a_pattern_for_it(owned: list[bytes], name: bytes) -> None:
    assert Partition(owned).owns(name) == (not owned or any(matches(pattern, name) for pattern in owned))


@given(st.lists(patterns, max_size=5), st.lists(names, min_size=1, max_size=8, unique=True))
def test_what_is_owned_is_heard_once_and_nothing_else_is(owned: list[bytes], published: list[bytes]) -> None:
    """However the patterns overlap: the network delivers once for each subscription that matches."""
    router, counter, partition = Router(), Counter(), Partition(owned)
    for subject, receiver in partition.receivers(PREFIX, counter):
        router.subscribe(subject, receiver)
    for name in published:
        router.publish(PREFIX + b"." + name, b"", b"x")
    assert counter.counts == {PREFIX + b"." + name: 1 for name in published if partition.owns(name)}


def test_without_patterns_there_is_one_subscription_for_all() -> None:
    counter = Counter()
    assert Partition([]).receivers(PREFIX, counter) == [(PREFIX + b".>", counter)]


@pytest.mark.row(162)
def test_one_subscription_for_each_pattern() -> None:
    receivers = Partition([b"foo", b"a.>", b"a.b", b"foo"]).receivers(PREFIX, Counter())
    assert [subject for subject, _ in receivers] == [PREFIX + b".foo", PREFIX + b".a.>"], "a.> covers a.b"


# A server with some of the channels.


def partitioned(*patterns: bytes, replace_durable: bool = False) -> Bus:
    """A bus of one server, which owns some channels."""
    options = CoreOptions()
    options.partition = list(patterns)
    options.replace_durable = replace_durable
    return Bus(options=options)


def subscription_request(client: Client, channel: str, **fields: object) -> bytes:
    """A SubscriptionRequest that is in order."""
    return encoded(
        "SubscriptionRequest",
        **{"client_id": client.name, "subject": channel, "ack_wait_s": 1, "max_in_flight": 1, **fields},
    )


@pytest.mark.row(162)
def test_only_channels_of_the_partition_work() -> None:
    bus = partitioned(b"foo", b"bar.*", b"baz.>")
    client = bus.connect("me")
    for channel in ("foo", "bar.a", "baz.a", "baz.a.b"):
        subscription = client.subscribe(channel)
        assert [ack.error for ack in client.publish(channel, b"1", b"2")] == ["", ""]
        assert subscription.sequences == [1, 2]
        assert subscription.unsubscribe() == ""
    for channel in ("fo", "foo.a", "bar", "bar.a.b", "baz", "other"):
        assert not client.subscribe(channel).is_answered
        assert client.publish(channel, b"1") == NOBODY
    bus.advance(10)
    assert sorted(bus.core.state.channels) == [b"bar.a", b"baz.a", b"baz.a.b", b"foo"]


@pytest.mark.row(162)
def test_requests_for_other_channels_are_left_to_other_servers() -> None:
    """What is wrong with a request counts first; then the channel decides; then whether the client is known."""
    bus = partitioned(b"foo")
    client = bus.connect("me")
    subscribe = "_STAN.sub.test-cluster"
    for fields, error in (
        ({"client_id": ""}, "stan: clientID missing"),
        ({"ack_wait_s": 0}, "stan: invalid ack wait time, should be >= 1s"),
        ({"max_in_flight": 0}, "stan: invalid MaxInflight, should be >= 1"),
        ({"start_position": 5}, "stan: invalid start position"),
        ({"subject": "other."}, "stan: invalid subject"),
    ):
        answer = client.request(subscribe, subscription_request(client, "other", **fields))
        assert decoded("SubscriptionResponse", answer)["error"].decode() == error
    assert client.ask(subscribe, subscription_request(client, "other", client_id="stranger")) == []
    for subject in ("_STAN.unsub.test-cluster", "_STAN.subclose.test-cluster"):
        answer = client.request(subject, b"\xff")
        assert decoded("SubscriptionResponse", answer)["error"] == b"stan: invalid unsubscribe request"
        for channel in ("other", ""):
            assert client.ask(subject, encoded("UnsubscribeRequest", client_id="stranger", subject=channel)) == []
        answer = client.request(subject, encoded("UnsubscribeRequest", client_id="me", subject="foo"))
        assert decoded("SubscriptionResponse", answer)["error"] == b"stan: unknown channel"
    bus.advance(10)
    assert bus.core.state.channels == {}


@pytest.mark.row(162)
def test_pings_and_closes_are_answered() -> None:
    """A client that uses only channels of other servers is this server's client all the same."""
    bus = partitioned(b"foo")
    client = bus.connect("me")
    assert client.ping() == ""
    assert client.close() == ""
    assert client.ping() == "client has been replaced or is no longer registered"
    assert client.close() == "stan: unknown clientID"


@pytest.mark.row(162)
def test_a_message_for_a_foreign_channel_is_refused() -> None:
    """The channel is what the message says, and a message that nobody could ever read is not acknowledged."""
    bus = partitioned(b"foo")
    client = bus.connect("me")
    answer = client.request("_STAN.pub.test-cluster.foo", client.publish_message("other", b"x"))
    assert decoded("PubAck", answer)["error"] == b"stan: invalid publish request"
    assert client.publish("foo", b"x")[0].error == ""
    assert sorted(bus.core.state.channels) == [b"foo"]


@pytest.mark.row(162)
def test_a_durable_is_replaced() -> None:
    bus = partitioned(b"foo", replace_durable=True)
    client = bus.connect("me")
    first = client.subscribe("foo", durable="d")
    client.publish("foo", b"1")
    second = client.subscribe("foo", durable="d")
    assert second.error == ""
    client.publish("foo", b"2")
    assert (first.sequences, second.sequences) == ([1], [1, 2])


def test_overlapping_patterns_store_a_message_once() -> None:
    bus = partitioned(b"foo.>", b"foo.bar", b"*.bar")
    client = bus.connect("me")
    assert len(client.publish("foo.bar", b"1")) == 1
    assert len(client.publish("a.bar", b"1")) == 1
    assert [len(bus.stored("foo.bar")), len(bus.stored("a.bar"))] == [1, 1]


def test_a_core_that_takes_over_listens_to_the_same_channels() -> None:
    bus = partitioned(b"foo", b"a.>")
    client = bus.connect("me")
    bus.recover()
    assert client.publish("a.b", b"1")[0].error == ""
    assert client.publish("b", b"1") == NOBODY
