"""A store that has lost messages: they are passed over, and hold up nothing."""

import pytest

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Store
from tests.streaming.harness import Bus


class LossyStore(DelegatingStore):
    """Has lost the messages in `lost`; with `is_slow` nothing is at hand."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.has_lost = True
        self.lost: set[int] = set()
        self.is_slow = False

    def _page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        bodies = self.inner.read_now(channel_id, first, count_max, bytes_max) or []
        return [b"" if first + index in self.lost else body for index, body in enumerate(bodies)]

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        return None if self.is_slow else self._page(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        self.on_page(request, self._page(channel_id, first, count_max, bytes_max))


def lossy_bus(*lost: int, is_slow: bool) -> tuple[Bus, LossyStore]:
    store = LossyStore(MemoryStore())
    store.lost.update(lost)
    store.is_slow = is_slow
    return Bus(store), store


@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize("lost", [(1,), (5,), (10,), (1, 2, 3), (2, 4, 6, 8), tuple(range(1, 11)), (9, 10)])
def test_what_is_lost_is_passed_over(lost: tuple[int, ...], is_slow: bool) -> None:
    bus, _ = lossy_bus(*lost, is_slow=is_slow)
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 10)
    sub = client.subscribe("foo", max_in_flight=3, auto_ack=True)
    assert sub.sequences == [number for number in range(1, 11) if number not in lost]
    client.publish("foo", b"x")
    assert sub.sequences[-1] == 11


@pytest.mark.parametrize("is_slow", [False, True])
def test_the_window_of_a_group_is_kept(is_slow: bool) -> None:
    bus, _ = lossy_bus(2, 3, is_slow=is_slow)
    client = bus.connect("a")
    subs = [client.subscribe("foo", queue="q", max_in_flight=1) for _ in range(2)]
    client.publish("foo", *[b"x"] * 6)
    assert sorted(number for sub in subs for number in sub.sequences) == [1, 4]
    for sub in subs:
        sub.ack(*sub.sequences)
    assert sorted(number for sub in subs for number in sub.sequences) == [1, 4, 5, 6]


@pytest.mark.parametrize("is_slow", [False, True])
def test_what_was_lost_in_flight_counts_as_acknowledged(is_slow: bool) -> None:
    bus, store = lossy_bus(is_slow=is_slow)
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=3, ack_wait_s=5)
    client.publish("foo", *[b"x"] * 4)
    assert sub.sequences == [1, 2, 3]
    store.lost.add(2)
    bus.advance(5)
    assert sub.sequences == [1, 2, 3, 1, 3, 4]
    assert bus.core.state.channels[b"foo"].cohorts[0].window.sequences() == [1, 3, 4]


def test_after_a_restart_too() -> None:
    bus, store = lossy_bus(is_slow=True)
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d", ack_wait_s=5)
    client.publish("foo", *[b"x"] * 3)
    store.lost.add(2)
    bus.restart()
    sub.clear()
    bus.advance(6)
    assert sub.sequences == [1, 3]


def test_a_limit_of_bytes_goes_over_it() -> None:
    bus, store = lossy_bus(is_slow=True)
    client = bus.connect("a")
    client.publish("foo", *[b"x" * 100] * 10)
    store.lost.update((1, 2))
    bus.core.state.channels[b"foo"].limits.bytes_max = 700
    client.publish("foo", b"y" * 100)
    assert bus.core.state.channels[b"foo"].first > 3
