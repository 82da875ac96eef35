"""The publish hot path: a PubMsg is taken apart, and the MsgProto put together, without an object in between.

What is stored is what is delivered (docs/protocol.md §6): the bytes of the data field are copied once, from the
request into the stored body, and never decoded again.
"""

from typing import Final

from mypy_extensions import i64

from durabus.wire.varint import DecodeError, FieldReader, uint_field, varint

__all__ = ["BodyBuilder", "PublishRequest", "StampField", "sequence_of", "sequence_prefix"]

_LOW: Final = [b"\x08" + bytes([128 | low]) for low in range(128)]
"""The start of MsgProto (tag of field 1, low group of the number) for every sequence of at least 128."""
_ONLY: Final = [b"\x08" + bytes([low]) for low in range(128)]
"""The same for every sequence below 128, which has one group only."""


def sequence_prefix(sequence: int) -> bytes:
    """Field 1 of a MsgProto, the sequence (1 and up)."""
    return b"\x08" + varint(sequence)


def sequence_of(body: bytes) -> i64:
    """The sequence in a stored body: its first field."""
    at: i64 = 1
    shift: i64 = 0
    sequence: i64 = 0
    while True:
        group: i64 = body[at]
        sequence |= (group & 127) << shift
        if group < 128:
            return sequence
        shift += 7
        at += 1


class PublishRequest:
    """The last PubMsg that `decode` took apart; reused for the next, so copy what should stay.

    `guid_field` is the GUID with its length in front (no bytes when there is none): what a PubAck says after its tag.
    `data_start` to `data_end` is the data in the payload, `data_field_start` the same with its length in front.
    """

    def __init__(self) -> None:
        """Nothing decoded yet."""
        self.client_id_start: i64 = 0
        self.client_id_end: i64 = 0
        self.guid_field = b""
        self.subject = b""
        self.reply = b""
        self.connection_id = b""
        self.data_field_start: i64 = 0
        self.data_start: i64 = 0
        self.data_end: i64 = 0

    def decode(self, payload: bytes) -> bool:
        """Take `payload` apart; False when it is no PubMsg (docs/protocol.md §2.3)."""
        position: i64 = 0
        end: i64 = len(payload)
        self.client_id_start = 0
        self.client_id_end = 0
        self.guid_field = b""
        self.subject = b""
        self.reply = b""
        self.connection_id = b""
        self.data_field_start = 0
        self.data_start = 0
        self.data_end = 0
        while position < end:
            tag: i64 = payload[position]
            if tag > 127 or tag & 7 != 2:
                position = self._skip(payload, position)
                if position < 0:
                    return False
                continue
            length_at: i64 = position + 1
            if length_at >= end:
                return False
            length: i64 = payload[length_at]
            start: i64 = length_at + 1
            if length > 127:
                length &= 127
                shift: i64 = 7
                while True:
                    if start >= end or shift > 28:
                        return False
                    group: i64 = payload[start]
                    start += 1
                    length |= (group & 127) << shift
                    if group < 128:
                        break
                    shift += 7
            stop: i64 = start + length
            if stop > end:
                return False
            if tag == 42:  # 5 data
                self.data_field_start = length_at
                self.data_start = start
                self.data_end = stop
            elif tag == 18:  # 2 guid
                self.guid_field = payload[length_at:stop] if length else b""
            elif tag == 26:  # 3 subject
                self.subject = payload[start:stop]
            elif tag == 50:  # 6 connID
                self.connection_id = payload[start:stop]
            elif tag == 10:  # 1 clientID
                self.client_id_start = start
                self.client_id_end = stop
            elif tag == 34:  # 4 reply
                self.reply = payload[start:stop]
            elif tag == 2:  # field number 0
                return False
            position = stop
        return True

    def _skip(self, payload: bytes, position: i64) -> i64:
        """Skip an unusual field at `position`; where the next one starts, or -1 when this is no PubMsg."""
        end: i64 = len(payload)
        tag: i64 = 0
        shift: i64 = 0
        at: i64 = position
        while True:
            if at >= end or shift > 28:
                return -1
            group: i64 = payload[at]
            at += 1
            tag |= (group & 127) << shift
            if group < 128:
                break
            shift += 7
        number: i64 = tag >> 3
        wire_type: i64 = tag & 7
        if number == 0 or number > 0x1FFFFFFF or 1 <= number <= 6 or number == 10:
            return -1  # no field number at all, or a known field with the wrong wire type (or a tag that is longer than it must be)
        if wire_type == 0:
            for _ in range(10):
                if at >= end:
                    return -1
                group = payload[at]
                at += 1
                if group < 128:
                    return at
            return -1
        if wire_type == 1:
            return at + 8 if at + 8 <= end else -1
        if wire_type == 5:
            return at + 4 if at + 4 <= end else -1
        if wire_type == 3:
            return _skip_group(payload, position)
        if wire_type != 2:
            return -1
        length: i64 = 0
        shift = 0
        while True:
            if at >= end or shift > 28:
                return -1
            group = payload[at]
            at += 1
            length |= (group & 127) << shift
            if group < 128:
                break
            shift += 7
        return at + length if at + length <= end else -1


def _skip_group(payload: bytes, position: i64) -> i64:
    reader = FieldReader(payload[position:])
    try:
        reader.next()
    except DecodeError:
        return -1
    return position + reader.position


class StampField:
    """Field 5 of a MsgProto, the timestamp: encoded once for all channels that messages come for at one time."""

    def __init__(self) -> None:
        """No timestamp yet."""
        self._timestamp_ns = 0
        self._field = b""
        self._stamps: list[tuple[int, int]] = []

    def of(self, timestamp_ns: int) -> bytes:
        """The field for `timestamp_ns`, in nanoseconds since 1970."""
        if timestamp_ns != self._timestamp_ns:
            self._take(timestamp_ns)
        return self._field

    def stamps(self, timestamp_ns: int) -> list[tuple[int, int]]:
        """What a run says whose messages all have `timestamp_ns`. Shared by all such runs: not to be changed."""
        if timestamp_ns != self._timestamp_ns:
            self._take(timestamp_ns)
        return self._stamps

    def _take(self, timestamp_ns: int) -> None:
        self._timestamp_ns = timestamp_ns
        self._field = uint_field(5, timestamp_ns)
        self._stamps = [(0, timestamp_ns)]


class BodyBuilder:
    """Puts stored bodies (MsgProto fields 1 to 5) of one channel together."""

    def __init__(self, channel: bytes, stamp_field: StampField | None = None) -> None:
        """Prepare the constant part: the channel's name. `stamp_field` may be shared by all channels."""
        self._subject_field = b"\x12" + varint(len(channel)) + channel
        self._high: i64 = -1  # the sequence above its low seven bits for which `_tail` holds
        self._tail = b""
        self._stamp_field = StampField() if stamp_field is None else stamp_field

    def build(self, sequence: i64, payload: bytes, request: PublishRequest, timestamp_ns: int) -> bytes:
        """The body for the PubMsg `payload`, decoded in `request`, as message `sequence` (1 and up)."""
        stamp = self._stamp_field.of(timestamp_ns)
        length: i64 = request.data_end - request.data_start
        if length == 0 or request.reply:
            return self._build_unusual(sequence, payload, request, stamp)
        high: i64 = sequence >> 7
        if high != self._high:
            self._high = high
            self._tail = (varint(int(high)) if high else b"") + self._subject_field + b"\x22"
        header: i64 = request.data_start - request.data_field_start
        if (header == 1) == (length < 128) and (header <= 2 or length >= 16384) and header <= 3:
            # The length in front of the data is as short as it can be: both are copied in one piece.
            data = payload[request.data_field_start : request.data_end]
        else:
            data = varint(int(length)) + payload[request.data_start : request.data_end]
        return (_LOW[sequence & 127] if high else _ONLY[sequence]) + self._tail + data + stamp

    def _build_unusual(self, sequence: i64, payload: bytes, request: PublishRequest, stamp: bytes) -> bytes:
        body = sequence_prefix(int(sequence)) + self._subject_field
        if request.reply:
            body += b"\x1a" + varint(len(request.reply)) + request.reply
        if request.data_end > request.data_start:
            data = payload[request.data_start : request.data_end]
            body += b"\x22" + varint(len(data)) + data
        return body + stamp
