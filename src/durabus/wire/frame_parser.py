"""What both directions of the NATS text protocol share: lines, payloads, and runs of them (docs/protocol.md §1).

`feed` takes any split of the byte stream. It never raises for what a peer sent: a mistake becomes a `Violation`, after
which the parser is deaf. Memory is bounded by one control line plus one message.

Written for its hot case: a stream of lines with a payload that repeat, byte for byte, the line before. Such a line is
not parsed at all, only compared; and one that was parsed before (who publishes on many channels in turn) is only looked up.
"""

from typing import Final

from mypy_extensions import i64

from durabus.wire.limits import KNOWN_LINE_BYTES_MAX, KNOWN_LINES_MAX, SIZE_DIGITS_MAX
from durabus.wire.operations import Operation, Publish, Violation

__all__ = ["NO_ANSWER", "UNKNOWN_OPERATION", "FrameParser", "KnownLine", "decimal"]

UNKNOWN_OPERATION: Final = "Unknown Protocol Operation"
NO_ANSWER: Final = ""
"""The original closes without a word for wrong arguments of a known verb."""
_CR: Final = 13
_LF: Final = 10
_VERB_BYTES_MAX: Final = 9  # "CONNECT" and a blank, with one to spare


class KnownLine:
    """A line that announced a payload, and what it said."""

    def __init__(
        self, line: bytes, subject: bytes, reply: bytes, sid: bytes, header_bytes: int, payload_bytes: int
    ) -> None:
        """Keep all of it; `line` with its end, `sid` empty in what a client says."""
        self.line = line
        self.subject = subject
        self.reply = reply
        self.sid = sid
        self.header_bytes = header_bytes
        self.payload_bytes = payload_bytes


class FrameParser:
    """One direction of one connection. Nothing to close. A subclass knows the words."""

    def __init__(
        self,
        first_bytes: bytes,
        control_line_bytes_max: int,
        payload_bytes_max: int,
        known_lines: dict[bytes, KnownLine] | None = None,
    ) -> None:
        """Refuse lines that begin with none of `first_bytes`, and longer lines and larger payloads than these.

        Parsers of one kind with the same limits may share `known_lines`.
        """
        self._first_bytes = first_bytes
        self._control_line_bytes_max: i64 = control_line_bytes_max
        self._payload_bytes_max: i64 = payload_bytes_max
        self._parts: list[bytes] = []  # an unfinished frame, in the pieces in which it came
        self._parts_bytes: i64 = 0
        self._needed_bytes: i64 = 0  # no use to look at the pieces before there are that many bytes
        self._dead = False
        self._known_lines: dict[bytes, KnownLine] = {} if known_lines is None else known_lines
        # The last line that announced a payload, line end included, and what it said.
        self._line = b""
        self._line_bytes: i64 = 0
        self._subject = b""
        self._reply = b""
        self._sid = b""
        self._header_bytes: i64 = 0
        self._payload_bytes: i64 = 0

    def feed(self, data: bytes) -> list[Operation]:
        """Take the next bytes of the stream; return the operations that they complete, in order."""
        operations: list[Operation] = []
        if self._dead:
            return operations
        buffer = data
        if self._parts:
            self._parts.append(data)
            self._parts_bytes += len(data)
            if self._parts_bytes < self._needed_bytes:
                return operations
            buffer = b"".join(self._parts)
            self._parts = []
        position = self._parse(buffer, operations)
        if position < len(buffer) and not self._dead:
            rest = buffer[position:] if position else buffer
            self._parts.append(rest)
            self._parts_bytes = len(rest)
        return operations

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return int(self._parts_bytes) if self._parts else 0

    def _parse(self, buffer: bytes, operations: list[Operation]) -> i64:
        """Parse whole frames from the start of `buffer`; return how many bytes they took."""
        position: i64 = 0
        end: i64 = len(buffer)
        self._needed_bytes = 0
        run: Publish | None = None
        while position < end and not self._dead:
            payload_at: i64 = position + self._line_bytes
            known: KnownLine | None = None
            is_same = False
            # Lines of one length often follow each other: then nobody needs to look for the end.
            if self._line_bytes and payload_at < end and buffer[payload_at - 1] == _LF:
                line = buffer[position:payload_at]
                is_same = line == self._line
                if not is_same:
                    known = self._known_lines.get(line)
            if is_same:
                pass  # nothing to parse
            elif known is not None and self._is_allowed(known):
                run = None
                self._take(known)
            else:
                line_end: i64 = buffer.find(b"\n", position)
                if line_end < 0:
                    self._check_unfinished(buffer, position, operations)
                    return position
                run = None
                known = self._known_lines.get(buffer[position : line_end + 1])
                if known is not None and self._is_allowed(known):
                    self._take(known)
                elif not self._control(buffer, position, line_end, operations):
                    position = line_end + 1
                    continue
                payload_at = line_end + 1
            payload_end: i64 = payload_at + self._payload_bytes
            if payload_end + 2 > end:
                self._needed_bytes = payload_end + 2 - position
                return position
            if buffer[payload_end] != _CR or buffer[payload_end + 1] != _LF:
                self._fail(UNKNOWN_OPERATION, "a payload does not end where its size says", operations)
                return end
            if run is None:
                run = Publish(self._subject, self._reply, self._header_bytes, [buffer[payload_at:payload_end]])
                operations.append(self._announce(run))
            else:
                run.payloads.append(buffer[payload_at:payload_end])
            position = payload_end + 2
        return position

    def _control(self, buffer: bytes, start: i64, line_end: i64, operations: list[Operation]) -> bool:
        """Act on one control line; whether it announces a payload (then the line is remembered)."""
        stop: i64 = line_end
        if stop > start and buffer[stop - 1] == _CR:
            stop -= 1
        line = buffer[start:stop]
        if buffer[start] not in self._first_bytes:
            self._fail(UNKNOWN_OPERATION, f"the line {line[:64]!r}", operations)
            return False
        if stop - start > self._control_line_bytes_max + _VERB_BYTES_MAX:
            self._fail("maximum control line exceeded", f"a control line of {stop - start} bytes", operations)
            return False
        tokens = [token for token in line.replace(b"\t", b" ").split(b" ") if token]
        if not self._word(tokens[0].upper(), tokens, line, operations):
            return False
        self._line = buffer[start : line_end + 1]
        self._line_bytes = line_end + 1 - start
        if self._line_bytes <= KNOWN_LINE_BYTES_MAX:
            if len(self._known_lines) >= KNOWN_LINES_MAX:
                self._known_lines.clear()
            self._known_lines[self._line] = KnownLine(
                self._line, self._subject, self._reply, self._sid, int(self._header_bytes), int(self._payload_bytes)
            )
        return True

    def _is_allowed(self, known: KnownLine) -> bool:
        """Whether a line that another parser may have read is within our limits: a reload changes those of new ones."""
        return (
            known.payload_bytes <= self._payload_bytes_max
            and len(known.line) <= self._control_line_bytes_max + _VERB_BYTES_MAX
        )

    def _take(self, known: KnownLine) -> None:
        """The line that was just read is `known`."""
        self._line = known.line
        self._line_bytes = len(known.line)
        self._subject = known.subject
        self._reply = known.reply
        self._sid = known.sid
        self._header_bytes = known.header_bytes
        self._payload_bytes = known.payload_bytes

    def _word(self, verb: bytes, tokens: list[bytes], line: bytes, operations: list[Operation]) -> bool:
        """Act on a line with `verb` (in capitals) and `tokens` (verb included); whether it announces a payload."""
        raise NotImplementedError  # pragma: no cover - abstract

    def _announce(self, run: Publish) -> Operation:
        """The operation that stands for `run`."""
        return run

    def _sizes(self, payload_digits: bytes, header_digits: bytes, line: bytes, operations: list[Operation]) -> bool:
        """Remember the sizes in a line; False after a violation."""
        payload_bytes = decimal(payload_digits)
        header_bytes = decimal(header_digits) if header_digits else 0
        if payload_bytes < 0 or header_bytes < 0 or header_bytes > payload_bytes:
            self._fail(NO_ANSWER, f"a bad or missing size in {line[:64]!r}", operations)
            return False
        if payload_bytes > self._payload_bytes_max:
            self._fail("Maximum Payload Violation", f"a payload of {payload_bytes} bytes", operations)
            return False
        self._header_bytes = header_bytes
        self._payload_bytes = payload_bytes
        return True

    def _check_unfinished(self, buffer: bytes, position: i64, operations: list[Operation]) -> None:
        """A line without its end yet: refuse at once what can never become valid, so that it cannot grow."""
        if buffer[position] not in self._first_bytes:
            self._fail(UNKNOWN_OPERATION, f"the bytes {buffer[position : position + 16]!r}", operations)
            return
        size: i64 = len(buffer) - position
        if buffer[-1] == _CR:
            size -= 1  # it may belong to the line's end
        if size > self._control_line_bytes_max + _VERB_BYTES_MAX:
            self._fail("maximum control line exceeded", "a control line without an end", operations)

    def _fail(self, answer: str, detail: str, operations: list[Operation]) -> None:
        """End this stream: the peer's mistake is its last operation."""
        self._dead = True
        self._parts = []
        self._line = b""
        operations.append(Violation(answer, detail))


def decimal(digits: bytes) -> int:
    """The decimal number `digits`, or -1 when it is not one or too long to be one of ours."""
    if len(digits) > SIZE_DIGITS_MAX or not digits.isdigit():
        return -1
    return int(digits)
