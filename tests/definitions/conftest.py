"""What the tests of generated code share: made, compiled and packed once per test process."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from durabus.definitions.folder import read_folder
from durabus.definitions.generation.plan import Plan, make_plan
from durabus.definitions.generation.python_package import python_files
from durabus.definitions.generation.typescript_package import typescript_files
from durabus.definitions.generation.writing import write
from tests.clients.packages import install_packages

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
NODE = HERE / "node"


@dataclass(frozen=True)
class NpmPackage:
    """The generated TypeScript."""

    folder: Path
    archive: Path  # what `npm pack` made


def run(command: list[str], folder: Path) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the processes of one test run share; the first that needs it makes what is in it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = base / f"{name}.done"
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def samples() -> Path:
    """A folder with definitions in all three formats."""
    return SAMPLES


@pytest.fixture(scope="session")
def plan() -> Plan:
    """What is generated from them."""
    return make_plan(read_folder(SAMPLES))


@pytest.fixture(scope="session")
def python_package(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated Python package `shop-events`."""
    folder = tmp_path_factory.mktemp("python")
    write(folder, python_files(plan, "shop-events"))
    return folder


@pytest.fixture(scope="session")
def shop(python_package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package, installed with pip as a service would, and imported."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "--target", str(site), str(python_package)], site)
    sys.path.insert(0, str(site))
    try:
        yield import_module("shop_events")
    finally:
        sys.path.remove(str(site))
        for name in [name for name in sys.modules if name.split(".")[0] == "shop_events"]:
            del sys.modules[name]


@pytest.fixture(scope="session")
def node_tools() -> Path:
    """The folder whose `node_modules` has compiler, formatter and libraries."""
    install_packages(NODE)
    return NODE


@pytest.fixture(scope="session")
def npm_package(plan: Plan, node_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> NpmPackage:
    """The generated npm package `@shop/common`, compiled and packed by `npm pack`."""

    def make(folder: Path) -> None:
        write(folder, typescript_files(plan, "@shop/common", "1.2.0"))
        (folder / "node_modules").symlink_to(node_tools / "node_modules")
        run(["npm", "pack", "--silent"], folder)

    folder = made_once(tmp_path_factory, "typescript", make)
    return NpmPackage(folder, folder / "shop-common-1.2.0.tgz")


@pytest.fixture(scope="session")
def node_service(npm_package: NpmPackage, node_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled service that has installed the package from its archive, as its own `common` library."""

    def make(folder: Path) -> None:
        # The libraries come from the copy that is there; npm has only to unpack the archive, and to find them all right.
        libraries = {name: node_tools / "node_modules" / name for name in ("avsc", "protobufjs", "node-nats-streaming")}
        wanted = {"@shop/common": npm_package.archive, **libraries}
        manifest = {"dependencies": {name: f"file:{place}" for name, place in wanted.items()}}
        (folder / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
        shutil.copy(node_tools / "service.ts", folder)
        run(["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"], folder)
        options = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noImplicitOverride"]
        options += ["--types", "node", "--typeRoots", str(node_tools / "node_modules" / "@types")]
        options += ["--module", "nodenext", "--target", "es2022", "--outDir", "build"]
        run([str(node_tools / "node_modules" / ".bin" / "tsc"), *options, "service.ts"], folder)

    return made_once(tmp_path_factory, "service", make)
