"""Every store passes the conformance suite, and the suite fails on every store that is broken on purpose."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.testing.conformance import Check, StoreHarness, Trial, checks_for, run_check, run_checks
from durabus.testing.conformance.checks_history import play
from tests.stores.broken_stores import BROKEN
from tests.stores.encryption_harness import (
    EncryptedFileHarness,
    EncryptedLeasedFileHarness,
    EncryptedMemoryHarness,
    EncryptedPostgresHarness,
    EncryptedSlowHarness,
    EncryptedSqliteHarness,
)
from tests.stores.file_harness import FileHarness, LeasedFileHarness, SmallSegmentsHarness
from tests.stores.harnesses import JournalHarness, MemoryHarness, SlowHarness, harness_of
from tests.stores.sql_harness import (
    LeasedMysqlHarness,
    LeasedPostgresHarness,
    LeasedSqliteHarness,
    MysqlHarness,
    PostgresHarness,
    SingleRowsHarness,
    SqliteHarness,
)

# A store of the project is one more row here.
HARNESSES: dict[str, type[StoreHarness]] = {
    "memory": MemoryHarness,
    "journal": JournalHarness,
    "slow": SlowHarness,
    "file": FileHarness,
    "file with small segments": SmallSegmentsHarness,
    "file in a group": LeasedFileHarness,
    "sqlite": SqliteHarness,
    "sqlite with single rows": SingleRowsHarness,
    "sqlite in a group": LeasedSqliteHarness,
    "postgres": PostgresHarness,
    "postgres in a group": LeasedPostgresHarness,
    "mysql": MysqlHarness,
    "mysql in a group with single rows": LeasedMysqlHarness,
    "memory encrypted": EncryptedMemoryHarness,
    "slow encrypted": EncryptedSlowHarness,
    "file encrypted": EncryptedFileHarness,
    "file in a group encrypted": EncryptedLeasedFileHarness,
    "sqlite encrypted": EncryptedSqliteHarness,
    "postgres encrypted": EncryptedPostgresHarness,
}
DUE = [
    pytest.param(harness, check, id=f"{name}-{check}")
    for name, harness in HARNESSES.items()
    for check in checks_for(harness())
]


@pytest.mark.parametrize(("harness", "check"), DUE)
@pytest.mark.row(143)
async def test_store_keeps_its_promises(harness: type[StoreHarness], check: Check) -> None:
    await run_check(check, harness())


@pytest.mark.parametrize("name", BROKEN)
async def test_suite_catches_broken_store(name: str) -> None:
    broken, check, complaint = BROKEN[name]
    failures = await run_checks(harness_of(broken))
    assert complaint in failures.get(check, ""), f"{name}: not caught by {check}, but by {sorted(failures)}"


@given(st.randoms(use_true_random=False), st.integers(1, 20))
@settings(max_examples=60)
def test_memory_store_equals_the_model(chance: Random, steps: int) -> None:
    async def history() -> None:
        trial = await Trial.start(MemoryHarness())
        await play(trial, chance, steps, reopens=True)
        await trial.finish()

    asyncio.run(history())
