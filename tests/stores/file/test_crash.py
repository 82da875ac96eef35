"""Whole lives of a journal on a disk that loses its power: after every crash there is what was acknowledged, and no hole.

A frame is one batch, so what is found must be exactly what the first k batches leave behind, for a k between the batches
that were reported durable and those that were submitted. Nothing else is allowed: not a batch more, not a part of one.
"""

import copy
import errno
import random
from collections.abc import Iterator

import pytest

from durabus.stores.file.files import Files
from durabus.stores.file.journal import Journal, JournalJob
from durabus.stores.file.writer import Job, WriteError
from durabus.streaming.store_port import (
    FATAL,
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SUBSCRIPTION,
    REFUSED,
    Batch,
    Cursor,
    Recovered,
    Run,
)
from durabus.testing.conformance.model import Model
from durabus.testing.disk import Kind, ProcessEndedError, SimulatedDisk, SimulatedFiles

SEGMENT_BYTES = 6 * 1024
LIVES = 3
KINDS: tuple[Kind, ...] = ("write", "write", "sync", "create", "rename", "rename_new", "sync_directory")


class History:
    """Batches that make sense, one after the other, and what each of them leaves behind."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.models = [Model()]  # models[k] is what k batches leave behind
        self.channels: dict[int, int] = {}  # channel id -> last sequence
        self.subscriptions: list[int] = []
        self.ids = 0
        self.now_ns = 1_700_000_000_000_000_000

    def forget_after(self, count: int) -> None:
        """Batches from number `count` on never happened."""
        del self.models[count + 1 :]
        self.channels = {channel_id: channel.last for channel_id, channel in self.models[-1].channels.items()}
        for kind, key in self.models[-1].state:
            if kind == KIND_CHANNEL:
                self.channels.setdefault(int(key), 0)
        self.subscriptions = [int(key) for kind, key in self.models[-1].state if kind == KIND_SUBSCRIPTION]

    def next(self, number: int) -> Batch:
        """The next batch; it counts as submitted."""
        batch = Batch(number, 0)
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            self.chance.choice((self._publish, self._publish, self._publish, self._state, self._floor, self._cursor))(
                batch
            )
        model = copy.copy(self.models[-1])
        model.state, model.cursors = dict(model.state), dict(model.cursors)
        model.channels = {channel_id: copy.copy(channel) for channel_id, channel in model.channels.items()}
        for channel in model.channels.values():
            channel.bodies, channel.stamps = dict(channel.bodies), dict(channel.stamps)
        model.apply(batch)
        self.models.append(model)
        return batch

    def _publish(self, batch: Batch) -> None:
        if not self.channels or (len(self.channels) < 4 and self.chance.random() < 0.2):
            self.ids += 1
            self.channels[self.ids] = 0
            batch.state.append((KIND_CHANNEL, b"%d" % self.ids, b"channel"))
        deleted = {int(key) for kind, key, value in batch.state if kind == KIND_CHANNEL and value is None}
        known = [channel_id for channel_id in self.channels if channel_id not in deleted]
        if not known:
            return
        channel_id = self.chance.choice(known)
        run = Run(channel_id, self.channels[channel_id] + 1)
        for index in range(self.chance.choice((1, 1, 3, 20))):
            if index == 0 or self.chance.random() < 0.2:
                self.now_ns += self.chance.randrange(3)
                run.stamps.append((index, self.now_ns))
            run.bodies.append(
                b"%d:%d " % (channel_id, run.first_sequence + index) + self.chance.randbytes(self.chance.randrange(90))
            )
        self.channels[channel_id] += len(run.bodies)
        batch.runs.append(run)

    def _state(self, batch: Batch) -> None:
        choice = self.chance.random()
        if choice < 0.1 and len(self.channels) > 1:
            channel_id = self.chance.choice(list(self.channels))
            if not any(key == b"%d" % channel_id for _, key, _ in batch.state):
                del self.channels[channel_id]
                batch.state.append((KIND_CHANNEL, b"%d" % channel_id, None))
        elif choice < 0.5:
            value = self.chance.randbytes(self.chance.randrange(40)) if self.chance.random() < 0.7 else None
            batch.state.append((KIND_CLIENT, b"client %d" % self.chance.randrange(5), value))
        elif choice < 0.8 or not self.subscriptions:
            self.ids += 1
            self.subscriptions.append(self.ids)
            batch.state.append((KIND_SUBSCRIPTION, b"%d" % self.ids, b"subscription"))
        else:
            number = self.subscriptions.pop(self.chance.randrange(len(self.subscriptions)))
            batch.state.append((KIND_SUBSCRIPTION, b"%d" % number, None))

    def _floor(self, batch: Batch) -> None:
        if self.channels:
            channel_id = self.chance.choice(list(self.channels))
            last = self.channels[channel_id]
            batch.floors[channel_id] = max(1, last + 1 - self.chance.choice((0, 1, 5, 30)))

    def _cursor(self, batch: Batch) -> None:
        if self.subscriptions:
            number = self.chance.choice(self.subscriptions)
            first = self.chance.randrange(1, 50)
            batch.cursors.append(Cursor(number, first + 3, [(first, first + 1), (first + 3, first + 3)]))


class Process:
    """One process on the disk: it submits, some of it becomes durable, and at some moment it ends."""

    def __init__(self, history: History, files: SimulatedFiles) -> None:
        self.history = history
        self.chance = history.chance
        self.files = files
        self.journal = Journal(files, SEGMENT_BYTES, 4096)
        self.durable = len(history.models) - 1
        self.number = 0
        self.outcome = 0

    def open(self) -> Recovered:
        recovered = self.journal.open(lambda _: None)
        self.number = 0
        self.run_tasks()
        return recovered

    def run_tasks(self) -> None:
        for task in self.journal.take_tasks():
            problem = ""
            try:
                task.run()
            except OSError as error:
                problem = str(error)
            task.finish(problem)

    def step(self) -> bool:
        """Submit a few batches, and write them together; whether they became durable."""
        jobs: list[JournalJob] = []
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            self.number += 1
            jobs.append(self.journal.prepare(self.history.next(self.number)))
        try:
            writable: list[Job] = list(jobs)
            self.journal.writer.write(writable)
        except WriteError as error:
            self.outcome = error.outcome
            jobs = jobs[: error.durable_count]
        for job in jobs:
            self.journal.complete(job)
            self.durable += 1
        if jobs and self.chance.random() < 0.3:
            self.note_durable(jobs[-1])
        if self.outcome:
            return False
        if self.chance.random() < 0.7:
            self.run_tasks()
        return True

    def note_durable(self, job: JournalJob) -> None:
        """Say in the second copy how far all is durable; that may fail, and nobody minds."""
        self.journal.note_durable(job, is_synced=self.chance.random() < 0.2)
        if self.files.is_ended:
            raise ProcessEndedError


def messages(journal: Journal, channel_id: int, first: int) -> list[bytes]:
    """All messages of a channel, page by page, from the files."""
    found: list[bytes] = []
    while stretches := journal.stretches(channel_id, first + len(found), 1000, 500):
        page, lost = journal.reader.read(stretches, 500)
        for stretch in stretches:
            journal.release(stretch.segment)
        assert not lost
        assert page
        found += page
    return found


def differences(journal: Journal, recovered: Recovered, model: Model) -> Iterator[str]:
    """In what `recovered` is not `model`."""
    if {(kind, key): value for kind, key, value in recovered.state} != model.state:
        yield "state"
    cursors = {cursor.subscription_id: (cursor.last_sent, cursor.pending) for cursor in recovered.cursors}
    if cursors != {number: (cursor.last_sent, cursor.pending) for number, cursor in model.cursors.items()}:
        yield "cursors"
    figures = {
        one.channel_id: (one.first_sequence, one.last_sequence, one.stored_bytes)
        for one in recovered.channels
        if one.last_sequence
    }
    wanted = {
        channel_id: (channel.first, channel.last, sum(map(len, channel.bodies.values())))
        for channel_id, channel in model.channels.items()
        if channel.last
    }
    if figures != wanted:
        yield f"figures {figures} instead of {wanted}"
        return
    for channel_id, channel in model.channels.items():
        if messages(journal, channel_id, channel.first) != [channel.bodies[at] for at in sorted(channel.bodies)]:
            yield f"messages of {channel_id}"
        for timestamp_ns in sorted(set(channel.stamps.values()))[:3]:
            if seek(journal, channel_id, timestamp_ns) != channel.seek(timestamp_ns):
                yield f"seek in {channel_id}"


def seek(journal: Journal, channel_id: int, timestamp_ns: int) -> int:
    """The first message at or after a time."""
    sequence, run = journal.seek(channel_id, timestamp_ns)
    if run is None:
        return sequence
    segment, place = run
    index = journal.reader.find_time(segment, place, timestamp_ns)
    journal.release(segment)
    found = place.first + index if index < place.count else sequence
    return max(found, journal.contents.channels[channel_id].first)


def matching(life: Process, recovered: Recovered, candidates: range) -> int:
    """After how many batches the disk is as it was found; AssertionError when it never was like that."""
    assert recovered.damage == []
    texts: list[str] = []
    for count in reversed(candidates):
        found = list(differences(life.journal, recovered, life.history.models[count]))
        if not found:
            return count
        texts.append(f"not {count} batches: {'; '.join(found)[:300]}")
    raise AssertionError("\n".join(texts))


def live(history: History, disk: SimulatedDisk, steps: int) -> tuple[SimulatedDisk, range]:
    """A process that works until the disk ends it; the disk, and how many batches may be on it."""
    life = Process(history, SimulatedFiles(disk))
    disk.end(history.chance.randrange(1, 150))
    first = len(history.models) - 1
    try:
        recovered = life.open()
        assert matching(life, recovered, range(first, first + 1)) == first
        for _ in range(steps):
            if not life.step():
                break
    except OSError:
        assert disk.is_ended
    return disk, range(life.durable, len(history.models))


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.row(148)
def test_power_cuts(seed: int) -> None:
    chance = random.Random(seed)
    history = History(chance)
    disk = SimulatedDisk()
    for _ in range(LIVES):
        disk, candidates = live(history, disk, 60)
        # The same moment, several ways: each must be right, and life goes on from one of them.
        for _ in range(4):
            trial = Process(history, SimulatedFiles(disk.cut_power(chance)))
            matching(trial, trial.open(), candidates)
        disk = disk.kill() if chance.random() < 0.3 else disk.cut_power(chance)
        life = Process(history, SimulatedFiles(disk))
        history.forget_after(matching(life, life.open(), candidates))
        life.journal.close()
        disk = disk.kill()


@pytest.mark.parametrize("seed", range(100))
def test_calls_that_fail(seed: int) -> None:
    """A refused batch leaves nothing behind; after a failed sync the store is closed for good, and nothing acknowledged is lost."""
    chance = random.Random(seed)
    history = History(chance)
    disk = SimulatedDisk()
    life = Process(history, SimulatedFiles(disk))
    life.open()
    for _ in range(6):
        kind: Kind = chance.choice(KINDS)
        error = OSError(errno.ENOSPC if kind != "sync" else errno.EIO, "broken")
        disk.fail(
            chance.randrange(1, 25),
            error,
            kind=kind,
            partial=chance.random() if kind == "write" else 0.0,
            chance=chance,
        )
        for _ in range(40):
            if not life.step():
                break
        disk.heal()
        candidates = range(life.durable, len(history.models))
        if life.outcome == FATAL:
            trial = Process(history, SimulatedFiles(disk.cut_power(chance)))
            matching(trial, trial.open(), candidates)
            if kind == "sync_directory":
                return
            # Started again without a power cut, it must not build on what the system only remembers.
            disk = disk.kill()
            life = Process(history, SimulatedFiles(disk))
            history.forget_after(matching(life, life.open(), candidates))
            life.durable = len(history.models) - 1
            life.step()
            candidates = range(life.durable, len(history.models))
            trial = Process(history, SimulatedFiles(disk.cut_power(chance)))
            matching(trial, trial.open(), candidates)
            return
        if life.outcome == REFUSED:
            candidates = range(life.durable, life.durable + 1)  # not a single one more
        history.forget_after(matching(life, life.open(), candidates))
        life.durable = len(history.models) - 1
        life.outcome = 0


class HastyWriter:
    """Reports frames durable that were written and not synced."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.sync = files.sync

    def __enter__(self) -> None:
        setattr(self.files, "sync", lambda handle: None)  # noqa: B010 - that is the fault

    def __exit__(self, *_: object) -> None:
        setattr(self.files, "sync", self.sync)  # noqa: B010


def test_this_test_catches_a_journal_that_acknowledges_before_the_sync() -> None:
    caught = 0
    for seed in range(20):
        chance = random.Random(seed)
        history = History(chance)
        disk = SimulatedDisk()
        files = SimulatedFiles(disk)
        life = Process(history, files)
        life.open()
        life.step()
        with HastyWriter(files):
            for _ in range(10):
                life.step()
        candidates = range(life.durable, len(history.models))
        trial = Process(history, SimulatedFiles(disk.cut_power(chance)))
        try:
            matching(trial, trial.open(), candidates)
        except (AssertionError, OSError):
            caught += 1
    assert caught >= 5
