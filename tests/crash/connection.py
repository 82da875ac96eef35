"""An asyncio connection that speaks NATS, and requests over it: quick enough to load a server, and no client library.

What handlers want to send goes out in one piece when all that came at once has been handled.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from tests.server_process import HOST, PATIENCE_S

__all__ = ["Connection", "Handler"]

Handler = Callable[[bytes, bytes], None]
"""Is told the reply subject and the payload of a message."""

HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\n'


class Connection(asyncio.Protocol):
    """One connection. Whoever waits for an answer when it is lost gets a ConnectionError."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._out: list[bytes] = [HELLO]
        self._handlers: dict[bytes, Handler] = {}
        self._pongs: deque[Callable[[], None]] = deque()
        self._answers: dict[bytes, asyncio.Future[bytes]] = {}
        self._count = 0
        self.is_open = False
        self.lost = asyncio.get_running_loop().create_future()
        self.after_chunk: Callable[[], None] = lambda: None

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect; raises ConnectionError."""
        async with asyncio.timeout(PATIENCE_S):
            return (await asyncio.get_running_loop().create_connection(cls, HOST, port))[1]

    # What comes.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the connection is lost"))
        self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            if data.startswith(b"MSG ", at):
                words = data[at + 4 : end].split(b" ")
                stop = end + 2 + int(words[-1])
                if len(data) < stop + 2:
                    break
                self._handlers[words[1]](words[2] if len(words) > 3 else b"", data[end + 2 : stop])
                at = stop + 2
                continue
            self._on_line(data[at:end])
            at = end + 2
        self._buffer = data[at:]
        self.after_chunk()
        self.flush()

    def _on_line(self, line: bytes) -> None:
        if line == b"PONG":
            self._pongs.popleft()()
        elif line == b"PING":
            self._out.append(b"PONG\r\n")
        else:
            assert line.startswith(b"INFO "), line

    # What goes.

    def flush(self) -> None:
        """Send what has gathered."""
        if self._out and self.is_open:
            assert self._transport is not None
            self._transport.writelines(self._out)
        self._out.clear()

    def listen(self, subject: bytes, handler: Handler) -> None:
        """SUB."""
        sid = b"%d" % (len(self._handlers) + 1)
        self._handlers[sid] = handler
        self._out.append(b"SUB %b %b\r\n" % (subject, sid))

    def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        """PUB."""
        self._out.append(b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload))

    def ping(self, on_pong: Callable[[], None]) -> None:
        """PING; `on_pong` is called when the server has read all that was sent before it."""
        self._pongs.append(on_pong)
        self._out.append(b"PING\r\n")

    async def request(self, subject: bytes, payload: bytes, inbox: bytes) -> bytes:
        """The answer to a request; `inbox` begins the name of where it comes. Raises ConnectionError and TimeoutError."""
        if not self.is_open:
            raise ConnectionError("the connection is lost")
        self._count += 1
        reply = b"%b.%d" % (inbox, self._count)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[reply] = answer

        def on_answer(_: bytes, payload: bytes) -> None:
            if not answer.done():
                answer.set_result(payload)

        self.listen(reply, on_answer)
        self.publish(subject, payload, reply)
        self.flush()
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def close(self) -> None:
        """Close the connection, and wait until it is."""
        if self._transport is not None:
            self._transport.close()
        await self.lost
