"""The simulated disk's faults: exactly the calls that were asked for fail, with exactly the effect that was asked for."""

import errno
import random
from collections.abc import Callable

import pytest

from durabus.testing.disk import ProcessEndedError, SimulatedDisk, SimulatedFiles
from tests.testing.disk_steps import BROKEN, SEEDS, cuts, found_names, made, sectors, started, synced


def test_calls_are_logged() -> None:
    disk, files = started()
    handle = made(files, "a", b"content")
    files.rename("a", "b")
    files.sync(handle)
    files.sync_directory()
    with pytest.raises(FileNotFoundError):
        files.remove("c")
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.size(-1)
    assert disk.calls == [
        ("create", "a"),
        ("write", "a"),
        ("rename", "a"),
        ("sync", "b"),
        ("sync_directory", ""),
        ("remove", "c"),
        ("size", ""),
    ]
    assert disk.failures == 0


class Script:
    """A small piece of work that makes a call of every kind, each in a step of its own."""

    KINDS = (
        *("lock", "create", "write", "sync", "rename", "sync_directory"),
        *("open", "size", "read", "map", "truncate", "write", "close"),
        *("names", "remove", "sync_directory", "close", "close"),
    )

    def __init__(self, files: SimulatedFiles) -> None:
        self.files = files
        self.handles: dict[str, int] = {}

    def steps(self) -> list[Callable[[], object]]:
        files, handles = self.files, self.handles
        return [
            lambda: handles.update(lock=files.lock("lock") or -1),
            lambda: handles.update(new=files.create("a.new")),
            lambda: files.write(handles["new"], 0, b"0123456789"),
            lambda: files.sync(handles["new"]),
            lambda: files.rename("a.new", "a"),
            files.sync_directory,
            lambda: handles.update(again=files.open("a", True)),
            lambda: files.size(handles["again"]),
            lambda: files.read(handles["again"], 0, 10),
            lambda: files.map(handles["again"]),
            lambda: files.truncate(handles["again"], 4),
            lambda: files.write(handles["again"], 4, b"ABCDEF"),
            lambda: files.close(handles["again"]),
            files.names,
            lambda: files.remove("a"),
            files.sync_directory,
            lambda: files.close(handles["new"]),
            lambda: files.close(handles["lock"]),
        ]


def undisturbed() -> list[tuple[dict[str, bytes], dict[str, bytes]]]:
    """What is written and what is durable before the script, and after each of its steps."""
    disk, files = started()
    states = [(disk.contents(), disk.durable_contents())]
    for step in Script(files).steps():
        step()
        states.append((disk.contents(), disk.durable_contents()))
    assert tuple(kind for kind, _ in disk.calls) == Script.KINDS
    assert len({kind for kind, _ in disk.calls}) == 14
    return states


STATES = undisturbed()


@pytest.mark.parametrize("number", range(1, len(Script.KINDS) + 1))
@pytest.mark.parametrize("partial", [0.0, 0.5, 1.0])
def test_the_nth_call_fails_for_every_n(number: int, partial: float) -> None:
    disk, files = started()
    disk.fail(number, BROKEN, partial=partial)
    steps, kind = Script(files).steps(), Script.KINDS[number - 1]
    for step in steps[: number - 1]:
        step()
    assert (disk.contents(), disk.durable_contents(), disk.failures) == (*STATES[number - 1], 0)
    with pytest.raises(OSError, match="broken") as caught:
        steps[number - 1]()
    assert caught.value.errno == errno.EIO
    assert caught.value.filename == (disk.calls[-1][1] or "simulated")
    assert (len(disk.calls), disk.failures) == (number, 1)
    expected = STATES[number if partial == 1 else number - 1][0]
    if kind == "write" and partial == 0.5:
        expected = {"a.new": {"a.new": b"01234", "lock": b""}, "a": {"a": b"0123ABC", "lock": b""}}[disk.calls[-1][1]]
    assert disk.contents() == expected
    assert files.names() == sorted(expected)  # once only


@pytest.mark.parametrize("number", range(1, len(Script.KINDS) + 1))
@pytest.mark.parametrize("partial", [0.0, 0.5, 1.0])
def test_everything_ends_in_the_nth_call_for_every_n(number: int, partial: float) -> None:
    disk, files = started()
    disk.end(number, partial=partial)
    other = SimulatedFiles(disk)
    steps = Script(files).steps()
    for step in steps[: number - 1]:
        step()
    for step in steps[number - 1 : number + 1]:
        with pytest.raises((ProcessEndedError, KeyError)):  # a handle that was not given
            step()
    with pytest.raises(ProcessEndedError):
        other.names()
    assert (len(disk.calls), disk.failures) == (number, 1)
    kind, name = disk.calls[-1]
    written, durable = STATES[number - 1]
    if partial == 1:
        written = STATES[number][0]
    elif kind == "write" and partial == 0.5:
        written = {"a.new": {"a.new": b"01234", "lock": b""}, "a": {"a": b"0123ABC", "lock": b""}}[name]
    assert disk.kill().contents() == written
    assert disk.durable_contents() == durable  # even of a sync, for it did not return
    found = cuts(disk)
    assert written in found
    assert durable in found


def test_a_script_that_is_too_short_does_not_fail() -> None:
    disk, files = started()
    disk.fail(len(Script.KINDS) + 1, BROKEN)
    for step in Script(files).steps():
        step()
    assert disk.failures == 0
    with pytest.raises(OSError, match="broken"):
        files.names()


@pytest.mark.parametrize("kind", ["create", "open", "lock"])
def test_a_call_that_fails_after_all_leaves_nothing_open(kind: str) -> None:
    disk, files = started()
    if kind == "open":
        files.close(files.create("a"))
    disk.fail(1, BROKEN, partial=1)
    arguments = ("a", True) if kind == "open" else ("a",)
    with pytest.raises(OSError, match="broken"):
        getattr(files, kind)(*arguments)
    assert files.names() == ["a"]
    assert files.open_files() == []
    assert files.lock("a") is not None


def test_a_failing_call_that_is_impossible_fails_as_told() -> None:
    disk, files = started()
    disk.fail(1, BROKEN, partial=1)
    with pytest.raises(OSError, match="broken"):
        files.remove("a")


def test_close_closes_though_it_fails() -> None:
    disk, files = started()
    handle = files.lock("lock")
    assert handle is not None
    disk.fail(1, BROKEN)
    with pytest.raises(OSError, match="broken"):
        files.close(handle)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.close(handle)
    assert files.lock("lock") is not None


def test_calls_of_one_kind_are_counted_by_themselves() -> None:
    disk, files = started()
    handle = made(files, "a", b"content")
    disk.fail(2, BROKEN, kind="sync")
    files.sync(handle)
    files.write(handle, 0, b"x")
    files.sync_directory()
    with pytest.raises(OSError, match="broken"):
        files.sync(handle)
    files.sync(handle)
    disk.end(2, kind="write")
    files.write(handle, 0, b"x")
    with pytest.raises(ProcessEndedError):
        files.write(handle, 0, b"y")
    assert disk.contents() == {"a": b"yontent"}


def test_a_broken_disk_fails_until_it_is_healed() -> None:
    disk, files = started()
    handle = made(files, "a", b"content")
    disk.fail(2, OSError(errno.ENOSPC, "full"), kind="write", repeated=True)
    files.write(handle, 0, b"1")
    for _ in range(3):
        with pytest.raises(OSError, match="full"):
            files.write(handle, 0, b"2")
    assert files.read(handle, 0, 10) == b"1ontent"
    disk.heal()
    files.write(handle, 0, b"3")
    assert disk.failures == 3


def test_faults_of_their_own_kind_are_raised() -> None:
    disk, files = started()
    disk.fail(1, PermissionError(errno.EACCES, "not yours"))
    with pytest.raises(PermissionError, match="not yours") as caught:
        files.open("a", False)
    assert caught.value.filename == "a"


def test_several_faults_wait_for_their_calls() -> None:
    disk, files = started()
    disk.fail(3, BROKEN)
    disk.fail(1, OSError(errno.ENOSPC, "full"))
    with pytest.raises(OSError, match="full"):
        files.names()
    files.names()
    with pytest.raises(OSError, match="broken"):
        files.names()


@pytest.mark.parametrize("ask", [lambda disk: disk.fail(0, BROKEN), lambda disk: disk.end(0)])
def test_calls_are_counted_from_one(ask: Callable[[SimulatedDisk], None]) -> None:
    with pytest.raises(ValueError, match="number 1"):
        ask(SimulatedDisk())


# Failed syncs


def after_failed_sync(seed: int) -> tuple[SimulatedDisk, SimulatedFiles, int]:
    disk, files = started()
    handle = synced(files, "a", sectors("a", "b"))
    files.write(handle, 0, sectors("A", "B"))
    disk.fail(1, BROKEN, kind="sync", chance=random.Random(seed))
    with pytest.raises(OSError, match="broken"):
        files.sync(handle)
    return disk, files, handle


def test_a_failed_sync_leaves_any_part_of_it_durable_and_a_later_one_adds_nothing() -> None:
    durable: set[bytes] = set()
    for seed in range(100):
        disk, files, handle = after_failed_sync(seed)
        before = disk.durable_contents()["a"]
        files.sync(handle)
        assert files.read(handle, 0, 2000) == sectors("A", "B")
        assert disk.durable_contents()["a"] == before
        assert disk.cut_power(random.Random(seed)).contents() == {"a": before}
        durable.add(before)
    assert durable == {sectors(first, second) for first in "aA" for second in "bB"}


def test_who_starts_after_a_failed_sync_reads_what_is_not_durable() -> None:
    disk, _, _ = next(
        found for found in map(after_failed_sync, SEEDS) if found[0].durable_contents()["a"] == sectors("a", "b")
    )
    after = disk.kill()
    files = SimulatedFiles(after)
    handle = files.open("a", True)
    files.sync(handle)
    assert files.read(handle, 0, 2000) == sectors("A", "B")
    assert after.durable_contents() == {"a": sectors("a", "b")}
    files.write(handle, 0, files.read(handle, 0, 2000))
    files.sync(handle)
    assert after.durable_contents() == {"a": sectors("A", "B")}


def test_a_failed_sync_of_the_directory_keeps_any_of_the_names() -> None:
    kept: set[str] = set()
    for seed in SEEDS:
        disk, files = started()
        synced(files, "c")
        files.create("a")
        files.rename("c", "b")
        disk.fail(1, BROKEN, kind="sync_directory", chance=random.Random(seed))
        with pytest.raises(OSError, match="broken"):
            files.sync_directory()
        before = disk.durable_contents()
        assert files.names() == ["a", "b"]
        for after in (disk, disk.kill()):
            again = SimulatedFiles(after)
            if after is not disk:
                again.sync_directory()
                assert again.names() == ["a", "b"]
            assert after.durable_contents() == before
            assert after.cut_power(random.Random(seed)).contents() == before
        kept.add("".join(before))
    assert kept == {"c", "ac", "b", "ab"}


def test_a_name_that_was_forgotten_is_durable_after_it_is_given_again() -> None:
    for seed in SEEDS:
        disk, files = started()
        files.sync(made(files, "a.new", b"content"))
        files.create("other")
        disk.fail(1, BROKEN, kind="sync_directory", chance=random.Random(seed))
        with pytest.raises(OSError, match="broken"):
            files.sync_directory()
        if not disk.durable_contents():
            files.rename("a.new", "a")
            assert found_names(disk) == {"", "a", "a.new"}
            break
    disk = disk.kill()
    files = SimulatedFiles(disk)
    files.sync_directory()
    assert disk.durable_contents() == {"a": b"content"}


def test_a_name_that_was_given_again_takes_along_what_it_rests_on() -> None:
    for seed in SEEDS:
        disk, files = started()
        files.sync(made(files, "a.new", b"content"))
        files.rename("a.new", "a")
        disk.fail(1, BROKEN, kind="sync_directory", chance=random.Random(seed))
        with pytest.raises(OSError, match="broken"):
            files.sync_directory()
        if not disk.durable_contents():
            break
    files.rename("a", "b")
    assert found_names(disk) == {"", "a.new", "a", "b"}
    disk = disk.kill()
    SimulatedFiles(disk).sync_directory()
    assert disk.durable_contents() == {"b": b"content"}


# Space


def test_a_full_disk_takes_what_fits() -> None:
    disk = SimulatedDisk(capacity_bytes=4 * 512)
    files = SimulatedFiles(disk)
    first = made(files, "a", sectors("a", "b"))
    second = files.create("b")
    with pytest.raises(OSError, match="No space left") as caught:
        files.write(second, 100, sectors("c", "d", "e"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "b")
    assert files.read(second, 0, 5000) == bytes(100) + b"c" * 512 + b"d" * 412
    files.write(first, 0, sectors("A", "B"))
    files.truncate(first, 5000)
    with pytest.raises(OSError, match="No space left"):
        files.write(first, 4 * 512, b"x")
    assert files.read(first, 4 * 512, 1) == b"\0"
    disk.capacity_bytes = 5 * 512
    files.write(first, 4 * 512, b"x")
    assert disk.failures == 0


def test_space_is_free_when_a_removed_file_is_closed() -> None:
    disk = SimulatedDisk(capacity_bytes=2 * 512)
    files = SimulatedFiles(disk)
    first = made(files, "a", sectors("a", "b"))
    files.remove("a")
    second = files.create("b")
    with pytest.raises(OSError, match="No space left"):
        files.write(second, 0, b"x")
    files.close(first)
    files.write(second, 0, sectors("c", "d"))
    assert disk.kill().capacity_bytes == disk.cut_power(random.Random(1)).capacity_bytes == 2 * 512


def test_a_file_too_large_for_the_simulation_is_an_error() -> None:
    _, files = started()
    handle = files.create("a")
    with pytest.raises(OSError, match="File too large"):
        files.write(handle, 1 << 40, b"x")
    with pytest.raises(OSError, match="File too large"):
        files.truncate(handle, 1 << 40)
    assert files.size(handle) == 0


# Files that were there before


def test_files_are_put_on_a_disk() -> None:
    disk, files = started()
    disk.put("a", b"content")
    assert disk.calls == []
    assert files.read(files.open("a", False), 0, 10) == b"content"
    disk.put("a", b"other")
    assert all(found == {"a": b"other"} for found in cuts(disk)[:20])
    disk, files = started()
    files.create("a")
    with pytest.raises(ValueError, match="not durable"):
        disk.put("a", b"content")
    with pytest.raises(OSError, match="Invalid argument"):
        disk.put("a/b", b"content")
