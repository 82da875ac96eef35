"""The tables of the client benchmark."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.clients.ways import DURABUS, Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.clients.costs import Cost
    from benchmarks.clients.running import Run


def best(results: Mapping[Way, Sequence[Run]], library: str) -> Way | None:
    """The way of a library with the highest median; None when it has not taken part."""
    ways = [way for way in results if way.library == library]
    return max(ways, key=lambda way: median_per_second(results[way])) if ways else None


def median_per_second(runs: Sequence[Run]) -> float:
    """Messages per second."""
    return statistics.median(run.per_second for run in runs)


def ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> float:
    """Our messages per second divided by theirs, round by round, then the median: neighbours saw the same machine."""
    return statistics.median(mine.per_second / other.per_second for mine, other in zip(ours, theirs, strict=True))


def rates_report(results: Mapping[Way, Sequence[Run]], peers: Sequence[str]) -> str:
    """One line for each way, and beside ours the ratio to the best way of each peer."""
    rivals = {peer: best(results, peer) for peer in peers}
    heads = ["", "messages/s", "spread", "CPU us", *(f"x {peer}" for peer in peers)]
    rows = [heads]
    for way, runs in results.items():
        median = median_per_second(runs)
        rates = [run.per_second for run in runs]
        row = [
            f"{way.library}: {way.title}",
            f"{median:,.0f}",
            f"{(max(rates) - min(rates)) / median:.0%}",
            f"{statistics.median(run.cpu_us for run in runs):.1f}",
        ]
        for rival in rivals.values():
            row.append(f"{ratio(runs, results[rival]):.2f}" if way.library == DURABUS and rival is not None else "")
        rows.append(row)
    return table(rows)


def costs_report(results: Mapping[str, Sequence[Cost]]) -> str:
    """One line for each kind of class: the lowest of all rounds, to which others on the machine have added least."""
    rows = [["", "encode us", "decode us", "both us"]]
    for kind, costs in results.items():
        encode_us, decode_us = min(cost.encode_us for cost in costs), min(cost.decode_us for cost in costs)
        rows.append([kind, *(f"{value:.2f}" for value in (encode_us, decode_us, encode_us + decode_us))])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
