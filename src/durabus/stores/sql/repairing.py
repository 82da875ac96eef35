"""Repairs a database: what a check finds is set aside in a file first, then taken out of the tables, or made anew."""

from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.findings import CheckReport, Finding
from durabus.stores.quarantine import Quarantine
from durabus.stores.sql import statements as sql
from durabus.stores.sql.checking import Repair, SqlCheck
from durabus.stores.sql.database import Database
from durabus.stores.sql.lock import StoreLock
from durabus.stores.sql.setup import check_tables

__all__ = ["check_database", "repair_database"]

_TOGETHER: Final = 256
"""Findings that are set aside with one sync."""


async def check_database(database: Database, say: Callable[[str], None]) -> CheckReport:
    """Look at everything as it is now, beside whoever is at work, and change nothing. Raises StoreError."""
    try:
        await database.open_snapshot()
        await check_tables(database)
        check = SqlCheck(database, _nothing, say)
        await check.run()
        return check.report
    finally:
        await database.close()


async def _nothing(finding: Finding, repair: Repair) -> None:
    """A check changes nothing."""


async def repair_database(database: Database, quarantine: Quarantine, say: Callable[[str], None]) -> CheckReport:
    """Repair what a check finds, as the only one at work on the database; what that was. Raises StoreError."""
    work = _Work(database, quarantine)
    try:
        await database.open(exclusive=True)
        await check_tables(database)
        owners = await database.fetch(sql.LOCK_READ)
        if len(owners) == 1 and await StoreLock(database).is_busy():
            raise StoreError("sql: a server of an FT group is active on this database: stop it first")
        check = SqlCheck(database, work.take, say)
        await check.run()
        await work.do()
        return check.report
    finally:
        await database.close()


class _Work:
    """Sets aside, then repairs, several findings together."""

    def __init__(self, database: Database, quarantine: Quarantine) -> None:
        self._database = database
        self._quarantine = quarantine
        self._waiting: list[tuple[Finding, Repair]] = []

    async def take(self, finding: Finding, repair: Repair) -> None:
        """One more finding."""
        if not repair:
            return  # there is nothing to be set aside, nor to be done
        self._waiting.append((finding, repair))
        if len(self._waiting) >= _TOGETHER:
            await self.do()

    async def do(self) -> None:
        """Repair what waits."""
        for finding, _ in self._waiting:
            self._quarantine.add(finding)
        self._quarantine.sync()
        for _, repair in self._waiting:
            for statement, row in repair:
                await self._database.execute(statement, row)
        self._waiting.clear()
