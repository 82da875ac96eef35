"""The STAN messages between clients and the server (docs/protocol.md §2), except the publish hot path.

Strings are bytes here: the original never checks that they are UTF-8. Every `decode_…` raises DecodeError for bytes
that are not such a message; every `encode_…` writes fields in ascending order and leaves out default values, so that a
message of defaults is no bytes at all.
"""

from typing import Final

from durabus.wire.varint import (
    WIRE_BYTES,
    WIRE_VARINT,
    DecodeError,
    FieldReader,
    bytes_field,
    signed_32,
    signed_64,
    uint_field,
)

__all__ = [
    "START_FIRST",
    "START_LAST_RECEIVED",
    "START_NEW_ONLY",
    "START_SEQUENCE",
    "START_TIME_DELTA",
    "Ack",
    "ConnectRequest",
    "DecodeError",
    "SubscriptionRequest",
    "UnsubscribeRequest",
    "decode_ack",
    "decode_client_id",
    "decode_connect_request",
    "decode_connect_response",
    "decode_ping",
    "decode_subscription_request",
    "decode_timestamp_ns",
    "decode_unsubscribe_request",
    "encode_close_request",
    "encode_connect_request",
    "encode_connect_response",
    "encode_error_response",
    "encode_message",
    "encode_publish_ack",
    "encode_subscription_response",
    "is_control_message",
]

START_NEW_ONLY: Final = 0
START_LAST_RECEIVED: Final = 1
START_TIME_DELTA: Final = 2
START_SEQUENCE: Final = 3
START_FIRST: Final = 4


def _fields(message: bytes, bytes_fields: int, varint_fields: int) -> tuple[dict[int, bytes], dict[int, int]]:
    """Collect the known fields of `message`, given as bit sets of field numbers; the last of each counts."""
    texts: dict[int, bytes] = {}
    numbers: dict[int, int] = {}
    reader = FieldReader(message)
    while True:
        number = reader.next()
        if number == 0:
            return texts, numbers
        if number > 30:
            continue
        if bytes_fields >> number & 1:
            reader.expect(WIRE_BYTES)
            texts[number] = reader.data
        elif varint_fields >> number & 1:
            reader.expect(WIRE_VARINT)
            numbers[number] = reader.value


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


class ConnectRequest:
    """A client wants to be registered. `connection_id` is unique per connection instance; intervals in seconds."""

    def __init__(self) -> None:
        """All fields at their defaults."""
        self.client_id = b""
        self.heartbeat_inbox = b""
        self.protocol = 0
        self.connection_id = b""
        self.ping_interval_s = 0
        self.ping_out_max = 0


_CONNECT_TEXTS: Final = _bits(1, 2, 4)
_CONNECT_NUMBERS: Final = _bits(3, 5, 6)


def decode_connect_request(message: bytes) -> ConnectRequest:
    """Decode a ConnectRequest."""
    texts, numbers = _fields(message, _CONNECT_TEXTS, _CONNECT_NUMBERS)
    request = ConnectRequest()
    request.client_id = texts.get(1, b"")
    request.heartbeat_inbox = texts.get(2, b"")
    request.protocol = signed_32(numbers.get(3, 0))
    request.connection_id = texts.get(4, b"")
    request.ping_interval_s = signed_32(numbers.get(5, 0))
    request.ping_out_max = signed_32(numbers.get(6, 0))
    return request


def encode_connect_request(client_id: bytes, heartbeat_inbox: bytes) -> bytes:
    """Encode the ConnectRequest of a protocol 0 client: what the start-up probe sends."""
    return bytes_field(1, client_id) + bytes_field(2, heartbeat_inbox)


def decode_connect_response(message: bytes) -> tuple[bytes, str]:
    """Of a ConnectResponse, the subject for CloseRequests and the error text (each empty when there is none)."""
    texts, _ = _fields(message, _bits(1, 2, 3, 4, 5, 6, 7), _bits(8, 9, 10))
    return texts.get(4, b""), texts.get(5, b"").decode("utf-8", "backslashreplace")


def encode_close_request(client_id: bytes) -> bytes:
    """Encode a CloseRequest: what the start-up probe says to take its leave."""
    return bytes_field(1, client_id)


def encode_connect_response(subjects: list[bytes], ping_subject: bytes, request: ConnectRequest) -> bytes:
    """Encode a successful ConnectResponse: docs/protocol.md §5.1.

    `subjects` are those for publish (prefix), subscribe, unsubscribe, close and subscription close, in this order.
    The ping fields are only for clients of protocol 1 and later.
    """
    response = b"".join(bytes_field(number + 1, subject) for number, subject in enumerate(subjects[:4]))
    response += bytes_field(6, subjects[4])
    if request.protocol >= 1:
        response += bytes_field(7, ping_subject)
        response += uint_field(8, request.ping_interval_s) + uint_field(9, request.ping_out_max)
    return response + uint_field(10, 1)


def encode_error_response(number: int, text: str) -> bytes:
    """Encode a response that holds nothing but an error text in field `number`; no bytes when there is no error."""
    return bytes_field(number, text.encode())


def encode_publish_ack(guid: bytes, error: str) -> bytes:
    """Encode a PubAck; an empty `error` means that the message is stored."""
    return bytes_field(1, guid) + bytes_field(2, error.encode())


def encode_message(sequence: int, subject: bytes, reply: bytes, data: bytes, timestamp_ns: int) -> bytes:
    """Encode a MsgProto as it is stored and first delivered: fields 1 to 5."""
    return (
        uint_field(1, sequence)
        + bytes_field(2, subject)
        + bytes_field(3, reply)
        + bytes_field(4, data)
        + uint_field(5, timestamp_ns)
    )


def decode_timestamp_ns(message: bytes) -> int:
    """The timestamp of a MsgProto, in nanoseconds since 1970; raises DecodeError."""
    fields = FieldReader(message)
    timestamp_ns = 0
    while (number := fields.next()) != 0:
        if number == 5:
            fields.expect(WIRE_VARINT)
            timestamp_ns = signed_64(fields.value)
    return timestamp_ns


class SubscriptionRequest:
    """A client wants to listen to the channel `subject`; `ack_wait_s` in seconds, `start_time_delta_ns` back in time."""

    def __init__(self) -> None:
        """All fields at their defaults."""
        self.client_id = b""
        self.subject = b""
        self.queue_group = b""
        self.inbox = b""
        self.max_in_flight = 0
        self.ack_wait_s = 0
        self.durable_name = b""
        self.start_position = START_NEW_ONLY
        self.start_sequence = 0
        self.start_time_delta_ns = 0


_SUBSCRIBE_TEXTS: Final = _bits(1, 2, 3, 4, 7)
_SUBSCRIBE_NUMBERS: Final = _bits(5, 6, 10, 11, 12)


def decode_subscription_request(message: bytes) -> SubscriptionRequest:
    """Decode a SubscriptionRequest."""
    texts, numbers = _fields(message, _SUBSCRIBE_TEXTS, _SUBSCRIBE_NUMBERS)
    request = SubscriptionRequest()
    request.client_id = texts.get(1, b"")
    request.subject = texts.get(2, b"")
    request.queue_group = texts.get(3, b"")
    request.inbox = texts.get(4, b"")
    request.max_in_flight = signed_32(numbers.get(5, 0))
    request.ack_wait_s = signed_32(numbers.get(6, 0))
    request.durable_name = texts.get(7, b"")
    request.start_position = signed_32(numbers.get(10, 0))
    request.start_sequence = numbers.get(11, 0)
    request.start_time_delta_ns = signed_64(numbers.get(12, 0))
    return request


def encode_subscription_response(ack_inbox: bytes, error: str) -> bytes:
    """Encode a SubscriptionResponse: an ack inbox, an error, or (unsubscribe, close) nothing at all."""
    return bytes_field(2, ack_inbox) + bytes_field(3, error.encode())


class UnsubscribeRequest:
    """A client ends a subscription; `inbox` is its ack inbox or, from a client that never got one, its inbox."""

    def __init__(self, client_id: bytes, subject: bytes, inbox: bytes) -> None:
        """Keep the three fields that the server looks at."""
        self.client_id = client_id
        self.subject = subject
        self.inbox = inbox


_UNSUBSCRIBE_TEXTS: Final = _bits(1, 2, 3, 4)


def decode_unsubscribe_request(message: bytes) -> UnsubscribeRequest:
    """Decode an UnsubscribeRequest (field 4, the durable name, is checked and ignored)."""
    texts, _ = _fields(message, _UNSUBSCRIBE_TEXTS, 0)
    return UnsubscribeRequest(texts.get(1, b""), texts.get(2, b""), texts.get(3, b""))


def decode_client_id(message: bytes) -> bytes:
    """Decode a CloseRequest: its only field."""
    return _fields(message, _bits(1), 0)[0].get(1, b"")


def decode_ping(message: bytes) -> bytes:
    """Decode a Ping: its connection ID."""
    return _fields(message, _bits(1), 0)[0].get(1, b"")


class Ack:
    """A subscriber is done with message `sequence` of the channel `subject`."""

    def __init__(self, subject: bytes, sequence: int) -> None:
        """Keep both fields."""
        self.subject = subject
        self.sequence = sequence


def decode_ack(message: bytes) -> Ack:
    """Decode an Ack."""
    texts, numbers = _fields(message, _bits(1), _bits(2))
    return Ack(texts.get(1, b""), numbers.get(2, 0))


def is_control_message(message: bytes) -> bool:
    """Whether a payload that is no PubMsg is a server's CtrlMsg, which is dropped without a word: docs/protocol.md §2.9."""
    try:
        _fields(message, _bits(2, 3, 4), _bits(1))
    except DecodeError:
        return False
    return True
