"""Owners of one journal, in any interleaving of their calls, stopped, continued and killed at any of them.

Each of them is a thread that stands before every call of its file layer until the history lets it go on: so the order is
the history's, and the clock is as well.
"""

import errno
import os
import random
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from durabus.errors import StoreError
from durabus.stores.file.fenced_files import FencedFiles
from durabus.stores.file.files import LockLostError
from durabus.stores.file.journal import Journal
from durabus.stores.file.layout import lease_epoch, segment_name
from durabus.stores.file.lease import LOST_TEXT, SILENCE_NS, Ownership
from durabus.stores.file.taking_over import take_over
from durabus.stores.file.writer import WriteError
from durabus.streaming.store_port import FATAL, KIND_CHANNEL
from durabus.testing.disk import Kind, SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import SMALL, Desk, batch_of, desk_on, run_of, segments_of

SECOND_NS = 1_000_000_000
PATIENCE_S = 20.0
T = TypeVar("T")


class EndedError(BaseException):
    """The process was killed: nothing of it runs on."""


class SteppedFiles(SimulatedFiles):
    """Before each call, `step`."""

    def __init__(self, disk: SimulatedDisk, step: Callable[[], None]) -> None:
        super().__init__(disk)
        self.step = step

    def _call(self, kind: Kind, name: str, action: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        if kind != "close":  # it holds the disk
            self.step()
        return super()._call(kind, name, action, undo)

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.step()
        super().write(handle, offset, data)

    def sync(self, handle: int) -> None:
        self.step()
        super().sync(handle)

    def sync_directory(self) -> None:
        self.step()
        super().sync_directory()


class Process:
    """A server of the group, from standing by to its end."""

    def __init__(self, history: "History", name: str) -> None:
        self.history = history
        self.name = name
        self.files = SteppedFiles(history.disk, self.step)
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.stopped_until_ns = 0
        self.is_ended = self.is_over = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.done.acquire(timeout=PATIENCE_S)

    def step(self) -> None:
        """Stand until the history says go."""
        self.done.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        if self.is_ended:
            raise EndedError

    def let_go(self) -> None:
        """One step of it."""
        self.go.release()
        assert self.done.acquire(timeout=PATIENCE_S)

    def kill(self) -> None:
        self.is_ended = True
        self.let_go()
        self.thread.join(PATIENCE_S)
        assert self.is_over

    def run(self) -> None:
        try:
            self.step()
            self.serve()
        except EndedError:
            pass
        except LockLostError:
            self.history.lost += 1
        except WriteError as error:
            self.history.lost += str(error) == LOST_TEXT
        except (OSError, StoreError) as error:
            self.history.problems.append(str(error))
        except AssertionError as error:
            self.history.failures.append(error)
        finally:
            self.files.kill()
            self.is_over = True
            self.done.release()

    def serve(self) -> None:
        history, chance = self.history, self.history.chance
        ownership = Ownership(self.files, lambda: history.now_ns)
        while (lease := ownership.acquire(self.name)) is None:
            pass
        history.take_overs += 1
        journal = Journal(FencedFiles(self.files, ownership), SMALL, 0)
        recovered = take_over(journal, lease.epoch)
        last = max([found.last_sequence for found in recovered.channels], default=0)
        while chance.random() < 0.97:
            if chance.random() < 0.5:
                ownership.renew()
            count = chance.randint(1, 3)
            run = run_of(1, last + 1, count, chance.choice((10, 600)))
            run.bodies = [body + self.name.encode() for body in run.bodies]
            floors = {1: max(last - 12, 1)} if chance.random() < 0.3 else None
            history.floor = max(history.floor, floors[1] if floors else 0)
            job = journal.prepare(batch_of(run, floors=floors, state=[(KIND_CHANNEL, b"1", b"c")]))
            journal.writer.write([job])
            ownership.check()
            history.report(ownership, {last + 1 + at: body for at, body in enumerate(run.bodies)})
            journal.complete(job)
            last += count
            for task in journal.take_tasks():
                problem = ""
                try:
                    task.run()
                except OSError as error:
                    problem = str(error)
                task.finish(problem)
        journal.close()
        ownership.release()
        history.releases += 1


class History:
    """Servers on one disk, and what they reported."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = SimulatedDisk()
        self.now_ns = SECOND_NS
        self.reported: dict[int, bytes] = {}
        self.floor = 0
        self.lost = self.take_overs = self.releases = 0
        self.problems: list[str] = []
        self.failures: list[AssertionError] = []

    def report(self, ownership: Ownership, bodies: dict[int, bytes]) -> None:
        """Messages are said to be durable: by the one owner that there is now, and nobody ever said otherwise."""
        assert ownership.lease is not None
        assert ownership.lease.epoch == max(map(lease_epoch, self.disk.contents())), "somebody else is the owner"
        assert ownership.lease.expires_boottime_ns > self.now_ns, "its lease had ended"
        for sequence, body in bodies.items():
            assert sequence not in self.reported, f"message {sequence} was reported before"
            self.reported[sequence] = body

    def play(self, steps: int) -> None:
        chance = self.chance
        processes = [Process(self, name) for name in chance.choice(("ab", "abc"))]
        for number in range(steps):
            self.now_ns += chance.choice((0, 0, SECOND_NS // 50, SECOND_NS // 4))
            waiting = [one for one in processes if one.stopped_until_ns <= self.now_ns]
            if not waiting:
                continue
            process = chance.choice(waiting)
            if chance.random() < 0.01:
                process.stopped_until_ns = self.now_ns + chance.randint(1, 12) * SECOND_NS
                continue
            if chance.random() < 0.002:
                process.kill()
            else:
                process.let_go()
            if process.is_over:
                processes.remove(process)
                processes.append(Process(self, f"{process.name[0]}{number}"))
        for process in processes:
            process.kill()
        for failure in self.failures:
            raise failure

    def verify(self) -> None:
        """Whatever is lost with the power: what was reported is there, as it was reported."""
        for disk in (self.disk.kill(), self.disk.cut_power(self.chance), self.disk.cut_power(self.chance)):
            desk, recovered = desk_on(disk)
            assert recovered.damage == []
            found = desk.messages(1)
            for sequence, body in self.reported.items():
                assert sequence < self.floor or found[sequence] == body, (
                    f"message {sequence} is {found.get(sequence)!r}"
                )


@pytest.mark.parametrize("part", range(8))
def test_what_is_reported_stays_whoever_is_stopped_when(part: int) -> None:
    lost = releases = take_overs = reported = 0
    problems: list[str] = []
    for seed in range(part * 12, part * 12 + 12):
        history = History(seed)
        try:
            history.play(1400)
            history.verify()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        lost, releases, take_overs = lost + history.lost, releases + history.releases, take_overs + history.take_overs
        reported += len(history.reported)
        problems += history.problems
    # These histories show something: owners were overtaken, others gave up in order, and messages got through.
    assert lost > 0 and releases > 0 and take_overs > 24 and reported > 300, (lost, releases, take_overs, reported)
    assert set(problems) <= {LOST_TEXT}, problems


# The two ways in which an overtaken owner could still do harm, one by one


def owner_on(disk: SimulatedDisk, name: str, now: list[int]) -> tuple[Ownership, Desk]:
    """An owner at work."""
    desk = Desk(disk)
    ownership = Ownership(desk.files, lambda: now[0])
    lease = ownership.acquire(name)
    assert lease is not None
    desk.journal = Journal(FencedFiles(desk.files, ownership), SMALL, 0)
    recovered = take_over(desk.journal, lease.epoch)
    desk.lasts = {found.channel_id: found.last_sequence for found in recovered.channels}
    return ownership, desk


def overtaken() -> tuple[SimulatedDisk, Desk, Desk]:
    """A disk, an owner that stood still with its lock, and the one that has taken over."""
    disk = SimulatedDisk()
    now = [0]
    _, first = owner_on(disk, "a", now)
    first.publish(1, 3)
    waiting = Ownership(SimulatedFiles(disk), lambda: now[0])
    assert waiting.acquire("b") is None
    now[0] += SILENCE_NS
    second = Desk(disk)
    ownership = Ownership(second.files, lambda: now[0])
    assert ownership.acquire("b") is None
    now[0] += SILENCE_NS
    lease = ownership.acquire("b")
    assert lease is not None and lease.epoch == 2
    assert not ownership.has_lock
    second.journal = Journal(FencedFiles(second.files, ownership), SMALL, 0)
    recovered = take_over(second.journal, lease.epoch)
    second.lasts = {found.channel_id: found.last_sequence for found in recovered.channels}
    return disk, first, second


def test_an_overtaken_owner_writes_nothing() -> None:
    disk, first, second = overtaken()
    second.publish(1, 2)
    before = disk.contents()
    job = first.journal.prepare(batch_of(run_of(1, 4)))
    with pytest.raises(WriteError, match=LOST_TEXT) as caught:
        first.journal.writer.write([job])
    assert caught.value.outcome == FATAL
    assert disk.contents() == before
    with pytest.raises(LockLostError):
        first.journal.open(lambda _: None, 1)


def test_what_it_wrote_after_its_last_look_does_not_count() -> None:
    disk, first, second = overtaken()
    job = first.journal.prepare(batch_of(run_of(1, 4, 1, 50)))
    assert job.segment is not None
    first.files.write(job.segment.handle, job.offset, job.data)  # as the call that was under way when it was stopped
    first.files.sync(job.segment.handle)
    second.publish(1, 2, 70)
    found, recovered = desk_on(disk.kill())
    assert recovered.damage == []
    assert [len(body) for body in found.messages(1).values()] == [5, 5, 5, 75, 75]


def test_a_file_that_it_may_still_write_to_is_not_used_again() -> None:
    """Not even long after its segment was dropped."""
    disk, first, second = overtaken()
    job = first.journal.prepare(batch_of(run_of(1, 4, 1, 50)))
    assert job.segment is not None
    late = b"not what anybody wants" * 100
    for _ in range(20):
        second.publish(1, 2, 700, floor=max(second.lasts[1] - 3, 1))
        first.files.write(job.segment.handle, job.offset, late)
        log = second.journal.contents.channels[1]
        assert second.sequences(1) == list(range(log.first, log.last + 1))
    assert min(segments_of(disk.contents())) > segment_name(job.segment.number)
    found, recovered = desk_on(disk.kill())
    assert recovered.damage == []
    assert found.sequences(1)[-1] == 43


def test_spares_of_others_are_not_used() -> None:
    disk = SimulatedDisk()
    disk.put("durabus-spare-7", bytes(SMALL))
    owner_on(disk, "a", [0])
    assert "durabus-spare-7" not in disk.contents()


class IntrudedFiles(SimulatedFiles):
    """Before a segment gets its name, `intrude` once."""

    intrude: Callable[[], None] | None = None

    def rename_new(self, old: str, new: str) -> None:
        intrude, self.intrude = self.intrude, None
        if intrude is not None:
            intrude()
        super().rename_new(old, new)


@pytest.mark.parametrize("removes", [False, True])
def test_a_segment_that_it_began_after_its_last_look(removes: bool) -> None:
    """It has the name first: nothing in it was reported, so the new owner reads it, and goes on behind it."""
    disk = SimulatedDisk()
    now = [0]
    _, first = owner_on(disk, "a", now)
    first.publish(1, 3)
    second = Desk(disk)
    files = IntrudedFiles(disk)
    second.files = files
    ownership = Ownership(files, lambda: now[0])
    assert ownership.acquire("b") is None
    now[0] += SILENCE_NS
    lease = ownership.acquire("b")
    assert lease is not None
    raw = Journal(first.files, SMALL, 0)  # the calls that it was about to make, without a look
    raw.open(first.reports.append, 1)

    def intrude() -> None:
        if removes:
            raw.open(first.reports.append, 1)  # it began anew, and took the other's beginning for its own, unfinished
        else:
            raw.begin_segment()

    before = segments_of(disk.contents())
    files.intrude = intrude
    second.journal = Journal(FencedFiles(files, ownership), SMALL, 0)
    recovered = take_over(second.journal, lease.epoch)
    assert len(segments_of(disk.contents())) == len(before) + (1 if removes else 2)
    assert [found.last_sequence for found in recovered.channels] == [3]
    second.lasts = {1: 3}
    second.publish(1, 2)
    found, _ = desk_on(disk.kill())
    assert found.sequences(1) == [1, 2, 3, 4, 5]


def test_a_file_that_it_dropped_after_its_last_look() -> None:
    disk = SimulatedDisk()
    now = [0]
    ownership, first = owner_on(disk, "a", now)
    first.publish(1, 3)
    first.journal.close()
    ownership.release()
    gone = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    disk.fail(2, FileNotFoundError(*gone.args), kind="open")  # the lease is the first one
    _, second = owner_on(disk, "b", now)
    assert second.sequences(1) == [1, 2, 3]


def test_who_never_gets_a_segment_gives_up() -> None:
    disk = SimulatedDisk()
    now = [0]
    disk.fail(1, OSError(28, "no space left on device"), kind="rename_new", repeated=True)
    with pytest.raises(StoreError, match="cannot be created: no space left"):
        owner_on(disk, "a", now)


def test_a_disk_that_cannot_be_written_to_is_not_taken_over() -> None:
    disk = SimulatedDisk()
    now = [0]
    ownership, first = owner_on(disk, "a", now)
    first.publish(1, 3)
    first.journal.close()
    ownership.release()
    disk.fail(3, OSError(5, "input/output error"), kind="sync")  # of the lease; of the tail; of the segment
    with pytest.raises(StoreError, match="cannot be synced"):
        owner_on(disk, "b", now)
