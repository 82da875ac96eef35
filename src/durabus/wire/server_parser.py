"""The words of a NATS server, for when we are its client: bytes in, operations out (docs/protocol.md §1)."""

from typing import Final

from durabus.wire.frame_parser import NO_ANSWER, UNKNOWN_OPERATION, FrameParser
from durabus.wire.operations import Delivery, Info, Ok, Operation, Ping, Pong, Publish, Refusal

__all__ = ["ServerParser"]

_FIRST_BYTES: Final = b"IiMmHhPp+-"
_LINE_BYTES_MAX: Final = 1024 * 1024
"""INFO of a large cluster lists many servers; nats-server itself has no bound."""
_PAYLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""The largest message that any nats-server can be configured to pass on."""


class ServerParser(FrameParser):
    """What one server says."""

    def __init__(self) -> None:
        """Trust the server's own limits, within bounds that no server exceeds."""
        super().__init__(_FIRST_BYTES, _LINE_BYTES_MAX, _PAYLOAD_BYTES_MAX)

    def _word(self, verb: bytes, tokens: list[bytes], line: bytes, operations: list[Operation]) -> bool:
        if verb == b"MSG" or verb == b"HMSG":
            return self._message_line(tokens, verb == b"HMSG", line, operations)
        if verb == b"INFO":
            operations.append(Info(line[4:].strip()))
        elif verb == b"PING":
            operations.append(Ping())
        elif verb == b"PONG":
            operations.append(Pong())
        elif verb == b"+OK":
            operations.append(Ok())
        elif verb == b"-ERR":
            operations.append(Refusal(line[4:].strip().strip(b"'").decode("utf-8", "backslashreplace")))
        else:
            self._fail(UNKNOWN_OPERATION, f"the line {line[:64]!r}", operations)
        return False

    def _message_line(self, tokens: list[bytes], headers: bool, line: bytes, operations: list[Operation]) -> bool:
        """Remember what a MSG or HMSG line said; False after a violation."""
        sizes = 2 if headers else 1
        if not sizes + 3 <= len(tokens) <= sizes + 4:
            self._fail(NO_ANSWER, f"the wrong number of arguments in {line[:64]!r}", operations)
            return False
        if not self._sizes(tokens[-1], tokens[-2] if headers else b"", line, operations):
            return False
        self._subject = tokens[1]
        self._sid = tokens[2]
        self._reply = tokens[3] if len(tokens) == sizes + 4 else b""
        return True

    def _announce(self, run: Publish) -> Operation:
        return Delivery(self._sid, run)
