"""The parser: the same operations for any split, nothing but a violation for any mistake, memory within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.operations import Operation, Publish, Violation
from durabus.wire.parser import Parser
from tests.wire.streams import Said, conversations, cuts, noise, pieces, said

LINE_BYTES_MAX = 64
PAYLOAD_BYTES_MAX = 128
VERB_BYTES = 9
UNKNOWN = "Unknown Protocol Operation"


def small_parser() -> Parser:
    """A parser with the limits that `noise` is made for."""
    return Parser(LINE_BYTES_MAX, PAYLOAD_BYTES_MAX)


def fed(*chunks: bytes, parser: Parser | None = None) -> list[Operation]:
    """What a parser makes of `chunks`."""
    parser = parser or Parser()
    return [operation for chunk in chunks for operation in parser.feed(chunk)]


def violation(*chunks: bytes, parser: Parser | None = None) -> Violation:
    """The violation that `chunks` must end in."""
    last = fed(*chunks, parser=parser)[-1]
    assert isinstance(last, Violation)
    return last


@given(conversations(), cuts)
def test_any_split_of_valid_operations(conversation: tuple[list[Said], bytes], cuts: list[int]) -> None:
    expected, data = conversation
    parser = Parser()
    assert said(fed(*pieces(data, cuts), parser=parser)) == expected
    assert parser.pending_bytes == 0


@given(conversations())
def test_one_byte_at_a_time(conversation: tuple[list[Said], bytes]) -> None:
    expected, data = conversation
    assert said(fed(*(data[i : i + 1] for i in range(len(data))))) == expected


@given(noise, cuts)
def test_any_bytes_in_any_split(data: bytes, cuts: list[int]) -> None:
    parser = small_parser()
    operations: list[Operation] = []
    for piece in pieces(data, cuts):
        before = len(operations)
        operations += parser.feed(piece)
        assert parser.pending_bytes <= LINE_BYTES_MAX + VERB_BYTES + 2 + PAYLOAD_BYTES_MAX + 1
        if any(isinstance(operation, Violation) for operation in operations[:before]):
            assert len(operations) == before, "a parser that said Violation is deaf"
    assert not any(isinstance(operation, Violation) for operation in operations[:-1])
    if operations and isinstance(operations[-1], Violation):
        assert parser.pending_bytes == 0
        assert parser.feed(b"PING\r\n") == []
        assert operations[-1].detail
    assert said(operations) == said(fed(data, parser=small_parser())), "the split must not matter"


@given(st.binary(max_size=200), st.sampled_from([b"PUB foo 3\r\nabc\r\n", b"PUB foo 4\r\nab", b"SUB foo", b"PING\r\n"]))
def test_any_bytes_after_valid_ones(data: bytes, start: bytes) -> None:
    parser = small_parser()
    parser.feed(start)
    parser.feed(data)
    assert parser.pending_bytes <= LINE_BYTES_MAX + VERB_BYTES + 2 + PAYLOAD_BYTES_MAX + 1


def test_each_operation() -> None:
    data = (
        b'CONNECT {"verbose":false}\r\nPING\r\nPONG\r\nSUB foo.* 1\r\nSUB foo.> workers 2\r\nUNSUB 1\r\nUNSUB 2 7\r\n'
        b"PUB foo 2\r\nhi\r\nPUB foo back 0\r\n\r\nHPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB foo back 12 12\r\n"
        b"NATS/1.0\r\n\r\n\r\n+OK\r\n-ERR 'never mind'\r\n"
    )
    assert said(fed(data)) == [
        ("CONNECT", b'{"verbose":false}'),
        ("PING",),
        ("PONG",),
        ("SUB", b"foo.*", b"", b"1"),
        ("SUB", b"foo.>", b"workers", b"2"),
        ("UNSUB", b"1", 0),
        ("UNSUB", b"2", 7),
        ("PUB", b"foo", b"", 0, b"hi"),
        ("PUB", b"foo", b"back", 0, b""),
        ("PUB", b"foo", b"", 12, b"NATS/1.0\r\n\r\nhi"),
        ("PUB", b"foo", b"back", 12, b"NATS/1.0\r\n\r\n"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"ping\r\n", ("PING",)),
        (b"PiNg\n", ("PING",)),
        (b"PING with words\r\n", ("PING",)),
        (b"sub\tfoo\t \t1\r\n", ("SUB", b"foo", b"", b"1")),
        (b"Sub foo q 1 \r\n", ("SUB", b"foo", b"q", b"1")),
        (b"unsub 1 junk\r\n", ("UNSUB", b"1", 0)),
        (b"unsub 1 -5\r\n", ("UNSUB", b"1", 0)),
        (b"unsub 1 12345678901\r\n", ("UNSUB", b"1", 0)),
        (b"pub foo 000000001\r\nx\r\n", ("PUB", b"foo", b"", 0, b"x")),
        (b"pUb\tfoo\treply  1\nx\r\n", ("PUB", b"foo", b"reply", 0, b"x")),
        (b"hPub foo 0 1\r\nx\r\n", ("PUB", b"foo", b"", 0, b"x")),
        (b'connect\t {"name": "a  b"} \r\n', ("CONNECT", b'{"name": "a  b"}')),
    ],
)
def test_spellings(line: bytes, expected: Said) -> None:
    assert said(fed(line)) == [expected]


@pytest.mark.parametrize(
    "data",
    [
        b"PUBLISH foo 1\r\n", b"MSG foo 1 1\r\n", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01", b"\r\n", b"\n",
        b" PING\r\n", b"\tPING\r\n", b"PUB\r\n", b"SUB\r\n", b"UNSUB\r\n", b"{", b"\x00", b"PUB foo 2\r\nab\nPING\r\n",
        b"PUB foo 2\r\nabc\r\n", b"PUB foo 2\r\nab\rx", b"PUB foo 2\r\na\r\n+", b"PUB foo 0\r\nxx", b"SUBfoo 1\r\n",
    ],
)  # fmt: skip
def test_unknown_operations(data: bytes) -> None:
    for chunks in ([data], [data[i : i + 1] for i in range(len(data))]):
        assert violation(*chunks).answer == UNKNOWN


@pytest.mark.parametrize(
    "line",
    [
        b"PUB foo\r\n", b"PUB foo x\r\n", b"PUB foo -1\r\n", b"PUB foo +1\r\n", b"PUB foo 1.0\r\n", b"PUB foo 1_0\r\n",
        b"PUB foo bar baz 1\r\n", b"PUB 5\r\n", b"HPUB 0 5\r\n", b"HPUB 5\r\n", b"PUB foo 0000000001\r\n", b"PUB foo 99999999999999999999\r\n",
        b"PUB foo \xd9\xa1\r\n", b"HPUB foo 1\r\n", b"HPUB foo 3 2\r\n", b"HPUB foo x 2\r\n", b"HPUB foo 1 x\r\n",
        b"HPUB foo -1 2\r\n", b"HPUB a b c 1 2\r\n", b"SUB foo\r\n", b"SUB a b c d\r\n", b"UNSUB 1 2 3\r\n",
        b"CONNECT\r\n", b"CONNECT \r\n",
    ],
)  # fmt: skip
def test_bad_arguments_close_without_a_word(line: bytes) -> None:
    for chunks in ([line], [line[i : i + 1] for i in range(len(line))]):
        found = violation(*chunks)
        assert (found.answer, bool(found.detail)) == ("", True)


def test_the_detail_names_the_bytes() -> None:
    assert "NONSENSE" in violation(b"SUB a 1\r\nPUB NONSENSE\r\n").detail
    assert "GET /" in violation(b"GET / HTTP").detail
    assert len(violation(b"P" * 4000 + b"\r\n").detail) < 200, "a log line is not the place for all of it"


def test_largest_payload() -> None:
    line = b"PUB foo %d\r\n"
    assert said(fed(line % 128 + b"x" * 128 + b"\r\n", parser=small_parser())) == [("PUB", b"foo", b"", 0, b"x" * 128)]
    assert violation(line % 129, parser=small_parser()).answer == "Maximum Payload Violation"
    assert violation(line % 999_999_999, parser=small_parser()).answer == "Maximum Payload Violation"
    assert violation(b"HPUB foo 1 129\r\n", parser=small_parser()).answer == "Maximum Payload Violation"


def test_a_payload_may_be_forbidden() -> None:
    parser = Parser(64, 0)
    assert said(parser.feed(b"PUB foo 0\r\n\r\n")) == [("PUB", b"foo", b"", 0, b"")]
    assert violation(b"PUB foo 1\r\n", parser=parser).answer == "Maximum Payload Violation"


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("split", [False, True])
def test_longest_control_line(end: bytes, split: bool) -> None:
    longest = b"CONNECT  ".ljust(LINE_BYTES_MAX + VERB_BYTES, b"x")
    for line, fits in ((longest, True), (longest + b"x", False)):
        data = line + end
        chunks = [data[i : i + 1] for i in range(len(data))] if split else [data]
        operations = said(fed(*chunks, parser=small_parser()))
        assert operations == ([("CONNECT", line[9:])] if fits else [("VIOLATION", "maximum control line exceeded")])


def test_a_line_without_an_end_is_refused_before_it_grows() -> None:
    parser = small_parser()
    assert parser.feed(b"PUB " + b"x" * (LINE_BYTES_MAX + VERB_BYTES - 4)) == []
    assert parser.pending_bytes == LINE_BYTES_MAX + VERB_BYTES
    assert violation(b"x", parser=parser).answer == "maximum control line exceeded"
    assert parser.pending_bytes == 0


def test_limits_are_those_of_one_line_not_of_a_chunk() -> None:
    assert said(fed(b"PING\r\n" * 1000 + b"PUB a 1", parser=small_parser())) == [("PING",)] * 1000


def test_garbage_is_refused_at_its_first_byte() -> None:
    assert violation(b"G").answer == UNKNOWN
    assert violation(b"PING\r\nx").answer == UNKNOWN


def test_what_stood_before_a_violation_counts() -> None:
    parser = Parser()
    operations = said(parser.feed(b"PING\r\nPUB a 1\r\nx\r\nNONSENSE\r\nPING\r\n"))
    assert operations == [("PING",), ("PUB", b"a", b"", 0, b"x"), ("VIOLATION", UNKNOWN)]
    assert parser.feed(b"PING\r\n") == []


def runs(*chunks: bytes) -> list[list[bytes]]:
    """The payloads of each Publish."""
    return [operation.payloads for operation in fed(*chunks) if isinstance(operation, Publish)]


def test_the_same_line_again_makes_one_run() -> None:
    a = b"PUB a 1\r\n%b\r\n"
    assert runs(a % b"1" + a % b"2" + a % b"3") == [[b"1", b"2", b"3"]]
    assert len(fed((a % b"x") * 5000)) == 1
    assert [len(run) for run in runs(b"PING\r\n" + (a % b"x") * 5000)] == [5000]


@pytest.mark.parametrize(
    "other",
    [
        b"PUB b 1\r\nx\r\n", b"PUB a 2\r\nxx\r\n", b"PUB a r 1\r\nx\r\n", b"pub a 1\r\nx\r\n", b"PUB a 1\nx\r\n",
        b"HPUB a 0 1\r\nx\r\n", b"PUB aa 1\r\nx\r\n",
    ],
)  # fmt: skip
def test_another_line_ends_a_run(other: bytes) -> None:
    a = b"PUB a 1\r\n1\r\n"
    assert [len(run) for run in runs(a + a + other + a)] == [2, 1, 1]
    assert said(fed(a + a + other + a)) == said(fed(a, a, other, a))


def test_an_operation_between_keeps_its_place() -> None:
    a = b"PUB a 1\r\n1\r\n"
    assert said(fed(a + b"PING\r\n" + a)) == [("PUB", b"a", b"", 0, b"1"), ("PING",), ("PUB", b"a", b"", 0, b"1")]


def test_a_payload_may_look_like_its_own_line() -> None:
    line = b"PUB a 11\r\n"
    data = line + b"PUB a 11\r\nP" + b"\r\n"
    assert said(fed(data + data)) == [("PUB", b"a", b"", 0, b"PUB a 11\r\nP")] * 2


def test_a_run_over_chunks_has_every_message_once() -> None:
    data = b"".join(b"PUB a 4\r\n%04d\r\n" % i for i in range(500))
    for size in (7, 16, 17, 64, 1000):
        payloads = [
            payload for run in runs(*(data[i : i + size] for i in range(0, len(data), size))) for payload in run
        ]
        assert payloads == [b"%04d" % i for i in range(500)]


def test_pending_bytes_are_what_is_unfinished() -> None:
    parser = Parser()
    parser.feed(b"PING\r\nPUB a 5\r\nab")
    assert parser.pending_bytes == 11
    parser.feed(b"c")
    assert parser.pending_bytes == 12
    assert said(parser.feed(b"de\r\nPI")) == [("PUB", b"a", b"", 0, b"abcde")]
    assert parser.pending_bytes == 2


def test_no_bytes_change_nothing() -> None:
    parser = Parser()
    assert parser.feed(b"") == []
    parser.feed(b"PIN")
    assert parser.feed(b"") == []
    assert said(parser.feed(b"G\r\n")) == [("PING",)]


def test_parsers_do_not_share_anything() -> None:
    one, other = Parser(), Parser()
    one.feed(b"PUB a 1\r\nx\r\nPUB a 1\r\n")
    assert said(other.feed(b"PUB b 1\r\ny\r\n")) == [("PUB", b"b", b"", 0, b"y")]
    assert said(one.feed(b"z\r\n")) == [("PUB", b"a", b"", 0, b"z")]
