"""What a store keeps of the server, of clients, channels and subscriptions, and its bytes.

The bytes are those of the original's own records, so that a store with the original's tables holds what it held.
"""

from typing import Final

from durabus.wire.stan_messages import SubscriptionRequest
from durabus.wire.varint import WIRE_BYTES, WIRE_VARINT, DecodeError, FieldReader, bytes_field, signed_32, uint_field

__all__ = [
    "SERVER_KEY",
    "ClientRecord",
    "ServerRecord",
    "SubscriptionRecord",
    "decode_channel_name",
    "decode_client",
    "decode_server",
    "decode_subscription",
    "encode_channel_name",
    "encode_client",
    "encode_server",
    "encode_subscription",
]


SERVER_KEY: Final = b"server"
"""The key of the only server record."""


class ClientRecord:
    """A registered client. The ping interval is in seconds, as the client said it."""

    def __init__(self, client_id: bytes, heartbeat_inbox: bytes, connection_id: bytes, protocol: int) -> None:
        """Keep what identifies the client."""
        self.client_id = client_id
        self.heartbeat_inbox = heartbeat_inbox
        self.connection_id = connection_id
        self.protocol = protocol
        self.ping_interval_s = 0
        self.ping_out_max = 0


def encode_client(record: ClientRecord) -> bytes:
    """ClientInfo."""
    return (
        bytes_field(1, record.client_id)
        + bytes_field(2, record.heartbeat_inbox)
        + bytes_field(3, record.connection_id)
        + uint_field(4, record.protocol)
        + uint_field(5, record.ping_interval_s)
        + uint_field(6, record.ping_out_max)
    )


def _read(value: bytes) -> tuple[dict[int, bytes], dict[int, int]]:
    texts: dict[int, bytes] = {}
    numbers: dict[int, int] = {}
    reader = FieldReader(value)
    while True:
        number = reader.next()
        if number == 0:
            return texts, numbers
        if reader.wire_type == WIRE_BYTES:
            texts[number] = reader.data
        elif reader.wire_type == WIRE_VARINT:
            numbers[number] = reader.value


def decode_client(value: bytes) -> ClientRecord:
    """Decode a ClientInfo; raises DecodeError."""
    texts, numbers = _read(value)
    if not texts.get(1):
        raise DecodeError("a client record without a client ID")
    record = ClientRecord(texts[1], texts.get(2, b""), texts.get(3, b""), signed_32(numbers.get(4, 0)))
    record.ping_interval_s = signed_32(numbers.get(5, 0))
    record.ping_out_max = signed_32(numbers.get(6, 0))
    return record


class SubscriptionRecord:
    """A subscription. For a durable queue group `queue_group` is `durable:group` and `durable_name` is empty.

    `ack_wait_s` in seconds, as the client said it; `is_closed` when a durable's client went away without unsubscribing.
    """

    def __init__(self, subscription_id: int, channel: bytes) -> None:
        """A subscription number `subscription_id` on `channel`, everything else at its default."""
        self.subscription_id = subscription_id
        self.channel = channel
        self.client_id = b""
        self.queue_group = b""
        self.inbox = b""
        self.ack_inbox = b""
        self.max_in_flight = 0
        self.ack_wait_s = 0
        self.durable_name = b""
        self.last_sent = 0
        self.is_durable = False
        self.is_closed = False

    def take(self, request: SubscriptionRequest) -> None:
        """Take over from `request` what a resumed durable takes over too."""
        self.client_id = request.client_id
        self.inbox = request.inbox
        self.max_in_flight = request.max_in_flight
        self.ack_wait_s = request.ack_wait_s


def encode_subscription(record: SubscriptionRecord) -> bytes:
    """SubState, with the channel's name in field 100, which the original ignores."""
    return (
        uint_field(1, record.subscription_id)
        + bytes_field(2, record.client_id)
        + bytes_field(3, record.queue_group)
        + bytes_field(4, record.inbox)
        + bytes_field(5, record.ack_inbox)
        + uint_field(6, record.max_in_flight)
        + uint_field(7, record.ack_wait_s)
        + bytes_field(8, record.durable_name)
        + uint_field(9, record.last_sent)
        + uint_field(10, int(record.is_durable))
        + uint_field(11, int(record.is_closed))
        + bytes_field(100, record.channel)
    )


def decode_subscription(value: bytes) -> SubscriptionRecord:
    """Decode a SubState with its channel; raises DecodeError."""
    texts, numbers = _read(value)
    if not texts.get(100):
        raise DecodeError("a subscription record without a channel")
    record = SubscriptionRecord(numbers.get(1, 0), texts[100])
    record.client_id = texts.get(2, b"")
    record.queue_group = texts.get(3, b"")
    record.inbox = texts.get(4, b"")
    record.ack_inbox = texts.get(5, b"")
    record.max_in_flight = signed_32(numbers.get(6, 0))
    record.ack_wait_s = signed_32(numbers.get(7, 0))
    record.durable_name = texts.get(8, b"")
    record.last_sent = numbers.get(9, 0)
    # The first versions of the original told a durable by its name alone.
    record.is_durable = bool(numbers.get(10, 0) or record.durable_name)
    record.is_closed = bool(numbers.get(11, 0))
    return record


def encode_channel_name(name: bytes) -> bytes:
    """The record of a channel: field 1, its name."""
    return bytes_field(1, name)


def decode_channel_name(value: bytes) -> bytes:
    """The name in a channel's record; raises DecodeError."""
    name = _read(value)[0].get(1, b"")
    if not name:
        raise DecodeError("a channel record without a name")
    return name


class ServerRecord:
    """Whose store this is, and the highest numbers of channels and subscriptions that were ever given.

    `knows_all_acks` says that the server ended in order, and no acknowledgement came after its last word.
    """

    def __init__(
        self, cluster_id: bytes, channel_id_last: int, subscription_id_last: int, knows_all_acks: bool
    ) -> None:
        """Keep all of it."""
        self.cluster_id = cluster_id
        self.channel_id_last = channel_id_last
        self.subscription_id_last = subscription_id_last
        self.knows_all_acks = knows_all_acks


def encode_server(
    cluster_id: bytes, channel_id_last: int = 0, subscription_id_last: int = 0, knows_all_acks: bool = False
) -> bytes:
    """ServerInfo with the cluster ID only, and what is ours in fields that the original ignores."""
    return (
        bytes_field(1, cluster_id)
        + uint_field(100, channel_id_last)
        + uint_field(101, subscription_id_last)
        + uint_field(102, int(knows_all_acks))
    )


def decode_server(value: bytes) -> ServerRecord:
    """Decode the server's record; raises DecodeError."""
    texts, numbers = _read(value)
    return ServerRecord(texts.get(1, b""), numbers.get(100, 0), numbers.get(101, 0), numbers.get(102, 0) == 1)
