"""Medians, ratios and the tables that are printed."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.generator import Measurement
    from benchmarks.scenarios import Memory, Startup
    from benchmarks.workloads import Workload


def median(runs: Sequence[Measurement], value: Callable[[Measurement], float]) -> float:
    """Return the median of a value over runs."""
    return statistics.median(map(value, runs))


def ratio(
    ours: Sequence[Measurement], theirs: Sequence[Measurement], value: Callable[[Measurement], float]
) -> float | None:
    """Return the median over the rounds of our value divided by theirs in the same round; None without rounds."""
    ratios = [value(our) / value(their) for our, their in zip(ours, theirs, strict=False) if value(their)]
    return statistics.median(ratios) if ratios else None


def spread(runs: Sequence[Measurement]) -> float:
    """Return how far apart the fastest and the slowest round are, as a share of the median throughput."""
    throughputs = [run.handled_per_second for run in runs]
    return (max(throughputs) - min(throughputs)) / statistics.median(throughputs)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns, the first one to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second else "-"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}" if seconds else "-"


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _workload_row(label: str, runs: Sequence[Measurement], ratios: Sequence[str]) -> list[str]:
    return [
        label,
        _rate(median(runs, lambda run: run.published_per_second)),
        _rate(median(runs, lambda run: run.delivered_per_second)),
        f"{spread(runs):.0%}",
        f"{median(runs, lambda run: run.server_cpu_seconds_per_million):.2f}",
        _milliseconds(median(runs, lambda run: run.latency_p50_seconds)),
        _milliseconds(median(runs, lambda run: run.latency_p99_seconds)),
        _megabytes(median(runs, lambda run: run.server_peak_bytes)),
        _megabytes(median(runs, lambda run: run.server_anonymous_bytes)),
        f"{median(runs, lambda run: run.generator_cpu_share):.0%}",
        *ratios,
    ]


def workload_report(
    workload: Workload, size_bytes: int, results: dict[str, list[Measurement]], ceiling: Sequence[Measurement]
) -> str:
    """Return the table of one workload: a line per server, the first of which is compared with the others.

    `ceiling` are runs of the generator against the sink. Servers without a result are left out.
    """
    present = {label: runs for label, runs in results.items() if runs}
    if not present:
        return f"{workload.name}: no result"
    base, *_ = present
    runs = present[base]
    rows = [
        [
            "server",
            "published/s",
            "delivered/s",
            "spread",
            "CPU s/M",
            "p50 ms",
            "p99 ms",
            "peak MB",
            "anon MB",
            "generator",
            "throughput x",
            "CPU x",
        ],
    ]
    for label, theirs in present.items():
        ratios = ["", ""]
        if label != base:
            ratios = [
                _ratio(ratio(runs, theirs, lambda run: run.handled_per_second)),
                _ratio(ratio(runs, theirs, lambda run: run.server_cpu_seconds_per_million)),
            ]
        rows.append(_workload_row(label, theirs, ratios))
    if ceiling:
        rows.append(_workload_row("generator (sink)", ceiling, ["", ""]))
    counts = ", ".join(sorted({f"{run.messages:,}" for some in present.values() for run in some}))
    head = f"{workload.name}: {workload.title}; {counts} messages of {size_bytes} bytes, runs: {len(runs)}"
    return f"{head}\n{table(rows)}"


def memory_report(results: dict[str, Memory]) -> str:
    """Return the table of the memory scenario."""
    rows = [["memory", "messages", "idle MB", "kept MB", "peak MB"]]
    for label, memory in results.items():
        sizes = map(_megabytes, (memory.idle_bytes, memory.kept_bytes, memory.peak_bytes))
        rows.append([label, f"{memory.messages:,}", *sizes])
    return table(rows)


def startup_report(results: dict[str, Startup], starts: int) -> str:
    """Return the table of the start-up scenario."""
    rows = [[f"start-up, median of {starts}", "port open ms", "first answer ms"]]
    for label, startup in results.items():
        rows.append([label, f"{startup.port_seconds * 1e3:.0f}", f"{startup.ready_seconds * 1e3:.0f}"])
    return table(rows)
