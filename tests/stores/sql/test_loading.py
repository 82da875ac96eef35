"""What is in the tables, whoever wrote them; above all the original, in both of its formats."""

import pytest

from durabus.errors import StoreError
from durabus.streaming.records import (
    decode_channel_name,
    decode_client,
    decode_server,
    decode_subscription,
    encode_server,
)
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Cursor,
    Recovered,
)
from durabus.wire.stan_messages import encode_message
from durabus.wire.varint import bytes_field
from tests.stores.sql.driving import driven
from tests.stores.sql.original_rows import SERVER, blob, write_original
from tests.stores.sql_harness import ask, open_store


def entries(recovered: Recovered, kind: int) -> dict[bytes, bytes]:
    return {key: value for found, key, value in recovered.state if found == kind}


def cursors(recovered: Recovered) -> dict[int, tuple[int, list[tuple[int, int]]]]:
    return {cursor.subscription_id: (cursor.last_sent, cursor.pending) for cursor in recovered.cursors}


def figures(recovered: Recovered) -> dict[int, tuple[int, int]]:
    return {channel.channel_id: (channel.first_sequence, channel.last_sequence) for channel in recovered.channels}


def original_bodies(first: int, last: int) -> list[bytes]:
    return [
        encode_message(number, b"foo", b"", b"message %d" % number, number * 1000) for number in range(first, last + 1)
    ]


@pytest.mark.row(153)
@pytest.mark.parametrize("single_rows", [False, True])
async def test_a_database_of_the_original_is_taken_over(kind: str, source: str, single_rows: bool) -> None:
    write_original(kind, source, single_rows=single_rows)
    async with driven(open_store(kind, source, single_rows=single_rows)) as driver:
        recovered = await driver.recover()
        assert recovered.damage == []
        assert figures(recovered) == {1: (4, 10), 2: (8, 7), 4: (0, 0)}
        names = {key: decode_channel_name(value) for key, value in entries(recovered, KIND_CHANNEL).items()}
        assert names == {b"1": b"foo", b"2": b"bar", b"4": b"new"}
        clients = {key: decode_client(value) for key, value in entries(recovered, KIND_CLIENT).items()}
        assert {key: client.heartbeat_inbox for key, client in clients.items()} == {
            b"me": b"_INBOX.heart",
            b"ancient": b"_INBOX.ancient",
        }
        found = {key: decode_subscription(value) for key, value in entries(recovered, KIND_SUBSCRIPTION).items()}
        assert {key: record.channel for key, record in found.items()} == {b"1": b"foo", b"2": b"foo", b"3": b"new"}
        assert (found[b"2"].queue_group, found[b"1"].ack_inbox) == (b"dur:group", b"_INBOX.acks")
        assert cursors(recovered) == {1: (10, [(5, 6), (9, 9)]), 2: (8, [])}
        server = decode_server(entries(recovered, KIND_SERVER)[b"server"])
        # Channel 3 is dead and lower than a living one; subscription 7 is dead and was the highest.
        assert (server.cluster_id, server.channel_id_last, server.subscription_id_last) == (b"test-cluster", 0, 7)
        assert await driver.messages(4) == original_bodies(4, 10)
        assert [await driver.probe.found(driver.probe.ask_seek(1, moment)) for moment in (0, 7000, 7001, 99_999)] == [
            4, 7, 8, 11,
        ]  # fmt: skip
        assert await driver.probe.found(driver.probe.ask_seek(2, 0)) == 8


@pytest.mark.row(153)
async def test_the_original_finds_what_it_needs_again(kind: str, source: str) -> None:
    """After work of ours, its columns say to the original what they say to us."""
    write_original(kind, source, single_rows=False)
    async with driven(open_store(kind, source)) as driver:
        batch = driver.batch()
        body = encode_message(11, b"foo", b"", b"data", 11)
        driver.publish(batch, 11, 2)
        driver.publish(batch, 8, 1, channel_id=2)
        driver.add_channel(batch, 5, b"mine")
        driver.add_subscription(batch, 8, b"mine")
        batch.cursors = [Cursor(1, 12, [(9, 9), (11, 12)]), Cursor(2, 12, [])]
        batch.floors = {1: 6, 2: 9}
        assert await driver.submit(batch) is None
        await driver.sweep()
    rows = ask(kind, source, "SELECT id, maxseq, maxmsgs FROM Channels ORDER BY id")
    assert rows == [("1", "5", "1000000"), ("2", "8", "1000000"), ("4", "0", "1000000"), ("5", "0", "2147483647")]
    assert ask(kind, source, "SELECT id, MIN(seq), MAX(seq) FROM Messages GROUP BY id") == [("1", "6", "12")]
    assert ask(kind, source, "SELECT timestamp, size FROM Messages WHERE id=1 AND seq=11") == [("11", str(len(body)))]
    rows = ask(kind, source, "SELECT id, subid, lastsent FROM Subscriptions ORDER BY subid")
    # The tombstone has a successor; what stood under the deleted channel is swept.
    assert rows == [("1", "1", "12"), ("1", "2", "12"), ("4", "3", "0"), ("5", "8", "0")]
    shown = {
        "postgres": "convert_from(pending, 'UTF8')",
        "mysql": "CAST(pending AS CHAR)",
        "sqlite": "CAST(pending AS TEXT)",
    }
    assert ask(kind, source, f"SELECT subid, seq, lastsent, {shown[kind]} FROM SubsPending") == [
        ("1", "0", "12", "[9,11,12]")
    ]
    server = {"postgres": "encode(proto, 'hex')", "mysql": "HEX(proto)", "sqlite": "proto"}
    assert ask(kind, source, f"SELECT id, {server[kind]}, version FROM ServerInfo")[0][0] == "test-cluster"
    assert ask(kind, source, f"SELECT {server[kind]} FROM ServerInfo")[0][0].lower() == SERVER.hex()


@pytest.mark.parametrize("fields", [(), (3, 4, 5), (2, 3, 4, 5, 6), (2, 3, 4, 5, 6, 7, 9)])
async def test_an_older_original_knew_fewer_subjects(kind: str, source: str, fields: tuple[int, ...]) -> None:
    """Its channels are served all the same; what it wrote of itself is there for it to read again."""
    write_original(kind, source, single_rows=False)
    subjects = b"".join(bytes_field(number, b"_STAN.old.abcdef.%d" % number) for number in fields)
    proto = bytes_field(1, b"test-cluster") + subjects
    ask(kind, source, f"UPDATE ServerInfo SET proto={blob(kind, proto)}")
    async with driven(open_store(kind, source)) as driver:
        recovered = await driver.recover()
        assert [text for text in recovered.damage if "ServerInfo" in text] == []
        assert decode_server(entries(recovered, KIND_SERVER)[b"server"]).cluster_id == b"test-cluster"
        assert figures(recovered)[1] == (4, 10)
        batch = driver.batch()
        batch.state.append((KIND_SERVER, b"server", encode_server(b"test-cluster", 9, 9)))
        assert await driver.submit(batch) is None
    shown = {"postgres": "encode(proto, 'hex')", "mysql": "HEX(proto)", "sqlite": "proto"}[kind]
    written = bytes.fromhex(ask(kind, source, f"SELECT {shown} FROM ServerInfo")[0][0])
    assert written.endswith(subjects)
    async with driven(open_store(kind, source)) as driver:
        assert decode_server(entries(await driver.recover(), KIND_SERVER)[b"server"]).channel_id_last == 9


@pytest.mark.row(155)
async def test_a_position_beyond_all_messages_is_a_used_number(kind: str, source: str) -> None:
    """The original's messages expired when it started, so only a subscription tells how far it was."""
    write_original(kind, source, single_rows=False)
    ask(kind, source, "DELETE FROM Messages WHERE id=1")
    async with driven(open_store(kind, source)) as driver:
        recovered = await driver.recover()
        assert figures(recovered)[1] == (11, 10)
        batch = driver.batch()
        driver.publish(batch, 11, 1)
        assert await driver.submit(batch) is None


async def test_messages_that_somebody_deleted_are_named_and_left_out(kind: str, source: str) -> None:
    write_original(kind, source, single_rows=False)
    ask(kind, source, "DELETE FROM Messages WHERE id=1 AND (seq=6 OR seq=7)")
    async with driven(open_store(kind, source)) as driver:
        recovered = await driver.recover()
        assert figures(recovered)[1] == (4, 10)
        assert len(recovered.damage) == 1
        assert '2 message(s) of channel "foo" between 4 and 10 are not in the table' in recovered.damage[0]
        found = await driver.messages(4)
        assert found[:2] + found[4:] == original_bodies(4, 5) + original_bodies(8, 10)
        assert found[2:4] == [b"", b""]
        assert driver.store.has_lost


async def test_what_is_pending_may_be_unreadable(kind: str, source: str) -> None:
    write_original(kind, source, single_rows=False)
    ask(kind, source, f"UPDATE SubsPending SET pending={blob(kind, b'[4,')} WHERE subid=1 AND lastsent=7")
    async with driven(open_store(kind, source)) as driver:
        recovered = await driver.recover()
        assert "what subscription 1 has pending is unreadable" in recovered.damage[0]
        assert cursors(recovered)[1] == (10, [(9, 9)])


async def test_another_version_of_the_tables(kind: str, source: str) -> None:
    write_original(kind, source, single_rows=False)
    ask(kind, source, "UPDATE ServerInfo SET version=2")
    store = open_store(kind, source)
    with pytest.raises(StoreError, match=r"sql: unsupported version: 2 \(supports \[1..1\]\)"):
        await store.recover(None)
    await store.close()


async def test_a_cluster_id_that_contradicts_itself(kind: str, source: str) -> None:
    write_original(kind, source, single_rows=False)
    ask(kind, source, "UPDATE ServerInfo SET id='other'")
    store = open_store(kind, source)
    with pytest.raises(StoreError, match='sql: id "other" in column does not match cluster ID in data "test-cluster"'):
        await store.recover(None)
    await store.close()


async def test_a_server_record_that_is_unreadable(kind: str, source: str) -> None:
    write_original(kind, source, single_rows=False)
    ask(kind, source, f"UPDATE ServerInfo SET proto={blob(kind, bytes((255,)))}")
    async with driven(open_store(kind, source)) as driver:
        assert "the proto of ServerInfo is unreadable" in (await driver.recover()).damage[0]


async def test_names_that_are_no_text(kind: str, source: str) -> None:
    names = [b"\xff\xfe", "fö".encode(), b"a\x00b", b"A", b"a", "\U0001f600".encode(), b"x" * 1000]
    async with driven(open_store(kind, source)) as driver:
        batch = driver.batch()
        for number, name in enumerate(names, 1):
            driver.add_channel(batch, number, name)
            driver.add_subscription(batch, number, name)
        for name in (b"A", b"a"):
            driver.add_client(batch, name)
        assert await driver.submit(batch) is None
        recovered = await driver.recover()
        assert [decode_channel_name(value) for value in entries(recovered, KIND_CHANNEL).values()] == names
        assert set(entries(recovered, KIND_CLIENT)) == {b"A", b"a"}
        channels = [decode_subscription(value).channel for value in entries(recovered, KIND_SUBSCRIPTION).values()]
        assert channels == names
