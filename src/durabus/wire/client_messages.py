"""The STAN messages as a client writes and reads them: the other side of `stan_messages` (docs/protocol.md §2).

Strings are bytes, as there. What carries events, PubMsg and MsgProto, is not here: that is the client's hot path.
"""

from typing import Final

from durabus.wire.stan_messages import ConnectRequest, SubscriptionRequest
from durabus.wire.varint import WIRE_BYTES, FieldReader, bytes_field, uint_field

__all__ = [
    "PING_ERROR",
    "SUBSCRIPTION_ERROR",
    "ConnectResponse",
    "SubscriptionResponse",
    "decode_connect_answer",
    "decode_error",
    "decode_subscription_answer",
    "encode_connect",
    "encode_ping",
    "encode_subscription",
    "encode_unsubscribe",
]

PING_ERROR: Final = 1
"""Where `decode_error` finds the error of a PingResponse or a CloseResponse."""
SUBSCRIPTION_ERROR: Final = 3
"""Where it finds that of an answer to an unsubscribe request."""


class ConnectResponse:
    """Where a registered client sends what; `error` is empty on success."""

    def __init__(self) -> None:
        """All fields at their defaults."""
        self.publish_prefix = b""
        self.subscribe_subject = b""
        self.unsubscribe_subject = b""
        self.close_subject = b""
        self.error = ""
        self.subscription_close_subject = b""
        self.ping_subject = b""


class SubscriptionResponse:
    """Where the acknowledgements of a subscription go; `error` is empty on success."""

    def __init__(self, ack_inbox: bytes, error: str) -> None:
        """Keep both fields."""
        self.ack_inbox = ack_inbox
        self.error = error


def _texts(message: bytes, *numbers: int) -> dict[int, bytes]:
    """The fields of `message` with these numbers; the last of each counts."""
    texts: dict[int, bytes] = {}
    reader = FieldReader(message)
    while number := reader.next():
        if number in numbers:
            reader.expect(WIRE_BYTES)
            texts[number] = reader.data
    return texts


def _words(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def encode_connect(request: ConnectRequest) -> bytes:
    """Encode a ConnectRequest."""
    return (
        bytes_field(1, request.client_id)
        + bytes_field(2, request.heartbeat_inbox)
        + uint_field(3, request.protocol)
        + bytes_field(4, request.connection_id)
        + uint_field(5, request.ping_interval_s)
        + uint_field(6, request.ping_out_max)
    )


def decode_connect_answer(message: bytes) -> ConnectResponse:
    """Decode a ConnectResponse; raises DecodeError."""
    texts = _texts(message, 1, 2, 3, 4, 5, 6, 7)
    response = ConnectResponse()
    response.publish_prefix = texts.get(1, b"")
    response.subscribe_subject = texts.get(2, b"")
    response.unsubscribe_subject = texts.get(3, b"")
    response.close_subject = texts.get(4, b"")
    response.error = _words(texts.get(5, b""))
    response.subscription_close_subject = texts.get(6, b"")
    response.ping_subject = texts.get(7, b"")
    return response


def encode_ping(connection_id: bytes) -> bytes:
    """Encode a Ping."""
    return bytes_field(1, connection_id)


def decode_error(message: bytes, number: int) -> str:
    """The error text in field `number` of an answer that has nothing else to say; empty on success. Raises DecodeError."""
    return _words(_texts(message, number).get(number, b""))


def encode_subscription(request: SubscriptionRequest) -> bytes:
    """Encode a SubscriptionRequest."""
    return (
        bytes_field(1, request.client_id)
        + bytes_field(2, request.subject)
        + bytes_field(3, request.queue_group)
        + bytes_field(4, request.inbox)
        + uint_field(5, request.max_in_flight)
        + uint_field(6, request.ack_wait_s)
        + bytes_field(7, request.durable_name)
        + uint_field(10, request.start_position)
        + uint_field(11, request.start_sequence)
        + uint_field(12, request.start_time_delta_ns)
    )


def decode_subscription_answer(message: bytes) -> SubscriptionResponse:
    """Decode a SubscriptionResponse; raises DecodeError."""
    texts = _texts(message, 2, 3)
    return SubscriptionResponse(texts.get(2, b""), _words(texts.get(3, b"")))


def encode_unsubscribe(client_id: bytes, channel: bytes, inbox: bytes, durable_name: bytes) -> bytes:
    """Encode an UnsubscribeRequest, for both of its uses."""
    return bytes_field(1, client_id) + bytes_field(2, channel) + bytes_field(3, inbox) + bytes_field(4, durable_name)
