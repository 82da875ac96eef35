"""Making frames durable: what is on the disk when it says so, and what it says when a call fails (FORMAT.md §7)."""

import errno
import os
import random

import pytest

from durabus.stores.file.files import LockLostError
from durabus.stores.file.frame import Frame, FrameHead, Part, decode_frame, encode_frame
from durabus.stores.file.layout import HEADER_BYTES, SegmentHeader, decode_header, encode_header
from durabus.stores.file.segment import Segment
from durabus.stores.file.writer import STEP_BYTES, Job, NameTakenError, SegmentStart, WriteError, Writer, reason
from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN
from durabus.testing.disk import SimulatedDisk, SimulatedFiles

SEGMENT_BYTES = 16 * 1024
NAME = "durabus-0000000001.segment"
NEXT = "durabus-0000000002.segment"
SALT = 7


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


class Desk:
    """A writer on a simulated disk, and frames for it: each holds one message of channel 1."""

    def __init__(self, capacity_bytes: int | None = None, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.disk = SimulatedDisk(capacity_bytes)
        self.files = SimulatedFiles(self.disk)
        self.writer = Writer(self.files, segment_bytes)
        self.segment = Segment(SegmentHeader(0, 1, 1, 0, SALT), -1)
        self.number = 0
        self.crc = 0

    def job(self, size: int = 100) -> Job:
        """The next frame, in the segment that is active."""
        self.number += 1
        job = Job(self.number)
        head = FrameHead()
        head.number, head.offset, head.previous_crc = self.number, self.segment.end, self.crc
        body = b"%d." % self.number + b"x" * size
        job.data = encode_frame(Frame(head), [Part(1, self.number, [body], [(0, 1)], 0)], SALT)
        job.segment, job.offset = self.segment, self.segment.end
        self.segment.end, self.crc = head.end, head.crc
        return job

    def first_job(self, spare: str = "", size: int = 100) -> Job:
        """A frame in a new segment."""
        header = SegmentHeader(self.segment.number + 1, 1, self.number + 1, self.segment.end, SALT)
        self.segment = Segment(header, -1)
        data = encode_header(header)
        self.crc = header.crc
        job = self.job(size)
        job.start = SegmentStart(self.segment, data, spare)
        return job

    def failure(self, jobs: list[Job]) -> WriteError:
        with pytest.raises(WriteError) as caught:
            self.writer.write(jobs)
        return caught.value


def failure_of(desk: Desk, jobs: list[Job]) -> WriteError | None:
    """What writing `jobs` fails with, if it does."""
    try:
        desk.writer.write(jobs)
    except WriteError as error:
        return error
    return None


def frames(content: dict[str, bytes], name: str = NAME) -> list[int]:
    """The numbers of the frames in a segment."""
    data = content.get(name, b"")
    header = decode_header(data, name)
    found: list[int] = []
    offset, crc = HEADER_BYTES, header.crc if header is not None else 0
    while (frame := decode_frame(memoryview(data), offset, len(data), SALT)) is not None:
        if frame.head.previous_crc != crc:
            break
        found.append(frame.head.number)
        offset, crc = frame.head.end, frame.head.crc
    return found


def started(capacity_bytes: int | None = None) -> Desk:
    """With one segment, and one frame in it."""
    desk = Desk(capacity_bytes)
    desk.writer.write([desk.first_job()])
    return desk


# What is durable


def test_what_was_written_is_durable() -> None:
    desk = started()
    desk.writer.write([desk.job(), desk.job()])
    desk.writer.write([desk.job()])
    assert frames(desk.disk.durable_contents()) == [1, 2, 3, 4]


@pytest.mark.row(148)
def test_all_that_waits_takes_one_write_and_one_sync() -> None:
    desk = started()
    before = len(desk.disk.calls)
    desk.writer.write([desk.job() for _ in range(20)])
    assert desk.disk.calls[before:] == [("write", NAME), ("sync", NAME)]


def test_nothing_to_write_is_nothing_to_do() -> None:
    desk = started()
    before = len(desk.disk.calls)
    desk.writer.write([])
    assert len(desk.disk.calls) == before


def test_a_segment_has_its_name_only_when_its_beginning_is_durable() -> None:
    desk = Desk()
    desk.writer.write([desk.first_job()])
    new = NAME + ".new"
    assert [call for call in desk.disk.calls if call[0] not in ("size", "open")] == [
        ("create", new),
        ("write", new),
        ("sync", new),
        ("rename_new", new),
        ("sync_directory", ""),
        ("write", NAME),
        ("sync", NAME),
    ]


def test_frames_of_two_segments_in_one_go() -> None:
    desk = started()
    desk.writer.write([desk.job(), desk.job(), desk.first_job(), desk.job()])
    found = desk.disk.durable_contents()
    assert (frames(found), frames(found, NEXT)) == ([1, 2, 3], [4, 5])
    calls = desk.disk.calls
    assert calls.index(("sync", NAME), calls.index(("create", NEXT + ".new")) - 2) < calls.index(
        ("create", NEXT + ".new")
    )


# Space


def test_blocks_are_allocated_before_they_are_needed_and_not_beyond_the_segment() -> None:
    desk = Desk(segment_bytes=3 * STEP_BYTES // 2)
    desk.writer.write([desk.first_job()])
    sizes = [len(desk.disk.contents()[NAME])]
    for _ in range(4):
        desk.writer.write([desk.job(STEP_BYTES // 2)])
        sizes.append(len(desk.disk.contents()[NAME]))
    end = desk.segment.end
    assert sizes[:3] == [STEP_BYTES, STEP_BYTES, 3 * STEP_BYTES // 2]
    assert sizes[4] == end > 3 * STEP_BYTES // 2
    assert frames(desk.disk.durable_contents()) == [1, 2, 3, 4, 5]


def test_most_writes_do_not_change_the_size() -> None:
    desk = started()
    size = len(desk.disk.contents()[NAME])
    for _ in range(20):
        desk.writer.write([desk.job()])
    assert len(desk.disk.contents()[NAME]) == size == SEGMENT_BYTES


def test_a_spare_is_used_again_as_it_is() -> None:
    desk = started()
    while desk.segment.end < SEGMENT_BYTES - 400:
        desk.writer.write([desk.job()])
    former = frames(desk.disk.contents())
    desk.files.rename(NAME, "durabus-spare-1")
    desk.writer.write([desk.first_job("durabus-spare-1")])
    assert sorted(desk.disk.contents()) == [NEXT]
    assert len(desk.disk.contents()[NEXT]) == SEGMENT_BYTES
    assert desk.segment.allocated_end == SEGMENT_BYTES
    assert frames(desk.disk.durable_contents(), NEXT) == [former[-1] + 1]


# Failures


@pytest.mark.parametrize("partial", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_write_that_fails_is_refused_and_nothing_of_it_counts(partial: float) -> None:
    for batches in (1, 3):
        desk = started()
        desk.disk.fail(1, full(), kind="write", partial=partial)
        error = desk.failure([desk.job() for _ in range(batches)])
        assert (error.outcome, error.durable_count) == (REFUSED, 0)
        assert str(error) == f"{NAME} cannot be written: no space left on device"
        assert frames(desk.disk.contents()) == [1]
        assert frames(desk.disk.durable_contents()) == [1]
        for seed in range(20):
            assert frames(desk.disk.cut_power(random.Random(seed)).contents()) == [1]


def test_a_write_that_cannot_be_taken_back_is_unknown() -> None:
    desk = started()
    desk.disk.fail(1, broken(), kind="write", partial=1.0, repeated=True)
    error = desk.failure([desk.job()])
    assert error.outcome == UNKNOWN
    assert str(error) == f"{NAME} cannot be written: input/output error"


def test_a_write_that_cannot_be_taken_back_for_good_is_fatal() -> None:
    desk = started()
    desk.disk.fail(1, full(), kind="write", partial=1.0)
    desk.disk.fail(1, broken(), kind="sync")
    error = desk.failure([desk.job()])
    assert error.outcome == FATAL


def test_a_sync_that_fails_is_fatal_and_stays_so() -> None:
    desk = started()
    desk.disk.fail(1, broken(), kind="sync")
    error = desk.failure([desk.job()])
    assert error.outcome == FATAL
    assert str(error) == (
        f"{NAME} cannot be synced (input/output error): what is on the disk is not known any more; "
        "check the disk, then start again"
    )
    before = len(desk.disk.calls)
    for _ in range(3):
        again = desk.failure([desk.job()])
        assert (again.outcome, str(again)) == (FATAL, str(error))
    assert len(desk.disk.calls) == before


@pytest.mark.parametrize("is_new", [False, True])
def test_after_a_failure_nothing_is_written_any_more(is_new: bool) -> None:
    desk = started()
    desk.disk.fail(1, full(), kind="write")
    error = desk.failure([desk.job()])
    before = len(desk.disk.calls)
    again = desk.failure([desk.first_job() if is_new else desk.job()])
    assert (again.outcome, str(again)) == (REFUSED, str(error))
    assert len(desk.disk.calls) == before


def test_after_an_unknown_outcome_later_jobs_are_refused() -> None:
    desk = started()
    desk.disk.fail(1, broken(), kind="write", repeated=True)
    assert desk.failure([desk.job()]).outcome == UNKNOWN
    desk.disk.heal()
    assert desk.failure([desk.job()]).outcome == REFUSED


BEGINNING = ["create", "size", "write", "sync", "rename_new", "sync_directory"]


@pytest.mark.parametrize("partial", [0.0, 1.0])
@pytest.mark.parametrize("kind", BEGINNING)
def test_a_segment_that_cannot_begin(kind: str, partial: float) -> None:
    """Its frames are refused as long as no sync failed; and what was durable before stays, and counts."""
    desk = started()
    before = desk.job()
    skipped = 1 if kind in ("write", "sync") else 0  # the frame before comes first
    desk.disk.fail(1 + skipped, full(), kind=kind, partial=partial)  # type: ignore[arg-type]
    error = desk.failure([before, desk.first_job(), desk.job()])
    assert error.outcome == (FATAL if kind.startswith("sync") else REFUSED)
    assert error.durable_count == 1
    assert NEXT in str(error) or kind == "sync_directory"
    assert "no space left on device" in str(error)
    assert frames(desk.disk.durable_contents()) == [1, 2]
    assert frames(desk.disk.contents(), NEXT) == []
    if error.outcome == REFUSED and not (kind == "rename_new" and partial):
        assert NEXT not in desk.disk.contents()


def test_a_segment_that_somebody_else_has_begun_stays_as_it_is() -> None:
    desk = started()
    desk.disk.put(NEXT, b"another server's")
    error = desk.failure([desk.job(), desk.first_job()])
    assert isinstance(error, NameTakenError)
    assert (error.outcome, error.durable_count) == (FATAL, 1)
    assert desk.disk.contents()[NEXT] == b"another server's"


@pytest.mark.parametrize("partial", [0.0, 0.5, 1.0])
def test_in_a_group_nothing_is_taken_back(partial: float) -> None:
    """What was written is there for the next owner, who may count it: so how it ended is unknown."""
    desk = started()
    desk.writer = Writer(desk.files, SEGMENT_BYTES, is_shared=True)
    desk.disk.fail(1, full(), kind="write", partial=partial)
    assert desk.failure([desk.job(), desk.job(2000)]).outcome == UNKNOWN
    assert frames(desk.disk.contents()) == ([1, 2, 3] if partial else [1])


def test_files_that_became_somebody_elses_are_lost_for_good() -> None:
    for kind in ("write", "sync", "rename_new", "sync_directory"):
        desk = started()
        desk.disk.fail(1, LockLostError(errno.ESTALE, "lost"), kind=kind)
        desk.writer = Writer(desk.files, SEGMENT_BYTES, is_shared=True)
        error = desk.failure([desk.first_job()])
        assert (error.outcome, str(error)) == (FATAL, "lost")


def test_no_call_that_fails_makes_a_frame_count_that_was_refused() -> None:
    """Whichever call fails: what is reported durable is, what is reported refused is not, wherever the power goes then."""
    for partial in (0.0, 0.5, 1.0):
        for number in range(1, 40):
            desk = started()
            desk.disk.fail(number, full(), partial=partial)
            jobs = [desk.job(), desk.job(), desk.first_job(), desk.job()]
            error = failure_of(desk, jobs)
            durable = 5 if error is None else 1 + error.durable_count
            assert error is None or error.durable_count in (0, 2)
            for seed in range(6):
                found = desk.disk.cut_power(random.Random(seed)).contents()
                both = frames(found) + frames(found, NEXT)
                assert both[:durable] == [1, 2, 3, 4, 5][:durable], (number, partial, seed)
                if error is not None and error.outcome == REFUSED:
                    assert len(both) == durable, (number, partial, seed)
            if desk.disk.failures == 0:
                break
        else:
            raise AssertionError("more calls than expected")


@pytest.mark.parametrize("sectors", range(12))
def test_a_full_disk_refuses_and_nothing_of_it_counts(sectors: int) -> None:
    """However much of it fits."""
    desk = started()
    taken = sum(map(len, desk.disk.contents().values()))
    desk.disk.capacity_bytes = taken + 512 * sectors
    desk.segment.end = desk.segment.allocated_end = taken - 256  # up to here it is full
    desk.files.write(desk.segment.handle, taken - 256, b"\xff" * 256)
    desk.files.sync(desk.segment.handle)
    offset = desk.segment.end
    jobs = [desk.job(3000), desk.job(3000)]
    error = desk.failure(jobs)
    assert error.outcome == REFUSED
    for content in (desk.disk.contents(), desk.disk.durable_contents()):
        data = memoryview(content[NAME])
        assert decode_frame(data, offset, len(data), SALT) is None


@pytest.mark.parametrize("sectors", range(12))
def test_a_disk_full_to_the_last_sector_of_the_segment_refuses(sectors: int) -> None:
    """The segment ends where the frame begins: nothing of it is there, so there is nothing to take back."""
    desk = started()
    taken = sum(map(len, desk.disk.contents().values()))
    desk.disk.capacity_bytes = taken + 512 * sectors
    desk.segment.end = desk.segment.allocated_end = taken
    error = desk.failure([desk.job(3000), desk.job(3000)])
    assert error.outcome == REFUSED
    data = memoryview(desk.disk.contents()[NAME])
    assert decode_frame(data, taken, len(data), SALT) is None


def test_reasons_are_short() -> None:
    assert reason(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "name")) == "no space left on device"
    assert reason(OSError("Something")) == "something"
