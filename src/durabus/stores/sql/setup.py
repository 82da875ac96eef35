"""Looks what is there of the tables, and makes what is missing."""

from typing import Final

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import Database
from durabus.stores.sql.schema import COLUMNS, TABLES

__all__ = ["BLOB_BYTES_MAX", "check_tables", "column_bytes_max", "prepare_tables"]

BLOB_BYTES_MAX: Final = {
    "tinyblob": 255,
    "blob": 65_535,
    "mediumblob": 16_777_215,
    "longblob": 4_294_967_295,
}
"""What MySQL's types of columns hold."""
_UNLIMITED: Final = 1 << 40


async def _columns(database: Database) -> dict[str, dict[str, str]]:
    """The types of all columns by table and column, both in small letters."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in await database.fetch(database.dialect.columns):
        found.setdefault(str(table).lower(), {})[str(column).lower()] = str(kind).lower()
    return found


async def prepare_tables(database: Database, create: bool) -> list[str]:
    """Make what is missing of the tables, if `create`; what was made, in words. Raises StoreError when that is not enough."""
    there = await _columns(database)
    missing = [table for table in TABLES if table.lower() not in there]
    without_proto = "clients" in there and "proto" not in there["clients"]
    if (missing or without_proto) and not create:
        what = ", ".join(missing) or "column proto of Clients"
        raise StoreError(f"sql: the database lacks {what}; leave out -sql_create_tables=false, or make it by hand")
    for statement in database.dialect.creation(missing):
        await database.execute(statement)
    if without_proto:  # a database of the original before 0.10
        kind = "BYTEA" if database.dialect.name == "postgres" else "BLOB"
        await database.execute(f"ALTER TABLE Clients ADD proto {kind}")
    if not await database.fetch(sql.LOCK_READ):
        # Two servers may be here at once. MySQL sees to it by itself that there is one row, sqlite has one writer.
        alone = "LOCK TABLE StoreLock IN SHARE ROW EXCLUSIVE MODE; " if database.dialect.name == "postgres" else ""
        await database.execute(alone + sql.LOCK_INSERT)
    if missing or without_proto:
        there = await _columns(database)
    for table, columns in COLUMNS.items():
        lacking = [column for column in columns if column not in there.get(table.lower(), {})]
        if lacking:
            raise StoreError(
                f"sql: table {table} has no column {', '.join(lacking)}: it is not the one that this needs"
            )
    return [f"table {table}" for table in missing] + ["column Clients.proto"] * without_proto


async def check_tables(database: Database) -> None:
    """Raise StoreError when something of the tables is missing. Changes nothing."""
    there = await _columns(database)
    for table, columns in COLUMNS.items():
        known = there.get(table.lower())
        lacking = [column for column in columns if column not in (known or {})]
        if known is None:
            raise StoreError(f"sql: the database has no table {table}: it is not one of a server")
        if lacking:
            what = f"sql: table {table} has no column {', '.join(lacking)}"
            raise StoreError(f"{what}: `durabus store init` adds what an old one lacks")


async def column_bytes_max(database: Database) -> int:
    """How long the column Messages.data may be, by its type."""
    kind = (await _columns(database)).get("messages", {}).get("data", "")
    return BLOB_BYTES_MAX.get(kind, _UNLIMITED) if database.dialect.name == "mysql" else _UNLIMITED
