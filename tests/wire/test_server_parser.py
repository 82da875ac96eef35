"""The words of another server, when we are its client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire import framing
from durabus.wire.operations import Delivery, Info, Ok, Operation, Ping, Pong, Refusal, Violation
from durabus.wire.server_parser import ServerParser
from tests.wire.streams import Said, cuts, pieces


def said(operations: list[Operation]) -> list[Said]:
    """The operations as tuples, runs taken apart into single messages."""
    found: list[Said] = []
    for operation in operations:
        if isinstance(operation, Delivery):
            run = operation.publish
            found += [("MSG", operation.sid, run.subject, run.reply, run.header_bytes, p) for p in run.payloads]
        elif isinstance(operation, Info):
            found.append(("INFO", operation.document))
        elif isinstance(operation, Refusal):
            found.append(("-ERR", operation.text))
        elif isinstance(operation, Violation):
            found.append(("VIOLATION", operation.answer))
        else:
            assert isinstance(operation, Ping | Pong | Ok)
            found.append((type(operation).__name__.upper(),))
    return found


def heard(data: bytes) -> list[Said]:
    """What the bytes say, in one go and a byte at a time."""
    parser = ServerParser()
    whole = said(parser.feed(data))
    parser = ServerParser()
    assert said([one for i in range(len(data)) for one in parser.feed(data[i : i + 1])]) == whole
    return whole


def test_each_operation() -> None:
    data = (
        b'INFO {"server_id":"x", "max_payload":5} \r\n+OK\r\nPING\r\nPONG\r\n-ERR \'Permissions Violation\'\r\n'
        b"MSG foo 7 2\r\nhi\r\nMSG foo 7 back 0\r\n\r\nHMSG foo 8 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
        b"HMSG foo 8 back 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    )
    assert heard(data) == [
        ("INFO", b'{"server_id":"x", "max_payload":5}'),
        ("OK",),
        ("PING",),
        ("PONG",),
        ("-ERR", "Permissions Violation"),
        ("MSG", b"7", b"foo", b"", 0, b"hi"),
        ("MSG", b"7", b"foo", b"back", 0, b""),
        ("MSG", b"8", b"foo", b"", 12, b"NATS/1.0\r\n\r\nhi"),
        ("MSG", b"8", b"foo", b"back", 12, b"NATS/1.0\r\n\r\n"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"ping\r\n", ("PING",)),
        (b"+ok\n", ("OK",)),
        (b"-err 'Stale Connection'\r\n", ("-ERR", "Stale Connection")),
        (b"-ERR\r\n", ("-ERR", "")),
        (b"-ERR 'caf\xe9'\r\n", ("-ERR", "caf\\xe9")),
        (b"info {}\r\n", ("INFO", b"{}")),
        (b"msg\tfoo 1  1\nx\r\n", ("MSG", b"1", b"foo", b"", 0, b"x")),
    ],
)
def test_spellings(line: bytes, expected: Said) -> None:
    assert heard(line) == [expected]


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"PUB foo 1\r\nx\r\n", "Unknown Protocol Operation"),
        (b"SUB foo 1\r\n", "Unknown Protocol Operation"),
        (b"HTTP/1.1 400 Bad Request\r\n", "Unknown Protocol Operation"),
        (b"MSG foo 1 1\r\nxyz", "Unknown Protocol Operation"),
        (b"MSG foo 1\r\n", ""),
        (b"MSG 1 5\r\n", ""),
        (b"MSG foo 1 r x 5\r\n", ""),
        (b"MSG foo 1 x\r\n", ""),
        (b"HMSG foo 1 5\r\n", ""),
        (b"HMSG foo 1 6 5\r\n", ""),
        (b"MSG foo 1 99999999\r\n", "Maximum Payload Violation"),
    ],
)
def test_what_a_server_cannot_say(data: bytes, answer: str) -> None:
    assert heard(data)[-1] == ("VIOLATION", answer)


def test_a_long_info_is_no_violation() -> None:
    document = b'{"connect_urls":["' + b"x" * 500_000 + b'"]}'
    line = b"INFO " + document + b"\r\n"
    parser = ServerParser()
    operations = [one for i in range(0, len(line), 65536) for one in parser.feed(line[i : i + 65536])]
    assert said(operations) == [("INFO", document)]


def test_deliveries_for_another_subscription_are_another_run() -> None:
    operations = ServerParser().feed(b"MSG foo 1 1\r\na\r\n" * 2 + b"MSG foo 2 1\r\nb\r\n" + b"MSG foo 1 1\r\nc\r\n")
    runs = [(one.sid, one.publish.payloads) for one in operations if isinstance(one, Delivery)]
    assert runs == [(b"1", [b"a", b"a"]), (b"2", [b"b"]), (b"1", [b"c"])]


words = st.sampled_from([b"foo", b"_INBOX.abc", b"7", b"x.y.z"])


@given(
    words, words, st.just(b"") | words, st.integers(0, 3), st.lists(st.binary(min_size=3, max_size=9), max_size=9), cuts
)
def test_what_our_own_broker_writes(
    subject: bytes, sid: bytes, reply: bytes, header_bytes: int, payloads: list[bytes], cuts: list[int]
) -> None:
    out: list[bytes] = []
    framing.frame_run(framing.message_start(subject, sid, reply, header_bytes), b"", payloads, out)
    data = b"".join(out) + framing.PING + framing.error_line("x") + framing.info_line(b"{}") + framing.OK
    parser = ServerParser()
    operations = [one for piece in pieces(data, cuts) for one in parser.feed(piece)]
    expected: list[Said] = [("MSG", sid, subject, reply, header_bytes, payload) for payload in payloads]
    assert said(operations) == [*expected, ("PING",), ("-ERR", "x"), ("INFO", b"{}"), ("OK",)]


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"MSG a 1 2\r\nxy", b"\r\n", b"INFO", b"-", b" ", b"H"])).map(b"".join),
    cuts,
)
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    parser = ServerParser()
    operations = [one for piece in pieces(data, cuts) for one in parser.feed(piece)]
    assert said(operations) == said(ServerParser().feed(data))
    assert parser.pending_bytes <= len(data)
