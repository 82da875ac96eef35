"""How the conformance suite opens the FILE store: on a directory of its own, with small segments, so that many are used."""

import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import Store
from durabus.testing.conformance import StoreHarness

__all__ = ["FileHarness", "LeasedFileHarness", "SmallSegmentsHarness"]


_TRIES = 100


class FileHarness(StoreHarness):
    """A directory per check. After a crash another store opens a copy of what is in the files."""

    crashes = True
    segment_bytes = 32 * 1024 * 1024

    def __init__(self) -> None:
        self._root = tempfile.mkdtemp(prefix="durabus-")
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        self._count = 0
        self._directories: dict[int, Path] = {}

    async def open(self) -> Store:
        return self._open(self._new_directory())

    async def reopen(self, store: Store) -> Store:
        return self._open(self._directories[id(store)])

    def crash_copy(self, store: Store) -> object:
        directory = self._directories[id(store)]
        for _ in range(_TRIES):
            copy = self._new_directory()
            names = {path.name for path in directory.iterdir()}
            with suppress(FileNotFoundError):  # the store works on: a file may get its last name just now, or go
                for name in names:
                    shutil.copy2(directory / name, copy / name)
                if names <= {path.name for path in directory.iterdir()}:
                    return copy
        raise AssertionError(f"{directory} never stands still")

    async def open_copy(self, copy: object) -> Store:
        assert isinstance(copy, Path)
        return self._open(copy)

    def _new_directory(self) -> Path:
        self._count += 1
        directory = Path(self._root) / str(self._count)
        directory.mkdir()
        return directory

    def _open(self, directory: Path) -> Store:
        store = FileStore(str(directory), None, self.segment_bytes)
        self._directories[id(store)] = directory
        return store


class SmallSegmentsHarness(FileHarness):
    """The same, with a new segment every few batches."""

    segment_bytes = 16 * 1024


class LeasedFileHarness(SmallSegmentsHarness):
    """The same as one of a group. In a copy, the lease is of an owner that held the lock, which nobody does there: it is dead."""

    leased = True
