"""The generator's connections: raw non-blocking sockets that send slices of pre-encoded frames and count what arrives."""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING, Final

from benchmarks.counting import Counter, ForeignFrames
from benchmarks.workloads import BenchmarkError

if TYPE_CHECKING:
    import socket

    from benchmarks.frames import Frames

_BUFFER_BYTES: Final = 1 << 20


class Outgoing:
    """Sends the first `target` bytes of an endless repetition of frames, as far as the socket takes them."""

    def __init__(self, stream: socket.socket, frames: Frames | None) -> None:
        """Have nothing to send yet."""
        self.target_bytes = 0
        """Everything before this position may be sent. It is the end of a frame."""
        self.answers = b""
        """Sent at the next boundary between frames."""
        self._socket: Final = stream
        self._view = frames.view if frames else memoryview(b"")
        self._position_bytes = 0

    def use(self, frames: Frames) -> None:
        """Send these frames from now on, where there was nothing to send before."""
        assert self.target_bytes == 0
        self._view = frames.view

    def flush(self) -> bool:
        """Send what may be sent; return False if the socket takes no more for now."""
        view = self._view
        try:
            while (position := self._position_bytes) < self.target_bytes:
                first = position % len(view)
                self._position_bytes += self._socket.send(view[first : first + self.target_bytes - position])
            while self.answers:
                self.answers = self.answers[self._socket.send(self.answers) :]
        except BlockingIOError:
            return False
        return True


class Connection:
    """One client connection, after its handshake."""

    def __init__(self, stream: socket.socket, rest: bytes, counter: Counter, frames: Frames | None) -> None:
        """Take over the socket and what was already received (`rest`)."""
        stream.setblocking(False)
        self.counter: Final = counter
        self.outgoing: Final = Outgoing(stream, frames)
        self.frames = frames
        self.reads = 0
        """Chunks received."""
        self.socket: Final = stream
        self._buffer: Final = bytearray(_BUFFER_BYTES)
        self._view: Final = memoryview(self._buffer)
        self._filled_bytes = len(rest)
        self._buffer[: len(rest)] = rest
        self._poll: select.epoll | None = None
        self._blocked = False

    def attach(self, poll: select.epoll) -> None:
        """Be watched by `poll`."""
        self._poll = poll
        poll.register(self.socket, select.EPOLLIN)

    def flush(self) -> None:
        """Send what may be sent, and watch for room if the socket takes no more."""
        blocked = not self.outgoing.flush()
        if blocked != self._blocked and self._poll is not None:
            self._blocked = blocked
            self._poll.modify(self.socket, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))

    def receive(self) -> int:
        """Take one chunk; return how many messages it completed. BenchmarkError if one is wrong or the server hung up."""
        try:
            received = self.socket.recv_into(self._view[self._filled_bytes :])
        except BlockingIOError:
            return 0
        if not received:
            raise BenchmarkError("the server closed a connection")
        self.reads += 1
        end = self._filled_bytes + received
        before = self.counter.count
        used = self.counter.feed(self._buffer, end)
        if used < end:
            self._buffer[: end - used] = self._buffer[used:end]
        self._filled_bytes = end - used
        if self.counter.foreign:
            self._answer()
        return self.counter.count - before

    def on_readable(self, now_seconds: float) -> None:
        """Take one chunk and send what it allows."""
        self.receive()

    def _answer(self) -> None:
        for frame in self.counter.foreign:
            if frame.verb == b"PING":
                self.outgoing.answers += b"PONG\r\n"
            elif frame.verb == b"MSG" and frame.reply and not frame.payload:
                self.outgoing.answers += b"PUB %s 0\r\n\r\n" % frame.reply
            elif frame.verb not in (b"PONG", b"INFO", b"+OK"):
                raise BenchmarkError(f"the server sent {frame}")
        self.counter.foreign.clear()
        self.flush()


class Publisher(Connection):
    """Publishes `messages`, at most `window` of them unconfirmed; a confirmation is an acknowledgement."""

    def __init__(
        self,
        stream: socket.socket,
        rest: bytes,
        counter: Counter | None,
        frames: Frames,
        messages: int,
        window: int,
    ) -> None:
        """Be ready to publish; without a counter, confirmations come through `confirm`."""
        super().__init__(stream, rest, counter or ForeignFrames(), frames)
        self.messages: Final = messages
        self.sent = 0
        self.confirmed = 0
        self.finished_seconds = 0.0
        """When the last message was confirmed."""
        self.latencies: Final[list[tuple[float, int]]] = []
        """Pairs of (seconds from publish to confirmation, how many messages had this)."""
        self._frames: Final = frames
        self._window: Final = window
        self._batches: Final[deque[tuple[float, int]]] = deque()

    def fill_window(self, now_seconds: float) -> None:
        """Publish as much as the window has room for."""
        count = min(self._window - (self.sent - self.confirmed), self.messages - self.sent)
        if count:
            self.sent += count
            self._batches.append((now_seconds, count))
            self.outgoing.target_bytes = self._frames.byte_count(self.sent)
            self.flush()

    def confirm(self, count: int, now_seconds: float) -> None:
        """Take note that the `count` oldest unconfirmed messages are confirmed, and publish on."""
        self.confirmed += count
        if self.confirmed > self.sent:
            raise BenchmarkError(f"{self.confirmed} messages confirmed, only {self.sent} published")
        while count:
            sent_seconds, batch = self._batches.popleft()
            if batch > count:
                self._batches.appendleft((sent_seconds, batch - count))
                batch = count
            self.latencies.append((now_seconds - sent_seconds, batch))
            count -= batch
        self.finished_seconds = now_seconds
        self.fill_window(now_seconds)

    def on_readable(self, now_seconds: float) -> None:
        """Take one chunk of acknowledgements."""
        if count := self.receive():
            self.confirm(count, now_seconds)


class Subscriber(Connection):
    """Receives `messages` and acknowledges every one; in plain NATS, tells the publisher instead."""

    def __init__(
        self,
        stream: socket.socket,
        rest: bytes,
        counter: Counter,
        frames: Frames | None,
        messages: int,
        publisher: Publisher | None = None,
    ) -> None:
        """Be ready to receive; `frames` are the acknowledgements."""
        super().__init__(stream, rest, counter, frames)
        self.messages: Final = messages
        self.finished_seconds = 0.0
        """When the last message arrived."""
        self._publisher: Final = publisher

    def on_readable(self, now_seconds: float) -> None:
        """Take one chunk of deliveries and acknowledge them."""
        count = self.receive()
        if not count:
            return
        if self.counter.count > self.messages:
            raise BenchmarkError(f"{self.counter.count} deliveries, only {self.messages} messages")
        self.finished_seconds = now_seconds
        if self.frames is not None:
            self.outgoing.target_bytes = self.frames.byte_count(self.counter.count)
            self.flush()
        if self._publisher is not None:
            self._publisher.confirm(count, now_seconds)
