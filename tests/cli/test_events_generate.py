"""`durabus events generate` and `docs`: what they write, say, and exit with."""

import json
import shutil
from pathlib import Path

import pytest

from durabus.cli.main import main as durabus
from tests.conftest import ROOT

pytestmark = pytest.mark.once

SAMPLES = ROOT / "tests" / "definitions" / "samples"


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """A folder of definitions that a test may change."""
    return Path(shutil.copytree(SAMPLES / "shop", tmp_path / "definitions"))


def test_both_languages_and_whether_they_are_up_to_date(
    definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python, typescript = tmp_path / "python", tmp_path / "typescript"
    command = ["events", "generate", str(definitions), "--python", str(python), "--package", "shop-events"]
    command += ["--typescript", str(typescript), "--package", "@shop/common", "--package-version", "2.0.0"]
    assert durabus([*command, "--check"]) == 1
    assert "order_created.py is not up to date" in capsys.readouterr().out
    assert not python.exists()

    assert durabus(command) == 0
    assert f"{python / 'src' / 'shop_events' / 'order_created.py'} written" in capsys.readouterr().out.splitlines()
    assert 'version = "2.0.0"' in (python / "pyproject.toml").read_text(encoding="utf-8")
    manifest = json.loads((typescript / "package.json").read_text(encoding="utf-8"))
    assert (manifest["name"], manifest["version"]) == ("@shop/common", "2.0.0")
    assert durabus([*command, "--check"]) == 0
    assert durabus(command) == 0
    assert capsys.readouterr().out == ""

    (definitions / "order_cancelled.schema.json").unlink()
    assert durabus([*command, "--check"]) == 1
    assert "order_cancelled.py is of a definition that is gone" in capsys.readouterr().out
    assert durabus(command) == 0
    assert "order-cancelled.ts removed" in capsys.readouterr().out
    assert not (python / "src" / "shop_events" / "order_cancelled.py").exists()
    assert durabus([*command, "--check"]) == 0


def test_a_folder_of_modules_and_the_name_of_a_folder(definitions: Path, tmp_path: Path) -> None:
    arguments = ["--python", str(tmp_path / "events"), "--typescript", str(tmp_path / "Common")]
    assert durabus(["events", "generate", str(definitions), *arguments]) == 0
    assert (tmp_path / "events" / "__init__.py").exists()
    assert json.loads((tmp_path / "Common" / "package.json").read_text(encoding="utf-8"))["name"] == "common"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "needs --python DIR, or --typescript DIR, or both"),
        (["--package", "x"], "--package stands behind --python DIR or --typescript DIR"),
        (["--python", "a", "--typescript-package", "x"], "--typescript-package without --typescript DIR"),
        (["--python", "a", "--package", "no name"], "'no name' is no name of a Python package"),
        (["--typescript", "a", "--package=No", "--check"], "'No' is no name of an npm package"),
        (["--python", "a", "--package-version", "one"], "--package-version is 'one'; npm and pip both take numbers"),
    ],
)
def test_what_cannot_be_done(
    arguments: list[str], complaint: str, definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert durabus(["events", "generate", str(definitions), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_typescript_in_the_folder_of_definitions_is_refused(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = definitions / "common"
    assert durabus(["events", "generate", str(definitions), "--typescript", str(inside)]) == 2
    assert "common is in the folder of definitions" in capsys.readouterr().err
    assert not inside.exists()


def test_a_document_that_is_checked_has_a_place(definitions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert durabus(["events", "docs", str(definitions), "--check"]) == 2
    printed, complained = capsys.readouterr()
    assert (printed, "needs --to FILE" in complained) == ("", True)


def test_nothing_is_written_when_something_is_in_the_way(
    definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "package.json").write_text('{"name": "precious"}\n', encoding="utf-8")
    arguments = ["--python", str(tmp_path / "python"), "--typescript", str(tmp_path)]
    assert durabus(["events", "generate", str(definitions), *arguments]) == 2
    assert "package.json is there and was not generated" in capsys.readouterr().err
    assert not (tmp_path / "python").exists()


def test_documents(definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["events", "docs", str(definitions), "--title", "Shop", "--document-version", "3"]
    assert durabus(command) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["info"] == {"title": "Shop", "version": "3"}
    path = tmp_path / "docs" / "asyncapi.json"
    assert durabus([*command, "--to", str(path), "--check"]) == 1
    assert durabus([*command, "--to", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == shown
    assert durabus([*command, "--to", str(path), "--check"]) == 0


def test_definitions_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert durabus(["events", "docs", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
