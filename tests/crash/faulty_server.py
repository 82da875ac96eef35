"""`durabus serve` with a store that does not keep its promises: what the crash tests have to find out.

    python -m tests.crash.faulty_server FAULT serve -store FILE -dir DIRECTORY ...

The faults are the names of `FAULTS`.
"""

import asyncio
import sys
from typing import Final
from unittest import mock

from durabus.cli.main import main
from durabus.config.options import Options
from durabus.server import server as server_module
from durabus.stores.delegating import DelegatingStore
from durabus.stores.names import make_store
from durabus.streaming.store_port import Batch, Cursor, Store
from tests.stores.harnesses import copy_of

__all__ = ["FAULTS"]

DELAY_S = 0.05


class EarlyStore(DelegatingStore):
    """Says that a batch is durable at once, and writes it a moment later. Until then it is read from memory."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._waiting: dict[tuple[int, int], bytes] = {}  # channel id, sequence -> body
        self._places: dict[int, list[tuple[int, int]]] = {}  # batch number -> its part of these

    def submit(self, batch: Batch) -> None:
        copy = copy_of(batch)
        places = self._places[batch.number] = []
        for run in copy.runs:
            for index, body in enumerate(run.bodies):
                place = run.channel_id, int(run.first_sequence) + index
                self._waiting[place] = body
                places.append(place)
        loop = asyncio.get_running_loop()
        loop.call_later(DELAY_S, self.inner.submit, copy)
        loop.call_soon(super().on_durable, batch.number)

    def on_durable(self, number: int) -> None:
        for place in self._places.pop(number):
            del self._waiting[place]

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        bodies: list[bytes] = []
        while len(bodies) < count_max and (channel_id, first + len(bodies)) in self._waiting:
            bodies.append(self._waiting[channel_id, first + len(bodies)])
        return bodies or self.inner.read_now(channel_id, first, count_max, bytes_max)


class CursorlessStore(DelegatingStore):
    """Remembers no positions after those with which subscriptions began: what was acknowledged comes again."""

    def submit(self, batch: Batch) -> None:
        batch.cursors.clear()
        self.inner.submit(batch)


class SentIsAcknowledgedStore(DelegatingStore):
    """Forgets what is unacknowledged: durables go on behind it."""

    def submit(self, batch: Batch) -> None:
        batch.cursors = [Cursor(cursor.subscription_id, cursor.last_sent, []) for cursor in batch.cursors]
        self.inner.submit(batch)


FAULTS: Final[dict[str, type[DelegatingStore]]] = {
    "acknowledges-early": EarlyStore,
    "forgets-positions": CursorlessStore,
    "forgets-unacknowledged": SentIsAcknowledgedStore,
}


def run(fault: str, arguments: list[str]) -> int:
    """Run `durabus` with these arguments, and its store behind a faulty one; its exit code."""

    def make_faulty_store(options: Options, *rest: object) -> Store:
        return FAULTS[fault](make_store(options))

    with mock.patch.object(server_module, "make_store", make_faulty_store):
        return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
