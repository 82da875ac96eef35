"""What the tests of the journal share: batches, a journal at work without threads, and all that can be read from it."""

from collections.abc import Callable
from typing import TypeVar

from durabus.stores.file.files import Files
from durabus.stores.file.frame import Frame, decode_frame
from durabus.stores.file.index import decode_index
from durabus.stores.file.journal import Journal, JournalJob
from durabus.stores.file.layout import HEADER_BYTES, decode_header, index_name, segment_number
from durabus.stores.file.lookup import DamagedIndexError
from durabus.streaming.store_port import Batch, Cursor, Recovered, Run
from durabus.testing.disk import SimulatedDisk, SimulatedFiles

__all__ = ["MUCH", "SMALL", "Desk", "batch_of", "body", "desk_on", "frames_of", "indexes_fit", "run_of", "segments_of"]

T = TypeVar("T")

MUCH = 1 << 40
SMALL = 4096
"""Bytes of a segment: a few batches."""


def body(channel_id: int, sequence: int, size: int = 0) -> bytes:
    """What message `sequence` of a channel says in these tests: itself, and as much more as is wanted."""
    return b"<%d:%d>" % (channel_id, sequence) + b"x" * size


def run_of(channel_id: int, first: int, count: int = 1, size: int = 0, timestamp_ns: int = 0) -> Run:
    """A run of such messages, all at one time: without one, that is the first sequence times 1000."""
    run = Run(channel_id, first)
    run.bodies = [body(channel_id, sequence, size) for sequence in range(first, first + count)]
    run.stamps = [(0, timestamp_ns or 1000 * first)]
    return run


def batch_of(
    *runs: Run,
    floors: dict[int, int] | None = None,
    state: list[tuple[int, bytes, bytes | None]] | None = None,
    cursors: list[Cursor] | None = None,
) -> Batch:
    """A batch; its number does not matter to a journal."""
    batch = Batch(1, 0)
    batch.runs = list(runs)
    batch.floors, batch.state, batch.cursors = floors or {}, state or [], cursors or []
    return batch


class Desk:
    """A journal, and how far each of its channels goes."""

    def __init__(
        self,
        disk: SimulatedDisk,
        segment_bytes: int = SMALL,
        recent_bytes: int = 0,
        files: Files | None = None,
    ) -> None:
        self.disk = disk
        self.files: Files = files or SimulatedFiles(disk)
        self.journal = Journal(self.files, segment_bytes, recent_bytes)
        self.reports: list[str] = []
        self.lasts: dict[int, int] = {}
        self.may_fail = False  # whether slow work may fail

    def open(self) -> Recovered:
        """Open it, and do the work that is due then."""
        recovered = self.journal.open(self.reports.append)
        self.lasts = {found.channel_id: found.last_sequence for found in recovered.channels}
        self.tasks()
        return recovered

    def tasks(self) -> None:
        """Do the slow work, all of it."""
        while tasks := self.journal.take_tasks():
            for task in tasks:
                problem = ""
                try:
                    task.run()
                except OSError as error:
                    if not self.may_fail:
                        raise
                    problem = str(error)
                task.finish(problem)

    def put(self, batch: Batch) -> JournalJob:
        """Make one batch durable."""
        job = self.journal.prepare(batch)
        self.end(job)
        return job

    def end(self, *jobs: JournalJob) -> None:
        """Make prepared jobs durable, together."""
        assert not any(job.refusal for job in jobs), jobs[0].refusal
        self.journal.writer.write(list(jobs))
        for job in jobs:
            self.journal.complete(job)
            self.tasks()

    def publish(self, channel_id: int, count: int = 1, size: int = 0, floor: int = 0) -> JournalJob:
        """Put the next messages of a channel."""
        first = self.lasts.get(channel_id, 0) + 1
        self.lasts[channel_id] = first + count - 1
        return self.put(batch_of(run_of(channel_id, first, count, size), floors={channel_id: floor} if floor else None))

    def page(self, channel_id: int, first: int, count_max: int = 1000, bytes_max: int = MUCH) -> list[bytes]:
        """Messages from `first` on, read from the files; a damaged one is empty."""
        stretches = self.ask(lambda: self.journal.stretches(channel_id, first, count_max, bytes_max))
        if not stretches:
            return []
        bodies, lost = self.journal.reader.read(stretches, bytes_max)
        for stretch in stretches:
            self.journal.release(stretch.segment)
        assert sorted(lost) == [first + at for at, found in enumerate(bodies) if not found]
        return bodies

    def missing(self, channel_id: int, first: int) -> int:
        """How many messages from `first` on are lost."""
        return self.ask(lambda: self.journal.missing(channel_id, first))

    def ask(self, question: Callable[[], T]) -> T:
        """An answer of the journal; damaged indexes are made again."""
        while True:
            try:
                return question()
            except DamagedIndexError as damaged:
                task = self.journal.mending(damaged.segment)
                task.run()
                task.finish("")

    def messages(self, channel_id: int) -> dict[int, bytes]:
        """All messages of a channel that can be read, by their sequence."""
        log = self.journal.contents.channels.get(channel_id)
        found: dict[int, bytes] = {}
        sequence = log.first if log is not None else 0
        while log is not None and log.last and sequence <= log.durable_last:
            bodies = self.page(channel_id, sequence)
            found.update({sequence + at: one for at, one in enumerate(bodies) if one})
            sequence += len(bodies) or self.missing(channel_id, sequence) or 1
        return found

    def sequences(self, channel_id: int) -> list[int]:
        """Which messages of a channel can be read; each of them says what it must."""
        found = self.messages(channel_id)
        for sequence, one in found.items():
            assert one.startswith(body(channel_id, sequence)), f"message {sequence} of {channel_id} is {one[:30]!r}"
        return list(found)

    def state(self) -> dict[tuple[int, bytes], bytes]:
        """All state entries."""
        return self.journal.contents.state


def desk_on(disk: SimulatedDisk, segment_bytes: int = SMALL) -> tuple[Desk, Recovered]:
    """A new process on a disk, with an open journal."""
    desk = Desk(disk, segment_bytes)
    return desk, desk.open()


def segments_of(content: dict[str, bytes]) -> list[str]:
    """The names of the segments among files, ascending."""
    return sorted((name for name in content if segment_number(name)), key=segment_number)


def frames_of(data: bytes, name: str) -> list[Frame]:
    """The frames of an undamaged segment, one behind the other."""
    header = decode_header(data, name)
    assert header is not None, f"{name} has no valid header"
    found: list[Frame] = []
    offset = HEADER_BYTES
    while (frame := decode_frame(memoryview(data), offset, len(data), header.salt)) is not None:
        found.append(frame)
        offset = frame.head.end
    return found


def indexes_fit(content: dict[str, bytes]) -> None:
    """Every sealed segment has its index, and no index is there without its segment."""
    names = segments_of(content)
    assert [name for name in content if name.endswith(".index")] == [index_name(segment_number(n)) for n in names[:-1]]
    for name in names[:-1]:
        header = decode_header(content[name], name)
        assert header is not None
        number = header.number
        assert decode_index(memoryview(content[index_name(number)]), number, header.salt) is not None, name
