"""Repairs a journal: what is damaged is set aside in a file, and what is left is written so that nothing damaged is in it.

A start does the most of it (FORMAT.md §8): second copies, indexes, names of channels. Then a new segment begins with a snapshot of all
that is known, so that no frame of the others is needed any more; and of those, the ones with damage are written again with their
messages only, in which lost ones are known as such. If this ends half-way, it can be begun again.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.file.checking import JournalCheck, check_journal
from durabus.stores.file.compaction import Rewriting
from durabus.stores.file.files import Files
from durabus.stores.file.frame import stamps_from
from durabus.stores.file.index import Entries, SegmentIndex
from durabus.stores.file.journal import Journal
from durabus.stores.file.layout import index_name
from durabus.stores.file.reader import LOST, Reader, Stretch, bytes_before, stamps_of
from durabus.stores.file.segment import Segment
from durabus.stores.file.writer import WriteError
from durabus.stores.findings import CheckReport
from durabus.stores.quarantine import Quarantine
from durabus.streaming.store_port import KIND_SERVER, KIND_SUBSCRIPTION, Batch

__all__ = ["repair_journal"]

_PAGE_BYTES: Final = 1024 * 1024
_LOST_TOGETHER: Final = 16_384
"""Lost messages in one run."""

Holes = dict[int, list[tuple[int, int]]]
"""Of each channel, first and last message of what is missing, ascending."""


def repair_journal(
    files: Files, quarantine: Quarantine, say: Callable[[str], None], epoch: int = 0
) -> tuple[CheckReport, CheckReport]:
    """Repair the journal in `files`, whose owner we are (number `epoch`, if there was a group): what was found before and after.

    Raises StoreError and OSError.
    """
    check = check_journal(files, say, quarantine.add)
    quarantine.sync()
    if all(finding.is_lasting for finding in check.report.findings):
        return check.report, check.report
    for number in check.damaged_indexes:
        files.remove(index_name(number))
    repair = _Repair(files, check, epoch)
    try:
        repair.run(say)
    except WriteError as error:
        raise StoreError(str(error)) from None
    finally:
        repair.journal.close()
    _start(files, epoch)
    return check.report, check_journal(files, say).report


def _start(files: Files, epoch: int) -> None:
    """What a start does."""
    journal = Journal(files)
    try:
        journal.open(lambda _: None, epoch)
        _do_tasks(journal)
    finally:
        journal.close()


def _do_tasks(journal: Journal) -> None:
    while tasks := journal.take_tasks():
        for task in tasks:
            task.run()
            task.finish("")


class _Repair:
    """One repair, on the way."""

    def __init__(self, files: Files, check: JournalCheck, epoch: int) -> None:
        self.journal = Journal(files)
        self._files = files
        self._check = check
        self._epoch = epoch

    def run(self, say: Callable[[str], None]) -> None:
        """All of it; raises WriteError and OSError."""
        journal = self.journal
        journal.open(lambda _: None, self._epoch)
        journal.begin_segment()
        _do_tasks(journal)
        holes = self._place_holes()
        self._forget()
        _do_tasks(journal)
        floors = {log.channel_id: log.durable_first for log in journal.contents.channels.values()}
        for number in sorted({*self._check.damaged_segments, *holes}):
            segment = journal.segment(number)
            if segment is not None and segment.is_sealed:
                say(f"segment {number} is written again")
                _mend(self._files, segment, floors, holes.get(number, {}))

    def _place_holes(self) -> dict[int, Holes]:
        """In which segment what is missing is noted: in that of the message before. Where there is none, the floor is raised."""
        found: dict[int, Holes] = {}
        floors: dict[int, int] = {}
        for channel_id, first, last in self._check.missing:
            log = self.journal.contents.channels.get(channel_id)
            if log is None or last < log.first:
                continue
            at = bisect_right(log.firsts, first) - 1
            if at < 0 or first <= max(log.first, floors.get(channel_id, 0)):
                floors[channel_id] = last + 1
                continue
            # What the index of the next segment knows of is noted there.
            while first <= last:
                end = min(last, log.firsts[at + 1] - 1) if at + 1 < len(log.firsts) else last
                found.setdefault(log.segments[at], {}).setdefault(channel_id, []).append((first, end))
                first, at = end + 1, at + 1
        self._write(floors, [])
        return found

    def _forget(self) -> None:
        """What nobody can use: positions of subscriptions that are lost, an unreadable record of the server."""
        state: list[tuple[int, bytes, bytes | None]] = [
            (KIND_SUBSCRIPTION, b"%d" % number, None) for number in self._check.lost_positions
        ]
        if self._check.is_server_unreadable:
            state.append((KIND_SERVER, b"server", None))
        self._write({}, state)

    def _write(self, floors: dict[int, int], state: list[tuple[int, bytes, bytes | None]]) -> None:
        """One batch, if there is anything in it."""
        batch = Batch(1, self._epoch)
        batch.floors, batch.state = floors, state
        if batch.is_empty():
            return
        job = self.journal.prepare(batch)
        self.journal.writer.write([job])
        self.journal.complete(job)


def _mend(files: Files, segment: Segment, floors: dict[int, int], holes: Holes) -> None:
    """Write a segment again: all that is wanted of it and can be read, and in its place what is lost. Raises OSError."""
    rewriting = Rewriting(files, segment.header)
    try:
        channels = {row[0]: row[1] for row in segment.index.channels()}
        for channel_id in sorted({*channels, *holes}):
            floor = floors.get(channel_id)
            if floor is not None:
                _Channel(files, segment, channel_id, rewriting).copy(floor, holes.get(channel_id, []))
        files.close(rewriting.finish().handle)
    finally:
        rewriting.abandon()


class _Channel:
    """One channel of a segment that is written again."""

    def __init__(self, files: Files, segment: Segment, channel_id: int, rewriting: Rewriting) -> None:
        self._files = files
        self._segment = segment
        self._channel_id = channel_id
        self._rewriting = rewriting
        self._reader = Reader(files)
        self._due = (
            0  # what comes next: an index may know of a run that was found to be missing, or a run may be there twice
        )
        self._bytes_before = 0
        self._timestamp_ns = 0

    def copy(self, floor: int, holes: list[tuple[int, int]]) -> None:
        """Messages from `floor` on, and what is lost between and behind them."""
        entries = _entries(self._segment.index, self._channel_id)
        left = list(holes)
        for row in range(max(entries.find(floor), 0), len(entries)):
            place = entries.at(row)
            while left and left[0][0] < place.first:
                self._lose(*left.pop(0))
            self._copy_run(entries, row, max(place.first, floor, self._due))
        for first, last in left:
            self._lose(first, last)

    def _copy_run(self, entries: Entries, row: int, first: int) -> None:
        place = entries.at(row)
        stop = place.first + place.count
        try:
            stamps = stamps_of(self._files, self._segment, place)
        except ValueError:
            stamps = [(0, place.first_timestamp_ns)]
        while first < stop:
            stretch = Stretch(self._segment, entries.rows(row, row + 1), first, stop)
            bodies, _ = self._reader.read([stretch], _PAGE_BYTES)
            bodies = bodies or [LOST]
            skip = first - place.first
            kept = [(index, ns) for index, ns in stamps_from(stamps, skip) if index < len(bodies)]
            before = bytes_before(self._files, self._segment, place, skip)
            self._rewriting.add(self._channel_id, first, bodies, kept, before)
            self._bytes_before = before + sum(map(len, bodies))
            self._timestamp_ns = kept[-1][1]
            first += len(bodies)
            self._due = first

    def _lose(self, first: int, last: int) -> None:
        """Note that these messages are lost."""
        first = max(first, self._due)
        while first <= last:
            count = min(last + 1 - first, _LOST_TOGETHER)
            stamps = [(0, self._timestamp_ns)]
            self._rewriting.add(self._channel_id, first, [LOST] * count, stamps, self._bytes_before)
            first += count
            self._due = first


def _entries(index: SegmentIndex, channel_id: int) -> Entries:
    """The runs of a channel; none where there are none, or they are damaged."""
    try:
        return index.entries(channel_id) or Entries()
    except ValueError:
        return Entries()
