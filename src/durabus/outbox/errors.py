"""What outbox and inbox raise on purpose. What the database says comes as SQLAlchemy raises it."""

from durabus.errors import DurabusError

__all__ = [
    "IdentityError",
    "NotPublishableError",
    "OutboxError",
    "OutboxUsageError",
    "RelayStoppedError",
    "TransactionError",
]


class OutboxError(DurabusError):
    """The root of what is raised here; its text says what happened and what to do."""


class OutboxUsageError(OutboxError, TypeError):
    """The call cannot be right: something that is no session, no connection or no engine."""


class IdentityError(OutboxError, ValueError):
    """An event that has nothing to tell it from every other one of its subject, so that nobody can know it again."""


class NotPublishableError(OutboxError, ValueError):
    """An event that no bus would take: it is not written, and the transaction can go on."""


class TransactionError(OutboxError):
    """A session that is in a transaction already, where one has to begin."""


class RelayStoppedError(OutboxError):
    """The relay has stopped; its cause is in `__cause__`."""
