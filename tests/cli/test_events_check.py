"""`durabus events check`: exit codes for CI, what people read, what machines read."""

import json
from pathlib import Path
from typing import Any

import pytest

from durabus.cli.events_commands import events
from tests.definitions.texts import proto, record, schema

pytestmark = pytest.mark.once

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def write(folder: Path, **files: Any) -> str:  # noqa: ANN401 - text, or what JSON can say
    folder.mkdir()
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """Old and new: one event of each format that changed, one that came, one that went."""
    names = {"name": "OrderCreated", "subject": "order:created"}
    old = write(
        tmp_path / "old",
        a_json=schema({"user": {"type": "object", "properties": {"id": STRING}}}),
        b_avsc=record({"name": "id", "type": "string"}, **names),
        c_proto=proto("string id = 1; int32 seats = 2;").replace("icket", "rain"),
        d_json={**schema({}), "title": "Gone", "x-subject": "gone"},
    )
    new = write(
        tmp_path / "new",
        a_json=schema({"user": {"type": "object", "properties": {"id": STRING}}}, description="words"),
        b_avsc=record({"name": "id", "type": "string"}, {"name": "note", "type": "string"}, **names),
        c_proto=proto("string id = 1; int64 seats = 2;").replace("icket", "rain"),
        e_json={**schema({}), "title": "Came", "x-subject": "came"},
    )
    return old, new


OTHER_BYTES = (
    "the bytes are others: a reader needs the definition that they were written with, and generated classes have one only;"
    " publish to another subject, or update all services together"
)


def test_what_people_read(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert events(["check", *folders]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Came: added",
        "Gone: removed, incompatible",
        "    breaks backward and forward: the event is removed: what was written cannot be read any more, and who waits for it waits",
        "OrderCreated: forward compatible only",
        f"    note: {OTHER_BYTES}",
        "    breaks backward: note: old events do not have it, and the new definition has no default",
        "TicketCreated: fully compatible",
        "TrainCreated: backward compatible only",
        "    breaks forward: seats: the type is int64, was int32",
        "5 events: 3 not fully compatible",
    ]


def test_what_machines_read(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert events(["check", *folders, "--format", "json", "--mode", "forward"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["mode"], document["isCompatible"]) == ("forward", False)
    order = document["events"][2]
    assert order == {
        "name": "OrderCreated",
        "change": "changed",
        "compatibility": "forward",
        "isCompatible": True,
        "findings": [
            {"path": "", "reason": OTHER_BYTES, "breaks": []},
            {
                "path": "note",
                "reason": "old events do not have it, and the new definition has no default",
                "breaks": ["backward"],
            },
        ],
    }


@pytest.mark.parametrize(
    ("old", "new", "codes"),
    [
        (schema({"a": STRING}), schema({"a": STRING}), {"backward": 0, "forward": 0, "full": 0}),
        (schema({"a": STRING}), schema({"a": STRING}, "a"), {"backward": 1, "forward": 0, "full": 1}),
        (schema({"a": STRING}, "a"), schema({"a": STRING}), {"backward": 0, "forward": 1, "full": 1}),
        (schema({"a": STRING}), schema({"a": INTEGER}), {"backward": 1, "forward": 1, "full": 1}),
    ],
)
def test_exit_codes_of_each_mode(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], codes: dict[str, int]
) -> None:
    write(tmp_path / "x", old_json=old, new_json=new)
    files = [str(tmp_path / "x" / "old.json"), str(tmp_path / "x" / "new.json")]
    assert {mode: events(["check", *files, "--mode", mode]) for mode in codes} == codes


def test_a_definition_cannot_write_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "old", a_json=schema({"\x1b[31m": STRING}))
    new = write(tmp_path / "new", a_json=schema({"\x1b[31m": INTEGER}))
    assert events(["check", old, new]) == 1
    assert "\x1b" not in capsys.readouterr().out
