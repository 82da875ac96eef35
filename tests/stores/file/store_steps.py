"""What the tests of the FILE store share: a store with its listener, and files whose calls wait for the test."""

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

from durabus.stores.file.store import FileStore
from durabus.streaming.store_port import Batch, Run
from durabus.testing.conformance.probe import Probe
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import MUCH, SMALL, batch_of, body, run_of

__all__ = ["NEVER_S", "PATIENCE_S", "Desk", "GatedFiles", "broken", "listed", "opened", "wanted"]

PATIENCE_S = 20.0
NEVER_S = 3600.0
"""No test is so long idle that what is durable is noted on the way: that would be one call more."""


class GatedFiles(SimulatedFiles):
    """Calls of one kind wait at a gate, on whichever thread they are, until the test opens it."""

    def __init__(self, disk: SimulatedDisk, kind: str) -> None:
        super().__init__(disk)
        self.kind = kind
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Semaphore(0)

    def pass_gate(self, kind: str) -> None:
        if kind == self.kind and not self.gate.is_set():
            self.waiting.release()
            assert self.gate.wait(PATIENCE_S), "the gate was never opened"

    async def wait_for_one(self) -> None:
        """Until a call stands at the gate."""
        assert await asyncio.to_thread(self.waiting.acquire, True, PATIENCE_S)

    def sync(self, handle: int) -> None:
        self.pass_gate("sync")
        super().sync(handle)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        self.pass_gate("read")
        return super().read(handle, offset, count)

    def map(self, handle: int) -> memoryview:
        self.pass_gate("map")
        return super().map(handle)


class Desk:
    """A store with its listener; batches are numbered as they must be."""

    def __init__(self, store: FileStore) -> None:
        self.store = store
        self.probe = Probe(store, PATIENCE_S)
        self.problems: list[str] = []
        store.on_problem = self.problems.append
        self.number = 0
        self.last = 0

    def submit(self, *runs: Run, batch: Batch | None = None) -> int:
        self.number += 1
        batch = batch or batch_of(*runs)
        batch.number = self.number
        self.probe.submit(batch)
        return self.number

    def publish(self, count: int = 1, size: int = 0) -> int:
        """The next messages of channel 1."""
        self.last += count
        return self.submit(run_of(1, self.last - count + 1, count, size))

    async def put(self, count: int = 1, size: int = 0) -> None:
        number = self.publish(count, size)
        await self.probe.wait_ended(number)
        assert number in self.probe.durable, self.probe.failed

    async def recover(self) -> None:
        recovered = await self.store.recover(None)
        self.probe.begin_again()
        self.number = 0
        self.last = max([found.last_sequence for found in recovered.channels if found.channel_id == 1], default=0)
        assert recovered.damage == []

    async def messages(self, channel_id: int = 1, first: int = 1) -> list[bytes]:
        """All messages from `first` on."""
        found: list[bytes] = []
        while page := await self.probe.page(self.probe.ask_page(channel_id, first + len(found), 100_000, MUCH)):
            found += page
        return found


@contextlib.asynccontextmanager
async def opened(files: SimulatedFiles, segment_bytes: int = SMALL) -> AsyncGenerator[Desk]:
    """A store on a simulated disk, closed in the end."""
    desk = Desk(FileStore("simulated", files, segment_bytes, mark_s=NEVER_S))
    await desk.recover()
    try:
        yield desk
    finally:
        await asyncio.wait_for(desk.store.close(), PATIENCE_S)
        desk.probe.check()


def broken() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def wanted(last: int, first: int = 1, size: int = 0) -> list[bytes]:
    return [body(1, sequence, size) for sequence in range(first, last + 1)]


def listed(directory: Path) -> dict[str, Path]:
    """The files of a directory by their names."""
    return {path.name: path for path in directory.iterdir()}
