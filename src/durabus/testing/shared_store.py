"""A store that several servers of one process share, with a lock: for tests of groups of which one server is active.

shared = SharedStore(MemoryStore())
first, second = shared.open(), shared.open()       # one for each server
await first.acquire("a")                            # a lease; second.acquire("b") is None
shared.free()                                       # as when the process of the first one is killed
await second.acquire("b")                           # a lease; what the first one still writes fails
"""

from durabus.errors import StoreError
from durabus.stores.delegating import DelegatingStore
from durabus.streaming.store_port import FATAL, Batch, Lease, Recovered, Store

__all__ = ["LockedStore", "SharedStore"]

_NEVER_NS = 1 << 62


class SharedStore:
    """What is shared: the `inner` store, and its lock. `errors` are texts with which the next tries to lock it fail."""

    def __init__(self, inner: Store) -> None:
        """Nobody has the lock."""
        self.inner = inner
        self.holder: LockedStore | None = None
        self.epoch = 0
        self.tries = 0
        self.errors: list[str] = []

    def open(self) -> "LockedStore":
        """The store as one more server sees it."""
        return LockedStore(self)

    def free(self) -> None:
        """Take the lock from whoever has it, without telling."""
        self.holder = None


class LockedStore(DelegatingStore):
    """The store as one server sees it: nothing of it, before it has the lock; nothing of it any more, after it lost it."""

    def __init__(self, shared: SharedStore) -> None:
        """Without the lock."""
        self._shared = shared
        super().__init__(shared.inner)

    @property
    def has_lock(self) -> bool:
        """Whether this server is the one that may write."""
        return self._shared.holder is self

    def attach(self) -> None:
        """The inner store's work is ours only with the lock."""
        if self.has_lock:
            super().attach()

    async def acquire(self, owner: str) -> Lease | None:
        """The lock, if nobody has it; raises StoreError as was asked for."""
        shared = self._shared
        shared.tries += 1
        if shared.errors:
            raise StoreError(shared.errors.pop(0))
        if shared.holder is not None and not self.has_lock:
            return None
        shared.holder = self
        shared.epoch += 1
        return Lease(shared.epoch, _NEVER_NS)

    async def recover(self, lease: Lease | None) -> Recovered:
        """As the inner store does; raises StoreError without the lock."""
        if lease is None or not self.has_lock or lease.epoch != self._shared.epoch:
            raise StoreError("the store belongs to another server")
        self.attach()
        return await self.inner.recover(lease)

    def submit(self, batch: Batch) -> None:
        """Pass `batch` on; it fails for good when the lock is lost, or was never there."""
        if self.has_lock and batch.epoch == self._shared.epoch:
            self.inner.submit(batch)
        else:
            self.on_failed(batch.number, FATAL, "lost store lock, aborting")

    async def close(self) -> None:
        """Let go of the lock; the inner store stays as it is, for the next server."""
        if self.has_lock:
            self._shared.free()
