"""What servers say to each other: CtrlMsg, the moment in a heartbeat, and lists of channels (docs/protocol.md §2.9, §15, §16).

As in the other messages, strings are bytes. `decode_…` raises DecodeError for bytes that are not what they should be.
"""

from typing import Final

from durabus.wire.varint import WIRE_BYTES, WIRE_VARINT, DecodeError, FieldReader, bytes_field, uint_field

__all__ = [
    "GROUP_HEARTBEAT",
    "PARTITIONING",
    "ControlMessage",
    "NameTooLongError",
    "channel_lists",
    "decode_channel_list",
    "decode_control_message",
    "decode_moment",
    "encode_control_message",
    "encode_moment",
]

GROUP_HEARTBEAT: Final = 3
"""The active server of a group says that it is there."""
PARTITIONING: Final = 4
"""A server tells its channels, or answers somebody who did."""

_SECOND_NS: Final = 1_000_000_000
_SECONDS_TO_1970: Final = 62_135_596_800  # from the beginning of the year 1
_MOMENT_BYTES: Final = {1: 15, 2: 16}  # by version; the second one has seconds in its time zone
_UTC: Final = -1
_NAME_BYTES_MAX: Final = 0xFFFF
_LENGTH_BYTES: Final = 2
_DATA_HEAD_BYTES: Final = 9  # what the original sets aside for tag and length of the list


class NameTooLongError(ValueError):
    """A channel's name does not fit into any message; the text is the original's."""


class ControlMessage:
    """A CtrlMsg: what it is about, who sent it, and the rest. The fourth field, a reference, is not used any more."""

    def __init__(self, kind: int, server_id: bytes, data: bytes) -> None:
        """Keep the three fields."""
        self.kind = kind
        self.server_id = server_id
        self.data = data


def encode_control_message(kind: int, server_id: bytes, data: bytes) -> bytes:
    """Encode a CtrlMsg."""
    return uint_field(1, kind) + bytes_field(2, server_id) + bytes_field(3, data)


def decode_control_message(message: bytes) -> ControlMessage:
    """Decode a CtrlMsg."""
    found = ControlMessage(0, b"", b"")
    reader = FieldReader(message)
    while number := reader.next():
        if number == 1:
            reader.expect(WIRE_VARINT)
            found.kind = reader.value
        elif number in (2, 3, 4):
            reader.expect(WIRE_BYTES)
            if number == 2:
                found.server_id = reader.data
            elif number == 3:
                found.data = reader.data
    return found


def encode_moment(wall_ns: int) -> bytes:
    """A moment (nanoseconds since 1970) in the binary form of Go's `time.Time`, in UTC."""
    seconds, nanoseconds = divmod(wall_ns, _SECOND_NS)
    head = b"\x01" + (seconds + _SECONDS_TO_1970).to_bytes(8, "big", signed=True)
    return head + nanoseconds.to_bytes(4, "big") + _UTC.to_bytes(2, "big", signed=True)


def decode_moment(data: bytes) -> int:
    """The moment (nanoseconds since 1970) in the binary form of Go's `time.Time`, of any time zone."""
    size = _MOMENT_BYTES.get(data[0]) if data else None
    if size is None:
        raise DecodeError("no data" if not data else f"unsupported version {data[0]}")
    if len(data) != size:
        raise DecodeError(f"{len(data)} bytes where {size} are due")
    seconds = int.from_bytes(data[1:9], "big", signed=True) - _SECONDS_TO_1970
    return seconds * _SECOND_NS + int.from_bytes(data[9:13], "big", signed=True)


def channel_lists(server_id: bytes, names: list[bytes], payload_bytes_max: int) -> list[bytes]:
    """The PARTITIONING messages that tell `names`, each of at most `payload_bytes_max` bytes.

    Raises NameTooLongError when one of the names has no place in any of them.
    """
    head_bytes = len(encode_control_message(PARTITIONING, server_id, b"")) + _DATA_HEAD_BYTES
    room = payload_bytes_max - head_bytes
    messages: list[bytes] = []
    data = b""
    for name in names:
        if len(name) > _NAME_BYTES_MAX or len(name) + _LENGTH_BYTES > room:
            raise NameTooLongError("message payload too small to send channels list")
        if len(data) + len(name) + _LENGTH_BYTES > room:
            messages.append(encode_control_message(PARTITIONING, server_id, data))
            data = b""
        data += len(name).to_bytes(_LENGTH_BYTES, "little") + name
    if data:
        messages.append(encode_control_message(PARTITIONING, server_id, data))
    return messages


def decode_channel_list(data: bytes) -> list[bytes]:
    """The names in the data of a PARTITIONING message that asks."""
    names: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or end > len(data):
            raise DecodeError(f"a channel's name ends at byte {max(start, end)} where {len(data)} are there")
        names.append(data[start:end])
        at = end
    return names
