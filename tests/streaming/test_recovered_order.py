"""After a restart, however the store answers: what is unacknowledged comes in the order of its sequences, then what is new.

The store of these tests has messages at hand from some sequence on only, and answers for the others late, in any order.
"""

import random

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Batch, Cursor, Run
from tests.streaming.harness import SECOND_NS, Bus, Client, Sub
from tests.streaming.slow_bus import SlowBus
from tests.wire.wire_format import blob, integer


def read_backwards(bus: SlowBus) -> None:
    """Let the store work until it is asked nothing more, its last question first."""
    for _ in range(1000):
        if not bus.read(is_backwards=True):
            return
    raise AssertionError("there is no end to its questions")


def published_over_time(count: int, **fields: object) -> tuple[SlowBus, Client, Sub]:
    """Messages in flight that were published a second apart, so that each is due at a time of its own."""
    bus = SlowBus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", **fields)  # type: ignore[arg-type]
    for _ in range(count):
        publisher.publish("foo", b"x")
        bus.read_all()
        bus.advance(1)
    sub.clear()
    return bus, client, sub


@pytest.mark.parametrize("at_hand_from", [1, 3, 5, 100])
@pytest.mark.parametrize("crash", [False, True])
def test_what_is_overdue_comes_in_order(crash: bool, at_hand_from: int) -> None:
    bus, _, sub = published_over_time(8, durable="d", ack_wait_s=20)
    sub.ack(4)
    bus.advance(1)
    bus.slow.at_hand_from = at_hand_from
    bus.restart(crash=crash, absent_s=30)
    bus.clients[1].publish("foo", b"new")
    read_backwards(bus)
    assert sub.sequences == [1, 2, 3, 5, 6, 7, 8, 9]
    assert [message.count for message in sub.messages] == [1] * 7 + [0]


@pytest.mark.parametrize("at_hand_from", [1, 3, 5, 100])
def test_what_becomes_due_while_nobody_is_there_comes_in_order(at_hand_from: int) -> None:
    bus, client, sub = published_over_time(8, durable="d", ack_wait_s=20)
    client.vanish()
    bus.slow.at_hand_from = at_hand_from
    bus.restart()
    read_backwards(bus)
    bus.advance(60)
    bus.clients[1].publish("foo", b"new")
    client.return_()
    read_backwards(bus)
    assert sub.sequences == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("at_hand_from", [1, 3, 5, 100])
def test_what_a_new_message_brings_forward_comes_in_order(at_hand_from: int) -> None:
    bus, _, sub = published_over_time(8, ack_wait_s=60)
    bus.slow.at_hand_from = at_hand_from
    bus.restart()
    read_backwards(bus)
    assert sub.messages == []
    bus.clients[1].publish("foo", b"new")
    read_backwards(bus)
    assert sub.sequences == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_what_becomes_due_while_the_first_is_read_waits_for_it() -> None:
    bus, _, sub = published_over_time(6, durable="d", ack_wait_s=20)
    bus.restart(absent_s=16)
    bus.read()  # when everything is due: the first ones are, and are asked for
    assert sub.messages == []
    bus.slow.at_hand_from = 3
    bus.advance(10)
    assert sub.messages == []
    bus.clients[1].publish("foo", b"new")
    read_backwards(bus)
    assert sub.sequences == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("new", [0, 1])
def test_who_goes_while_it_is_read_gets_it_first_at_the_return(new: int) -> None:
    bus, client, sub = published_over_time(4, durable="d", ack_wait_s=20)
    bus.restart(absent_s=30)
    bus.read()
    client.vanish()
    read_backwards(bus)
    bus.advance(1)
    bus.slow.at_hand_from = 1
    bus.clients[1].publish("foo", *[b"new"] * new)
    client.return_()
    assert sub.sequences == [1, 2, 3, 4, 5][: 4 + new]
    bus.clients[1].publish("foo", b"another")
    assert sub.sequences[4 + new :] == [5 + new], "nothing goes out early twice"


def test_members_of_a_group_get_what_they_had_each_in_order() -> None:
    bus = SlowBus()
    clients = [bus.connect(name) for name in "ab"]
    subs = [client.subscribe("foo", queue="q", durable="d", ack_wait_s=20) for client in clients]
    for _ in range(10):
        clients[0].publish("foo", b"x")
        bus.read_all()
        bus.advance(1)
    held = [sub.sequences for sub in subs]
    for sub in subs:
        sub.clear()
    bus.advance(1)
    bus.slow.at_hand_from = 6
    bus.restart(crash=True, absent_s=30)
    clients[0].publish("foo", b"new")
    read_backwards(bus)
    seen = [sub.sequences for sub in subs]
    assert [[number for number in sequences if number < 11] for sequences in seen] == held
    assert sorted(seen[0][5:] + seen[1][5:]) == [11]


@pytest.mark.parametrize("new", [0, 1])
def test_who_goes_while_only_a_part_is_due_gets_that_first_at_the_return(new: int) -> None:
    bus, client, sub = published_over_time(6, durable="d", ack_wait_s=20)
    bus.restart(absent_s=16)
    bus.read()  # when everything is due: 1 and 2 are
    client.vanish()
    read_backwards(bus)
    bus.slow.at_hand_from = 1
    bus.clients[1].publish("foo", *[b"new"] * new)
    client.return_()
    bus.advance(5)
    assert sub.sequences == [1, 2, 3, 4, 5, 6, 7][: 6 + new]
    bus.clients[1].publish("foo", b"another")
    assert sub.sequences[6 + new :] == [7 + new], "nothing goes out early twice"


def test_a_message_whose_time_is_before_that_of_an_earlier_one_waits_for_it() -> None:
    """So it is with what was imported, when the clock was set back between two messages."""
    store = MemoryStore()
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d", ack_wait_s=30)
    run = Run(1, 1)
    now_ns = bus.clock.wall_ns() - 2 * SECOND_NS
    times_ns = [now_ns, now_ns - 20 * SECOND_NS, now_ns - 20 * SECOND_NS, now_ns + SECOND_NS]
    run.bodies = [
        integer(1, number) + blob(2, b"foo") + integer(5, time_ns) for number, time_ns in enumerate(times_ns, 1)
    ]
    run.stamps = [(index, time_ns) for index, time_ns in enumerate(times_ns)]
    batch = Batch(99, 0)
    batch.runs.append(run)
    batch.cursors.append(Cursor(1, 4, [(1, 4)]))
    store.submit(batch)
    bus.restart(crash=True)
    bus.advance(27.5)
    assert sub.messages == []
    bus.advance(0.5)
    assert sub.sequences == [1, 2, 3]
    bus.advance(1)
    assert sub.sequences == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(60))
def test_any_time_and_any_order_of_answers(seed: int) -> None:
    chance = random.Random(seed)
    bus = SlowBus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", durable="d", ack_wait_s=chance.choice([5, 20]), max_in_flight=chance.choice([8, 100]))
    for _ in range(chance.randrange(3, 12)):
        publisher.publish("foo", *[b"x"] * chance.randrange(1, 4))
        bus.read_all()
        bus.advance(chance.choice([0, 0.005, 1, 3]))
    sub.ack(*[number for number in set(sub.sequences) if chance.random() < 0.4])
    if chance.random() < 0.5:
        bus.advance(1)
    bus.restart(crash=chance.random() < 0.5, absent_s=chance.choice([0, 1, 4, 30]))
    (cohort,) = bus.core.state.channels[b"foo"].cohorts
    pending = cohort.window.sequences()
    bus.slow.at_hand_from = chance.randrange(1, 30)
    sub.clear()
    for _ in range(chance.randrange(8)):
        event = chance.randrange(4)
        if event == 0:
            publisher.publish("foo", b"new")
        elif event == 1:
            bus.advance(chance.choice([0.01, 1, 2]))
        elif event == 2:
            bus.read(is_backwards=chance.random() < 0.5)
        elif client.link is None:
            client.return_()
        else:
            client.vanish()
    if client.link is None:
        client.return_()
    publisher.publish("foo", b"new")
    for _ in range(10):
        read_backwards(bus)
        bus.advance(4)
    first_seen = list(dict.fromkeys(sub.sequences))
    assert first_seen[: len(pending)] == pending
    assert first_seen == sorted(first_seen)


# A window that was full.


@pytest.mark.parametrize("fields", [{"durable": "d"}, {"durable": "d", "queue": "q"}, {}])
@pytest.mark.row(76)
def test_a_window_that_may_not_be_full_any_more_holds_up_nothing(fields: dict[str, str]) -> None:
    """Killed before the store knew of an acknowledgement: who gave it will not give it again by itself."""
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", max_in_flight=2, ack_wait_s=600, **fields)  # type: ignore[arg-type]
    publisher.publish("foo", b"1", b"2", b"3", b"4")
    bus.advance(1)
    sub.ack(1, 2)
    assert sub.sequences == [1, 2, 3, 4]
    sub.clear()
    bus.restart(crash=True)
    assert [(message.sequence, message.count) for message in sub.messages] == [(1, 1), (2, 1)]
    sub.ack(1, 2)
    assert [(message.sequence, message.count) for message in sub.messages[2:]] == [(3, 0), (4, 0)]


def test_without_anything_new_there_is_nothing_to_hurry_for() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", durable="d", max_in_flight=2, ack_wait_s=30)
    publisher.publish("foo", b"1", b"2")
    bus.advance(1)
    sub.clear()
    bus.restart(crash=True)
    bus.advance(5)
    assert sub.messages == []
    publisher.publish("foo", b"3")
    assert [(message.sequence, message.count, message.at_s) for message in sub.messages] == [(1, 1, 6), (2, 1, 6)]


def test_after_an_end_in_order_who_is_at_work_is_not_disturbed() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", durable="d", max_in_flight=1, ack_wait_s=60)
    publisher.publish("foo", b"1", b"2", b"3")
    bus.restart()
    assert sub.sequences == [1]
    bus.advance(40)
    sub.ack(1)
    assert sub.sequences == [1, 2], "the first one was acknowledged late, and came once"
    bus.advance(1)
    bus.restart(crash=True)
    assert sub.sequences == [1, 2, 2], "that the end was in order is forgotten with the next start"


def test_what_nobody_can_hear_is_not_brought_forward() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", durable="d", max_in_flight=2, ack_wait_s=60)
    publisher.publish("foo", b"1", b"2", b"3")
    bus.advance(1)
    client.vanish()
    sub.clear()
    bus.restart(crash=True)
    bus.advance(2)
    assert bus.core.state.statistics.out_messages == 0
    client.return_()
    assert [(message.sequence, message.count) for message in sub.messages] == [(1, 1), (2, 1)]


def test_where_acknowledgements_do_not_wait_for_the_server_no_window_is_known_to_be_full() -> None:
    """With a NATS server of its own, what clients say while this one is away is lost."""
    bus = Bus()
    bus.options.acks_wait_for_us = False
    client, publisher = bus.connect("a"), bus.connect("p")
    sub = client.subscribe("foo", durable="d", max_in_flight=1, ack_wait_s=60)
    publisher.publish("foo", b"1", b"2")
    bus.restart()
    assert sub.sequences == [1, 1]
