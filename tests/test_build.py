"""The build switch: what DURABUS_BUILD_EXTENSION makes of the package, and that both builds of it run.

The switch is tried on a package of one hot module with this project's own setup.py, because compiling all of the real
one once (`make setup`) is enough; its result is looked at as well.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import EXPECTED_BUILD, ROOT, imported_builds

BIN = Path(sys.executable).parent
HOT_SOURCE = (
    '"""A hot module."""\n\n\ndef add(left: int, right: int) -> int:\n    """Add."""\n    return left + right\n'
)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A project with the real setup.py and a package of one hot module."""
    project = tmp_path / "toy"
    package = project / "src" / "durabus" / "wire"
    package.mkdir(parents=True)
    for name in ("setup.py", "LICENSE"):
        shutil.copy(ROOT / name, project / name)
    (project / "README.md").write_text("A toy.\n", encoding="utf-8")
    set_compiled(project, '["durabus.wire.hot_*"]')
    (package.parent / "__init__.py").touch()
    (package.parent / "version.py").write_text('VERSION = "9.8.7"\n', encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "hot_path.py").write_text(HOT_SOURCE, encoding="utf-8")
    return project


def set_compiled(project: Path, modules: str) -> None:
    """Write the project's pyproject.toml, with another list of hot modules."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text, count = re.subn(r"^compiled = \[.*?^\]", f"compiled = {modules}", text, flags=re.MULTILINE | re.DOTALL)
    assert count == 1
    (project / "pyproject.toml").write_text(text, encoding="utf-8")


def wheel(project: Path, mode: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build the wheel of a project into its folder `dist`."""
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    variables = {**os.environ, **environment}
    variables.pop("DURABUS_BUILD_EXTENSION", None)
    variables.pop("PYTHONPATH", None)
    if mode is not None:
        variables["DURABUS_BUILD_EXTENSION"] = mode
    return subprocess.run(
        command, cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def built(project: Path) -> tuple[str, list[str]]:
    """Name and contents of the one wheel that was built."""
    (path,) = (project / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return path.name, archive.namelist()


@pytest.mark.once
def test_no_gives_a_pure_wheel(toy: Path) -> None:
    result = wheel(toy, "no")
    assert result.returncode == 0, result.stdout
    name, files = built(toy)
    assert name == "durabus-9.8.7-py3-none-any.whl"
    assert "durabus/wire/hot_path.py" in files
    assert not [file for file in files if file.endswith((".so", ".pyd"))]


@pytest.mark.once
@pytest.mark.parametrize("mode", ["yes", "auto", None])
def test_yes_and_auto_compile_and_keep_the_source(toy: Path, mode: str | None) -> None:
    result = wheel(toy, mode)
    assert result.returncode == 0, result.stdout
    name, files = built(toy)
    assert re.fullmatch(r"durabus-9\.8\.7-cp3\d+-cp3\d+-.+\.whl", name)
    assert "durabus/wire/hot_path.py" in files
    assert [file for file in files if re.match(r"durabus/wire/hot_path\..*so$", file)]
    assert [file for file in files if re.match(r"durabus__mypyc\..*so$", file)], "the modules are one group"


@pytest.mark.once
def test_a_module_that_is_no_longer_hot_leaves_nothing_behind(toy: Path) -> None:
    package = toy / "src" / "durabus" / "wire"
    (package / "hot_other.py").write_text(HOT_SOURCE, encoding="utf-8")
    assert wheel(toy, "yes").returncode == 0
    assert [file for file in built(toy)[1] if file.endswith(".so") and "hot_path" in file]
    set_compiled(toy, '["durabus.wire.hot_other"]')
    assert wheel(toy, "yes").returncode == 0
    compiled = [file for file in built(toy)[1] if file.endswith(".so")]
    assert [file for file in compiled if "hot_other" in file]
    assert not [file for file in compiled if "hot_path" in file]


@pytest.mark.once
def test_auto_without_a_compiler_builds_interpreted_and_says_so(toy: Path) -> None:
    result = wheel(toy, "auto", CC="false")
    assert result.returncode == 0, result.stdout
    assert "durabus: no working C compiler here" in result.stdout
    assert "durabus: building interpreted" in result.stdout
    assert built(toy)[0] == "durabus-9.8.7-py3-none-any.whl"


@pytest.mark.once
@pytest.mark.parametrize("source", ["def f() -> int:\n    return 'text'\n"])
def test_source_that_does_not_compile(toy: Path, source: str) -> None:
    (toy / "src" / "durabus" / "wire" / "hot_path.py").write_text(source, encoding="utf-8")
    result = wheel(toy, "auto")
    assert result.returncode == 0, result.stdout
    assert "durabus: mypyc refused the source" in result.stdout
    assert built(toy)[0] == "durabus-9.8.7-py3-none-any.whl"
    assert wheel(toy, "yes").returncode != 0


@pytest.mark.once
def test_yes_without_a_compiler_fails(toy: Path) -> None:
    assert wheel(toy, "yes", CC="false").returncode != 0
    assert not list((toy / "dist").glob("*.whl"))


@pytest.mark.once
def test_yes_fails_for_a_hot_module_that_is_not_there(toy: Path) -> None:
    set_compiled(toy, '["durabus.wire.hot_path", "durabus.wire.gone"]')
    result = wheel(toy, "yes")
    assert result.returncode != 0
    assert "durabus: no source for the module to compile: durabus.wire.gone" in result.stdout


@pytest.mark.once
def test_another_word_is_refused(toy: Path) -> None:
    result = wheel(toy, "perhaps")
    assert result.returncode != 0
    assert "DURABUS_BUILD_EXTENSION is 'perhaps', it can be yes, no or auto" in result.stdout


@pytest.mark.once
def test_the_real_package_builds_pure(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md", "MANIFEST.in"):
        shutil.copy(ROOT / name, project / name)
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    result = wheel(project, "no")
    assert result.returncode == 0, result.stdout
    name, files = built(project)
    assert name.endswith("-py3-none-any.whl")
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "durabus").rglob("*.py")}
    assert sources <= set(files)
    assert "durabus/py.typed" in files


def test_every_hot_module_is_there() -> None:
    names = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["durabus"]["compiled"]
    for name in names:
        assert list((ROOT / "src").glob(name.replace(".", "/") + ".py")), f"{name} is named as hot but is not there"


def test_the_build_under_test_is_one_build() -> None:
    kinds = set(imported_builds().values())
    assert len(kinds) == 1
    assert not EXPECTED_BUILD or kinds == {EXPECTED_BUILD}


def version_line(**environment: str) -> str:
    """What `durabus --version` says."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [str(BIN / "durabus"), "--version"],
        env={**variables, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout


@pytest.mark.once
@pytest.mark.skipif(EXPECTED_BUILD != "compiled", reason="`make test` looks at the build that `make setup` installed")
def test_the_installed_build_says_compiled() -> None:
    assert "compiled" in version_line()
    assert "interpreted" not in version_line()


@pytest.mark.once
def test_the_source_says_interpreted() -> None:
    said = version_line(PYTHONPATH=str(ROOT / "src"))
    assert "interpreted" in said
    assert "compiled" not in said
