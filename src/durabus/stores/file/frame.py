"""A frame: one batch as bytes, and back. FORMAT.md §3 and §4."""

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from durabus.streaming.store_port import Cursor

__all__ = [
    "FRAME_BYTES",
    "RUN_ENTRY",
    "SNAPSHOT",
    "ZEROED_HEAD",
    "Figures",
    "Frame",
    "FrameHead",
    "Part",
    "Place",
    "Singles",
    "decode_frame",
    "encode_frame",
    "lengths_of",
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
_RUN, _FLOOR, _CURSOR, _STATE, _FIGURES, _SINGLES = range(1, 7)

_HEAD: Final = struct.Struct("<4sIQQQIIIIQQ")
_RUN_HEAD: Final = struct.Struct("<IQQIIQQ")
_STAMP: Final = struct.Struct("<IQ")
_SINGLES_HEAD: Final = struct.Struct("<II")
_SINGLE: Final = struct.Struct("<QQIIQQQQQII")
_SINGLE_WORDS: Final = 9
_ONE_AND_ONE: Final = 1 << 32 | 1
"""One message, one timestamp."""
RUN_ENTRY: Final = struct.Struct("<QIIQQQQQII")
"""A run as an index knows it: FORMAT.md §6."""
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
        self.bodies_bytes = 0
        self.entry = b""  # for the index, when it is known where it lies


class Singles:
    """Messages of as many channels, one each, that go into one frame: by columns, since there may be thousands of them."""

    def __init__(self) -> None:
        """None yet."""
        self.channel_ids: list[int] = []
        self.firsts: list[int] = []
        self.bytes_before: list[int] = []
        self.timestamps_ns: list[int] = []
        self.bodies: list[bytes] = []
        self.sizes: list[int] = []
        self._rows = b""

    def add(self, channel_id: int, first: int, bytes_before: int, timestamp_ns: int, body: bytes) -> None:
        """One more, of a channel that has none here yet."""
        self.channel_ids.append(channel_id)
        self.firsts.append(first)
        self.bytes_before.append(bytes_before)
        self.timestamps_ns.append(timestamp_ns)
        self.bodies.append(body)
        self.sizes.append(len(body))

    def place(self, bodies_at: int) -> bytes:
        """Their record, with bodies that lie from `bodies_at` of the segment on."""
        offsets = list(accumulate(self.sizes, initial=bodies_at))
        offsets.pop()
        count = len(self.sizes)
        words = array("Q", bytes(8 * _SINGLE_WORDS * count))
        words[0::9] = array("Q", self.channel_ids)
        words[1::9] = array("Q", self.firsts)
        words[2::9] = array("Q", [_ONE_AND_ONE]) * count
        words[4::9] = array("Q", offsets)
        words[5::9] = array("Q", self.sizes)
        words[6::9] = array("Q", self.bytes_before)
        words[7::9] = array("Q", self.timestamps_ns)
        words[8::9] = array("Q", map(zlib.crc32, self.bodies))
        if sys.byteorder == "big":
            words.byteswap()
        self._rows = words.tobytes()
        return _SINGLES_HEAD.pack(_SINGLES, count) + self._rows

    def entry(self, index: int) -> bytes:
        """What an index says of message number `index` of these, once it is placed."""
        at = index * _SINGLE.size
        return self._rows[at + 8 : at + _SINGLE.size]

    @property
    def record_bytes(self) -> int:
        """The size of their record."""
        return _SINGLES_HEAD.size + _SINGLE.size * len(self.sizes)


def stamps_from(stamps: Iterable[tuple[int, int]], skip: int) -> list[tuple[int, int]]:
    """The timestamps of a run without its first `skip` messages: the first one holds from index 0 on again."""
    found = [(max(index - skip, 0), timestamp_ns) for index, timestamp_ns in stamps]
    while len(found) > 1 and found[1][0] == 0:
        del found[0]
    return found


class Place:
    """Where a run lies in its segment, as it is found there: offsets from the segment's first byte on."""

    def __init__(self, channel_id: int, first: int, count: int, stamp_count: int, bytes_before: int) -> None:
        """A run whose place is not known yet."""
        self.channel_id = channel_id
        self.first = first
        self.count = count
        self.stamp_count = stamp_count
        self.bytes_before = bytes_before
        self.lengths_offset = 0  # of the table of lengths; a single message has none
        self.bodies_offset = 0
        self.bodies_bytes = 0
        self.first_timestamp_ns = 0
        self.last_timestamp_ns = 0
        self.single_crc = 0  # of the body, when there is one only: then the table need not be read

    def entry(self) -> bytes:
        """What an index says of it."""
        return RUN_ENTRY.pack(
            self.first,
            self.count,
            self.stamp_count,
            self.lengths_offset,
            self.bodies_offset,
            self.bodies_bytes,
            self.bytes_before,
            self.first_timestamp_ns,
            self.single_crc,
            0,
        )


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
        self.has_lost = False  # bodies that are empty, among those that were encoded


def encode_frame(frame: Frame, parts: list[Part], salt: int, singles: Singles | None = None) -> bytes:
    """`frame` as bytes, for `frame.head.offset`; fills in the sizes and entries of `parts`, its head's sizes and CRC.

    No channel is in both `parts` and `singles`, for these come last.
    """
    head = frame.head
    table: list[bytes] = []
    all_bodies: list[bytes] = []
    others = b"".join(_records(frame))
    table_bytes = len(others)
    if singles is not None:
        table_bytes += singles.record_bytes
    for part in parts:
        table_bytes += _RUN_HEAD.size + 8 * len(part.bodies) + _STAMP.size * len(part.stamps)
    run_at = head.offset + FRAME_BYTES
    bodies_at = run_at + table_bytes
    at = 0  # in the bodies
    for part in parts:
        _encode_run(part, table, run_at, bodies_at, at)
        run_at += _RUN_HEAD.size + 8 * len(part.bodies) + _STAMP.size * len(part.stamps)
        at += part.bodies_bytes
        all_bodies.extend(part.bodies)
        frame.has_lost = frame.has_lost or not all(part.bodies)
    if singles is not None:
        frame.has_lost = frame.has_lost or not all(singles.sizes)
        table.append(singles.place(bodies_at + at))
        at += sum(singles.sizes)
        all_bodies.extend(singles.bodies)
    table.append(others)
    records = b"".join(table)
    head.table_bytes = table_bytes
    head.bodies_bytes = at
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


def _encode_run(part: Part, table: list[bytes], run_at: int, bodies_at: int, at: int) -> None:
    """Append the record of `part`, which will be at `run_at` of the segment, to `table`; its bodies are `at` in all."""
    bodies = part.bodies
    count = len(bodies)
    lengths = list(map(len, bodies))
    checksums = struct.pack(f"<{count}I", *map(zlib.crc32, bodies))
    table.append(_RUN_HEAD.pack(_RUN, part.channel_id, part.first, count, len(part.stamps), part.bytes_before, at))
    table.append(struct.pack(f"<{count}I", *lengths))
    table.append(checksums)
    table.extend([_STAMP.pack(index, timestamp_ns) for index, timestamp_ns in part.stamps])
    part.bodies_bytes = sum(lengths)
    part.entry = RUN_ENTRY.pack(
        part.first,
        count,
        len(part.stamps),
        run_at + _RUN_HEAD.size,
        bodies_at + at,
        part.bodies_bytes,
        part.bytes_before,
        part.stamps[0][1],
        int.from_bytes(checksums, "little") if count == 1 else 0,
        0,
    )


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
        elif kind == _SINGLES:
            at = _decode_singles(frame, data, at, end)
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


def _decode_singles(frame: Frame, data: memoryview, at: int, end: int) -> int:
    """Append the places of one record of single messages; where the next record is."""
    count: int = _SINGLES_HEAD.unpack_from(data, at)[1]
    rows_at = at + _SINGLES_HEAD.size
    rows_end = rows_at + count * _SINGLE.size
    if rows_end > end:
        raise ValueError("messages that their table cannot hold")
    bodies_end = end + frame.head.bodies_bytes
    for row in _SINGLE.iter_unpack(data[rows_at:rows_end]):
        channel_id, first, number, stamp_count, lengths_at, bodies_at, size, before, timestamp_ns, crc, zero = row
        is_possible = number == stamp_count == 1 and not lengths_at and not zero
        if not is_possible or not first or (first | before) >= _NUMBER_MAX:
            raise ValueError("a message that cannot be")
        if bodies_at < end or bodies_at + size > bodies_end:
            raise ValueError("a body that its frame cannot hold")
        place = Place(channel_id, first, 1, 1, before)
        place.bodies_offset, place.bodies_bytes, place.single_crc = bodies_at, size, crc
        place.first_timestamp_ns = place.last_timestamp_ns = timestamp_ns
        frame.places.append(place)
    return rows_end


def lengths_of(place: Place, data: memoryview | bytearray) -> tuple[int, ...]:
    """The lengths of the bodies of a run, whose segment is `data`."""
    if place.lengths_offset:
        return struct.unpack_from(f"<{place.count}I", data, place.lengths_offset)
    return (place.bodies_bytes,)


def damaged_bodies(frame: Frame, data: memoryview) -> Iterator[tuple[Place, int]]:
    """The messages of `frame` whose CRC does not fit, as the place of their run and their index in it."""
    for place in frame.places:
        count = place.count
        lengths = lengths_of(place, data)
        if place.lengths_offset:
            checksums = struct.unpack_from(f"<{count}I", data, place.lengths_offset + 4 * count)
        else:
            checksums = (place.single_crc,)
        at = place.bodies_offset
        for index in range(count):
            if zlib.crc32(data[at : at + lengths[index]]) != checksums[index]:
                yield place, index
            at += lengths[index]
