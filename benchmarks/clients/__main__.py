"""Compare client libraries on the same server, side by side and taking turns. See benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import servers
from benchmarks.clients import costs, report
from benchmarks.clients.running import Load, measure
from benchmarks.clients.ways import (
    NODE,
    OLD_PYTHON,
    ROOT,
    WAYS,
    durabus_library,
    node_library,
    old_python_library,
)
from benchmarks.machine import processor
from benchmarks.workloads import BenchmarkError

if TYPE_CHECKING:
    import types

    from benchmarks.clients.costs import Cost
    from benchmarks.clients.running import Run
    from benchmarks.clients.ways import Library, Way
    from benchmarks.servers import Target

PARTS: Final = ("publish", "receive", "events")
"""What is measured."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clients", description=__doc__)
    parser.add_argument(
        "--server",
        action="append",
        metavar="KIND[:NAME]=COMMAND",
        dest="servers",
        help="the server: durabus or nats-streaming-server; may be repeated (durabus=.venv/bin/durabus serve)",
    )
    parser.add_argument(
        "--old-python",
        metavar="PATH",
        help="a Python 3.7 to 3.9 that has asyncio-nats-streaming; without it that library is left out",
    )
    parser.add_argument(
        "--node-packages",
        type=Path,
        default=ROOT / "tests" / "clients",
        metavar="FOLDER",
        help="where `npm ci` has installed node-nats-streaming (tests/clients)",
    )
    parser.add_argument("--parts", default=",".join(PARTS), metavar="NAMES", help="separated by commas (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--messages", type=int, default=100_000, help="per run (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=10_000, metavar="MESSAGES", help="before that (%(default)s)")
    parser.add_argument("--size", type=int, default=128, help="bytes per message (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    return parser


class ClientBenchmark:
    """One run of the program: measures, prints, collects."""

    def __init__(self, libraries: list[Library], rounds: int, load: Load) -> None:
        """Have measured nothing yet."""
        self.failures: Final[list[str]] = []
        self.raw: Final[dict[str, object]] = {
            "processor": processor(),
            "rounds": rounds,
            **asdict(load),
            "versions": {library.name: library.version for library in libraries},
        }
        """Everything measured, for JSON."""
        self._libraries: Final = {library.name: library for library in libraries}
        self._rounds: Final = rounds
        self._load: Final = load

    def rates(self, server: Target, publishes: bool) -> None:
        """Messages per second: the ways take turns in each round; one that fails is not run again, and has no line."""
        taking_part = [way for way in WAYS if way.library in self._libraries and way.publishes == publishes]
        results: dict[Way, list[Run]] = {way: [] for way in taking_part}
        for _ in range(self._rounds):
            for way in list(results):
                try:
                    results[way].append(measure(way, self._libraries[way.library], server, self._load))
                except BenchmarkError as trouble:
                    self._fail(f"{way.library}: {way.title}: {trouble}")
                    del results[way]
        part = "publish" if publishes else "receive"
        self.raw[f"{part} on {server.label}"] = {
            f"{way.library}: {way.name}": [asdict(run) for run in runs] for way, runs in results.items()
        }
        words = "published and acknowledged" if publishes else "received and acknowledged, one by one"
        print(f"{self._load.messages:,} messages of {self._load.size_bytes} bytes, {words}; server: {server.label}")
        peers = [name for name in (NODE, OLD_PYTHON) if name in self._libraries]
        print(report.rates_report(results, peers), end="\n\n", flush=True)

    def events(self) -> None:
        """Microseconds to encode and decode an event."""
        found: dict[str, list[Cost]] = {kind: [] for kind in costs.classes()}
        for _ in range(self._rounds):
            for kind, cls in costs.classes().items():
                found[kind].append(costs.measure(cls))
        self.raw["events"] = {kind: [asdict(cost) for cost in each] for kind, each in found.items()}
        print("an event of five fields, JSON")
        print(report.costs_report(found), end="\n\n", flush=True)

    def _fail(self, text: str) -> None:
        self.failures.append(text)
        print(f"FAILED {text}", file=sys.stderr, flush=True)


def _libraries(options: argparse.Namespace) -> list[Library]:
    """Those that can take part; raises BenchmarkError when one cannot that was asked for."""
    found = [durabus_library(sys.executable)]
    try:
        found.append(node_library(options.node_packages))
    except BenchmarkError as trouble:
        print(f"{NODE} is left out: {trouble}\n  `npm ci` in {options.node_packages} installs it")
    if options.old_python:
        found.append(old_python_library(options.old_python))
    else:
        print(f"{OLD_PYTHON} is left out: --old-python names a Python that has it")
    return found


def _terminate(number: int, frame: types.FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> int:
    """Run from the command line; 0 if every run was right, 1 if one failed, 2 if it was not told well what to do."""
    parser = _parser()
    options = parser.parse_args()
    parts = [part for part in options.parts.split(",") if part]
    if options.rounds < 1 or options.messages < 1 or options.warm_up < 1 or options.size < 80:
        parser.error("at least 1 round, 1 message, 1 to warm up, and 80 bytes per message are needed")
    if not parts or any(part not in PARTS for part in parts):
        parser.error(f"--parts are out of {','.join(PARTS)}")
    try:
        targets = [servers.target(text) for text in options.servers or ["durabus=.venv/bin/durabus serve"]]
        libraries = _libraries(options)
    except (ValueError, BenchmarkError) as trouble:
        parser.error(str(trouble))
    signal.signal(signal.SIGTERM, _terminate)
    print(processor())
    for library in libraries:
        print(f"  {library.name}: {library.version}")
    for target in targets:
        print(f"  server {target.label}: {servers.version(target)}")
    print("x: our messages/s divided by those of the best way of this library, median over the rounds", end="\n\n")
    benchmark = ClientBenchmark(libraries, options.rounds, Load(options.messages, options.warm_up, options.size))
    for target in targets:
        for part in ("publish", "receive"):
            if part in parts:
                benchmark.rates(target, publishes=part == "publish")
    if "events" in parts:
        benchmark.events()
    if options.json is not None:
        options.json.write_text(json.dumps(benchmark.raw, indent=1) + "\n")
    return 1 if benchmark.failures else 0


if __name__ == "__main__":
    sys.exit(main())
