"""Walking over typed records, also around what is damaged."""

from pathlib import Path

import pytest

from durabus.stores.original_file.checksum import Checksum
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.records import RecordReader
from durabus.stores.original_file.typed_file import TypedWalk
from tests.stores.original_file.original_writer import VERSION, typed

RECORDS = [typed(1 + i % 3, b"\x08" + b"%d" % i * i) for i in range(12)]


def walked(folder: Path, content: bytes, *, is_checked: bool = True) -> tuple[list[bytes], list[str], int]:
    """The records, what is said of others, and in how many places they are damaged."""
    (folder / "subs.dat").write_bytes(content)
    with SourceFile(str(folder), "subs.dat") as file:
        findings = Findings(None, lambda _: None)
        reader = RecordReader(file, True, Checksum(), is_checked)
        walk = TypedWalk(file, reader, 3, b"\x08", b"orders", findings)
        found = []
        while walk.next():
            found.append(typed(int(walk.kind), walk.payload))
        return found, findings.damage, int(walk.damage_count)


def test_all_of_them(tmp_path: Path) -> None:
    assert walked(tmp_path, VERSION + b"".join(RECORDS)) == (RECORDS, [], 0)
    assert walked(tmp_path, VERSION) == walked(tmp_path, b"") == ([], [], 0)


@pytest.mark.parametrize("index", [0, 1, 5, 10])
@pytest.mark.parametrize("byte", range(10))
def test_one_is_damaged(tmp_path: Path, index: int, byte: int) -> None:
    records = [bytearray(one) for one in RECORDS]
    if byte >= len(records[index]):
        byte = len(records[index]) - 1
    records[index][byte] ^= 0x44
    found, damage, count = walked(tmp_path, VERSION + b"".join(records))
    assert found == RECORDS[:index] + RECORDS[index + 1 :]
    assert len(damage) == count == 1
    start = len(VERSION + b"".join(RECORDS[:index]))
    assert f"subs.dat, bytes {start} to {start + len(RECORDS[index]) - 1}: " in damage[0]


def test_the_end_is_torn(tmp_path: Path) -> None:
    content = VERSION + b"".join(RECORDS)
    found, damage, count = walked(tmp_path, content[:-3])
    assert (found, count) == (RECORDS[:-1], 0)
    assert "the torn end of a file is cut off" in damage[0]


def test_zeros(tmp_path: Path) -> None:
    first, second = b"".join(RECORDS[:5]), b"".join(RECORDS[5:])
    assert walked(tmp_path, VERSION + first + bytes(99)) == (RECORDS[:5], [], 0)
    found, damage, count = walked(tmp_path, VERSION + first + bytes(99) + second)
    assert (found, damage) == (RECORDS, [])
    assert count == 1, "something may have been there"


def test_a_type_that_there_is_not(tmp_path: Path) -> None:
    content = VERSION + RECORDS[0] + typed(4, b"\x08\x01") + RECORDS[1] + typed(0, b"\x08\x01")
    found, damage, _ = walked(tmp_path, content)
    assert found == RECORDS[:2]
    assert "there are no records of type 4" in damage[0]
    assert "there are no records of type 0" in damage[1]


def test_a_wrong_version_costs_nothing(tmp_path: Path) -> None:
    found, damage, _ = walked(tmp_path, b"\x07\0\0\0" + b"".join(RECORDS))
    assert found == RECORDS
    assert damage == [
        "subs.dat: its version is 7, the only one that there ever was is 1; it is read as if it were right"
    ]


def test_without_checks(tmp_path: Path) -> None:
    records = [bytearray(one) for one in RECORDS]
    records[3][5] ^= 1
    assert walked(tmp_path, VERSION + b"".join(records), is_checked=False) == (RECORDS, [], 0)
