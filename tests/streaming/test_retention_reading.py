"""The limit of bytes on a store whose old messages have to be read: little at a time, and nobody waits for it."""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.store_port import Store
from tests.streaming.harness import Bus
from tests.streaming.slow_bus import SlowBus, SlowStore

MIB = 1024 * 1024


def limited(**limits: int) -> CoreOptions:
    """The defaults, but for limits of every channel."""
    made = CoreOptions()
    made.channel_limits = ChannelLimits(**limits)
    return made


class AskedStore(SlowStore):
    """Notes which messages are read."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.asked: list[int] = []

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        self.asked.append(first)
        return super().read_now(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        self.asked.append(first)
        super().read(request, channel_id, first, count_max, bytes_max)


def answer_all(bus: Bus, store: SlowStore) -> None:
    """Let the store answer until it is asked nothing more."""
    for _ in range(100):
        waiting, store.waiting = store.waiting, []
        for answer in waiting:
            with bus.turn():
                answer()


def test_sizes_are_read_once_however_much_is_published_meanwhile() -> None:
    bus = SlowBus(limited(bytes_max=1000))
    client = bus.connect("a")
    for _ in range(20):
        assert client.publish("foo", bytes(200))[0].error == ""
    assert len(bus.slow.waiting) == 1
    channel = bus.core.state.channels[b"foo"]
    assert channel.message_count == 20
    bus.read_all()
    kept = channel.message_count
    assert 1 <= kept < 5
    assert channel.stored_bytes <= 1000
    assert (channel.first, channel.last) == (21 - kept, 20)
    client.publish("foo", bytes(200))
    bus.read_all()
    assert channel.message_count == kept


def test_a_floor_that_rises_while_sizes_are_read() -> None:
    bus = SlowBus(limited(bytes_max=1000, messages_max=4))
    client = bus.connect("a")
    client.publish("foo", *[bytes(400)] * 4)
    assert len(bus.slow.waiting) == 1
    client.publish("foo", b"x", b"x")
    bus.read_all()
    channel = bus.core.state.channels[b"foo"]
    assert 3 <= channel.first <= channel.last == 6
    assert channel.stored_bytes <= 1000
    client.publish("foo", bytes(600))
    bus.read_all()
    assert channel.stored_bytes <= 1000
    assert channel.message_count >= 1


def test_sizes_of_messages_that_a_floor_has_overtaken_say_nothing() -> None:
    store = SlowStore(MemoryStore())
    bus = Bus(store, limited(bytes_max=1400, messages_max=4))
    client = bus.connect("a")
    client.publish("foo", b"x", b"x", bytes(700), bytes(700))
    client.publish("foo", bytes(600), bytes(600))
    answer_all(bus, store)
    channel = bus.core.state.channels[b"foo"]
    assert (channel.first, channel.last) == (5, 6), "what was not at hand counts exactly, too"
    assert channel.stored_bytes == sum(map(len, store.inner.read_now(channel.channel_id, 5, 9, MIB) or []))


def test_a_channel_that_goes_while_its_sizes_are_read() -> None:
    store = SlowStore(MemoryStore())
    bus = Bus(store, limited(bytes_max=1000, inactivity_max_ns=1_000_000_000))
    client = bus.connect("a")
    client.publish("foo", *[bytes(400)] * 4)
    bus.advance(2)
    assert bus.core.state.channels == {}
    submitted = bus.core.state.batch.number
    answer_all(bus, store)
    assert bus.core.state.batch.number == submitted, "nothing is decided about it"
    client.publish("foo", *[bytes(400)] * 4)
    answer_all(bus, store)
    assert bus.core.state.channels[b"foo"].message_count == 2


def test_no_message_is_read_to_be_dropped() -> None:
    """A limit that is smaller after a restart: hundreds of large messages are not held in memory to be dropped."""
    store = AskedStore(MemoryStore())
    bus = Bus(store, limited(bytes_max=100 * MIB))
    client = bus.connect("a")
    for _ in range(12):
        client.publish("foo", bytes(MIB // 2))
    bus.options.channel_limits.bytes_max = MIB
    bus.options.channel_limits.messages_max = 10
    store.asked.clear()
    bus.restart()
    answer_all(bus, store)
    assert bus.core.state.channels[b"foo"].message_count < 3
    assert store.asked == []


@pytest.mark.row(106, 155)
@pytest.mark.parametrize("is_slow", [False, True])
def test_what_is_dropped_by_count_counts_exactly_however_slow_the_store_is(is_slow: bool) -> None:
    bus = SlowBus(limited(messages_max=10, bytes_max=4000))
    client = bus.connect("a")
    sizes: list[int] = []
    channel = None
    for i in range(200):
        client.publish("foo", *[bytes(i * 37 % 900)] * (i % 3 + 1))
        channel = bus.core.state.channels[b"foo"]
        if not is_slow or i % 7 == 0:
            bus.read_all()
    bus.read_all()
    assert channel is not None
    sizes = bus.slow.sizes[channel.channel_id]
    assert channel.stored_bytes == sum(sizes[channel.first - 1 :])
    assert channel.message_count <= 10
    assert channel.stored_bytes <= 4000
    dropped = sizes[int(channel.first) - 2]
    assert channel.message_count == 10 or channel.stored_bytes + dropped > 4000, "nothing went that could stay"


def test_while_sizes_are_not_known_the_figure_is_rather_too_high() -> None:
    bus = SlowBus(limited(messages_max=2))
    client = bus.connect("a")
    client.publish("foo", bytes(1000), bytes(10))
    client.publish("foo", bytes(10))
    channel = bus.core.state.channels[b"foo"]
    sizes = bus.slow.sizes[channel.channel_id]
    assert channel.stored_bytes == sum(sizes)
    bus.read_all()
    assert channel.stored_bytes == sum(sizes[1:])


def test_an_empty_channel_has_no_bytes_whatever_is_still_to_be_measured() -> None:
    bus = SlowBus(limited(age_max_ns=1_000_000_000))
    client = bus.connect("a")
    client.publish("foo", bytes(1000), bytes(10))
    bus.advance(3)
    bus.read_all()
    channel = bus.core.state.channels[b"foo"]
    assert (channel.message_count, channel.stored_bytes) == (0, 0)
    client.publish("foo", bytes(500))
    bus.read_all()
    assert channel.stored_bytes == bus.slow.sizes[channel.channel_id][2]


def test_a_store_that_cannot_say_is_not_asked_again_and_again() -> None:
    class KnowsNothing(SlowStore):
        def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
            self.asked_count += 1
            self.on_measured(request, first, 0)

        asked_count = 0

    store = KnowsNothing(MemoryStore())
    bus = Bus(store, limited(messages_max=2, bytes_max=1000))
    client = bus.connect("a")
    client.publish("foo", bytes(100), bytes(10))
    client.publish("foo", bytes(10))
    assert store.asked_count == 1
    assert bus.core.state.channels[b"foo"].message_count == 2
    client.publish("foo", bytes(2000))
    assert store.asked_count <= 4
