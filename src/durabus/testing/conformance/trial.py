"""One store under examination: what it was asked to remember, how that ended, and whether it does remember it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    encode_channel_name,
    encode_client,
    encode_subscription,
)
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SUBSCRIPTION,
    REFUSED,
    Batch,
    ChannelState,
    Cursor,
    Lease,
    Recovered,
    Run,
    Store,
)
from durabus.testing.conformance.harness import StoreHarness
from durabus.testing.conformance.model import ChannelModel, Model
from durabus.testing.conformance.probe import Probe, expect, within
from durabus.wire.stan_messages import encode_message
from durabus.wire.stored_data import grown_bytes

__all__ = ["ALWAYS", "IF_CRASHES", "IF_RECOVERABLE", "MUCH", "Check", "Trial"]

ALWAYS, IF_RECOVERABLE, IF_CRASHES = "always", "if recoverable", "if crashes"
MUCH = 1 << 30
"""A limit that does not limit."""
TICK_NS = 1_000_000
PATTERN = bytes(range(256)) * 512


class Trial:
    """Drives one store and keeps a model of what it must hold. `start` makes one."""

    def __init__(self, harness: StoreHarness, store: Store) -> None:
        """Examine `store`, which `harness` opened."""
        self.harness = harness
        self.store = store
        self.probe = Probe(store, harness.patience_s)
        self.model = Model()
        self.lease: Lease | None = None
        self.now_ns = 1_700_000_000_000_000_000
        self.batch_number = 0
        self.ids = 0
        self.subscription_channels: dict[int, int] = {}
        self.open = True
        self.has_lost = False  # whether messages came as lost ones: then a store may call that damage when it is opened

    @classmethod
    async def start(cls, harness: StoreHarness) -> "Trial":
        """Open a new store and recover it: it must be empty."""
        trial = cls(harness, await within(harness.patience_s, "open", harness.open()))
        await trial.begin()
        return trial

    async def begin(self) -> None:
        """Acquire the store where that is needed, and recover what the model has."""
        if self.harness.leased:
            self.lease = await within(self.harness.patience_s, "acquire", self.store.acquire("conformance"))
            expect(self.lease is not None, "acquire returned None, but nobody else has this store")
        self.verify_recovered(await self.recover())

    async def recover(self) -> Recovered:
        """What the store says it remembers. A new activation begins: batches are numbered from 1 again."""
        recovered = await within(self.harness.patience_s, "recover", self.store.recover(self.lease))
        self.probe.begin_again()
        self.batch_number = 0
        return recovered

    # Filling batches

    def batch(self) -> Batch:
        """The next batch, empty."""
        self.batch_number += 1
        return Batch(self.batch_number, self.lease.epoch if self.lease is not None else 0)

    def again(self, batch: Batch) -> Batch:
        """The same changes once more, under the next number."""
        copy = self.batch()
        copy.state, copy.runs, copy.floors, copy.cursors = batch.state, batch.runs, batch.floors, batch.cursors
        return copy

    def new_id(self) -> int:
        """A number that no channel and no subscription had before."""
        self.ids += 1
        return self.ids

    def add_channel(self, batch: Batch, name: bytes = b"") -> int:
        """Let `batch` create a channel; its id."""
        channel_id = self.new_id()
        batch.state.append((KIND_CHANNEL, b"%d" % channel_id, encode_channel_name(name or b"foo.%d" % channel_id)))
        return channel_id

    def delete_channel(self, batch: Batch, channel_id: int) -> None:
        """Let `batch` delete a channel and everything on it."""
        batch.state.append((KIND_CHANNEL, b"%d" % channel_id, None))

    def put_client(self, batch: Batch, client_id: bytes, inbox: bytes = b"_INBOX.one") -> None:
        """Let `batch` register a client, or replace it."""
        batch.state.append((KIND_CLIENT, client_id, encode_client(ClientRecord(client_id, inbox, b"", 1))))

    def add_subscription(self, batch: Batch, channel_id: int) -> int:
        """Let `batch` create a subscription on a channel; its id."""
        subscription_id = self.new_id()
        self.subscription_channels[subscription_id] = channel_id
        self.put_subscription(batch, subscription_id, 1024)
        return subscription_id

    def put_subscription(self, batch: Batch, subscription_id: int, max_in_flight: int) -> None:
        """Let `batch` write a subscription's record."""
        name = b"foo.%d" % self.subscription_channels[subscription_id]
        record = SubscriptionRecord(subscription_id, name)
        record.client_id = b"me"
        record.durable_name = b"durable-%d" % subscription_id
        record.max_in_flight = max_in_flight
        record.is_durable = True
        batch.state.append((KIND_SUBSCRIPTION, b"%d" % subscription_id, encode_subscription(record)))

    def publish(self, batch: Batch, channel_id: int, count: int, data_bytes: int = 20, chunk: int = 0) -> Run:
        """Let `batch` append `count` messages, with a new timestamp for every `chunk` of them (0: one for all)."""
        channel = self.model.channels.get(channel_id)
        last = channel.last if channel is not None else 0
        for run in batch.runs:
            if run.channel_id == channel_id:
                last = int(run.first_sequence) + len(run.bodies) - 1
        run = self.run(channel_id, last + 1, count, data_bytes, chunk)
        batch.runs.append(run)
        return run

    def run(self, channel_id: int, first: int, count: int, data_bytes: int = 20, chunk: int = 0) -> Run:
        """A run of `count` messages from `first` on, no two alike, now."""
        run = Run(channel_id, first)
        for index in range(count):
            if index == 0 or (chunk and index % chunk == 0):
                self.now_ns += TICK_NS
                run.stamps.append((index, self.now_ns))
            sequence = first + index
            head = b"%d/%d " % (channel_id, sequence)
            data = (head + PATTERN[sequence % 256 : sequence % 256 + data_bytes])[:data_bytes]
            run.bodies.append(encode_message(sequence, b"foo.%d" % channel_id, b"", data, self.now_ns))
        return run

    # Writing

    def submit(self, batch: Batch) -> None:
        """Submit `batch`, and expect that it is remembered, now or later."""
        self.model.apply(batch)
        self.probe.submit(batch)

    async def write(self, batch: Batch) -> None:
        """Submit `batch` and wait until it is durable."""
        await self.probe.wait_room()
        self.submit(batch)
        await self.probe.wait_ended(batch.number)
        expect(batch.number in self.probe.durable, f"a proper batch failed: {self.probe.failed}")

    async def refuse(self, batch: Batch) -> None:
        """Submit `batch` and expect that it is refused; then recover, as the core does after every failure."""
        await self.probe.wait_room()
        self.probe.submit(batch)
        await self.probe.wait_ended(batch.number)
        expect(batch.number in self.probe.failed, f"batch {batch.number} leaves a gap and was reported durable")
        outcome = self.probe.failed[batch.number][0]
        expect(outcome == REFUSED, f"a batch that leaves a gap failed with outcome {outcome} and not with REFUSED")
        self.verify_recovered(await self.recover())

    # Reading

    async def page(self, channel_id: int, first: int, count_max: int = MUCH, bytes_max: int = MUCH) -> list[bytes]:
        """One page, from `read_now` and from `read`: where both know, they must agree."""
        at_hand = self.store.read_now(channel_id, first, count_max, bytes_max)
        now = None if at_hand is None else list(at_hand)
        page = await self.probe.page(self.probe.ask_page(channel_id, first, count_max, bytes_max))
        if now is not None:
            same = min(len(now), len(page))
            where = f"channel {channel_id} from {first} on"
            expect(now[:same] == page[:same], f"read_now and read give different messages of {where}")
            expect(bool(now) == bool(page), f"read_now has {len(now)} messages of {where}, read has {len(page)}")
        return page

    async def messages(self, channel_id: int, first: int) -> list[bytes]:
        """All messages from `first` on, page by page."""
        found: list[bytes] = []
        while page := await self.page(channel_id, first + len(found)):
            found += page
        return found

    async def seek(self, channel_id: int, timestamp_ns: int) -> int:
        """What the store answers to a seek."""
        return await self.probe.found(self.probe.ask_seek(channel_id, timestamp_ns))

    async def measure(self, channel_id: int, first: int, end: int) -> int:
        """What messages `first` to before `end` have in the store, in bytes."""
        total = 0
        while first < end:
            at, found = await self.probe.measured(self.probe.ask_measure(channel_id, first, end, MUCH))
            if at <= first:
                break
            first, total = at, total + found
        return total

    def sizes(self, channel_id: int) -> list[int]:
        """What each message of a channel has when it is stored, from the first one on, in bytes."""
        channel = self.model.channels[channel_id]
        bodies = channel.range(channel.first, channel.last + 1 - channel.first)
        return [len(body) + grown_bytes(body, self.store.data_overhead_bytes) for body in bodies]

    # Comparing

    async def verify(self) -> None:
        """Compare all that the store remembers, messages included, with the model."""
        await self.probe.wait_all_ended()
        self.verify_recovered(await self.recover())
        for channel_id, channel in self.model.channels.items():
            await self.verify_messages(channel_id, channel.first or 1)
        self.probe.check()

    async def verify_messages(self, channel_id: int, first: int) -> None:
        """Compare the messages from `first` on, and where some timestamps lead, with the model."""
        channel = self.model.channels.get(channel_id, ChannelModel())
        found = await self.messages(channel_id, first)
        wanted = channel.range(first, channel.last + 1 - first) if channel.last else []
        where = f"channel {channel_id} from {first} on"
        for sequence, (body, wanted_body) in enumerate(zip(found, wanted, strict=False), first):
            expect(
                body == wanted_body, f"channel {channel_id} has {body[:60]!r} at {sequence}, not {wanted_body[:60]!r}"
            )
        expect(len(found) == len(wanted), f"{where} there are {len(found)} messages, not {len(wanted)}")
        stamps = [channel.stamps[sequence] for sequence in sorted(channel.stamps)]
        picked = [stamp for index in (0, len(stamps) // 3, -1) for stamp in stamps[index:][:1]]
        await self.verify_seeks(
            channel_id, [ns + more for ns in (*picked, channel.last_timestamp_ns) for more in (0, 1)]
        )

    async def verify_seeks(self, channel_id: int, timestamps_ns: Iterable[int]) -> None:
        """Compare where timestamps lead with the model."""
        for timestamp_ns in timestamps_ns:
            wanted = self.model.channels.get(channel_id, ChannelModel()).seek(timestamp_ns)
            found = await self.seek(channel_id, timestamp_ns)
            expect(found == wanted, f"seek({timestamp_ns}) in channel {channel_id} leads to {found}, not {wanted}")

    def counted_bytes(self, bodies: Iterable[bytes]) -> int:
        """What messages count for, with what the store says that it adds to each."""
        store = self.store
        return sum(
            len(body) + store.message_overhead_bytes + grown_bytes(body, store.data_overhead_bytes) for body in bodies
        )

    def verify_recovered(self, recovered: Recovered) -> None:
        """Compare what `recover` returned with the model."""
        expect(not recovered.damage or self.has_lost, f"damage is reported where none was done: {recovered.damage}")
        state = {(kind, key): value for kind, key, value in recovered.state}
        expect(len(state) == len(recovered.state), "a state entry is recovered twice")
        for entry in sorted(state.keys() | self.model.state.keys()):
            found, wanted = state.get(entry), self.model.state.get(entry)
            expect(found == wanted, f"the state of (kind, key) {entry} is {found!r}, not {wanted!r}")
        cursors = {cursor.subscription_id: cursor for cursor in recovered.cursors}
        expect(len(cursors) == len(recovered.cursors), "a cursor is recovered twice")
        for number in sorted(cursors.keys() | self.model.cursors.keys()):
            position, due = (self._position(source.get(number)) for source in (cursors, self.model.cursors))
            expect(position == due, f"the cursor of subscription {number} is {position}, not {due}")
        channels = {channel.channel_id: channel for channel in recovered.channels}
        expect(len(channels) == len(recovered.channels), "a channel is recovered twice")
        for number in sorted(channels.keys() | self.model.channels.keys()):
            self._verify_figures(number, channels.get(number))

    def _position(self, cursor: Cursor | None) -> tuple[int, list[tuple[int, int]]] | None:
        """What counts of a cursor: a store may forget that a message is pending which is gone for every reader."""
        if cursor is None:
            return None
        channel = self.model.channels.get(self.subscription_channels[cursor.subscription_id])
        floor = channel.first if channel is not None else 0
        return cursor.last_sent, [(max(first, floor), last) for first, last in cursor.pending if last >= floor]

    def _verify_figures(self, channel_id: int, found: ChannelState | None) -> None:
        """Compare the figures of one channel. Of a channel that never had a message there need not be any.

        Where no message is left, a store may have forgotten the last timestamp.
        """
        channel = self.model.channels.get(channel_id, ChannelModel())
        if found is None:
            expect(channel.last == 0, f"channel {channel_id} is not recovered")
            return
        stored_bytes = self.counted_bytes(channel.bodies.values())
        for what, figure, wanted in (
            ("first_sequence", found.first_sequence, channel.first),
            ("last_sequence", found.last_sequence, channel.last),
            ("stored_bytes", found.stored_bytes, stored_bytes),
        ):
            expect(figure == wanted, f"channel {channel_id} has {what} {figure}, not {wanted}")
        stamps = (channel.last_timestamp_ns,) if channel.bodies else (channel.last_timestamp_ns, 0)
        text = f"channel {channel_id} has last_timestamp_ns {found.last_timestamp_ns}, not {stamps[0]}"
        expect(found.last_timestamp_ns in stamps, text)

    # Ending

    async def close(self) -> None:
        """Close the store, and expect that everything had its end."""
        await within(self.harness.patience_s, "close", self.store.close())
        self.open = False
        await self.probe.wait_all_ended()

    async def reopen(self) -> None:
        """Close the store and open it again: it must remember what the model has. Batch numbers begin anew."""
        await self.close()
        self.store = await within(self.harness.patience_s, "reopen", self.harness.reopen(self.store))
        self.open = True
        self.probe = Probe(self.store, self.harness.patience_s)
        await self.begin()

    async def finish(self) -> None:
        """The end of a check: nothing may be left open, and nothing may have come twice."""
        if self.open:
            await self.close()
        self.probe.check()


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the port, as a coroutine on a trial that was just started. `needs` is ALWAYS or an IF_."""

    run: Callable[[Trial], Awaitable[None]]
    needs: str = ALWAYS

    @property
    def name(self) -> str:
        """What the check is called."""
        return str(getattr(self.run, "__name__", self.run))

    @property
    def promise(self) -> str:
        """What it holds a store to, in a sentence."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]

    def __str__(self) -> str:
        return self.name
