"""Debian's nats-server as a process of its own: the network behind `-ns`, on a private port, with its own configuration.

    with running_nats_server(tmp_path, "authorization { user: a, password: b }") as server:
        ... connect to server.port ...
        server.kill()
        server.start()          # on the same port

DURABUS_TEST_NATS_SERVER names another program with the same flags. A machine without one skips these tests, and CI,
where nothing may be skipped, fails them.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["HOST", "NatsServer", "closed_port", "nats_server_program", "running_nats_server"]

HOST = "127.0.0.1"
LISTENING = "Listening for client connections on "
READY = "Server is ready"
PATIENCE_S = 30.0


def nats_server_program() -> str:
    """The program; the test is skipped where there is none."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    program = shutil.which(os.environ.get("DURABUS_TEST_NATS_SERVER") or "nats-server", path=path)
    if program is None:
        pytest.skip("there is no nats-server; Debian's package has that name")
    return program


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of which everybody is refused, and that nobody else gets meanwhile."""
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


class NatsServer:
    """A nats-server that can be stopped and started again. Its log is kept over all of its lives."""

    def __init__(self, folder: Path, configuration: str = "") -> None:
        """Keep its files in `folder`; `configuration` is in its own language. `start` starts it."""
        self.port = -1
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lives = 0
        self._file = folder / f"nats-server-{id(self)}.conf"
        self._program = nats_server_program()
        self.configure(configuration)

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return f"nats://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        """All of its log up to now."""
        with self._changed:
            return "\n".join(self.lines)

    def configure(self, configuration: str) -> None:
        """Write its configuration, for the next start."""
        self._file.write_text(configuration, encoding="utf-8")

    def start(self) -> None:
        """Start it, on the port that it had before if it had one, and wait until it serves."""
        assert self._process is None, "it is running"
        self._process = subprocess.Popen(
            [self._program, "-a", HOST, "-p", str(self.port), "-c", str(self._file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._lives += 1
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_line(READY, self._lives)
        self.port = int(self.wait_line(LISTENING, self._lives).rpartition(":")[2])

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()

    def wait_line(self, words: str, count: int = 1) -> str:
        """The `count`th line with `words` in it, as soon as it is there."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                found = [line for line in self.lines if words in line]
                if len(found) >= count:
                    return found[count - 1]
                left_s = deadline - time.monotonic()
                is_over = self._process is None or self._process.poll() is not None
                assert left_s > 0 and not is_over, f"nats-server did not log {words!r}:\n" + "\n".join(self.lines)
                self._changed.wait(min(left_s, 0.1))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT, SIGHUP to read its configuration again, SIGUSR2 for lame duck mode."""
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power failure would; nothing happens when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE_S)
            assert self._reader is not None
            self._reader.join(PATIENCE_S)

    def stop(self) -> None:
        """End it in order."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(PATIENCE_S)
            assert self._reader is not None
            self._reader.join(PATIENCE_S)


@contextmanager
def running_nats_server(folder: Path, configuration: str = "") -> Iterator[NatsServer]:
    """A nats-server that serves. The test may stop it, and start it again."""
    server = NatsServer(folder, configuration)
    try:
        server.start()
        yield server
    except BaseException as error:
        error.add_note(f"the log of nats-server:\n{server.log}")
        raise
    finally:
        server.kill()
