"""All messages of one channel of the original: its slices in one sequence, with holes where messages are damaged."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from durabus.stores.findings import shown_name
from durabus.stores.original_file.checksum import Checksum
from durabus.stores.original_file.files import ChannelFiles, SliceFiles, SourceFile
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.index_file import IndexFile
from durabus.stores.original_file.messages import MessageHead, Piece, SliceScan, offset_of, read_messages
from durabus.stores.original_file.records import RecordReader, version_complaint

__all__ = ["LOST", "LOST_MAX", "ChannelLog"]

LOST: Final = b""
"""What is read where a message is damaged."""
LOST_MAX: Final = 10_000_000
"""A hole of more messages than these is none: what lies before it is left out."""


class _Stretch:
    """Messages `first` to `last`, all of which are in `piece`."""

    def __init__(self, piece: Piece, first: int) -> None:
        self.piece = piece
        self.first = first
        self.last = int(piece.last)


class ChannelLog:
    """The messages `first` to `last` of one channel, as in `ChannelState`: known after `scan` and then `settle`."""

    def __init__(self, directory: str, files: ChannelFiles, checksum: Checksum, is_checked: bool) -> None:
        """Of the store in `directory`; checksums are looked at where `is_checked`."""
        self.name = files.name
        self.first = 0
        self.last = 0
        self.stored_bytes = 0
        self.last_timestamp_ns = 0
        self._directory = directory
        self._files = files
        self._checksum = checksum
        self._is_checked = is_checked
        self._stretches: list[_Stretch] = []
        self._firsts: list[int] = []
        self._reported: list[tuple[int, int]] = []  # messages of which it was said that they are damaged
        self._known_last = 0  # of an index
        self._head = MessageHead()
        self._file: SourceFile | None = None
        self._reader: RecordReader | None = None
        self._next = (0, 0, 0)  # a stretch, the message to go on with, and its offset in the file that is open

    # What is there.

    def scan(self, findings: Findings) -> None:
        """See what is in the slices. Raises OSError and StoreError."""
        pieces: list[Piece] = []
        for part in self._files.slices:
            scan = self._scan_slice(part, findings)
            pieces += scan.pieces
            self._reported += scan.reported
            self._known_last = max(self._known_last, int(scan.known_last))
            if scan.known_first:
                self.first = min(self.first or int(scan.known_first), int(scan.known_first))
        # Slices ascend with their numbers, unless somebody put an old one back.
        pieces.sort(key=lambda piece: piece.first)
        for piece in pieces:
            self._add(piece, findings)

    def _scan_slice(self, part: SliceFiles, findings: Findings) -> SliceScan:
        file = SourceFile(self._directory, part.data)
        index_file: SourceFile | None = None
        try:
            complaint = version_complaint(file)
            if complaint:
                findings.note(f"{part.data}: {complaint}; it is read as if it were right")
            if part.index:
                index_file = SourceFile(self._directory, part.index)
            reader = RecordReader(file, False, self._checksum, self._is_checked)
            scan = SliceScan(file, self.name, reader, IndexFile(index_file, self._checksum), findings)
            scan.run()
            if file.unreadable:
                findings.note(f"{part.data}: the disk cannot read {len(file.unreadable)} blocks of it")
        finally:
            file.close()
            if index_file is not None:
                index_file.close()
        return scan

    def _add(self, piece: Piece, findings: Findings) -> None:
        """Add a piece behind the others."""
        first = int(piece.first)
        before = self._stretches[-1] if self._stretches else None
        if before is not None and first <= before.last:
            findings.note(
                f'channel "{shown_name(self.name)}": messages {first} to {min(int(piece.last), before.last)} are in '
                f"{before.piece.name} and in {piece.name}: those of the first one count"
            )
            first = before.last + 1
            if first > piece.last:
                return
        self._stretches.append(_Stretch(piece, first))

    def settle(self, sent_last: int, findings: Findings) -> None:
        """Find the first and the last message. Subscriptions say that they were sent those up to `sent_last`."""
        self._drop_before_holes(findings)
        stretches = self._stretches
        newest = stretches[-1].last if stretches else 0
        if stretches and not (self.first and 0 <= stretches[0].first - self.first <= LOST_MAX):
            self.first = stretches[0].first
        for known in (self._known_last, sent_last):
            if known > max(newest, self.first) + LOST_MAX and self.first:
                findings.note(
                    f'channel "{shown_name(self.name)}" ends at {newest}: that there was a message {known} is not believed'
                )
            elif known > newest:
                self.last = max(self.last, known)
        self.last = max(self.last, newest)
        if self.first == 0 and self.last:
            # Nothing is left, and nothing says since when: only the number is kept.
            self.first = self.last + 1
            findings.note(
                f'channel "{shown_name(self.name)}": none of its messages is left, its next one is {self.first}'
            )
        self._firsts = [stretch.first for stretch in stretches]
        self.stored_bytes = sum(self._bytes_of(stretch) for stretch in stretches)
        self.last_timestamp_ns = max((int(stretch.piece.last_timestamp_ns) for stretch in stretches), default=0)
        for first, last in self._unreported_holes() if self.last else ():
            findings.absent(self.name, first, last)

    def _drop_before_holes(self, findings: Findings) -> None:
        """Leave out what lies before a hole that is none."""
        stretches = self._stretches
        for position in range(len(stretches) - 1, 0, -1):
            first, last = stretches[position].first, stretches[position - 1].last
            if first - last > LOST_MAX:
                findings.note(
                    f'channel "{shown_name(self.name)}": message {first} comes after {last}: all up to {last} are left out'
                )
                del stretches[:position]
                self.first = 0
                return

    def _bytes_of(self, stretch: _Stretch) -> int:
        piece = stretch.piece
        if stretch.first == piece.first:
            return piece.message_bytes
        begin = offset_of(self._open(piece), piece, stretch.first)
        return piece.bytes_from(stretch.first, begin)

    def _unreported_holes(self) -> Iterator[tuple[int, int]]:
        """The messages that are in no stretch, and of which nothing was said yet."""
        due = self.first
        there = [(stretch.first, stretch.last) for stretch in self._stretches]
        for first, last in sorted([*there, *self._reported]):
            if first > self.last:
                break
            if first > due:
                yield due, first - 1
            due = max(due, last + 1)
        if due <= self.last:
            yield due, self.last

    # Reading.

    def read(self, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        """Messages from `first` on, at least one unless `first` is behind the last one; LOST for each damaged one."""
        if not self.last or not self.first <= first <= self.last:
            return []
        position = bisect_right(self._firsts, first) - 1
        if position < 0 or first > self._stretches[position].last:
            end = self._firsts[position + 1] if position + 1 < len(self._firsts) else self.last + 1
            return [LOST] * min(end - first, count_max)
        stretch = self._stretches[position]
        reader = self._open(stretch.piece)
        going_on = self._next[:2] == (position, first)
        offset = self._next[2] if going_on else offset_of(reader, stretch.piece, first)
        bodies: list[bytes] = []
        count = min(count_max, stretch.last + 1 - first)
        end = read_messages(reader, self._head, offset, first, count, bytes_max, bodies)
        self._next = (position, first + len(bodies), int(end))
        return bodies or [LOST]  # it was there a moment ago

    def timestamp_ns(self, sequence: int) -> int:
        """When a message was stored; 0 when it is damaged."""
        (body,) = self.read(sequence, 1, 0)
        self._head.read(body)
        return int(self._head.timestamp_ns)

    def find_time(self, timestamp_ns: int) -> int:
        """The first message at or after a moment; last + 1 when there is none, 0 when nothing was ever stored."""
        if not self.last:
            return 0
        low, high = self.first, self.last + 1
        while low < high:
            middle = (low + high) // 2
            at = middle
            while at < high and not (found_ns := self.timestamp_ns(at)):
                at += 1
            if at < high and found_ns < timestamp_ns:
                low = at + 1
            else:
                high = middle
        return low

    def _open(self, piece: Piece) -> RecordReader:
        """The reader of the file with `piece`."""
        if self._file is None or self._file.name != piece.name:
            self.close()
            self._file = SourceFile(self._directory, piece.name)
            self._reader = None
        if self._reader is None:
            self._reader = RecordReader(self._file, False, self._checksum, self._is_checked)
        return self._reader

    def close(self) -> None:
        """Close the file that is open for reading."""
        self._next = (0, 0, 0)
        self._reader = None
        if self._file is not None:
            self._file.close()
            self._file = None
