"""The SQL store on real databases: two servers, lost connections at every point, a database that goes and comes back."""

import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from durabus.errors import StoreError
from durabus.stores.sql.plan import Changes, Rules
from durabus.stores.sql.sqlite import SqliteDatabase
from durabus.stores.sql.store import SqlStore
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, REFUSED, UNKNOWN, Cursor, Recovered
from tests.databases import PASSWORD
from tests.stores.cutting_proxy import CuttingProxy, cutting_proxy
from tests.stores.sql.driving import Driver, bodies, driven
from tests.stores.sql_harness import ask, new_database, new_source, open_store, server_of


async def test_a_second_server_is_refused(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        second = open_store(kind, source)
        for _ in range(2):
            with pytest.raises(StoreError, match="another server uses the database"):
                await second.recover(None)
        with pytest.raises(StoreError, match="another server uses the database"):
            await open_store(kind, source).acquire("group")
        await second.close()
        batch = driver.batch()
        driver.publish(batch, 1, 3)
        assert await driver.submit(batch) is None
    async with driven(open_store(kind, source)) as driver:
        assert await driver.messages() == bodies(1, 3)


async def test_nothing_may_be_submitted_before_it_is_recovered(kind: str, source: str) -> None:
    store = open_store(kind, source)
    driver = Driver(store)
    assert await driver.submit(driver.batch()) == (REFUSED, "sql: the store is not recovered yet")
    await store.close()


async def test_after_a_failure_everything_fails_until_it_is_recovered(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 1)
        assert await driver.submit(batch) is None
        batch = driver.batch()
        driver.publish(batch, 5, 1)
        failure = await driver.submit(batch)
        assert failure == (REFUSED, "sql: channel 1 ends at 1, so 5 cannot be its next message")
        batch = driver.batch()
        driver.publish(batch, 2, 1)
        assert await driver.submit(batch) == failure
        await driver.recover()
        batch = driver.batch()
        driver.publish(batch, 2, 1)
        assert await driver.submit(batch) is None


async def test_messages_are_read_from_the_database_too(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        for first in range(1, 3000, 1000):
            batch = driver.batch()
            driver.publish(batch, first, 1000)
            assert await driver.submit(batch) is None
        assert driver.store.read_now(1, 1, 10, 1 << 20) is not None
        await driver.recover()
        assert driver.store.read_now(1, 1, 10, 1 << 20) is None
        assert await driver.messages() == bodies(1, 3000)
        assert driver.store.read_now(1, 3001, 10, 1 << 20) == []


async def test_the_database_has_the_next_batch_before_acknowledgements_go_out(source: str, kind: str) -> None:
    """So it works on it meanwhile. That it does nothing else in between is what `began` shows."""
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        began: list[int] = []
        database = driver.store._database
        transact = database.transact

        async def watched(changes: Changes, owner: str) -> None:
            began.append(len(changes.messages.bodies))
            await transact(changes, owner)

        seen: list[list[int]] = []
        driver.probe.at_durable = lambda number: seen.append(list(began))
        database.transact = watched  # type: ignore[method-assign]
        for first, count in ((1, 10), (11, 20)):
            batch = driver.batch()
            driver.publish(batch, first, count)
            driver.probe.submit(batch)
        await driver.probe.wait_all_ended()
        driver.probe.check()
        assert seen == [[10, 20], [10, 20]]
        assert driver.probe.durable[-2:] == [2, 3]
        assert await driver.messages() == bodies(1, 30)


async def test_what_is_committed_is_reported_before_a_failure(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        reports: list[int] = []
        driver.probe.at_durable = reports.append
        for first in (1, 7):  # the second leaves a gap, so it fails without a word to the database
            batch = driver.batch()
            driver.publish(batch, first, 3)
            driver.probe.submit(batch)
        await driver.probe.wait_all_ended()
        driver.probe.check()
        assert reports == [2]
        assert list(driver.probe.failed) == [3]


@pytest.mark.parametrize("connections_max", [1, 2])
async def test_a_few_connections_will_do(kind: str, source: str, connections_max: int) -> None:
    async with driven(open_store(kind, source, connections_max=connections_max)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 2000)
        batch.floors[1] = 1500
        assert await driver.submit(batch) is None
        await driver.recover()
        requests = [driver.probe.ask_page(1, first, 10, 1 << 20) for first in range(1500, 1990)]
        for first, request in enumerate(requests, 1500):
            assert await driver.probe.page(request) == bodies(first, 10)


async def test_tables_are_not_made_when_told_so(kind: str, source: str) -> None:
    store = open_store(kind, source, create_tables=False)
    with pytest.raises(StoreError, match="the database lacks ServerInfo, Clients"):
        await store.recover(None)
    await store.close()


@pytest.mark.row(159)
async def test_all_of_a_channel_leaves_the_tables(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 2500)
        batch.cursors.append(Cursor(1, 5, [(1, 5)]))
        assert await driver.submit(batch) is None
        batch = driver.batch()
        batch.state.append((KIND_CHANNEL, b"1", None))
        assert await driver.submit(batch) is None
        assert await driver.messages() == []
        await driver.sweep()
        assert ask(kind, source, "SELECT COUNT(*) FROM Messages") == [("0",)]
        assert ask(kind, source, "SELECT COUNT(*) FROM Channels") == [("0",)]
        # The subscription was not deleted: it stands under no channel.
        assert ask(kind, source, "SELECT id, subid FROM Subscriptions") == [("0", "1")]


# Failures at every point.


def is_stored(recovered: Recovered, first: int, count: int) -> bool:
    """Whether all of the batch is there, or nothing of it: anything else is an error."""
    channel = recovered.channels[0]
    cursors = {cursor.subscription_id: (cursor.last_sent, cursor.pending) for cursor in recovered.cursors}
    has_client = any(kind == KIND_CLIENT and key == b"client-%d" % first for kind, key, _ in recovered.state)
    found = (channel.last_sequence == first + count - 1, has_client, cursors.get(1) == (first, [(first, first)]))
    assert len(set(found)) == 1, found
    assert channel.last_sequence in (first - 1, first + count - 1)
    return found[0]


async def examine(driver: Driver, first: int, failure: tuple[int, str] | None, secrets: Iterable[str] = ()) -> int:
    """After the end of a batch of everything from `first` on: the next sequence. A refused batch must not be there."""
    stored = is_stored(await driver.recover(), first, 3)
    assert await driver.messages(max(1, first - 5)) == bodies(max(1, first - 5), min(first - 1, 5) + 3 * stored)
    if failure is None:
        assert stored
    else:
        outcome, text = failure
        assert outcome in (REFUSED, UNKNOWN), text
        assert text.startswith("sql: ")
        assert not any(secret in text for secret in secrets)
        if outcome == REFUSED:
            assert not stored
    return first + 3 * stored


def through(kind: str, source: str, port: int) -> str:
    """The same database by another port."""
    if kind == "postgres":
        return re.sub(r"port=\d+", f"port={port}", source)
    return re.sub(r":\d+\)", f":{port})", source)


async def cut_everywhere(driver: Driver, proxy: CuttingProxy, loses_answer: bool, only_messages: bool) -> set[int]:
    """Cut the connection at every point of a batch; which outcomes there were."""
    outcomes: set[int] = set()
    first = int((await driver.recover()).channels[0].last_sequence) + 1
    number = 0
    while True:
        number += 1
        batch = driver.batch()
        driver.some_of_everything(batch, first, 3)
        if only_messages:
            batch.state, batch.floors, batch.cursors = [], {}, []
        proxy.arm(number, loses_answer=loses_answer)
        failure = await driver.submit(batch)
        proxy.disarm()
        assert (failure is not None) == proxy.was_cut, failure
        if only_messages:
            last = int((await driver.recover()).channels[0].last_sequence)
            assert last == (first + 2 if failure is None else last)
            assert last in (first - 1, first + 2)
            first = last + 1
        else:
            first = await examine(driver, first, failure, [PASSWORD])
        if failure is None:
            assert number > 1
            return outcomes
        outcomes.add(failure[0])


@pytest.mark.row(152, 157)
@pytest.mark.parametrize("kind", ["postgres", "mysql"])
@pytest.mark.parametrize("owner", ["", "group"])
async def test_a_connection_that_is_cut_anywhere(kind: str, tmp_path: Path, owner: str) -> None:
    source = new_source(kind, tmp_path)
    async with cutting_proxy(server_of(kind).port) as proxy:
        store = open_store(kind, through(kind, source, proxy.port), tick_s=60)
        async with driven(store, owner) as driver:
            await driver.begin()
            for loses_answer in (False, True):
                assert await cut_everywhere(driver, proxy, loses_answer, only_messages=False) == {REFUSED, UNKNOWN}
                assert UNKNOWN in await cut_everywhere(driver, proxy, loses_answer, only_messages=True)


class FailingConnection(sqlite3.Connection):
    """Fails at the n-th statement from now on, before or after it was executed."""

    left = 0
    fails_after = False

    def _step(self, run: Any) -> Any:  # noqa: ANN401
        kind = type(self)
        kind.left -= 1
        if kind.left == 0 and not kind.fails_after:
            raise sqlite3.OperationalError("disk I/O error")
        answer = run()
        if kind.left == 0:
            raise sqlite3.OperationalError("disk I/O error")
        return answer

    def execute(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401
        found: sqlite3.Cursor = self._step(lambda: super(FailingConnection, self).execute(*arguments))
        return found

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401
        found: sqlite3.Cursor = self._step(lambda: super(FailingConnection, self).executemany(*arguments))
        return found


@pytest.mark.row(152)
@pytest.mark.parametrize("fails_after", [False, True])
async def test_a_statement_that_fails_anywhere(tmp_path: Path, fails_after: bool) -> None:
    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
        return sqlite3.connect(*arguments, **options, factory=FailingConnection)

    FailingConnection.fails_after = fails_after
    outcomes: set[int] = set()
    async with driven(SqlStore(SqliteDatabase(str(tmp_path / "x.db"), connect), Rules())) as driver:
        await driver.begin()
        first = number = 1
        while True:
            batch = driver.batch()
            driver.some_of_everything(batch, first, 3)
            FailingConnection.left = number
            failure = await driver.submit(batch)
            FailingConnection.left = 0
            first = await examine(driver, first, failure)
            if failure is None:
                break
            outcomes.add(failure[0])
            number += 1
    assert number > 6
    assert outcomes == {REFUSED, UNKNOWN}


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_database_that_goes_and_comes_back(kind: str, tmp_path: Path) -> None:
    server = server_of(kind)
    source = new_source(kind, tmp_path)
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.some_of_everything(batch, 1, 3)
        assert await driver.submit(batch) is None
        server.kill()
        try:
            batch = driver.batch()
            driver.some_of_everything(batch, 4, 3)
            failure = await driver.submit(batch)
            assert failure is not None
            with pytest.raises(StoreError, match="sql: cannot connect to the database") as caught:
                await driver.recover()
            assert PASSWORD not in str(caught.value)
        finally:
            server.start()
        assert await examine(driver, 4, failure) == 4
        batch = driver.batch()
        driver.some_of_everything(batch, 4, 3)
        assert await examine(driver, 4, await driver.submit(batch)) == 7


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_a_question_waits_until_the_database_is_there(kind: str, tmp_path: Path) -> None:
    source = new_source(kind, tmp_path)
    async with (
        cutting_proxy(server_of(kind).port) as proxy,
        driven(open_store(kind, through(kind, source, proxy.port))) as driver,
    ):
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 5)
        assert await driver.submit(batch) is None
        await driver.recover()
        proxy.arm(1, loses_answer=False)
        request = driver.probe.ask_page(1, 1, 10, 1 << 20)
        assert await driver.probe.page(request) == bodies(1, 5)
        assert proxy.was_cut


async def test_a_database_that_is_not_there(kind: str, tmp_path: Path) -> None:
    sources = {
        "sqlite": str(tmp_path / "no" / "events.db"),
        "postgres": "host=127.0.0.1 port=1 user=u password=secret1 sslmode=disable",
        "mysql": "u:secret1@tcp(127.0.0.1:1)/db",
    }
    database = new_database(kind, sources[kind])
    with pytest.raises(StoreError, match="sql: cannot ") as caught:
        await database.open(True)
    assert "secret1" not in str(caught.value)
    await database.close()
