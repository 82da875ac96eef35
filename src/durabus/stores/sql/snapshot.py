"""A SQL store for reading only, as it was at one moment, beside whoever is at work on it: for copies and backups.

It takes no lock and changes nothing. What it reads is one transaction of the database.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from durabus.errors import StoreError
from durabus.stores.sql.contents import Contents
from durabus.stores.sql.database import Database
from durabus.stores.sql.loading import load
from durabus.stores.sql.reading import read_page, seek
from durabus.stores.sql.setup import check_tables
from durabus.streaming.store_port import REFUSED, Batch, Lease, Recovered, Store, StoreListener

__all__ = ["SqlSnapshot"]


class SqlSnapshot(Store):
    """What is in a database when it is recovered. Every batch is refused.

    `problem` says why the database did not answer: then a question is answered with nothing, for asking it again cannot help.
    """

    def __init__(self, database: Database) -> None:
        """Touch nothing yet."""
        self.name = "SQL"
        self.durability = "for reading only"
        self.message_bytes_max = 0
        self.message_overhead_bytes = 0
        self.batches_in_flight_max = 1
        self.has_lost = True  # a row that is missing is not known before it is looked for
        self.problem = ""
        self._database = database
        self._contents = Contents()
        self._listener: StoreListener | None = None
        self._asked: set[asyncio.Task[None]] = set()

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how questions are answered, from now on."""
        self._listener = listener

    async def acquire(self, owner: str) -> Lease | None:
        """Refuse: who only reads owns nothing. Raises StoreError, always."""
        raise StoreError("not supported")

    async def recover(self, lease: Lease | None) -> Recovered:
        """Everything in the tables, as of now; raises StoreError."""
        await self._end_questions()
        await self._database.open_snapshot()
        await check_tables(self._database)
        self._contents, recovered = await load(self._database)
        return recovered

    def submit(self, batch: Batch) -> None:
        """Refuse."""
        if self._listener is not None:
            self._listener.on_failed(batch.number, REFUSED, "sql: this store is for reading only")

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Nothing is at hand without asking, but where there is nothing."""
        channel = self._contents.channels.get(channel_id)
        return [] if channel is None or first > channel.last else None

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Ask the database."""

        async def answer() -> None:
            channel = self._contents.channels.get(channel_id)
            bodies: list[bytes] = []
            if channel is not None:
                try:
                    bodies = await read_page(self._database, channel, int(first), int(count_max), int(bytes_max))
                except StoreError as error:
                    self.problem = str(error)
            if self._listener is not None:
                self._listener.on_page(request, bodies)

        self._ask(answer())

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Ask the database."""

        async def answer() -> None:
            channel = self._contents.channels.get(channel_id)
            sequence = 0
            if channel is not None:
                try:
                    sequence = await seek(self._database, channel, int(timestamp_ns))
                except StoreError as error:
                    self.problem = str(error)
            if self._listener is not None:
                self._listener.on_seek(request, sequence)

        self._ask(answer())

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Find nothing out: who has limits to keep does not work on this store."""
        if self._listener is not None:
            self._listener.on_measured(request, first, 0)

    def _ask(self, answer: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(answer)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _end_questions(self) -> None:
        while self._asked:
            await asyncio.wait(self._asked)

    async def close(self) -> None:
        """Let go of the database."""
        await self._end_questions()
        await self._database.close()
