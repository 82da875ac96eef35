"""What a check of a store says: how much is there, and what of it is damaged."""

from typing import Final

__all__ = ["FINDINGS_MAX", "CheckReport", "Finding", "shown_name", "shown_range"]

FINDINGS_MAX: Final = 10_000
"""Findings that a report keeps; beyond, it counts them."""


class Finding:
    """One thing that is damaged. `text` says what, and where, in a sentence.

    `place` is where: a file with its first and last byte, or a table with its key. `channel` and the sequences `first` to
    `last` are those of the messages that it costs, empty and 0 where it costs none, or that cannot be known. `raw` are the
    bytes that are there.
    """

    def __init__(self, text: str, place: str, raw: bytes = b"") -> None:
        """A finding that costs no message."""
        self.text = text
        self.place = place
        self.raw = raw
        self.channel = b""
        self.first = 0
        self.last = 0
        self.columns: dict[str, object] = {}  # of a row of a table, besides the raw bytes
        self.is_lasting = False  # nothing can be done about it: it is found again after a repair

    def costs(self, channel: bytes, first: int, last: int) -> "Finding":
        """It costs these messages."""
        self.channel, self.first, self.last = channel, first, last
        return self


class CheckReport:
    """What is in a store, and what is damaged of it. `notes` are no damage: what was lost and repaired before, who uses it."""

    def __init__(self) -> None:
        """Nothing looked at yet."""
        self.kind = ""
        self.cluster_id: bytes | None = None
        self.channels = 0
        self.messages = 0
        self.message_bytes = 0
        self.clients = 0
        self.subscriptions = 0
        self.lost_before = 0  # messages that came here as lost ones, or that a repair has noted as such
        self.finding_count = 0
        self.findings: list[Finding] = []
        self.notes: list[str] = []

    @property
    def is_well(self) -> bool:
        """Whether nothing is damaged."""
        return self.finding_count == 0

    def add(self, finding: Finding) -> None:
        """One more finding."""
        self.finding_count += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)


def shown_name(name: bytes) -> str:
    """The name of a channel as people read it."""
    return name.decode(errors="backslashreplace")


def shown_range(first: int, last: int, channel: bytes) -> str:
    """Some messages of a channel, in words."""
    what = f"message {first}" if first == last else f"messages {first} to {last}"
    return f'{what} of channel "{shown_name(channel)}"'
