"""`kill -9` under load: what a durable store has acknowledged is there when the server starts again.

DURABUS_CRASH_ROUNDS asks for another number of kills, DURABUS_CRASH_SEED for those of an earlier run: the moments are the
same then, as far as the machine allows. `make crash` asks for 200.
"""

import os
import random
import shlex
import sys
from pathlib import Path

import pytest

from tests.crash.faulty_server import FAULTS
from tests.crash.rounds import Report, Rounds
from tests.crash.stores import DURABLE_STORES

ROUNDS = int(os.environ.get("DURABUS_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("DURABUS_CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
FAULTY_ROUNDS = 5

pytestmark = pytest.mark.once
ours = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is about our own stores")


async def run(flags: list[str], folder: Path, rounds: int, seed: int) -> Report:
    """Do it, and say what came of it."""
    report = await Rounds(flags, folder, seed).run(rounds)
    sys.stdout.write(f"\n{report}\n")
    return report


@pytest.mark.timeout(60 + 6 * ROUNDS)
@pytest.mark.parametrize("store", DURABLE_STORES)
async def test_nothing_acknowledged_is_lost(tmp_path: Path, store: str) -> None:
    report = await run(DURABLE_STORES[store](tmp_path), tmp_path, ROUNDS, SEED)
    assert not report.complaints, str(report)
    assert report.rounds == ROUNDS
    assert report.acknowledged > 0
    assert report.settled > 0 or ROUNDS < 2


@ours
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("acknowledges-early", "was acknowledged, and is not there"),
        ("forgets-positions", "came again, although it was acknowledged long before the kill"),
        ("forgets-unacknowledged", "its first unacknowledged message is"),
    ],
)
async def test_a_server_that_breaks_its_promises_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    """Else the test above would prove nothing."""
    assert fault in FAULTS
    monkeypatch.setenv(
        "DURABUS_TEST_SERVER", shlex.join([sys.executable, "-m", "tests.crash.faulty_server", fault, "serve"])
    )
    report = await run(DURABLE_STORES["FILE"](tmp_path), tmp_path, FAULTY_ROUNDS, SEED)
    assert any(words in complaint for complaint in report.complaints), str(report)
