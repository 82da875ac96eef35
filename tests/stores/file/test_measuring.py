"""What messages have together: by the index and the tables, to the byte, wherever the range begins and ends."""

import errno
import random

import pytest

from durabus.stores.file.lookup import DamagedIndexError
from durabus.streaming.store_port import Run
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import disk_with, several_segments
from tests.stores.file.journal_steps import Desk, batch_of, body, desk_on, frames_of, segments_of
from tests.stores.file.store_steps import GatedFiles, opened

MUCH = 1 << 40


def measured(desk: Desk, first: int, end: int, enough_bytes: int = 0, channel_id: int = 1) -> tuple[int, int]:
    """What a journal finds out."""
    log = desk.journal.contents.channels[channel_id]
    found = desk.ask(lambda: desk.journal.to_measure(log, first, end, enough_bytes))
    if found is None:
        return first, 0
    answer = found.measure(desk.files)
    for segment in found.segments():
        desk.journal.release(segment)
    return answer


def filled(seed: int = 1) -> tuple[Desk, list[int]]:
    """A journal of some segments in which channel 1 has messages of many sizes among others; and those sizes."""
    chance = random.Random(seed)
    desk, _ = desk_on(SimulatedDisk())
    sizes: list[int] = []
    other = 1
    for _ in range(60):
        run = Run(1, len(sizes) + 1)
        for _ in range(chance.choice((1, 1, 2, 5, 30))):
            run.bodies.append(body(1, len(sizes) + 1, chance.randrange(90)))
            sizes.append(len(run.bodies[-1]))
        run.stamps = [(0, 1000 * len(sizes))]
        runs = [run]
        if chance.random() < 0.5:
            runs.append(Run(2, other, [body(2, other)], [(0, 1000 * len(sizes))]))
            other += 1
        desk.put(batch_of(*runs))
    assert len(segments_of(desk.disk.contents())) > 3
    return desk, sizes


def test_every_range_is_the_sum_of_its_messages() -> None:
    desk, sizes = filled()
    chance = random.Random(2)
    for _ in range(500):
        first = chance.randint(1, len(sizes))
        end = chance.randint(first + 1, len(sizes) + 1)
        assert measured(desk, first, end) == (end, sum(sizes[first - 1 : end - 1]))
    assert measured(desk, 5, 5) == (5, 0)
    assert {segment.readers for segment in desk.journal._segments.values()} == {0}


def test_as_many_of_the_oldest_as_are_enough() -> None:
    desk, sizes = filled(3)
    chance = random.Random(4)
    for _ in range(300):
        at, left = chance.randint(1, len(sizes)), chance.choice((1, 2, 50, 500, 3000, MUCH))
        last = chance.randint(at + 1, len(sizes) + 1)
        while left > 0 and at < last:
            end, found = measured(desk, at, last, left)
            assert at < end <= last
            assert found == sum(sizes[at - 1 : end - 1])
            assert found - sizes[end - 2] < left, "one less was enough"
            at, left = end, left - found


def test_it_agrees_with_the_figures_of_a_start_where_messages_are_lost() -> None:
    """What is missing counts with the message before it: floors anywhere lead to the same figures as a start does."""
    desk, sizes = filled(5)
    content = dict(desk.disk.contents())
    names = segments_of(content)
    name = names[1]
    frame = frames_of(content[name], name)[2]
    at = frame.head.offset
    content[name] = content[name][: at + 70] + b"\xff" * 8 + content[name][at + 78 :]
    for floor in (1, frame.places[0].first - 1, frame.places[0].first, frame.places[0].first + 1, len(sizes) - 3):
        whole, recovered = desk_on(disk_with(content))
        (before,) = (found.stored_bytes for found in recovered.channels if found.channel_id == 1)
        dropped = measured(whole, 1, floor)[1]
        whole.put(batch_of(floors={1: floor}))
        _, recovered = desk_on(disk_with(dict(whole.disk.contents())))
        (after,) = (found.stored_bytes for found in recovered.channels if found.channel_id == 1)
        assert before - dropped == after


def test_a_damaged_index_is_told() -> None:
    content = dict(several_segments(4))
    name = next(one for one in sorted(content) if one.endswith(".index"))
    content[name] = content[name][:-32] + bytes(32)
    desk = Desk(disk_with(content))
    desk.journal.open(desk.reports.append)
    log = desk.journal.contents.channels[1]
    found = 0
    for first in range(log.first, log.last + 1):
        try:
            wanted = desk.journal.to_measure(log, first, log.last + 1, 0)
        except DamagedIndexError:
            found += 1
        else:
            assert wanted is not None
            for segment in wanted.segments():
                desk.journal.release(segment)
    size = measured(desk, log.first, log.last + 1)
    assert size[1] == sum(len(one) for one in desk.messages(1).values())
    assert {segment.readers for segment in desk.journal._segments.values()} == {0}


@pytest.mark.parametrize("enough_bytes", [0, MUCH])
def test_what_is_being_measured_stays_until_that_is_done(enough_bytes: int) -> None:
    """Its segments are neither dropped nor compacted, though a floor above them is durable."""
    desk, sizes = filled(6)
    log = desk.journal.contents.channels[1]
    before = segments_of(desk.disk.contents())
    log.measured.append(1)
    desk.put(batch_of(floors={1: len(sizes), 2: 10_000}))
    desk.publish(2, 40, 200)
    assert segments_of(desk.disk.contents())[: len(before)] == before
    at, total = 1, 0
    while at < len(sizes):
        at, found = measured(desk, at, len(sizes), enough_bytes)
        total += found
    assert total == sum(sizes[:-1])
    log.measured.remove(1)
    desk.journal.let_go(log)
    desk.tasks()
    assert len(segments_of(desk.disk.contents())) < len(before)


async def test_the_store_keeps_what_it_measures_and_then_lets_go_of_it() -> None:
    disk = SimulatedDisk()
    files = GatedFiles(disk, "read")
    async with opened(files) as desk:
        for _ in range(30):
            await desk.put(10, 40)
        sizes = [len(body(1, sequence, 40)) for sequence in range(1, 301)]
        before = segments_of(disk.contents())
        await desk.probe.measured(
            desk.probe.ask_measure(1, 5, 251, 0)
        )  # from now on the indexes are known to be readable
        files.gate.clear()
        request = desk.probe.ask_measure(1, 5, 251, 0)
        await files.wait_for_one()
        floor = desk.submit(batch=batch_of(floors={1: 295}))
        await desk.probe.wait_ended(floor)
        assert before[0] in files.names()
        within: list[int] = []
        desk.probe.at_measured = lambda: within.append(desk.probe.ask_measure(1, 7, 295, 0))
        files.gate.set()
        assert await desk.probe.measured(request) == (251, sum(sizes[4:250]))
        assert await desk.probe.measured(within[0]) == (295, sum(sizes[6:294]))
        for _ in range(1000):  # what is to go is looked at when something is written
            await desk.put()
            if before[0] not in files.names():
                break
    assert before[0] not in files.names()


async def test_what_cannot_be_read_cannot_be_measured() -> None:
    files = SimulatedFiles(SimulatedDisk())
    async with opened(files) as desk:
        await desk.put(10, 40)

        def fail(*call: object) -> bytes:
            raise OSError(errno.EBADF, "no")

        files.read = fail  # type: ignore[method-assign, assignment]
        assert await desk.probe.measured(desk.probe.ask_measure(1, 5, 9, 0)) == (5, 0)


async def test_a_store_that_is_closed_measures_nothing() -> None:
    async with opened(SimulatedFiles(SimulatedDisk())) as desk:
        await desk.put(10, 40)
    assert await desk.probe.measured(desk.probe.ask_measure(1, 5, 9, 0)) == (5, 0)
