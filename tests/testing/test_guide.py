"""The guide to testing: each example is run as a program, and prints what the guide says."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.once

PATIENCE_S = 60.0
GUIDE = ROOT / "docs" / "testing.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Programs, and what they print."""
    text = GUIDE.read_text(encoding="utf-8")
    return [(program, re.sub(r"^ {4}", "", output, flags=re.MULTILINE)) for program, output in EXAMPLE.findall(text)]


def test_every_example_says_what_it_prints() -> None:
    assert len(examples()) == GUIDE.read_text(encoding="utf-8").count("```python") >= 5


@pytest.mark.parametrize("number", range(len(examples())))
def test_an_example(number: int) -> None:
    program, output = examples()[number]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import logging\nlogging.disable()\n{program}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.stdout, done.stderr) == (output, "")
