"""Compare Durabus with its peers, side by side and taking turns. See benchmarks/README.md for what the numbers mean."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import report, servers
from benchmarks.databases import KINDS, MissingProgramError
from benchmarks.machine import processor
from benchmarks.scenarios import (
    MEMORY_MESSAGES,
    STARTS,
    Load,
    Memory,
    Startup,
    measure_memory,
    measure_startup,
    measure_workload,
)
from benchmarks.workloads import USUAL, WORKLOADS, BenchmarkError, Workload

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator

    from benchmarks.databases import DatabaseServer
    from benchmarks.generator import Measurement
    from benchmarks.servers import Target

SCENARIOS: Final = ("memory", "startup")
"""What is measured besides the workloads."""

_CEILING_RUNS: Final = 3
_DEFAULT_SERVER: Final = ".venv/bin/durabus serve"


def _names(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name and name != "none"]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--server",
        default=_DEFAULT_SERVER,
        metavar="COMMAND",
        help="the Durabus that is measured, with the arguments before its flags; 'none' for peers only (%(default)s)",
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="KIND[:NAME]=COMMAND",
        help="also measure this program; kinds: durabus, nats-streaming-server, nats-server; may be repeated",
    )
    parser.add_argument(
        "--store",
        choices=servers.STORES,
        default="memory",
        help="where the streaming servers keep events: memory, or, synced, one of the others (%(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds per workload (%(default)s)")
    parser.add_argument("--size", type=int, default=128, help="bytes per message, at least 8 (%(default)s)")
    parser.add_argument("--messages", type=int, help="messages per workload instead of each one's own number")
    parser.add_argument(
        "--workloads",
        type=_names(tuple(WORKLOADS)),
        default=list(USUAL),
        metavar="NAMES",
        help=f"separated by commas, or 'none', out of {','.join(WORKLOADS)}; default: {','.join(USUAL)}",
    )
    parser.add_argument(
        "--scenario",
        type=_names(SCENARIOS),
        default=list(SCENARIOS),
        metavar="NAMES",
        dest="scenarios",
        help=f"separated by commas, or 'none'; default: {','.join(SCENARIOS)}",
    )
    parser.add_argument(
        "--wait",
        choices=("spin", "sleep"),
        default="spin",
        help="how the generator waits in 'sync'; asleep, waking it up is most of what is measured (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    return parser


def _targets(options: argparse.Namespace) -> list[Target]:
    """Return the servers that take part, ours first; ValueError if one cannot be run."""
    texts = [] if options.server == "none" else [f"durabus={options.server}"]
    found = [servers.target(text)._replace(store=options.store) for text in [*texts, *options.peer]]
    if not found:
        raise ValueError("nothing to measure")
    if options.store != "memory" and any(each.kind == "nats-server" for each in found):
        raise ValueError("nats-server takes part with memory only: its file store does not sync before it acknowledges")
    labels = [each.label for each in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two servers are called {label}: name one, as in {label}:other=COMMAND")
    return found


class Benchmark:
    """One run of the program: measures, prints, collects."""

    def __init__(self, targets: list[Target], options: argparse.Namespace) -> None:
        """Have measured nothing yet."""
        self.failures: Final[list[str]] = []
        """What went wrong."""
        self.raw: Final[dict[str, object]] = {
            "processor": processor(),
            "python": platform.python_version(),
            "rounds": options.rounds,
            "size_bytes": options.size,
            "wait": options.wait,
            "store": options.store,
            "versions": {each.label: servers.version(each) for each in targets},
        }
        """Everything measured, for JSON."""
        self._targets: Final = targets
        self._rounds: Final[int] = options.rounds
        self._size_bytes: Final[int] = options.size
        self._messages: Final[int | None] = options.messages
        self._spin: Final[bool] = options.wait == "spin"

    def workload(self, workload: Workload) -> None:
        """Measure a workload: the servers take turns in each round; one that fails is not run again."""
        load = Load(self._messages or workload.messages, self._size_bytes, self._spin and workload.window == 1)
        rounds = self._rounds * workload.turns
        results: dict[str, list[Measurement]] = {}
        ceiling: list[Measurement] = []
        taking_part = [each for each in self._targets if each.dialect(workload)]
        for number in range(1, rounds + 1):
            for each in list(taking_part):
                _progress(f"{workload.name}, {number} of {rounds}: {each.label}")
                label = _label(each, workload)
                try:
                    results.setdefault(label, []).append(measure_workload(each, workload, load))
                except BenchmarkError as trouble:
                    self._fail(workload.name, trouble)
                    taking_part.remove(each)
                    results.pop(label, None)
        _progress(f"{workload.name}: generator against the sink")
        try:
            for _ in range(min(rounds, _CEILING_RUNS)):
                sink = servers.sink(workload, load.messages, load.size_bytes)
                ceiling.append(measure_workload(sink, workload, load))
        except BenchmarkError as trouble:
            self._fail(workload.name, trouble)
        self.raw[workload.name] = {
            label: [asdict(run) for run in runs] for label, runs in {**results, "generator": ceiling}.items()
        }
        _progress("")
        print(report.workload_report(workload, self._size_bytes, results, ceiling), end="\n\n", flush=True)

    def memory(self) -> None:
        """Measure the memory scenario, once per server."""
        results: dict[str, Memory] = {}
        messages = self._messages or MEMORY_MESSAGES
        for each in self._targets:
            _progress(f"memory: {each.label}")
            try:
                results[_label(each, WORKLOADS["1p"])] = measure_memory(each, messages, self._size_bytes)
            except BenchmarkError as trouble:
                self._fail("memory", trouble)
        self.raw["memory"] = {label: asdict(memory) for label, memory in results.items()}
        _progress("")
        print(report.memory_report(results), end="\n\n", flush=True)

    def startup(self) -> None:
        """Measure the start-up scenario."""
        results: dict[str, Startup] = {}
        for each in self._targets:
            _progress(f"startup: {each.label}")
            try:
                results[_label(each, WORKLOADS["1p"])] = measure_startup(each, STARTS)
            except (BenchmarkError, OSError) as trouble:
                self._fail("startup", trouble)
        self.raw["startup"] = {label: asdict(startup) for label, startup in results.items()}
        _progress("")
        print(report.startup_report(results, STARTS), end="\n\n", flush=True)

    def _fail(self, what: str, trouble: Exception) -> None:
        self.failures.append(f"{what}: {trouble}")
        _progress("")
        print(f"FAILED {what}: {trouble}", file=sys.stderr, flush=True)


def _label(of: Target, workload: Workload) -> str:
    return f"{of.label} (JetStream)" if of.dialect(workload) == "jetstream" else of.label


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]:{width}}\r", end="", file=sys.stderr, flush=True)


def _terminate(number: int, frame: types.FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> int:
    """Run from the command line; 0 if every run was right, 1 if one failed, 2 if it was not told well what to do."""
    parser = _parser()
    options = parser.parse_args()
    if options.rounds < 1 or options.size < 8 or (options.messages is not None and options.messages < 4):
        parser.error("at least 1 round, 8 bytes per message and 4 messages are needed")
    try:
        targets = _targets(options)
    except ValueError as trouble:
        parser.error(str(trouble))
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with database(options.store) as instance:
            return _run([each._replace(database=instance) for each in targets], options)
    except MissingProgramError as trouble:
        parser.error(str(trouble))


@contextmanager
def database(store: str) -> Iterator[DatabaseServer | None]:
    """Run the instance that a store needs until the block ends; None for a store that needs none. MissingProgramError."""
    if store not in KINDS:
        yield None
        return
    instance = KINDS[store](is_durable=True)
    try:
        yield instance
    finally:
        instance.stop()


def _run(targets: list[Target], options: argparse.Namespace) -> int:
    benchmark = Benchmark(targets, options)
    print(f"{processor()}, Python {platform.python_version()} for the generator")
    for each in targets:
        print(f"  {each.label}: {servers.version(each)}")
    print("CPU s/M: the server's CPU seconds per million messages published plus delivered")
    print(f"throughput x, CPU x: {targets[0].label} divided by this server, median over the rounds", end="\n\n")
    for name in options.workloads:
        benchmark.workload(WORKLOADS[name])
    if "memory" in options.scenarios:
        benchmark.memory()
    if "startup" in options.scenarios:
        benchmark.startup()
    if options.json is not None:
        options.json.write_text(json.dumps(benchmark.raw, indent=1) + "\n")
    for failure in benchmark.failures:
        print(f"FAILED {failure.splitlines()[0]}", file=sys.stderr)
    return 1 if benchmark.failures else 0


if __name__ == "__main__":
    sys.exit(main())
