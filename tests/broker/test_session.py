"""One connection without a router: what it answers, what it asks of the router, when it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.broker.session import ClientSubscription, Exchange, Link, Session, SessionLimits
from durabus.clock import ManualClock
from durabus.wire.operations import Publish
from tests.broker.fakes import PENDING_BYTES_MAX, QUIET, SECOND_NS, WITH_HEADERS, FakeExchange, FakeLink, session_limits
from tests.wire.streams import cuts, noise, pieces


class Alone:
    """A session between a link and an exchange that only record."""

    def __init__(self, connect: bytes = QUIET, limits: SessionLimits | None = None) -> None:
        self.link = FakeLink()
        self.exchange = FakeExchange()
        self.clock = ManualClock()
        self.session = Session(1, "10.0.0.1:1", self.exchange, self.link, limits or session_limits())
        if connect:
            assert self.say(connect) == b""

    def say(self, *chunks: bytes) -> bytes:
        """Feed `chunks`; what arrives at the client then."""
        for chunk in chunks:
            self.session.feed(chunk, self.clock.monotonic_ns())
        return self.flush()

    def flush(self) -> bytes:
        """What the next flush brings to the client."""
        for session in self.exchange.dirty:
            session.flush()
        self.exchange.dirty.clear()
        data = bytes(self.link.arrived)
        self.link.arrived.clear()
        return data

    def deliver(self, sid: bytes, *payloads: bytes, subject: bytes = b"foo", reply: bytes = b"") -> bool:
        """Deliver a run for the subscription `sid`."""
        return self.session.deliver(self.session.subscriptions[sid], subject, reply, 0, b"", list(payloads))

    def ping_time(self) -> int:
        """Check the connection now; in how many seconds to check again, 0 for never."""
        now_ns = self.clock.monotonic_ns()
        due_ns = self.session.on_ping_time(now_ns)
        return (due_ns - now_ns) // SECOND_NS if due_ns else 0


def test_a_new_session() -> None:
    session = Session(7, "10.0.0.9:5", FakeExchange(), FakeLink(), session_limits())
    assert (session.client_id, session.address, session.name, session.is_closed) == (7, "10.0.0.9:5", "", False)
    counts = (session.in_messages, session.in_bytes, session.out_messages, session.out_bytes, session.pings_out)
    assert counts == (0, 0, 0, 0, 0)
    assert session.subscriptions == {}
    subscription = ClientSubscription(session, b"foo", b"q", b"1")
    assert subscription.session is session
    assert (subscription.subject, subscription.queue, subscription.sid) == (b"foo", b"q", b"1")


# CONNECT


def test_before_connect_a_client_is_verbose_pedantic_and_hears_itself() -> None:
    one = Alone(connect=b"")
    assert (one.session.verbose, one.session.pedantic, one.session.echo) == (True, True, True)
    assert (one.session.headers, one.session.no_responders) == (False, False)
    assert one.say(b"SUB foo 1\r\nPUB foo 1\r\nx\r\nUNSUB 1\r\n") == b"+OK\r\n" * 3


def test_connect_that_says_nothing_leaves_the_defaults() -> None:
    one = Alone(connect=b"")
    assert one.say(b"CONNECT {}\r\n") == b"+OK\r\n"
    assert (one.session.verbose, one.session.pedantic, one.session.echo) == (True, True, True)


def test_connect_sets_every_option() -> None:
    one = Alone(connect=b"")
    heard = one.say(
        b'CONNECT {"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true,'
        b'"protocol":1,"name":"orders","lang":"node"}\r\nSUB foo 1\r\n'
    )
    assert heard == b""
    assert (one.session.verbose, one.session.pedantic, one.session.echo) == (False, False, False)
    assert (one.session.headers, one.session.no_responders, one.session.name) == (True, True, "orders")


@pytest.mark.parametrize(
    ("document", "heard"),
    [
        (b'{"protocol":2}', b"-ERR 'invalid client protocol'\r\n"),
        (b'{"protocol":-1}', b"-ERR 'invalid client protocol'\r\n"),
        (b'{"no_responders":true}', b"-ERR 'no responders requires headers support'\r\n"),
        (b'{"verbose":"yes"}', b""),
        (b"{", b""),
        (b"[]", b""),
    ],
)
def test_a_bad_connect_ends_the_connection(document: bytes, heard: bytes) -> None:
    one = Alone(connect=b"")
    assert one.say(b"CONNECT " + document + b"\r\nPING\r\n") == heard
    assert one.session.is_closed
    assert one.link.closed is not None
    reason, at_once = one.link.closed
    assert "CONNECT" in reason
    assert not at_once


# Answers


def test_verbose_confirms_every_operation_but_ping_and_pong() -> None:
    one = Alone(connect=b"")
    heard = one.say(b'CONNECT {"verbose":true}\r\nSUB foo 1\r\nSUB foo q 2\r\nUNSUB 1\r\nUNSUB 9\r\nPING\r\nPONG\r\n')
    assert heard == b"+OK\r\n" * 5 + b"PONG\r\n"
    run = b"PUB foo 1\r\nx\r\n"
    assert one.say(run * 3, b"HPUB foo 1 1\r\nx\r\n") == b"+OK\r\n" * 4


def test_pedantic_complains_of_each_bad_publish_subject_and_routes_it() -> None:
    complaint = b"-ERR 'Invalid Publish Subject'\r\n"
    one = Alone(connect=b"")
    assert one.say(b"PUB foo.* 1\r\nx\r\n" * 2) == (complaint + b"+OK\r\n") * 2
    one = Alone(b'CONNECT {"verbose":false}\r\n')
    assert one.say(b"PUB foo.* 1\r\nx\r\n" * 2, b"PUB foo..bar 0\r\n\r\n", b"PUB foo 0\r\n\r\n") == complaint * 3
    assert [len(run.payloads) for run in one.exchange.routed] == [2, 1, 1]
    assert Alone().say(b"PUB foo.* 1\r\nx\r\n") == b""


def test_ping_and_pong() -> None:
    one = Alone()
    assert one.say(b"PING\r\nPING\r\n") == b"PONG\r\n" * 2
    one.session.pings_out = 2
    assert one.say(b"PONG\r\n") == b""
    assert one.session.pings_out == 0


@pytest.mark.parametrize(
    ("data", "heard"),
    [
        (b"NONSENSE\r\n", b"-ERR 'Unknown Protocol Operation'\r\n"),
        (b"PUB foo 100001\r\n", b"-ERR 'Maximum Payload Violation'\r\n"),
        (b"PUB " + b"x" * 300, b"-ERR 'maximum control line exceeded'\r\n"),
        (b"PUB foo 1\r\nxyz", b"-ERR 'Unknown Protocol Operation'\r\n"),
        (b"PUB foo\r\n", b""),
    ],
)
def test_a_violation_is_told_and_ends_the_connection(data: bytes, heard: bytes) -> None:
    one = Alone()
    assert one.say(b"SUB foo 1\r\nPING\r\n" + data + b"PING\r\n") == b"PONG\r\n" + heard
    assert one.session.is_closed
    assert one.link.closed is not None
    reason, at_once = one.link.closed
    assert reason.startswith(heard[6:-3].decode() or "Protocol Violation")
    assert not at_once, "the client should still get to read the reason"
    assert one.exchange.subscriptions == []
    assert one.say(b"PING\r\nSUB foo 2\r\nPUB foo 1\r\nx\r\n") == b""
    assert (one.exchange.subscriptions, one.exchange.routed) == ([], [])


def test_publishes_go_to_the_router_as_runs() -> None:
    one = Alone()
    one.say(b"PUB foo back 2\r\nab\r\nPUB foo back 2\r\ncd\r\nHPUB foo 3 4\r\nhhhx\r\n")
    assert [(run.subject, run.reply, run.header_bytes, run.payloads) for run in one.exchange.routed] == [
        (b"foo", b"back", 0, [b"ab", b"cd"]),
        (b"foo", b"", 3, [b"hhhx"]),
    ]
    assert (one.session.in_messages, one.session.in_bytes) == (3, 8)


# SUB and UNSUB


def test_subscribing() -> None:
    one = Alone()
    assert one.say(b"SUB foo.* 1\r\nSUB foo.> workers 2\r\n") == b""
    assert [(s.subject, s.queue, s.sid) for s in one.exchange.subscriptions] == [
        (b"foo.*", b"", b"1"),
        (b"foo.>", b"workers", b"2"),
    ]
    assert set(one.session.subscriptions) == {b"1", b"2"}


@pytest.mark.parametrize("subject", [b"foo.", b".foo", b"foo..bar", b"foo.>.bar", b"."])
def test_an_invalid_subject_is_refused_and_the_connection_stays(subject: bytes) -> None:
    for connect in (b"", QUIET):
        one = Alone(connect)
        assert one.say(b"SUB " + subject + b" 1\r\n") == b"-ERR 'Invalid Subject'\r\n"
        assert (one.exchange.subscriptions, one.session.is_closed) == ([], False)


def test_a_sid_in_use_stays_what_it_was() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\nSUB bar 1\r\n")
    assert [s.subject for s in one.exchange.subscriptions] == [b"foo"]
    one.say(b"UNSUB 1\r\nSUB bar 1\r\n")
    assert [s.subject for s in one.exchange.subscriptions] == [b"bar"]


def test_unsubscribing() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\nSUB foo 2\r\nUNSUB 1\r\nUNSUB 77\r\n")
    assert [s.sid for s in one.exchange.subscriptions] == [b"2"]
    assert set(one.session.subscriptions) == {b"2"}


def test_unsubscribing_after_a_number_of_messages() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    assert one.deliver(b"1", b"a")
    assert one.say(b"UNSUB 1 3\r\n") == b"MSG foo 1 1\r\na\r\n"
    assert one.deliver(b"1", b"b")
    subscription = one.session.subscriptions[b"1"]
    assert one.deliver(b"1", b"c")
    assert (one.exchange.subscriptions, one.session.subscriptions) == ([], {})
    assert not one.session.deliver(subscription, b"foo", b"", 0, b"", [b"d"])
    assert one.flush() == b"MSG foo 1 1\r\nb\r\nMSG foo 1 1\r\nc\r\n"


def test_a_run_longer_than_what_is_left() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\nUNSUB 1 3\r\n")
    payloads = [b"a", b"b", b"c", b"d", b"e"]
    subscription = one.session.subscriptions[b"1"]
    assert one.session.deliver(subscription, b"foo", b"", 0, b"", payloads)
    assert one.flush() == b"".join(b"MSG foo 1 1\r\n%b\r\n" % payload for payload in payloads[:3])
    assert payloads == [b"a", b"b", b"c", b"d", b"e"], "others get the same list"
    assert (one.session.out_messages, one.exchange.subscriptions) == (3, [])


@pytest.mark.parametrize("count", [b"1", b"2"])
def test_unsubscribing_after_as_many_messages_as_there_were(count: bytes) -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    one.deliver(b"1", b"a", b"b")
    one.say(b"UNSUB 1 " + count + b"\r\n")
    assert one.exchange.subscriptions == []


def test_the_number_of_messages_may_be_changed() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\nUNSUB 1 5\r\nUNSUB 1 2\r\n")
    one.deliver(b"1", b"a", b"b")
    assert one.exchange.subscriptions == []


# Deliveries


def test_deliveries_in_order_with_everything_else() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    one.session.feed(b"PING\r\n", 0)
    one.deliver(b"1", b"a", b"bc", reply=b"back")
    one.session.feed(b"PING\r\n", 0)
    assert one.flush() == b"PONG\r\nMSG foo 1 back 1\r\na\r\nMSG foo 1 back 2\r\nbc\r\nPONG\r\n"
    assert (one.session.out_messages, one.session.out_bytes) == (2, 43)


def test_the_common_head_is_part_of_each_message() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    assert one.session.deliver(one.session.subscriptions[b"1"], b"foo", b"", 0, b"head", [b"1", b"23"])
    assert one.flush() == b"MSG foo 1 5\r\nhead1\r\nMSG foo 1 6\r\nhead23\r\n"


def test_headers_go_only_to_whom_understands_them() -> None:
    payloads = [b"NATS/1.0\r\n\r\nhi", b"NATS/1.0\r\n\r\n"]
    one = Alone(WITH_HEADERS)
    one.say(b"SUB foo 1\r\n")
    assert one.session.deliver(one.session.subscriptions[b"1"], b"foo", b"", 12, b"", payloads)
    assert one.flush() == b"HMSG foo 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHMSG foo 1 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    for connect in (QUIET, b'CONNECT {"verbose":false,"headers":false}\r\n'):
        one = Alone(connect)
        one.say(b"SUB foo 1\r\n")
        assert one.session.deliver(one.session.subscriptions[b"1"], b"foo", b"", 12, b"", payloads)
        assert one.flush() == b"MSG foo 1 2\r\nhi\r\nMSG foo 1 0\r\n\r\n"
        assert payloads[0].startswith(b"NATS/1.0"), "others get the same list"


def test_output_is_gathered_until_the_flush() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    for i in range(100):
        one.deliver(b"1", b"%d" % i)
    assert one.exchange.dirty == [one.session], "marked once, not once per message"
    assert one.link.arrived == b""
    assert one.flush().count(b"MSG foo 1 ") == 100
    one.session.flush()
    assert one.flush() == b""
    one.deliver(b"1", b"x")
    assert one.exchange.dirty == [one.session], "and marked again after the flush"


def test_nothing_is_delivered_after_the_end() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    subscription = one.session.subscriptions[b"1"]
    one.session.close("gone", True)
    assert not one.session.deliver(subscription, b"foo", b"", 0, b"", [b"x"])
    one.session.send(b"PING\r\n")
    assert one.flush() == b""
    assert one.session.out_messages == 0


# The end


def test_close_sends_what_is_gathered_unless_at_once() -> None:
    for at_once, heard in ((False, b"MSG foo 1 1\r\nx\r\n"), (True, b"")):
        one = Alone()
        one.say(b"SUB foo 1\r\nSUB bar 2\r\n")
        one.deliver(b"1", b"x")
        one.session.close("why", at_once)
        assert one.link.closed == ("why", at_once)
        assert (one.exchange.subscriptions, one.session.subscriptions) == ([], {})
        assert one.flush() == heard
        one.session.close("again", True)
        one.session.fail("Stale Connection", "again")
        assert one.link.closed == ("why", at_once)


def test_what_follows_in_the_same_chunk_is_not_acted_on() -> None:
    one = Alone(connect=b"")
    one.say(b'CONNECT {"protocol":9}\r\nSUB foo 1\r\nPUB foo 1\r\nx\r\n')
    assert (one.exchange.subscriptions, one.exchange.routed) == ([], [])


# Stale connections


def test_a_client_that_does_not_answer_is_cut_off() -> None:
    one = Alone()
    heard = []
    for _ in range(2):
        one.clock.advance(10 * SECOND_NS)
        assert one.ping_time() == 10
        heard.append(one.flush())
    assert heard == [b"PING\r\n", b"PING\r\n"]
    one.clock.advance(10 * SECOND_NS)
    assert one.ping_time() == 0
    assert one.flush() == b"-ERR 'Stale Connection'\r\n"
    assert one.link.closed == ("Stale Connection: no answer to our pings", False)
    assert one.ping_time() == 0


def test_a_client_that_answers_lives_on() -> None:
    one = Alone()
    for _ in range(20):
        one.clock.advance(10 * SECOND_NS)
        assert one.ping_time() == 10
        assert one.flush() == b"PING\r\n"
        assert one.say(b"PONG\r\n") == b""
        one.clock.advance(1)
    assert not one.session.is_closed


def test_a_client_that_never_said_a_word() -> None:
    one = Alone(connect=b"")
    assert one.ping_time() == 10
    assert one.flush() == b""
    one.clock.advance(10 * SECOND_NS)
    assert one.ping_time() == 10
    assert one.flush() == b"PING\r\n"


def test_a_client_that_is_heard_is_not_asked() -> None:
    one = Alone()
    for _ in range(20):
        one.clock.advance(9 * SECOND_NS)
        one.say(b"PUB foo 1\r\nx\r\n")
        one.clock.advance(4 * SECOND_NS)
        assert one.ping_time() == 6, "ten seconds after it was heard"
    assert one.flush() == b""
    assert one.session.pings_out == 0


# Slow consumers


def test_a_client_that_does_not_read_is_cut_off() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    one.link.stuck = True
    for count in range(10_000):
        if one.session.is_closed:
            break
        one.deliver(b"1", b"x" * 1000)
        if count % 7 == 0:
            one.flush()
    assert one.link.closed == ("Slow Consumer", True)
    assert PENDING_BYTES_MAX // 2 < one.link.unsent_bytes_seen_max <= PENDING_BYTES_MAX
    assert (one.exchange.subscriptions, one.flush()) == ([], b"")
    assert sum(map(len, one.session._output)) == 0


def test_what_is_gathered_and_what_is_unsent_count_together() -> None:
    one = Alone(limits=session_limits(200_000))
    one.say(b"SUB foo 1\r\n")
    one.link.stuck = True
    one.deliver(b"1", b"x" * 120_000)
    one.flush()
    assert not one.session.is_closed
    one.deliver(b"1", b"x" * 90_000)
    assert one.link.closed == ("Slow Consumer", True)


def test_the_flush_counts_as_well() -> None:
    one = Alone(limits=session_limits(100_000))
    one.say(b"SUB foo 1\r\n")
    one.link.stuck = True
    for _ in range(3):
        one.deliver(b"1", b"x" * 40_000)
        one.flush()
    assert one.link.closed == ("Slow Consumer", True)
    assert one.link.unsent_bytes_seen_max <= 100_000


def test_a_client_that_reads_may_get_any_amount() -> None:
    one = Alone()
    one.say(b"SUB foo 1\r\n")
    for _ in range(50):
        one.deliver(b"1", b"x" * 90_000)
        assert len(one.flush()) > 90_000
    assert not one.session.is_closed


def test_exactly_the_limit_is_allowed() -> None:
    frame = b"MSG foo 1 5\r\nhello\r\n"
    for limit, closed in ((len(frame), False), (len(frame) - 1, True)):
        one = Alone(connect=b"", limits=session_limits(limit))
        assert one.say(b"SUB foo 1\r\n") == b"+OK\r\n"
        one.deliver(b"1", b"hello")
        assert one.flush() == (b"" if closed else frame)
        assert one.session.is_closed is closed


# Any input


@given(noise, cuts)
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    one = Alone(connect=b"", limits=SessionLimits(64, 128, 10_000, SECOND_NS, 2))
    one.say(*pieces(data, cuts))
    assert one.session.is_closed == (one.link.closed is not None)
    assert {s.sid: s for s in one.exchange.subscriptions} == one.session.subscriptions
    for publish in one.exchange.routed:
        assert isinstance(publish, Publish)
    one.session.close("over", True)
    assert one.exchange.subscriptions == []


@given(st.lists(st.integers(0, 3000), max_size=60), st.data())
def test_pending_bytes_are_bounded(sizes: list[int], data: st.DataObject) -> None:
    limit = 20_000
    one = Alone(limits=session_limits(limit))
    one.say(b"SUB foo 1\r\n")
    one.link.stuck = True
    for size in sizes:
        if one.session.is_closed:
            break
        one.deliver(b"1", b"x" * size)
        if data.draw(st.booleans()):
            one.session.flush()
        held = sum(map(len, one.session._output))
        assert held <= limit
        assert one.link.unsent_bytes_seen_max <= limit


def test_the_parts_that_others_implement_are_abstract() -> None:
    one = Alone()
    subscription = ClientSubscription(one.session, b"foo", b"", b"1")
    with pytest.raises(NotImplementedError):
        Link().unsent_bytes()
    with pytest.raises(NotImplementedError):
        Link().write(b"x")
    with pytest.raises(NotImplementedError):
        Link().close("why", True)
    with pytest.raises(NotImplementedError):
        Exchange().route(Publish(b"foo", b"", 0, [b"x"]), one.session)
    with pytest.raises(NotImplementedError):
        Exchange().add(subscription)
    with pytest.raises(NotImplementedError):
        Exchange().discard(subscription)
    with pytest.raises(NotImplementedError):
        Exchange().mark_dirty(one.session)


@pytest.mark.parametrize(
    ("address", "connect", "label"),
    [
        ("10.0.0.1", b"{}", "10.0.0.1:4711 - cid:1"),
        ("::1", b'{"lang":"go"}', '[::1]:4711 - cid:1 - "go"'),
        ("10.0.0.1", b'{"version":"1","lang":"go","name":"shop"}', '10.0.0.1:4711 - cid:1 - "v1:go:shop"'),
        ("10.0.0.1", b'{"name":"a\\"b\\\\"}', '10.0.0.1:4711 - cid:1 - "a\\"b\\\\"'),
    ],
)
def test_what_the_log_calls_a_connection(address: str, connect: bytes, label: str) -> None:
    one = Alone(b"")
    one.session.address, one.session.port = address, 4711
    assert one.session.label() == label.partition(' - "')[0]
    one.say(b"CONNECT " + connect + b"\r\n")
    assert one.session.label() == label
