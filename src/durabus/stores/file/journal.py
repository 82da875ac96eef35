"""The journal as one object: decides where frames go, knows where messages are, drops what nobody wants. FORMAT.md.

It has no thread and does not wait. `prepare` turns a batch into a job, the writer makes jobs durable, `complete` lets them
take effect for readers. Slow work is handed out as tasks (`take_tasks`), whose `run` may happen on any thread.
"""

import contextlib
import secrets
from collections.abc import Callable
from typing import Final

from durabus.stores.file.contents import ChannelLog, Contents
from durabus.stores.file.files import Files
from durabus.stores.file.frame import SNAPSHOT, Frame, FrameHead, Part, Singles, encode_frame, stamps_from
from durabus.stores.file.head import Mark, write_mark
from durabus.stores.file.housekeeping import SPARES_MAX, Housekeeping
from durabus.stores.file.layout import (
    HEADER_BYTES,
    SegmentHeader,
    encode_header,
    segment_name,
)
from durabus.stores.file.loading import Loaded, load
from durabus.stores.file.lookup import DamagedIndexError
from durabus.stores.file.lost_records import mend_records
from durabus.stores.file.reader import LOST
from durabus.stores.file.segment import Segment
from durabus.stores.file.writer import Job, SegmentStart, Writer
from durabus.streaming.store_port import Batch, ChannelState, Recovered, Run, gap_text

__all__ = ["SEGMENT_BYTES", "Journal", "JournalJob"]

SEGMENT_BYTES: Final = 32 * 1024 * 1024
RECENT_BYTES: Final = 32 * 1024 * 1024
_TRIED_MAX: Final = 100
"""Damaged messages that are passed over in search of one that can be read."""


_SINGLES_MIN: Final = 2
"""In a batch of fewer runs, one that has a single message is written like any other."""


class JournalJob(Job):
    """A job, and what it means when it is durable."""

    def __init__(self, number: int) -> None:
        """Of batch `number`."""
        super().__init__(number)
        self.frame: Frame | None = None
        self.parts: list[Part] = []
        self.runs: list[Run] = []  # that each part is made of
        self.logs: list[ChannelLog] = []  # of its channel
        self.singles: Singles | None = None
        self.single_runs: list[Run] = []
        self.single_logs: list[ChannelLog] = []
        self.gone: list[ChannelLog] = []

    def forget(self) -> None:
        """Its runs have to be looked at once more."""
        self.parts, self.runs, self.logs = [], [], []
        self.single_runs, self.single_logs = [], []


class Journal(Housekeeping):
    """One directory's journal. `open` comes first; after a failed job only `open` helps."""

    def __init__(self, files: Files, segment_bytes: int = SEGMENT_BYTES, recent_bytes: int = RECENT_BYTES) -> None:
        """Work on `files`; nothing is touched yet."""
        super().__init__(files, segment_bytes, recent_bytes)
        self.writer = Writer(files, segment_bytes)
        self._active: Segment | None = None
        self._frame_number = 0
        self._frame_crc = 0
        self._durable_number = 0
        self._segment_number = 0
        self._epoch = 0
        self._failure = ""
        self._sealed_end = 0  # of the last segment, where it was found to be sealed
        self._mark = 0

    # Opening and closing.

    def open(self, report: Callable[[str], None], epoch: int = 0) -> Recovered:
        """Read what is there, in a group of servers as the owner number `epoch`; raises StoreError and OSError."""
        self.close()
        loaded = load(self._files, report)
        self.writer = Writer(self._files, self._segment_bytes, epoch > 0)
        self.contents = loaded.contents
        self._segments = {segment.number: segment for segment in loaded.segments}
        self._active = loaded.active
        # A former owner of a group may be about to write to what was its segment once.
        self._spares = [] if epoch else loaded.spares[:SPARES_MAX]
        for name in loaded.spares[len(self._spares) :]:
            self._files.remove(name)
        self._frame_number = self._durable_number = loaded.frame_number
        self._frame_crc = loaded.frame_crc
        last = loaded.segments[-1] if loaded.segments else None
        self._sealed_end = last.end if last is not None and last.number == loaded.number_max else 0
        self._segment_number = loaded.number_max
        self._epoch = max(loaded.epoch + 1, epoch)
        self._failure = ""
        for segment in loaded.segments:
            segment.is_indexed = segment.is_sealed and segment not in loaded.unindexed
            self._add_extents(segment, loaded)
        recovered = self._recovered(loaded)
        for segment in loaded.unindexed:
            self._seal(segment)
        self._begin_keeping_house(loaded)
        return recovered

    def _begin_keeping_house(self, loaded: Loaded) -> None:
        """See to it that how the segments begin is there twice; then what is not wanted may go."""
        active = self._active
        if active is not None and self._frame_number:
            active.mark = Mark(active.number, active.header.salt, self._frame_number, active.end, self._frame_crc)
        self._copy_beginnings(loaded.uncopied)
        if active is None or active in loaded.uncopied:
            return
        self._mark_active(active)
        self._copied = active.number
        for segment in list(self._segments.values()):
            self._drop_if_dead(segment)

    def begin_segment(self) -> None:
        """Seal what was found: whatever a former owner still writes there does not count. Raises WriteError."""
        start = self._start_segment()
        self.writer.begin(start)
        self._durable_number = self._frame_number
        self._own_from = start.segment.number
        self._seal_before(start.segment)

    def close(self) -> None:
        """Close every file."""
        for segment in self._segments.values():
            if segment.handle >= 0:
                self._files.close(segment.handle)
        self._segments = {}
        self._active = None
        self.contents = Contents()
        self._spares_due = 0
        self._tasks = []
        self._leaving = {}
        self._is_compacting = False
        self._copied = 0
        self.recent.clear()

    def _add_extents(self, segment: Segment, loaded: Loaded) -> None:
        for channel_id, first, last, _, _ in segment.index.channels():
            log = self.contents.channels.get(channel_id)
            if log is None or last < log.first:
                continue
            due = log.durable_last + 1 if log.segments else log.first
            if log.segments and first < due:
                text = f"{segment_name(segment.number)}: messages {first} to {last} of channel {channel_id} are there twice"
                loaded.damage.append(f"{text}: those of the segment before count")
                continue
            if first > due:
                loaded.damage.append(f"messages {due} to {first - 1} of channel {channel_id} are missing")
            log.firsts.append(first)
            log.segments.append(segment.number)
            log.last_segment = segment.number
            log.durable_last = last
            segment.live_channels += 1

    def _recovered(self, loaded: Loaded) -> Recovered:
        recovered = Recovered()
        contents = self.contents
        if loaded.damage:
            mend_records(contents, self._first_message, loaded.damage)
        recovered.state = [(kind, key, value) for (kind, key), value in contents.state.items()]
        recovered.cursors = list(contents.cursors.values())
        for log in contents.channels.values():
            if log.first <= log.last and (not log.segments or log.durable_last < log.last):
                begin = log.durable_last + 1 if log.segments else log.first
                loaded.damage.append(f"messages {begin} to {log.last} of channel {log.channel_id} are missing")
            log.durable_first, log.durable_last = log.first, log.last
            recovered.channels.append(
                ChannelState(log.channel_id, log.first, log.last, self._size(log), log.last_timestamp_ns)
            )
        recovered.damage = loaded.damage
        return recovered

    def _size(self, log: ChannelLog) -> int:
        """The bytes of the kept messages of a channel; on the way, indexes that are damaged are made again."""
        while True:
            try:
                return self._stored_bytes(log)
            except DamagedIndexError as damaged:
                self._mend(damaged.segment)

    def _first_message(self, log: ChannelLog) -> tuple[int, bytes]:
        """The first message of a channel that can be read, with its sequence; an empty one when there is none."""
        sequence = log.first
        for _ in range(_TRIED_MAX):
            try:
                stretches = self.stretches(log.channel_id, sequence, 1, 1)
                missing = self.missing(log.channel_id, sequence)
            except DamagedIndexError as damaged:
                self._mend(damaged.segment)
                continue
            body = self.reader.read(stretches, 1)[0][0] if stretches else LOST
            for stretch in stretches:
                self.release(stretch.segment)
            if body:
                return sequence, body
            sequence += max(missing, 1)
        return 0, LOST

    def _mend(self, segment: Segment) -> None:
        """Make a damaged index again, at once: that takes a moment."""
        task = self.mending(segment)
        problem = ""
        try:
            task.run()
        except OSError as error:
            problem = str(error)
        task.finish(problem)

    # Writing.

    def prepare(self, batch: Batch) -> JournalJob:
        """Decide where `batch` goes. Everything after it may rest on it from now on."""
        job = JournalJob(batch.number)
        if not self._failure and not self._follow(batch, job):
            self._failure = self._gap(batch)
            if not self._failure:
                self._fit(batch, job)
        if self._failure:
            job.refusal = self._failure
            return job
        parts = job.parts
        frame = self._frame(0)
        frame.floors = list(batch.floors.items())
        frame.cursors = batch.cursors
        frame.state = batch.state
        size = sum(sum(map(len, part.bodies)) + 8 * len(part.bodies) for part in parts)
        singles = job.singles
        if singles is not None:
            size += sum(singles.sizes) + singles.record_bytes
        active = self._active
        # A segment holds at least as much besides its snapshot, or else large state would be written for every batch.
        if active is None or active.end + size > max(self._segment_bytes, 2 * active.snapshot_end):
            job.start = self._start_segment()
            frame = self._renumbered(frame)
            active = self._active
        assert active is not None
        frame.head.offset = active.end
        job.data = encode_frame(frame, parts, active.header.salt, singles)
        job.segment, job.offset, job.frame = active, active.end, frame
        active.end = frame.head.end
        self._frame_number = frame.head.number
        self._frame_crc = frame.head.crc
        for index, part in enumerate(parts):
            log = job.logs[index]
            log.append(part.first, len(part.bodies), part.bytes_before + part.bodies_bytes, part.stamps[-1][1])
        if singles is not None:
            for index, single in enumerate(job.single_logs):
                size = singles.sizes[index]
                single.append(singles.firsts[index], 1, single.bytes_ever + size, singles.timestamps_ns[index])
        job.gone = self.contents.apply_rest(frame)
        self._leaving.update((log.channel_id, log) for log in job.gone)
        return job

    def _follow(self, batch: Batch, job: JournalJob) -> bool:
        """Take the runs of `batch` as they are, where each follows what its channel has; False where one does not."""
        self._mark += 1
        mark = self._mark
        singles = Singles() if len(batch.runs) >= _SINGLES_MIN else None
        for run in batch.runs:
            log = self.contents.channels.get(run.channel_id)
            first = int(run.first_sequence)
            if log is None or log.last + 1 != first or log.batch_mark == mark or not run.bodies:
                job.forget()
                return False
            log.batch_mark = mark
            if singles is not None and len(run.bodies) == 1:
                job.single_runs.append(run)
                job.single_logs.append(log)
                singles.add(run.channel_id, first, log.bytes_ever, run.stamps[0][1], run.bodies[0])
            else:
                job.runs.append(run)
                job.logs.append(log)
                job.parts.append(Part(run.channel_id, first, run.bodies, run.stamps, log.bytes_ever))
        if job.single_runs:
            job.singles = singles
        return True

    def _gap(self, batch: Batch) -> str:
        """Which messages `batch` leaves out, in words; empty when there is no gap."""
        lasts: dict[int, int] = {}
        for run in batch.runs:
            log = self.contents.channels.get(run.channel_id)
            last = lasts.get(run.channel_id, log.last if log is not None else 0)
            if last and run.first_sequence > last + 1:
                return gap_text(run.channel_id, last, int(run.first_sequence))
            lasts[run.channel_id] = max(last, int(run.first_sequence) + len(run.bodies) - 1)
        return ""

    def _fit(self, batch: Batch, job: JournalJob) -> None:
        """Take the runs of `batch` without what is there from an earlier try of the same batch."""
        lasts: dict[int, tuple[int, int]] = {}
        for run in batch.runs:
            log = self.contents.channels.get(run.channel_id)
            last, ever = lasts.get(run.channel_id, (log.last, log.bytes_ever) if log is not None else (0, 0))
            part = _part(run, last, ever)
            if part is not None:
                kept = Run(part.channel_id, part.first)
                kept.bodies, kept.stamps = part.bodies, part.stamps
                job.parts.append(part)
                job.runs.append(kept)
                job.logs.append(self.contents.channel(run.channel_id))
                ever += sum(map(len, part.bodies))
                lasts[run.channel_id] = (part.first + len(part.bodies) - 1, ever)

    def _frame(self, flags: int) -> Frame:
        head = FrameHead()
        head.number = self._frame_number + 1
        head.epoch = self._epoch
        head.durable_number = self._durable_number
        head.previous_crc = self._frame_crc
        head.flags = flags
        return Frame(head)

    def _renumbered(self, frame: Frame) -> Frame:
        """`frame`, behind the snapshot of a new segment."""
        frame.head.number = self._frame_number + 1
        frame.head.previous_crc = self._frame_crc
        return frame

    def _start_segment(self) -> SegmentStart:
        """A new active segment, which begins with a snapshot of everything decided so far."""
        former = self._active
        self._segment_number += 1
        header = SegmentHeader(
            self._segment_number,
            self._epoch,
            self._frame_number + 1,
            former.end if former is not None else self._sealed_end,
            secrets.randbits(64),
        )
        data = encode_header(header)
        self._frame_crc = header.crc
        snapshot = self._frame(SNAPSHOT)
        snapshot.head.offset = HEADER_BYTES
        self.contents.into(snapshot)
        data += encode_frame(snapshot, [], header.salt)
        segment = Segment(header, -1)
        segment.end = segment.snapshot_end = snapshot.head.end
        self._frame_number = snapshot.head.number
        self._frame_crc = snapshot.head.crc
        if former is not None:
            former.index.end = former.end
        self._active = segment
        self._segments[segment.number] = segment
        return SegmentStart(segment, data, self._spares.pop() if self._spares else "")

    def complete(self, job: JournalJob) -> None:
        """`job` is durable: its messages can be read, and what it made superfluous can go."""
        frame, segment = job.frame, job.segment
        assert frame is not None
        assert segment is not None
        self._durable_number = frame.head.number
        if job.start is not None:
            self._seal_before(segment)
        for index, part in enumerate(job.parts):
            self._show(segment, job.logs[index], job.runs[index], part.entry, part.bodies_bytes)
        singles = job.singles
        if singles is not None:
            for index, run in enumerate(job.single_runs):
                entry = singles.entry(index)
                self._show(segment, job.single_logs[index], run, entry, singles.sizes[index])
        for channel_id, floor in frame.floors:
            log = self.contents.channels.get(channel_id)
            if log is not None:
                # Not `log.first`: that may come from a batch which is not durable yet.
                log.durable_first = max(log.durable_first, min(floor, log.durable_last + 1))
                self._let_go(log)
        for log in job.gone:
            del self._leaving[log.channel_id]
            self.recent.drop(log.channel_id)
            for number in log.segments:
                self._one_less(number)

    def _show(self, segment: Segment, log: ChannelLog, run: Run, entry: bytes, bodies_bytes: int) -> None:
        """The messages of `run`, which are in `segment`, can be read from now on."""
        entries = log.entries
        is_next = log.last_segment == segment.number
        if not is_next or entries is None:
            entries = log.entries = segment.index.entries_to_add(log.channel_id)
        first = int(run.first_sequence)
        count = len(run.bodies)
        entries.add(entry, first, count, bodies_bytes, run.stamps[-1][1])
        if log.is_gone:
            return  # deleted by a later batch that is on its way
        log.durable_last = first + count - 1
        if not is_next:
            log.last_segment = segment.number
            log.firsts.append(first)
            log.segments.append(segment.number)
            segment.live_channels += 1
        tail = log.tail
        if tail is None:
            tail = log.tail = self.recent.tail(log.channel_id)
        self.recent.add(tail, run, bodies_bytes)

    def _seal_before(self, segment: Segment) -> None:
        """Only now is everything in the segments before `segment`, so only now may they be found empty."""
        for former in list(self._segments.values()):
            if former.number < segment.number and not former.is_sealed:
                former.is_sealed = True
                self._seal(former)
                self._let_go_of(former)
        self._copy_beginnings([segment])

    def note_durable(self, job: JournalJob | None, is_synced: bool) -> None:
        """Note in the second copy of the segment of `job`, if there is one, that it is durable. On any thread.

        That tells damage from a torn end, and nobody's acknowledgement rests on it: so it may fail.
        """
        if job is not None and job.frame is not None and job.segment is not None:
            head, segment = job.frame.head, job.segment
            mark = Mark(segment.number, segment.header.salt, head.number, head.end, head.crc)
            with contextlib.suppress(OSError):
                write_mark(self._files, mark, is_synced)

    def fail(self, text: str) -> None:
        """Nothing is decided any more until the next `open`."""
        self._failure = text


def _part(run: Run, last: int, bytes_ever: int) -> Part | None:
    """What of `run` is new behind message `last`."""
    first = int(run.first_sequence)
    skip = last + 1 - first if last else 0
    if skip <= 0:
        return Part(run.channel_id, first, run.bodies, run.stamps, bytes_ever) if run.bodies else None
    if skip >= len(run.bodies):
        return None
    return Part(run.channel_id, last + 1, run.bodies[skip:], stamps_from(run.stamps, skip), bytes_ever)
