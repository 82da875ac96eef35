"""Looks at every row of the original's tables: what does not decode, what belongs to nothing, what is missing.

It changes nothing by itself. Each finding comes with the statements that a repair would execute, once what is there was set
aside.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.findings import CheckReport, Finding, shown_name, shown_range
from durabus.stores.sql import statements as sql
from durabus.stores.sql.database import Database
from durabus.stores.sql.loading import VERSION
from durabus.stores.sql.plan import Row
from durabus.stores.sql.rows import channel_column, channel_name, decode_sequences, server_columns, subscription_channel
from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    decode_client,
    decode_server,
    decode_subscription,
    encode_client,
    encode_server,
)
from durabus.wire.stan_messages import encode_message
from durabus.wire.varint import WIRE_BYTES, WIRE_VARINT, DecodeError, FieldReader, bytes_field

__all__ = ["Repair", "SqlCheck"]

Repair = list[tuple[str, Row]]
"""Statements with their values."""
Handle = Callable[[Finding, Repair], Awaitable[None]]

_PAGE_BYTES: Final = 8 * 1024 * 1024
_TELL_MESSAGES: Final = 250_000


class SqlCheck:
    """One check. `handle` is told each finding; `say` how far it is."""

    def __init__(self, database: Database, handle: Handle, say: Callable[[str], None]) -> None:
        """Look at `database`, which is open."""
        self.report = CheckReport()
        self.report.kind = "SQL"
        self._database = database
        self._handle = handle
        self._say = say
        self._channels: dict[int, tuple[bytes, int]] = {}  # served ones: name, floor
        self._dead: set[int] = set()
        self._doubles: set[int] = set()  # channels with the name of another one
        self._sent: dict[int, int] = {}  # channel: the highest position of a subscription
        self._subscriptions: set[int] = set()
        self._told = 0

    async def run(self) -> None:
        """Look at everything; raises StoreError."""
        await self._check_server()
        await self._check_clients()
        await self._check_channels()
        await self._check_subscriptions()
        await self._check_pending()
        for channel_id, (name, floor) in self._channels.items():
            self.report.channels += 1
            await self._check_messages(channel_id, name, floor)
        rows = await self._database.fetch(sql.LOCK_READ)
        if len(rows) > 1:
            text = f"table StoreLock has {len(rows)} rows where there is one"
            await self._found(Finding(text, "StoreLock"), [(sql.LOCK_CLEAR, ()), (sql.LOCK_INSERT, ())])

    async def _found(self, finding: Finding, repair: Repair) -> None:
        self.report.add(finding)
        await self._handle(finding, repair)

    # Everything but messages.

    async def _check_server(self) -> None:
        rows = await self._database.fetch(sql.CHECK_SERVER)
        if not rows:
            if await self._database.fetch(sql.LOAD_CHANNELS):
                text = "table ServerInfo has no row: this is a copy that was not finished, or the row is lost"
                finding = Finding(text, "ServerInfo")
                finding.is_lasting = True  # whose server it was, nobody knows; the next one writes it
                await self._found(finding, [])
            return
        for row in rows:
            number, identity, proto, version = int(row[0]), _text(row[1]), _bytes(row[2]), row[3]
            if version is None or int(version) != VERSION:
                raise StoreError(f"sql: unsupported version: {version} (supports [1..{VERSION}])")
            place = f"ServerInfo uniquerow={number}"
            try:
                cluster_id = decode_server(proto).cluster_id
                text = "" if cluster_id == channel_name(identity) else "its proto is that of another server than its id"
            except DecodeError as error:
                text = f"its proto is unreadable ({error})"
            if text:
                finding = Finding(f"{place}: {text}", place, proto)
                finding.columns = {"id": identity}
                columns = server_columns(encode_server(channel_name(identity)), b"", b"_STAN.discover")
                await self._found(finding, [(sql.UPDATE_SERVER, columns)])
            self.report.cluster_id = channel_name(identity)

    async def _check_clients(self) -> None:
        for identity, inbox, proto in await self._database.fetch(sql.LOAD_CLIENTS):
            self.report.clients += 1
            stored, column, place = _bytes(proto), _text(identity), f"Clients id={_text(identity)!r}"
            try:
                if stored:
                    decode_client(stored)
            except DecodeError as error:
                finding = Finding(f"{place}: its proto is unreadable ({error})", place, stored)
                finding.columns = {"id": column, "hbinbox": _text(inbox)}
                record = ClientRecord(channel_name(column), channel_name(_text(inbox)), b"", 0)
                await self._found(finding, [(sql.UPDATE_CLIENT, (_text(inbox), encode_client(record), column))])

    async def _check_channels(self) -> None:
        names: dict[bytes, int] = {}
        for number, column, floor, deleted in await self._database.fetch(sql.LOAD_CHANNELS):
            channel_id, name = int(number), channel_name(_text(column))
            if deleted:
                self._dead.add(channel_id)
            elif name in names:
                first = names[name]
                place = f"Channels id={channel_id}"
                finding = Finding(f'{place}: channel "{shown_name(name)}" is there as number {first}, too', place)
                finding.columns = {"name": _text(column), "maxseq": int(floor or 0)}
                self._doubles.add(channel_id)
                await self._set_aside_messages(channel_id, name, f'of a second channel "{shown_name(name)}"')
                await self._found(finding, [(sql.MARK_CHANNEL_DELETED, (channel_id,))])
            else:
                names[name] = channel_id
                self._channels[channel_id] = (name, int(floor or 0))
        for number, first, last in await self._database.fetch(sql.CHECK_ORPHANS):
            await self._adopt(int(number), int(first), int(last), names)

    async def _adopt(self, channel_id: int, first: int, last: int, names: dict[bytes, int]) -> None:
        """Messages of a channel without a row: it can be made again from the subject of one of them."""
        name = await self._subject_of(channel_id, first)
        place = f"Messages id={channel_id}"
        text = f"{place}: messages {first} to {last} are of a channel that is not in the table Channels"
        self._dead.add(channel_id)
        if name and name not in names:
            names[name] = channel_id
            finding = Finding(f'{text}; by its messages it is "{shown_name(name)}"', place).costs(name, first, last)
            row = (channel_id, channel_column(name), *sql.LIMITS_UNKNOWN)
            await self._found(finding, [(sql.INSERT_CHANNEL, row)])
            return
        await self._set_aside_messages(channel_id, name, "of a channel that is not in the table Channels")

    async def _subject_of(self, channel_id: int, first: int) -> bytes:
        for _, _, _, data in await self._database.fetch(sql.CHECK_MESSAGES, (channel_id, first, first)):
            try:
                return _message(_bytes(data))[1]
            except DecodeError:
                break
        return b""

    async def _set_aside_messages(self, channel_id: int, name: bytes, why: str) -> None:
        """All rows of a channel that cannot be served: a finding for each."""
        async for sequence, _, _, data in self._messages(channel_id, 0):
            place = f"Messages id={channel_id} seq={sequence}"
            finding = Finding(f"{place}: {why}", place, data).costs(name, sequence, sequence)
            await self._found(finding, [(sql.DELETE_MESSAGE, (channel_id, sequence))])

    async def _check_subscriptions(self) -> None:
        served = {name for name, _ in self._channels.values()}
        for row_id, number, sent, proto, deleted in await self._database.fetch(sql.LOAD_SUBSCRIPTIONS):
            channel_id, subscription_id, stored = int(row_id or 0), int(number), _bytes(proto)
            self._subscriptions.add(subscription_id)
            if deleted or channel_id in self._dead:
                continue
            place = f"Subscriptions id={channel_id} subid={subscription_id}"
            record = SubscriptionRecord(subscription_id, b"")
            text = ""
            try:
                known = self._channels.get(channel_id)
                named = subscription_channel(stored)
                record = decode_subscription(
                    stored if named else stored + bytes_field(100, known[0] if known else b"?")
                )
                if channel_id in self._doubles:
                    text = "it is on a second channel of the same name"
                elif known is None and channel_id and named not in served:
                    text = "its channel is not in the table Channels"
            except DecodeError as error:
                text = f"its proto is unreadable ({error})"
            if text:
                finding = Finding(f"{place}: {text}", place, stored)
                finding.columns = {"lastsent": int(sent or 0)}
                delete = (sql.DELETE_SUBSCRIPTION, (channel_id, subscription_id))
                await self._found(finding, [delete, (sql.DELETE_PENDING, (subscription_id,))])
                continue
            self.report.subscriptions += 1
            self._sent[channel_id] = max(self._sent.get(channel_id, 0), int(sent or 0), record.last_sent)

    async def _check_pending(self) -> None:
        for number, row, sequence, sent, pending, acks in await self._database.fetch(sql.LOAD_PENDING):
            subscription_id = int(number)
            place = f"SubsPending subid={subscription_id} row={int(row)}"
            text = ""
            if subscription_id not in self._subscriptions:
                text = "its subscription is not in the table Subscriptions"
            else:
                try:
                    decode_sequences(_bytes(pending))
                    decode_sequences(_bytes(acks))
                except ValueError as error:
                    text = f"what it has pending is unreadable ({error})"
            if text:
                finding = Finding(f"{place}: {text}", place, _bytes(pending))
                finding.columns = {"seq": int(sequence or 0), "lastsent": int(sent or 0), "acks": _bytes(acks)}
                await self._found(finding, [(sql.DELETE_PENDING_ROW, (subscription_id, int(row)))])

    # Messages.

    async def _messages(self, channel_id: int, floor: int) -> AsyncIterator[tuple[int, int, int, bytes]]:
        """The rows of a channel above `floor`: sequence, timestamp, size, data."""
        at = floor + 1
        while sizes := await self._database.fetch(sql.CHECK_SIZES, (channel_id, at)):
            total, end = 0, int(sizes[0][0])
            for sequence, size in sizes:
                total += int(size or 0)
                if total > _PAGE_BYTES and int(sequence) > end:
                    break
                end = int(sequence)
            for sequence, timestamp_ns, size, data in await self._database.fetch(
                sql.CHECK_MESSAGES, (channel_id, at, end)
            ):
                yield int(sequence), int(timestamp_ns or 0), int(size or 0), _bytes(data)
            at = end + 1

    async def _check_messages(self, channel_id: int, name: bytes, floor: int) -> None:
        due = 0
        async for sequence, timestamp_ns, size, data in self._messages(channel_id, floor):
            if due and sequence > due:
                await self._missing(channel_id, name, due, sequence - 1)
            due = sequence + 1
            await self._check_message(channel_id, name, (sequence, timestamp_ns, size, data))
            if self.report.messages - self._told >= _TELL_MESSAGES:
                self._told = self.report.messages
                self._say(f'{self._told:,} messages looked at, now channel "{shown_name(name)}"')
        sent = self._sent.get(channel_id, 0)
        if sent >= max(due, floor + 1):
            await self._missing(channel_id, name, max(due, floor + 1), sent)

    async def _missing(self, channel_id: int, name: bytes, first: int, last: int) -> None:
        what = shown_range(first, last, name)
        place = f"Messages id={channel_id}"
        finding = Finding(f"{place}: {what} {'is' if first == last else 'are'} not in the table", place)
        finding.is_lasting = True
        await self._found(finding.costs(name, first, last), [])

    async def _check_message(self, channel_id: int, name: bytes, row: tuple[int, int, int, bytes]) -> None:
        sequence, timestamp_ns, size, data = row
        place = f"Messages id={channel_id} seq={sequence}"
        text = ""
        has_data = False
        try:
            found, _, has_data = _message(data)
            if found != sequence:
                text = f"its data are those of message {found}"
        except DecodeError as error:
            text = f"its data are unreadable ({error})"
        if text:
            finding = Finding(f"{place}: {shown_range(sequence, sequence, name)}: {text}", place, data)
            marker = encode_message(sequence, name, b"", b"", timestamp_ns)
            # As long as it may be the last one, a row keeps its number.
            is_last = not await self._database.fetch(sql.READ_NEXT_TIMESTAMP, (channel_id, sequence + 1))
            statement = (sql.LOSE_MESSAGE, (marker, channel_id, sequence))
            delete = (sql.DELETE_MESSAGE, (channel_id, sequence))
            await self._found(finding.costs(name, sequence, sequence), [statement if is_last else delete])
            return
        if not size and not has_data:
            self.report.lost_before += 1  # a row that only keeps a number
            return
        self.report.messages += 1
        self.report.message_bytes += len(data)
        if size != len(data):
            finding = Finding(f"{place}: it has {len(data)} bytes and not {size}, as its column size says", place, b"")
            await self._found(finding, [(sql.RESIZE_MESSAGE, (len(data), channel_id, sequence))])


def _message(data: bytes) -> tuple[int, bytes, bool]:
    """The sequence and the subject of a MsgProto, and whether it has data; raises DecodeError."""
    if not data:
        raise DecodeError("there are none")
    sequence, subject, has_data = 0, b"", False
    reader = FieldReader(data)
    while number := reader.next():
        if number == 1:
            reader.expect(WIRE_VARINT)
            sequence = reader.value
        elif number == 2:
            reader.expect(WIRE_BYTES)
            subject = reader.data
        elif number == 4:
            has_data = True
    return sequence, subject, has_data


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value or "").encode()


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
