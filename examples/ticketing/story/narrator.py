"""Tells the story and checks it: numbered steps, and for every check what was expected and what was seen."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

POLL_S = 0.05
WITHIN_S = 15.0

Found = TypeVar("Found")


class StoryError(Exception):
    """A check did not hold, or something that the story needs has ended."""


class SetupError(Exception):
    """The story cannot begin: something is missing on this machine."""


def tell(text: str) -> None:
    """One line for the reader."""
    print(text, flush=True)


def words(value: object) -> str:
    """A value as a person would say it."""
    if value is None or value in ([], {}):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(words(item) for item in value)
    return str(value)


@dataclass
class Narrator:
    """`watch` is called while waiting; it raises StoryError if waiting has become pointless."""

    watch: Callable[[], None]
    step_number: int = 0
    step_name: str = "opening"
    scene_number: int = 0
    check_count: int = field(default=0, init=False)

    def step(self, number: int, name: str, title: str) -> None:
        """Begins a step."""
        self.step_number, self.step_name, self.scene_number = number, name, 0
        tell(f"\nStep {number} ({name}): {title}")

    def where(self) -> str:
        """The step that we are in."""
        return f"step {self.step_number} ({self.step_name})"

    def scene(self, text: str) -> None:
        """What happens now."""
        self.scene_number += 1
        tell(f"  {self.step_number}.{self.scene_number} {text}")

    def note(self, text: str) -> None:
        """A detail of it."""
        tell(f"      {text}")

    def check(self, what: str, expected: object, seen: object) -> None:
        """Both must be equal."""
        self._report(what, words(expected), words(seen), holds=expected == seen)

    def check_between(self, what: str, least_s: float, most_s: float, seen_s: float) -> None:
        """A duration must lie within bounds."""
        expected = f"between {least_s:.1f} s and {most_s:.1f} s" if least_s else f"less than {most_s:.1f} s"
        self._report(what, expected, f"{seen_s:.2f} s", holds=least_s <= seen_s <= most_s)

    def wait(self, what: str, expected: object, probe: Callable[[], object], within_s: float = WITHIN_S) -> None:
        """`probe` must come to return what is expected; it is asked until it does, or until the time is over."""
        deadline = time.monotonic() + within_s
        while (seen := probe()) != expected and time.monotonic() < deadline:
            self.watch()
            time.sleep(POLL_S)
        holds = seen == expected
        self._report(what, words(expected), words(seen) + ("" if holds else f" (for {within_s:.0f} s)"), holds=holds)

    def wait_for(self, what: str, probe: Callable[[], Found | None], within_s: float = WITHIN_S) -> Found:
        """`probe` must come to return something; silent if it does."""
        deadline = time.monotonic() + within_s
        while (found := probe()) is None:
            if time.monotonic() > deadline:
                self._report(what, f"within {within_s:.0f} s", "nothing", holds=False)
            self.watch()
            time.sleep(POLL_S)
        return found

    def _report(self, what: str, expected: str, seen: str, *, holds: bool) -> None:
        self.check_count += 1
        tell(f"      {'ok  ' if holds else 'FAIL'} {what}")
        if expected == seen:
            tell(f"           expected and seen: {seen}")
        else:
            tell(f"           expected: {expected}")
            tell(f"           seen:     {seen}")
        if not holds:
            raise StoryError(f"{what}: expected {expected}, saw {seen}")
