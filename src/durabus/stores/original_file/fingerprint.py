"""Whether the files of an original are the same as at another time, without reading them all again."""

import os
import zlib
from typing import Final

from durabus.stores.original_file.files import OriginalFiles, SourceFile

__all__ = ["Changes", "Fingerprint", "changes", "take_fingerprint"]

_TAIL_BYTES: Final = 4096
_NAMED_MAX: Final = 5
"""Files that are named when they have changed; the others are counted."""

Fingerprint = dict[str, tuple[int, int, int]]
"""Of each file by its name: its size, when it was last written to (nanoseconds), the CRC-32 of its last 4 KiB."""


class Changes:
    """How files differ from a fingerprint; `removed` are not among the `changed` ones."""

    def __init__(self) -> None:
        """They do not."""
        self.changed: list[str] = []
        """In words, one entry per file."""
        self.removed: list[str] = []

    def words(self) -> str:
        """The changed ones in one line."""
        return _few(self.changed)

    def removed_words(self) -> str:
        """The removed ones in one line."""
        return _few(self.removed)


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + rest


def take_fingerprint(directory: str, files: OriginalFiles) -> Fingerprint:
    """The fingerprint of `files`. Raises OSError."""
    found: Fingerprint = {}
    for name in files.names():
        with SourceFile(directory, name) as file:
            written_ns = os.stat(f"{directory}/{name}").st_mtime_ns  # noqa: PTH116 - the names are text
            tail = file.read(max(0, file.size - _TAIL_BYTES), _TAIL_BYTES)
            found[name] = (file.size, written_ns, zlib.crc32(tail))
    return found


def changes(before: Fingerprint, now: Fingerprint) -> Changes:
    """What was changed, added and removed since `before`."""
    found = Changes()
    for name in sorted({*before, *now}):
        if name not in now:
            found.removed.append(_shown(name))
        elif name not in before:
            found.changed.append(f"{_shown(name)} is new")
        elif before[name] != now[name]:
            found.changed.append(f"{_shown(name)} {_difference(before[name], now[name])}")
    return found


def _difference(before: tuple[int, int, int], now: tuple[int, int, int]) -> str:
    if now[0] != before[0]:
        return f"has {now[0]} bytes instead of {before[0]}"
    return "has other bytes" if now[2] != before[2] else "was written to"


def _shown(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")
