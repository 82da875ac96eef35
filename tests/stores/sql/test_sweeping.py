"""What is dead leaves the tables: in pieces, when there is enough of it, after an error again, and never what is alive."""

import asyncio

import pytest

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import Contents, StoredChannel
from durabus.stores.sql.database import Database
from durabus.stores.sql.plan import Row
from durabus.stores.sql.sweeping import PIECE, Sweeper
from tests.stores.sql.driving import driven
from tests.stores.sql_harness import ask, open_store


class NotingDatabase(Database):
    """Notes what is deleted; fails as often as it is told to."""

    def __init__(self) -> None:
        self.deleted: list[Row] = []
        self.failures = 0
        self.reason = "no"
        self.news = asyncio.Event()

    async def execute(self, statement: str, arguments: Row = ()) -> int:
        self.news.set()
        if self.failures:
            self.failures -= 1
            raise StoreError(self.reason)
        assert statement == sql.SWEEP_MESSAGES
        self.deleted.append(arguments)
        return 1

    async def wait(self, count: int) -> None:
        """Until so many pieces were deleted."""
        async with asyncio.timeout(20):
            while len(self.deleted) < count:
                self.news.clear()
                await self.news.wait()


async def turns() -> None:
    """Let everything happen that does not wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def channel(first: int) -> tuple[Contents, StoredChannel]:
    contents = Contents()
    found = StoredChannel(1, b"foo")
    found.swept, found.first, found.last = 1, first, 10_000
    contents.add_channel(found)
    return contents, found


async def test_pieces_are_bounded() -> None:
    contents, _ = channel(2 * PIECE + 5)
    database = NotingDatabase()
    await Sweeper(database, contents).sweep()
    assert database.deleted == [(1, 1, PIECE + 1), (1, PIECE + 1, 2 * PIECE + 1), (1, 2 * PIECE + 1, 2 * PIECE + 5)]
    await Sweeper(database, contents).sweep()
    assert len(database.deleted) == 3


async def test_a_few_wait_for_more_and_many_do_not() -> None:
    contents, one = channel(1)
    database = NotingDatabase()
    sweeper = Sweeper(database, contents, pause_s=3600)
    sweeper.start()
    await turns()
    one.first = 5
    sweeper.floor_raised(one)
    await turns()
    assert database.deleted == []
    one.first = 1 + PIECE
    sweeper.floor_raised(one)
    await database.wait(1)
    await sweeper.stop()
    assert database.deleted == [(1, 1, PIECE + 1)]


async def test_a_few_do_not_wait_for_ever() -> None:
    contents, one = channel(1)
    database = NotingDatabase()
    sweeper = Sweeper(database, contents, pause_s=0.01)
    sweeper.start()
    one.first = 5
    sweeper.floor_raised(one)
    await database.wait(1)
    await sweeper.stop()


@pytest.mark.row(154)
async def test_after_an_error_it_goes_on() -> None:
    contents, _ = channel(PIECE + 3)
    database = NotingDatabase()
    database.failures = 2
    sweeper = Sweeper(database, contents, pause_s=0.01)
    sweeper.start()
    await database.wait(2)
    await sweeper.stop()
    assert database.deleted == [(1, 1, PIECE + 1), (1, PIECE + 1, PIECE + 3)]


async def test_each_problem_is_told_once() -> None:
    contents, one = channel(PIECE + 3)
    database = NotingDatabase()
    told: list[str] = []

    def note(text: str) -> None:
        told.append(text)
        database.news.set()

    sweeper = Sweeper(database, contents, 0.01, note)

    async def fail(count: int, reason: str) -> None:
        database.failures, database.reason = count, reason
        done = len(database.deleted) + 1
        one.first += 1
        sweeper.floor_raised(one)
        await database.wait(done)

    sweeper.start()
    await database.wait(2)
    await fail(3, "no")
    await fail(1, "no")  # again, after it went well
    database.failures, database.reason = 10**9, "not yet"
    one.first += 1
    sweeper.floor_raised(one)
    async with asyncio.timeout(20):
        while len(told) < 3:
            database.news.clear()
            await database.news.wait()
    await fail(1, "never")
    await sweeper.stop()
    begin = "what was removed is still in the tables, this is tried again: "
    assert told == [begin + reason for reason in ("no", "no", "not yet", "never")]


@pytest.mark.row(155)
async def test_what_was_not_swept_is_swept_after_the_next_start(kind: str, source: str) -> None:
    async with driven(open_store(kind, source)) as driver:
        await driver.begin()
        batch = driver.batch()
        driver.publish(batch, 1, 50)
        assert await driver.submit(batch) is None
        assert driver.store._sweeper is not None
        await driver.store._sweeper.stop()
        batch = driver.batch()
        batch.floors[1] = 40
        assert await driver.submit(batch) is None
    assert ask(kind, source, "SELECT COUNT(*) FROM Messages") == [("50",)]
    async with driven(open_store(kind, source)) as driver:
        assert (await driver.recover()).channels[0].first_sequence == 40
        await driver.sweep()
        assert ask(kind, source, "SELECT MIN(seq), MAX(seq) FROM Messages") == [("40", "50")]


# Sizes of what goes.


class MeasuredDatabase(NotingDatabase):
    """Says that each message has ten bytes, and notes what was asked between what was deleted."""

    async def fetch(self, statement: str, arguments: Row = ()) -> list[tuple[object, ...]]:
        assert statement == sql.READ_SIZE
        if self.failures:
            self.failures -= 1
            raise StoreError(self.reason)
        _, first, end = (int(str(value)) for value in arguments)
        self.deleted.append(("sizes", first, end))
        return [(10 * (end - first),)]


async def test_what_goes_is_measured_before() -> None:
    contents, one = channel(PIECE)
    database = MeasuredDatabase()
    sweeper = Sweeper(database, contents)
    answers: list[tuple[int, int]] = []
    one.measured.append(5)

    def answer(end: int, size_bytes: int) -> None:
        answers.append((end, size_bytes))
        one.measured.remove(5)

    sweeper.measure(one, 5, 100, answer)
    await sweeper.sweep()
    assert answers == [(100, 950)]
    assert database.deleted == [("sizes", 5, 100), (1, 1, PIECE)]


async def test_what_is_still_to_be_measured_stays() -> None:
    contents, one = channel(PIECE)
    database = MeasuredDatabase()
    one.measured += [300, 200]
    sweeper = Sweeper(database, contents)
    await sweeper.sweep()
    assert database.deleted == [(1, 1, 200)]
    one.measured.remove(200)
    await sweeper.sweep()
    assert database.deleted[1:] == [(1, 200, 300)]


async def test_what_an_answer_asks_for_has_time_until_the_next_sweep() -> None:
    """Or else there would be a question for every batch."""
    contents, one = channel(1)
    database = MeasuredDatabase()
    sweeper = Sweeper(database, contents)
    count = 0

    def ask_again(end: int, size_bytes: int) -> None:
        nonlocal count
        count += 1
        sweeper.measure(one, end, end + 1, ask_again)

    sweeper.measure(one, 1, 2, ask_again)
    await sweeper.sweep()
    assert count == 1
    await sweeper.sweep()
    assert count == 2


async def test_many_are_measured_soon_and_a_few_when_it_is_time() -> None:
    contents, one = channel(1)
    database = MeasuredDatabase()
    sweeper = Sweeper(database, contents, pause_s=3600)
    answered = asyncio.Event()
    sweeper.start()
    await turns()
    sweeper.measure(one, 1, PIECE, lambda *_: answered.set())
    await turns()
    assert not answered.is_set()
    sweeper.measure(one, 1, PIECE + 1, lambda *_: None)
    async with asyncio.timeout(20):
        await answered.wait()
    await sweeper.stop()


async def test_a_question_outlives_an_error_and_ends_with_the_sweeper() -> None:
    contents, one = channel(1)
    database = MeasuredDatabase()
    database.failures = 1
    sweeper = Sweeper(database, contents)
    answers: list[tuple[int, int]] = []
    sweeper.measure(one, 1, 7, lambda *answer: answers.append(answer))
    sweeper.measure(one, 7, 9, lambda *answer: answers.append(answer))
    with pytest.raises(StoreError):
        await sweeper.sweep()
    assert answers == []
    await sweeper.sweep()
    assert answers == [(7, 60), (9, 20)]
    sweeper.measure(one, 9, 10, lambda *answer: answers.append(answer))
    await sweeper.stop()
    assert answers[2:] == [(9, 0)], "nobody found out"
