"""Questions about what is in flight: with whom, what is left of it, in which order and when it is due (docs/protocol.md §8.4)."""

from typing import Final, cast

from mypy_extensions import i64

from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.options import MILLISECOND_NS
from durabus.streaming.window import Flight

__all__ = ["TOGETHER_NS", "due_order", "first_order", "held_of", "holder_of", "postpone", "run_length"]

TOGETHER_NS: Final = 15 * MILLISECOND_NS
"""Redeliveries that are due this soon go out together: docs/protocol.md §8.4."""


def due_order(flight: Flight) -> tuple[int, int]:
    """For sorting by when flights are due; the lower sequence first where that is the same."""
    return flight.deadline_ns, int(flight.first)


def first_order(flight: Flight) -> int:
    """For sorting by sequence."""
    return int(flight.first)


def held_of(cohort: Cohort, flight: Flight) -> list[int]:
    """What is left of `flight`, ascending."""
    sequences: list[int] = []
    sequence: i64 = flight.first
    while sequence <= flight.last:
        if cohort.window.at(sequence) is flight:
            sequences.append(int(sequence))
        sequence += 1
    return sequences


def holder_of(cohort: Cohort, sequence: int) -> Member | None:
    """With whom a message is in flight; None when it is not."""
    flight = cohort.window.at(sequence)
    return cast(Member, flight.holder) if flight is not None else None


def postpone(flight: Flight, member: Member, now_ns: int) -> None:
    """Set the next time `flight` is due: one AckWait after the last one (docs/protocol.md §8.4), never in the past."""
    following_ns = flight.deadline_ns + member.ack_wait_ns
    flight.deadline_ns = following_ns if following_ns > now_ns else now_ns + member.ack_wait_ns


def run_length(sequences: list[int], start: int) -> int:
    """How many of `sequences` are consecutive from index `start` on."""
    stop = start + 1
    while stop < len(sequences) and sequences[stop] == sequences[stop - 1] + 1:
        stop += 1
    return stop - start
