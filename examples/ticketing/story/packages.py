"""Installs what the services of the example need: the npm packages, and the two packages of events.

The events are one folder of definitions. `durabus events generate` makes a Python package of it, which pip installs beside
Durabus, and an npm package, which `npm pack` packs and the two TypeScript services install, each for itself. All of it is done
once, and again when something it is made of has changed.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .narrator import SetupError, tell

EXAMPLE_DIRECTORY = Path(__file__).resolve().parents[1]
PROJECT_DIRECTORY = EXAMPLE_DIRECTORY.parents[1]
DEFINITIONS = EXAMPLE_DIRECTORY / "definitions"
PYTHON_PACKAGE = EXAMPLE_DIRECTORY / "events" / "python"
NODE_PACKAGE = EXAMPLE_DIRECTORY / "events" / "typescript"
NODE_SERVICES = [EXAMPLE_DIRECTORY / "typescript" / name for name in ("admissions", "doors")]
NPM_CI = ("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")


def install_packages() -> None:
    """Does nothing if all is there already. Two stories at once do not get in each other's way."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise SetupError(f"the services of the ticket shop need Node.js 18 or newer, and {program} is not there")
    with _alone():
        if not _is_installed(EXAMPLE_DIRECTORY):
            tell("Installing the packages of examples/ticketing (npm ci)")
            _run(NPM_CI, EXAMPLE_DIRECTORY)
        install_python_events()
        install_node_events()


def install_python_events() -> None:
    """Has pip install the generated Python package beside Durabus, unless its modules are there as they should be."""
    modules = sorted((PYTHON_PACKAGE / "src").glob("*/*.py"))
    site = Path(sysconfig.get_path("purelib"))
    if all(_text(site / path.relative_to(PYTHON_PACKAGE / "src")) == _text(path) for path in modules):
        return
    tell("Installing the events of the shop for Python (pip install events/python)")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "events"  # pip leaves things in the folder that it builds from
        shutil.copytree(PYTHON_PACKAGE, copy)
        offline = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall")
        _run([sys.executable, "-m", "pip", "install", *offline, str(copy)], EXAMPLE_DIRECTORY)


def install_node_events() -> None:
    """Generates and packs the npm package, has the services install it, and compiles them, unless nothing has changed."""
    stamp = NODE_PACKAGE / ".made-of"
    made_of = _digest()
    if _text(stamp) == made_of and all(_is_installed(service) for service in NODE_SERVICES):
        return
    tell("Making the events of the shop for Node, and the services that use them (npm pack, npm ci, tsc)")
    generate = [sys.executable, "-m", "durabus", "events", "generate", str(DEFINITIONS)]
    _run([*generate, "--typescript", str(NODE_PACKAGE), "--package", "@ticketing/common"], PROJECT_DIRECTORY)
    _run(("npm", "pack", "--silent"), NODE_PACKAGE)
    for service in NODE_SERVICES:
        _run(NPM_CI, service)
        _run(("npm", "run", "--silent", "build"), service)
    stamp.write_text(made_of, encoding="utf-8")


def _digest() -> str:
    """Of all that the npm package and its services are made of: definitions, the generator itself, and sources."""
    import durabus.definitions

    generator = Path(durabus.definitions.__file__).parent
    paths = [*DEFINITIONS.glob("*"), *generator.rglob("*.py"), *generator.rglob("*.ts"), *generator.rglob("*.proto")]
    for service in NODE_SERVICES:
        paths += [*service.glob("*.json"), *service.glob("src/*.ts")]
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_installed(directory: Path) -> bool:
    """The program npm writes its own copy of the lock file last."""
    asked, installed = directory / "package-lock.json", directory / "node_modules/.package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= asked.stat().st_mtime


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shown = " ".join(command)
        raise SetupError(f"{done.stdout}{done.stderr}\n{shown} failed in {directory}")


@contextmanager
def _alone() -> Iterator[None]:
    directory = os.open(EXAMPLE_DIRECTORY, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
