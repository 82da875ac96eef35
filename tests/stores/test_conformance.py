"""Every store passes the conformance suite, and so does the suite: it fails on each deliberately broken store."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.testing.conformance import CHECKS, Check, StoreHarness, Trial, checks_for, run_check, run_checks
from durabus.testing.conformance.checks_history import play
from tests.stores.harnesses import JournalHarness, MemoryHarness, SlowHarness

HARNESSES: dict[str, type[StoreHarness]] = {
    "memory": MemoryHarness,
    "journal": JournalHarness,
    "slow": SlowHarness,
}
DUE = [
    pytest.param(harness, check, id=f"{name}-{check}")
    for name, harness in HARNESSES.items()
    for check in checks_for(harness())
]


@pytest.mark.parametrize(("harness", "check"), DUE)
async def test_store(harness: type[StoreHarness], check: Check) -> None:
    await run_check(check, harness())
