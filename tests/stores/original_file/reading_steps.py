"""What the tests of reading an original share: reading all of it, in any pages, and saying what there must be."""

from dataclasses import dataclass, field
from pathlib import Path

from durabus.stores.original_file.checksum import IEEE
from durabus.stores.original_file.store import OriginalFileStore, OriginalOptions
from durabus.streaming.records import SubscriptionRecord, decode_channel_name, decode_server, decode_subscription
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SERVER, KIND_SUBSCRIPTION

__all__ = ["ReadChannel", "ReadStore", "checksums_of", "read_original"]


@dataclass
class ReadChannel:
    """What was read of one channel; an empty body is a lost message."""

    first: int
    last: int
    stored_bytes: int
    last_timestamp_ns: int
    bodies: list[bytes]

    @property
    def by_sequence(self) -> dict[int, bytes]:
        return dict(enumerate(self.bodies, self.first))

    @property
    def lost(self) -> list[int]:
        return [sequence for sequence, body in self.by_sequence.items() if not body]


@dataclass
class ReadStore:
    """What was read of a store; subscriptions by channel and name, with position and pending messages."""

    cluster_id: bytes = b""
    channel_id_last: int = 0
    subscription_id_last: int = 0
    channels: dict[str, ReadChannel] = field(default_factory=dict)
    clients: dict[bytes, bytes] = field(default_factory=dict)
    subscriptions: dict[int, tuple[SubscriptionRecord, int, list[int]]] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    lost_count: int = 0

    def position(self, channel: str, durable: str) -> tuple[int, list[int]]:
        """Where a durable stands: what it was sent, and what it has not acknowledged."""
        wanted = channel.encode(errors="surrogateescape"), durable.encode()
        ((last_sent, pending),) = (
            (last_sent, pending)
            for record, last_sent, pending in self.subscriptions.values()
            if (record.channel, record.durable_name or record.queue_group) == wanted
        )
        return last_sent, pending


async def read_original(
    folder: Path,
    page: int = 1000,
    page_bytes: int = 1 << 20,
    *,
    quarantine: Path | str = "",
    cluster_id: bytes = b"",
    crc_polynomial: int = IEEE,
    check_crc: bool = True,
) -> ReadStore:
    """Everything in `folder`, messages in pages of that size at most."""
    options = OriginalOptions(cluster_id, crc_polynomial, check_crc)
    store = OriginalFileStore(str(folder), options, str(quarantine))
    found = ReadStore()
    try:
        recovered = await store.recover(None)
        found.damage, found.lost_count = recovered.damage, store.lost_count
        names: dict[int, str] = {}
        cursors = {cursor.subscription_id: cursor for cursor in recovered.cursors}
        for kind, key, value in recovered.state:
            if kind == KIND_SERVER:
                server = decode_server(value)
                found.cluster_id = server.cluster_id
                found.channel_id_last = server.channel_id_last
                found.subscription_id_last = server.subscription_id_last
            elif kind == KIND_CHANNEL:
                names[int(key)] = decode_channel_name(value).decode(errors="surrogateescape")
            elif kind == KIND_CLIENT:
                found.clients[key] = value
            elif kind == KIND_SUBSCRIPTION:
                cursor = cursors[int(key)]
                pending = [sequence for first, last in cursor.pending for sequence in range(first, last + 1)]
                found.subscriptions[int(key)] = (decode_subscription(value), cursor.last_sent, pending)
        for figures in recovered.channels:
            bodies: list[bytes] = []
            due = figures.first_sequence
            while figures.last_sequence and due <= figures.last_sequence:
                some = store.read_now(figures.channel_id, due, page, page_bytes)
                assert some and len(some) <= page, (due, some)
                assert len(some) == 1 or sum(map(len, some)) <= page_bytes
                bodies += some
                due += len(some)
            assert store.read_now(figures.channel_id, due, page, page_bytes) == []
            assert sum(map(len, bodies)) == figures.stored_bytes
            found.channels[names[figures.channel_id]] = ReadChannel(
                figures.first_sequence, figures.last_sequence, figures.stored_bytes, figures.last_timestamp_ns, bodies
            )
    finally:
        await store.close()
    return found


def checksums_of(folder: Path) -> dict[str, bytes]:
    """All files of the original below `folder`, to see that none was touched."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("durabus", ".rootdir"))
    }
