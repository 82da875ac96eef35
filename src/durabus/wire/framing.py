"""Operations of a server as bytes: MSG, HMSG, INFO and the short answers (docs/protocol.md §1).

Messages are framed a run at a time: payloads of one size share one control line, so that a run costs one join.
"""

from typing import Final

from mypy_extensions import i64

from durabus.wire.operations import Publish

__all__ = [
    "NO_RESPONDERS",
    "OK",
    "PING",
    "PONG",
    "error_line",
    "frame_run",
    "info_line",
    "is_no_responders",
    "message_start",
    "publish_start",
]

OK: Final = b"+OK\r\n"
PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"
NO_RESPONDERS: Final = b"NATS/1.0 503\r\n\r\n"
"""A header block without anything else: nobody was there to take the request."""


def error_line(text: str) -> bytes:
    """An `-ERR` line; `text` comes out in single quotes."""
    return b"-ERR '" + text.encode() + b"'\r\n"


def info_line(document: bytes) -> bytes:
    """The INFO line with a JSON `document`."""
    return b"INFO " + document + b" \r\n"


def is_no_responders(publish: Publish) -> bool:
    """Whether a server says with this message that nobody was there to take a request of ours."""
    return publish.header_bytes > 0 and publish.payloads[0].startswith(b"NATS/1.0 503")


def message_start(subject: bytes, sid: bytes, reply: bytes, header_bytes: int) -> bytes:
    """The control line of a MSG up to its size, or of an HMSG when `header_bytes` is not zero."""
    answer_to = reply + b" " if reply else b""
    if header_bytes:
        return b"HMSG " + subject + b" " + sid + b" " + answer_to + b"%d " % header_bytes
    return b"MSG " + subject + b" " + sid + b" " + answer_to


def publish_start(subject: bytes, reply: bytes) -> bytes:
    """The control line of a PUB up to its size: what we say to another server."""
    return b"PUB " + subject + b" " + (reply + b" " if reply else b"")


def frame_run(start: bytes, head: bytes, payloads: list[bytes], out: list[bytes]) -> int:
    """Append to `out` the frames of the messages `head + payload`; returns how many bytes that is.

    `start` is the control line up to the size. Payloads of one size that follow each other are joined in one go.
    """
    count: i64 = len(payloads)
    first: i64 = 0
    total: i64 = 0
    head_bytes: i64 = len(head)
    while first < count:
        size: i64 = len(payloads[first])
        last: i64 = first + 1
        while last < count and len(payloads[last]) == size:
            last += 1
        line = start + b"%d\r\n" % int(size + head_bytes) + head
        frame = (b"\r\n" + line).join(payloads[first:last] if last - first < count else payloads)
        out.append(line)
        out.append(frame)
        out.append(b"\r\n")
        total += len(line) + len(frame) + 2
        first = last
    return int(total)
