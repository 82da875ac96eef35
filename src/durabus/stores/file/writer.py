"""Makes frames durable: the one place that writes to segments. FORMAT.md §7.

It runs on a thread of its own and knows nothing of what frames mean. After a failure it writes nothing more.
"""

from typing import Final

from durabus.stores.file.files import Files, LockLostError
from durabus.stores.file.frame import ZEROED_HEAD
from durabus.stores.file.layout import segment_name
from durabus.stores.file.segment import Segment
from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN

__all__ = ["Job", "NameTakenError", "SegmentStart", "WriteError", "Writer", "reason", "sync_failed"]

STEP_BYTES: Final = 1024 * 1024
"""A segment without a spare grows by so much at a time, with zeros, so that most syncs move no metadata."""


class WriteError(Exception):
    """Frames could not be made durable; `outcome` is REFUSED, UNKNOWN or FATAL.

    The first `durable_count` jobs of those that were to be written are durable all the same.
    """

    def __init__(self, outcome: int, text: str) -> None:
        """Say how it ended, and why."""
        super().__init__(text)
        self.outcome = outcome
        self.durable_count = 0


class NameTakenError(WriteError):
    """Another server has begun the segment that was to be the next one."""


class SegmentStart:
    """A segment that is to begin: its first bytes, and the spare that its file may be made of."""

    def __init__(self, segment: Segment, data: bytes, spare: str) -> None:
        """Keep what is to be written; `spare` is empty when there is none."""
        self.segment = segment
        self.data = data
        self.spare = spare


class Job:
    """One batch on its way: its frame as bytes, and where they go. A `refusal` is not written at all."""

    def __init__(self, number: int) -> None:
        """Of batch `number`; nothing to write yet."""
        self.number = number
        self.refusal = ""
        self.start: SegmentStart | None = None
        self.segment: Segment | None = None
        self.offset = 0
        self.data = b""


class Writer:
    """Writes jobs in their order. `segment_bytes` is how large a segment is made beforehand.

    In a group of servers (`is_shared`) nothing that was written is taken back: the next owner may count it already.
    """

    def __init__(self, files: Files, segment_bytes: int, is_shared: bool = False) -> None:
        """Write through `files`."""
        self._files = files
        self._segment_bytes = segment_bytes
        self._is_shared = is_shared
        self._failure: WriteError | None = None

    def write(self, jobs: list[Job]) -> None:
        """Make all of `jobs` durable, or raise WriteError."""
        if self._failure is not None:
            outcome = FATAL if self._failure.outcome == FATAL else REFUSED
            raise WriteError(outcome, str(self._failure))
        try:
            self._write(jobs)
        except WriteError as error:
            self._failure = error
            raise

    def _write(self, jobs: list[Job]) -> None:
        """Those of one segment together; where a new one begins, those before it are made durable first."""
        at = 0
        while at < len(jobs):
            stop = at + 1
            while stop < len(jobs) and jobs[stop].start is None:
                stop += 1
            try:
                start = jobs[at].start
                if start is not None:
                    self.begin(start)
                self._append(jobs[at:stop])
            except WriteError as error:
                error.durable_count = at
                raise
            at = stop

    def _append(self, jobs: list[Job]) -> None:
        """One write and one sync for frames that follow each other."""
        segment = jobs[0].segment
        assert segment is not None
        offset = jobs[0].offset
        data = jobs[0].data if len(jobs) == 1 else b"".join([job.data for job in jobs])
        end = offset + len(data)
        if end > segment.allocated_end:
            stepped = (end + STEP_BYTES - 1) // STEP_BYTES * STEP_BYTES
            allocated_end = max(end, min(stepped, self._segment_bytes))
            data += bytes(allocated_end - end)
        else:
            allocated_end = segment.allocated_end
        name = segment_name(segment.number)
        try:
            self._files.write(segment.handle, offset, data)
        except OSError as error:
            text = f"{name} cannot be written: {reason(error)}"
            if self._is_shared:
                raise _failed(UNKNOWN, text, error) from None
            raise self._take_back(segment, offset, text) from None
        self._sync(segment.handle, name)
        segment.allocated_end = allocated_end

    def _take_back(self, segment: Segment, offset: int, text: str) -> WriteError:
        """Something of a write may be there: make its first frame none, so that nothing of it ever counts."""
        try:
            size = self._files.size(segment.handle)
            if size <= offset:
                return WriteError(
                    REFUSED, text
                )  # nothing is there, and on a full disk there is no room for zeros either
            self._files.write(segment.handle, offset, ZEROED_HEAD[: size - offset])
        except OSError:
            return WriteError(UNKNOWN, text)
        try:
            self._sync(segment.handle, segment_name(segment.number))
        except WriteError as error:
            return error
        return WriteError(REFUSED, text)

    def begin(self, start: SegmentStart) -> None:
        """Create a segment. It has its name only when all of its beginning is durable. Raises WriteError."""
        files = self._files
        name = segment_name(start.segment.number)
        new_name = name + files.new_suffix
        try:
            if start.spare:
                files.rename(start.spare, new_name)
                handle = files.open(new_name, True)
            else:
                handle = files.create(new_name)
            start.segment.handle = handle
            size = files.size(handle)
            files.write(handle, 0, start.data)
            start.segment.allocated_end = max(size, len(start.data))
        except OSError as error:
            raise _failed(REFUSED, f"{name} cannot be created: {reason(error)}", error) from None
        self._sync(handle, new_name)
        try:
            files.rename_new(new_name, name)
        except FileExistsError:
            raise NameTakenError(FATAL, f"{name} is there already: another server writes to this journal") from None
        except OSError as error:
            raise _failed(REFUSED, f"{name} cannot be created: {reason(error)}", error) from None
        try:
            files.sync_directory()
        except OSError as error:
            raise _failed(FATAL, sync_failed("the directory", error), error) from None

    def _sync(self, handle: int, name: str) -> None:
        try:
            self._files.sync(handle)
        except OSError as error:
            raise _failed(FATAL, sync_failed(name, error), error) from None


def _failed(outcome: int, text: str, error: OSError) -> WriteError:
    """How a call ended that raised `error`: for good, when that says that the files are somebody else's."""
    return WriteError(FATAL, reason(error)) if isinstance(error, LockLostError) else WriteError(outcome, text)


def sync_failed(what: str, error: OSError) -> str:
    """Why the store stops for good: trying again could succeed without having written anything."""
    return (
        f"{what} cannot be synced ({reason(error)}): what is on the disk is not known any more; "
        "check the disk, then start again"
    )


def reason(error: OSError) -> str:
    """What the system says, without the path."""
    return (error.strerror or str(error)).lower()
