"""How the suite gets hold of a store: the one thing that the author of a store writes."""

from abc import ABC, abstractmethod

from durabus.streaming.store_port import Store

__all__ = ["StoreHarness"]


class StoreHarness(ABC):
    """Opens one kind of store. A subclass says how; one object of it serves one check.

    `patience_s` is how long the suite waits for any one answer. `leased` says that a writer has to `acquire` the store.
    `recoverable` says that `reopen` gives back what was stored, `crashes` that there are `crash_copy` and `open_copy`;
    the checks that need what is not there are left out.
    """

    patience_s = 30.0
    leased = False
    recoverable = True
    crashes = False

    @abstractmethod
    async def open(self) -> Store:
        """Open a new store with nothing in it, not yet recovered."""
        raise NotImplementedError  # pragma: no cover - abstract

    @abstractmethod
    async def reopen(self, store: Store) -> Store:
        """Open again what `store`, closed by now, has left behind, as a new start of the server would."""
        raise NotImplementedError  # pragma: no cover - abstract

    def crash_copy(self, store: Store) -> object:
        """A copy of what would be left if the power failed now. Called from within `on_durable`."""
        raise AssertionError(f"the harness of {store.name} says that it can crash, but not how")

    async def open_copy(self, copy: object) -> Store:
        """Open what `crash_copy` returned, as a new start of the server would after that power failure."""
        raise AssertionError(f"the harness says that it can crash, but not how to open {copy!r}")
