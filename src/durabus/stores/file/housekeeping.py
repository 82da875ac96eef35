"""The slow work of a journal, and what is not wanted any more: indexes, second copies, dropping, compaction. FORMAT.md §5, §6.

Work is handed out as tasks (`take_tasks`), whose `run` may happen on any thread.
"""

from collections.abc import Callable
from typing import Final

from durabus.stores.file.compaction import compact, live_share
from durabus.stores.file.contents import ChannelLog
from durabus.stores.file.files import Files
from durabus.stores.file.head import write_head, write_mark
from durabus.stores.file.index import SegmentIndex, write_index
from durabus.stores.file.layout import HEADER_BYTES, head_name, index_name, segment_name, spare_name
from durabus.stores.file.loading import read_index
from durabus.stores.file.lookup import Lookup
from durabus.stores.file.segment import Segment

__all__ = ["SPARES_MAX", "Housekeeping", "Task"]

SPARES_MAX: Final = 1
_COMPACT_BELOW: Final = 0.3
"""A sealed segment of which less than this share is wanted is written again."""
_LESS: Final = 0.8
"""One with damage is tried again when no more than this share is left of what was wanted of it."""
_LOOKS_MAX: Final = 8
"""Segments that are looked at each time a new one begins."""


class Task:
    """Slow work: `run` on any thread, then `finish` where the journal lives, with what went wrong (empty: nothing).

    `mended` is the number of the segment whose index it makes again; 0 for any other work.
    """

    def __init__(self, run: Callable[[], None], finish: Callable[[str], None], mended: int = 0) -> None:
        """Keep both."""
        self.run = run
        self.finish = finish
        self.mended = mended


class Housekeeping(Lookup):
    """The segments of a journal, and what becomes of them when they are written to no more."""

    def __init__(self, files: Files, segment_bytes: int, recent_bytes: int) -> None:
        """No segments yet; one is to have `segment_bytes`."""
        super().__init__(files, recent_bytes)
        self._segment_bytes = segment_bytes
        self._spares: list[str] = []
        self._spares_due = 0  # segments that are becoming spares
        self._tasks: list[Task] = []
        self._leaving: dict[int, ChannelLog] = {}  # deleted by batches that are not durable yet
        self._is_compacting = False
        self._compacted_last = 0
        self._uncompactable: dict[
            int, float
        ] = {}  # segments with damage that is news, and how much of them was wanted then
        self.findings: list[str] = []  # what was found to be damaged since the start, in words
        self._copied = 0  # segments before this one may go: how it begins is in two files, or cannot be
        self._own_from = 0  # segments from this number on are known to nobody else

    def release(self, segment: Segment) -> None:
        """Something of `segment` was read."""
        segment.readers -= 1
        if segment.readers == 0 and segment.is_replaced:
            self._files.close(segment.handle)
        elif segment.readers == 0 and segment.is_dropped:
            self._drop(segment)

    def _let_go(self, log: ChannelLog) -> None:
        """Forget segments in which nothing of a channel is wanted."""
        while log.segments:
            number = log.segments[0]
            if len(log.segments) > 1:
                if log.firsts[1] > log.needed_first:
                    return
            elif log.needed_first <= log.durable_last or not self._segments[number].is_sealed:
                return
            del log.firsts[0], log.segments[0]
            self._one_less(number)

    def let_go(self, log: ChannelLog) -> None:
        """Messages of a channel that were measured are needed for that no more."""
        if not log.is_gone:
            self._let_go(log)

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
        is_dead = segment.is_sealed and segment.live_channels <= 0 and segment.number < self._copied
        if is_dead and not segment.is_dropped:
            segment.is_dropped = True
            if segment.readers == 0:
                self._drop(segment)

    def _drop(self, segment: Segment) -> None:
        """Remove a segment in which nothing is wanted, or keep its file for the next one."""
        del self._segments[segment.number]
        files, number = self._files, segment.number
        has_room = len(self._spares) + self._spares_due < SPARES_MAX
        spare = spare_name(number) if has_room and number >= self._own_from else ""
        self._spares_due += 1 if spare else 0

        def run() -> None:
            # The last frame of most goes a little beyond the end.
            is_whole = self._segment_bytes <= files.size(segment.handle) <= 2 * self._segment_bytes
            files.close(segment.handle)
            names = files.names()
            for name in (index_name(number), head_name(number)):
                if name in names:
                    files.remove(name)
            if spare and is_whole:
                files.rename(segment_name(number), spare)
                try:
                    files.sync_directory()
                except OSError:
                    files.remove(spare)  # its next contents could be found under its old name
                    raise
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

    def mending(self, segment: Segment) -> Task:
        """Make the damaged index of a segment again, for who was told of it by DamagedIndexError."""
        found: list[SegmentIndex] = []
        damage: list[str] = []
        segment.readers += 1

        def run() -> None:
            found.append(read_index(self._files, segment, damage))

        def finish(problem: str) -> None:
            self.findings += damage
            # Where that is not possible, its messages are holes until the next start.
            segment.index = found[0] if found else SegmentIndex()
            if found:
                self._seal(segment)
            self.release(segment)

        return Task(run, finish, segment.number)

    def _mark_active(self, segment: Segment) -> None:
        """Note that all that was found in the active segment is durable now."""
        mark = segment.mark

        def run() -> None:
            if mark is not None:
                write_mark(self._files, mark, is_synced=False)

        self._tasks.append(Task(run, lambda _: None))

    def _copy_beginnings(self, segments: list[Segment]) -> None:
        """Put how `segments` begin into a second file each; before the last of them, only then may anything go."""
        if not segments:
            return
        for one in segments:
            one.readers += 1

        def run() -> None:
            for one in segments:
                size = HEADER_BYTES if one.is_sealed else one.snapshot_end
                write_head(self._files, one.number, one.handle, size, one.mark)
            self._files.sync_directory()  # before anything goes

        def finish(problem: str) -> None:
            # Where there is no room for it, room is made by letting things go.
            self._copied = max(self._copied, segments[-1].number)
            for one in segments:
                self.release(one)
            for one in list(self._segments.values()):
                self._drop_if_dead(one)
            self._compact()

        self._tasks.append(Task(run, finish))

    def _compact(self) -> None:
        """Have a few sealed segments looked at, and the first one that is mostly dead written again."""
        if self._is_compacting:
            return
        may_go = [one for one in self._segments.values() if one.is_sealed and one.number < self._copied]
        sealed = [one for one in may_go if one.is_indexed and not one.is_dropped]
        # The next few, and then around again: one that is full of life now may be mostly dead the next time.
        ahead = [one for one in sealed if one.number > self._compacted_last]
        ahead = [*ahead, *[one for one in sealed if one.number <= self._compacted_last]][:_LOOKS_MAX]
        if not ahead:
            return
        self._is_compacting = True
        # What is decided and not durable may still turn out not to have happened.
        known = [*self.contents.channels.values(), *self._leaving.values()]
        floors = {log.channel_id: log.needed_first for log in known}
        made: list[tuple[Segment, Segment]] = []
        looked: list[int] = []
        for one in ahead:
            one.readers += 1

        def run() -> None:
            for one in ahead:
                looked.append(one.number)
                share = live_share(one, floors)
                if share < min(_COMPACT_BELOW, self._uncompactable.get(one.number, 1.0) * _LESS):
                    compacted = compact(self._files, one, floors)
                    if compacted is not None:
                        made.append((one, compacted))
                        return
                    if one.number not in self._uncompactable:
                        self.findings.append(
                            f"{segment_name(one.number)} cannot be made smaller, for a message in it is damaged: "
                            '"durabus store repair" sets that aside'
                        )
                    self._uncompactable[one.number] = share

        def finish(problem: str) -> None:
            self._is_compacting = False
            self._compacted_last = looked[-1] if looked else 0
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
