"""What the tests of reading beside a server share: a journal that goes on between any two calls of who reads it."""

import random

from durabus.streaming.records import encode_channel_name, encode_server
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SERVER, KIND_SUBSCRIPTION, Batch, Cursor
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.journal_steps import batch_of, desk_on, run_of

__all__ = ["BusyFiles", "Server"]

CHANNELS = (1, 2, 3)
KEPT = 12
"""Messages that channels 1 and 2 keep: so segments go all the time. Channel 3 keeps all, so they are compacted, too."""


class Server:
    """Publishes on three channels, with limits on two of them, and does its slow work a task at a time."""

    def __init__(self, chance: random.Random, segment_bytes: int = 2048) -> None:
        self.disk = SimulatedDisk()
        self.desk, _ = desk_on(self.disk, segment_bytes)
        self.chance = chance
        self.clients = 0
        state: list[tuple[int, bytes, bytes | None]] = [(KIND_SERVER, b"server", encode_server(b"test-cluster"))]
        state.append((KIND_SUBSCRIPTION, b"7", b"seven"))
        state += [(KIND_CHANNEL, b"%d" % number, encode_channel_name(b"foo.%d" % number)) for number in CHANNELS]
        self.desk.put(batch_of(state=state))

    def step(self) -> None:
        """A batch of everything."""
        desk, chance = self.desk, self.chance
        batch = Batch(1, 0)
        for number in CHANNELS:
            count = chance.choice((0, 1, 3)) if number < 3 else chance.choice((0, 0, 1))
            if not count:
                continue
            first = desk.lasts.get(number, 0) + 1
            desk.lasts[number] = first + count - 1
            batch.runs.append(run_of(number, first, count, chance.choice((10, 100))))
            if number < 3 and desk.lasts[number] > KEPT:
                batch.floors[number] = desk.lasts[number] + 1 - KEPT
        self.clients += 1
        batch.state.append((KIND_CLIENT, b"client", b"%d" % self.clients))
        batch.cursors.append(Cursor(7, self.clients, []))
        desk.put(batch)

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()


class BusyFiles(SimulatedFiles):
    """Files of a server that does something between any two calls, with some chance."""

    def __init__(self, server: Server, share: float, steps_max: int = 400) -> None:
        super().__init__(server.disk)
        self.server = server
        self.share = share
        self.steps_left = steps_max

    def _go_on(self) -> None:
        chance = self.server.chance
        if self.steps_left > 0 and chance.random() < self.share:
            count = min(chance.choice((1, 4, 20)), self.steps_left)
            self.steps_left -= count
            self.server.steps(count)

    def names(self) -> list[str]:
        self._go_on()
        return super().names()

    def exists(self, name: str) -> bool:
        self._go_on()
        return super().exists(name)

    def open(self, name: str, writable: bool) -> int:
        self._go_on()
        assert not writable, "who only reads opens nothing for writing"
        return super().open(name, writable)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        self._go_on()
        return super().read(handle, offset, count)
