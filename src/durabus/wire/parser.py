"""The NATS text protocol as a client speaks it: bytes in, operations out (docs/protocol.md §1).

`Parser.feed` takes any split of the byte stream. It never raises for what a peer sent: a mistake becomes a
`Violation`, after which the parser is deaf. Memory is bounded by one control line plus one message.

Written for its one hot case: a stream of PUB lines that repeat, byte for byte, the line before. Such a line is not
parsed at all, only compared.
"""

from typing import Final

from mypy_extensions import i64

from durabus.wire.limits import CONTROL_LINE_BYTES_MAX, PAYLOAD_BYTES_MAX, SIZE_DIGITS_MAX
from durabus.wire.operations import Connect, Operation, Ping, Pong, Publish, Subscribe, Unsubscribe, Violation

__all__ = ["Parser"]

_CR: Final = 13
_LF: Final = 10
_VERB_BYTES_MAX: Final = 9  # "CONNECT" and a blank, with one to spare
_FIRST_BYTES: Final = b"CcPpHhSsUu+-"
_UNKNOWN_OPERATION: Final = "Unknown Protocol Operation"
_NO_ANSWER: Final = ""  # for a known verb with bad arguments the original closes without a word


class Parser:
    """One client's byte stream. Not to be shared, nothing to close."""

    def __init__(
        self, control_line_bytes_max: int = CONTROL_LINE_BYTES_MAX, payload_bytes_max: int = PAYLOAD_BYTES_MAX
    ) -> None:
        """Refuse longer control lines and larger payloads than these, both in bytes."""
        self._control_line_bytes_max: i64 = control_line_bytes_max
        self._payload_bytes_max: i64 = payload_bytes_max
        self._parts: list[bytes] = []  # an unfinished frame, in the pieces in which it came
        self._parts_bytes: i64 = 0
        self._needed_bytes: i64 = 0  # no use to look at the pieces before there are that many bytes
        self._dead = False
        # The last PUB or HPUB line, line end included, and what it said.
        self._line = b""
        self._line_bytes: i64 = 0
        self._subject = b""
        self._reply = b""
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
            if self._line_bytes and payload_at < end and buffer[position:payload_at] == self._line:
                pass  # the same line again: nothing to parse
            else:
                line_end: i64 = buffer.find(b"\n", position)
                if line_end < 0:
                    self._check_unfinished(buffer, position, operations)
                    return position
                run = None
                if not self._control(buffer, position, line_end, operations):
                    position = line_end + 1
                    continue
                payload_at = line_end + 1
            payload_end: i64 = payload_at + self._payload_bytes
            if payload_end + 2 > end:
                self._needed_bytes = payload_end + 2 - position
                return position
            if buffer[payload_end] != _CR or buffer[payload_end + 1] != _LF:
                self._fail(_UNKNOWN_OPERATION, "a payload does not end where its size says", operations)
                return end
            if run is None:
                run = Publish(self._subject, self._reply, self._header_bytes, [buffer[payload_at:payload_end]])
                operations.append(run)
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
        if buffer[start] not in _FIRST_BYTES:
            self._fail(_UNKNOWN_OPERATION, f"the line {line[:64]!r}", operations)
            return False
        if stop - start > self._control_line_bytes_max + _VERB_BYTES_MAX:
            self._fail("maximum control line exceeded", f"a control line of {stop - start} bytes", operations)
            return False
        tokens = [token for token in line.replace(b"\t", b" ").split(b" ") if token]
        verb = tokens[0].upper()
        if (verb == b"PUB" or verb == b"HPUB") and len(tokens) > 1:
            if not self._publish_line(tokens, verb == b"HPUB", line, operations):
                return False
            self._line = buffer[start : line_end + 1]
            self._line_bytes = line_end + 1 - start
            return True
        if verb == b"SUB" and 3 <= len(tokens) <= 4:
            operations.append(Subscribe(tokens[1], tokens[2] if len(tokens) == 4 else b"", tokens[-1]))
        elif verb == b"UNSUB" and 2 <= len(tokens) <= 3:
            count = _size(tokens[2]) if len(tokens) == 3 else 0
            operations.append(Unsubscribe(tokens[1], max(count, 0)))
        elif verb == b"PING":
            operations.append(Ping())
        elif verb == b"PONG":
            operations.append(Pong())
        elif verb == b"CONNECT" and len(tokens) > 1:
            operations.append(Connect(line[7:].strip()))
        elif verb == b"CONNECT" or (len(tokens) > 1 and (verb == b"SUB" or verb == b"UNSUB")):
            self._fail(_NO_ANSWER, f"the wrong number of arguments in {line[:64]!r}", operations)
        elif verb not in (b"+OK", b"-ERR"):
            self._fail(_UNKNOWN_OPERATION, f"the line {line[:64]!r}", operations)
        return False

    def _publish_line(self, tokens: list[bytes], headers: bool, line: bytes, operations: list[Operation]) -> bool:
        """Remember what a PUB or HPUB line said; False after a violation."""
        sizes = 2 if headers else 1
        if not sizes + 2 <= len(tokens) <= sizes + 3:
            self._fail(_NO_ANSWER, f"the wrong number of arguments in {line[:64]!r}", operations)
            return False
        payload_bytes = _size(tokens[-1])
        header_bytes = _size(tokens[-2]) if headers else 0
        if payload_bytes < 0 or header_bytes < 0 or header_bytes > payload_bytes:
            self._fail(_NO_ANSWER, f"a bad or missing size in {line[:64]!r}", operations)
            return False
        if payload_bytes > self._payload_bytes_max:
            self._fail("Maximum Payload Violation", f"a payload of {payload_bytes} bytes", operations)
            return False
        self._subject = tokens[1]
        self._reply = tokens[2] if len(tokens) == sizes + 3 else b""
        self._header_bytes = header_bytes
        self._payload_bytes = payload_bytes
        return True

    def _check_unfinished(self, buffer: bytes, position: i64, operations: list[Operation]) -> None:
        """A line without its end yet: refuse at once what can never become valid, so that it cannot grow."""
        if buffer[position] not in _FIRST_BYTES:
            self._fail(_UNKNOWN_OPERATION, f"the bytes {buffer[position : position + 16]!r}", operations)
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


def _size(digits: bytes) -> int:
    """The decimal number `digits`, or -1 when it is not one or too long to be one of ours."""
    if len(digits) > SIZE_DIGITS_MAX or not digits.isdigit():
        return -1
    return int(digits)
