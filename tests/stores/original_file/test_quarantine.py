"""Bytes that are no records, kept in a file that a person and a program can read."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from durabus.errors import StoreError
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.quarantine import Quarantine


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> SourceFile:
    (tmp_path / "data").write_bytes(bytes(1000) + bytes(range(256)) * 4000)
    return SourceFile(str(tmp_path), "data")


def test_what_is_kept(tmp_path: Path, file: SourceFile) -> None:
    quarantine = Quarantine(str(tmp_path / "kept"))
    quarantine.finish()
    assert not (tmp_path / "kept").exists(), "only when there is something"
    quarantine.keep(file, 1000, 1010, b"orders", (7, 8), "wrong")
    quarantine.keep(file, 10, 20, b"", (0, 0), "zeros")
    quarantine.keep(file, 30, 30, b"", (0, 0), "nothing")
    quarantine.finish()
    first, second = lines(tmp_path / "kept")
    assert first == {
        "file": "data",
        "offset": 1000,
        "size": 10,
        "channel": "orders",
        "first": 7,
        "last": 8,
        "why": "wrong",
        "bytes": base64.b64encode(bytes(range(10))).decode(),
    }
    assert second == {"file": "data", "offset": 10, "size": 10, "why": "zeros", "zeros": True}
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def test_large_ones_are_kept_in_pieces(tmp_path: Path, file: SourceFile) -> None:
    quarantine = Quarantine(str(tmp_path / "kept"))
    quarantine.keep(file, 1000, file.size, os.fsencode("caf\udcff"), (1, 9), "wrong")
    quarantine.finish()
    found = lines(tmp_path / "kept")
    assert b"".join(base64.b64decode(line["bytes"]) for line in found) == bytes(range(256)) * 4000
    assert [line["offset"] for line in found] == [1000 + 262144 * i for i in range(4)]
    assert {os.fsencode(line["channel"]) for line in found} == {b"caf\xff"}


def test_nothing_is_kept_twice(tmp_path: Path, file: SourceFile) -> None:
    for _ in range(2):
        quarantine = Quarantine(str(tmp_path / "kept"))
        for _ in range(2):
            quarantine.keep(file, 1000, 1010, b"orders", (7, 8), "wrong")
        quarantine.finish()
    assert len(lines(tmp_path / "kept")) == 1


def test_a_line_that_was_not_written_to_its_end(tmp_path: Path, file: SourceFile) -> None:
    path = tmp_path / "kept"
    quarantine = Quarantine(str(path))
    quarantine.keep(file, 1000, 1010, b"orders", (7, 8), "wrong")
    quarantine.finish()
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    quarantine = Quarantine(str(path))
    quarantine.keep(file, 1000, 1010, b"orders", (7, 8), "wrong")
    quarantine.keep(file, 1000, 1011, b"orders", (7, 8), "wrong")
    quarantine.finish()
    torn, again, other = path.read_bytes().splitlines(keepends=True)
    assert torn == whole[:-20] + b"\n"
    assert again == whole
    assert json.loads(other)["size"] == 11


def test_it_cannot_be_written(tmp_path: Path, file: SourceFile) -> None:
    quarantine = Quarantine(str(tmp_path / "missing" / "kept"))
    with pytest.raises(
        StoreError, match=r"cannot be kept in .*: No such file or directory; nothing is taken over before"
    ):
        quarantine.keep(file, 0, 10, b"", (0, 0), "wrong")
