"""A world of clients that do what clients do, on a bus whose store and sockets fail, under virtual time and one seed.

It knows nothing of how the bus works but its invariants (numbers in brackets are those of ARCHITECTURE.md). It looks
into the core for three things only: which acknowledgements can count, who may be sent to, and whether the books balance.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from durabus.broker.session import Session
from durabus.stores.memory import MemoryStore
from durabus.streaming.channel import Channel
from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import REFUSED, UNKNOWN
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import FIRST, NEW_ONLY, SECOND_NS, Bus, Client, Delivered, PubAck, Sub, encoded

NAMES = ("a", "b", "c", "d")
CHANNELS = ("foo", "bar")
TOGETHER_S = 0.015
DRAIN_ROUNDS = 60


@dataclass
class Publication:
    """Messages that were published together, and what was said to it."""

    client: Client
    session: Session | None
    is_fenced: bool
    data: list[bytes]
    acks: list[PubAck]


@dataclass
class Position:
    """A place in a channel, as its subscribers know it, over all their subscriptions."""

    channel: str
    starts_first: bool = False
    delivered: set[int] = field(default_factory=set)
    acked: set[int] = field(default_factory=set)
    # Within this activation of the server:
    new: set[int] = field(default_factory=set)
    first_at_s: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)


@dataclass
class Watched:
    """A subscription, and how far its messages were looked at."""

    sub: Sub
    starts_first: bool
    max_in_flight: int
    ack_wait_s: int
    durable: str
    queue: str
    seen: int = 0
    new_last: int = 0
    position: Position | None = None
    unacked: set[int] = field(default_factory=set)
    is_ended: bool = False


class World:
    """Everything of one run. `trace` is what happened, for whoever has to find out why."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = FaultyStore(MemoryStore())
        self.store.batches_in_flight_max = self.random.choice((1, 1, 3))
        self.store.answers_now = self.random.random() < 0.7
        self.limit = self.random.choice((0, 0, 250))
        self.bus = Bus(self.store, self._options())
        self.activation = self.bus.activations
        self.trace: list[str] = []
        self.clients: list[Client] = []
        self.fenced: set[Client] = set()
        self.admitted: set[Client] = set()
        self.watched: list[Watched] = []
        self.by_cohort: dict[Cohort, Position] = {}
        self.by_number: dict[int, Position] = {}
        self.publications: list[Publication] = []
        self.closing: list[tuple[Client, list[bytes]]] = []
        self.ending: list[tuple[Watched, list[bytes]]] = []
        self.ledger: dict[str, dict[int, tuple[bytes, int]]] = {channel: {} for channel in CHANNELS}
        self.acknowledged: dict[bytes, str] = {}
        self.sent: dict[Client, int] = {}

    def _options(self) -> CoreOptions:
        options = CoreOptions()
        options.heartbeat_interval_ns = self.random.choice((2, 5, 30)) * SECOND_NS
        options.heartbeat_timeout_ns = self.random.choice((1, 3)) * SECOND_NS
        options.heartbeat_failures_max = self.random.choice((1, 3, 10))
        options.presence_grace_ns = self.random.choice((0, 1, 3)) * SECOND_NS
        options.batch_messages_max = self.random.choice((3, 1024))
        options.replace_durable = self.random.random() < 0.3
        options.channel_limits.messages_max = self.limit or 1_000_000
        return options

    def run(self, steps: int) -> None:
        """Live, then stop all faults, and see that everything comes to its end."""
        actions = (
            [self.publish] * 8 + [self.acknowledge] * 8 + [self.wait] * 6 + [self.subscribe] * 4 + [self.come] * 3
            + [self.vanish] * 2 + [self.return_] * 3 + [self.hang] * 2 + [self.wake] * 2 + [self.end_subscription] * 2
            + [self.leave] + [self.hold] + [self.let_go] * 3 + [self.fail] + [self.restart]
        )  # fmt: skip
        for _ in range(steps):
            self.random.choice(actions)()
            self.check()
        self.drain()
        self.check_the_end()

    def note(self, text: str) -> None:
        """Remember what happened."""
        self.trace.append(f"{self.bus.now_s:9.3f} {text}")

    # What clients do.

    def connected(self) -> list[Client]:
        """Clients whose socket is open."""
        return [client for client in self.clients if client.link is not None]

    def publish(self) -> None:
        if not (clients := self.connected()):
            return
        client, channel = self.random.choice(clients), self.random.choice(CHANNELS)
        number = self.sent.get(client, 0)
        count = self.random.randint(1, 6)
        self.sent[client] = number + count
        data = [f"{client.key}:{number + index}".encode() for index in range(count)]
        self.note(f"{client.key} publishes {number}..{number + count - 1} in {channel}")
        is_fenced = client in self.fenced
        acks = client.publish(channel, *data)
        self.publications.append(Publication(client, client.session, is_fenced, data, acks))

    def subscribe(self) -> None:
        if not (clients := [client for client in self.connected() if client.is_connected]):
            return
        client, channel = self.random.choice(clients), self.random.choice(CHANNELS)
        durable, queue = self.random.choice((("", ""), ("d", ""), ("", "q"), ("d", "q")))
        start = self.random.choice((FIRST, FIRST, NEW_ONLY))
        most, wait_s = self.random.choice((1, 2, 5, 100)), self.random.choice((1, 3, 10))
        self.note(f"{client.key} subscribes to {channel} {durable=} {queue=} {start=} {most=} {wait_s=}")
        before = self.keys_in(channel)
        sub = client.subscribe(
            channel, durable=durable, queue=queue, start=start, max_in_flight=most, ack_wait_s=wait_s
        )
        watched = Watched(sub, start == FIRST, most, wait_s, durable, queue)
        if server_key(watched) in before:
            watched.starts_first = False  # a position that is there goes on from where it is
        self.watched.append(watched)

    def acknowledge(self) -> None:
        having = [watched for watched in self.watched if self.may_ack(watched)]
        if having:
            watched = self.random.choice(having)
            some = self.random.sample(sorted(watched.unacked), self.random.randint(1, min(len(watched.unacked), 8)))
            self.ack(watched, some)

    def may_ack(self, watched: Watched) -> bool:
        """Whether there is anything to acknowledge, and somewhere to send that."""
        return bool(watched.unacked and watched.sub.ack_inbox and watched.sub.client.link is not None)

    def ack(self, watched: Watched, sequences: list[int]) -> None:
        """Acknowledge; what the server can take now is not to come again."""
        self.note(f"{watched.sub.inbox} acknowledges {sequences}")
        member = self.member(watched)
        if member is not None and member.is_active and watched.position is not None:
            window = member.cohort.window
            watched.position.acked |= {sequence for sequence in sequences if window.at(sequence) is not None}
        watched.unacked -= set(sequences)
        watched.sub.ack(*sequences)

    def end_subscription(self) -> None:
        subs = [
            watched
            for watched in self.watched
            if watched.sub.ack_inbox and not watched.is_ended and watched.sub.client.link is not None
        ]
        if not subs:
            return
        watched = self.random.choice(subs)
        kind = self.random.choice(("unsub", "subclose"))
        self.note(f"{watched.sub.inbox} {kind}")
        request = encoded(
            "UnsubscribeRequest",
            client_id=watched.sub.client.name,
            subject=watched.sub.channel,
            inbox=watched.sub.ack_inbox,
        )
        self.ending.append((watched, watched.sub.client.ask(f"_STAN.{kind}.test-cluster", request)))

    def come(self) -> None:
        if len(self.connected()) >= 8:
            return
        client = self.bus.dial(self.random.choice(NAMES))
        self.note(f"{client.key} connects")
        self.clients.append(client)
        client.connect()

    def leave(self) -> None:
        if clients := self.connected():
            client = self.random.choice(clients)
            if client in self.fenced or not client.is_connected:
                return
            self.note(f"{client.key} closes")
            request = encoded("CloseRequest", client_id=client.name)
            self.closing.append((client, client.ask("_STAN.close.test-cluster", request)))

    def vanish(self) -> None:
        if clients := self.connected():
            client = self.random.choice(clients)
            self.note(f"{client.key} vanishes")
            client.vanish()

    def return_(self) -> None:
        if clients := [client for client in self.clients if client.link is None]:
            client = self.random.choice(clients)
            self.note(f"{client.key} returns")
            client.return_()

    def hang(self) -> None:
        if clients := self.connected():
            client = self.random.choice(clients)
            self.note(f"{client.key} hangs")
            client.hangs = True

    def wake(self) -> None:
        if clients := [client for client in self.clients if client.hangs]:
            client = self.random.choice(clients)
            self.note(f"{client.key} hangs no more")
            client.hangs = False

    def wait(self) -> None:
        seconds = self.random.choice((0.001, 0.1, 0.5, 1.0, 2.5, 7.0, 31.0)) * self.random.random()
        self.note(f"{seconds:.3f} s pass")
        self.bus.advance(seconds)

    # What goes wrong.

    def hold(self) -> None:
        self.note("the store stands still")
        self.store.hold()
        self.store.hold_answers()

    def let_go(self) -> None:
        count = self.random.choice((1, 2, None))
        self.note(f"the store goes on ({count})")
        with self.bus.turn():
            if count is None:
                self.store.stop_holding()
                self.store.stop_holding_answers()
            else:
                self.store.release(count)
                self.store.release_answers(count)

    def fail(self) -> None:
        outcome, applied = self.random.choice(((REFUSED, False), (UNKNOWN, False), (UNKNOWN, True)))
        if outcome == REFUSED and self.store.batches_in_flight_max > 1:
            outcome = UNKNOWN  # what is behind a batch must not be written without it, and this store would do that
        nth = self.random.randint(1, 4)
        self.note(f"batch {nth} from now fails: {outcome=} {applied=}")
        self.store.fail(outcome, "the disk is full", nth=nth, applied=applied)

    def recover(self) -> None:
        self.note("the server recovers")
        with self.bus.turn():
            self.store.stop_holding()
            self.store.stop_holding_answers()
        self.look()  # at what the old core has said to the very last
        self.bus.recover()

    def restart(self) -> None:
        crash = self.random.random() < 0.7
        self.note("the server falls over" if crash else "the server is restarted")
        with self.bus.turn():
            self.store.stop_holding_answers()
            if not crash:
                self.store.stop_holding()
                self.bus.core.finish()
        self.store.lose_held()
        self.store.stop_holding()
        self.look()  # at what was sent to the very last
        is_sound = not self.bus.core.state.failure
        self.bus.restart(crash=crash, absent_s=self.random.random() * 5)
        if not crash and is_sound:
            self.begin_activation(forgets=False)

    # What must be true at any time.

    def check(self) -> None:
        """Look at everything that can be seen, after each step."""
        self.look()
        if self.bus.core.must_recover and self.random.random() < 0.7:
            self.recover()
            self.look()
        self.check_books()

    def look(self) -> None:
        """Take in what arrived."""
        self.look_at_store()
        self.look_at_answers()
        if self.bus.activations != self.activation:
            self.begin_activation(forgets=True)
        self.look_at_positions()
        arrived = [(watched, message) for watched in self.watched for message in self.unseen(watched)]
        arrived.sort(key=lambda one: (one[1].at_s, one[1].count))
        for watched, message in arrived:
            self.look_at_message(watched, message)

    def look_at_store(self) -> None:
        """[1, 2, 3] Sequences are contiguous, and what is at one never changes."""
        for name in CHANNELS:
            channel = self.bus.core.state.channels.get(name.encode())
            if channel is None:
                continue
            ledger = self.ledger[name]
            at = max(max(ledger, default=0) + 1, int(channel.first), 1)
            while bodies := self.store.inner.read_now(channel.channel_id, at, 1000, 1 << 30):
                for message in self.bus.as_messages(bodies):
                    assert message.sequence == at, f"{message.sequence} where {at} is due"
                    assert at - 1 in ledger or at == 1, f"{at - 1} was never stored"
                    assert message.timestamp_ns >= ledger.get(at - 1, (b"", 0))[1], "time goes back"
                    ledger[at] = (message.data, message.timestamp_ns)
                    at += 1

    def look_at_answers(self) -> None:
        """[1, 9] What was acknowledged is stored, and who was replaced gets nothing stored."""
        for publication in self.publications:
            for data, ack in zip(publication.data, publication.acks, strict=False):
                assert not (publication.is_fenced and not ack.error), f"{data!r} of a fenced client was stored"
                if not ack.error:
                    self.acknowledged[data] = publication.client.key
        for client in self.clients:
            if client.is_connected and client not in self.admitted:
                self.admitted.add(client)
                self.fenced |= {other for other in self.admitted if other.name == client.name and other is not client}
        for client, answers in self.closing:
            if answers == [b""]:
                self.fenced.add(client)
        for watched, answers in self.ending:
            if answers == [b""]:
                watched.is_ended = True

    def unseen(self, watched: Watched) -> list[Delivered]:
        """Messages that were not looked at."""
        messages = watched.sub.messages[watched.seen :]
        watched.seen += len(messages)
        return messages

    def look_at_message(self, watched: Watched, message: Delivered) -> None:
        """[2, 4, 5, 8] One delivery."""
        sub, sequence = watched.sub, message.sequence
        what = f"{sub.inbox} got {sequence} ({message})"
        assert self.ledger[sub.channel].get(sequence) == (message.data, message.timestamp_ns), f"{what}, not as stored"
        if (position := watched.position) is None:
            return  # it came, and its subscription went, in one step
        assert sequence not in position.acked, f"{what}, which was acknowledged"
        assert message.redelivered == (message.count > 0), what
        if not message.redelivered:
            assert sequence not in position.new, f"{what} for the second time without a flag"
            assert sequence > watched.new_last, f"{what} after {watched.new_last}"
            position.new.add(sequence)
            position.first_at_s[sequence] = message.at_s
            watched.new_last = sequence
        assert message.redelivered or sequence not in position.counts, f"{what} as new after a redelivery"
        assert message.count > position.counts.get(sequence, -1), f"{what}, counted before"
        position.counts[sequence] = message.count
        position.delivered.add(sequence)
        watched.unacked.add(sequence)
        if watched.queue:
            return
        if not message.redelivered:
            channel = self.bus.core.state.channels[sub.channel.encode()]
            unacked = {one for one in position.counts if one not in position.acked and one >= channel.first}
            assert len(unacked) <= watched.max_in_flight, f"{what} with {sorted(unacked)} in flight"
        elif not watched.durable and sequence in position.first_at_s:
            due_s = position.first_at_s[sequence] + message.count * (watched.ack_wait_s - TOGETHER_S)
            assert message.at_s >= due_s - 1e-9, f"{what} before {due_s}"

    def look_at_positions(self) -> None:
        """Find out which subscriptions share a position: those of one cohort, and whoever takes it over later."""
        found: dict[Cohort, Position] = {}
        for channel, cohort in self.cohorts():
            numbers = [member.subscription_id for member in cohort.everybody()]
            position = self.by_cohort.get(cohort)
            for number in numbers:
                position = position or self.by_number.get(number)
            position = position or Position(channel.name.decode())
            found[cohort] = position
            self.by_number.update(dict.fromkeys(numbers, position))
        self.by_cohort = found
        for watched in self.watched:
            if watched.position is None and (member := self.member(watched)) is not None:
                watched.position = found[member.cohort]
                watched.position.starts_first |= watched.starts_first

    def begin_activation(self, forgets: bool) -> None:
        """Another core is at work. What was acknowledged may be forgotten: that costs a redelivery, and is no mistake."""
        self.activation = self.bus.activations
        numbers = {member.subscription_id for _, cohort in self.cohorts() for member in cohort.everybody()}
        self.by_number = {number: one for number, one in self.by_number.items() if number in numbers}
        self.by_cohort = {}
        for position in self.by_number.values():
            position.new.clear()
            position.first_at_s.clear()
            position.counts.clear()
            if forgets:
                position.acked.clear()
        for watched in self.watched:
            watched.new_last = 0
            if self.member(watched) is None:
                watched.position = None

    def keys_in(self, name: str) -> set[bytes]:
        """The durables and groups that the server has in a channel."""
        channel = self.bus.core.state.channels.get(name.encode())
        return set(channel.by_key) if channel is not None else set()

    def cohorts(self) -> Iterator[tuple[Channel, Cohort]]:
        """All positions, as the server has them."""
        for channel in self.bus.core.state.channels.values():
            for cohort in channel.cohorts:
                yield channel, cohort

    def member(self, watched: Watched) -> Member | None:
        """The server's view of a subscription; None when it has none."""
        for _, cohort in self.cohorts():
            for member in cohort.members:
                if member.record.ack_inbox == watched.sub.ack_inbox:
                    return member
        return None

    def check_books(self) -> None:
        """[5, 7] What is in flight is with one member each; nothing that can be sent is left lying."""
        is_at_rest = not self.store.held_answers_count
        for channel, cohort in self.cohorts():
            everybody = cohort.everybody()
            held = dict.fromkeys(everybody, 0)
            for sequence in cohort.window.sequences():
                flight = cohort.window.at(sequence)
                assert flight is not None
                assert isinstance(flight.holder, Member)
                assert flight.holder in held, f"{sequence} is with somebody who has left"
                held[flight.holder] += 1
            for member in everybody:
                assert member.pending == held[member], f"{member.inbox!r} counts {member.pending}, has {held[member]}"
                assert sum(flight.remaining for flight in member.flights) == member.pending
            assert cohort.last_sent <= channel.last
            if is_at_rest and any(one.is_reachable() and not one.is_stalled() for one in cohort.members):
                waiting = channel.durable_last - max(cohort.last_sent, channel.first - 1)
                assert waiting <= 0, f"{waiting} messages lie in {channel.name!r} for {cohort.key!r}"

    # The end.

    def drain(self) -> None:
        """[7] Faults stop; clients come back, acknowledge everything; whatever was to come, comes."""
        self.note("all faults stop")
        self.store._faults.clear()
        with self.bus.turn():
            self.store.stop_holding()
            self.store.stop_holding_answers()
        if self.bus.core.must_recover:
            self.recover()
        for client in self.clients:
            client.hangs = False
            if client.link is None:
                client.return_()
        self.look()
        self.end_lost_subscriptions()
        self.bus.advance(1)  # whoever waits for somebody's ID is answered
        self.look()
        self.store.answers_now = True
        for _ in range(DRAIN_ROUNDS):
            self.resume_durables()
            while having := [watched for watched in self.watched if self.may_ack(watched)]:
                for watched in having:
                    self.ack(watched, sorted(watched.unacked))
                    self.look()
                self.check_books()
            if self.is_drained():
                return
            self.bus.advance(11)
            self.check()
        raise AssertionError(f"after {DRAIN_ROUNDS} rounds there still is something on its way")

    def end_lost_subscriptions(self) -> None:
        """A client that never got the answer to its request closes what may have become of it, by its inbox."""
        for watched in self.watched:
            if not watched.sub.ack_inbox:
                sub = watched.sub
                self.note(f"{sub.inbox} is given up")
                request = encoded("UnsubscribeRequest", client_id=sub.client.name, subject=sub.channel, inbox=sub.inbox)
                sub.client.send("_STAN.subclose.test-cluster", request)

    def resume_durables(self) -> None:
        """Somebody takes over every position that nobody is at."""
        for channel, cohort in list(self.cohorts()):
            if cohort.members or cohort.shadow is None:
                continue
            name = cohort.shadow.record.client_id.decode() or "a"
            owner = [client for client in self.clients if client.name == name and client.ping() == ""]
            if not owner:
                owner = [self.bus.connect(name)]
                self.clients += owner
            queue = "q" if cohort.is_queue else ""
            self.note(f"{owner[0].key} resumes {cohort.key!r} in {channel.name!r}")
            sub = owner[0].subscribe(channel.name.decode(), durable="d", queue=queue, max_in_flight=100)
            assert not sub.error
            self.watched.append(Watched(sub, False, 100, 30, "d", queue))
        self.look()

    def is_drained(self) -> bool:
        """Whether everybody has everything, and has acknowledged it."""
        for channel, cohort in self.cohorts():
            if cohort.window.count or cohort.last_sent != channel.last or not cohort.members:
                return False
        return True

    def check_the_end(self) -> None:
        """[1, 2, 3, 6] Nothing acknowledged is lost; every position has seen everything since its start."""
        floors: dict[str, int] = {}
        for name in CHANNELS:
            stored = {message.sequence: (message.data, message.timestamp_ns) for message in self.bus.stored(name)}
            ledger = self.ledger[name]
            floors[name] = min(stored, default=1)
            assert stored == {sequence: value for sequence, value in ledger.items() if sequence >= floors[name]}
            assert sorted(ledger) == list(range(1, len(ledger) + 1))
            if self.limit:
                assert len(stored) <= self.limit
            else:
                assert len(stored) == len(ledger)
            check_order([data for data, _ in ledger.values()])
        found = {data for ledger in self.ledger.values() for data, _ in ledger.values()}
        assert set(self.acknowledged) <= found, f"lost: {sorted(set(self.acknowledged) - found)}"
        for publication in self.publications:
            if publication.session is publication.client.session and publication.session is not None:
                assert len(publication.acks) == len(publication.data), f"{publication.data} was never answered"
        for cohort, position in self.by_cohort.items():
            if position.starts_first or position.delivered:
                start = 1 if position.starts_first else min(position.delivered)
                due = {one for one in self.ledger[position.channel] if one >= max(start, floors[position.channel])}
                missed = sorted(due - position.delivered)
                assert not missed, f"{cohort.key!r} in {position.channel} never got {missed}"


def check_order(stored: list[bytes]) -> None:
    """[3] Messages of one connection are stored in the order in which they were sent."""
    last: dict[bytes, int] = {}
    for data in stored:
        client, _, number = data.partition(b":")
        assert int(number) > last.get(client, -1), f"{data!r} after {last[client]}"
        last[client] = int(number)


def server_key(watched: Watched) -> bytes:
    """What the server calls the position of a durable or of a group."""
    if watched.queue:
        return (b"durable group\0d:" if watched.durable else b"group\0") + watched.queue.encode()
    return b"durable\0" + watched.sub.client.name.encode() + b"\0d"
