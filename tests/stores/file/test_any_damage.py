"""Whatever happens to one file of a directory, or to one part of it: FORMAT.md §8, tried out at very many places.

A start is never refused; no message is served that was not stored there; what is lost was in the damaged part, and the start
says so; publishing goes on; and the next starts tell nothing new.
"""

import functools
import random
from collections.abc import Callable, Iterator

import pytest

from durabus.stores.file import salvage
from durabus.stores.file.frame import FRAME_BYTES
from durabus.stores.file.layout import (
    DAMAGED_SUFFIX,
    decode_header,
    head_name,
    index_name,
    segment_name,
    segment_number,
)
from durabus.stores.file.taking_over import take_over
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SUBSCRIPTION, Cursor
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import UnreadableFiles, disk_with
from tests.stores.file.journal_steps import Desk, batch_of, body, desk_on, frames_of, segments_of

CHANNELS = (1, 2, 3, 4)
PAGE = 512
Content = dict[str, bytes]
FilesOn = Callable[[SimulatedDisk], SimulatedFiles]


@functools.cache
def rich() -> Content:
    """A directory with everything that there can be: sealed, compacted and active segments, second copies, indexes, a spare."""
    desk, _ = desk_on(SimulatedDisk())
    names = [(KIND_CHANNEL, b"%d" % channel_id, b"channel %d" % channel_id) for channel_id in CHANNELS]
    desk.put(batch_of(state=[*names, (KIND_CLIENT, b"client", b"0")]))
    desk.publish(4)  # is wanted for ever
    for step in range(1, 19):
        desk.publish(1, 3, 40, floor=max(1, 3 * step - 60))
        desk.publish(2, 1, 60)
        desk.publish(3, 1, 400, floor=max(1, step - 5))
        desk.put(
            batch_of(
                state=[(KIND_CLIENT, b"client", b"%d" % step), (KIND_SUBSCRIPTION, b"%d" % step, b"subscription")],
                cursors=[Cursor(step, step, [(step, step)])],
            )
        )
    for step in range(19, 40):
        desk.publish(3, 1, 1200, floor=step)
    newest = segments_of(desk.disk.contents())[-1]
    while segments_of(desk.disk.contents())[-1] == newest:
        desk.publish(3, 1, 700, floor=desk.lasts[3])
    desk.publish(3, 1, 10, floor=desk.lasts[3])
    desk.publish(4)
    for channel_id in CHANNELS:
        desk.publish(channel_id, 2, 30)
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"last")], cursors=[Cursor(3, 30, [])]))
    job = desk.publish(2, 1, 10)
    desk.journal.note_durable(job, is_synced=True)
    content = dict(desk.disk.contents())
    headers = [decode_header(content[name], name) for name in segments_of(content)]
    assert [header.is_compacted for header in headers if header is not None].count(True) >= 1
    assert len(headers) >= 4
    assert len(frames_of(content[segments_of(content)[-1]], segments_of(content)[-1])) > 3
    assert any(name.startswith("durabus-spare") for name in content)
    assert {name.rsplit(".", 1)[-1] for name in content if "." in name} == {"segment", "head", "index"}
    return {**content, "durabus.lock": b"somebody"}


class Known:
    """What the undamaged directory holds, and where its messages are."""

    def __init__(self, content: Content) -> None:
        desk, recovered = desk_on(disk_with(content))
        assert recovered.damage == []
        self.state = dict(desk.state())
        self.cursors = {cursor.subscription_id for cursor in recovered.cursors}
        self.served = {channel_id: set(desk.sequences(channel_id)) for channel_id in CHANNELS}
        self.lasts = dict(desk.lasts)
        self.places: dict[tuple[int, int], tuple[str, int, int]] = {}  # the frame that each message is in
        self.changes: dict[str, list[tuple[int, int]]] = {}  # frames that change state, by segment
        for name in segments_of(content):
            for frame in frames_of(content[name], name):
                extent = frame.head.offset, frame.head.end
                for place in frame.places:
                    for sequence in range(place.first, place.first + place.count):
                        self.places[place.channel_id, sequence] = (name, *extent)
                if (frame.state or frame.cursors) and not frame.head.is_snapshot:
                    end = frame.head.offset + FRAME_BYTES + frame.head.table_bytes
                    self.changes.setdefault(name, []).append((frame.head.offset, end))

    def may_be_lost(self, name: str, start: int, end: int) -> set[tuple[int, int]]:
        """The messages in frames that bytes of a file touch."""
        return {key for key, place in self.places.items() if place[0] == name and place[1] < end and start < place[2]}


@functools.cache
def known() -> Known:
    return Known(rich())


def check(content: Content, name: str, start: int, end: int, where: str, files_on: FilesOn = SimulatedFiles) -> None:
    """Start on a directory in which bytes `start` to `end` of one file are damaged, and go on."""
    whole = known()
    disk = disk_with(content)
    desk = Desk(disk, files=files_on(disk))
    recovered = desk.open()
    found = {channel_id: set(desk.sequences(channel_id)) for channel_id in CHANNELS}
    lost = {(c, s) for c in CHANNELS for s in whole.served[c] - found[c]}
    assert lost <= whole.may_be_lost(name, start, end), f"{where}: {sorted(lost)[:9]}"
    for channel_id in CHANNELS:
        extra = found[channel_id] - whole.served[channel_id]
        assert not extra, f"{where}: {channel_id} serves {sorted(extra)[:9]}, which was removed"
    active = segments_of(rich())[-1]
    is_state_hit = name == active and any(start < stop and begin < end for begin, stop in whole.changes.get(active, []))
    if not is_state_hit:
        assert desk.state() == whole.state, where
        assert {cursor.subscription_id for cursor in recovered.cursors} == whole.cursors, where
    is_said = bool(recovered.damage) or not is_opened(name)
    assert is_said or not (lost or is_state_hit), f"{where}: {sorted(lost)[:9]} are lost, and nothing is said"
    go_on(desk, disk, set(recovered.damage), found, where, files_on)


def is_opened(name: str) -> bool:
    """Whether a start looks at the frames of this file: those of sealed segments with an index are looked at when they are read."""
    return name == segments_of(rich())[-1]


def go_on(
    desk: Desk,
    disk: SimulatedDisk,
    story: set[str] | None,
    found: dict[int, set[int]],
    where: str,
    files_on: FilesOn = SimulatedFiles,
) -> None:
    """Publish to every channel, and start again and again: nothing changes any more, and nothing but `story` is told."""
    kept = {name: data for name, data in disk.contents().items() if name.endswith(DAMAGED_SUFFIX)}
    for round_number in range(2):
        for channel_id in CHANNELS:
            desk.publish(channel_id, 1, 10 * round_number)
            found[channel_id].add(desk.lasts[channel_id])
        desk.put(batch_of(state=[(KIND_CLIENT, b"later", b"%d" % round_number)]))
        disk = disk.kill()
        desk = Desk(disk, files=files_on(disk))
        recovered = desk.open()
        assert {c: set(desk.sequences(c)) for c in CHANNELS} == found, where
        assert desk.state()[KIND_CLIENT, b"later"] == b"%d" % round_number, where
        new = set(recovered.damage) - story if story is not None else set()
        assert not new, f"{where}: start {round_number + 2} tells something new: {new}, not {story}"
    contents = disk.contents()
    assert {name: contents.get(name) for name in kept} == kept, f"{where}: what was set aside is gone or changed"


def every_file() -> list[str]:
    return sorted(rich())


def pages(name: str, size: int = PAGE) -> Iterator[tuple[int, int]]:
    """The parts of a file that a disk may lose."""
    for start in range(0, len(rich()[name]), size):
        yield start, min(start + size, len(rich()[name]))


def changed(name: str, start: int, data: bytes) -> Content:
    whole = rich()[name]
    return {**rich(), name: whole[:start] + data + whole[start + len(data) :]}


@pytest.mark.parametrize("name", every_file())
def test_a_byte(name: str) -> None:
    whole = rich()[name]
    step = 37 if segment_number(name) else 53
    for at in range(0, len(whole), step):
        content = changed(name, at, bytes([whole[at] ^ (1 << at % 8)]))
        check(content, name, at, at + 1, f"{name}, a bit of byte {at}")


@pytest.mark.parametrize("name", every_file())
def test_a_page_of_zeros_or_of_anything(name: str) -> None:
    chance = random.Random(name)
    for start, end in pages(name):
        for what, data in (("zeros", bytes(end - start)), ("noise", chance.randbytes(end - start))):
            check(changed(name, start, data), name, start, end, f"{name}, {what} from byte {start}")
        other = rich()[chance.choice(segments_of(rich()))][start:end]
        check(changed(name, start, other), name, start, end, f"{name}, another file's bytes from {start}")


@pytest.mark.parametrize("name", every_file())
def test_a_page_that_cannot_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "_PAGE_BYTES", PAGE)
    for start, end in pages(name):
        files_on = functools.partial(UnreadableFiles, name=name, start=start, end=end)
        check(rich(), name, start, end, f"{name}, unreadable from byte {start}", files_on)


@pytest.mark.parametrize("name", every_file())
def test_a_file_that_is_cut_off(name: str) -> None:
    whole = rich()[name]
    for size in {0, 1, 63, 64, 65, *range(0, len(whole), 257), len(whole) - 1}:
        if 0 <= size < len(whole):
            check({**rich(), name: whole[:size]}, name, size, len(whole), f"{name}, cut off at {size}")


@pytest.mark.parametrize("name", every_file())
def test_a_file_that_is_gone(name: str) -> None:
    content = {other: data for other, data in rich().items() if other != name}
    check(content, name, 0, len(rich()[name]), f"{name} is gone")


@pytest.mark.parametrize("name", every_file())
def test_a_file_in_whose_place_is_another_one(name: str) -> None:
    whole = rich()[name]
    chance = random.Random(name)
    others = [data for other, data in rich().items() if other != name]
    for data in (b"", b"?", bytes(len(whole)), chance.randbytes(len(whole)), chance.randbytes(9000), *others):
        check({**rich(), name: data}, name, 0, len(whole), f"{name} has {len(data)} other bytes")


@pytest.mark.parametrize("seed", range(20))
def test_several_parts_of_several_files(seed: int) -> None:
    """More than the copies can make good: still no start is refused, and no wrong message is served."""
    chance = random.Random(seed)
    for _ in range(10):
        content = dict(rich())
        hits: list[str] = []
        for _ in range(chance.randrange(2, 6)):
            name = chance.choice(list(content))
            kind = chance.randrange(4)
            whole = content[name]
            at = chance.randrange(len(whole) or 1)
            hits.append(f"{name}: {('gone', 'cut off', 'noise', 'zeros')[kind]} at {at}")
            if kind == 0:
                del content[name]
            elif kind == 1:
                content[name] = whole[:at]
            else:
                size = chance.choice((1, 64, PAGE, 4 * PAGE))
                data = chance.randbytes(size) if kind == 2 else bytes(size)
                content[name] = whole[:at] + data[: len(whole) - at] + whole[at + size :]
        where = f"seed {seed}: {hits}"
        disk = disk_with(content)
        desk = Desk(disk)
        desk.open()
        found = {channel_id: set(desk.sequences(channel_id)) for channel_id in CHANNELS}
        go_on(desk, disk, None, found, where)


@pytest.mark.parametrize("kind", ["gone", "cut off", "noise"])
def test_a_new_owner_of_a_group_takes_over_whatever_there_is(kind: str) -> None:
    chance = random.Random(kind)
    for name in every_file():
        whole = rich()[name]
        content = {other: data for other, data in rich().items() if kind != "gone" or other != name}
        if kind == "cut off":
            content[name] = whole[: len(whole) // 2]
        elif kind == "noise":
            content[name] = chance.randbytes(len(whole))
        disk = disk_with(content)
        desk = Desk(disk)
        recovered = take_over(desk.journal, 5)
        desk.lasts = {found.channel_id: found.last_sequence for found in recovered.channels}
        desk.tasks()
        found = {channel_id: set(desk.sequences(channel_id)) for channel_id in CHANNELS}
        lost = {(c, s) for c in CHANNELS for s in known().served[c] - found[c]}
        assert lost <= known().may_be_lost(name, 0, len(whole)), f"{name} is {kind}"
        go_on(desk, disk, None, found, f"{name} is {kind}, in a group")


def test_everything_gone_but_the_messages() -> None:
    """No header, no snapshot and no index is left where the messages are: they cannot be read, and the start says so."""
    content = {name: data for name, data in rich().items() if segment_number(name)}
    for name in segments_of(content):
        content[name] = bytes(64) + content[name][64:]
    desk = Desk(disk_with(content))
    recovered = desk.open()
    assert len([text for text in recovered.damage if "is kept as" in text]) == len(content)
    assert recovered.channels == []
    desk.publish(1)
    assert desk.sequences(1) == [1]


def test_the_newest_segment_and_its_copy() -> None:
    """Nobody can know that they were there: the state is that of the segment before, and it is all there."""
    name = segments_of(rich())[-1]
    number = segment_number(name)
    content = {other: data for other, data in rich().items() if other not in (name, head_name(number))}
    desk, _ = desk_on(disk_with(content))
    assert all(desk.state()[key] == value for key, value in known().state.items() if key[0] == KIND_CHANNEL)
    assert set(desk.sequences(1)) <= known().served[1]


def test_a_segment_that_comes_back_after_it_was_lost_does_no_harm() -> None:
    """Somebody puts the newest segment back when others have been written since: what was stored since then counts."""
    name = segments_of(rich())[-1]
    content = {other: data for other, data in rich().items() if other != name}
    disk = disk_with(content)
    desk, recovered = desk_on(disk)
    assert f"{name} is missing" in "\n".join(recovered.damage)
    for _ in range(3):
        desk.publish(1, 2, 500)
    found = {channel_id: desk.messages(channel_id) for channel_id in CHANNELS}
    again = disk_with({**disk.contents(), name: rich()[name]})
    desk = Desk(again)
    recovered = desk.open()
    for channel_id in CHANNELS:
        for sequence, data in desk.messages(channel_id).items():
            assert data.startswith(body(channel_id, sequence))
            assert found[channel_id].get(sequence, data) == data or "there twice" in "\n".join(recovered.damage)
    desk.publish(1)
    assert index_name(1) != segment_name(1)
