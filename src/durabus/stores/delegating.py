"""A store that passes everything on to another one: the base of wrappers that change one thing."""

from durabus.streaming.store_port import Batch, Lease, Recovered, Store, StoreListener

__all__ = ["DelegatingStore"]


class DelegatingStore(Store):
    """Is `inner` to the core, and the core to `inner`. A subclass overrides the calls or the answers that it changes.

    What the inner store says of itself is taken over at first and, as far as it changes, with each `recover`. That its
    answers come within the calls is not: a wrapper may hold them back.
    """

    def __init__(self, inner: Store) -> None:
        """Stand in for `inner`, whose listener this object becomes."""
        self.inner = inner
        self.listener: StoreListener | None = None
        self.name = inner.name
        self.durability = inner.durability
        self.message_bytes_max = inner.message_bytes_max
        self.message_overhead_bytes = inner.message_overhead_bytes
        self.data_overhead_bytes = inner.data_overhead_bytes
        self.batches_in_flight_max = inner.batches_in_flight_max
        self.batch_messages_best = inner.batch_messages_best
        self.has_lost = inner.has_lost
        self._figures = _figures(inner)
        self.attach()

    def attach(self) -> None:
        """Hear how the inner store's work ends."""
        self.inner.bind(_Relay(self))

    def take_figures(self) -> None:
        """Take over what has changed in what the inner store says of itself."""
        figures = _figures(self.inner)
        for name, value in figures.items():
            if value != self._figures[name]:
                setattr(self, name, value)
        self._figures = figures

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how work ends, from now on."""
        self.listener = listener

    def channel_complaint(self, name: bytes) -> str:
        """As the inner store does."""
        return self.inner.channel_complaint(name)

    async def acquire(self, owner: str) -> Lease | None:
        """As the inner store does."""
        return await self.inner.acquire(owner)

    async def recover(self, lease: Lease | None) -> Recovered:
        """As the inner store does."""
        recovered = await self.inner.recover(lease)
        self.take_figures()
        return recovered

    def submit(self, batch: Batch) -> None:
        """Pass `batch` on."""
        self.inner.submit(batch)

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """As the inner store does."""
        if self.inner.has_lost:
            self.has_lost = True
        return self.inner.read_now(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Pass the question on."""
        self.inner.read(request, channel_id, first, count_max, bytes_max)

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Pass the question on."""
        self.inner.seek(request, channel_id, timestamp_ns)

    def sizes_now(self, channel_id: int, first: int, count_max: int) -> list[int]:
        """As the inner store does."""
        return self.inner.sizes_now(channel_id, first, count_max)

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Pass the question on."""
        self.inner.measure(request, channel_id, first, end, enough_bytes)

    async def close(self) -> None:
        """Close the inner store."""
        await self.inner.close()

    def on_durable(self, number: int) -> None:
        """The inner store reports batch `number` durable: pass it on."""
        if self.listener is not None:
            self.listener.on_durable(number)

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """The inner store reports batch `number` failed: pass it on."""
        if self.listener is not None:
            self.listener.on_failed(number, outcome, text)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """The inner store answers a read: pass it on."""
        if self.inner.has_lost:
            self.has_lost = True
        if self.listener is not None:
            self.listener.on_page(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        """The inner store answers a seek: pass it on."""
        if self.listener is not None:
            self.listener.on_seek(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        """The inner store answers a measure: pass it on."""
        if self.listener is not None:
            self.listener.on_measured(request, end, size_bytes)


def _figures(store: Store) -> dict[str, object]:
    """What `store` says of itself and may say anew after `recover`, by the names of the attributes."""
    return {
        "name": store.name,
        "durability": store.durability,
        "message_bytes_max": store.message_bytes_max,
        "message_overhead_bytes": store.message_overhead_bytes,
        "data_overhead_bytes": store.data_overhead_bytes,
        "batches_in_flight_max": store.batches_in_flight_max,
        "batch_messages_best": store.batch_messages_best,
        "has_lost": store.has_lost,
    }


class _Relay(StoreListener):
    """What the inner store talks to. An object of its own, for a compiled class cannot have two compiled bases."""

    def __init__(self, owner: DelegatingStore) -> None:
        self._owner = owner

    def on_durable(self, number: int) -> None:
        self._owner.on_durable(number)

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        self._owner.on_failed(number, outcome, text)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        self._owner.on_page(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        self._owner.on_seek(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        self._owner.on_measured(request, end, size_bytes)
