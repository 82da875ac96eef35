"""Subscriptions of all kinds, clients that come, hang, vanish and acknowledge as they like: what holds in any order.

Nothing is lost, nothing is sent again that was acknowledged, nothing stalls, and in the end everything drains.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from durabus.streaming.cohort import Cohort
from durabus.streaming.options import ChannelLimits, CoreOptions
from tests.streaming.harness import SECOND_NS, Bus, Client, Sub
from tests.streaming.slow_bus import SlowBus

NAMES = ("a", "b", "c")
SUBSCRIPTIONS_MAX = 6

choices = st.integers(0, 1000)
kinds = st.sampled_from([("", ""), ("", "d"), ("g", ""), ("g", "d"), ("g", ""), ("g", "d")])


class Kept:
    """What a test knows of one position: what was acknowledged, and what was sent for the first time."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.delivered: list[int] = []


class DeliveryMachine(RuleBasedStateMachine):
    """One channel, three clients and a publisher."""

    def __init__(self) -> None:
        super().__init__()
        self.bus: Bus = Bus()
        self.publisher: Client
        self.clients: dict[str, Client] = {}
        self.subs: list[Sub] = []
        self.positions: dict[tuple[str, ...], Kept] = {}
        self.keys: dict[Sub, tuple[str, ...]] = {}
        self.seen: dict[Sub, int] = {}

    @initialize(is_slow=st.booleans(), grace_s=st.sampled_from([0, 3]), messages_max=st.sampled_from([0, 8]))
    def begin(self, is_slow: bool, grace_s: int, messages_max: int) -> None:
        options = CoreOptions()
        options.channel_limits = ChannelLimits(messages_max=messages_max)
        options.heartbeat_interval_ns = 4 * SECOND_NS
        options.heartbeat_timeout_ns = SECOND_NS
        options.heartbeat_failures_max = 1_000_000
        options.presence_grace_ns = grace_s * SECOND_NS
        self.bus = SlowBus(options) if is_slow else Bus(options=options)
        self.publisher = self.bus.connect("p")
        self.clients = {name: self.bus.connect(name) for name in NAMES}
        self.publisher.publish("foo", b"x")

    def client(self, choice: int) -> Client:
        return self.clients[NAMES[choice % len(NAMES)]]

    def sub(self, choice: int) -> Sub:
        return self.subs[choice % len(self.subs)]

    def cohorts(self) -> list[Cohort]:
        channel = self.bus.core.state.channels.get(b"foo")
        return channel.cohorts if channel is not None else []

    @rule(count=st.integers(1, 6))
    def publish(self, count: int) -> None:
        self.publisher.publish("foo", *[b"x"] * count)

    @precondition(lambda self: len(self.subs) < SUBSCRIPTIONS_MAX)
    @rule(choice=choices, kind=kinds, max_in_flight=st.integers(1, 5), ack_wait_s=st.integers(1, 4))
    def subscribe(self, choice: int, kind: tuple[str, str], max_in_flight: int, ack_wait_s: int) -> None:
        client, (queue, durable) = self.client(choice), kind
        if client.link is None:
            return
        sub = client.subscribe("foo", queue=queue, durable=durable, max_in_flight=max_in_flight, ack_wait_s=ack_wait_s)
        if sub.error:
            assert sub.error == "stan: duplicate durable registration"
            return
        if queue:
            key = (queue, durable)
        elif durable:
            key = (client.name, durable)
        else:
            key = (client.name, sub.inbox)
        self.keys[sub] = key
        self.positions.setdefault(key, Kept())
        self.subs.append(sub)
        self.look()

    @precondition(lambda self: self.subs)
    @rule(choice=choices, which=choices, count=st.integers(1, 4))
    def acknowledge(self, choice: int, which: int, count: int) -> None:
        sub = self.sub(choice)
        open_ones = self.open_ones(sub)
        if sub.client.link is None or not open_ones:
            return
        start = which % len(open_ones)
        self.acknowledge_all(sub, open_ones[start : start + count])

    def open_ones(self, sub: Sub) -> list[int]:
        """What it got and nobody has acknowledged."""
        got = {message.sequence for message in sub.messages[: self.seen.get(sub, 0)]}
        return sorted(got - self.positions[self.keys[sub]].acknowledged)

    def acknowledge_all(self, sub: Sub, sequences: list[int]) -> None:
        with self.bus.turn():  # what this lets out comes when the turn is over
            sub.ack(*sequences)
            self.positions[self.keys[sub]].acknowledged.update(sequences)

    @precondition(lambda self: self.subs)
    @rule(choice=choices, for_good=st.booleans())
    def end(self, choice: int, for_good: bool) -> None:
        sub = self.sub(choice)
        if sub.client.link is None:
            return
        assert (sub.unsubscribe() if for_good else sub.close()) == ""
        self.look()
        self.forget(sub, for_good)

    def forget(self, sub: Sub, for_good: bool) -> None:
        """The subscription is gone; its position perhaps is not."""
        self.subs.remove(sub)
        key = self.keys[sub]
        stays = key[1] == "d" and not for_good
        if not stays and key not in [self.keys[other] for other in self.subs]:
            del self.positions[key]

    @rule(choice=choices)
    def close_and_connect(self, choice: int) -> None:
        client = self.client(choice)
        if client.link is None:
            return
        assert client.close() == ""
        self.look()
        for sub in [sub for sub in self.subs if sub.client is client]:
            self.forget(sub, for_good=False)
        client.connect()
        assert client.is_connected

    @rule(choice=choices)
    def vanish(self, choice: int) -> None:
        if self.client(choice).link is not None:
            self.client(choice).vanish()

    @rule(choice=choices)
    def return_(self, choice: int) -> None:
        if self.client(choice).link is None:
            self.client(choice).return_()

    @rule(choice=choices)
    def hang_or_not(self, choice: int) -> None:
        self.client(choice).hangs = not self.client(choice).hangs

    @rule(seconds=st.sampled_from([0.004, 0.1, 0.5, 1, 2.5, 6, 20]))
    def advance(self, seconds: float) -> None:
        self.bus.advance(seconds)

    @precondition(lambda self: isinstance(self.bus, SlowBus))
    @rule(is_backwards=st.booleans())
    def read(self, is_backwards: bool) -> None:
        assert isinstance(self.bus, SlowBus)
        self.bus.read(is_backwards=is_backwards)

    # What holds.

    @invariant()
    def look(self) -> None:
        """Take in what has arrived: in order, once, and nothing that was acknowledged."""
        for sub in self.subs:
            kept = self.positions[self.keys[sub]]
            for message in sub.messages[self.seen.get(sub, 0) :]:
                assert message.sequence not in kept.acknowledged
                if message.count == 0:
                    kept.delivered.append(message.sequence)
            self.seen[sub] = len(sub.messages)
        for kept in self.positions.values():
            # Members of a group are looked at one after the other.
            assert len(kept.delivered) == len(set(kept.delivered))
            if not self.bus.options.channel_limits.messages_max:
                assert sorted(kept.delivered) == list(range(1, len(kept.delivered) + 1))
        for sub in self.subs:
            assert sub.first_deliveries == sorted(sub.first_deliveries)

    @invariant()
    def positions_agree_with_themselves(self) -> None:
        for cohort in self.cohorts():
            everybody = cohort.everybody()
            assert cohort.window.count == sum(member.pending for member in everybody)
            for sequence in cohort.window.sequences():
                flight = cohort.window.at(sequence)
                assert flight is not None
                assert flight.holder in everybody
                assert flight in flight.holder.flights
            assert all(sequence <= cohort.last_sent for sequence in cohort.window.sequences())
            assert set(cohort.redelivered) <= set(cohort.window.sequences())

    @invariant()
    def nothing_stalls(self) -> None:
        if isinstance(self.bus, SlowBus) and self.bus.slow.waiting:
            return
        for cohort in self.cohorts():
            last = self.bus.core.state.channels[b"foo"].durable_last
            for member in cohort.members:
                if member.is_reachable() and not member.is_stalled():
                    assert cohort.last_sent == last, "there is room, and something to send"
            assert not cohort.on_hold

    @invariant()
    def what_is_in_flight_has_its_time(self) -> None:
        for cohort in self.cohorts():
            for member in cohort.members:
                if not member.pending:
                    continue
                assert member.deadline_ns > 0
                if member.is_reachable() and member.client is not None and not member.client.failed_heartbeats:
                    due = min(flight.deadline_ns for flight in member.flights if flight.remaining)
                    assert member.deadline_ns <= due

    def teardown(self) -> None:
        """Everybody is well again: everything arrives and is acknowledged."""
        for client in self.clients.values():
            client.hangs = False
            if client.link is None:
                client.return_()
        channel = self.bus.core.state.channels[b"foo"]
        everything = set(range(channel.first, channel.last + 1))
        for _ in range(channel.last + 50):  # each time at least one more comes
            self.bus.advance(1)
            if isinstance(self.bus, SlowBus):
                self.bus.read_all()
            self.look()
            for sub in self.subs:
                self.acknowledge_all(sub, self.open_ones(sub))
            if all(cohort.window.count == 0 for cohort in self.cohorts() if cohort.members) and all(
                everything <= self.positions[self.keys[sub]].acknowledged for sub in self.subs
            ):
                return
        raise AssertionError("something does not arrive, or is never acknowledged")


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=100, stateful_step_count=40)
