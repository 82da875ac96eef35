"""Which files belong to an original, and reading one of them."""

import errno
import os
from pathlib import Path

import pytest

from durabus.stores.original_file.files import SourceFile, find_files
from tests.stores.original_file.original_writer import OriginalDirectory


def test_what_belongs_to_a_store(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path)
    orders = original.channel("orders")
    for number in (10, 2, 9):
        orders.publish(b"x", number=number)
    orders.slice(9).has_index = False
    orders.extra = {"msgs.1.dat.bak": b"", "msgs.7.idx": b"", "msgs.02.dat": b"", "other": b""}
    original.channel("news").extra = {}
    original.write()
    (tmp_path / "news" / "subs.dat").unlink()
    (tmp_path / "news" / "msgs.1.dat").touch()
    found = find_files(str(tmp_path))
    assert bool(found)
    assert found.names() == [
        "server.dat",
        "clients.dat",
        "news/msgs.1.dat",
        "orders/msgs.02.dat",
        "orders/msgs.2.idx",
        "orders/msgs.9.dat",
        "orders/msgs.10.dat",
        "orders/msgs.10.idx",
        "orders/subs.dat",
    ]
    assert [part.number for part in found.channels[1].slices] == [2, 9, 10]
    assert found.strange == ["orders/msgs.2.dat"]


def test_no_store(tmp_path: Path) -> None:
    assert not find_files(str(tmp_path / "missing"))
    (tmp_path / "durabus.lock").touch()
    (tmp_path / "folder").mkdir()
    found = find_files(str(tmp_path))
    assert not found
    assert found.strange == ["folder"]
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        find_files(str(tmp_path / "file"))


def test_a_channel_that_we_may_not_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = OriginalDirectory(tmp_path)
    original.channel("orders").publish(b"x")
    original.write()
    (tmp_path / "lost+found").mkdir()
    real = os.scandir
    locked = {"lost+found"}

    def scandir(path: str) -> object:
        if Path(path).name in locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [channel.name for channel in find_files(str(tmp_path)).channels] == [b"orders"]
    locked.add("orders")
    with pytest.raises(PermissionError):
        find_files(str(tmp_path))


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with SourceFile(str(tmp_path), "file") as file:
        assert file.size == 10
        assert file.read(0, 4) == b"0123"
        assert file.read(8, 1 << 40) == b"89"
        assert file.read(10, 1) == file.read(99, 1) == file.read(-1, 5) == file.read(3, 0) == b""
        (tmp_path / "file").write_bytes(b"01")
        assert file.read(0, 10) == b"01"
    file.close()


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(OSError, match=r"."):
            SourceFile(str(tmp_path), name)


def test_blocks_that_the_disk_cannot_read_are_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 20_000)
    real = os.pread

    def pread(descriptor: int, count: int, offset: int) -> bytes:
        if offset < 9000 and offset + count > 8200:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", pread)
    with SourceFile(str(tmp_path), "file") as file:
        for _ in range(2):
            assert file.read(5, 19_000) == b"x" * 8187 + bytes(4096) + b"x" * (19_000 - 8187 - 4096)
        assert file.unreadable == [8192]


def test_reading_goes_on_where_the_system_gives_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, count, offset: real(descriptor, min(count, 7), offset))
    with SourceFile(str(tmp_path), "file") as file:
        assert file.read(10, 50) == bytes(range(10, 60))
