"""The whole of an original's directory as a store: messages, clients, subscriptions, and what is damaged of them."""

import json
import os
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.original_file.checksum import KNOWN_POLYNOMIALS
from durabus.stores.original_file.store import OriginalFileStore
from durabus.streaming.store_port import REFUSED, Batch
from durabus.testing.conformance.probe import Probe
from tests.stores.original_file.original_writer import EPOCH_NS, OriginalDirectory, message
from tests.stores.original_file.reading_steps import read_original

DAY_NS = 86_400_000_000_000


@pytest.mark.row(141)
async def test_messages_in_slices_with_gaps_between_their_numbers(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.next = 7  # what came before has expired, with its slice
    orders.publish(b"a", b"", b"c", number=2)
    orders.publish(b"d", number=3)
    orders.publish(*[b"%d" % i * 100 for i in range(5000)], number=7)
    original.channel("never.used")
    for page, page_bytes in ((1000, 1 << 20), (1, 1), (37, 5000)):
        found = await read_original(original.write() if page == 1000 else original.folder, page, page_bytes)
        assert found.damage == []
        assert found.cluster_id == b"test-cluster"
        read = found.channels["orders"]
        assert (read.first, read.last) == (7, 5010)
        assert read.bodies == orders.bodies()
        assert read.last_timestamp_ns == EPOCH_NS + 5010 * 1_000_000_000
        empty = found.channels["never.used"]
        assert (empty.first, empty.last, empty.bodies) == (0, 0, [])
        assert found.channel_id_last == 2


async def test_clients(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    records = {name: original.client(name) for name in ("a", "b", "c")}
    original.no_client("b")
    original.no_client("never")
    records["c"] = original.client("c")
    found = await read_original(original.write())
    assert found.clients == {b"a": records["a"], b"c": records["c"]}


@pytest.mark.row(151)
async def test_where_subscriptions_stand(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(*[b"x"] * 20)
    orders.new(1, client="me", durable="d", last_sent=4)
    orders.new(2, client="me", group="w:g")
    orders.sent(1, 5, 6, 7)
    orders.new(3, client="you")
    orders.sent(3, 20)
    orders.acknowledged(1, 6)
    orders.sent(2, 1, 2)
    orders.acknowledged(2, 1, 2)
    orders.updated(1, client="me", durable="d", last_sent=7, is_closed=True)
    orders.deleted(3)
    orders.sent(8, 12)  # of nobody
    orders.acknowledged(8, 12)
    orders.updated(9, client="she", durable="late", last_sent=10)
    other = original.channel("other")
    other.publish(b"x")
    other.new(1, client="me", durable="d")
    found = await read_original(original.write())
    assert found.damage == []
    assert found.position("orders", "d") == (7, [5, 7])
    assert found.position("orders", "w:g") == (2, [])
    assert found.position("orders", "late") == (10, [])
    assert found.position("other", "d") == (0, [])
    assert sorted(found.subscriptions) == [1, 2, 3, 4]
    assert found.subscription_id_last == 4
    for number, (record, _, _) in found.subscriptions.items():
        assert record.subscription_id == number, "the original numbers those of each channel from 1 on"
    record = next(record for record, _, _ in found.subscriptions.values() if record.is_closed)
    assert (record.client_id, record.durable_name, record.is_durable) == (b"me", b"d", True)
    assert (record.inbox, record.ack_inbox, record.max_in_flight) == (b"_INBOX.in.1", b"_INBOX.ack.1", 1024)
    assert record.channel == b"orders"


async def test_what_is_pending_below_the_first_message_is_gone_with_it(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.next = 10
    orders.publish(b"x", b"y")
    orders.new(1, client="me", durable="d")
    orders.sent(1, 8, 9, 10, 11)
    assert (await read_original(original.write())).position("orders", "d") == (11, [10, 11])


@pytest.mark.parametrize("polynomial", [*KNOWN_POLYNOMIALS, 0xD5828281])
async def test_checksums_of_any_polynomial(tmp_path: Path, polynomial: int) -> None:
    original = OriginalDirectory(tmp_path / "data", polynomial=polynomial)
    orders = original.channel("orders")
    orders.publish(*[b"x" * i for i in range(50)])
    orders.new(1, client="me", durable="d")
    orders.sent(1, 1, 2)
    original.client("me")
    orders.slice(1).data[orders.slice(1).offsets[20] + 20] ^= 1
    found = await read_original(original.write(), crc_polynomial=polynomial)
    assert found.channels["orders"].lost == [21]
    assert found.position("orders", "d") == (2, [1, 2])
    assert list(found.clients) == [b"me"]


async def test_another_polynomial_is_told_before_everything_looks_damaged(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data", polynomial=0x82F63B78)
    original.channel("orders").publish(b"x")
    folder = original.write()
    with pytest.raises(StoreError, match=r"say -file_crc_poly 2197175160$"):
        await read_original(folder)
    found = await read_original(folder, check_crc=False)
    assert found.channels["orders"].bodies == original.channel("orders").bodies()
    strange = OriginalDirectory(tmp_path / "strange", polynomial=0xABCDEF01)
    strange.client("me")
    strange.channel("orders").publish(b"x")
    with pytest.raises(StoreError, match=r"no checksum in .* is right: .* -file_crc=false"):
        await read_original(strange.write())


async def test_without_checks_a_wrong_checksum_is_none_of_our_business(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(b"abc", b"def", b"ghi")
    data = orders.slice(1).data
    data[data.index(b"def")] ^= 0x20
    found = await read_original(original.write(), check_crc=False)
    assert found.damage == []
    assert found.channels["orders"].bodies[1] == message(2, b"orders", b"Def", EPOCH_NS + 2_000_000_000)
    assert (await read_original(original.folder)).channels["orders"].lost == [2]


async def test_the_record_of_the_server_is_missing(tmp_path: Path) -> None:
    """Version 0.23 ignored all channels then, 0.25 goes on with them."""
    original = OriginalDirectory(tmp_path / "data")
    original.channel("orders").publish(b"x")
    original.server = None
    found = await read_original(original.write(), cluster_id=b"mine")
    assert found.cluster_id == b"mine"
    assert found.channels["orders"].bodies == original.channel("orders").bodies()
    assert found.damage == ["server.dat is not there, so nothing says whose store this is"]
    with pytest.raises(StoreError, match="does not say any more for which cluster ID it was written"):
        await read_original(original.folder)


@pytest.mark.parametrize("content", [b"\x01\0\0\0", b"", b"\x01\0"])
async def test_a_first_start_of_the_original_that_did_not_get_far(tmp_path: Path, content: bytes) -> None:
    original = OriginalDirectory(tmp_path / "data")
    original.server = content
    original.clients = None
    found = await read_original(original.write(), cluster_id=b"mine")
    assert (found.cluster_id, found.channels, found.clients) == (b"mine", {}, {})


async def test_names_of_channels(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    names = [
        "a",
        "a.b",
        "durabus",
        "caf\u00e9",
        "msgs.1.dat",
        "subs.dat",
        os.fsdecode(b"\xff\xfe"),
        "x" * 200,
        "B",
        "b",
    ]
    for name in names:
        original.channel(name).publish(name.encode(errors="surrogateescape"))
    found = await read_original(original.write())
    assert list(found.channels) == sorted(names, key=os.fsencode)
    assert all(len(channel.bodies) == 1 for channel in found.channels.values())
    assert found.damage == []


@pytest.mark.row(141)
async def test_what_is_no_channel_is_left_alone(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(b"x")
    orders.extra = {
        "msgs.0.dat.bak": b"archived",
        "msgs.0.idx.bak": b"archived",
        "msgs.9.idx": b"without data",
        "msgs.new.dat": b"?",
    }
    folder = original.write()
    (folder / "lost+found").mkdir()
    (folder / "subs123").write_bytes(b"a compaction that was interrupted")
    (folder / "elsewhere").symlink_to(tmp_path)
    found = await read_original(folder)
    assert list(found.channels) == ["orders"]
    assert found.channels["orders"].bodies == orders.bodies()
    assert found.damage == [
        "lost+found is not of a channel: it is left alone",
        "orders/msgs.new.dat is not of a channel: it is left alone",
    ]


async def test_nothing_is_there(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StoreError, match="holds no data of a NATS Streaming Server"):
            await read_original(folder)
    (tmp_path / "server.dat").mkdir()
    with pytest.raises(StoreError, match="holds no data"):
        await read_original(tmp_path)


async def test_it_can_only_be_read(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    original.channel("orders").publish(b"x")
    store = OriginalFileStore(str(original.write()))
    probe = Probe(store, 5)
    with pytest.raises(StoreError, match="not supported"):
        await store.acquire("me")
    await store.recover(None)
    batch = Batch(1, 0)
    batch.floors[1] = 2
    probe.submit(batch)
    assert probe.failed[1][0] == REFUSED
    await store.close()
    await store.close()


async def test_finding_a_moment(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.next = 3
    orders.publish(*[b"x"] * 10, number=1)
    orders.publish(*[b"x"] * 10, number=2)
    orders.slice(1).data[orders.slice(1).offsets[4] + 20] ^= 1
    original.channel("empty")
    store = OriginalFileStore(str(original.write()))
    probe = Probe(store, 5)
    await store.recover(None)
    for channel, moment_ns, expected in (
        (2, 0, 3),
        (2, EPOCH_NS + 3_000_000_000, 3),
        (2, EPOCH_NS + 3_000_000_001, 4),
        (2, EPOCH_NS + 6_500_000_000, 7),  # which is damaged: whoever reads goes on with 8
        (2, EPOCH_NS + 7_500_000_000, 7),
        (2, EPOCH_NS + 18_000_000_000, 18),
        (2, EPOCH_NS + DAY_NS, 23),
        (1, EPOCH_NS, 0),
        (99, EPOCH_NS, 0),
    ):
        assert await probe.found(probe.ask_seek(channel, moment_ns)) == expected
    assert await probe.page(probe.ask_page(2, 5, 2, 1000)) == orders.bodies()[2:4]
    assert await probe.page(probe.ask_page(99, 5, 2, 1000)) == []
    await store.close()


async def test_damage_is_named_and_set_aside(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(*[b"%d" % i * 10 for i in range(10)])
    part = orders.slice(1)
    part.data[part.offsets[3] + 12] ^= 4
    quarantine = tmp_path / "quarantine"
    for _ in range(2):
        found = await read_original(
            original.write() if not quarantine.exists() else original.folder, quarantine=quarantine
        )
        assert found.channels["orders"].lost == [4]
        assert found.lost_count == 1
        (said,) = found.damage
        end = part.offsets[4] - 1
        assert said == (
            f'channel "orders": message 4 is damaged (orders/msgs.1.dat, bytes {part.offsets[3]} to {end}: '
            "its checksum is wrong)"
        )
        (line,) = map(json.loads, quarantine.read_text().splitlines())
        assert (line["file"], line["offset"], line["channel"]) == ("orders/msgs.1.dat", part.offsets[3], "orders")
        assert (line["first"], line["last"]) == (4, 4)


async def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    orders = original.channel("orders")
    orders.publish(*[b"x" * 1000] * 10)
    store = OriginalFileStore(str(original.write()))
    problems: list[str] = []
    store.on_problem = problems.append
    await store.recover(None)
    path = original.folder / "orders" / "msgs.1.dat"
    os.truncate(path, orders.slice(1).offsets[5])
    assert store.read_now(1, 1, 100, 1 << 20) == orders.bodies()[:5]
    assert store.read_now(1, 6, 100, 1 << 20) == [b""]
    await store.recover(None)
    path.unlink()
    assert store.read_now(1, 1, 100, 1 << 20) == [b""]
    assert problems == ['channel "orders": message 1 cannot be read any more: No such file or directory']
    await store.close()
