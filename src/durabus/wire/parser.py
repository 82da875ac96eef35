"""The words of a NATS client: bytes in, operations out (docs/protocol.md §1)."""

from typing import Final

from durabus.wire.frame_parser import NO_ANSWER, UNKNOWN_OPERATION, FrameParser, KnownLine, decimal
from durabus.wire.limits import CONTROL_LINE_BYTES_MAX, PAYLOAD_BYTES_MAX
from durabus.wire.operations import Connect, Operation, Ping, Pong, Subscribe, Unsubscribe

__all__ = ["Parser"]

_FIRST_BYTES: Final = b"CcPpHhSsUu+-"


class Parser(FrameParser):
    """What one client says."""

    def __init__(
        self,
        control_line_bytes_max: int = CONTROL_LINE_BYTES_MAX,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        known_lines: dict[bytes, KnownLine] | None = None,
    ) -> None:
        """Refuse longer control lines and larger payloads than these, both in bytes; with the same, share `known_lines`."""
        super().__init__(_FIRST_BYTES, control_line_bytes_max, payload_bytes_max, known_lines)

    def _word(self, verb: bytes, tokens: list[bytes], line: bytes, operations: list[Operation]) -> bool:
        count = len(tokens)
        if (verb == b"PUB" or verb == b"HPUB") and count > 1:
            return self._publish_line(tokens, verb == b"HPUB", line, operations)
        if verb == b"SUB" and 3 <= count <= 4:
            operations.append(Subscribe(tokens[1], tokens[2] if count == 4 else b"", tokens[-1]))
        elif verb == b"UNSUB" and 2 <= count <= 3:
            message_count_max = decimal(tokens[2]) if count == 3 else 0
            operations.append(Unsubscribe(tokens[1], max(message_count_max, 0)))
        elif verb == b"PING":
            operations.append(Ping())
        elif verb == b"PONG":
            operations.append(Pong())
        elif verb == b"CONNECT" and count > 1:
            operations.append(Connect(line[7:].strip()))
        elif verb == b"CONNECT" or (count > 1 and (verb == b"SUB" or verb == b"UNSUB")):
            self._fail(NO_ANSWER, f"the wrong number of arguments in {line[:64]!r}", operations)
        elif verb not in (b"+OK", b"-ERR"):
            self._fail(UNKNOWN_OPERATION, f"the line {line[:64]!r}", operations)
        return False

    def _publish_line(self, tokens: list[bytes], headers: bool, line: bytes, operations: list[Operation]) -> bool:
        """Remember what a PUB or HPUB line said; False after a violation."""
        sizes = 2 if headers else 1
        if not sizes + 2 <= len(tokens) <= sizes + 3:
            self._fail(NO_ANSWER, f"the wrong number of arguments in {line[:64]!r}", operations)
            return False
        if not self._sizes(tokens[-1], tokens[-2] if headers else b"", line, operations):
            return False
        self._subject = tokens[1]
        self._reply = tokens[2] if len(tokens) == sizes + 3 else b""
        return True
