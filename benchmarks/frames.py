"""Bytes of the protocols, encoded before a run and taken apart only where a chunk is not what was expected.

The encoders are independent of the package under test on purpose.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.workloads import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALPHABET: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-"
"""The 64 digits of a mark."""

RING: Final = 4096
"""Publish frames encoded per publisher to one channel; message number i is a copy of frame i modulo this."""

MARK_BYTES: Final = 6
"""Length of a mark."""


def mark(index: int) -> bytes:
    """Return `index` as a mark: `MARK_BYTES` digits of base 64, so that its last byte is `ALPHABET[index % 64]`."""
    return bytes(ALPHABET[index >> shift & 63] for shift in range(6 * (MARK_BYTES - 1), -1, -6))


def varint(number: int) -> bytes:
    """Return a non-negative integer as a protobuf varint."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, value: bytes | str | int) -> bytes:
    """Return one protobuf field: a varint for an integer, length-delimited otherwise; nothing for an empty value."""
    if not value:
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(payload: bytes) -> dict[int, int | bytes]:
    """Return a protobuf message's fields by number (varints and length-delimited only); BenchmarkError if malformed."""
    found: dict[int, int | bytes] = {}
    position = 0

    def read_varint() -> int:
        nonlocal position
        number = shift = 0
        while True:
            byte = payload[position]
            position += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    try:
        while position < len(payload):
            tag = read_varint()
            value = read_varint()
            if tag & 7 == 0:
                found[tag >> 3] = value
            elif tag & 7 == 2 and position + value <= len(payload):
                found[tag >> 3] = payload[position : position + value]
                position += value
            else:
                raise BenchmarkError(f"not one of our protobuf messages: {payload[:80]!r}")
    except IndexError:
        raise BenchmarkError(f"protobuf message cut short: {payload[:80]!r}") from None
    return found


class Frames:
    """Pre-encoded frames numbered from 0, in one blob, in segments of frames of equal size.

    Positions are counted in bytes since the first frame and may go round the blob more than once.
    """

    def __init__(self, segments: Sequence[tuple[int, bytes]]) -> None:
        """Take segments of (number of frames, their bytes); all frames of a segment are of one size."""
        blob = segments[0][1] if len(segments) == 1 else b"".join(data for _, data in segments)
        self.view: Final = memoryview(blob)
        """All frames."""
        self.count: Final = sum(count for count, _ in segments)
        """Number of frames."""
        self._segments: Final = tuple((count, len(data) // count) for count, data in segments)

    def replaced(self, old: bytes, new: bytes) -> Frames:
        """Return the same frames with one text for another of the same length."""
        assert len(old) == len(new)
        data = bytes(self.view).replace(old, new)
        segments, position = [], 0
        for count, frame_bytes in self._segments:
            segments.append((count, data[position : position + count * frame_bytes]))
            position += count * frame_bytes
        return Frames(segments)

    def byte_count(self, frames: int) -> int:
        """Return where the frame number `frames` begins, which is the size in bytes of all before it."""
        turns, frames = divmod(frames, self.count)
        size_bytes = turns * len(self.view)
        for count, frame_bytes in self._segments:
            if frames <= count:
                return size_bytes + frames * frame_bytes
            size_bytes += count * frame_bytes
            frames -= count
        return size_bytes

    def frame_count(self, size_bytes: int) -> int:
        """Return how many whole frames the first `size_bytes` hold: the inverse of `byte_count`."""
        turns, size_bytes = divmod(size_bytes, len(self.view))
        frames = turns * self.count
        for count, frame_bytes in self._segments:
            if size_bytes < count * frame_bytes:
                return frames + size_bytes // frame_bytes
            size_bytes -= count * frame_bytes
            frames += count
        return frames


def numbered(numbers: Sequence[bytes], enclose: Callable[[int], tuple[bytes, bytes]]) -> Frames:
    """Encode one frame for each number; shorter numbers come first.

    `enclose` is asked once per length of the numbers, in bytes, for what stands before and after the number.
    """
    segments: list[tuple[int, bytes]] = []
    first = 0
    while first < len(numbers):
        length = len(numbers[first])
        end = bisect_left(numbers, length + 1, lo=first, key=len)
        head, tail = enclose(length)
        segments.append((end - first, head + (tail + head).join(numbers[first:end]) + tail))
        first = end
    return Frames(segments)


def enclosed(header: str, before: bytes, after: bytes) -> Callable[[int], tuple[bytes, bytes]]:
    """Return an `enclose` for `numbered`: a PUB or MSG whose payload is `before`, the number, `after`.

    `header` is the first line without its size, for example `PUB foo`.
    """

    def enclose(length: int) -> tuple[bytes, bytes]:
        size = len(before) + length + len(after)
        return f"{header} {size}\r\n".encode() + before, after + b"\r\n"

    return enclose


def around(head: bytes, tail: bytes) -> Callable[[int], tuple[bytes, bytes]]:
    """Return an `enclose` for `numbered` that puts the same around every number."""
    return lambda length: (head, tail)


def publish(subject: str, reply: str, payload: bytes) -> bytes:
    """Return one PUB frame; `reply` may be empty."""
    return b"PUB %s %s%d\r\n%s\r\n" % (subject.encode(), reply.encode() + b" " * bool(reply), len(payload), payload)


@lru_cache(1)
def sequences(count: int) -> list[bytes]:
    """Return the numbers from 1 to `count` as varints."""
    return [varint(sequence) for sequence in range(1, count + 1)]


def ring_count(channels: int) -> int:
    """Return how many frames the ring has of somebody who publishes to so many channels in turn."""
    return RING if channels == 1 else math.lcm(len(ALPHABET), channels)


def ring_marks(count: int = RING) -> list[bytes]:
    """Return the marks of one ring, in order."""
    return [mark(index) for index in range(count)]


def streaming_publish_frames(
    prefix: str, reply: str, channels: Sequence[str], guid: str, connection: bytes, body: bytes
) -> Frames:
    """Encode a ring of STAN publishes whose guids are `guid` (16 characters) and a mark; `body` is the data.

    The channels, whose names are equally long, take turns.
    """
    guid_bytes = guid.encode()
    before = field(1, guid) + varint(2 << 3 | 2) + varint(len(guid_bytes) + MARK_BYTES) + guid_bytes
    ends = []
    for channel in channels:
        after = field(3, channel) + field(5, body) + field(6, connection)
        ends.append(enclosed(f"PUB {prefix}.{channel} {reply}", before, after)(MARK_BYTES))
    count = ring_count(len(channels))
    heads_and_tails = (ends[index % len(ends)] for index in range(count))
    return Frames([(count, b"".join(head + mark(index) + tail for index, (head, tail) in enumerate(heads_and_tails)))])


def streaming_acknowledgement_frames(inbox: str, channel: str, count: int) -> Frames:
    """Encode the acknowledgements of the sequences 1 to `count` of a channel, sent to the subscription's inbox."""
    return numbered(sequences(count), enclosed(f"PUB {inbox}", field(1, channel) + b"\x10", b""))


class Frame(NamedTuple):
    """One operation sent by a server."""

    verb: bytes
    """MSG, HMSG, PING, PONG, +OK, -ERR or INFO."""
    subject: bytes
    """Of a message; the rest of the line for the others."""
    identifier: bytes
    """Of the NATS subscription."""
    reply: bytes
    payload: bytes


def message_frame(line: bytes, payload: bytes) -> Frame:
    """Return a message from its first line (MSG or HMSG, without its end) and its payload."""
    words = line.split()
    sizes = 2 if words[0] == b"HMSG" else 1
    reply = words[3] if len(words) > 3 + sizes else b""
    return Frame(words[0], words[1], words[2], reply, payload)


def split(buffer: bytes, count_max: int = sys.maxsize) -> tuple[list[Frame], int]:
    """Return the complete operations at the start of what a server sent, at most so many, and how many bytes they take."""
    found: list[Frame] = []
    position = 0
    while len(found) < count_max and (end := buffer.find(b"\r\n", position)) >= 0:
        line = buffer[position:end]
        verb, _, rest = line.partition(b" ")
        if verb in (b"MSG", b"HMSG"):
            payload_end = end + 2 + int(rest.rsplit(None, 1)[1])
            if len(buffer) < payload_end + 2:
                break
            found.append(message_frame(line, buffer[end + 2 : payload_end]))
            position = payload_end + 2
        elif verb in (b"PING", b"PONG", b"+OK", b"-ERR", b"INFO"):
            found.append(Frame(verb, rest, b"", b"", b""))
            position = end + 2
        else:
            raise BenchmarkError(f"not an operation of a NATS server: {line[:120]!r}")
    return found, position
