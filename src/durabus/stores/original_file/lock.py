"""The lock that the original takes in a group of servers: as long as it is ours, none of them starts on the directory.

An original that is not in a group takes no lock: it can be seen only by what it changes.
"""

import contextlib
import errno
import fcntl
import os
import struct
import sys
from typing import Final

from durabus.stores.file.files import Files, OsFiles
from durabus.stores.original_file.files import LOCK_FILE

__all__ = ["OriginalLock"]

_LOCK: Final = struct.Struct("hhqqi")


class OriginalLock:
    """The lock of one directory. It ends with `release`, or with the process."""

    def __init__(self, directory: str) -> None:
        """Not taken yet."""
        self._directory = directory
        self._files: Files | None = None
        self._handle: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it was taken."""
        return self._handle is not None

    def take(self) -> bool:
        """Take it, if nobody has it; its file is made where it is not there. Raises OSError."""
        if self._handle is None:
            if self._files is None:
                self._files = OsFiles(self._directory)
            self._handle = self._files.lock(LOCK_FILE)
        return self._handle is not None

    def take_if_possible(self) -> bool:
        """The same where the directory can be written to; where it cannot, nobody else needs to be kept out."""
        try:
            return self.take()
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return True
            raise

    def holder(self) -> int:
        """The process that has it in the original's way; 0 when there is none: it is free, or a Durabus has it."""
        if sys.platform != "linux":
            return 0
        with contextlib.suppress(OSError):
            descriptor = os.open(f"{self._directory}/{LOCK_FILE}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                asked = _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, process = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
            finally:
                os.close(descriptor)
            # Ours belong to an open file, not to a process, and have none.
            return process if kind != fcntl.F_UNLCK and process > 0 else 0
        return 0

    def release(self) -> None:
        """Give it up; twice is once."""
        handle, self._handle = self._handle, None
        if handle is not None and self._files is not None:
            with contextlib.suppress(OSError):
                self._files.close(handle)
