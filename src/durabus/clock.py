"""The only source of time in the package: a system clock, and one that a test moves by hand."""

import time

__all__ = ["Clock", "ManualClock", "SystemClock", "boottime_ns"]


class Clock:
    """Two readings, both in nanoseconds: `wall_ns` for what is stored, `monotonic_ns` for deadlines.

    `is_running` says whether the monotonic reading goes on by itself; a test's clock stands until it is moved.
    """

    is_running = True

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump when somebody sets the machine's clock."""
        raise NotImplementedError  # pragma: no cover - abstract

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary moment; never goes back."""
        raise NotImplementedError  # pragma: no cover - abstract


class SystemClock(Clock):
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return time.monotonic_ns()


def boottime_ns() -> int:
    """Nanoseconds of a clock that goes on while the machine sleeps, where there is one (Linux): for leases."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock)


class ManualClock(Clock):
    """A clock that stands still until a test calls `advance`."""

    is_running = False

    def __init__(self, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        """Start at `wall_ns` nanoseconds since 1970; the monotonic reading starts at zero."""
        self._wall_ns = wall_ns
        self._monotonic_ns = 0

    def advance(self, duration_ns: int) -> None:
        """Move both readings on by `duration_ns` nanoseconds (0 or more)."""
        self._wall_ns += duration_ns
        self._monotonic_ns += duration_ns

    def wall_ns(self) -> int:
        """The wall reading, in nanoseconds since 1970."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """The monotonic reading, in nanoseconds since this clock was made."""
        return self._monotonic_ns
