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
    SERVER_KEY,
    SubscriptionRecord,
    decode_channel_name,
    decode_client,
    decode_server,
    decode_subscription,
    encode_channel_name,
    encode_server,
    encode_subscription,
)
from durabus.streaming.recovered_pending import RecoveredPending
from durabus.streaming.retention import Retention
from durabus.streaming.state import State, text
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    ChannelState,
    Cursor,
    Recovered,
)
from durabus.streaming.window import Flight
from durabus.wire.varint import DecodeError

__all__ = ["Recovery", "is_unfinished_copy"]


def is_unfinished_copy(recovered: Recovered) -> bool:
    """Whether a store has channels and nobody's name: a copy ends with that. Where something is damaged, it may be lost."""
    kinds = {kind for kind, _, _ in recovered.state}
    return KIND_CHANNEL in kinds and KIND_SERVER not in kinds and not recovered.damage


class Recovery:
    """Rebuilds the state of a core that knows nothing yet, or nothing any more."""

    def __init__(
        self,
        state: State,
        delivery: Delivery,
        pending: RecoveredPending,
        heartbeats: Heartbeats,
        retention: Retention,
    ) -> None:
        """Work on `state`."""
        self._state = state
        self._delivery = delivery
        self._pending = pending
        self._heartbeats = heartbeats
        self._retention = retention
        self._is_exact: dict[Cohort, bool] = {}  # whether a cohort's position is that of a cursor
        self.knows_all_acks = False  # whether the store knew of every acknowledgement
        self.is_identified = True  # unless there is a record of a server that cannot be read

    def restore(self, recovered: Recovered) -> None:
        """Take over everything in `recovered`; raises StartError when it belongs to another cluster."""
        state = self._state
        clients: list[bytes] = []
        channels: list[tuple[bytes, bytes]] = []
        subscriptions: list[tuple[bytes, bytes]] = []
        is_known = False
        for kind, key, value in recovered.state:
            if kind == KIND_SERVER:
                self._restore_server(value)
                is_known = True
            elif kind == KIND_CLIENT:
                clients.append(value)
            elif kind == KIND_CHANNEL:
                channels.append((key, value))
            elif kind == KIND_SUBSCRIPTION:
                subscriptions.append((key, value))
        if not is_known:
            state.batch.state.append((KIND_SERVER, SERVER_KEY, encode_server(state.options.cluster_id)))
        self._restore_channels(channels, recovered)
        self._restore_clients(clients)
        cursors = {cursor.subscription_id: cursor for cursor in recovered.cursors}
        # Also those whose record was lost: nobody else may get the number, and the position with it.
        state.subscription_id_last = max([state.subscription_id_last, *cursors])
        for key, value in subscriptions:
            self._restore_subscription(_number(key), value, cursors)
        for channel in list(state.channels.values()):
            self._retention.begin(channel)
            for cohort in channel.cohorts:
                self._drop_shadow(cohort)
                for member in list(cohort.members):
                    self._delivery.activate(member)
                    self._delivery.start(member)
                for member in list(cohort.members):
                    self._pending.begin(cohort, member)

    def _restore_server(self, value: bytes) -> None:
        state = self._state
        try:
            found = decode_server(value)
        except DecodeError as error:
            state.log.error(f"the server's record is unreadable, it is left alone: {error}")
            self.is_identified = False
            return
        if found.cluster_id != state.options.cluster_id:
            raise StartError(
                f'cluster ID "{text(state.options.cluster_id)}" does not match recovered value of '
                f'"{text(found.cluster_id)}"'
            )
        state.channel_id_last = found.channel_id_last
        state.subscription_id_last = found.subscription_id_last
        self.knows_all_acks = found.knows_all_acks

    def _restore_channels(self, channels: list[tuple[bytes, bytes]], recovered: Recovered) -> None:
        state = self._state
        recorded: set[int] = set()
        for key, value in channels:
            channel_id = _number(key)
            recorded.add(channel_id)
            state.channel_id_last = max(state.channel_id_last, channel_id)
            try:
                name = decode_channel_name(value)
            except DecodeError as error:
                state.log.error(f"channel record {text(key)} is unreadable, it is left alone: {error}")
                continue
            if channel_id == 0 or name in state.channels:
                state.log.error(f"channel record {text(key)} cannot be used, it is left alone")
                continue
            state.adopt_channel(channel_id, name)
        for figures in recovered.channels:
            channel = state.channels_by_id.get(figures.channel_id)
            if channel is None and figures.channel_id not in recorded:
                channel = self._restore_nameless(figures)
            if channel is not None:
                channel.first = figures.first_sequence
                channel.last = figures.last_sequence
                channel.durable_last = figures.last_sequence
                channel.stored_bytes = figures.stored_bytes
                channel.last_timestamp_ns = figures.last_timestamp_ns

    def _restore_nameless(self, figures: ChannelState) -> Channel | None:
        """A channel whose record was damaged and whose messages are there: with a name of its own they can be reached."""
        state = self._state
        state.channel_id_last = max(state.channel_id_last, figures.channel_id)
        name = b"lost-channel-%d" % figures.channel_id
        if figures.first_sequence > figures.last_sequence or name in state.channels:
            return None
        state.batch.state.append((KIND_CHANNEL, b"%d" % figures.channel_id, encode_channel_name(name)))
        state.log.error(
            f"the record of channel {figures.channel_id} is lost: its messages {figures.first_sequence} to "
            f'{figures.last_sequence} are in channel "{text(name)}" now'
        )
        return state.adopt_channel(figures.channel_id, name)

    def _restore_clients(self, clients: list[bytes]) -> None:
        for value in clients:
            try:
                record = decode_client(value)
            except DecodeError as error:
                self._state.log.error(f"a client record is unreadable, it is left alone: {error}")
                continue
            client = Client(record, self._heartbeats)
            client.was_seen = True  # by the server before: until its socket is there again, it is away
            self._state.clients.add(client)
            self._heartbeats.begin(client)

    def _restore_subscription(self, number: int, value: bytes, cursors: dict[int, Cursor]) -> None:
        state = self._state
        state.subscription_id_last = max(state.subscription_id_last, number)
        try:
            record = decode_subscription(value)
        except DecodeError as error:
            state.log.error(f"subscription record {number} is unreadable, it is left alone: {error}")
            return
        channel = state.channels.get(record.channel)
        if channel is None or record.subscription_id != number:
            state.log.error(
                f"subscription record {number} cannot be used, it is left alone: that of client "
                f'"{text(record.client_id)}" in channel "{text(record.channel)}"'
            )
            return
        client = state.clients.by_id.get(record.client_id) if not record.is_closed else None
        if client is None and not record.is_durable:
            # Its client is gone, and nothing of it was to stay.
            self._delete(number)
            return
        cohort = self._cohort(channel, record)
        member = Member(cohort, record, client, self._delivery)
        member.inbox_seen = True
        if client is not None:
            client.subscriptions[number] = member
            cohort.members.append(member)
        elif cohort.shadow is None:
            cohort.shadow = member
            if not record.is_closed:
                # Should its client come back without resuming it, it must not count as online after the next start.
                record.is_closed = True
                state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % number, encode_subscription(record)))
        else:
            state.log.warning(f"subscription {number} of a group has no client any more: removed")
            self._delete(number)
            member = cohort.shadow  # takes over what this one held
        self._restore_position(channel, cohort, member, record, cursors.get(number))

    def _delete(self, number: int) -> None:
        self._state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % number, None))

    def _cohort(self, channel: Channel, record: SubscriptionRecord) -> Cohort:
        key = cohort_key(record)
        known = channel.by_key.get(key) if key else None
        if known is not None:
            return known
        cohort = Cohort(channel.channel_id, channel.name, key, bool(record.queue_group), record.is_durable)
        cohort.acks_may_be_lost = not self.knows_all_acks
        channel.cohorts.append(cohort)
        if key:
            channel.by_key[key] = cohort
        return cohort

    def _drop_shadow(self, cohort: Cohort) -> None:
        """A group that has members needs no shadow: the first one takes over what it held."""
        shadow = cohort.shadow
        if shadow is None or not cohort.members:
            return
        member = cohort.members[0]
        for flight in shadow.flights:
            flight.holder = member
            member.add_flight(flight)
        member.pending += shadow.pending
        cohort.shadow = None
        self._state.log.warning(f"subscription {shadow.subscription_id} of a group has no client any more: removed")
        self._delete(shadow.subscription_id)
        self._state.batch.cursors.extend(cohort.cursors())

    def _restore_position(
        self, channel: Channel, cohort: Cohort, member: Member, record: SubscriptionRecord, cursor: Cursor | None
    ) -> None:
        """Find out where `cohort` stands, from what is known of one of its subscriptions.

        All cursors of a cohort are stored together. A subscription without one is younger than those that have one, and
        knows nothing better; where none has one, the oldest record is the one that leaves nothing out.
        """
        last_sent: i64 = record.last_sent if cursor is None else cursor.last_sent
        is_exact = self._is_exact.get(cohort)
        if cursor is not None and is_exact:
            last_sent = max(last_sent, cohort.last_sent)
        elif cursor is None and is_exact:
            last_sent = cohort.last_sent
        elif cursor is None and is_exact is not None:
            last_sent = min(last_sent, cohort.last_sent)
        self._is_exact[cohort] = cursor is not None or bool(is_exact)
        # A position may be ahead of the messages only if those were lost with a store that cannot keep them.
        cohort.last_sent = min(last_sent, channel.last)
        if cursor is None or not cursor.pending:
            return
        flight = Flight(member, cursor.pending[0][0], self._state.now_ns)
        member.add_flight(flight)
        for first, last in cursor.pending:
            for sequence in range(max(first, int(channel.first)), min(last, int(channel.last)) + 1):
                if cohort.window.at(sequence) is None:
                    cohort.window.put(sequence, flight)


def _number(key: bytes) -> int:
    """The number in the key of a record; 0 when there is none."""
    return int(key) if key.isdigit() and len(key) < 20 else 0
