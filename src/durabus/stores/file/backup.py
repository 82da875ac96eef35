"""A backup: one file with all that counts of a journal, as it was at one moment, made beside a server that goes on writing.

It is a plain tar archive: the segments, each as far as it is part of the journal, with their indexes, then `manifest.json`,
which says what they are (size and SHA-256) and what is in them. An archive without a manifest is cut off. Unpacked into an
empty directory, it is a directory for `-st FILE -dir`.
"""

import errno
import hashlib
import io
import json
import mmap
import os
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from durabus.errors import StoreError
from durabus.stores.file.checking import JournalCheck
from durabus.stores.file.files import Files
from durabus.stores.file.index import decode_index
from durabus.stores.file.layout import index_name, index_number, segment_number
from durabus.stores.file.walking import Found, missed_segments, walk
from durabus.stores.findings import CheckReport, Finding, shown_name

__all__ = ["MANIFEST", "BackupFiles", "write_backup"]

MANIFEST: Final = "manifest.json"
FORMAT: Final = "durabus-backup"
VERSION: Final = 1
_MANIFEST_BYTES_MAX: Final = 1 << 30
_TRIES: Final = 5
_PIECE_BYTES: Final = 1024 * 1024


def write_backup(files: Files, path: Path, made_ns: int, say: Callable[[str], None]) -> CheckReport:
    """Write all that counts of the journal in `files` to a new file `path`; what that is, and what of it is damaged.

    The file has its name when all of it is on the disk. `made_ns` is the time in nanoseconds since 1970 that it is to say. Raises
    StoreError and OSError.
    """
    if path.exists():
        raise StoreError(f"{path} is there already: choose another name, or remove it first")
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w+b") as file:
            report = _write(files, file, made_ns, say)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        _sync_directory(path.parent)
    finally:
        partial.unlink(missing_ok=True)
    return report


def _sync_directory(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(files: Files, file: BinaryIO, made_ns: int, say: Callable[[str], None]) -> CheckReport:
    for _ in range(_TRIES):
        file.seek(0)
        file.truncate()
        check = JournalCheck(files)
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            members = _Members(archive, made_ns)
            for found in walk(files):
                end = check.take(found)  # what was damaged at its beginning is put back by that
                members.add(found.name, found.content.data[:end])
                index = None if found.is_last else check.index_data(found.number)
                if index is not None and _is_valid(index, found):
                    members.add(index_name(found.number), memoryview(index))
                say(f"{found.name} is copied")
            if missed_segments(files, check.seen):
                continue
            check.finish()
            manifest = _manifest(check.report, members.listed, made_ns)
            members.add(MANIFEST, memoryview(json.dumps(manifest, indent=1).encode()))
            return check.report
    raise StoreError(f"the names in {files.directory} change faster than they can be read")


def _is_valid(index: bytes, found: Found) -> bool:
    """Whether it is the index of the segment that was found. It also knows what was in frames that are damaged."""
    header = found.header
    return header is not None and decode_index(memoryview(index), found.number, header.salt) is not None


class _Members:
    """The files of an archive, as they are added."""

    def __init__(self, archive: tarfile.TarFile, made_ns: int) -> None:
        self.listed: list[dict[str, object]] = []
        self._archive = archive
        self._made_ns = made_ns

    def add(self, name: str, data: memoryview) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(data), 0o600, self._made_ns // 1_000_000_000
        self._archive.addfile(member, _Reading(data))
        self.listed.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})


class _Reading(io.RawIOBase):
    """The bytes of a view, without another copy of all of them."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data = data
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else min(self._at + size, len(self._data))
        piece = bytes(self._data[self._at : end])
        self._at = end
        return piece


def _manifest(report: CheckReport, members: list[dict[str, object]], made_ns: int) -> dict[str, object]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "made": datetime.fromtimestamp(made_ns // 1_000_000_000, UTC).isoformat(),
        "cluster_id": shown_name(report.cluster_id) if report.cluster_id is not None else None,
        "channels": report.channels,
        "messages": report.messages,
        "message_bytes": report.message_bytes,
        "clients": report.clients,
        "subscriptions": report.subscriptions,
        "damage": [finding.text for finding in report.findings],
        "files": members,
    }


class BackupFiles(Files):
    """The segments in a backup, for reading only. Handles are the positions of its files."""

    def __init__(self, path: Path) -> None:
        """Open the backup `path`; raises StoreError when it is none, or is cut off, and OSError."""
        self.directory = str(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._places, manifest = _members(self._descriptor, path)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.manifest: dict[str, Any] = manifest
        self._names = sorted(self._places)
        self._mapped: memoryview | None = None

    def map(self, handle: int) -> memoryview:
        """All bytes of a file, read only."""
        start, size = self._places[self._names[handle]]
        if self._mapped is None:
            self._mapped = memoryview(mmap.mmap(self._descriptor, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ))
        return self._mapped[start : start + size]

    def end(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def findings(self) -> list[Finding]:
        """Which of its files are not what was written. Raises OSError."""
        found: list[Finding] = []
        listed = {str(one["name"]): one for one in self.manifest["files"]}
        for name in sorted({*listed, *self._names}):
            text = ""
            if name not in listed:
                text = "the manifest does not know it"
            elif name not in self._places:
                text = "it is missing"
            elif self._sha256(name) != listed[name]["sha256"]:
                text = "it is not what was written: its SHA-256 differs from that in the manifest"
            if text:
                found.append(Finding(f"{name} in the backup: {text}", name))
        return found

    def _sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        handle = self.open(name, False)
        offset = 0
        while piece := self.read(handle, offset, _PIECE_BYTES):
            digest.update(piece)
            offset += len(piece)
        return digest.hexdigest()

    def names(self) -> list[str]:
        """The names of all files."""
        return list(self._names)

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return name in self._places

    def open(self, name: str, writable: bool) -> int:
        """Open a file that is there."""
        if name not in self._places:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._names.index(name)

    def close(self, handle: int) -> None:
        """Nothing is open but the whole."""

    def size(self, handle: int) -> int:
        """How long the file is."""
        return self._places[self._names[handle]][1]

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, or up to the end of the file."""
        start, size = self._places[self._names[handle]]
        left = min(count, max(size - offset, 0))
        pieces: list[bytes] = []
        while left > 0:
            piece = os.pread(self._descriptor, left, start + offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            left -= len(piece)
        return b"".join(pieces)


def _members(descriptor: int, path: Path) -> tuple[dict[str, tuple[int, int]], dict[str, Any]]:
    """Where each segment lies: first byte and size; and the manifest."""
    places: dict[str, tuple[int, int]] = {}
    manifest: tuple[int, int] | None = None
    file_bytes = os.fstat(descriptor).st_size
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                place = (member.offset_data, member.size)
                if place[0] + place[1] > file_bytes:
                    break
                if member.name == MANIFEST and member.isreg():
                    manifest = place
                    break
                is_known = segment_number(member.name) or index_number(member.name)
                if not member.isreg() or not is_known or member.name in places:
                    raise StoreError(f"{path} is no backup: it has a file {member.name!r}")
                places[member.name] = place
    except tarfile.TarError:
        if not places:
            raise StoreError(f"{path} is no backup") from None
    if manifest is None:
        raise StoreError(
            f"{path} is cut off: it has no manifest, so it is not complete; "
            "what it has can be unpacked (tar -xf) into an empty directory, and checked there"
        )
    return places, _decoded(os.pread(descriptor, min(manifest[1], _MANIFEST_BYTES_MAX), manifest[0]), path)


def _decoded(data: bytes, path: Path) -> dict[str, Any]:
    """The manifest, as far as it is relied on."""
    try:
        found = json.loads(data)
        is_known = found["format"] == FORMAT and isinstance(found["files"], list)
        version = int(found["version"])
        is_known = is_known and all(isinstance(one["name"], str) and "sha256" in one for one in found["files"])
    except (ValueError, TypeError, KeyError):
        raise StoreError(f"{path}: the manifest of this backup is unreadable") from None
    if not is_known:
        raise StoreError(f"{path} is no backup")
    if version > VERSION:
        raise StoreError(f"{path} was made by a newer version of Durabus (format {version}, this one knows {VERSION})")
    manifest: dict[str, Any] = found
    return manifest
