"""A start: from the files of a directory to a journal that can be written to. FORMAT.md §7 and §8."""

from collections.abc import Callable

from durabus.stores.file.contents import Contents
from durabus.stores.file.files import Files, LockLostError
from durabus.stores.file.frame import ZEROED_HEAD, Frame
from durabus.stores.file.head import Head, Mark, read_head, snapshot_of
from durabus.stores.file.index import SegmentIndex, decode_index, is_readable, unpack_rows
from durabus.stores.file.layout import (
    DAMAGED_SUFFIX,
    HEADER_BYTES,
    NEW_SUFFIX,
    SegmentHeader,
    decode_header,
    head_name,
    head_number,
    index_name,
    index_number,
    region_name,
    segment_name,
    segment_number,
)
from durabus.stores.file.salvage import Content, read_content, read_piece, set_aside
from durabus.stores.file.scanning import Scan, lost
from durabus.stores.file.segment import Segment

__all__ = ["Loaded", "load", "read_index"]


class Loaded:
    """What was found. `segments` ascend; the last one is `active` if anything can be appended to it."""

    def __init__(self) -> None:
        """Nothing found."""
        self.contents = Contents()
        self.segments: list[Segment] = []
        self.active: Segment | None = None
        self.spares: list[str] = []
        self.unindexed: list[Segment] = []  # sealed, and their index had to be made again
        self.uncopied: list[Segment] = []  # how they begin is there once only
        self.frame_number = 0  # of the last frame
        self.frame_crc = 0
        self.epoch = 0
        self.number_max = 0  # the highest segment number ever seen
        self.damage: list[str] = []


class _Names:
    """The files of a directory by what they are; what was being written, and what belongs to nothing, is gone."""

    def __init__(self, files: Files, loaded: Loaded) -> None:
        self.segments: list[int] = []
        self.heads: list[int] = []
        self.indexes: list[int] = []
        for name in files.names():
            if not name.startswith("durabus-"):
                continue
            if name.endswith(NEW_SUFFIX):
                files.remove(name)
            elif name.startswith("durabus-spare-"):
                loaded.spares.append(name)
            elif segment_number(name):
                self.segments.append(segment_number(name))
            elif head_number(name):
                self.heads.append(head_number(name))
            elif index_number(name):
                self.indexes.append(index_number(name))
            else:
                loaded.number_max = max(loaded.number_max, segment_number(name.removesuffix(DAMAGED_SUFFIX)))
        self.segments.sort()
        self.newest = max([*self.segments, *self.heads], default=0)
        loaded.number_max = max(loaded.number_max, self.newest)
        for number in self.indexes:
            if number not in self.segments:
                files.remove(index_name(number))  # its segment was dropped
        for number in self.heads:
            if number not in self.segments and number != loaded.number_max:
                files.remove(head_name(number))


class _Start:
    """One start, step by step: what each step finds is for the next one."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.loaded = Loaded()
        self.names = _Names(files, self.loaded)
        self.heads: dict[int, Head] = {}
        self.suspect: set[int] = set()  # segments whose header was damaged: they may be damaged elsewhere, too
        self.snapshot: Frame | None = None  # with which it begins
        self.gone: SegmentHeader | None = None  # of the newest segment, if its file is gone

    def run(self) -> Loaded:
        """Take all steps."""
        loaded = self.loaded
        for number in self.names.segments:
            self._open(number)
        self._look_for_the_newest()
        begin = self._first_to_replay()
        if self.snapshot is not None:
            loaded.contents.begin(self.snapshot)
            loaded.frame_number = self.snapshot.head.number
            loaded.epoch = self.snapshot.head.epoch
        for position, segment in enumerate(loaded.segments):
            following = self._header_at(position + 1)
            segment.is_sealed = following is not None or segment.header.is_compacted
            segment.is_sealed = segment.is_sealed or segment.number < loaded.number_max
            if position >= begin:
                self._replay(segment, following)
            else:
                self._load_index(segment, following)
        if loaded.segments and not loaded.segments[-1].is_sealed:
            loaded.active = loaded.segments[-1]
        elif self.gone is not None:
            self._name_what_is_gone(self.gone)
        self._look_at_heads()
        self.files.sync_directory()
        return loaded

    def _header_at(self, position: int) -> SegmentHeader | None:
        segments = self.loaded.segments
        return segments[position].header if position < len(segments) else self.gone

    # Segments and their second copies.

    def _open(self, number: int) -> None:
        """Open a segment that has a valid header, or a copy of one."""
        files, loaded = self.files, self.loaded
        name = segment_name(number)
        handle = files.open(name, True)
        header = decode_header(read_piece(files, handle, 0, HEADER_BYTES), name)
        if header is not None and header.number != number:
            header = None
        head = Head()
        if number in self.names.heads:
            head = read_head(files, number, number == self.names.newest or header is None)
        if header is None and head.header is not None:
            loaded.damage.append(f"{name} is damaged: its head is not valid; the copy in {head_name(number)} is used")
            header = head.header
            self.suspect.add(number)
            self._repair(number, handle, head)
        if header is None:
            files.close(handle)
            files.rename(name, name + DAMAGED_SUFFIX)
            loaded.damage.append(
                f"{name} is damaged: its head is not valid; it is kept as {name}{DAMAGED_SUFFIX}, and left out"
            )
            return
        if head.header is None or head.header.crc != header.crc:
            head = Head()  # that of a former life
        if head.mark is not None and head.mark.salt != header.salt:
            head.mark = None
        self.heads[number] = head
        loaded.segments.append(Segment(header, handle))

    def _repair(self, number: int, handle: int, head: Head) -> None:
        """Set aside how a segment begins, and put back what its second copy says."""
        beginning = head.beginning
        former = read_piece(self.files, handle, 0, len(beginning))
        problem = set_aside(self.files, number, 0, former) if former else ""
        if not problem:
            try:
                self.files.write(handle, 0, beginning)
                self.files.sync(handle)
            except LockLostError:
                raise
            except OSError as error:
                problem = f"{segment_name(number)} cannot be mended: {(error.strerror or str(error)).lower()}"
        kept = f"bytes 0 to {len(former)} of {segment_name(number)} are kept in {region_name(number, 0, len(former))}"
        if problem or former:
            self.loaded.damage.append(problem or kept)

    def _look_for_the_newest(self) -> None:
        """The newest segment may be gone, though its second copy is there."""
        number = self.names.newest
        if number in self.names.segments or number not in self.names.heads or number != self.loaded.number_max:
            return
        head = read_head(self.files, number, True)
        if head.header is not None:
            self.gone = head.header
            self.heads[number] = head

    def _name_what_is_gone(self, header: SegmentHeader) -> None:
        """Say what the newest segment had, as far as its second copy says; frames go on behind that."""
        loaded = self.loaded
        head = self.heads[header.number]
        first = header.first_frame + 1
        last = 0
        if head.mark is not None and head.mark.salt == header.salt:
            last = head.mark.frame_number
            loaded.frame_number = max(loaded.frame_number, last)
        what = "what was stored in it is lost"
        if last >= first:
            what = f"{lost(first, last)}, and whatever came after them"
        loaded.damage.append(f"{segment_name(header.number)} is missing: {what}")

    def _look_at_heads(self) -> None:
        """Of which segments the beginning is there once only, for all that is known."""
        loaded = self.loaded
        for segment in loaded.segments:
            head = self.heads[segment.number]
            if head.header is None or (segment is loaded.active and head.snapshot is None):
                loaded.uncopied.append(segment)

    # Snapshots.

    def _first_to_replay(self) -> int:
        """The position of the newest segment that begins with a valid snapshot, or has a copy of it."""
        loaded = self.loaded
        segments = loaded.segments
        if self.gone is not None:
            self.snapshot = self.heads[self.gone.number].snapshot
            if self.snapshot is not None:
                return len(segments)
        for position in range(len(segments) - 1, -1, -1):
            segment = segments[position]
            if segment.header.is_compacted:
                continue
            self.snapshot = snapshot_of(self.files, segment.handle, segment.header)
            if self.snapshot is None:
                self.snapshot = self._copied_snapshot(segment)
            if self.snapshot is not None:
                return position
        if segments and segments[0].number > 1:
            loaded.damage.append(
                "no segment of the journal begins with a valid snapshot: of clients, subscriptions and channels there is "
                "only what later batches mention"
            )
        return 0  # there was nothing before segment 1, so its snapshot said nothing

    def _copied_snapshot(self, segment: Segment) -> Frame | None:
        """The snapshot of a segment in which it is damaged, from its second copy; None when that is damaged, too."""
        name = segment_name(segment.number)
        text = f"{name} is damaged: its first frame is not valid; "
        head = self.heads[segment.number]
        if head.header is not None and head.snapshot is None:
            head.snapshot = read_head(self.files, segment.number, True).snapshot
        if head.snapshot is None:
            self.loaded.damage.append(text + "clients and subscriptions are taken from the segment before")
            return None
        self.loaded.damage.append(text + f"the copy in {head_name(segment.number)} is used")
        self._repair(segment.number, segment.handle, read_head(self.files, segment.number, True))
        return head.snapshot

    # Frames.

    def _scan(self, segment: Segment, following: SegmentHeader | None, content: Content, end: int = 0) -> Scan:
        """A walk over `segment`, up to where it is known to end: `end`, if nothing else is known."""
        mark: Mark | None = self.heads[segment.number].mark
        if segment.header.is_compacted:
            limit, frames_end = (mark.end, mark.frame_number + 1) if mark is not None else (end, 0)
            return Scan(content, segment, limit, frames_end)
        if following is not None and following.number == segment.number + 1 and following.previous_end:
            return Scan(content, segment, following.previous_end, following.first_frame)
        return Scan(content, segment, end, 0, mark)

    def _finish(self, scan: Scan, content: Content) -> None:
        """Keep what a walk has found to be damaged, and tell of it."""
        segment = scan.segment
        self.loaded.damage += scan.damage
        for start, end in scan.regions:
            if start < end:
                problem = set_aside(self.files, segment.number, start, content.data[start:end])
                kept = f"bytes {start} to {end} of {segment_name(segment.number)} are kept in"
                self.loaded.damage.append(problem or f"{kept} {region_name(segment.number, start, end)}")

    def _replay(self, segment: Segment, following: SegmentHeader | None) -> None:
        """Let the frames of `segment` take effect."""
        loaded = self.loaded
        header = segment.header
        content = read_content(self.files, segment.handle)
        scan = self._scan(segment, following, content)
        due = loaded.frame_number + 1
        snapshot = self.snapshot
        if snapshot is not None and snapshot.head.number == header.first_frame and not header.is_compacted:
            scan.begin_behind(snapshot)
            segment.snapshot_end = snapshot.head.end
        elif loaded.frame_number and header.first_frame > due and not header.is_compacted:
            name = segment_name(segment.number)
            loaded.damage.append(f"before {name} there is a gap: {lost(due, header.first_frame - 1)}")
        places: dict[int, int] = {}
        durable_number = 0
        while (frame := scan.next()) is not None:
            if frame.head.is_snapshot:
                segment.snapshot_end = frame.head.end
            else:
                if scan.damage:
                    _name_beginnings(loaded.contents, frame, scan)
                loaded.contents.apply(frame)
                for place in frame.places:
                    segment.index.add(place)
            places[frame.head.number] = frame.head.end
            durable_number = frame.head.durable_number
            loaded.epoch = max(loaded.epoch, frame.head.epoch)
        segment.end = segment.index.end = scan.offset
        if not header.is_compacted:
            loaded.frame_number = max(loaded.frame_number, scan.number - 1)
            loaded.frame_crc = scan.crc
        scan.name_holes(segment.index)
        self._finish(scan, content)
        if not segment.is_sealed:
            mark = scan.mark
            known_end = max(places.get(durable_number, 0), mark.end if mark is not None else 0)
            self._settle(segment, scan, known_end)
            segment.is_sealed = bool(content.unreadable)  # what is written there may be unreadable, too
        if segment.is_sealed:
            loaded.unindexed.append(segment)

    def _settle(self, segment: Segment, scan: Scan, known_end: int) -> None:
        """Make the active segment as durable as it is taken for; of what was cut off, nothing may ever count.

        What a killed process had written counts from now on, so it must stay. It is written once more from byte `known_end` on,
        for after a failed sync the system takes what it could not write for written.
        """
        files = self.files
        for offset in scan.stale_frames():
            files.write(segment.handle, offset, ZEROED_HEAD)
        if known_end < segment.end:
            files.write(segment.handle, known_end, scan.view[known_end : segment.end])
        files.sync(segment.handle)
        segment.allocated_end = files.size(segment.handle)

    def _load_index(self, segment: Segment, following: SegmentHeader | None) -> None:
        """Map the index of a sealed segment, or make it again from the segment."""
        files = self.files
        limit = 0
        if not segment.header.is_compacted and following is not None and following.number == segment.number + 1:
            limit = following.previous_end
        found: SegmentIndex | None = None
        if segment.number in self.names.indexes:
            handle = files.open(index_name(segment.number), False)
            if is_readable(files, handle):
                found = decode_index(files.map(handle), segment.number, segment.header.salt)
            files.close(handle)
        if found is not None and limit and found.end != limit:
            found = None  # it was made before the segment grew once more
        if found is not None:
            found.read_first(files, segment.number)
            segment.index = found
            segment.end = found.end
            if segment.number not in self.suspect and files.size(segment.handle) >= segment.end:
                return
        content = read_content(files, segment.handle)
        scan = self._scan(segment, following, content, found.end if found is not None else 0)
        snapshot = self.heads[segment.number].snapshot
        if snapshot is not None:
            scan.begin_behind(snapshot)  # whatever is in its place
        index = SegmentIndex()
        while (frame := scan.next()) is not None:
            for place in frame.places:
                index.add(place)
        if found is None:
            segment.index = index
            segment.end = index.end = limit or scan.offset
            self.loaded.unindexed.append(segment)
            scan.name_holes(index)
        elif scan.damage:
            _name_what_is_hit(found, index, scan, self.loaded.contents)
        self._finish(scan, content)


def load(files: Files, report: Callable[[str], None]) -> Loaded:
    """Read everything but the messages; `report` is told of slow work. Raises StoreError and OSError."""
    loaded = _Start(files).run()
    report(f"the journal has {len(loaded.segments)} segments")
    return loaded


def read_index(files: Files, segment: Segment, damage: list[str]) -> SegmentIndex:
    """The index of a sealed segment, made from its frames; what of them is damaged is added to `damage`. Raises OSError."""
    index = SegmentIndex()
    scan = Scan(read_content(files, segment.handle), segment, segment.end)
    while (frame := scan.next()) is not None:
        for place in frame.places:
            index.add(place)
    index.end = segment.end
    scan.name_holes(index)
    damage += scan.damage
    return index


def _name_what_is_hit(known: SegmentIndex, found: SegmentIndex, scan: Scan, contents: Contents) -> None:
    """Which wanted messages are in damaged frames of a segment, as its index, which is whole, shows: some can still be read."""
    name = segment_name(scan.segment.number)
    for channel_id, _, last_there, _, _ in known.channels():
        log = contents.channels.get(channel_id)
        if log is None or last_there < log.first:
            continue
        there = found.entries(channel_id)
        try:
            entries = known.entries(channel_id)
        except ValueError:
            entries = None  # made again when it is needed
        for row in unpack_rows(entries.rows(0, len(entries))) if entries is not None else ():
            index = there.find(row[0]) if there is not None else -1
            if there is None or index < 0 or there.at(index).first != row[0]:
                last = row[0] + row[1] - 1
                scan.damage.append(f"{name}: of messages {row[0]} to {last} of channel {channel_id} some may be lost")


def _name_beginnings(contents: Contents, frame: Frame, scan: Scan) -> None:
    """Of which channels even the first messages are lost: how many they were, nobody knows."""
    for place in frame.places:
        log = contents.channels.get(place.channel_id)
        if place.bytes_before and (log is None or not log.last):
            name = segment_name(scan.segment.number)
            scan.damage.append(f"{name}: messages before {place.first} of channel {place.channel_id} are missing")
