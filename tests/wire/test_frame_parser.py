"""What the parsers of both directions share, tested with both: splits, bounds, runs, and the numbers of a line."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.frame_parser import NO_ANSWER, UNKNOWN_OPERATION, FrameParser, KnownLine, decimal
from durabus.wire.limits import KNOWN_LINE_BYTES_MAX, KNOWN_LINES_MAX
from durabus.wire.operations import Delivery, Operation, Publish, Violation
from durabus.wire.parser import Parser
from durabus.wire.server_parser import ServerParser
from tests.wire.streams import cuts, noise, pieces

PARSERS: dict[str, tuple[Callable[[], FrameParser], bytes]] = {
    "client": (Parser, b"PUB foo"),
    "server": (ServerParser, b"MSG foo 1"),
}
both = pytest.mark.parametrize(("make", "word"), PARSERS.values(), ids=PARSERS)


def runs(operations: Sequence[Operation]) -> list[Publish]:
    """The runs of messages among `operations`."""
    found: list[Publish] = []
    for operation in operations:
        if isinstance(operation, Delivery):
            found.append(operation.publish)
        elif isinstance(operation, Publish):
            found.append(operation)
    return found


def payloads(operations: Sequence[Operation]) -> list[bytes]:
    """All payloads, in order."""
    return [payload for run in runs(operations) for payload in run.payloads]


def frame(word: bytes, payload: bytes) -> bytes:
    """One message."""
    return word + b" %d\r\n" % len(payload) + payload + b"\r\n"


@both
@given(st.data())
def test_messages_in_any_split(make: Callable[[], FrameParser], word: bytes, data: st.DataObject) -> None:
    expected = data.draw(
        st.lists(st.sampled_from([b"", b"x", b"12345", b"\r\n", word + b" 1\r\n", bytes(300)]), max_size=12)
    )
    parser = make()
    operations: list[Operation] = []
    for piece in pieces(b"".join(frame(word, payload) for payload in expected), data.draw(cuts)):
        operations += parser.feed(piece)
    assert payloads(operations) == expected
    assert parser.pending_bytes == 0


@both
@given(noise, cuts)
def test_any_bytes_in_any_split(make: Callable[[], FrameParser], word: bytes, data: bytes, cuts: list[int]) -> None:
    whole = make().feed(frame(word, b"x") + data)
    parser = make()
    operations: list[Operation] = []
    for piece in pieces(frame(word, b"x") + data, cuts):
        assert not any(isinstance(operation, Violation) for operation in operations) or parser.feed(b"x") == []
        operations += parser.feed(piece)
    assert payloads(operations) == payloads(whole)
    assert [type(one) for one in operations if not runs([one])] == [type(one) for one in whole if not runs([one])]
    assert not any(isinstance(operation, Violation) for operation in operations[:-1])


@both
@given(st.data())
def test_lines_in_turn_are_told_apart(make: Callable[[], FrameParser], word: bytes, data: st.DataObject) -> None:
    """Who publishes on many channels in turn repeats lines, of one length or not, among others."""
    words = [word, word + b".1", word + b".2", word + b".34", word + b" reply"]
    expected = data.draw(st.lists(st.tuples(st.sampled_from(words), st.binary(max_size=12)), max_size=30))
    parser = make()
    operations: list[Operation] = []
    for piece in pieces(b"".join(frame(*one) + b"PING\r\n" * (len(one[1]) % 2) for one in expected), data.draw(cuts)):
        operations += parser.feed(piece)
    found = [(run.subject, run.reply, payload) for run in runs(operations) for payload in run.payloads]
    subjects = {one: runs(make().feed(frame(one, b"")))[0] for one in words}
    assert found == [(subjects[one].subject, subjects[one].reply, payload) for one, payload in expected]


def test_what_one_parser_read_another_one_knows_within_its_own_limits() -> None:
    known: dict[bytes, KnownLine] = {}
    generous = Parser(known_lines=known)
    assert payloads(generous.feed(frame(b"PUB foo", bytes(100)) + frame(b"PUB foo bar", b"1"))) == [bytes(100), b"1"]
    assert len(known) == 2
    strict = Parser(payload_bytes_max=99, known_lines=known)
    assert payloads(strict.feed(frame(b"PUB foo bar", b"2"))) == [b"2"]
    (refusal,) = strict.feed(frame(b"PUB foo", bytes(100)))
    assert isinstance(refusal, Violation) and refusal.answer == "Maximum Payload Violation"
    narrow = Parser(control_line_bytes_max=1, known_lines=known)
    (refusal,) = narrow.feed(frame(b"PUB foo bar", b"3"))
    assert isinstance(refusal, Violation) and refusal.answer == "maximum control line exceeded"


def test_lines_are_remembered_up_to_a_bound() -> None:
    known: dict[bytes, KnownLine] = {}
    parser = Parser(known_lines=known)
    count = KNOWN_LINES_MAX + 100
    for number in range(count):
        assert len(runs(parser.feed(frame(b"PUB foo.%d" % number, b"")))) == 1
        assert len(known) <= KNOWN_LINES_MAX
    long = b"PUB " + b"x" * KNOWN_LINE_BYTES_MAX
    assert payloads(parser.feed(frame(long, b"1") + frame(b"PUB foo.1", b"2") + frame(long, b"3"))) == [
        b"1",
        b"2",
        b"3",
    ]
    assert max(map(len, known)) <= KNOWN_LINE_BYTES_MAX


@both
def test_a_run_is_one_operation(make: Callable[[], FrameParser], word: bytes) -> None:
    operations = make().feed(frame(word, b"1") * 3 + frame(word, b"22") + frame(word, b"3"))
    assert [run.payloads for run in runs(operations)] == [[b"1"] * 3, [b"22"], [b"3"]]
    assert len(operations) == 3


@both
def test_an_operation_between_ends_a_run(make: Callable[[], FrameParser], word: bytes) -> None:
    operations = make().feed(frame(word, b"1") + b"PING\r\n" + frame(word, b"2"))
    assert [type(one).__name__ for one in operations][1] == "Ping"
    assert [run.payloads for run in runs(operations)] == [[b"1"], [b"2"]]


@both
def test_a_payload_in_many_pieces_is_not_looked_at_before_it_is_there(
    make: Callable[[], FrameParser], word: bytes
) -> None:
    parser = make()
    data = frame(word, b"x" * 50_000)
    for i in range(0, len(data) - 10, 10):
        assert parser.feed(data[i : i + 10]) == []
        assert parser.pending_bytes == i + 10
    assert payloads(parser.feed(data[i + 10 :])) == [b"x" * 50_000]


@both
@pytest.mark.parametrize("data", [b"NONSENSE\r\n", b"\r\n", b"x", b" PING\r\n"])
def test_deaf_after_a_violation(make: Callable[[], FrameParser], word: bytes, data: bytes) -> None:
    parser = make()
    (violation,) = parser.feed(data + frame(word, b"x"))
    assert isinstance(violation, Violation)
    assert violation.answer == UNKNOWN_OPERATION
    assert parser.feed(frame(word, b"x")) == []
    assert parser.pending_bytes == 0


@both
@pytest.mark.parametrize("size", [b"x", b"-1", b"1234567890", b"1e3"])
def test_a_bad_size_is_not_answered(make: Callable[[], FrameParser], word: bytes, size: bytes) -> None:
    (violation,) = make().feed(word + b" " + size + b"\r\n")
    assert isinstance(violation, Violation)
    assert violation.answer == NO_ANSWER
    assert violation.detail


@pytest.mark.parametrize(
    ("digits", "expected"),
    [(b"0", 0), (b"7", 7), (b"007", 7), (b"999999999", 999_999_999)]
    + [(digits, -1) for digits in (b"", b"-1", b"+1", b"1.0", b"0x1", b"1_0", b" 1", b"x", b"\xd9\xa1", b"0" * 10)],
)
def test_decimal(digits: bytes, expected: int) -> None:
    assert decimal(digits) == expected


@given(st.binary(max_size=12))
def test_decimal_of_any_bytes(digits: bytes) -> None:
    value = decimal(digits)
    assert value == -1 or b"%0*d" % (len(digits), value) == digits
