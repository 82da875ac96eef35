"""The conformance suite of the store port: what every store has to prove, whoever wrote it.

A store's tests describe how to open it in a `StoreHarness` and run each check on it:

    @pytest.mark.parametrize("check", checks_for(MyHarness()), ids=str)
    async def test_my_store(check: Check) -> None:
        await run_check(check, MyHarness())

Nothing here needs pytest: a check is a coroutine that raises AssertionError saying what was promised and what was found.
"""

from durabus.testing.conformance.harness import StoreHarness
from durabus.testing.conformance.suite import CHECKS, checks_for, run_check, run_checks
from durabus.testing.conformance.trial import Check, Trial

__all__ = ["CHECKS", "Check", "StoreHarness", "Trial", "checks_for", "run_check", "run_checks"]
