"""Slices whose bytes are not as they were written: torn, padded, damaged in the middle, with numbers used twice."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.stores.original_file.messages import MARK_MESSAGES, MessageHead
from tests.stores.original_file.original_writer import (
    EPOCH_NS,
    ChannelWriter,
    OriginalDirectory,
    SliceWriter,
    message,
    record,
)
from tests.stores.original_file.reading_steps import ReadStore, read_original
from tests.wire.wire_format import blob, integer, tag

COUNT = 20


def made(folder: Path) -> tuple[OriginalDirectory, ChannelWriter, SliceWriter]:
    """A channel with messages of several sizes in one slice."""
    original = OriginalDirectory(folder / "data")
    orders = original.channel("orders")
    orders.publish(*[b"%d" % i * (i * 7 % 40) for i in range(COUNT)])
    return original, orders, orders.slice(1)


async def read(original: OriginalDirectory, folder: Path) -> ReadStore:
    return await read_original(original.write(), quarantine=folder / "quarantine")


def set_aside(folder: Path) -> list[tuple[int, int]]:
    """The bytes of the first slice that are in the quarantine."""
    path = folder / "quarantine"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["offset"], line["size"]) for line in lines if line["file"] == "orders/msgs.1.dat"]


# Ends.


@pytest.mark.row(140)
@pytest.mark.parametrize("cut", [1, 7, 8, 9, 20])
async def test_a_torn_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    """A message that was being written when the power went: no index knows it."""
    original, orders, part = made(tmp_path)
    end = len(part.data)
    part.data += record(message(COUNT + 1, b"orders", b"new", EPOCH_NS))[:cut]
    found = await read(original, tmp_path)
    assert found.channels["orders"].bodies == orders.bodies()
    assert found.lost_count == 0
    assert "".join(found.damage) == (
        f'channel "orders": the torn end of a file is cut off at message {COUNT + 1} '
        f"(orders/msgs.1.dat, bytes {end} to {end + cut - 1}: it ends behind the end of the file)"
    )
    assert set_aside(tmp_path) == [(end, cut)]


@pytest.mark.row(140)
@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize("zeros", [1, 7, 8, 100, 5000])
async def test_space_that_was_never_written(tmp_path: Path, zeros: int, has_index: bool) -> None:
    original, orders, part = made(tmp_path)
    part.has_index = has_index
    part.data += bytes(zeros)
    part.index += bytes(zeros)
    found = await read(original, tmp_path)
    assert (found.channels["orders"].bodies, found.damage) == (orders.bodies(), [])


async def test_the_original_went_on_behind_such_space(tmp_path: Path) -> None:
    original, orders, part = made(tmp_path)
    part.data += bytes(333)
    orders.publish(b"after", b"that")
    for has_index in (True, False):
        part.has_index = has_index
        found = await read(original if has_index else renewed(original, tmp_path), tmp_path)
        assert (found.channels["orders"].bodies, found.damage) == (orders.bodies(), [])


def renewed(original: OriginalDirectory, folder: Path) -> OriginalDirectory:
    """The same in another folder."""
    original.folder = folder / f"{original.folder.name}+"
    return original


@pytest.mark.parametrize("cut", [1, 9, 30])
async def test_an_end_that_the_index_knows_is_lost_and_not_torn(tmp_path: Path, cut: int) -> None:
    """Its number is not given to another message: somebody may have got it."""
    original, orders, part = made(tmp_path)
    part.data = part.data[:-cut]
    found = await read(original, tmp_path)
    last = orders.bodies()[: COUNT - 1]
    assert found.channels["orders"].bodies == [*last, b""]
    assert f"message {COUNT} is damaged" in found.damage[0]


async def test_only_the_index_is_left(tmp_path: Path) -> None:
    original, _, part = made(tmp_path)
    part.data = part.data[:4]
    found = await read(original, tmp_path)
    assert (found.channels["orders"].first, found.channels["orders"].last) == (1, COUNT)
    assert found.damage == [f'channel "orders": messages 1 to {COUNT} are in none of its files']
    assert found.lost_count == COUNT


@pytest.mark.row(142)
async def test_messages_that_no_index_knows_yet(tmp_path: Path) -> None:
    """They were written, and the server was killed before the index was."""
    original, orders, part = made(tmp_path)
    part.index = part.index[: 4 + 32 * 12 + 5]
    found = await read(original, tmp_path)
    assert (found.channels["orders"].bodies, found.damage) == (orders.bodies(), [])


async def test_numbers_that_were_used_again_after_a_crash(tmp_path: Path) -> None:
    """The original forgot what its index did not know, and began behind the bytes of it with the same numbers."""
    original, orders, part = made(tmp_path)
    index, end = bytes(part.index), len(part.data)
    orders.publish(b"never", b"acknowledged", b"these")
    again = len(part.data)
    part.index[:] = index
    orders.next = COUNT + 1
    kept = orders.bodies()[:COUNT]
    orders.publish(b"acknowledged")
    for has_index in (True, False):
        part.has_index = has_index
        found = await read(original if has_index else renewed(original, tmp_path), tmp_path)
        assert found.channels["orders"].bodies == [*kept, orders.bodies()[-1]]
        assert found.lost_count == 0
        assert "".join(found.damage) == (
            'channel "orders": earlier messages 21 to 23 are left out (orders/msgs.1.dat, '
            f"bytes {end} to {again - 1}: never acknowledged, the numbers were used again after a crash)"
        )


# The middle.


def flip(part: SliceWriter, index: int, byte: int) -> None:
    part.data[part.offsets[index] + byte] ^= 0x41


@pytest.mark.row(140)
@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize("index", [0, 1, 10, COUNT - 2, COUNT - 1])
@pytest.mark.parametrize("byte", [0, 1, 2, 3, 4, 8, 9, 15, 27])
async def test_one_damaged_message(tmp_path: Path, byte: int, index: int, has_index: bool) -> None:
    """Wherever it is damaged, its neighbours are whole; without an index, the first one and the last have no proof."""
    original, orders, part = made(tmp_path)
    part.has_index = has_index
    flip(part, index, byte)
    found = await read(original, tmp_path)
    bodies = orders.bodies()
    assert found.damage
    if not has_index and index in (0, COUNT - 1):
        del bodies[index]
        assert found.lost_count == 0
    else:
        bodies[index] = b""
        assert found.lost_count == 1
        assert f'channel "orders": message {index + 1} is damaged' in found.damage[0]
    assert found.channels["orders"].bodies == bodies
    size = len(record(orders.bodies()[index]))
    assert set_aside(tmp_path) == [(part.offsets[index], size)]


@pytest.mark.parametrize("has_index", [True, False])
async def test_many_damaged_messages(tmp_path: Path, has_index: bool) -> None:
    original, orders, part = made(tmp_path)
    part.has_index = has_index
    for index in (4, 5, 6, 9, 11):
        flip(part, index, 3 if index != 9 else 12)
    found = await read(original, tmp_path)
    assert found.channels["orders"].lost == [5, 6, 7, 10, 12]
    assert [body for body in found.channels["orders"].bodies if body] == [
        body for index, body in enumerate(orders.bodies()) if index not in (4, 5, 6, 9, 11)
    ]
    assert len(found.damage) == 3
    assert "messages 5 to 7 are damaged" in found.damage[0]


@pytest.mark.parametrize("fill", [b"\0", b"\x08", b"\xff"])
@pytest.mark.parametrize("has_index", [True, False])
async def test_a_block_of_the_disk_is_gone(tmp_path: Path, has_index: bool, fill: bytes) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(*[b"%d" % i * 30 for i in range(1000)])
    part = orders.slice(1)
    part.has_index = has_index
    part.data[8192:12288] = fill * 4096
    found = await read(original, tmp_path)
    lost = [
        index + 1
        for index, offset in enumerate(part.offsets)
        if offset < 12288 and offset + len(record(orders.bodies()[index])) > 8192
    ]
    assert found.channels["orders"].lost == lost
    assert found.lost_count == len(lost)
    for sequence, body in found.channels["orders"].by_sequence.items():
        assert body in (b"", orders.bodies()[sequence - 1])


async def test_a_message_that_holds_records(tmp_path: Path) -> None:
    """Somebody published a file of the original: what is in a damaged message is not taken for messages."""
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    inner = b"".join(record(message(i, b"orders", b"false", EPOCH_NS)) for i in range(2, 6))
    orders.publish(b"1", inner, b"3", b"4")
    for byte in range(8):
        folder = tmp_path / str(byte)
        folder.mkdir()
        part = orders.slice(1)
        flip(part, 1, byte)
        found = await read(renewed(original, folder), folder)
        flip(part, 1, byte)
        assert found.channels["orders"].lost == [2]
        assert not [body for body in found.channels["orders"].bodies if b"false" in body]


async def test_a_good_record_that_is_no_message(tmp_path: Path) -> None:
    original, orders, part = made(tmp_path)
    offset = part.offsets[7]
    payload = orders.bodies()[7]
    part.data[offset : offset + 8 + len(payload)] = record(b"\x07" * len(payload))
    found = await read(original, tmp_path)
    assert found.channels["orders"].lost == [8]
    assert "it is no message" in found.damage[0]


async def test_messages_that_were_never_there(tmp_path: Path) -> None:
    """Older versions left numbers out."""
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(b"1")
    orders.next = 5
    orders.publish(b"5")
    found = await read(original, tmp_path)
    assert found.channels["orders"].lost == [2, 3, 4]
    assert found.damage == ['channel "orders": messages 2 to 4 are in none of its files']


@pytest.mark.row(140)
@pytest.mark.parametrize("version", [0, 2, 0xFFFFFFFF])
async def test_a_wrong_version_costs_nothing(tmp_path: Path, version: int) -> None:
    original, orders, part = made(tmp_path)
    part.data[:4] = struct.pack("<I", version)
    found = await read(original, tmp_path)
    assert found.channels["orders"].bodies == orders.bodies()
    assert found.damage == [
        f"orders/msgs.1.dat: its version is {version}, the only one that there ever was is 1; it is read as if it were right"
    ]


# The index.


@pytest.mark.row(142)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda index: index[:3],
        lambda index: index[:4] + bytes(len(index) - 4),
        lambda index: index[:4] + index[36:],
        lambda index: index[:4] + index[-64:],
        lambda index: b"?" * len(index),
        lambda index: index[:100] + b"?" * 32 + index[132:],
        lambda index: index[:4] + index[4:] * 2,
    ],
)
async def test_a_wrong_index_costs_nothing(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    original, orders, part = made(tmp_path)
    part.index[:] = spoil(bytes(part.index))
    found = await read(original, tmp_path)
    assert found.channels["orders"].bodies == orders.bodies()
    assert found.lost_count == 0


@pytest.mark.row(142)
async def test_the_index_of_other_messages(tmp_path: Path) -> None:
    original, _, part = made(tmp_path)
    other = ChannelWriter("orders", original.polynomial)
    other.publish(*[b"another size"] * 50)
    part.index[:] = other.slice(1).index
    flip(part, 3, 12)
    found = await read(original, tmp_path)
    assert found.channels["orders"].lost == [4]
    assert found.channels["orders"].last == COUNT
    assert "the index of orders/msgs.1.dat is not of this file: it is not used" in found.damage


@pytest.mark.parametrize("entry", [0, 3, 4, 5, COUNT - 1])
async def test_index_and_message_are_damaged_at_once(tmp_path: Path, entry: int) -> None:
    original, _, part = made(tmp_path)
    part.index[4 + 32 * entry + 9] ^= 1
    flip(part, 4, 3)
    found = await read(original, tmp_path)
    assert found.channels["orders"].lost == [5]


# What is read.


@pytest.mark.parametrize(
    ("payload", "sequence"),
    [
        (integer(1, 5), 5),
        (message(5, b"s", b"data", -1, b"reply"), 5),
        (integer(1, 5, 8), 5),
        (integer(1, 5) + integer(1, 6), 6),
        (integer(1, 5) + integer(9, 1) + blob(16, b"new"), 5),
        (integer(1, 5) + tag(100, 5) + b"1234", 5),
        (b"", 0),
        (b"\x08", 0),
        (blob(1, b"text"), 0),
        (integer(1, 5) + integer(2, 6), 0),
        (integer(1, 5) + blob(5, b"time"), 0),
        (integer(1, 5) + b"\x12\x7fshort", 0),
        (integer(1, 5) + b"\x12" + b"\xff" * 8 + b"\x7f", 0),
        (integer(1, 5) + b"\x07", 0),
        (integer(1, 0), 0),
        (integer(1, 1 << 63), 0),
        (integer(1, (1 << 62) - 1), (1 << 62) - 1),
    ],
)
def test_what_is_a_message(payload: bytes, sequence: int) -> None:
    head = MessageHead()
    head.read(message(99, b"before", b"", 99))
    head.read(payload)
    assert head.sequence == sequence


def test_the_time_of_a_message() -> None:
    head = MessageHead()
    for timestamp_ns in (EPOCH_NS, 1, -1, -(1 << 63), (1 << 63) - 1):
        head.read(message(1, b"s", b"", timestamp_ns))
        assert head.timestamp_ns == timestamp_ns


async def test_reading_from_anywhere(tmp_path: Path) -> None:
    """Around the places that are remembered."""
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(*[b"%d" % i for i in range(3 * MARK_MESSAGES)])
    flip(orders.slice(1), 2 * MARK_MESSAGES + 5, 12)
    for page in (1, 7, MARK_MESSAGES - 1, MARK_MESSAGES, MARK_MESSAGES + 1, 5 * MARK_MESSAGES):
        folder = original.write() if page == 1 else original.folder
        found = await read_original(folder, page)
        bodies = list(orders.bodies())
        bodies[2 * MARK_MESSAGES + 5] = b""
        assert found.channels["orders"].bodies == bodies
