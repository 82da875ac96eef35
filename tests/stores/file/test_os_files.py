"""What only the operating system's files show: short reads and writes, permissions, and locks between real processes."""

import errno
import fcntl
import gc
import os
import resource
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from durabus.stores.file.files import OsFiles, make_directory
from tests.stores.file.file_steps import failing, made


def open_descriptors() -> list[str]:
    """The numbers of all files that this process has open; that of the folder itself is the same each time."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_file_is_the_owners_alone(tmp_path: Path) -> None:
    files = OsFiles(str(tmp_path))
    files.create("a")
    files.lock("lock")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "lock")] == [0o600, 0o600]


def test_only_plain_files_have_names(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert OsFiles(str(tmp_path)).names() == ["file"]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    folder = str(tmp_path / "nowhere")
    files = OsFiles(folder)
    assert files.directory == folder
    with failing(errno.ENOENT, folder):
        files.names()
    with failing(errno.ENOENT, folder):
        files.sync_directory()
    with failing(errno.ENOENT, "a"):
        files.create("a")
    with failing(errno.ENOENT, "a"):
        files.lock("a")


def test_the_directory_stays_when_the_process_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = OsFiles(".")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files.create("a")
    assert (tmp_path / "a").exists()


def test_files_are_not_handed_to_other_programs(tmp_path: Path) -> None:
    files = OsFiles(str(tmp_path))
    handles = [files.create("a"), files.open("a", False), files.lock("lock")]
    assert None not in handles
    assert not any(os.get_inheritable(descriptor) for descriptor in files._descriptors.values())


@pytest.mark.parametrize("kind", ["size", "read", "write", "sync", "truncate", "map", "close"])
def test_every_error_of_a_handle_names_the_file(tmp_path: Path, kind: str) -> None:
    files = OsFiles(str(tmp_path))
    handle = made(files, "a", b"content")
    os.close(files._descriptors[handle])
    arguments = {"read": (0, 1), "write": (0, b"x"), "truncate": (0,)}.get(kind, ())
    with failing(errno.EBADF, "a"):
        getattr(files, kind)(handle, *arguments)
    if kind != "close":
        with failing(errno.EBADF, "a"):
            files.close(handle)
    with failing(errno.EBADF, None):
        files.close(handle)


def test_a_rename_that_fails_says_both_names(tmp_path: Path) -> None:
    files = OsFiles(str(tmp_path))
    files.create("a")
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.rename("a", "b")
    assert (caught.value.filename, caught.value.filename2) == ("a", "b")


def test_short_reads_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = OsFiles(str(tmp_path))
    handle = made(files, "a", b"0123456789")
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, count, offset: whole(descriptor, min(count, 3), offset))
    assert files.read(handle, 1, 8) == b"12345678"
    assert files.read(handle, 1, 100) == b"123456789"


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = OsFiles(str(tmp_path))
    handle = files.create("a")
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: whole(descriptor, data[:3], offset))
    files.write(handle, 1, b"0123456789")
    assert files.read(handle, 0, 100) == b"\x000123456789"


def test_a_write_that_gets_nowhere_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = OsFiles(str(tmp_path))
    handle = files.create("a")
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with failing(errno.EIO, "a"):
        files.write(handle, 0, b"x")


def test_a_full_disk_is_an_error() -> None:
    files = OsFiles("/dev")
    handle = files.open("full", True)
    with failing(errno.ENOSPC, "full"):
        files.write(handle, 0, b"x")
    files.close(handle)


def test_what_fits_is_written_before_the_error(tmp_path: Path) -> None:
    """A limit on the size of files works like a full disk: the system writes less first, then nothing."""
    files = OsFiles(str(tmp_path))
    handle = files.create("a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        files.write(handle, 0, b"a" * 9_000)
        with failing(errno.EFBIG, "a"):
            files.write(handle, 9_000, b"b" * 9_000)
        with failing(errno.EFBIG, "a"):
            files.truncate(handle, 10_001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files.read(handle, 0, 20_000) == b"a" * 9_000 + b"b" * 1_000
    files.write(handle, 9_000, b"b" * 9_000)
    assert files.size(handle) == 18_000


def test_syncs_reach_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they do there no test without a power switch can see; that they are passed on, and to which file, one can."""
    files = OsFiles(str(tmp_path))
    handle = made(files, "a", b"content")
    synced: list[tuple[str, str]] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(("data", _path_of(descriptor))))
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(("all", _path_of(descriptor))))
    files.sync(handle)
    files.sync_directory()
    assert synced == [("data", str(tmp_path / "a")), ("all", str(tmp_path))]


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_nothing_is_left_open(tmp_path: Path) -> None:
    files = OsFiles(str(tmp_path))
    before = open_descriptors()
    handles = [files.create("a"), files.open("a", False), files.lock("lock")]
    assert files.lock("lock") is None
    with pytest.raises(FileNotFoundError):
        files.open("nowhere", False)
    files.sync_directory()
    assert files.names() == ["a", "lock"]
    for handle in handles:
        assert handle is not None
        files.close(handle)
    assert open_descriptors() == before


def test_a_map_is_released_with_its_last_view(tmp_path: Path) -> None:
    files = OsFiles(str(tmp_path))
    handle = made(files, "a", b"content")
    view = files.map(handle)
    part = view[1:]
    del view
    gc.collect()
    assert str(tmp_path / "a") in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert bytes(part) == b"ontent"
    del part
    gc.collect()
    assert str(tmp_path / "a") not in Path("/proc/self/maps").read_text(encoding="utf-8")


# Locks between real processes

OURS = """
import sys
from durabus.stores.file.files import OsFiles
handle = OsFiles(sys.argv[1]).lock("lock")
print("free" if handle is not None else "locked", flush=True)
sys.stdin.read()
"""
# As the original does it, which may be looking after the same directory.
CLASSIC = """
import fcntl, sys
file = open(sys.argv[1] + "/lock", "a+")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free", flush=True)
except OSError:
    print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(script: str, folder: Path) -> Generator[tuple[str, "subprocess.Popen[str]"], None, None]:
    """Another process that tries to take the lock, how it found it, and that keeps it until its input ends."""
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield started.stdout.readline().strip(), started
        finally:
            started.kill()


@pytest.mark.parametrize("script", [OURS, CLASSIC], ids=["ours", "classic"])
def test_a_lock_is_seen_by_other_processes(tmp_path: Path, script: str) -> None:
    files = OsFiles(str(tmp_path))
    handle = files.lock("lock")
    assert handle is not None
    files.close(files.open("lock", True))
    with process(script, tmp_path) as (found, _):
        assert found == "locked"
    files.close(handle)
    with process(script, tmp_path) as (found, _):
        assert found == "free"


@pytest.mark.parametrize("script", [OURS, CLASSIC], ids=["ours", "classic"])
def test_a_lock_of_another_process_is_seen_and_ends_with_it(tmp_path: Path, script: str) -> None:
    files = OsFiles(str(tmp_path))
    with process(script, tmp_path) as (found, holder):
        assert found == "free"
        assert files.lock("lock") is None
        holder.kill()
        holder.wait()
        assert files.lock("lock") is not None


def test_a_lock_ends_with_close_though_there_is_a_map(tmp_path: Path) -> None:
    files = OsFiles(str(tmp_path))
    files.close(made(files, "lock", b"content"))
    handle = files.lock("lock")
    assert handle is not None
    view = files.map(handle)
    files.close(handle)
    with process(OURS, tmp_path) as (found, _):
        assert found == "free"
    assert bytes(view) == b"content"


@pytest.mark.skipif(sys.platform != "linux", reason="the moment in between is found by Linux's own call")
@pytest.mark.parametrize("replaced", [False, True])
def test_the_lock_is_on_the_file_that_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """Somebody removes the file between its opening and its locking: a lock on what is gone would keep nobody out."""
    files = OsFiles(str(tmp_path))
    before = len(open_descriptors())
    real = fcntl.fcntl
    calls: list[int] = []

    def late(descriptor: int, command: int, argument: bytes) -> object:
        if not calls:
            (tmp_path / "lock").unlink()
            if replaced:
                (tmp_path / "lock").write_bytes(b"another one")
        calls.append(command)
        return real(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", late)
    handle = files.lock("lock")
    assert handle is not None
    assert len(calls) == 2
    monkeypatch.undo()
    assert OsFiles(str(tmp_path)).lock("lock") is None
    assert files.read(handle, 0, 100) == (b"another one" if replaced else b"")
    assert len(open_descriptors()) == before + 1


def test_a_lock_that_cannot_be_taken_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems have none: that is not the same as somebody having it."""
    files = OsFiles(str(tmp_path))
    before = open_descriptors()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with failing(errno.ENOLCK, "lock"):
        files.lock("lock")
    assert open_descriptors() == before


def test_a_directory_is_made_with_those_above_it_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real_sync = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    make_directory(tmp_path / "a" / "b")
    assert len(synced) == 2, "what is there already is left alone"


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        make_directory(tmp_path / "file" / "a")


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    files = OsFiles(str(tmp_path))
    files.close(files.create("a.new"))
    files.rename_new("a.new", "a")
    assert files.names() == ["a"]
    files.close(files.create("b.new"))
    with pytest.raises(FileExistsError):
        files.rename_new("b.new", "a")
    assert files.names() == ["a", "b.new"]
