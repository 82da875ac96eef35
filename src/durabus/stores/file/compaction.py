"""Writes a sealed segment again with nothing in it but what is still wanted: FORMAT.md §6.

It works on what was wanted when it began; what goes meanwhile is dead weight in the new file, and nothing else.
"""

import contextlib
import secrets
import struct
from typing import Final

from durabus.stores.file.files import Files
from durabus.stores.file.frame import Frame, FrameHead, Part, Place, encode_frame, stamps_from
from durabus.stores.file.head import Mark, write_head
from durabus.stores.file.index import write_index
from durabus.stores.file.layout import (
    COMPACTED,
    HEADER_BYTES,
    SegmentHeader,
    encode_header,
    segment_name,
)
from durabus.stores.file.reader import Reader, Stretch, bytes_before, lengths_of, stamps_of
from durabus.stores.file.salvage import read_piece, was_set_aside
from durabus.stores.file.segment import Segment

__all__ = ["Rewriting", "compact", "live_share"]

_WRITE_BYTES: Final = 1024 * 1024
_STAMP: Final = struct.Struct("<IQ")


def live_share(segment: Segment, floors: dict[int, int]) -> float:
    """How much of the messages of `segment` is wanted, 0 to 1; `floors` are the first wanted ones of known channels."""
    total = 0.0
    live = 0.0
    for channel_id, first, last, _, bodies_bytes in segment.index.channels():
        total += bodies_bytes
        floor = floors.get(channel_id)
        if floor is not None and floor <= last:
            live += bodies_bytes * (last + 1 - max(first, floor)) / (last + 1 - first)
    return live / total if total else 0.0


class Rewriting:
    """A sealed segment that is being written again, under another name until `finish`: a frame for each run.

    Whatever happens, `abandon` comes in the end. Raises OSError.
    """

    def __init__(self, files: Files, old: SegmentHeader) -> None:
        """Begin; `old` is the header of the segment as it is."""
        self._files = files
        self._name = segment_name(old.number)
        self._new_name = self._name + files.new_suffix
        header = SegmentHeader(old.number, old.epoch, 1, old.previous_end, secrets.randbits(64), COMPACTED)
        self._pieces = [encode_header(header)]
        self._waiting_bytes = HEADER_BYTES
        self._written = 0
        self._number = 1
        self._crc = header.crc
        if self._new_name in files.names():
            files.remove(self._new_name)
        self._made = Segment(header, files.create(self._new_name))

    def add(
        self, channel_id: int, first: int, bodies: list[bytes], stamps: list[tuple[int, int]], bytes_before: int
    ) -> None:
        """Add the next run. Those of a channel come in their order."""
        head = FrameHead()
        head.offset = self._written + self._waiting_bytes
        head.number, head.previous_crc, head.epoch = self._number, self._crc, self._made.header.epoch
        part = Part(channel_id, first, bodies, stamps, bytes_before)
        encoded = encode_frame(Frame(head), [part], self._made.header.salt)
        self._number, self._crc = self._number + 1, head.crc
        runs = self._made.index.entries_to_add(channel_id)
        runs.add(part.entry, first, len(bodies), part.bodies_bytes, stamps[-1][1])
        self._pieces.append(encoded)
        self._waiting_bytes += len(encoded)
        if self._waiting_bytes >= _WRITE_BYTES:
            self._write()

    def _write(self) -> None:
        self._files.write(self._made.handle, self._written, b"".join(self._pieces))
        self._written += self._waiting_bytes
        self._pieces, self._waiting_bytes = [], 0

    def finish(self) -> Segment:
        """Put it in the place of the segment as it was."""
        files, made = self._files, self._made
        self._write()
        made.end = made.index.end = self._written
        if self._number > 1:
            made.mark = Mark(made.number, made.header.salt, self._number - 1, made.end, self._crc)
        files.sync(made.handle)
        files.rename(self._new_name, self._name)
        files.sync_directory()
        made.index = write_index(files, made.index, made.number, made.header.salt) or made.index
        made.is_sealed = made.is_indexed = True
        with contextlib.suppress(OSError):  # the next start sees that it does not fit, and makes it
            write_head(files, made.number, made.handle, HEADER_BYTES, made.mark)
        return made

    def abandon(self) -> None:
        """Close it, unless it is finished: what is there of it goes with the next start."""
        if not self._made.is_indexed:
            self._files.close(self._made.handle)


def compact(files: Files, segment: Segment, floors: dict[int, int]) -> Segment | None:
    """The same segment with its wanted messages only, in the place of the old file; None when one of them is damaged.

    One that is known to be lost is lost there, too. Raises OSError; then the old file is still in its place.
    """
    rewriting = Rewriting(files, segment.header)
    try:
        if _copy(files, segment, floors, rewriting):
            return rewriting.finish()
        files.remove(segment_name(segment.number) + files.new_suffix)
        return None
    finally:
        rewriting.abandon()


def _copy(files: Files, segment: Segment, floors: dict[int, int], rewriting: Rewriting) -> bool:
    """Write the wanted messages of `segment`; False when one of them is damaged, and that is news."""
    reader = Reader(files)
    for channel_id, _, last, _, _ in segment.index.channels():
        floor = floors.get(channel_id)
        if floor is None or floor > last:
            continue
        try:
            entries = segment.index.entries(channel_id)
        except ValueError:
            return False  # the index is made again when it is read
        if entries is None:
            continue
        for row in range(max(entries.find(floor), 0), len(entries)):
            place = entries.at(row)
            first = max(place.first, floor)
            stop = place.first + place.count
            while first < stop:
                bodies, lost = reader.read([Stretch(segment, entries.rows(row, row + 1), first, stop)], _WRITE_BYTES)
                if not bodies or not _are_known(files, segment, place, lost):
                    return False
                try:
                    stamps = stamps_from(stamps_of(files, segment, place), first - place.first)
                except ValueError:
                    return False
                before = bytes_before(files, segment, place, first - place.first)
                rewriting.add(channel_id, first, bodies, stamps, before)
                first += len(bodies)
    return True


def _are_known(files: Files, segment: Segment, place: Place, lost: list[int]) -> bool:
    """Whether messages of a run that are damaged were lost before, or what is left of them is set aside: then it may go."""
    if not lost:
        return True
    lengths = lengths_of(files, segment, place)
    if not lengths:
        return False
    for sequence in lost:
        index = sequence - place.first
        start = place.bodies_offset + sum(lengths[:index])
        data = read_piece(files, segment.handle, start, lengths[index])
        if len(data) != lengths[index] or (data and not was_set_aside(files, segment.number, start, data)):
            return False
    return True
