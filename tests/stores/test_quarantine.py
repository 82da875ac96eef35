"""The file in which a repair sets things aside."""

import base64
import json
import os
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores import quarantine
from durabus.stores.findings import Finding
from durabus.stores.quarantine import Quarantine


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_without_a_finding_there_is_no_file(tmp_path: Path) -> None:
    aside = Quarantine(tmp_path / "aside", "store")
    aside.sync()
    aside.close()
    assert list(tmp_path.iterdir()) == []


def test_a_line_says_everything(tmp_path: Path) -> None:
    aside = Quarantine(tmp_path / "aside", "the store")
    finding = Finding("it is damaged", "Messages id=1 seq=5", b"\x00\xff").costs(b"foo", 5, 6)
    finding.columns = {"name": "x", "number": 3, "bytes": b"\x01"}
    aside.add(finding)
    aside.add(Finding("also", "elsewhere"))
    aside.sync()
    aside.close()
    assert aside.count == 2
    assert lines_of(tmp_path / "aside") == [
        {
            "store": "the store",
            "where": "Messages id=1 seq=5",
            "why": "it is damaged",
            "channel": "foo",
            "first": 5,
            "last": 6,
            "columns": {"name": "x", "number": 3, "bytes": base64.b64encode(b"\x01").decode()},
            "bytes": base64.b64encode(b"\x00\xff").decode(),
        },
        {"store": "the store", "where": "elsewhere", "why": "also", "bytes": ""},
    ]
    assert (tmp_path / "aside").stat().st_mode & 0o777 == 0o600


def test_more_is_added_behind_what_is_there(tmp_path: Path) -> None:
    for text in ("one", "two"):
        aside = Quarantine(tmp_path / "aside", "store")
        aside.add(Finding(text, "here"))
        aside.close()
        aside.close()
    assert [line["why"] for line in lines_of(tmp_path / "aside")] == ["one", "two"]


def test_much_takes_several_lines(tmp_path: Path) -> None:
    raw = os.urandom(2 * quarantine._PIECE_BYTES + 5)
    aside = Quarantine(tmp_path / "aside", "store")
    aside.add(Finding("it is damaged", "here", raw))
    aside.close()
    lines = lines_of(tmp_path / "aside")
    assert [line["offset"] for line in lines] == [0, quarantine._PIECE_BYTES, 2 * quarantine._PIECE_BYTES]
    assert b"".join(base64.b64decode(str(line["bytes"])) for line in lines) == raw


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file or directory"):
        Quarantine(tmp_path / "not" / "there", "store").add(Finding("x", "y"))
    full = Quarantine(Path("/dev/full"), "store")
    with pytest.raises(StoreError, match="no space left on device"):
        full.add(Finding("x", "y"))
    full.close()
