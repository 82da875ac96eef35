"""Outbox and inbox for services with a SQL database: events in the service's own transactions. Needs `durabus[outbox]`.

With asyncio or without: every call takes the sessions and connections of both. `Relay` is for asyncio;
`durabus.outbox.sync.Relay` is for programs without.
"""

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ImportError as error:
    raise ImportError(
        "durabus.outbox needs SQLAlchemy; install durabus[outbox], and the driver of the database"
    ) from error

from durabus.outbox.errors import (
    IdentityError,
    NotPublishableError,
    OutboxError,
    OutboxUsageError,
    RelayStoppedError,
    TransactionError,
)
from durabus.outbox.inbox import Inbox
from durabus.outbox.outbox import Outbox, OutboxState, SetAside
from durabus.outbox.relay import Relay
from durabus.outbox.tables import inbox_table, outbox_tables

__all__ = [
    "IdentityError",
    "Inbox",
    "NotPublishableError",
    "Outbox",
    "OutboxError",
    "OutboxState",
    "OutboxUsageError",
    "Relay",
    "RelayStoppedError",
    "SetAside",
    "TransactionError",
    "inbox_table",
    "outbox_tables",
]
