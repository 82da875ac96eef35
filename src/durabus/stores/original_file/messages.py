"""Where the messages of one slice are: a walk over all of its data, that goes around what is damaged.

The data says what is there. The index is asked only where the data is not clear: what comes after damaged bytes, and which
messages there were.
"""

from array import array
from typing import Final

from mypy_extensions import i64

from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.index_file import IndexFile
from durabus.stores.original_file.records import (
    END,
    GOOD,
    HEADER_BYTES,
    TORN,
    VERSION_BYTES,
    WRONG,
    ZEROS,
    RecordReader,
)
from durabus.wire.varint import WIRE_BYTES, WIRE_VARINT, DecodeError, FieldReader, bytes_field, signed_64

__all__ = ["MARK_MESSAGES", "MessageHead", "Piece", "SliceScan", "offset_of", "read_messages"]

MARK_MESSAGES: Final = 1024
"""Every so many messages their place is remembered: reading one passes over fewer than that."""
_NUMBER_MAX: Final = 1 << 62
_SPEAK_BYTES: Final = 1 << 26
"""How often it is told how far a scan is."""
_REASONS: Final = {
    ZEROS: "there are zeros",
    TORN: "it ends behind the end of the file",
    WRONG: "its checksum is wrong",
}


class MessageHead:
    """Sequence and timestamp of a message; sequence 0 for what is no message."""

    def __init__(self) -> None:
        """Nothing read yet."""
        self.sequence: i64 = 0
        self.timestamp_ns: i64 = 0

    def read(self, payload: bytes) -> None:
        """Read a MsgProto (docs/protocol.md §2.6)."""
        self.sequence = 0
        self.timestamp_ns = 0
        size: i64 = len(payload)
        at: i64 = 0
        sequence: i64 = 0
        while at < size:
            tag: i64 = payload[at]
            at += 1
            value: i64 = 0
            shift: i64 = 0
            is_over = False
            while at < size and shift < 63:
                byte: i64 = payload[at]
                at += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    is_over = True
                    break
            if not is_over:
                self._read_slowly(payload)
                return
            if tag == 8:
                sequence = value
            elif tag == 0x12 or tag == 0x1A or tag == 0x22:
                if value > size - at:
                    return
                at += value
            elif tag == 0x28:
                self.timestamp_ns = value
            else:
                self._read_slowly(payload)
                return
        if 0 < sequence < _NUMBER_MAX:
            self.sequence = sequence

    def _read_slowly(self, payload: bytes) -> None:
        """The same for numbers of ten bytes, and for fields that nobody writes."""
        fields = FieldReader(payload)
        sequence = 0
        try:
            while number := fields.next():
                if number <= 5:
                    fields.expect(WIRE_VARINT if number in (1, 5) else WIRE_BYTES)
                if number == 1:
                    sequence = fields.value
                elif number == 5:
                    self.timestamp_ns = signed_64(fields.value)
        except DecodeError:
            return
        if 0 < sequence < _NUMBER_MAX:
            self.sequence = sequence


class Piece:
    """Messages `first` to `last`, one right behind the other from offset `start` to `end` of the file `name`."""

    def __init__(self, name: str, first: i64, start: i64) -> None:
        """No message yet; the next one is `first`."""
        self.name = name
        self.first = first
        self.last: i64 = first - 1
        self.start = start
        self.end: i64 = start
        self.marks: array[int] = array("q")
        self.last_timestamp_ns: i64 = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.last - self.first + 1)

    @property
    def message_bytes(self) -> int:
        """The sum of their sizes."""
        return self.bytes_from(int(self.first), int(self.start))

    def bytes_from(self, first: int, offset: int) -> int:
        """The same for those from `first` on, which is at `offset`."""
        return int(self.end) - offset - HEADER_BYTES * (int(self.last) + 1 - first)

    def take(self, sequence: i64, timestamp_ns: i64, offset: i64, end: i64) -> None:
        """Add the next message."""
        if (sequence - self.first) % MARK_MESSAGES == 0:
            self.marks.append(int(offset))
        self.last = sequence
        self.end = end
        self.last_timestamp_ns = timestamp_ns

    def mark_before(self, sequence: i64) -> tuple[int, int]:
        """A message at or before `sequence`, and its offset."""
        number: i64 = (sequence - self.first) // MARK_MESSAGES
        return int(self.first + number * MARK_MESSAGES), self.marks[number]


def offset_of(reader: RecordReader, piece: Piece, sequence: i64) -> i64:
    """Where a message of `piece` begins."""
    mark, start = piece.mark_before(sequence)
    number: i64 = mark
    offset: i64 = start
    while number < sequence and reader.look(offset) == GOOD:
        offset = reader.end
        number += 1
    return offset


def read_messages(
    reader: RecordReader,
    head: MessageHead,
    offset: i64,
    first: i64,
    count_max: i64,
    bytes_max: i64,
    bodies: list[bytes],
) -> i64:
    """Append the messages from `first` on to `bodies`, the first of which is at `offset`; where the next one begins.

    At least one, unless that is not there any more.
    """
    size: i64 = 0
    count: i64 = 0
    while count < count_max and reader.look(offset) == GOOD:
        payload = reader.payload
        size += len(payload)
        if size > bytes_max and count:
            break
        head.read(payload)
        if head.sequence != first + count:
            break
        bodies.append(payload)
        offset = reader.end
        count += 1
    return offset


class SliceScan:
    """One walk; `pieces` ascend, `known_first` and `known_last` are what the index knows (0: nothing).

    `reported` are the messages that were found to be damaged.
    """

    def __init__(
        self, file: SourceFile, channel: bytes, reader: RecordReader, index: IndexFile, findings: Findings
    ) -> None:
        """Walk over `file` of `channel`, which `reader` reads."""
        self.pieces: list[Piece] = []
        self.known_first: i64 = 0
        self.known_last: i64 = 0
        self.reported: list[tuple[int, int]] = []
        self._file = file
        self._channel = channel
        self._reader = reader
        self._index = index
        self._findings = findings
        self._subject = bytes_field(2, channel)
        self._head = MessageHead()
        self._piece: Piece | None = None
        self._expected: i64 = 0  # the next sequence; 0: any
        self._fits = 0  # whether the index is of this data: 1 yes, -1 no, 0 not known

    def run(self) -> None:
        """Do it. Raises OSError when the quarantine cannot be written."""
        reader = self._reader
        head = self._head
        offset: i64 = VERSION_BYTES
        spoken: i64 = 0
        while True:
            outcome = reader.look(offset)
            if outcome == GOOD:
                head.read(reader.payload)
                sequence = head.sequence
                if sequence and (sequence == self._expected or self._is_believed(sequence, offset)):
                    self._take(sequence, offset)
                    offset = reader.end
                    if offset - spoken > _SPEAK_BYTES:
                        self._findings.read(int(offset - spoken))
                        spoken = offset
                    continue
                reason = "it is not the message that is due here" if sequence else "it is no message"
            elif outcome == END:
                break
            else:
                if outcome == ZEROS:
                    following = self._after_zeros(offset)
                    if following >= 0:
                        offset = following
                        continue
                reason = _REASONS[outcome]
            offset = self._go_around(offset, reason)
        self._findings.read(int(max(0, reader.size - spoken)))
        self._ask_index()

    def _take(self, sequence: i64, offset: i64) -> None:
        """The record that was looked at is message `sequence`."""
        piece = self._piece
        if sequence < self._expected:
            self._take_back(sequence, offset)
            piece = self._piece
        if piece is None or sequence != piece.last + 1 or offset != piece.end:
            piece = Piece(self._file.name, sequence, offset)
            self._piece = piece
            self.pieces.append(piece)
        piece.take(sequence, self._head.timestamp_ns, offset, self._reader.end)
        self._expected = sequence + 1

    def _is_believed(self, sequence: i64, offset: i64) -> bool:
        """Whether a good record that is not the next message counts nevertheless."""
        if self._expected == 0:
            known = self._index.sequence_at(int(offset))
            return known in (0, sequence) or self._reader.is_vouched
        # Numbers go back where some were used again after a crash, and jump where messages were never stored.
        return self._reader.is_vouched

    def _take_back(self, sequence: i64, offset: i64) -> None:
        """The record that was looked at has a number that was there before: what it replaces was never acknowledged.

        The original wrote those messages, was killed before it wrote them into its index, and began at the index's end again.
        """
        end, timestamp_ns = self._reader.end, self._head.timestamp_ns
        replaced: i64 = self._expected - 1
        start = offset
        while self.pieces and self.pieces[-1].first >= sequence:
            start = self.pieces.pop().start
        if self.pieces and self.pieces[-1].last >= sequence:
            start = self._cut(self.pieces[-1], sequence)
        self._piece = self.pieces[-1] if self.pieces else None
        self._findings.replaced(self._file, int(start), int(offset), self._channel, int(sequence), int(replaced))
        # What was looked at meanwhile was another record.
        self._reader.end = end
        self._head.timestamp_ns = timestamp_ns

    def _cut(self, piece: Piece, sequence: i64) -> i64:
        """Let `piece` end before `sequence`; where that is."""
        before = offset_of(self._reader, piece, sequence - 1)
        self._reader.look(before)
        self._head.read(self._reader.payload)
        piece.last_timestamp_ns = self._head.timestamp_ns
        offset = self._reader.end
        piece.last = sequence - 1
        piece.end = offset
        del piece.marks[(piece.count + MARK_MESSAGES - 1) // MARK_MESSAGES :]
        return offset

    # Around what is damaged.

    def _after_zeros(self, offset: i64) -> i64:
        """Where to go on behind space that was never written; -1 when these zeros are not that."""
        reader = self._reader
        begin = reader.after_zeros(offset)
        if begin == reader.size:
            return begin
        # The last bytes of it may be the first ones of a header.
        at: i64 = max(offset, begin - 3)
        while at <= begin:
            if reader.look(at) == GOOD and reader.is_vouched:
                self._head.read(reader.payload)
                if self._head.sequence and self._head.sequence == self._expected:
                    return at
            at += 1
        return -1

    def _go_around(self, offset: i64, reason: str) -> i64:
        """Where the next good message is behind the damaged one at `offset`; the end of the file when there is none."""
        reader = self._reader
        due: i64 = self._expected
        if self._has_fitting_index():
            known: i64 = self._index.sequence_at(int(offset))
            if 0 < known < due:
                self._take_back(known, offset)
            due = known or due
        following = self._next_good(offset, due)
        end: i64 = following if following >= 0 else reader.size
        if following < 0:
            if due and self._has_fitting_index() and self._index.last >= due:
                self._lose(offset, end, due, self._index.last, reason)
            else:
                self._findings.cut(self._file, int(offset), int(end), self._channel, int(due), reason)
            return end
        sequence = self._head.sequence
        if sequence > due > 0:
            self._lose(offset, end, due, sequence - 1, reason)
        else:
            self._findings.aside(self._file, int(offset), int(end), self._channel, int(sequence), reason)
        self._expected = sequence  # so nothing is said of the hole once more
        return following

    def _lose(self, start: i64, end: i64, first: i64, last: i64, reason: str) -> None:
        """Messages were between two offsets, and are damaged."""
        self.reported.append((int(first), int(last)))
        self._findings.damaged(self._file, int(start), int(end), self._channel, int(first), int(last), reason)

    def _next_good(self, offset: i64, due: i64) -> i64:
        """Where the next good message is, or -1. `_head` has read it."""
        index_says: i64 = self._from_index(offset, due, 1)
        if index_says >= 0:
            return index_says
        behind = self._behind(offset, due)
        if behind >= 0:
            return behind
        reader = self._reader
        index_says = self._from_index(offset, due, _NUMBER_MAX)
        if index_says >= 0:
            known: i64 = self._head.sequence
            before = self._before(offset, due, index_says)
            if before < 0:
                reader.look(index_says)
                self._head.sequence = known
            return before if before >= 0 else index_says
        at = reader.next_message(offset + 1, self._subject)
        while at >= 0:
            self._head.read(reader.payload)
            if self._head.sequence > due:
                return at
            at = reader.next_message(at + 1, self._subject)
        return -1

    def _from_index(self, offset: i64, due: i64, tries: i64) -> i64:
        """Where the index says that one of the next messages is, and one is; -1 when there is none."""
        if not self._has_fitting_index():
            return -1
        reader = self._reader
        sequence: i64 = due + 1 if due else self._index.first
        last: i64 = self._index.last
        while sequence <= last and tries > 0:
            place = self._index.place(int(sequence))
            if place is not None:
                at: i64 = place[0]
                if at > offset and reader.has_size(at, place[1]) and self._is_message(at, sequence):
                    return at
            sequence += 1
            tries -= 1
        return -1

    def _before(self, offset: i64, due: i64, end: i64) -> i64:
        """Where messages begin that the index does not know, and that lead to the one at `end`; -1 when there are none."""
        reader = self._reader
        at = reader.next_message(offset + 1, self._subject)
        while 0 <= at < end:
            self._head.read(reader.payload)
            sequence = self._head.sequence
            following = reader.end
            while following < end and reader.look(following) == GOOD:
                following = reader.end
            if following == end and sequence > due:
                reader.look(at)
                self._head.read(reader.payload)
                return at
            at = reader.next_message(at + 1, self._subject)
        return -1

    def _behind(self, offset: i64, due: i64) -> i64:
        """Where the damaged record would end, if the next message is there; -1 when it is not."""
        at = self._reader.end_of(offset)
        return at if due and at >= 0 and self._is_message(at, due + 1) else -1

    def _is_message(self, offset: i64, sequence: i64) -> bool:
        reader = self._reader
        if reader.look(offset) != GOOD or not reader.is_vouched:
            return False
        self._head.read(reader.payload)
        return self._head.sequence == sequence

    # What the index knows.

    def _has_fitting_index(self) -> bool:
        """Whether the index is of this data, as far as both can be compared by now."""
        if self._fits == 0 and self._index.first:
            for piece in self.pieces:
                self._fits = self._compare(piece)
                if self._fits:
                    break
            if self._fits < 0:
                self._findings.note(f"the index of {self._file.name} is not of this file: it is not used")
        return self._index.first > 0 and self._fits >= 0

    def _compare(self, piece: Piece) -> int:
        """Whether the index tells of `piece` what is so: 1 yes, -1 no, 0 it does not tell."""
        first, last = self._index.place(int(piece.first)), self._index.place(int(piece.last))
        if first is not None and first[0] != piece.start:
            return -1
        if last is not None and last[0] + HEADER_BYTES + last[1] != piece.end:
            return -1
        return 1 if last is not None and piece.count > 1 else 0

    def _ask_index(self) -> None:
        """Which messages there were before the first and after the last one that is there."""
        if self._has_fitting_index() and all(self._compare(piece) >= 0 for piece in self.pieces):
            self.known_first = self._index.first
            self.known_last = self._index.last
