"""Delivery from a store that has nothing at hand: pages come later, in any order, when much has changed meanwhile."""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import SECOND_NS, Bus, Sub
from tests.streaming.slow_bus import SlowBus


def seen(sub: Sub) -> list[tuple[int, int, float]]:
    """What arrived since the last time: sequence, how often it was redelivered, and when it came."""
    return [(message.sequence, message.count, message.at_s) for message in sub.clear()]


def limited(**limits: int) -> CoreOptions:
    """The defaults, but for limits of every channel."""
    made = CoreOptions()
    made.channel_limits = ChannelLimits(**limits)
    return made


def test_answers_that_come_at_once() -> None:
    store = FaultyStore(MemoryStore())
    store.answers_now = False
    bus = Bus(store)
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 3000)
    sub = client.subscribe("foo", auto_ack=True, max_in_flight=100)
    client.publish("foo", *[b"x"] * 1000)
    assert sub.sequences == list(range(1, 4001))
    assert store.reads >= 40


def test_one_page_at_a_time() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=4)
    client.publish("foo", b"1", b"2")
    client.publish("foo", b"3")
    assert sub.messages == []
    assert bus.read() == 1
    client.publish("foo", b"4", b"5")
    assert sub.sequences == [1, 2]
    bus.read_all()
    assert sub.sequences == [1, 2, 3, 4]
    sub.ack(1, 2, 3, 4)
    bus.read_all()
    assert sub.sequences == [1, 2, 3, 4, 5]


@pytest.mark.row(57)
def test_messages_that_come_while_a_page_is_read_need_no_other_occasion() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("foo", b"1")
    client.publish("foo", b"2")
    client.publish("foo", b"3")
    assert bus.read() == 1
    assert sub.sequences == [1]
    bus.read_all()
    assert sub.sequences == [1, 2, 3]


@pytest.mark.row(54, 57)
def test_room_that_came_while_a_page_was_read() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 10)
    sub = client.subscribe("foo", max_in_flight=3)
    bus.read_all()
    sub.ack(1)
    sub.ack(2, 3)
    assert sub.sequences == [1, 2, 3]
    bus.read_all()
    assert sub.sequences == [1, 2, 3, 4, 5, 6]


def test_a_client_that_goes_while_a_page_is_read() -> None:
    bus = SlowBus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo")
    publisher.publish("foo", b"1", b"2")
    client.vanish()
    bus.read_all()
    assert sub.messages == []
    client.return_()
    bus.read_all()
    assert sub.sequences == [1, 2]


def test_a_subscription_that_ends_while_a_page_is_read() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    for fields in ({}, {"durable": "d"}):
        sub = client.subscribe("foo", **fields)  # type: ignore[arg-type]
        client.publish("foo", b"x")
        sub.close()
        bus.read_all()
        assert sub.messages == []
    again = client.subscribe("foo", durable="d")
    bus.read_all()
    assert again.sequences == [1, 2]


def test_a_durable_that_is_resumed_while_a_page_is_read() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 6)
    sub = client.subscribe("foo", durable="d", max_in_flight=2)
    bus.read_all()
    sub.ack(1)
    sub.close()
    again = client.subscribe("foo", durable="d")
    bus.read_all()
    assert sub.sequences == [1, 2]
    assert again.sequences == [2, 3, 4, 5, 6]


@pytest.mark.row(62)
def test_what_is_pending_comes_before_what_is_new_however_the_store_answers() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 6)
    sub = client.subscribe("foo", durable="d", max_in_flight=4)
    bus.read_all()
    sub.ack(2)
    bus.read_all()
    sub.close()
    again = client.subscribe("foo", durable="d")
    client.publish("foo", b"x")
    while bus.read(is_backwards=True):
        pass
    assert again.sequences == [1, 3, 4, 5, 6, 7]
    assert [message.count for message in again.messages] == [1, 1, 1, 1, 0, 0]


@pytest.mark.row(66)
def test_what_was_acknowledged_while_it_was_read_again_is_not_sent() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"1", b"2")
    bus.read_all()
    assert seen(sub) == [(1, 0, 0.0), (2, 0, 0.0)]
    bus.advance(1)
    sub.ack(1)
    bus.read_all()
    assert seen(sub) == [(2, 1, 1.0)]
    bus.advance(1)
    bus.read_all()
    assert seen(sub) == [(2, 2, 2.0)], "only what was sent counts"


@pytest.mark.row(56)
def test_limits_that_overtake_a_page() -> None:
    bus = SlowBus(limited(messages_max=3))
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("foo", b"1", b"2", b"3")
    client.publish("foo", b"4", b"5", b"6", b"7")
    bus.read_all()
    assert sub.sequences == [5, 6, 7], "the page that was asked for is gone, but there is more"


def test_limits_that_overtake_a_part_of_a_page() -> None:
    store = FaultyStore(MemoryStore())
    store.answers_now = False
    bus = Bus(store, limited(messages_max=4))
    client = bus.connect("a")
    store.hold_answers()
    sub = client.subscribe("foo")
    client.publish("foo", b"1", b"2", b"3", b"4")
    client.publish("foo", b"5", b"6")
    with bus.turn():
        store.stop_holding_answers()
    assert sub.sequences == [3, 4, 5, 6]


def test_age_that_overtakes_a_page() -> None:
    bus = SlowBus(limited(age_max_ns=5 * SECOND_NS))
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    bus.advance(4)
    client.publish("foo", b"3")
    sub = client.subscribe("foo")
    bus.advance(2)
    bus.read_all()
    assert sub.sequences == [3]


@pytest.mark.row(59, 61)
def test_a_page_that_cannot_be_read() -> None:
    """It is not asked for again and again, but with the next occasion."""
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("foo", b"1")
    request, bus.slow.waiting = bus.slow.waiting, []
    assert len(request) == 1
    number = bus.core.state.channels[b"foo"].cohorts[0].page_request
    with bus.turn():
        bus.slow.on_page(number, [])
    assert bus.slow.waiting == []
    assert bus.log.texts("error") == ["Error looking up message foo:1 (the store has nothing there)"]
    client.publish("foo", b"2")
    bus.read_all()
    assert sub.sequences == [1, 2]


def test_a_group_is_served_in_order_too() -> None:
    bus = SlowBus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = (client.subscribe("foo", queue="g", ack_wait_s=5) for client in (a, b))
    a.publish("foo", *[b"x"] * 6)
    bus.read_all()
    assert (first.sequences, second.sequences) == ([1, 3, 5], [2, 4, 6])
    second.ack(2, 4, 6)
    first.close()
    bus.read_all()
    assert seen(second)[3:] == [(1, 1, 0.0), (3, 1, 0.0), (5, 1, 0.0)]
    bus.advance(5)
    bus.read_all()
    assert seen(second) == [(1, 2, 5.0), (3, 2, 5.0), (5, 2, 5.0)]


def test_what_moves_on_while_it_is_read_again_is_sent_once() -> None:
    bus = SlowBus()
    a, b = bus.connect("a"), bus.connect("b")
    first = a.subscribe("foo", queue="g", ack_wait_s=5)
    a.publish("foo", b"x")
    bus.read_all()
    bus.advance(5)
    second = b.subscribe("foo", queue="g", ack_wait_s=5)
    first.close()
    bus.read_all()
    assert first.sequences == [1]
    assert seen(second) == [(1, 1, 5.0)]


@pytest.mark.row(73)
def test_what_is_removed_while_it_is_read_again_is_acknowledged_at_the_next_time() -> None:
    bus = SlowBus(limited(messages_max=2))
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1, max_in_flight=1)
    client.publish("foo", b"1")
    bus.read_all()
    bus.advance(1)
    client.publish("foo", b"2", b"3", b"4")
    bus.read_all()
    bus.advance(1)
    bus.read_all()
    assert seen(sub) == [(1, 0, 0.0), (3, 0, 2.0)]


def test_what_is_pending_is_read_in_runs() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 300)
    sub = client.subscribe("foo", durable="d")
    bus.read_all()
    sub.ack(100, 200)
    sub.close()
    again = client.subscribe("foo", durable="d")
    client.publish("foo", b"x")
    reads = 0
    while bus.read():
        reads += 1
    assert again.sequences == [*range(1, 100), *range(101, 200), *range(201, 302)]
    assert reads == 3 + 1


def test_what_is_pending_is_larger_than_a_page() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    for i in range(5):
        client.publish("foo", bytes([i]) * 600_000)
    client.subscribe("foo", durable="d")
    bus.read_all()
    client.subscriptions[0].close()
    sub = client.subscribe("foo", durable="d")
    bus.read()
    sub.ack(4)
    bus.read_all()
    assert [(message.sequence, message.count, message.data[:1]) for message in sub.messages] == [
        (1, 1, b"\0"),
        (2, 1, b"\1"),
        (3, 1, b"\2"),
        (5, 1, b"\4"),
    ]
    assert bus.core.state.channels[b"foo"].cohorts[0].redelivered == {1: 1, 2: 1, 3: 1, 5: 1}


def test_a_client_that_goes_while_its_messages_are_read_again() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"1", b"2")
    bus.read_all()
    seen(sub)
    bus.advance(1)
    client.vanish()
    bus.read_all()
    bus.advance(3.5)
    client.return_()
    bus.read_all()
    assert seen(sub) == [(1, 1, 4.5), (2, 1, 4.5)]


def test_a_store_of_which_some_is_at_hand() -> None:
    """What is old has to be read, what is new has not: the order stays."""
    bus = SlowBus()
    bus.slow.at_hand_from = 6
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 10)
    sub = client.subscribe("foo", durable="d", max_in_flight=9)
    bus.read_all()
    assert sub.sequences == list(range(1, 10))
    sub.ack(4, 7)
    assert sub.sequences == list(range(1, 11))
    sub.close()
    again = client.subscribe("foo", durable="d")
    bus.read_all()
    assert seen(again) == [(number, 1, 0.0) for number in (1, 2, 3, 5, 6, 8, 9, 10)]
