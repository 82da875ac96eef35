"""Long work in short steps: between two of them, messages of clients go on.

A document with thousands of entries takes many milliseconds, and everything in the server happens on one thread. So
whatever may be long is a generator that yields when it has done about half a millisecond's work, and returns its result;
whoever runs it lets others work meanwhile.
"""

from collections.abc import Generator, Iterable
from typing import Final, TypeVar

__all__ = ["UNITS_PER_STEP", "Pace", "Steps", "finish", "lowest"]

T = TypeVar("T")
Ordered = TypeVar("Ordered", bytes, tuple[int, int], tuple[str, int])

Steps = Generator[None, None, T]
"""Work that yields between its steps, and returns a result."""

UNITS_PER_STEP: Final = 256
"""A unit is about as much work as writing one key and its value into a document: a microsecond or two."""

_SORTED_PER_STEP: Final = 4096


class Pace:
    """Counts work: `if pace.spent(units): yield`."""

    def __init__(self) -> None:
        """Begin a step."""
        self._left = UNITS_PER_STEP

    def spent(self, units: int) -> bool:
        """Note work that is done; whether it is time to let others work."""
        self._left -= units
        if self._left > 0:
            return False
        self._left = UNITS_PER_STEP
        return True


def finish(steps: Steps[T]) -> T:
    """The result, with all steps in one go."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def lowest(items: Iterable[Ordered], count: int) -> Steps[list[Ordered]]:
    """The first `count` of `items` in ascending order."""
    rest = list(items)
    best: list[Ordered] = []
    for start in range(0, len(rest), _SORTED_PER_STEP):
        if start:
            yield
        best += rest[start : start + _SORTED_PER_STEP]
        best.sort()
        del best[count:]
    return best
