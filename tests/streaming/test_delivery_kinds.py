"""What holds for subscriptions of every kind: when they stall, when their timer runs, and what a restart leaves of it."""

from typing import Any

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import SECOND_NS, Bus, encoded
from tests.streaming.slow_bus import SlowBus

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "durable": {"durable": "d"},
    "group": {"queue": "g"},
    "durable group": {"queue": "g", "durable": "d"},
}
EVERY_KIND = pytest.mark.parametrize("kind", list(KINDS))


def cohort_of(bus: Bus) -> Cohort:
    """The only one who shares a position in `foo`."""
    (cohort,) = bus.core.state.channels[b"foo"].cohorts
    return cohort


def member_of(bus: Bus) -> Member:
    """The only subscription of `foo`."""
    (member,) = cohort_of(bus).members
    return member


def deadline_s(bus: Bus) -> float:
    """The second at which something of the only subscription is due again; negative when nothing is."""
    deadline_ns = member_of(bus).deadline_ns
    return (deadline_ns - bus.start_ns) / SECOND_NS if deadline_ns else -1.0


# Stalling.


@pytest.mark.row(53, 54, 55)
@EVERY_KIND
def test_a_full_window_stalls_and_an_acknowledgement_lets_the_next_one_out(kind: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=2, **KINDS[kind])
    client.publish("foo", *[b"x"] * 5)
    bus.advance(10)
    assert (sub.sequences, member_of(bus).is_stalled()) == ([1, 2], True)
    sub.ack(2)
    assert (sub.sequences, member_of(bus).is_stalled()) == ([1, 2, 3], True)
    sub.ack(1, 3)
    assert (sub.sequences, member_of(bus).is_stalled()) == ([1, 2, 3, 4, 5], True)
    sub.ack(4)
    assert not member_of(bus).is_stalled()


# The timer.


@pytest.mark.row(70)
@EVERY_KIND
def test_the_timer_runs_while_something_is_pending_and_no_longer(kind: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=1, ack_wait_s=5, **KINDS[kind])
    assert deadline_s(bus) < 0
    client.publish("foo", b"1", b"2")
    assert deadline_s(bus) == 5.0, "though it is stalled"
    bus.advance(5)
    assert (sub.sequences, deadline_s(bus)) == ([1, 1], 10.0)
    sub.ack(1)
    sub.ack(2)
    bus.advance(5)
    assert (sub.sequences, deadline_s(bus)) == ([1, 1, 2], -1.0)


@pytest.mark.row(70)
@pytest.mark.parametrize("kind", ["durable", "durable group"])
def test_the_timer_rests_while_nobody_is_there(kind: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    sub = client.subscribe("foo", max_in_flight=1, ack_wait_s=5, **KINDS[kind])
    sub.close()
    shadow = cohort_of(bus).shadow
    assert shadow is not None
    assert (shadow.deadline_ns, shadow.pending) == (0, 1)
    bus.advance(3)
    again = client.subscribe("foo", max_in_flight=1, ack_wait_s=5, **KINDS[kind])
    assert (again.sequences, deadline_s(bus)) == ([1], 10.0), "stalled from the beginning, and the timer runs"
    bus.advance(7)
    assert again.sequences == [1, 1]


# What is due, and in which order.


def pause(bus: Bus, seconds: float) -> None:
    """Let the server sleep through all deadlines, and then wake up."""
    bus.clock.advance(round(seconds * SECOND_NS))
    bus.settle()


@pytest.mark.row(72)
def test_what_was_due_first_goes_first_though_it_was_sent_later() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1")
    client.subscribe("foo", durable="d", ack_wait_s=30).close()
    sub = client.subscribe("foo", durable="d", ack_wait_s=5)
    client.publish("foo", b"2")
    assert [message.sequence for message in sub.clear()] == [1, 2], "of which the first is due at 35 s, the other at 5"
    pause(bus, 36)
    assert [(message.sequence, message.at_s) for message in sub.messages] == [(2, 36.0), (1, 36.0)]


@pytest.mark.row(72)
def test_of_what_is_due_at_the_same_time_the_lower_sequence_goes_first() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = (client.subscribe("foo", queue="g", ack_wait_s=5) for client in (a, b))
    b.publish("foo", b"1", b"2")
    first.close()
    assert [message.sequence for message in second.clear()] == [2, 1]
    bus.advance(5)
    assert [message.sequence for message in second.messages] == [1, 2]


@pytest.mark.row(60, 73)
@EVERY_KIND
def test_what_limits_removed_while_it_was_pending_is_not_sent_again_and_makes_room(kind: str) -> None:
    options = CoreOptions()
    options.channel_limits = ChannelLimits(messages_max=2)
    bus = Bus(options=options)
    client = bus.connect("a")
    subs = [client.subscribe("foo", max_in_flight=2, ack_wait_s=1, **KINDS[kind])]
    if "group" in kind:
        subs.append(client.subscribe("foo", max_in_flight=2, ack_wait_s=1, **KINDS[kind]))
    pending = list(range(1, 2 * len(subs) + 1))
    for _ in range(2 * len(pending)):
        client.publish("foo", b"x")
    assert sorted(number for sub in subs for number in sub.sequences) == pending
    for sub in subs:
        sub.clear()
    bus.advance(1)
    arrived = [(message.sequence, message.redelivered) for sub in subs for message in sub.messages]
    last = 2 * len(pending)
    assert sorted(arrived) == [(last - 1, False), (last, False)]
    assert sorted(cohort_of(bus).window.sequences()) == [last - 1, last]


# Redeliveries that something overtakes.


@pytest.mark.row(66)
@EVERY_KIND
def test_an_acknowledgement_that_comes_while_a_message_is_read_again(kind: str) -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1, **KINDS[kind])
    client.publish("foo", b"1")
    bus.read_all()
    bus.advance(1)
    assert len(bus.slow.waiting) == 1
    sub.ack(1)
    bus.read_all()
    bus.advance(10)
    bus.read_all()
    assert sub.sequences == [1]


@pytest.mark.row(58, 78)
@EVERY_KIND
def test_a_subscription_that_ends_while_its_messages_are_read(kind: str) -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1, **KINDS[kind])
    client.publish("foo", b"1", b"2")
    bus.read_all()
    bus.advance(1)
    client.publish("foo", b"3")
    assert len(bus.slow.waiting) == 2, "what is due again, and what is new"
    sub.close()
    client.subscriptions.append(sub)  # to hear what must not come
    client.listen(sub.inbox)
    bus.read_all()
    bus.advance(10)
    bus.read_all()
    assert sub.sequences == [1, 2]


@pytest.mark.row(58, 78)
@EVERY_KIND
def test_while_the_end_of_a_subscription_is_being_stored_nothing_is_sent_to_it(kind: str) -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1, max_in_flight=1, **KINDS[kind])
    client.publish("foo", b"1", b"2")
    store.hold()
    request = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=sub.ack_inbox)
    answers = client.ask("_STAN.subclose.test-cluster", request)
    sub.ack(1)
    bus.advance(5)
    assert (sub.sequences, answers) == ([1], [])
    with bus.turn():
        store.stop_holding()
    bus.advance(5)
    assert (sub.sequences, answers) == ([1], [b""])


@pytest.mark.row(58)
@pytest.mark.parametrize("how", ["close", "unsubscribe", "close the client"])
@EVERY_KIND
def test_nothing_is_sent_to_a_subscription_that_has_ended(kind: str, how: str) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=1, **KINDS[kind])
    publisher.publish("foo", b"1")
    ends = {"close": sub.close, "unsubscribe": sub.unsubscribe, "close the client": client.close}
    assert ends[how]() == ""
    client.listen(sub.inbox)
    client.heard.clear()
    publisher.publish("foo", b"2")
    bus.advance(10)
    assert sub.inbox.encode() not in {subject for subject, _ in client.heard}
    assert bus.core.state.statistics.out_messages == 1


# Each for itself.


@pytest.mark.row(75)
@pytest.mark.parametrize("restarts", [False, True])
def test_each_subscription_is_redelivered_to_on_its_own_account(restarts: bool) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    fast, slow, done = (client.subscribe("foo", ack_wait_s=wait_s) for wait_s in (5, 60, 5))
    publisher.publish("foo", b"1")
    done.ack(1)
    if restarts:
        bus.restart()
    for sub in (fast, slow, done):
        sub.clear()
    bus.advance(20)
    assert set(fast.sequences) == {1}
    assert (slow.sequences, done.sequences) == ([], [])
    fast.ack(1)
    fast.clear()
    bus.advance(50)
    assert (fast.sequences, slow.sequences, done.sequences) == ([], [1], [])


# A restart.


@pytest.mark.row(76)
@EVERY_KIND
def test_what_was_stalled_before_a_restart_is_redelivered_to_and_still_stalled(kind: str) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", max_in_flight=1, ack_wait_s=5, **KINDS[kind])
    publisher.publish("foo", b"1", b"2")
    bus.restart()
    sub.clear()
    bus.advance(6)
    assert {(message.sequence, message.redelivered) for message in sub.messages} == {(1, True)}
    sub.ack(1)
    assert sub.first_deliveries == [2]


@pytest.mark.row(77)
@EVERY_KIND
def test_what_was_not_stalled_before_a_restart_gets_new_messages_at_once(kind: str) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", max_in_flight=3, **KINDS[kind])
    publisher.publish("foo", b"1", b"2")
    bus.restart()
    sub.clear()
    publisher.publish("foo", b"3", b"4")
    assert sub.first_deliveries == [3], "two are pending of three"
    sub.ack(1)
    assert sub.first_deliveries == [3, 4]
