"""Writes a sealed segment again with nothing in it but what is still wanted: FORMAT.md §6.

It works on what was wanted when it began; what goes meanwhile is dead weight in the new file, and nothing else.
"""

import secrets
import struct
from typing import Final

from durabus.stores.file.files import Files
from durabus.stores.file.frame import Frame, FrameHead, Part, Place, encode_frame, stamps_from
from durabus.stores.file.index import write_index
from durabus.stores.file.layout import (
    COMPACTED,
    HEADER_BYTES,
    SegmentHeader,
    encode_header,
    segment_name,
)
from durabus.stores.file.reader import Reader, Stretch, bytes_before
from durabus.stores.file.segment import Segment

__all__ = ["compact", "live_share"]

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


def compact(files: Files, segment: Segment, floors: dict[int, int]) -> Segment | None:
    """The same segment with its wanted messages only, in the place of the old file; None when one of them is damaged.

    Raises OSError; then the old file is still in its place.
    """
    name = segment_name(segment.number)
    old = segment.header
    header = SegmentHeader(old.number, old.epoch, 1, old.previous_end, secrets.randbits(64), COMPACTED)
    data = encode_header(header)
    if name + files.new_suffix in files.names():
        files.remove(name + files.new_suffix)
    made = Segment(header, files.create(name + files.new_suffix))
    try:
        if _copy(files, segment, floors, made, data):
            files.sync(made.handle)
            files.rename(name + files.new_suffix, name)
            files.sync_directory()
            made.index = write_index(files, made.index, made.number, header.salt) or made.index
            made.is_sealed = made.is_indexed = True
            return made
        files.remove(name + files.new_suffix)
        return None
    finally:
        if not made.is_indexed:
            files.close(made.handle)


def _copy(files: Files, segment: Segment, floors: dict[int, int], made: Segment, data: bytes) -> bool:
    """Write the wanted messages of `segment` behind `data`; False when one of them is damaged."""
    reader = Reader(files)
    pieces = [data]
    waiting_bytes = len(data)
    written = 0
    number, crc = 1, made.header.crc
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
                if lost or not bodies:
                    return False
                head = FrameHead()
                head.offset = written + waiting_bytes
                head.number, head.previous_crc, head.epoch = number, crc, made.header.epoch
                stamps = _stamps(files, segment, place, first - place.first)
                before = bytes_before(files, segment, place, first - place.first)
                frame = Frame(head)
                encoded = encode_frame(frame, [Part(channel_id, first, bodies, stamps, before)], made.header.salt)
                number, crc = number + 1, head.crc
                made.index.add(frame.places[0])
                pieces.append(encoded)
                waiting_bytes += len(encoded)
                first += len(bodies)
            if waiting_bytes >= _WRITE_BYTES:
                files.write(made.handle, written, b"".join(pieces))
                written += waiting_bytes
                pieces, waiting_bytes = [], 0
    files.write(made.handle, written, b"".join(pieces))
    made.end = made.index.end = max(written + waiting_bytes, HEADER_BYTES)
    return True


def _stamps(files: Files, segment: Segment, place: Place, skip: int) -> list[tuple[int, int]]:
    """The timestamps of a run, for its messages from index `skip` on."""
    data = files.read(segment.handle, place.lengths_offset + 8 * place.count, _STAMP.size * place.stamp_count)
    return stamps_from(_STAMP.iter_unpack(data), skip)
