"""What Linux says about a process group: processor time and memory. A server counts with the children it may have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def _status_fields(process: str) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, beginning with the state; none if it is gone."""
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def group_members(group: int) -> list[int]:
    """Return the ids of the living processes of a process group."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            values = _status_fields(process.name)
            if values and values[2] == str(group):
                found.append(int(process.name))
    return found


def group_cpu_seconds(group: int) -> float:
    """Return the user and system time of a process group and of the children it has waited for."""
    ticks = 0
    for process in group_members(group):
        ticks += sum(int(value) for value in _status_fields(str(process))[11:15])
    return ticks / _TICKS_PER_SECOND


def group_memory_bytes(group: int) -> tuple[int, int]:
    """Return the resident memory of a process group now, and the sum of its members' highest (VmRSS, VmHWM)."""
    totals = _sums(group, "VmRSS:", "VmHWM:")
    return totals["VmRSS:"], totals["VmHWM:"]


def group_anonymous_bytes(group: int) -> int:
    """Return the resident memory of a process group now that is no file's (RssAnon)."""
    return _sums(group, "RssAnon:")["RssAnon:"]


def _sums(group: int, *names: str) -> dict[str, int]:
    """Add up fields of /proc/PID/status, in bytes."""
    totals = dict.fromkeys(names, 0)
    for process in group_members(group):
        try:
            lines = Path("/proc", str(process), "status").read_text().splitlines()
        except OSError:
            continue
        for words in map(str.split, lines):
            if words and words[0] in totals:
                totals[words[0]] += int(words[1]) * 1024
    return totals


def processor() -> str:
    """Return the processor's model name and how many of it this process may use."""
    name = "unknown processor"
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{len(os.sched_getaffinity(0))} x {name}"
