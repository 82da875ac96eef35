"""From what a store remembers to live objects: after a start, and after a batch that failed (docs/protocol.md §10.6)."""

from mypy_extensions import i64

from durabus.errors import StartError
from durabus.streaming.channel import Channel
from durabus.streaming.clients import Client
from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.delivery import Delivery
from durabus.streaming.handle_subscribe import cohort_key
from durabus.streaming.heartbeats import Heartbeats
from durabus.streaming.records import (
    SubscriptionRecord,
    decode_channel_name,
    decode_client,
    decode_server,
    decode_subscription,
    encode_server,
)
from durabus.streaming.retention import Retention
from durabus.streaming.state import State, text
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Cursor,
    Recovered,
)
from durabus.streaming.window import Flight
from durabus.wire.varint import DecodeError

__all__ = ["Recovery"]

_SERVER_KEY = b"server"


class Recovery:
    """Rebuilds the state of a core that knows nothing yet, or nothing any more."""

    def __init__(self, state: State, delivery: Delivery, heartbeats: Heartbeats, retention: Retention) -> None:
        """Work on `state`."""
        self._state = state
        self._delivery = delivery
        self._heartbeats = heartbeats
        self._retention = retention

    def restore(self, recovered: Recovered) -> None:
        """Take over everything in `recovered`; raises StartError when it belongs to another cluster."""
        clients: list[bytes] = []
        channels: list[tuple[int, bytes]] = []
        subscriptions: list[bytes] = []
        is_known = False
        for kind, key, value in recovered.state:
            if kind == KIND_SERVER:
                self._check_cluster(value)
                is_known = True
            elif kind == KIND_CLIENT:
                clients.append(value)
            elif kind == KIND_CHANNEL:
                channels.append((int(key), value))
            elif kind == KIND_SUBSCRIPTION:
                subscriptions.append(value)
        if not is_known:
            self._state.batch.state.append((KIND_SERVER, _SERVER_KEY, encode_server(self._state.options.cluster_id)))
        self._restore_channels(channels, recovered)
        self._restore_clients(clients)
        cursors = {cursor.subscription_id: cursor for cursor in recovered.cursors}
        for value in subscriptions:
            self._restore_subscription(value, cursors)
        for channel in list(self._state.channels.values()):
            self._retention.begin(channel)
            for cohort in channel.cohorts:
                for member in list(cohort.members):
                    self._delivery.activate(member)
                    self._delivery.start(member)
                for member in list(cohort.members):
                    self._delivery.resend_pending(cohort, member)

    def _check_cluster(self, value: bytes) -> None:
        found = decode_server(value)
        if found != self._state.options.cluster_id:
            raise StartError(
                f'cluster ID "{text(self._state.options.cluster_id)}" does not match recovered value of "{text(found)}"'
            )

    def _restore_channels(self, channels: list[tuple[int, bytes]], recovered: Recovered) -> None:
        state = self._state
        for channel_id, value in channels:
            state.channel_id_last = max(state.channel_id_last, channel_id)
            try:
                name = decode_channel_name(value)
            except DecodeError as error:
                state.log.error(f"channel record {channel_id} is unreadable, it is left alone: {error}")
                continue
            state.adopt_channel(channel_id, name)
        for figures in recovered.channels:
            channel = state.channels_by_id.get(figures.channel_id)
            if channel is not None:
                channel.first = figures.first_sequence
                channel.last = figures.last_sequence
                channel.durable_last = figures.last_sequence
                channel.stored_bytes = figures.stored_bytes
                channel.last_timestamp_ns = figures.last_timestamp_ns

    def _restore_clients(self, clients: list[bytes]) -> None:
        for value in clients:
            try:
                record = decode_client(value)
            except DecodeError as error:
                self._state.log.error(f"a client record is unreadable, it is left alone: {error}")
                continue
            client = Client(record, self._heartbeats)
            self._state.clients.add(client)
            self._heartbeats.begin(client)

    def _restore_subscription(self, value: bytes, cursors: dict[int, Cursor]) -> None:
        state = self._state
        try:
            record = decode_subscription(value)
        except DecodeError as error:
            state.log.error(f"a subscription record is unreadable, it is left alone: {error}")
            return
        state.subscription_id_last = max(state.subscription_id_last, record.subscription_id)
        channel = state.channels.get(record.channel)
        if channel is None:
            return
        client = state.clients.by_id.get(record.client_id) if not record.is_closed else None
        if client is None and not record.is_durable:
            # Its client is gone, and nothing of it was to stay.
            state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % record.subscription_id, None))
            return
        cohort = self._cohort(channel, record)
        member = Member(cohort, record, client, self._delivery)
        if client is not None:
            client.subscriptions[record.subscription_id] = member
            cohort.members.append(member)
        elif cohort.shadow is None and not cohort.members:
            cohort.shadow = member
        else:
            state.log.warning(f"subscription {record.subscription_id} of a group has no client any more: removed")
            state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % record.subscription_id, None))
            return
        if client is not None and cohort.shadow is not None:
            self._drop_shadow(cohort, member)
        self._restore_position(channel, cohort, member, cursors.get(record.subscription_id))

    def _cohort(self, channel: Channel, record: SubscriptionRecord) -> Cohort:
        key = cohort_key(record)
        known = channel.by_key.get(key) if key else None
        if known is not None:
            return known
        cohort = Cohort(channel.channel_id, channel.name, key, bool(record.queue_group), record.is_durable)
        channel.cohorts.append(cohort)
        if key:
            channel.by_key[key] = cohort
        return cohort

    def _drop_shadow(self, cohort: Cohort, member: Member) -> None:
        """A group that has members needs no shadow: its first member takes over what the shadow held."""
        shadow = cohort.shadow
        if shadow is None:
            return
        for flight in shadow.flights:
            flight.holder = member
        member.flights = shadow.flights
        member.pending = shadow.pending
        cohort.shadow = None
        self._state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % shadow.subscription_id, None))

    def _restore_position(self, channel: Channel, cohort: Cohort, member: Member, cursor: Cursor | None) -> None:
        last_sent: i64 = member.record.last_sent if cursor is None else cursor.last_sent
        # A position may be ahead of the messages only if those were lost with a store that cannot keep them.
        last_sent = min(last_sent, channel.last)
        cohort.last_sent = max(cohort.last_sent, last_sent)
        if cursor is None or not cursor.pending:
            return
        flight = Flight(member, cursor.pending[0][0], self._state.now_ns)
        member.add_flight(flight)
        for first, last in cursor.pending:
            for sequence in range(max(first, int(channel.first)), min(last, int(channel.last)) + 1):
                if cohort.window.at(sequence) is None:
                    cohort.window.put(sequence, flight)
        cohort.on_hold = bool(cohort.members)
