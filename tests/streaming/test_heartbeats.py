"""Heartbeats end a session by the original's formula; presence says where messages can go meanwhile."""

import pytest

from durabus.streaming.clients import Client as Registered
from durabus.streaming.heartbeats import AnswerTaker, HeartbeatCloser
from durabus.streaming.options import CoreOptions
from durabus.streaming.records import ClientRecord
from tests.streaming.harness import SECOND_NS, Bus, Client, PubAck, encoded

REPLACED = "client has been replaced or is no longer registered"


def bus_with(interval_s: int, timeout_s: int, failures_max: int) -> Bus:
    """A bus with these heartbeats."""
    options = CoreOptions()
    options.heartbeat_interval_ns = interval_s * SECOND_NS
    options.heartbeat_timeout_ns = timeout_s * SECOND_NS
    options.heartbeat_failures_max = failures_max
    return Bus(options=options)


def is_known(bus: Bus, client: Client) -> bool:
    """Whether the session lives."""
    return client.name.encode() in bus.core.state.clients.by_id


def lives_until(bus: Bus, client: Client, step_s: float = 0.25, most_s: float = 1000) -> float:
    """The second at which the session ended, to the quarter."""
    while is_known(bus, client):
        assert bus.now_s < most_s
        bus.advance(step_s)
    return bus.now_s


@pytest.mark.row(9)
def test_heartbeats_come_at_the_interval_after_connecting() -> None:
    bus = Bus()
    bus.advance(7)
    client = bus.connect("a")
    bus.advance(100)
    assert client.heartbeats == [37.0, 67.0, 97.0]
    assert is_known(bus, client)


def test_the_interval_begins_anew_with_the_answer() -> None:
    bus = bus_with(10, 5, 3)
    client = bus.connect("a", hangs=True)
    bus.advance(12)
    client.hangs = False
    client.send(bus.core.heartbeats.reply_subject(bus.core.state.clients.by_id[b"a"].heartbeat_token), b"here I am")
    bus.advance(10)
    assert client.heartbeats == [10.0, 22.0]


@pytest.mark.row(10)
def test_the_originals_formula_on_the_example_that_was_measured_there() -> None:
    """2 s, 1 s, 2 failures: heartbeats at 2, 5 and 8 s, closed at 9.04 s of a real clock."""
    bus = bus_with(2, 1, 2)
    client = bus.connect("a", hangs=True)
    bus.advance(8.99)
    assert client.heartbeats == [2.0, 5.0, 8.0]
    assert is_known(bus, client)
    bus.advance(0.05)
    assert not is_known(bus, client)
    assert "[Client:a] Timed out on heartbeats" in bus.log.texts("error")
    assert client.ping() == REPLACED


@pytest.mark.row(10)
def test_by_default_a_client_that_hangs_has_440_seconds() -> None:
    bus = Bus()
    assert lives_until(bus, bus.connect("a", hangs=True)) == 440.0


@pytest.mark.row(10)
def test_by_default_a_client_that_is_gone_has_330_seconds() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.vanish()
    assert lives_until(bus, client) == 330.0


def test_a_client_that_nobody_ever_saw_has_330_seconds_too() -> None:
    bus = Bus()
    client = bus.dial("a")
    request = encoded("ConnectRequest", client_id="a", heartbeat_inbox="_INBOX.deaf", connection_id="c")
    client.request("_STAN.discover.test-cluster", request)
    assert lives_until(bus, client) == 330.0


@pytest.mark.row(10)
@pytest.mark.parametrize("failures_max", [0, 1, 5])
def test_one_failure_more_than_allowed_ends_it(failures_max: int) -> None:
    bus = bus_with(2, 1, failures_max)
    assert lives_until(bus, bus.connect("a", hangs=True)) == 3.0 * (failures_max + 1)


@pytest.mark.row(9)
def test_an_answer_forgives_all_failures() -> None:
    bus = bus_with(2, 1, 2)
    client = bus.connect("a", hangs=True)
    bus.advance(7)
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 2
    client.hangs = False
    bus.advance(1.5)
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 0
    client.hangs = True
    assert lives_until(bus, client) == 8.0 + 9.0


def test_an_answer_after_its_time_counts_for_nothing() -> None:
    bus = bus_with(2, 1, 2)
    client = bus.connect("a", hangs=True)
    bus.advance(2.5)
    subject = bus.core.heartbeats.reply_subject(bus.core.state.clients.by_id[b"a"].heartbeat_token)
    bus.advance(1)
    client.send(subject, b"")
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 1


@pytest.mark.row(11)
def test_while_a_heartbeat_waits_for_its_answer_everything_else_goes_on() -> None:
    bus = Bus()
    client = bus.connect("a", hangs=True)
    sub = client.subscribe("foo", max_in_flight=1)
    bus.advance(30.5)
    assert bus.core.state.clients.by_id[b"a"].heartbeat_token, "it is being asked"
    assert client.publish("foo", b"1", b"2") == [PubAck("a.1"), PubAck("a.2")]
    assert sub.sequences == [1]
    sub.ack(1)
    assert sub.sequences == [1, 2]
    another = client.subscribe("foo", durable="d")
    assert another.sequences == [1, 2]
    assert (sub.unsubscribe(), another.close(), client.ping()) == ("", "", "")
    assert bus.connect("b").ping() == ""
    assert client.close() == ""
    assert bus.now_s == 30.5, "nothing of all that waited"
    bus.advance(100)
    assert client.heartbeats == [30.0]


@pytest.mark.parametrize("token", [b"x", b"", b"-1", b"0", b"9" * 30, b"1.2", "²".encode(), b"999999"])
def test_answers_to_no_question_are_dropped(token: bytes) -> None:
    bus = Bus()
    client = bus.connect("a", hangs=True)
    bus.advance(31)
    client.send(bus.core.heartbeats.reply_subject(7)[:-1] + token, b"")
    assert bus.core.state.clients.by_id[b"a"].heartbeat_token > 0


@pytest.mark.row(15)
def test_a_client_that_pings_but_does_not_answer_fails_faster() -> None:
    """As in the original: 4.2 s there instead of 9."""
    bus = bus_with(2, 1, 2)
    client = bus.connect("a", hangs=True)
    while is_known(bus, client):
        client.ping()
        bus.advance(0.1)
    assert 4.9 < bus.now_s < 5.4


def test_a_session_that_ends_closes_its_subscriptions() -> None:
    bus = bus_with(2, 1, 0)
    client = bus.connect("a", hangs=True)
    client.subscribe("foo")
    client.subscribe("foo", durable="d")
    bus.advance(3)
    channel = bus.core.state.channels[b"foo"]
    assert (channel.subscription_count, channel.has_active_subscription()) == (1, False)


@pytest.mark.row(12)
def test_timers_run_again_after_a_restart() -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.advance(20)
    bus.restart()
    bus.advance(29)
    assert client.heartbeats == []
    bus.advance(1)
    assert client.heartbeats == [50.0]


@pytest.mark.row(12)
def test_a_client_that_does_not_come_back_after_a_restart_ends_by_the_formula() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.vanish()
    bus.restart()
    assert lives_until(bus, client) == 330.0


def stand_still(bus: Bus, seconds: float) -> None:
    """Time passes, and the server notices nothing of it until it is over."""
    bus.clock.advance(round(seconds * SECOND_NS))
    bus.settle()


def test_heartbeats_missed_because_the_server_stood_still_do_not_count() -> None:
    bus = Bus()
    client = bus.connect("a", hangs=True)
    bus.advance(31)
    stand_still(bus, 1000)
    known = bus.core.state.clients.by_id[b"a"]
    assert known.failed_heartbeats == 0
    assert client.heartbeats == [30.0, 1031.0], "it is asked again"
    bus.advance(10)
    assert known.failed_heartbeats == 1
    client.hangs = False
    bus.advance(30)
    assert client.heartbeats[2:] == [1071.0]
    assert known.failed_heartbeats == 0


def test_a_heartbeat_that_is_sent_late_is_no_failure() -> None:
    bus = Bus()
    client = bus.connect("a")
    stand_still(bus, 1000)
    assert client.heartbeats == [1000.0]
    bus.advance(30)
    assert client.heartbeats == [1000.0, 1030.0]


NOBODY = b"NATS/1.0 503\r\n\r\n"


def test_a_network_that_says_that_nobody_listens_need_not_be_waited_for() -> None:
    bus = Bus()
    client, network = bus.connect("a", hangs=True), bus.dial("network")
    bus.advance(31)
    known = bus.core.state.clients.by_id[b"a"]
    subject = bus.core.heartbeats.reply_subject(known.heartbeat_token)
    network.say(b"HPUB %b %d %d\r\n%b\r\n" % (subject, len(NOBODY), len(NOBODY), NOBODY))
    assert (known.failed_heartbeats, known.heartbeat_token) == (1, 0)
    bus.advance(30)
    assert client.heartbeats == [30.0, 61.0]


def test_nor_when_a_newcomer_waits_for_the_answer() -> None:
    bus = Bus()
    bus.connect("a", hangs=True)
    newcomer, network = bus.dial("a"), bus.dial("network")
    newcomer.connect()
    subject = bus.core.heartbeats.reply_subject(bus.core.state.request_count)
    network.say(b"HPUB %b %d %d\r\n%b\r\n" % (subject, len(NOBODY), len(NOBODY), NOBODY))
    assert newcomer.is_connected
    assert bus.now_s == 0.0


def test_nobody_at_an_unknown_question_is_nothing() -> None:
    bus = Bus()
    client = bus.connect("a")
    subject = bus.core.heartbeats.reply_subject(12345)
    client.say(b"HPUB %b %d %d\r\n%b\r\n" % (subject, len(NOBODY), len(NOBODY), NOBODY))
    assert client.ping() == ""


# Failing, but there.


def test_new_messages_go_to_a_client_that_fails_but_redeliveries_do_not() -> None:
    bus = Bus()
    client, publisher = bus.connect("a", hangs=True), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=7)
    publisher.publish("foo", b"1")
    bus.advance(36)
    assert sub.sequences == [1, 1, 1, 1, 1, 1]
    bus.advance(39)
    assert sub.sequences == [1, 1, 1, 1, 1, 1], "it has failed a heartbeat at 40 s"
    publisher.publish("foo", b"2")
    assert sub.clear()[-1].sequence == 2
    client.hangs = False
    bus.advance(4.999)
    assert sub.messages == []
    bus.advance(0.001)
    assert bus.now_s == 80.0
    assert [message.sequence for message in sub.messages] == [], "asked at 70 s, it did not answer in time"
    bus.advance(30)
    assert [(message.sequence, message.at_s) for message in sub.messages[:2]] == [(1, 110.0), (2, 110.0)]


@pytest.mark.row(20)
def test_a_durable_that_is_resumed_is_not_blamed_for_the_heartbeats_of_before() -> None:
    bus = Bus()
    client, publisher = bus.connect("a", hangs=True), bus.connect("p")
    sub = client.subscribe("foo", durable="d", ack_wait_s=7)
    publisher.publish("foo", b"1")
    bus.advance(40)
    sub.clear()
    bus.advance(29)
    assert sub.messages == [], "its client fails"
    newcomer = bus.dial("a")
    newcomer.connect()
    bus.advance(0.5)
    again = newcomer.subscribe("foo", durable="d", ack_wait_s=7)
    assert again.sequences == [1]
    bus.advance(25)
    assert len(again.messages) >= 4, "three times again, 7 s apart"
    assert all(message.redelivered for message in again.messages)


@pytest.mark.row(20)
def test_a_failing_client_that_resumes_a_durable_itself_is_asked_at_once() -> None:
    bus = Bus()
    client, publisher = bus.connect("a", hangs=True), bus.connect("p")
    sub = client.subscribe("foo", durable="d", ack_wait_s=7)
    publisher.publish("foo", b"1")
    bus.advance(45)
    assert sub.close() == ""
    client.hangs = False
    again = client.subscribe("foo", durable="d", ack_wait_s=7)
    assert [(message.sequence, message.at_s) for message in again.clear()] == [(1, 45.0)], "what is pending, at once"
    bus.advance(20)
    assert client.heartbeats == [30.0, 45.001]
    assert len(again.messages) >= 2, "and it goes on, 7 s apart"


# Presence.


def test_nothing_is_thrown_at_an_absent_client() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=1, max_in_flight=5)
    publisher.publish("foo", b"1", b"2")
    client.vanish()
    publisher.publish("foo", b"3", b"4")
    bus.advance(20)
    member = bus.core.state.channels[b"foo"].cohorts[0].members[0]
    assert (member.pending, member.cohort.last_sent) == (2, 2)
    client.return_()
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [
        (1, False),
        (2, False),
        (3, False),
        (4, False),
        (1, True),
        (2, True),
    ]
    assert {message.at_s for message in sub.messages[2:]} == {20.0}


@pytest.mark.parametrize("away_s", [0.5, 5, 29, 31, 65, 200, 329])
def test_coming_back_finds_everything_as_it_was(away_s: float) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    subs = [
        client.subscribe("foo"),
        client.subscribe("foo", durable="d"),
        client.subscribe("foo", queue="q"),
        client.subscribe("foo", durable="d", queue="q"),
    ]
    publisher.publish("foo", b"1", b"2", b"3")
    for sub in subs:
        sub.ack(2)
        sub.clear()
    client.vanish()
    publisher.publish("foo", b"4")
    bus.advance(away_s)
    client.return_()
    bus.advance(0.001)
    assert client.ping() == ""
    again = [1, 3] if away_s >= 30 else []
    for sub in subs:
        assert sub.first_deliveries == [4]
        assert [message.sequence for message in sub.messages if message.redelivered] == again
        sub.ack(1, 3, 4)
    bus.advance(100)
    for sub in subs:
        assert sorted(sub.sequences) == sorted([4, *again]), "nothing was lost, nothing came twice"


def test_what_is_due_goes_out_at_the_return_even_if_heartbeats_failed_meanwhile() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo")
    publisher.publish("foo", b"1")
    client.vanish()
    bus.advance(95)
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 3
    client.return_()
    bus.advance(0.001)
    assert [(message.sequence, message.at_s) for message in sub.messages] == [(1, 0.0), (1, 95.001)]
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 0


def test_coming_and_going_does_not_prolong_a_session_that_does_not_answer() -> None:
    bus = bus_with(2, 1, 4)
    client = bus.connect("a", hangs=True)
    while is_known(bus, client):
        client.vanish()
        bus.advance(0.3)
        client.return_()
        bus.advance(0.4)
    assert bus.now_s < 16


def test_after_the_grace_queue_messages_move_to_who_is_there() -> None:
    bus = Bus()
    first, second, publisher = bus.connect("a"), bus.connect("b"), bus.connect("p")
    one, other = first.subscribe("foo", queue="q"), second.subscribe("foo", queue="q")
    publisher.publish("foo", b"1", b"2", b"3", b"4")
    assert (one.sequences, other.sequences) == ([1, 3], [2, 4])
    first.vanish()
    bus.advance(2.999)
    assert other.sequences == [2, 4]
    bus.advance(0.001)
    assert [(message.sequence, message.redelivered, message.at_s) for message in other.messages[2:]] == [
        (1, True, 3.0),
        (3, True, 3.0),
    ]


def test_within_the_grace_they_stay() -> None:
    bus = Bus()
    first, second, publisher = bus.connect("a"), bus.connect("b"), bus.connect("p")
    one, other = first.subscribe("foo", queue="q"), second.subscribe("foo", queue="q")
    publisher.publish("foo", b"1", b"2")
    first.vanish()
    bus.advance(2.9)
    first.return_()
    bus.advance(20)
    assert (one.sequences, other.sequences) == ([1], [2])


def test_each_absence_has_its_own_grace() -> None:
    bus = Bus()
    first, second, publisher = bus.connect("a"), bus.connect("b"), bus.connect("p")
    first.subscribe("foo", queue="q")
    other = second.subscribe("foo", queue="q")
    publisher.publish("foo", b"1", b"2")
    for _ in range(5):
        first.vanish()
        bus.advance(2)
        first.return_()
        bus.advance(2)
    assert other.sequences == [2]


@pytest.mark.parametrize("grace_s", [0, 1, 10])
def test_the_grace_is_an_option(grace_s: int) -> None:
    options = CoreOptions()
    options.presence_grace_ns = grace_s * SECOND_NS
    bus = Bus(options=options)
    first, second, publisher = bus.connect("a"), bus.connect("b"), bus.connect("p")
    first.subscribe("foo", queue="q")
    other = second.subscribe("foo", queue="q")
    publisher.publish("foo", b"1", b"2")
    first.vanish()
    bus.advance(grace_s + 0.001)
    assert other.sequences == [2, 1]
    assert other.messages[-1].at_s == pytest.approx(grace_s, abs=1e-6)


def test_when_everybody_is_away_messages_wait_for_the_first_who_returns() -> None:
    bus = Bus()
    first, second, publisher = bus.connect("a"), bus.connect("b"), bus.connect("p")
    first.subscribe("foo", queue="q")
    other = second.subscribe("foo", queue="q")
    publisher.publish("foo", b"1", b"2")
    first.vanish()
    second.vanish()
    publisher.publish("foo", b"3")
    bus.advance(60)
    second.return_()
    bus.advance(0.001)
    assert sorted(other.sequences[1:]) == [1, 2, 3]


def test_plain_and_durable_messages_stay_with_their_client() -> None:
    bus = Bus()
    first, second, publisher = bus.connect("a"), bus.connect("b"), bus.connect("p")
    first.subscribe("foo", durable="d")
    other = second.subscribe("foo", durable="d")
    publisher.publish("foo", b"1")
    first.vanish()
    bus.advance(10)
    assert other.sequences == [1]


def test_an_inbox_of_which_nobody_was_seen_is_sent_to_as_in_the_original() -> None:
    """What is sent is in flight, and due after AckWait."""
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=5, inbox="_INBOX.later")
    client.stop_listening("_INBOX.later")
    member = bus.core.state.channels[b"foo"].cohorts[0].members[0]
    member.inbox_seen = member.inbox_gone = False
    publisher.publish("foo", b"1")
    bus.advance(1)
    client.listen("_INBOX.later")
    bus.advance(3.9)
    assert sub.sequences == []
    bus.advance(0.1)
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [(1, True)]


def test_after_a_restart_everybody_is_away_until_seen_again() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=5)
    client.vanish()
    bus.restart()
    publisher.publish("foo", b"1")
    bus.advance(1)
    client.return_()
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [(1, False)]


def test_who_ends_sessions_and_who_else_asks_are_ports() -> None:
    bus = Bus()
    with pytest.raises(NotImplementedError):
        HeartbeatCloser().close_expired(Registered(ClientRecord(b"a", b"", b"", 0), bus.core.heartbeats))
    with pytest.raises(NotImplementedError):
        AnswerTaker().on_answer(1)
    with pytest.raises(NotImplementedError):
        AnswerTaker().on_nobody(1)
