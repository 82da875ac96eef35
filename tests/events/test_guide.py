"""The guide to events: each example is run as a program, and prints what the guide says."""

import re
import subprocess
import sys

import pytest

from tests.client.harness import PATIENCE_S
from tests.conftest import ROOT
from tests.server_process import HOST, running_server

GUIDE = ROOT / "docs" / "events.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Programs, and what they print."""
    text = GUIDE.read_text(encoding="utf-8")
    return [(program, re.sub(r"^ {4}", "", output, flags=re.MULTILINE)) for program, output in EXAMPLE.findall(text)]


def test_every_example_says_what_it_prints() -> None:
    assert len(examples()) == GUIDE.read_text(encoding="utf-8").count("```python") >= 6


@pytest.mark.parametrize("number", range(len(examples())))
def test_an_example(number: int) -> None:
    program, output = examples()[number]
    with running_server() as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", f"URL = 'nats://{HOST}:{server.port}'\n{program}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.stdout, done.returncode) == (output, 0), done.stderr
    # Dead letters are in the log, which goes to the standard error of a program that does not set it up.
    assert bool(done.stderr) == ("dead_letters=" in program), done.stderr
