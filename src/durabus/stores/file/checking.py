"""Looks at every byte of a journal that counts: FORMAT.md. It writes nothing, and works beside a server, too (`walking`)."""

import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final

from durabus.errors import StoreError
from durabus.stores.file.contents import Contents
from durabus.stores.file.files import Files
from durabus.stores.file.frame import Frame, Place, damaged_bodies, decode_frame, lengths_of
from durabus.stores.file.index import SegmentIndex, decode_index, unpack_rows
from durabus.stores.file.layout import DAMAGED_SUFFIX, HEADER_BYTES, head_name, head_number, index_name, segment_name
from durabus.stores.file.salvage import read_piece
from durabus.stores.file.scanning import Scan
from durabus.stores.file.segment import Segment
from durabus.stores.file.walking import Found, missed_segments, walk
from durabus.stores.findings import CheckReport, Finding, shown_name, shown_range
from durabus.streaming.records import decode_channel_name, decode_server
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SERVER, KIND_SUBSCRIPTION
from durabus.wire.varint import DecodeError

__all__ = ["JournalCheck", "check_journal"]

_INDEX_HEAD: Final = struct.Struct("<8sIIQQ")
_CHANNEL: Final = re.compile(r"of channel (\d+)\b")
_TRIES: Final = 5


class _Coverage:
    """Which messages of a channel there are: ascending ranges of first, last, and bytes."""

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.lasts: list[int] = []
        self.bytes: list[int] = []

    def add(self, first: int, last: int, size: int) -> None:
        """A run, which comes behind all others."""
        if self.lasts and self.lasts[-1] >= first - 1:
            self.lasts[-1] = max(last, self.lasts[-1])
            self.bytes[-1] += size
        else:
            self.firsts.append(first)
            self.lasts.append(last)
            self.bytes.append(size)

    def raise_floor(self, floor: int) -> None:
        """Forget what ends below `floor`."""
        keep = bisect_right(self.lasts, floor - 1)
        del self.firsts[:keep], self.lasts[:keep], self.bytes[:keep]
        if self.firsts and self.firsts[0] < floor:
            # How many bytes those are is not known any more: as many as others have.
            count = self.lasts[0] + 1 - self.firsts[0]
            self.bytes[0] = self.bytes[0] * (self.lasts[0] + 1 - floor) // count
            self.firsts[0] = floor

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What is not there of messages `first` to `last`."""
        due = first
        for begin, end in zip(self.firsts, self.lasts, strict=True):
            if begin > last:
                break
            if begin > due:
                yield due, begin - 1
            due = max(due, end + 1)
        if due <= last:
            yield due, last


class JournalCheck:
    """One look at a journal: `take` its segments in their order, then `finish`.

    `handle` is told each finding at once, with its bytes; the report keeps it without.
    """

    def __init__(self, files: Files, handle: Callable[[Finding], None] = lambda _: None) -> None:
        """Nothing seen yet; `files` are those that the segments are of."""
        self._files = files
        self.report = CheckReport()
        self.report.kind = "FILE"
        self.contents = Contents()
        self.damaged_segments: set[int] = set()
        self.damaged_indexes: set[int] = set()
        self.missing: list[tuple[int, int, int]] = []  # channel, first and last sequence
        self.lost_positions: list[int] = []  # subscriptions of which there is nothing else
        self.is_server_unreadable = False
        self.damaged_messages: dict[int, set[int]] = {}  # channel: messages whose bodies are damaged
        self.coverages: dict[int, _Coverage] = {}
        self.seen: set[int] = set()
        self._handle = handle
        self._lost_before: dict[int, list[tuple[int, int]]] = {}
        self._salts: dict[int, int] = {}

    def _found(self, finding: Finding) -> None:
        self._handle(finding)
        finding.raw = b""
        self.report.add(finding)

    def _name(self, channel_id: int) -> bytes:
        """The name of a channel, as far as it is known by now."""
        value = self.contents.state.get((KIND_CHANNEL, b"%d" % channel_id))
        try:
            return decode_channel_name(value) if value is not None else b"number %d" % channel_id
        except DecodeError:
            return b"number %d" % channel_id

    def _named(self, text: str) -> str:
        """A text of the journal with the names of channels in it, instead of their numbers."""
        return _CHANNEL.sub(lambda found: f'of channel "{shown_name(self._name(int(found[1])))}"', text)

    # Segments.

    def take(self, found: Found) -> int:
        """Look at the next segment; where it ends: what lies behind that is no part of the journal."""
        self.seen.add(found.number)
        view = found.content.data
        if found.header is None:
            text = f"{found.name}: its head is not valid, and there is no valid copy: nothing of it can be read"
            self._found_in(found, text, 0, len(view))
            return len(view)
        if found.is_head_damaged:
            text = f"{found.name}: its head is not valid; the copy in {head_name(found.number)} is"
            self._found_in(found, text, 0, len(found.head.beginning))
            _put_back(found)
        elif found.head.snapshot is not None and not _has_snapshot(found):
            text = f"{found.name}: its first frame is not valid; the copy in {head_name(found.number)} is"
            self._found_in(found, text, HEADER_BYTES, len(found.head.beginning))
            _put_back(found)
        self._salts[found.number] = found.header.salt
        limit = found.limit or (0 if found.is_last else self._indexed_end(found))
        scan = Scan(found.content, Segment(found.header, -1), limit, found.frames_end, found.head.mark)
        texts = regions = 0
        while True:
            frame = scan.next()
            bad: list[tuple[Place, int]] = []
            if len(scan.regions) > regions or len(scan.damage) > texts:
                bad = list(damaged_bodies(frame, scan.view)) if frame is not None else []
                told = [text for text in scan.damage[texts:] if not _is_told(text, bad)]
                begin = frame.head.offset if frame is not None else len(view)
                self._take_damage(found, told, [one for one in scan.regions[regions:] if one[0] < begin])
                texts, regions = len(scan.damage), len(scan.regions)
            if frame is None:
                break
            self._take_frame(frame, found)
            for place, index in bad:
                self._take_bad_body(found, place, index)
        # What is known to have been durable, and is behind the last frame that counts.
        rest = max([scan.offset, *(end for _, end in scan.regions)])
        if rest < limit:
            self._found_in(found, f"{found.name} is damaged from byte {rest} to {limit}", rest, limit)
            self._rescue(found, rest, limit)
        return limit or scan.offset

    def _found_in(
        self, found: Found, text: str, start: int, end: int, message: tuple[bytes, int] | None = None
    ) -> None:
        """Something from byte `start` to `end` of a segment is damaged; perhaps one message of a channel."""
        self.damaged_segments.add(found.number)
        finding = Finding(text, f"{found.name} bytes {start} to {end}", bytes(found.content.data[start:end]))
        if message is not None:
            finding.costs(message[0], message[1], message[1])
        self._found(finding)

    def _take_damage(self, found: Found, texts: list[str], regions: list[tuple[int, int]]) -> None:
        """What is damaged before the next frame, from byte to byte, and what there is to say of it."""
        for start, end in regions:
            text = texts.pop(0) if texts else f"{found.name} is damaged from byte {start} to {end}: its first frame"
            self._found_in(found, self._named(text), start, end)
            self._rescue(found, start, end)
        for text in texts:
            self._found_in(found, self._named(text), 0, 0)

    def _take_bad_body(self, found: Found, place: Place, index: int) -> None:
        sequence = place.first + index
        self.damaged_messages.setdefault(place.channel_id, set()).add(sequence)
        start, end = _body_at(found.content.data, place, index)
        name = self._name(place.channel_id)
        text = f"{found.name} bytes {start} to {end}: {shown_range(sequence, sequence, name)} is damaged"
        self._found_in(found, text, start, end, (name, sequence))

    def _index_of(self, found: Found) -> SegmentIndex | None:
        """The index of a segment, if it is there and its head is valid."""
        data = self.index_data(found.number)
        return decode_index(memoryview(data), found.number, self._salts[found.number]) if data is not None else None

    def _indexed_end(self, found: Found) -> int:
        """Where a sealed segment ends, as its index says; 0 when that is not known."""
        index = self._index_of(found)
        return index.end if index is not None else 0

    def _rescue(self, found: Found, start: int, end: int) -> None:
        """Where frames are damaged, the index knows what was in them, and some of it can still be read."""
        index = self._index_of(found)
        if index is None:
            return
        for channel_id, *_ in index.channels():
            try:
                entries = index.entries(channel_id)
            except ValueError:
                continue
            for row in unpack_rows(entries.rows(0, len(entries))) if entries is not None else ():
                if start <= (row[3] or row[4]) < end:
                    for sequence, size in _readable(found.content.data, row):
                        self.coverages.setdefault(channel_id, _Coverage()).add(sequence, sequence, size)

    def _take_frame(self, frame: Frame, found: Found) -> None:
        contents = self.contents
        if frame.head.is_snapshot:
            contents.begin(frame)
        else:
            for log in contents.apply(frame):
                self.coverages.pop(log.channel_id, None)
                self._lost_before.pop(log.channel_id, None)
                self.damaged_messages.pop(log.channel_id, None)
        for place in frame.places:
            if place.channel_id not in contents.channels:
                continue  # deleted with the same frame, or before
            coverage = self.coverages.setdefault(place.channel_id, _Coverage())
            coverage.add(place.first, place.first + place.count - 1, place.bodies_bytes)
            self._note_lost(place, found)
        for channel_id, floor in frame.floors:
            known = self.coverages.get(channel_id)
            if known is not None:
                known.raise_floor(floor)

    def _note_lost(self, place: Place, found: Found) -> None:
        """Which messages of a run came as lost ones."""
        lengths = lengths_of(place, found.content.data)
        if 0 in lengths:
            lost = self._lost_before.setdefault(place.channel_id, [])
            for index, length in enumerate(lengths):
                sequence = place.first + index
                if length:
                    continue
                if lost and lost[-1][1] == sequence - 1:
                    lost[-1] = (lost[-1][0], sequence)
                else:
                    lost.append((sequence, sequence))

    # The whole.

    def finish(self) -> None:
        """Everything was taken: see what is missing, and look at the files beside. Raises OSError."""
        self._look_beside()
        report, contents = self.report, self.contents
        for (kind, _), value in contents.state.items():
            if kind == KIND_SERVER:
                self._take_server(value)
            elif kind == KIND_CHANNEL:
                report.channels += 1
            report.clients += kind == KIND_CLIENT
            report.subscriptions += kind == KIND_SUBSCRIPTION
        if contents.state and (KIND_SERVER, b"server") not in contents.state:
            text = "there is no record of the server: this is a copy that was not finished, or the record is lost"
            finding = Finding(text, segment_name(max(self.seen)))
            finding.is_lasting = True  # whose server it was, nobody knows; the next one writes it
            self._found(finding)
        for log in contents.channels.values():
            self._finish_channel(log.channel_id, log.first, log.last)
        for number in contents.cursors:
            if (KIND_SUBSCRIPTION, b"%d" % number) not in contents.state:
                self.lost_positions.append(number)
                self._found(
                    Finding(f"the record of subscription {number} is lost: only its position is known", "state")
                )

    def _take_server(self, value: bytes) -> None:
        try:
            self.report.cluster_id = decode_server(value).cluster_id
        except DecodeError as error:
            self.is_server_unreadable = True
            self._found(Finding(f"the record of the server is unreadable: {error}", "state", value))

    def _finish_channel(self, channel_id: int, first: int, last: int) -> None:
        report = self.report
        name = self._name(channel_id)
        if last and (KIND_CHANNEL, b"%d" % channel_id) not in self.contents.state:
            text = f"the record of channel {channel_id} is lost: its name can be taken from its messages"
            self._found(Finding(text, "state"))
        coverage = self.coverages.get(channel_id) or _Coverage()
        coverage.raise_floor(first)
        missing = 0
        for begin, end in coverage.missing(first, last) if last else ():
            missing += end + 1 - begin
            self.missing.append((channel_id, begin, end))
            is_one = begin == end
            text = f"{shown_range(begin, end, name)} {'is' if is_one else 'are'} missing"
            self._found(Finding(text, "segments").costs(name, begin, end))
        damaged = sum(first <= sequence <= last for sequence in self.damaged_messages.get(channel_id, ()))
        lost = sum(
            max(0, min(end, last) + 1 - max(begin, first)) for begin, end in self._lost_before.get(channel_id, ())
        )
        if last:
            report.messages += last + 1 - first - missing - damaged - lost
        report.message_bytes += sum(coverage.bytes)
        report.lost_before += lost

    def _look_beside(self) -> None:
        """The files that are made again from the segments, and those that were set aside."""
        names = self._files.names()
        for number in sorted(self.seen):
            if index_name(number) in names:
                self._look_at_index(number)
        newest = max(self.seen, default=0)
        for name in names:
            if head_number(name) > newest and self._is_alone(name):
                text = f"{segment_name(head_number(name))} is missing, and {name} says that it was there"
                self._found(Finding(text, name))
            elif name.startswith("durabus-") and name.endswith(DAMAGED_SUFFIX):
                self.report.notes.append(f"{name} was set aside at an earlier start")

    def _is_alone(self, name: str) -> bool:
        """Whether a second copy is there without its segment: it comes after it, and goes before it."""
        return not self._files.exists(segment_name(head_number(name))) and self._files.exists(name)

    def index_data(self, number: int) -> bytes | None:
        """The index of a segment as it is in its file; None where there is none, or one that will be made again."""
        files = self._files
        try:
            handle = files.open(index_name(number), False)
        except FileNotFoundError:
            return None
        try:
            data = read_piece(files, handle, 0, files.size(handle))
        finally:
            files.close(handle)
        salt = self._salts.get(number)
        is_other = len(data) >= _INDEX_HEAD.size and _INDEX_HEAD.unpack_from(data)[4] != salt
        return None if is_other else data  # another one is of before the segment was compacted, or of after

    def _look_at_index(self, number: int) -> None:
        name = index_name(number)
        data = self.index_data(number)
        if data is not None and not _is_whole(decode_index(memoryview(data), number, self._salts.get(number, 0))):
            self.damaged_indexes.add(number)
            self._found(Finding(f"{name} is damaged: it can be made again from its segment", name, data))


def _is_whole(index: SegmentIndex | None) -> bool:
    if index is None:
        return False
    try:
        for row in index.channels():
            index.entries(row[0])
    except ValueError:
        return False
    return True


def _has_snapshot(found: Found) -> bool:
    """Whether the first frame is valid."""
    view, header = found.content.data, found.header
    return header is not None and decode_frame(view, HEADER_BYTES, len(view), header.salt) is not None


def _put_back(found: Found) -> None:
    """How the segment begins, out of its second copy."""
    beginning = found.head.beginning
    found.content.data[: len(beginning)] = beginning[: len(found.content.data)]


def _body_at(view: memoryview, place: Place, index: int) -> tuple[int, int]:
    """Where a body lies."""
    lengths = lengths_of(place, view)
    start = place.bodies_offset + sum(lengths[:index])
    return start, start + lengths[index]


def _readable(view: memoryview, row: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Sequence and size of the messages of a run that are whole; `row` is what an index says of it."""
    first, count, _, lengths_offset, offset, size, _, _, crc, _ = row
    lengths, checksums = [size], [crc]
    if count > 1:
        if lengths_offset + 8 * count > len(view):
            return
        lengths = list(struct.unpack_from(f"<{count}I", view, lengths_offset))
        checksums = list(struct.unpack_from(f"<{count}I", view, lengths_offset + 4 * count))
    for index, length in enumerate(lengths):
        body = view[offset : offset + length]
        if length and len(body) == length and zlib.crc32(body) == checksums[index]:
            yield first + index, length
        offset += length


def _is_told(text: str, bad: list[tuple[Place, int]]) -> bool:
    """Whether a text of the scan is about one message that is told of by itself."""
    return any(
        f"message {place.first + index} of channel {place.channel_id} is damaged" in text for place, index in bad
    )


def check_journal(
    files: Files, say: Callable[[str], None], handle: Callable[[Finding], None] = lambda _: None
) -> JournalCheck:
    """Look at all of the journal in `files`, and write nothing. Raises OSError and StoreError."""
    for _ in range(_TRIES):
        check = JournalCheck(files, handle)
        for found in walk(files):
            check.take(found)
            say(f"{found.name} is looked at")
        if not missed_segments(files, check.seen):
            check.finish()
            return check
    raise StoreError(f"the names in {files.directory} change faster than they can be read")
