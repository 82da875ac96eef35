"""Checking a database finds every damage that can be made with SQL, and nothing where there is none."""

import re
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.findings import CheckReport
from durabus.stores.sql.repairing import check_database
from durabus.streaming.store_port import Cursor
from tests.stores.sql.driving import driven
from tests.stores.sql.original_rows import blob, write_original
from tests.stores.sql_harness import ask, new_database, new_source, open_store

NOTHING = b"\xff\xff"

# What is done to the database of `filled`, and what a check says then: all of it, in order.
DAMAGES = {
    "message": ("UPDATE Messages SET data={junk} WHERE seq=5", ["message 5 of channel .foo.: its data are unreadable"]),
    "other message": (
        "UPDATE Messages SET data=(SELECT data FROM (SELECT * FROM Messages) one WHERE one.id=1 AND one.seq=4) WHERE seq=6",
        ["its data are those of message 4"],
    ),
    "no data": ("UPDATE Messages SET data={empty}, size=0 WHERE seq=10", ["message 10 .*unreadable .there are none"]),
    "size": ("UPDATE Messages SET size=1 WHERE seq=7", ["Messages id=1 seq=7: it has .* bytes and not 1"]),
    "gap": ("DELETE FROM Messages WHERE seq IN (4, 5, 7)", ["messages 4 to 5 of .* are not", "message 7 of .* is not"]),
    "end": (
        "DELETE FROM Messages WHERE seq>8; UPDATE Subscriptions SET lastsent=10",
        ["messages 9 to 10 of channel .foo. are not in the table"],
    ),
    "channel": (
        "DELETE FROM Channels",
        ["of a channel that is not in the table Channels; by its messages it is .foo."],
    ),
    "double channel": (
        "INSERT INTO Channels (id, name) VALUES (5, 'foo'); UPDATE Messages SET id=5 WHERE seq>8",
        [
            "id=5 seq=9: of a second channel",
            "id=5 seq=10: of a second",
            "id=5: channel .foo. is there as number 1, too",
        ],
    ),
    "subscription": ("UPDATE Subscriptions SET proto={junk}", ["Subscriptions id=1 subid=1: its proto is unreadable"]),
    "pending": (
        "UPDATE SubsPending SET pending={junk}",
        ["SubsPending subid=1 row=1: what it has pending is unreadable"],
    ),
    "lost subscription": ("DELETE FROM Subscriptions", ["its subscription is not in the table Subscriptions"]),
    "client": ("UPDATE Clients SET proto={junk}", ["Clients id='client-1': its proto is unreadable"]),
    "server": ("UPDATE ServerInfo SET proto={junk}", ["ServerInfo uniquerow=1: its proto is unreadable"]),
    "other server": ("UPDATE ServerInfo SET id='other'", ["its proto is that of another server than its id"]),
    "no server": ("DELETE FROM ServerInfo", ["table ServerInfo has no row"]),
    "lock": ("INSERT INTO StoreLock (id, tick) VALUES ('x', 1)", ["table StoreLock has 2 rows"]),
}


async def filled(kind: str, source: str) -> None:
    """Channel foo (1) with messages 1 to 10, subscription 1 with a position and something pending, a client."""
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.some_of_everything(batch, 1, 10)
        batch.cursors.append(Cursor(1, 3, [(2, 3)]))
        assert await driver.submit(batch) is None


def damage(kind: str, source: str, name: str) -> None:
    """Do one of DAMAGES."""
    for statement in DAMAGES[name][0].split(";"):
        ask(kind, source, statement.format(junk=blob(kind, NOTHING), empty=blob(kind, b"")))


async def checked(kind: str, source: str) -> CheckReport:
    said: list[str] = []
    report = await check_database(new_database(kind, source), said.append)
    assert said == []
    return report


async def test_everything_is_counted_where_nothing_is_damaged(kind: str, source: str) -> None:
    await filled(kind, source)
    report = await checked(kind, source)
    assert [finding.text for finding in report.findings] == []
    assert report.is_well
    assert (report.kind, report.cluster_id, report.channels, report.messages) == ("SQL", b"test-cluster", 1, 10)
    assert (report.clients, report.subscriptions, report.lost_before) == (1, 1, 0)
    assert report.message_bytes == int(ask(kind, source, "SELECT SUM(size) FROM Messages")[0][0])


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_is_found(kind: str, source: str, name: str) -> None:
    await filled(kind, source)
    damage(kind, source, name)
    report = await checked(kind, source)
    wanted = DAMAGES[name][1]
    found = [finding.text for finding in report.findings]
    assert len(found) == len(wanted), found
    for text, words in zip(found, wanted, strict=True):
        assert re.search(words, text), text
    assert report.finding_count == len(wanted)


@pytest.mark.parametrize("single_rows", [False, True])
async def test_what_the_original_left_is_well(kind: str, source: str, single_rows: bool) -> None:
    write_original(kind, source, single_rows=single_rows)
    report = await checked(kind, source)
    assert [finding.text for finding in report.findings] == []
    assert (report.channels, report.messages, report.clients, report.subscriptions) == (3, 7, 2, 3)


async def test_a_check_works_beside_a_server(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 20)
        batch.floors[1] = 11
        assert await driver.submit(batch) is None
        report = await checked(kind, source)
    assert (report.messages, report.finding_count) == (10, 0)


async def test_lost_messages_are_counted_and_their_gaps_found(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 6)
        batch.runs[0].bodies[2] = batch.runs[0].bodies[5] = b""
        assert await driver.submit(batch) is None
    report = await checked(kind, source)
    assert (report.messages, report.lost_before) == (4, 1)
    assert [(finding.channel, finding.first, finding.last) for finding in report.findings] == [(b"foo", 3, 3)]


async def test_another_version_is_refused(tmp_path: Path) -> None:
    source = new_source("sqlite", tmp_path)
    await filled("sqlite", source)
    ask("sqlite", source, "UPDATE ServerInfo SET version=2")
    with pytest.raises(StoreError, match="unsupported version: 2"):
        await checked("sqlite", source)


async def test_messages_of_any_size_are_read_in_pages(tmp_path: Path) -> None:
    source = new_source("sqlite", tmp_path)
    async with driven(open_store("sqlite", source)) as driver:
        await driver.begin()
        first = 1
        for count, size in ((3000, 1), (3, 6_000_000), (10, 1)):
            batch = driver.batch()
            driver.publish(batch, first, count, b"x" * size)
            first += count
            assert await driver.submit(batch) is None
    report = await checked("sqlite", source)
    assert (report.messages, report.finding_count) == (3013, 0)
