"""Queue groups: who gets which message, and what becomes of it when its member goes, hangs or is away."""

import pytest

from durabus.streaming.cohort import Cohort
from durabus.streaming.options import CoreOptions
from tests.streaming.harness import SECOND_NS, Bus, Client, Sub, encoded

Seen = list[tuple[int, int, float]]


def seen(sub: Sub) -> Seen:
    """What arrived since the last time: sequence, how often it was redelivered, and when it came."""
    return [(message.sequence, message.count, message.at_s) for message in sub.clear()]


def join(
    *clients: Client, durable: str = "", max_in_flight: int = 1024, ack_wait_s: int = 30, auto_ack: bool = False
) -> list[Sub]:
    """A member of group `g` for each client."""
    return [
        client.subscribe(
            "foo",
            queue="g",
            durable=durable,
            max_in_flight=max_in_flight,
            ack_wait_s=ack_wait_s,
            auto_ack=auto_ack,
        )
        for client in clients
    ]


def group(bus: Bus) -> Cohort:
    """The one group of the channel."""
    cohorts = bus.core.state.channels[b"foo"].cohorts
    assert len(cohorts) == 1
    return cohorts[0]


def pending(bus: Bus) -> dict[bytes, int]:
    """How many messages each client's member holds."""
    return {member.record.client_id: int(member.pending) for member in group(bus).everybody()}


def heartbeats(interval_s: float, timeout_s: float, failures_max: int) -> CoreOptions:
    """Options with a heartbeat formula of their own."""
    options = CoreOptions()
    options.heartbeat_interval_ns = round(interval_s * SECOND_NS)
    options.heartbeat_timeout_ns = round(timeout_s * SECOND_NS)
    options.heartbeat_failures_max = failures_max
    return options


# Who gets which.


@pytest.mark.row(90)
@pytest.mark.parametrize("auto_ack", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_idle_members_take_turns(auto_ack: bool, at_once: bool) -> None:
    bus = Bus()
    a, b, c = (bus.connect(name) for name in "abc")
    subs = join(a, b, c, auto_ack=auto_ack)
    for count in [12] if at_once else [1] * 12:
        a.publish("foo", *[b"x"] * count)
    assert [sub.sequences for sub in subs] == [[1, 4, 7, 10], [2, 5, 8, 11], [3, 6, 9, 12]]


@pytest.mark.row(90)
def test_whoever_has_least_in_flight_is_next() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a)
    a.publish("foo", b"x", b"x", b"x")
    (second,) = join(b)
    a.publish("foo", b"x", b"x", b"x")
    assert (first.sequences, second.sequences) == ([1, 2, 3], [4, 5, 6])
    second.ack(4, 5)
    a.publish("foo", b"x")
    assert second.sequences == [4, 5, 6, 7]


def test_members_of_one_client_are_members_like_others() -> None:
    bus = Bus()
    client = bus.connect("a")
    subs = join(client, client)
    client.publish("foo", *[b"x"] * 4)
    assert [sub.sequences for sub in subs] == [[1, 3], [2, 4]]


@pytest.mark.row(91)
def test_a_stalled_member_is_passed_over() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,), (second,) = join(a, max_in_flight=1), join(b, max_in_flight=10)
    a.publish("foo", *[b"x"] * 5)
    assert (first.sequences, second.sequences) == ([1], [2, 3, 4, 5])


@pytest.mark.row(55, 91)
def test_a_group_is_stalled_when_all_of_it_is() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, max_in_flight=2)
    a.publish("foo", *[b"x"] * 8)
    assert (first.sequences, second.sequences) == ([1, 3], [2, 4])
    second.ack(4)
    assert (first.sequences, second.sequences) == ([1, 3], [2, 4, 5])
    first.ack(1, 3)
    assert (first.sequences, second.sequences) == ([1, 3, 6, 7], [2, 4, 5])
    (third,) = join(a)
    assert third.sequences == [8], "one more member opens a way, too"


@pytest.mark.row(103)
def test_members_with_different_windows() -> None:
    bus = Bus()
    a, b, c = (bus.connect(name) for name in "abc")
    subs = [*join(a, max_in_flight=1), *join(b, max_in_flight=2), *join(c, max_in_flight=3)]
    a.publish("foo", *[b"x"] * 10)
    assert [sub.sequences for sub in subs] == [[1], [2, 4], [3, 5, 6]]
    subs[1].ack(2)
    assert [sub.sequences for sub in subs] == [[1], [2, 4, 7], [3, 5, 6]]


def test_a_member_that_fails_its_heartbeats_comes_last() -> None:
    bus = Bus(options=heartbeats(2, 1, 10))
    a, b = bus.connect("a"), bus.connect("b")
    (first,), (second,) = join(a, max_in_flight=2), join(b, max_in_flight=4)
    a.hangs = True
    bus.advance(3.1)
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 1
    b.publish("foo", *[b"x"] * 8)
    assert (first.sequences, second.sequences) == ([5, 6], [1, 2, 3, 4]), "only when the others are full"
    second.ack(1)
    assert second.sequences == [1, 2, 3, 4, 7]
    a.hangs = False
    bus.advance(3)
    second.ack(2, 3)
    first.ack(5)
    b.publish("foo", b"x")
    assert first.sequences == [5, 6, 9], "as soon as it answers, it is a member like others"


# Again.


@pytest.mark.row(68, 98)
def test_what_is_due_goes_to_whoever_has_least_in_flight() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a, ack_wait_s=5)
    a.publish("foo", b"x")
    (second,) = join(b, ack_wait_s=2)
    bus.advance(9.5)
    assert seen(first) == [(1, 0, 0.0), (1, 2, 7.0)]
    assert seen(second) == [(1, 1, 5.0)], "it is due again after the AckWait of whoever has it now"
    assert pending(bus) == {b"a": 1, b"b": 0}
    first.ack(1)
    bus.advance(100)
    assert seen(first) == seen(second) == []


@pytest.mark.row(65)
def test_counts_go_on_from_member_to_member() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "abc"]
    subs = join(*clients, ack_wait_s=1)
    clients[0].publish("foo", b"x")
    bus.advance(5.5)
    history = sorted((message.at_s, message.count) for sub in subs for message in sub.messages)
    assert history == [(0.0, 0), (1.0, 1), (2.0, 2), (3.0, 3), (4.0, 4), (5.0, 5)]
    assert len([sub for sub in subs if sub.messages]) == 3


def test_a_message_is_with_one_member_at_a_time() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "abc"]
    subs = join(*clients, ack_wait_s=1, max_in_flight=4)
    clients[0].publish("foo", *[b"x"] * 40)
    for _ in range(20):
        arrived = sorted(message.sequence for sub in subs for message in sub.clear())
        assert arrived == list(range(1, len(arrived) + 1)), "each one once"
        assert sum(pending(bus).values()) == group(bus).window.count == len(arrived)
        assert 12 <= len(arrived) <= 12 + 3, "hardly more than the windows"
        bus.advance(1)


@pytest.mark.row(67)
def test_a_redelivery_does_not_ask_the_window() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, ack_wait_s=1, max_in_flight=1)
    a.publish("foo", b"x", b"x", b"x")
    bus.advance(1)
    assert sorted(first.sequences + second.sequences) == [1, 1, 2, 2]
    assert sum(pending(bus).values()) == 2
    first.ack(1, 2)
    assert sorted(first.sequences + second.sequences) == [1, 1, 2, 2, 3]


def test_a_message_that_is_due_again_makes_room_where_it_was() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,), (second,) = join(a, ack_wait_s=1, max_in_flight=1), join(b, ack_wait_s=1, max_in_flight=2)
    a.publish("foo", b"x", b"x", b"x", b"x")
    assert (first.sequences, second.sequences) == ([1], [2, 3])
    bus.advance(1)
    assert pending(bus) == {b"a": 2, b"b": 2}
    assert second.sequences[-1] == 4, "one moved from the second to the first, though that was full"


@pytest.mark.row(99)
def test_any_member_may_acknowledge() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, ack_wait_s=5, max_in_flight=1)
    a.publish("foo", b"x", b"x", b"x")
    assert (first.sequences, second.sequences) == ([1], [2])
    second.ack(1)
    assert first.sequences == [1, 3], "it makes room for whoever held it"
    bus.advance(5)
    assert 1 not in first.sequences[2:] + second.sequences[1:]


@pytest.mark.row(99)
def test_the_former_member_may_acknowledge_what_was_moved() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a, ack_wait_s=5)
    a.publish("foo", b"x")
    (second,) = join(b, ack_wait_s=5)
    bus.advance(5)
    assert seen(second) == [(1, 1, 5.0)]
    first.ack(1)
    bus.advance(100)
    assert (first.sequences, second.sequences) == ([1], [])
    assert pending(bus) == {b"a": 0, b"b": 0}


@pytest.mark.row(71)
def test_a_group_whose_only_member_fails_its_heartbeats_is_redelivered_to() -> None:
    bus = Bus(options=heartbeats(2, 1, 10))
    a, b = bus.connect("a"), bus.connect("b")
    a.hangs = True
    (first,) = join(a, ack_wait_s=2)
    b.publish("foo", b"x")
    bus.advance(9)
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 3
    assert seen(first) == [(1, 0, 0.0), (1, 1, 2.0), (1, 2, 4.0), (1, 3, 6.0), (1, 4, 8.0)]


def test_a_member_that_hangs_keeps_what_it_has_until_ack_wait() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a, ack_wait_s=5)
    a.publish("foo", b"x")
    a.hangs = True
    (second,) = join(b, ack_wait_s=5, auto_ack=True)
    bus.advance(20)
    assert seen(first) == [(1, 0, 0.0)]
    assert seen(second) == [(1, 1, 5.0)]


def test_everything_of_a_member_that_hangs_reaches_others_in_the_end() -> None:
    bus = Bus(options=heartbeats(2, 1, 100))
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, ack_wait_s=3, auto_ack=True)
    a.hangs = True
    b.publish("foo", *[b"x"] * 20)
    assert first.sequences == list(range(1, 20, 2))
    bus.advance(60)
    assert sorted(set(second.sequences)) == list(range(1, 21))
    assert pending(bus) == {b"a": 0, b"b": 0}


# Members who leave.


@pytest.mark.row(92)
def test_what_a_member_held_is_spread_in_the_order_in_which_it_was_due() -> None:
    bus = Bus()
    a, b, c = (bus.connect(name) for name in "abc")
    leaving, *others = join(a, b, c, ack_wait_s=10)
    for _ in range(4):
        c.publish("foo", b"x", b"x", b"x")
        bus.advance(1)
    assert leaving.sequences == [1, 4, 7, 10]
    for sub in others:
        sub.ack(*sub.sequences)
        sub.clear()
    leaving.close()
    assert sorted(message for sub in others for message in seen(sub)) == [
        (1, 1, 4.0),
        (4, 1, 4.0),
        (7, 1, 4.0),
        (10, 1, 4.0),
    ]
    assert pending(bus) == {b"b": 2, b"c": 2}
    bus.advance(9.9)
    assert [seen(sub) for sub in others] == [[], []]
    bus.advance(0.1)
    assert {(count, at_s) for sub in others for _, count, at_s in seen(sub)} == {(2, 14.0)}, (
        "AckWait after it was moved"
    )


def test_what_a_member_held_was_redelivered_before() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a, ack_wait_s=1)
    a.publish("foo", b"x")
    bus.advance(2)
    (second,) = join(b)
    first.close()
    assert seen(second) == [(1, 3, 2.0)]


def test_a_member_that_leaves_while_the_other_one_only_begins() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a)
    a.publish("foo", b"x", b"x")
    with bus.turn():
        (second,) = join(b)
        request = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=first.inbox)
        a.ask("_STAN.subclose.test-cluster", request)
    bus.settle()
    assert seen(second) == [(1, 1, 0.0), (2, 1, 0.0)]


def test_a_member_that_leaves_when_all_others_are_away() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, ack_wait_s=30)
    a.publish("foo", b"x", b"x", b"x")
    b.vanish()
    first.close()
    bus.advance(10)
    assert pending(bus) == {b"b": 3}
    assert second.sequences == [2]
    second.clear()
    b.return_()
    assert sorted(seen(second)) == [(1, 1, 10.0), (3, 1, 10.0)], "what it had before is not due yet"
    bus.advance(20)
    assert sorted(seen(second)) == [(1, 2, 30.0), (2, 1, 30.0), (3, 2, 30.0)], "the rest was due when it was moved"


def test_a_client_that_closes_leaves_all_its_groups() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    mine = [a.subscribe(channel, queue="g") for channel in ("foo", "bar")]
    for channel in ("foo", "bar"):
        b.publish(channel, b"x")
    theirs = [b.subscribe(channel, queue="g") for channel in ("foo", "bar")]
    a.close()
    assert [sub.sequences for sub in mine + theirs] == [[1]] * 4


@pytest.mark.row(93)
def test_a_group_without_members_is_gone() -> None:
    bus = Bus()
    client = bus.connect("a")
    first, second = join(client, client)
    client.publish("foo", b"x")
    first.close()
    second.close()
    assert bus.core.state.channels[b"foo"].cohorts == []
    assert seen(join(client)[0]) == [(1, 0, 0.0)], "a new one begins where it wants to"


# Durable groups.


@pytest.mark.row(94)
def test_a_durable_group_outlives_its_members() -> None:
    bus = Bus()
    a, b, c = (bus.connect(name) for name in "abc")
    first, second = join(a, b, durable="d", max_in_flight=2)
    c.publish("foo", *[b"x"] * 6)
    assert (first.sequences, second.sequences) == ([1, 3], [2, 4])
    first.ack(1)
    assert first.sequences == [1, 3, 5]
    a.close()
    b.close()
    assert sum(pending(bus).values()) == 4
    bus.advance(100)
    (third,) = join(c, durable="d", ack_wait_s=10)
    arrived = seen(third)
    assert [sequence for sequence, _, _ in arrived] == [2, 3, 4, 5, 6]
    assert {count > 0 for sequence, count, _ in arrived if sequence < 6} == {True}
    assert arrived[-1] == (6, 0, 100.0)
    assert group(bus).shadow is None


def test_the_position_of_a_durable_group_is_that_of_whoever_came_furthest() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, durable="d", auto_ack=True)
    a.publish("foo", *[b"x"] * 5)
    first.close()
    a.publish("foo", b"x")
    assert second.sequences == [2, 4, 6]
    second.close()
    a.publish("foo", b"x")
    assert seen(join(a, durable="d")[0]) == [(7, 0, 0.0)]


def test_counts_of_a_durable_group_go_on() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a, durable="d", ack_wait_s=1)
    a.publish("foo", b"x")
    bus.advance(1)
    first.close()
    bus.advance(10)
    assert seen(join(b, durable="d")[0]) == [(1, 2, 11.0)]


# Members who are away.


@pytest.mark.row(100)
def test_what_a_crashed_member_had_moves_after_the_grace() -> None:
    """Whether they have something of their own or not, the others are sent it, and again when it is due."""
    bus = Bus()
    a, b, c = (bus.connect(name) for name in "abc")
    others = join(b, max_in_flight=1, ack_wait_s=40)
    (first,) = join(a)
    c.publish("foo", *[b"x"] * 3)
    others += join(c)
    assert [seen(sub) for sub in others] == [[(1, 0, 0.0)], []]
    bus.advance(1)
    a.vanish()
    bus.advance(2.999)
    assert [sub.messages for sub in others] == [[], []]
    bus.advance(0.001)
    assert [seen(sub) for sub in others] == [[(2, 1, 4.0)], [(3, 1, 4.0)]]
    assert sorted(pending(bus).items()) == [(b"a", 0), (b"b", 2), (b"c", 1)]
    assert len(group(bus).members) == 3, "it stays a member"
    bus.advance(29.999)
    assert [sub.messages for sub in others] == [[], []]
    bus.advance(0.001)
    assert [seen(sub) for sub in others] == [[], [(3, 2, 34.0)]]
    others[1].ack(3)
    bus.advance(6)
    assert [message for sub in others for message in seen(sub)] == [(1, 1, 40.0)], "what was its own is due for itself"
    bus.advance(4)
    assert [message for sub in others for message in seen(sub)] == [(2, 2, 44.0)]
    assert first.sequences == [2, 3]


def test_a_member_that_is_back_in_time_keeps_what_it_had() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b)
    b.publish("foo", b"x", b"x")
    a.vanish()
    bus.advance(2.9)
    a.return_()
    bus.advance(10)
    assert (first.sequences, second.sequences) == ([1], [2])
    first.ack(1)
    second.ack(2)
    a.vanish()
    bus.advance(2)
    a.return_()
    bus.advance(100)
    assert (first.sequences, second.sequences) == ([1], [2])


def test_the_grace_is_an_option() -> None:
    options = CoreOptions()
    options.presence_grace_ns = 0
    bus = Bus(options=options)
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b)
    b.publish("foo", b"x", b"x")
    a.vanish()
    bus.advance(0.001)
    assert [sequence for sequence, _, _ in seen(second)] == [2, 1]
    assert first.sequences == [1]


def test_an_absent_member_gets_nothing_new() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, max_in_flight=3)
    a.vanish()
    b.publish("foo", *[b"x"] * 5)
    assert (first.sequences, second.sequences) == ([], [1, 2, 3])
    bus.advance(10)
    a.return_()
    assert first.sequences == [4, 5]


def test_what_is_due_before_the_grace_is_over_moves_then() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a, ack_wait_s=2)
    a.publish("foo", b"x")
    (second,) = join(b, ack_wait_s=2)
    bus.advance(1)
    a.vanish()
    bus.advance(2)
    assert seen(second) == [(1, 1, 2.0)]
    assert first.sequences == [1]


def test_the_acknowledgement_of_a_member_that_was_away_counts() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b)
    b.publish("foo", b"x", b"x")
    second.ack(2)
    a.vanish()
    bus.advance(5)
    assert second.sequences == [2, 1]
    a.return_()
    first.ack(1)
    bus.advance(100)
    assert (first.sequences, second.sequences) == ([1], [2, 1])
    b.publish("foo", b"x", b"x")
    assert sorted(first.sequences[1:] + second.sequences[2:]) == [3, 4]


def test_when_everybody_is_away_the_first_to_come_back_gets_all() -> None:
    bus = Bus()
    a, b, c = (bus.connect(name) for name in "abc")
    first, second = join(a, b)
    c.publish("foo", b"x", b"x")
    a.vanish()
    b.vanish()
    bus.advance(10)
    c.publish("foo", b"x")
    assert pending(bus) == {b"a": 1, b"b": 1}
    second.clear()
    b.return_()
    assert sorted(seen(second)) == [(1, 1, 10.0), (3, 0, 10.0)]
    assert pending(bus) == {b"a": 0, b"b": 3}
    bus.advance(20)
    assert (2, 1, 30.0) in seen(second)
    assert first.sequences == [1]


def test_a_new_member_gets_what_an_absent_one_had() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    (first,) = join(a)
    b.publish("foo", b"x")
    a.vanish()
    bus.advance(10)
    (second,) = join(b)
    assert seen(second) == [(1, 1, 10.0)]
    assert first.sequences == [1]


def test_a_session_that_ends_leaves_its_groups() -> None:
    bus = Bus(options=heartbeats(2, 1, 2))
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, ack_wait_s=60)
    b.publish("foo", b"x", b"x")
    a.hangs = True
    bus.advance(30)
    assert bus.log.texts("error").count("[Client:a] Timed out on heartbeats") == 1
    assert first.sequences == [1]
    assert seen(second) == [(2, 0, 0.0), (1, 1, 9.0)], "three heartbeats of 2 s and 1 s"
    assert len(group(bus).members) == 1


def test_a_member_whose_inbox_is_gone() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    first, second = join(a, b, ack_wait_s=5)
    b.publish("foo", b"x", b"x")
    second.ack(2)
    a.stop_listening(first.inbox)
    b.publish("foo", b"x", b"x")
    assert (first.sequences, second.sequences) == ([1], [2, 3, 4])
    second.ack(3, 4)
    bus.advance(5)
    assert second.sequences == [2, 3, 4, 1]
