"""What one plain or durable subscription is sent, and when it is sent again.

Acknowledgements are in test_delivery_acks.py, groups in test_delivery_groups.py, stores that have nothing at hand in
test_delivery_paging.py.
"""

import pytest

from durabus.streaming.options import ChannelLimits, CoreOptions
from tests.streaming.harness import SECOND_NS, Bus, Sub, encoded

Seen = list[tuple[int, int, float]]


def seen(sub: Sub) -> Seen:
    """What arrived since the last time: sequence, how often it was redelivered, and when it came."""
    found = sub.clear()
    assert all(message.redelivered == (message.count > 0) for message in found)
    return [(message.sequence, message.count, message.at_s) for message in found]


def pause(bus: Bus, seconds: float) -> None:
    """Let the server sleep through all deadlines, and then wake up."""
    bus.clock.advance(round(seconds * SECOND_NS))
    bus.settle()


def heartbeats(interval_s: float, timeout_s: float, failures_max: int) -> CoreOptions:
    """Options with a heartbeat formula of their own."""
    options = CoreOptions()
    options.heartbeat_interval_ns = round(interval_s * SECOND_NS)
    options.heartbeat_timeout_ns = round(timeout_s * SECOND_NS)
    options.heartbeat_failures_max = failures_max
    return options


# First deliveries.


@pytest.mark.row(53)
def test_messages_come_in_order_and_once() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    sub = b.subscribe("foo", auto_ack=True)
    a.publish("foo", b"one", b"two")
    bus.advance(1)
    b.publish("foo", b"three")
    a.publish("foo", b"", reply="somewhere")
    bus.advance(100)
    assert [(message.sequence, message.data, message.count) for message in sub.messages] == [
        (1, b"one", 0),
        (2, b"two", 0),
        (3, b"three", 0),
        (4, b"", 0),
    ]
    assert sub.messages[3].reply == b"somewhere"
    assert sub.messages[2].timestamp_ns - sub.messages[1].timestamp_ns == SECOND_NS
    assert {message.channel for message in sub.messages} == {b"foo"}


@pytest.mark.row(29)
def test_a_subscriber_has_the_message_before_its_publisher_has_the_acknowledgement() -> None:
    client = Bus().connect("a")
    sub = client.subscribe("foo")
    client.heard.clear()
    client.publish("foo", b"1", b"2", b"3")
    assert [subject == sub.inbox.encode() for subject, _ in client.heard] == [True] * 3 + [False] * 3


@pytest.mark.row(53, 54)
def test_no_more_than_max_in_flight_are_sent() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=3)
    client.publish("foo", *[b"x"] * 10)
    assert sub.sequences == [1, 2, 3]
    sub.ack(2)
    assert sub.sequences == [1, 2, 3, 4], "an acknowledgement makes room"
    sub.ack(2, 7, 100)
    assert sub.sequences == [1, 2, 3, 4], "one that is no news does not"
    sub.ack(1, 3, 4)
    assert sub.sequences == [1, 2, 3, 4, 5, 6, 7]
    member = bus.core.state.channels[b"foo"].cohorts[0].members[0]
    assert (member.is_stalled(), member.pending) == (True, 3)
    sub.ack(5, 6, 7)
    sub.ack(8, 9, 10)
    client.publish("foo", b"x")
    assert sub.sequences == list(range(1, 12))
    assert (member.is_stalled(), member.pending) == (False, 1)


@pytest.mark.row(53)
def test_one_at_a_time_is_strictly_in_order() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=1, ack_wait_s=5)
    client.publish("foo", *[b"x"] * 3)
    bus.advance(12)
    assert seen(sub) == [(1, 0, 0.0), (1, 1, 5.0), (1, 2, 10.0)]
    sub.ack(1)
    assert seen(sub) == [(2, 0, 12.0)]


def test_a_long_backlog() -> None:
    bus = Bus()
    client = bus.connect("a")
    for _ in range(10):
        client.publish("foo", *[b"x"] * 1000)
    sub = client.subscribe("foo", auto_ack=True, max_in_flight=300)
    assert sub.sequences == list(range(1, 10_001))


def test_a_backlog_of_large_messages() -> None:
    bus = Bus()
    client = bus.connect("a")
    for i in range(12):
        client.publish("foo", bytes([i]) * 600_000)
    sub = client.subscribe("foo", max_in_flight=9)
    assert [message.data[:1] + message.data[-1:] for message in sub.messages] == [bytes([i, i]) for i in range(9)]


@pytest.mark.row(56)
def test_what_limits_remove_is_passed_over() -> None:
    options = CoreOptions()
    options.channel_limits = ChannelLimits(messages_max=5)
    bus = Bus(options=options)
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=1)
    for _ in range(10):
        client.publish("foo", b"x")
    sub.ack(1)
    assert sub.sequences == [1, 6]
    client.publish("foo", *[b"x"] * 10)
    sub.ack(6)
    assert sub.sequences == [1, 6, 16]


def test_each_subscription_goes_at_its_own_pace() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 4)
    subs = [client.subscribe("foo", max_in_flight=count) for count in (1, 2, 3)]
    subs[1].ack(1)
    assert [sub.sequences for sub in subs] == [[1], [1, 2, 3], [1, 2, 3]]


@pytest.mark.row(34)
def test_deliveries_are_counted() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x", b"x")
    size = len(encoded("MsgProto", sequence=1, subject="foo", data=b"x", timestamp_ns=bus.clock.wall_ns()))
    statistics = bus.core.state.statistics
    assert (statistics.out_messages, statistics.out_bytes) == (2, 2 * size)
    bus.advance(1)
    assert statistics.out_messages == 4


# Redeliveries.


@pytest.mark.row(64, 65)
def test_a_message_that_is_not_acknowledged_comes_again_after_exactly_ack_wait() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    bus.advance(0.3)
    client.publish("foo", b"x")
    bus.advance(3.5)
    assert seen(sub) == [(1, 0, 0.3), (1, 1, 1.3), (1, 2, 2.3), (1, 3, 3.3)]
    sub.ack(1)
    bus.advance(100)
    assert seen(sub) == []
    assert bus.core.state.channels[b"foo"].cohorts[0].redelivered == {}


@pytest.mark.row(65)
def test_the_count_never_is_zero() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    bus.core.state.channels[b"foo"].cohorts[0].redelivered[1] = 2**32 - 2
    bus.advance(3)
    assert [message.count for message in sub.messages] == [0, 2**32 - 1, 1, 2]


def test_the_next_time_counts_from_when_it_was_due() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    pause(bus, 1.4)
    bus.advance(1)
    assert seen(sub) == [(1, 0, 0.0), (1, 1, 1.4), (1, 2, 2.0)]


def test_after_a_long_pause_it_counts_from_now() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    pause(bus, 10.5)
    bus.advance(2)
    assert seen(sub) == [(1, 0, 0.0), (1, 1, 10.5), (1, 2, 11.5), (1, 3, 12.5)]


@pytest.mark.row(72)
def test_what_is_due_within_fifteen_milliseconds_goes_out_together() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    for wait_s in (0.010, 0.005, 0.001, 0):
        client.publish("foo", b"x")
        bus.advance(wait_s)
    seen(sub)
    bus.advance(2.5)
    assert seen(sub) == [
        (1, 1, 1.0),
        (2, 1, 1.0),
        (3, 1, 1.0),
        (4, 1, 1.016),
        (1, 2, 2.0),
        (2, 2, 2.0),
        (3, 2, 2.0),
        (4, 2, 2.016),
    ], "and each is due again after its own time"


@pytest.mark.row(72)
def test_redeliveries_are_in_the_order_in_which_they_are_due() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=10, max_in_flight=4)
    client.publish("foo", *[b"x"] * 6)
    bus.advance(3)
    sub.ack(3)
    bus.advance(1)
    sub.ack(1)
    seen(sub)
    bus.advance(20)
    assert seen(sub) == [
        (2, 1, 10.0),
        (4, 1, 10.0),
        (5, 1, 13.0),
        (6, 1, 14.0),
        (2, 2, 20.0),
        (4, 2, 20.0),
        (5, 2, 23.0),
        (6, 2, 24.0),
    ]


def test_a_sleeping_server_redelivers_in_the_order_in_which_it_was_due() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=10)
    for _ in range(4):
        client.publish("foo", b"x")
        bus.advance(1)
    seen(sub)
    pause(bus, 60)
    assert seen(sub) == [(1, 1, 64.0), (2, 1, 64.0), (3, 1, 64.0), (4, 1, 64.0)]


@pytest.mark.row(67)
def test_redeliveries_do_not_ask_the_window() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1, max_in_flight=2)
    client.publish("foo", *[b"x"] * 3)
    bus.advance(1)
    assert seen(sub) == [(1, 0, 0.0), (2, 0, 0.0), (1, 1, 1.0), (2, 1, 1.0)], "and they do not open it"
    sub.ack(2)
    assert seen(sub) == [(3, 0, 1.0)]


def test_new_messages_come_between_redeliveries() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=2)
    for _ in range(3):
        client.publish("foo", b"x")
        bus.advance(1)
    bus.advance(0.5)
    assert seen(sub) == [(1, 0, 0.0), (2, 0, 1.0), (1, 1, 2.0), (3, 0, 2.0), (2, 1, 3.0)]


@pytest.mark.row(60, 73)
def test_what_limits_have_removed_counts_as_acknowledged() -> None:
    options = CoreOptions()
    options.channel_limits = ChannelLimits(messages_max=3)
    bus = Bus(options=options)
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1, max_in_flight=2)
    for _ in range(5):
        client.publish("foo", b"x")
    assert seen(sub) == [(1, 0, 0.0), (2, 0, 0.0)]
    bus.advance(1)
    assert seen(sub) == [(3, 0, 1.0), (4, 0, 1.0)], "neither 1 nor 2 comes again, and the window is open"
    sub.ack(3, 4)
    assert seen(sub) == [(5, 0, 1.0)]


@pytest.mark.row(60, 73)
@pytest.mark.parametrize("chunks", [[1, 1, 1, 1], [3, 1]])
def test_some_of_what_is_due_is_gone(chunks: list[int]) -> None:
    options = CoreOptions()
    options.channel_limits = ChannelLimits(messages_max=3)
    bus = Bus(options=options)
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    for count in chunks:
        client.publish("foo", *[b"x"] * count)
    seen(sub)
    bus.advance(1)
    assert seen(sub) == [(2, 1, 1.0), (3, 1, 1.0), (4, 1, 1.0)]
    assert bus.core.state.channels[b"foo"].cohorts[0].window.sequences() == [2, 3, 4]


def test_where_nothing_is_redelivered_nothing_is() -> None:
    options = CoreOptions()
    options.redelivery_on = False
    bus = Bus(options=options)
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    bus.advance(100)
    assert seen(sub) == [(1, 0, 0.0)]


def test_the_longest_ack_wait() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=2**31 - 1, max_in_flight=2**31 - 1)
    client.publish("foo", b"x")
    bus.advance(1000)
    assert seen(sub) == [(1, 0, 0.0)]
    sub.close()


# Clients that do not answer, and clients that are away.


@pytest.mark.row(71)
def test_nothing_is_redelivered_to_a_client_that_fails_its_heartbeats() -> None:
    bus = Bus(options=heartbeats(2, 1, 10))
    client, publisher = bus.connect("a"), bus.connect("p")
    bus.advance(0.5)
    client.hangs = True
    sub = client.subscribe("foo", ack_wait_s=2)
    publisher.publish("foo", b"x")
    bus.advance(4.1)
    assert seen(sub) == [(1, 0, 0.5), (1, 1, 2.5)], "it failed at 3.0, so nothing comes at 4.5"
    publisher.publish("foo", b"y")
    assert seen(sub) == [(2, 0, 4.6)], "what is new does"
    client.hangs = False
    bus.advance(2)
    assert seen(sub) == [(1, 2, 5.0), (1, 3, 6.5), (2, 1, 6.6)], "it answers at 5.0, and gets what is overdue"


def test_an_absent_client_is_sent_nothing() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", max_in_flight=2, ack_wait_s=1)
    publisher.publish("foo", b"1")
    sub.ack(1)
    client.vanish()
    publisher.publish("foo", b"2", b"3", b"4")
    bus.advance(20)
    member = bus.core.state.channels[b"foo"].cohorts[0].members[0]
    assert (member.pending, member.is_reachable()) == (0, False)
    sub.clear()
    client.return_()
    assert seen(sub) == [(2, 0, 20.0), (3, 0, 20.0)], "what it missed is no redelivery"
    sub.ack(2, 3)
    assert seen(sub) == [(4, 0, 20.0)]
    bus.advance(1)
    assert seen(sub) == [(4, 1, 21.0)]


def test_what_is_overdue_goes_out_when_its_client_comes_back() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    bus.advance(0.5)
    client.vanish()
    bus.advance(4.7)
    client.return_()
    bus.advance(1)
    assert seen(sub) == [(1, 0, 0.0), (1, 1, 5.2), (1, 2, 6.2)]


def test_what_is_not_due_when_its_client_comes_back_waits() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=10)
    client.publish("foo", b"x")
    client.vanish()
    bus.advance(3)
    client.return_()
    bus.advance(17)
    assert seen(sub) == [(1, 0, 0.0), (1, 1, 10.0), (1, 2, 20.0)]


def test_after_an_absence_of_several_heartbeats() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=10)
    client.publish("foo", b"1", b"2")
    client.vanish()
    bus.advance(100)
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 3
    client.return_()
    bus.advance(0.01)
    assert [(sequence, count) for sequence, count, _ in seen(sub)] == [(1, 0), (2, 0), (1, 1), (2, 1)]


def test_acknowledgements_of_what_came_before_an_absence_count() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", ack_wait_s=10, max_in_flight=1)
    publisher.publish("foo", b"1", b"2")
    client.vanish()
    bus.advance(5)
    client.return_()
    sub.ack(1)
    assert seen(sub) == [(1, 0, 0.0), (2, 0, 5.0)]


def test_an_inbox_that_nobody_listens_on_any_more() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"1")
    client.stop_listening(sub.inbox)
    client.publish("foo", b"2")
    bus.advance(10)
    assert seen(sub) == [(1, 0, 0.0)]
    client.listen(sub.inbox)
    assert seen(sub) == [(2, 0, 10.0), (1, 1, 10.0)]


def test_an_inbox_that_nobody_listened_on_yet() -> None:
    """As in the original: what was sent is pending, and comes again."""
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1")
    sub = Sub(client, "foo", "_INBOX.later", auto_ack=False)
    request = encoded(
        "SubscriptionRequest",
        client_id="a",
        subject="foo",
        inbox="_INBOX.later",
        max_in_flight=1,
        ack_wait_s=1,
        start_position=4,
    )
    sub._on_response(client.request("_STAN.sub.test-cluster", request))
    client.subscriptions.append(sub)
    bus.advance(0.5)
    client.listen("_INBOX.later")
    bus.advance(0.5)
    assert seen(sub) == [(1, 1, 1.0)]


# Durables.


@pytest.mark.row(62)
def test_a_resumed_durable_gets_what_is_pending_before_what_is_new() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d", max_in_flight=4)
    client.publish("foo", *[b"x"] * 8)
    sub.ack(2)
    sub.close()
    bus.advance(3)
    sub = client.subscribe("foo", durable="d", max_in_flight=6)
    assert seen(sub) == [(1, 1, 3.0), (3, 1, 3.0), (4, 1, 3.0), (5, 1, 3.0), (6, 0, 3.0), (7, 0, 3.0)]


def test_counts_go_on_when_a_durable_is_resumed() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"x")
    counts: list[int] = []
    for _ in range(4):
        sub = client.subscribe("foo", durable="d")
        counts += [message.count for message in sub.messages]
        sub.close()
    assert counts == [0, 1, 2, 3]


def test_after_a_resume_what_is_pending_is_due_after_its_old_time() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"x")
    client.subscribe("foo", durable="d", ack_wait_s=30).close()
    bus.advance(10)
    sub = client.subscribe("foo", durable="d", ack_wait_s=5)
    bus.advance(40)
    assert seen(sub) == [(1, 1, 10.0), (1, 2, 35.0), (1, 3, 40.0), (1, 4, 45.0), (1, 5, 50.0)]


@pytest.mark.row(58)
def test_a_durable_that_is_offline_is_sent_nothing() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"x")
    sub = client.subscribe("foo", durable="d", ack_wait_s=1)
    sub.close()
    client.listen(sub.inbox)
    client.heard.clear()
    client.publish("foo", b"y")
    bus.advance(20)
    assert sub.inbox.encode() not in [subject for subject, _ in client.heard]
    assert bus.core.state.statistics.out_messages == 1


@pytest.mark.row(60)
def test_what_was_removed_while_a_durable_was_offline() -> None:
    options = CoreOptions()
    options.channel_limits = ChannelLimits(messages_max=3)
    bus = Bus(options=options)
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    client.subscribe("foo", durable="d", max_in_flight=2).close()
    client.publish("foo", b"4")
    client.publish("foo", b"5", b"6")
    sub = client.subscribe("foo", durable="d", max_in_flight=2)
    assert seen(sub) == [(4, 0, 0.0), (5, 0, 0.0)]


def test_a_client_that_closes_and_comes_back_goes_on() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    sub = client.subscribe("foo", durable="d", max_in_flight=2)
    sub.ack(1)
    client.close()
    client.connect()
    assert seen(client.subscribe("foo", durable="d")) == [(2, 1, 0.0), (3, 1, 0.0)]
