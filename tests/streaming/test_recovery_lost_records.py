"""A store that has lost some of its records: what they were about is reached all the same, and no number is given twice."""

from durabus.stores.memory import MemoryStore
from durabus.streaming.records import SubscriptionRecord, encode_channel_name, encode_subscription
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION, Batch, Cursor, StoreListener
from tests.streaming.harness import Bus, at_once


def test_messages_of_a_channel_without_a_record_are_served_under_a_name_of_its_own() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("kept", b"0")
    client.publish("foo", b"1", b"2", b"3")
    forget(bus, KIND_CHANNEL, b"2")
    bus.restart()
    assert 'the record of channel 2 is lost: its messages 1 to 3 are in channel "lost-channel-2" now' in bus.log.texts(
        "error"
    )
    assert [(message.sequence, message.data) for message in bus.stored("lost-channel-2")] == [
        (1, b"1"), (2, b"2"), (3, b"3"),
    ]  # fmt: skip
    client = bus.connect("b")
    assert client.subscribe("lost-channel-2").sequences == [1, 2, 3]
    client.publish("foo", b"new")
    assert sorted(bus.core.state.channels_by_id) == [1, 2, 3], "its number is not given to another one"
    bus.log.lines.clear()
    bus.restart()
    assert bus.log.texts("error") == []
    assert sorted(bus.core.state.channels) == [b"foo", b"kept", b"lost-channel-2"]


def test_a_channel_without_a_record_and_without_messages_is_nothing() -> None:
    bus = Bus()
    bus.connect("a").publish("foo", b"1")
    forget(bus, KIND_CHANNEL, b"1")
    bus.store.bind(StoreListenerForNobody())
    batch = Batch(1, 0)
    batch.floors[1] = 2
    bus.store.submit(batch)
    bus.restart(crash=True)
    assert bus.core.state.channels == {}


def test_a_position_without_its_subscription_goes_to_nobody_else() -> None:
    store = MemoryStore()
    batch = Batch(1, 0)
    batch.state.append((KIND_CHANNEL, b"1", encode_channel_name(b"foo")))
    batch.cursors.append(Cursor(7, 100, [(3, 9)]))
    store.submit(batch)
    bus = Bus(store)
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    client.subscribe("foo", durable="d")
    assert [key for kind, key, _ in at_once(bus.store.recover(None)).state if kind == KIND_SUBSCRIPTION] == [b"8"]


def test_a_subscription_without_its_channel_is_named() -> None:
    store = MemoryStore()
    record = SubscriptionRecord(8, b"unknown")
    record.client_id = b"me"
    batch = Batch(1, 0)
    batch.state.append((KIND_SUBSCRIPTION, b"8", encode_subscription(record)))
    store.submit(batch)
    bus = Bus(store)
    assert bus.log.texts("error") == [
        'subscription record 8 cannot be used, it is left alone: that of client "me" in channel "unknown"'
    ]


class StoreListenerForNobody(StoreListener):
    """Is told how a batch ended that no core has made."""

    def on_durable(self, number: int) -> None:
        assert number == 1


def forget(bus: Bus, kind: int, key: bytes) -> None:
    """Let the store lose one record."""
    assert isinstance(bus.store, MemoryStore)
    del bus.store._state[(kind, key)]
