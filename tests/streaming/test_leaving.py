"""What remains of a subscription that ends, and of a client that leaves: in memory, in the store, and for the others."""

from contextlib import nullcontext

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.records import decode_subscription
from durabus.streaming.store_port import KIND_CLIENT, KIND_SUBSCRIPTION
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import Bus, Client, Sub, at_once, encoded

KINDS = {
    "plain": {},
    "durable": {"durable": "d"},
    "queue": {"queue": "q"},
    "durable queue": {"durable": "d", "queue": "q"},
}


def subscriptions_in_store(bus: Bus) -> dict[int, bool]:
    """The subscriptions that the store remembers; whether each is offline."""
    records = [
        decode_subscription(value)
        for kind, _, value in at_once(bus.store.recover(None)).state
        if kind == KIND_SUBSCRIPTION
    ]
    return {record.subscription_id: record.is_closed for record in records}


def clients_in_store(bus: Bus) -> list[bytes]:
    """The IDs of the clients that the store remembers."""
    return [key for kind, key, _ in at_once(bus.store.recover(None)).state if kind == KIND_CLIENT]


def subscribe(client: Client, kind: str, **more: int) -> Sub:
    """A subscription of one of the kinds, which has got three messages and acknowledged the second."""
    sub = client.subscribe("foo", **KINDS[kind], **more)  # type: ignore[arg-type]
    client.publish("foo", b"1", b"2", b"3")
    sub.ack(2)
    return sub


def leave(sub: Sub, how: str) -> None:
    """End it in one of three ways."""
    client = sub.client
    if how == "close":
        assert sub.close() == ""
    elif how == "unsubscribe":
        assert sub.unsubscribe() == ""
    else:
        assert client.close() == ""


@pytest.mark.row(51, 81)
@pytest.mark.parametrize("how", ["close", "unsubscribe", "client"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_table(kind: str, how: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = subscribe(client, kind)
    leave(sub, how)
    stays = "durable" in kind and how != "unsubscribe"
    channel = bus.core.state.channels[b"foo"]
    assert subscriptions_in_store(bus) == ({1: True} if stays else {})
    assert channel.subscription_count == stays
    assert not channel.has_active_subscription()
    assert len(channel.by_key) == stays
    assert clients_in_store(bus) == ([] if how == "client" else [b"a"])
    bus.connect("b").publish("foo", b"4")
    bus.advance(100)
    assert sub.sequences == [1, 2, 3], "nothing is sent any more"


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("how", ["close", "client"])
@pytest.mark.parametrize("kind", ["durable", "durable queue"])
def test_what_stays_resumes_at_the_first_unacknowledged_message(kind: str, how: str, crash: bool) -> None:
    """Also if the server falls over right after: then it may have forgotten an ack, but never a message."""
    bus = Bus()
    client = bus.connect("a")
    leave(subscribe(client, kind), how)
    bus.restart(crash=crash)
    if client.ping():
        client.connect()
    again = client.subscribe("foo", **KINDS[kind])  # type: ignore[arg-type]
    assert [(message.sequence, message.redelivered) for message in again.messages] == [(1, True), (3, True)]
    client.publish("foo", b"4")
    assert again.first_deliveries == [4]


def test_a_durable_belongs_to_its_client_and_a_durable_group_to_nobody() -> None:
    bus = Bus()
    first = bus.connect("a")
    durable, member = subscribe(first, "durable"), subscribe(first, "durable queue")
    assert (durable.sequences, member.sequences) == ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    first.close()
    other = bus.connect("b")
    assert other.subscribe("foo", durable="d", start=0).sequences == []
    assert other.subscribe("foo", durable="d", queue="q").sequences == [1, 3, 4, 5, 6]


@pytest.mark.row(92)
@pytest.mark.parametrize("how", ["close", "unsubscribe", "client"])
@pytest.mark.parametrize("kind", ["queue", "durable queue"])
def test_the_others_of_a_group_get_what_a_member_held(kind: str, how: str) -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "abc"]
    subs = [client.subscribe("foo", **KINDS[kind]) for client in clients]  # type: ignore[arg-type]
    clients[1].publish("foo", *[b"x"] * 6)
    assert [sub.sequences for sub in subs] == [[1, 4], [2, 5], [3, 6]]
    bus.advance(1)
    leave(subs[0], how)
    assert [[(m.sequence, m.redelivered, m.count, m.at_s) for m in sub.messages[2:]] for sub in subs] == [
        [],
        [(1, True, 1, 1.0)],
        [(4, True, 1, 1.0)],
    ]
    assert len(subscriptions_in_store(bus)) == 2
    for sub in subs[1:]:
        sub.ack(*sub.sequences)
    bus.advance(100)
    assert [len(sub.sequences) for sub in subs] == [2, 3, 3], "acknowledged by their new holders"


@pytest.mark.row(101)
@pytest.mark.parametrize("durable", ["", "d"])
def test_how_far_a_group_is_does_not_leave_with_the_member_that_came_furthest(durable: str) -> None:
    """Not even if the server falls over right after."""
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    staying = first.subscribe("foo", queue="q", durable=durable, max_in_flight=1)
    second.publish("foo", b"1")
    bus.advance(2)
    leaving = second.subscribe("foo", queue="q", durable=durable)
    second.publish("foo", b"2", b"3")
    assert (staying.sequences, leaving.sequences) == ([1], [2, 3])
    leaving.ack(2, 3)
    leaving.unsubscribe()
    bus.restart(crash=True)
    staying.ack(1)
    staying.clear()
    second.publish("foo", b"4")
    assert staying.sequences == [4]
    staying.ack(4)
    bus.advance(100)
    assert staying.sequences == [4]


@pytest.mark.row(100)
@pytest.mark.parametrize("durable", ["", "d"])
def test_members_that_crash_and_join_again(durable: str) -> None:
    """What they had goes to whoever is there, who may have something himself."""
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    subs = [client.subscribe("foo", queue="q", durable=durable, max_in_flight=2) for client in (first, second)]
    second.publish("foo", *[b"x"] * 4)
    assert [sub.sequences for sub in subs] == [[1, 3], [2, 4]]
    first.vanish()
    again = bus.connect("a").subscribe("foo", queue="q", durable=durable, max_in_flight=2)
    assert [(message.sequence, message.count) for message in subs[1].clear()] == [(2, 0), (4, 0), (1, 1), (3, 1)]
    assert again.sequences == []
    second.publish("foo", b"x")
    assert again.sequences == [5]
    second.vanish()
    other = bus.connect("b").subscribe("foo", queue="q", durable=durable)
    assert sorted((message.sequence, message.count) for message in again.clear()) == [
        (1, 2), (2, 1), (3, 2), (4, 1), (5, 0),
    ]  # fmt: skip
    again.ack(1, 2, 3, 4, 5)
    bus.advance(100)
    assert (again.messages, other.messages) == ([], [])


@pytest.mark.row(105)
@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("joins_first", [False, True])
def test_a_member_that_joins_while_the_last_one_closes(joins_first: bool, is_held: bool) -> None:
    """In one turn, or one after the other while the store has done neither: there is one position, never two."""
    store = FaultyStore(MemoryStore())
    bus = Bus(store)
    first, second = bus.connect("a"), bus.connect("b")
    closing = first.subscribe("foo", durable="d", queue="q")
    first.publish("foo", b"1", b"2")
    closing.ack(1)
    request = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=closing.ack_inbox)
    with nullcontext() if is_held else bus.turn():
        if is_held:
            store.hold()
        if joins_first:
            joining = second.subscribe("foo", durable="d", queue="q")
        answers = first.ask("_STAN.subclose.test-cluster", request)
        if not joins_first:
            joining = second.subscribe("foo", durable="d", queue="q")
    with bus.turn():
        store.stop_holding()
    assert answers == [b""]
    assert [(message.sequence, message.redelivered) for message in joining.messages] == [(2, True)]
    assert list(subscriptions_in_store(bus).values()) == [False]
    assert bus.core.state.channels[b"foo"].subscription_count == 1
    second.close()
    bus.restart(crash=True)
    assert list(subscriptions_in_store(bus).values()) == [True]
    assert bus.log.texts("warning") == []
    assert first.subscribe("foo", durable="d", queue="q").sequences == [2]


def test_a_durable_group_that_nobody_is_in_is_shown_with_its_last_member_and_stored_without() -> None:
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")

    def client_ids() -> tuple[bytes, bytes]:
        (cohort,) = bus.core.state.channels[b"foo"].cohorts
        (record,) = [value for kind, _, value in at_once(bus.store.recover(None)).state if kind == KIND_SUBSCRIPTION]
        return cohort.everybody()[0].record.client_id, decode_subscription(record).client_id

    for client in (first, second):
        sub = client.subscribe("foo", durable="d", queue="q")
        name = client.name.encode()
        assert client_ids() == (name, name)
        sub.close()
        assert client_ids() == (name, b"")


@pytest.mark.parametrize("kind", ["queue", "durable queue"])
def test_what_moved_is_not_lost_if_the_server_falls_over_right_after(kind: str) -> None:
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    subs = [client.subscribe("foo", **KINDS[kind]) for client in (first, second)]  # type: ignore[arg-type]
    second.publish("foo", *[b"x"] * 4)
    bus.advance(2)
    second.publish("foo", *[b"x"] * 4)
    subs[0].close()
    bus.restart(crash=True)
    subs[1].clear()
    bus.advance(31)
    assert sorted(set(subs[1].sequences)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_member_that_joins_just_before_a_crash_takes_nothing_away() -> None:
    """Its record says how far the group was, but what the others hold is not stored yet."""
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    subs = [first.subscribe("foo", durable="d", queue="q")]
    first.publish("foo", *[b"x"] * 5)
    subs.append(second.subscribe("foo", durable="d", queue="q"))
    bus.restart(crash=True)
    for sub in subs:
        sub.clear()
    bus.advance(31)
    assert sorted({number for sub in subs for number in sub.sequences}) == [1, 2, 3, 4, 5]


def test_a_durable_that_goes_just_before_a_crash_forgets_nothing() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 5)
    sub = client.subscribe("foo", durable="d")
    assert sub.sequences == [1, 2, 3, 4, 5]
    sub.close()
    bus.restart(crash=True)
    assert sorted(client.subscribe("foo", durable="d").sequences) == [1, 2, 3, 4, 5]


@pytest.mark.row(95)
def test_the_last_member_of_a_durable_group_that_unsubscribes_ends_it() -> None:
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    subs = [client.subscribe("foo", durable="d", queue="q") for client in (first, second)]
    first.publish("foo", b"1", b"2")
    assert subs[0].unsubscribe() == ""
    assert subs[1].sequences == [2, 1]
    assert subs[1].unsubscribe() == ""
    assert subscriptions_in_store(bus) == {}
    assert first.subscribe("foo", durable="d", queue="q").sequences == [1, 2], "a new group, from the start"


def test_absent_members_get_nothing_of_what_a_member_held_while_another_is_there() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "abc"]
    subs = [client.subscribe("foo", queue="q") for client in clients]
    clients[2].publish("foo", *[b"x"] * 3)
    clients[1].vanish()
    subs[0].close()
    assert subs[2].sequences == [3, 1]


def test_if_only_absent_members_remain_they_get_it_at_their_return() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "ab"]
    subs = [client.subscribe("foo", queue="q") for client in clients]
    clients[0].publish("foo", b"1", b"2")
    clients[1].vanish()
    bus.advance(1)
    subs[0].close()
    bus.advance(1)
    clients[1].return_()
    assert [(message.sequence, message.redelivered) for message in subs[1].messages] == [(2, False), (1, True)]


@pytest.mark.parametrize("durable", ["", "d"])
def test_a_client_that_leaves_gets_nothing_of_what_its_other_members_held(durable: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    subs = [client.subscribe("foo", queue="q", durable=durable) for _ in "12"]
    client.publish("foo", *[b"x"] * 4)
    assert client.close() == ""
    assert [sub.sequences for sub in subs] == [[1, 3], [2, 4]]
    if durable:
        resumed = bus.connect("b").subscribe("foo", queue="q", durable=durable)
        assert [(message.sequence, message.count) for message in resumed.messages] == [(1, 1), (2, 1), (3, 1), (4, 1)]


def test_all_members_of_a_client_that_leaves_pass_what_they_held_to_those_of_others() -> None:
    bus = Bus()
    client, other = bus.connect("a"), bus.connect("b")
    subs = [one.subscribe("foo", queue="q") for one in (client, client, other)]
    other.publish("foo", *[b"x"] * 3)
    assert client.close() == ""
    assert [sub.sequences for sub in subs] == [[1], [2], [3, 1, 2]]
    assert [message.count for message in subs[2].messages] == [0, 1, 1]


def test_a_replaced_clients_queue_messages_move_too() -> None:
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    first.subscribe("foo", queue="q")
    other = second.subscribe("foo", queue="q")
    second.publish("foo", b"1", b"2")
    first.vanish()
    bus.connect("a")
    assert other.sequences == [2, 1]


def test_subscriptions_of_others_are_not_touched() -> None:
    bus = Bus()
    first, second = bus.connect("a"), bus.connect("b")
    subs = [client.subscribe("foo", durable="d") for client in (first, second)]
    first.close()
    second.publish("foo", b"1")
    assert [sub.sequences for sub in subs] == [[], [1]]
    assert subscriptions_in_store(bus) == {1: True, 2: False}


def test_its_ack_inbox_is_closed_with_a_subscription() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = subscribe(client, "durable")
    sub.close()
    assert not bus.router.has_interest(sub.ack_inbox)
    sub.ack(1)
    assert client.subscribe("foo", durable="d").sequences == [1, 3]


@pytest.mark.parametrize(
    ("kind", "how", "words"),
    [
        ("plain", "close", "Removed subscription"),
        ("durable", "close", "Suspended"),
        ("durable", "unsubscribe", "Removed"),
        ("queue", "client", "Removed"),
        ("durable queue", "client", "Suspended"),
    ],
)
def test_the_log_tells_it(kind: str, how: str, words: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    leave(subscribe(client, kind), how)
    lines = [line for line in bus.log.texts("debug") if words in line]
    assert len(lines) == 1
    assert lines[0].startswith("[Client:a] ")
    assert "subject=foo" in lines[0]
    assert "subid=1" in lines[0]
    closed = f"[Client:a] Closed (Inbox={client.heartbeat_inbox})"
    assert (closed in bus.log.texts("debug")) == (how == "client")
