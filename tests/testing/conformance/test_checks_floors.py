"""The checks of floors catch what they are there for."""

import pytest

from durabus.streaming.store_port import UNKNOWN, Batch, Lease, Recovered
from durabus.testing.conformance import Check, checks_floors
from tests.stores.broken_stores import WrongFloor
from tests.testing.conformance.mutants import Mutant, Mutants, Parts, assert_catches, unlisted


class SinkingFloor(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.floors: dict[int, int] = {}

    def change(self, batch: Batch) -> None:
        self.floors.update(batch.floors)

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await self.inner.recover(lease)
        for channel in recovered.channels:
            channel.first_sequence = self.floors.get(channel.channel_id, channel.first_sequence)
        return recovered


class KeepsOneMessage(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.lasts: dict[int, int] = {}

    def change(self, batch: Batch) -> None:
        for run in batch.runs:
            self.lasts[run.channel_id] = int(run.first_sequence) + len(run.bodies) - 1
        batch.floors = {number: min(floor, self.lasts.get(number, 0)) for number, floor in batch.floors.items()}


class FloorsFirst(Parts):
    def parts(self, batch: Batch) -> list[Batch]:
        first = Batch(batch.number, batch.epoch)
        first.floors, batch.floors = batch.floors, {}
        return [first, batch]


class MustKnowTheChannel(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()

    def submit(self, batch: Batch) -> None:
        self.known |= {run.channel_id for run in batch.runs}
        if batch.floors.keys() <= self.known:
            self.inner.submit(batch)
        else:
            self.on_failed(batch.number, UNKNOWN, "no such channel")


class DropsWholeBlocks(Mutant):
    def change(self, batch: Batch) -> None:
        batch.floors = {
            number: floor - floor % 4096 if floor > 4096 else floor for number, floor in batch.floors.items()
        }


MUTANTS: Mutants = {
    "floor_hides_what_lies_below": (WrongFloor, "has first_sequence 2, not 1"),
    "floor_never_sinks": (SinkingFloor, "has first_sequence 3, not 15"),
    "floor_above_everything": (KeepsOneMessage, "has first_sequence 9, not 10"),
    "floor_in_the_batch_of_its_messages": (FloorsFirst, "has first_sequence 1, not 8"),
    "floor_of_an_empty_channel": (MustKnowTheChannel, "a proper batch failed"),
    "floors_through_many_thousands": (DropsWholeBlocks, "in channel 1 leads to 20000, not 20001"),
}


@pytest.mark.parametrize("check", checks_floors.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_floors, checks_floors.CHECKS) == set()
