"""What was in flight before a restart: due AckWait after it was stored, and never overtaken by what is new."""

import pytest

from durabus.clock import ManualClock
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import Batch
from tests.streaming.harness import SECOND_NS, Bus, Sub
from tests.streaming.slow_bus import SlowBus


def seen(sub: Sub) -> list[tuple[int, int, float]]:
    """What arrived since the last time: sequence, how often it was redelivered, and when it came."""
    return [(message.sequence, message.count, message.at_s) for message in sub.clear()]


@pytest.mark.row(74)
@pytest.mark.parametrize("crash", [False, True])
def test_a_message_is_due_ack_wait_after_it_was_stored(crash: bool) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=30)
    publisher.publish("foo", b"1")
    bus.advance(4)
    publisher.publish("foo", b"2", b"3")
    bus.advance(6)
    sub.clear()
    bus.restart(crash=crash, absent_s=5)
    bus.advance(60)
    assert seen(sub) == [(1, 1, 30), (2, 1, 34), (3, 1, 34), (1, 2, 60), (2, 2, 64), (3, 2, 64)]


@pytest.mark.row(74)
def test_a_message_whose_time_has_passed_goes_out_at_once_and_what_is_not_due_does_not() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=30)
    publisher.publish("foo", b"1", b"2")
    bus.advance(20)
    publisher.publish("foo", b"3")
    sub.ack(2)
    bus.advance(1)
    sub.clear()
    bus.restart(crash=True, absent_s=15)
    assert seen(sub) == [(1, 1, 36)]
    bus.advance(15)
    assert seen(sub) == [(3, 1, 50)]


@pytest.mark.row(74)
def test_in_a_group_it_goes_to_the_member_that_had_it() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "ab"]
    subs = [client.subscribe("foo", queue="q", durable="d", ack_wait_s=5) for client in clients]
    clients[0].publish("foo", *[b"x"] * 4)
    assert [sub.sequences for sub in subs] == [[1, 3], [2, 4]]
    bus.advance(4)
    subs[1].ack(2)
    for sub in subs:
        sub.clear()
    bus.core.save_cursors()
    bus.core.end_turn()
    bus.clock.advance(2 * SECOND_NS)
    bus.recover()
    assert [seen(sub) for sub in subs] == [[(1, 1, 6), (3, 1, 6)], [(4, 1, 6)]]


@pytest.mark.parametrize("fields", [{}, {"durable": "d"}, {"queue": "q"}, {"durable": "d", "queue": "q"}])
def test_new_messages_bring_forward_what_is_not_due_yet(fields: dict[str, str]) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=30, **fields)  # type: ignore[arg-type]
    publisher.publish("foo", b"1", b"2", b"3")
    bus.advance(1)
    sub.ack(2)
    bus.restart()
    sub.clear()
    bus.advance(2)
    assert sub.messages == []
    publisher.publish("foo", b"4")
    publisher.publish("foo", b"5")
    assert seen(sub) == [(1, 1, 3), (3, 1, 3), (4, 0, 3), (5, 0, 3)]
    bus.advance(30)
    assert seen(sub) == [(4, 1, 33), (5, 1, 33)], "what was brought forward is due after its next AckWait"
    bus.advance(27)
    assert seen(sub) == [(1, 2, 60), (3, 2, 60)]


def test_nothing_is_brought_forward_while_the_window_is_full() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", max_in_flight=2)
    publisher.publish("foo", b"1", b"2", b"3")
    bus.restart()
    sub.clear()
    bus.advance(5)
    assert sub.messages == []
    sub.ack(2)
    assert seen(sub) == [(1, 1, 5), (3, 0, 5)]


def test_who_is_away_gets_it_at_the_return() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=2)
    publisher.publish("foo", b"1")
    bus.advance(1)
    client.vanish()
    sub.clear()
    bus.restart(crash=True, absent_s=5)
    publisher.publish("foo", b"2")
    bus.advance(10)
    client.return_()
    assert seen(sub)[0] == (1, 1, 16), "a copy that nobody could hear would only have been counted"
    assert [member.pending for member in bus.core.state.channels[b"foo"].cohorts[0].members] == [2]


def test_a_resumed_durable_gets_everything_once() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    client.subscribe("foo", durable="d")
    publisher.publish("foo", b"1", b"2")
    bus.restart()
    client.vanish()
    again = bus.connect("a")
    sub = again.subscribe("foo", durable="d")
    assert seen(sub) == [(1, 1, 0), (2, 1, 0)]
    publisher.publish("foo", b"3")
    assert seen(sub) == [(3, 0, 0)]


def test_a_clock_that_was_set_back_postpones_nothing_beyond_ack_wait() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=30)
    publisher.publish("foo", b"1")
    bus.advance(1)
    sub.clear()
    now_ns = bus.clock.monotonic_ns()
    bus.clock = ManualClock(bus.clock.wall_ns() - 3600 * SECOND_NS - now_ns)
    bus.clock.advance(now_ns)
    bus.restart()
    bus.advance(30)
    assert seen(sub) == [(1, 1, 31)]


# From a store that has nothing at hand.


def slow_bus(*, limit: int = 0) -> tuple[SlowBus, Sub]:
    """Three messages in flight, stored at 0 s, at 5 s; the store has been asked for nothing yet after a restart."""
    options = CoreOptions()
    options.channel_limits.messages_max = limit
    bus = SlowBus(options)
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=30)
    publisher.publish("foo", b"1", b"2", b"3")
    bus.read_all()
    bus.advance(5)
    sub.clear()
    bus.restart()
    return bus, sub


def test_nothing_new_goes_out_until_it_is_known_what_is_due() -> None:
    bus, sub = slow_bus()
    bus.clients[1].publish("foo", b"4")
    assert sub.messages == [] and len(bus.slow.waiting) == 1
    bus.advance(20)
    assert sub.messages == []
    bus.read_all()
    assert seen(sub) == [(1, 1, 25), (2, 1, 25), (3, 1, 25), (4, 0, 25)]


def test_nothing_new_overtakes_what_became_due_behind_a_full_window() -> None:
    bus = SlowBus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=5, max_in_flight=2)
    publisher.publish("foo", b"1", b"2", b"3")
    bus.read_all()
    sub.clear()
    client.vanish()
    bus.restart()
    bus.advance(6)
    bus.read_all()
    bus.slow.at_hand_from = 3
    client.return_()
    bus.advance(1)
    sub.ack(1)
    assert sub.messages == []
    bus.read_all()
    assert [number for number, _, _ in seen(sub)] == [2, 3]


def test_times_are_known_when_it_was_read() -> None:
    bus, sub = slow_bus()
    bus.read_all()
    bus.advance(25)
    assert sub.messages == []
    bus.read_all()
    assert [number for number, _, _ in seen(sub)] == [1, 2, 3]


def test_what_is_acknowledged_while_it_is_read_is_done() -> None:
    bus, sub = slow_bus()
    sub.ack(1, 3)
    bus.read_all()
    bus.advance(25)
    bus.read_all()
    assert sub.sequences == [2]


def test_a_time_that_passes_while_it_is_read() -> None:
    bus, sub = slow_bus()
    bus.advance(26)
    bus.read_all()
    assert [number for number, _, _ in seen(sub)] == [1, 2, 3]


def test_a_subscription_that_is_resumed_while_it_is_read() -> None:
    bus, sub = slow_bus()
    client = bus.clients[0]
    assert sub.close() == ""
    again = client.subscribe("foo", durable="d")
    bus.clients[1].publish("foo", b"4")
    bus.read_all()
    assert again.sequences == [1, 2, 3, 4]
    assert bus.core.state.channels[b"foo"].cohorts[0].again_reads == 0


def test_a_member_that_leaves_while_it_is_read() -> None:
    bus, sub = slow_bus()
    assert sub.unsubscribe() == ""
    bus.read_all()
    assert sub.messages == []
    assert bus.core.state.channels[b"foo"].cohorts == []


def test_a_channel_that_is_deleted_while_it_is_read() -> None:
    bus, sub = slow_bus()
    bus.core.state.channels[b"foo"].limits.inactivity_max_ns = SECOND_NS
    bus.clients[1].publish("foo", b"4")
    assert sub.close() == ""
    bus.advance(2)
    assert bus.core.state.channels == {}
    bus.read_all()
    assert sub.messages == []


def test_what_limits_removed_since_is_pending_no_more() -> None:
    bus, sub = slow_bus(limit=3)
    bus.clients[1].publish("foo", b"4", b"5")
    bus.read_all()
    assert [number for number, _, _ in seen(sub)] == [3, 4, 5]
    bus.advance(30)
    bus.read_all()
    assert sorted(bus.core.state.channels[b"foo"].cohorts[0].window.sequences()) == [3, 4, 5]


def test_a_message_that_cannot_be_read_does_not_hold_the_others() -> None:
    bus, sub = slow_bus()
    damage = Batch(1, 0)
    damage.floors = {1: 3}  # behind the back of the core
    bus.slow.inner.submit(damage)
    bus.read_all()
    assert sub.messages == []
    bus.advance(25)
    bus.read_all()
    assert seen(sub) == [(3, 1, 30)]
    bus.clients[1].publish("foo", b"4")
    bus.read_all()
    assert seen(sub) == [(4, 0, 30)]
