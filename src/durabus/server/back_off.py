"""How often a line is shown that others can cause as often as they like, or that comes as long as something lasts."""

from typing import Final

__all__ = ["BackOff"]

_SHOWN_MIN_NS: Final = 1_000_000_000
_SHOWN_MAX_NS: Final = 60_000_000_000


class BackOff:
    """Says when a line that comes again and again may be shown: at first after a second, in the end once a minute."""

    def __init__(self) -> None:
        """Nothing shown yet."""
        self._next_ns = 0
        self._pause_ns = _SHOWN_MIN_NS

    def is_due(self, now_ns: int) -> bool:
        """Whether to show it now. After two minutes in which nobody asked, it begins anew."""
        if self._next_ns and now_ns < self._next_ns:
            return False
        if self._next_ns and self._pause_ns == _SHOWN_MAX_NS and now_ns - self._next_ns >= 2 * _SHOWN_MAX_NS:
            self._next_ns = 0
        self._pause_ns = min(self._pause_ns * 2, _SHOWN_MAX_NS) if self._next_ns else _SHOWN_MIN_NS
        self._next_ns = now_ns + self._pause_ns
        return True
