"""How commands name a store, in one way everywhere.

DIR                        the FILE store in a directory; `file:DIR` is the same
sqlite:PATH                the SQL store in a file
postgres://…               the SQL store in PostgreSQL; `postgres:SOURCE` with what -sql_source has
mysql:SOURCE               the same in MySQL and MariaDB
PATH.tar                   a backup; `backup:PATH` is the same, whatever its name ends with
env:NAME                   what the environment variable NAME says, in one of the forms above
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from durabus.errors import StoreError

__all__ = ["BACKUP", "FILE", "SQL", "Place", "parse_place"]

FILE: Final = "FILE"
SQL: Final = "SQL"
BACKUP: Final = "backup"
_BACKUP_SUFFIX: Final = ".tar"
_DRIVERS: Final = ("sqlite", "postgres", "mysql")


class Place:
    """A store that may not be there yet. `kind` is FILE, SQL or BACKUP; `shown` names it without a password."""

    def __init__(self, kind: str, value: str, shown: str, driver: str = "") -> None:
        """`value` is a path, or for a `driver` the source, which may hold a password."""
        self.kind = kind
        self.value = value
        self.shown = shown
        self.driver = driver

    @property
    def path(self) -> Path:
        """The path of a directory, a backup, or the file of sqlite."""
        return Path(self.value.partition("?")[0].removeprefix("file:") if self.driver else self.value)

    def is_same(self, other: "Place") -> bool:
        """Whether both are known to be one store: the same path, or the same source of a database."""
        if (self.kind, self.driver) != (other.kind, other.driver):
            return False
        if self.driver in ("", "sqlite"):
            return self.path.resolve() == other.path.resolve()
        return self.value == other.value

    def __repr__(self) -> str:
        return f"Place({self.kind}, {self.shown})"


def parse_place(text: str, environment: Mapping[str, str]) -> Place:
    """The store that `text` names; raises StoreError."""
    scheme, colon, rest = text.partition(":")
    if scheme == "env" and colon:
        value = environment.get(rest, "")
        if not value:
            raise StoreError(f"the environment variable {rest} is not set")
        if value.startswith("env:"):
            raise StoreError(f"the environment variable {rest} names a variable again, where it should name a store")
        found = _parse(value)
        return Place(found.kind, found.value, text, found.driver)
    return _parse(text)


def _parse(text: str) -> Place:
    scheme, _, rest = text.partition(":")
    if text.startswith(("postgres://", "postgresql://")):
        return Place(SQL, text, "the PostgreSQL database", "postgres")
    if text.startswith("mysql://"):
        raise StoreError("a MySQL database is named mysql:user:password@tcp(host:port)/database, as -sql_source has it")
    for prefix, kind in (("file", FILE), ("backup", BACKUP)):
        if text.startswith(prefix + ":"):
            return _path(kind, rest)
    if scheme in _DRIVERS and text.startswith(scheme + ":"):
        if not rest:
            raise StoreError(f"{scheme}: says no source")
        shown = text if scheme == "sqlite" else f"the {'PostgreSQL' if scheme == 'postgres' else 'MySQL'} database"
        return Place(SQL, rest, shown, scheme)
    if "://" in text:
        raise StoreError(f"{scheme}:// is not the beginning of a store's name")
    path = Path(text)
    is_backup = path.is_file() or (not path.exists() and text.endswith(_BACKUP_SUFFIX))
    return _path(BACKUP if is_backup else FILE, text)


def _path(kind: str, text: str) -> Place:
    if not text:
        raise StoreError(
            "a store needs a name: a directory, sqlite:PATH, postgres://…, mysql:SOURCE or a backup's path"
        )
    return Place(kind, text, text)
