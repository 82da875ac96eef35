"""A walk over one segment: what counts, what is damage, and what is a torn end."""

import pytest

from durabus.stores.file.frame import Frame
from durabus.stores.file.head import Mark
from durabus.stores.file.layout import decode_header
from durabus.stores.file.salvage import Content
from durabus.stores.file.scanning import Scan, lost
from durabus.stores.file.segment import Segment
from durabus.testing.disk import SimulatedDisk
from tests.stores.file.damage_steps import ACTIVE
from tests.stores.file.journal_steps import Desk, batch_of, desk_on, frames_of, run_of


def together(count: int) -> bytes:
    """A segment with a message in each of `count` frames, none of which knows of another that it is durable."""
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(1, 1, 10)
    jobs = [desk.journal.prepare(batch_of(run_of(1, sequence, 1, 10))) for sequence in range(2, count + 1)]
    desk.end(*jobs)
    return desk.disk.contents()[ACTIVE]


WHOLE = together(6)
FRAMES = frames_of(WHOLE, ACTIVE)  # the snapshot, then one for each message


def segment() -> Segment:
    header = decode_header(WHOLE, ACTIVE)
    assert header is not None
    return Segment(header, -1)


def scanned(data: bytes, limit: int = 0, frames_end: int = 0, mark: Mark | None = None) -> tuple[list[int], Scan]:
    """The numbers of all frames that count."""
    scan = Scan(Content(bytearray(data), []), segment(), limit, frames_end, mark)
    found: list[int] = []
    while (frame := scan.next()) is not None:
        found.append(frame.head.number)
    return found, scan


def marked(frame: Frame) -> Mark:
    """The mark that says that `frame` was durable."""
    return Mark(1, segment().header.salt, frame.head.number, frame.head.end, frame.head.crc)


def broken(data: bytes, *frames: Frame) -> bytes:
    changed = bytearray(data)
    for frame in frames:
        changed[frame.head.offset + 70] ^= 1
    return bytes(changed)


def without_body(data: bytes, frame: Frame) -> bytes:
    changed = bytearray(data)
    changed[frame.places[0].bodies_offset] ^= 1
    return bytes(changed)


NUMBERS = [frame.head.number for frame in FRAMES]


def test_all_of_a_whole_one() -> None:
    for arguments in ((0, 0, None), (FRAMES[-1].head.end, NUMBERS[-1] + 1, None), (0, 0, marked(FRAMES[4]))):
        found, scan = scanned(WHOLE, *arguments)
        assert (found, scan.damage, scan.regions) == (NUMBERS, [], [])
        assert (scan.offset, scan.number, scan.crc) == (
            FRAMES[-1].head.end,
            NUMBERS[-1] + 1,
            FRAMES[-1].head.crc,
        )


def test_a_frame_of_which_nobody_knows_that_it_was_durable_is_the_end() -> None:
    found, scan = scanned(broken(WHOLE, FRAMES[3]))
    assert (found, scan.damage, scan.offset) == (NUMBERS[:3], [], FRAMES[3].head.offset)


def test_what_the_mark_knows_to_be_durable_is_damaged_and_what_leads_to_it_counts() -> None:
    for last in (3, 4, 6):
        found, scan = scanned(broken(WHOLE, FRAMES[3]), mark=marked(FRAMES[last]))
        assert found == NUMBERS[:3] + NUMBERS[4:], last
        start, end = FRAMES[3].head.offset, FRAMES[3].head.end
        assert scan.regions == [(start, end)]
        assert scan.damage == [f"{ACTIVE} is damaged from byte {start} to {end}: {lost(NUMBERS[3], NUMBERS[3])}"]


def test_a_mark_of_what_comes_before_says_nothing() -> None:
    found, scan = scanned(broken(WHOLE, FRAMES[3]), mark=marked(FRAMES[2]))
    assert (found, scan.damage) == (NUMBERS[:3], [])


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_when_nothing_is_left_up_to_the_mark_it_goes_on_behind_it(is_cut_off: bool) -> None:
    """So that what is written next is where later starts look for it."""
    data = broken(WHOLE, *FRAMES[3:])
    if is_cut_off:
        data = data[: FRAMES[3].head.offset + 8]
    found, scan = scanned(data, mark=marked(FRAMES[5]))
    assert found == NUMBERS[:3]
    assert (scan.offset, scan.number, scan.crc) == (FRAMES[5].head.end, NUMBERS[5] + 1, FRAMES[5].head.crc)
    name_and_place = f"{ACTIVE} is damaged from byte {FRAMES[3].head.offset} to {FRAMES[5].head.end}"
    assert scan.damage[-1] == f"{name_and_place}: {lost(NUMBERS[3], NUMBERS[5])}"
    assert (f"{ACTIVE} is cut off at byte {len(data)} of {FRAMES[5].head.end}" in scan.damage) == is_cut_off
    assert scan.regions == [(FRAMES[3].head.offset, min(FRAMES[5].head.end, len(data)))]


def test_a_frame_of_a_former_life_between_damaged_ones_does_not_count() -> None:
    """It does not lead to the mark: so it is one that was cut off once, whatever its number."""
    data = bytearray(broken(WHOLE, *FRAMES[2:5]))
    stale = WHOLE[FRAMES[6].head.offset : FRAMES[6].head.end]
    at = FRAMES[3].head.offset
    data[at : at + len(stale)] = stale  # valid, of this segment, with a later number, at a wrong place
    found, scan = scanned(bytes(data), mark=marked(FRAMES[5]))
    assert found == [*NUMBERS[:2], NUMBERS[5], NUMBERS[6]]
    assert scan.regions == [(FRAMES[2].head.offset, FRAMES[5].head.offset)]


def test_a_body_counts_as_lost_where_its_frame_was_durable() -> None:
    data = without_body(WHOLE, FRAMES[6])
    found, scan = scanned(data)
    assert (found, scan.damage) == (NUMBERS[:6], [])
    place = FRAMES[6].places[0]
    for arguments in ((FRAMES[6].head.end, NUMBERS[6] + 1, None), (0, 0, marked(FRAMES[6]))):
        found, scan = scanned(data, *arguments)
        assert (found, scan.damage) == (NUMBERS, [f"{ACTIVE}: message 6 of channel 1 is damaged"])
        assert scan.regions == [(place.bodies_offset, place.bodies_offset + place.bodies_bytes)]


def test_what_is_cut_off_is_found_so_that_it_can_be_made_to_count_never() -> None:
    found, scan = scanned(broken(WHOLE, FRAMES[3]))
    assert found == NUMBERS[:3]
    assert scan.stale_frames() == [frame.head.offset for frame in FRAMES[4:]]
    assert scanned(WHOLE)[1].stale_frames() == []


def test_a_start_makes_what_was_cut_off_count_never() -> None:
    """Else, were the frames between damaged later, what was never acknowledged would come back."""
    desk, _ = desk_on(SimulatedDisk())
    disk = SimulatedDisk()
    disk.put(ACTIVE, broken(WHOLE, FRAMES[3]))
    desk = Desk(disk)
    assert desk.open().damage == []
    assert desk.sequences(1) == [1, 2]
    data = disk.durable_contents()[ACTIVE]
    for frame in FRAMES[4:]:
        assert data[frame.head.offset : frame.head.offset + 64] == bytes(64)


def test_what_cannot_be_read_is_named_wherever_it_is() -> None:
    content = Content(bytearray(WHOLE), [(4000, 4096, "input/output error")])
    assert Scan(content, segment()).damage == [f"{ACTIVE} cannot be read from byte 4000 to 4096: input/output error"]
