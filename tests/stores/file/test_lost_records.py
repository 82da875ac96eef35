"""Records that were damaged: what is left of channels and subscriptions names them."""

import pytest

from durabus.stores.file.contents import ChannelLog, Contents
from durabus.stores.file.lost_records import mend_records
from durabus.streaming.records import encode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SUBSCRIPTION, Cursor, Run
from durabus.testing.disk import SimulatedDisk
from durabus.wire.stan_messages import encode_message
from tests.stores.file.damage_steps import ACTIVE, disk_with
from tests.stores.file.journal_steps import Desk, batch_of, desk_on, frames_of


def run(channel_id: int, name: bytes, first: int, count: int) -> Run:
    found = Run(channel_id, first)
    found.bodies = [encode_message(first + at, name, b"", b"data", 5) for at in range(count)]
    found.stamps = [(0, 5)]
    return found


def spoiled(*frames: int) -> Desk:
    """A journal in which the records of two channels and a subscription are in the first frames, some of them damaged."""
    desk, _ = desk_on(SimulatedDisk())
    desk.put(batch_of(state=[(KIND_CHANNEL, b"1", encode_channel_name(b"orders"))]))
    desk.put(batch_of(state=[(KIND_CHANNEL, b"2", encode_channel_name(b"bills"))]))
    desk.put(batch_of(state=[(KIND_SUBSCRIPTION, b"3", b"three")]))
    desk.put(batch_of(run(1, b"orders", 1, 3), run(2, b"bills", 1, 1), cursors=[Cursor(3, 2, [])]))
    desk.put(batch_of(run(1, b"orders", 4, 1)))
    data = bytearray(desk.disk.contents()[ACTIVE])
    for number in frames:
        data[frames_of(bytes(data), ACTIVE)[number].head.offset + 70] ^= 1
    return Desk(disk_with({ACTIVE: bytes(data)}))


def test_a_channel_gets_its_name_back_from_its_messages() -> None:
    desk = spoiled(1)
    recovered = desk.open()
    assert (KIND_CHANNEL, b"1", encode_channel_name(b"orders")) in recovered.state
    assert "the record of channel 1 is lost: its name is taken from its messages" in recovered.damage
    assert not [text for text in recovered.damage if "channel 2" in text or "subscription" in text]
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"x" * 5000)]))
    desk.put(batch_of(state=[(KIND_CLIENT, b"client", b"x" * 5000)]))
    _, recovered = desk_on(desk.disk.kill())
    assert recovered.damage == [], "from the next snapshot on it is known again"
    assert (KIND_CHANNEL, b"1", encode_channel_name(b"orders")) in recovered.state


def test_a_subscription_of_which_only_the_position_is_left_is_named() -> None:
    recovered = spoiled(3).open()
    assert "the record of subscription 3 is lost: only its position is known" in recovered.damage
    assert [cursor.subscription_id for cursor in recovered.cursors] == [3], "so that nobody else gets its number"


def test_nothing_is_looked_for_where_nothing_is_damaged() -> None:
    recovered = spoiled().open()
    assert recovered.damage == []


MENDED = encode_message(7, b"orders", b"", b"x", 1)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "nothing can be read"),
        (encode_message(8, b"orders", b"", b"x", 1), "it says that it is another message"),
        (b"\x7f\xff\xff\xff\xff", "it is no message: encrypted, for example"),
        (b"\x08\x07\x1a\x01x", "it has no channel where that should be"),
        (b"\x08\x07", "it ends there"),
        (encode_message(7, b"no channel..", b"", b"x", 1), "that is no name"),
        (encode_message(7, b"taken", b"", b"x", 1), "another channel has that name"),
    ],
)
def test_a_name_is_taken_from_nothing_but_a_message(body: bytes, why: str) -> None:
    contents = Contents()
    contents.state[(KIND_CHANNEL, b"1")] = encode_channel_name(b"taken")
    for channel_id in (1, 9):
        contents.channel(channel_id).append(7, 1, 10, 1)
    contents.channel(5)  # that never had a message
    damage: list[str] = []
    mend_records(contents, lambda log: (7, body), damage)
    assert damage == ["the record of channel 9 is lost"], why
    assert set(contents.state) == {(KIND_CHANNEL, b"1")}


def test_of_two_channels_with_one_name_one_gets_it() -> None:
    contents = Contents()
    logs: list[ChannelLog] = []
    for channel_id in (4, 9):
        logs.append(contents.channel(channel_id))
        logs[-1].append(7, 1, 10, 1)
    damage: list[str] = []
    mend_records(contents, lambda log: (7, MENDED), damage)
    assert contents.state == {(KIND_CHANNEL, b"4"): encode_channel_name(b"orders")}
    assert damage == [
        "the record of channel 4 is lost: its name is taken from its messages",
        "the record of channel 9 is lost",
    ]


def test_the_first_message_that_can_be_read_tells() -> None:
    """The ones before it are damaged, or missing."""
    desk = spoiled(1)
    data = bytearray(desk.disk.contents()[ACTIVE])
    at = bytes(data).index(encode_message(1, b"orders", b"", b"data", 5))
    data[at + 5] ^= 1
    again = Desk(disk_with({ACTIVE: bytes(data)}))
    recovered = again.open()
    assert (KIND_CHANNEL, b"1", encode_channel_name(b"orders")) in recovered.state
