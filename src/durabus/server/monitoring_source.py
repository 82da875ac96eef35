"""What the server tells monitoring: values out of the broker, the core and the options.

Nothing is counted here that the parts do not count themselves, except what is gone: the broker forgets a connection when
it is closed, so the last ones of those, and the sums over all of them, are kept here.
"""

import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, cast

from durabus.broker.broker import Broker
from durabus.broker.session import SLOW_CONSUMER, ClientSubscription, Session
from durabus.broker.sublist import Subscription
from durabus.broker.transport import Connection
from durabus.clock import Clock
from durabus.config.limits import ChannelLimitRules, ResolvedLimits
from durabus.config.options import Options, TlsOptions
from durabus.errors import StartError
from durabus.monitoring.port import MonitoringError, MonitoringPort
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
from durabus.monitoring.steps import Pace, Steps
from durabus.server.tls import server_tls
from durabus.streaming.channel import Channel
from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.service import StreamingService
from durabus.version import NATS_VERSION

__all__ = ["ClosedConnections", "MonitoringSource", "make_port"]

CLOSED_MAX: Final = 10_000
CLOSED_BYTES_MAX: Final = 32 * 1024 * 1024
CLOSED_INTEREST_MAX: Final = 1000
"""Subscriptions of one closed connection that are remembered; its entry tells how many there were."""
RECORD_BYTES: Final = 1100
INTEREST_BYTES: Final = 250
"""What a record, and a subscription in it, takes without its texts; measured, and rounded up."""

PORT_DEFAULT: Final = 4222
SECOND_NS: Final = 1_000_000_000
CERTIFICATE_ERROR: Final = "error parsing X509 certificate/key pair"

# Why a connection was closed: what the broker notes for the log, and the original's words in `/connz`.
REASONS: Final = {
    SLOW_CONSUMER: "Slow Consumer (Pending Bytes)",
    "Unknown Protocol Operation": "Protocol Violation",
    "Maximum Payload Violation": "Maximum Message Payload Exceeded",
    "maximum control line exceeded": "Maximum Control Line Exceeded",
    "maximum connections exceeded": "Maximum Connections Exceeded",
    "invalid client protocol": "Bad Client Protocol Version",
    "no responders requires headers support": "No Responders Requires Headers",
    "Authorization Violation": "Authentication Failure",
}

OPENSSL_SUITE: Final = re.compile(
    r"(?P<exchange>ECDHE-(?:RSA|ECDSA)-)?"
    r"(?:(?P<cipher>AES(?:128|256))-?(?P<mode>GCM-)?(?P<digest>SHA\d*)|(?P<stream>CHACHA20-POLY1305))\Z"
)


class ClosedConnections:
    """The connections that were closed last, a bounded number and a bounded amount, and the sums over all that ever were."""

    def __init__(self) -> None:
        """None yet."""
        self.in_messages = 0
        self.in_bytes = 0
        self.out_messages = 0
        self.out_bytes = 0
        self._records: OrderedDict[int, tuple[ConnectionState, list[InterestState], int]] = OrderedDict()
        self._bytes = 0

    def add(self, state: ConnectionState, interest: list[InterestState]) -> None:
        """Remember a connection with the subscriptions that ended with it, and forget the oldest ones if need be."""
        self.in_messages += state.in_messages
        self.in_bytes += state.in_bytes
        self.out_messages += state.out_messages
        self.out_bytes += state.out_bytes
        size = RECORD_BYTES + sum(map(len, (state.name, state.lang, state.version, state.user)))
        for one in interest:
            size += INTEREST_BYTES + len(one.subject) + len(one.queue) + len(one.sid)
        self._records[state.client_id] = (state, interest, size)
        self._bytes += size
        while len(self._records) > CLOSED_MAX or self._bytes > CLOSED_BYTES_MAX:
            _, (_, _, freed) = self._records.popitem(last=False)
            self._bytes -= freed

    def numbers(self) -> list[int]:
        """Whose records are there, ascending."""
        return sorted(self._records)

    def state(self, client_id: int) -> ConnectionState | None:
        """The record of a connection, if it is there."""
        record = self._records.get(client_id)
        return record[0] if record is not None else None

    def interest(self, client_id: int) -> list[InterestState]:
        """The subscriptions that ended with a connection."""
        record = self._records.get(client_id)
        return record[1] if record is not None else []


class MonitoringSource(StateSource):
    """One server, seen by monitoring. The server sets `is_serving` and `state`."""

    def __init__(
        self,
        options: Options,
        server_id: str,
        clock: Clock,
        service: StreamingService,
        broker: Broker | None,
    ) -> None:
        """Tell about these; without a `broker`, clients connect to another server, and ours is one without connections."""
        self.is_serving = False
        self.state = "STANDALONE"
        self._http_port = 0
        self._https_port = 0
        self._options = options
        self._server_id = server_id
        self._clock = clock
        self._service = service
        self._broker = broker
        self._limits = ChannelLimitRules(options.limits)
        self._start_time_ns = self._config_load_time_ns = clock.wall_ns()
        self._closed = ClosedConnections()
        if broker is not None:
            broker.on_closed = self._on_closed

    def set_port(self, port: int) -> None:
        """The monitoring port is `port`."""
        if self._options.monitoring.is_secure:
            self._https_port = port
        else:
            self._http_port = port

    def take_over(self, options: Options) -> None:
        """The configuration was read again just now, and the server runs with `options`."""
        self._options = options
        self._config_load_time_ns = self._clock.wall_ns()

    def is_ready(self) -> bool:
        """Whether clients are served."""
        return self.is_serving and not self._service.core.state.failure

    def identity(self) -> Identity:
        """Who answers; a standby belongs to no cluster yet."""
        cluster_id = self._options.streaming.cluster_id if self.state != "FT_STANDBY" else ""
        return Identity(
            cluster_id=cluster_id, server_id=self._server_id, state=self.state, now_ns=self._clock.wall_ns()
        )

    # The streaming half.

    def server(self) -> Steps[ServerState]:
        """The streaming server in numbers."""
        state = self._service.core.state
        messages = stored_bytes = subscriptions = 0
        channels = list(state.channels.values())
        pace = Pace()
        for channel in channels:
            messages += channel.message_count
            stored_bytes += channel.stored_bytes
            subscriptions += channel.subscription_count
            if pace.spent(2 + len(channel.cohorts)):
                yield
        statistics = state.statistics
        return ServerState(
            start_time_ns=self._start_time_ns,
            clients=len(state.clients.by_id),
            subscriptions=subscriptions,
            channels=len(channels),
            total_messages=messages,
            total_bytes=stored_bytes,
            in_messages=statistics.in_messages,
            in_bytes=statistics.in_bytes,
            out_messages=statistics.out_messages,
            out_bytes=statistics.out_bytes,
        )

    def store(self) -> Steps[StoreState]:
        """The store."""
        server = yield from self.server()
        by_name = {name.encode("utf-8", "surrogateescape"): limits for name, limits in self._limits.rules}
        return StoreState(
            kind=self._service.core.state.store.name,
            max_channels=self._options.limits.max_channels,
            limits=limits_state(self._limits.common),
            channel_limits={name: limits_state(by_name[name]) for name in sorted(by_name)},
            total_messages=server.total_messages,
            total_bytes=server.total_bytes,
        )

    def client_ids(self) -> list[bytes]:
        """All registered clients."""
        return list(self._service.core.state.clients.by_id)

    def client(self, client_id: bytes) -> ClientState | None:
        """One client."""
        client = self._service.core.state.clients.by_id.get(client_id)
        if client is None:
            return None
        return ClientState(
            client_id=client_id,
            heartbeat_inbox=client.record.heartbeat_inbox,
            subscriptions=len(client.subscriptions),
        )

    def client_subscriptions(self, client_id: bytes) -> Iterator[tuple[bytes, SubscriptionState]]:
        """The subscriptions of a client."""
        client = self._service.core.state.clients.by_id.get(client_id)
        for holder in list(client.subscriptions.values()) if client is not None else ():
            member = cast(Member, holder)
            yield member.cohort.channel_name, subscription_state(member)

    def channel_names(self) -> list[bytes]:
        """All channels."""
        return list(self._service.core.state.channels)

    def channel(self, name: bytes) -> ChannelState | None:
        """One channel."""
        channel = self._service.core.state.channels.get(name)
        if channel is None:
            return None
        return ChannelState(
            name=name,
            messages=channel.message_count,
            stored_bytes=channel.stored_bytes,
            first_sequence=channel.first,
            last_sequence=channel.last,
            subscriptions=channel.subscription_count,
        )

    def channel_subscriptions(self, name: bytes) -> Iterator[SubscriptionState]:
        """The subscriptions of a channel."""
        channel = self._service.core.state.channels.get(name)
        return map(subscription_state, in_order(channel) if channel is not None else ())

    # The broker.

    def listening(self) -> Listening:
        """Where the broker listens."""
        everything = self._options
        options, tls = everything.broker, everything.tls
        info = self._broker.settings.info if self._broker is not None else None
        return Listening(
            server_id=self._server_id,
            server_name=info.server_name if info is not None else self._server_id,
            version=NATS_VERSION,
            protocol=info.proto if info is not None else 1,
            host=options.host,
            port=self._broker.settings.port if self._broker is not None else PORT_DEFAULT,
            auth_required=everything.auth.is_required,
            tls_required=tls.enabled and not tls.allow_plain,
            tls_verify=tls.enabled and tls.verify,
            max_connections=options.max_connections,
            max_subscriptions=options.max_subscriptions,
            ping_interval_ns=options.ping_interval_ns,
            ping_max=options.ping_max,
            monitor_host=everything.monitoring.host or options.host,
            http_port=self._http_port,
            https_port=self._https_port,
            auth_timeout_s=everything.auth_timeout_ns / SECOND_NS,
            max_control_line=options.max_control_line_bytes,
            max_payload=options.max_payload_bytes,
            max_pending=options.max_pending_bytes,
            tls_timeout_s=tls.timeout_ns / SECOND_NS,
            write_deadline_ns=options.write_deadline_ns,
            start_time_ns=self._start_time_ns,
            config_load_time_ns=self._config_load_time_ns,
            tags=options.tags,
        )

    def broker(self) -> Steps[BrokerState]:
        """The broker in numbers: those of the connections that there are, and of all that there were."""
        broker = self._broker
        sessions = list(broker.connections.values()) if broker is not None else []
        closed = self._closed
        in_messages, in_bytes = closed.in_messages, closed.in_bytes
        out_messages, out_bytes = closed.out_messages, closed.out_bytes
        pace = Pace()
        for session in sessions:
            in_messages += session.in_messages
            in_bytes += session.in_bytes
            out_messages += session.out_messages
            out_bytes += session.out_payload_bytes
            if pace.spent(1):
                yield
        return BrokerState(
            connections=len(sessions),
            total_connections=broker.connections_total if broker is not None else 0,
            in_messages=in_messages,
            out_messages=out_messages,
            in_bytes=in_bytes,
            out_bytes=out_bytes,
            slow_consumers=broker.slow_consumers_total if broker is not None else 0,
            subscriptions=broker.router.sublist.count if broker is not None else 0,
        )

    def open_connections(self) -> list[int]:
        """The numbers of the open connections."""
        return list(self._broker.by_client_id) if self._broker is not None else []

    def closed_connections(self) -> list[int]:
        """The numbers of the closed connections that are remembered."""
        return self._closed.numbers()

    def connection(self, client_id: int) -> ConnectionState | None:
        """One connection."""
        connection = self._open_connection(client_id)
        if connection is None or connection.session is None:
            return self._closed.state(client_id)
        return connection_state(connection, connection.session, 0, "")

    def _open_connection(self, client_id: int) -> Connection | None:
        return self._broker.by_client_id.get(client_id) if self._broker is not None else None

    def connection_interest(self, client_id: int) -> Iterator[InterestState]:
        """The subscriptions of a connection."""
        connection = self._open_connection(client_id)
        if connection is None or connection.session is None:
            return iter(self._closed.interest(client_id))
        return map(interest_state, list(connection.session.subscriptions.values()))

    def subjects(self) -> SubjectsState:
        """The register of subscriptions."""
        if self._broker is None:
            return SubjectsState(
                subscriptions=0, cached=0, inserts=0, removes=0, matches=0, hits=0, max_fanout=0, total_fanout=0
            )
        sublist = self._broker.router.sublist
        fanouts = sublist.fanouts()
        return SubjectsState(
            subscriptions=sublist.count,
            cached=len(fanouts),
            inserts=sublist.inserted_count,
            removes=sublist.removed_count,
            matches=sublist.hit_count + sublist.miss_count,
            hits=sublist.hit_count,
            max_fanout=max(fanouts, default=0),
            total_fanout=sum(fanouts),
        )

    def interest(self) -> Iterator[InterestState]:
        """All subscriptions of the broker."""
        if self._broker is None:
            return
        for receiver in self._broker.router.receivers():
            yield interest_state(receiver)
        for session in list(self._broker.connections.values()):
            for subscription in list(session.subscriptions.values()):
                yield interest_state(subscription)

    def interest_in(self, subject: bytes) -> Iterator[InterestState]:
        """The subscriptions that get what is published on `subject`."""
        if self._broker is None:
            return
        match = self._broker.router.sublist.match(subject)
        for members in (match.plain, *match.groups):
            yield from map(interest_state, list(members))

    def _on_closed(self, connection: Connection, session: Session, reason: str) -> None:
        now_ns = self._clock.wall_ns()
        ended = session.ended_subscriptions[:CLOSED_INTEREST_MAX]
        state = connection_state(connection, session, now_ns, closing_reason(reason))
        self._closed.add(state, [interest_state(subscription) for subscription in ended])


def make_port(options: Options, source: MonitoringSource, report_error: Callable[[str], None]) -> MonitoringPort | None:
    """The port that the options ask for, not open yet; raises MonitoringError when the certificate is none."""
    monitoring = options.monitoring
    if monitoring.listen_port is None:
        return None
    return MonitoringPort(
        monitoring.host or options.broker.host,
        monitoring.listen_port,
        source,
        report_error,
        tls=monitoring_tls(options.tls) if monitoring.is_secure else None,
        base_path=monitoring.base_path,
    )


def monitoring_tls(options: TlsOptions) -> ssl.SSLContext:
    """TLS with the broker's certificate; nobody is asked for one of his own here, as in the original."""
    try:
        return server_tls(options, asks_client=False)
    except StartError as error:
        raise MonitoringError(f"{CERTIFICATE_ERROR}: {error}") from None


def limits_state(limits: ResolvedLimits) -> LimitsState:
    """The limits of a channel."""
    return LimitsState(
        max_messages=limits.max_messages,
        max_bytes=limits.max_bytes,
        max_age_ns=limits.max_age_ns,
        max_subscriptions=limits.max_subscriptions,
        max_inactivity_ns=limits.max_inactivity_ns,
    )


def in_order(channel: Channel) -> Iterator[Member]:
    """The members of a channel in the original's order: who is there, offline durables, then group by group."""
    cohorts = list(channel.cohorts)
    for cohort in cohorts:
        if not cohort.is_queue:
            yield from list(cohort.members)
    for cohort in cohorts:
        if not cohort.is_queue and cohort.shadow is not None:
            yield cohort.shadow
    for cohort in cohorts:
        if cohort.is_queue:
            yield from list(cohort.everybody())


def subscription_state(member: Member) -> SubscriptionState:
    """A subscription."""
    record = member.record
    return SubscriptionState(
        client_id=record.client_id,
        inbox=member.inbox,
        ack_inbox=record.ack_inbox,
        durable_name=record.durable_name,
        queue_name=record.queue_group,
        is_durable=record.is_durable,
        is_offline=member.client is None,
        max_in_flight=member.max_in_flight,
        ack_wait_s=record.ack_wait_s,
        last_sent=last_sent(member.cohort, member),
        pending=member.pending,
        is_stalled=member.is_stalled(),
    )


def last_sent(cohort: Cohort, member: Member) -> int:
    """The last message that went to a member; before the first one, where its group stood when it joined."""
    if not cohort.is_queue or not cohort.members:
        return cohort.last_sent
    return max((flight.last for flight in list(member.flights)), default=member.record.last_sent)


def connection_state(connection: Connection, session: Session, stop_ns: int, reason: str) -> ConnectionState:
    """A connection; `stop_ns` is 0 while it is open."""
    since_start_ns = max(session.last_used_ns, connection.last_messages_ns) - session.start_ns
    tls_version, tls_cipher_suite = tls_names(connection)
    return ConnectionState(
        client_id=session.client_id,
        ip=session.address,
        port=connection.peer_port,
        start_ns=connection.start_wall_ns,
        last_activity_ns=connection.start_wall_ns + max(0, since_start_ns),
        stop_ns=stop_ns,
        reason=reason,
        round_trip_ns=session.round_trip_ns,
        pending_bytes=session.pending_bytes() if not stop_ns else 0,
        in_messages=session.in_messages,
        out_messages=session.out_messages,
        in_bytes=session.in_bytes,
        out_bytes=session.out_payload_bytes,
        subscriptions=len(session.ended_subscriptions if session.is_closed else session.subscriptions),
        name=session.name,
        lang=session.lang,
        version=session.version,
        user=session.user,
        tls_version=tls_version,
        tls_cipher_suite=tls_cipher_suite,
    )


def tls_names(connection: Connection) -> tuple[str, str]:
    """Version and cipher suite of a connection with TLS, as Go names them; empty without."""
    cipher = connection.transport.get_extra_info("cipher") if connection.transport is not None else None
    if not cipher:
        return "", ""
    name, version, _ = cipher
    return version.removeprefix("TLSv"), suite_name(name)


def suite_name(name: str) -> str:
    """The registered name of a cipher suite that OpenSSL has a name of its own for."""
    match = OPENSSL_SUITE.match(name)
    if match is None:
        return name
    exchange = "TLS_" + (match["exchange"] or "RSA-").replace("-", "_") + "WITH_"
    if match["stream"]:
        return f"{exchange}CHACHA20_POLY1305_SHA256"
    cipher = match["cipher"].replace("AES", "AES_")
    return f"{exchange}{cipher}_{'GCM' if match['mode'] else 'CBC'}_{match['digest']}"


def interest_state(subscription: Subscription) -> InterestState:
    """A subscription of the broker; those of the server itself belong to connection 0."""
    client_id = max_messages = 0
    if isinstance(subscription, ClientSubscription):
        client_id, max_messages = subscription.session.client_id, subscription.delivered_count_max
    return InterestState(
        subject=subscription.subject,
        queue=subscription.queue,
        sid=subscription.sid,
        messages=subscription.delivered_count,
        max_messages=max_messages,
        client_id=client_id,
    )


def closing_reason(reason: str) -> str:
    """Why a connection was closed, in the original's words: without what is for the log only."""
    short = reason.partition(": ")[0]
    return REASONS.get(short, short)
