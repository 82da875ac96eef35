"""Everything of one store into another one: channels with their messages, floors, subscriptions, positions, clients.

The server's record comes last, in a batch of its own. So a target that has one is complete, and one that has channels and
none is an unfinished copy, which the same command goes on with. What is in memory at a time is bounded, whatever is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.findings import shown_name, shown_range
from durabus.streaming.records import (
    SERVER_KEY,
    decode_channel_name,
    decode_server,
    encode_channel_name,
    encode_server,
)
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Batch,
    ChannelState,
    Lease,
    Recovered,
    Run,
    Store,
    StoreListener,
)
from durabus.wire.timestamps import stamps_of
from durabus.wire.varint import DecodeError

__all__ = ["BATCH_BYTES", "BATCH_MESSAGES", "CopyReport", "LostRange", "copy_store"]

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a batch, and of a page that is read; one message may be larger."""
BATCH_MESSAGES: Final = 16_384
"""Messages in a batch, or entries of state."""
_MESSAGE_BYTES: Final = 64
"""What a message counts beyond its body."""
_REPORT_MESSAGES: Final = 250_000
_REPORT_BYTES: Final = 256 * 1024 * 1024
"""How much is copied between two lines about how far it is."""
_LOST_RANGES_MAX: Final = 10_000


class LostRange:
    """Messages `first` to `last` of `channel` are damaged in the source, or gone from it: nothing is left to copy."""

    def __init__(self, channel: bytes, first: int, last: int) -> None:
        """Keep all three."""
        self.channel = channel
        self.first = first
        self.last = last

    def __str__(self) -> str:
        return shown_range(self.first, self.last, self.channel)


class CopyReport:
    """What was copied. `was_complete`: the target had all of it before.

    `messages_there` were in the target from an earlier try and are not counted again; `lost_count` messages are damaged in
    the source, the first of them are named in `lost`. `damage` is what the source said when it was opened.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self.was_complete = False
        self.channels = 0
        self.messages = 0
        self.message_bytes = 0
        self.messages_there = 0
        self.lost_count = 0
        self.lost: list[LostRange] = []
        self.clients = 0
        self.subscriptions = 0
        self.damage: list[str] = []

    def note_lost(self, channel: bytes, first: int, bodies: list[bytes]) -> None:
        """Note which of `bodies`, the messages from `first` on, are empty."""
        for sequence, body in enumerate(bodies, first):
            if body:
                continue
            self.lost_count += 1
            last = self.lost[-1] if self.lost else None
            if last is not None and last.channel == channel and last.last == sequence - 1:
                last.last = sequence
            elif len(self.lost) < _LOST_RANGES_MAX:
                self.lost.append(LostRange(channel, sequence, sequence))


async def copy_store(
    source: Store,
    target: Store,
    report: Callable[[str], None],
    *,
    lease: Lease | None = None,
    confirm: Callable[[], Awaitable[None]] | None = None,
) -> CopyReport:
    """Copy all of `source` into `target`, which is empty or an earlier try of the same; `report` is told how far it is.

    Both are opened and not recovered yet; `lease` is the target's, where it has one. Both have other listeners afterwards:
    bind and recover them before they are used for anything else. Nothing is written to the source. Raises StoreError when
    the target has other content, or takes something not; then, as after a crash, the same can be begun again. `confirm` is
    called when all of the source was read: when it raises, the copy stays an unfinished one, which no server serves.
    """
    copying = _Copying(source, target, report, lease)
    await copying.begin()
    if not copying.report.was_complete:
        await copying.copy_channels()
        await copying.copy_the_rest()
    if confirm is not None:
        await confirm()
    if not copying.report.was_complete:
        await copying.complete()
    return copying.report


class _Channel:
    """One channel of the source, and where it goes."""

    def __init__(self, name: bytes, figures: ChannelState) -> None:
        self.name = name
        self.figures = figures
        self.target_id = 0
        self.is_there = False  # the target has a channel of this name
        self.there_last = 0  # and messages up to this one
        self.there_last_ns = 0

    @property
    def shown(self) -> str:
        """Its name for people."""
        return shown_name(self.name)

    @property
    def is_complete(self) -> bool:
        """Whether the target has all of it."""
        return self.is_there and self.there_last == self.figures.last_sequence


class _Listener(StoreListener):
    """Waits for the end of batches, and for pages, of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unended: set[int] = set()
        self._failure = ""
        self._news = asyncio.Event()
        self._request = 0
        self._pages: dict[int, list[bytes]] = {}
        store.bind(self)

    def on_durable(self, number: int) -> None:
        self._unended.discard(number)
        self._news.set()

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        self._unended.discard(number)
        self._failure = self._failure or text
        self._news.set()

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        self._pages[request] = bodies
        self._news.set()

    def on_seek(self, request: int, sequence: int) -> None:
        """Nobody asks."""

    async def submit(self, batch: Batch) -> None:
        """Submit `batch` when there is room for it; raises StoreError when it or one before it failed."""
        await self._room(self._store.batches_in_flight_max - 1)
        self._unended.add(batch.number)
        self._store.submit(batch)

    async def finish(self) -> None:
        """Wait until everything is durable; raises StoreError."""
        await self._room(0)

    async def _room(self, count: int) -> None:
        while len(self._unended) > count and not self._failure:
            self._news.clear()
            await self._news.wait()
        if self._failure:
            raise StoreError(self._failure)

    async def page(self, channel_id: int, first: int, count_max: int) -> list[bytes]:
        """Messages of a channel from `first` on, at most `count_max`."""
        bodies = self._store.read_now(channel_id, first, count_max, BATCH_BYTES)
        if bodies is not None:
            return bodies
        self._request += 1
        self._store.read(self._request, channel_id, first, count_max, BATCH_BYTES)
        while self._request not in self._pages:
            self._news.clear()
            await self._news.wait()
        return self._pages.pop(self._request)


class _Copying:
    """One copy on its way."""

    def __init__(self, source: Store, target: Store, report: Callable[[str], None], lease: Lease | None) -> None:
        self.report = CopyReport()
        self._source = source
        self._target = target
        self._say = report
        self._lease = lease
        self._from = _Listener(source)
        self._to = _Listener(target)
        self._found = Recovered()
        self._there = Recovered()
        self._server: bytes | None = None
        self._channels: list[_Channel] = []
        self._batch = Batch(1, lease.epoch if lease is not None else 0)
        self._batch_bytes = 0
        self._batch_entries = 0
        self._due = 0  # messages
        self._said = (0, 0)  # messages and bytes that were copied when it was last told

    # What is to be done.

    async def begin(self) -> None:
        """See what is on both sides; raises StoreError when they do not go together."""
        self._found = await self._source.recover(None)
        self.report.damage = list(self._found.damage)
        self._there = await self._target.recover(self._lease)
        self._read_source()
        await self._compare()

    def _read_source(self) -> None:
        """The channels of the source, and its server's record."""
        figures = {one.channel_id: one for one in self._found.channels}
        names: set[bytes] = set()
        for kind, key, value in self._found.state:
            if kind == KIND_SERVER:
                self._server = value
            elif kind == KIND_CHANNEL:
                try:
                    name, channel_id = decode_channel_name(value), int(key)
                except ValueError as error:
                    self.report.damage.append(f"the record of channel {key!r} is unreadable, it is left out: {error}")
                    continue
                if name in names:
                    self.report.damage.append(
                        f'channel "{shown_name(name)}" is there twice: number {channel_id} is left out'
                    )
                    continue
                names.add(name)
                self._channels.append(_Channel(name, figures.get(channel_id) or ChannelState(channel_id, 0, 0, 0, 0)))
        if self._server is None and self._found.state:
            raise StoreError(
                "the source has no record of its server: it is a copy that was not finished, or damaged; "
                "finish that copy first, or start a server on it once"
            )

    async def _compare(self) -> None:
        """Whether the target is empty, complete, or an unfinished copy of the same, and where each channel goes."""
        server: bytes | None = None
        there: dict[bytes, int] = {}
        for kind, key, value in self._there.state:
            if kind == KIND_SERVER:
                server = value
            elif kind == KIND_CHANNEL:
                there[_name_of(value)] = int(key)
        self._place_channels(dict(there))
        others = there.keys() - {channel.name for channel in self._channels}
        for channel in self._channels:
            await self._compare_channel(channel)
        if self._server is not None:
            self._server = self._server_record(self._server)
        if server is not None:
            is_whole = not others and all(channel.is_complete for channel in self._channels)
            is_same = is_whole and _cluster_id(server) == _cluster_id(self._server or b"")
            if not is_same or _state_of(self._found) != _state_of(self._there):
                raise StoreError(_other_content(f'the store of a server "{shown_name(_cluster_id(server))}"'))
            self.report.was_complete = True
        elif others:
            raise StoreError(_other_content(f'a channel "{shown_name(min(others))}"'))

    def _place_channels(self, there: dict[bytes, int]) -> None:
        """Every channel gets the number that it has in the target, else its own, else a new one. Raises StoreError."""
        used = set(there.values())
        highest = max((*used, *(channel.figures.channel_id for channel in self._channels)), default=0)
        for channel in self._channels:
            complaint = self._target.channel_complaint(channel.name)
            if complaint:
                raise StoreError(f'channel "{channel.shown}" cannot be in the target: {complaint}')
            channel.is_there = channel.name in there
            channel.target_id = there.get(channel.name) or channel.figures.channel_id
            if not channel.is_there and channel.target_id in used:
                highest += 1
                channel.target_id = highest
            used.add(channel.target_id)

    async def _compare_channel(self, channel: _Channel) -> None:
        """How much of a channel is there already, if that is ours; raises StoreError when it is not."""
        figures = channel.figures
        there = next((one for one in self._there.channels if one.channel_id == channel.target_id), None)
        if there is None or not there.last_sequence:
            return
        last = there.last_sequence
        is_ours = channel.is_there and figures.first_sequence <= last + 1 <= figures.last_sequence + 1
        if is_ours and max(figures.first_sequence, there.first_sequence) <= last:
            here = await self._from.page(figures.channel_id, last, 1)
            copy = await self._to.page(channel.target_id, last, 1)
            is_ours = here == copy or b"" in (*here, *copy)
        if not is_ours:
            raise StoreError(_other_content(f'a channel "{channel.shown}" with other messages'))
        channel.there_last = last
        channel.there_last_ns = there.last_timestamp_ns
        self.report.messages_there += last + 1 - there.first_sequence

    def _server_record(self, value: bytes) -> bytes:
        """The source's, with a number of channels that covers those which were given in the target."""
        try:
            record = decode_server(value)
        except DecodeError as error:
            raise StoreError(f"the record of the source's server is unreadable: {error}") from None
        channel_last = max((channel.target_id for channel in self._channels), default=0)
        moved = any(channel.target_id != channel.figures.channel_id for channel in self._channels)
        if not moved or channel_last <= record.channel_id_last:
            return value
        return encode_server(record.cluster_id, channel_last, record.subscription_id_last, record.knows_all_acks)

    # Doing it.

    async def copy_channels(self) -> None:
        """All channels with their messages and floors."""
        for channel in self._channels:
            self._due += max(0, channel.figures.last_sequence - self._before(channel))
        for channel in self._channels:
            if not channel.is_there:
                key = b"%d" % channel.target_id
                self._batch.state.append((KIND_CHANNEL, key, encode_channel_name(channel.name)))
                await self._count(len(channel.name), 1)
            await self._copy_messages(channel)
            self.report.channels += 1
        await self._submit()

    def _before(self, channel: _Channel) -> int:
        """The last message of a channel that is not to be copied."""
        return max(channel.there_last, channel.figures.first_sequence - 1)

    async def _copy_messages(self, channel: _Channel) -> None:
        figures = channel.figures
        last, last_ns = figures.last_sequence, channel.there_last_ns
        if not last:
            return
        due = self._before(channel) + 1
        if due > last and not channel.there_last:
            # Only the number of the last message is left. One that is lost, and removed at once, keeps it.
            run = Run(channel.target_id, last)
            run.bodies, run.stamps = [b""], [(0, figures.last_timestamp_ns)]
            self._batch.runs.append(run)
        if figures.first_sequence > 1:
            self._batch.floors[channel.target_id] = figures.first_sequence
        await self._count(_MESSAGE_BYTES, 1)
        while due <= last:
            bodies = await self._from.page(figures.channel_id, due, min(BATCH_MESSAGES, last + 1 - due))
            if not bodies:
                raise StoreError(f'message {due} of channel "{channel.shown}" cannot be read from the source')
            run = Run(channel.target_id, due)
            run.bodies, run.stamps = bodies, stamps_of(bodies, last_ns)
            last_ns = run.stamps[-1][1]
            size = sum(map(len, bodies))
            self.report.messages += len(bodies)
            self.report.message_bytes += size
            if b"" in bodies:
                self.report.note_lost(channel.name, due, bodies)
            due += len(bodies)
            self._batch.runs.append(run)
            await self._count(size + _MESSAGE_BYTES * len(bodies), len(bodies))
            self._tell(channel.shown)

    def _tell(self, name: str) -> None:
        """Say how far it is, every now and then."""
        done, size = self.report.messages, self.report.message_bytes
        if done - self._said[0] >= _REPORT_MESSAGES or size - self._said[1] >= _REPORT_BYTES:
            self._said = (done, size)
            self._say(f'{done:,} of {self._due:,} messages copied ({size / 1e6:,.0f} MB), now channel "{name}"')

    async def copy_the_rest(self) -> None:
        """Clients, subscriptions with their positions, without what an earlier try has left."""
        wanted = _state_of(self._found)
        cursors = {cursor.subscription_id: cursor for cursor in self._found.cursors}
        for kind, key in _state_of(self._there).keys() - wanted.keys():
            self._batch.state.append((kind, key, None))
            await self._count(len(key), 1)
        for (kind, key), value in wanted.items():
            self._batch.state.append((kind, key, value))
            size = len(key) + len(value)
            if kind == KIND_CLIENT:
                self.report.clients += 1
            else:
                self.report.subscriptions += 1
                cursor = cursors.get(int(key)) if key.isdigit() else None
                if cursor is not None:
                    self._batch.cursors.append(cursor)
                    size += 16 * len(cursor.pending)
            await self._count(size, 1)
        await self._submit()
        await self._to.finish()  # else there could be a server's record, and not all of the rest

    async def complete(self) -> None:
        """The server's record: the target is a whole copy then."""
        if self._server is not None:
            self._batch.state.append((KIND_SERVER, SERVER_KEY, self._server))
            await self._submit()
        await self._to.finish()

    async def _count(self, size: int, entries: int) -> None:
        """So much more is in the batch: submit it when that is enough."""
        self._batch_bytes += size
        self._batch_entries += entries
        if self._batch_bytes >= BATCH_BYTES or self._batch_entries >= BATCH_MESSAGES:
            await self._submit()

    async def _submit(self) -> None:
        batch = self._batch
        if batch.is_empty():
            return
        self._batch = Batch(batch.number + 1, batch.epoch)
        self._batch_bytes = self._batch_entries = 0
        await self._to.submit(batch)


def _state_of(recovered: Recovered) -> dict[tuple[int, bytes], bytes]:
    """Clients and subscriptions."""
    return {(kind, key): value for kind, key, value in recovered.state if kind in (KIND_CLIENT, KIND_SUBSCRIPTION)}


def _name_of(value: bytes) -> bytes:
    """The name of a channel in the target; none when its record is unreadable, and that is other content."""
    try:
        return decode_channel_name(value)
    except DecodeError:
        return b""


def _cluster_id(value: bytes) -> bytes:
    try:
        return decode_server(value).cluster_id
    except DecodeError:
        return b""


def _other_content(what: str) -> str:
    return f"the target holds {what}, which is not an earlier try of this copy: choose an empty one"
