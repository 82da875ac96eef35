"""Where subscriptions stand after all that is written of them, and after what is left of that."""

from pathlib import Path

import pytest

from tests.stores.original_file.original_writer import SENT, ChannelWriter, OriginalDirectory, typed
from tests.stores.original_file.reading_steps import ReadStore, read_original
from tests.wire.wire_format import blob, integer


def made(folder: Path) -> tuple[OriginalDirectory, ChannelWriter]:
    original = OriginalDirectory(folder / "data")
    orders = original.channel("orders")
    orders.publish(*[b"x"] * 100)
    return original, orders


async def read(original: OriginalDirectory) -> ReadStore:
    return await read_original(original.write())


def spoil(orders: ChannelWriter, start: int, byte: int = 8, mask: int = 1) -> None:
    orders.subscriptions[start + byte] ^= mask


async def test_what_was_sent_while_records_are_missing_counts_as_not_acknowledged(tmp_path: Path) -> None:
    """It may come twice. Left out, it would never come."""
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="d")
    orders.sent(1, 1, 2)
    begin = len(orders.subscriptions)
    orders.sent(1, 3, 4)
    for start in (begin, begin + len(typed(SENT, integer(1, 1) + integer(2, 3)))):
        spoil(orders, start)
    orders.sent(1, 5)
    orders.acknowledged(1, 1, 5)
    found = await read(original)
    assert found.position("orders", "d") == (5, [2, 3, 4])
    assert any("its subscriptions may get messages again" in line for line in found.damage)


async def test_that_it_was_sent_is_lost_and_that_it_was_acknowledged_is_not(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="d")
    for sequence in (1, 2):
        start = len(orders.subscriptions)
        orders.sent(1, sequence)
    spoil(orders, start)
    orders.acknowledged(1, 2)
    assert (await read(original)).position("orders", "d") == (2, [1])


async def test_messages_that_were_left_out_before_are_none_of_that(tmp_path: Path) -> None:
    """They had expired when the subscription came to them; nothing was damaged then."""
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="d")
    orders.sent(1, 1, 50)
    spoil(orders, len(orders.subscriptions) - len(typed(SENT, integer(1, 1) + integer(2, 50))))
    orders.sent(1, 51, 90)
    orders.acknowledged(1, 1, 90)
    last_sent, pending = (await read(original)).position("orders", "d")
    assert (last_sent, pending) == (90, [*range(2, 52)])


async def test_members_of_a_group_are_sent_what_others_are_not(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.new(1, client="me", group="w:g")
    orders.new(2, client="you", group="w:g")
    orders.sent(1, 1, 3, 5)
    start = len(orders.subscriptions)
    orders.sent(2, 2)
    orders.sent(2, 4, 6)
    spoil(orders, start)
    orders.sent(1, 7)
    found = await read(original)
    # What went to whom is as it was; 2 was sent to somebody, and acknowledged or not.
    (_, first, first_pending), (_, second, second_pending) = found.subscriptions.values()
    assert (first, first_pending) == (7, [1, 3, 5, 7])
    assert (second, second_pending) == (6, [4, 6])


async def test_a_type_that_became_another_one(tmp_path: Path) -> None:
    """The checksum does not cover it. Nobody acknowledges what he was not sent."""
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="d")
    start = len(orders.subscriptions)
    orders.sent(1, 1)
    orders.sent(1, 2)
    assert orders.subscriptions[start + 3] == SENT
    orders.subscriptions[start + 3] ^= 1
    found = await read(original)
    assert found.position("orders", "d") == (2, [1, 2])
    assert any("what it acknowledges was not sent" in line for line in found.damage)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (1, integer(1, 2)),
        (1, integer(1, 2) + integer(2, 7)),
        (1, integer(1, 2) + blob(5, b"inbox") + blob(6, b"text")),
        (2, integer(1, 0) + blob(5, b"inbox")),
        (3, integer(1, 1) + integer(2, 1)),
        (3, integer(1, 1) + blob(2, b"me") + blob(5, b"inbox")),
        (3, b"\x08"),
        (4, integer(1, 1)),
        (5, integer(1, 1)),
        (5, integer(1, 1) + blob(2, b"me")),
        (5, integer(1, 1) + integer(2, 9) + integer(3, 9)),
        (5, integer(1, 1) + integer(2, 1 << 63)),
        (5, integer(2, 1)),
    ],
)
async def test_a_good_checksum_over_what_is_no_such_record(tmp_path: Path, kind: int, payload: bytes) -> None:
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="d")
    orders.sent(1, 1, 2)
    orders.subscriptions += typed(kind, payload)
    found = await read(original)
    assert found.position("orders", "d") == (2, [1, 2])
    assert len(found.subscriptions) == 1
    assert found.damage


async def test_numbers_of_many_bytes(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    orders.slices.clear()
    orders.next = (1 << 61) + 1
    orders.publish(b"x", b"y", b"z")
    number = (1 << 60) + 5
    orders.new(number, client="me", durable="d", last_sent=1 << 61)
    orders.sent(number, (1 << 61) + 1, (1 << 61) + 2)
    orders.acknowledged(number, (1 << 61) + 1)
    found = await read(original)
    assert found.damage == []
    assert found.position("orders", "d") == ((1 << 61) + 2, [(1 << 61) + 2])


async def test_a_subscription_whose_record_is_lost(tmp_path: Path) -> None:
    original, orders = made(tmp_path)
    start = len(orders.subscriptions)
    orders.new(1, client="me", durable="d")
    orders.sent(1, 1)
    spoil(orders, start, 20)
    found = await read(original)
    assert found.subscriptions == {}
    assert "orders/subs.dat: the records of 1 subscriptions may be lost" in found.damage


@pytest.mark.row(143)
async def test_a_number_is_given_again(tmp_path: Path) -> None:
    """After a compaction the original may have forgotten that it was used."""
    original, orders = made(tmp_path)
    orders.new(1, client="me", durable="old")
    orders.sent(1, 1, 2)
    orders.deleted(1)
    orders.new(1, client="me", durable="new", last_sent=1)
    orders.sent(1, 2)
    found = await read(original)
    assert found.position("orders", "new") == (2, [2])
    assert len(found.subscriptions) == 1
    assert found.damage == []
