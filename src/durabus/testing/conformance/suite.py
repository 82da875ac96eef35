"""The list of all checks, and how one is run."""

from durabus.testing.conformance import (
    checks_batches,
    checks_floors,
    checks_history,
    checks_messages,
    checks_recovery,
    checks_seek,
    checks_sizes,
    checks_state,
)
from durabus.testing.conformance.harness import StoreHarness
from durabus.testing.conformance.trial import ALWAYS, IF_CRASHES, IF_RECOVERABLE, Check, Trial

__all__ = ["CHECKS", "checks_for", "run_check", "run_checks"]

CHECKS: tuple[Check, ...] = (
    *checks_batches.CHECKS,
    *checks_messages.CHECKS,
    *checks_floors.CHECKS,
    *checks_state.CHECKS,
    *checks_seek.CHECKS,
    *checks_sizes.CHECKS,
    *checks_recovery.CHECKS,
    *checks_history.CHECKS,
)


def checks_for(harness: StoreHarness) -> tuple[Check, ...]:
    """The checks that a store with this harness has to pass: all, or all but those of what it does not promise."""
    offered = {ALWAYS: True, IF_RECOVERABLE: harness.recoverable, IF_CRASHES: harness.crashes}
    return tuple(check for check in CHECKS if offered[check.needs])


async def run_check(check: Check, harness: StoreHarness) -> None:
    """Run one check on a new store; AssertionError says what was promised and what was found."""
    trial: Trial | None = None
    try:
        trial = await Trial.start(harness)
        await check.run(trial)
        await trial.finish()
    except Exception as error:
        text = str(error) if isinstance(error, AssertionError) else f"an error came out of the store: {error!r}"
        raise AssertionError(f"{check.name}: {check.promise} But: {text}") from error
    finally:
        if trial is not None and trial.open:
            await trial.store.close()


async def run_checks(harness: StoreHarness) -> dict[str, str]:
    """Run every check that is due, each on a new store; the text of each failure by the name of its check."""
    failures: dict[str, str] = {}
    for check in checks_for(harness):
        try:
            await run_check(check, harness)
        except AssertionError as failure:
            failures[check.name] = str(failure)
    return failures
