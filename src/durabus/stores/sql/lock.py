"""The row by which servers of a group agree on who writes: the original's protocol, so that both can be in one group.

Whoever has its name in StoreLock.id is the owner, and counts StoreLock.tick up every second. Who wants to be it looks
several times; an owner that does not count any more has lost it. The name stands in every transaction's way, so an owner
that was overtaken, however late it wakes up, can commit nothing.
"""

import asyncio
from contextlib import suppress
from typing import Final

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import Database
from durabus.streaming.store_port import Lease

__all__ = ["NAME_CHARACTERS_MAX", "StoreLock"]

NAME_CHARACTERS_MAX: Final = 30
"""What the column of the owner holds."""
_NEVER_NS: Final = 1 << 62  # no clock decides: the row is looked at in every transaction
_LOST_COUNT: Final = 3
"""How often in a row an owner may be seen without having counted."""


class StoreLock:
    """Our part in that."""

    def __init__(self, database: Database, tick_s: float = 1.0) -> None:
        """Count every `tick_s` seconds; the others of the group must do it as often."""
        self.owner = ""  # who we are, while the row is ours
        self._database = database
        self._tick_s = tick_s
        self._ticking: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self.is_lost = False

    async def acquire(self, name: str) -> Lease | None:
        """Become the owner: at once when nobody is, after a while when the owner does not count. None: somebody is.

        Raises StoreError.
        """
        name = name[:NAME_CHARACTERS_MAX]
        if not name:
            raise StoreError("sql: who wants to own the store must have a name")
        await self._halt()  # an owner that asks again would take its own counting for another's
        seen = await self._read()
        for attempt in range(_LOST_COUNT + 1):
            owner, tick = seen
            is_free = owner in ("", name) or attempt == _LOST_COUNT
            if is_free and await self._take(name, owner, tick):
                self.owner = name
                self.is_lost = False
                self._start()
                return Lease(tick + 1, _NEVER_NS)
            if attempt == _LOST_COUNT:
                return None
            await asyncio.sleep(1.5 * self._tick_s)
            now = await self._read()
            if now != seen and now[0]:
                return None
            seen = now
        return None  # pragma: no cover - the loop returns

    async def _read(self) -> tuple[str, int]:
        rows = await self._database.fetch(sql.LOCK_READ)
        if len(rows) != 1:
            raise StoreError(f"sql: the table StoreLock has {len(rows)} rows where there should be one")
        owner, tick = rows[0]
        return str(owner or ""), int(tick or 0)

    async def _take(self, name: str, owner: str, tick: int) -> bool:
        return await self._database.execute(sql.LOCK_TAKE, (name, tick + 1, owner, tick)) > 0

    async def is_ours(self) -> bool:
        """Whether the row still has our name; raises StoreError."""
        if not self.is_lost and self.owner:
            self.is_lost = (await self._read())[0] != self.owner
        return bool(self.owner) and not self.is_lost

    async def is_busy(self) -> bool:
        """Whether somebody owns the store, and counts; raises StoreError."""
        seen = await self._read()
        if not seen[0] or seen[0] == self.owner:
            return False
        await asyncio.sleep(1.5 * self._tick_s)
        now = await self._read()
        return bool(now[0]) and now != seen

    def _start(self) -> None:
        if self._ticking is None:
            self._stopped.clear()
            self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        while not self.is_lost:
            try:
                async with asyncio.timeout(self._tick_s):
                    await self._stopped.wait()
                    return
            except TimeoutError:
                pass  # it is time
            # When the database is away, whether the row is still ours is seen by the next transaction.
            with suppress(StoreError):
                self.is_lost = await self._database.execute(sql.LOCK_TICK, (self.owner,)) == 0

    async def _halt(self) -> None:
        ticking, self._ticking = self._ticking, None
        if ticking is not None:
            self._stopped.set()
            await asyncio.wait([ticking])

    async def release(self) -> None:
        """Let another one be the owner at once."""
        await self._halt()
        owner, self.owner = self.owner, ""
        if owner and not self.is_lost:
            # If it is away, it will be seen that we do not count any more.
            with suppress(StoreError):
                await self._database.execute(sql.LOCK_RELEASE, (owner,))
