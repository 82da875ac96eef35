"""The file layer: all input and output of the FILE store goes through here, and nothing else does.

It is small on purpose, so that a simulation (`durabus.testing.disk`) can stand in for it: one that fails at the n-th call
and loses what a power cut loses. It decides nothing, retries nothing that failed, and keeps no data. It blocks: whoever must
not wait calls it on another thread. Calls on several threads at once are allowed, as long as no handle is closed while
another thread uses it.
"""

import errno
import fcntl
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import Final, NoReturn

from mypy_extensions import mypyc_attr

__all__ = ["Files", "LockLostError", "OsFiles", "check_name", "make_directory"]

FILE_MODE: Final = 0o600
WHOLE_READ_BYTES: Final = 1 << 20
"""A read up to here is one call; above, the file's size bounds what is allocated."""


class LockLostError(OSError):
    """The files belong to another server now: the call was not made, or what it made durable does not count."""


def check_name(name: str) -> None:
    """Raise OSError (EINVAL) unless `name` is that of a file right in the directory."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)


def make_directory(path: Path) -> None:
    """Make the directory `path`, and those above it, so that a power cut does not take it away again. Raises OSError."""
    missing: list[Path] = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        descriptor = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@mypyc_attr(allow_interpreted_subclasses=True)
class Files:
    """The plain files of one directory, `directory`, which is there already.

    `name` is a plain file name. A handle is a number that stands for an open file until it is closed; numbers are not used
    again. Offsets, sizes and counts are bytes. Every call may raise OSError as the system does; its `filename` is the name of
    the file (after a rename the new one; of the directory, where that failed; None for a handle that is not open).

    Durable, that is safe from a power cut, are: the bytes and the size of a file as of its last `sync`; the names of files as
    of the last `sync_directory`. A file that was synced but whose name was not can be gone.
    """

    directory: str
    new_suffix = ".new"
    """What the name of a file ends with while it is written; where several servers share the directory, each has its own."""

    def names(self) -> list[str]:
        """The names of all plain files, in order: no directories, links or devices."""
        raise NotImplementedError  # pragma: no cover - abstract

    def exists(self, name: str) -> bool:
        """Whether there is something of this name; for when asking for all names would cost too much."""
        raise NotImplementedError  # pragma: no cover - abstract

    def create(self, name: str) -> int:
        """Make a file that only the owner can open, and open it for reading and writing; raises FileExistsError."""
        raise NotImplementedError  # pragma: no cover - abstract

    def open(self, name: str, writable: bool) -> int:
        """Open a file that is there."""
        raise NotImplementedError  # pragma: no cover - abstract

    def close(self, handle: int) -> None:
        """Close, and give up the lock if it has one. Whatever is raised, the handle is closed. It does not sync."""
        raise NotImplementedError  # pragma: no cover - abstract

    def size(self, handle: int) -> int:
        """How long the file is."""
        raise NotImplementedError  # pragma: no cover - abstract

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on; fewer where the file ends before, and only there."""
        raise NotImplementedError  # pragma: no cover - abstract

    def read_many(self, handle: int, places: list[tuple[int, int]]) -> list[bytes]:
        """What `read` says of each place, an offset and a count. If this raises, any of them may be at fault."""
        return [self.read(handle, offset, count) for offset, count in places]

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at `offset`. If this raises, any part of it may be written."""
        raise NotImplementedError  # pragma: no cover - abstract

    def sync(self, handle: int) -> None:
        """Make the file's bytes and size durable (fdatasync), whoever wrote them.

        If this raises, it is not known what is durable of that which was written since the last sync. Another sync that
        succeeds does not change that: the system may have forgotten that there was something left to write.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file off at `size`, or extend it with zeros that take no space on the disk yet."""
        raise NotImplementedError  # pragma: no cover - abstract

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at once and in place of a file that has it. Handles stay as they are."""
        raise NotImplementedError  # pragma: no cover - abstract

    def rename_new(self, old: str, new: str) -> None:
        """Give a file another name that none has; raises FileExistsError. If the power goes, it may have both names."""
        raise NotImplementedError  # pragma: no cover - abstract

    def remove(self, name: str) -> None:
        """Remove a file. Handles stay as they are; its space is free when the last one is closed."""
        raise NotImplementedError  # pragma: no cover - abstract

    def sync_directory(self) -> None:
        """Make durable which names there are."""
        raise NotImplementedError  # pragma: no cover - abstract

    def lock(self, name: str) -> int | None:
        """Open a file for reading and writing, made if it is not there, and lock it for this handle alone; does not wait.

        None when it is locked already, by whichever process. The lock ends with `close`, or with the process.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def map(self, handle: int) -> memoryview:
        """All bytes that the file has now, read only; bytes that are written there later are seen.

        The handle may be closed before; the memory is released with the last view of it. While there is one, the file must
        not be truncated: the system ends a process that looks at bytes which are gone (SIGBUS), or cannot be read.
        """
        raise NotImplementedError  # pragma: no cover - abstract


class OsFiles(Files):
    """The files of a directory of the operating system."""

    def __init__(self, directory: str) -> None:
        """Work in `directory`; whether it is there shows with the first call."""
        self.directory = os.path.abspath(directory)  # noqa: PTH100 - text is what is needed
        self._descriptors: dict[int, int] = {}  # by handle: their numbers are used again by the system, handles are not
        self._names: dict[int, str] = {}
        self._locked: set[int] = set()
        self._last_handle = 0

    def names(self) -> list[str]:
        """The names of all plain files, in order."""
        try:
            with os.scandir(self.directory) as entries:
                found = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError as error:
            self._fail(error, self.directory)
        found.sort()
        return found

    def exists(self, name: str) -> bool:
        """Whether there is something of this name."""
        check_name(name)
        try:
            return os.access(self._path(name), os.F_OK)
        except OSError as error:  # pragma: no cover - the system says no instead
            self._fail(error, name)

    def create(self, name: str) -> int:
        """Make a file, and open it."""
        return self._add(name, self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))

    def open(self, name: str, writable: bool) -> int:
        """Open a file that is there."""
        return self._add(name, self._open(name, os.O_RDWR if writable else os.O_RDONLY))

    def close(self, handle: int) -> None:
        """Close."""
        descriptor = self._descriptor(handle)
        name = self._names.pop(handle)
        del self._descriptors[handle]
        try:
            try:
                if handle in self._locked:
                    self._locked.discard(handle)
                    _unlock(descriptor)  # a copy of the descriptor (a mapping has one) would keep the lock
            finally:
                os.close(descriptor)
        except OSError as error:
            self._fail(error, name)

    def size(self, handle: int) -> int:
        """How long the file is."""
        descriptor = self._descriptor(handle)
        try:
            return os.fstat(descriptor).st_size
        except OSError as error:
            self._fail(error, self._names[handle])

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, or up to the end of the file."""
        descriptor = self._descriptor(handle)
        try:
            if count > WHOLE_READ_BYTES:
                count = min(count, max(os.fstat(descriptor).st_size - offset, 0))
            data = os.pread(descriptor, count, offset)
            if len(data) == count or not data:
                return data
            pieces = [data]
            done = len(data)
            while done < count:  # the system may return less than there is, and does so above 2 GiB
                data = os.pread(descriptor, count - done, offset + done)
                if not data:
                    break
                pieces.append(data)
                done += len(data)
            return b"".join(pieces)
        except OverflowError:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._names[handle]) from None
        except OSError as error:
            self._fail(error, self._names[handle])

    def read_many(self, handle: int, places: list[tuple[int, int]]) -> list[bytes]:
        """What is at each place: quicker than one by one, for it is mostly small."""
        descriptor = self._descriptor(handle)
        pread = os.pread
        try:
            found = [pread(descriptor, count, offset) for offset, count in places]
        except (OSError, OverflowError):
            return super().read_many(handle, places)  # which says more of it
        for index, (offset, count) in enumerate(places):
            if len(found[index]) != count:
                found[index] = self.read(handle, offset, count)
        return found

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at `offset`."""
        descriptor = self._descriptor(handle)
        try:
            _write_all(descriptor, memoryview(data).cast("B"), offset)
        except OverflowError:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._names[handle]) from None
        except OSError as error:
            self._fail(error, self._names[handle])

    def sync(self, handle: int) -> None:
        """Make the file's bytes and size durable."""
        descriptor = self._descriptor(handle)
        try:
            _sync_data(descriptor)
        except OSError as error:
            self._fail(error, self._names[handle])

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file off at `size`, or extend it."""
        descriptor = self._descriptor(handle)
        try:
            os.ftruncate(descriptor, size)
        except OverflowError:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._names[handle]) from None
        except OSError as error:
            self._fail(error, self._names[handle])

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        check_name(old)
        check_name(new)
        try:
            os.rename(self._path(old), self._path(new))  # noqa: PTH104 - text is what is needed
        except OSError as error:
            error.filename2 = new
            self._fail(error, old)
        self._rename_handles(old, new)

    def rename_new(self, old: str, new: str) -> None:
        """Give a file another name that none has."""
        check_name(old)
        check_name(new)
        try:
            _link_name(self._path(old), self._path(new))
        except OSError as error:
            error.filename2 = new
            self._fail(error, old)
        self._rename_handles(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        check_name(name)
        try:
            os.unlink(self._path(name))  # noqa: PTH108 - text is what is needed
        except OSError as error:
            self._fail(error, name)

    def sync_directory(self) -> None:
        """Make durable which names there are."""
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._fail(error, self.directory)

    def lock(self, name: str) -> int | None:
        """Open or make a file and lock it; None when it is locked already."""
        while True:
            descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
            try:
                if not _lock(descriptor):
                    os.close(descriptor)
                    return None
                is_named = self._is_named(descriptor, name)
            except OSError as error:
                os.close(descriptor)
                self._fail(error, name)
            if is_named:
                handle = self._add(name, descriptor)
                self._locked.add(handle)
                return handle
            os.close(descriptor)  # it was removed or replaced in between, so this lock keeps nobody out

    def map(self, handle: int) -> memoryview:
        """All bytes that the file has now, read only."""
        descriptor = self._descriptor(handle)
        try:
            if os.fstat(descriptor).st_size == 0:  # the system maps nothing that is empty
                return memoryview(b"")
            return memoryview(mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))
        except OSError as error:
            self._fail(error, self._names[handle])

    def _rename_handles(self, old: str, new: str) -> None:
        for handle in [handle for handle, name in list(self._names.items()) if name == old]:
            self._names[handle] = new

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def _open(self, name: str, flags: int) -> int:
        check_name(name)
        try:
            return os.open(self._path(name), flags | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            self._fail(error, name)

    def _add(self, name: str, descriptor: int) -> int:
        self._last_handle += 1
        handle = self._last_handle
        self._descriptors[handle] = descriptor
        self._names[handle] = name
        return handle

    def _descriptor(self, handle: int) -> int:
        descriptor = self._descriptors.get(handle)
        if descriptor is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return descriptor

    def _is_named(self, descriptor: int, name: str) -> bool:
        """Whether the open file is the one that has this name."""
        try:
            there = os.stat(self._path(name))  # noqa: PTH116 - text is what is needed
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(descriptor), there)

    def _fail(self, error: OSError, name: str) -> NoReturn:
        error.filename = name
        raise error


def _link_name(old: str, new: str) -> None:
    """Rename, but never in the place of another file."""
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without links: then two servers that do this at the same moment are not told apart here.
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(old, new)  # noqa: PTH104 - text is what is needed
        return
    os.unlink(old)  # noqa: PTH108 - text is what is needed


def _write_all(descriptor: int, rest: memoryview, offset: int) -> None:
    """Write until everything is written: the system may write less, and does so before it says that the disk is full."""
    while True:
        done = os.pwrite(descriptor, rest, offset)
        if done == len(rest):
            return
        if done == 0:  # no file system should do this, and trying for ever helps nobody
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rest = rest[done:]
        offset += done


def _sync_data(descriptor: int) -> None:
    """Have the disk keep a file's bytes and size."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # where a plain sync leaves them in the drive's own memory
    else:
        os.fdatasync(descriptor)


# Linux has locks that belong to the open file instead of to the process: closing another descriptor of the file does not
# release them. They exclude, and are excluded by, the older kind, which is what the original takes.


def _lock(descriptor: int) -> bool:
    """Take the exclusive lock of a file; whether that succeeded."""
    try:
        if sys.platform == "linux":
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either for "somebody else has it"
        return False
    return True


def _unlock(descriptor: int) -> None:
    """Release the lock of a file."""
    if sys.platform == "linux":
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_UNLCK))
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _whole_file(kind: int) -> bytes:
    """A `struct flock` of this kind."""
    return struct.pack("hhqqi", kind, os.SEEK_SET, 0, 0, 0)
