"""docs/tutorial.md: each file is written and each command is run, and what is said to be seen is seen.

Only what would be asked of the Python registry is answered with what is here: Durabus and its libraries are those of these
tests.
"""

import os
import shlex
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.ticketing.story.bus import free_ports
from tests.conftest import ROOT
from tests.examples.tutorial import Commands, File, Seen, Stop, read_tutorial
from tests.server_process import HOST

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]

TUTORIAL = ROOT / "docs" / "tutorial.md"
INSTALLS_DURABUS = '.venv/bin/pip install "${DURABUS}[definitions]"'
SERVES = ".venv/bin/durabus serve "
PATIENCE_S = 60.0


class Terminal:
    """A command that goes on, and what it has said."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            shlex.split(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said = ""
        self._seen = 0
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._said += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def see(self, text: str) -> None:
        """Wait for that, and nothing else, to be said next."""
        with self._news:
            self._news.wait_for(
                lambda: len(self._said) - self._seen >= len(text) or not self._reader.is_alive(), timeout=PATIENCE_S
            )
            assert self._said[self._seen :][: len(text)] == text, self._said
            self._seen += len(text)

    def wait_words(self, words: str) -> None:
        """Wait until they were said."""
        with self._news:
            self._news.wait_for(lambda: words in self._said or not self._reader.is_alive(), timeout=PATIENCE_S)
            assert words in self._said, self._said

    def stop(self) -> None:
        """Ctrl-C; nothing more may have been said than was seen."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(PATIENCE_S)
            assert self._process.stdout is not None
            self._process.stdout.close()

    @property
    def unseen(self) -> str:
        """What it said that nobody was told to expect."""
        return self._said[self._seen :]


class Reader:
    """Does what the tutorial says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports()[0]
        self.terminals: dict[str, Terminal] = {}
        self.output = ""
        settings = {
            "BUS_URL": f"nats://{HOST}:{self.port}",
            "DURABUS": str(ROOT),
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the opposite of what it says: setuptools is that of the tests
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PYTHONPATH": "",
            "npm_config_audit": "false",
            "npm_config_fund": "false",
            "npm_config_prefer_offline": "true",
            "npm_config_update_notifier": "false",
        }
        self.environment = os.environ | settings

    def run(self, command: str) -> None:
        """Run one command to its end."""
        if command.startswith("export DURABUS="):
            return
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return
        if command == INSTALLS_DURABUS:
            self._link_durabus()
            return
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.output = done.stdout
        expected = 1 if "events check" in command else 0  # it is a change that CI should stop
        assert done.returncode == expected, f"{command}\n{done.stdout}"

    def _link_durabus(self) -> None:
        """As if it had been installed: the libraries of these tests, and the Durabus that is tested."""
        site = next((self.folder / ".venv" / "lib").glob("python*/site-packages"))
        places = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), sysconfig.get_path("purelib")]
        found = [str((ROOT / place).resolve()) for place in places]
        # In front: the setuptools that a new environment comes with can be too old.
        (site / "durabus-here.pth").write_text(f"import sys; sys.path[:0] = {found!r}\n")
        program = self.folder / ".venv" / "bin" / "durabus"
        program.write_text(f'#!/bin/sh\nexec {self.folder / ".venv/bin/python"} -m durabus "$@"\n')
        program.chmod(0o755)

    def begin(self, terminal: str, line: str) -> None:
        """Run a command that goes on; what ran in this terminal is stopped first."""
        self.stop(terminal)
        if line.startswith(SERVES):
            line += f" -p {self.port} -a {HOST}"
        self.terminals[terminal] = Terminal(line, self.folder, self.environment)
        if line.startswith(SERVES):
            self.terminals[terminal].wait_words("Streaming Server is ready")

    def stop(self, terminal: str) -> None:
        """Ctrl-C, if something runs there."""
        if terminal in self.terminals:
            stopped = self.terminals.pop(terminal)
            stopped.stop()
            if terminal != "bus":
                # The log of a client begins each line with its client ID: the tutorial says that it tells of a lost bus.
                surprises = [line for line in stopped.unseen.splitlines() if not line.startswith(f"{terminal}-1: ")]
                assert surprises == []

    def end(self) -> None:
        """All of them, the bus last."""
        for terminal in sorted(self.terminals, key=lambda name: name == "bus"):
            self.terminals.pop(terminal).stop()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    try:
        yield reader
    finally:
        reader.end()


def test_everything_that_the_tutorial_says(reader: Reader) -> None:
    steps = read_tutorial(TUTORIAL.read_text(encoding="utf-8"))
    assert {type(step) for step in steps} == {File, Commands, Seen, Stop}
    for step in steps:
        match step:
            case File():
                path = reader.folder / step.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
            case Commands(terminal, lines):
                last = lines[-1:] if terminal else []
                for line in lines[: len(lines) - len(last)]:
                    reader.run(line)
                for line in last:
                    reader.begin(terminal, line)
            case Seen(terminal, text) if terminal:
                reader.terminals[terminal].see(text)
            case Seen(_, text):
                assert reader.output == text
            case Stop(terminal):
                reader.stop(terminal)
