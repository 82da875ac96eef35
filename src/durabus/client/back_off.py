"""How long to wait before the next attempt: longer each time, never the same for everybody. Chance is passed in."""

from collections.abc import Callable

__all__ = ["BackOff"]


class BackOff:
    """Pauses that double from `first_s` up to `longest_s`; of each, between half and all is waited.

    The spread keeps a thousand clients of a server that restarts from coming back in one moment.
    """

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float]) -> None:
        """`chance` gives a number from 0 up to, and without, 1."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self._pause_s = first_s

    def next_s(self) -> float:
        """How many seconds to wait now."""
        pause_s = self._pause_s
        self._pause_s = min(pause_s * 2, self._longest_s)
        return pause_s * (0.5 + self._chance() / 2)

    def reset(self) -> None:
        """An attempt was a success: begin with the first pause again."""
        self._pause_s = self._first_s
