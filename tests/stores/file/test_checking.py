"""Checking a journal: everything that is damaged is found, nothing is where nothing is, and nothing is written."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.stores.file.checking import JournalCheck, check_journal
from durabus.stores.file.layout import head_name, index_name, segment_name
from durabus.stores.findings import CheckReport, Finding
from durabus.streaming.records import encode_channel_name, encode_server
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SERVER, KIND_SUBSCRIPTION, Cursor
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.busy_steps import BusyFiles, Server
from tests.stores.file.damage_steps import ACTIVE, UnreadableFiles, changed, disk_with, flipped, uncopied
from tests.stores.file.journal_steps import Desk, batch_of, desk_on, frames_of, run_of, segments_of

READS = {"names", "exists", "open", "close", "size", "read", "map"}


def journal(segments: int = 1) -> dict[str, bytes]:
    """So many segments with messages of three channels, a client, a subscription with a position."""
    desk, _ = desk_on(SimulatedDisk())
    state: list[tuple[int, bytes, bytes | None]] = [(KIND_SERVER, b"server", encode_server(b"test-cluster"))]
    state += [(KIND_CHANNEL, b"%d" % number, encode_channel_name(b"foo.%d" % number)) for number in (1, 2, 3)]
    desk.put(batch_of(state=[*state, (KIND_SUBSCRIPTION, b"7", b"seven")], cursors=[Cursor(7, 1, [])]))
    step = 0
    while step < 3 or len(segments_of(desk.disk.contents())) < segments:
        step += 1
        desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"%d" % step)]))
        for channel_id in (1, 2, 3):
            desk.publish(channel_id, channel_id, 60)
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"last")]))
    assert len(segments_of(desk.disk.contents())) == segments
    return dict(desk.disk.contents())


ONE, THREE = journal(), journal(3)


def checked(disk: SimulatedDisk, handle: Callable[[Finding], None] = lambda _: None) -> CheckReport:
    """Check, and see that it only read."""
    files = SimulatedFiles(disk)
    before, calls = disk.contents(), len(disk.calls)
    report = check_journal(files, lambda _: None, handle).report
    assert {kind for kind, _ in disk.calls[calls:]} <= READS
    assert disk.contents() == before
    return report


def texts(report: CheckReport) -> list[str]:
    return [finding.text for finding in report.findings]


def served(desk: Desk) -> dict[int, dict[int, bytes]]:
    return {channel_id: desk.messages(channel_id) for channel_id in desk.journal.contents.channels}


def assert_agrees(report: CheckReport, disk: SimulatedDisk) -> bool:
    """What a start serves is what was counted, and what it does not serve was named; whether all is served."""
    desk, recovered = desk_on(disk)
    found = served(desk)
    assert report.messages == sum(map(len, found.values())), texts(report)
    absent = 0
    for one in recovered.channels:
        if one.last_sequence:
            absent += one.last_sequence + 1 - one.first_sequence - len(found[one.channel_id])
    assert absent == sum(one.last + 1 - one.first for one in report.findings if one.first), texts(report)
    assert not (recovered.damage and report.is_well), recovered.damage
    return not absent


@pytest.mark.parametrize("content", [ONE, THREE])
def test_everything_is_counted_where_nothing_is_damaged(content: dict[str, bytes]) -> None:
    report = checked(disk_with(content))
    assert texts(report) == []
    assert (report.kind, report.cluster_id, report.is_well, report.notes) == ("FILE", b"test-cluster", True, [])
    assert (report.channels, report.clients, report.subscriptions, report.lost_before) == (3, 1, 1, 0)
    desk, _ = desk_on(disk_with(content))
    found = served(desk)
    assert report.messages == sum(map(len, found.values()))
    assert report.message_bytes == sum(len(one) for messages in found.values() for one in messages.values())


def test_an_empty_directory_is_well() -> None:
    report = checked(SimulatedDisk())
    assert (report.is_well, report.channels, report.cluster_id) == (True, 0, None)


@given(st.integers(64, 3000), st.integers(1, 255))
@settings(max_examples=50)
def test_no_damage_of_the_active_segment_is_overlooked(at: int, mask: int) -> None:
    end = frames_of(ONE[ACTIVE], ACTIVE)[-1].head.end
    content = flipped(ONE, ACTIVE, at % end, mask)
    report = checked(disk_with(content))
    assert_agrees(report, disk_with(content))


@given(st.data())
@settings(max_examples=50)
def test_no_damage_of_sealed_segments_is_overlooked(data: st.DataObject) -> None:
    content = THREE
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(segments_of(THREE)[:-1]))
        end = frames_of(THREE[name], name)[-1].head.end
        at = data.draw(st.integers(0, end - 1))
        content = changed(content, name, at, data.draw(st.binary(min_size=1, max_size=200))[: end - at])
    assert_agrees(checked(disk_with(content)), disk_with(content))


def test_one_damaged_message_is_named() -> None:
    frame = next(frame for frame in frames_of(ONE[ACTIVE], ACTIVE) if frame.places and frame.places[0].channel_id == 3)
    place = frame.places[0]
    raw: list[tuple[str, bytes]] = []
    content = flipped(ONE, ACTIVE, place.bodies_offset + 70)
    report = checked(disk_with(content), lambda finding: raw.append((finding.place, finding.raw)))
    (finding,) = report.findings
    assert (finding.channel, finding.first, finding.last) == (b"foo.3", 2, 2)
    assert 'message 2 of channel "foo.3" is damaged' in finding.text
    start, end = place.bodies_offset + 65, place.bodies_offset + 130
    assert raw == [(f"{ACTIVE} bytes {start} to {end}", content[ACTIVE][start:end])]
    assert report.messages == checked(disk_with(ONE)).messages - 1


def test_messages_of_a_damaged_frame_are_named() -> None:
    frame = [frame for frame in frames_of(ONE[ACTIVE], ACTIVE) if frame.places and frame.places[0].channel_id == 2][1]
    report = checked(disk_with(flipped(ONE, ACTIVE, frame.head.offset + 20)))
    assert "is damaged from byte" in texts(report)[0]
    assert texts(report)[1:] == ['messages 3 to 4 of channel "foo.2" are missing']


def test_a_head_comes_from_its_copy() -> None:
    report = checked(disk_with(flipped(ONE, ACTIVE, 5)))
    assert texts(report) == [f"{ACTIVE}: its head is not valid; the copy in {head_name(1)} is"]
    assert report.messages == checked(disk_with(ONE)).messages


def test_without_a_valid_head_nothing_of_a_segment_can_be_read() -> None:
    name = segments_of(THREE)[1]
    content = flipped(THREE, name, 5)
    del content[head_name(2)]
    report = checked(disk_with(content))
    assert "there is no valid copy" in texts(report)[0]
    assert not assert_agrees(report, disk_with(content))


def test_a_snapshot_comes_from_its_copy() -> None:
    name = segments_of(THREE)[0]
    report = checked(disk_with(flipped(THREE, name, 100)))
    assert texts(report) == [f"{name}: its first frame is not valid; the copy in {head_name(1)} is"]


@pytest.mark.parametrize("position", [0, 1])
def test_a_segment_that_is_gone_is_noticed(position: int) -> None:
    name = segments_of(THREE)[position]
    report = checked(disk_with({other: data for other, data in THREE.items() if other != name}))
    assert any("are missing" in text for text in texts(report))


def test_the_end_of_a_segment_that_only_its_index_knows() -> None:
    one, two = segments_of(THREE)[:2]
    frames = frames_of(THREE[one], one)
    content = uncopied({name: data for name, data in THREE.items() if name != two})
    for frame in (frames[-3], frames[-1]):
        content = flipped(content, one, frame.head.offset + 20)
    content = flipped(content, one, frames[-2].places[0].bodies_offset)
    assert not assert_agrees(checked(disk_with(content)), disk_with(content))


def test_the_newest_segment_that_is_gone_is_noticed() -> None:
    name = segments_of(THREE)[-1]
    report = checked(disk_with({other: data for other, data in THREE.items() if other != name}))
    assert f"{name} is missing, and {head_name(3)} says that it was there" in texts(report)


def test_indexes_are_looked_at() -> None:
    at_the_end = len(THREE[index_name(1)]) - 1
    for content in (flipped(THREE, index_name(1), at_the_end), flipped(THREE, index_name(1), 70)):
        assert texts(checked(disk_with(content))) == [
            f"{index_name(1)} is damaged: it can be made again from its segment"
        ]
    cut = {**THREE, index_name(1): THREE[index_name(1)][:20]}
    assert texts(checked(disk_with(cut))) == [f"{index_name(1)} is damaged: it can be made again from its segment"]
    without = {name: data for name, data in THREE.items() if not name.endswith(".index")}
    assert checked(disk_with(without)).is_well


def test_an_index_that_cannot_be_read_is_one_that_is_damaged() -> None:
    """And the check goes on."""
    files = UnreadableFiles(disk_with(THREE), index_name(1), 0, 64)
    report = check_journal(files, lambda _: None).report
    assert texts(report) == [f"{index_name(1)} is damaged: it can be made again from its segment"]
    assert report.messages == checked(disk_with(THREE)).messages


def test_lost_messages_that_are_known_are_no_findings() -> None:
    desk, _ = desk_on(SimulatedDisk())
    state: list[tuple[int, bytes, bytes | None]] = [(KIND_SERVER, b"server", encode_server(b"test-cluster"))]
    run = run_of(1, 1, 10, 20)
    for index in (0, 3, 4, 9):
        run.bodies[index] = b""
    desk.put(batch_of(run, state=[*state, (KIND_CHANNEL, b"1", encode_channel_name(b"foo"))], floors={1: 2}))
    report = checked(desk.disk)
    assert (texts(report), report.messages, report.lost_before) == ([], 6, 3)


def test_what_is_lost_of_the_state_is_named() -> None:
    desk, _ = desk_on(SimulatedDisk())
    desk.put(batch_of(run_of(1, 1, 3), cursors=[Cursor(7, 1, [])], state=[(KIND_CHANNEL, b"2", b"?")]))
    found = texts(checked(desk.disk))
    assert "there is no record of the server" in found[0]
    assert found[1:] == [
        "the record of channel 1 is lost: its name can be taken from its messages",
        "the record of subscription 7 is lost: only its position is known",
    ]
    desk.put(batch_of(state=[(KIND_SERVER, b"server", b"\xff")]))
    assert texts(checked(desk.disk))[0].startswith("the record of the server is unreadable")


def test_what_was_set_aside_is_noted() -> None:
    name = segment_name(7) + ".damaged"
    report = checked(disk_with({**ONE, name: b"junk"}))
    assert (report.is_well, report.notes) == (True, [f"{name} was set aside at an earlier start"])


@pytest.mark.parametrize("seed", range(12))
def test_a_server_at_work_disturbs_nothing(seed: int) -> None:
    server = Server(random.Random(seed))
    server.steps((1, 10, 120)[seed % 3])
    before = dict(server.desk.lasts)
    check = check_journal(BusyFiles(server, (0.02, 0.2)[seed % 2]), lambda _: None)
    assert texts(check.report) == []
    for channel_id, last in before.items():
        assert check.contents.channels[channel_id].last >= last
    counted = sum(log.last + 1 - log.first for log in check.contents.channels.values() if log.last)
    assert check.report.messages == counted


def test_a_check_that_misses_a_name_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimulatedFiles(disk_with(THREE))
    names = SimulatedFiles.names
    asked = 0

    def forgetful(self: SimulatedFiles) -> list[str]:
        nonlocal asked
        asked += 1
        found = names(self)
        return [name for name in found if name != segment_name(1)] if asked <= 2 else found

    monkeypatch.setattr(SimulatedFiles, "names", forgetful)
    check: JournalCheck = check_journal(files, lambda _: None)
    assert check.seen == {1, 2, 3}
    assert check.report.is_well
