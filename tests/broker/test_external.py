"""The mind of a connection to another NATS server, without a socket: what it says, what it hears, what it forgets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.broker.external import ExternalBus
from durabus.wire import framing
from durabus.wire.framing import is_no_responders
from durabus.wire.operations import Operation, Publish, Subscribe, Unsubscribe
from durabus.wire.parser import Parser
from tests.broker.fakes import FakeReceiver, FakeWatcher
from tests.wire.streams import cuts, pieces

MAX_PAYLOAD = 100
HELLO = b'INFO {"server_id":"x","max_payload":%d} \r\n'


def open_bus(max_payload: int = MAX_PAYLOAD) -> ExternalBus:
    """A bus whose server has just taken it."""
    bus = ExternalBus()
    bus.begin()
    bus.feed(HELLO % max_payload)
    bus.greet(b"{}")
    assert bus.take_output() == b"CONNECT {}\r\nPING\r\n"
    bus.feed(b"PONG\r\n")
    bus.open()
    return bus


def heard_by_the_server(output: bytes) -> list[Operation]:
    """What a server makes of our output."""
    return Parser().feed(output)


def msg(sid: bytes, subject: bytes, payload: bytes, reply: bytes = b"") -> bytes:
    """A message from the server."""
    out: list[bytes] = []
    framing.frame_run(framing.message_start(subject, sid, reply, 0), b"", [payload], out)
    return b"".join(out)


def test_nothing_without_a_connection() -> None:
    bus = ExternalBus()
    assert not bus.is_open()
    bus.subscribe(b"foo", FakeReceiver())
    bus.unsubscribe(b"foo")
    assert not bus.publish(b"foo", b"", b"x")
    assert not bus.publish_run(b"foo", b"", [b"x"])
    assert (bus.take_output(), bus.output_bytes) == (b"", 0)


def test_the_greeting() -> None:
    bus = ExternalBus()
    bus.begin()
    assert (bus.info, bus.take_output()) == (b"", b""), "the server speaks first"
    bus.feed(HELLO % 5)
    assert json.loads(bus.info)["max_payload"] == 5
    assert bus.payload_bytes_max == 5
    bus.greet(b'{"name":"me"}')
    assert bus.take_output() == b'CONNECT {"name":"me"}\r\nPING\r\n'
    assert (bus.pings, bus.pongs, bus.is_open()) == (1, 0, False)
    bus.feed(b"PONG\r\n")
    assert (bus.pings, bus.pongs, bus.is_open()) == (1, 1, False)
    bus.open()
    assert bus.is_open()


def test_subscriptions() -> None:
    bus = open_bus()
    receiver = FakeReceiver()
    bus.subscribe(b"foo", receiver)
    bus.subscribe(b"bar.>", receiver)
    bus.unsubscribe(b"foo")
    bus.unsubscribe(b"foo")
    bus.unsubscribe(b"never")
    assert bus.take_output() == b"SUB foo 1\r\nSUB bar.> 2\r\nUNSUB 1\r\n"
    bus.feed(msg(b"1", b"foo", b"late") + msg(b"2", b"bar.x", b"y", b"back") + msg(b"3", b"foo", b"never"))
    assert receiver.got() == [(b"bar.x", b"back", b"y")]


def test_one_receiver_per_subject() -> None:
    bus = open_bus()
    one, other = FakeReceiver(), FakeReceiver()
    bus.subscribe(b"foo", one)
    bus.subscribe(b"foo", other)
    assert bus.take_output() == b"SUB foo 1\r\n"
    bus.feed(msg(b"1", b"foo", b"x"))
    assert (one.got(), other.got()) == ([], [(b"foo", b"", b"x")])


def test_who_takes_over_a_subject_misses_nothing() -> None:
    """The server is told only of what nobody listens on when the turn ends."""
    bus = open_bus()
    one, other = FakeReceiver(), FakeReceiver()
    for subject in (b"foo", b"bar", b"baz"):
        bus.subscribe(subject, one)
    bus.take_output()
    for subject in (b"foo", b"bar", b"baz"):
        bus.unsubscribe(subject)
    bus.subscribe(b"bar", other)
    assert bus.take_output() == b"UNSUB 1\r\nUNSUB 3\r\n"
    bus.feed(msg(b"1", b"foo", b"x") + msg(b"2", b"bar", b"y") + msg(b"3", b"baz", b"z"))
    assert (one.got(), other.got()) == ([], [(b"bar", b"", b"y")])
    bus.subscribe(b"foo", other)
    assert bus.take_output() == b"SUB foo 4\r\n"


def test_what_ended_with_a_connection_is_not_ended_again() -> None:
    bus = open_bus()
    bus.subscribe(b"foo", FakeReceiver())
    bus.take_output()
    bus.unsubscribe(b"foo")
    bus.close()
    bus.begin()
    bus.open()
    assert b"UNSUB" not in bus.take_output()


def test_publishing() -> None:
    bus = open_bus()
    assert bus.publish(b"foo", b"", b"x")
    assert bus.publish(b"foo", b"back", b"")
    assert bus.publish_run(b"foo", b"h:", [b"a", b"b", b"cc"])
    assert bus.publish_run(b"foo", b"", [])
    expected = b"PUB foo 1\r\nx\r\nPUB foo back 0\r\n\r\nPUB foo 3\r\nh:a\r\nPUB foo 3\r\nh:b\r\nPUB foo 4\r\nh:cc\r\n"
    assert bus.output_bytes == len(expected)
    assert bus.take_output() == expected
    assert (bus.take_output(), bus.output_bytes) == (b"", 0)


def test_nobody_can_be_seen() -> None:
    bus = open_bus()
    watcher = FakeWatcher()
    assert bus.has_interest(b"foo") and bus.watch(b"foo", watcher)
    bus.unwatch(b"foo", watcher)
    assert watcher.told == [] and bus.take_output() == b""


subjects = st.binary(max_size=12) | st.sampled_from(
    [b"foo", b"foo 1", b"foo\r\nPING", b"foo.*", b"_INBOX.x", b"\t", b"x" * 4084, b"x" * 4085, b"caf\xc3\xa9"]
)


@given(subjects, subjects, st.binary(max_size=MAX_PAYLOAD + 3))
def test_whatever_is_published_is_one_message_or_none(subject: bytes, reply: bytes, payload: bytes) -> None:
    bus = open_bus()
    done = bus.publish(subject, reply, payload)
    operations = heard_by_the_server(bus.take_output())
    if done:
        (operation,) = operations
        assert isinstance(operation, Publish)
        assert (operation.subject, operation.reply, operation.payloads) == (subject, reply, [payload])
    else:
        assert operations == []
        is_wrong = any(set(name) & set(b" \t\r\n") for name in (subject, reply))
        assert is_wrong or not subject or len(subject + reply) > 4084 or len(payload) > MAX_PAYLOAD


@given(subjects)
def test_whatever_is_subscribed_to_is_one_subject_or_none(subject: bytes) -> None:
    bus = open_bus()
    bus.subscribe(subject, FakeReceiver())
    bus.unsubscribe(subject)
    operations = heard_by_the_server(bus.take_output())
    if operations:
        begun, ended = operations
        assert isinstance(begun, Subscribe) and isinstance(ended, Unsubscribe)
        assert (begun.subject, begun.queue, begun.sid) == (subject, b"", ended.sid)


@given(st.binary(max_size=5), st.lists(st.binary(max_size=12), max_size=8), st.integers(1, 14))
def test_only_what_is_too_large_stays_here(head: bytes, payloads: list[bytes], max_payload: int) -> None:
    bus = open_bus(max_payload)
    fitting = [head + payload for payload in payloads if len(head + payload) <= max_payload]
    before = list(payloads)
    assert bus.publish_run(b"foo", head, payloads) == (len(fitting) == len(payloads))
    assert payloads == before, "they are not ours"
    operations = heard_by_the_server(bus.take_output())
    assert [payload for one in operations if isinstance(one, Publish) for payload in one.payloads] == fitting
    if len(fitting) == len(payloads):
        assert bus.complaints == []
    else:
        assert bus.complaints == [f"maximum payload exceeded: a message to foo (more than {max_payload} bytes)"]


def test_the_largest_message_is_what_the_server_says_last() -> None:
    bus = open_bus(10)
    assert not bus.publish(b"foo", b"", bytes(11))
    bus.feed(HELLO % 11)
    assert bus.publish(b"foo", b"", bytes(11)) and not bus.publish(b"foo", b"", bytes(12))
    bus.close()
    bus.begin()
    bus.feed(b"INFO {}\r\n")
    bus.open()
    assert bus.publish(b"foo", b"", bytes(1024 * 1024)) and not bus.publish(b"foo", b"", bytes(1024 * 1024 + 1))
    for unlimited in (0, -1, 1 << 62):
        bus.feed(HELLO % unlimited)
        assert bus.publish(b"foo", b"", bytes(2 * 1024 * 1024))


def test_complaints_are_kept_once_and_not_without_end() -> None:
    bus = open_bus()
    bus.feed(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n" * 3)
    assert bus.complaints == ['Permissions Violation for Publish to "a"']
    for i in range(1000):
        bus.feed(b"-ERR '%d'\r\n" % i)
        assert not bus.publish(b"%d" % i, b"", bytes(1000))
    assert len(bus.complaints) == 100
    bus.begin()
    assert bus.complaints == []
    bus.feed(b"-ERR 'Authorization Violation'\r\n")
    assert bus.complaints == ["Authorization Violation"]


def test_a_refusal_without_words_is_one() -> None:
    bus = ExternalBus()
    bus.begin()
    bus.feed(b"-ERR\r\n")
    assert bus.complaints == [""]


def test_pings() -> None:
    bus = open_bus()
    bus.feed(b"PING\r\nPING\r\n")
    assert bus.take_output() == b"PONG\r\nPONG\r\n"
    number = bus.ping()
    assert (bus.take_output(), number, bus.pongs) == (b"PING\r\n", 2, 1)
    bus.feed(b"PONG\r\n")
    assert bus.pongs == number


def test_after_a_lost_connection() -> None:
    bus = open_bus()
    receiver = FakeReceiver()
    bus.subscribe(b"a", receiver)
    bus.subscribe(b"b", receiver)
    bus.subscribe(b"c", receiver)
    bus.take_output()
    bus.publish(b"foo", b"", b"never sent")
    bus.feed(b"MSG a 1 5\r\nhal")
    bus.close()
    assert not bus.is_open()
    assert not bus.publish(b"foo", b"", b"refused")
    bus.unsubscribe(b"b")
    bus.subscribe(b"d", receiver)
    assert bus.take_output() == b""
    bus.begin()
    bus.feed(HELLO % 5 + b"PONG\r\n")
    bus.open()
    assert bus.take_output() == b"SUB a 1\r\nSUB c 3\r\nSUB d 4\r\n"
    bus.feed(msg(b"1", b"a", b"x") + msg(b"2", b"b", b"y") + msg(b"4", b"d", b"z"))
    assert receiver.got() == [(b"a", b"", b"x"), (b"d", b"", b"z")]


def test_messages_before_the_connection_stands_are_nobodys() -> None:
    bus = ExternalBus()
    receiver = FakeReceiver()
    bus.subscribe(b"foo", receiver)
    bus.begin()
    bus.feed(HELLO % 5 + msg(b"1", b"foo", b"x"))
    assert receiver.got() == []


def test_stop_listening() -> None:
    bus = open_bus()
    receiver = FakeReceiver()
    bus.subscribe(b"foo", receiver)
    bus.take_output()
    bus.stop_listening()
    bus.feed(msg(b"1", b"foo", b"x") + b"PONG\r\n")
    assert receiver.got() == [] and bus.pongs == 2
    assert bus.publish(b"foo", b"", b"the last word") and bus.take_output() == b"PUB foo 13\r\nthe last word\r\n"


def test_nobody_there_to_answer() -> None:
    bus = open_bus()
    receiver = FakeReceiver()
    bus.subscribe(b"_INBOX.me.*", receiver)
    bus.feed(b"HMSG _INBOX.me.7 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" + msg(b"1", b"_INBOX.me.8", b"here"))
    nobody, somebody = receiver.runs
    assert (nobody.subject, nobody.header_bytes, is_no_responders(nobody)) == (b"_INBOX.me.7", 16, True)
    assert (somebody.subject, somebody.header_bytes, is_no_responders(somebody)) == (b"_INBOX.me.8", 0, False)


def test_receivers_read_messages_without_headers() -> None:
    bus = open_bus()
    receiver = FakeReceiver()
    bus.subscribe(b"foo", receiver)
    bus.feed(b"HMSG foo 1 back 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" * 2)
    assert receiver.got() == [(b"foo", b"back", b"hi")] * 2
    assert [run.header_bytes for run in receiver.runs] == [0]


def test_congestion() -> None:
    bus = open_bus(1 << 20)
    message = bytes(1 << 20)
    for _ in range(7):
        assert bus.publish(b"foo", b"", message)
    assert not bus.is_congested(b"foo")
    assert bus.publish(b"foo", b"", message)
    assert bus.is_congested(b"foo") and bus.is_congested(b"bar"), "one connection carries all subjects"
    bus.take_output()
    assert not bus.is_congested(b"foo")
    bus.socket_unsent_bytes = 9 << 20
    assert bus.is_congested(b"foo")
    bus.close()
    assert not bus.is_congested(b"foo"), "what was unsent is dropped, not waited for"


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"null", b"7", b'{"max_payload":"x"}', b'{"tls_required":1}', b"\xff\xfe", b"[" * 100_000],
)
def test_an_info_of_no_use(document: bytes) -> None:
    bus = ExternalBus()
    bus.begin()
    bus.feed(b"INFO " + document + b"\r\n")
    assert bus.failure.startswith("its INFO is not understood: ") and bus.info == b""
    bus = open_bus()
    before = bus.info
    bus.feed(b"INFO " + document + b"\r\n")
    assert (bus.failure, bus.info) == ("", before), "the first one holds"


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", b"\x15\x03\x01", b"SUB foo 1\r\n", b"MSG foo 1 x\r\n"]
)
def test_not_the_words_of_a_server(data: bytes) -> None:
    bus = open_bus()
    receiver = FakeReceiver()
    bus.subscribe(b"foo", receiver)
    bus.feed(msg(b"1", b"foo", b"x") + data + msg(b"1", b"foo", b"y"))
    assert bus.failure
    assert receiver.got() == [(b"foo", b"", b"x")]
    bus.begin()
    assert bus.failure == ""
    bus.feed(HELLO % 5)
    assert bus.info


@given(st.lists(st.binary(max_size=30), max_size=10), cuts)
def test_any_split_of_what_is_heard(payloads: list[bytes], cuts: list[int]) -> None:
    bus = open_bus()
    one, other = FakeReceiver(), FakeReceiver()
    bus.subscribe(b"one", one)
    bus.subscribe(b"other", other)
    bus.take_output()
    data = b"".join(
        msg(b"1", b"one", payload) * 2 + b"PING\r\n" + msg(b"2", b"other", payload, b"back") + b"+OK\r\n"
        for payload in payloads
    )
    for piece in pieces(data, cuts):
        bus.feed(piece)
    assert one.got() == [(b"one", b"", payload) for payload in payloads for _ in range(2)]
    assert other.got() == [(b"other", b"back", payload) for payload in payloads]
    assert bus.take_output() == b"PONG\r\n" * len(payloads)
    assert bus.failure == ""


_WORDS = (b"MSG foo 1 3\r\nxyz\r\n", b"HMSG foo 1 2 3\r\n", b"-ERR 'x'\r\n", b"INFO {}\r\n", b"INFO x\r\n", b"PONG\r\n")


@given(st.lists(st.sampled_from(_WORDS) | st.binary(max_size=8)).map(b"".join), cuts)
def test_no_bytes_do_any_harm(data: bytes, cuts: list[int]) -> None:
    bus = open_bus()
    bus.subscribe(b"foo", FakeReceiver())
    bus.take_output()
    for piece in pieces(data, cuts):
        bus.feed(piece)
    assert bus.is_open()
    assert set(bus.take_output().split(b"\r\n")) <= {b"", b"PONG"}
    bus.begin()
    bus.feed(HELLO % 5)
    bus.open()
    assert bus.take_output() == b"SUB foo 1\r\n"


class Busy(FakeReceiver):
    """Acts while it is told."""

    def __init__(self, bus: ExternalBus) -> None:
        super().__init__()
        self._bus = bus

    def on_publish(self, publish: Publish) -> None:
        super().on_publish(publish)
        self._bus.unsubscribe(b"b")
        self._bus.subscribe(b"c", self)
        self._bus.publish(publish.reply, b"", b"done")


def test_receivers_may_act_at_once() -> None:
    bus = open_bus()
    busy = Busy(bus)
    bus.subscribe(b"a", busy)
    bus.subscribe(b"b", busy)
    bus.take_output()
    bus.feed(msg(b"1", b"a", b"x", b"back") + msg(b"2", b"b", b"y", b"back") + b"PING\r\n")
    assert busy.got() == [(b"a", b"back", b"x")]
    assert bus.take_output() == b"SUB c 3\r\nPUB back 4\r\ndone\r\nPONG\r\nUNSUB 2\r\n"
