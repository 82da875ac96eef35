"""Where the data of a stored message lie, for who stores them in another form than they came in (docs/protocol.md §2)."""

from mypy_extensions import i64

from durabus.wire.varint import varint

__all__ = ["StoredData", "grown_bytes", "with_data"]


class StoredData:
    """The last MsgProto that `locate` looked into; reused for the next.

    `body[field_start:end]` is the field of the data, its tag and its length included; `body[start:end]` the data. Both
    are empty where a message has none.
    """

    def __init__(self) -> None:
        """Nothing looked into yet."""
        self.field_start: i64 = 0
        self.start: i64 = 0
        self.end: i64 = 0

    def locate(self, body: bytes) -> bool:
        """Find the data of `body`; False when it is no MsgProto. Of several such fields the last counts."""
        position: i64 = 0
        size: i64 = len(body)
        self.field_start = 0
        self.start = 0
        self.end = 0
        while position < size:
            field_start: i64 = position
            tag: i64 = 0
            shift: i64 = 0
            while True:
                if position >= size or shift > 28:
                    return False
                group: i64 = body[position]
                position += 1
                tag |= (group & 127) << shift
                if group < 128:
                    break
                shift += 7
            wire_type: i64 = tag & 7
            if tag < 8 or (tag >> 3 == 4 and wire_type != 2):
                return False
            if wire_type == 0:
                position = _after_number(body, position, size)
            elif wire_type == 1:
                position += 8
            elif wire_type == 5:
                position += 4
            elif wire_type == 2:
                length: i64 = 0
                shift = 0
                while True:
                    if position >= size or shift > 28:
                        return False
                    group = body[position]
                    position += 1
                    length |= (group & 127) << shift
                    if group < 128:
                        break
                    shift += 7
                if tag == 34:
                    self.field_start = field_start
                    self.start = position
                    self.end = position + length
                position += length
            else:
                return False  # groups: no field of a message is one
            if position < 0:
                return False
        return position == size


def _after_number(body: bytes, position: i64, size: i64) -> i64:
    """Where the varint at `position` ends; -1 when it does not."""
    end: i64 = min(size, position + 10)
    while position < end:
        group: i64 = body[position]
        position += 1
        if group < 128:
            return position
    return -1


def with_data(body: bytes, where: StoredData, head: bytes, data: bytes) -> bytes:
    """`body`, which `where` was located in and which has data, with `head` and `data` in their place (not both empty)."""
    length = varint(len(head) + len(data))
    return b"".join((body[: where.field_start], b"\x22", length, head, data, body[where.end :]))


def grown_bytes(body: bytes, more_bytes: i64) -> i64:
    """How many bytes `body` grows by when its data grow by `more_bytes`: none where it has no data, or is no MsgProto."""
    where = StoredData()
    if not where.locate(body):
        return 0
    length: i64 = where.end - where.start
    if length == 0:
        return 0
    return more_bytes + _varint_bytes(length + more_bytes) - _varint_bytes(length)


def _varint_bytes(value: i64) -> i64:
    """How many bytes a varint takes."""
    count: i64 = 1
    while value > 127:
        value >>= 7
        count += 1
    return count
