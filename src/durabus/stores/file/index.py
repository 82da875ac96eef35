"""Where the messages of each channel are in one segment: FORMAT.md §6.

The entries of a channel are 64 bytes each, in memory for the active segment and mapped from a file for a sealed one, and
read in the same way.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from durabus.stores.file.files import Files
from durabus.stores.file.frame import RUN_ENTRY, Place
from durabus.stores.file.layout import index_name
from durabus.stores.file.salvage import read_piece

__all__ = [
    "ENTRY_BYTES",
    "Entries",
    "SegmentIndex",
    "decode_index",
    "encode_index",
    "is_readable",
    "unpack_rows",
    "write_index",
]

ENTRY_BYTES: Final = 64
_MAGIC: Final = b"DURAIDX\n"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIQQQQQII")
_HEADER_BYTES: Final = 64
_CHANNEL: Final = struct.Struct("<QQQQQQQII")
_CHANNEL_BYTES: Final = 64
_FIRST: Final = struct.Struct("<Q")
_TIME_AT: Final = 48
"""Where the first timestamp is in an entry."""
_BYTES_AT: Final = 40
"""Where the bytes of the channel before the run are."""
_ADDED_MAX: Final = 64
"""Runs that are kept one by one, which is quicker and takes more memory."""
_REMEMBERED_MAX: Final = 256
"""Channels of a sealed segment whose entries need not be checked again."""


class Entries:
    """The runs of one channel in one segment, ascending."""

    def __init__(self, data: memoryview | None = None) -> None:
        """The runs that are packed in `data`, if any; to those none can be added."""
        self._data: bytearray | memoryview = bytearray() if data is None else data
        self._added: list[bytes] = []  # behind that
        self.first = 0
        self.last = 0
        self.last_timestamp_ns = 0
        self.bodies_bytes = 0

    def __len__(self) -> int:
        return (len(self._data) + ENTRY_BYTES * len(self._added)) // ENTRY_BYTES

    @property
    def data(self) -> bytearray | memoryview:
        """All runs as they are packed."""
        if self._added:
            self._put_together()
        return self._data

    def _put_together(self) -> None:
        """What was added one by one is part of the whole from now on."""
        data = self._data
        assert isinstance(data, bytearray)
        data += b"".join(self._added)
        self._added = []

    def add(self, entry: bytes, first: int, count: int, bodies_bytes: int, last_timestamp_ns: int) -> None:
        """Add the next run, `entry` as it is packed. Only to entries in memory."""
        if not self.first:
            self.first = first
        self.last = first + count - 1
        self.last_timestamp_ns = last_timestamp_ns
        self.bodies_bytes += bodies_bytes
        self._added.append(entry)
        if len(self._added) >= _ADDED_MAX:
            self._put_together()

    def at(self, index: int) -> Place:
        """Run number `index`, from 0."""
        values = RUN_ENTRY.unpack_from(self.data, index * ENTRY_BYTES)
        place = Place(0, values[0], values[1], values[2], values[6])
        place.lengths_offset, place.bodies_offset, place.bodies_bytes = values[3], values[4], values[5]
        place.first_timestamp_ns, place.single_crc = values[7], values[8]
        return place

    def rows(self, start: int, stop: int) -> bytes:
        """Runs number `start` up to, not including, `stop`, as they are packed: for `unpack_rows`."""
        return bytes(self.data[start * ENTRY_BYTES : stop * ENTRY_BYTES])

    def find(self, sequence: int) -> int:
        """The number of the last run that begins at or before `sequence`; -1 when all begin after it."""
        return self._last_up_to(sequence, 0)

    def find_time(self, timestamp_ns: int) -> int:
        """The number of the last run that begins before `timestamp_ns`; -1 when none does."""
        return self._last_up_to(timestamp_ns - 1, _TIME_AT)

    def find_bytes(self, bytes_ever: int) -> int:
        """The number of the last run before which the channel has less than `bytes_ever` bytes; -1 when none is that."""
        return self._last_up_to(bytes_ever - 1, _BYTES_AT)

    def _last_up_to(self, value: int, field: int) -> int:
        low, high = 0, len(self)
        data = self.data
        while low < high:
            middle = (low + high) // 2
            if _FIRST.unpack_from(data, middle * ENTRY_BYTES + field)[0] <= value:
                low = middle + 1
            else:
                high = middle
        return low - 1


def unpack_rows(rows: bytes) -> Iterator[tuple[int, ...]]:
    """Packed runs one by one, each as the ten fields of an entry (FORMAT.md §6)."""
    return RUN_ENTRY.iter_unpack(rows)


class SegmentIndex:
    """The entries of every channel of one segment: of the active one in memory, of a sealed one mapped."""

    def __init__(self) -> None:
        """Of a segment without messages."""
        self.end = 0  # where the last frame of a sealed segment ends
        self._entries: dict[int, Entries] = {}
        self._view: memoryview | None = None
        self._count = 0
        self._files: Files | None = None
        self._name = ""

    @classmethod
    def mapped(cls, view: memoryview, count: int, end: int) -> "SegmentIndex":
        """That of a sealed segment, whose file is `view`, with `count` channels."""
        index = cls()
        index.end = end
        index._view = view
        index._count = count
        return index

    def read_first(self, files: Files, number: int) -> None:
        """Before entries are looked at, read them through `files`: who looks at mapped bytes that cannot be read is ended."""
        self._files = files
        self._name = index_name(number)

    def _is_readable(self, start: int, size: int) -> bool:
        """Whether bytes of the file can be read. Raises OSError for other reasons."""
        files = self._files
        if files is None or not files.exists(self._name):
            return True
        handle = files.open(self._name, False)
        try:
            return len(read_piece(files, handle, start, size)) == size
        finally:
            files.close(handle)

    def add(self, place: Place) -> None:
        """Add a run that was found in the segment."""
        entries = self.entries_to_add(place.channel_id)
        entries.add(place.entry(), place.first, place.count, place.bodies_bytes, place.last_timestamp_ns)

    def entries_to_add(self, channel_id: int) -> Entries:
        """The runs of one channel in the active segment, from now on if not before."""
        entries = self._entries.get(channel_id)
        if entries is None:
            entries = self._entries[channel_id] = Entries()
        return entries

    def channels(self) -> list[tuple[int, int, int, int, int]]:
        """Of each channel, ascending: id, first sequence, last sequence, last timestamp, bytes of the bodies."""
        if self._view is None:
            return [
                (channel_id, one.first, one.last, one.last_timestamp_ns, one.bodies_bytes)
                for channel_id, one in sorted(self._entries.items())
            ]
        rows = [_CHANNEL.unpack_from(self._view, _HEADER_BYTES + row * _CHANNEL_BYTES) for row in range(self._count)]
        return [(row[0], row[3], row[4], row[5], row[6]) for row in rows]

    def entries(self, channel_id: int) -> Entries | None:
        """The runs of one channel; None when there are none. Raises ValueError when they are damaged."""
        found = self._entries.get(channel_id)
        if found is not None or self._view is None:
            return found
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            row = _CHANNEL.unpack_from(self._view, _HEADER_BYTES + middle * _CHANNEL_BYTES)
            if row[0] == channel_id:
                return self._map_entries(row)
            if row[0] < channel_id:
                low = middle + 1
            else:
                high = middle
        return None

    def _map_entries(self, row: tuple[int, ...]) -> Entries:
        """The entries of one directory row, checked, and remembered as such."""
        assert self._view is not None
        start = _HEADER_BYTES + self._count * _CHANNEL_BYTES + row[1] * ENTRY_BYTES
        data = self._view[start : start + row[2] * ENTRY_BYTES]
        is_there = len(data) == row[2] * ENTRY_BYTES and self._is_readable(start, len(data))
        if not is_there or zlib.crc32(data) != row[7]:
            raise ValueError(f"the entries of channel {row[0]} are damaged")
        entries = Entries(data)
        entries.first, entries.last, entries.last_timestamp_ns, entries.bodies_bytes = row[3:7]
        if len(self._entries) >= _REMEMBERED_MAX:
            self._entries.clear()
        self._entries[row[0]] = entries
        return entries


def encode_index(index: SegmentIndex, number: int, salt: int) -> bytes:
    """The index of a segment that was active, as the bytes of its file."""
    directory: list[bytes] = []
    blocks: list[bytes] = []
    at = 0
    for channel_id, first, last, last_ns, bodies_bytes in index.channels():
        entries = index.entries(channel_id)
        assert entries is not None
        block = bytes(entries.data)
        directory.append(
            _CHANNEL.pack(channel_id, at, len(entries), first, last, last_ns, bodies_bytes, zlib.crc32(block), 0)
        )
        blocks.append(block)
        at += len(entries)
    rows = b"".join(directory)
    head = _HEADER.pack(_MAGIC, _VERSION, len(directory), number, salt, index.end, 0, 0, 0, 0)[:60]
    crc = zlib.crc32(rows, zlib.crc32(head))
    return b"".join((head, crc.to_bytes(4, "little"), rows, *blocks))


def write_index(files: Files, index: SegmentIndex, number: int, salt: int) -> SegmentIndex | None:
    """Put the file of `index` in the place of the one before, if any; what it says, mapped. Raises OSError."""
    data = encode_index(index, number, salt)
    name = index_name(number)
    new_name = name + files.new_suffix
    if new_name in files.names():
        files.remove(new_name)
    handle = files.create(new_name)
    try:
        files.write(handle, 0, data)
        files.sync(handle)
        files.rename(new_name, name)
        found = decode_index(files.map(handle), number, salt)
        if found is not None:
            found.read_first(files, number)
        return found
    finally:
        files.close(handle)


def is_readable(files: Files, handle: int) -> bool:
    """Whether the header and the directory of an index can be read: whoever looks at mapped bytes that cannot is ended."""
    head = read_piece(files, handle, 0, _HEADER_BYTES)
    if len(head) < _HEADER_BYTES:
        return False
    size = min(_HEADER_BYTES + int.from_bytes(head[12:16], "little") * _CHANNEL_BYTES, files.size(handle))
    return len(read_piece(files, handle, 0, size)) == size


def decode_index(view: memoryview, number: int, salt: int) -> SegmentIndex | None:
    """The index in a mapped file; None when it is not that of the segment with this number and salt."""
    if len(view) < _HEADER_BYTES:
        return None
    magic, version, count, found_number, found_salt, end, _, _, _, crc = _HEADER.unpack_from(view)
    if magic != _MAGIC or version != _VERSION or found_number != number or found_salt != salt:
        return None
    directory_end = _HEADER_BYTES + count * _CHANNEL_BYTES
    if directory_end > len(view):
        return None
    if zlib.crc32(view[_HEADER_BYTES:directory_end], zlib.crc32(view[:60])) != crc:
        return None
    return SegmentIndex.mapped(view, count, end)
