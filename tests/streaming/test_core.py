"""Decide, persist, release: nothing is said before what it rests on is safe, and a failed batch is nobody's success."""

import pytest

from durabus.broker.bus import Bus as BusPort
from durabus.broker.bus import InterestWatcher, Receiver
from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.core import Core
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import FATAL, KIND_CLIENT, KIND_SUBSCRIPTION, REFUSED, UNKNOWN
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import TIME_DELTA, Bus, Client, PubAck, RecordingLog, at_once, decoded, encoded

WHY = "no space left on device"


def faulty(batches_in_flight_max: int = 1) -> tuple[Bus, FaultyStore]:
    """A bus on a store that does as a test wants."""
    store = FaultyStore(MemoryStore())
    store.batches_in_flight_max = batches_in_flight_max
    return Bus(store), store


def release(bus: Bus, store: FaultyStore, count: int | None = None) -> None:
    """Let held batches end."""
    with bus.turn():
        store.release(count)


def kinds_in_store(bus: Bus, kind: int) -> list[bytes]:
    """The keys of the records of one kind."""
    return [key for at, key, _ in at_once(bus.store.recover(None)).state if at == kind]


# Nothing before it is durable.


@pytest.mark.row(30)
def test_a_message_is_neither_delivered_nor_acknowledged_before_it_is_durable() -> None:
    bus, store = faulty()
    publisher, subscriber = bus.connect("a"), bus.connect("b")
    sub = subscriber.subscribe("foo")
    store.hold()
    acks = publisher.publish("foo", b"1", b"2")
    bus.advance(100)
    assert (acks, sub.messages, bus.stored("foo")) == ([], [], [])
    release(bus, store)
    assert len(acks) == 2
    assert sub.sequences == [1, 2]


class WrittenNotSafe(DelegatingStore):
    """Everything is written, and can be read, before it is safe."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.numbers: list[int] = []
        self.holds = False

    def on_durable(self, number: int) -> None:
        if self.holds:
            self.numbers.append(number)
        else:
            super().on_durable(number)

    def report(self) -> None:
        """It is safe now."""
        for number in self.numbers:
            super().on_durable(number)


def test_what_could_be_read_is_not_delivered_before_it_is_safe() -> None:
    store = WrittenNotSafe()
    bus = Bus(store)
    client = bus.connect("a")
    sub = client.subscribe("foo")
    store.holds = True
    acks = client.publish("foo", b"1")
    assert len(bus.stored("foo")) == 1
    bus.advance(10)
    assert (acks, sub.messages) == ([], [])
    with bus.turn():
        store.report()
    assert (len(acks), sub.sequences) == (1, [1])


def test_no_request_is_answered_before_it_is_durable() -> None:
    bus, store = faulty(batches_in_flight_max=9)
    client = bus.connect("a")
    sub = client.subscribe("foo")
    other = bus.dial("b")
    store.hold()
    other.connect()
    new = client.subscribe("bar")
    unsubscribe = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=sub.ack_inbox)
    unsubscribed = client.ask("_STAN.unsub.test-cluster", unsubscribe)
    closed = client.ask("_STAN.close.test-cluster", encoded("CloseRequest", client_id="a"))
    assert (other.response, new.is_answered, unsubscribed, closed) == ({}, False, [], [])
    release(bus, store, 1)
    assert other.is_connected
    assert not new.is_answered
    release(bus, store, 2)
    assert (unsubscribed, closed) == ([b""], [])
    release(bus, store)
    assert closed == [b""]


def test_a_subscriber_that_comes_meanwhile_waits_for_durability_too() -> None:
    bus, store = faulty(batches_in_flight_max=2)
    client = bus.connect("a")
    client.publish("foo", b"1")
    store.hold()
    client.publish("foo", b"2")
    sub = client.subscribe("foo")
    release(bus, store, 1)
    assert sub.messages == []
    release(bus, store, 1)
    assert sub.sequences == [1, 2]


def test_what_is_new_is_sent_only_as_far_as_it_is_durable() -> None:
    bus, store = faulty(batches_in_flight_max=5)
    client = bus.connect("a")
    sub = client.subscribe("foo")
    store.hold()
    acks = [client.publish("foo", b"x") for _ in range(4)]
    for count in range(1, 5):
        release(bus, store, 1)
        assert sub.sequences == list(range(1, count + 1))
        assert [len(one) for one in acks] == [1] * count + [0] * (4 - count)


def test_effects_come_out_in_the_order_in_which_they_were_decided() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    store.hold()
    client.publish("warm", b"up")  # in flight, so that all that follows is one batch
    client.heard.clear()
    with bus.turn():
        client.publish("foo", b"x", guid="1")
        sub = client.subscribe("foo")
        client.publish("b/d", b"x", guid="2")
        client.publish("foo", b"x", guid="3")
        client.ask("_STAN.discover.test-cluster.pings", encoded("Ping", connection_id="nobody"))
        client.publish("bar", b"x", guid="4")
    release(bus, store, 1)
    client.heard.clear()
    release(bus, store, 1)
    said = []
    for subject, payload in client.heard:
        if subject == sub.inbox.encode():
            said.append(f"message {decoded('MsgProto', payload)['sequence']}")
        elif payload.startswith(b"\x12"):
            said.append("subscribed")
        elif payload.startswith(b"\x0a\x01"):
            said.append(f"ack {decoded('PubAck', payload)['guid'].decode()}")
        else:
            said.append(decoded("PingResponse", payload)["error"].decode()[:10])
    assert said == ["ack 1", "subscribed", "ack 2", "message 1", "message 2", "ack 3", "client has", "ack 4"]


# Batches.


def test_batches_are_numbered_without_a_gap() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    for _ in range(5):
        client.publish("foo", b"x")
        client.ping()
        bus.advance(2)
    assert [batch.number for batch in store.submitted] == list(range(1, len(store.submitted) + 1))
    assert not any(batch.is_empty() for batch in store.submitted)


def test_nothing_to_remember_is_no_batch() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    before = len(store.submitted)
    assert client.ping() == ""
    assert client.publish("b/d", b"x")[0].error
    assert client.subscribe("b/d").error
    bus.advance(100)
    assert len(store.submitted) == before


def test_an_answer_that_needs_no_batch_still_keeps_its_place_behind_those_on_their_way() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    store.hold()
    first = client.publish("foo", b"x")
    second = client.publish("b/d", b"x")
    assert (first, second) == ([], [])
    release(bus, store, 1)
    assert len(first) == 1
    release(bus, store)
    assert len(second) == 1


@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_more_batches_are_on_their_way_than_the_store_takes(most: int) -> None:
    bus, store = faulty(batches_in_flight_max=most)
    client = bus.connect("a")
    store.hold()
    acks = [client.publish("foo", b"x") for _ in range(10)]
    assert store.held_count == most
    release(bus, store, 1)
    assert store.held_count == most, "all the rest is one batch, which waited"
    with bus.turn():
        store.stop_holding()
    assert [len(one) for one in acks] == [1] * 10
    counts = [sum(len(run.bodies) for run in batch.runs) for batch in store.submitted if batch.runs]
    assert counts == [1] * most + [10 - most]


def test_an_end_that_nobody_waits_for_changes_nothing() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    store.hold()
    acks = client.publish("foo", b"x")
    number = store.submitted[-1].number
    with bus.turn():
        bus.core.on_durable(number + 1)
        bus.core.on_durable(number - 1)
    assert acks == []
    release(bus, store)
    assert len(acks) == 1


def test_positions_are_stored_within_a_second() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    bus.advance(2)
    client.publish("foo", b"1", b"2", b"3")
    sub.ack(2)
    before = len(store.submitted)
    bus.advance(0.999)
    assert len(store.submitted) == before
    bus.advance(0.001)
    assert [(c.subscription_id, c.last_sent, c.pending) for c in store.submitted[-1].cursors] == [
        (1, 3, [(1, 1), (3, 3)])
    ]
    bus.advance(10)
    assert len(store.submitted) == before + 1, "once, as nothing changed since"


def test_the_last_turn_stores_positions_at_once() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    client.subscribe("foo")
    client.publish("foo", b"1")
    with bus.turn():
        bus.core.finish()
    assert store.submitted[-1].cursors[0].last_sent == 1


def test_no_position_is_stored_for_a_channel_that_is_gone() -> None:
    bus, store = faulty()
    bus.options.channel_limits.inactivity_max_ns = 500_000_000
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d")
    client.publish("foo", b"1")
    sub.ack(1)
    sub.close()
    bus.advance(10)
    assert bus.core.state.channels == {}
    assert at_once(store.recover(None)).cursors == []


def test_epochs_are_in_every_batch() -> None:
    store = FaultyStore(MemoryStore())
    router = Bus().router
    core = Core(CoreOptions(), router, store, RecordingLog())
    core.begin(1, 1)
    core.restore(at_once(store.recover(None)), 7)
    assert [batch.epoch for batch in store.submitted] == [7]


# A batch that fails.


OUTCOMES = [(REFUSED, False), (UNKNOWN, False), (UNKNOWN, True), (FATAL, False)]


@pytest.mark.row(30)
@pytest.mark.parametrize(("outcome", "applied"), OUTCOMES)
def test_everybody_whose_batch_failed_is_told_why(outcome: int, applied: bool) -> None:
    bus, store = faulty()
    client, leaving, other = bus.connect("a"), bus.connect("b"), bus.dial("c")
    old = client.subscribe("foo")
    store.fail(outcome, WHY, applied=applied)
    with bus.turn():
        acks = client.publish("foo", b"1", b"2")
        refused = client.publish("b/d", b"x", guid="bad")
        new = client.subscribe("bar")
        unsubscribe = encoded("UnsubscribeRequest", client_id="a", subject="foo", inbox=old.ack_inbox)
        unsubscribed = client.ask("_STAN.unsub.test-cluster", unsubscribe)
        closed = leaving.ask("_STAN.close.test-cluster", encoded("CloseRequest", client_id="b"))
        other.connect()
        pinged = client.ask("_STAN.discover.test-cluster.pings", encoded("Ping", connection_id=client.connection_id))
    assert acks == [PubAck("a.1", WHY), PubAck("a.2", WHY)]
    assert refused == [PubAck("bad", "stan: invalid publish request")]
    assert new.error == WHY
    assert decoded("SubscriptionResponse", unsubscribed[0])["error"].decode() == WHY
    assert decoded("CloseResponse", closed[0])["error"].decode() == WHY
    assert other.connect_error == WHY
    assert pinged == [b""]
    assert old.messages == []
    assert bus.core.must_recover
    assert bus.core.is_fatal == (outcome == FATAL)
    assert WHY in bus.log.texts("error")[-1]


@pytest.mark.row(30)
@pytest.mark.parametrize(("outcome", "applied"), OUTCOMES[:3])
def test_after_the_recovery_only_what_is_stored_was_there(outcome: int, applied: bool) -> None:
    bus, store = faulty()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    assert client.publish("foo", b"before")[0].error == ""
    store.fail(outcome, WHY, applied=applied)
    with bus.turn():
        client.publish("foo", b"failed")
        client.subscribe("bar", durable="d")
        bus.dial("b").connect()
    bus.recover()
    assert client.publish("foo", b"after")[0].error == ""
    expected = [b"before", b"failed", b"after"] if applied else [b"before", b"after"]
    assert [message.data for message in bus.stored("foo")] == expected
    assert [message.sequence for message in bus.stored("foo")] == list(range(1, len(expected) + 1))
    assert kinds_in_store(bus, KIND_CLIENT) == ([b"a", b"b"] if applied else [b"a"])
    assert len(kinds_in_store(bus, KIND_SUBSCRIPTION)) == 1 + applied
    bus.advance(31)
    assert sorted({message.data for message in sub.messages}) == sorted(expected)


@pytest.mark.parametrize("outcome", [REFUSED, UNKNOWN, FATAL])
def test_until_the_recovery_every_request_is_refused(outcome: int) -> None:
    bus, store = faulty()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    store.fail(outcome, WHY)
    client.publish("foo", b"x")
    before = len(store.submitted)
    assert client.publish("foo", b"x") == [PubAck("a.2", WHY)]
    assert client.publish("new", b"x") == [PubAck("a.3", WHY)]
    assert client.subscribe("foo").error == WHY
    assert sub.unsubscribe() == WHY
    assert sub.close() == WHY
    assert client.close() == WHY
    other = bus.dial("b")
    other.connect()
    assert other.connect_error == WHY
    assert client.ping() == ""
    bus.advance(1000)
    assert len(store.submitted) == before, "nothing is stored either"
    assert sub.messages == []


def test_what_was_decided_after_a_failed_batch_fails_with_it() -> None:
    bus, store = faulty(batches_in_flight_max=3)
    client = bus.connect("a")
    store.hold()
    store.fail(UNKNOWN, WHY, nth=2)
    acks = [client.publish("foo", b"x") for _ in range(5)]
    release(bus, store, 1)
    assert [[ack.error for ack in one] for one in acks] == [[""], [], [], [], []]
    release(bus, store, 1)
    assert [[ack.error for ack in one] for one in acks] == [[""], [WHY], [WHY], [WHY], [WHY]]
    bus.recover()
    assert len(bus.stored("foo")) == 1


def test_what_was_durable_before_stays_deliverable_while_the_store_is_not_recovered() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    client.publish("foo", b"1", b"2", b"3")
    sub = client.subscribe("foo", max_in_flight=1)
    store.fail(REFUSED, WHY)
    client.publish("foo", b"x")
    sub.ack(1)
    sub.ack(2)
    assert sub.sequences == [1, 2, 3]
    bus.recover()
    bus.advance(31)
    sub.ack(*sub.sequences)
    bus.advance(31)
    sub.ack(*sub.sequences)
    assert sorted(set(sub.sequences)) == [1, 2, 3]


def test_without_words_of_the_stores_there_still_is_an_error() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    store.fail(REFUSED, "")
    assert client.publish("foo", b"x") == [PubAck("a.1", "the store failed")]
    assert client.publish("foo", b"x") == [PubAck("a.2", "the store failed")]


def test_a_store_that_fails_from_the_start() -> None:
    store = FaultyStore(MemoryStore())
    store.fail(REFUSED, WHY)
    bus = Bus(store)
    assert bus.core.must_recover
    client = bus.dial("a")
    client.connect()
    assert client.connect_error == WHY
    bus.recover()
    client.connect()
    assert client.is_connected


def test_a_subscription_whose_start_was_being_looked_for_when_the_store_failed_is_refused() -> None:
    bus, store = faulty()
    client = bus.connect("a")
    client.publish("foo", b"1")
    store.hold_answers()
    sub = client.subscribe("foo", start=TIME_DELTA, start_delta_ns=10**15)
    store.fail(REFUSED, WHY)
    client.publish("foo", b"2")
    assert not sub.is_answered
    with bus.turn():
        store.stop_holding_answers()
    assert sub.error == WHY
    bus.recover()
    assert bus.core.state.channels[b"foo"].cohorts == []


def test_heartbeats_that_run_out_meanwhile_do_not_end_a_session_for_good() -> None:
    bus, store = faulty()
    client, other = bus.connect("a", hangs=True), bus.connect("b")
    store.fail(REFUSED, WHY)
    other.publish("foo", b"x")
    bus.advance(1000)
    bus.recover()
    assert client.ping() == ""


# Giving the bus up, and time.


def test_a_core_that_lets_go_leaves_nothing_on_the_bus() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    subjects = bus.core.state.subjects
    bus.core.detach()
    for subject in (
        subjects.discover,
        subjects.pings,
        subjects.publish_prefix + b".foo",
        subjects.subscribe,
        subjects.unsubscribe,
        subjects.subscription_close,
        subjects.close,
        sub.ack_inbox,
        bus.core.heartbeats.reply_subject(1),
    ):
        assert not bus.router.has_interest(subject)
    client.vanish()
    assert not bus.core.state.clients.by_id[b"a"].is_absent, "it watches nobody any more"


def test_requests_are_taken_only_after_listening() -> None:
    bus = Bus(listens=False)
    client = bus.dial("a")
    client.connect()
    assert not client.is_connected, "the broker has said that nobody is there"
    bus.core.listen()
    client.connect()
    assert client.is_connected


def test_with_nothing_to_wait_for_there_is_no_deadline() -> None:
    bus = Bus()
    assert bus.core.next_deadline_ns() == 0
    client = bus.connect("a")
    assert bus.core.next_deadline_ns() - bus.clock.monotonic_ns() == 30_000_000_000
    client.close()
    assert bus.core.next_deadline_ns() == 0


def test_answers_of_the_store_that_nobody_asked_for_are_dropped() -> None:
    bus = Bus()
    with bus.turn():
        bus.core.on_page(99, [b"\x08\x01"])
        bus.core.on_seek(99, 1)
    assert bus.connect("a").ping() == ""


# A bus whose way out can be closed.


class ClosableBus(BusPort):
    """The router, with a door: while it is shut, what the core publishes is lost."""

    def __init__(self, inner: BusPort) -> None:
        self.inner = inner
        self.opened = True

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        self.inner.subscribe(subject, receiver)

    def unsubscribe(self, subject: bytes) -> None:
        self.inner.unsubscribe(subject)

    def publish(self, subject: bytes, reply: bytes, payload: bytes) -> bool:
        return self.inner.publish(subject, reply, payload) if self.opened else True

    def publish_run(self, subject: bytes, head: bytes, payloads: list[bytes]) -> bool:
        return self.inner.publish_run(subject, head, payloads) if self.opened else True

    def is_congested(self, subject: bytes) -> bool:
        return self.inner.is_congested(subject)

    def is_open(self) -> bool:
        return self.opened

    def has_interest(self, subject: bytes) -> bool:
        return True

    def watch(self, subject: bytes, watcher: InterestWatcher) -> bool:
        return True

    def unwatch(self, subject: bytes, watcher: InterestWatcher) -> None:
        pass


class FarBus(Bus):
    """A harness whose core sits behind a door, and cannot see who is there."""

    door: ClosableBus

    def bus_port(self) -> BusPort:
        self.door = ClosableBus(self.router)
        return self.door


@pytest.mark.row(79)
def test_while_the_bus_is_closed_nothing_is_sent_and_nobody_fails() -> None:
    bus = FarBus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=5)
    publisher.publish("foo", b"1")
    bus.door.opened = False
    publisher.publish("foo", b"2")
    bus.advance(400)
    assert sub.sequences == [1]
    assert bus.core.state.clients.by_id[b"a"].failed_heartbeats == 0
    bus.door.opened = True
    with bus.turn():
        bus.core.reopen()
    arrived = [(message.sequence, message.count) for message in sub.messages]
    assert arrived == [(1, 0), (2, 0), (1, 1)], "again once, however often it was due"
    sub.ack(1, 2)
    bus.advance(100)
    assert len(sub.messages) == 3


def test_where_presence_cannot_be_seen_everybody_counts_as_present() -> None:
    bus = FarBus()
    client, publisher = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=5)
    client.vanish()
    publisher.publish("foo", b"1")
    assert not bus.core.state.clients.by_id[b"a"].is_absent
    client.return_()
    bus.advance(5)
    assert [(message.sequence, message.redelivered) for message in sub.messages] == [(1, True)]


def dial_all(bus: Bus, names: str) -> list[Client]:
    """Some clients."""
    return [bus.connect(name) for name in names]


def test_two_turns_of_many_clients_are_two_batches() -> None:
    bus, store = faulty()
    clients = dial_all(bus, "abcdef")
    before = len(store.submitted)
    for _ in range(2):
        with bus.turn():
            for client in clients:
                client.publish(f"channel-{client.name}", b"x")
    assert len(store.submitted) == before + 2
