"""The limit of bytes on a store whose old messages have to be read: little at a time, and nobody waits for it."""

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
    """Notes how much it is asked for."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.asked: list[int] = []

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        self.asked.append(bytes_max)
        return super().read_now(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        self.asked.append(bytes_max)
        super().read(request, channel_id, first, count_max, bytes_max)


class EagerStore(SlowStore):
    """What a read finds is what was there when it was asked for."""

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        bodies = self.inner.read_now(channel_id, first, count_max, bytes_max) or []
        self.waiting.append(lambda: self.on_page(request, bodies))


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
    store = EagerStore(MemoryStore())
    bus = Bus(store, limited(bytes_max=1400, messages_max=4))
    client = bus.connect("a")
    client.publish("foo", b"x", b"x", bytes(700), bytes(700))
    client.publish("foo", bytes(600), bytes(600))
    answer_all(bus, store)
    channel = bus.core.state.channels[b"foo"]
    assert (channel.first, channel.last) == (4, 6), "what was not read counts with its average"


def test_a_channel_that_goes_while_its_sizes_are_read() -> None:
    store = EagerStore(MemoryStore())
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


def test_no_page_of_sizes_is_large() -> None:
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
    assert store.asked
    assert max(store.asked) <= 8 * MIB
