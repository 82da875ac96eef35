"""Reads files of which something may be unreadable, and keeps a copy of what is damaged: FORMAT.md §8."""

import errno
import os
from typing import Final

from durabus.stores.file.files import Files, LockLostError
from durabus.stores.file.layout import region_bounds, region_name

__all__ = ["Content", "nothing_if_unreadable", "read_content", "read_piece", "set_aside", "was_set_aside"]

_PIECE_BYTES: Final = 1024 * 1024
_PAGE_BYTES: Final = 4096
"""What cannot be read is looked for in steps of so many bytes: what disks and systems read at once."""
_UNREADABLE: Final = frozenset(
    getattr(errno, name) for name in ("EIO", "EBADMSG", "ENODATA", "EUCLEAN") if hasattr(errno, name)
)
"""What systems say of bytes that are there and cannot be read, as opposed to a call that is not allowed."""


class Content:
    """All bytes of a file. What could not be read is zeros; `unreadable` says from where to where, and why."""

    def __init__(self, data: bytearray, unreadable: list[tuple[int, int, str]]) -> None:
        """Keep both."""
        self.data = memoryview(data)
        self.unreadable = unreadable


def read_content(files: Files, handle: int) -> Content:
    """Read a whole file. Raises OSError, but not for bytes that cannot be read."""
    size = files.size(handle)
    data = bytearray(size)
    unreadable: list[tuple[int, int, str]] = []
    for start in range(0, size, _PIECE_BYTES):
        count = min(_PIECE_BYTES, size - start)
        if _read_into(data, files, handle, start, count):
            continue
        for page in range(start, start + count, _PAGE_BYTES):
            end = min(page + _PAGE_BYTES, size)
            problem = _why_unreadable(data, files, handle, page, end - page)
            if problem and unreadable and unreadable[-1][1] == page:
                unreadable[-1] = (unreadable[-1][0], end, problem)
            elif problem:
                unreadable.append((page, end, problem))
    return Content(data, unreadable)


def _read_into(data: bytearray, files: Files, handle: int, start: int, count: int) -> bool:
    return not _why_unreadable(data, files, handle, start, count)


def _why_unreadable(data: bytearray, files: Files, handle: int, start: int, count: int) -> str:
    """Read bytes into their place; why that is not possible, empty when it was."""
    try:
        found = files.read(handle, start, count)
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        return os.strerror(error.errno or 0).lower()
    data[start : start + len(found)] = found
    return ""


def read_piece(files: Files, handle: int, offset: int, count: int) -> bytes:
    """`count` bytes from `offset` on, fewer where the file ends; none where they cannot be read. Raises other OSErrors.

    What cannot be read is tried once more: not every error is one of the disk.
    """
    try:
        return files.read(handle, offset, count)
    except OSError as error:
        nothing_if_unreadable(error)
    try:
        return files.read(handle, offset, count)
    except OSError as error:
        return nothing_if_unreadable(error)


def nothing_if_unreadable(error: OSError) -> bytes:
    """What was read where `error` was raised: no bytes, if it says that they cannot be read; else raises it again."""
    if error.errno not in _UNREADABLE:
        raise error
    return b""


def set_aside(files: Files, number: int, start: int, data: bytes | memoryview) -> str:
    """Keep `data`, found in segment `number` from byte `start` on, as a file of its own; why that is not possible.

    What is there already under that name stays as it is. Raises LockLostError.
    """
    name = region_name(number, start, start + len(data))
    new_name = name + files.new_suffix
    try:
        names = files.names()
        if name in names:
            return ""
        if new_name in names:
            files.remove(new_name)
        handle = files.create(new_name)
        try:
            files.write(handle, 0, data)
            files.sync(handle)
        finally:
            files.close(handle)
        files.rename(new_name, name)
    except LockLostError:
        raise
    except OSError as error:
        return f"{name} cannot be written: {(error.strerror or str(error)).lower()}"
    return ""


def was_set_aside(files: Files, number: int, start: int, data: bytes) -> bool:
    """Whether what is found in segment `number` from byte `start` on was set aside, just as it is. Raises OSError."""
    end = start + len(data)
    for name in files.names():
        first, last = region_bounds(name, number)
        if not first <= start < end <= last:
            continue
        handle = files.open(name, False)
        try:
            if read_piece(files, handle, start - first, len(data)) == data:
                return True
        finally:
            files.close(handle)
    return False
