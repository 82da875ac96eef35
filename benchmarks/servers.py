"""Start and stop the servers that are compared, each in a process group of its own on a free port of loopback."""

from __future__ import annotations

import asyncio
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

from benchmarks.frames import ring_count
from benchmarks.workloads import BenchmarkError, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.databases import DatabaseServer

ROOT: Final = Path(__file__).resolve().parent.parent
"""Where the generator and the sink are started, so that they find this package."""

KINDS: Final = ("durabus", "nats-streaming-server", "nats-server", "sink")
"""What `Target.kind` can be."""

STORES: Final = ("memory", "file", "sqlite", "postgres", "mysql")
"""What `Target.store` can be: `file` and `sqlite` in a directory of its own, the others in an empty database of its own.

All but `memory` are synced before each acknowledgement. NATS Streaming Server, which has no sqlite, keeps files then.
"""

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
    database: DatabaseServer | None = None
    """The instance with its databases, where the store needs one."""

    def dialect(self, workload: Workload) -> str | None:
        """Return the generator's dialect for a workload, or None if this server does not take part in it."""
        if workload.plain:
            return None if self.kind == "nats-streaming-server" else "plain"
        if self.kind == "nats-server":
            return "jetstream" if workload.channels == 1 and not workload.is_replay else None
        return "streaming"


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


def sink(workload: Workload, messages: int, size_bytes: int) -> Target:
    """Return the sink as a target, ready to deliver a number of messages, per channel."""
    messages //= workload.channels
    arguments = ["-m", "benchmarks.sink", "--messages", str(messages), "--size", str(size_bytes)]
    arguments += ["--ring", str(ring_count(workload.channels)), *["--stored"] * workload.is_replay]
    return Target("sink", "sink", (sys.executable, *arguments))


def filling_server(of: Target) -> Target:
    """Return the same server for storing what is replayed later: not measured, so it need not sync."""
    is_original_file = of.kind == "nats-streaming-server" and of.store in ("file", "sqlite")
    return of._replace(command=(*of.command, "-file_sync=false")) if is_original_file else of


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


def make_tables(driver: str, source: str) -> None:
    """Make the tables in a database: the original wants them to be there."""
    from durabus.config.options import SqlOptions
    from durabus.stores.sql.opening import init_schema

    asyncio.run(init_schema(SqlOptions(driver=driver, source=source)))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Place(NamedTuple):
    """Where a server keeps events."""

    directory: Path
    source: str = ""
    """Of the database, where there is one."""


@contextmanager
def empty_place(of: Target) -> Iterator[Place]:
    """Make an empty place for a server, which is gone when the block ends. A database has its tables."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        if of.database is None:
            yield Place(Path(directory))
            return
        source = of.database.new_database()
        try:
            make_tables(of.store, source)
            yield Place(Path(directory), source)
        finally:
            of.database.drop_database(source)


def _store_arguments(of: Target, place: Place) -> list[str]:
    if of.store == "memory":
        return []
    if of.store == "file" or (of.store == "sqlite" and of.kind == "nats-streaming-server"):
        return ["-st", "FILE", "-dir", str(place.directory / "store")]
    source = place.source or str(place.directory / "events.db")
    return ["-st", "SQL", "-sql_driver", of.store, "-sql_source", source]


def _arguments(of: Target, dialect: str, port: int, place: Place) -> list[str]:
    if of.kind == "sink":
        return ["-p", str(port)]
    arguments = ["-a", "127.0.0.1", "-p", str(port)]
    if dialect == "jetstream":
        return [*arguments, "-js", "-sd", str(place.directory)]
    if of.kind == "nats-server":
        return arguments
    return [*arguments, *_STREAMING_FLAGS, *_store_arguments(of, place)]


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
    with empty_place(of) as place, running_in(of, dialect, place) as server:
        yield server


@contextmanager
def running_in(of: Target, dialect: str, place: Place) -> Iterator[Running]:
    """Do the same with what is in `place`, which stays."""
    with tempfile.TemporaryFile() as log:
        port = _free_port()
        started_seconds = time.perf_counter()
        process = subprocess.Popen(
            [*of.command, *_arguments(of, dialect, port, place)],
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
