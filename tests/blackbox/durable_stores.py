"""The stores that keep what they acknowledged, by the flags of a server on them, and a way to change what they keep.

`DURABLE` are the stores; a test that takes the fixture `place` (conftest.py) runs on each of them, with an empty one.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import Batch, Cursor, Recovered, Store
from durabus.testing.conformance.probe import Probe
from tests.server_process import PATIENCE_S, ServerProcess, running_server
from tests.stores.sql_harness import new_source, open_store

__all__ = ["DURABLE", "Place", "new_place"]

DURABLE = ("file", "sqlite", "postgres", "mysql")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server keeps its data: `path` is a directory, or the source of a database."""

    kind: str
    path: str

    @property
    def flags(self) -> tuple[str, ...]:
        """How a server is told."""
        if self.kind == "file":
            return ("-store", "FILE", "-dir", self.path)
        return ("-store", "SQL", "-sql_driver", self.kind, "-sql_source", self.path)

    @property
    def name(self) -> str:
        """What the server calls the store."""
        return "FILE" if self.kind == "file" else "SQL"

    def server(self, *more: str, port: int = -1) -> AbstractContextManager[ServerProcess]:
        """A running server here."""
        return running_server(*self.flags, *more, port=port)

    def _store(self) -> Store:
        return FileStore(self.path) if self.kind == "file" else open_store(self.kind, self.path)

    def look(self) -> Recovered:
        """What is remembered here, while no server is at work."""
        return self.change([])

    def change(self, state: Iterable[tuple[int, bytes, bytes | None]], cursors: Iterable[Cursor] = ()) -> Recovered:
        """Put records and positions, as a server would, while none is at work; what is remembered then."""
        batch = Batch(1, 0)
        batch.state.extend(state)
        batch.cursors.extend(cursors)

        async def work() -> Recovered:
            store = self._store()
            probe = Probe(store, PATIENCE_S)
            try:
                recovered = await store.recover(None)
                if not batch.is_empty():
                    probe.submit(batch)
                    await probe.wait_ended(1)
                    assert probe.durable == [1], probe.failed
                    recovered = await store.recover(None)
                return recovered
            finally:
                await store.close()

        return asyncio.run(work())

    def keys(self, kind: int) -> set[bytes]:
        """The keys of one kind of records."""
        return {key for at, key, _ in self.look().state if at == kind}


def new_place(kind: str, folder: Path) -> Place:
    """An empty one."""
    return Place(kind, str(folder / "data") if kind == "file" else new_source(kind, folder))
