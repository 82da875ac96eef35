"""Drives a store as a core does, with batches of a few messages on one channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from durabus.stores.sql.store import SqlStore
from durabus.stores.sql.sweeping import Sweeper
from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
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
    Lease,
    Recovered,
    Run,
)
from durabus.testing.conformance.probe import Probe
from durabus.wire.stan_messages import encode_message

__all__ = ["Driver", "bodies", "driven"]

MUCH = 1 << 30


def bodies(first: int, count: int, data: bytes = b"data") -> list[bytes]:
    """Messages of channel foo."""
    return [encode_message(number, b"foo", b"", data, number) for number in range(first, first + count)]


class Driver:
    """One store, recovered, and the number of its next batch."""

    def __init__(self, store: SqlStore, lease: Lease | None = None) -> None:
        self.store = store
        self.lease = lease
        self.probe = Probe(store, 30)
        self.number = 0

    async def recover(self) -> Recovered:
        """Everything that is stored."""
        recovered = await self.store.recover(self.lease)
        self.probe.begin_again()
        self.number = 0
        return recovered

    def batch(self) -> Batch:
        """The next batch, empty."""
        self.number += 1
        return Batch(self.number, self.lease.epoch if self.lease is not None else 0)

    async def submit(self, batch: Batch) -> tuple[int, str] | None:
        """Submit a batch and wait for its end: how it failed, None when it did not."""
        self.probe.submit(batch)
        await self.probe.wait_ended(batch.number)
        self.probe.check()
        return self.probe.failed.get(batch.number)

    def publish(self, batch: Batch, first: int, count: int, data: bytes = b"data", channel_id: int = 1) -> None:
        """Let `batch` store messages."""
        run = Run(channel_id, first)
        run.bodies = bodies(first, count, data)
        run.stamps = [(index, first + index) for index in range(count)]
        batch.runs.append(run)

    async def begin(self) -> None:
        """Channel foo (1), its subscription (1), a server record."""
        batch = self.batch()
        batch.state.append((KIND_SERVER, b"server", encode_server(b"test-cluster")))
        self.add_channel(batch, 1, b"foo")
        self.add_subscription(batch, 1, b"foo")
        assert await self.submit(batch) is None

    def add_channel(self, batch: Batch, channel_id: int, name: bytes) -> None:
        batch.state.append((KIND_CHANNEL, b"%d" % channel_id, encode_channel_name(name)))

    def add_subscription(self, batch: Batch, number: int, channel: bytes) -> None:
        record = SubscriptionRecord(number, channel)
        record.client_id = b"me"
        record.is_durable = True
        batch.state.append((KIND_SUBSCRIPTION, b"%d" % number, encode_subscription(record)))

    def add_client(self, batch: Batch, name: bytes) -> None:
        batch.state.append((KIND_CLIENT, name, encode_client(ClientRecord(name, b"_INBOX.x", b"", 1))))

    def some_of_everything(self, batch: Batch, first: int, count: int) -> None:
        """Messages, a client of the first one's number, a cursor and a floor."""
        self.add_client(batch, b"client-%d" % first)
        self.publish(batch, first, count)
        batch.floors[1] = max(1, first - 5)
        batch.cursors.append(Cursor(1, first, [(first, first)]))

    async def sweep(self) -> None:
        """Let everything that is dead leave the tables now."""
        store = self.store
        assert store._sweeper is not None
        await store._sweeper.stop()
        await Sweeper(store._database, store._contents).sweep()

    async def messages(self, first: int = 1, channel_id: int = 1) -> list[bytes]:
        """All messages from `first` on."""
        found: list[bytes] = []
        while page := await self.probe.page(self.probe.ask_page(channel_id, first + len(found), MUCH, MUCH)):
            found += page
        return found


@asynccontextmanager
async def driven(store: SqlStore, owner: str = "") -> AsyncIterator[Driver]:
    """A driver of `store`, recovered; as the `owner` of a group's store if there is one. Closed at the end."""
    try:
        lease = await store.acquire(owner) if owner else None
        driver = Driver(store, lease)
        async with asyncio.timeout(60):
            await driver.recover()
            yield driver
    finally:
        await store.close()
