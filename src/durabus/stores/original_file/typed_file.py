"""A walk over a file of typed records, that goes around what is damaged: the original's subscriptions and clients."""

import os
from typing import Final

from mypy_extensions import i64

from durabus.stores.findings import shown_name
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.records import (
    END,
    GOOD,
    TORN,
    VERSION_BYTES,
    WRONG,
    ZEROS,
    RecordReader,
    version_complaint,
)

__all__ = ["TypedWalk"]

_REASONS: Final = {
    ZEROS: "there are zeros",
    TORN: "it ends behind the end of the file",
    WRONG: "its checksum is wrong",
}


class TypedWalk:
    """Record by record: `next`, then `kind`, `payload` and `offset`. `damage_count` counts the damaged places up to there."""

    def __init__(
        self, file: SourceFile, reader: RecordReader, kind_max: i64, begins: bytes, channel: bytes, findings: Findings
    ) -> None:
        """Walk over `file` with `reader`. Types are 1 to `kind_max`, and every payload begins with `begins`."""
        self.kind: i64 = 0
        self.payload = b""
        self.offset: i64 = 0
        self.damage_count: i64 = 0
        self._file = file
        self._reader = reader
        self._kind_max = kind_max
        self._begins = begins
        self._channel = channel
        self._findings = findings
        self._next: i64 = VERSION_BYTES
        complaint = version_complaint(file)
        if complaint:
            self.note(f"{complaint}; it is read as if it were right")

    def next(self) -> bool:
        """Step to the next record; False at the end. Raises StoreError."""
        reader = self._reader
        while True:
            outcome = reader.look(self._next)
            if outcome == END:
                self._findings.read(self._file.size)
                return False
            if outcome == GOOD and 0 < reader.kind <= self._kind_max:
                self.kind = reader.kind
                self.payload = reader.payload
                self.offset = self._next
                self._next = reader.end
                return True
            reason = _REASONS[outcome] if outcome != GOOD else f"there are no records of type {reader.kind}"
            self._go_around(reason)

    def leave_out(self, reason: str) -> None:
        """The record that was stepped to is none."""
        self.damage_count += 1
        self._findings.aside(self._file, int(self.offset), int(self._next), self._channel, 0, reason)

    def note(self, text: str) -> None:
        """Something else that is not as it should be."""
        self._findings.note(f"{shown_name(os.fsencode(self._file.name))}: {text}")

    def _go_around(self, reason: str) -> None:
        """Step over what is damaged, to the next good record or to the end."""
        reader = self._reader
        start = self._next
        following: i64 = reader.end_of(start)
        if following < 0 or reader.look(following) != GOOD or not 0 < reader.kind <= self._kind_max:
            following = reader.next_typed(start + 1, self._begins)
            while following >= 0 and not 0 < reader.kind <= self._kind_max:
                following = reader.next_typed(following + 1, self._begins)
        if following < 0:
            self._findings.cut(self._file, int(start), int(reader.size), self._channel, 0, reason)
            self._next = reader.size
            return
        self.damage_count += 1
        self._findings.aside(self._file, int(start), int(following), self._channel, 0, reason)
        self._next = following
