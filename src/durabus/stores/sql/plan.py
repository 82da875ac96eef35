"""A batch as statements, by what is known to be in the tables. Pure.

The parts of a batch take effect in the order runs, floors, cursors, state. As statements they are ordered so that every row
exists before it is changed: first what the state deletes, then what it puts, then messages, floors and cursors, without
those of what was deleted. Sequences that are stored are left out, so that applying a batch twice is applying it once.
"""

import itertools

from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import Contents, StoredChannel, StoredSubscription
from durabus.stores.sql.rows import (
    PENDING_PER_ROW,
    channel_column,
    client_columns,
    encode_sequences,
    server_columns,
    subscription_channel,
)
from durabus.streaming.records import decode_channel_name
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Batch,
    Cursor,
    Run,
    gap_text,
)
from durabus.wire.stan_messages import encode_message
from durabus.wire.varint import DecodeError

__all__ = ["Changes", "Messages", "PlanError", "Rules", "apply", "plan"]

Row = tuple[object, ...]


class PlanError(Exception):
    """The batch cannot be stored as it is; the text says why."""


class Rules:
    """What a plan depends on besides the contents: sizes in bytes, formats, subjects for the original."""

    def __init__(self) -> None:
        """The defaults."""
        self.message_bytes_max = 0  # of an encoded message; 0: any
        self.single_rows = False  # one row per pending sequence, as the original writes them without its cache
        self.discover_prefix = b"_STAN.discover"


class Messages:
    """New rows of Messages, as columns."""

    def __init__(self) -> None:
        """None yet."""
        self.channel_ids: list[int] = []
        self.sequences: list[int] = []
        self.timestamps_ns: list[int] = []
        self.bodies: list[bytes] = []


class Changes:
    """What one transaction does: `before`, then the messages, then `after`. Statements stand with their rows."""

    def __init__(self) -> None:
        """Nothing to do."""
        self.before: list[tuple[str, list[Row]]] = []
        self.messages = Messages()
        self.segments: list[tuple[int, int, list[bytes]]] = []  # the same: channel, first sequence, bodies
        self.after: list[tuple[str, list[Row]]] = []
        self.lasts: dict[int, tuple[int, int, int]] = {}  # channel: first new sequence, last one, its timestamp
        self.body_bytes_max: dict[int, int] = {}
        self.lost_lasts: dict[int, int] = {}  # channel: its last message, where that is lost and a row keeps its number
        self.has_lost = False
        self.floors: dict[int, int] = {}
        self.new_clients: dict[bytes, str] = {}
        self.gone_clients: list[bytes] = []
        self.new_channels: list[StoredChannel] = []
        self.gone_channels: list[int] = []
        self.new_subscriptions: dict[int, int] = {}
        self.gone_subscriptions: list[int] = []
        self.gone_tombstones: list[int] = []
        self.new_tombstone = 0
        self.pending_rows: dict[int, bool] = {}
        self.server: bytes | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.before or self.after or self.messages.bodies)


class _State:
    """The net effect of a batch's state entries."""

    def __init__(self, batch: Batch) -> None:
        self.put: dict[tuple[int, bytes], bytes] = {}
        self.gone: dict[tuple[int, bytes], None] = {}  # a set that keeps its order
        for kind, key, value in batch.state:
            if value is None:
                self.put.pop((kind, key), None)
                self.gone[(kind, key)] = None
            else:
                self.put[(kind, key)] = value


def plan(batch: Batch, contents: Contents, rules: Rules) -> Changes:
    """The changes that `batch` asks for; raises PlanError."""
    changes = Changes()
    state = _State(batch)
    gone_channels = {int(key) for kind, key in state.gone if kind == KIND_CHANNEL and key.isdigit()}
    _take_deletions(state, contents, changes)
    _take_server_and_clients(state, contents, rules, changes)
    names = _take_channels(state, contents, gone_channels, changes)
    _take_subscriptions(state, contents, names, changes)
    for run in batch.runs:
        _take_run(run, contents, gone_channels, rules, changes)
    _take_lost_lasts(contents, gone_channels, changes)
    _take_floors(batch, contents, gone_channels, changes)
    _take_cursors(batch, contents, rules, changes)
    return changes


def _take_deletions(state: _State, contents: Contents, changes: Changes) -> None:
    clients: list[Row] = []
    channels: list[Row] = []
    subscriptions: list[Row] = []
    pending: list[Row] = []
    for kind, key in state.gone:
        if kind == KIND_CLIENT and key in contents.clients:
            clients.append((contents.clients[key],))
            changes.gone_clients.append(key)
        elif kind == KIND_CHANNEL and key.isdigit() and int(key) in contents.channels:
            channels.append((int(key),))
            changes.gone_channels.append(int(key))
        elif kind == KIND_SUBSCRIPTION and key.isdigit() and int(key) in contents.subscriptions:
            number = int(key)
            row = contents.subscriptions[number]
            if number == contents.subscription_id_max and (kind, key) not in state.put:
                # As in the original: it tells the highest number that was given.
                changes.before.append((sql.BURY_SUBSCRIPTION, [(row.row_id, number)]))
                changes.new_tombstone = number
            else:
                subscriptions.append((row.row_id, number))
            if row.has_pending_rows:
                pending.append((number,))
            changes.gone_subscriptions.append(number)
    for statement, rows in (
        (sql.DELETE_CLIENT, clients),
        (sql.DELETE_SUBSCRIPTION, subscriptions),
        (sql.DELETE_PENDING, pending),
        (sql.MARK_CHANNEL_DELETED, channels),
        (sql.LEAVE_CHANNEL, channels),
    ):
        if rows:
            changes.before.append((statement, rows))


def _take_server_and_clients(state: _State, contents: Contents, rules: Rules, changes: Changes) -> None:
    new: list[Row] = []
    known: list[Row] = []
    for (kind, key), value in state.put.items():
        if kind == KIND_SERVER:
            try:
                identity, proto = server_columns(value, contents.server or b"", rules.discover_prefix)
            except DecodeError as error:
                raise PlanError(f"the server's record cannot be stored: {error}") from None
            statement = sql.INSERT_SERVER if contents.server is None else sql.UPDATE_SERVER
            changes.before.append((statement, [(identity, proto)]))
            changes.server = proto
        elif kind == KIND_CLIENT:
            identity, inbox, proto = client_columns(key, value)
            if key in contents.clients and key not in changes.gone_clients:
                known.append((inbox, proto, contents.clients[key]))
            else:
                new.append((identity, inbox, proto))
                changes.new_clients[key] = identity
    for statement, rows in ((sql.INSERT_CLIENT, new), (sql.UPDATE_CLIENT, known)):
        if rows:
            changes.before.append((statement, rows))


def _take_channels(state: _State, contents: Contents, gone: set[int], changes: Changes) -> dict[bytes, int]:
    """Take new channels; the ids of all channels by name, as they are after this batch."""
    new: list[Row] = []
    names: dict[bytes, int] = {}
    for (kind, key), value in state.put.items():
        if kind != KIND_CHANNEL:
            continue
        try:
            channel_id, name = int(key), decode_channel_name(value)
        except ValueError as error:
            raise PlanError(f"the record of channel {key!r} cannot be stored: {error}") from None
        names[name] = channel_id
        if channel_id in gone:
            raise PlanError(f"channel {channel_id} was deleted, and no channel's number is given twice")
        if channel_id not in contents.channels:
            new.append((channel_id, channel_column(name), *sql.LIMITS_UNKNOWN))
            changes.new_channels.append(StoredChannel(channel_id, name))
    if new:
        changes.before.append((sql.INSERT_CHANNEL, new))
    return names


def _take_subscriptions(state: _State, contents: Contents, names: dict[bytes, int], changes: Changes) -> None:
    new: list[Row] = []
    known: list[Row] = []
    for (kind, key), value in state.put.items():
        if kind != KIND_SUBSCRIPTION:
            continue
        if not key.isdigit():
            raise PlanError(f"{key!r} is no number of a subscription")
        number = int(key)
        row = contents.subscriptions.get(number)
        if row is not None and number not in changes.gone_subscriptions:
            row_id = 0 if row.row_id in changes.gone_channels else row.row_id
            known.append((value, row_id, number))
            continue
        name = subscription_channel(value)
        channel_id = names.get(name) or contents.channel_ids.get(name, 0)
        if channel_id in changes.gone_channels:
            channel_id = 0
        new.append((channel_id, number, value))
        changes.new_subscriptions[number] = channel_id
    if new:
        # The row that told the highest number has a successor.
        highest = max(changes.new_subscriptions)
        rows: list[Row] = []
        for number, row_id in contents.tombstones.items():
            if number <= highest:
                rows.append((0 if row_id in changes.gone_channels else row_id, number))
                changes.gone_tombstones.append(number)
        if rows:
            changes.before.append((sql.DELETE_SUBSCRIPTION, rows))
        changes.before.append((sql.INSERT_SUBSCRIPTION, new))
    if known:
        changes.before.append((sql.UPDATE_SUBSCRIPTION, known))


def _take_run(run: Run, contents: Contents, gone: set[int], rules: Rules, changes: Changes) -> None:
    channel_id = run.channel_id
    first = int(run.first_sequence)
    channel = contents.channels.get(channel_id)
    known_last = channel.last if channel is not None else 0
    last = changes.lasts[channel_id][1] if channel_id in changes.lasts else known_last
    if last and first > last + 1:
        raise PlanError(gap_text(channel_id, last, first))
    skip = max(0, last + 1 - first) if last else 0
    bodies = run.bodies[skip:] if skip else run.bodies
    if not bodies:
        return
    if channel is None and channel_id not in gone and all(new.channel_id != channel_id for new in changes.new_channels):
        raise PlanError(f"there is no channel {channel_id} to store messages in")
    largest = max(map(len, bodies))
    if rules.message_bytes_max and largest > rules.message_bytes_max:
        raise PlanError(
            f"a message of {largest} bytes does not fit: the column Messages.data takes {rules.message_bytes_max} "
            "(in MySQL more after ALTER TABLE Messages MODIFY data LONGBLOB)"
        )
    timestamps = _timestamps(run, skip)
    before = changes.lasts.get(channel_id)
    changes.lasts[channel_id] = (before[0] if before else first + skip, first + len(run.bodies) - 1, timestamps[-1])
    if channel_id in gone:
        return  # stored and deleted at once
    changes.body_bytes_max[channel_id] = max(largest, changes.body_bytes_max.get(channel_id, 0))
    changes.segments.append((channel_id, first + skip, bodies))
    messages = changes.messages
    if all(bodies):
        messages.channel_ids += [channel_id] * len(bodies)
        messages.sequences += range(first + skip, first + len(run.bodies))
        messages.timestamps_ns += timestamps
        messages.bodies += bodies
        changes.lost_lasts.pop(channel_id, None)
        return
    for sequence, timestamp_ns, body in zip(itertools.count(first + skip), timestamps, bodies, strict=False):
        if body:
            messages.channel_ids.append(channel_id)
            messages.sequences.append(sequence)
            messages.timestamps_ns.append(timestamp_ns)
            messages.bodies.append(body)
    changes.has_lost = True
    changes.lost_lasts.pop(channel_id, None)
    if not bodies[-1]:
        changes.lost_lasts[channel_id] = first + len(run.bodies) - 1


def _take_lost_lasts(contents: Contents, gone: set[int], changes: Changes) -> None:
    """A lost message has no row, unless it is the last one: then a row of size 0 keeps its number until there is another."""
    superseded: list[Row] = []
    for channel_id in changes.lasts:
        channel = contents.channels.get(channel_id)
        if channel is not None and channel.lost_last and channel_id not in gone:
            superseded.append((channel_id, channel.lost_last))
    if superseded:
        changes.before.append((sql.DELETE_LOST, superseded))
    names = {channel.channel_id: channel.name for channel in changes.new_channels}
    rows: list[Row] = []
    for channel_id, sequence in changes.lost_lasts.items():
        channel = contents.channels.get(channel_id)
        name = channel.name if channel is not None else names[channel_id]
        timestamp_ns = changes.lasts[channel_id][2]
        # To the original it is a message without data; one without anything would end its process.
        rows.append((channel_id, sequence, timestamp_ns, 0, encode_message(sequence, name, b"", b"", timestamp_ns)))
    if rows:
        changes.after.append((sql.INSERT_MESSAGE, rows))


def _timestamps(run: Run, skip: int) -> list[int]:
    """The timestamp of each message of `run` from index `skip` on."""
    found: list[int] = []
    starts = [index for index, _ in run.stamps[1:]] + [len(run.bodies)]
    at = 0
    for (_, timestamp_ns), end in zip(run.stamps, starts, strict=True):
        found += [timestamp_ns] * (end - at)
        at = end
    return found[skip:] if skip else found


def _take_floors(batch: Batch, contents: Contents, gone: set[int], changes: Changes) -> None:
    rows: list[Row] = []
    for channel_id, floor in batch.floors.items():
        channel = contents.channels.get(channel_id)
        if channel_id in gone or (channel is None and channel_id not in changes.lasts):
            continue
        known_first = channel.first if channel is not None else 0
        known_last = channel.last if channel is not None else 0
        run_first, last, _ = changes.lasts.get(channel_id, (0, known_last, 0))
        first = known_first or run_first
        floor = min(int(floor), last + 1)
        if last and floor > first:
            rows.append((floor - 1, channel_id))
            changes.floors[channel_id] = floor
    if rows:
        changes.after.append((sql.RAISE_FLOOR, rows))


def _take_cursors(batch: Batch, contents: Contents, rules: Rules, changes: Changes) -> None:
    cursors: dict[int, Cursor] = {}
    for cursor in batch.cursors:
        cursors[cursor.subscription_id] = cursor
    positions: list[Row] = []
    forgotten: list[Row] = []
    pending: list[Row] = []
    gone = set(changes.gone_subscriptions)
    for number, cursor in cursors.items():
        row = contents.subscriptions.get(number)
        if number in changes.new_subscriptions:
            row_id, has_rows = changes.new_subscriptions[number], False
        elif row is not None and number not in gone:
            row_id = 0 if row.row_id in changes.gone_channels else row.row_id
            has_rows = row.has_pending_rows
        else:
            continue
        if number in gone:
            continue  # what was decided of the one that had this number
        positions.append((int(cursor.last_sent), row_id, number))
        if has_rows:
            forgotten.append((number,))
        rows = _pending_rows(cursor, rules.single_rows)
        pending += rows
        changes.pending_rows[number] = bool(rows)
    for statement, chosen in (
        (sql.MOVE_SUBSCRIPTION, positions),
        (sql.DELETE_PENDING, forgotten),
        (sql.INSERT_PENDING, pending),
    ):
        if chosen:
            changes.after.append((statement, chosen))


def _pending_rows(cursor: Cursor, single: bool) -> list[Row]:
    """The rows of SubsPending (subid, row, seq, lastsent, pending) for a cursor."""
    number = cursor.subscription_id
    last_sent = int(cursor.last_sent)
    sequences = [sequence for first, last in cursor.pending for sequence in range(int(first), int(last) + 1)]
    if not sequences:
        # A position of 0 cannot be told from none by the column Subscriptions.lastsent alone.
        return [] if last_sent else [(number, 1, 0, 0, None)]
    if single:
        return [(number, at, sequence, 0, None) for at, sequence in enumerate(sequences, 1)]
    return [
        (number, at, 0, last_sent, encode_sequences(sequences[start : start + PENDING_PER_ROW]))
        for at, start in enumerate(range(0, len(sequences), PENDING_PER_ROW), 1)
    ]


def apply(changes: Changes, contents: Contents) -> None:
    """The transaction was committed: know what is in the tables now."""
    for key in changes.gone_clients:
        contents.clients.pop(key, None)
    contents.clients.update(changes.new_clients)
    if changes.server is not None:
        contents.server = changes.server
    for number in changes.gone_subscriptions:
        row = contents.subscriptions.pop(number)
        if number == changes.new_tombstone:
            contents.tombstones[number] = row.row_id
    for channel_id in changes.gone_channels:
        contents.remove_channel(channel_id)
    for channel in changes.new_channels:
        contents.add_channel(channel)
    for number in changes.gone_tombstones:
        del contents.tombstones[number]
    for number, row_id in changes.new_subscriptions.items():
        contents.subscriptions[number] = StoredSubscription(row_id, False)
        contents.subscription_id_max = max(contents.subscription_id_max, number)
    for number, has_rows in changes.pending_rows.items():
        contents.subscriptions[number].has_pending_rows = has_rows
    _apply_messages(changes, contents)


def _apply_messages(changes: Changes, contents: Contents) -> None:
    for channel_id, (first, last, timestamp_ns) in changes.lasts.items():
        channel = contents.channels.get(channel_id)
        if channel is None:
            continue
        if channel.last == 0:
            channel.first = channel.swept = first
        channel.last = last
        channel.lost_last = changes.lost_lasts.get(channel_id, 0)
        channel.last_timestamp_ns = timestamp_ns
        channel.body_bytes_max = max(channel.body_bytes_max, changes.body_bytes_max.get(channel_id, 0))
    for channel_id, floor in changes.floors.items():
        contents.channels[channel_id].first = floor
