"""A server that stores nothing and looks at nothing: it answers with pre-encoded frames as fast as it can.

Run against it, the generator shows how fast the generator itself is. It speaks just enough STAN and plain NATS for the
generator, takes the size of all publishes of a connection from the first one, and counts bytes from then on.
"""

from __future__ import annotations

import argparse
import select
import socket
import sys
import time
from typing import Final

from benchmarks.connection import Outgoing
from benchmarks.frames import (
    MARK_BYTES,
    RING,
    Frames,
    enclosed,
    field,
    fields,
    numbered,
    ring_marks,
    sequences,
    streaming_acknowledgement_frames,
)
from benchmarks.workloads import CHANNEL, MAX_IN_FLIGHT, BenchmarkError

_INFO: Final = b'INFO {"server_id":"sink","version":"0","proto":1,"headers":true,"max_payload":1048576}\r\n'
_ACK_INBOX: Final = "_INBOX." + "a" * 22


class Client:
    """One connection of the generator: in its handshake, then a publisher or a subscriber by bytes alone."""

    def __init__(self, sink: Sink, stream: socket.socket) -> None:
        """Greet the client."""
        stream.setblocking(False)
        self.socket: Final = stream
        self._sink: Final = sink
        self._outgoing = Outgoing(stream, None)
        self._identifiers: Final[dict[str, str]] = {}
        self._handshake = b""
        self._running = False
        self._received_bytes = 0
        self._publish_bytes = 0
        self._published = 0
        self._acknowledges = False
        self._acknowledgements: Frames | None = None
        self._deliveries: Frames | None = None
        self._answer(_INFO)

    def on_event(self, event: int) -> None:
        """Take one chunk, or send what the socket had no room for. ConnectionResetError if the client has gone."""
        if event & select.EPOLLIN:
            if self._running:
                received = self.socket.recv_into(self._sink.scratch)
                if not received:
                    raise ConnectionResetError
                self._count(received)
            else:
                chunk = self.socket.recv(1 << 16)
                if not chunk:
                    raise ConnectionResetError
                self._handshake += chunk
                self._introduce()
        self.flush()

    def flush(self) -> None:
        """Send what may be sent, and watch for room if the socket takes no more."""
        self._sink.watch(self, not self._outgoing.flush())

    def deliver(self, stored: int) -> None:
        """Send messages up to number `stored`, as far as the subscriber has acknowledged."""
        if self._deliveries is None:
            return
        if self._acknowledgements is not None:
            stored = min(stored, self._acknowledgements.frame_count(self._received_bytes) + MAX_IN_FLIGHT)
        self._outgoing.target_bytes = self._deliveries.byte_count(stored)
        self.flush()

    def start_plain(self, payload: bytes) -> None:
        """Become a plain subscriber if subscribed to the channel; messages are as long as `payload`."""
        if identifier := self._identifiers.get(CHANNEL):
            after = payload[MARK_BYTES:]
            self._deliver_from(numbered(ring_marks(), enclosed(f"MSG {CHANNEL} {identifier}", b"", after)))

    def _deliver_from(self, frames: Frames) -> None:
        self._outgoing.flush()
        self._deliveries = frames
        self._outgoing = Outgoing(self.socket, frames)
        self._running = True

    def _count(self, received: int) -> None:
        self._received_bytes += received
        if self._publish_bytes:
            published = self._received_bytes // self._publish_bytes
            new, self._published = published - self._published, published
            if self._acknowledges and self._acknowledgements is not None:
                self._outgoing.target_bytes = self._acknowledgements.byte_count(published)
            if new:
                self._sink.store(new)
        else:
            self.deliver(self._sink.stored)

    def _introduce(self) -> None:
        while not self._running and (end := self._handshake.find(b"\r\n")) >= 0:
            words = self._handshake[:end].decode().split()
            used = end + 2
            if words[0] == "PING":
                self._answer(b"PONG\r\n")
            elif words[0] == "SUB":
                self._identifiers[words[1]] = words[2]
            elif words[0] == "PUB":
                used += int(words[-1]) + 2
                if len(self._handshake) < used:
                    return
                self._publish(words, used, self._handshake[end + 2 : used - 2])
            if not self._running:
                self._handshake = self._handshake[used:]

    def _publish(self, words: list[str], frame_bytes: int, payload: bytes) -> None:
        subject, reply = words[1], words[2]
        if subject.startswith("_STAN.discover."):
            names = {1: "_STAN.pub.sink", 2: "_STAN.sub.sink", 3: "_STAN.unsub.sink", 4: "_STAN.close.sink"}
            self._reply(reply, b"".join(field(number, name) for number, name in names.items()))
        elif subject == "_STAN.sub.sink":
            self._subscribe(reply, fields(payload))
        else:
            if subject == CHANNEL:
                self._sink.start_plain(payload)
            else:
                guid = fields(payload)[2]
                assert isinstance(guid, bytes)
                before = field(2, guid)[1:-MARK_BYTES]
                header = f"MSG {reply} {self._identifiers[reply]}"
                marks = ring_marks(self._sink.ring)
                self._acknowledgements = numbered(marks, enclosed(header, b"\x0a" + before, b""))
                self._acknowledges = True
                self._outgoing.flush()
                self._outgoing = Outgoing(self.socket, self._acknowledgements)
            self._publish_bytes = frame_bytes
            self._running = True
            self._count(len(self._handshake))

    def _subscribe(self, reply: str, request: dict[int, int | bytes]) -> None:
        channel, inbox = request[2], request[4]
        assert isinstance(channel, bytes)
        assert isinstance(inbox, bytes)
        self._reply(reply, field(2, _ACK_INBOX))
        after = field(2, channel) + field(4, b"x" * self._sink.size_bytes) + field(5, time.time_ns())
        header = f"MSG {inbox.decode()} {self._identifiers[inbox.decode()]}"
        self._deliver_from(numbered(sequences(self._sink.messages), enclosed(header, b"\x08", after)))
        self._acknowledgements = streaming_acknowledgement_frames(_ACK_INBOX, channel.decode(), self._sink.messages)
        self.deliver(self._sink.stored)

    def _reply(self, subject: str, payload: bytes) -> None:
        identifier = self._identifiers[subject]
        self._answer(f"MSG {subject} {identifier} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def _answer(self, data: bytes) -> None:
        self._outgoing.answers += data
        self.flush()


class Sink:
    """The server: a socket, its clients, and the number of messages that were published."""

    def __init__(self, port: int, messages: int, size_bytes: int, ring: int, is_full: bool) -> None:
        """Listen on a loopback port; `messages` of `size_bytes` are ready to be delivered. OSError if it is taken.

        Publishers have `ring` frames. When `is_full`, the messages count as published before.
        """
        self.messages: Final = messages
        self.size_bytes: Final = size_bytes
        self.ring: Final = ring
        self.stored = messages if is_full else 0
        self.scratch: Final = bytearray(1 << 20)
        self._blocked: Final[set[Client]] = set()
        self._clients: Final[dict[int, Client]] = {}
        self._poll: Final = select.epoll()
        self._listener: Final = socket.create_server(("127.0.0.1", port))
        self._poll.register(self._listener, select.EPOLLIN)

    def serve(self) -> None:
        """Serve until every client has gone."""
        while True:
            for descriptor, event in self._poll.poll():
                client = self._clients.get(descriptor)
                if client is None:
                    stream, _ = self._listener.accept()
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._poll.register(stream, select.EPOLLIN)
                    self._clients[stream.fileno()] = Client(self, stream)
                    continue
                try:
                    client.on_event(event)
                except ConnectionError:
                    self._forget(client)
                except BenchmarkError as trouble:
                    print(trouble, file=sys.stderr)
                    self._forget(client)

    def store(self, count: int) -> None:
        """Take note of published messages and deliver them."""
        self.stored += count
        for client in self._clients.values():
            client.deliver(self.stored)

    def start_plain(self, payload: bytes) -> None:
        """Prepare the deliveries of plain subscribers."""
        for client in self._clients.values():
            client.start_plain(payload)

    def watch(self, client: Client, blocked: bool) -> None:
        """Wait for room in the client's socket, or no longer."""
        if blocked != (client in self._blocked):
            self._poll.modify(client.socket, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))
            (self._blocked.add if blocked else self._blocked.remove)(client)

    def _forget(self, client: Client) -> None:
        self._blocked.discard(client)
        del self._clients[client.socket.fileno()]
        client.socket.close()


def main() -> None:
    """Run from the command line until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--port", type=int, required=True)
    parser.add_argument("--messages", type=int, required=True, help="messages that can be delivered")
    parser.add_argument("--size", type=int, default=128, help="bytes per message")
    parser.add_argument("--ring", type=int, default=RING, help="frames that a publisher repeats")
    parser.add_argument("--stored", action="store_true", help="the messages were published before")
    options = parser.parse_args()
    Sink(options.port, options.messages, options.size, options.ring, options.stored).serve()


if __name__ == "__main__":
    main()
