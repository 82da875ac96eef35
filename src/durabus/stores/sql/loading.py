"""What is in the tables, whoever wrote them: for the core, and for writing on."""

from collections.abc import Sequence
from typing import Any, Final

from durabus.errors import StoreError
from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import Contents, StoredChannel, StoredSubscription
from durabus.stores.sql.database import Database
from durabus.stores.sql.rows import (
    channel_name,
    client_record,
    decode_sequences,
    ranges,
    server_record,
    subscription_last_sent,
    subscription_record,
)
from durabus.streaming.records import SERVER_KEY, encode_channel_name
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    ChannelState,
    Cursor,
    Recovered,
)
from durabus.wire.varint import DecodeError

__all__ = ["VERSION", "load"]

VERSION: Final = 1
"""The only version of the tables that there ever was."""

Rows = Sequence[Sequence[Any]]


def _number(value: Any) -> int:  # noqa: ANN401 - a column
    """A number out of a column or a sum, 0 for NULL."""
    return int(value) if value is not None else 0


def _bytes(value: Any) -> bytes:  # noqa: ANN401 - a column
    return bytes(value) if value is not None else b""


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


class _Pending:
    """What the rows of SubsPending say of one subscription."""

    def __init__(self) -> None:
        self.sequences: set[int] = set()
        self.last_sent = 0

    def add(self, sequence: int, last_sent: int, pending: bytes | None, acks: bytes | None) -> None:
        """One more row, in the order of their numbers: with a sequence of its own, or with lists."""
        self.last_sent = max(self.last_sent, sequence, last_sent)
        if sequence:
            self.sequences.add(sequence)
        self.sequences.update(decode_sequences(pending))
        self.sequences.difference_update(decode_sequences(acks))


class _Loading:
    """One loading."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.contents = Contents()
        self.recovered = Recovered()
        self._pending: dict[int, _Pending] = {}
        self._channel_id_dead = 0
        self._subscription_id_dead = 0
        self._deepest_sent: dict[int, int] = {}  # channel: the highest position of a subscription

    async def load(self) -> None:
        fetch = self._database.fetch
        server = await fetch(sql.LOAD_SERVER)
        self._take_clients(await fetch(sql.LOAD_CLIENTS))
        self._take_channels(await fetch(sql.LOAD_CHANNELS))
        self._take_pending(await fetch(sql.LOAD_PENDING))
        self._take_subscriptions(await fetch(sql.LOAD_SUBSCRIPTIONS))
        self._take_figures(await fetch(sql.LOAD_FIGURES), await fetch(sql.LOAD_UNSWEPT))
        self._take_server(server)

    def _take_server(self, rows: Rows) -> None:
        if not rows:
            return
        identity, proto, version = rows[0]
        if _number(version) != VERSION:
            raise StoreError(f"sql: unsupported version: {_number(version)} (supports [1..{VERSION}])")
        stored = _bytes(proto)
        channels, subscriptions = self.contents.channels, self.contents.subscriptions
        dead_channel = self._channel_id_dead if self._channel_id_dead > max(channels, default=0) else 0
        dead = self._subscription_id_dead
        dead_subscription = dead if dead > max(subscriptions, default=0) else 0
        try:
            value = server_record(stored, dead_channel, dead_subscription)
        except DecodeError as error:
            self.recovered.damage.append(f"sql: the proto of ServerInfo is unreadable: {error}")
            value = stored
        else:
            self._check_identity(_text(identity), value)
        self.contents.server = stored
        self.recovered.state.append((KIND_SERVER, SERVER_KEY, value))

    def _check_identity(self, identity: str, value: bytes) -> None:
        from durabus.streaming.records import decode_server

        cluster_id = decode_server(value).cluster_id
        if channel_name(identity) != cluster_id:
            shown = cluster_id.decode(errors="backslashreplace")
            raise StoreError(f'sql: id "{identity}" in column does not match cluster ID in data "{shown}"')

    def _take_clients(self, rows: Rows) -> None:
        for identity, inbox, proto in rows:
            column = _text(identity)
            key, value = client_record(column, _text(inbox), _bytes(proto))
            self.contents.clients[key] = column
            self.recovered.state.append((KIND_CLIENT, key, value))

    def _take_channels(self, rows: Rows) -> None:
        for number, name, floor, deleted in rows:
            channel_id = _number(number)
            if deleted:
                self.contents.dead_channels.append(channel_id)
                self._channel_id_dead = max(self._channel_id_dead, channel_id)
                continue
            channel = StoredChannel(channel_id, channel_name(_text(name)))
            # What was stored up to there is dead, as the original has it too.
            channel.first = _number(floor) + 1
            self.contents.add_channel(channel)
            self.recovered.state.append((KIND_CHANNEL, b"%d" % channel_id, encode_channel_name(channel.name)))

    def _take_pending(self, rows: Rows) -> None:
        for number, _, sequence, last_sent, pending, acks in rows:
            subscription_id = _number(number)
            entry = self._pending.setdefault(subscription_id, _Pending())
            try:
                entry.add(_number(sequence), _number(last_sent), _bytes(pending), _bytes(acks))
            except ValueError as error:
                self.recovered.damage.append(
                    f"sql: what subscription {subscription_id} has pending is unreadable, it may get messages again: {error}"
                )

    def _take_subscriptions(self, rows: Rows) -> None:
        contents = self.contents
        dead = set(contents.dead_channels)
        for row_number, number, sent, proto, deleted in rows:
            row_id, subscription_id = _number(row_number), _number(number)
            contents.subscription_id_max = max(contents.subscription_id_max, subscription_id)
            if deleted or row_id in dead:
                self._subscription_id_dead = max(self._subscription_id_dead, subscription_id)
                if row_id not in dead:
                    contents.tombstones[subscription_id] = row_id
                self._note_sent(row_id, _number(sent))
                continue
            channel = contents.channels.get(row_id)
            stored = _bytes(proto)
            pending = self._pending.get(subscription_id)
            contents.subscriptions[subscription_id] = StoredSubscription(row_id, pending is not None)
            value = subscription_record(stored, channel.name if channel is not None else b"")
            self.recovered.state.append((KIND_SUBSCRIPTION, b"%d" % subscription_id, value))
            last_sent = _number(sent)
            if pending is not None:
                last_sent = max(last_sent, pending.last_sent)
            if last_sent or pending is not None:
                last_sent = max(last_sent, subscription_last_sent(stored))
                sequences = pending.sequences if pending is not None else ()
                floor = channel.first if channel is not None else 0
                held = ranges(sequence for sequence in sequences if sequence >= floor)
                self.recovered.cursors.append(Cursor(subscription_id, last_sent, held))
            self._note_sent(row_id, max(last_sent, subscription_last_sent(stored)))

    def _note_sent(self, channel_id: int, last_sent: int) -> None:
        self._deepest_sent[channel_id] = max(self._deepest_sent.get(channel_id, 0), last_sent)

    def _take_figures(self, rows: Rows, unswept: Rows) -> None:
        contents = self.contents
        oldest = {_number(number): _number(sequence) for number, sequence in unswept}
        figures = {_number(row[0]): row for row in rows}
        for channel_id, channel in contents.channels.items():
            floor = channel.first - 1
            # The original takes the number of a message that was sent as used, even if no row tells of it any more.
            last = max(floor, self._deepest_sent.get(channel_id, 0))
            row = figures.get(channel_id)
            stored_bytes = 0
            if row is not None:
                count, first, highest, stored_bytes, largest, timestamp_ns, smallest = map(_number, row[1:])
                last = max(last, highest)
                if smallest == 0:
                    channel.has_gaps = True
                    channel.lost_last = highest
                channel.first = first
                channel.body_bytes_max = largest
                channel.last_timestamp_ns = timestamp_ns
                self._note_gaps(channel, count, last)
            else:
                channel.first = last + 1 if last else 0
            channel.last = last
            channel.swept = oldest.get(channel_id) or channel.first
            state = ChannelState(channel_id, channel.first, last, stored_bytes, channel.last_timestamp_ns)
            self.recovered.channels.append(state)

    def _note_gaps(self, channel: StoredChannel, count: int, last: int) -> None:
        absent = last + 1 - channel.first - count
        if absent <= 0:
            return
        channel.has_gaps = True
        name = channel.name.decode(errors="backslashreplace")
        self.recovered.damage.append(
            f'sql: {absent} message(s) of channel "{name}" between {channel.first} and {last} are not in the table '
            "Messages: they are left out"
        )


async def load(database: Database) -> tuple[Contents, Recovered]:
    """What is in the tables of `database`; raises StoreError."""
    loading = _Loading(database)
    await loading.load()
    return loading.contents, loading.recovered
