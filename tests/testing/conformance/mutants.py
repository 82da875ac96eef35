"""What the tests of the checks share: a check is worth something only if some store fails it, for the right reason."""

from collections.abc import Iterable
from types import ModuleType

import pytest

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Batch, Store
from durabus.testing.conformance import Check, run_check
from tests.stores.harnesses import MemoryHarness, copy_of, harness_of

# The name of a check, a store that fails it, and what is said then.
Mutants = dict[str, tuple[type[Store], str]]


class Mutant(DelegatingStore):
    """A memory store to which a subclass does one thing. `change` may change a copy of each batch before it is stored."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    def submit(self, batch: Batch) -> None:
        changed = copy_of(batch)
        self.change(changed)
        self.inner.submit(changed)

    def change(self, batch: Batch) -> None:
        """Do it to `batch`."""


class Parts(Mutant):
    """Stores a batch in several parts, and reports the last one only."""

    def submit(self, batch: Batch) -> None:
        parts = self.parts(copy_of(batch))
        listener, self.listener = self.listener, None
        for part in parts[:-1]:
            self.inner.submit(part)
        self.listener = listener
        self.inner.submit(parts[-1])

    def parts(self, batch: Batch) -> list[Batch]:
        """What to store one after the other."""
        return [batch]


async def assert_catches(check: Check, mutants: Mutants) -> None:
    """The check fails on its mutant, saying why, and not on a good store."""
    kind, complaint = mutants[check.name]
    with pytest.raises(AssertionError) as failure:
        await run_check(check, harness_of(kind))
    assert complaint in str(failure.value)
    assert check.promise in str(failure.value)
    if check.needs != "if crashes":
        await run_check(check, MemoryHarness())


def unlisted(module: ModuleType, checks: Iterable[Check]) -> set[str]:
    """Public coroutines of a module of checks that take a trial only and are not in its list."""
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
        and getattr(value, "__annotations__", {}).keys() == {"trial", "return"}
    }
    return public - {check.name for check in checks}
