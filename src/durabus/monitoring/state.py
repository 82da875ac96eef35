"""What monitoring asks of the server: a port that the server implements, and the values that it answers with."""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["ServerState", "StateSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The server in numbers, at one moment: what `/streaming/serverz` shows."""

    cluster_id: str
    server_id: str
    state: str = "STANDALONE"
    """STANDALONE, FT_ACTIVE, FT_STANDBY, FAILED or SHUTDOWN."""
    now_ns: int
    """When this was asked, in nanoseconds since 1970 (UTC)."""
    start_time_ns: int
    """When the server was started, in nanoseconds since 1970 (UTC)."""
    clients: int
    """Registered clients."""
    subscriptions: int
    """Subscriptions, those of durables that are offline included."""
    channels: int
    total_messages: int
    """Messages that all channels keep now."""
    total_bytes: int
    """Bytes of those, as the store counts them."""
    in_messages: int
    """Messages published since the start."""
    in_bytes: int
    """Bytes of the data of those."""
    out_messages: int
    """Messages delivered since the start, redeliveries included."""
    out_bytes: int
    """Bytes of the data of those."""


class StateSource(Protocol):
    """What the server MUST be able to tell, at any time between its start and its end, without blocking."""

    def is_ready(self) -> bool:
        """Whether clients are served: false while starting, recovering, failed or stopping."""
        ...

    def serverz(self) -> ServerState:
        """The server as it is now; MUST also answer while `is_ready` is false."""
        ...
