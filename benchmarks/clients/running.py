"""One run: a fresh server, a program of one library on it, and a look at what the server has afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import selectors
import socket
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import durabus
from benchmarks import servers
from benchmarks.clients import typed_event
from benchmarks.clients.ways import ROOT
from benchmarks.workloads import MAX_IN_FLIGHT, PUBLISH_WINDOW, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.clients.ways import Library, Way
    from benchmarks.servers import Target

_WARM_UP_CHANNEL: Final = "warm-up"
_RUN_S: Final = 120.0
_SETTLE_S: Final = 10.0
_ANSWER_S: Final = 10.0
_END_S: Final = 10.0


@dataclass(frozen=True)
class Load:
    """How much a program has to do."""

    messages: int
    warm_up_messages: int
    """Published or received before, and not counted: compilers that work while a program runs have their time."""
    size_bytes: int


@dataclass(frozen=True)
class Task:
    """What a program is told, as JSON."""

    url: str
    cluster_id: str
    way: str
    channel: str
    count: int
    warm_up_channel: str
    warm_up_count: int
    payload: str
    window: int
    """Publishes that may be unacknowledged."""
    max_in_flight: int
    """Deliveries that may be unacknowledged."""


@dataclass(frozen=True)
class Run:
    """What one run has measured."""

    per_second: float
    """Messages, from the first publish to the last acknowledgement, or from the subscription to the last message."""
    cpu_us: float
    """User and system time of the program, in microseconds per message."""


def measure(way: Way, library: Library, server: Target, load: Load) -> Run:
    """Run a program on a server of its own, and check what the server has of it; raises BenchmarkError."""
    monitor_port = _free_port()
    target = server._replace(command=(*server.command, "-m", str(monitor_port)))
    payload = typed_event.payload(load.size_bytes)
    with servers.running(target, "streaming") as running:
        url = f"nats://127.0.0.1:{running.port}"
        if not way.publishes:
            asyncio.run(
                _fill(url, payload, {_WARM_UP_CHANNEL: load.warm_up_messages, typed_event.CHANNEL: load.messages})
            )
        task = Task(
            url=url,
            cluster_id="test-cluster",
            way=way.name,
            channel=typed_event.CHANNEL,
            count=load.messages,
            warm_up_channel=_WARM_UP_CHANNEL,
            warm_up_count=load.warm_up_messages,
            payload=payload.decode(),
            window=PUBLISH_WINDOW,
            max_in_flight=MAX_IN_FLIGHT,
        )
        with _program(library, task) as (process, errors):
            took = _result(library, process, errors)
            _check(way, f"http://127.0.0.1:{monitor_port}", load.messages)
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
    return Run(load.messages / took["seconds"], took["cpu_seconds"] / load.messages * 1e6)


async def _fill(url: str, payload: bytes, counts: dict[str, int]) -> None:
    async with durabus.connect(url) as bus:
        await bus.publish_all((channel, payload) for channel, count in counts.items() for _ in range(count))


@contextlib.contextmanager
def _program(library: Library, task: Task) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*library.command, json.dumps(asdict(task))],
            cwd=ROOT,
            env={**os.environ, **library.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process:
            try:
                yield process, errors
            finally:
                process.kill()


def _result(library: Library, process: subprocess.Popen[bytes], errors: IO[bytes]) -> dict[str, float]:
    """What the program tells in its one line; raises BenchmarkError when it ends without, or takes too long."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(_RUN_S):
            raise BenchmarkError(f"{library.name} was not ready after {_RUN_S:.0f} s")
    line = process.stdout.readline()
    if not line:
        process.wait(_END_S)
        errors.seek(0)
        raise BenchmarkError(f"{library.name} failed:\n{errors.read()[-2000:].decode(errors='replace')}")
    took: dict[str, float] = json.loads(line)
    return took


def _check(way: Way, monitor: str, count: int) -> None:
    """Compare with what the server has: each event once; each delivery acknowledged, those on their way in a moment."""
    deadline_s = time.monotonic() + _SETTLE_S
    url = f"{monitor}/streaming/channelsz?channel={typed_event.CHANNEL}&subs=1"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
                wrong = complaint(way, json.load(answer), count)
        except OSError as error:
            wrong = f"the server does not tell of the channel {typed_event.CHANNEL!r}: {error}"
        if not wrong:
            return
        if time.monotonic() > deadline_s:
            raise BenchmarkError(wrong)
        time.sleep(0.01)


def complaint(way: Way, found: dict[str, Any], count: int) -> str:
    """What is wrong with the channel as the server's monitoring tells it; empty when nothing is."""
    if found["msgs"] != count or found["last_seq"] != count:
        return f"{count} events were published, and the server has {found['msgs']} up to {found['last_seq']}"
    if way.publishes:
        return ""
    subscriptions = found.get("subscriptions") or []
    if len(subscriptions) != 1:
        return f"there should be one subscription, not {len(subscriptions)}"
    last_sent, pending = subscriptions[0]["last_sent"], subscriptions[0]["pending_count"]
    if last_sent != count or pending:
        return f"{count} events were to be received; {last_sent} were sent, and {pending} of them are not acknowledged"
    return ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
