"""The journal as one object: decides where frames go, knows where messages are, drops what nobody wants. FORMAT.md.

It has no thread and does not wait. `prepare` turns a batch into a job, the writer makes jobs durable, `complete` lets them
take effect for readers. Slow work is handed out as tasks (`take_tasks`), whose `run` may happen on any thread.
"""

import secrets
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from durabus.stores.file.compaction import compact, live_share
from durabus.stores.file.contents import ChannelLog, Contents
from durabus.stores.file.files import Files
from durabus.stores.file.frame import SNAPSHOT, Frame, FrameHead, Part, Place, encode_frame, stamps_from
from durabus.stores.file.index import Entries, SegmentIndex, write_index
from durabus.stores.file.layout import (
    HEADER_BYTES,
    SegmentHeader,
    encode_header,
    index_name,
    segment_name,
    spare_name,
)
from durabus.stores.file.loading import Loaded, load, read_index
from durabus.stores.file.reader import Reader, Stretch, bytes_before
from durabus.stores.file.recent import RecentMessages
from durabus.stores.file.segment import Segment
from durabus.stores.file.writer import Job, SegmentStart, Writer
from durabus.streaming.store_port import Batch, ChannelState, Recovered, Run

__all__ = ["SEGMENT_BYTES", "Journal", "JournalJob", "Task"]

SEGMENT_BYTES: Final = 32 * 1024 * 1024
RECENT_BYTES: Final = 32 * 1024 * 1024
_SPARES_MAX: Final = 1
_ROWS_MAX: Final = 4096
_COMPACT_BELOW: Final = 0.3
"""A sealed segment of which less than this share is wanted is written again."""
_LOOKS_MAX: Final = 32
"""Segments that are looked at each time a new one begins."""


class JournalJob(Job):
    """A job, and what it means when it is durable."""

    def __init__(self, number: int) -> None:
        """Of batch `number`."""
        super().__init__(number)
        self.frame: Frame | None = None
        self.parts: list[Part] = []
        self.gone: list[ChannelLog] = []


class Task:
    """Slow work: `run` on any thread, then `finish` where the journal lives, with what went wrong (empty: nothing)."""

    def __init__(self, run: Callable[[], None], finish: Callable[[str], None]) -> None:
        """Keep both."""
        self.run = run
        self.finish = finish


class Journal:
    """One directory's journal. `open` comes first; after a failed job only `open` helps."""

    def __init__(self, files: Files, segment_bytes: int = SEGMENT_BYTES, recent_bytes: int = RECENT_BYTES) -> None:
        """Work on `files`; nothing is touched yet."""
        self._files = files
        self._segment_bytes = segment_bytes
        self.contents = Contents()
        self.recent = RecentMessages(recent_bytes)
        self.reader = Reader(files)
        self.writer = Writer(files, segment_bytes)
        self._segments: dict[int, Segment] = {}
        self._active: Segment | None = None
        self._spares: list[str] = []
        self._spares_due = 0  # segments that are becoming spares
        self._tasks: list[Task] = []
        self._leaving: dict[int, ChannelLog] = {}  # deleted by batches that are not durable yet
        self._is_compacting = False
        self._compacted_last = 0
        self._frame_number = 0
        self._frame_crc = 0
        self._durable_number = 0
        self._segment_number = 0
        self._epoch = 0
        self._failure = ""
        self._own_from = 0  # segments from this number on are known to nobody else

    # Opening and closing.

    def open(self, report: Callable[[str], None], epoch: int = 0) -> Recovered:
        """Read what is there, in a group of servers as the owner number `epoch`; raises StoreError and OSError."""
        self.close()
        loaded = load(self._files, report)
        self.writer = Writer(self._files, self._segment_bytes, epoch > 0)
        self.contents = loaded.contents
        self._segments = {segment.number: segment for segment in loaded.segments}
        self._active = loaded.segments[-1] if loaded.segments else None
        # A former owner of a group may be about to write to what was its segment once.
        self._spares = [] if epoch else loaded.spares[:_SPARES_MAX]
        for name in loaded.spares[len(self._spares) :]:
            self._files.remove(name)
        self._frame_number = self._durable_number = loaded.frame_number
        self._frame_crc = loaded.frame_crc
        self._segment_number = loaded.number_max
        self._epoch = max(loaded.epoch + 1, epoch)
        self._failure = ""
        for segment in loaded.segments:
            segment.is_indexed = segment.is_sealed and segment not in loaded.unindexed
            self._add_extents(segment, loaded)
        recovered = self._recovered(loaded)
        for segment in loaded.unindexed:
            self._seal(segment)
        for segment in list(self._segments.values()):
            self._drop_if_dead(segment)
        return recovered

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
        self.recent.clear()

    def _add_extents(self, segment: Segment, loaded: Loaded) -> None:
        for channel_id, first, last, _, _ in segment.index.channels():
            log = self.contents.channels.get(channel_id)
            if log is None or last < log.first:
                continue
            due = log.durable_last + 1 if log.segments else log.first
            if first > due:
                loaded.damage.append(f"messages {due} to {first - 1} of channel {channel_id} are missing")
            log.firsts.append(first)
            log.segments.append(segment.number)
            log.durable_last = last
            segment.live_channels += 1

    def _recovered(self, loaded: Loaded) -> Recovered:
        recovered = Recovered()
        contents = self.contents
        recovered.state = [(kind, key, value) for (kind, key), value in contents.state.items()]
        recovered.cursors = list(contents.cursors.values())
        for log in contents.channels.values():
            if log.first <= log.last and (not log.segments or log.durable_last < log.last):
                begin = log.durable_last + 1 if log.segments else log.first
                loaded.damage.append(f"messages {begin} to {log.last} of channel {log.channel_id} are missing")
            log.durable_first, log.durable_last = log.first, log.last
            recovered.channels.append(
                ChannelState(log.channel_id, log.first, log.last, self._stored_bytes(log), log.last_timestamp_ns)
            )
        recovered.damage = loaded.damage
        return recovered

    def _stored_bytes(self, log: ChannelLog) -> int:
        """The bytes of the kept messages of a channel."""
        if log.first > log.last or not log.segments:
            return 0
        first = log.first + self.missing(log.channel_id, log.first)
        found = self._find(log, first)
        if found is None:
            return 0
        segment, place = found
        return log.bytes_ever - bytes_before(self._files, segment, place, first - place.first)

    # Writing.

    def prepare(self, batch: Batch) -> JournalJob:
        """Decide where `batch` goes. Everything after it may rest on it from now on."""
        job = JournalJob(batch.number)
        if not self._failure:
            self._failure = self._gap(batch)
        if self._failure:
            job.refusal = self._failure
            return job
        parts = self._parts(batch)
        frame = self._frame(0)
        frame.floors = list(batch.floors.items())
        frame.cursors = batch.cursors
        frame.state = batch.state
        size = sum(sum(map(len, part.bodies)) + 8 * len(part.bodies) for part in parts)
        active = self._active
        # A segment holds at least as much besides its snapshot, or else large state would be written for every batch.
        if active is None or active.end + size > max(self._segment_bytes, 2 * active.snapshot_end):
            job.start = self._start_segment()
            frame = self._renumbered(frame)
            active = self._active
        assert active is not None
        frame.head.offset = active.end
        job.data = encode_frame(frame, parts, active.header.salt)
        job.segment, job.offset, job.frame, job.parts = active, active.end, frame, parts
        active.end = frame.head.end
        self._frame_number = frame.head.number
        self._frame_crc = frame.head.crc
        job.gone = self.contents.apply(frame)
        self._leaving.update((log.channel_id, log) for log in job.gone)
        return job

    def _gap(self, batch: Batch) -> str:
        """Which messages `batch` leaves out, in words; empty when there is no gap."""
        lasts: dict[int, int] = {}
        for run in batch.runs:
            log = self.contents.channels.get(run.channel_id)
            last = lasts.get(run.channel_id, log.last if log is not None else 0)
            if last and run.first_sequence > last + 1:
                return f"channel {run.channel_id} ends at {last}, so {run.first_sequence} cannot be its next message"
            lasts[run.channel_id] = max(last, int(run.first_sequence) + len(run.bodies) - 1)
        return ""

    def _parts(self, batch: Batch) -> list[Part]:
        """The runs of `batch`, without what is there from an earlier try of the same batch."""
        parts: list[Part] = []
        lasts: dict[int, tuple[int, int]] = {}
        for run in batch.runs:
            log = self.contents.channels.get(run.channel_id)
            last, ever = lasts.get(run.channel_id, (log.last, log.bytes_ever) if log is not None else (0, 0))
            part = _part(run, last, ever)
            if part is not None:
                parts.append(part)
                ever += sum(map(len, part.bodies))
                lasts[run.channel_id] = (part.first + len(part.bodies) - 1, ever)
        return parts

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
            former.end if former is not None else 0,
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
        for place, part in zip(frame.places, job.parts, strict=True):
            segment.index.add(place)
            log = self.contents.channels.get(place.channel_id)
            if log is None:
                continue  # deleted by a later batch that is on its way
            log.durable_last = place.first + place.count - 1
            if not log.segments or log.segments[-1] != segment.number:
                log.firsts.append(place.first)
                log.segments.append(segment.number)
                segment.live_channels += 1
            self.recent.add(place.channel_id, place.first, part.bodies, place.bodies_bytes)
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

    def _seal_before(self, segment: Segment) -> None:
        """Only now is everything in the segments before `segment`, so only now may they be found empty."""
        for former in list(self._segments.values()):
            if former.number < segment.number and not former.is_sealed:
                former.is_sealed = True
                self._seal(former)
                self._let_go_of(former)
        self._compact()

    def fail(self, text: str) -> None:
        """Nothing is decided any more until the next `open`."""
        self._failure = text

    # Reading.

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages that are in memory, none when there are none, or None when they have to be read."""
        log = self.contents.channels.get(channel_id)
        if log is None or first < log.first or first > log.durable_last:
            return []
        return self.recent.find(channel_id, first, min(count_max, log.durable_last - first + 1), bytes_max)

    def stretches(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[Stretch]:
        """What to read for a page. Whoever reads it calls `release` with it afterwards."""
        log = self.contents.channels.get(channel_id)
        if log is None or first < log.first or first > log.durable_last:
            return []
        found: list[Stretch] = []
        stop = min(first + count_max, log.durable_last + 1)
        bytes_left = bytes_max
        while first < stop and bytes_left > 0:
            at = bisect_right(log.firsts, first) - 1
            place = self._find(log, first)
            if place is None:
                break
            segment = place[0]
            entries = self._entries(segment, channel_id)
            assert entries is not None
            start = entries.find(first)
            end = min(entries.find(stop - 1) + 1, start + _ROWS_MAX)
            last = entries.at(end - 1)
            found.append(Stretch(segment, entries.rows(start, end), first, stop))
            segment.readers += 1
            bytes_left -= last.bytes_before + last.bodies_bytes - entries.at(start).bytes_before
            first = last.first + last.count
            if end - start == _ROWS_MAX or (at + 1 < len(log.firsts) and first < log.firsts[at + 1]):
                break
        return found

    def missing(self, channel_id: int, first: int) -> int:
        """How many messages from `first` on are wanted and nowhere to be found: 0 when it can be read, or is not wanted."""
        log = self.contents.channels.get(channel_id)
        if log is None or first < log.first or first > log.durable_last or self._find(log, first) is not None:
            return 0
        at = bisect_right(log.firsts, first)
        following = log.firsts[at] if at < len(log.firsts) else log.durable_last + 1
        segment = self._segments.get(log.segments[at - 1]) if at else None
        if segment is not None:
            entries = self._entries(segment, channel_id)
            index = entries.find(first) + 1 if entries is not None else 0
            if entries is not None and index < len(entries):
                following = min(following, entries.at(index).first)
        return following - first

    def release(self, segment: Segment) -> None:
        """Something of `segment` was read."""
        segment.readers -= 1
        if segment.readers == 0 and segment.is_replaced:
            self._files.close(segment.handle)
        elif segment.readers == 0 and segment.is_dropped:
            self._drop(segment)

    def seek(self, channel_id: int, timestamp_ns: int) -> tuple[int, tuple[Segment, Place] | None]:
        """The first kept message at or after a time: its sequence, or the run in which it has to be looked for.

        With a run, the sequence is the answer when nothing in that run is late enough.
        """
        log = self.contents.channels.get(channel_id)
        if log is None or log.last == 0:
            return 0, None
        if log.first > log.durable_last:
            return log.durable_last + 1, None
        # From the end: the last segment with a run that begins before that time has it, or the run after it.
        following = log.durable_last + 1
        for at in range(len(log.segments) - 1, -1, -1):
            segment = self._segments[log.segments[at]]
            entries = self._entries(segment, channel_id)
            if entries is None:
                continue
            index = entries.find_time(timestamp_ns)
            if index >= 0:
                if index + 1 < len(entries):
                    following = entries.at(index + 1).first
                segment.readers += 1
                return max(following, log.first), (segment, entries.at(index))
            following = entries.first
        return max(following, log.first), None

    def _find(self, log: ChannelLog, sequence: int) -> tuple[Segment, Place] | None:
        """The run that message `sequence` is in; None when it is missing."""
        at = bisect_right(log.firsts, sequence) - 1
        segment = self._segments.get(log.segments[at]) if at >= 0 else None
        if segment is None:
            return None
        entries = self._entries(segment, log.channel_id)
        index = entries.find(sequence) if entries is not None else -1
        if entries is None or index < 0:
            return None
        place = entries.at(index)
        return (segment, place) if sequence < place.first + place.count else None

    def _entries(self, segment: Segment, channel_id: int) -> Entries | None:
        """The runs of a channel in a segment. Where its index is damaged, it is made again first: that takes a moment."""
        try:
            return segment.index.entries(channel_id)
        except ValueError:
            try:
                segment.index = read_index(self._files, segment)
            except OSError:
                return None
            self._seal(segment)
            return segment.index.entries(channel_id)

    # What is not needed any more.

    def _let_go(self, log: ChannelLog) -> None:
        """Forget segments in which nothing of a channel is wanted."""
        while log.segments:
            number = log.segments[0]
            if len(log.segments) > 1:
                if log.firsts[1] > log.durable_first:
                    return
            elif log.durable_first <= log.durable_last or not self._segments[number].is_sealed:
                return
            del log.firsts[0], log.segments[0]
            self._one_less(number)

    def _let_go_of(self, segment: Segment) -> None:
        """`segment` was sealed: channels of which nothing in it is wanted do not hold it."""
        for row in segment.index.channels():
            log = self.contents.channels.get(row[0])
            if log is not None:
                self._let_go(log)
        self._drop_if_dead(segment)

    def _one_less(self, number: int) -> None:
        segment = self._segments.get(number)
        if segment is not None:
            segment.live_channels -= 1
            self._drop_if_dead(segment)

    def _drop_if_dead(self, segment: Segment) -> None:
        if segment.is_sealed and segment.live_channels <= 0 and not segment.is_dropped:
            segment.is_dropped = True
            if segment.readers == 0:
                self._drop(segment)

    def _drop(self, segment: Segment) -> None:
        """Remove a segment in which nothing is wanted, or keep its file for the next one."""
        del self._segments[segment.number]
        files, number = self._files, segment.number
        has_room = len(self._spares) + self._spares_due < _SPARES_MAX
        spare = spare_name(number) if has_room and number >= self._own_from else ""
        self._spares_due += 1 if spare else 0

        def run() -> None:
            # The last frame of most goes a little beyond the end.
            is_whole = self._segment_bytes <= files.size(segment.handle) <= 2 * self._segment_bytes
            files.close(segment.handle)
            names = files.names()
            if index_name(number) in names:
                files.remove(index_name(number))
            if spare and is_whole:
                files.rename(segment_name(number), spare)
                files.sync_directory()  # else its next contents could be found under its old name
            else:
                files.remove(segment_name(number))

        def finish(problem: str) -> None:
            self._spares_due -= 1 if spare else 0
            if spare and not problem and spare in files.names():
                self._spares.append(spare)

        self._tasks.append(Task(run, finish))

    def _seal(self, segment: Segment) -> None:
        """Write the index of a segment that is written to no more."""
        segment.is_indexed = True
        found: list[SegmentIndex] = []

        def run() -> None:
            index = write_index(self._files, segment.index, segment.number, segment.header.salt)
            if index is not None:
                found.append(index)

        def finish(problem: str) -> None:
            if found and not problem:
                segment.index = found[0]  # from now on it is in the file, and in memory no more

        self._tasks.append(Task(run, finish))

    def _compact(self) -> None:
        """Have a few sealed segments looked at, and the first one that is mostly dead written again."""
        if self._is_compacting:
            return
        sealed = [one for one in self._segments.values() if one.is_sealed and one.is_indexed and not one.is_dropped]
        ahead = [one for one in sealed if one.number > self._compacted_last][:_LOOKS_MAX]
        if not ahead:
            self._compacted_last = 0  # around again, with the next segment
            return
        self._is_compacting = True
        # What is decided and not durable may still turn out not to have happened.
        known = [*self.contents.channels.values(), *self._leaving.values()]
        floors = {log.channel_id: log.durable_first for log in known}
        made: list[tuple[Segment, Segment]] = []
        for one in ahead:
            one.readers += 1

        def run() -> None:
            for one in ahead:
                if live_share(one, floors) < _COMPACT_BELOW:
                    compacted = compact(self._files, one, floors)
                    if compacted is not None:
                        made.append((one, compacted))
                        return

        def finish(problem: str) -> None:
            self._is_compacting = False
            self._compacted_last = ahead[-1].number
            for former, compacted in made:
                self._replace(former, compacted)
            for one in ahead:
                self.release(one)

        self._tasks.append(Task(run, finish))

    def _replace(self, former: Segment, compacted: Segment) -> None:
        if former.is_dropped:
            self._files.close(compacted.handle)  # its file goes with the former one
            return
        compacted.live_channels = former.live_channels
        former.is_replaced = True
        self._segments[compacted.number] = compacted

    def take_tasks(self) -> list[Task]:
        """The slow work that is due."""
        tasks, self._tasks = self._tasks, []
        return tasks


def _part(run: Run, last: int, bytes_ever: int) -> Part | None:
    """What of `run` is new behind message `last`."""
    first = int(run.first_sequence)
    skip = last + 1 - first if last else 0
    if skip <= 0:
        return Part(run.channel_id, first, run.bodies, run.stamps, bytes_ever) if run.bodies else None
    if skip >= len(run.bodies):
        return None
    return Part(run.channel_id, last + 1, run.bodies[skip:], stamps_from(run.stamps, skip), bytes_ever)
