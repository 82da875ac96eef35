"""The very beginning of both programs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Interrupts itself where the programs have only just begun: when their first import looks for its module.
INTERRUPTED = """
import os, signal, sys
from durabus.cli import start

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "durabus.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["durabus", "serve", "-p", "-1"]
sys.exit(start.{name}() or 7)
"""


@pytest.mark.parametrize("name", ["main", "main_alias"])
def test_an_interrupt_while_loading_is_a_quiet_end(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["main", "main_alias"])
def test_it_runs_the_program(name: str) -> None:
    words = ["--version"]
    code = f"import sys; from durabus.cli import start; sys.argv = ['x', *{words}]; sys.exit(start.{name}())"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0
    assert ended.stdout.startswith("durabus 0." if name == "main" else "nats-streaming-server version 0.25.6")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "this process is left alone"
