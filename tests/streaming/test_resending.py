"""What is to be sent again to a member is one queue, whatever the store answers and whenever."""

import sys

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.cohort import Member
from durabus.streaming.options import CoreOptions
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import Bus, Sub
from tests.streaming.slow_bus import SlowBus


def only_member(bus: Bus) -> Member:
    (cohort,) = bus.core.state.channels[b"foo"].cohorts
    (member,) = cohort.members
    return member


def bus_with_pending(count: int, ack_wait_s: int = 5) -> tuple[SlowBus, Sub]:
    """Messages in flight, each sent in a second of its own, from a store that has nothing at hand."""
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=ack_wait_s)
    for _ in range(count):
        client.publish("foo", b"x")
        bus.read_all()
        bus.advance(1)
    sub.clear()
    return bus, sub


def test_what_becomes_due_waits_behind_what_is_being_read() -> None:
    bus, sub = bus_with_pending(4)
    bus.advance(3)
    assert len(bus.slow.waiting) == 1, "the first is being read, and nothing else is asked for"
    member = only_member(bus)
    assert (member.is_resending, member.to_resend, member.cohort.again_reads) == (True, [1, 2, 3], 1)
    bus.slow.at_hand_from = 2
    assert bus.read() == 1
    assert sub.sequences == [1, 2, 3]
    assert (member.is_resending, member.to_resend, member.cohort.again_reads) == (False, [], 0)


def test_what_becomes_due_again_while_it_waits_is_sent_once() -> None:
    bus, sub = bus_with_pending(3)
    bus.advance(12)
    assert len(bus.slow.waiting) == 1
    assert only_member(bus).to_resend == [1, 2, 3]
    bus.read_all()
    assert sub.sequences == [1, 2, 3]
    assert [message.count for message in sub.messages] == [1, 1, 1]


def test_what_is_acknowledged_while_it_waits_is_not_sent() -> None:
    bus, sub = bus_with_pending(4)
    sub.ack(2)
    bus.advance(4)
    assert only_member(bus).to_resend == [1, 3, 4]
    sub.ack(1, 4)
    bus.slow.at_hand_from = 3
    bus.read_all()
    assert sub.sequences == [3]


def test_answers_within_the_call_are_not_calls_within_calls() -> None:
    """Every other message is pending, so each is a read of its own: far more than calls may be nested."""
    store = FaultyStore(MemoryStore())
    store.answers_now = False
    options = CoreOptions()
    bus = Bus(store, options)
    client = bus.connect("a")
    count = 3 * sys.getrecursionlimit()
    sub = client.subscribe("foo", durable="d", max_in_flight=count)
    client.publish("foo", *[b"x"] * count)
    sub.ack(*range(2, count + 1, 2))
    sub.close()
    again = client.subscribe("foo", durable="d", max_in_flight=count)
    client.publish("foo", b"new")
    assert again.sequences == [*range(1, count + 1, 2), count + 1]


@pytest.mark.parametrize("is_resumed", [True, False])
def test_who_goes_while_new_messages_wait_for_the_rest_gets_the_rest_first(is_resumed: bool) -> None:
    """What was only due again may wait for its next time; what new messages waited for may not be overtaken."""
    bus, _ = bus_with_pending(2, ack_wait_s=60)
    client, publisher = bus.clients[0], bus.connect("p")
    durable = client.subscribe("foo", durable="d", ack_wait_s=60, start=4)
    bus.read_all()
    if is_resumed:
        durable.close()
        durable = client.subscribe("foo", durable="d", ack_wait_s=60)
    else:
        bus.advance(60)
    durable.clear()
    client.vanish()
    bus.read_all()
    bus.slow.at_hand_from = 1
    publisher.publish("foo", b"new")
    client.return_()
    assert durable.sequences == ([1, 2, 3] if is_resumed else [3])


def test_while_nobody_listens_nothing_is_counted_as_sent() -> None:
    bus, sub = bus_with_pending(1)
    bus.advance(4)
    assert len(bus.slow.waiting) == 1
    sent = bus.core.state.statistics.out_messages
    member = only_member(bus)
    member.on_inbox(False)
    bus.read_all()
    assert bus.core.state.statistics.out_messages == sent
    assert (member.is_resending, member.to_resend) == (False, [])
    assert member.cohort.redelivered == {}
    assert sub.messages == []
