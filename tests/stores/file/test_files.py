"""The file layer: what the FILE store relies on, shown by the operating system's files and by the simulated ones alike."""

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.stores.file.files import WHOLE_READ_BYTES, Files, OsFiles
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.file_steps import failing, made

BAD_NAMES = ("", ".", "..", "a/b", "/a", "a\0b")


@pytest.fixture(params=["os", "simulated"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return OsFiles(str(tmp_path)) if request.param == "os" else SimulatedFiles(SimulatedDisk())


@pytest.fixture(params=["os", "simulated"])
def two_processes(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, Files]:
    """The same directory as two users of it see it."""
    if request.param == "os":
        return OsFiles(str(tmp_path)), OsFiles(str(tmp_path))
    disk = SimulatedDisk()
    return SimulatedFiles(disk), SimulatedFiles(disk)


# Names


def test_names_are_those_of_the_files_in_order(files: Files) -> None:
    assert files.names() == []
    for name in ("b", "c", "a"):
        files.close(files.create(name))
    assert files.names() == ["a", "b", "c"]


def test_a_file_is_created_once(files: Files) -> None:
    handle = made(files, "a", b"content")
    assert files.read(handle, 0, 10) == b"content"
    with failing(errno.EEXIST, "a"):
        files.create("a")
    assert files.read(handle, 0, 10) == b"content"


def test_only_what_is_there_is_opened(files: Files) -> None:
    with failing(errno.ENOENT, "a"):
        files.open("a", True)
    assert files.names() == []


def test_a_file_opened_for_reading_is_not_changed(files: Files) -> None:
    files.close(made(files, "a", b"content"))
    handle = files.open("a", False)
    with failing(errno.EBADF, "a"):
        files.write(handle, 0, b"x")
    with failing(errno.EINVAL, "a"):
        files.truncate(handle, 0)
    files.sync(handle)
    assert files.read(handle, 0, 10) == b"content"


def test_a_file_opened_for_writing_is_read_and_written(files: Files) -> None:
    files.close(made(files, "a", b"content"))
    handle = files.open("a", True)
    files.write(handle, 3, b"T")
    assert files.read(handle, 0, 10) == b"conTent"


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_is_that_of_a_file_in_the_directory(files: Files, name: str) -> None:
    files.close(files.create("good"))
    calls: list[Callable[[], object]] = [
        lambda: files.create(name),
        lambda: files.open(name, False),
        lambda: files.remove(name),
        lambda: files.rename(name, "b"),
        lambda: files.rename("good", name),
        lambda: files.rename_new(name, "b"),
        lambda: files.rename_new("good", name),
        lambda: files.exists(name),
        lambda: files.lock(name),
    ]
    for call in calls:
        with failing(errno.EINVAL, name):
            call()
    assert files.names() == ["good"]


# Handles


def test_a_closed_handle_is_none_and_is_not_used_again(files: Files) -> None:
    first = made(files, "a", b"content")
    files.close(first)
    second = files.create("b")
    assert second != first
    calls: list[Callable[[], object]] = [
        lambda: files.close(first),
        lambda: files.size(first),
        lambda: files.read(first, 0, 1),
        lambda: files.write(first, 0, b"x"),
        lambda: files.sync(first),
        lambda: files.truncate(first, 0),
        lambda: files.map(first),
    ]
    for call in calls:
        with failing(errno.EBADF, None):
            call()
    assert files.size(second) == 0


def test_handles_of_one_file_see_the_same(files: Files) -> None:
    first = made(files, "a", b"content")
    second = files.open("a", False)
    files.write(first, 7, b"s")
    assert files.read(second, 0, 10) == b"contents"
    files.close(first)
    assert files.read(second, 0, 10) == b"contents"


# Bytes


def test_reading_ends_at_the_end(files: Files) -> None:
    handle = made(files, "a", b"0123456789")
    assert files.read(handle, 2, 3) == b"234"
    assert files.read(handle, 8, 2) == b"89"
    assert files.read(handle, 8, 3) == b"89"
    assert files.read(handle, 10, 1) == b""
    assert files.read(handle, 11, 1) == b""
    assert files.read(handle, 1 << 62, 1) == b""
    assert files.read(handle, 5, 0) == b""


def test_much_is_read_and_nothing_is_allocated_for_what_is_not_there(files: Files) -> None:
    content = os.urandom(WHOLE_READ_BYTES + 1000)
    handle = made(files, "a", content)
    assert files.read(handle, 0, len(content)) == content
    assert files.read(handle, 10, 1 << 60) == content[10:]
    assert files.read(handle, len(content) + 1, 1 << 60) == b""


@pytest.mark.parametrize("offset", [-1, 1 << 63, 1 << 70])
def test_impossible_offsets_are_errors(files: Files, offset: int) -> None:
    handle = made(files, "a", b"content")
    with failing(errno.EINVAL, "a"):
        files.read(handle, offset, 1)
    with failing(errno.EINVAL, "a"):
        files.write(handle, offset, b"x")
    with failing(errno.EINVAL, "a"):
        files.truncate(handle, offset)
    with failing(errno.EINVAL, "a"):
        files.read(handle, 0, -1)
    assert files.read(handle, 0, 10) == b"content"


def test_bytes_are_written_in_place_and_at_the_end_and_beyond(files: Files) -> None:
    handle = made(files, "a", b"0123456789")
    files.write(handle, 3, b"abc")
    files.write(handle, 9, b"XYZ")
    assert files.read(handle, 0, 100) == b"012abc678XYZ"
    files.write(handle, 1000, b"far")
    assert files.size(handle) == 1003
    assert files.read(handle, 0, 2000) == b"012abc678XYZ" + bytes(988) + b"far"
    files.write(handle, 5000, b"")
    assert files.size(handle) == 1003


def test_whatever_has_bytes_is_written(files: Files) -> None:
    handle = files.create("a")
    files.write(handle, 0, bytearray(b"abc"))
    files.write(handle, 3, memoryview(b"0123456789")[2:5])
    files.write(handle, 6, memoryview(b"ABCDEFGH").cast("I"))
    assert files.read(handle, 0, 100) == b"abc234ABCDEFGH"


def test_a_file_is_cut_off_and_extended(files: Files) -> None:
    handle = made(files, "a", b"0123456789")
    files.truncate(handle, 4)
    assert (files.size(handle), files.read(handle, 0, 100)) == (4, b"0123")
    files.truncate(handle, 6)
    assert (files.size(handle), files.read(handle, 0, 100)) == (6, b"0123\0\0")
    files.truncate(handle, 0)
    assert (files.size(handle), files.read(handle, 0, 100)) == (0, b"")
    files.write(handle, 2, b"x")
    assert files.read(handle, 0, 100) == b"\0\0x"


def test_syncing_changes_nothing(files: Files) -> None:
    handle = made(files, "a", b"content")
    files.sync(handle)
    files.sync_directory()
    files.sync(handle)
    assert (files.names(), files.read(handle, 0, 10)) == (["a"], b"content")


# Renaming and removing


def test_a_renamed_file_takes_the_place_of_another(files: Files) -> None:
    moved, replaced = made(files, "a", b"moved"), made(files, "b", b"replaced")
    files.rename("a", "b")
    assert files.names() == ["b"]
    assert files.read(files.open("b", False), 0, 10) == b"moved"
    files.write(moved, 0, b"M")
    assert files.read(files.open("b", False), 0, 10) == b"Moved"
    assert files.read(replaced, 0, 10) == b"replaced"
    files.create("a")


def test_errors_name_a_renamed_file_as_it_is_called_now(files: Files) -> None:
    files.close(made(files, "a.new", b"content"))
    handle = files.open("a.new", False)
    files.rename("a.new", "a")
    with failing(errno.EBADF, "a"):
        files.write(handle, 0, b"x")


def test_only_what_is_there_is_renamed(files: Files) -> None:
    files.create("b")
    with failing(errno.ENOENT, "a"):
        files.rename("a", "b")
    files.rename("b", "b")
    assert files.names() == ["b"]


def test_a_new_name_is_taken_from_nobody(files: Files) -> None:
    handle = made(files, "a.new", b"content")
    files.close(made(files, "b", b"another"))
    assert [files.exists(name) for name in ("a", "a.new", "b")] == [False, True, True]
    with failing(errno.EEXIST, "a.new"):
        files.rename_new("a.new", "b")
    with failing(errno.ENOENT, "c"):
        files.rename_new("c", "b")
    files.rename_new("a.new", "a")
    assert files.names() == ["a", "b"]
    assert files.read(files.open("b", False), 0, 10) == b"another"
    files.write(handle, 0, b"C")
    assert files.read(files.open("a", False), 0, 10) == b"Content"
    files.close(handle)


def test_a_removed_file_stays_open(files: Files) -> None:
    handle = made(files, "a", b"content")
    files.remove("a")
    assert files.names() == []
    files.write(handle, 7, b"s")
    assert files.read(handle, 0, 10) == b"contents"
    assert files.read(made(files, "a"), 0, 10) == b""
    assert files.read(handle, 0, 10) == b"contents"
    files.close(handle)


def test_only_what_is_there_is_removed(files: Files) -> None:
    with failing(errno.ENOENT, "a"):
        files.remove("a")


# Maps


def test_a_map_shows_the_file_and_what_is_written_later(files: Files) -> None:
    handle = made(files, "a", b"0123456789" * 100)
    view = files.map(handle)
    assert bytes(view) == b"0123456789" * 100
    files.write(handle, 5, b"abc")
    assert bytes(view[:10]) == b"01234abc89"
    part = view[995:]
    files.write(handle, 998, b"XYZ")
    assert bytes(part) == b"567XY"
    assert (len(view), files.size(handle)) == (1000, 1001)
    other = files.open("a", True)
    files.write(other, 0, b"other")
    assert bytes(view[:5]) == b"other"


def test_a_map_cannot_be_written_to(files: Files) -> None:
    view = files.map(made(files, "a", b"content"))
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 1


def test_a_map_outlives_its_handle_and_its_file(files: Files) -> None:
    handle = made(files, "a", b"content")
    view = files.map(handle)[2:]
    files.close(handle)
    files.remove("a")
    assert bytes(view) == b"ntent"


def test_maps_of_one_file_do_not_depend_on_each_other(files: Files) -> None:
    handle = made(files, "a", b"content")
    first, second = files.map(handle), files.map(handle)
    del first
    files.write(handle, 0, b"C")
    assert bytes(second) == b"Content"
    del second
    files.write(handle, 0, b"c")
    assert bytes(files.map(handle)) == b"content"


def test_the_map_of_an_empty_file_is_empty(files: Files) -> None:
    handle = files.create("a")
    view = files.map(handle)
    files.write(handle, 0, b"content")
    assert len(view) == 0


# Locks


def test_a_lock_keeps_everybody_else_out(two_processes: tuple[Files, Files]) -> None:
    first, second = two_processes
    handle = first.lock("lock")
    assert handle is not None
    assert first.names() == ["lock"]
    assert second.lock("lock") is None
    assert first.lock("lock") is None
    first.close(handle)
    other = second.lock("lock")
    assert other is not None
    assert first.lock("lock") is None
    second.close(other)
    assert first.lock("lock") is not None


def test_a_locked_file_is_read_and_written(two_processes: tuple[Files, Files]) -> None:
    first, second = two_processes
    first.close(made(first, "lock", b"the last owner"))
    handle = first.lock("lock")
    assert handle is not None
    assert first.read(handle, 0, 100) == b"the last owner"
    first.write(handle, 4, b"next")
    assert second.read(second.open("lock", False), 0, 100) == b"the next owner"


def test_only_closing_the_locked_handle_ends_the_lock(two_processes: tuple[Files, Files]) -> None:
    first, second = two_processes
    before = made(first, "lock", b"content")
    handle = first.lock("lock")
    assert handle is not None
    later = first.open("lock", True)
    view = first.map(handle)
    first.close(before)
    first.close(later)
    assert second.lock("lock") is None
    first.close(handle)
    assert bytes(view) == b"content"
    assert second.lock("lock") is not None


def test_other_files_are_not_locked(two_processes: tuple[Files, Files]) -> None:
    first, second = two_processes
    assert first.lock("a") is not None
    assert second.lock("b") is not None
    first.rename("a", "c")
    assert second.lock("c") is None
    assert second.lock("a") is not None


# The simulation answers as the system does, whatever is asked

NAMES = st.sampled_from(["a", "b", "c"])
PLACES = st.sampled_from([0, 1, 511, 512, 513, 1500, 5000])
HANDLES = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["create", "exists", "remove", "lock"]), NAMES),
        st.tuples(st.just("open"), NAMES, st.booleans()),
        st.tuples(st.sampled_from(["rename", "rename_new"]), NAMES, NAMES),
        st.tuples(st.sampled_from(["close", "size", "sync", "map"]), HANDLES),
        st.tuples(st.just("read"), HANDLES, PLACES, PLACES),
        st.tuples(st.just("write"), HANDLES, PLACES, st.binary(max_size=600)),
        st.tuples(st.just("truncate"), HANDLES, PLACES),
        st.tuples(st.sampled_from(["names", "sync_directory"])),
    ),
    min_size=5,
    max_size=40,
)


class User:
    """Takes steps, and says what comes of each."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.handles: list[int] = []
        self.views: list[memoryview] = []

    def step(self, kind: str, *arguments: object) -> object:
        if kind in ("close", "size", "sync", "map", "read", "write", "truncate"):
            if not self.handles:
                return None
            place = arguments[0]
            assert isinstance(place, int)
            arguments = (self.handles[place % len(self.handles)], *arguments[1:])
        if kind == "truncate":
            self.views.clear()  # they may not be looked at any more
        try:
            result = getattr(self.files, kind)(*arguments)
        except OSError as error:
            return error.errno, error.filename, error.filename2
        if kind in ("create", "open", "lock") and result is not None:
            self.handles.append(result)
            return "a handle"
        if kind == "map":
            self.views.append(result)
        return result

    def close(self) -> None:
        for handle in self.handles:
            with suppress(OSError):
                self.files.close(handle)


@settings(max_examples=300)
@given(STEPS)
def test_the_simulation_is_like_the_system(steps: list[tuple[str, *tuple[object, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        real, simulated = User(OsFiles(folder)), User(SimulatedFiles(SimulatedDisk()))
        for step in steps:
            assert real.step(*step) == simulated.step(*step), step
            assert real.views == simulated.views
        assert real.step("names") == simulated.step("names")
        real.close()
