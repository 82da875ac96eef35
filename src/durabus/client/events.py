"""What happens to a bus while it works, for `connect(..., on_event=...)`; each is a line in the log as well."""

from dataclasses import dataclass

from durabus.errors import DurabusError

__all__ = ["BusEvent", "Connected", "Disconnected", "Stopped", "StoreReset"]


@dataclass(frozen=True, slots=True)
class BusEvent:
    """Anything that happens; its text is for people."""

    def __str__(self) -> str:
        """One line."""
        raise NotImplementedError  # pragma: no cover - abstract


@dataclass(frozen=True, slots=True)
class Connected(BusEvent):
    """There is a session: the first one, or (`is_again`) a new one with all subscriptions in it.

    `was_known` is False when the server did not know the client any more: its store does not outlive it, or the client
    was away for too long.
    """

    server: str
    is_again: bool
    was_known: bool

    def __str__(self) -> str:
        """One line."""
        if not self.is_again:
            return f"connected to {self.server}"
        return (
            f"connected again to {self.server}{'' if self.was_known else ', which did not know this client any more'}"
        )


@dataclass(frozen=True, slots=True)
class Disconnected(BusEvent):
    """The session is lost; a new one is being made. `reason` says why."""

    reason: str

    def __str__(self) -> str:
        """One line."""
        return f"disconnected: {self.reason}"


@dataclass(frozen=True, slots=True)
class StoreReset(BusEvent):
    """The server came back without what it had: the sequences of `channel` begin anew.

    `last_sequence` is the last one that came before. The subscription goes on with the first message of the new store.
    """

    channel: str
    last_sequence: int

    def __str__(self) -> str:
        """One line."""
        return (
            f"the server has lost what it had stored: channel {self.channel!r} begins anew,"
            f" its last message here was {self.last_sequence}"
        )


@dataclass(frozen=True, slots=True)
class Stopped(BusEvent):
    """The bus has stopped for good, because of `error`."""

    error: DurabusError

    def __str__(self) -> str:
        """One line."""
        return f"stopped: {self.error}"
