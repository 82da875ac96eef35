"""What was found while a store of the original was read: in words, and, for bytes that are no records, in the quarantine."""

import os
from collections.abc import Callable
from typing import Final

from durabus.stores.findings import shown_name
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.quarantine import Quarantine

__all__ = ["Findings"]

_LINES_MAX: Final = 1000
"""Findings that are told one by one."""
_PIECE_BYTES: Final = 1 << 20


class Findings:
    """Collects what is found. `damage` is in words; `lost_count` are the messages that are damaged or not there."""

    def __init__(self, quarantine: Quarantine | None, report: Callable[[str], None], bytes_due: int = 0) -> None:
        """Without a quarantine, bytes stay where they are. `report` is told how far the reading of `bytes_due` bytes is."""
        self.damage: list[str] = []
        self.lost_count = 0
        self._quarantine = quarantine
        self._report = report
        self._bytes_due = bytes_due
        self._bytes_read = 0
        self._untold = 0

    def note(self, text: str) -> None:
        """Something that is not as it should be."""
        if len(self.damage) < _LINES_MAX:
            self.damage.append(text)
            return
        self._untold += 1
        where = f", see {self._quarantine.path}" if self._quarantine is not None else ""
        self.damage[_LINES_MAX:] = [f"and {self._untold} findings more{where}"]

    def absent(self, channel: bytes, first: int, last: int) -> None:
        """Messages of `channel` must have been there, and nothing is left of them."""
        self.lost_count += last - first + 1
        self.note(f'channel "{shown_name(channel)}": {_messages(first, last)} in none of its files')

    def damaged(self, file: SourceFile, start: int, end: int, channel: bytes, first: int, last: int, why: str) -> None:
        """Messages of `channel` were between two offsets of a file, and are not readable."""
        self.lost_count += last - first + 1
        self.note(
            f'channel "{shown_name(channel)}": {_messages(first, last)} damaged ({_place(file, start, end)}: {why})'
        )
        self._keep(file, start, end, channel, (first, last), why)

    def cut(self, file: SourceFile, start: int, end: int, channel: bytes, due: int, why: str) -> None:
        """A file ends with what is no record: most often one that was not written to its end before a crash."""
        if _is_empty(file, start, end):
            return
        at = f" at message {due}" if due else ""
        self.note(f"{_of(channel)}the torn end of a file is cut off{at} ({_place(file, start, end)}: {why})")
        self._keep(file, start, end, channel, (0, 0), f"torn end: {why}")

    def aside(self, file: SourceFile, start: int, end: int, channel: bytes, following: int, why: str) -> None:
        """Bytes that are no record, in a place where none is missing, or before the first one that is known."""
        if _is_empty(file, start, end):
            return
        before = f" before message {following}" if following else ""
        self.note(f"{_of(channel)}unreadable bytes{before} are left out ({_place(file, start, end)}: {why})")
        self._keep(file, start, end, channel, (0, 0), why)

    def replaced(self, file: SourceFile, start: int, end: int, channel: bytes, first: int, last: int) -> None:
        """Messages that were never acknowledged: after a crash, the original gave their numbers to later ones."""
        why = "never acknowledged, the numbers were used again after a crash"
        self.note(f"{_of(channel)}earlier {_messages(first, last)} left out ({_place(file, start, end)}: {why})")
        self._keep(file, start, end, channel, (first, last), why)

    def read(self, count: int) -> None:
        """So many bytes were read, and are not read again."""
        step = max(self._bytes_due // 10, 1 << 28)
        before = self._bytes_read // step
        self._bytes_read += count
        if before != self._bytes_read // step and self._bytes_read < self._bytes_due:
            self._report(f"{self._bytes_read / 1e6:,.0f} of {self._bytes_due / 1e6:,.0f} MB read")

    def finish(self) -> None:
        """Have the disk keep the quarantine. Raises StoreError."""
        if self._quarantine is not None:
            self._quarantine.finish()

    def _keep(self, file: SourceFile, start: int, end: int, channel: bytes, numbers: tuple[int, int], why: str) -> None:
        if self._quarantine is not None:
            self._quarantine.keep(file, start, end, channel, numbers, why)


def _messages(first: int, last: int) -> str:
    return f"message {first} is" if first == last else f"messages {first} to {last} are"


def _of(channel: bytes) -> str:
    return f'channel "{shown_name(channel)}": ' if channel else ""


def _place(file: SourceFile, start: int, end: int) -> str:
    return f"{shown_name(os.fsencode(file.name))}, bytes {start} to {end - 1}"


def _is_empty(file: SourceFile, start: int, end: int) -> bool:
    """Whether there is nothing but zeros."""
    while start < end:
        if file.read(start, min(_PIECE_BYTES, end - start)).strip(b"\0"):
            return False
        start += _PIECE_BYTES
    return True
