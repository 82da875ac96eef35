"""The pytest plugin, in runs of pytest of its own: as a user's project has it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.once

PATIENCE_S = 60.0

TESTS = """
import asyncio, sys
import pytest
import durabus

def test_nothing_is_imported_before_a_test_asks(request):
    assert "durabus.server" not in sys.modules and "durabus.client" not in sys.modules

{mark}
async def test_a_bus(durabus_bus):
    async with durabus.connect(durabus_bus.url) as client:
        await client.publish("orders", b"1")
    await durabus_bus.wait_for("orders")
    await durabus_bus.advance(60)

{mark}
@pytest.mark.durabus("-max_msgs", "1", store="FILE")
async def test_another_bus(durabus_bus):
    assert durabus_bus.directory.exists()
    for data in (b"1", b"2"):
        await durabus_bus.publish("orders", data)
    assert len(durabus_bus.events("orders")) == 1

@pytest.mark.durabus("-cid", "shop")
def test_without_asyncio(durabus_bus_in_thread):
    assert durabus_bus_in_thread.cluster_id == "shop"
    durabus_bus_in_thread.publish("orders", b"1")
    durabus_bus_in_thread.wait_for("orders")
"""


def entry_points(folder: Path) -> None:
    """What an installed Durabus has, in a folder that Python looks for packages in."""
    plugins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][
        "pytest11"
    ]
    installed = folder / "durabus_entry-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: durabus-entry\nVersion: 1\n", encoding="utf-8")
    lines = "".join(f"{name} = {module}\n" for name, module in plugins.items())
    # pytest looks into the asserts of every module of a package that has a plugin: these are its modules.
    modules = sorted(path.relative_to(ROOT / "src") for path in (ROOT / "src" / "durabus").rglob("*.py"))
    (installed / "RECORD").write_text("".join(f"{module},,\n" for module in modules), encoding="utf-8")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{lines}", encoding="utf-8")


def run_pytest(folder: Path, *flags: str, tests: str) -> str:
    """What a run of pytest in a project with these tests says; it is told to take warnings for errors."""
    entry_points(folder)
    (folder / "test_user.py").write_text(tests, encoding="utf-8")
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(folder), *(str(Path(path).resolve()) for path in given if path)]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "--strict-markers",
            "-p",
            "no:cacheprovider",
            *flags,
            "test_user.py",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_are_there_in_both_modes_of_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8"
    )
    tests = TESTS.format(mark="@pytest.mark.asyncio" if mode == "strict" else "")
    assert "4 passed" in run_pytest(tmp_path, tests=tests)


def test_without_pytest_asyncio_anyio_takes_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n", encoding="utf-8"
    )
    said = run_pytest(tmp_path, "-p", "no:asyncio", tests=TESTS.format(mark="@pytest.mark.anyio"))
    assert "4 passed" in said, said


def test_a_fixture_of_the_same_name_is_the_projects_own(tmp_path: Path) -> None:
    own = "import pytest\n\n@pytest.fixture\ndef durabus_bus():\n    return 7\n\ndef test_own(durabus_bus):\n    assert durabus_bus == 7\n"
    assert "1 passed" in run_pytest(tmp_path, "-p", "no:asyncio", tests=own)
