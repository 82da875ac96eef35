"""What messages have together, in bytes: by the index and the lengths in the tables, without their bodies. FORMAT.md §4, §6.

Each run says how many bytes its channel had before it, ever, lost ones too. So a range is measured at its two ends, however
long it is. Where to look is found beforehand; looking may happen on any thread.
"""

from durabus.stores.file.files import Files
from durabus.stores.file.frame import Place
from durabus.stores.file.index import unpack_rows
from durabus.stores.file.reader import bytes_before, lengths_of
from durabus.stores.file.segment import Segment

__all__ = ["OldestMessages", "Point", "Range"]


class Point:
    """Before message `index` of the run `place`, or behind the last one of it, in `segment`."""

    def __init__(self, segment: Segment, place: Place, index: int) -> None:
        """Keep all three."""
        self.segment = segment
        self.place = place
        self.index = index

    def bytes_ever(self, files: Files) -> int:
        """The bytes that the channel has had up to there. Raises OSError."""
        place = self.place
        if self.index == place.count:
            return place.bytes_before + place.bodies_bytes
        return bytes_before(files, self.segment, place, self.index)


class Range:
    """All messages between two points; `end` is the sequence behind the last one."""

    def __init__(self, begin: Point, stop: Point, end: int) -> None:
        """Say what is to be measured."""
        self._begin = begin
        self._stop = stop
        self._end = end

    def segments(self) -> list[Segment]:
        """Where the lengths are."""
        return [self._begin.segment, self._stop.segment]

    def measure(self, files: Files) -> tuple[int, int]:
        """The sequence behind the last message, and the bytes. Raises OSError."""
        return self._end, self._stop.bytes_ever(files) - self._begin.bytes_ever(files)


class OldestMessages:
    """As many messages from a point on as have `enough_bytes`, of the runs `rows` (as they are packed) and before `end`."""

    def __init__(self, begin: Point, rows: bytes, end: int, enough_bytes: int) -> None:
        """Say what is to be measured. The first of `rows` is the run that `begin` is in."""
        self._begin = begin
        self._rows = rows
        self._end = end
        self._enough_bytes = enough_bytes

    def segments(self) -> list[Segment]:
        """Where the lengths are."""
        return [self._begin.segment]

    def measure(self, files: Files) -> tuple[int, int]:
        """The sequence behind the last message, and the bytes. Raises OSError."""
        start = self._begin.bytes_ever(files)
        wanted = start + self._enough_bytes
        end, ever = 0, start
        for first, count, _, lengths_offset, _, size, before, *_ in unpack_rows(self._rows):
            if end and (before >= wanted or first >= self._end):
                return min(first, self._end), before - start  # what is missing before that run counts as well
            end, ever = first + count, before + size
            if ever < wanted and end < self._end:
                continue
            ever = before
            place = Place(0, first, count, 0, before)
            place.lengths_offset, place.bodies_bytes = lengths_offset, size
            # Where they cannot be read, together they are that much.
            lengths = lengths_of(files, self._begin.segment, place) or (0,) * (count - 1) + (size,)
            for index, length in enumerate(lengths):
                ever += length
                end = first + index + 1
                if ever >= wanted or end >= self._end:
                    break
            break
        return end, ever - start
