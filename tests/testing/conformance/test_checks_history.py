"""Random histories catch stores of which the other checks know nothing, and are the same every time."""

from functools import partial
from random import Random

import pytest

from durabus.streaming.store_port import Batch, Store
from durabus.testing.conformance import Check, Trial, checks_history
from durabus.testing.conformance.checks_history import play
from tests.stores.broken_stores import BROKEN, LostTail, WrongFloor
from tests.stores.harnesses import MemoryHarness, harness_of
from tests.testing.conformance.mutants import Mutant, Mutants, assert_catches, unlisted

MUTANTS: Mutants = {
    "random_history": (WrongFloor, "has first_sequence "),
    "random_history_with_restarts": (LostTail, "has last_sequence "),
}


class Recorder(Mutant):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def change(self, batch: Batch) -> None:
        self.asked.append(repr((batch.number, batch.state, [run.bodies for run in batch.runs], batch.floors)))


def same(store: Store) -> Store:
    return store


@pytest.mark.parametrize("check", checks_history.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_history, checks_history.CHECKS) == set()


@pytest.mark.parametrize("name", ["lost tail", "doubled sequence", "wrong floor", "swapped channels"])
async def test_chance_alone_catches(name: str) -> None:
    async def histories() -> None:
        for seed in range(20):
            trial = await Trial.start(harness_of(BROKEN[name][0]))
            await play(trial, Random(seed), 60, reopens=True)

    with pytest.raises(AssertionError):
        await histories()


async def test_one_seed_is_one_history() -> None:
    one, two = Recorder(), Recorder()
    for store in (one, two):
        trial = await Trial.start(MemoryHarness(partial(same, store)))
        await play(trial, Random(5), 40, reopens=False)
    assert one.asked == two.asked
    assert len(one.asked) > 20
