"""Taking over a directory of the original: by hand, into any store, and by itself, where the FILE store finds one."""

import asyncio
from collections.abc import Callable
from typing import Final

from durabus.clock import boottime_ns
from durabus.errors import StoreError
from durabus.stores.copying import CopyReport, copy_store
from durabus.stores.original_file.files import OriginalFiles, find_files
from durabus.stores.original_file.fingerprint import Changes, Fingerprint, changes, take_fingerprint
from durabus.stores.original_file.lock import OriginalLock
from durabus.stores.original_file.quarantine import QUARANTINE_FILE
from durabus.stores.original_file.store import OriginalFileStore, OriginalOptions
from durabus.streaming.store_port import Lease, Store

__all__ = ["Look", "import_directory", "import_files", "in_use", "look_at"]

_NS: Final = 1_000_000_000


class Look:
    """The files of an original, as they are at one moment."""

    def __init__(self, files: OriginalFiles, fingerprint: Fingerprint) -> None:
        """Keep both."""
        self.files = files
        self.fingerprint = fingerprint

    def changes_since(self, before: Fingerprint) -> Changes:
        """What is different from then."""
        return changes(before, self.fingerprint)


async def look_at(directory: str) -> Look:
    """What there is of an original in `directory`. Raises StoreError."""

    def look() -> Look:
        files = find_files(directory)
        return Look(files, take_fingerprint(directory, files))

    try:
        return await asyncio.to_thread(look)
    except OSError as error:
        raise StoreError(f"{directory} cannot be read: {error.strerror}: {error.filename}") from None


async def import_directory(
    directory: str,
    target: Store,
    options: OriginalOptions,
    report: Callable[[str], None],
    *,
    quarantine: str = "",
    lease: Lease | None = None,
) -> CopyReport:
    """Take over what NATS Streaming Server has in `directory` into `target`, whichever store that is, and close neither.

    `target` is not recovered yet, and empty, or has what an earlier try of the same has left: then this goes on with it.
    (A FILE store in `directory` itself takes over by itself when a server starts on it: it is no target.) `options` say how
    the original was run, `report` is told how far it is in lines for a person. Damaged bytes are copied to the file
    `quarantine`, by default one in `directory`. The original's files are read and not changed. In what is returned, `damage`
    and `lost` name what is damaged, also if it is none of the target's concern.

    Raises StoreError, in words for a person: no such data, another server at work on it, checksums of another polynomial,
    files that changed meanwhile, a target with something else, a target that fails. Then, as after a crash, the same can be
    begun again.
    """
    lock = OriginalLock(directory)
    try:
        if not lock.take_if_possible():
            raise StoreError(in_use(directory, lock.holder()))
        before = await look_at(directory)
        return await import_files(directory, before, target, options, report, quarantine=quarantine, lease=lease)
    except OSError as error:
        raise StoreError(f"the lock of {directory} cannot be taken: {error.strerror}") from None
    finally:
        lock.release()


async def import_files(
    directory: str,
    before: Look,
    target: Store,
    options: OriginalOptions,
    report: Callable[[str], None],
    *,
    quarantine: str = "",
    lease: Lease | None = None,
    channel_id_first: int = 1,
) -> CopyReport:
    """The same for files that were looked at, in a directory that nobody else may start on. Raises StoreError."""
    begin_ns = boottime_ns()
    source = OriginalFileStore(
        directory, options, quarantine or f"{directory}/{QUARANTINE_FILE}", report, channel_id_first
    )
    problems: list[str] = []
    source.on_problem = problems.append

    async def confirm() -> None:
        """What was read is what is there: else nobody may serve it."""
        changed = (await look_at(directory)).changes_since(before.fingerprint)
        if changed.changed or changed.removed:
            what = changed.words() or f"{changed.removed_words()} gone"
            raise StoreError(
                f"the files of NATS Streaming Server in {directory} changed while they were read ({what}): "
                "stop that server, then start this again"
            )

    try:
        copied = await copy_store(source, target, report, lease=lease, confirm=confirm)
    finally:
        await source.close()
    copied.damage += problems
    seconds = (boottime_ns() - begin_ns) / _NS
    report(_summary(copied, seconds))
    return copied


def _summary(copied: CopyReport, seconds: float) -> str:
    lost = f", {copied.lost_count:,} of them damaged" if copied.lost_count else ""
    if copied.was_complete:
        return f"{copied.messages_there:,} messages: all of it was taken over before"
    return (
        f"{copied.channels:,} channels, {copied.messages + copied.messages_there:,} messages{lost}, "
        f"{copied.clients:,} clients and {copied.subscriptions:,} subscriptions taken over in {seconds:,.1f} s"
    )


def in_use(directory: str, process: int) -> str:
    """Why `directory` cannot be taken over when somebody has its lock: `process`, or, if that is 0, one of ours."""
    if process:
        return (
            f"a NATS Streaming Server of a group (process {process}) is at work on {directory}: "
            "stop all servers of that group first"
        )
    return f"another Durabus is at work on {directory}: wait for its end, or stop it"
