"""Where the messages of a journal are: which segment, which run, and how many bytes. FORMAT.md §6.

What is asked here is answered from memory and mapped files, without waiting.
"""

from bisect import bisect_right
from typing import Final

from durabus.stores.file.contents import ChannelLog, Contents
from durabus.stores.file.files import Files
from durabus.stores.file.frame import Place
from durabus.stores.file.index import Entries
from durabus.stores.file.measuring import OldestMessages, Point, Range
from durabus.stores.file.reader import Reader, Stretch, bytes_before
from durabus.stores.file.recent import RecentMessages
from durabus.stores.file.segment import Segment

__all__ = ["DamagedIndexError", "Lookup"]

_ROWS_MAX: Final = 4096


class DamagedIndexError(Exception):
    """The index of `segment` has to be made again before messages in it can be found."""

    def __init__(self, segment: Segment) -> None:
        """Say which."""
        super().__init__(f"the index of segment {segment.number} is damaged")
        self.segment = segment


class Lookup:
    """What a journal knows of messages. All questions may raise DamagedIndexError."""

    def __init__(self, files: Files, recent_bytes: int) -> None:
        """Nothing is known yet."""
        self._files = files
        self.contents = Contents()
        self.recent = RecentMessages(recent_bytes)
        self.reader = Reader(files)
        self._segments: dict[int, Segment] = {}

    def segment(self, number: int) -> Segment | None:
        """Segment `number`, if it is there."""
        return self._segments.get(number)

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages that are in memory, none when there are none, or None when they have to be read."""
        log = self.contents.channels.get(channel_id)
        if log is None or first < log.first or first > log.durable_last:
            return []
        return self.recent.find(channel_id, first, min(count_max, log.durable_last - first + 1), bytes_max)

    def stretches(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[Stretch]:
        """What to read for a page. Whoever reads it calls `release` with it afterwards."""
        log = self.contents.channels.get(channel_id)
        if log is None or first < log.first or first > log.durable_last:
            return []
        found: list[Stretch] = []
        stop = min(first + count_max, log.durable_last + 1)
        bytes_left = bytes_max
        while first < stop and bytes_left > 0:
            at = bisect_right(log.firsts, first) - 1
            try:
                place = self._find(log, first)
            except DamagedIndexError:
                if found:
                    break  # whoever reads on from there is told
                raise
            if place is None:
                break
            segment = place[0]
            entries = self._entries(segment, channel_id)
            assert entries is not None
            start = entries.find(first)
            end = min(entries.find(stop - 1) + 1, start + _ROWS_MAX)
            last = entries.at(end - 1)
            found.append(Stretch(segment, entries.rows(start, end), first, stop))
            segment.readers += 1
            bytes_left -= last.bytes_before + last.bodies_bytes - entries.at(start).bytes_before
            first = last.first + last.count
            if end - start == _ROWS_MAX or (at + 1 < len(log.firsts) and first < log.firsts[at + 1]):
                break
        return found

    def missing(self, channel_id: int, first: int) -> int:
        """How many messages from `first` on are wanted and nowhere to be found: 0 when it can be read, or is not wanted."""
        log = self.contents.channels.get(channel_id)
        if log is None or first < log.first:
            return 0
        return self._missing(log, first)

    def _missing(self, log: ChannelLog, first: int) -> int:
        """The same, for messages that a floor may be above of."""
        if first > log.durable_last or self._find(log, first) is not None:
            return 0
        at = bisect_right(log.firsts, first)
        following = log.firsts[at] if at < len(log.firsts) else log.durable_last + 1
        segment = self._segments.get(log.segments[at - 1]) if at else None
        if segment is not None:
            entries = self._entries(segment, log.channel_id)
            index = entries.find(first) + 1 if entries is not None else 0
            if entries is not None and index < len(entries):
                following = min(following, entries.at(index).first)
        return following - first

    def seek(self, channel_id: int, timestamp_ns: int) -> tuple[int, tuple[Segment, Place] | None]:
        """The first kept message at or after a time: its sequence, or the run in which it has to be looked for.

        With a run, the sequence is the answer when nothing in that run is late enough.
        """
        log = self.contents.channels.get(channel_id)
        if log is None or log.last == 0:
            return 0, None
        if log.first > log.durable_last:
            return log.durable_last + 1, None
        # From the end: the last segment with a run that begins before that time has it, or the run after it.
        following = log.durable_last + 1
        for at in range(len(log.segments) - 1, -1, -1):
            segment = self._segments[log.segments[at]]
            entries = self._entries(segment, channel_id)
            if entries is None:
                continue
            index = entries.find_time(timestamp_ns)
            if index >= 0:
                if index + 1 < len(entries):
                    following = entries.at(index + 1).first
                segment.readers += 1
                return max(following, log.first), (segment, entries.at(index))
            following = entries.first
        return max(following, log.first), None

    def to_measure(self, log: ChannelLog, first: int, end: int, enough_bytes: int) -> Range | OldestMessages | None:
        """Where to look for what `measure` of the store port asks; None when there is nothing to be found.

        Whoever looks there calls `release` with its segments afterwards.
        """
        begin = self._point(log, first)
        if begin is None or first >= end:
            return None
        found: Range | OldestMessages
        if enough_bytes > 0:
            entries = self._entries(begin.segment, log.channel_id)
            assert entries is not None
            start = entries.find(begin.place.first)
            # From the beginning of its run on, for the lengths of what is before `first` there are not read yet.
            wanted = begin.place.bytes_before + begin.place.bodies_bytes + enough_bytes
            stop = min(entries.find_bytes(wanted) + 2, start + _ROWS_MAX, len(entries))
            found = OldestMessages(begin, entries.rows(start, stop), end, enough_bytes)
        else:
            behind = self._point(log, end)
            if behind is None:
                return None
            found = Range(begin, behind, end)
        for segment in found.segments():
            segment.readers += 1
        return found

    def _point(self, log: ChannelLog, sequence: int) -> Point | None:
        """Before message `sequence`, or where that is missing, before the next one; behind the last one, if need be."""
        sequence += self._missing(log, sequence)
        found = self._find(log, sequence)
        if found is not None:
            return Point(*found, sequence - found[1].first)
        last = self._find(log, sequence - 1)  # none is behind it
        return Point(*last, last[1].count) if last is not None else None

    def _find(self, log: ChannelLog, sequence: int) -> tuple[Segment, Place] | None:
        """The run that message `sequence` is in; None when it is missing."""
        at = bisect_right(log.firsts, sequence) - 1
        segment = self._segments.get(log.segments[at]) if at >= 0 else None
        if segment is None:
            return None
        entries = self._entries(segment, log.channel_id)
        index = entries.find(sequence) if entries is not None else -1
        if entries is None or index < 0:
            return None
        place = entries.at(index)
        return (segment, place) if sequence < place.first + place.count else None

    def _entries(self, segment: Segment, channel_id: int) -> Entries | None:
        """The runs of a channel in a segment."""
        try:
            return segment.index.entries(channel_id)
        except ValueError:
            raise DamagedIndexError(segment) from None

    def _stored_bytes(self, log: ChannelLog) -> int:
        """The bytes of the kept messages of a channel, those of lost ones too. Raises OSError."""
        if log.first > log.last or not log.segments:
            return 0
        first = log.first + self.missing(log.channel_id, log.first)
        found = self._find(log, first)
        if found is None:
            return 0
        segment, place = found
        return log.bytes_ever - bytes_before(self._files, segment, place, first - place.first)
