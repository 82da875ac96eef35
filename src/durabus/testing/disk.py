"""A disk in memory for tests of the FILE store: it knows what is durable, fails when asked to, and can lose its power.

    disk = SimulatedDisk()
    files = SimulatedFiles(disk)                    # one for each process that uses the disk
    disk.fail(7, OSError(errno.EIO, "broken"))      # the seventh call from now on
    ... disk.calls                                  # what was called, as (kind, name)
    disk.end(9)                                     # everything ends in the middle of the ninth call
    after = disk.cut_power(random.Random(1))        # the disk as it may be found: one of very many ways
    after = disk.kill()                             # the processes ended, but nothing that was written is lost

What a power cut keeps is decided anew by each `cut_power`, and the former disk stays as it was: one history can be cut many times.

The model. Per file: every sector written since the last sync ends as before or as after any of the writes, independently
of all others, and the size anywhere between those it had (`durabus.testing.file_content`). Of what happened to names since the
last `sync_directory` each operation is kept or lost; but those on one name in their order, and a rename moves a file as a whole:
it is under the old name or the new one. Names and contents are independent. After a failed sync, `chance` decides what became
durable, and a later sync does not write the rest, though it is still read: the system takes it for clean. So it is on Linux.
"""

import contextlib
import errno
import itertools
import os
import random
import threading
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from durabus.stores.file.files import Files, check_name
from durabus.testing.file_content import SECTOR_BYTES, FileContent

__all__ = ["Kind", "ProcessEndedError", "SimulatedDisk", "SimulatedFiles"]

Kind = Literal[
    "names",
    "exists",
    "create",
    "open",
    "close",
    "size",
    "read",
    "write",
    "sync",
    "truncate",
    "rename",
    "rename_new",
    "remove",
    "sync_directory",
    "lock",
    "map",
]
T = TypeVar("T")

FILE_BYTES_MAX: Final = 1 << 30  # files are kept in memory
OFFSET_MAX: Final = (1 << 63) - 1
_HANDLES: Final = itertools.count(1)  # for all processes, so that a handle of another one, or a former one, is none


class ProcessEndedError(OSError):
    """The process that makes this call has ended: what the call would return, nobody is there to see."""


class _File:
    """A file, whatever its name."""

    def __init__(self, content: FileContent) -> None:
        self.content = content
        self.is_locked = False


class _NameOperation:
    """A file got a name (`old` is None), lost it (`new` is None), or both."""

    def __init__(self, file: _File, old: str | None, new: str | None) -> None:
        self.file = file
        self.old = old
        self.new = new
        self.names = {name for name in (old, new) if name is not None}
        self.is_forgotten = False  # by a failed sync of the directory: no later one makes it durable

    def apply(self, entries: dict[str, _File]) -> None:
        """Do it."""
        if self.old is not None:
            del entries[self.old]
        if self.new is not None:
            entries[self.new] = self.file


class _Names:
    """Which files there are: `entries` as they are now, `durable` as of the last sync, `operations` from these to those."""

    def __init__(self) -> None:
        self.entries: dict[str, _File] = {}
        self.durable: dict[str, _File] = {}
        self.operations: list[_NameOperation] = []

    def change(self, file: _File, old: str | None, new: str | None) -> None:
        """Give `file` a name, or take it away, or both; durable with the next sync."""
        operation = _NameOperation(file, old, new)
        names = set(operation.names)
        for earlier in reversed(self.operations):  # what is written anew takes along what it rests on
            if earlier.names & names:
                earlier.is_forgotten = False
                names |= earlier.names
        operation.apply(self.entries)
        self.operations.append(operation)

    def sync(self) -> None:
        """Make the names durable, but for what a failed sync forgot."""
        for operation in self.operations:
            if not operation.is_forgotten:
                operation.apply(self.durable)
        self.operations = [operation for operation in self.operations if operation.is_forgotten]

    def fail_sync(self, chance: random.Random) -> None:
        """Make some of the operations durable, and forget that the others are not."""
        kept = self.kept_operations(chance)
        for operation in kept:
            operation.apply(self.durable)
        self.operations = [operation for operation in self.operations if operation not in kept]
        for operation in self.operations:
            operation.is_forgotten = True

    def kept_operations(self, chance: random.Random) -> list[_NameOperation]:
        """Which operations reach the disk: none without those before it on the same names."""
        kind = chance.randrange(4)
        share = (0.0, 1.0, 0.5, 1 - 1 / (len(self.operations) + 1))[kind]
        kept: list[_NameOperation] = []
        lost: set[str] = set()
        for operation in self.operations:
            if operation.is_forgotten or operation.names & lost or chance.random() >= share:
                lost |= operation.names
            else:
                kept.append(operation)
        return kept

    def after_power_cut(self, chance: random.Random) -> "_Names":
        """What the disk has when the power goes now."""
        entries = dict(self.durable)
        for operation in self.kept_operations(chance):
            operation.apply(entries)
        found = _Names()
        for name in sorted(entries):
            found.entries[name] = _File(FileContent(entries[name].content.after_power_cut(chance)))
        found.durable = dict(found.entries)
        return found

    def copy(self) -> "_Names":
        """The same for other processes: nothing is locked."""
        copies: dict[_File, _File] = {}
        operated = [operation.file for operation in self.operations]
        for file in (*self.entries.values(), *self.durable.values(), *operated):
            if file not in copies:
                copies[file] = _File(file.content.copy())
        copied = _Names()
        copied.entries = {name: copies[file] for name, file in self.entries.items()}
        copied.durable = {name: copies[file] for name, file in self.durable.items()}
        for operation in self.operations:
            again = _NameOperation(copies[operation.file], operation.old, operation.new)
            again.is_forgotten = operation.is_forgotten
            copied.operations.append(again)
        return copied


class _Fault:
    """A call that is going to fail, or (`error` is None) the one in which everything ends."""

    def __init__(self, error: OSError | None, kind: str, calls_left: int, partial: float, repeated: bool) -> None:
        self.error = error
        self.kind = kind
        self.calls_left = calls_left
        self.partial = partial
        self.repeated = repeated
        self.chance = random.Random(0)  # noqa: S311 - a simulation

    def is_due(self, kind: str) -> bool:
        """Count a call; whether it is the one."""
        if self.kind not in ("", kind):
            return False
        self.calls_left -= 1
        return self.calls_left <= 0  # a fault that is not repeated is gone then


class SimulatedDisk:
    """One directory on one disk. `calls` are all calls so far; `failures` counts those that failed because they were told to.

    With `capacity_bytes`, writes fail with ENOSPC when the files would take more than that, in whole sectors, after as much
    as fits is written. It can be changed at any time.
    """

    def __init__(self, capacity_bytes: int | None = None) -> None:
        """Empty."""
        self.capacity_bytes = capacity_bytes
        self.calls: list[tuple[Kind, str]] = []
        self.failures = 0
        self.is_ended = False
        self._faults: list[_Fault] = []
        # What the processes on it share
        self.guard = threading.RLock()
        self.files = _Names()
        self.processes: list[SimulatedFiles] = []

    # What tests ask for

    def fail(
        self,
        call_number: int,
        error: OSError,
        *,
        kind: Kind | Literal[""] = "",
        partial: float = 0.0,
        repeated: bool = False,
        chance: random.Random | None = None,
    ) -> None:
        """Let a call fail with `error`: the `call_number`-th from now on, of this kind, if one is given; 1 is the next one.

        With `partial` a part is done all the same: that share of a write's bytes; any other call as a whole, if it is 1. With
        `repeated` all later ones fail as well. `chance` decides what a failed sync leaves behind.
        """
        if call_number < 1:
            raise ValueError("the next call is number 1")
        fault = _Fault(error, kind, call_number, partial, repeated)
        if chance is not None:
            fault.chance = chance
        self._faults.append(fault)

    def end(self, call_number: int, *, kind: Kind | Literal[""] = "", partial: float = 1.0) -> None:
        """Let all processes end in the `call_number`-th call from now on, counted as for `fail`: to cut the power then, or kill.

        `partial` is how much of the call has an effect; a sync never has one. Before a power cut, leave it at 1: that
        includes everything less.
        """
        if call_number < 1:
            raise ValueError("the next call is number 1")
        self._faults.append(_Fault(None, kind, call_number, partial, repeated=True))

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._faults.clear()

    def cut_power(self, chance: random.Random) -> "SimulatedDisk":
        """The disk as it may be found after a power cut now; all processes end. Can be asked again, for another way."""
        return self._succeeded_by(lambda: self.files.after_power_cut(chance))

    def kill(self) -> "SimulatedDisk":
        """The disk after the end of all processes: all that was written is there, durable or not, and no file is locked."""
        return self._succeeded_by(self.files.copy)

    def put(self, name: str, content: bytes) -> None:
        """Have a file, durable with its name and its content, as if it had always been there. Counts as no call."""
        check_name(name)
        with self.guard:
            if any(name in operation.names for operation in self.files.operations):
                raise ValueError(f"{name} has a history that is not durable")
            self.files.entries[name] = self.files.durable[name] = _File(FileContent(content))

    def contents(self) -> dict[str, bytes]:
        """All files as they are read now. Counts as no call."""
        with self.guard:
            return {name: bytes(file.content.written) for name, file in sorted(self.files.entries.items())}

    def durable_contents(self) -> dict[str, bytes]:
        """All files as they are when a power cut keeps nothing but what is durable. Counts as no call."""
        with self.guard:
            return {name: file.content.durable() for name, file in sorted(self.files.durable.items())}

    def _succeeded_by(self, found: Callable[[], _Names]) -> "SimulatedDisk":
        with self.guard:
            self.is_ended = True
            successor = SimulatedDisk(self.capacity_bytes)
            successor.files = found()
            return successor

    # What processes do, each time with the guard

    def due_fault(self, kind: Kind) -> _Fault | None:
        """The fault of a call of this kind that begins now."""
        if not self._faults:
            return None
        due: _Fault | None = None
        for fault in self._faults:
            if fault.is_due(kind) and due is None:
                due = fault
        self._faults = [fault for fault in self._faults if fault.calls_left > 0 or fault.repeated]
        return due

    def fitting(self, file: _File, offset: int, count: int) -> int:
        """How many bytes of a write fit on the disk."""
        if self.capacity_bytes is None:
            return count
        there = set(self.files.entries.values())
        for process in self.processes:
            there.update(process.open_files())
        taken = sum(other.content.taken_sectors() for other in there)
        return file.content.fitting(offset, count, self.capacity_bytes // SECTOR_BYTES - taken)


class _Opened:
    """An open file, under the name that calls log."""

    def __init__(self, file: _File, name: str, writable: bool) -> None:
        self.file = file
        self.name = name
        self.writable = writable
        self.has_lock = False


class SimulatedFiles(Files):
    """A simulated disk as one process sees it, with open files and locks of its own."""

    def __init__(self, disk: SimulatedDisk) -> None:
        """A new process on `disk`."""
        self.directory = "simulated"
        self.is_ended = False
        self._disk = disk
        self._opened: dict[int, _Opened] = {}
        disk.processes.append(self)

    def kill(self) -> None:
        """End this process alone: its files are closed, its locks released, and all its calls raise ProcessEndedError."""
        with self._disk.guard:
            self.is_ended = True
            for handle in list(self._opened):
                self._release(handle)

    def names(self) -> list[str]:
        """The names of all files."""
        return self._call("names", "", lambda: sorted(self._disk.files.entries))

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""

        def find() -> bool:
            check_name(name)
            return name in self._disk.files.entries

        return self._call("exists", name, find)

    def create(self, name: str) -> int:
        """Make a file, and open it."""

        def create() -> int:
            check_name(name)
            if name in self._disk.files.entries:
                raise _error(errno.EEXIST, name)
            return self._add(self._made(name), name, writable=True)

        return self._call("create", name, create, self._release)

    def open(self, name: str, writable: bool) -> int:
        """Open a file that is there."""
        return self._call("open", name, lambda: self._add(self._named(name), name, writable), self._release)

    def close(self, handle: int) -> None:
        """Close, whether or not it is told to fail."""
        with self._disk.guard:
            try:
                self._call("close", self._name(handle), lambda: self._checked(handle))
            finally:
                if handle in self._opened:
                    self._release(handle)

    def size(self, handle: int) -> int:
        """How long the file is."""
        return self._call("size", self._name(handle), lambda: len(self._checked(handle).file.content.written))

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, or up to the end of the file."""

        def read() -> bytes:
            opened = self._checked(handle)
            if not 0 <= offset <= OFFSET_MAX or count < 0:
                raise _error(errno.EINVAL, opened.name)
            return opened.file.content.read(offset, count)

        return self._call("read", self._name(handle), read)

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at `offset`, or as much of it as the disk has space for."""
        rest = memoryview(data).cast("B")
        with self._disk.guard:
            name = self._name(handle)
            fault = self._begin("write", name)
            if fault is not None and fault.partial < 1:
                rest = rest[: int(len(rest) * fault.partial)]
            opened = self._checked(handle)
            if not opened.writable:
                raise _error(errno.EBADF, name)
            if not 0 <= offset <= OFFSET_MAX:
                raise _error(errno.EINVAL, name)
            if offset + len(rest) > FILE_BYTES_MAX:
                raise _error(errno.EFBIG, name)
            fitting = self._disk.fitting(opened.file, offset, len(rest))
            opened.file.content.write(offset, rest[:fitting])
            if fault is not None:
                self._fail(fault, name)
            if fitting < len(rest):
                raise _error(errno.ENOSPC, name)

    def sync(self, handle: int) -> None:
        """Make the file's bytes and size durable."""
        with self._disk.guard:
            name = self._name(handle)
            fault = self._begin("sync", name)
            content = self._checked(handle).file.content
            if fault is not None:
                if fault.error is not None:
                    content.fail_sync(fault.chance)
                self._fail(fault, name)
            content.sync()

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file off at `size`, or extend it."""

        def truncate() -> None:
            opened = self._checked(handle)
            if not opened.writable or not 0 <= size <= OFFSET_MAX:
                raise _error(errno.EINVAL, opened.name)
            if size > FILE_BYTES_MAX:
                raise _error(errno.EFBIG, opened.name)
            opened.file.content.truncate(size)

        self._call("truncate", self._name(handle), truncate)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""

        def rename() -> None:
            check_name(old)
            check_name(new)
            file = self._disk.files.entries.get(old)
            if file is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), old, None, new)
            if old != new:
                self._disk.files.change(file, old, new)
                self._rename_opened(old, new)

        self._call("rename", old, rename)

    def rename_new(self, old: str, new: str) -> None:
        """Give a file another name that none has: one name more, then one less, which a power cut may tear apart."""

        def rename() -> None:
            check_name(old)
            check_name(new)
            entries = self._disk.files.entries
            number = errno.EEXIST if old in entries else errno.ENOENT
            if new in entries or old not in entries:
                raise OSError(number, os.strerror(number), old, None, new)
            self._disk.files.change(entries[old], None, new)
            self._disk.files.change(entries[old], old, None)
            self._rename_opened(old, new)

        self._call("rename_new", old, rename)

    def _rename_opened(self, old: str, new: str) -> None:
        for opened in self._opened.values():
            if opened.name == old:
                opened.name = new

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._call("remove", name, lambda: self._disk.files.change(self._named(name), name, None))

    def sync_directory(self) -> None:
        """Make durable which names there are."""
        with self._disk.guard:
            fault = self._begin("sync_directory", "")
            if fault is not None:
                if fault.error is not None:
                    self._disk.files.fail_sync(fault.chance)
                self._fail(fault, "")
            self._disk.files.sync()

    def lock(self, name: str) -> int | None:
        """Open or make a file and lock it; None when it is locked already, by this process too."""

        def lock() -> int | None:
            check_name(name)
            file = self._disk.files.entries.get(name)
            if file is None:
                file = self._made(name)
            if file.is_locked:
                return None
            file.is_locked = True
            handle = self._add(file, name, writable=True)
            self._opened[handle].has_lock = True
            return handle

        return self._call("lock", name, lock, self._release)

    def map(self, handle: int) -> memoryview:
        """All bytes that the file has now, in which later writes show."""

        def show() -> memoryview:
            return self._checked(handle).file.content.map()

        return self._call("map", self._name(handle), show)

    def open_files(self) -> list[_File]:
        """The files that this process has open, removed or not."""
        return [opened.file for opened in self._opened.values()]

    # Inside

    def _call(self, kind: Kind, name: str, action: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        """Do `action` as a call, or fail as told; `undo` takes back what a failing call must not leave to its caller."""
        with self._disk.guard:
            fault = self._begin(kind, name)
            if fault is None:
                return action()
            if fault.partial >= 1:
                with contextlib.suppress(OSError):
                    result = action()
                    if undo is not None:
                        undo(result)
            self._fail(fault, name)
            raise AssertionError("a fault raises")

    def _begin(self, kind: Kind, name: str) -> _Fault | None:
        """Log a call; the fault with which it is to fail."""
        self._check_alive(name)
        self._disk.calls.append((kind, name))
        return self._disk.due_fault(kind)

    def _fail(self, fault: _Fault, name: str) -> None:
        """Raise what the fault says."""
        disk = self._disk
        disk.failures += 1
        if fault.error is None:
            disk.is_ended = True
            self._check_alive(name)
        else:
            raise type(fault.error)(fault.error.errno, fault.error.strerror, name or self.directory)

    def _check_alive(self, name: str) -> None:
        if self.is_ended or self._disk.is_ended:
            raise ProcessEndedError(errno.ESRCH, "the simulated process has ended", name or self.directory)

    def _add(self, file: _File, name: str, writable: bool) -> int:
        handle = next(_HANDLES)
        self._opened[handle] = _Opened(file, name, writable)
        return handle

    def _release(self, handle: int | None) -> None:
        """Close a file."""
        if handle is not None:
            opened = self._opened.pop(handle)
            if opened.has_lock:
                opened.file.is_locked = False

    def _made(self, name: str) -> _File:
        """A new file."""
        file = _File(FileContent())
        self._disk.files.change(file, None, name)
        return file

    def _named(self, name: str) -> _File:
        """The file of this name."""
        check_name(name)
        file = self._disk.files.entries.get(name)
        if file is None:
            raise _error(errno.ENOENT, name)
        return file

    def _name(self, handle: int) -> str:
        opened = self._opened.get(handle)
        return opened.name if opened is not None else ""

    def _checked(self, handle: int) -> _Opened:
        opened = self._opened.get(handle)
        if opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return opened


def _error(number: int, name: str) -> OSError:
    """What the system says, with the name of the file."""
    return OSError(number, os.strerror(number), name)
