"""Count and verify what a server sends, with work per received chunk and not per message.

A counter is fed with the bytes of one connection and counts the messages of one NATS subscription on it. It first tries a
shortcut that verifies a whole chunk with a few operations on bytes. Whatever does not fit the shortcut (a ping, a
heartbeat, an error, a number that grew by a digit) is taken apart message by message, and a message that is wrong raises.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from benchmarks.frames import ALPHABET, MARK_BYTES, RING, Frame, fields, mark, message_frame, split
from benchmarks.workloads import BenchmarkError

_FRAMES_AT_ONCE: Final = 256

Check = Callable[[Frame, int], None]
"""Raises BenchmarkError unless this message is right as the one with this index (from 0) of its subscription."""


class Counter(ABC):
    """Counts the messages of the NATS subscription `identifier`; each is verified by `check`."""

    def __init__(self, identifier: str, check: Check) -> None:
        """Start at zero."""
        self.count = 0
        """Messages so far."""
        self.foreign: list[Frame] = []
        """Operations that were not counted and wait for an answer: pings, heartbeats, errors."""
        self._identifier: Final = identifier.encode()
        self._check: Final = check

    def feed(self, buffer: bytearray, end: int) -> int:
        """Count the complete messages in `buffer[:end]`; return how many bytes they take. BenchmarkError if one is wrong."""
        used = self._shortcut(buffer, end)
        if used < 0:
            used = self._one_by_one(bytes(memoryview(buffer)[:end]))
            if used and used < end:
                rest = bytearray(memoryview(buffer)[used:end])
                used += self.feed(rest, len(rest))
        return used

    @abstractmethod
    def _shortcut(self, buffer: bytearray, end: int) -> int:
        """Do `feed` for a chunk of nothing but good messages, or return -1 having changed nothing."""

    def _one_by_one(self, buffer: bytes) -> int:
        """Count the first few; what hinders the shortcut is rarely more than that."""
        frames, used = split(buffer, _FRAMES_AT_ONCE)
        for frame in frames:
            if frame.identifier == self._identifier:
                self._check(frame, self.count)
                self.count += 1
            else:
                self.foreign.append(frame)
        return used


class EqualFrames(Counter):
    """For messages that keep their size for a long time and hold a byte that runs through a known cycle.

    The size comes from the first message of a chunk. Of each message its first byte and its cycling byte are compared (two
    slices with a stride), of the last one everything.
    """

    def __init__(self, subject: str, identifier: str, check: Check, cycle_offset: int, cycle: bytes) -> None:
        """Expect `cycle[i % len(cycle)]` at `cycle_offset` (negative: from the end) of the i-th payload."""
        super().__init__(identifier, check)
        self._start: Final = f"MSG {subject} {identifier} ".encode()
        self._cycle_offset: Final = cycle_offset
        self._period: Final = len(cycle)
        self._cycle = cycle

    def _shortcut(self, buffer: bytearray, end: int) -> int:
        line_end = buffer.find(b"\r\n", 0, end)
        if line_end < 0 or not buffer.startswith(self._start):
            return -1
        try:
            payload_bytes = int(buffer[len(self._start) : line_end])
        except ValueError:
            return -1
        frame_bytes = line_end + 4 + payload_bytes
        count = end // frame_bytes
        if count == 0:
            return 0
        used = count * frame_bytes
        header = bytes(buffer[: line_end + 2])
        last = used - frame_bytes
        offset = line_end + 2 + self._cycle_offset + (payload_bytes if self._cycle_offset < 0 else 0)
        phase = self.count % self._period
        if len(self._cycle) < phase + count:
            self._cycle *= 2 + count // len(self._cycle)
        if (
            not buffer.startswith(header, last)
            or not buffer.endswith(b"\r\n", 0, used)
            or buffer[0:used:frame_bytes].count(b"M") != count
            or buffer[offset:used:frame_bytes] != self._cycle[phase : phase + count]
        ):
            return -1
        payload = bytes(buffer[last + line_end + 2 : used - 2])
        self._check(message_frame(header[:-2], payload), self.count + count - 1)
        self.count += count
        return used


class MarkedFrames(Counter):
    """For messages that change their size all the time, hold no line feed in the payload, and a constant `marker` each.

    Markers and line feeds are counted: two line feeds for each marker leave no room for anything else. The last message is
    compared as a whole. `marker` stands at the end of a payload's constant part or in the first line.
    """

    def __init__(self, identifier: str, check: Check, marker: bytes) -> None:
        """Expect `marker` exactly once in each message."""
        super().__init__(identifier, check)
        self._marker: Final = marker

    def _shortcut(self, buffer: bytearray, end: int) -> int:
        line_feeds = buffer.count(b"\n", 0, end)
        used = buffer.rfind(b"\n", 0, end) + 1
        if line_feeds % 2:
            used = buffer.rfind(b"\n", 0, used - 1) + 1
        count = line_feeds // 2
        if count == 0 or not buffer.startswith(b"MSG ") or buffer.count(self._marker, 0, used) != count:
            return -1
        payload_start = buffer.rfind(b"\n", 0, used - 1) + 1
        line_start = buffer.rfind(b"\n", 0, payload_start - 1) + 1
        if not buffer.startswith(b"MSG ", line_start):
            return -1
        frame = message_frame(bytes(buffer[line_start:payload_start]), bytes(buffer[payload_start : used - 2]))
        if frame.identifier != self._identifier:
            return -1
        self._check(frame, self.count + count - 1)
        self.count += count
        return used


class ForeignFrames(Counter):
    """For a connection on which no messages are expected."""

    def __init__(self) -> None:
        """Count nothing."""
        super().__init__("", _refuse)

    def _shortcut(self, buffer: bytearray, end: int) -> int:
        return -1

    def _one_by_one(self, buffer: bytes) -> int:
        frames, used = split(buffer)
        self.foreign.extend(frames)
        return used


def _refuse(frame: Frame, index: int) -> None:
    raise BenchmarkError(f"unexpected message {frame}")


def streaming_acknowledgements(subject: str, identifier: str, guid: str, ring: int = RING) -> Counter:
    """Count PubAcks without an error, in the order of the publishes of a `ring` whose guids begin with `guid`."""
    guid_bytes = guid.encode()

    def check(frame: Frame, index: int) -> None:
        answer = fields(frame.payload)
        if 2 in answer:
            raise BenchmarkError(f"publish {index + 1} was refused: {answer[2]!r}")
        if answer != {1: guid_bytes + mark(index % ring)}:
            raise BenchmarkError(f"acknowledgement {index + 1} is for guid {answer.get(1)!r}")

    return EqualFrames(subject, identifier, check, -1, ALPHABET)


def streaming_deliveries(subject: str, identifier: str) -> Counter:
    """Count deliveries of the sequences 1, 2, 3 and so on, each once and none flagged as redelivered."""

    def check(frame: Frame, index: int) -> None:
        message = fields(frame.payload)
        if message.get(1) != index + 1 or message.get(6) or message.get(7):
            seen = (message.get(1), message.get(6, 0), message.get(7, 0))
            raise BenchmarkError(f"delivery {index + 1} has (sequence, redelivered, count) {seen}")

    # The payload's second byte holds the lowest 7 bits of the sequence. Sequences below 128 miss the shortcut.
    cycle = bytes(sequence & 127 | 128 for sequence in range(1, 129))
    return EqualFrames(subject, identifier, check, 1, cycle)


def plain_deliveries(subject: str, identifier: str) -> Counter:
    """Count plain NATS messages that begin with the marks of a ring, in order."""

    def check(frame: Frame, index: int) -> None:
        if not frame.payload.startswith(mark(index % RING)):
            raise BenchmarkError(f"delivery {index + 1} is marked {frame.payload[:MARK_BYTES]!r}")

    return EqualFrames(subject, identifier, check, MARK_BYTES - 1, ALPHABET)


def jetstream_acknowledgements(identifier: str, stream: str) -> Counter:
    """Count JetStream publish acknowledgements without an error; their sequences must rise."""
    last = 0

    def check(frame: Frame, index: int) -> None:
        nonlocal last
        answer = json.loads(frame.payload)
        if "error" in answer or answer["seq"] <= max(last, index):
            raise BenchmarkError(f"acknowledgement {index + 1} after sequence {last} is {answer}")
        last = answer["seq"]

    return MarkedFrames(identifier, check, b'\n{"stream":"%s", "seq":' % stream.encode())


def jetstream_deliveries(identifier: str, stream: str, consumer: str) -> Counter:
    """Count JetStream push deliveries of the sequences 1, 2, 3 and so on, each delivered for the first time."""

    def check(frame: Frame, index: int) -> None:
        words = frame.reply.split(b".")  # $JS ACK stream consumer deliveries stream-sequence consumer-sequence ...
        if len(words) != 9 or words[4] != b"1" or int(words[5]) != index + 1 or int(words[6]) != index + 1:
            raise BenchmarkError(f"delivery {index + 1} is {frame.reply!r}")

    return MarkedFrames(identifier, check, f"$JS.ACK.{stream}.{consumer}.1.".encode())
