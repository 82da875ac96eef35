"""What is dead already leaves the tables: in small pieces, beside the publishers, and when there is enough of it.

Dead are messages below a channel's floor, and everything of a channel that is marked as deleted. Nobody can read it any
more, so nothing depends on when this happens; what is left when the server ends is found again by the next one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import Contents, StoredChannel
from durabus.stores.sql.database import Database
from durabus.stores.sql.reading import measure

__all__ = ["PIECE", "Sweeper"]

Answer = Callable[[int, int], None]

PIECE: Final = 1000
"""Rows that one statement deletes at most."""
_PAUSE_S: Final = 1.0
"""How long a few dead rows may wait for more, and how long to wait after an error."""


class Sweeper:
    """Deletes what is dead of `contents`, from `start` to `stop`."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        pause_s: float = _PAUSE_S,
        on_problem: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Work on `database`. `on_problem` is told why that is not possible, once until it is, or until it is for another reason."""
        self._database = database
        self._contents = contents
        self._pause_s = pause_s
        self._task: asyncio.Task[None] | None = None
        self._many = asyncio.Event()
        self._some = asyncio.Event()
        self._on_problem = on_problem
        self._is_stopping = False
        self._to_measure: deque[tuple[StoredChannel, int, int, Answer]] = deque()
        self.error = ""  # why the last piece could not be deleted

    def start(self) -> None:
        """Begin, with what is dead now."""
        self._some.set()
        self._many.set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Finish the piece under way, no more."""
        self._is_stopping = True
        self._some.set()
        self._many.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task])
        while self._to_measure:
            _, first, _, answer = self._to_measure.popleft()
            answer(first, 0)

    def floor_raised(self, channel: StoredChannel) -> None:
        """More of `channel` is dead."""
        self._some.set()
        if channel.first - channel.swept >= PIECE:
            self._many.set()

    def measure(self, channel: StoredChannel, first: int, end: int, answer: Answer) -> None:
        """Find out how many bytes the messages from `first` to before `end` have before they go: there is time for that.

        `answer` gets the sequence up to which that could be found out, and the bytes.
        """
        self._to_measure.append((channel, first, end, answer))
        self._some.set()
        if end - first >= PIECE:
            self._many.set()

    def channel_deleted(self) -> None:
        """A channel is marked as deleted."""
        self._some.set()
        self._many.set()

    def _is_ending(self) -> bool:
        return self._is_stopping

    async def _run(self) -> None:
        while not self._is_ending():
            await self._some.wait()
            try:
                async with asyncio.timeout(self._pause_s):
                    await self._many.wait()
            except TimeoutError:
                pass  # there is no hurry, but it is time
            if self._is_ending():
                return
            self._some.clear()
            self._many.clear()
            try:
                await self.sweep()
                self.error = ""
            except StoreError as error:
                text = str(error)
                if text != self.error:
                    self._on_problem(f"what was removed is still in the tables, this is tried again: {text}")
                self.error = text
                self._some.set()  # again after the pause

    async def sweep(self) -> None:
        """Delete everything that is dead now, or what can be done of it before `stop`; raises StoreError."""
        contents = self._contents
        for _ in range(len(self._to_measure)):  # what an answer asks for has time until the next sweep
            if self._is_ending():
                return
            channel, first, end, answer = self._to_measure[0]
            found = await measure(self._database, channel, first, end, 0)
            self._to_measure.popleft()
            answer(*found)
        for channel_id in list(contents.channels):
            known = contents.channels.get(channel_id)
            while known is not None and known.swept < known.needed_first and not self._is_ending():
                end = min(known.swept + PIECE, known.needed_first)
                await self._database.execute(sql.SWEEP_MESSAGES, (channel_id, known.swept, end))
                known.swept = end
        while contents.dead_channels and not self._is_ending():
            await self._sweep_channel(contents.dead_channels[0])

    async def _sweep_channel(self, channel_id: int) -> None:
        database = self._database
        while rows := await database.fetch(sql.READ_NEXT_TIMESTAMP, (channel_id, 0)):
            first = int(rows[0][0])
            await database.execute(sql.SWEEP_MESSAGES, (channel_id, first, first + PIECE))
            if self._is_ending():
                return
        await database.execute(sql.SWEEP_PENDING, (channel_id,))
        highest = self._contents.subscription_id_max
        await database.execute(sql.SWEEP_KEEP_HIGHEST, (channel_id, highest))
        await database.execute(sql.SWEEP_SUBSCRIPTIONS, (channel_id,))
        await database.execute(sql.SWEEP_CHANNEL, (channel_id,))
        self._contents.dead_channels.remove(channel_id)
