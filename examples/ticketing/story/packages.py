"""Installs the npm packages of the example, once."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .narrator import SetupError, tell

EXAMPLE_DIRECTORY = Path(__file__).resolve().parents[1]


def install_packages() -> None:
    """Does nothing if what package-lock.json asks for is there. Two stories at once do not get in each other's way."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise SetupError(f"the services of the ticket shop need Node.js 18 or newer, and {program} is not there")
    with _alone():
        if not _is_installed():
            tell("Installing the packages of examples/ticketing (npm ci)")
            done = subprocess.run(["npm", "ci"], cwd=EXAMPLE_DIRECTORY, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise SetupError(f"{done.stderr}\nnpm ci failed in {EXAMPLE_DIRECTORY}")


def _is_installed() -> bool:
    """The program npm writes its own copy of the lock file last."""
    asked, installed = EXAMPLE_DIRECTORY / "package-lock.json", EXAMPLE_DIRECTORY / "node_modules/.package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= asked.stat().st_mtime


@contextmanager
def _alone() -> Iterator[None]:
    directory = os.open(EXAMPLE_DIRECTORY, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
