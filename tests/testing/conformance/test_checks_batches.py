"""The checks of batches catch what they are there for."""

import asyncio

import pytest

from durabus.streaming.store_port import Batch, Lease
from durabus.testing.conformance import Check, checks_batches
from tests.stores.broken_stores import DoubledSequence, EarlyAcknowledgement, GoesOn, UnsyncedAcknowledgement
from tests.testing.conformance.mutants import Mutant, Mutants, Parts, assert_catches, unlisted


class Nameless(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


class StandsBy(Mutant):
    async def acquire(self, owner: str) -> Lease | None:
        return None


class SwallowsEmptyBatches(Mutant):
    def submit(self, batch: Batch) -> None:
        if not batch.is_empty():
            self.inner.submit(batch)


class ForgetsWhatComesFromWithin(Mutant):
    busy = False

    def submit(self, batch: Batch) -> None:
        if not self.busy:
            self.busy = True
            self.inner.submit(batch)
            self.busy = False


class ReportsLater(Mutant):
    def on_durable(self, number: int) -> None:
        asyncio.get_running_loop().call_soon(super().on_durable, number)


class LeavesOutTheRest(Mutant):
    def change(self, batch: Batch) -> None:
        batch.runs = [
            run for run in batch.runs if not self.inner.read_now(run.channel_id, int(run.first_sequence), 1, 1)
        ]


class RefusesHalf(Parts):
    def parts(self, batch: Batch) -> list[Batch]:
        first = Batch(batch.number, batch.epoch)
        first.state, batch.state = batch.state, []
        return [first, batch]


MUTANTS: Mutants = {
    "store_says_what_it_is": (Nameless, "has no name"),
    "acquire_refuses_or_leases": (StandsBy, "acquire returned None"),
    "every_batch_ends_once_and_in_order": (SwallowsEmptyBatches, "the end of batch 2: nothing came within"),
    "next_batch_from_within_on_durable": (ForgetsWhatComesFromWithin, "the end of batch 10: nothing came within"),
    "acknowledged_is_readable": (EarlyAcknowledgement, "was reported durable, but sequence 1 reads as []"),
    "only_durable_messages_are_read": (ReportsLater, "were at hand before their batch was durable"),
    "acknowledged_survives_a_crash": (UnsyncedAcknowledgement, "after a crash at the moment of on_durable(1)"),
    "resubmitting_changes_nothing": (DoubledSequence, "has last_sequence 28, not 14"),
    "overlapping_run_adds_the_rest": (LeavesOutTheRest, "has last_sequence 14, not 20"),
    "gap_is_refused": (RefusesHalf, "the state of (kind, key) (1, b'nobody') is"),
    "after_a_failure_everything_fails": (GoesOn, "which was decided after it, was stored"),
}


@pytest.mark.parametrize("check", checks_batches.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_batches, checks_batches.CHECKS) == set()
