"""Through all segments of a directory in their order, for reading only, also beside a server that writes there.

What may happen meanwhile: frames are appended to the newest segment; a new one begins; an older one is written again with less
in it, which gets its name while the old file stays as it is for who has it open; an older one goes, and its file, under another
name, is written over. So a segment counts when it still has its name after all of it was read. What is missing because it went
was not wanted any more, by a floor or a deletion in a frame that was durable before. That frame has to be among those that are
read: so the newest segment is read last, and when it is not the newest any more by then, and anything went since it was, the walk
goes on with those that have begun meanwhile.
"""

from collections.abc import Iterator

from durabus.errors import StoreError
from durabus.stores.file.files import Files
from durabus.stores.file.head import Head, read_head
from durabus.stores.file.layout import (
    HEADER_BYTES,
    SegmentHeader,
    decode_header,
    segment_name,
    segment_number,
)
from durabus.stores.file.salvage import Content, read_content, read_piece

__all__ = ["Found", "missed_segments", "walk"]

_TRIES = 100


class Found:
    """A segment as it was found. `header` is None when neither it nor its copy is valid.

    `limit` is where it is known to end, 0 if that is not known; `frames_end` the number of the first frame behind it, 0 likewise.
    """

    def __init__(self, number: int, header: SegmentHeader | None, head: Head, content: Content) -> None:
        """Keep what was read."""
        self.number = number
        self.header = header
        self.head = head
        self.content = content
        self.is_head_damaged = False  # the header is that of the second copy
        self.limit = 0
        self.frames_end = 0
        self.is_last = False

    @property
    def name(self) -> str:
        """The name of its file."""
        return segment_name(self.number)


def walk(files: Files) -> Iterator[Found]:
    """All segments, ascending; the newest one, as far as it was written at this moment, is the last. Raises OSError.

    One whole segment at a time is in memory.
    """
    behind = 0
    for _ in range(_TRIES):
        numbers = [number for number in _segments(files) if number > behind]
        if not numbers:
            return
        headers = {number: header for number in numbers if (header := _header(files, number)) is not None}
        has_changed = _segments(files)[-1:] != numbers[-1:]  # since the newest one was that
        for number in numbers:
            is_last = number == numbers[-1]
            found = _read(files, number, with_snapshot=is_last or number == numbers[0])
            known = headers.get(number)
            crc = found.header.crc if found is not None and found.header is not None else 0
            has_changed = has_changed or found is None or (known is not None and known.crc != crc)
            if is_last and has_changed and _segments(files)[-1:] > [number]:
                break  # it is sealed by now, or gone
            behind = number
            if found is None:
                continue
            found.is_last = is_last
            _say_where_it_ends(found, headers.get(number + 1))
            yield found
            if is_last:
                return
    raise StoreError(f"the segments in {files.directory} change faster than they can be read")


def _segments(files: Files) -> list[int]:
    """The numbers of all segments. Asked twice, for a name that changes meanwhile may be missing in one answer."""
    names = {*files.names(), *files.names()}
    return sorted(filter(None, map(segment_number, names)))


def missed_segments(files: Files, seen: set[int]) -> list[int]:
    """Segments that are there and were not read, though they are older than the last one which was. Raises OSError."""
    newest = max(seen, default=0)
    return [number for number in _segments(files) if number < newest and number not in seen]


def _header(files: Files, number: int) -> SegmentHeader | None:
    """The header of a segment; None when it is damaged, or the segment gone."""
    name = segment_name(number)
    try:
        handle = files.open(name, False)
    except FileNotFoundError:
        return None
    try:
        header = decode_header(read_piece(files, handle, 0, HEADER_BYTES), name)
    finally:
        files.close(handle)
    return header if header is not None and header.number == number else None


def _read(files: Files, number: int, *, with_snapshot: bool) -> Found | None:
    """A whole segment; None when it is gone."""
    name = segment_name(number)
    try:
        # First what was durable, then the frames: so there is nothing that was durable and had not been written yet.
        head = _head(files, number, with_snapshot=with_snapshot)
        handle = files.open(name, False)
        try:
            content = read_content(files, handle)
        finally:
            files.close(handle)
        files.close(files.open(name, False))
    except FileNotFoundError:
        return None
    header = decode_header(bytes(content.data[:HEADER_BYTES]), name)
    if header is not None and header.number != number:
        header = None
    if header is None and not with_snapshot:
        head = _head(files, number, with_snapshot=True)
    found = Found(number, header, head, content)
    if header is None and head.header is not None:
        found.header = head.header
        found.is_head_damaged = True
    elif header is None or head.header is None or head.header.crc != header.crc:
        found.head = Head()  # that of a former life
    mark = found.head.mark
    if mark is not None and found.header is not None and mark.salt != found.header.salt:
        found.head.mark = None
    return found


def _head(files: Files, number: int, *, with_snapshot: bool) -> Head:
    try:
        return read_head(files, number, with_snapshot)
    except FileNotFoundError:  # gone since it was looked for
        return Head()


def _say_where_it_ends(found: Found, following: SegmentHeader | None) -> None:
    """As far as the next segment, or its own second copy, knows it."""
    header, mark = found.header, found.head.mark
    if header is not None and header.is_compacted:
        if mark is not None:
            found.limit, found.frames_end = mark.end, mark.frame_number + 1
    elif following is not None:
        found.limit, found.frames_end = following.previous_end, following.first_frame
