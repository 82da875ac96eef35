"""Start and stop the servers that are compared, each in a process group of its own on a free port of loopback."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.workloads import BenchmarkError, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
"""Where the generator and the sink are started, so that they find this package."""

KINDS: Final = ("durabus", "nats-streaming-server", "nats-server", "sink")
"""What `Target.kind` can be."""

STORES: Final = ("memory", "file")
"""What `Target.store` can be; `file` in a directory of its own, synced before each acknowledgement."""

_STREAMING_FLAGS: Final = ("-mc", "0", "-msu", "0", "-mm", "0", "-mb", "0", "-ma", "0")
_OPEN_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0


class Target(NamedTuple):
    """A server program that takes part."""

    label: str
    """Its name in the report."""
    kind: str
    """One of `KINDS`."""
    command: tuple[str, ...]
    store: str = "memory"
    """One of `STORES`: where it keeps events."""

    def dialect(self, workload: Workload) -> str | None:
        """Return the generator's dialect for a workload, or None if this server does not take part in it."""
        if workload.plain:
            return None if self.kind == "nats-streaming-server" else "plain"
        return "jetstream" if self.kind == "nats-server" else "streaming"


def target(text: str) -> Target:
    """Return the target described by `KIND=COMMAND` or `KIND:NAME=COMMAND`; ValueError if it is not one.

    `NAME` tells two of the same kind apart. The command may hold arguments, quoted as in a shell.
    """
    label, _, command = text.partition("=")
    kind = label.partition(":")[0]
    words = shlex.split(command)
    if kind not in KINDS or not words:
        raise ValueError(f"not KIND=COMMAND with a kind of {', '.join(KINDS[:-1])}: {text}")
    program = shutil.which(words[0])
    if program is None:
        raise ValueError(f"no program to run for {label}: {words[0]}")
    return Target(label, kind, (str(Path(program).absolute()), *words[1:]))


def sink(messages: int, size_bytes: int) -> Target:
    """Return the sink as a target, ready to deliver a number of messages."""
    arguments = ("-m", "benchmarks.sink", "--messages", str(messages), "--size", str(size_bytes))
    return Target("sink", "sink", (sys.executable, *arguments))


def version(of: Target) -> str:
    """Return what the program says about its version, in one line."""
    command = [word for word in of.command if word != "serve"]
    try:
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = (answer.stdout or answer.stderr).strip().splitlines()
    return lines[0] if lines and not answer.returncode else "unknown"


class Running(NamedTuple):
    """A server that has opened its port."""

    port: int
    group: int
    """Process group, which is the process id of its first member."""
    started_seconds: float
    """`time.perf_counter` just before the process was started."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _arguments(of: Target, dialect: str, port: int, directory: str) -> list[str]:
    if of.kind == "sink":
        return ["-p", str(port)]
    arguments = ["-a", "127.0.0.1", "-p", str(port)]
    if dialect == "jetstream":
        return [*arguments, "-js", "-sd", directory]
    if of.kind == "nats-server":
        return arguments
    store = ["-st", "FILE", "-dir", str(Path(directory) / "store")] if of.store == "file" else []
    return [*arguments, *_STREAMING_FLAGS, *store]


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_seconds = time.monotonic() + _OPEN_SECONDS
    while time.monotonic() < deadline_seconds:
        if process.poll() is not None:
            raise BenchmarkError(f"the server ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.001)
        else:
            return
    raise BenchmarkError(f"the server did not open its port in {_OPEN_SECONDS} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def running(of: Target, dialect: str) -> Iterator[Running]:
    """Run a server with its limits off and an empty store, until the block ends.

    Raises BenchmarkError if it does not open its port; a BenchmarkError from the block gets the end of the server's log.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory, tempfile.TemporaryFile() as log:
        port = _free_port()
        started_seconds = time.perf_counter()
        process = subprocess.Popen(
            [*of.command, *_arguments(of, dialect, port, directory)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_for_port(port, process)
            yield Running(port, process.pid, started_seconds)
        except BenchmarkError as trouble:
            log.seek(0)
            tail = log.read()[-2000:].decode(errors="replace")
            raise BenchmarkError(f"{of.label}: {trouble}\nEnd of its log:\n{tail}") from trouble
        finally:
            _stop(process)
