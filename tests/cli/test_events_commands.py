"""`durabus events …` as a program: its exit codes, one clear line for whatever is wrong, and that nothing else loads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from durabus.cli import events_commands
from durabus.cli.events_commands import events
from durabus.cli.events_words import COMMANDS
from tests.conftest import ROOT

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "a command for events is missing"),
        (["destroy"], 'unrecognized command for events: "destroy"'),
        (["check"], "`durabus events check` takes OLD and NEW; 0 given"),
        (
            ["check", "a.json", "b.json", "--mode", "sideways"],
            '--mode is "sideways"; there are backward, forward, full',
        ),
        (["check", "a.json", "b.json", "--format", "xml"], '--format is "xml"; there are text, json'),
        (["check", "not-there", "neither"], "not-there: there is no such file or folder"),
        (["check", "not-there.json", "neither.json"], "not-there.json: there is no such file or folder"),
        (["export", "no_such_module", "--to", "x"], "no_such_module: there is no module no_such_module"),
    ],
)
def test_what_cannot_be_done(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert events(words) == 2
    printed, complained = capsys.readouterr()
    assert printed == ""
    lines = complained.splitlines()
    assert lines[0] == complaint
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("run 'durabus events"))


@pytest.mark.parametrize("words", [["help"], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert events(words) == 0
    assert capsys.readouterr().out.startswith("Usage: durabus events ")


def test_a_bug_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def explode(_: object) -> int:
        raise LookupError("nothing\nthere")

    monkeypatch.setitem(events_commands._WORK, "check", explode)
    monkeypatch.delenv("DURABUS_TRACEBACK", raising=False)
    assert events(["check", "a", "b"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

    def occupied(_: object) -> int:
        return len(tmp_path.read_bytes())  # a folder

    monkeypatch.setitem(events_commands._WORK, "check", occupied)
    assert events(["check", "a", "b"]) == 2
    assert capsys.readouterr().err == f"is a directory: {tmp_path}\n"


def test_the_program_says_each_mistake_that_protoc_found(tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text('syntax = "proto3"; message A { oops a = 1; gosh b = 2; }', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "durabus", "events", "check", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env=os.environ,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2
    assert '"oops" is not defined' in done.stderr
    assert '"gosh" is not defined' in done.stderr


def test_the_server_and_the_client_do_without() -> None:
    code = "import sys, durabus, durabus.cli.main, durabus.client; print([name for name in sys.modules if 'definitions' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"
