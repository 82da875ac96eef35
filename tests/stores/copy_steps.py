"""What the tests of copying share: stores with any content, what is in a store, and targets that are cut off."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from durabus.stores.delegating import DelegatingStore
from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    decode_channel_name,
    encode_channel_name,
    encode_client,
    encode_server,
    encode_subscription,
)
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Batch,
    Cursor,
    Run,
    Store,
)
from durabus.testing.conformance.probe import Probe
from durabus.wire.stan_messages import encode_message

__all__ = ["ChannelContent", "Content", "CutError", "CutStore", "Found", "contents", "fill", "found_in"]

PATIENCE_S = 30.0
MUCH = 1 << 30
EPOCH_NS = 1_700_000_000_000_000_000


@dataclass
class ChannelContent:
    """One channel: `kept` has a `+` for each message and a `-` for each that is lost, the first of them number `first`.

    `removed` of the oldest are below the floor.
    """

    first: int = 1
    kept: str = ""
    removed: int = 0
    size: int = 10


@dataclass
class Content:
    """All of a store. A durable is on channel number `durables[i][0]`, with its position and what it has pending."""

    channels: list[ChannelContent] = field(default_factory=list)
    clients: int = 0
    durables: list[tuple[int, int, list[tuple[int, int]]]] = field(default_factory=list)
    id_step: int = 1


@dataclass
class Found:
    """What is in a store, by the names of its channels. Lost messages at the beginning of a channel do not count."""

    server: bytes | None
    channels: dict[bytes, tuple[int, int, list[bytes]]]
    clients: dict[bytes, bytes]
    subscriptions: dict[bytes, tuple[bytes, int, list[tuple[int, int]]]]


channel_contents = st.builds(
    ChannelContent,
    first=st.sampled_from((1, 1, 1, 2, 5_000_000_000)),
    kept=st.text("+++-", max_size=12),
    removed=st.integers(0, 14),
    size=st.sampled_from((0, 10, 10, 3000)),
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Any content of a store."""
    content = Content(draw(st.lists(channel_contents, max_size=4)), draw(st.integers(0, 3)))
    content.id_step = draw(st.sampled_from((1, 3)))
    for index, channel in enumerate(content.channels):
        last = channel.first + len(channel.kept) - 1 if channel.kept else 0
        for _ in range(draw(st.integers(0, 2))):
            sent = draw(st.integers(0, min(last, 30)))
            ends = sorted(draw(st.sets(st.integers(1, sent + 1), max_size=4)))
            pending = [(first, after - 1) for first, after in zip(ends[::2], ends[1::2], strict=False)]
            content.durables.append((index, sent, pending))
    return content


def name_of(index: int) -> bytes:
    return b"channel.%d" % index


async def fill(store: Store, content: Content, *, with_server: bool = True) -> None:
    """Put `content` into a store that is empty."""
    probe = Probe(store, PATIENCE_S)
    await store.recover(None)
    batch = Batch(1, 0)
    if with_server:
        batch.state.append((KIND_SERVER, b"server", encode_server(b"test-cluster", 100, 100)))
    for index, channel in enumerate(content.channels):
        channel_id = 1 + index * content.id_step
        batch.state.append((KIND_CHANNEL, b"%d" % channel_id, encode_channel_name(name_of(index))))
        if channel.kept:
            batch.runs.append(run_of(channel_id, index, channel))
            if channel.removed:
                batch.floors[channel_id] = channel.first + min(channel.removed, len(channel.kept))
    for number in range(content.clients):
        name = b"client-%d" % number
        batch.state.append((KIND_CLIENT, name, encode_client(ClientRecord(name, b"_INBOX.%d" % number, b"", 1))))
    for number, (index, sent, pending) in enumerate(content.durables, 1):
        batch.state.append((KIND_SUBSCRIPTION, b"%d" % number, durable(number, index)))
        batch.cursors.append(Cursor(number, sent, pending))
    probe.submit(batch)
    await probe.wait_ended(1)
    assert not probe.failed, probe.failed


def run_of(channel_id: int, index: int, channel: ChannelContent) -> Run:
    run = Run(channel_id, channel.first)
    for at, sign in enumerate(channel.kept):
        sequence = channel.first + at
        body = encode_message(sequence, name_of(index), b"", b"x" * channel.size, EPOCH_NS + sequence // 3)
        run.bodies.append(body if sign == "+" else b"")
        run.stamps.append((at, EPOCH_NS + sequence // 3))
    return run


def durable(number: int, index: int) -> bytes:
    record = SubscriptionRecord(number, name_of(index))
    record.client_id = b"me"
    record.durable_name = b"durable-%d" % number
    record.is_durable = True
    return encode_subscription(record)


async def found_in(store: Store) -> Found:
    """Everything that is in `store`."""
    probe = Probe(store, PATIENCE_S)
    recovered = await store.recover(None)
    found = Found(None, {}, {}, {})
    figures = {one.channel_id: one for one in recovered.channels}
    cursors = {one.subscription_id: one for one in recovered.cursors}
    firsts: dict[bytes, int] = {}
    for kind, key, value in recovered.state:
        if kind == KIND_SERVER:
            found.server = value
        elif kind == KIND_CLIENT:
            found.clients[key] = value
        elif kind == KIND_CHANNEL:
            one = figures.get(int(key))
            first, last = (one.first_sequence, one.last_sequence) if one is not None else (0, 0)
            bodies: list[bytes] = []
            while last and first + len(bodies) <= last:
                page = await probe.page(probe.ask_page(int(key), first + len(bodies), MUCH, MUCH))
                assert page, f"channel {key!r} ends before {last}"
                bodies += page
            while bodies and not bodies[0]:
                first += 1
                del bodies[0]
            found.channels[decode_channel_name(value)] = (first, last, bodies)
            firsts[decode_channel_name(value)] = first
    for kind, key, value in recovered.state:
        if kind == KIND_SUBSCRIPTION:
            cursor = cursors.get(int(key))
            # A store may forget that something is pending which is gone for every reader.
            floor = next((first for name, first in firsts.items() if name in value), 0)
            pending = [(max(one, floor), two) for one, two in cursor.pending if two >= floor] if cursor else []
            found.subscriptions[key] = (value, cursor.last_sent if cursor else 0, pending)
    return found


class CutError(Exception):
    """The process ended here."""


class CutStore(DelegatingStore):
    """Takes so many batches; with the next one the process that writes is gone."""

    def __init__(self, inner: Store, batches: int) -> None:
        super().__init__(inner)
        self.left = batches

    def submit(self, batch: Batch) -> None:
        self.left -= 1
        if self.left < 0:
            raise CutError
        super().submit(batch)
