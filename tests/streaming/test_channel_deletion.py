"""Channels that are deleted because nobody uses them, on stores that fail or take their time.

When they are deleted, and what keeps them, is in test_retention.py.
"""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import REFUSED
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import SECOND_NS, Bus, at_once, decoded, encoded

WHY = "the disk is full"


def two_seconds() -> tuple[Bus, FaultyStore]:
    """A bus whose channels go after two seconds without use, on a store that does as a test wants."""
    options = CoreOptions()
    options.channel_limits.inactivity_max_ns = 2 * SECOND_NS
    store = FaultyStore(MemoryStore())
    return Bus(store, options), store


@pytest.mark.row(114)
def test_a_channel_that_the_store_cannot_delete_is_tried_again_after_its_time() -> None:
    bus, store = two_seconds()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    client.subscribe("foo", durable="d").close()
    bus.advance(1)
    store.fail(REFUSED, WHY)
    bus.advance(1)
    assert bus.core.must_recover
    bus.recover()
    assert bus.core.state.channels[b"foo"].subscription_count == 1
    assert [message.data for message in bus.stored("foo")] == [b"1", b"2"]
    bus.advance(1.999)
    assert b"foo" in bus.core.state.channels
    bus.advance(0.001)
    assert b"foo" not in bus.core.state.channels
    assert at_once(store.recover(None)).channels == []


@pytest.mark.row(115)
def test_who_comes_while_a_channel_is_being_deleted_finds_a_new_one() -> None:
    """Deleting is decided in one step, so nobody meets a half-deleted channel, however long the store takes."""
    bus, store = two_seconds()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    durable = client.subscribe("foo", durable="d")
    durable.close()
    store.hold()
    bus.advance(2)
    assert store.held_count == 1
    unsubscribe = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=durable.ack_inbox)
    unsubscribed = client.ask("_STAN.unsub.test-cluster", unsubscribe)
    acks = client.publish("foo", b"anew")
    sub = client.subscribe("foo", durable="d")
    assert (unsubscribed, acks, sub.is_answered) == ([], [], False)
    with bus.turn():
        store.stop_holding()
    assert [decoded("SubscriptionResponse", answer)["error"] for answer in unsubscribed] == [b"stan: unknown channel"]
    assert [ack.error for ack in acks] == [""]
    assert [(message.sequence, message.data, message.count) for message in sub.messages] == [(1, b"anew", 0)]
    assert [message.data for message in bus.stored("foo")] == [b"anew"]
    bus.restart()
    assert [message.data for message in bus.stored("foo")] == [b"anew"]
