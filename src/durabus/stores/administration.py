"""What an operator does to a store by hand: make it, check it, repair it, copy it, back it up, take over an original's data.

What is told on the way goes to `say`, a line at a time. Everything raises StoreError in words for a person, and OSError.
"""

import asyncio
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from durabus.clock import SystemClock
from durabus.config.options import SqlOptions
from durabus.errors import StoreError
from durabus.stores.copying import CopyReport, copy_store
from durabus.stores.findings import CheckReport
from durabus.stores.places import BACKUP, FILE, SQL, Place
from durabus.stores.quarantine import Quarantine
from durabus.streaming.store_port import Store

if TYPE_CHECKING:
    from durabus.stores.file.files import Files

__all__ = ["back_up", "check_place", "copy_place", "default_quarantine", "import_place", "init_place", "repair_place"]

Say = Callable[[str], None]
T = TypeVar("T")

_QUARANTINE: Final = "durabus-quarantine.jsonl"
_ORIGINAL: Final = "server.dat"
_LOOK_S: Final = 0.5


async def on_thread(work: Callable[[Say], T], say: Say) -> T:
    """Do `work` on another thread. When nobody waits for it any more, it ends with the next thing that it tells."""
    stopped = threading.Event()

    def tell(text: str) -> None:
        if stopped.is_set():
            raise StoreError("interrupted")
        say(text)

    try:
        return await asyncio.to_thread(work, tell)
    finally:
        stopped.set()


# Making.


async def init_place(place: Place, say: Say) -> list[str]:
    """Make what is missing of a store; what was made, in words, empty when everything was there."""
    if place.kind == SQL:
        from durabus.stores.sql.opening import init_schema

        is_new = place.driver == "sqlite" and not place.path.exists()
        made = [f"made {what}" for what in await init_schema(_sql(place))]
        return [f"made the file {place.path}"] * is_new + made
    if place.kind == BACKUP:
        raise StoreError(f"{place.shown} would be a backup: `durabus store backup` makes one")
    is_there = place.path.is_dir()
    if is_there and _is_original(place.path):
        raise StoreError(_original_text(place.path))
    store = _file_store(place)
    try:
        recovered = await store.recover(None)
    finally:
        await store.close()
    for damage in recovered.damage:
        say(damage)
    return [] if is_there else [f"made the directory {place.path}"]


def _sql(place: Place) -> SqlOptions:
    return SqlOptions(driver=place.driver, source=place.value)


def _file_store(place: Place) -> Store:
    from durabus.stores.file.store import FileStore

    store = FileStore(place.value)
    store.lock_wait_s = 0.0  # whoever gives a command is there to give it again
    return store


def _is_journal(directory: Path) -> bool:
    """Whether a FILE store was here before."""
    return any(name.startswith("durabus") for name in os.listdir(directory))  # noqa: PTH208 - names are what is needed


def _is_original(directory: Path) -> bool:
    """Whether there are data of the original, and no journal yet that took them over."""
    names = os.listdir(directory)  # noqa: PTH208
    return _ORIGINAL in names and not any(name.endswith(".segment") for name in names)


def _original_text(directory: Path) -> str:
    return (
        f"{directory} holds the data of a NATS Streaming Server: `durabus serve -st FILE -dir {directory}` takes them over, "
        "`durabus store import` copies them into another store"
    )


def _see_journal(place: Place) -> None:
    """Raise StoreError unless there is a FILE store."""
    directory = place.path
    if not directory.is_dir():
        raise StoreError(f"there is no directory {directory}")
    if _is_original(directory):
        raise StoreError(_original_text(directory))
    if not _is_journal(directory):
        raise StoreError(f"there is no store in the directory {directory}")


# Checking and repairing.


async def check_place(place: Place, say: Say) -> CheckReport:
    """Read all of a store, which a server may be using, and write nothing."""
    if place.kind == SQL:
        from durabus.stores.sql.opening import make_database
        from durabus.stores.sql.repairing import check_database

        return await check_database(make_database(_sql(place)), say)
    if place.kind == BACKUP:
        return await on_thread(lambda tell: _check_backup(place, tell), say)
    _see_journal(place)
    return await on_thread(lambda tell: _check_directory(place, tell), say)


def _check_directory(place: Place, say: Say) -> CheckReport:
    from durabus.stores.file.checking import check_journal
    from durabus.stores.file.files import OsFiles
    from durabus.stores.file.usage import who_uses

    user = who_uses(place.value)
    report = check_journal(OsFiles(place.value), say).report
    if user:
        report.notes.insert(0, f"in use by {user}: this is what it had written when the check came to the end")
    return report


def _check_backup(place: Place, say: Say) -> CheckReport:
    from durabus.stores.file.backup import BackupFiles
    from durabus.stores.file.checking import check_journal

    _see_backup(place)
    backup = BackupFiles(place.path)
    try:
        report = check_journal(backup, say).report
        for finding in backup.findings():
            report.add(finding)
        report.kind = "backup of a store"
        report.notes.insert(0, f"made at {backup.manifest.get('made')}")
        return report
    finally:
        backup.end()


def _see_backup(place: Place) -> None:
    if not place.path.exists():
        raise StoreError(f"there is no backup {place.path}")


def default_quarantine(place: Place) -> Path:
    """Where a repair sets aside what it takes out: beside the data, or else in the current directory."""
    if place.kind == FILE:
        return place.path / _QUARANTINE
    if place.driver == "sqlite":
        return place.path.with_name(f"{place.path.name}-{_QUARANTINE}")
    return Path(_QUARANTINE)


async def repair_place(place: Place, quarantine_path: Path, say: Say) -> tuple[CheckReport, CheckReport]:
    """Set aside what a check finds, so that the rest is served: what was found before, and what is left."""
    if place.kind == BACKUP:
        raise StoreError(f"{place.shown} is a backup: copy it into a store, and what can be read of it is there")
    quarantine = Quarantine(quarantine_path, place.shown)
    try:
        if place.kind == SQL:
            from durabus.stores.sql.opening import make_database
            from durabus.stores.sql.repairing import check_database, repair_database

            found = await repair_database(make_database(_sql(place)), quarantine, say)
            return found, await check_database(make_database(_sql(place)), say)
        _see_journal(place)
        return await _repair_directory(place, quarantine, say)
    finally:
        quarantine.close()


async def _repair_directory(place: Place, quarantine: Quarantine, say: Say) -> tuple[CheckReport, CheckReport]:
    from durabus.stores.file.repairing import repair_journal

    async with _owned(place) as (files, epoch):
        return await on_thread(lambda tell: repair_journal(files, quarantine, tell, epoch), say)


@asynccontextmanager
async def _owned(place: Place) -> AsyncIterator[tuple["Files", int]]:
    """The files of a directory, as its owner, and which one that is; 0 where there never was a group."""
    from durabus.stores.file.fenced_files import FencedFiles
    from durabus.stores.file.files import OsFiles
    from durabus.stores.file.lease import Ownership

    files = OsFiles(place.value)
    ownership = Ownership(files)
    owner = f"{socket.gethostname()}, process {os.getpid()}"
    try:
        while (is_ours := await asyncio.to_thread(ownership.acquire_alone, owner)) is None:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        if not is_ours:
            raise StoreError(
                f"{ownership.holder() or 'a server'} uses the directory {place.path}: stop that first; "
                "beside it, `durabus store check` and `durabus store backup` can be used"
            )
        lease = ownership.lease
        if lease is None:
            yield files, 0
        else:
            yield FencedFiles(files, ownership), lease.epoch
    finally:
        await asyncio.to_thread(ownership.release)


# Copying.


@asynccontextmanager
async def _source(place: Place) -> AsyncIterator[Store]:
    """A store to copy from, of which nothing is changed."""
    if place.kind == SQL:
        from durabus.stores.sql.opening import make_database
        from durabus.stores.sql.snapshot import SqlSnapshot

        snapshot = SqlSnapshot(make_database(_sql(place)))
        try:
            yield snapshot
        except StoreError as error:
            raise StoreError(f"{error}: {snapshot.problem}" if snapshot.problem else str(error)) from None
        finally:
            await snapshot.close()
        return
    if place.kind == BACKUP:
        from durabus.stores.file.backup import BackupFiles

        _see_backup(place)
        backup = BackupFiles(place.path)
        try:
            async with _read_only(place, backup) as store:
                yield store
        finally:
            backup.end()
        return
    _see_journal(place)
    async with _owned(place) as (files, _), _read_only(place, files) as store:
        yield store


@asynccontextmanager
async def _read_only(place: Place, files: "Files") -> AsyncIterator[Store]:
    """A FILE store on files that stay as they are."""
    from durabus.stores.file.files import OsFiles
    from durabus.stores.file.overlay import OverlayFiles
    from durabus.stores.file.store import FileStore

    with tempfile.TemporaryDirectory(prefix="durabus-") as scratch:
        store = FileStore(place.value, OverlayFiles(files, OsFiles(scratch)))
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def _target(place: Place) -> AsyncIterator[Store]:
    """A store to copy to."""
    store: Store
    if place.kind == SQL:
        from durabus.stores.sql.opening import make_database
        from durabus.stores.sql.plan import Rules
        from durabus.stores.sql.store import SqlStore

        store = SqlStore(make_database(_sql(place)), Rules())
    else:
        if place.path.is_dir() and _is_original(place.path):
            raise StoreError(_original_text(place.path))
        store = _file_store(place)
    try:
        yield store
    finally:
        await store.close()


async def copy_place(
    source: Place, target: Place, say: Say, *, decryption_key: str = "", encryption_key: str = ""
) -> CopyReport:
    """Copy everything into another store, which is empty or has what an earlier try has left.

    The data of messages are copied as they are stored, unless keys say what they are decrypted and encrypted with.
    """
    if target.kind == BACKUP:
        raise StoreError(f"{target.shown} is a backup's name: `durabus store backup` makes one")
    if source.is_same(target):
        raise StoreError(f"{source.shown} is the source and the target: name another store to copy to")
    async with _source(source) as one, _target(target) as two:
        # So what is encrypted already is never encrypted once more: nobody would decrypt it twice.
        decrypted = _with_key(one, decryption_key or encryption_key)
        return await copy_store(decrypted, _with_key(two, encryption_key), say)


def _with_key(store: Store, key: str) -> Store:
    """`store`, decrypted when it is read and encrypted when it is written; without a key as it is. Raises StartError."""
    if not key:
        return store
    from durabus.stores.encryption import EncryptedStore
    from durabus.stores.encryption_keys import Keys

    return EncryptedStore(store, Keys(key))


async def import_place(
    directory: str, target: Place, say: Say, *, quarantine: str, cluster_id: str, crc_polynomial: int | None
) -> CopyReport:
    """Take over the data of a NATS Streaming Server in `directory`. Empty and None: as that says, or has by default."""
    from durabus.stores.original_file.importing import import_directory
    from durabus.stores.original_file.store import OriginalOptions

    if target.kind == BACKUP:
        raise StoreError("the original's data are taken over into a store; that can be backed up then")
    options = OriginalOptions(cluster_id.encode(errors="surrogateescape"))
    if crc_polynomial is not None:
        options.crc_polynomial = crc_polynomial
    async with _target(target) as store:
        return await import_directory(directory, store, options, say, quarantine=quarantine)


async def back_up(source: Place, target: Place, say: Say) -> CheckReport:
    """Make a backup of a store, which a server may be using: what is in it, and what of it is damaged."""
    path = target.path
    if path.exists():
        raise StoreError(f"{path} is there already: choose another name, or remove it first")
    if not path.parent.is_dir():
        raise StoreError(f"there is no directory {path.parent}")
    if source.kind == FILE:
        _see_journal(source)
        return await _write_backup(source.value, path, say)
    scratch = Path(tempfile.mkdtemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent))
    try:
        copied = await copy_place(source, Place(FILE, str(scratch), str(scratch)), say)
        report = await _write_backup(str(scratch), path, say)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, True)
    for damage in copied.damage:
        report.notes.append(damage)
    return report


async def _write_backup(directory: str, path: Path, say: Say) -> CheckReport:
    from durabus.stores.file.backup import write_backup
    from durabus.stores.file.files import OsFiles

    made_ns = SystemClock().wall_ns()
    return await on_thread(lambda tell: write_backup(OsFiles(directory), path, made_ns, tell), say)
