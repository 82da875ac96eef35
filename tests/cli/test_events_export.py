"""`durabus events export`: files from classes, and whether they are up to date."""

import sys
from pathlib import Path

import pytest

from durabus.cli.events_commands import events
from durabus.definitions.folder import read_folder

pytestmark = pytest.mark.once

MODULE = """
from durabus.events import Event, event

@event("ticket:created")
class TicketCreated(Event):
    id: str
"""


def test_written_once_then_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events_to_export.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["somewhere", *sys.path])
    words = ["export", "events_to_export", "--to", "new/definitions"]
    path = Path("new/definitions/ticket_created.schema.json")

    assert events([*words, "--check"]) == 1
    assert capsys.readouterr().out == f"{path} is not what the classes say: export again\n"
    assert not path.exists()

    assert events(words) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert [definition.name for definition in read_folder(Path("new"))] == ["TicketCreated"]

    assert events([*words, "--check"]) == 0
    assert events(words) == 0
    assert capsys.readouterr().out == f"{path} is as it was\n"

    path.write_bytes(b"\xff")
    assert events([*words, "--check"]) == 1
    assert events(["check", "new", "new"]) == 2
