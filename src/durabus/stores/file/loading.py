"""A start: from the files of a directory to a journal that can be written to. FORMAT.md §7 and §8."""

from collections.abc import Callable

from durabus.errors import StoreError
from durabus.stores.file.contents import Contents
from durabus.stores.file.files import Files
from durabus.stores.file.frame import MAGIC, Frame, damaged_bodies, decode_frame
from durabus.stores.file.index import SegmentIndex, decode_index, unpack_rows
from durabus.stores.file.layout import (
    HEADER_BYTES,
    NEW_SUFFIX,
    SegmentHeader,
    decode_header,
    index_name,
    segment_name,
    segment_number,
)
from durabus.stores.file.segment import Segment

__all__ = ["Loaded", "load", "read_index"]

DAMAGED_SUFFIX = ".damaged"
INDEX_SUFFIX = ".index"
SEGMENT_SUFFIX = ".segment"


class Loaded:
    """What was found. `segments` ascend, the last one is active; empty for a new directory."""

    def __init__(self) -> None:
        """Nothing found."""
        self.contents = Contents()
        self.segments: list[Segment] = []
        self.spares: list[str] = []
        self.unindexed: list[Segment] = []  # sealed, and their index had to be made again
        self.frame_number = 0  # of the last frame
        self.frame_crc = 0
        self.epoch = 0
        self.tail_offset = 0  # what lies behind it in the active segment is not known to be durable
        self.number_max = 0  # the highest segment number ever seen
        self.damage: list[str] = []


class _Scan:
    """Walks over the frames of one segment, as far as they are valid."""

    def __init__(self, files: Files, segment: Segment, limit: int) -> None:
        self.segment = segment
        self.view = files.map(segment.handle)
        self.limit = min(limit, len(self.view)) if limit else len(self.view)
        self.is_sealed = limit > 0  # then all up to there was durable
        self.offset = HEADER_BYTES
        self.number = segment.header.first_frame
        self.crc = segment.header.crc
        self.damage: list[str] = []

    def next(self) -> Frame | None:
        """The next frame; None at the end."""
        frame = self._at(self.offset)
        if frame is None or frame.head.number != self.number or frame.head.previous_crc != self.crc:
            frame = self._beyond_damage()
        elif not self._bodies_count(frame):
            frame = None
        if frame is not None:
            self.offset = frame.head.end
            self.number = frame.head.number + 1
            self.crc = frame.head.crc
        return frame

    def _at(self, offset: int) -> Frame | None:
        return decode_frame(self.view, offset, self.limit, self.segment.header.salt)

    def _proof(self, offset: int, number: int) -> Frame | None:
        """The first valid frame from `offset` on that knows frame `number` to have been durable.

        All of a sealed segment was, and the snapshot of any segment.
        """
        is_snapshot = number == self.segment.header.first_frame
        # The mapped file is searched in pieces, each as one object: a view has no `find`.
        step = 1 << 20
        while offset < self.limit:
            piece = bytes(self.view[offset : min(offset + step + 3, self.limit)])
            at = piece.find(MAGIC)
            while at >= 0:
                frame = self._at(offset + at) if (offset + at) % 8 == 0 else None
                if frame is not None and frame.head.number > number:
                    follows_snapshot = is_snapshot and frame.head.number == number + 1
                    if self.is_sealed or follows_snapshot or frame.head.durable_number >= number:
                        return frame
                at = piece.find(MAGIC, at + 1)
            offset += step
        return None

    def _beyond_damage(self) -> Frame | None:
        """There is no valid frame here: the end, unless a later one knows better."""
        found = self._proof(self.offset + 8, self.number)
        end = found.head.offset if found is not None else self.limit
        last = found.head.number - 1 if found is not None else self.number
        is_end = found is None and (not self.is_sealed or self.offset >= self.limit)
        if not is_end and last > self.segment.header.first_frame:  # else it is the snapshot alone: `_first_to_replay`
            name = segment_name(self.segment.number)
            self.damage.append(f"{name} is damaged from byte {self.offset} to {end}: {_lost(self.number, last)}")
        return found if found is not None and self._bodies_count(found) else None

    def _bodies_count(self, frame: Frame) -> bool:
        """Whether `frame` counts: all of its bodies are whole, or some were damaged after it was durable."""
        bad = list(damaged_bodies(frame, self.view))
        if not bad:
            return True
        if not self.is_sealed and self._proof(frame.head.end, frame.head.number) is None:
            return False
        name = segment_name(self.segment.number)
        for place, index in bad:
            self.damage.append(f"{name}: message {place.first + index} of channel {place.channel_id} is damaged")
        return True


def _lost(first: int, last: int) -> str:
    """What it means that frames are missing."""
    return f"what batches {first} to {last} of the journal changed is lost"


def load(files: Files, report: Callable[[str], None]) -> Loaded:
    """Read everything but the messages; `report` is told of slow work. Raises StoreError and OSError."""
    loaded = Loaded()
    headers = _open_segments(files, loaded)
    if not loaded.segments:
        return loaded
    begin = _first_to_replay(files, loaded)
    for position, segment in enumerate(loaded.segments):
        following = loaded.segments[position + 1] if position + 1 < len(loaded.segments) else None
        limit = 0
        is_compacted = segment.header.is_compacted
        if following is not None and following.number == segment.number + 1 and not is_compacted:
            limit = following.header.previous_end
        if position >= begin:
            _replay(files, loaded, segment, limit)
        if following is not None:
            segment.is_sealed = True
            if position < begin:
                _load_index(files, loaded, segment, limit)
            else:
                loaded.unindexed.append(segment)
    report(f"the journal has {len(headers)} segments")
    active = loaded.segments[-1]
    # What a killed process had written and renamed counts from now on, so it must stay. It is written once more, for after a
    # failed sync the system takes what it could not write for written.
    if loaded.tail_offset < active.end:
        tail = files.read(active.handle, loaded.tail_offset, active.end - loaded.tail_offset)
        files.write(active.handle, loaded.tail_offset, tail)
    files.sync(active.handle)
    files.sync_directory()
    active.allocated_end = files.size(active.handle)
    return loaded


def _open_segments(files: Files, loaded: Loaded) -> list[SegmentHeader]:
    """Open every segment that has a valid head; what was being written goes."""
    headers: list[SegmentHeader] = []
    numbers: list[int] = []
    for name in sorted(files.names()):
        if not name.startswith("durabus-"):
            continue
        if name.endswith(NEW_SUFFIX):
            files.remove(name)
        elif name.startswith("durabus-spare-"):
            loaded.spares.append(name)
        elif segment_number(name):
            numbers.append(segment_number(name))
        else:
            loaded.number_max = max(loaded.number_max, segment_number(name.removesuffix(DAMAGED_SUFFIX)))
    for name in files.names():
        if name.startswith("durabus-") and name.endswith(INDEX_SUFFIX):
            number = segment_number(name.removesuffix(INDEX_SUFFIX) + SEGMENT_SUFFIX)
            if number and number not in numbers:
                files.remove(name)  # its segment was dropped
    for number in sorted(numbers):
        name = segment_name(number)
        loaded.number_max = max(loaded.number_max, number)
        handle = files.open(name, True)
        header = decode_header(files.read(handle, 0, HEADER_BYTES), name)
        if header is None or header.number != number:
            files.close(handle)
            files.rename(name, name + DAMAGED_SUFFIX)
            loaded.damage.append(
                f"{name} is damaged: its head is not valid; it is kept as {name}{DAMAGED_SUFFIX}, and left out"
            )
            continue
        headers.append(header)
        loaded.segments.append(Segment(header, handle))
    return headers


def _first_to_replay(files: Files, loaded: Loaded) -> int:
    """The position of the newest segment that begins with a valid snapshot."""
    for position in range(len(loaded.segments) - 1, -1, -1):
        segment = loaded.segments[position]
        if segment.header.is_compacted:
            continue
        view = files.map(segment.handle)
        frame = decode_frame(view, HEADER_BYTES, len(view), segment.header.salt)
        if frame is not None and frame.head.is_snapshot:
            return position
        loaded.damage.append(
            f"{segment_name(segment.number)} is damaged: its first frame is not valid; "
            "clients and subscriptions are taken from the segment before"
        )
    if loaded.segments[0].number == 1:
        return 0  # there was nothing before it, so its snapshot said nothing
    raise StoreError(
        "no segment of the journal begins with a valid snapshot: nothing can be taken from this directory; "
        "restore a backup, or start with an empty directory"
    )


def _replay(files: Files, loaded: Loaded, segment: Segment, limit: int) -> None:
    """Let the frames of `segment` take effect."""
    scan = _Scan(files, segment, limit)
    due = loaded.frame_number + 1
    if loaded.frame_number and segment.header.first_frame > due:
        name = segment_name(segment.number)
        loaded.damage.append(f"before {name} there is a gap: {_lost(due, segment.header.first_frame - 1)}")
    is_first = True
    places: dict[int, int] = {}
    durable_number = 0
    while (frame := scan.next()) is not None:
        if frame.head.is_snapshot:
            segment.snapshot_end = frame.head.end
            if is_first and not loaded.frame_number:
                loaded.contents.begin(frame)
        else:
            if scan.damage:
                _name_beginnings(loaded.contents, frame, scan)
            if not segment.header.is_compacted:
                loaded.contents.apply(frame)
            for place in frame.places:
                segment.index.add(place)
        is_first = False
        places[frame.head.number] = frame.head.end
        durable_number = frame.head.durable_number
        loaded.frame_number = frame.head.number
        loaded.epoch = max(loaded.epoch, frame.head.epoch)
    segment.end = segment.index.end = scan.offset
    loaded.tail_offset = places.get(durable_number, 0)
    loaded.frame_crc = scan.crc
    _name_holes(segment, scan)
    loaded.damage += scan.damage


def _load_index(files: Files, loaded: Loaded, segment: Segment, limit: int) -> None:
    """Map the index of a sealed segment, or make it again from the segment."""
    name = index_name(segment.number)
    found: SegmentIndex | None = None
    if name in files.names():
        handle = files.open(name, False)
        found = decode_index(files.map(handle), segment.number, segment.header.salt)
        files.close(handle)
    if found is not None and (not limit or found.end == limit):  # else it was made before the segment grew once more
        segment.index = found
        segment.end = found.end
        return
    scan = _Scan(files, segment, limit)
    while (frame := scan.next()) is not None:
        for place in frame.places:
            segment.index.add(place)
    segment.end = segment.index.end = limit or scan.offset
    _name_holes(segment, scan)
    loaded.damage += scan.damage
    loaded.unindexed.append(segment)


def read_index(files: Files, segment: Segment) -> SegmentIndex:
    """The index of a sealed segment, made from its frames. Raises OSError."""
    index = SegmentIndex()
    scan = _Scan(files, segment, segment.end)
    while (frame := scan.next()) is not None:
        for place in frame.places:
            index.add(place)
    index.end = segment.end
    return index


def _name_beginnings(contents: Contents, frame: Frame, scan: _Scan) -> None:
    """Of which channels even the first messages are lost: how many they were, nobody knows."""
    for place in frame.places:
        log = contents.channels.get(place.channel_id)
        if place.bytes_before and (log is None or not log.last):
            name = segment_name(scan.segment.number)
            scan.damage.append(f"{name}: messages before {place.first} of channel {place.channel_id} are missing")


def _name_holes(segment: Segment, scan: _Scan) -> None:
    """Which messages frames that are lost leave out, as far as that shows in this segment."""
    if not scan.damage:
        return
    for channel_id, due, _, _, _ in segment.index.channels():
        entries = segment.index.entries(channel_id)
        assert entries is not None
        for row in unpack_rows(entries.rows(0, len(entries))):
            if row[0] > due:
                scan.damage.append(
                    f"{segment_name(segment.number)}: messages {due} to {row[0] - 1} of channel {channel_id} are missing"
                )
            due = row[0] + row[1]
