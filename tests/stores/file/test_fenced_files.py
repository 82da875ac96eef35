"""The file layer of an owner: it changes nothing, and says of nothing that it is durable, once it is overtaken."""

from collections.abc import Callable

import pytest

from durabus.stores.file.fenced_files import FencedFiles
from durabus.stores.file.files import Files, LockLostError
from durabus.stores.file.layout import lease_name
from durabus.stores.file.lease import LOST_TEXT, Ownership
from durabus.testing.disk import SimulatedDisk, SimulatedFiles


def owned() -> tuple[SimulatedDisk, FencedFiles]:
    disk = SimulatedDisk()
    files = SimulatedFiles(disk)
    ownership = Ownership(files, lambda: 0)
    assert ownership.acquire("a") is not None
    return disk, FencedFiles(files, ownership)


def test_the_owner_works_as_without_it() -> None:
    disk, files = owned()
    assert files.directory == "simulated"
    handle = files.create("a.new")
    files.write(handle, 0, b"content")
    files.sync(handle)
    files.truncate(handle, 4)
    files.rename_new("a.new", "a")
    files.rename("a", "b")
    files.sync_directory()
    assert (files.size(handle), files.read(handle, 0, 9), bytes(files.map(handle))) == (4, b"cont", b"cont")
    files.close(handle)
    assert files.exists("b") and "b" in files.names()
    assert disk.durable_contents()["b"] == b"content"
    files.close(files.open("b", False))
    assert files.lock("c") is not None
    files.remove("b")
    assert not files.exists("b")


def test_its_new_files_have_names_of_their_own() -> None:
    assert owned()[1].new_suffix == ".1.new"
    assert Files.new_suffix == ".new"


CHANGES: dict[str, Callable[[FencedFiles, int], object]] = {
    "create": lambda files, _: files.create("x"),
    "write": lambda files, handle: files.write(handle, 0, b"x"),
    "truncate": lambda files, handle: files.truncate(handle, 1),
    "rename": lambda files, _: files.rename("a", "x"),
    "rename_new": lambda files, _: files.rename_new("a", "x"),
    "remove": lambda files, _: files.remove("a"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_overtaken_owner_changes_nothing(kind: str) -> None:
    disk, files = owned()
    handle = files.create("a")
    disk.put(lease_name(2), b"")
    before = disk.contents()
    with pytest.raises(LockLostError, match=LOST_TEXT):
        CHANGES[kind](files, handle)
    assert disk.contents() == before


@pytest.mark.parametrize("kind", ["sync", "sync_directory"])
def test_what_it_synced_does_not_count(kind: str) -> None:
    """Somebody takes over during the call."""
    disk, files = owned()
    handle = files.create("a")
    disk.put(lease_name(2), b"")
    with pytest.raises(LockLostError, match=LOST_TEXT):
        files.sync(handle) if kind == "sync" else files.sync_directory()


def test_who_cannot_look_is_not_the_owner() -> None:
    disk, files = owned()
    disk.fail(1, OSError(5, "input/output error"), kind="exists")
    with pytest.raises(LockLostError):
        files.create("x")
