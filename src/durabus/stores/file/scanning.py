"""Walks over the frames of one segment, and tells damage from a torn end: FORMAT.md §8."""

from typing import Final

from durabus.stores.file.frame import MAGIC, Frame, damaged_bodies, decode_frame
from durabus.stores.file.head import Mark
from durabus.stores.file.index import SegmentIndex, unpack_rows
from durabus.stores.file.layout import HEADER_BYTES, segment_name
from durabus.stores.file.salvage import Content
from durabus.stores.file.segment import Segment

__all__ = ["Scan", "lost"]

_STEP_BYTES: Final = 1 << 20


class Scan:
    """The valid frames of a segment, one after the other.

    `limit` is where the segment is known to end, 0 if that is not known; `frames_end` the number of the first frame behind
    it, 0 likewise. `mark` says what of it was durable. `damage` says in words what is not valid and was durable, and
    `regions` where, from byte to byte.
    """

    def __init__(
        self, content: Content, segment: Segment, limit: int = 0, frames_end: int = 0, mark: Mark | None = None
    ) -> None:
        """Begin with the first frame."""
        self.segment = segment
        self.view = content.data
        self.limit = limit
        self.end = min(limit, len(self.view)) if limit else len(self.view)
        self.frames_end = frames_end
        self.mark = mark
        self.offset = HEADER_BYTES
        self.number = segment.header.first_frame
        self.crc = segment.header.crc
        self.damage: list[str] = []
        self.regions: list[tuple[int, int]] = []
        for begin, stop, problem in content.unreadable:
            name = segment_name(segment.number)
            self.damage.append(f"{name} cannot be read from byte {begin} to {stop}: {problem}")

    def begin_behind(self, snapshot: Frame) -> None:
        """The first frame is known: go on with the next one."""
        self.offset = snapshot.head.end
        self.number = snapshot.head.number + 1
        self.crc = snapshot.head.crc

    def next(self) -> Frame | None:
        """The next frame; None at the end."""
        frame = self._due()
        if frame is None:
            frame = self._beyond_damage()
        elif not self._bodies_count(frame):
            frame = None
        if frame is not None:
            self._go_behind(frame.head.end, frame.head.number, frame.head.crc)
        return frame

    def _go_behind(self, end: int, number: int, crc: int) -> None:
        self.offset = end
        self.number = number + 1
        self.crc = crc

    def _at(self, offset: int) -> Frame | None:
        return decode_frame(self.view, offset, self.end, self.segment.header.salt)

    def _due(self) -> Frame | None:
        """The frame that comes next, if it is there."""
        frame = self._at(self.offset)
        if frame is None or frame.head.number != self.number or frame.head.previous_crc != self.crc:
            return None
        return frame

    def _known_end(self) -> tuple[int, int, int]:
        """Up to which byte and frame all from here on was durable, and the CRC of that frame (0: not known); or zeros."""
        mark = self.mark
        if self.limit:
            return self.limit, max(self.frames_end - 1, self.number), 0
        if mark is not None and mark.frame_number >= self.number and mark.end > self.offset:
            return mark.end, mark.frame_number, mark.frame_crc
        return 0, 0, 0

    def _proof(self, offset: int, number: int) -> Frame | None:
        """The first valid frame from `offset` on that shows that frame `number` was durable, or was durable itself.

        The snapshot of any segment was.
        """
        known_end, known_last, _ = self._known_end()
        end = min(known_end, self.end) if known_end else self.end  # behind it, frames follow one from the other
        is_snapshot = number == self.segment.header.first_frame
        # The view is searched in pieces, each as one object: a view has no `find`.
        while offset < end:
            piece = bytes(self.view[offset : min(offset + _STEP_BYTES + 3, end)])
            at = piece.find(MAGIC)
            while at >= 0:
                frame = self._at(offset + at) if (offset + at) % 8 == 0 else None
                if frame is not None and frame.head.number > number:
                    follows_snapshot = is_snapshot and frame.head.number == number + 1
                    if follows_snapshot or frame.head.durable_number >= number:
                        return frame
                    if known_end and self._leads_to(frame, known_end, known_last):
                        return frame
                at = piece.find(MAGIC, at + 1)
            offset += _STEP_BYTES
        return None

    def _leads_to(self, frame: Frame, end: int, number: int) -> bool:
        """Whether frames follow `frame`, one from the other, up to frame `number`, which ends at byte `end`."""
        head = frame.head
        while head.number < number and head.end < end:
            following = self._at(head.end)
            if following is None or following.head.number != head.number + 1:
                return False
            if following.head.previous_crc != head.crc:
                return False
            head = following.head
        return head.end == end and head.number == number

    def _beyond_damage(self) -> Frame | None:
        """There is no valid frame here: the end, unless something knows better."""
        found = self._proof(self.offset + 8, self.number)
        if found is not None:
            self._add_damage(found.head.offset, found.head.number - 1)
            return found if self._bodies_count(found) else None
        end, last, crc = self._known_end()
        if end <= self.offset:
            return None
        self._add_damage(end, last)
        self._go_behind(end, last, crc)
        if self.limit:
            return None
        # What is written next is written behind it, and what was written next is there.
        frame = self._due()
        if frame is None:
            return self._beyond_damage()
        return frame if self._bodies_count(frame) else None

    def _add_damage(self, end: int, last: int) -> None:
        """From here to byte `end` there were the frames up to number `last`."""
        start = self.offset
        self.regions.append((start, min(end, len(self.view))))
        header = self.segment.header
        name = segment_name(self.segment.number)
        if end > len(self.view):
            self.damage.append(f"{name} is cut off at byte {len(self.view)} of {end}")
        if header.is_compacted:
            self.damage.append(f"{name} is damaged from byte {start} to {end}")
        elif last > header.first_frame:  # else it is the snapshot alone, of which is told elsewhere
            self.damage.append(f"{name} is damaged from byte {start} to {end}: {lost(self.number, last)}")

    def _bodies_count(self, frame: Frame) -> bool:
        """Whether `frame` counts: all of its bodies are whole, or some were damaged after it was durable."""
        bad = list(damaged_bodies(frame, self.view))
        if not bad:
            return True
        number = frame.head.number
        end, last, _ = self._known_end()
        was_durable = number <= last and frame.head.end <= end
        if not was_durable and self._proof(frame.head.end, number) is None:
            return False
        name = segment_name(self.segment.number)
        for place, index in bad:
            self.damage.append(f"{name}: message {place.first + index} of channel {place.channel_id} is damaged")
        first, final = bad[0][0], bad[-1][0]
        self.regions.append((first.bodies_offset, final.bodies_offset + final.bodies_bytes))
        return True

    def stale_frames(self) -> list[int]:
        """Where behind the end there are frames of this segment: what was cut off, and must never count.

        As long as all before it is whole, none of it does; but what is damaged cannot say what followed it.
        """
        found: list[int] = []
        offset = self.offset
        while offset < len(self.view):
            piece = bytes(self.view[offset : offset + _STEP_BYTES + 3])
            at = piece.find(MAGIC)
            while 0 <= at < _STEP_BYTES:
                if (offset + at) % 8 == 0 and self._at(offset + at) is not None:
                    found.append(offset + at)
                at = piece.find(MAGIC, at + 1)
            offset += _STEP_BYTES
        return found

    def name_holes(self, index: SegmentIndex) -> None:
        """Say which messages frames that are lost leave out, as far as that shows in the segment, whose index is `index`."""
        if not self.damage:
            return
        name = segment_name(self.segment.number)
        for channel_id, due, _, _, _ in index.channels():
            entries = index.entries(channel_id)
            assert entries is not None
            for row in unpack_rows(entries.rows(0, len(entries))):
                if row[0] > due:
                    self.damage.append(f"{name}: messages {due} to {row[0] - 1} of channel {channel_id} are missing")
                due = row[0] + row[1]


def lost(first: int, last: int) -> str:
    """What it means that frames are missing."""
    return f"what batches {first} to {last} of the journal changed is lost"
