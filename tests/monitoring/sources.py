"""State sources for the tests of monitoring: what a server would tell, as a test sets it up."""

import dataclasses
from collections.abc import Iterator, Sequence

from durabus.monitoring.endpoints import Site
from durabus.monitoring.replies import Reply
from durabus.monitoring.state import (
    BrokerState,
    ChannelState,
    ClientState,
    ConnectionState,
    Identity,
    InterestState,
    LimitsState,
    Listening,
    ServerState,
    StateSource,
    StoreState,
    SubjectsState,
    SubscriptionState,
)
from durabus.monitoring.steps import Steps, finish

__all__ = [
    "CONNECTION",
    "IDENTITY",
    "INTEREST",
    "LIMITS",
    "LISTENING",
    "NOW_NS",
    "START_NS",
    "STATE",
    "SUBSCRIPTION",
    "BrokenSource",
    "FixedSource",
    "ask",
]

# The numbers of samples that the original printed.
START_NS = 1795432409_634413132
NOW_NS = 1795432486_931757337

IDENTITY = Identity(cluster_id="test-cluster", server_id="id8fA952MoCAvT7xE3Qr8N", now_ns=NOW_NS)
STATE = ServerState(
    start_time_ns=START_NS,
    clients=2,
    subscriptions=8,
    channels=6,
    total_messages=21,
    total_bytes=1320,
    in_messages=35,
    in_bytes=1103,
    out_messages=91,
    out_bytes=2171,
)
LIMITS = LimitsState(
    max_messages=1_000_000, max_bytes=1_024_000_000, max_age_ns=0, max_subscriptions=1000, max_inactivity_ns=0
)
SUBSCRIPTION = SubscriptionState(
    client_id=b"mon-a2",
    inbox=b"_INBOX.hy5GfNRIecHPXQVECP8UUW",
    ack_inbox=b"_INBOX.id8fA952MoCAvT7xE3QrXD",
    durable_name=b"",
    queue_name=b"",
    is_durable=False,
    is_offline=False,
    max_in_flight=1024,
    ack_wait_s=30,
    last_sent=17,
    pending=17,
    is_stalled=False,
)
LISTENING = Listening(
    server_id="id8fA952MoCAvT7xE3Qr8N",
    server_name="bus",
    version="2.9.10",
    protocol=1,
    host="127.0.0.1",
    port=24222,
    max_connections=65536,
    ping_interval_ns=120_000_000_000,
    ping_max=2,
    monitor_host="127.0.0.1",
    http_port=28222,
    https_port=0,
    max_control_line=4096,
    max_payload=1048576,
    max_pending=67108864,
    write_deadline_ns=10_000_000_000,
    start_time_ns=START_NS,
    config_load_time_ns=START_NS,
)
INTEREST = InterestState(subject=b"foo.>", queue=b"", sid=b"7", messages=1, max_messages=0, client_id=5)
CONNECTION = ConnectionState(
    client_id=5,
    ip="127.0.0.1",
    port=44236,
    start_ns=START_NS,
    last_activity_ns=NOW_NS - 938_000_000,
    round_trip_ns=239_417,
    pending_bytes=0,
    in_messages=25,
    out_messages=94,
    in_bytes=2103,
    out_bytes=1935,
    subscriptions=0,
    name="",
    lang="",
    version="",
)
NOTHING = SubjectsState(
    subscriptions=0, cached=0, inserts=0, removes=0, matches=0, hits=0, max_fanout=0, total_fanout=0
)


class FixedSource(StateSource):
    """Answers with what a test puts in."""

    def __init__(self, *, ready: bool = True) -> None:
        self.ready = ready
        self.shown = IDENTITY
        self.state = STATE
        self.limits: dict[bytes, LimitsState] = {}
        self.clients: dict[bytes, list[tuple[bytes, SubscriptionState]]] = {}
        self.channels: dict[bytes, tuple[ChannelState, list[SubscriptionState]]] = {}
        self.where = LISTENING
        self.connected = BrokerState(
            connections=4,
            total_connections=6,
            in_messages=252,
            out_messages=234,
            in_bytes=6861,
            out_bytes=6801,
            slow_consumers=0,
            subscriptions=51,
        )
        self.connections: dict[int, tuple[ConnectionState, list[InterestState]]] = {}
        self.registered = NOTHING
        self.listeners: list[InterestState] = []
        self.asked_for: list[bytes] = []

    def add_channel(self, name: bytes, messages: int = 0, subscriptions: Sequence[SubscriptionState] = ()) -> None:
        """A channel with so many messages."""
        state = ChannelState(
            name=name,
            messages=messages,
            stored_bytes=10 * messages,
            first_sequence=min(messages, 1),
            last_sequence=messages,
            subscriptions=len(subscriptions),
        )
        self.channels[name] = (state, list(subscriptions))

    def connect(self, client_id: int, *interest: InterestState, **changes: int | str) -> None:
        """A connection that differs in `changes` from the usual one; with `stop_ns` it is closed."""
        given = {"client_id": client_id, "subscriptions": len(interest), **changes}
        state = dataclasses.replace(CONNECTION, **given)  # type: ignore[arg-type]  # names of its fields
        self.connections[client_id] = (state, list(interest))

    def is_ready(self) -> bool:
        return self.ready

    def identity(self) -> Identity:
        return self.shown

    def server(self) -> Steps[ServerState]:
        yield
        return self.state

    def store(self) -> Steps[StoreState]:
        yield
        return StoreState(
            kind="FILE",
            max_channels=100,
            limits=LIMITS,
            channel_limits=self.limits,
            total_messages=self.state.total_messages,
            total_bytes=self.state.total_bytes,
        )

    def client_ids(self) -> list[bytes]:
        return list(self.clients)

    def client(self, client_id: bytes) -> ClientState | None:
        if client_id not in self.clients:
            return None
        count = len(self.clients[client_id])
        return ClientState(client_id=client_id, heartbeat_inbox=b"_INBOX." + client_id, subscriptions=count)

    def client_subscriptions(self, client_id: bytes) -> Iterator[tuple[bytes, SubscriptionState]]:
        return iter(self.clients[client_id])

    def channel_names(self) -> list[bytes]:
        return list(self.channels)

    def channel(self, name: bytes) -> ChannelState | None:
        return self.channels[name][0] if name in self.channels else None

    def channel_subscriptions(self, name: bytes) -> Iterator[SubscriptionState]:
        return iter(self.channels[name][1])

    def listening(self) -> Listening:
        return self.where

    def broker(self) -> Steps[BrokerState]:
        yield
        return self.connected

    def open_connections(self) -> list[int]:
        return [number for number, (state, _) in self.connections.items() if not state.stop_ns]

    def closed_connections(self) -> list[int]:
        return [number for number, (state, _) in self.connections.items() if state.stop_ns]

    def connection(self, client_id: int) -> ConnectionState | None:
        return self.connections[client_id][0] if client_id in self.connections else None

    def connection_interest(self, client_id: int) -> Iterator[InterestState]:
        return iter(self.connections[client_id][1])

    def subjects(self) -> SubjectsState:
        return self.registered

    def interest(self) -> Iterator[InterestState]:
        return iter(self.listeners)

    def interest_in(self, subject: bytes) -> Iterator[InterestState]:
        self.asked_for.append(subject)
        return iter(self.listeners[:1])


class BrokenSource(FixedSource):
    """A server with a bug."""

    def is_ready(self) -> bool:
        raise RuntimeError("a bug\nin two lines")

    def server(self) -> Steps[ServerState]:
        raise KeyError("channel")


def ask(source: StateSource, target: str, base_path: str = "") -> Reply:
    """The reply to a request for a path, perhaps with a query."""
    path, _, query = target.partition("?")
    return finish(Site(source, base_path).answer(path, query.encode("utf-8", "surrogateescape")))
