"""The bus of the story: any command that takes the arguments of NATS Streaming Server."""

import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .children import Child
from .narrator import POLL_S, SetupError, StoryError

CLUSTER_ID = "ticketing"
HOST = "127.0.0.1"
OPEN_WITHIN_S = 15.0


def default_command() -> str:
    """Durabus from the environment that this very Python belongs to."""
    return shlex.join([str(Path(sys.executable).parent / "durabus"), "serve"])


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on at this moment."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("", 0))
        second.bind(("", 0))
        return first.getsockname()[1], second.getsockname()[1]


class Bus:
    """The bus as a child process, with the arguments of the Kubernetes manifest and those one wants to add."""

    def __init__(self, command: str, more_arguments: Sequence[str], port: int, monitor_port: int, log: Path) -> None:
        self.port = port
        self.url = f"nats://{HOST}:{port}"
        # What the course's Kubernetes manifest gives to its nats-streaming container.
        arguments = f"-p {port} -m {monitor_port} -hbi 5s -hbt 5s -hbf 2 -SD -cid {CLUSTER_ID}".split()
        self.command = [*shlex.split(command), *arguments, *more_arguments]
        self._child = Child("the bus", self.command, log)
        self.log = log

    def wait_open(self) -> None:
        """Until it greets like a NATS server."""
        deadline = time.monotonic() + OPEN_WITHIN_S
        while not self._greets():
            if (code := self._child.exit_code()) is not None:
                raise SetupError(f"{self._child.last_lines()}\nthe bus ended with exit code {code} before it was open")
            if time.monotonic() > deadline:
                raise SetupError(f"{self._child.last_lines()}\nthe bus was not open within {OPEN_WITHIN_S:.0f} s")
            time.sleep(POLL_S)

    def _greets(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False

    def check_runs(self) -> None:
        """Raises StoryError if it has ended."""
        if (code := self._child.exit_code()) is not None:
            raise StoryError(f"the bus ended with exit code {code}; its log is {self.log}")

    def freeze(self) -> None:
        """SIGSTOP: connections stay, and nothing is answered."""
        self._child.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._child.send(signal.SIGCONT)

    def wait_end(self) -> int:
        """Waits until it ends by itself; returns its exit code."""
        return self._child.wait()

    def end(self) -> int:
        """Ends it like Ctrl-C does; returns its exit code."""
        return self._child.end(signal.SIGINT)
