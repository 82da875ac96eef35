"""A new core on an old store: everybody finds what was there, and what cannot be read is left alone."""

import pytest

from durabus.errors import StartError
from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    decode_server,
    encode_channel_name,
    encode_client,
    encode_server,
    encode_subscription,
)
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_CLIENT,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Batch,
    Cursor,
    Recovered,
    Run,
)
from tests.streaming.harness import SECOND_NS, Bus, Client, at_once
from tests.wire.wire_format import blob

UNREADABLE = b"\x0a\x7f"


def recovered(bus: Bus) -> Recovered:
    """What the store remembers now."""
    return at_once(bus.store.recover(None))


def remembered(bus: Bus, kind: int) -> dict[bytes, bytes]:
    """The records of one kind."""
    return {key: value for at, key, value in recovered(bus).state if at == kind}


def present(bus: Bus, *inboxes: str) -> Client:
    """Another client, that listens where recovered ones did."""
    client = bus.connect("another")
    for inbox in inboxes:
        client.listen(inbox)
    return client


def put(store: MemoryStore, *records: tuple[int, bytes, bytes | None], cursors: tuple[Cursor, ...] = ()) -> None:
    """Let `store` remember this."""
    batch = Batch(1, 0)
    batch.state += records
    batch.cursors += cursors
    store.submit(batch)


# Messages and numbers.


@pytest.mark.parametrize("crash", [False, True])
def test_messages_and_sequences_go_on(crash: bool) -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    client.publish("bar", b"x")
    bus.restart(crash=crash)
    assert client.publish("foo", b"3")[0].error == ""
    assert [(message.sequence, message.data) for message in bus.stored("foo")] == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert client.subscribe("foo").sequences == [1, 2, 3]
    assert len(bus.core.state.channels) == 2


def test_recovered_figures_are_the_stores() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2")
    before = bus.core.state.channels[b"foo"]
    bus.restart()
    channel = bus.core.state.channels[b"foo"]
    assert channel is not before
    assert (channel.first, channel.last, channel.durable_last) == (1, 2, 2)
    assert (channel.stored_bytes, channel.last_timestamp_ns) == (before.stored_bytes, before.last_timestamp_ns)


def test_limits_hold_for_what_was_recovered() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.publish("foo", *[b"x"] * 10)
    bus.options.channel_limits.messages_max = 3
    bus.restart()
    assert [message.sequence for message in bus.stored("foo")] == [8, 9, 10]
    assert client.subscribe("foo").sequences == [8, 9, 10]


def test_numbers_of_channels_are_never_given_twice() -> None:
    options = CoreOptions()
    options.channel_limits.inactivity_max_ns = SECOND_NS
    bus = Bus(options=options)
    client = bus.connect("a")
    client.publish("foo", b"x")
    client.publish("bar", b"x")
    assert sorted(bus.core.state.channels_by_id) == [1, 2]
    bus.advance(1.5)
    assert bus.core.state.channels_by_id == {}
    bus.restart()
    client.publish("foo", b"x")
    assert sorted(bus.core.state.channels_by_id) == [3]


def test_numbers_of_subscriptions_are_never_given_twice() -> None:
    bus = Bus()
    client = bus.connect("a")
    subs = [client.subscribe("foo") for _ in range(3)]
    for sub in subs[1:]:
        sub.unsubscribe()
    bus.restart()
    client.subscribe("foo")
    assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"1", b"4"]
    subs[0].unsubscribe()
    client.close()
    bus.restart()
    client.connect()
    client.subscribe("foo")
    assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"5"]


def test_the_numbers_used_up_are_written_down_only_when_nothing_else_tells_them() -> None:
    bus = Bus()
    client = bus.connect("a")
    subs = [client.subscribe("foo") for _ in range(2)]
    subs[0].unsubscribe()
    record = decode_server(remembered(bus, KIND_SERVER)[b"server"])
    assert record.subscription_id_last == 0
    subs[1].unsubscribe()
    record = decode_server(remembered(bus, KIND_SERVER)[b"server"])
    assert (record.cluster_id, record.channel_id_last, record.subscription_id_last) == (b"test-cluster", 1, 2)


def test_ack_inboxes_of_two_activations_never_meet() -> None:
    bus = Bus()
    client = bus.connect("a")
    first = client.subscribe("foo")
    bus.restart()
    second = client.subscribe("foo")
    assert first.ack_inbox != second.ack_inbox


# Clients.


@pytest.mark.row(16)
@pytest.mark.parametrize("crash", [False, True])
def test_clients_go_on_as_if_nothing_had_happened(crash: bool) -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.restart(crash=crash, absent_s=5)
    assert client.ping() == ""
    assert client.publish("foo", b"1")[0].error == ""
    other = bus.dial("a")
    other.connect()
    assert other.connect_error == "stan: clientID already registered"


def test_a_client_that_closed_stays_away() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.close()
    bus.restart()
    assert client.ping() == "client has been replaced or is no longer registered"
    assert bus.core.state.clients.by_id == {}


# Positions.


@pytest.mark.row(86)
@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("fields", [{}, {"durable": "d"}, {"queue": "q"}, {"durable": "d", "queue": "q"}])
def test_subscriptions_go_on_with_pending_messages_first(fields: dict[str, str], crash: bool) -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", **fields)  # type: ignore[arg-type]
    publisher.publish("foo", *[b"x"] * 5)
    sub.ack(1, 3)
    bus.advance(1)  # positions are stored within a second
    sub.clear()
    client.vanish()
    publisher.publish("foo", b"x")
    bus.restart(crash=crash)
    client.return_()
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [
        (2, True),
        (4, True),
        (5, True),
        (6, False),
    ], "what is new does not overtake what is pending"
    bus.advance(29)
    sub.ack(2, 4, 5, 6)
    publisher.publish("foo", b"x")
    assert sub.sequences[4:] == [7]
    bus.advance(29)
    assert sub.sequences[4:] == [7]


def test_pending_messages_go_out_before_new_ones_to_who_is_there_already() -> None:
    """Not a restart but a recovery in the same process, so the sockets are there."""
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", max_in_flight=3)
    publisher.publish("foo", *[b"x"] * 5)
    bus.advance(1)
    sub.clear()
    sub.ack(2)
    assert sub.sequences == [4]
    bus.advance(1)
    sub.clear()
    sub.ack(1, 3)
    assert sub.sequences == [5]
    bus.core.save_cursors()
    bus.core.end_turn()
    sub.clear()
    publisher.publish("foo", b"x")
    bus.recover()
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [
        (6, False),
        (4, True),
        (5, True),
        (6, False),
    ], "first what was sent before the recovery; then what is pending, in order; then what is new by what is stored"


def test_acks_that_were_not_stored_in_time_cost_a_redelivery_and_nothing_else() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d")
    publisher.publish("foo", b"1", b"2")
    bus.advance(1)
    sub.ack(1, 2)
    bus.restart(crash=True)
    sub.clear()
    bus.advance(30)
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [(1, True), (2, True)]


def test_a_graceful_end_stores_every_ack() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d")
    publisher.publish("foo", b"1", b"2", b"3")
    sub.ack(1, 2)
    sub.clear()
    bus.restart()
    bus.advance(30)
    assert sub.sequences == [3]


def test_acks_reach_the_ack_inbox_of_before() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d")
    publisher.publish("foo", b"1", b"2")
    bus.restart()
    sub.ack(1)
    sub.clear()
    bus.advance(30)
    assert sub.sequences == [2]
    assert sub.close() == ""


@pytest.mark.row(47)
def test_an_ack_inbox_of_an_older_original_works() -> None:
    store = MemoryStore()
    record = SubscriptionRecord(1, b"foo")
    record.client_id, record.inbox, record.ack_inbox = b"a", b"_INBOX.in", b"_STAN.ack.oldid.foo.nuid"
    record.max_in_flight, record.ack_wait_s = 10, 1
    put(
        store,
        (KIND_CLIENT, b"a", encode_client(ClientRecord(b"a", b"_INBOX.hb", b"c", 1))),
        (KIND_CHANNEL, b"1", encode_channel_name(b"foo")),
        (KIND_SUBSCRIPTION, b"1", encode_subscription(record)),
    )
    bus = Bus(store)
    present(bus, "_INBOX.hb", "_INBOX.in").publish("foo", b"x")
    member = bus.core.state.channels[b"foo"].cohorts[0].members[0]
    assert member.pending == 1
    bus.clients[0].send("_STAN.ack.oldid.foo.nuid", b"\x0a\x03foo\x10\x01")
    assert member.pending == 0


@pytest.mark.row(86, 87)
def test_offline_durables_stay_offline() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d")
    publisher.publish("foo", b"1", b"2")
    sub.ack(1)
    sub.close()
    bus.restart()
    publisher.publish("foo", b"3")
    bus.advance(100)
    channel = bus.core.state.channels[b"foo"]
    assert (channel.subscription_count, channel.has_active_subscription()) == (1, False)
    assert sub.sequences == [1, 2]
    again = client.subscribe("foo", durable="d")
    assert [(message.sequence, message.redelivered) for message in again.messages] == [(2, True), (3, False)]


def test_a_group_goes_on_with_all_its_members() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "abc"]
    subs = [client.subscribe("foo", durable="d", queue="q") for client in clients]
    clients[0].publish("foo", *[b"x"] * 6)
    assert [sub.sequences for sub in subs] == [[1, 4], [2, 5], [3, 6]]
    for sub in subs:
        sub.ack(sub.sequences[0])
        sub.clear()
    bus.restart()
    bus.advance(30)
    assert sorted(number for sub in subs for number in sub.sequences) == [4, 5, 6]
    assert len(bus.core.state.channels[b"foo"].cohorts) == 1
    clients[0].publish("foo", b"x", b"x", b"x")
    assert sorted(number for sub in subs for number in sub.first_deliveries) == [7, 8, 9]


def test_the_shadow_of_a_group_keeps_its_place() -> None:
    bus = Bus()
    clients = [bus.connect(name) for name in "ab"]
    subs = [client.subscribe("foo", durable="d", queue="q") for client in clients]
    clients[0].publish("foo", *[b"x"] * 4)
    subs[0].ack(1)
    for sub in subs:
        sub.close()
    bus.restart()
    again = clients[1].subscribe("foo", durable="d", queue="q")
    assert sorted(again.sequences) == [2, 3, 4]
    assert len(remembered(bus, KIND_SUBSCRIPTION)) == 1


@pytest.mark.row(65)
def test_pending_counts_begin_anew() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=1)
    publisher.publish("foo", b"1")
    bus.advance(3)
    assert sub.messages[-1].count == 3
    bus.recover()
    assert sub.messages[-1].count == 1


@pytest.mark.row(76)
def test_a_window_that_was_full_is_full() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", max_in_flight=2, ack_wait_s=5)
    publisher.publish("foo", *[b"x"] * 4)
    bus.restart()
    sub.clear()
    bus.advance(5)
    assert sub.sequences == [1, 2]
    sub.ack(1)
    assert sub.sequences == [1, 2, 3]


def test_messages_that_limits_removed_are_pending_no_more() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", durable="d", ack_wait_s=5)
    publisher.publish("foo", *[b"x"] * 5)
    bus.options.channel_limits.messages_max = 2
    bus.restart()
    sub.clear()
    bus.advance(6)
    assert sub.sequences == [4, 5]


# A store that was written by somebody else, or not written to the end.


def store_with_group(*members: tuple[int, str, int], closed: int = 0, cursors: tuple[Cursor, ...] = ()) -> MemoryStore:
    """Ten messages in `foo`, and the durable group `d:q` of `(number, client ID, last sent)`; `a` and `b` are known."""
    store = MemoryStore()
    records: list[tuple[int, bytes, bytes | None]] = [(KIND_CHANNEL, b"1", encode_channel_name(b"foo"))]
    for name in (b"a", b"b"):
        records.append((KIND_CLIENT, name, encode_client(ClientRecord(name, b"_INBOX.hb" + name, name, 1))))
    for number, client_id, last_sent in members:
        record = SubscriptionRecord(number, b"foo")
        record.client_id, record.queue_group, record.last_sent = client_id.encode(), b"d:q", last_sent
        record.inbox, record.ack_inbox = b"_INBOX.in%d" % number, b"_INBOX.ack%d" % number
        record.max_in_flight, record.ack_wait_s, record.is_durable = 100, 30, True
        record.is_closed = number == closed
        records.append((KIND_SUBSCRIPTION, b"%d" % number, encode_subscription(record)))
    put(store, *records, cursors=cursors)
    batch = Batch(2, 0)
    run = Run(1, 1)
    run.bodies = [b"\x08%c\x12\x03foo" % number for number in range(1, 11)]
    run.stamps = [(0, 1)]
    batch.runs.append(run)
    store.submit(batch)
    return store


def position(bus: Bus) -> tuple[int, list[int], list[int], int]:
    """Of the only cohort in `foo`: last sent, in flight, numbers of the members, number of the shadow."""
    (cohort,) = bus.core.state.channels[b"foo"].cohorts
    shadow = cohort.shadow.subscription_id if cohort.shadow is not None else 0
    return int(cohort.last_sent), cohort.window.sequences(), [m.subscription_id for m in cohort.members], shadow


def test_the_position_is_the_furthest_of_the_stored_cursors() -> None:
    cursors = (Cursor(1, 10, [(3, 4)]), Cursor(2, 8, [(8, 8)]))
    bus = Bus(store_with_group((1, "a", 0), (2, "b", 0), cursors=cursors))
    assert position(bus) == (10, [3, 4, 8], [1, 2], 0)


def test_a_member_without_a_cursor_knows_nothing_better() -> None:
    bus = Bus(store_with_group((1, "a", 0), (2, "b", 9), cursors=(Cursor(1, 10, [(10, 10)]),)))
    assert position(bus) == (10, [10], [1, 2], 0)
    bus = Bus(store_with_group((1, "a", 9), (2, "b", 0), cursors=(Cursor(2, 10, []),)))
    assert position(bus)[0] == 10


def test_without_any_cursor_the_oldest_record_counts() -> None:
    for first, second in ((10, 7), (7, 10)):
        bus = Bus(store_with_group((1, "a", first), (2, "b", second)))
        assert position(bus)[:2] == (7, []), "while nobody is there, nothing is sent"
        present(bus, "_INBOX.hba", "_INBOX.in1")
        assert sorted(position(bus)[1]) == [8, 9, 10], "sent anew, rather than left out"


def test_a_position_beyond_the_messages() -> None:
    bus = Bus(store_with_group((1, "a", 99), cursors=(Cursor(1, 99, [(9, 99)]),)))
    assert position(bus)[:2] == (10, [9, 10])
    present(bus, "_INBOX.hba", "_INBOX.in1").publish("foo", b"x")
    assert position(bus)[:2] == (11, [9, 10, 11])


@pytest.mark.row(87)
def test_a_member_without_client_beside_others_gives_them_what_it_held() -> None:
    for ghost, member in ((1, 2), (2, 1)):
        cursors = (Cursor(ghost, 10, [(2, 3)]), Cursor(member, 10, [(5, 5)]))
        bus = Bus(store_with_group((ghost, "gone", 0), (member, "a", 0), cursors=cursors))
        assert position(bus) == (10, [2, 3, 5], [member], 0)
        assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"%d" % member]
        assert [(cursor.subscription_id, cursor.pending) for cursor in recovered(bus).cursors] == [
            (member, [(2, 3), (5, 5)])
        ]
        assert len(bus.log.texts("warning")) == 1


@pytest.mark.row(102)
def test_several_members_without_clients_become_one_shadow() -> None:
    cursors = (Cursor(1, 9, [(2, 3)]), Cursor(2, 10, [(5, 5)]))
    bus = Bus(store_with_group((1, "gone", 0), (2, "", 0), closed=2, cursors=cursors))
    assert position(bus) == (10, [2, 3, 5], [], 1)
    assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"1"]
    again = bus.connect("c").subscribe("foo", durable="d", queue="q")
    assert again.sequences == [2, 3, 5]


def test_a_durable_whose_client_is_unknown_is_offline() -> None:
    bus = Bus(store_with_group((1, "gone", 4)))
    assert position(bus) == (4, [], [], 1)


@pytest.mark.row(87)
def test_a_durable_without_its_client_waits_until_it_is_resumed() -> None:
    store = store_with_group()
    record = SubscriptionRecord(7, b"foo")
    record.client_id, record.durable_name, record.is_durable = b"gone", b"d", True
    record.inbox, record.max_in_flight, record.ack_wait_s = b"_INBOX.in", 100, 30
    put(store, (KIND_SUBSCRIPTION, b"7", encode_subscription(record)), cursors=(Cursor(7, 8, [(2, 2)]),))
    bus = Bus(store)
    assert position(bus) == (8, [2], [], 7)
    client = bus.connect("gone")
    bus.restart(crash=True)
    assert position(bus) == (8, [2], [], 7), "that its client is there again does not resume it"
    assert client.subscribe("foo", durable="d").sequences == [2, 9, 10]


def test_a_subscription_that_was_not_to_stay_goes_with_its_client() -> None:
    store = store_with_group()
    record = SubscriptionRecord(7, b"foo")
    record.client_id, record.inbox, record.max_in_flight, record.ack_wait_s = b"gone", b"_INBOX.in", 10, 10
    put(store, (KIND_SUBSCRIPTION, b"7", encode_subscription(record)))
    bus = Bus(store)
    assert remembered(bus, KIND_SUBSCRIPTION) == {}
    assert bus.core.state.channels[b"foo"].subscription_count == 0


def test_a_cursor_without_subscription_is_nobodys() -> None:
    bus = Bus(store_with_group((1, "a", 10), cursors=(Cursor(99, 3, [(1, 3)]), Cursor(1, 10, []))))
    assert position(bus) == (10, [], [1], 0)


# Whose store this is.


def test_a_fresh_store_is_marked() -> None:
    options = CoreOptions("tickets")
    bus = Bus(options=options)
    assert remembered(bus, KIND_SERVER) == {b"server": encode_server(b"tickets")}


@pytest.mark.row(118)
def test_another_clusters_store_is_refused_in_the_originals_words() -> None:
    store = MemoryStore()
    put(store, (KIND_SERVER, b"server", encode_server(b"y")))
    with pytest.raises(StartError) as refused:
        Bus(store, CoreOptions("x"))
    assert str(refused.value) == 'cluster ID "x" does not match recovered value of "y"'


def test_a_record_of_the_original_with_more_in_it() -> None:
    store = MemoryStore()
    put(store, (KIND_SERVER, b"server", blob(1, b"test-cluster") + blob(2, b"_STAN.discover.test-cluster")))
    assert Bus(store).connect("a").ping() == ""


# What cannot be read.


@pytest.mark.row(144)
def test_unreadable_records_are_left_alone_and_reported() -> None:
    store = store_with_group((1, "a", 10))
    damaged: list[tuple[int, bytes, bytes | None]] = [
        (KIND_SERVER, b"server", UNREADABLE),
        (KIND_CLIENT, b"zombie", UNREADABLE),
        (KIND_CHANNEL, b"7", UNREADABLE),
        (KIND_CHANNEL, b"no number", encode_channel_name(b"bar")),
        (KIND_SUBSCRIPTION, b"9", UNREADABLE),
        (KIND_SUBSCRIPTION, b"no number", UNREADABLE),
    ]
    put(store, *damaged)
    bus = Bus(store)
    state = {(kind, key): value for kind, key, value in recovered(bus).state}
    for kind, key, value in damaged:
        assert state[(kind, key)] == value
    bus.restart()
    assert remembered(bus, KIND_SERVER)[b"server"] == UNREADABLE
    bus.log.lines.clear()
    bus.restart()
    assert len([line for line in bus.log.texts("error") if "left alone" in line]) == 6
    client = bus.connect("c")
    client.publish("bar", b"x")
    client.subscribe("bar")
    assert sorted(bus.core.state.channels_by_id) == [1, 8], "the number of the unreadable one is not given again"
    assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"1", b"10", b"9", b"no number"]


def test_a_subscription_under_a_wrong_key_or_without_its_channel_is_left_alone() -> None:
    store = store_with_group()
    record = SubscriptionRecord(7, b"foo")
    record.client_id = b"a"
    lost = SubscriptionRecord(8, b"unknown")
    put(
        store,
        (KIND_SUBSCRIPTION, b"5", encode_subscription(record)),
        (KIND_SUBSCRIPTION, b"8", encode_subscription(lost)),
    )
    bus = Bus(store)
    assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"5", b"8"]
    assert bus.core.state.channels[b"foo"].cohorts == []
    assert len([line for line in bus.log.texts("error") if "left alone" in line]) == 2
    bus.connect("c").subscribe("foo")
    assert sorted(remembered(bus, KIND_SUBSCRIPTION)) == [b"5", b"8", b"9"]


def test_a_channel_name_that_two_channels_have_belongs_to_the_first() -> None:
    store = store_with_group()
    put(store, (KIND_CHANNEL, b"2", encode_channel_name(b"foo")))
    bus = Bus(store)
    assert sorted(bus.core.state.channels_by_id) == [1]
    assert len(bus.stored("foo")) == 10
    assert len(bus.log.texts("error")) == 1
