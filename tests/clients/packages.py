"""Installs the npm packages of these tests, once; what cannot be installed is a failure, never a skipped test."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["DIRECTORY", "install_packages"]

DIRECTORY = Path(__file__).resolve().parent
ASKED = DIRECTORY / "package-lock.json"
INSTALLED = DIRECTORY / "node_modules" / ".package-lock.json"
"""The copy of the lock file that npm writes last."""


def install_packages() -> None:
    """Install what package-lock.json asks for, unless it is there; several test processes wait for each other."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not there: these tests need Node.js 18 or newer, `make tools` brings it")
    directory = os.open(DIRECTORY, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if not (INSTALLED.exists() and INSTALLED.stat().st_mtime >= ASKED.stat().st_mtime):
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=DIRECTORY, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.fail(f"npm ci failed in {DIRECTORY}:\n{done.stdout}{done.stderr}")
    finally:
        os.close(directory)
