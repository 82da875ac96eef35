"""Who uses a directory, for somebody who only wants to know: nothing is locked or written."""

import errno
import fcntl
import os
import struct
import sys
from typing import Final

from durabus.stores.file.files import OsFiles
from durabus.stores.file.layout import LOCK_NAME, lease_epoch
from durabus.stores.file.lease import Ownership, decode_record

__all__ = ["who_uses"]

_LOCK: Final = struct.Struct("hhqqi")  # struct flock: type, whence, start, length, process
_RECORD_BYTES_MAX: Final = 4096


def who_uses(directory: str) -> str:
    """The server that has the lock of `directory`, or that of a group whose lease was not released; empty: nobody.

    One of a group may have ended without a word, so its name comes with a doubt. Raises OSError.
    """
    files = OsFiles(directory)
    if _is_locked(f"{files.directory}/{LOCK_NAME}"):
        return Ownership(files).holder() or "a server"
    epoch = max(map(lease_epoch, files.names()), default=0)
    if not epoch:
        return ""
    handle = files.open(f"durabus-{epoch:010}.lease", False)
    try:
        record = decode_record(files.read(handle, 0, _RECORD_BYTES_MAX), epoch)
    finally:
        files.close(handle)
    if record is None or record.is_released or record.needs_lock or record.has_lock:
        return ""  # those that need the lock, or had it, have ended with it
    return f"{record.owner} of a group, if that did not end without a word"


def _is_locked(path: str) -> bool:
    """Whether another process has the lock of a file, which need not be there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if sys.platform == "linux":
            question = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, question)
            is_locked = _LOCK.unpack(answer[: _LOCK.size])[0] != fcntl.F_UNLCK
        else:
            is_locked = _is_refused(descriptor)
    finally:
        os.close(descriptor)
    return bool(is_locked)


def _is_refused(descriptor: int) -> bool:
    """Whether a lock is refused, where one cannot ask without taking it for a moment."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    return False
