"""The stores that have to survive a kill of the server, by the flags that it takes; a new one is one more row."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.databases import mariadb_server, postgres_server

__all__ = ["DURABLE_STORES"]


def _file(folder: Path) -> list[str]:
    """Small segments: a round fills some, so that kills hit what happens between two of them as well."""
    return ["-store", "FILE", "-dir", str(folder / "data"), "-file_slice_max_bytes", "1MB"]


def _source(kind: str, folder: Path) -> str:
    """The source of an empty database, which keeps what it commits: of one that does not, the server complains."""
    if kind == "sqlite":
        return str(folder / "events.db")
    return (postgres_server if kind == "postgres" else mariadb_server)(is_durable=True).new_database()


def _sql(kind: str) -> Callable[[Path], list[str]]:
    """The server is killed, not its database. Skips the test where there is none."""
    return lambda folder: ["-store", "SQL", "-sql_driver", kind, "-sql_source", _source(kind, folder)]


DURABLE_STORES: Final[dict[str, Callable[[Path], list[str]]]] = {
    "FILE": _file,
    "sqlite": _sql("sqlite"),
    "postgres": _sql("postgres"),
    "mysql": _sql("mysql"),
}
"""The flags of a server with an empty store, which has its files in a folder if it has any."""
