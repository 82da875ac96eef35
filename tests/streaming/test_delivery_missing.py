"""Delivery from a store that has nothing where a message should be."""

import pytest

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from tests.streaming.harness import Bus, Client
from tests.streaming.slow_bus import SlowBus


class HollowStore(DelegatingStore):
    """Finds nothing where the sequence is one of `missing`."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.missing: set[int] = set()

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        found = self.inner.read_now(channel_id, first, count_max, bytes_max) or []
        for index in range(len(found)):
            if first + index in self.missing:
                return found[:index]
        return found


def heard_on(client: Client, inbox: str) -> int:
    """How many messages of any kind came to an inbox."""
    return [subject for subject, _ in client.heard].count(inbox.encode())


@pytest.fixture
def store() -> HollowStore:
    """A store that has everything so far."""
    return HollowStore()


@pytest.mark.row(59, 61)
@pytest.mark.parametrize("queue", ["", "g"])
def test_a_message_that_is_not_found_holds_up_those_behind_it_until_the_next_occasion(
    store: HollowStore, queue: str
) -> None:
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo", queue=queue)
    other = client.subscribe("bar")
    store.missing = {2}
    client.publish("foo", b"1", b"2", b"3")
    client.publish("bar", b"1")
    assert (sub.sequences, other.sequences, heard_on(client, sub.inbox)) == ([1], [1], 1)
    assert bus.log.texts("error") == ["Error looking up message foo:2 (the store has nothing there)"]
    bus.advance(20)
    assert len(bus.log.texts("error")) == 1, "it is not tried again and again"
    store.missing.clear()
    sub.ack(1)
    assert (sub.sequences, sub.first_deliveries) == ([1, 2, 3], [1, 2, 3])


@pytest.mark.row(59, 61)
@pytest.mark.parametrize("queue", ["", "g"])
def test_a_message_that_is_not_found_again_stays_pending(store: HollowStore, queue: str) -> None:
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo", queue=queue, ack_wait_s=5)
    client.publish("foo", b"1", b"2", b"3")
    sub.clear()
    store.missing = {2}
    bus.advance(5)
    assert [(message.sequence, message.count) for message in sub.clear()] == [(1, 1), (3, 1)]
    assert heard_on(client, sub.inbox) == 3 + 2
    assert bus.log.texts("error") == [
        "Error getting message for redelivery subid=1, seq=2, err=the store has nothing there"
    ]
    store.missing.clear()
    bus.advance(5)
    assert [(message.sequence, message.count) for message in sub.messages] == [(1, 2), (2, 1), (3, 2)]


def test_a_message_that_is_never_found_does_not_fill_the_log(store: HollowStore) -> None:
    """Each new message is an occasion to look again: under load, thousands in a second."""
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo")
    store.missing = {1}
    for _ in range(1000):
        client.publish("foo", b"x")
    bus.advance(10)
    assert sub.sequences == []
    lines = bus.log.texts("error")
    assert len(lines) < 20
    assert lines[-1] == "Error looking up messages: 990 more times in 10 seconds"


def test_a_message_that_is_not_found_when_it_is_read_again_stays_pending() -> None:
    bus = SlowBus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=5)
    client.publish("foo", b"1", b"2")
    bus.read_all()
    sub.clear()
    bus.advance(5)
    assert len(bus.slow.waiting) == 1
    bus.slow.waiting.clear()
    with bus.turn():
        bus.slow.on_page(bus.core.state.request_count, [])
    bus.read_all()
    assert [(message.sequence, message.count) for message in sub.clear()] == [(2, 1)]
    assert bus.log.texts("error") == [
        "Error getting message for redelivery subid=1, seq=1, err=the store has nothing there"
    ]
    bus.advance(5)
    bus.read_all()
    assert [(message.sequence, message.count) for message in sub.messages] == [(1, 1), (2, 2)]
