"""What a driver does for the store: connections, one transaction per batch, and telling failures apart.

A driver keeps one connection for writing, which holds the right to be the only server of the database, and some for
everything else. It never repeats anything by itself: whether that is right, only the store knows.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from durabus.errors import StoreError
from durabus.stores.sql.plan import Changes, Row
from durabus.stores.sql.schema import Dialect

__all__ = [
    "LOADING_S",
    "LOST_LOCK",
    "NO_ANSWER_S",
    "READERS_MAX",
    "ConnectionLostError",
    "Database",
    "WriteFailedError",
    "shown",
]

LOST_LOCK: Final = "lost store lock, aborting"
"""The original's words, with which its process ends."""
NO_ANSWER_S: Final = 30.0
"""How long the database may take for one transaction or question when the source sets no time of its own."""
LOADING_S: Final = 3600.0
"""The same for questions that go through whole tables."""
READERS_MAX: Final = 4
"""Connections for reading when their number is not limited."""

# "password authentication failed" and "(using password: YES)" are what databases say, and no secrets.
_SECRET: Final = re.compile(r"(?i)((?:password|passwd|pwd)\s*[=:]\s*(?!(?:yes|no)\b)|identified by\s+)('[^']*'|\S+)")


class ConnectionLostError(StoreError):
    """The database cannot be reached, or does not answer: the same may work later."""


class WriteFailedError(StoreError):
    """A transaction failed; `outcome` is REFUSED, UNKNOWN or FATAL of the store port.

    `is_answer` says that the database itself said so, and not that it could not be reached.
    """

    def __init__(self, outcome: int, text: str, is_answer: bool = False) -> None:
        """Keep all three."""
        super().__init__(text)
        self.outcome = outcome
        self.is_answer = is_answer


def shown(error: BaseException | str, secret: str = "") -> str:
    """An error as one line without secrets."""
    text = str(error) or type(error).__name__
    if secret:
        text = text.replace(secret, "***")
    return " ".join(_SECRET.sub(r"\1***", text).split())


class Database:
    """One database and the connections to it. All methods are for the event loop's thread.

    Known when it is open: `message_bytes_max`, what a value may be at most; `weakness`, why a commit is worth less than it
    should be, in words, empty when it is not.
    """

    dialect: Dialect
    message_bytes_max = 0
    weakness = ""

    async def open(self, exclusive: bool) -> None:
        """Connect anew, after ending what may be left of the connections before: nothing of theirs is under way afterwards.

        When `exclusive`, be the only server of this database from now on. Raises StoreError: ConnectionLostError when the
        database cannot be reached.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    async def open_snapshot(self) -> None:
        """Connect for reading only: until `close`, `fetch` answers by what was committed now, whoever is at work meanwhile.

        Nothing is made that is missing. Raises StoreError.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    async def transact(self, changes: Changes, owner: str) -> None:
        """Make `changes` in one transaction, if `owner` (unless it is empty) has the lock row: raises WriteFailedError."""
        raise NotImplementedError  # pragma: no cover - abstract

    async def fetch(self, statement: str, arguments: Row = ()) -> Sequence[Sequence[Any]]:
        """The rows of a question, by what was committed up to now; raises StoreError."""
        raise NotImplementedError  # pragma: no cover - abstract

    async def execute(self, statement: str, arguments: Row = ()) -> int:
        """Change something on the side, as a transaction of its own; how many rows it was. Raises StoreError."""
        raise NotImplementedError  # pragma: no cover - abstract

    async def close(self) -> None:
        """Close all connections. Twice is once."""
        raise NotImplementedError  # pragma: no cover - abstract
