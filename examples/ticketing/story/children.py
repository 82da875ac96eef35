"""Child processes that are certain to end: each is stopped by its own id, whatever happens to the story."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .narrator import SetupError

END_WITHIN_S = 5.0


class Child:
    """A process in a session of its own, so that a Ctrl-C in the terminal reaches the story only."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        takes_commands: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    env={**os.environ, **(environment or {})},
                    stdin=subprocess.PIPE if takes_commands else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if takes_commands else output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise SetupError(f"cannot start {name} with {command[0]}: {error.strerror}") from error

    @property
    def stdin(self) -> IO[bytes]:
        """Where its commands go, if it takes commands."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where its lines come from, if it takes commands; the log has them otherwise."""
        assert self._process.stdout is not None
        return self._process.stdout

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Waits until it ends; returns its exit code."""
        return self._process.wait()

    def ask_to_end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tells it to end, if it has not ended already; does not wait."""
        if self.exit_code() is None:
            self.send(number)
            self.send(signal.SIGCONT)  # one that is stopped would never hear of it

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, gently first; returns its exit code."""
        self.ask_to_end(number)
        try:
            return self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_lines(self, count: int = 15) -> str:
        """The end of its log, for a message about its end."""
        lines = self.log.read_text(errors="replace").splitlines()[-count:]
        return "\n".join(f"    {line}" for line in lines)
