"""The checks of sizes catch what they are there for."""

from collections.abc import Callable

import pytest

from durabus.streaming.store_port import Batch, Lease, Recovered
from durabus.testing.conformance import Check, checks_sizes
from tests.testing.conformance.mutants import Mutant, Mutants, assert_catches, unlisted


class CountsTheNextOne(Mutant):
    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        self.inner.measure(request, channel_id, first, end + 1, enough_bytes)


class SizesFromTheNextOn(Mutant):
    def sizes_now(self, channel_id: int, first: int, count_max: int) -> list[int]:
        return self.inner.sizes_now(channel_id, first + 1, count_max)


class NeverEnough(Mutant):
    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        self.inner.measure(request, channel_id, first, end, 0)


class ForgetsWithTheFloor(Mutant):
    """Answers later, by what is there then."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        self.waiting.append(lambda: self.inner.measure(request, channel_id, first, end, enough_bytes))

    def submit(self, batch: Batch) -> None:
        super().submit(batch)
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()


class NeverAnswers(Mutant):
    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        pass

    async def recover(self, lease: Lease | None) -> Recovered:
        return await self.inner.recover(lease)


class MakesSomethingUp(Mutant):
    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        super().on_measured(request, end, size_bytes or 1)


MUTANTS: Mutants = {
    "measure_counts_what_is_stored": (CountsTheNextOne, "messages 1 to before 2 are measured as (3, "),
    "sizes_at_hand_are_those_of_a_measure": (SizesFromTheNextOn, "the sizes from "),
    "enough_ends_a_measure": (NeverEnough, "1 bytes were enough, the measure went from 1 up to 2502"),
    "later_floors_do_not_change_a_measure": (ForgetsWithTheFloor, "what was dropped meanwhile is measured as (1, 0)"),
    "recover_ends_measures": (NeverAnswers, "recover returned before these requests were answered"),
    "measure_of_nothing": (MakesSomethingUp, "is measured up to 1, as 1"),
}


@pytest.mark.parametrize("check", checks_sizes.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_sizes, checks_sizes.CHECKS) == set()
