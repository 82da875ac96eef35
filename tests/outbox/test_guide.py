"""The guide: each example is run as a program, and prints what the guide says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.outbox.harness import PATIENCE_S

pytestmark = pytest.mark.once
GUIDE = ROOT / "docs" / "outbox.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (program, re.sub(r"^ {4}", "", output, flags=re.MULTILINE))
    for program, output in EXAMPLE.findall(GUIDE.read_text(encoding="utf-8"))
]


def test_every_example_says_what_it_prints() -> None:
    assert len(EXAMPLES) == GUIDE.read_text(encoding="utf-8").count("```python") >= 3


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example(number: int, url: str, tmp_path: Path) -> None:
    program, output = EXAMPLES[number]
    driver = "sqlite+aiosqlite" if "asyncio" in program else "sqlite"
    database = f"{driver}:///{tmp_path / 'service.db'}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"URL = {url!r}\nDATABASE = {database!r}\n{program}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.stdout, done.stderr) == (output, "")
