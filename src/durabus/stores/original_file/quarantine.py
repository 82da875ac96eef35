"""The quarantine: a copy of bytes that are no records, so that none of them is lost with the files that they came from.

A file of JSON lines, one for each piece of at most 256 KiB: where it was, which messages it would have been, why it is no
record, and its bytes in base64. A piece that is there already is not added again.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any, Final

from durabus.errors import StoreError
from durabus.stores.original_file.files import SourceFile

__all__ = ["QUARANTINE_FILE", "Quarantine"]

QUARANTINE_FILE: Final = "durabus-quarantine.jsonl"
_PIECE_BYTES: Final = 256 * 1024
_FILE_MODE: Final = 0o600


class Quarantine:
    """Appends to the file `path`, which is made with the first piece. All of it is safe after `finish`."""

    def __init__(self, path: str) -> None:
        """Touch nothing yet."""
        self.path = path
        self._descriptor = -1
        self._known: set[tuple[str, int, int]] = set()

    def keep(
        self, file: SourceFile, start: int, end: int, channel: bytes, numbers: tuple[int, int], reason: str
    ) -> None:
        """Copy the bytes of `file` from `start` to `end`; `numbers` are the messages that they were, zeros if unknown.

        Raises StoreError.
        """
        facts: dict[str, Any] = {}
        if channel:
            facts["channel"] = os.fsdecode(channel)
        if numbers[0]:
            facts["first"], facts["last"] = numbers
        facts["why"] = reason
        try:
            self._open()
            for offset in range(start, end, _PIECE_BYTES):
                data = file.read(offset, min(_PIECE_BYTES, end - offset))
                key = (file.name, offset, len(data))
                if key not in self._known:
                    self._known.add(key)
                    _write_all(self._descriptor, _line(file.name, offset, data, facts))
        except OSError as error:
            raise self._unusable(error) from None

    def finish(self) -> None:
        """Have the disk keep all of it. Raises StoreError."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _sync_directory(self.path)
        except OSError as error:
            raise self._unusable(error) from None

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)
        self._descriptor = descriptor
        self._known = _pieces_in(self.path)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            _write_all(descriptor, b"\n")  # a process was killed while it wrote here

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(
            f"damaged bytes cannot be kept in {self.path}: {error.strerror}; nothing is taken over before that is possible "
            "(durabus store import can keep them elsewhere: --quarantine)"
        )


def _line(name: str, offset: int, data: bytes, facts: dict[str, Any]) -> bytes:
    """One line; what is no text in names are lone surrogates, escaped."""
    fields: dict[str, Any] = {"file": name, "offset": offset, "size": len(data), **facts}
    if data.strip(b"\0"):
        fields["bytes"] = base64.b64encode(data).decode("ascii")
    else:
        fields["zeros"] = True
    return json.dumps(fields).encode("ascii") + b"\n"


def _pieces_in(path: str) -> set[tuple[str, int, int]]:
    """What is there already. A line that was not written to its end counts for nothing."""
    found: set[tuple[str, int, int]] = set()
    with Path(path).open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            try:
                fields = json.loads(line)
                found.add((str(fields["file"]), int(fields["offset"]), int(fields["size"])))
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_directory(path: str) -> None:
    """Have the disk keep the name of the file `path`."""
    descriptor = os.open(Path(path).absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
