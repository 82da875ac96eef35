"""Who is to be woken when a transaction has committed: noted while it runs, called when it is over.

A session says when it has committed. A connection by itself does not, but it goes back to its pool afterwards, which is
said. Neither is sure (a process can end in between), so relays look by themselves, too.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from durabus.outbox.targets import Executor

__all__ = ["wake_after_commit"]

_KEY: Final = "durabus.outbox.wakes"


def wake_after_commit(executor: Executor, wake: Callable[[], None]) -> None:
    """Call `wake` when what `executor` does now is committed; perhaps also when it is not."""
    if isinstance(executor, Session):
        if not event.contains(Session, "after_commit", _on_commit):
            event.listen(Session, "after_commit", _on_commit)
    else:
        _listen_to_pool(executor)
    executor.info.setdefault(_KEY, set()).add(wake)


def _listen_to_pool(connection: Connection) -> None:
    pool = connection.engine.pool
    if not event.contains(pool, "checkin", _on_checkin):
        event.listen(pool, "checkin", _on_checkin)


def _on_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a savepoint; nobody else sees it yet
    for wake in session.info.pop(_KEY, ()):
        wake()


def _on_checkin(_connection: object, record: Any) -> None:  # noqa: ANN401 - of the pool
    for wake in record.info.pop(_KEY, ()):
        wake()
