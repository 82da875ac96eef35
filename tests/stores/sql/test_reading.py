"""Pages and moments, from a database that is a list of rows."""

import pytest

from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import StoredChannel
from durabus.stores.sql.database import Database
from durabus.stores.sql.plan import Row
from durabus.stores.sql.reading import PAGE_BYTES_MAX, PAGE_MESSAGES_MAX, measure, read_page, seek
from durabus.wire.stan_messages import encode_message

MUCH = 1 << 30


class RowsDatabase(Database):
    """One channel: sequences with their timestamps and bodies. Counts the questions and the bytes that it gave."""

    def __init__(self, rows: dict[int, tuple[int, bytes]]) -> None:
        self.rows = rows
        self.questions = 0
        self.given_bytes = 0

    async def fetch(self, statement: str, arguments: Row = ()) -> list[tuple[object, ...]]:
        self.questions += 1
        first = int(str(arguments[1]))
        end = int(str(arguments[2])) if len(arguments) > 2 else max(self.rows, default=0) + 1
        found: list[tuple[object, ...]] = []
        for sequence in sorted(self.rows):
            if first <= sequence < end:
                stamp, body = self.rows[sequence]
                if statement == sql.READ_MESSAGES:
                    self.given_bytes += len(body)
                    found.append((sequence, body))
                else:
                    found.append((sequence, len(body) if statement == sql.READ_SIZES else stamp))
        return found[:1] if statement == sql.READ_NEXT_TIMESTAMP else found


def filled(sequences: list[int], size: int = 10) -> tuple[RowsDatabase, StoredChannel]:
    """Messages with the timestamps 100 times their sequence."""
    rows = {
        number: (number * 100, encode_message(number, b"foo", b"", b"x" * size, number * 100)) for number in sequences
    }
    channel = StoredChannel(1, b"foo")
    channel.first, channel.last = sequences[0], sequences[-1]
    channel.body_bytes_max = max(len(body) for _, body in rows.values())
    return RowsDatabase(rows), channel


async def test_a_page_is_one_question() -> None:
    database, channel = filled(list(range(1, 21)))
    page = await read_page(database, channel, 5, 10, MUCH)
    assert page == [database.rows[number][1] for number in range(5, 15)]
    assert database.questions == 1


async def test_there_is_nothing_beyond_the_end() -> None:
    database, channel = filled([1, 2, 3])
    assert await read_page(database, channel, 4, 10, MUCH) == []
    assert await read_page(database, StoredChannel(2, b"bar"), 1, 10, MUCH) == []
    assert database.questions == 0


async def test_bytes_limit_what_is_fetched_too() -> None:
    database, channel = filled(list(range(1, 101)), 1000)
    page = await read_page(database, channel, 1, 100, 5500)
    assert len(page) == 5
    assert database.given_bytes < 5500
    assert len(await read_page(database, channel, 1, 100, 1)) == 1


async def test_a_page_is_bounded_whatever_is_asked_for() -> None:
    database, channel = filled(list(range(1, PAGE_MESSAGES_MAX + 100)))
    assert len(await read_page(database, channel, 1, MUCH, MUCH)) == PAGE_MESSAGES_MAX
    database, channel = filled(list(range(1, 12)), 1_000_000)
    page = await read_page(database, channel, 1, MUCH, MUCH)
    assert sum(map(len, page)) <= PAGE_BYTES_MAX


async def test_what_is_missing_is_an_empty_body() -> None:
    database, channel = filled([1, 2, 5, 6])
    channel.last = 8
    page = await read_page(database, channel, 1, 100, MUCH)
    assert page == [database.rows[number][1] if number in database.rows else b"" for number in range(1, 9)]
    assert await read_page(database, channel, 3, 2, MUCH) == [b"", b""]


@pytest.mark.parametrize("sequences", [[1], list(range(1, 40)), list(range(7, 300)), [1, 2, 3, 9, 10, 40]])
async def test_a_moment_is_found(sequences: list[int]) -> None:
    database, channel = filled(sequences)
    for moment in range(0, sequences[-1] * 100 + 250, 50):
        expected = next((number for number in sequences if number * 100 >= moment), sequences[-1] + 1)
        database.questions = 0
        assert await seek(database, channel, moment) == expected
        assert database.questions <= 12


async def test_a_moment_where_nothing_was_ever_stored() -> None:
    database, _ = filled([1])
    assert await seek(database, StoredChannel(2, b"bar"), 5) == 0


async def test_a_moment_where_everything_is_gone() -> None:
    database, channel = filled([1, 2, 3])
    channel.first = 4
    assert await seek(database, channel, 5) == 4


async def test_a_measure_is_one_question_however_long_it_is() -> None:
    class Sums(RowsDatabase):
        async def fetch(self, statement: str, arguments: Row = ()) -> list[tuple[object, ...]]:
            assert statement == sql.READ_SIZE
            rows = await super().fetch(sql.READ_SIZES, arguments)
            return [(sum(int(str(row[1])) for row in rows) or None,)]

    database, channel = filled([*range(1, 30), *range(40, 5000)], 100)
    database = Sums(database.rows)
    bodies = {sequence: len(body) for sequence, (_, body) in database.rows.items()}
    assert await measure(database, channel, 1, 5000, 0) == (5000, sum(bodies.values()))
    assert await measure(database, channel, 31, 35, 0) == (35, 0), "what is missing counts for nothing"
    assert database.questions == 2


async def test_a_measure_of_enough_reads_a_page_of_sizes() -> None:
    database, channel = filled([*range(1, 30), *range(40, 5000)], 100)
    bodies = {sequence: len(body) for sequence, (_, body) in database.rows.items()}
    assert await measure(database, channel, 5, 5000, 1) == (6, bodies[5])
    enough = bodies[29] + 1
    assert await measure(database, channel, 29, 5000, enough) == (41, bodies[29] + bodies[40])
    end, found = await measure(database, channel, 100, 5000, MUCH)
    assert (end, found) == (100 + PAGE_MESSAGES_MAX, sum(bodies[at] for at in range(100, end)))
    assert await measure(database, channel, 4990, 4995, MUCH) == (4995, sum(bodies[at] for at in range(4990, 4995)))
    assert database.given_bytes == 0, "no message is read"
