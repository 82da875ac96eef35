"""A TCP connection that speaks NATS in raw bytes, and waits for what it reads, never for time to pass."""

import contextlib
import json
import socket
import struct
from types import TracebackType
from typing import NamedTuple, Self

from tests.server_process import HOST, PATIENCE_S

__all__ = ["QUIET", "WITH_HEADERS", "Message", "WireClient"]

QUIET = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
WITH_HEADERS = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'


class Message(NamedTuple):
    """One MSG or HMSG."""

    subject: bytes
    sid: bytes
    reply: bytes
    headers: bytes
    payload: bytes


class WireClient:
    """One connection. INFO is read when it is made, and `connect` sent if it is not empty."""

    def __init__(self, port: int, connect: bytes = QUIET, receive_buffer_bytes: int = 0) -> None:
        """Connect; a small receive buffer lets the server feel early that nobody reads."""
        self.socket = socket.socket()
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE_S)
        self._buffer = bytearray()
        try:
            self.socket.connect((HOST, port))
            verb, _, document = self.line().partition(b" ")
        except BaseException:
            self.socket.close()
            raise
        assert verb == b"INFO"
        self.info: dict[str, object] = json.loads(document)
        self.send(connect)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; twice is fine."""
        self.socket.close()

    def reset(self) -> None:
        """Close the socket as the system does for a process that is killed with data unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if data:
            self.socket.sendall(data)

    def _fill(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError(f"closed after {bytes(self._buffer[-200:])!r}")
        self._buffer += data

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def until(self, end: bytes) -> bytes:
        """Everything up to the next `end`, without it."""
        start = 0
        while (at := self._buffer.find(end, start)) < 0:
            start = max(0, len(self._buffer) - len(end))
            self._fill()
        return self.exactly(at + len(end))[:at]

    def line(self) -> bytes:
        """The next line."""
        return self.until(b"\r\n")

    def ask(self, data: bytes = b"") -> bytes:
        """Send bytes; everything that has come when the server has acted on them: it answers our PING after that."""
        self.send(data + b"PING\r\n")
        return self.until(b"PONG\r\n")

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """Send a PUB."""
        arguments = subject + b" " + reply if reply else subject
        self.send(b"PUB %b %d\r\n%b\r\n" % (arguments, len(payload), payload))

    def message(self) -> Message:
        """The next thing that comes, which is a message; the server's own PINGs are answered on the way."""
        while (line := self.line()) == b"PING":
            self.send(b"PONG\r\n")
        verb, *words = line.split(b" ")
        assert verb in (b"MSG", b"HMSG"), line
        size = int(words.pop())
        header_bytes = int(words.pop()) if verb == b"HMSG" else 0
        headers, payload = self.exactly(header_bytes), self.exactly(size - header_bytes)
        assert self.exactly(2) == b"\r\n"
        return Message(words[0], words[1], words[2] if len(words) > 2 else b"", headers, payload)

    def rest(self) -> bytes:
        """Everything until the server has closed the connection."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self._fill()
        data = bytes(self._buffer)
        self._buffer.clear()
        return data
