"""What the system tells about this process: open files, memory, time on the processors."""

import os
import resource
from pathlib import Path

__all__ = ["CpuMeter", "file_limit", "open_file_count", "processor_count", "resident_bytes"]

OPEN_FILES = Path("/proc/self/fd")
MEMORY = Path("/proc/self/statm")

SECOND_NS = 1_000_000_000
MEASURE_NS = SECOND_NS
"""A share of a shorter time than this is mostly chance."""


def open_file_count() -> int:
    """How many file descriptors this process has open; 0 where the system does not tell."""
    try:
        return sum(1 for _ in OPEN_FILES.iterdir())
    except OSError:
        return 0


def file_limit() -> int:
    """How many it may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def resident_bytes() -> int:
    """The memory that this process occupies; where the system does not tell, the most it ever occupied."""
    try:
        return int(MEMORY.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def processor_count() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def used_ns() -> int:
    """Time that this process spent on processors, all of them together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * SECOND_NS)


class CpuMeter:
    """The share of one processor that this process takes, in percent: since it was last asked, a second ago or more."""

    def __init__(self, now_ns: int) -> None:
        """Begin to measure at `now_ns`."""
        self._since_ns = now_ns
        self._used_ns = used_ns()
        self._percent = 0.0

    def percent(self, now_ns: int) -> float:
        """The share, with one digit behind the point."""
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns < 0:  # somebody has set the clock back
            self._since_ns = now_ns
        elif elapsed_ns >= MEASURE_NS:
            used = used_ns()
            self._percent = round(100 * (used - self._used_ns) / elapsed_ns, 1)
            self._since_ns = now_ns
            self._used_ns = used
        return self._percent
