"""The simulated disk: what a power cut may keep and must keep, and the end of processes. Its faults: test_disk_faults.py."""

import itertools
import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.testing.disk import ProcessEndedError, SimulatedDisk, SimulatedFiles
from tests.testing.disk_steps import SEEDS, cuts, explain, found_names, made, sectors, started, synced

# A power cut: names


def test_a_created_file_may_be_missing_until_the_directory_is_synced() -> None:
    disk, files = started()
    files.sync(made(files, "a", b"content"))
    assert disk.durable_contents() == {}
    found = cuts(disk)
    assert {tuple(found.items()) for found in found} == {(), (("a", b"content"),)}
    disk, files = started()
    synced(files, "a", b"content")
    assert disk.durable_contents() == {"a": b"content"}
    assert all(found == {"a": b"content"} for found in cuts(disk))


def test_a_name_may_be_there_without_the_content() -> None:
    disk, files = started()
    made(files, "a", b"content")
    files.sync_directory()
    found = [found["a"] for found in cuts(disk)]
    assert {b"", b"content", bytes(7)} <= set(found)


def test_a_removed_file_may_be_back_until_the_directory_is_synced() -> None:
    disk, files = started()
    synced(files, "a", b"content")
    files.remove("a")
    assert {tuple(found.items()) for found in cuts(disk)} == {(), (("a", b"content"),)}
    disk, files = started()
    synced(files, "a", b"content")
    files.remove("a")
    files.sync_directory()
    assert found_names(disk) == {""}


def test_a_rename_happens_as_a_whole_or_not() -> None:
    disk, files = started()
    synced(files, "a", b"new")
    synced(files, "b", b"old")
    files.rename("a", "b")
    assert {tuple(found.items()) for found in cuts(disk)} == {(("a", b"new"), ("b", b"old")), (("b", b"new"),)}


def test_a_rename_does_not_wait_for_the_content() -> None:
    disk, files = started()
    synced(files, "b", b"old")
    made(files, "a", b"new")
    files.rename("a", "b")
    assert {found["b"] for found in cuts(disk)} == {b"old", b"new", b"", b"n", b"ne", bytes(1), bytes(2), bytes(3)}


def test_operations_on_several_files_are_kept_or_lost_independently() -> None:
    disk, files = started()
    synced(files, "c")
    files.create("a")
    files.create("b")
    files.remove("c")
    assert found_names(disk) == {"", "a", "b", "c", "ab", "ac", "bc", "abc"}


def test_operations_on_one_name_are_kept_in_their_order() -> None:
    disk, files = started()
    for content in (b"first", b"second", b"third"):
        files.sync(made(files, "a", content))
        files.remove("a")
    files.sync(made(files, "a", b"last"))
    found = {found.get("a") for found in cuts(disk)}
    assert found == {None, b"first", b"second", b"third", b"last"}


def test_a_file_that_took_a_renamed_ones_name_never_replaces_it() -> None:
    """A segment that is used again: either its former name or its new one leads to it."""
    disk, files = started()
    synced(files, "a", b"first")
    files.rename("a", "b")
    files.sync(made(files, "a", b"second"))
    assert {tuple(found.items()) for found in cuts(disk)} == {
        (("a", b"first"),),
        (("b", b"first"),),
        (("a", b"second"), ("b", b"first")),
    }


def test_a_cut_disk_is_durable_as_it_was_found() -> None:
    disk, files = started()
    synced(files, "a", sectors("a", "b"))
    files.write(files.open("a", True), 0, sectors("A", "B", "C"))
    files.create("b")
    for seed in SEEDS:
        after = disk.cut_power(random.Random(seed))
        assert after.durable_contents() == after.contents()
        assert after.cut_power(random.Random(seed + 1)).contents() == after.contents()


def test_the_same_chance_finds_the_same() -> None:
    disk, files = started()
    made(files, "a", bytes(range(256)) * 20)
    files.create("b")
    assert cuts(disk) == cuts(disk)


# A power cut: whatever happened before, against a second and simpler account

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["remove", "sync"]), NAMES),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("write"), NAMES, st.sampled_from([0, 100, 512, 700, 1400]), st.integers(1, 900)),
        st.tuples(st.just("truncate"), NAMES, st.sampled_from([0, 100, 512, 700, 1400])),
        st.tuples(st.just("sync_directory")),
    ),
    min_size=5,
    max_size=25,
)


class Account:
    """What happened to a disk, in full: every file with all its states since its last sync, every change of a name."""

    def __init__(self) -> None:
        self.states: list[list[bytes]] = []  # per file: as of the last sync, and after each step since
        self.there: dict[str, int] = {}
        self.durable: dict[str, int] = {}
        self.changes: list[tuple[int, str | None, str | None]] = []
        self.steps = 0

    def take(self, files: SimulatedFiles, step: tuple[object, ...]) -> None:
        """Take a step on the disk and in the account; whatever is asked of a file that is not there creates it."""
        kind, names = step[0], [part for part in step[1:] if isinstance(part, str)]
        self.steps += 1
        if kind == "sync_directory":
            files.sync_directory()
            self.durable = dict(self.there)
            self.changes = []
        elif names[0] not in self.there:
            files.close(files.create(names[0]))
            self.states.append([b""])
            self.change(len(self.states) - 1, None, names[0])
        elif kind == "remove":
            files.remove(names[0])
            self.change(self.there[names[0]], names[0], None)
        elif kind == "rename":
            files.rename(names[0], names[1])
            if names[0] != names[1]:
                self.change(self.there[names[0]], names[0], names[1])
        else:
            handle = files.open(names[0], True)
            self.change_content(files, handle, self.states[self.there[names[0]]], step)
            files.close(handle)

    def change(self, file: int, old: str | None, new: str | None) -> None:
        """Note what becomes of a file's name."""
        self.changes.append((file, old, new))
        apply(self.changes[-1], self.there)

    def change_content(self, files: SimulatedFiles, handle: int, states: list[bytes], step: tuple[object, ...]) -> None:
        """Change the content of a file, or sync it."""
        if step[0] == "sync":
            files.sync(handle)
            del states[:-1]
            return
        offset = step[2]
        assert isinstance(offset, int)
        state = bytearray(states[-1])
        if step[0] == "truncate":
            files.truncate(handle, offset)
            state = state[:offset].ljust(offset, b"\0")
        else:
            count = step[3]
            assert isinstance(count, int)
            data = bytes([self.steps]) * count  # so that every write can be told from every other one
            files.write(handle, offset, data)
            state = state.ljust(offset, b"\0")
            state[offset : offset + count] = data
        states.append(bytes(state))

    def possible_names(self) -> list[dict[str, int]]:
        """Everything that may become of the names: any of the changes, but none without those before it on its names."""
        found: list[dict[str, int]] = []
        for chosen in itertools.product((False, True), repeat=len(self.changes)):
            names = dict(self.durable)
            lost: set[str | None] = set()
            for change, is_kept in zip(self.changes, chosen, strict=True):
                touched = {change[1], change[2]} - {None}
                if not is_kept:
                    lost |= touched
                elif touched & lost:
                    break
                else:
                    apply(change, names)
            else:
                found.append(names)
        return found

    def explain(self, found: dict[str, bytes]) -> None:
        """Fail unless what was found is possible."""
        for names in self.possible_names():
            if names.keys() == found.keys():
                try:
                    for name, file in names.items():
                        explain(found[name], self.states[file])
                except AssertionError:
                    continue
                return
        raise AssertionError(f"{found} cannot be")


def apply(change: tuple[int, str | None, str | None], names: dict[str, int]) -> None:
    """Change a name."""
    file, old, new = change
    if old is not None:
        del names[old]
    if new is not None:
        names[new] = file


@settings(max_examples=300)
@given(STEPS, st.integers(0, 1 << 30))
def test_every_cut_is_explained_and_loses_nothing_durable(steps: list[tuple[object, ...]], seed: int) -> None:
    disk, files = started()
    account = Account()
    for step in steps:
        if len(account.changes) < 8:  # each one doubles what has to be looked at
            account.take(files, step)
    written = {name: account.states[file][-1] for name, file in account.there.items()}
    assert disk.contents() == written
    account.explain(disk.durable_contents())
    for number in range(10):
        account.explain(disk.cut_power(random.Random(seed + number)).contents())
    survivor = disk.kill()
    assert survivor.contents() == written
    assert survivor.durable_contents() == disk.durable_contents()
    for number in range(10):
        assert (
            survivor.cut_power(random.Random(seed + number)).contents()
            == disk.cut_power(random.Random(seed + number)).contents()
        )


def test_the_account_can_tell() -> None:
    """The account above would notice a disk that loses what is durable, or that keeps what never was."""
    _, files = started()
    account = Account()
    for step in (("create", "a"), ("write", "a", 0, 700), ("sync", "a"), ("sync_directory",), ("write", "a", 512, 100)):
        account.take(files, step)
    durable = bytes([2]) * 700
    account.explain({"a": durable})
    for impossible in ({}, {"b": durable}, {"a": durable[:-1]}, {"a": durable + b"x"}, {"a": b"x" + durable[1:]}):
        with pytest.raises(AssertionError, match="cannot be"):
            account.explain(impossible)
    with pytest.raises(AssertionError, match="cannot be"):
        account.explain({"a": durable[:512] + bytes([5]) * 50 + durable[562:]})


# The end of processes


def calls_of(files: SimulatedFiles, handle: int) -> list[Callable[[], object]]:
    """One call of each kind."""
    return [
        files.names,
        lambda: files.create("new"),
        lambda: files.open("a", False),
        lambda: files.size(handle),
        lambda: files.read(handle, 0, 1),
        lambda: files.write(handle, 0, b"x"),
        lambda: files.sync(handle),
        lambda: files.truncate(handle, 0),
        lambda: files.rename("a", "b"),
        lambda: files.remove("a"),
        files.sync_directory,
        lambda: files.lock("lock"),
        lambda: files.map(handle),
        lambda: files.close(handle),
    ]


@pytest.mark.parametrize("end", [SimulatedDisk.kill, lambda disk: disk.cut_power(random.Random(1))])
def test_an_ended_process_does_nothing_more(end: Callable[[SimulatedDisk], SimulatedDisk]) -> None:
    disk, files = started()
    handle = synced(files, "a", b"content")
    after = end(disk)
    count = len(disk.calls)
    for call in calls_of(files, handle):
        with pytest.raises(ProcessEndedError):
            call()
    with pytest.raises(ProcessEndedError):
        SimulatedFiles(disk).names()
    assert after.contents() == disk.contents() == {"a": b"content"}
    assert len(disk.calls) == count
    again = SimulatedFiles(after)
    with pytest.raises(OSError, match="Bad file descriptor"):
        again.size(handle)
    assert again.read(again.open("a", False), 0, 10) == b"content"


def test_a_killed_process_leaves_all_that_it_wrote_and_no_lock() -> None:
    disk, files = started()
    handle = files.lock("lock")
    assert handle is not None
    files.write(handle, 0, b"content")
    after = disk.kill()
    assert after.contents() == {"lock": b"content"}
    assert after.durable_contents() == {}
    assert SimulatedFiles(after).lock("lock") is not None
    assert {len(found) for found in cuts(after)} == {0, 1}
    assert disk.contents() == {"lock": b"content"}


def test_what_a_killed_process_wrote_is_made_durable_by_the_next_one() -> None:
    disk, files = started()
    made(files, "a.new", b"content")
    files.rename("a.new", "a")
    after = disk.kill()
    files = SimulatedFiles(after)
    files.sync(files.open("a", False))
    files.sync_directory()
    assert all(found == {"a": b"content"} for found in cuts(after))


def test_a_process_can_end_alone() -> None:
    disk, first = started()
    second = SimulatedFiles(disk)
    handle = first.lock("lock")
    assert handle is not None
    assert second.lock("lock") is None
    first.kill()
    with pytest.raises(ProcessEndedError):
        first.close(handle)
    lock = second.lock("lock")
    assert lock is not None
    first.kill()
    assert SimulatedFiles(disk).lock("lock") is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        second.size(handle)


def test_views_stay_as_they_were_at_the_end() -> None:
    disk, files = started()
    view = files.map(made(files, "a", b"content"))
    after = SimulatedFiles(disk.kill())
    after.write(after.open("a", True), 0, b"C")
    assert bytes(view) == b"content"


def test_several_threads_use_one_process() -> None:
    disk, files = started()

    def work(name: str) -> None:
        handle = files.create(name)
        for at in range(200):
            files.write(handle, at, b"x")
            files.sync(handle)
        files.close(handle)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disk.contents() == dict.fromkeys("abcd", b"x" * 200)
    assert len(disk.calls) == 4 * 402
