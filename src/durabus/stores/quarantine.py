"""Where a repair sets aside what it takes out of a store: one JSON document per line, with the raw bytes in base64."""

import base64
import json
import os
from pathlib import Path
from typing import Final

from durabus.errors import StoreError
from durabus.stores.findings import Finding, shown_name

__all__ = ["Quarantine"]

_PIECE_BYTES: Final = 1024 * 1024
"""Raw bytes of one line; what is longer takes several."""


class Quarantine:
    """The file `path`, which is made with the first finding; what is there already stays, and more is added behind it."""

    def __init__(self, path: Path, store: str) -> None:
        """`store` is how the store is named in every line."""
        self.path = path
        self.count = 0
        self._store = store
        self._descriptor = -1

    def add(self, finding: Finding) -> None:
        """Write `finding`; raises StoreError. It is safe after the next `sync`."""
        try:
            if self._descriptor < 0:
                self._open()
            for line in self._lines(finding):
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._failed(error) from None
        self.count += 1

    def _open(self) -> None:
        is_new = not self.path.exists()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        if is_new:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _lines(self, finding: Finding) -> list[bytes]:
        document: dict[str, object] = {"store": self._store, "where": finding.place, "why": finding.text}
        if finding.first:
            document["channel"] = shown_name(finding.channel)
            document["first"], document["last"] = finding.first, finding.last
        if finding.columns:
            document["columns"] = {name: _shown(value) for name, value in finding.columns.items()}
        lines: list[bytes] = []
        for start in range(0, max(len(finding.raw), 1), _PIECE_BYTES):
            piece = finding.raw[start : start + _PIECE_BYTES]
            if len(finding.raw) > _PIECE_BYTES:
                document["offset"] = start
            document["bytes"] = base64.b64encode(piece).decode()
            lines.append(json.dumps(document).encode() + b"\n")
        return lines

    def sync(self) -> None:
        """Make all that was added safe; raises StoreError."""
        if self._descriptor >= 0:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise self._failed(error) from None

    def close(self) -> None:
        """Close the file, if it was made. Twice is once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _failed(self, error: OSError) -> StoreError:
        reason = (error.strerror or str(error)).lower()
        return StoreError(f"{self.path} cannot be written, so nothing was set aside, and nothing changed: {reason}")


def _shown(value: object) -> object:
    """A column's value in JSON: bytes in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
