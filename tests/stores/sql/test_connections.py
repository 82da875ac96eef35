"""Connections that take turns."""

import asyncio

import pytest

from durabus.stores.sql.connections import Connections


class Line:
    """A connection."""

    def __init__(self) -> None:
        self.is_closed = False

    def end(self) -> None:
        self.is_closed = True


class Lines:
    """Makes them, and keeps all it made."""

    def __init__(self, count: int) -> None:
        self.made: list[Line] = []
        self.pool = Connections(count, self.connect, lambda line: line.is_closed, Line.end)

    async def connect(self) -> Line:
        self.made.append(Line())
        return self.made[-1]


async def test_one_is_used_again() -> None:
    lines = Lines(2)
    for _ in range(3):
        async with lines.pool.one() as line:
            assert not line.is_closed
    assert len(lines.made) == 1


async def test_there_are_no_more_than_asked_for() -> None:
    lines = Lines(2)
    gate = asyncio.Event()
    most = 0
    busy = 0

    async def use() -> None:
        nonlocal busy, most
        async with lines.pool.one():
            busy += 1
            most = max(most, busy)
            await gate.wait()
            busy -= 1

    users = [asyncio.create_task(use()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*users)
    assert (most, len(lines.made)) == (2, 2)


async def test_one_that_failed_is_not_used_again() -> None:
    lines = Lines(1)
    with pytest.raises(ValueError, match="broken"):
        async with lines.pool.one():
            raise ValueError("broken")
    assert lines.made[0].is_closed
    async with lines.pool.one() as line:
        assert line is lines.made[1]


async def test_one_that_was_closed_is_not_used_again() -> None:
    lines = Lines(1)
    async with lines.pool.one() as line:
        line.end()
    async with lines.pool.one() as line:
        assert not line.is_closed
    line.end()
    async with lines.pool.one() as line:
        assert line is lines.made[2]


async def test_all_are_ended_also_those_in_use() -> None:
    lines = Lines(2)
    async with lines.pool.one(), lines.pool.one():
        lines.pool.end_all()
        assert all(line.is_closed for line in lines.made)
    async with lines.pool.one() as line:
        assert line is lines.made[2]
    lines.pool.end_all()
    assert lines.made[2].is_closed
