"""Run one workload in a generator of its own, and the two scenarios that are no workloads: memory and start-up."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from benchmarks.dialects import Line, streaming_connect
from benchmarks.generator import Measurement
from benchmarks.machine import group_anonymous_bytes, group_memory_bytes
from benchmarks.servers import ROOT, Running, Target, empty_place, filling_server, running, running_in
from benchmarks.workloads import WORKLOADS, BenchmarkError, Workload

MEMORY_MESSAGES: Final = 1_000_000
"""Messages kept in the memory scenario."""

STARTS: Final = 10
"""Starts measured in the start-up scenario."""

_LIMIT_SECONDS: Final = 60
_SLOWEST_PER_SECOND: Final = 4000
_EXTRA_SECONDS: Final = 60
_LOOK_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 1.0


@dataclass
class Memory:
    """Resident memory of a server."""

    messages: int
    """Kept in memory at the end."""
    idle_bytes: int
    """A second after start-up, nobody connected."""
    kept_bytes: int
    """A second after the last message was acknowledged."""
    peak_bytes: int


@dataclass
class Startup:
    """Medians over the starts."""

    port_seconds: float
    """From the start of the process to the first connection accepted."""
    ready_seconds: float
    """From the start of the process to the first answer (STAN: the client is connected; NATS: PONG)."""


class Load(NamedTuple):
    """What the generator is told about a run."""

    messages: int
    """Published by all publishers together."""
    size_bytes: int
    """Of one message."""
    spin: bool
    """Never sleep while waiting."""


def _generate(server: Running, dialect: str, workload: Workload, load: Load) -> Measurement:
    command = [
        sys.executable,
        "-m",
        "benchmarks.generator",
        dialect,
        workload.name,
        str(server.port),
        str(server.group),
    ]
    limit_seconds = max(_LIMIT_SECONDS, load.messages // _SLOWEST_PER_SECOND)
    command += ["--messages", str(load.messages), "--size", str(load.size_bytes), *["--spin"] * load.spin]
    command += ["--limit", str(limit_seconds)]
    anonymous_bytes = 0
    deadline_seconds = time.monotonic() + limit_seconds + _EXTRA_SECONDS
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as generator:
        try:
            while generator.poll() is None and time.monotonic() < deadline_seconds:
                with suppress(subprocess.TimeoutExpired):
                    generator.wait(_LOOK_SECONDS)  # what it prints is less than a pipe holds
                anonymous_bytes = max(anonymous_bytes, group_anonymous_bytes(server.group))
            if generator.poll() is None:
                raise BenchmarkError(f"{workload.name}: the generator does not end")
            output, complaint = generator.communicate()
        finally:
            generator.kill()
    if generator.returncode:
        raise BenchmarkError(f"{workload.name}: {complaint.strip()}")
    return Measurement(**json.loads(output) | {"server_anonymous_bytes": anonymous_bytes})


def measure_workload(of: Target, workload: Workload, load: Load) -> Measurement:
    """Run a workload once against a fresh server. BenchmarkError if anything was lost, doubled, out of order or refused."""
    dialect = of.dialect(workload)
    assert dialect is not None
    if not workload.is_replay or of.kind == "sink":
        with running(of, dialect) as server:
            return _generate(server, dialect, workload, load)
    filling = WORKLOADS["1p" if workload.channels == 1 else "1000c"]
    with empty_place(of) as place:
        with running_in(filling_server(of), dialect, place) as server:
            _generate(server, dialect, filling, load)
            if of.store == "memory":
                return _generate(server, dialect, workload, load)
        with running_in(of, dialect, place) as server:
            return _generate(server, dialect, workload, load)


def measure_memory(of: Target, messages: int, size_bytes: int) -> Memory:
    """Publish messages to a fresh server that keeps them in memory."""
    workload = WORKLOADS["1p"]
    dialect = of.dialect(workload)
    assert dialect is not None
    with running(of, dialect) as server:
        time.sleep(_IDLE_SECONDS)
        idle_bytes, _ = group_memory_bytes(server.group)
        _generate(server, dialect, workload, Load(messages, size_bytes, spin=False))
        time.sleep(_IDLE_SECONDS)
        kept_bytes, peak_bytes = group_memory_bytes(server.group)
    return Memory(messages, idle_bytes, kept_bytes, peak_bytes)


def measure_startup(of: Target, starts: int) -> Startup:
    """Start a server several times."""
    port_times_seconds, ready_times_seconds = [], []
    dialect = of.dialect(WORKLOADS["1p"])
    assert dialect is not None
    for _ in range(starts):
        with running(of, dialect) as server:
            port_times_seconds.append(time.perf_counter() - server.started_seconds)
            line = (
                streaming_connect(server.port, "starter")[0] if dialect == "streaming" else Line(server.port, "starter")
            )
            ready_times_seconds.append(time.perf_counter() - server.started_seconds)
            line.socket.close()
    return Startup(statistics.median(port_times_seconds), statistics.median(ready_times_seconds))
