"""The slices of a channel in one sequence: their order, what is in two of them, what is in none, and where they end."""

from pathlib import Path

import pytest

from durabus.stores.original_file.channel_log import LOST_MAX
from tests.stores.original_file.original_writer import ChannelWriter, OriginalDirectory
from tests.stores.original_file.reading_steps import ReadChannel, ReadStore, read_original


def made(folder: Path) -> tuple[OriginalDirectory, ChannelWriter]:
    original = OriginalDirectory(folder / "data")
    return original, original.channel("orders")


async def read(original: OriginalDirectory) -> tuple[ReadStore, ReadChannel]:
    found = await read_original(original.write(), page=7)
    return found, found.channels["orders"]


async def test_a_slice_is_missing(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    for number in (1, 2, 3):
        orders.publish(*[b"x"] * 10, number=number)
    del orders.slices[2]
    found, read_back = await read(original)
    assert read_back.lost == [*range(11, 21)]
    assert (read_back.first, read_back.last, found.lost_count) == (1, 30, 10)
    assert found.damage == ['channel "orders": messages 11 to 20 are in none of its files']


@pytest.mark.row(141)
async def test_an_old_slice_was_put_back_under_another_number(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.publish(*[b"x"] * 10, number=9)
    orders.publish(*[b"y"] * 10, number=3)
    found, read_back = await read(original)
    bodies = orders.slice(9).payloads + orders.slice(3).payloads
    assert (read_back.bodies, found.damage) == (bodies, [])


async def test_messages_that_are_in_two_slices(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.publish(*[b"first"] * 3000, number=1)
    orders.next = 2001
    orders.publish(*[b"second"] * 2000, number=2)
    orders.next = 100
    orders.publish(*[b"third"] * 5, number=3)
    found, read_back = await read(original)
    assert read_back.bodies == orders.slice(1).payloads + orders.slice(2).payloads[1000:]
    words = (
        'channel "orders": messages {} are in orders/msgs.1.dat and in orders/msgs.{}.dat: those of the first one count'
    )
    assert found.damage == [words.format("100 to 104", 3), words.format("2001 to 3000", 2)]


async def test_what_a_subscription_was_sent_was_there(tmp_path: Path) -> None:
    """Its number is used up: whoever got the message must not see another one under it."""
    original, orders = made(tmp_path)
    orders.publish(*[b"x"] * 10)
    orders.slice(1).has_index = False
    orders.new(1, client="me", durable="d")
    orders.sent(1, *range(1, 13))
    found, read_back = await read(original)
    assert (read_back.last, read_back.lost) == (12, [11, 12])
    assert found.damage == ['channel "orders": messages 11 to 12 are in none of its files']
    assert found.position("orders", "d") == (12, [*range(1, 13)])


async def test_no_message_is_left(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="d", last_sent=40)
    orders.sent(1, 41)
    found, read_back = await read(original)
    assert (read_back.first, read_back.last, read_back.bodies) == (42, 41, [])
    assert found.damage == ['channel "orders": none of its messages is left, its next one is 42']
    assert found.position("orders", "d") == (41, [])


async def test_numbers_that_nobody_can_have_reached(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.publish(b"x")
    orders.new(1, client="me", durable="d", last_sent=LOST_MAX + 2)
    found, read_back = await read(original)
    assert (read_back.first, read_back.last) == (1, 1)
    assert found.damage == [f'channel "orders" ends at 1: that there was a message {LOST_MAX + 2} is not believed']
    assert found.position("orders", "d") == (1, [])


async def test_a_hole_that_is_too_large(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.publish(b"x", b"y", number=1)
    orders.next = LOST_MAX + 4
    orders.publish(b"z", number=2)
    found, read_back = await read(original)
    assert (read_back.first, read_back.last) == (LOST_MAX + 4, LOST_MAX + 4)
    assert read_back.bodies == orders.slice(2).payloads
    assert found.damage == [f'channel "orders": message {LOST_MAX + 4} comes after 2: all up to 2 are left out']


async def test_empty_slices(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.next = 5
    orders.slice(1)
    orders.publish(b"x", number=2)
    orders.slice(3).index.clear()
    found, read_back = await read(original)
    assert (read_back.first, read_back.last, found.damage) == (5, 5, [])
