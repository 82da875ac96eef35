"""Which of several relays publishes: one at a time, so that events keep their order.

Where a database can lock a row and others can step over it, the lock is the lead: it goes when its transaction does,
also when the process is killed. Elsewhere (SQLite) it is a lease: a name and a time in the row.

Two that lead at once would do no harm but publish events twice: each publishes in order, so of every event the first copy is
in order, too.
"""

import uuid
from abc import ABC, abstractmethod
from typing import Final

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from durabus.clock import Clock

__all__ = ["Lead", "Lease", "RowLock", "lead_for"]

_ROW: Final = 1
_STEP_OVER: Final = frozenset(("postgresql", "mysql", "mariadb", "oracle"))
"""The databases that have SKIP LOCKED."""


class Lead(ABC):
    """The lead among the relays of one outbox."""

    is_transaction: bool
    """Whether it holds as long as the transaction in which it was taken does."""

    def __init__(self, table: Table) -> None:
        """`table` is the relay's; its row is made when it is missing."""
        self._table = table
        self._is_there = False

    def make_row(self, connection: Connection) -> None:
        """See to it that there is a row; ends the transaction."""
        if self._is_there:
            return
        if connection.execute(select(self._table.c.id).where(self._table.c.id == _ROW)).first() is None:
            try:
                connection.execute(insert(self._table).values(id=_ROW, owner=None, until_ns=0))
            except IntegrityError:  # somebody else did the same
                connection.rollback()
        connection.commit()
        self._is_there = True

    @abstractmethod
    def take(self, connection: Connection) -> bool:
        """Take it, or keep it; False when another relay has it."""
        raise NotImplementedError

    @abstractmethod
    def release(self, connection: Connection) -> None:
        """Let others have it, with the end of the transaction."""
        raise NotImplementedError


class RowLock(Lead):
    """The lock of the row."""

    is_transaction = True

    def take(self, connection: Connection) -> bool:
        """Lock the row; the lock goes with the transaction."""
        wanted = select(self._table.c.id).where(self._table.c.id == _ROW).with_for_update(skip_locked=True)
        return connection.execute(wanted).first() is not None

    def release(self, connection: Connection) -> None:
        """Nothing: the end of the transaction does it."""


class Lease(Lead):
    """A name and a time in the row, which are of no worth when the time is over."""

    is_transaction = False

    def __init__(self, table: Table, clock: Clock, lease_s: float) -> None:
        """For `lease_s` seconds at a time."""
        super().__init__(table)
        self._clock = clock
        self._lease_ns = int(lease_s * 1e9)
        self._name = str(uuid.uuid4())

    def take(self, connection: Connection) -> bool:
        """Write our name, if it is there already or the time of another one is over."""
        table, now_ns = self._table.c, self._clock.wall_ns()
        is_free = (table.owner == self._name) | (table.until_ns <= now_ns)
        # A clock that was set back must not keep everybody out.
        is_odd = table.until_ns > now_ns + 2 * self._lease_ns
        change = update(self._table).where(table.id == _ROW, is_free | is_odd)
        result = connection.execute(change.values(owner=self._name, until_ns=now_ns + self._lease_ns))
        return result.rowcount == 1

    def release(self, connection: Connection) -> None:
        """Give up the rest of our time."""
        table = self._table.c
        change = update(self._table).where(table.id == _ROW, table.owner == self._name)
        connection.execute(change.values(owner=None, until_ns=0))


def lead_for(dialect_name: str, table: Table, clock: Clock, lease_s: float) -> Lead:
    """What a database of this kind can do."""
    return RowLock(table) if dialect_name in _STEP_OVER else Lease(table, clock, lease_s)
