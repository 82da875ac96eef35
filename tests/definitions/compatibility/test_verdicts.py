"""Findings, and what they come to in each mode."""

import pytest

from durabus.definitions.compatibility.verdicts import (
    BOTH,
    NEITHER,
    Direction,
    EventVerdict,
    Finding,
    Mode,
    Verdicts,
    join_findings,
)

pytestmark = pytest.mark.once

BACKWARD, FORWARD = frozenset((Direction.BACKWARD,)), frozenset((Direction.FORWARD,))


@pytest.mark.parametrize(
    ("breaks", "summary", "compatible"),
    [
        (NEITHER, "full", {Mode.BACKWARD, Mode.FORWARD, Mode.FULL}),
        (BACKWARD, "forward", {Mode.FORWARD}),
        (FORWARD, "backward", {Mode.BACKWARD}),
        (BOTH, "incompatible", set()),
    ],
)
def test_what_a_finding_comes_to(breaks: frozenset[Direction], summary: str, compatible: set[Mode]) -> None:
    event = EventVerdict("A", "changed", (Finding("a", "why", NEITHER), Finding("b", "why", breaks)))
    assert event.summary == summary
    assert {mode for mode in Mode if event.is_compatible(mode)} == compatible
    assert {mode for mode in Mode if Verdicts((event,)).is_compatible(mode)} == compatible


def test_equal_findings_of_two_directions_are_one() -> None:
    joined = join_findings([Finding("a", "x", BACKWARD), Finding("b", "y", FORWARD), Finding("a", "x", FORWARD)])
    assert joined == (Finding("a", "x", BOTH), Finding("b", "y", FORWARD))
