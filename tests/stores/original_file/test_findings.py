"""What is said of damage, how much of it, and how far a reading is."""

import json
from pathlib import Path

import pytest

from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.quarantine import Quarantine


@pytest.fixture
def file(tmp_path: Path) -> SourceFile:
    (tmp_path / "data").write_bytes(bytes(100) + b"x" * 100)
    return SourceFile(str(tmp_path), "data")


def test_in_words(tmp_path: Path, file: SourceFile) -> None:
    findings = Findings(Quarantine(str(tmp_path / "kept")), lambda _: None)
    findings.damaged(file, 100, 110, b"orders", 3, 3, "why")
    findings.damaged(file, 110, 120, b"orders", 4, 6, "why")
    findings.absent(b"\xff", 7, 8)
    findings.cut(file, 150, 200, b"orders", 9, "why")
    findings.cut(file, 50, 100, b"orders", 9, "only zeros")
    findings.aside(file, 120, 130, b"", 0, "why")
    findings.aside(file, 130, 140, b"orders", 5, "why")
    findings.replaced(file, 140, 150, b"orders", 1, 2)
    findings.note("something else")
    findings.finish()
    again = "never acknowledged, the numbers were used again after a crash"
    assert findings.damage == [
        'channel "orders": message 3 is damaged (data, bytes 100 to 109: why)',
        'channel "orders": messages 4 to 6 are damaged (data, bytes 110 to 119: why)',
        'channel "\\xff": messages 7 to 8 are in none of its files',
        'channel "orders": the torn end of a file is cut off at message 9 (data, bytes 150 to 199: why)',
        "unreadable bytes are left out (data, bytes 120 to 129: why)",
        'channel "orders": unreadable bytes before message 5 are left out (data, bytes 130 to 139: why)',
        f'channel "orders": earlier messages 1 to 2 are left out (data, bytes 140 to 149: {again})',
        "something else",
    ]
    assert findings.lost_count == 1 + 3 + 2
    kept = [json.loads(line) for line in (tmp_path / "kept").read_text().splitlines()]
    assert [(line["offset"], line["size"]) for line in kept] == [
        (100, 10), (110, 10), (150, 50), (120, 10), (130, 10), (140, 10)
    ]  # fmt: skip


def test_without_a_quarantine(file: SourceFile) -> None:
    findings = Findings(None, lambda _: None)
    findings.damaged(file, 100, 110, b"orders", 3, 3, "why")
    findings.finish()
    assert len(findings.damage) == 1


def test_very_many_are_counted(tmp_path: Path) -> None:
    findings = Findings(Quarantine(str(tmp_path / "kept")), lambda _: None)
    for number in range(5000):
        findings.note(f"number {number}")
    assert len(findings.damage) == 1001
    assert findings.damage[999:] == ["number 999", f"and 4000 findings more, see {tmp_path / 'kept'}"]


def test_how_far_it_is() -> None:
    said: list[str] = []
    findings = Findings(None, said.append, 10_000_000_000)
    for _ in range(1000):
        findings.read(10_000_000)
    assert said == [f"{number},000 of 10,000 MB read" for number in range(1, 10)]
    short: list[str] = []
    findings = Findings(None, short.append, 1000)
    findings.read(1000)
    assert short == []
