"""The original's lock; how it goes with a process that takes it in the original's way is in `test_predecessor.py`."""

import errno
import os
from pathlib import Path

import pytest

from durabus.stores.original_file.lock import OriginalLock


def test_one_has_it(tmp_path: Path) -> None:
    first, second = OriginalLock(str(tmp_path)), OriginalLock(str(tmp_path))
    assert first.take() and first.take()
    assert not second.take()
    assert (first.is_ours, second.is_ours) == (True, False)
    assert second.holder() == 0, "no process has it in the original's way"
    first.release()
    first.release()
    assert second.take()
    second.release()


def test_nobody_has_it(tmp_path: Path) -> None:
    assert OriginalLock(str(tmp_path)).holder() == 0
    (tmp_path / ".rootdir.lck").touch()
    assert OriginalLock(str(tmp_path)).holder() == 0


def test_the_file_of_the_original_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".rootdir.lck").write_bytes(b"theirs")
    lock = OriginalLock(str(tmp_path))
    assert lock.take()
    lock.release()
    assert (tmp_path / ".rootdir.lck").read_bytes() == b"theirs"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_nobody_else_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lock = OriginalLock(str(tmp_path))

    def refuse(*_: object) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock, "take", refuse)
    assert lock.take_if_possible()
    lock.release()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        OriginalLock(str(tmp_path / "missing")).take_if_possible()
