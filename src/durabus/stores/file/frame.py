"""A frame: one batch as bytes, and back. FORMAT.md §3 and §4."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from durabus.streaming.store_port import Cursor

__all__ = [
    "FRAME_BYTES",
    "SNAPSHOT",
    "ZEROED_HEAD",
    "Figures",
    "Frame",
    "FrameHead",
    "Part",
    "Place",
    "decode_frame",
    "encode_frame",
    "stamps_from",
]

SNAPSHOT: Final = 1
FRAME_BYTES: Final = 64
"""Of the head of a frame."""
ZEROED_HEAD: Final = bytes(FRAME_BYTES)
MAGIC: Final = b"FRM1"
_TABLE_BYTES_MAX: Final = 1 << 30
_DELETED: Final = 0xFFFFFFFF
_NUMBER_MAX: Final = 1 << 63
"""Nothing that is counted comes near it, so that sums of two fit into their fields."""
_RUN, _FLOOR, _CURSOR, _STATE, _FIGURES = range(1, 6)

_HEAD: Final = struct.Struct("<4sIQQQIIIIQQ")
_RUN_HEAD: Final = struct.Struct("<IQQIIQQ")
_STAMP: Final = struct.Struct("<IQ")
_FLOOR_RECORD: Final = struct.Struct("<IQQ")
_CURSOR_HEAD: Final = struct.Struct("<IQQI")
_RANGE: Final = struct.Struct("<QQ")
_STATE_HEAD: Final = struct.Struct("<IIII")
_FIGURES_RECORD: Final = struct.Struct("<IQQQQQ")
_TYPE: Final = struct.Struct("<I")


class Part:
    """Consecutive messages of one channel that go into one frame. `bytes_before` is the channel's size ever before them."""

    def __init__(
        self, channel_id: int, first: int, bodies: list[bytes], stamps: list[tuple[int, int]], bytes_before: int
    ) -> None:
        """Keep what is to be written; `stamps` as in a run, the first at index 0."""
        self.channel_id = channel_id
        self.first = first
        self.bodies = bodies
        self.stamps = stamps
        self.bytes_before = bytes_before


def stamps_from(stamps: Iterable[tuple[int, int]], skip: int) -> list[tuple[int, int]]:
    """The timestamps of a run without its first `skip` messages: the first one holds from index 0 on again."""
    found = [(max(index - skip, 0), timestamp_ns) for index, timestamp_ns in stamps]
    while len(found) > 1 and found[1][0] == 0:
        del found[0]
    return found


class Place:
    """Where a run lies in its segment: offsets from the segment's first byte on."""

    def __init__(self, channel_id: int, first: int, count: int, stamp_count: int, bytes_before: int) -> None:
        """A run whose place is not known yet."""
        self.channel_id = channel_id
        self.first = first
        self.count = count
        self.stamp_count = stamp_count
        self.bytes_before = bytes_before
        self.lengths_offset = 0
        self.bodies_offset = 0
        self.bodies_bytes = 0
        self.first_timestamp_ns = 0
        self.last_timestamp_ns = 0
        self.single_crc = 0  # of the body, when there is one only: then the table need not be read


class Figures:
    """What a snapshot says of one channel; `bytes_ever` counts all its bodies, kept or not."""

    def __init__(self, channel_id: int, first: int, last: int, bytes_ever: int, last_timestamp_ns: int) -> None:
        """Keep the figures."""
        self.channel_id = channel_id
        self.first = first
        self.last = last
        self.bytes_ever = bytes_ever
        self.last_timestamp_ns = last_timestamp_ns


class FrameHead:
    """The fixed part of a frame, and where it ends."""

    def __init__(self) -> None:
        """Nothing known yet."""
        self.offset = 0
        self.crc = 0
        self.number = 0
        self.epoch = 0
        self.durable_number = 0
        self.previous_crc = 0
        self.flags = 0
        self.table_bytes = 0
        self.bodies_bytes = 0

    @property
    def end(self) -> int:
        """Where the next frame begins."""
        return (self.offset + FRAME_BYTES + self.table_bytes + self.bodies_bytes + 7) & ~7

    @property
    def is_snapshot(self) -> bool:
        """Whether it holds the whole state."""
        return bool(self.flags & SNAPSHOT)


class Frame:
    """The changes of one batch, and where its messages lie."""

    def __init__(self, head: FrameHead) -> None:
        """No changes yet."""
        self.head = head
        self.places: list[Place] = []
        self.floors: list[tuple[int, int]] = []
        self.cursors: list[Cursor] = []
        self.state: list[tuple[int, bytes, bytes | None]] = []
        self.figures: list[Figures] = []


def encode_frame(frame: Frame, parts: list[Part], salt: int) -> bytes:
    """`frame` as bytes, for `frame.head.offset`; fills in its places, its head's sizes and CRC."""
    head = frame.head
    table: list[bytes] = []
    all_bodies: list[bytes] = []
    at = 0  # in the bodies
    table_at = 0
    for part in parts:
        bodies = part.bodies
        count = len(bodies)
        lengths = list(map(len, bodies))
        place = Place(part.channel_id, part.first, count, len(part.stamps), part.bytes_before)
        run = _RUN_HEAD.pack(_RUN, part.channel_id, part.first, count, len(part.stamps), part.bytes_before, at)
        table.append(run)
        table.append(struct.pack(f"<{count}I", *lengths))
        checksums = struct.pack(f"<{count}I", *map(zlib.crc32, bodies))
        table.append(checksums)
        table.extend([_STAMP.pack(index, timestamp_ns) for index, timestamp_ns in part.stamps])
        place.lengths_offset = head.offset + FRAME_BYTES + table_at + _RUN_HEAD.size
        place.bodies_offset = at  # completed below, when the table's size is known
        place.bodies_bytes = sum(lengths)
        if count == 1:
            place.single_crc = int.from_bytes(checksums, "little")
        place.first_timestamp_ns = part.stamps[0][1]
        place.last_timestamp_ns = part.stamps[-1][1]
        table_at += _RUN_HEAD.size + 8 * count + _STAMP.size * len(part.stamps)
        at += place.bodies_bytes
        all_bodies.extend(bodies)
        frame.places.append(place)
    table.extend(_records(frame))
    records = b"".join(table)
    head.table_bytes = len(records)
    head.bodies_bytes = at
    for place in frame.places:
        place.bodies_offset += head.offset + FRAME_BYTES + head.table_bytes
    packed = _HEAD.pack(
        MAGIC,
        0,
        head.number,
        head.epoch,
        head.durable_number,
        head.previous_crc,
        head.flags,
        head.table_bytes,
        0,
        head.bodies_bytes,
        0,
    )
    head.crc = zlib.crc32(records, zlib.crc32(packed[8:], salt & 0xFFFFFFFF))
    padding = head.end - head.offset - FRAME_BYTES - head.table_bytes - at
    return b"".join((MAGIC, head.crc.to_bytes(4, "little"), packed[8:], records, *all_bodies, bytes(padding)))


def _records(frame: Frame) -> list[bytes]:
    """All records of a table but the runs."""
    table = [_FLOOR_RECORD.pack(_FLOOR, channel_id, floor) for channel_id, floor in frame.floors]
    for cursor in frame.cursors:
        table.append(_CURSOR_HEAD.pack(_CURSOR, cursor.subscription_id, cursor.last_sent, len(cursor.pending)))
        table.extend([_RANGE.pack(first, last) for first, last in cursor.pending])
    for kind, key, value in frame.state:
        size = _DELETED if value is None else len(value)
        table.append(_STATE_HEAD.pack(_STATE, kind, len(key), size) + key + (value or b""))
    for one in frame.figures:
        table.append(
            _FIGURES_RECORD.pack(_FIGURES, one.channel_id, one.first, one.last, one.bytes_ever, one.last_timestamp_ns)
        )
    return table


def decode_head(data: memoryview, offset: int, end: int) -> FrameHead | None:
    """The head of a frame at `offset` of a segment that has `end` bytes; None when there cannot be one."""
    if offset + FRAME_BYTES > end:
        return None
    magic, crc, number, epoch, durable, previous, flags, table_bytes, zero, bodies_bytes, _ = _HEAD.unpack_from(
        data, offset
    )
    if magic != MAGIC or zero or table_bytes > _TABLE_BYTES_MAX or (number | epoch | durable) >= _NUMBER_MAX:
        return None
    if offset + FRAME_BYTES + table_bytes + bodies_bytes > end:
        return None
    head = FrameHead()
    head.offset = offset
    head.crc = crc
    head.number = number
    head.epoch = epoch
    head.durable_number = durable
    head.previous_crc = previous
    head.flags = flags
    head.table_bytes = table_bytes
    head.bodies_bytes = bodies_bytes
    return head


def decode_frame(data: memoryview, offset: int, end: int, salt: int) -> Frame | None:
    """The frame at `offset` of a segment, whose bytes up to `end` are `data`; None when there is no valid one.

    Bodies are not looked at: `bodies_are_whole` does that.
    """
    head = decode_head(data, offset, end)
    if head is None:
        return None
    table_end = offset + FRAME_BYTES + head.table_bytes
    seeded = zlib.crc32(data[offset + 8 : offset + FRAME_BYTES], salt & 0xFFFFFFFF)
    if zlib.crc32(data[offset + FRAME_BYTES : table_end], seeded) != head.crc:
        return None
    frame = Frame(head)
    try:
        _decode_table(frame, data, offset + FRAME_BYTES, table_end)
    except (struct.error, ValueError):
        return None  # the CRC fits and the records do not: not written by this version
    return frame


def _decode_table(frame: Frame, data: memoryview, at: int, end: int) -> None:
    bodies_at = end
    while at < end:
        (kind,) = _TYPE.unpack_from(data, at)
        if kind == _RUN:
            _, channel_id, first, count, stamp_count, bytes_before, body_at = _RUN_HEAD.unpack_from(data, at)
            at += _RUN_HEAD.size
            place = Place(channel_id, first, count, stamp_count, bytes_before)
            stamps_at = at + 8 * count
            is_possible = count > 0 and stamp_count > 0 and first > 0 and (first | bytes_before) < _NUMBER_MAX
            if not is_possible or stamps_at + _STAMP.size * stamp_count > end:
                raise ValueError("a run that its table cannot hold")
            place.lengths_offset = at
            place.bodies_offset = bodies_at + body_at
            place.bodies_bytes = sum(struct.unpack_from(f"<{count}I", data, at))
            if body_at + place.bodies_bytes > frame.head.bodies_bytes:
                raise ValueError("bodies that their frame cannot hold")
            if count == 1:
                place.single_crc = _TYPE.unpack_from(data, at + 4)[0]
            place.first_timestamp_ns = _STAMP.unpack_from(data, stamps_at)[1]
            at = stamps_at + _STAMP.size * stamp_count
            place.last_timestamp_ns = _STAMP.unpack_from(data, at - _STAMP.size)[1]
            frame.places.append(place)
        elif kind == _FLOOR:
            _, channel_id, floor = _FLOOR_RECORD.unpack_from(data, at)
            frame.floors.append((channel_id, floor))
            at += _FLOOR_RECORD.size
        elif kind == _CURSOR:
            _, number, last_sent, count = _CURSOR_HEAD.unpack_from(data, at)
            at += _CURSOR_HEAD.size
            if at + _RANGE.size * count > end:
                raise ValueError("a cursor that its table cannot hold")
            pending = [_RANGE.unpack_from(data, at + _RANGE.size * index) for index in range(count)]
            frame.cursors.append(Cursor(number, last_sent, [(first, last) for first, last in pending]))
            at += _RANGE.size * count
        elif kind == _STATE:
            _, state_kind, key_bytes, value_bytes = _STATE_HEAD.unpack_from(data, at)
            at += _STATE_HEAD.size
            deleted = value_bytes == _DELETED
            value_end = at + key_bytes + (0 if deleted else value_bytes)
            if value_end > end:
                raise ValueError("a record that its table cannot hold")
            key = bytes(data[at : at + key_bytes])
            frame.state.append((state_kind, key, None if deleted else bytes(data[at + key_bytes : value_end])))
            at = value_end
        elif kind == _FIGURES:
            figures = _FIGURES_RECORD.unpack_from(data, at)[1:]
            if max(figures) >= _NUMBER_MAX:
                raise ValueError("figures that cannot be")
            frame.figures.append(Figures(*figures))
            at += _FIGURES_RECORD.size
        else:
            raise ValueError(f"a record of type {kind}")
    if at != end:
        raise ValueError("a record that its table cannot hold")


def damaged_bodies(frame: Frame, data: memoryview) -> Iterator[tuple[Place, int]]:
    """The messages of `frame` whose CRC does not fit, as the place of their run and their index in it."""
    for place in frame.places:
        count = place.count
        lengths = struct.unpack_from(f"<{count}I", data, place.lengths_offset)
        checksums = struct.unpack_from(f"<{count}I", data, place.lengths_offset + 4 * count)
        at = place.bodies_offset
        for index in range(count):
            if zlib.crc32(data[at : at + lengths[index]]) != checksums[index]:
                yield place, index
            at += lengths[index]
