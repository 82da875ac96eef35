"""The records that all files of the original are made of, one by one or in search of the next good one.

A record is a header of 8 bytes and a payload: four bytes with the payload's size (in *typed* files the highest of them is
the record's type), four with its CRC-32. A file begins with four bytes for its version, always 1.
"""

from typing import Final

from mypy_extensions import i64

from durabus.stores.original_file.checksum import Checksum
from durabus.stores.original_file.files import SourceFile
from durabus.wire.limits import VARINT_BYTES_MAX

__all__ = [
    "END",
    "GOOD",
    "HEADER_BYTES",
    "MESSAGE_BYTES_MAX",
    "TORN",
    "TYPED_BYTES_MAX",
    "VERSION_BYTES",
    "WRONG",
    "ZEROS",
    "RecordReader",
    "version_complaint",
]

VERSION_BYTES: Final = 4
HEADER_BYTES: Final = 8
TYPED_BYTES_MAX: Final = (1 << 24) - 1
"""The largest payload in a typed file: the size has three bytes there."""
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024 + 65536
"""The largest payload of messages that is believed: what a NATS server can be told to take, and what is around it."""

GOOD: Final = 0
"""A record that is whole."""
END: Final = 1
"""The end of the file, or what is not a record's size away from it."""
ZEROS: Final = 2
"""Eight zeros where a header should be: space that was never written."""
TORN: Final = 3
"""A record that ends behind the end of the file."""
WRONG: Final = 4
"""No record, or one that is damaged."""

_CHUNK_BYTES: Final = 1 << 20
_SEARCH_BYTES_MAX: Final = 1 << 28
"""How many bytes all searches in a file may take checksums of, so that bytes made for it cannot hold a start up."""
_SEARCHED_TYPED_BYTES_MAX: Final = 1 << 16
_NO_SIZE: Final = 1 << 40


class RecordReader:
    """Looks at the records of one file: `look` at an offset, then at `kind`, `payload` and `end`."""

    def __init__(self, file: SourceFile, is_typed: bool, checksum: Checksum, is_checked: bool = True) -> None:
        """Read `file`. Unless `is_checked`, a record whose checksum is wrong is good as well."""
        self._file = file
        self._is_typed = is_typed
        self._checksum = checksum
        self._is_checked = is_checked
        self._bytes_max: i64 = TYPED_BYTES_MAX if is_typed else MESSAGE_BYTES_MAX
        self.size: i64 = file.size
        self.kind: i64 = 0
        self.payload = b""
        self.end: i64 = 0
        self._crc: i64 = 0
        self._chunk = b""
        self._base: i64 = 0
        self.search_bytes_left: i64 = _SEARCH_BYTES_MAX

    @property
    def is_vouched(self) -> bool:
        """Whether the checksum of the payload is right, asked for or not."""
        return self._is_checked or self._checksum.of(self.payload) == self._crc

    def _reach(self, offset: i64, count: i64) -> i64:
        """Have `count` bytes from `offset` on in the chunk, or what the file has; where they begin in it."""
        if offset < self._base or offset + count > self._base + len(self._chunk):
            self._chunk = self._file.read(int(offset), int(max(count, _CHUNK_BYTES)))
            self._base = offset
        return offset - self._base

    def look(self, offset: i64) -> i64:
        """What is at `offset`: GOOD, END, ZEROS, TORN or WRONG."""
        if offset >= self.size:
            return END
        if offset + HEADER_BYTES > self.size:
            return TORN
        at: i64 = self._reach(offset, HEADER_BYTES)
        chunk = self._chunk
        if len(chunk) < at + HEADER_BYTES:
            return TORN  # the file has shrunk
        size: i64 = chunk[at] | chunk[at + 1] << 8 | chunk[at + 2] << 16
        high: i64 = chunk[at + 3]
        crc: i64 = chunk[at + 4] | chunk[at + 5] << 8 | chunk[at + 6] << 16 | chunk[at + 7] << 24
        if size == 0 and high == 0 and crc == 0:
            return ZEROS
        if self._is_typed:
            self.kind = high
        else:
            size |= high << 24
        if size > self._bytes_max:
            return WRONG
        if offset + HEADER_BYTES + size > self.size:
            return TORN
        at = self._reach(offset, HEADER_BYTES + size) + HEADER_BYTES
        payload = self._chunk[at : at + size]
        if len(payload) < size:
            return TORN
        if self._is_checked and self._checksum.of(payload) != crc:
            return WRONG
        self.payload = payload
        self._crc = crc
        self.end = offset + HEADER_BYTES + size
        return GOOD

    def next_typed(self, offset: i64, begins: bytes) -> i64:
        """The first place from `offset` on where a good record lies whose payload begins so; -1 when there is none.

        `look` is left at it. Its checksum is right, whether that is asked for or not, and it is not very large.
        """
        at: i64 = offset
        while at + HEADER_BYTES < self.size:
            found = self._find(begins, at + HEADER_BYTES)
            if found < 0:
                return -1
            at = found - HEADER_BYTES
            if self._size_at(at) <= _SEARCHED_TYPED_BYTES_MAX and self._is_proven(at):
                return at
            at += 1
        return -1

    def next_message(self, offset: i64, subject: bytes) -> i64:
        """The first place from `offset` on where a good message lies; -1 when there is none. `look` is left at it.

        `subject` are the bytes of its second field; before it is a sequence in the first. Its checksum is right, whether that
        is asked for or not.
        """
        at: i64 = offset + HEADER_BYTES + 2
        while at < self.size:
            at = self._find(subject, at)
            if at < 0:
                return -1
            digits: i64 = 1
            while digits <= VARINT_BYTES_MAX:
                start: i64 = at - digits - 1 - HEADER_BYTES
                if start < offset:
                    break
                if self._is_sequence(start + HEADER_BYTES, digits) and self._is_proven(start):
                    return start
                digits += 1
            at += 1
        return -1

    def has_size(self, offset: i64, size: i64) -> bool:
        """Whether the header at `offset` tells of a payload of so many bytes."""
        return self._size_at(offset) == size

    def end_of(self, offset: i64) -> i64:
        """Where the record at `offset` ends, going by its header alone; -1 when it cannot be there."""
        size = self._size_at(offset)
        return offset + HEADER_BYTES + size if size != _NO_SIZE else -1

    def _find(self, wanted: bytes, offset: i64) -> i64:
        """Where `wanted` is, from `offset` on; -1 when it is nowhere."""
        count: i64 = len(wanted)
        while offset + count <= self.size:
            start: i64 = self._reach(offset, count)
            found: i64 = self._chunk.find(wanted, start)
            if found >= 0:
                return self._base + found
            offset = max(self._base + len(self._chunk) - count + 1, offset + 1)
        return -1

    def _is_sequence(self, offset: i64, digits: i64) -> bool:
        """Whether there is field 1 with a number of so many bytes."""
        at: i64 = self._reach(offset, digits + 1)
        field = self._chunk[at : at + digits + 1]
        if len(field) <= digits or field[0] != 8 or field[digits] > 127:
            return False
        index: i64 = 1
        while index < digits:
            if field[index] < 128:
                return False
            index += 1
        return True

    def _size_at(self, offset: i64) -> i64:
        """The size of the payload of a record at `offset`; more than any has when none can be there."""
        at: i64 = self._reach(offset, HEADER_BYTES)
        chunk = self._chunk
        if len(chunk) < at + HEADER_BYTES:
            return _NO_SIZE
        size: i64 = chunk[at] | chunk[at + 1] << 8 | chunk[at + 2] << 16
        if not self._is_typed:
            size |= chunk[at + 3] << 24
        if size == 0 or size > self._bytes_max or offset + HEADER_BYTES + size > self.size:
            return _NO_SIZE
        return size

    def _is_proven(self, offset: i64) -> bool:
        """Whether a record at `offset` is there and has the right checksum."""
        size: i64 = self._size_at(offset)
        if size == _NO_SIZE or size > self.search_bytes_left:
            return False
        self.search_bytes_left -= size
        return self.look(offset) == GOOD and self.is_vouched

    def after_zeros(self, offset: i64) -> i64:
        """Where the first byte from `offset` on lies that is not zero; the size of the file when there is none."""
        at: i64 = offset
        while at < self.size:
            start: i64 = self._reach(at, 1)
            rest = self._chunk[start:]
            if not rest:
                break
            kept: i64 = len(rest.lstrip(b"\0"))
            if kept:
                return at + len(rest) - kept
            at += len(rest)
        return self.size


def version_complaint(file: SourceFile) -> str:
    """What is wrong with the first bytes of `file`, in words; empty when nothing is. An empty file has none yet."""
    head = file.read(0, VERSION_BYTES)
    if not head or head == b"\x01\0\0\0":
        return ""
    if len(head) < VERSION_BYTES:
        return f"it ends after {len(head)} bytes"
    return f"its version is {int.from_bytes(head, 'little')}, the only one that there ever was is 1"
