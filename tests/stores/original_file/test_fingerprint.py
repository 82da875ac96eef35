"""What is seen of changes to files without reading all of them."""

import os
from pathlib import Path

from durabus.stores.original_file.files import find_files
from durabus.stores.original_file.fingerprint import Fingerprint, changes, take_fingerprint
from tests.stores.original_file.original_writer import OriginalDirectory


def taken(folder: Path) -> Fingerprint:
    return take_fingerprint(str(folder), find_files(str(folder)))


def test_the_same_files_are_the_same(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path)
    original.channel("orders").publish(b"x")
    before = taken(original.write())
    (tmp_path / "durabus-0000000001.segment").touch()
    (tmp_path / ".rootdir.lck").touch()
    (tmp_path / "orders" / "msgs.1.dat.bak").touch()
    found = changes(before, taken(tmp_path))
    assert (found.changed, found.removed) == ([], [])
    assert len(before) == 5


def test_every_change_is_named(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path)
    for name in "abcdef":
        original.channel(name).publish(b"x" * 100_000)
    before = taken(original.write())
    data = tmp_path / "a" / "msgs.1.dat"
    written_ns = data.stat().st_mtime_ns
    data.write_bytes(data.read_bytes()[:-3] + b"???")
    os.utime(data, ns=(written_ns, written_ns))
    os.utime(tmp_path / "b" / "msgs.1.dat", ns=(5, 5))
    (tmp_path / "c" / "subs.dat").write_bytes(b"longer")
    (tmp_path / "d" / "msgs.1.idx").unlink()
    (tmp_path / "e" / "msgs.2.dat").touch()
    found = changes(before, taken(tmp_path))
    assert found.changed == [
        "a/msgs.1.dat has other bytes",
        "b/msgs.1.dat was written to",
        "c/subs.dat has 6 bytes instead of 4",
        "e/msgs.2.dat is new",
    ]
    assert found.words() == ", ".join(found.changed)
    assert (found.removed, found.removed_words()) == (["d/msgs.1.idx"], "d/msgs.1.idx")


def test_many_changes_are_counted() -> None:
    before = {f"{number:02}": (1, 1, 1) for number in range(20)}
    found = changes(before, dict.fromkeys(before, (2, 1, 1)))
    assert found.words().endswith("04 has 2 bytes instead of 1 and 15 more")
