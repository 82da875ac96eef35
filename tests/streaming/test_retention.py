"""What limits remove: by count, by bytes, by age; and channels that nobody uses."""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.channel import Channel
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import SECOND_NS, Bus, Sub, at_once, encoded


def limited(**limits: int) -> CoreOptions:
    """The defaults, but for limits of every channel."""
    made = CoreOptions()
    made.channel_limits = ChannelLimits(**limits)
    return made


def channel_of(bus: Bus, name: str = "foo") -> Channel:
    """A channel, as the core knows it."""
    return bus.core.state.channels[name.encode()]


def kept(bus: Bus, name: str = "foo") -> list[int]:
    """The sequences that a channel holds; the core and the store agree on it, and on how many bytes that is."""
    channel = channel_of(bus, name)
    found = [message.sequence for message in bus.stored(name)]
    assert found == list(range(channel.first, channel.last + 1)) or not channel.last
    for figures in at_once(bus.store.recover(None)).channels:
        if figures.channel_id == channel.channel_id:
            assert (figures.first_sequence, figures.last_sequence) == (channel.first, channel.last)
            assert figures.stored_bytes == channel.stored_bytes
    return found


def size_of(bus: Bus, sequence: int, data: bytes) -> int:
    """How many bytes a message counts for."""
    return len(encoded("MsgProto", sequence=sequence, subject="foo", data=data, timestamp_ns=bus.clock.wall_ns()))


def remembered(bus: Bus, kind: int) -> int:
    """How many entries of one kind the store has."""
    return len([key for known, key, _ in at_once(bus.store.recover(None)).state if known == kind])


def reports(bus: Bus) -> list[str]:
    """What was said about limits."""
    return [line for line in bus.log.texts("warning") if line.startswith("Reached limits")]


# How many.


@pytest.mark.row(106)
@pytest.mark.parametrize("at_once_count", [1, 2, 5, 6, 20])
def test_the_oldest_go_when_there_are_too_many(at_once_count: int) -> None:
    bus = Bus(options=limited(messages_max=5))
    client = bus.connect("a")
    for first in range(0, 20, at_once_count):
        client.publish("foo", *[b"x" * i for i in range(at_once_count)])
        last = first + at_once_count
        assert kept(bus) == list(range(max(last - 4, 1), last + 1))


@pytest.mark.row(106)
def test_one_message_is_enough() -> None:
    bus = Bus(options=limited(messages_max=1))
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    client.publish("foo", b"4")
    assert [message.data for message in bus.stored("foo")] == [b"4"]


def test_each_channel_counts_for_itself() -> None:
    bus = Bus(options=limited(messages_max=2))
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    client.publish("bar", b"1")
    assert (kept(bus, "foo"), kept(bus, "bar")) == ([2, 3], [1])


def test_no_limit_is_no_limit() -> None:
    bus = Bus(options=limited(messages_max=0, bytes_max=0))
    client = bus.connect("a")
    for _ in range(20):
        client.publish("foo", *[b"x"] * 1000)
    assert len(kept(bus)) == 20_000
    assert reports(bus) == []


@pytest.mark.row(106)
def test_a_limit_is_reported_once_for_each_channel() -> None:
    bus = Bus(options=limited(messages_max=2, bytes_max=2000))
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    client.publish("big", b"x" * 3000)
    assert reports(bus) == [], "a message that is too large by itself is no reason to drop anything"
    client.publish("foo", b"3")
    line = (
        f'Reached limits for store "foo" (msgs=2/2 bytes={2 * size_of(bus, 1, b"1")} B/1.95 KB), '
        "dropping old messages to make room for new ones"
    )
    assert reports(bus) == [line]
    client.publish("foo", b"4", b"x" * 2000)
    client.publish("foo", b"5")
    assert reports(bus) == [line]
    client.publish("bar", b"1", b"2", b"3")
    assert reports(bus) == [line, line.replace('"foo"', '"bar"')]
    for data in (b"1" * 400, b"2" * 600, b"3" * 5000):
        client.publish("one", data)
    assert "(msgs=2/2 bytes=5.51 KB/1.95 KB)" in reports(bus)[-1], "after the first drop, as the original tells it"


def test_the_store_is_told_a_floor_with_the_messages_that_moved_it() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store, limited(messages_max=2))
    client = bus.connect("a")
    for _ in range(4):
        client.publish("foo", b"x")
    number = channel_of(bus).channel_id
    floors = [batch.floors.get(number) for batch in store.submitted if batch.runs]
    assert floors == [None, None, 2, 3]


def test_what_was_dropped_with_its_own_batch_counts_exactly() -> None:
    """Also what never was with the store: a batch that is larger than the limit."""
    bus = Bus(options=limited(messages_max=2))
    client = bus.connect("a")
    client.publish("foo", b"x" * 1000, b"", b"y" * 10, b"z" * 300, b"")
    assert kept(bus) == [4, 5]
    assert channel_of(bus).stored_bytes == size_of(bus, 4, b"z" * 300) + size_of(bus, 5, b"")


def test_what_was_dropped_while_it_was_on_its_way_counts_exactly() -> None:
    store = FaultyStore(MemoryStore())
    store.batches_in_flight_max = 10
    bus = Bus(store, limited(messages_max=2))
    client = bus.connect("a")
    store.hold()
    for i in range(6):
        client.publish("foo", b"x" * (i * 100))
    assert store.held_count == 6
    with bus.turn():
        store.stop_holding()
    assert kept(bus) == [5, 6]


def test_sizes_that_are_not_at_hand_are_measured() -> None:
    store = FaultyStore(MemoryStore())
    store.answers_now = False
    bus = Bus(store, limited(messages_max=10))
    client = bus.connect("a")
    for i in range(200):
        client.publish("foo", b"x" * (i % 7 * 100))
    channel = channel_of(bus)
    assert (channel.first, channel.last) == (191, 200)
    store.answers_now = True
    assert len(kept(bus)) == 10


# How large.


@pytest.mark.row(106)
@pytest.mark.parametrize("at_once_count", [1, 3, 40])
def test_the_oldest_go_when_they_are_too_large(at_once_count: int) -> None:
    bus = Bus(options=limited(messages_max=0, bytes_max=1000))
    client = bus.connect("a")
    sizes: dict[int, int] = {}
    last = 0
    for _ in range(0, 120, at_once_count):
        data = [b"x" * (50 * (last + i) % 170) for i in range(at_once_count)]
        client.publish("foo", *data)
        for one in data:
            last += 1
            sizes[last] = size_of(bus, last, one)
        expected = list(range(1, last + 1))
        while sum(sizes[sequence] for sequence in expected) > 1000:
            expected.pop(0)
        assert kept(bus) == expected
    assert len(reports(bus)) == 1


@pytest.mark.row(106)
def test_a_message_that_is_too_large_is_kept_alone() -> None:
    bus = Bus(options=limited(bytes_max=1000))
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    client.publish("foo", b"x" * 5000)
    assert kept(bus) == [3]
    client.publish("foo", b"y" * 5000)
    assert kept(bus) == [4]
    client.publish("foo", b"5")
    assert kept(bus) == [5]


def test_what_a_store_adds_to_each_message_counts_too() -> None:
    store = FaultyStore(MemoryStore())
    store.message_overhead_bytes = 400
    bus = Bus(store, limited(bytes_max=1000))
    client = bus.connect("a")
    for _ in range(5):
        client.publish("foo", b"x")
    assert [message.sequence for message in bus.stored("foo")] == [4, 5]


def test_sizes_that_have_to_be_read_first() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store, limited(bytes_max=1000))
    client = bus.connect("a")
    store.answers_now = False
    for _ in range(30):
        client.publish("foo", b"x" * 80)
    store.answers_now = True
    size = size_of(bus, 1, b"x" * 80)
    assert len(kept(bus)) == 1000 // size
    store.answers_now = False
    store.hold_answers()
    for _ in range(20):
        client.publish("foo", b"y" * 80)
    with bus.turn():
        store.stop_holding_answers()
    store.answers_now = True
    assert len(kept(bus)) == 1000 // size
    assert {message.data[:1] for message in bus.stored("foo")} == {b"y"}


def test_what_is_not_durable_is_not_dropped() -> None:
    store = FaultyStore(MemoryStore())
    store.batches_in_flight_max = 10
    bus = Bus(store, limited(bytes_max=1000))
    client = bus.connect("a")
    store.hold()
    for _ in range(5):
        client.publish("foo", b"x" * 400)
    assert channel_of(bus).first == 1
    with bus.turn():
        store.release(2)
    assert channel_of(bus).first == 2, "all that can be read but one message"
    with bus.turn():
        store.stop_holding()
    assert kept(bus) == [4, 5]


def test_count_and_bytes_together() -> None:
    bus = Bus(options=limited(messages_max=5, bytes_max=1000))
    client = bus.connect("a")
    for i in range(40):
        client.publish("foo", *[b"x" * (i * 37 % 400)] * (i % 9 + 1))
        found = kept(bus)
        assert 1 <= len(found) <= 5
        assert channel_of(bus).stored_bytes <= 1000


@pytest.mark.row(111, 155)
def test_limits_that_became_smaller_hold_after_a_restart() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", *[b"x" * 100] * 10)
    client.publish("bar", *[b"x" * 1000] * 3)
    bus.options.channel_limits = ChannelLimits(messages_max=4, bytes_max=2000)
    bus.restart()
    assert (kept(bus, "foo"), kept(bus, "bar")) == ([7, 8, 9, 10], [3])


# How old.


@pytest.mark.row(107)
def test_messages_go_when_they_are_that_old() -> None:
    bus = Bus(options=limited(age_max_ns=5 * SECOND_NS))
    client = bus.connect("a")
    for count in (1, 2, 1):
        client.publish("foo", *[b"x"] * count)
        bus.advance(1)
    bus.advance(1.999)
    assert kept(bus) == [1, 2, 3, 4]
    bus.advance(0.001)
    assert kept(bus) == [2, 3, 4]
    bus.advance(1)
    assert kept(bus) == [4]
    bus.advance(1)
    assert kept(bus) == []
    channel = channel_of(bus)
    assert (channel.first, channel.last, channel.message_count, channel.stored_bytes) == (5, 4, 0, 0)
    assert channel.deadline_ns == 0
    client.publish("foo", b"x")
    assert kept(bus) == [5]
    bus.advance(5)
    assert kept(bus) == []
    assert reports(bus) == [], "getting old is no surprise"


def test_what_is_gone_is_not_delivered() -> None:
    bus = Bus(options=limited(age_max_ns=5 * SECOND_NS))
    client = bus.connect("a")
    sub = client.subscribe("foo", max_in_flight=1, ack_wait_s=2)
    for _ in range(4):
        client.publish("foo", b"x")
        bus.advance(1)
    bus.advance(2.5)
    assert sub.sequences == [1, 1, 1, 3], "1 was gone at 5.0, and 2 when 1 was due again at 6.0"


def test_age_does_not_remember_what_other_limits_have_removed() -> None:
    for limits in ({"messages_max": 10}, {"bytes_max": 500}):
        bus = Bus(options=limited(age_max_ns=3600 * SECOND_NS, **limits))
        client = bus.connect("a")
        for _ in range(3000):
            client.publish("foo", b"x")
            bus.advance(0.001)
        assert len(kept(bus)) >= 10
        assert len(channel_of(bus).stamps) <= 30, "else a day's worth of moments would be kept"
        bus.advance(3590)
        assert len(kept(bus)) >= 10
        bus.advance(10)
        assert kept(bus) == []


def test_what_is_not_durable_does_not_get_old() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store, limited(age_max_ns=5 * SECOND_NS))
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(1)
    store.hold()
    client.publish("foo", b"2")
    bus.clock.advance(10 * SECOND_NS)
    bus.core.advance(bus.clock.monotonic_ns(), bus.clock.wall_ns())
    assert (channel_of(bus).first, channel_of(bus).last) == (2, 2)
    with bus.turn():
        store.stop_holding()
    bus.advance(0.001)
    assert kept(bus) == []


@pytest.mark.row(154)
def test_age_goes_on_after_a_restart() -> None:
    bus = Bus(options=limited(age_max_ns=10 * SECOND_NS))
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(5)
    client.publish("foo", b"2")
    bus.restart(absent_s=3)
    assert kept(bus) == [1, 2]
    client.publish("foo", b"3")
    bus.advance(3)
    assert kept(bus) == [2, 3], "within a second of its time"
    bus.advance(5)
    assert kept(bus) == [3]
    bus.advance(1.9)
    assert kept(bus) == [3]
    bus.advance(0.2)
    assert kept(bus) == []


@pytest.mark.row(107, 111, 154)
def test_what_got_old_while_the_server_was_away() -> None:
    bus = Bus(options=limited(age_max_ns=10 * SECOND_NS))
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(5)
    client.publish("foo", b"2")
    bus.restart(absent_s=6)
    assert kept(bus) == [2]
    bus.restart(absent_s=60)
    assert kept(bus) == []
    client.publish("foo", b"3")
    assert kept(bus) == [3]


@pytest.mark.row(154)
def test_age_on_a_store_that_takes_its_time() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store, limited(age_max_ns=10 * SECOND_NS))
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(5)
    client.publish("foo", b"2")
    store.hold_answers()
    bus.recover()
    bus.advance(6)
    client.publish("foo", b"3")
    assert kept(bus) == [1, 2, 3]
    for _ in range(3):
        with bus.turn():
            store.release_answers()
        bus.advance(1)
    assert kept(bus) == [2, 3]


# Channels that nobody uses.


def idle(limit_s: float = 2, **limits: int) -> Bus:
    """A bus whose channels go after `limit_s` without use."""
    return Bus(options=limited(inactivity_max_ns=round(limit_s * SECOND_NS), **limits))


def assert_deleted_at(bus: Bus, at_s: float, name: str = "foo") -> None:
    """The channel is there until that moment."""
    bus.advance(at_s - bus.now_s - 0.001)
    assert name.encode() in bus.core.state.channels
    bus.advance(0.001)
    assert name.encode() not in bus.core.state.channels
    assert bus.log.texts("info")[-1] == f'Channel "{name}" has been deleted'


@pytest.mark.row(113, 114)
def test_a_channel_that_nobody_uses_is_deleted() -> None:
    bus = idle()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    assert_deleted_at(bus, 2.0)
    assert remembered(bus, KIND_CHANNEL) == 0
    assert at_once(bus.store.recover(None)).channels == []
    client.publish("foo", b"anew")
    assert [(message.sequence, message.data) for message in bus.stored("foo")] == [(1, b"anew")]
    assert_deleted_at(bus, 4.0)


@pytest.mark.row(113)
def test_every_message_keeps_a_channel_alive() -> None:
    bus = idle()
    client = bus.connect("a")
    for _ in range(10):
        client.publish("foo", b"x")
        bus.advance(1.9)
    client.publish("foo", b"x")
    assert kept(bus) == list(range(1, 12))
    assert_deleted_at(bus, 21.0)


@pytest.mark.row(113)
def test_a_subscription_keeps_a_channel_alive_until_it_ends() -> None:
    bus = idle()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    other = client.subscribe("foo", queue="g")
    bus.advance(100)
    sub.close()
    bus.advance(100)
    other.unsubscribe()
    assert_deleted_at(bus, 202.0)


@pytest.mark.row(113)
def test_a_subscription_stops_the_time() -> None:
    bus = idle()
    client = bus.connect("a")
    client.publish("foo", b"x")
    bus.advance(1.9)
    sub = client.subscribe("foo")
    bus.advance(10)
    sub.close()
    assert_deleted_at(bus, 13.9)


def test_a_subscription_that_is_refused_does_not() -> None:
    bus = idle(subscriptions_max=1)
    client = bus.connect("a")
    client.subscribe("foo", durable="d").close()
    bus.advance(1.5)
    assert client.subscribe("foo").error == "too many subscriptions per channel"
    assert_deleted_at(bus, 2.0)


@pytest.mark.row(113)
@pytest.mark.parametrize("fields", [{"durable": "d"}, {"durable": "d", "queue": "g"}])
def test_offline_durables_go_with_their_channel(fields: dict[str, str]) -> None:
    bus = idle()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    client.subscribe("foo", **fields).close()  # type: ignore[arg-type]
    assert_deleted_at(bus, 2.0)
    assert remembered(bus, KIND_SUBSCRIPTION) == 0
    client.publish("foo", b"anew")
    sub: Sub = client.subscribe("foo", **fields)  # type: ignore[arg-type]
    assert [(message.sequence, message.data, message.count) for message in sub.messages] == [(1, b"anew", 0)]


def test_positions_go_with_their_channel() -> None:
    """Also those that changed just before, and would be stored a second later."""
    bus = idle(0.5)
    client = bus.connect("a")
    client.publish("foo", b"1")
    client.subscribe("foo", durable="d").close()
    bus.advance(10)
    assert bus.core.state.channels == {}
    assert at_once(bus.store.recover(None)).cursors == []


@pytest.mark.row(113)
def test_a_client_that_closes_lets_its_channels_go() -> None:
    bus = idle()
    client = bus.connect("a")
    client.subscribe("foo")
    client.subscribe("bar", durable="d")
    bus.advance(10)
    client.close()
    assert_deleted_at(bus, 12.0, "bar")
    assert bus.core.state.channels == {}


@pytest.mark.row(113)
def test_a_client_that_is_away_holds_its_channel_until_its_session_ends() -> None:
    options = limited(inactivity_max_ns=2 * SECOND_NS)
    options.heartbeat_interval_ns = 3 * SECOND_NS
    options.heartbeat_failures_max = 2
    bus = Bus(options=options)
    client = bus.connect("a")
    client.subscribe("foo")
    client.vanish()
    assert_deleted_at(bus, 3 * 3 + 2)


def test_a_deleted_channel_makes_room_for_others() -> None:
    options = limited(inactivity_max_ns=2 * SECOND_NS)
    options.channels_max = 1
    bus = Bus(options=options)
    client = bus.connect("a")
    client.publish("foo", b"1")
    assert client.publish("Foo", b"1")[0].error.startswith("rejecting channel")
    assert client.publish("bar", b"1")[0].error == "too many channels"
    bus.advance(2)
    assert client.publish("Foo", b"1")[0].error == ""


def test_a_channel_in_use_does_not_go_with_others() -> None:
    bus = idle()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("bar", b"1")
    bus.advance(5)
    client.publish("foo", b"1")
    assert sub.sequences == [1]
    assert list(bus.core.state.channels) == [b"foo"]


def test_a_message_on_its_way_holds_its_channel() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store, limited(inactivity_max_ns=2 * SECOND_NS))
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(1)
    store.hold()
    client.publish("bar", b"1")
    acks = client.publish("foo", b"2")
    bus.advance(1.5)
    assert b"foo" in bus.core.state.channels
    with bus.turn():
        store.stop_holding()
    assert [ack.error for ack in acks] == [""]
    assert kept(bus) == [1, 2]
    bus.advance(2)
    assert bus.core.state.channels == {}


def test_after_a_restart_the_time_begins_anew() -> None:
    bus = idle()
    client = bus.connect("a")
    client.publish("foo", b"1")
    client.subscribe("foo", durable="d").close()
    bus.advance(1.5)
    bus.restart()
    assert kept(bus) == [1]
    assert_deleted_at(bus, 3.5)


def test_a_publisher_goes_on_in_the_new_channel() -> None:
    """Within one turn: the channel goes, and a message for it comes."""
    bus = idle()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    bus.clock.advance(2 * SECOND_NS)
    with bus.turn():
        bus.core.state.timers.fire(bus.clock.monotonic_ns())
        acks = client.publish("foo", b"3")
    assert [ack.error for ack in acks] == [""]
    assert kept(bus) == [1]
    assert len(at_once(bus.store.recover(None)).channels) == 1


def test_age_and_inactivity_together() -> None:
    bus = idle(4, age_max_ns=1 * SECOND_NS)
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(1)
    assert kept(bus) == []
    assert_deleted_at(bus, 4.0)


def test_no_limit_no_deletion() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1")
    bus.advance(100_000)
    assert kept(bus) == [1]
