"""The real server as a process of its own: on free ports, awaited by its log lines, ended by a signal.

    with running_server("-hbi", "1s") as server:
        ... connect to server.port ...

What runs is the build under test, started by the Python that runs the tests. DURABUS_TEST_SERVER names another program
with the same flags, to see where it behaves differently.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT

__all__ = ["HOST", "ServerProcess", "failed_start", "running_server", "server_command"]

HOST = "127.0.0.1"
LISTENING = "Listening for client connections on "
MONITORING = "Starting http monitor on "
READY = "STREAM: Streaming Server is ready"
PATIENCE_S = 20.0
"""How long a test waits for what must come; no test waits that long unless it fails."""


def server_command(*flags: str) -> list[str]:
    """The command line of the server under test."""
    program = os.environ.get("DURABUS_TEST_SERVER")
    return [*(shlex.split(program) if program else (sys.executable, "-m", "durabus", "serve")), *flags]


class ServerProcess:
    """A server that is starting, running or over. Its log is kept line by line."""

    def __init__(self, *flags: str, port: int = -1) -> None:
        """Start on `port`, on any free one by default; `wait_ready` says when it serves."""
        self.lines: list[str] = []
        self._port = port
        self._changed = threading.Condition()
        self._is_over = False
        self.process = subprocess.Popen(
            server_command("-a", HOST, "-p", str(port), *flags),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    @property
    def log(self) -> str:
        """All of its log up to now."""
        with self._changed:
            return "\n".join(self.lines)

    def wait_line(self, words: str, count: int = 1) -> str:
        """The `count`th line with `words` in it, as soon as it is there."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                found = [line for line in self.lines if words in line]
                if len(found) >= count:
                    return found[count - 1]
                left_s = deadline - time.monotonic()
                assert not self._is_over, f"the server ended before it logged {words!r}:\n" + "\n".join(self.lines)
                assert left_s > 0, f"the server did not log {words!r}:\n" + "\n".join(self.lines)
                self._changed.wait(left_s)

    def wait_ready(self) -> None:
        """Wait until clients are served."""
        self.wait_line(READY)

    def _address_port(self, words: str) -> int:
        return int(re.sub(r"\D+$", "", self.wait_line(words)).rpartition(":")[2])

    @property
    def port(self) -> int:
        """The port for clients."""
        if self._port <= 0:
            self._port = self._address_port(LISTENING)
        return self._port

    @property
    def monitor_port(self) -> int:
        """The port for monitoring; it needs the flags -m -1."""
        return self._address_port(MONITORING)

    @property
    def resident_bytes(self) -> int:
        """The memory that the process occupies now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_end(self) -> int:
        """Its exit code (negative after a signal that killed it), and its log is complete."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def stop(self, signal_number: signal.Signals = signal.SIGINT) -> int:
        """Stop it with a signal; returns its exit code."""
        self.process.send_signal(signal_number)
        return self.wait_end()

    def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        self.wait_end()


@contextmanager
def running_server(*flags: str, port: int = -1) -> Iterator[ServerProcess]:
    """A server that is ready. Unless the test ended it, it must still run at the end, and stop as it should."""
    server = ServerProcess(*flags, port=port)
    try:
        server.wait_ready()
        yield server
        was_over = server.process.returncode is not None
        if not was_over:
            assert server.is_running(), "the server ended by itself"
            assert server.stop() == 0
        assert "Traceback" not in server.log
        assert "Exception" not in server.log
    except BaseException as error:
        error.add_note(f"the server's log:\n{server.log}")
        raise
    finally:
        if server.is_running():
            server.kill()


def failed_start(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run a command line that cannot start a server, to its end."""
    return subprocess.run(
        server_command(*flags), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
