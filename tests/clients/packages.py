"""Installs the npm packages of these tests, once; what cannot be installed is a failure, never a skipped test."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["DIRECTORY", "install_packages"]

DIRECTORY = Path(__file__).resolve().parent


def install_packages(directory: Path = DIRECTORY) -> None:
    """Install what package-lock.json asks for, unless it is there; several test processes wait for each other."""
    asked = directory / "package-lock.json"
    installed = directory / "node_modules" / ".package-lock.json"  # npm's copy, which it writes last
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not there: these tests need Node.js 18 or newer, `make tools` brings it")
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (installed.exists() and installed.stat().st_mtime >= asked.stat().st_mtime):
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.fail(f"npm ci failed in {directory}:\n{done.stdout}{done.stderr}")
    finally:
        os.close(lock)
