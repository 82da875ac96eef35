"""The file layer of one of several servers: nothing is changed, and nothing is said to be durable, unless it is the owner."""

from durabus.stores.file.files import Files
from durabus.stores.file.lease import Ownership

__all__ = ["FencedFiles"]


class FencedFiles(Files):
    """The files of `files`. Calls that change something raise LockLostError when they are somebody else's by now.

    `sync` and `sync_directory` look after they are done: what they say is durable, was there before anybody took over.
    """

    def __init__(self, files: Files, ownership: Ownership) -> None:
        """For the owner of a lease."""
        assert ownership.lease is not None, "first the lease"
        self.directory = files.directory
        self.new_suffix = f".{ownership.lease.epoch}{files.new_suffix}"
        self._files = files
        self._ownership = ownership

    def names(self) -> list[str]:
        """As the other layer does."""
        return self._files.names()

    def exists(self, name: str) -> bool:
        """As the other layer does."""
        return self._files.exists(name)

    def create(self, name: str) -> int:
        """Make a file, and open it."""
        self._ownership.check()
        return self._files.create(name)

    def open(self, name: str, writable: bool) -> int:
        """As the other layer does."""
        return self._files.open(name, writable)

    def close(self, handle: int) -> None:
        """As the other layer does."""
        self._files.close(handle)

    def size(self, handle: int) -> int:
        """As the other layer does."""
        return self._files.size(handle)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """As the other layer does."""
        return self._files.read(handle, offset, count)

    def read_many(self, handle: int, places: list[tuple[int, int]]) -> list[bytes]:
        """As the other layer does."""
        return self._files.read_many(handle, places)

    def write(self, handle: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at `offset`."""
        self._ownership.check()
        self._files.write(handle, offset, data)

    def sync(self, handle: int) -> None:
        """Make the file's bytes and size durable, and see whether they count."""
        self._files.sync(handle)
        self._ownership.check()

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file off at `size`, or extend it."""
        self._ownership.check()
        self._files.truncate(handle, size)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._ownership.check()
        self._files.rename(old, new)

    def rename_new(self, old: str, new: str) -> None:
        """Give a file another name that none has."""
        self._ownership.check()
        self._files.rename_new(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._ownership.check()
        self._files.remove(name)

    def sync_directory(self) -> None:
        """Make durable which names there are, and see whether they count."""
        self._files.sync_directory()
        self._ownership.check()

    def lock(self, name: str) -> int | None:
        """As the other layer does."""
        return self._files.lock(name)

    def map(self, handle: int) -> memoryview:
        """As the other layer does."""
        return self._files.map(handle)
