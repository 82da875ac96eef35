"""Where messages are found, and what is said where an index or a table does not tell."""

import pytest

from durabus.stores.file.layout import index_name
from durabus.stores.file.lookup import DamagedIndexError
from durabus.testing.disk import SimulatedDisk
from tests.stores.file.damage_steps import disk_with, served, several_segments
from tests.stores.file.journal_steps import MUCH, Desk, desk_on, frames_of, segments_of

WHOLE = several_segments(4)


def with_damaged_index(number: int) -> Desk:
    """A journal of four segments; in the index of one the entries are damaged, which shows when they are used."""
    content = dict(WHOLE)
    name = index_name(number)
    content[name] = content[name][: 64 + 3 * 64] + bytes(len(content[name]) - 64 - 3 * 64)
    desk = Desk(disk_with(content))
    desk.journal.open(desk.reports.append)
    desk.lasts = {channel_id: log.last for channel_id, log in desk.journal.contents.channels.items()}
    return desk


def first_in(desk: Desk, number: int, channel_id: int) -> int:
    log = desk.journal.contents.channels[channel_id]
    return int(log.firsts[list(log.segments).index(number)])


def test_every_question_says_whose_index_is_damaged() -> None:
    desk = with_damaged_index(2)
    journal = desk.journal
    first = first_in(desk, 2, 1)
    for question in (
        lambda: journal.stretches(1, first, 1, MUCH),
        lambda: journal.missing(1, first),
        lambda: journal.seek(1, 1),
    ):
        with pytest.raises(DamagedIndexError, match="the index of segment 2 is damaged") as caught:
            question()
        assert caught.value.segment.number == 2
    assert {segment.readers for segment in journal._segments.values()} == {0}, "nothing is held by who was not answered"


def test_a_page_ends_before_a_damaged_index() -> None:
    """What comes before it can be read; whoever reads on is told."""
    desk = with_damaged_index(2)
    first = first_in(desk, 2, 1)
    stretches = desk.journal.stretches(1, 1, 1000, MUCH)
    assert [stretch.segment.number for stretch in stretches] == [1]
    bodies, lost = desk.journal.reader.read(stretches, MUCH)
    assert (len(bodies), lost) == (first - 1, [])
    for stretch in stretches:
        desk.journal.release(stretch.segment)


def test_when_it_is_made_again_everything_is_found() -> None:
    desk = with_damaged_index(2)
    assert served(desk) == served(desk_on(disk_with(WHOLE))[0])
    assert desk.journal.findings == []
    desk.tasks()
    assert desk.disk.contents()[index_name(2)] == WHOLE[index_name(2)]


def test_at_a_start_it_is_made_again_where_that_is_needed() -> None:
    """The bytes of a channel are known by the run that its first message is in."""
    wanted = {c.channel_id: c.stored_bytes for c in desk_on(disk_with(WHOLE))[1].channels}
    content = dict(WHOLE)
    content[index_name(1)] = content[index_name(1)][:-32] + bytes(32)
    _, recovered = desk_on(disk_with(content))
    assert {c.channel_id: c.stored_bytes for c in recovered.channels} == wanted
    assert recovered.damage == []


@pytest.mark.parametrize("noise", [b"\xff" * 40, bytes(40)])
def test_bytes_are_wrong_by_no_more_than_the_run_whose_table_is_damaged(noise: bytes) -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.publish(1, 10, 20)
    desk.publish(1, 2, 700)
    desk.publish(1, 1, 3000, floor=6)
    content = dict(desk.disk.contents())
    wanted = {c.channel_id: c.stored_bytes for c in desk_on(disk_with(content))[1].channels}
    name = segments_of(content)[0]
    place = frames_of(content[name], name)[1].places[0]
    at = place.lengths_offset
    content[name] = content[name][:at] + noise + content[name][at + 40 :]
    _, recovered = desk_on(disk_with(content))
    (found,) = recovered.channels
    assert abs(found.stored_bytes - wanted[1]) <= place.bodies_bytes
    assert found.stored_bytes > 0
