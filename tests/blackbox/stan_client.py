"""A STAN client on a raw socket, its messages encoded by hand: what a client library does, and what none would do."""

import itertools
from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

from tests.blackbox.wire_client import Message, WireClient
from tests.wire.wire_format import blob, integer

__all__ = ["FIRST", "LAST_RECEIVED", "NEW_ONLY", "SEQUENCE", "TIME_DELTA", "Delivery", "StanClient", "Subscription"]

NEW_ONLY, LAST_RECEIVED, TIME_DELTA, SEQUENCE, FIRST = range(5)
CLUSTER = b"test-cluster"
VARINT, BYTES = 0, 2

_numbers = itertools.count(1)


class Fields(dict[int, int | bytes]):
    """The fields of a message by number; one that is missing has its default value."""

    def text(self, field: int) -> bytes:
        """A string or bytes."""
        value = self.get(field, b"")
        assert isinstance(value, bytes)
        return value

    def number(self, field: int) -> int:
        """An integer, not negative."""
        value = self.get(field, 0)
        assert isinstance(value, int)
        return value


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position behind it."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def read_fields(data: bytes) -> Fields:
    """A message of the server; its fields come in ascending order, and no zeros are written."""
    fields, at = Fields(), 0
    while at < len(data):
        tag, at = read_varint(data, at)
        value, at = read_varint(data, at)
        assert tag >> 3 > max(fields, default=0), "fields out of order"
        assert value, "a default was written"
        if tag & 7 == VARINT:
            fields[tag >> 3] = value
        else:
            assert tag & 7 == BYTES
            fields[tag >> 3] = data[at : at + value]
            at += value
    return fields


class Delivery(NamedTuple):
    """A message of a channel, as a subscription got it."""

    sequence: int
    channel: bytes
    data: bytes
    redeliveries: int = 0


class Subscription(NamedTuple):
    """What a client knows of its subscription."""

    channel: bytes
    inbox: bytes
    ack_inbox: bytes


class StanClient:
    """One client: a connection, a client ID, and the inboxes that it listens on."""

    def __init__(
        self, port: int, client_id: bytes = b"", *, connection_id: bytes = b"", cluster: bytes = CLUSTER
    ) -> None:
        """Open the connection and listen; `connect` registers."""
        number = next(_numbers)
        self.client_id = client_id or b"client-%d" % number
        self.connection_id = connection_id or b"connection-%d" % number
        self.inbox = b"_INBOX.blackbox%d" % number
        self.heartbeat_inbox = self.inbox + b".heartbeat"
        self.ack_subject = b"_STAN.acks.blackbox%d" % number
        self.cluster = cluster
        self.answers_heartbeats = True
        self.heartbeats = 0
        self.waiting: deque[Message] = deque()
        self.registered = Fields()
        self._listens: dict[bytes, bytes] = {}
        self._count = 0
        self.wire = WireClient(port)
        self.listen(self.heartbeat_inbox)
        self.listen(self.inbox + b".answer.*")
        self.listen(self.ack_subject)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()

    def listen(self, subject: bytes) -> None:
        """SUB."""
        self._listens[subject] = sid = b"%d" % (len(self._listens) + 1)
        self.wire.send(b"SUB %b %b\r\n" % (subject, sid))

    def reconnect(self, port: int) -> None:
        """What a client library does when its connection is back: the same subscriptions again, and nothing else."""
        self.wire.close()
        self.wire = WireClient(port)
        self.wire.send(b"".join(b"SUB %b %b\r\n" % item for item in self._listens.items()))

    # What comes.

    def receive(self) -> Message:
        """The next message that is no heartbeat."""
        return self.waiting.popleft() if self.waiting else self._read()

    def _read(self) -> Message:
        while (message := self.wire.message()).subject == self.heartbeat_inbox:
            assert message.payload == b""
            self.heartbeats += 1
            if self.answers_heartbeats:
                self.wire.publish(message.reply, b"")
        return message

    def delivery(self, subscription: Subscription | None = None) -> Delivery:
        """The next message, which is one of a channel (for the given subscription)."""
        message = self.receive()
        assert subscription is None or message.subject == subscription.inbox, message
        fields = read_fields(message.payload)
        assert fields.number(6) == (1 if 7 in fields else 0), "the flag and the count of redeliveries go together"
        return Delivery(fields.number(1), fields.text(2), fields.text(4), fields.number(7))

    def deliveries(self, count: int, subscription: Subscription | None = None) -> list[Delivery]:
        """The next `count` messages, which are those of channels."""
        return [self.delivery(subscription) for _ in range(count)]

    def quiet(self) -> bool:
        """Whether nothing but heartbeats has come when the server has acted on everything that was sent to it."""
        self.answer(b"_STAN.discover.%b.pings" % self.cluster, blob(1, self.connection_id))
        return not self.waiting

    # Requests.

    def answer(self, subject: bytes, payload: bytes) -> bytes:
        """Send a request; its answer. What else comes meanwhile is kept for `receive`."""
        reply = self.request(subject, payload)
        while (message := self._read()).subject != reply:
            self.waiting.append(message)
        return message.payload

    def request(self, subject: bytes, payload: bytes) -> bytes:
        """Send a request, and return where its answer will come."""
        self._count += 1
        reply = b"%b.answer.%d" % (self.inbox, self._count)
        self.wire.publish(subject, payload, reply)
        return reply

    def connect_payload(self, *, protocol: int = 1) -> bytes:
        """A ConnectRequest."""
        start = blob(1, self.client_id) + blob(2, self.heartbeat_inbox)
        return start + integer(3, protocol) + blob(4, self.connection_id) + integer(5, 5) + integer(6, 3)

    def try_connect(self) -> bytes:
        """Register; the error, empty when there is none."""
        self.registered = read_fields(self.answer(b"_STAN.discover." + self.cluster, self.connect_payload()))
        return self.registered.text(5)

    def connect(self) -> Self:
        """Register."""
        assert self.try_connect() == b""
        return self

    def ping(self) -> bytes:
        """The error that the server answers a ping with, empty when there is none."""
        return read_fields(self.answer(self.registered.text(7), blob(1, self.connection_id))).text(1)

    def disconnect(self) -> bytes:
        """Close the client; the error, empty when there is none."""
        return read_fields(self.answer(self.registered.text(4), blob(1, self.client_id))).text(1)

    def publish_payload(self, channel: bytes, data: bytes) -> bytes:
        """A PubMsg."""
        self._count += 1
        guid = b"guid-%d" % self._count
        return blob(1, self.client_id) + blob(2, guid) + blob(3, channel) + blob(5, data) + blob(6, self.connection_id)

    def send_publish(self, channel: bytes, data: bytes) -> None:
        """Publish, and leave the acknowledgement to `receive`."""
        prefix = self.registered.text(1)
        self.wire.publish(prefix + b"." + channel, self.publish_payload(channel, data), self.ack_subject)

    def try_publish(self, channel: bytes, data: bytes) -> bytes:
        """Publish, and wait for the acknowledgement; its error, empty when there is none."""
        self.send_publish(channel, data)
        while (message := self._read()).subject != self.ack_subject:
            self.waiting.append(message)
        return read_fields(message.payload).text(2)

    def publish(self, channel: bytes, *all_data: bytes) -> None:
        """Publish messages that are accepted."""
        for data in all_data:
            assert self.try_publish(channel, data) == b""

    def try_subscribe(
        self,
        channel: bytes,
        *,
        group: bytes = b"",
        durable: bytes = b"",
        max_in_flight: int = 1024,
        ack_wait_s: int = 30,
        start: int = NEW_ONLY,
        start_sequence: int = 0,
        start_delta_ns: int = 0,
    ) -> tuple[Subscription, bytes]:
        """Subscribe; the subscription, and the error, empty when there is none."""
        self._count += 1
        inbox = b"%b.subscription.%d" % (self.inbox, self._count)
        self.listen(inbox)
        payload = blob(1, self.client_id) + blob(2, channel) + blob(3, group) + blob(4, inbox)
        payload += integer(5, max_in_flight) + integer(6, ack_wait_s) + blob(7, durable)
        payload += integer(10, start) + integer(11, start_sequence) + integer(12, start_delta_ns)
        answer = read_fields(self.answer(self.registered.text(2), payload))
        return Subscription(channel, inbox, answer.text(2)), answer.text(3)

    def subscribe(
        self,
        channel: bytes,
        *,
        group: bytes = b"",
        durable: bytes = b"",
        max_in_flight: int = 1024,
        ack_wait_s: int = 30,
        start: int = NEW_ONLY,
        start_sequence: int = 0,
        start_delta_ns: int = 0,
    ) -> Subscription:
        """Subscribe."""
        subscription, error = self.try_subscribe(
            channel,
            group=group,
            durable=durable,
            max_in_flight=max_in_flight,
            ack_wait_s=ack_wait_s,
            start=start,
            start_sequence=start_sequence,
            start_delta_ns=start_delta_ns,
        )
        assert error == b""
        assert subscription.ack_inbox.startswith(b"_INBOX.")
        return subscription

    def acknowledge(self, subscription: Subscription, *sequences: int) -> None:
        """Acknowledge messages; there is no answer."""
        for sequence in sequences:
            self.wire.publish(subscription.ack_inbox, blob(1, subscription.channel) + integer(2, sequence))

    def _end(self, subject: bytes, subscription: Subscription) -> bytes:
        payload = blob(1, self.client_id) + blob(2, subscription.channel) + blob(3, subscription.ack_inbox)
        return read_fields(self.answer(subject, payload)).text(3)

    def unsubscribe(self, subscription: Subscription) -> bytes:
        """Unsubscribe; the error, empty when there is none."""
        return self._end(self.registered.text(3), subscription)

    def close_subscription(self, subscription: Subscription) -> bytes:
        """Close a subscription; the error, empty when there is none."""
        return self._end(self.registered.text(6), subscription)
