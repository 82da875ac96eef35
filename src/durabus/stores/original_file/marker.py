"""What Durabus notes about the original's files beside them: what they were when it took them over, and whether it is done."""

import contextlib
import json
from typing import Final

from durabus.errors import StoreError
from durabus.stores.file.files import Files
from durabus.stores.original_file.fingerprint import Fingerprint

__all__ = ["MARKER_FILE", "Marker", "read_marker", "write_marker"]

MARKER_FILE: Final = "durabus-original.json"
_VERSION: Final = 1
_ABOUT: Final = (
    "Durabus has taken over (complete: true) or is taking over the files of NATS Streaming Server in this directory. "
    "files: size in bytes, time of the last change in nanoseconds, CRC-32 of the last 4 KiB, as they were then."
)


class Marker:
    """The files that are taken over; `is_complete` when everything of them is in the journal."""

    def __init__(self, fingerprint: Fingerprint, is_complete: bool, is_readable: bool = True) -> None:
        """Keep it. One that is not readable tells nothing."""
        self.fingerprint = fingerprint
        self.is_complete = is_complete
        self.is_readable = is_readable


def read_marker(files: Files) -> Marker | None:
    """What is noted; None when nothing is. Raises OSError, and StoreError for one of a later version."""
    try:
        handle = files.open(MARKER_FILE, writable=False)
    except FileNotFoundError:
        return None
    try:
        data = files.read(handle, 0, files.size(handle))
    finally:
        files.close(handle)
    try:
        document = json.loads(data)
        if document["version"] > _VERSION:
            raise StoreError(f"{MARKER_FILE} was written by a newer version of Durabus: start that one")
        found = {str(name): (int(size), int(ns), int(crc)) for name, (size, ns, crc) in document["files"].items()}
        return Marker(found, document["complete"] is True)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Marker({}, False, is_readable=False)


def write_marker(files: Files, marker: Marker) -> None:
    """Note it, in place of what was noted, safe from a power cut. Raises OSError."""
    head = json.dumps({"about": _ABOUT, "version": _VERSION, "complete": marker.is_complete, "files": {}}, indent=1)
    entries = [f"  {json.dumps(file)}: {json.dumps(mark)}" for file, mark in marker.fingerprint.items()]
    text = head.replace("{}\n", "{\n" + ",\n".join(entries) + "\n }\n")
    name = MARKER_FILE + files.new_suffix
    with contextlib.suppress(FileNotFoundError):
        files.remove(name)
    handle = files.create(name)
    try:
        files.write(handle, 0, text.encode("ascii") + b"\n")
        files.sync(handle)
    finally:
        files.close(handle)
    files.rename(name, MARKER_FILE)
    files.sync_directory()
