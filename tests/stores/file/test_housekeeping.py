"""Slow work: second copies, indexes that are made again, and what may go when."""

import contextlib
import errno
import os
import random

import pytest

from durabus.stores.file.head import Mark, read_head
from durabus.stores.file.layout import head_name, head_number, index_name, segment_name, segment_number
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import disk_with, served, several_segments, uncopied
from tests.stores.file.journal_steps import Desk, batch_of, body, desk_on, frames_of, run_of, segments_of


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def copies(desk: Desk) -> list[int]:
    return [head_number(name) for name in desk.files.names() if head_number(name)]


def segments(desk: Desk) -> list[int]:
    return [segment_number(name) for name in desk.files.names() if segment_number(name)]


def second_segment(desk: Desk) -> None:
    """Fill the first segment with what is not wanted when the second one begins; its tasks are not done."""
    for sequence in (1, 2, 3):
        batch = batch_of(run_of(1, sequence, 1, 1500), floors={1: sequence + 1})
        job = desk.journal.prepare(batch)
        desk.journal.writer.write([job])
        desk.journal.complete(job)


# Second copies


def test_nothing_goes_before_the_next_segment_has_its_second_copy() -> None:
    desk, _ = desk_on(SimulatedDisk())
    second_segment(desk)
    assert segments(desk) == [1, 2]
    tasks = desk.journal.take_tasks()
    for task in tasks:
        task.run()
        assert segments(desk) == [1, 2]
    assert copies(desk) == [1, 2]
    for task in tasks:
        task.finish("")
    desk.tasks()
    assert segments(desk) == [2]


@pytest.mark.parametrize("kind", ["create", "write", "sync", "rename", "sync_directory"])
def test_where_there_is_no_room_for_it_room_is_made(kind: str) -> None:
    """Else a full disk could never get empty again."""
    desk, _ = desk_on(SimulatedDisk())
    second_segment(desk)
    desk.disk.fail(1, full(), kind=kind, repeated=True)  # type: ignore[arg-type]
    for task in desk.journal.take_tasks():
        with contextlib.suppress(OSError):
            task.run()
        task.finish("no space left on device")
    assert desk.disk.failures > 0
    desk.disk.heal()
    desk.tasks()
    assert segments(desk) == [2]
    again, recovered = desk_on(desk.disk.kill())
    assert recovered.damage == []
    assert copies(again) == [2]


def test_a_dropped_segment_takes_its_copy_with_it() -> None:
    desk, _ = desk_on(SimulatedDisk())
    for _ in range(40):
        desk.publish(1, 1, 600, floor=max(1, desk.lasts.get(1, 0) - 3))
    assert len(segments(desk)) <= 3
    assert copies(desk) == segments(desk)
    assert [head_name(number) for number in segments(desk)] == [n for n in desk.files.names() if head_number(n)]


def test_a_directory_of_before_there_were_copies_gets_them_at_its_first_start() -> None:
    content = several_segments(4)
    whole = served(desk_on(disk_with(content))[0])
    disk = disk_with(uncopied(content))
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    assert served(desk) == whole
    assert copies(desk) == [1, 2, 3, 4]
    for number in (1, 2, 3, 4):
        head = read_head(desk.files, number, True)
        assert head.header is not None
        assert (head.snapshot is not None) == (number == 4), "that of the newest one is what is needed"
    mark = read_head(desk.files, 4, False).mark
    assert mark is not None
    assert mark.end == desk.journal._segments[4].end
    calls = len(disk.calls)
    again = disk.kill()
    desk_on(again)
    assert [name for kind, name in again.calls if kind == "create" and head_number(name.removesuffix(".new"))] == []
    assert calls > 0


def test_a_copy_that_does_not_fit_its_segment_is_made_again() -> None:
    content = several_segments(3)
    disk = disk_with({**content, head_name(2): content[head_name(3)], head_name(3): content[head_name(1)]})
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    for number in (2, 3):
        head = read_head(desk.files, number, False)
        assert head.header is not None and head.header.crc == desk.journal._segments[number].header.crc


def test_each_start_marks_what_it_has_found() -> None:
    disk = disk_with(several_segments(2))
    desk, _ = desk_on(disk)
    mark = read_head(desk.files, 2, False).mark
    assert mark is not None
    assert (mark.frame_number, mark.end) == (desk.journal._frame_number, desk.journal._segments[2].end)


def test_a_compacted_segment_has_a_copy_that_says_where_it_ends() -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(2)
    for _ in range(40):
        desk.publish(1, 2, 300, floor=max(1, desk.lasts.get(1, 0) - 3))
    compacted = [one for one in desk.journal._segments.values() if one.header.is_compacted]
    assert compacted
    for one in compacted:
        head = read_head(desk.files, one.number, False)
        assert head.header is not None and head.header.crc == one.header.crc
        assert isinstance(head.mark, Mark) and head.mark.end == one.end


def test_a_file_whose_new_name_is_not_durable_is_not_used_again() -> None:
    """After a power cut it could have its old name, and what was written since."""
    desk, _ = desk_on(SimulatedDisk())
    second_segment(desk)
    copying = desk.journal.take_tasks()
    for task in copying:
        task.run()
        task.finish("")
    desk.disk.fail(1, full(), kind="sync_directory", chance=random.Random(1))
    desk.may_fail = True
    desk.tasks()
    assert not [name for name in desk.files.names() if name.startswith("durabus-spare")]
    desk.open()
    desk.publish(2, 1, 3500)
    desk.publish(2, 1, 3500)
    for seed in range(20):
        again, recovered = desk_on(desk.disk.cut_power(random.Random(seed)))
        assert recovered.damage == []
        assert again.sequences(2) == [1, 2]


# Indexes


def test_an_index_that_cannot_be_made_again_leaves_holes_until_the_next_start() -> None:
    content = several_segments(3)
    name = index_name(1)
    content[name] = content[name][:-32] + bytes(32)
    disk = disk_with(content)
    desk, _ = desk_on(disk)
    segment = desk.journal._segments[1]
    task = desk.journal.mending(segment)
    disk.fail(1, OSError(errno.EMFILE, os.strerror(errno.EMFILE)), kind="read", repeated=True)
    with pytest.raises(OSError, match="Too many open files"):
        task.run()
    disk.heal()
    task.finish("too many open files")
    assert segment.readers == 0
    assert desk.journal.missing(1, 1) > 0
    assert desk.page(1, 1) == []
    again, _ = desk_on(disk.kill())
    assert again.sequences(1)[0] == 1


def test_damage_that_shows_when_an_index_is_made_again_is_told() -> None:
    content = several_segments(3)
    name, index = segment_name(2), index_name(2)
    head = frames_of(content[name], name)[3].head
    content[name] = content[name][: head.offset] + bytes(60) + content[name][head.offset + 60 :]
    content[index] = content[index][: 64 + 3 * 64] + bytes(len(content[index]) - 64 - 3 * 64)
    desk = Desk(disk_with(content))
    desk.journal.open(desk.reports.append)
    segment = desk.journal._segments[2]
    task = desk.journal.mending(segment)
    task.run()
    task.finish("")
    assert any(f"{name} is damaged from byte" in text for text in desk.journal.findings)


def test_a_copy_task_ends_well_when_its_segment_goes_meanwhile() -> None:
    desk, _ = desk_on(SimulatedDisk())
    second_segment(desk)
    copying = desk.journal.take_tasks()
    for sequence in (4, 5, 6):
        job = desk.journal.prepare(batch_of(run_of(1, sequence, 1, 1500), floors={1: sequence + 1}))
        desk.journal.writer.write([job])
        desk.journal.complete(job)
    for task in copying:
        task.run()
        task.finish("")
    desk.tasks()
    assert segments(desk) == segments_of_active(desk)
    assert desk_on(desk.disk.kill())[1].damage == []


def segments_of_active(desk: Desk) -> list[int]:
    return [segment_number(segments_of(desk.disk.contents())[-1])]


def test_two_servers_ago_left_a_spare_and_a_copy_that_belong_to_nothing() -> None:
    content = {**several_segments(2), head_name(1 << 20): b"?", "durabus-spare-7": b"x", "durabus-spare-8": b"y"}
    disk = disk_with(content)
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    assert "durabus-spare-8" not in disk.contents()
    desk.publish(1, 1, 3000)
    desk.publish(1, 1, 3000)
    assert segments(desk)[-1] > 1 << 20, "a number that was used, as far as one can see, is not used again"
    assert SimulatedFiles(disk).names() != []


def test_segments_that_died_later_are_compacted_while_new_ones_begin() -> None:
    desk, _ = desk_on(SimulatedDisk())
    for _ in range(60):
        desk.publish(1, 3, 300, floor=max(1, desk.lasts.get(1, 0) - 8))
        desk.publish(2, 1, 10)
    compacted = [one for one in desk.journal._segments.values() if one.header.is_compacted]
    assert len(compacted) > len(segments(desk)) // 2
    assert desk.sequences(2) == list(range(1, 61))
    again, recovered = desk_on(desk.disk.kill())
    assert recovered.damage == []
    assert again.sequences(2) == list(range(1, 61))


def test_a_damaged_segment_is_tried_once() -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(2, 1, 10)
    data = desk.disk.contents()[segment_name(1)]
    handle = desk.files.open(segment_name(1), True)
    desk.files.write(handle, data.index(body(2, 1)), b"?")
    for _ in range(60):
        desk.publish(1, 3, 300, floor=max(1, desk.lasts.get(1, 0) - 8))
        desk.publish(2, 1, 10)
    created = [name for kind, name in desk.disk.calls if kind == "create"]
    assert created.count(segment_name(1) + ".new") == 2, "when it began, and once to be written again"
    told = [text for text in desk.journal.findings if "cannot be made smaller" in text]
    assert len(told) == 1
    assert told[0].startswith(f"{segment_name(1)} cannot be made smaller, for a message in it is damaged")
    assert desk.sequences(2) == list(range(2, 62))


def test_a_damaged_segment_is_tried_again_when_less_of_it_is_wanted() -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(2, 1, 10)
    desk.publish(2, 1, 200)
    data = desk.disk.contents()[segment_name(1)]
    handle = desk.files.open(segment_name(1), True)
    desk.files.write(handle, data.index(body(2, 1)), b"?")
    for round_number in range(60):
        desk.publish(1, 3, 300, floor=max(1, desk.lasts.get(1, 0) - 8))
        if round_number == 40:
            desk.put(batch_of(floors={2: 2}))
    size = len(desk.disk.contents()[segment_name(1)])
    assert size < 1000, "the damaged message is not wanted any more"
    assert desk.sequences(2) == [2]
