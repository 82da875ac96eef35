"""How the generator's clients introduce themselves: STAN, JetStream and plain NATS. Ends with connections ready to run."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Final

from benchmarks import counting
from benchmarks.connection import Connection, Publisher, Subscriber
from benchmarks.frames import (
    MARK_BYTES,
    Frame,
    around,
    enclosed,
    field,
    fields,
    numbered,
    publish,
    ring_count,
    ring_marks,
    split,
    streaming_acknowledgement_frames,
    streaming_publish_frames,
)
from benchmarks.workloads import CHANNEL, MAX_IN_FLIGHT, BenchmarkError, Workload

if TYPE_CHECKING:
    from collections.abc import Callable

CLUSTER: Final = "test-cluster"
"""The cluster ID that servers have by default."""

ANSWER_SECONDS: Final = 5.0
"""How long a server may take to answer a request."""

READY_SECONDS: Final = 60.0
"""How long a server may take to become ready."""

MESSAGES, HEARTBEATS, REPLIES = "1", "2", "3"
"""Identifiers of the NATS subscriptions of every connection."""

_CONNECT: Final = {"verbose": False, "pedantic": False, "lang": "benchmark", "version": "1", "protocol": 1}
_STREAM: Final = "S"
_ALL_AVAILABLE: Final = 4


class Line:
    """A blocking connection for the handshake."""

    def __init__(self, port: int, name: str) -> None:
        """Connect to a server on loopback; `name` becomes part of the subjects. OSError if nobody listens."""
        self.inbox: Final = "_INBOX." + name.ljust(22, "x")
        """A subject of this connection's own, as long as that of official clients."""
        self.socket: Final = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        options = json.dumps(_CONNECT | {"headers": True, "no_responders": True, "name": name})
        self.send(f"CONNECT {options}\r\nSUB {self.inbox}.r {REPLIES}\r\n".encode())
        self.synchronize()

    def send(self, data: bytes) -> None:
        """Send everything."""
        self.socket.sendall(data)

    def subscribe(self, subject: str, identifier: str) -> None:
        """Subscribe; returns when the server has taken note."""
        self.send(f"SUB {subject} {identifier}\r\n".encode())
        self.synchronize()

    def synchronize(self) -> None:
        """Return when the server has taken note of everything sent."""
        self.send(b"PING\r\n")
        self._await(lambda frame: frame.verb == b"PONG", ANSWER_SECONDS)

    def request(self, subject: str, payload: bytes, wait_seconds: float = ANSWER_SECONDS) -> Frame:
        """Return the answer to a request; TimeoutError if there is none or nobody to answer."""
        self.send(publish(subject, f"{self.inbox}.r", payload))
        answer = self._await(lambda frame: frame.identifier == REPLIES.encode(), wait_seconds)
        if answer.verb == b"HMSG":
            raise TimeoutError(f"nobody answers on {subject}")
        return answer

    def _await(self, wanted: Callable[[Frame], bool], wait_seconds: float) -> Frame:
        self.socket.settimeout(wait_seconds)
        while True:
            frames, used = split(self.rest)
            self.rest = self.rest[used:]
            matching = [frame for frame in frames if wanted(frame)]
            for frame in frames:
                if frame.verb == b"PING":
                    self.send(b"PONG\r\n")
                elif frame.verb == b"-ERR":
                    raise BenchmarkError(f"the server sent {frame}")
            if matching:
                return matching[0]
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionResetError("the server closed the connection")
            self.rest += chunk


def text_of(answer: dict[int, int | bytes], number: int) -> str:
    """Return a field of a protobuf message as text."""
    value = answer.get(number, b"")
    return value.decode() if isinstance(value, bytes) else str(value)


def streaming_connect(port: int, name: str) -> tuple[Line, dict[int, int | bytes]]:
    """Connect a STAN client as soon as the server is ready; return its line and the ConnectResponse's fields.

    A server may take `READY_SECONDS` to read what it stored.
    """
    line = Line(port, name)
    line.subscribe(f"{line.inbox}.h", HEARTBEATS)
    request = field(1, name) + field(2, f"{line.inbox}.h") + field(3, 1) + field(4, name.ljust(22, "x"))
    request += field(5, 5) + field(6, 88)
    deadline_seconds = time.monotonic() + READY_SECONDS
    while True:
        try:
            answer = fields(line.request(f"_STAN.discover.{CLUSTER}", request, 0.5).payload)
        except TimeoutError:
            if time.monotonic() > deadline_seconds:
                raise
            time.sleep(0.001)
            continue
        if 5 in answer:
            raise BenchmarkError(f"connect was refused: {text_of(answer, 5)}")
        return line, answer


def subscription_request(name: str, channel: str, inbox: str) -> bytes:
    """Return a STAN SubscriptionRequest for everything that is available, acknowledged by hand."""
    request = field(1, name) + field(2, channel) + field(4, inbox) + field(5, MAX_IN_FLIGHT) + field(6, 30)
    return request + field(10, _ALL_AVAILABLE)


def acknowledgement_inbox(answer: Frame) -> str:
    """Return where the answer to a SubscriptionRequest wants the acknowledgements; BenchmarkError if it was refused."""
    response = fields(answer.payload)
    if 3 in response:
        raise BenchmarkError(f"subscription was refused: {text_of(response, 3)}")
    return text_of(response, 2)


def _streaming_publisher(port: int, index: int, workload: Workload, messages: int, body: bytes) -> Publisher:
    name = f"publisher{index}"
    line, subjects = streaming_connect(port, name)
    acknowledgements = "_STAN.acks." + name.ljust(22, "x")
    line.subscribe(acknowledgements, MESSAGES)
    guid = name.ljust(22 - MARK_BYTES, "x")
    prefix = text_of(subjects, 1)
    channels = workload.channel_names()
    frames = streaming_publish_frames(prefix, acknowledgements, channels, guid, name.ljust(22, "x").encode(), body)
    counter = counting.streaming_acknowledgements(acknowledgements, MESSAGES, guid, ring_count(len(channels)))
    return Publisher(line.socket, line.rest, counter, frames, messages, workload.window)


def _streaming_subscriber(port: int, index: int, messages: int) -> Subscriber:
    name = f"subscriber{index}"
    line, subjects = streaming_connect(port, name)
    line.subscribe(line.inbox, MESSAGES)
    request = subscription_request(name, CHANNEL, line.inbox)
    inbox = acknowledgement_inbox(line.request(text_of(subjects, 2), request))
    frames = streaming_acknowledgement_frames(inbox, CHANNEL, messages)
    return Subscriber(line.socket, line.rest, counting.streaming_deliveries(line.inbox, MESSAGES), frames, messages)


def _streaming(port: int, workload: Workload, messages: int, body: bytes) -> list[Connection]:
    share = messages // workload.publishers
    subscribers = [_streaming_subscriber(port, index, messages) for index in range(workload.subscribers)]
    publishers = [_streaming_publisher(port, index, workload, share, body) for index in range(workload.publishers)]
    return [*subscribers, *publishers]


def _jetstream_request(line: Line, operation: str, content: dict[str, object]) -> None:
    answer = json.loads(line.request(f"$JS.API.{operation}", json.dumps(content).encode()).payload)
    if "error" in answer:
        raise BenchmarkError(f"{operation} was refused: {answer['error']}")


def _jetstream(port: int, workload: Workload, messages: int, body: bytes) -> list[Connection]:
    line = Line(port, "administrator")
    stream = {"name": _STREAM, "subjects": [CHANNEL], "storage": "memory", "num_replicas": 1}
    _jetstream_request(line, f"STREAM.CREATE.{_STREAM}", stream)
    connections: list[Connection] = []
    numbers = [b"%d.%d" % (sequence, sequence) for sequence in range(1, messages + 1)]
    for index in range(workload.subscribers):
        consumer = f"C{index}"
        line = Line(port, f"subscriber{index}")
        line.subscribe(line.inbox, MESSAGES)
        settings = {"durable_name": consumer, "deliver_subject": line.inbox, "deliver_policy": "all"}
        settings |= {"ack_policy": "explicit"}
        limits = {"max_ack_pending": MAX_IN_FLIGHT, "ack_wait": 30_000_000_000}
        request: dict[str, object] = {"stream_name": _STREAM, "config": settings | limits}
        _jetstream_request(line, f"CONSUMER.DURABLE.CREATE.{_STREAM}.{consumer}", request)
        counter = counting.jetstream_deliveries(MESSAGES, _STREAM, consumer)
        # The time and the number pending, which end the subject in a client's answer, are not looked at by the server.
        frames = numbered(numbers, around(f"PUB $JS.ACK.{_STREAM}.{consumer}.1.".encode(), b".0.0 4\r\n+ACK\r\n"))
        connections.append(Subscriber(line.socket, line.rest, counter, frames, messages))
    share = messages // workload.publishers
    for index in range(workload.publishers):
        line = Line(port, f"publisher{index}")
        line.subscribe(line.inbox, MESSAGES)
        counter = counting.jetstream_acknowledgements(MESSAGES, _STREAM)
        ring = numbered(ring_marks(), enclosed(f"PUB {CHANNEL} {line.inbox}", b"", body[MARK_BYTES:]))
        connections.append(Publisher(line.socket, line.rest, counter, ring, share, workload.window))
    return connections


def _plain(port: int, workload: Workload, messages: int, body: bytes) -> list[Connection]:
    line = Line(port, "publisher")
    ring = numbered(ring_marks(), enclosed(f"PUB {CHANNEL}", b"", body[MARK_BYTES:]))
    publisher = Publisher(line.socket, line.rest, None, ring, messages, workload.window)
    line = Line(port, "subscriber")
    line.subscribe(CHANNEL, MESSAGES)
    counter = counting.plain_deliveries(CHANNEL, MESSAGES)
    return [Subscriber(line.socket, line.rest, counter, None, messages, publisher), publisher]


def prepare(dialect: str, port: int, workload: Workload, messages: int, size_bytes: int) -> list[Connection]:
    """Connect everybody who takes part in a workload; subscriptions exist before this returns, nothing is published.

    `dialect` is streaming, jetstream or plain; `size_bytes` of a message at least `MARK_BYTES`.
    """
    body = b"x" * size_bytes
    prepares = {"streaming": _streaming, "jetstream": _jetstream, "plain": _plain}
    return prepares[dialect](port, workload, messages, body)
