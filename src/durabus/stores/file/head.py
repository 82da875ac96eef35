"""The second copy of how a segment begins, and how far it is known to be durable: FORMAT.md §5."""

import errno
import struct
import zlib
from typing import Final

from durabus.stores.file.files import Files
from durabus.stores.file.frame import FRAME_BYTES, Frame, decode_frame, decode_head
from durabus.stores.file.layout import HEADER_BYTES, SegmentHeader, decode_header, head_name
from durabus.stores.file.salvage import read_piece

__all__ = [
    "COPY_OFFSET",
    "Head",
    "Mark",
    "decode_mark",
    "encode_mark",
    "read_head",
    "snapshot_of",
    "write_head",
    "write_mark",
]

COPY_OFFSET: Final = 512
"""Where the copy begins: the mark before it is alone in its sector, which is written again and again."""
MARK_BYTES: Final = 64
_MAGIC: Final = b"DURAMRK\n"
_VERSION: Final = 1
_MARK: Final = struct.Struct("<8sIIQQQQIQI")
_NUMBER_MAX: Final = 1 << 63
_END_MAX: Final = 1 << 40


class Mark:
    """Frame `frame_number`, which ends at byte `end` of a segment, was durable at some moment, with all before it."""

    def __init__(self, segment_number: int, salt: int, frame_number: int, end: int, frame_crc: int) -> None:
        """Keep what was durable; `salt` is that of the segment."""
        self.segment_number = segment_number
        self.salt = salt
        self.frame_number = frame_number
        self.end = end
        self.frame_crc = frame_crc


class Head:
    """What a `.head` file says, as far as it is valid. `beginning` is the header and, if it is there, the snapshot."""

    def __init__(self) -> None:
        """Nothing valid."""
        self.mark: Mark | None = None
        self.header: SegmentHeader | None = None
        self.snapshot: Frame | None = None
        self.beginning = b""


def encode_mark(mark: Mark) -> bytes:
    """The first bytes of a `.head` file."""
    head = _MARK.pack(
        _MAGIC, _VERSION, 0, mark.segment_number, mark.salt, mark.frame_number, mark.end, mark.frame_crc, 0, 0
    )[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def decode_mark(data: bytes, segment_number: int) -> Mark | None:
    """The mark of segment `segment_number`; None when there is none, or it is not valid."""
    if len(data) < MARK_BYTES or zlib.crc32(data[: MARK_BYTES - 4]) != int.from_bytes(data[60:MARK_BYTES], "little"):
        return None
    magic, version, _, number, salt, frame_number, end, frame_crc, _, _ = _MARK.unpack_from(data)
    if magic != _MAGIC or version != _VERSION or number != segment_number:
        return None
    if end < HEADER_BYTES or end % 8 or end > _END_MAX or not 0 < frame_number < _NUMBER_MAX:
        return None
    return Mark(number, salt, frame_number, end, frame_crc)


def read_head(files: Files, number: int, with_snapshot: bool) -> Head:
    """What the second copy of segment `number` says, if it is there. Raises OSError, and StoreError for a later version."""
    found = Head()
    name = head_name(number)
    if not files.exists(name):
        return found
    handle = files.open(name, False)
    try:
        count = files.size(handle) if with_snapshot else COPY_OFFSET + HEADER_BYTES
        data = read_piece(files, handle, 0, count)
        if len(data) < COPY_OFFSET + HEADER_BYTES:  # cut off, or a part cannot be read: then perhaps the rest can
            data = read_piece(files, handle, 0, COPY_OFFSET).ljust(COPY_OFFSET, b"\0")
            data += read_piece(files, handle, COPY_OFFSET, max(count - COPY_OFFSET, 0))
    finally:
        files.close(handle)
    found.mark = decode_mark(data, number)
    copy = data[COPY_OFFSET:]
    header = decode_header(copy, name)
    if header is None or header.number != number:
        return found
    found.header = header
    found.beginning = copy[:HEADER_BYTES]
    found.snapshot = _first_frame(copy, header) if with_snapshot else None
    if found.snapshot is not None:
        found.beginning = copy[: found.snapshot.head.end]
    return found


def snapshot_of(files: Files, handle: int, header: SegmentHeader) -> Frame | None:
    """The snapshot with which an open segment begins; None when that is not valid. Raises OSError."""
    data = read_piece(files, handle, 0, HEADER_BYTES + FRAME_BYTES)
    head = decode_head(memoryview(data), HEADER_BYTES, files.size(handle)) if len(data) > HEADER_BYTES else None
    return _first_frame(read_piece(files, handle, 0, head.end), header) if head is not None else None


def _first_frame(data: bytes, header: SegmentHeader) -> Frame | None:
    """The snapshot behind the header in `data`; None when it is not valid."""
    frame = decode_frame(memoryview(data), HEADER_BYTES, len(data), header.salt)
    return frame if frame is not None and frame.head.is_snapshot and frame.head.number == header.first_frame else None


def write_head(files: Files, number: int, handle: int, beginning_bytes: int, mark: Mark | None) -> None:
    """Copy the first bytes of the segment that is open as `handle`, in the place of the copy before, if any.

    Raises OSError, also where what is read there is not how a segment begins.
    """
    beginning = files.read(handle, 0, beginning_bytes)
    name = head_name(number)
    if not _is_beginning(beginning, number, beginning_bytes):
        raise OSError(errno.EIO, "its segment does not read as it was written", name)
    new_name = name + files.new_suffix
    if new_name in files.names():
        files.remove(new_name)
    made = files.create(new_name)
    try:
        first = encode_mark(mark) if mark is not None else b""
        files.write(made, 0, first.ljust(COPY_OFFSET, b"\0") + beginning)
        files.sync(made)
    finally:
        files.close(made)
    files.rename(new_name, name)


def _is_beginning(data: bytes, number: int, count: int) -> bool:
    """Whether `data` is the header of segment `number` and, unless `count` is that of a header, its snapshot."""
    header = decode_header(data, head_name(number))
    if header is None or header.number != number or len(data) != count:
        return False
    if count == HEADER_BYTES:
        return True
    frame = _first_frame(data, header)
    return frame is not None and frame.head.end == count


def write_mark(files: Files, mark: Mark, is_synced: bool) -> None:
    """Note what is durable now. Raises OSError: FileNotFoundError as long as there is no second copy."""
    handle = files.open(head_name(mark.segment_number), True)
    try:
        files.write(handle, 0, encode_mark(mark))
        if is_synced:
            files.sync(handle)
    finally:
        files.close(handle)
