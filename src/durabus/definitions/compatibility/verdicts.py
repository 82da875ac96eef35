"""What a comparison of definitions finds: findings with a path, a reason, and the directions they break."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

__all__ = ["BOTH", "NEITHER", "Direction", "EventVerdict", "Finding", "Mode", "Verdicts", "join_findings"]


class Direction(Enum):
    """Who reads whom."""

    BACKWARD = "backward"  # readers with the new definition read what was written with the old one
    FORWARD = "forward"  # readers with the old definition read what is written with the new one


BOTH = frozenset(Direction)
NEITHER: frozenset[Direction] = frozenset()


class Mode(Enum):
    """What is asked of a change."""

    BACKWARD = "backward"
    FORWARD = "forward"
    FULL = "full"

    @property
    def directions(self) -> frozenset[Direction]:
        """What must not break."""
        return BOTH if self is Mode.FULL else frozenset((Direction(self.value),))


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. It breaks these directions; one that breaks none is worth knowing all the same."""

    path: str  # of the field: `user.tags[]`; empty for the event as a whole
    reason: str
    breaks: frozenset[Direction]


@dataclass(frozen=True, slots=True)
class EventVerdict:
    """One event that the old definitions have, or the new ones, or both."""

    name: str
    change: str  # "changed", "same", "added" or "removed"
    findings: tuple[Finding, ...]

    def is_compatible(self, mode: Mode) -> bool:
        """Whether nothing breaks what `mode` asks for."""
        return not any(finding.breaks & mode.directions for finding in self.findings)

    @property
    def summary(self) -> str:
        """In a word: full, backward, forward or incompatible."""
        for mode in (Mode.FULL, Mode.BACKWARD, Mode.FORWARD):
            if self.is_compatible(mode):
                return str(mode.value)
        return "incompatible"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All events of both sides, by name."""

    events: tuple[EventVerdict, ...]

    def is_compatible(self, mode: Mode) -> bool:
        """Whether no event breaks what `mode` asks for."""
        return all(event.is_compatible(mode) for event in self.events)


def join_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings without repetitions, in the order in which they were met; equal ones of two directions are one."""
    joined: dict[tuple[str, str], frozenset[Direction]] = {}
    for finding in findings:
        key = (finding.path, finding.reason)
        joined[key] = joined.get(key, NEITHER) | finding.breaks
    return tuple(Finding(path, reason, breaks) for (path, reason), breaks in joined.items())
