"""Whose journal it is: the lock, the leases of the owners, and how one is overtaken. FORMAT.md §9.

Every step is a call that returns soon; `Renewals` makes them on a thread of its own. All of `Ownership` may be used on
several threads at once.
"""

import errno
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from durabus.clock import boottime_ns
from durabus.stores.file.files import Files, LockLostError
from durabus.stores.file.layout import LOCK_NAME, lease_epoch, lease_name
from durabus.streaming.store_port import Lease

__all__ = [
    "LEASE_NS",
    "LOST_TEXT",
    "RECORD_BYTES",
    "RENEW_S",
    "SILENCE_NS",
    "LeaseRecord",
    "Ownership",
    "Renewals",
    "decode_record",
    "encode_record",
]

LEASE_NS: Final = 3_000_000_000
"""How long a lease lasts from the beginning of its last renewal."""
SILENCE_NS: Final = 4_500_000_000
"""How long a lease must not have been renewed before somebody else takes over: longer, whatever the clocks' rates."""
RENEW_S: Final = 1.0
LOST_TEXT: Final = "lost store lock, aborting"
RECORD_BYTES: Final = 104
_NEVER_NS: Final = 1 << 62
_KEPT: Final = 16
"""Leases of former owners that stay: an owner that stood still finds the one that followed it."""
_OWNER_BYTES: Final = 64
_HOLDER_BYTES: Final = 200
"""Of what the lock file says."""
_MAGIC: Final = b"DURALSE\n"
_VERSION: Final = 1
_RECORD: Final = struct.Struct(f"<8sIIQQ{_OWNER_BYTES}sII")
_HAS_LOCK: Final = 1
_RELEASED: Final = 2
_NEEDS_LOCK: Final = 4


class LeaseRecord:
    """What an owner says of itself."""

    def __init__(self, owner: str, epoch: int) -> None:
        """Of `owner`, number `epoch`; never renewed yet."""
        self.owner = owner
        self.epoch = epoch
        self.counter = 0
        self.has_lock = False
        self.is_released = False
        self.needs_lock = False  # it does not count: the lock alone says that it lives


def encode_record(record: LeaseRecord) -> bytes:
    """The content of a lease file; a long name of the owner is cut off."""
    flags = (record.has_lock and _HAS_LOCK) | (record.is_released and _RELEASED) | (record.needs_lock and _NEEDS_LOCK)
    owner = record.owner.encode("utf-8", "replace")[:_OWNER_BYTES]
    head = _RECORD.pack(_MAGIC, _VERSION, flags, record.epoch, record.counter, owner, 0, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def decode_record(data: bytes, epoch: int) -> LeaseRecord | None:
    """The record of lease number `epoch`; None when it is not valid, or of a version that is not known."""
    if len(data) != RECORD_BYTES or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    magic, version, flags, number, counter, owner, _, _ = _RECORD.unpack(data)
    if magic != _MAGIC or version != _VERSION or number != epoch:
        return None
    record = LeaseRecord(owner.rstrip(b"\0").decode("utf-8", "replace"), epoch)
    record.counter = counter
    record.has_lock = bool(flags & _HAS_LOCK)
    record.is_released = bool(flags & _RELEASED)
    record.needs_lock = bool(flags & _NEEDS_LOCK)
    return record


class Ownership:
    """One server's part in the question who may write to the files of a directory.

    `lease` is there while it may be us: the same object as long as we are the owner, whose end and epoch change.
    """

    def __init__(self, files: Files, clock_ns: Callable[[], int] = boottime_ns) -> None:
        """Of nobody yet. `clock_ns` is a boot clock."""
        self.lease: Lease | None = None
        self.is_lost = False  # for good: somebody took over
        self._files = files
        self._clock_ns = clock_ns
        self._guard = threading.Lock()
        self._lock = -1
        self._handle = -1
        self._record = LeaseRecord("", 0)
        self._seen = (0, b"")  # the lease of another one, as it was since `_seen_ns`
        self._seen_ns = 0

    @property
    def has_lock(self) -> bool:
        """Whether the lock of the directory is ours."""
        return self._lock >= 0

    def acquire(self, owner: str) -> Lease | None:
        """Become the owner, if nobody is, or whoever is it counts no more; else None. To be asked again then.

        Raises OSError.
        """
        with self._guard:
            if self.lease is not None:
                return self.lease
            try:
                if self._lock < 0:
                    self._lock = self._take_lock(owner)
                if self._is_free():
                    self._claim(LeaseRecord(owner, self._seen[0] + 1))
            finally:
                if self.lease is None:
                    self._close()
            return self.lease

    def acquire_alone(self, owner: str) -> bool | None:
        """Become the owner without a group: whether that succeeded; None: ask again in a moment. Raises OSError."""
        with self._guard:
            if self._lock < 0:
                self._lock = self._take_lock(owner)
            before = self._seen
            is_free = self.has_lock and self._is_free()
            if is_free and self._seen[0] == 0:
                return True  # there never was a group
            if is_free:
                record = LeaseRecord(owner, self._seen[0] + 1)
                record.needs_lock = True
                self._claim(record)
                is_free = self.lease is not None
            elif self.has_lock and (before == self._seen or before[0] == 0):
                return None
            if not is_free:
                self._close()
            return is_free

    def _take_lock(self, owner: str) -> int:
        handle = self._files.lock(LOCK_NAME)
        if handle is None:
            return -1
        text = owner.encode("utf-8", "replace")[:_HOLDER_BYTES] + b"\n"
        with suppress(OSError):  # for people only, and a full disk may have no room for it
            self._files.write(handle, 0, text)
            self._files.truncate(handle, len(text))
        return handle

    def holder(self) -> str:
        """Who has the lock of the directory, as whoever had it last has said; empty when nobody did."""
        try:
            handle = self._files.open(LOCK_NAME, False)
            try:
                text = self._files.read(handle, 0, _HOLDER_BYTES + 1)
            finally:
                self._files.close(handle)
        except OSError:
            return ""
        name = text.split(b"\n")[0].decode("utf-8", "replace")
        return name if name.isprintable() else ""

    def _is_free(self) -> bool:
        """Whether nobody is the owner, as the highest lease says, or was too silent."""
        epoch = max(map(lease_epoch, self._files.names()), default=0)
        data = self._read(epoch) if epoch else b""
        now_ns = self._clock_ns()
        if (epoch, data) != self._seen:
            self._seen = (epoch, data)
            self._seen_ns = now_ns
        record = decode_record(data, epoch)
        if record is None:
            needs_lock = not epoch
            is_over = needs_lock and self.has_lock
        else:
            needs_lock = record.needs_lock
            is_over = record.is_released or (self.has_lock and (record.has_lock or record.needs_lock))
        return is_over or (not needs_lock and now_ns - self._seen_ns >= SILENCE_NS)

    def _read(self, epoch: int) -> bytes:
        handle = self._files.open(lease_name(epoch), False)
        try:
            return self._files.read(handle, 0, RECORD_BYTES)
        finally:
            self._files.close(handle)

    def _claim(self, record: LeaseRecord) -> bool:
        """Be the owner that `record` says; False when somebody else is, or will be."""
        began_ns = self._clock_ns()
        files = self._files
        try:
            handle = files.create(lease_name(record.epoch))
        except FileExistsError:
            return False
        try:
            record.has_lock = self.has_lock
            files.write(handle, 0, encode_record(record))
            files.sync(handle)
            files.sync_directory()
            leases = sorted(filter(lease_epoch, files.names()), key=lease_epoch)
            if lease_epoch(leases[-1]) != record.epoch:
                files.close(handle)
                return False
        except OSError:
            files.close(handle)  # its number is used up
            raise
        former, self._handle, self._record = self._handle, handle, record
        ends_ns = _NEVER_NS if record.needs_lock else began_ns + LEASE_NS
        if self.lease is None:
            self.lease = Lease(record.epoch, ends_ns)
        else:
            self.lease.epoch, self.lease.expires_boottime_ns = record.epoch, ends_ns
        if former >= 0:
            files.close(former)
        with suppress(OSError):  # they are in nobody's way
            for name in leases:
                if lease_epoch(name) < record.epoch - _KEPT:
                    files.remove(name)
        return True

    def renew(self) -> bool:
        """Count once more; whether we are still the owner. Raises OSError when it could not be written: try again."""
        with self._guard:
            lease = self.lease
            if lease is None or self.is_lost:
                return False
            began_ns = self._clock_ns()
            if began_ns >= lease.expires_boottime_ns:
                return self._claim_again()
            if self._files.exists(lease_name(lease.epoch + 1)):
                self.is_lost = True
                return False
            if self._lock < 0:
                self._lock = self._take_lock(self._record.owner)
                self._record.has_lock = self.has_lock
            self._record.counter += 1
            self._files.write(self._handle, 0, encode_record(self._record))
            self._files.sync(self._handle)
            lease.expires_boottime_ns = began_ns + LEASE_NS
            return True

    def _claim_again(self) -> bool:
        """The lease has ended: it is ours no more, unless it is us who get the next one.

        Who gets it knows that nobody had taken over by then, however long that took: so all that was durable before counts.
        """
        record = LeaseRecord(self._record.owner, self._record.epoch + 1)
        try:
            self.is_lost = not self._claim(record)
        except OSError:
            self.is_lost = True  # who cannot write, cannot know either
        return not self.is_lost

    def is_ours(self) -> bool:
        """Whether we are the owner now. What was durable before, and is found durable by this, the next owner finds."""
        while (lease := self.lease) is not None and not self.is_lost:
            # First the epoch, for it may be followed by our own next one.
            is_followed = self._files.exists(lease_name(self._record.epoch + 1))
            if not is_followed and self._clock_ns() < lease.expires_boottime_ns:
                return True
            with self._guard:
                if self._files.exists(lease_name(self._record.epoch + 1)):
                    self.is_lost = True
                elif self._clock_ns() >= lease.expires_boottime_ns:
                    self._claim_again()
        return False

    def check(self) -> None:
        """Raise LockLostError unless we are the owner now."""
        try:
            is_ours = self.is_ours()
        except OSError:
            is_ours = False
        if not is_ours:
            raise LockLostError(errno.ESTALE, LOST_TEXT)

    def release(self) -> None:
        """Be the owner no more: nothing will be written any more. Twice is once. Raises OSError."""
        with self._guard:
            try:
                if self.lease is not None and not self.is_lost:
                    self._record.is_released = True
                    self._record.counter += 1
                    self._files.write(self._handle, 0, encode_record(self._record))
                    self._files.sync(self._handle)
            finally:
                self.lease = None
                self._close()

    def _close(self) -> None:
        """Close the lease, and give up the lock."""
        handle, self._handle = self._handle, -1
        lock, self._lock = self._lock, -1
        try:
            if handle >= 0:
                self._files.close(handle)
        finally:
            if lock >= 0:
                self._files.close(lock)


class Renewals:
    """Renews a lease every second, however busy the rest of the process is; `report` is told what fails, on that thread."""

    def __init__(self, ownership: Ownership, report: Callable[[str], None]) -> None:
        """Begin; `stop` ends it."""
        self._ownership = ownership
        self._report = report
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="durabus-lease", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(RENEW_S):
            try:
                if not self._ownership.renew():
                    return
            except OSError as error:
                self._report(f"the lease of the store cannot be renewed: {error.strerror or error}")

    def stop(self) -> None:
        """Renew no more; waits for a renewal that is under way."""
        self._stopped.set()
        self._thread.join()
