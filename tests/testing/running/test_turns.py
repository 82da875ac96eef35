"""Waiting for something to become so."""

import asyncio

import pytest

from durabus.testing.running.turns import Turns

pytestmark = pytest.mark.once


async def test_what_is_so_already_is_not_waited_for() -> None:
    assert await Turns().until(lambda: True, 0)


async def test_it_is_looked_at_after_each_turn() -> None:
    turns, seen = Turns(), [0]

    def is_third() -> bool:
        seen[0] += 1
        return seen[0] == 3

    waiting = asyncio.create_task(turns.until(is_third, 20))
    while not waiting.done():
        await asyncio.sleep(0)
        turns.end()
    assert waiting.result()
    assert seen == [3]


async def test_after_its_time_it_says_so() -> None:
    assert not await Turns().until(lambda: False, 0.001)


async def test_who_gave_up_waiting_is_not_told() -> None:
    turns = Turns()
    waiting = asyncio.create_task(turns.until(lambda: False, 20))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    turns.end()
    assert waiting.cancelled()
