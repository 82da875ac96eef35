"""What monitoring asks of the server: a port that the server implements, and the values that it answers with.

Names and subjects are bytes, as they came; texts that are no names are `str`. `_ns` is nanoseconds: a moment counts from
1970 (UTC). Whatever may be long comes in steps or as an iterator, so that nothing holds up the clients' messages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from durabus.monitoring.steps import Steps

__all__ = [
    "BrokerState",
    "ChannelState",
    "ClientState",
    "ConnectionState",
    "Identity",
    "InterestState",
    "LimitsState",
    "Listening",
    "ServerState",
    "StateSource",
    "StoreState",
    "SubjectsState",
    "SubscriptionState",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answers, and when."""

    cluster_id: str
    server_id: str
    state: str = "STANDALONE"
    """STANDALONE, FT_ACTIVE, FT_STANDBY, FAILED or SHUTDOWN."""
    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The streaming server in numbers, at one moment: what `/streaming/serverz` shows."""

    start_time_ns: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsState:
    """What a channel may keep and admit; 0 is unlimited."""

    max_messages: int
    max_bytes: int
    max_age_ns: int
    max_subscriptions: int
    max_inactivity_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """The store: what `/streaming/storez` shows."""

    kind: str
    """MEMORY, FILE or SQL."""
    max_channels: int
    limits: LimitsState
    channel_limits: Mapping[bytes, LimitsState]
    """Limits of their own, by channel name or pattern, in byte order; what they inherit is filled in."""
    total_messages: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientState:
    """One registered client."""

    client_id: bytes
    heartbeat_inbox: bytes
    subscriptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """One channel."""

    name: bytes
    messages: int
    stored_bytes: int
    first_sequence: int
    last_sequence: int
    subscriptions: int
    """Durables that are offline included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """One subscription of a channel, or what remains of it while its client is away."""

    client_id: bytes
    inbox: bytes
    ack_inbox: bytes
    durable_name: bytes
    queue_name: bytes
    """`durable:group` for a durable queue group."""
    is_durable: bool
    is_offline: bool
    max_in_flight: int
    ack_wait_s: int
    last_sent: int
    pending: int
    is_stalled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the broker listens, and what a connection may do there: what of `/varz` only a reload changes."""

    server_id: str
    server_name: str
    version: str
    protocol: int
    host: str
    port: int
    auth_required: bool = False
    tls_required: bool = False
    tls_verify: bool = False
    max_connections: int
    max_subscriptions: int = 0
    """Of one connection; 0: any number."""
    ping_interval_ns: int
    ping_max: int
    monitor_host: str
    http_port: int
    """0 when monitoring is on HTTPS, or nowhere."""
    https_port: int
    auth_timeout_s: float = 2.0
    max_control_line: int
    max_payload: int
    max_pending: int
    tls_timeout_s: float = 2.0
    write_deadline_ns: int
    start_time_ns: int
    config_load_time_ns: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    """The broker in numbers, at one moment: what of `/varz` changes. Bytes are those of messages, headers included."""

    connections: int
    total_connections: int
    in_messages: int
    out_messages: int
    in_bytes: int
    out_bytes: int
    slow_consumers: int
    subscriptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestState:
    """One subscription of the broker: interest of a connection, or of the server itself (0), in a subject."""

    subject: bytes
    queue: bytes
    sid: bytes
    messages: int
    max_messages: int
    """How many it may get before it ends; 0: no end."""
    client_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionState:
    """One connection of the broker, open or closed."""

    client_id: int
    ip: str
    port: int
    start_ns: int
    last_activity_ns: int
    stop_ns: int = 0
    """0 while it is open."""
    reason: str = ""
    """Why it is closed."""
    round_trip_ns: int
    pending_bytes: int
    in_messages: int
    out_messages: int
    in_bytes: int
    out_bytes: int
    subscriptions: int
    """Of a closed one: those that ended with it."""
    name: str
    lang: str
    version: str
    tls_version: str = ""
    tls_cipher_suite: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectsState:
    """The broker's register of subscriptions and its cache: what `/subsz` shows."""

    subscriptions: int
    cached: int
    inserts: int
    removes: int
    matches: int
    hits: int
    max_fanout: int
    total_fanout: int
    """The sum over all cached subjects."""


class StateSource(Protocol):
    """What the server MUST be able to tell, at any time between its start and its end, without blocking.

    Also while `is_ready` is false, and also when what was listed a moment ago is gone by now. What is returned is a list
    of its own: later changes do not show in it.
    """

    def is_ready(self) -> bool:
        """Whether clients are served: false while starting, recovering, failed or stopping."""
        ...

    def identity(self) -> Identity:
        """Who answers, and what time it is."""
        ...

    def server(self) -> Steps[ServerState]:
        """The streaming server in numbers."""
        ...

    def store(self) -> Steps[StoreState]:
        """The store."""
        ...

    def client_ids(self) -> list[bytes]:
        """All registered clients, in any order."""
        ...

    def client(self, client_id: bytes) -> ClientState | None:
        """One client, None when it is not registered."""
        ...

    def client_subscriptions(self, client_id: bytes) -> Iterator[tuple[bytes, SubscriptionState]]:
        """The subscriptions of a client, each with its channel, in the order of subscribing."""
        ...

    def channel_names(self) -> list[bytes]:
        """All channels, in any order."""
        ...

    def channel(self, name: bytes) -> ChannelState | None:
        """One channel, None when it is not there."""
        ...

    def channel_subscriptions(self, name: bytes) -> Iterator[SubscriptionState]:
        """The subscriptions of a channel: plain ones and durables, durables that are offline, then group by group."""
        ...

    def listening(self) -> Listening:
        """Where the broker listens."""
        ...

    def broker(self) -> Steps[BrokerState]:
        """The broker in numbers."""
        ...

    def open_connections(self) -> list[int]:
        """The numbers of the open connections, ascending."""
        ...

    def closed_connections(self) -> list[int]:
        """The numbers of the closed connections that are remembered, ascending."""
        ...

    def connection(self, client_id: int) -> ConnectionState | None:
        """One connection, open or closed; None when it is not remembered."""
        ...

    def connection_interest(self, client_id: int) -> Iterator[InterestState]:
        """The subscriptions of a connection, in the order of subscribing; of a closed one, those that ended with it."""
        ...

    def subjects(self) -> SubjectsState:
        """The register of subscriptions."""
        ...

    def interest(self) -> Iterator[InterestState]:
        """All subscriptions of the broker: the server's own, then those of connection by connection."""
        ...

    def interest_in(self, subject: bytes) -> Iterator[InterestState]:
        """The subscriptions that get what is published on the literal `subject`."""
        ...
