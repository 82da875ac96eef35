"""Any store of the tests with encryption around it."""

from durabus.stores.encryption import EncryptedStore
from durabus.stores.encryption_keys import Keys
from durabus.streaming.store_port import Store
from durabus.testing.conformance import StoreHarness
from tests.stores.file_harness import LeasedFileHarness, SmallSegmentsHarness
from tests.stores.harnesses import MemoryHarness, SlowHarness
from tests.stores.sql_harness import PostgresHarness, SqliteHarness

__all__ = [
    "KEY",
    "EncryptedFileHarness",
    "EncryptedLeasedFileHarness",
    "EncryptedMemoryHarness",
    "EncryptedPostgresHarness",
    "EncryptedSlowHarness",
    "EncryptedSqliteHarness",
    "encrypted",
]

KEY = "a key of the tests"


def encrypted(inner: Store, key: str = KEY, cipher: str = "", problems: list[str] | None = None) -> EncryptedStore:
    """`inner` with encryption; what it reports goes to `problems`."""
    return EncryptedStore(inner, Keys(key, cipher), (problems if problems is not None else []).append)


class EncryptedHarness(StoreHarness):
    """What `inner` opens, each with an encrypted store around it; the ciphers take turns."""

    inner_kind: type[StoreHarness] = MemoryHarness

    def __init__(self) -> None:
        self._inner = self.inner_kind()
        self.crashes = self._inner.crashes
        self.leased = self._inner.leased
        self._count = 0

    async def open(self) -> Store:
        return self._around(await self._inner.open())

    async def reopen(self, store: Store) -> Store:
        return self._around(await self._inner.reopen(self._inside(store)))

    def crash_copy(self, store: Store) -> object:
        return self._inner.crash_copy(self._inside(store))

    async def open_copy(self, copy: object) -> Store:
        return self._around(await self._inner.open_copy(copy))

    def _around(self, store: Store) -> Store:
        self._count += 1
        return encrypted(store, cipher=("AES", "chacha")[self._count % 2])

    def _inside(self, store: Store) -> Store:
        assert isinstance(store, EncryptedStore)
        return store.inner


class EncryptedMemoryHarness(EncryptedHarness):
    """In memory."""


class EncryptedSlowHarness(EncryptedHarness):
    """In memory, as slow as a disk."""

    inner_kind = SlowHarness


class EncryptedFileHarness(EncryptedHarness):
    """In files."""

    inner_kind = SmallSegmentsHarness


class EncryptedLeasedFileHarness(EncryptedHarness):
    """In files, in a group."""

    inner_kind = LeasedFileHarness


class EncryptedSqliteHarness(EncryptedHarness):
    """In sqlite."""

    inner_kind = SqliteHarness


class EncryptedPostgresHarness(EncryptedHarness):
    """In PostgreSQL."""

    inner_kind = PostgresHarness
