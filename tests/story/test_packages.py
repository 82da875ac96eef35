"""The packages of events of the ticket shop: generated from its definitions, and installed by its services."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ticketing.story import packages

pytestmark = [pytest.mark.once, pytest.mark.timeout(180)]


def test_the_python_package_is_what_the_definitions_say(root: Path) -> None:
    generate = [sys.executable, "-m", "durabus", "events", "generate", str(packages.DEFINITIONS), "--check"]
    python = ["--python", str(packages.PYTHON_PACKAGE), "--package", "ticketing-events"]
    done = subprocess.run([*generate, *python], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}`npm run generate` in examples/ticketing writes it anew"


def test_each_service_has_unpacked_the_npm_package(capsys: pytest.CaptureFixture[str]) -> None:
    packages.install_packages()
    for service in packages.NODE_SERVICES:
        installed = service / "node_modules" / "@ticketing" / "common"
        assert installed.is_dir()
        assert not installed.is_symlink(), "what npm unpacked, not a link to where it was made"
        manifest = json.loads((installed / "package.json").read_text(encoding="utf-8"))
        assert manifest["name"] == "@ticketing/common"
        assert not (installed / "src").exists()
    capsys.readouterr()
    packages.install_packages()
    assert capsys.readouterr().out == "", "all is there already"


def test_lock_files_pin_everything_but_what_is_packed_here() -> None:
    """Its checksum depends on the versions of npm and of the compiler, and it has just been made here."""
    for service in packages.NODE_SERVICES:
        locked = json.loads((service / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        open_ends = [name for name, entry in locked.items() if name and "integrity" not in entry]
        assert open_ends == ["node_modules/@ticketing/common"]
        assert [name for name, entry in locked.items() if "resolved" in entry] == open_ends
