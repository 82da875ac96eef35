"""Reads messages of segments, on any thread: what to read is found beforehand (FORMAT.md §3, §4)."""

import struct
import zlib
from typing import Final

from durabus.stores.file.files import Files
from durabus.stores.file.frame import Place
from durabus.stores.file.index import unpack_rows
from durabus.stores.file.salvage import nothing_if_unreadable, read_piece
from durabus.stores.file.segment import Segment

__all__ = ["LOST", "Reader", "Stretch", "bytes_before", "lengths_of", "stamps_of"]

LOST: Final = b""
"""Stands for a message that is damaged: no stored message is empty."""
_STAMP: Final = struct.Struct("<IQ")
_SPAN_BYTES_MAX: Final = 1024 * 1024
_GAP_BYTES_MAX: Final = 4096
"""So much between a table and its bodies is read along, rather than reading twice."""


class Stretch:
    """Messages `first` up to, not including, `stop` of one channel in one segment; `rows` are the runs they are in."""

    def __init__(self, segment: Segment, rows: bytes, first: int, stop: int) -> None:
        """Say what is wanted."""
        self.segment = segment
        self.rows = rows
        self.first = first
        self.stop = stop


class Reader:
    """Turns stretches into bodies."""

    def __init__(self, files: Files) -> None:
        """Read through `files`."""
        self.files = files

    def read(self, stretches: list[Stretch], bytes_max: int) -> tuple[list[bytes], list[int]]:
        """The bodies of `stretches`, at least one and then as many as fit into `bytes_max`; and which are damaged.

        A damaged body is LOST; the second list has their sequences. Raises OSError.
        """
        bodies: list[bytes] = []
        lost: list[int] = []
        left = bytes_max
        for stretch in stretches:
            handle = stretch.segment.handle
            due = stretch.first
            singles: list[
                tuple[int, int, int, int]
            ] = []  # of the messages that are runs by themselves, those not read yet
            for first, count, _, lengths_offset, offset, size, _, _, crc, _ in unpack_rows(stretch.rows):
                has_some = bool(bodies or singles)
                if first > due or (left <= 0 and has_some) or (count == 1 and size > left and has_some):
                    self._read_singles(handle, singles, bodies, lost)
                    return bodies, lost  # behind a hole, the next message is not the next one
                due = first + count
                if count == 1:
                    singles.append((first, offset, size, crc))
                    left -= size
                    continue
                self._read_singles(handle, singles, bodies, lost)
                start = max(stretch.first - first, 0)
                stop = min(stretch.stop - first, count)
                run = _Run(handle, first, count, lengths_offset, offset, size)
                left = self._read_run(run, start, stop, left, bodies, lost)
            self._read_singles(handle, singles, bodies, lost)
        return bodies, lost

    def _read_singles(
        self, handle: int, singles: list[tuple[int, int, int, int]], bodies: list[bytes], lost: list[int]
    ) -> None:
        """Messages as (sequence, offset, size, CRC), each of which lies somewhere else. Empties `singles`."""
        if not singles:
            return
        crc32 = zlib.crc32
        try:
            found = self.files.read_many(handle, [(offset, size) for _, offset, size, _ in singles])
        except OSError as error:
            nothing_if_unreadable(error)
            found = [read_piece(self.files, handle, offset, size) for _, offset, size, _ in singles]
        for index, (first, _, size, crc) in enumerate(singles):
            body = found[index]
            if crc32(body) != crc or len(body) != size or not size:
                body = LOST
                lost.append(first)
            bodies.append(body)
        singles.clear()

    def _read_run(self, run: "_Run", start: int, stop: int, left: int, bodies: list[bytes], lost: list[int]) -> int:
        """Messages `start` to `stop` of a run, as far as they fit; how many bytes are left then, 0 to end the page."""
        count = run.count
        table_bytes = 8 * count
        span = run.offset + run.size - run.lengths_offset
        is_small = span <= _SPAN_BYTES_MAX and run.offset - run.lengths_offset - table_bytes <= _GAP_BYTES_MAX
        data = read_piece(self.files, run.handle, run.lengths_offset, span if is_small else table_bytes)
        if not data and is_small:  # something of it cannot be read, and perhaps only one of its messages
            is_small = False
            data = read_piece(self.files, run.handle, run.lengths_offset, table_bytes)
        if len(data) < table_bytes:
            lost.extend(range(run.first + start, run.first + stop))
            bodies.extend([LOST] * (stop - start))
            return left
        lengths = struct.unpack_from(f"<{count}I", data)
        checksums = struct.unpack_from(f"<{count}I", data, 4 * count)
        at = sum(lengths[:start])
        if is_small:
            at += run.offset - run.lengths_offset
        else:
            stop, total = _fitting(lengths, start, stop, min(left, _SPAN_BYTES_MAX))
            total = min(total, max(run.size - at, 0))  # where a length is damaged
            data = read_piece(self.files, run.handle, run.offset + at, total)
            if not data:
                data = self._one_by_one(run, at, lengths[start:stop])
            at = 0
        for index in range(start, stop):
            length = lengths[index]
            left -= length
            if left < 0 and bodies:
                return 0
            body = data[at : at + length]
            at += length
            # Zeros fit to each other, where a sector is lost.
            if not body or len(body) != length or zlib.crc32(body) != checksums[index]:
                body = LOST
                lost.append(run.first + index)
            bodies.append(body)
        return left if is_small else 0  # a part of a large run is a page

    def _one_by_one(self, run: "_Run", at: int, lengths: tuple[int, ...]) -> bytes:
        """Messages that cannot be read together, with zeros for those that cannot be read."""
        pieces: list[bytes] = []
        for length in lengths:
            if at + length > run.size:
                break
            pieces.append(read_piece(self.files, run.handle, run.offset + at, length).ljust(length, b"\0"))
            at += length
        return b"".join(pieces)

    def find_time(self, segment: Segment, place: Place, timestamp_ns: int) -> int:
        """The first message of a run at or after `timestamp_ns`, as an index; the run's count when there is none.

        Where the run's timestamps are damaged, it is the run's first message: rather too many than too few.
        """
        try:
            stamps = stamps_of(self.files, segment, place)
        except ValueError:
            return 0
        for index, stamp_ns in stamps:
            if stamp_ns >= timestamp_ns:
                return index
        return place.count


class _Run:
    """One row of an index."""

    def __init__(self, handle: int, first: int, count: int, lengths_offset: int, offset: int, size: int) -> None:
        self.handle = handle
        self.first = first
        self.count = count
        self.lengths_offset = lengths_offset
        self.offset = offset
        self.size = size


def _fitting(lengths: tuple[int, ...], start: int, stop: int, bytes_max: int) -> tuple[int, int]:
    """How far one goes with `bytes_max` bytes, at least one message; and how many bytes that are."""
    total = lengths[start]
    at = start + 1
    while at < stop and total + lengths[at] <= bytes_max:
        total += lengths[at]
        at += 1
    return at, total


def lengths_of(files: Files, segment: Segment, place: Place) -> tuple[int, ...]:
    """The lengths of the bodies of a run; none when they cannot be read. Raises OSError."""
    if place.count == 1:
        return (place.bodies_bytes,)
    data = read_piece(files, segment.handle, place.lengths_offset, 4 * place.count)
    return struct.unpack(f"<{place.count}I", data) if len(data) == 4 * place.count else ()


def stamps_of(files: Files, segment: Segment, place: Place) -> list[tuple[int, int]]:
    """The timestamps of a run, as they are in a run of the store port. Raises ValueError where they cannot be that, and OSError."""
    if not place.lengths_offset:
        return [(0, place.first_timestamp_ns)]
    data = read_piece(files, segment.handle, place.lengths_offset + 8 * place.count, _STAMP.size * place.stamp_count)
    if len(data) < _STAMP.size * place.stamp_count:
        raise ValueError("the timestamps of a run are missing")
    stamps: list[tuple[int, int]] = []
    due = 0
    for index, timestamp_ns in _STAMP.iter_unpack(data):
        is_first = not stamps
        if index < due or index >= place.count or (is_first and (index or timestamp_ns != place.first_timestamp_ns)):
            raise ValueError("the timestamps of a run are damaged")
        stamps.append((index, timestamp_ns))
        due = index + 1
    return stamps


def bytes_before(files: Files, segment: Segment, place: Place, index: int) -> int:
    """Bytes of all bodies of a channel, ever, before message `index` of a run, whose table may be damaged. Raises OSError."""
    if index == 0:
        return place.bytes_before
    data = read_piece(files, segment.handle, place.lengths_offset, 4 * index)
    total = sum(struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4]))
    return int(place.bytes_before + min(total, place.bodies_bytes))
