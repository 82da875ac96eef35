"""Repairing a journal: afterwards nothing damaged is in it, everything that could be read is, and the rest is in a file."""

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores.file.checking import check_journal
from durabus.stores.file.frame import Frame, Place, lengths_of
from durabus.stores.file.layout import head_name, index_name
from durabus.stores.file.repairing import repair_journal
from durabus.stores.findings import CheckReport
from durabus.stores.quarantine import Quarantine
from durabus.streaming.records import encode_server
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SERVER, Cursor
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.busy_steps import Server
from tests.stores.file.damage_steps import changed, disk_with, flipped
from tests.stores.file.journal_steps import Desk, batch_of, desk_on, frames_of, run_of, segments_of
from tests.stores.file.test_checking import ONE, THREE, texts

Contents = dict[int, dict[int, bytes]]


class Aside:
    """A quarantine that is kept in memory."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "quarantine"
        self.quarantine = Quarantine(self.path, "a directory")

    def lines(self) -> list[dict[str, object]]:
        self.quarantine.close()
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repair")


def repaired(disk: SimulatedDisk, folder: Path) -> tuple[CheckReport, CheckReport]:
    aside = Aside(folder)
    try:
        return repair_journal(SimulatedFiles(disk), aside.quarantine, lambda _: None)
    finally:
        aside.quarantine.close()


def served(desk: Desk) -> Contents:
    return {channel_id: desk.messages(channel_id) for channel_id in desk.journal.contents.channels}


def repair_and_compare(content: dict[str, bytes], folder: Path) -> SimulatedDisk:
    """Repair, and see that all that a start would have served is there, and that nothing is found any more."""
    before, _ = desk_on(disk_with(content))
    disk = disk_with(content)
    found, after = repaired(disk, folder)
    # The messages of these tests do not say what their channel is called.
    left = [one.text for one in after.findings if not one.is_lasting and "the record of channel" not in one.text]
    assert left == [], texts(found)
    desk, recovered = desk_on(disk)
    assert recovered.damage == []
    one, two = served(desk), served(before)
    assert {number: list(found) for number, found in one.items()} == {n: list(found) for n, found in two.items()}
    assert one == two
    assert desk.state() == before.state()
    lasts = {one.channel_id: one.last_sequence for one in recovered.channels}
    assert lasts == {log.channel_id: log.last for log in before.journal.contents.channels.values()}
    for channel_id, last in lasts.items():
        desk.publish(channel_id, 2)
        assert desk.sequences(channel_id)[-2:] == [last + 1, last + 2]
    return disk


@given(st.data())
@settings(max_examples=60)
def test_after_any_damage_of_sealed_segments(folder: Path, data: st.DataObject) -> None:
    content = THREE
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(segments_of(THREE)[:-1]))
        end = frames_of(THREE[name], name)[-1].head.end
        at = data.draw(st.integers(0, end - 1))
        content = changed(content, name, at, data.draw(st.binary(min_size=1, max_size=200))[: end - at])
    repair_and_compare(content, folder)


@given(st.integers(0, 3000), st.integers(1, 255))
@settings(max_examples=60)
def test_after_any_damage_of_the_active_segment(folder: Path, at: int, mask: int) -> None:
    (name,) = segments_of(ONE)
    end = frames_of(ONE[name], name)[-1].head.end
    repair_and_compare(flipped(ONE, name, at % end, mask), folder)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_after_a_segment_is_gone(position: int, folder: Path) -> None:
    gone = segments_of(THREE)[position]
    repair_and_compare({name: data for name, data in THREE.items() if name != gone}, folder)


@pytest.mark.parametrize("position", [0, 1])
def test_after_a_head_and_its_copy_are_gone(position: int, folder: Path) -> None:
    name = segments_of(THREE)[position]
    content = flipped(THREE, name, 20)
    del content[head_name(position + 1)]
    repair_and_compare(content, folder)


@pytest.mark.parametrize("seed", range(20))
def test_a_journal_that_was_at_work(seed: int, folder: Path) -> None:
    chance = random.Random(seed)
    server = Server(chance)
    server.steps(80)
    content = dict(server.disk.contents())
    for name in chance.sample(segments_of(content), min(4, len(segments_of(content)))):
        for _ in range(3):
            content = flipped(content, name, chance.randrange(64, len(content[name])))
    repair_and_compare(content, folder)


def spoiled(content: dict[str, bytes], name: str, place: Place, frame: Frame, indexes: list[int]) -> dict[str, bytes]:
    """A damaged frame, with some messages of a run in it damaged, too: the others can be read by the index."""
    content = flipped(content, name, frame.head.offset + 20)
    lengths = lengths_of(place, memoryview(content[name]))
    for index in indexes:
        content = flipped(content, name, place.bodies_offset + sum(lengths[:index]))
    return content


def frames_with(name: str, channel_id: int) -> list[tuple[Place, Frame]]:
    """The runs of a channel in a segment of THREE, with their frames."""
    frames = frames_of(THREE[name], name)
    return [(place, frame) for frame in frames for place in frame.places if place.channel_id == channel_id]


def test_what_is_lost_from_one_segment_to_the_next(folder: Path) -> None:
    one, two = segments_of(THREE)[:2]
    (last, before), (first, behind) = frames_with(one, 3)[-1], frames_with(two, 3)[0]
    content = spoiled(THREE, one, last, before, [1, 2])
    content = spoiled(content, two, first, behind, [0])
    disk = repair_and_compare(content, folder)
    desk, _ = desk_on(disk)
    lost = set(range(1, desk.lasts[3] + 1)) - set(desk.sequences(3))
    assert lost == {last.first + 1, last.first + 2, first.first}


def test_a_damaged_index_is_made_again(folder: Path) -> None:
    content = flipped(THREE, index_name(1), len(THREE[index_name(1)]) - 1)
    disk = repair_and_compare(content, folder)
    assert check_journal(SimulatedFiles(disk), lambda _: None).report.is_well


def test_what_was_damaged_is_set_aside(tmp_path: Path) -> None:
    (name,) = segments_of(ONE)
    frame = next(frame for frame in frames_of(ONE[name], name) if frame.places and frame.places[0].channel_id == 3)
    start = frame.places[0].bodies_offset
    size = frame.places[0].bodies_bytes // 3
    content = flipped(ONE, name, start + 1)
    aside = Aside(tmp_path)
    found, after = repair_journal(SimulatedFiles(disk_with(content)), aside.quarantine, lambda _: None)
    assert (found.finding_count, after.finding_count, after.lost_before) == (1, 0, 1)
    (line,) = aside.lines()
    assert base64.b64decode(str(line["bytes"])) == content[name][start : start + size]
    assert (line["store"], line["where"]) == ("a directory", f"{name} bytes {start} to {start + size}")
    assert (line["channel"], line["first"], line["last"]) == ("foo.3", 1, 1)


def test_a_sound_journal_is_left_alone(tmp_path: Path) -> None:
    disk = disk_with(THREE)
    before, after = repaired(disk, tmp_path)
    assert before is after
    assert before.is_well
    assert disk.contents() == THREE
    assert list(tmp_path.iterdir()) == []


def test_a_repair_can_be_repeated(tmp_path: Path) -> None:
    (name,) = segments_of(ONE)
    disk = disk_with(flipped(flipped(ONE, name, 1000), name, 70))
    first, _ = repaired(disk, tmp_path)
    assert not first.is_well
    lines = Aside(tmp_path).lines()
    again, _ = repaired(disk, tmp_path)
    assert again.is_well
    assert Aside(tmp_path).lines() == lines


def test_records_that_are_lost_are_made_again_or_forgotten(tmp_path: Path) -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.put(batch_of(run_of(1, 1, 3), cursors=[Cursor(7, 1, [])], state=[(KIND_SERVER, b"server", b"\xff")]))
    before, after = repaired(desk.disk, tmp_path)
    assert len(before.findings) == 3
    # The messages of these tests do not say what their channel is called, so that stays as it is.
    assert texts(after) == ["the record of channel 1 is lost: its name can be taken from its messages"]


def test_when_a_repair_ends_half_way_it_can_be_begun_again(tmp_path: Path) -> None:
    name = segments_of(THREE)[0]
    content = flipped(flipped(THREE, name, 1500), segments_of(THREE)[1], 1500)
    wanted, _ = desk_on(disk_with(content))
    disk = disk_with(content)
    calls = len(disk.calls)
    repaired(disk, tmp_path)
    calls = len(disk.calls) - calls
    for at in range(1, calls, max(1, calls // 60)):
        disk = disk_with(content)
        disk.end(at)
        with pytest.raises((OSError, StoreError)):
            repaired(disk, tmp_path)
        disk = disk.cut_power(random.Random(at))
        _, after = repaired(disk, tmp_path)
        assert [one.text for one in after.findings] == [], f"ended at call {at}"
        desk, _ = desk_on(disk)
        assert served(desk) == served(wanted), f"ended at call {at}"


def test_nothing_is_changed_when_nothing_can_be_set_aside(tmp_path: Path) -> None:
    (name,) = segments_of(ONE)
    content = flipped(ONE, name, 1000)
    disk = disk_with(content)
    with pytest.raises(StoreError, match="nothing was set aside, and nothing changed"):
        repaired(disk, tmp_path / "nowhere")
    assert disk.contents() == content


def test_state_is_kept(folder: Path) -> None:
    (name,) = segments_of(ONE)
    disk = repair_and_compare(flipped(ONE, name, 1000), folder)
    desk, _ = desk_on(disk)
    assert desk.state()[(KIND_SERVER, b"server")] == encode_server(b"test-cluster")
    assert (KIND_CHANNEL, b"1") in desk.state()
