"""Files that are only read, with everything that is written kept in another directory.

For opening a journal as a start does, without changing a byte of it.
"""

import errno
import os
from collections.abc import Callable
from typing import Final

from durabus.stores.file.files import Files, check_name
from durabus.stores.file.layout import head_number, index_number, segment_number

__all__ = ["OverlayFiles", "is_of_a_journal"]

_PIECE_BYTES: Final = 1024 * 1024


def is_of_a_journal(name: str) -> bool:
    """Whether a file belongs to the journal itself: no lock, no lease, nothing half done or set aside."""
    return bool(segment_number(name) or head_number(name) or index_number(name))


class _Open:
    """An open file: `layer` has it as `handle`."""

    def __init__(self, layer: Files, handle: int, name: str) -> None:
        self.layer = layer
        self.handle = handle
        self.name = name


class OverlayFiles(Files):
    """What `base` has, as far as `shown` says, under what `scratch` has. Nothing is made durable."""

    def __init__(self, base: Files, scratch: Files, shown: Callable[[str], bool] = is_of_a_journal) -> None:
        """Only `scratch` is written to."""
        self.directory = base.directory
        self._base = base
        self._scratch = scratch
        self._shown = shown
        self._moved: dict[str, str] = {}  # a name and the one that it has in the base
        self._hidden: set[str] = set()  # names of the base that are not there any more
        self._handles: dict[int, _Open] = {}
        self._last_handle = 0

    def _in_base(self) -> dict[str, str]:
        """The names of files that are in the base, with those that they have there."""
        found = {name: name for name in self._base.names() if self._shown(name) and name not in self._hidden}
        found.update(self._moved)
        return found

    def names(self) -> list[str]:
        """The names of all plain files, in order."""
        return sorted({*self._in_base(), *self._scratch.names()})

    def exists(self, name: str) -> bool:
        """Whether there is something of this name."""
        check_name(name)
        return name in self.names()

    def _add(self, layer: Files, handle: int, name: str) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = _Open(layer, handle, name)
        return self._last_handle

    def create(self, name: str) -> int:
        """Make a file, and open it."""
        if name in self._in_base():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        return self._add(self._scratch, self._scratch.create(name), name)

    def open(self, name: str, writable: bool) -> int:
        """Open a file that is there."""
        if name in self._scratch.names():
            return self._add(self._scratch, self._scratch.open(name, writable), name)
        return self._add(self._base, self._base.open(self._in_base().get(name, name), False), name)

    def close(self, handle: int) -> None:
        """Close."""
        one = self._handles.pop(handle)
        one.layer.close(one.handle)

    def size(self, handle: int) -> int:
        """How long the file is."""
        one = self._handles[handle]
        return one.layer.size(one.handle)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, or up to the end of the file."""
        one = self._handles[handle]
        return one.layer.read(one.handle, offset, count)

    def map(self, handle: int) -> memoryview:
        """All bytes that the file has now, read only."""
        one = self._handles[handle]
        return one.layer.map(one.handle)

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`: into a copy of the file, unless that is what it has there."""
        one = self._handles[handle]
        if one.layer is self._base:
            if one.layer.read(one.handle, offset, len(data)) == data:
                return
            self._copy_up(one)
        one.layer.write(one.handle, offset, data)

    def truncate(self, handle: int, size: int) -> None:
        """Cut a copy of the file off at `size`, or extend it."""
        one = self._handles[handle]
        if one.layer is self._base:
            self._copy_up(one)
        one.layer.truncate(one.handle, size)

    def _copy_up(self, one: _Open) -> None:
        """From now on the file is a copy of that in the base, for whoever has it open under its name."""
        copy = self._scratch.create(one.name)
        offset = 0
        while piece := self._base.read(one.handle, offset, _PIECE_BYTES):
            self._scratch.write(copy, offset, piece)
            offset += len(piece)
        self._scratch.close(copy)
        self._hide(one.name)
        for other in self._handles.values():
            if other.name == one.name and other.layer is self._base:
                self._base.close(other.handle)
                other.layer, other.handle = self._scratch, self._scratch.open(one.name, True)

    def _hide(self, name: str) -> None:
        self._hidden.add(self._moved.pop(name, name))

    def sync(self, handle: int) -> None:
        """Nothing: this is gone when the process ends."""

    def sync_directory(self) -> None:
        """Nothing, likewise."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        in_base = self._in_base()
        if new in self._scratch.names():
            self._scratch.remove(new)
        if new in in_base:
            self._hide(new)
        if old in self._scratch.names():
            self._scratch.rename(old, new)
        else:
            if old not in in_base:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
            self._hide(old)
            self._moved[new] = in_base[old]
        for one in self._handles.values():
            if one.name == old:
                one.name = new

    def rename_new(self, old: str, new: str) -> None:
        """Give a file another name that none has."""
        if self.exists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        self.rename(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        if name in self._scratch.names():
            self._scratch.remove(name)
        elif name in self._in_base():
            self._hide(name)
        else:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def lock(self, name: str) -> int | None:
        """Lock a file of the scratch directory: nobody else is here."""
        handle = self._scratch.lock(name)
        return None if handle is None else self._add(self._scratch, handle, name)
