"""The checks of seek catch what they are there for."""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Batch, StoreListener
from durabus.testing.conformance import Check, checks_seek
from tests.stores.harnesses import copy_of
from tests.testing.conformance.mutants import Mutant, Mutants, assert_catches, unlisted


class SeeksAfter(Mutant):
    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        self.inner.seek(request, channel_id, timestamp_ns + 1)


class MakesStampsUnique(Mutant):
    last_ns = 0

    def change(self, batch: Batch) -> None:
        for run in batch.runs:
            for place, (index, timestamp_ns) in enumerate(run.stamps):
                self.last_ns = max(timestamp_ns, self.last_ns + 1)
                run.stamps[place] = (index, self.last_ns)


class NeverFindsNothing(Mutant):
    def on_seek(self, request: int, sequence: int) -> None:
        super().on_seek(request, sequence or 1)


class SeeksBelowTheFloor(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.all = MemoryStore()

    def bind(self, listener: StoreListener) -> None:
        super().bind(listener)
        self.all.bind(SeeksOnly(listener))

    def change(self, batch: Batch) -> None:
        everything = copy_of(batch)
        everything.floors = {}
        self.all.submit(everything)

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        self.all.seek(request, channel_id, timestamp_ns)


class SeeksOnly(StoreListener):
    def __init__(self, listener: StoreListener) -> None:
        self.listener = listener

    def on_durable(self, number: int) -> None:
        pass

    def on_seek(self, request: int, sequence: int) -> None:
        self.listener.on_seek(request, sequence)


class RemembersAThousandStamps(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.stamps: list[int] = []

    def change(self, batch: Batch) -> None:
        self.stamps = (self.stamps + [stamp for run in batch.runs for _, stamp in run.stamps])[-1000:]

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        self.inner.seek(request, channel_id, max(timestamp_ns, *self.stamps[:1], 0))


class AnswersTwice(Mutant):
    def on_seek(self, request: int, sequence: int) -> None:
        super().on_seek(request, sequence)
        super().on_seek(request, sequence)


MUTANTS: Mutants = {
    "seek_finds_first_at_or_after": (SeeksAfter, "in channel 1 leads to 4, not 1"),
    "seek_finds_first_of_equal_stamps": (MakesStampsUnique, "in channel 1 leads to 7, not 20"),
    "seek_where_nothing_was_stored": (NeverFindsNothing, "leads to 1, not 0"),
    "seek_respects_floors": (SeeksBelowTheFloor, "in channel 1 leads to 1, not 2"),
    "seek_in_many_thousands": (RemembersAThousandStamps, "in channel 1 leads to 501, not "),
    "every_seek_is_answered_once": (AnswersTwice, "answers no open seek"),
}


@pytest.mark.parametrize("check", checks_seek.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_seek, checks_seek.CHECKS) == set()
