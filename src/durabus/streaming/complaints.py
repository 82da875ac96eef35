"""What clients do wrong, told in the log without letting any of them fill it.

The first complaints of a kind are told as they come. What is too much for a while is counted, and told as one line when
the while is over; as long as it does not stop, that is all there is of it. Pure: lines in, lines out, time from outside.
"""

from typing import Final

from durabus.streaming.log_port import Log
from durabus.streaming.options import SECOND_NS
from durabus.streaming.timers import Timed, Timers

__all__ = ["COMPLAINTS_MAX", "Complaints"]

COMPLAINTS_MAX: Final = 10
"""Complaints of one kind that are told each by itself, within a while."""
_WHILE_NS: Final = 10 * SECOND_NS


class _Kind(Timed):
    """One kind of complaint, with how often it came since the while began."""

    def __init__(self, complaints: "Complaints", name: str) -> None:
        super().__init__()
        self.name = name
        self.count = 0
        self._complaints = complaints

    def on_time(self, now_ns: int) -> None:
        self._complaints.on_while_over(self, now_ns)


class Complaints:
    """The way to the log for everything that any client can cause as often as it likes."""

    def __init__(self, log: Log, timers: Timers) -> None:
        """Tell `log`; `timers` say when a while is over."""
        self._log = log
        self._timers = timers
        self._kinds: dict[str, _Kind] = {}

    def tell(self, kind: str, text: str, now_ns: int) -> None:
        """Log `text` as an error, unless there were too many of this `kind` (of which there are few) lately."""
        found = self._kinds.get(kind)
        if found is None:
            found = _Kind(self, kind)
            self._kinds[kind] = found
        if found.deadline_ns == 0:
            found.count = 0
            self._timers.set(found, now_ns + _WHILE_NS)
        found.count += 1
        if found.count <= COMPLAINTS_MAX:
            self._log.error(text)

    def on_while_over(self, kind: _Kind, now_ns: int) -> None:
        """Tell how many more there were, and as long as there are more, tell nothing else."""
        more = kind.count - COMPLAINTS_MAX
        if more > 0:
            self._log.error(f"{kind.name}: {more} more times in {_WHILE_NS // SECOND_NS} seconds")
            kind.count = COMPLAINTS_MAX
            self._timers.set(kind, now_ns + _WHILE_NS)
