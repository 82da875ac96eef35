"""How tests open the SQL store: on sqlite, and on private instances of PostgreSQL and MariaDB."""

import shutil
import sqlite3
import tempfile
import weakref
from pathlib import Path

from durabus.config.options import SqlOptions
from durabus.stores.sql.database import Database
from durabus.stores.sql.opening import make_database
from durabus.stores.sql.plan import Rules
from durabus.stores.sql.store import SqlStore
from durabus.streaming.store_port import Store
from durabus.testing.conformance import StoreHarness
from tests.databases import DatabaseServer, mariadb_server, postgres_server

__all__ = [
    "KINDS",
    "LeasedMysqlHarness",
    "LeasedPostgresHarness",
    "LeasedSqliteHarness",
    "MysqlHarness",
    "PostgresHarness",
    "SingleRowsHarness",
    "SqlHarness",
    "SqliteHarness",
    "ask",
    "new_database",
    "new_source",
    "open_store",
    "server_of",
]

KINDS = ("sqlite", "postgres", "mysql")
TICK_S = 0.05


def server_of(kind: str) -> DatabaseServer:
    """The instance behind `kind`; the test is skipped where there is none."""
    return postgres_server() if kind == "postgres" else mariadb_server()


def new_source(kind: str, folder: Path) -> str:
    """The source of an empty database."""
    return str(folder / "events.db") if kind == "sqlite" else server_of(kind).new_database()


def new_database(kind: str, source: str, connections_max: int = 0) -> Database:
    """The driver, not opened yet."""
    return make_database(SqlOptions(driver=kind, source=source, connections_max=connections_max))


def open_store(
    kind: str,
    source: str,
    *,
    single_rows: bool = False,
    create_tables: bool = True,
    connections_max: int = 0,
    tick_s: float = TICK_S,
) -> SqlStore:
    """A store, not recovered yet."""
    rules = Rules()
    rules.single_rows = single_rows
    return SqlStore(new_database(kind, source, connections_max), rules, create_tables, tick_s)


def ask(kind: str, source: str, text: str) -> list[tuple[str, ...]]:
    """Statements through the database's own client, as another program would; the rows of the answers, as text."""
    if kind == "sqlite":
        connection = sqlite3.connect(source, isolation_level=None)
        try:
            found: list[tuple[str, ...]] = []
            for statement in filter(str.strip, text.split(";")):
                for row in connection.execute(statement):
                    found.append(tuple(part.hex() if isinstance(part, bytes) else str(part) for part in row))
            return found
        finally:
            connection.close()
    separator = "|" if kind == "postgres" else "\t"
    return [tuple(line.split(separator)) for line in server_of(kind).sql(source, text).splitlines()]


class SqlHarness(StoreHarness):
    """A database per check."""

    kind = ""
    single_rows = False

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="durabus-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._copies = 0
        self.source = ""

    async def open(self) -> Store:
        self.source = new_source(self.kind, self._folder)
        return self._open(self.source)

    async def reopen(self, store: Store) -> Store:
        return self._open(self.source)

    def _open(self, source: str) -> Store:
        return open_store(self.kind, source, single_rows=self.single_rows)


class SqliteHarness(SqlHarness):
    """sqlite. After a crash another store opens a copy of its files."""

    kind = "sqlite"
    crashes = True

    def crash_copy(self, store: Store) -> object:
        self._copies += 1
        copy = self._folder / f"copy-{self._copies}.db"
        for suffix in ("", "-wal"):
            if Path(self.source + suffix).exists():
                shutil.copyfile(self.source + suffix, f"{copy}{suffix}")
        return copy

    async def open_copy(self, copy: object) -> Store:
        assert isinstance(copy, Path)
        return self._open(str(copy))


class SingleRowsHarness(SqliteHarness):
    """The same with -sql_no_caching."""

    single_rows = True


class LeasedSqliteHarness(SqliteHarness):
    """The same as one of a group."""

    leased = True


class PostgresHarness(SqlHarness):
    """PostgreSQL."""

    kind = "postgres"


class LeasedPostgresHarness(PostgresHarness):
    """The same as one of a group."""

    leased = True


class MysqlHarness(SqlHarness):
    """MariaDB."""

    kind = "mysql"


class LeasedMysqlHarness(MysqlHarness):
    """The same as one of a group, and with one row for each pending message."""

    leased = True
    single_rows = True
