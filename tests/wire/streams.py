"""What clients say, as tuples: a strategy for streams of operations, and the same form of what a parser made of them."""

from collections.abc import Sequence

from hypothesis import strategies as st

from durabus.wire.operations import Connect, Operation, Ping, Pong, Publish, Subscribe, Unsubscribe, Violation

Said = tuple[object, ...]

BLANKS = (b" ", b"\t", b"  ", b" \t ")
LINE_ENDS = (b"\r\n", b"\n")


def said(operations: Sequence[Operation]) -> list[Said]:
    """The operations as tuples, runs taken apart into single messages."""
    found: list[Said] = []
    for operation in operations:
        if isinstance(operation, Publish):
            run = [("PUB", operation.subject, operation.reply, operation.header_bytes, p) for p in operation.payloads]
            assert run, "a run without messages"
            found += run
        elif isinstance(operation, Subscribe):
            found.append(("SUB", operation.subject, operation.queue, operation.sid))
        elif isinstance(operation, Unsubscribe):
            found.append(("UNSUB", operation.sid, operation.message_count_max))
        elif isinstance(operation, Connect):
            found.append(("CONNECT", operation.document))
        elif isinstance(operation, Violation):
            found.append(("VIOLATION", operation.answer))
        else:
            assert isinstance(operation, Ping | Pong)
            found.append(("PING",) if isinstance(operation, Ping) else ("PONG",))
    return found


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """`data` cut at the given places, in order; places beyond its end count from its start again."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


cuts = st.lists(st.integers(0, 1 << 16), max_size=12)

tokens = st.binary(min_size=1, max_size=12).map(lambda token: token.translate(None, b" \t\r\n") or b"x")
subjects = st.sampled_from([b"a", b"foo", b"_STAN.pub.shop.order:created"]) | tokens


@st.composite
def lines(draw: st.DrawFn, verb: bytes, arguments: Sequence[bytes]) -> bytes:
    """One control line with any case, any blanks between its words, and either end."""
    upper = draw(st.lists(st.booleans(), min_size=len(verb), max_size=len(verb)))
    word = bytes(byte if up else byte | 32 for byte, up in zip(verb, upper, strict=True))
    text = word
    for argument in arguments:
        text += draw(st.sampled_from(BLANKS)) + argument
    return text + draw(st.sampled_from((b"", b" "))) + draw(st.sampled_from(LINE_ENDS))


@st.composite
def publishes(draw: st.DrawFn) -> tuple[list[Said], bytes]:
    """A PUB or HPUB line with several messages behind it, each behind the very same line."""
    size = draw(st.integers(0, 40))
    subject = draw(subjects)
    reply = draw(st.just(b"") | subjects)
    arguments = [subject, reply] if reply else [subject]
    header_bytes = 0
    if draw(st.booleans()):
        header_bytes = draw(st.integers(0, size))
        line = draw(lines(b"HPUB", [*arguments, b"%d" % header_bytes, b"%d" % size]))
    else:
        line = draw(lines(b"PUB", [*arguments, draw(st.sampled_from((b"%d", b"%04d"))) % size]))
    payloads = draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=4))
    whole: list[Said] = [("PUB", subject, reply, header_bytes, payload) for payload in payloads]
    return whole, b"".join(line + payload + b"\r\n" for payload in payloads)


@st.composite
def controls(draw: st.DrawFn) -> tuple[list[Said], bytes]:
    """One operation without a payload."""
    kind = draw(st.sampled_from(("PING", "PONG", "SUB", "QSUB", "UNSUB", "CONNECT", "OK")))
    sid = draw(tokens)
    subject = draw(subjects)
    if kind in ("PING", "PONG"):
        return [(kind,)], draw(lines(kind.encode(), []))
    if kind == "SUB":
        return [("SUB", subject, b"", sid)], draw(lines(b"SUB", [subject, sid]))
    if kind == "QSUB":
        queue = draw(tokens)
        return [("SUB", subject, queue, sid)], draw(lines(b"SUB", [subject, queue, sid]))
    if kind == "UNSUB":
        count = draw(st.integers(0, 999_999_999))
        arguments = [sid, b"%d" % count] if count else [sid]
        return [("UNSUB", sid, count)], draw(lines(b"UNSUB", arguments))
    if kind == "CONNECT":
        document = draw(st.sampled_from((b"{}", b'{"verbose": false, "name":"a b"}', b'{"x":[1,\t2]}')))
        return [("CONNECT", document)], draw(lines(b"CONNECT", [document]))
    return [], draw(st.sampled_from((b"+OK\r\n", b"+ok\n", b"-ERR 'what'\r\n", b"-err\r\n")))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Said], bytes]:
    """Any sequence of valid operations: what they say, and their bytes."""
    parts = draw(st.lists(publishes() | controls(), max_size=12))
    return [one for whole, _ in parts for one in whole], b"".join(data for _, data in parts)


_SNIPPETS = (
    b"PUB a 3\r\nxyz\r\n", b"PUB a 3\r\nxyz", b"PUB a b 0\r\n\r\n", b"HPUB a 2 3\r\nxyz\r\n", b"HPUB a 4 3\r\n",
    b"PUB a 129\r\n", b"PUB a 128\r\n", b"PUB a -1\r\n", b"PUB a 9999999999\r\n", b"PUB", b"pub\t", b"hpub ", b"SUB ",
    b"SUB a q 1\r\n", b"UNSUB 1 2\r\n", b"UNSUB", b"PING\r\n", b"PONG\r\n", b"CONNECT {}\r\n", b"CONNECT", b"+OK\r\n",
    b"-ERR\r\n", b"\r\n", b"\n", b"\r", b" ", b"0", b"a", b"x" * 60, b"C" * 71, b"P" * 73, b"\tPING\r\n", b" P", b"\x00", b"\xff",
)  # fmt: skip

noise = st.lists(st.sampled_from(_SNIPPETS) | st.binary(max_size=8), max_size=14).map(b"".join)
"""Anything, mostly what is nearly valid; the sizes are made for limits of 64 (control line) and 128 (payload) bytes."""
