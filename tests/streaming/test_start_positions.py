"""Where a subscription begins: the five positions on every state of a channel, also while the store is still looking."""

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import FIRST, LAST_RECEIVED, NEW_ONLY, SECOND_NS, SEQUENCE, TIME_DELTA, Bus, Client, Sub

INT64_MAX = 2**63 - 1


def limited(**limits: int) -> CoreOptions:
    """The defaults, but for limits of every channel."""
    made = CoreOptions()
    made.channel_limits = ChannelLimits(**limits)
    return made


def channel_of(bus: Bus, kind: str) -> tuple[Client, list[int]]:
    """A publisher, and what its channel `foo` holds: one message each second, the last one half a second ago."""
    client = bus.connect("p")
    if kind == "empty":
        client.subscribe("foo").unsubscribe()
        return client, []
    for i in range(10):
        bus.advance(1)
        client.publish("foo", b"%d" % i)
    bus.advance(20 if kind == "expired" else 0.5)
    return client, [message.sequence for message in bus.stored("foo")]


KINDS: dict[str, tuple[dict[str, int], list[int]]] = {
    "full": ({}, list(range(1, 11))),
    "trimmed": ({"messages_max": 5}, [6, 7, 8, 9, 10]),
    "expired": ({"age_max_ns": 15 * SECOND_NS}, []),
    "empty": ({}, []),
}


@pytest.mark.row(37, 38, 39)
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    ("position", "count"),
    [
        ({"start": NEW_ONLY}, 0),
        ({"start": LAST_RECEIVED}, 1),
        ({"start": FIRST}, 10),
        ({"start": SEQUENCE, "start_sequence": 0}, 10),
        ({"start": SEQUENCE, "start_sequence": 1}, 10),
        ({"start": SEQUENCE, "start_sequence": 6}, 5),
        ({"start": SEQUENCE, "start_sequence": 8}, 3),
        ({"start": SEQUENCE, "start_sequence": 10}, 1),
        ({"start": SEQUENCE, "start_sequence": 11}, 0),
        ({"start": SEQUENCE, "start_sequence": 50}, 0),
        ({"start": SEQUENCE, "start_sequence": 2**63}, 0),
        ({"start": SEQUENCE, "start_sequence": 2**64 - 1}, 0),
        ({"start": TIME_DELTA, "start_delta_ns": 0}, 0),
        ({"start": TIME_DELTA, "start_delta_ns": 1}, 0),
        ({"start": TIME_DELTA, "start_delta_ns": -SECOND_NS}, 0),
        ({"start": TIME_DELTA, "start_delta_ns": -(2**63)}, 0),
        ({"start": TIME_DELTA, "start_delta_ns": SECOND_NS // 2 - 1}, 0),
        ({"start": TIME_DELTA, "start_delta_ns": SECOND_NS // 2}, 1),
        ({"start": TIME_DELTA, "start_delta_ns": 5 * SECOND_NS // 2 - 1}, 2),
        ({"start": TIME_DELTA, "start_delta_ns": 5 * SECOND_NS // 2}, 3),
        ({"start": TIME_DELTA, "start_delta_ns": 3600 * SECOND_NS}, 10),
        ({"start": TIME_DELTA, "start_delta_ns": INT64_MAX}, 10),
    ],
)
def test_start_positions(kind: str, position: dict[str, int], count: int) -> None:
    """`count` is how many of the ten messages, the youngest ones, are at or after the position."""
    limits, expected = KINDS[kind]
    bus = Bus(options=limited(**limits))
    publisher, held = channel_of(bus, kind)
    assert held == expected
    sub = bus.connect("s").subscribe("foo", **position)  # type: ignore[arg-type]
    before = expected[max(len(expected) - count, 0) :]
    assert sub.sequences == before
    publisher.publish("foo", b"next")
    assert sub.sequences == [*before, 1 if kind == "empty" else 11]


@pytest.mark.row(44)
@pytest.mark.parametrize("start", [NEW_ONLY, LAST_RECEIVED, TIME_DELTA, SEQUENCE, FIRST])
def test_a_channel_that_is_not_there_is_created(start: int) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", start=start, start_sequence=7, start_delta_ns=SECOND_NS)
    assert bus.log.texts("info")[-1] == 'Channel "foo" has been created'
    client.publish("foo", b"1", b"2")
    assert sub.sequences == [1, 2]


def test_messages_that_are_not_durable_yet_come_before_the_start_of_new_only() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    client.publish("foo", b"1")
    store.hold()
    client.publish("foo", b"2")
    new, last = client.subscribe("foo", start=NEW_ONLY), client.subscribe("foo", start=LAST_RECEIVED)
    with bus.turn():
        store.stop_holding()
    client.publish("foo", b"3")
    assert (new.sequences, last.sequences) == ([3], [2, 3])


def test_a_time_delta_on_a_store_that_takes_its_time() -> None:
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    client = bus.connect("a")
    for i in range(4):
        client.publish("foo", b"%d" % i)
        bus.advance(1)
    store.hold_answers()
    sub = client.subscribe("foo", start=TIME_DELTA, start_delta_ns=2 * SECOND_NS)
    assert not sub.is_answered
    client.publish("foo", b"while it was looking")
    with bus.turn():
        store.stop_holding_answers()
    assert sub.sequences == [3, 4, 5]


class Slow:
    """A channel with a few messages, on a store that holds back where a time is."""

    def __init__(self, settings: CoreOptions | None = None) -> None:
        self.store = FaultyStore(MemoryStore())
        self.bus = Bus(self.store, settings)
        self.client = self.bus.connect("a")
        self.client.publish("foo", b"1", b"2")
        self.bus.advance(1)
        self.store.hold_answers()

    def subscribe(self, *, queue: str = "", durable: str = "") -> Sub:
        """A subscription whose start is looked for."""
        sub = self.client.subscribe(
            "foo", queue=queue, durable=durable, start=TIME_DELTA, start_delta_ns=10 * SECOND_NS
        )
        assert not sub.is_answered
        return sub

    def count(self) -> int:
        """How many subscriptions the channel has."""
        return self.bus.core.state.channels[b"foo"].subscription_count

    def answer(self) -> None:
        """Let the store answer all."""
        with self.bus.turn():
            self.store.stop_holding_answers()


def test_while_a_start_is_looked_for_the_channel_fills_up() -> None:
    slow = Slow(limited(subscriptions_max=1))
    one, other = slow.subscribe(), slow.subscribe()
    slow.answer()
    assert (one.sequences, other.error) == ([1, 2], "too many subscriptions per channel")
    assert slow.count() == 1


def test_while_a_start_is_looked_for_the_client_goes() -> None:
    slow = Slow()
    sub = slow.subscribe()
    slow.client.close()
    slow.answer()
    assert sub.error == "stan: unknown clientID"
    assert slow.count() == 0


@pytest.mark.row(115)
def test_while_a_start_is_looked_for_the_channel_goes() -> None:
    slow = Slow(limited(inactivity_max_ns=5 * SECOND_NS))
    sub = slow.subscribe()
    slow.bus.advance(6)
    slow.answer()
    assert sub.error == "stan: channel is being deleted"
    assert slow.bus.core.state.channels == {}


def test_while_a_start_is_looked_for_the_durable_comes_up_elsewhere() -> None:
    slow = Slow()
    one, other = slow.subscribe(durable="d"), slow.subscribe(durable="d")
    slow.answer()
    assert (one.sequences, other.error) == ([1, 2], "stan: duplicate durable registration")


def test_while_a_start_is_looked_for_the_durable_comes_up_elsewhere_and_is_replaced() -> None:
    settings = CoreOptions()
    settings.replace_durable = True
    slow = Slow(settings)
    one, other = slow.subscribe(durable="d"), slow.subscribe(durable="d")
    slow.answer()
    assert (one.error, other.error) == ("", "")
    assert other.sequences == [1, 2]
    assert slow.count() == 1


def test_while_a_start_is_looked_for_the_group_comes_up() -> None:
    slow = Slow()
    one, other = slow.subscribe(queue="g"), slow.subscribe(queue="g")
    slow.answer()
    assert sorted(one.sequences + other.sequences) == [1, 2]
    assert slow.count() == 2
