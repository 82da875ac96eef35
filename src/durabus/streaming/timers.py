"""Deadlines that one asks for, instead of timers that go off: the shell asks when, waits, and says that time passed."""

import heapq

from mypy_extensions import mypyc_attr

__all__ = ["Timed", "Timers"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed:
    """Something that has at most one deadline at a time."""

    def __init__(self) -> None:
        """Without a deadline."""
        self.deadline_ns = 0
        self.timer_number = 0  # which of its entries counts; the timers' own

    def on_time(self, now_ns: int) -> None:
        """The deadline has come. It is cleared before this call, so a new one may be set in it."""
        raise NotImplementedError  # pragma: no cover - abstract


class Timers:
    """All deadlines of one core, in monotonic nanoseconds. Changing one costs no more than adding it."""

    def __init__(self) -> None:
        """Nothing is due."""
        self._heap: list[tuple[int, int, Timed]] = []
        self._heap_max = 64
        self._count = 0

    def set(self, timed: Timed, deadline_ns: int) -> None:
        """Let `timed` be due at `deadline_ns` (more than 0), and no longer when it was due before."""
        if timed.deadline_ns == deadline_ns:
            return
        timed.deadline_ns = deadline_ns
        self._count += 1
        timed.timer_number = self._count
        if len(self._heap) >= self._heap_max:
            self._forget()
        heapq.heappush(self._heap, (deadline_ns, self._count, timed))

    def cancel(self, timed: Timed) -> None:
        """Let `timed` not be due any more."""
        timed.deadline_ns = 0
        timed.timer_number = 0

    def next_ns(self) -> int:
        """When something is due next; 0 when nothing is."""
        while self._heap:
            deadline_ns, number, timed = self._heap[0]
            if timed.timer_number == number:
                return deadline_ns
            heapq.heappop(self._heap)
        return 0

    def fire(self, now_ns: int) -> int:
        """Tell everything that is due at `now_ns`, in the order of the deadlines; how many there were."""
        fired = 0
        while self._heap and self._heap[0][0] <= now_ns:
            _, number, timed = heapq.heappop(self._heap)
            if timed.timer_number == number:
                timed.deadline_ns = 0
                timed.timer_number = 0
                fired += 1
                timed.on_time(now_ns)
        return fired

    def _forget(self) -> None:
        """Drop what was moved or cancelled: deadlines can be years away, and nothing may be kept for that long."""
        self._heap = [entry for entry in self._heap if entry[2].timer_number == entry[1]]
        heapq.heapify(self._heap)
        self._heap_max = max(64, 2 * len(self._heap))
