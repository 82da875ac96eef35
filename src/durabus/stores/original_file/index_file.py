"""A slice's index: where each message lies in the slice's data. Only asked where the data alone is not clear."""

import struct
import zlib
from collections.abc import Callable
from typing import Final

from durabus.stores.original_file.checksum import IEEE, Checksum
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.records import VERSION_BYTES

__all__ = ["ENTRY_BYTES", "IndexFile"]

ENTRY_BYTES: Final = 32
"""Of an entry: sequence (8), offset (8), timestamp (8), size of the message (4), checksum of all that (4)."""
_ENTRY: Final = struct.Struct("<QqqII")
_CHECKED_BYTES: Final = 28
_CHUNK_BYTES: Final = 1 << 16
_NUMBER_MAX: Final = 1 << 62


class IndexFile:
    """Finds messages by sequence or offset. What is not in the index, or damaged there, is not known."""

    def __init__(self, file: SourceFile | None, checksum: Checksum) -> None:
        """Use `file`; None is an index that knows nothing."""
        self._file = file
        self._crc: Callable[[bytes], int] = zlib.crc32 if checksum.polynomial == IEEE else checksum.of
        self._chunk = b""
        self._base = 0
        self._count = max(0, (file.size - VERSION_BYTES) // ENTRY_BYTES) if file is not None else 0
        self._origin = self._find_origin()
        self.first = 0
        self.last = 0
        """The first and the last sequence that are known; 0 when none is."""
        if self._origin:
            self.first = next(filter(self._is_known, range(self._origin, self._origin + self._count)), 0)
            self.last = next(filter(self._is_known, range(self._origin + self._count - 1, self._origin - 1, -1)), 0)

    def _entry(self, position: int) -> tuple[int, int, int] | None:
        """Sequence, offset and size of the message in the entry number `position`; None when that is damaged."""
        if not 0 <= position < self._count or self._file is None:
            return None
        at = VERSION_BYTES + position * ENTRY_BYTES
        if not self._base <= at <= self._base + len(self._chunk) - ENTRY_BYTES:
            # Forwards mostly, sometimes backwards: the wanted entry in the middle.
            self._base = max(VERSION_BYTES, at - _CHUNK_BYTES // 2)
            self._chunk = self._file.read(self._base, _CHUNK_BYTES)
        data = self._chunk[at - self._base : at - self._base + ENTRY_BYTES]
        if len(data) < ENTRY_BYTES:
            return None
        sequence, offset, _, size, crc = _ENTRY.unpack(data)
        if not 0 < sequence < _NUMBER_MAX or offset < VERSION_BYTES or self._crc(data[:_CHECKED_BYTES]) != crc:
            return None
        return sequence, offset, size

    def _find_origin(self) -> int:
        """The sequence that the first entry has, or should have; 0 when there is no good entry."""
        for position in range(self._count):
            entry = self._entry(position)
            if entry is not None:
                return max(0, entry[0] - position)
        return 0

    def _is_known(self, sequence: int) -> bool:
        return self.place(sequence) is not None

    def place(self, sequence: int) -> tuple[int, int] | None:
        """Offset and size of a message; None when it is not known."""
        entry = self._entry(sequence - self._origin) if self._origin else None
        return (entry[1], entry[2]) if entry is not None and entry[0] == sequence else None

    def sequence_at(self, offset: int) -> int:
        """Which message lies at `offset`; 0 when none is known to."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            entry = self._entry(middle)
            if entry is None:
                return 0
            if entry[1] == offset:
                return entry[0]
            if entry[1] < offset:
                low = middle + 1
            else:
                high = middle
        return 0

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
