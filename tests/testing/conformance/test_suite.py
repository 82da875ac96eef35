"""The suite as its users see it: every check is in it once, and a failure says what was promised and what was found."""

import pytest

import durabus.testing.conformance as conformance
from durabus.testing.conformance import CHECKS, Check, Trial, checks_for, run_check, run_checks
from durabus.testing.conformance.suite import CHECKS as LISTED
from tests.stores.broken_stores import WrongFloor
from tests.stores.harnesses import JournalHarness, MemoryHarness, harness_of
from tests.testing.conformance.mutants import Mutant


def test_every_check_is_there_once_and_says_what_it_holds_a_store_to() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names) > 40
    assert all(check.promise.endswith(".") for check in CHECKS)
    assert LISTED is CHECKS
    assert all(hasattr(conformance, name) for name in conformance.__all__)


def test_what_is_not_promised_is_not_checked() -> None:
    class Forgetful(MemoryHarness):
        recoverable = False

    crash = {"acknowledged_survives_a_crash"}
    every = {check.name for check in CHECKS}
    assert {check.name for check in checks_for(JournalHarness())} == every
    assert {check.name for check in checks_for(MemoryHarness())} == every - crash
    left = {check.name for check in checks_for(Forgetful())}
    assert every - left == crash | {
        "everything_is_found_again",
        "work_goes_on_after_reopening",
        "deleted_stays_deleted",
        "lost_messages_stay_lost",
        "resubmitting_after_reopening",
        "random_history_with_restarts",
    }


async def test_a_failure_says_what_was_promised_and_found() -> None:
    failures = await run_checks(harness_of(WrongFloor))
    assert failures["floor_hides_what_lies_below"] == (
        "floor_hides_what_lies_below: From a floor on everything is there; first sequence and bytes follow it; "
        "other channels do not notice. But: channel 1 has first_sequence 2, not 1"
    )
    assert "channels_do_not_mix" not in failures


async def test_a_store_is_closed_whatever_happens() -> None:
    class Counting(Mutant):
        closed = 0

        async def close(self) -> None:
            Counting.closed += 1

    async def raises(trial: Trial) -> None:
        """Nothing."""
        raise KeyError("lost")

    async def passes(trial: Trial) -> None:
        """Nothing."""

    with pytest.raises(
        AssertionError, match=r"raises: Nothing\. But: an error came out of the store: KeyError\('lost'\)"
    ):
        await run_check(Check(raises), harness_of(Counting))
    assert Counting.closed == 1
    await run_check(Check(passes), harness_of(Counting))
    assert Counting.closed == 2


async def test_what_comes_after_the_end_is_noticed() -> None:
    class Late(Mutant):
        async def close(self) -> None:
            self.on_durable(1)

    async def writes(trial: Trial) -> None:
        """Nothing."""
        await trial.write(trial.batch())

    with pytest.raises(AssertionError, match=r"on_durable\(1\) came for a batch that had ended"):
        await run_check(Check(writes), harness_of(Late))
