"""Frames for clients: byte for byte what one frame after the other would be, in few pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.framing import (
    NO_RESPONDERS,
    OK,
    PING,
    PONG,
    error_line,
    frame_run,
    info_line,
    is_no_responders,
    message_start,
    publish_start,
)
from durabus.wire.operations import Publish

words = st.binary(min_size=1, max_size=20).map(lambda word: word.translate(None, b" \t\r\n") or b"x")


def one_frame(subject: bytes, sid: bytes, reply: bytes, header_bytes: int, payload: bytes) -> bytes:
    """One message as the protocol has it, written the slow way."""
    words = [b"HMSG" if header_bytes else b"MSG", subject, sid]
    if reply:
        words.append(reply)
    if header_bytes:
        words.append(str(header_bytes).encode())
    words.append(str(len(payload)).encode())
    return b" ".join(words) + b"\r\n" + payload + b"\r\n"


@given(
    subject=words,
    sid=words,
    reply=st.just(b"") | words,
    header_bytes=st.integers(0, 3),
    head=st.binary(max_size=8),
    payloads=st.lists(st.binary(max_size=3) | st.binary(min_size=9, max_size=101), max_size=12),
)
def test_a_run_is_the_same_as_its_frames(
    subject: bytes, sid: bytes, reply: bytes, header_bytes: int, head: bytes, payloads: list[bytes]
) -> None:
    out = [b"before"]
    before = list(payloads)
    total = frame_run(message_start(subject, sid, reply, header_bytes), head, payloads, out)
    expected = b"".join(one_frame(subject, sid, reply, header_bytes, head + payload) for payload in payloads)
    assert b"".join(out) == b"before" + expected
    assert total == len(expected)
    assert payloads == before


def test_payloads_of_one_size_are_joined_in_one_go() -> None:
    out: list[bytes] = []
    frame_run(b"MSG foo 1 ", b"", [b"%03d" % i for i in range(1000)], out)
    assert len(out) <= 3
    out.clear()
    frame_run(b"MSG foo 1 ", b"", [b"a", b"b", b"cc", b"dd", b"e"], out)
    assert len(out) <= 9


@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 100, 1024 * 1024])
def test_sizes_are_decimal(size: int) -> None:
    out: list[bytes] = []
    frame_run(b"MSG foo 1 ", b"", [bytes(size)], out)
    assert b"".join(out).startswith(b"MSG foo 1 %d\r\n" % size)


def test_lines_up_to_their_size() -> None:
    assert message_start(b"foo", b"7", b"", 0) == b"MSG foo 7 "
    assert message_start(b"foo", b"7", b"back", 0) == b"MSG foo 7 back "
    assert message_start(b"foo", b"7", b"", 12) == b"HMSG foo 7 12 "
    assert message_start(b"foo", b"7", b"back", 12) == b"HMSG foo 7 back 12 "
    assert publish_start(b"foo", b"") == b"PUB foo "
    assert publish_start(b"foo", b"back") == b"PUB foo back "


def test_short_answers() -> None:
    assert (OK, PING, PONG) == (b"+OK\r\n", b"PING\r\n", b"PONG\r\n")
    assert error_line("Stale Connection") == b"-ERR 'Stale Connection'\r\n"
    assert info_line(b'{"proto":1}') == b'INFO {"proto":1} \r\n'


def test_no_responders_is_one_whole_header_block() -> None:
    assert NO_RESPONDERS == b"NATS/1.0 503\r\n\r\n"
    out: list[bytes] = []
    frame_run(message_start(b"inbox.1", b"7", b"", len(NO_RESPONDERS)), b"", [NO_RESPONDERS], out)
    assert b"".join(out) == b"HMSG inbox.1 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"


@pytest.mark.parametrize(
    ("header_bytes", "payload", "expected"),
    [
        (16, NO_RESPONDERS, True),
        (30, b"NATS/1.0 503 No Responders\r\n\r\n", True),
        (12, b"NATS/1.0\r\n\r\n", False),
        (16, b"NATS/1.0 408\r\n\r\n", False),
        (0, NO_RESPONDERS, False),
        (0, b"", False),
    ],
)
def test_no_responders_is_recognized(header_bytes: int, payload: bytes, expected: bool) -> None:
    assert is_no_responders(Publish(b"in.1", b"", header_bytes, [payload])) is expected
