"""An overlay: a journal is opened as by a start, and nothing of it is changed."""

import errno
from pathlib import Path

import pytest

from durabus.stores.file.files import Files, OsFiles
from durabus.stores.file.layout import head_name, index_name, lease_name, segment_name, spare_name
from durabus.stores.file.overlay import OverlayFiles, is_of_a_journal
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import disk_with, flipped, several_segments
from tests.stores.file.journal_steps import Desk, segments_of

ONE, TWO = segment_name(1), segment_name(2)


def overlay_on(content: dict[str, bytes]) -> tuple[OverlayFiles, SimulatedDisk, SimulatedDisk]:
    """An overlay with what is below it and what it writes."""
    base, scratch = disk_with(content), SimulatedDisk()
    return OverlayFiles(SimulatedFiles(base), SimulatedFiles(scratch)), base, scratch


def content_of(files: Files, name: str) -> bytes:
    handle = files.open(name, False)
    try:
        assert bytes(files.map(handle)) == files.read(handle, 0, files.size(handle))
        return files.read(handle, 0, files.size(handle))
    finally:
        files.close(handle)


@pytest.mark.parametrize("damage", [False, True])
def test_a_journal_is_opened_and_goes_on_without_a_change_below(damage: bool) -> None:
    whole = several_segments()
    content = whole
    if damage:
        for name in segments_of(whole):
            content = flipped(flipped(content, name, 30), name, 400)
    files, base, scratch = overlay_on(content)
    desk = Desk(scratch, files=files)
    desk.open()
    assert len(desk.sequences(1)) > 3
    before = desk.sequences(1)
    for _ in range(20):
        desk.publish(1, 3, 100)
    assert desk.sequences(1) == [*before, *range(before[-1] + 1, before[-1] + 61)]
    assert base.contents() == content
    assert {kind for kind, _ in base.calls} <= {"names", "exists", "open", "close", "size", "read", "map"}


def test_only_what_is_of_the_journal_is_there() -> None:
    names = (ONE, head_name(1), index_name(1))
    assert all(map(is_of_a_journal, names))
    others = (spare_name(3), lease_name(4), "durabus.lock", ONE + ".new", ONE + ".damaged", "server.dat")
    assert not any(map(is_of_a_journal, others))
    files, _, _ = overlay_on(dict.fromkeys((*names, *others), b"x"))
    assert files.names() == sorted(names)
    assert files.exists(ONE)
    assert not files.exists("server.dat")


def test_what_is_written_goes_into_a_copy() -> None:
    files, base, scratch = overlay_on({ONE: b"abcdef"})
    one, other = files.open(ONE, True), files.open(ONE, True)
    files.write(one, 2, b"cd")  # what is there
    assert scratch.contents() == {}
    files.write(one, 4, b"XY")
    files.truncate(one, 5)
    files.sync(one)
    files.sync_directory()
    assert (files.read(other, 0, 100), content_of(files, ONE)) == (b"abcdX", b"abcdX")
    files.truncate(other, 3)
    assert content_of(files, ONE) == b"abc"
    files.close(one)
    files.close(other)
    assert base.contents() == {ONE: b"abcdef"}


def test_truncating_makes_a_copy_too() -> None:
    files, base, _ = overlay_on({ONE: b"abcdef"})
    handle = files.open(ONE, True)
    files.truncate(handle, 2)
    files.close(handle)
    assert (content_of(files, ONE), base.contents()) == (b"ab", {ONE: b"abcdef"})


def test_names_change_above_only() -> None:
    files, base, _ = overlay_on({ONE: b"one", TWO: b"two"})
    files.rename(ONE, "moved")
    assert (files.names(), content_of(files, "moved")) == ([TWO, "moved"], b"one")
    handle = files.open("moved", True)
    files.rename("moved", "again")
    files.write(handle, 0, b"ONE")
    files.close(handle)
    assert (files.names(), content_of(files, "again")) == (["again", TWO], b"ONE")
    files.rename("again", TWO)  # in the place of another one
    assert (files.names(), content_of(files, TWO)) == ([TWO], b"ONE")
    files.remove(TWO)
    assert files.names() == []
    assert base.contents() == {ONE: b"one", TWO: b"two"}


def test_a_new_file_takes_a_name_that_is_free() -> None:
    files, _, scratch = overlay_on({ONE: b"one", TWO: b"two"})
    files.close(files.create("new"))
    with pytest.raises(FileExistsError):
        files.create(ONE)
    with pytest.raises(FileExistsError):
        files.rename_new("new", ONE)
    files.rename_new("new", "newer")
    files.rename("newer", ONE)
    files.remove(TWO)
    files.close(files.create(TWO))
    assert (content_of(files, ONE), content_of(files, TWO)) == (b"", b"")
    assert sorted(scratch.contents()) == [ONE, TWO]


@pytest.mark.parametrize("name", ["gone", "never"])
def test_what_is_not_there(name: str) -> None:
    files, _, _ = overlay_on({"gone": b"not of a journal", ONE: b"one"})
    with pytest.raises(FileNotFoundError) as caught:
        files.remove(name)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, name)
    with pytest.raises(FileNotFoundError):
        files.rename(name, TWO)
    with pytest.raises(FileNotFoundError):
        files.open("never", False)


def test_a_lock_is_nobody_elses(tmp_path: Path) -> None:
    for folder in ("base", "scratch"):
        (tmp_path / folder).mkdir()
    below = OsFiles(str(tmp_path / "base"))
    held = below.lock("durabus.lock")
    assert held is not None
    files = OverlayFiles(below, OsFiles(str(tmp_path / "scratch")))
    handle = files.lock("durabus.lock")
    assert handle is not None
    assert files.lock("durabus.lock") is None
    files.close(handle)
    below.close(held)
