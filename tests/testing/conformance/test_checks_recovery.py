"""The checks of closing and opening again catch what they are there for."""

import pytest

from durabus.errors import StoreError
from durabus.streaming.store_port import Batch, Lease, Recovered
from durabus.testing.conformance import Check, checks_recovery
from tests.stores.broken_stores import LostTail
from tests.stores.harnesses import JournalStore, SlowStore, copy_of
from tests.testing.conformance.mutants import Mutant, Mutants, assert_catches, unlisted


class ClosesOnce(Mutant):
    is_closed = False

    async def close(self) -> None:
        if self.is_closed:
            raise StoreError("the file is closed")
        self.is_closed = True


class ClosesInAHurry(SlowStore):
    async def close(self) -> None:
        self.lose_held()
        await super().close()


class NeverShrinks(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await self.inner.recover(lease)
        for channel in recovered.channels[:1]:
            self.counted = channel.stored_bytes = max(self.counted, channel.stored_bytes)
        return recovered


class RecoversInAHurry(SlowStore):
    async def recover(self, lease: Lease | None) -> Recovered:
        return await self.inner.recover(lease)


class ForgetsEmptyChannels(JournalStore):
    def __init__(self, journal: list[Batch]) -> None:
        super().__init__(journal)
        self.was_opened_again = bool(journal)

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await super().recover(lease)
        if self.was_opened_again:
            recovered.channels = [figures for figures in recovered.channels if figures.stored_bytes]
        return recovered


class ForgetsDeletions(JournalStore):
    def __init__(self, journal: list[Batch]) -> None:
        kept = [copy_of(batch) for batch in journal]
        for batch in kept:
            batch.state = [entry for entry in batch.state if entry[2] is not None]
        super().__init__(kept)


class KnowsItsOwnOnly(JournalStore):
    def __init__(self, journal: list[Batch]) -> None:
        super().__init__(journal)
        self.old: dict[int, int] = {}
        for batch in journal:
            for run in batch.runs:
                self.old[run.channel_id] = int(run.first_sequence) + len(run.bodies) - 1

    def submit(self, batch: Batch) -> None:
        changed = copy_of(batch)
        for run in changed.runs:
            if run.first_sequence <= self.old.get(run.channel_id, 0):
                run.first_sequence = self.old[run.channel_id] + 1
        super().submit(changed)


MUTANTS: Mutants = {
    "closing_twice_is_closing_once": (ClosesOnce, "an error came out of the store: StoreError('the file is closed')"),
    "close_finishes_what_was_submitted": (ClosesInAHurry, "had not ended when close returned"),
    "recover_agrees_with_reading": (NeverShrinks, "bytes, read were"),
    "recover_is_a_barrier": (RecoversInAHurry, "channel 1 is not recovered"),
    "everything_is_found_again": (LostTail, "has last_sequence 310, not 311"),
    "work_goes_on_after_reopening": (ForgetsEmptyChannels, "channel 2 is not recovered"),
    "deleted_stays_deleted": (ForgetsDeletions, "is b"),
    "resubmitting_after_reopening": (KnowsItsOwnOnly, "has last_sequence 361, not 336"),
}


@pytest.mark.parametrize("check", checks_recovery.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_recovery, checks_recovery.CHECKS) == set()
