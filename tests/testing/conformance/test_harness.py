"""The harness: what an author has to write, and what is said when the rest is missing."""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.testing.conformance.harness import StoreHarness
from tests.stores.harnesses import MemoryHarness


def test_opening_has_to_be_said() -> None:
    assert StoreHarness.__abstractmethods__ == {"open", "reopen"}


async def test_crashes_have_to_be_said_when_they_are_promised() -> None:
    harness = MemoryHarness()
    with pytest.raises(AssertionError, match="harness of MEMORY says that it can crash, but not how"):
        harness.crash_copy(MemoryStore())
    with pytest.raises(AssertionError, match="not how to open 'copy'"):
        await harness.open_copy("copy")
