"""What is in flight, against a plain dictionary; and that one message nobody acknowledges does not hold the memory of all."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from durabus.streaming.window import Flight, Holder, Window

SLOTS_MAX = 65536
GAP_MAX = 4096

# A gap that is bridged with empty slots, and one that is not.
gaps = st.sampled_from([0, 0, 0, 1, 2, 100, GAP_MAX - 1, GAP_MAX, GAP_MAX + 1, 1_000_000])
counts = st.sampled_from([1, 2, 3, 7, 40, 1500])
choices = st.integers(0, 10_000)


class WindowMachine(RuleBasedStateMachine):
    """Two holders who send, lose, take over and acknowledge in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.holders = [Holder(), Holder()]
        self.flights: list[Flight] = []
        self.in_flight: dict[int, Flight] = {}
        self.taken: list[int] = []
        self.last = 0

    def flight(self, choice: int, first: int) -> Flight:
        """A new flight of one of the holders."""
        flight = Flight(self.holders[choice % 2], first, choice)
        self.holders[choice % 2].add_flight(flight)
        self.flights.append(flight)
        return flight

    def take_out(self, sequence: int) -> None:
        assert self.window.take(sequence) is self.in_flight.pop(sequence)
        self.taken.append(sequence)

    @rule(gap=gaps, choice=choices)
    def add(self, gap: int, choice: int) -> None:
        self.last += gap + 1
        flight = self.flight(choice, self.last)
        self.window.add(self.last, flight)
        self.in_flight[self.last] = flight

    @rule(gap=gaps, count=counts, choice=choices)
    def add_run(self, gap: int, count: int, choice: int) -> None:
        first = self.last + gap + 1
        self.last = first + count - 1
        flight = self.flight(choice, first)
        self.window.add_run(first, count, flight)
        for sequence in range(first, self.last + 1):
            self.in_flight[sequence] = flight

    @rule(count=counts, choices=st.tuples(choices, choices))
    def add_in_turn(self, count: int, choices: tuple[int, int]) -> None:
        """Two flights that share a run of messages, as in a queue group."""
        pair = [self.flight(choice, self.last + 1 + i) for i, choice in enumerate(choices)]
        for i in range(count):
            self.last += 1
            self.window.add(self.last, pair[i % 2])
            self.in_flight[self.last] = pair[i % 2]

    @precondition(lambda self: self.in_flight)
    @rule(choice=choices, count=counts)
    def take_some(self, choice: int, count: int) -> None:
        known = sorted(self.in_flight)
        start = choice % len(known)
        for sequence in known[start : start + count]:
            self.take_out(sequence)

    @precondition(lambda self: self.in_flight)
    @rule(step=st.sampled_from([1, 2, 3]), is_backwards=st.booleans())
    def take_many(self, step: int, is_backwards: bool) -> None:
        for sequence in sorted(self.in_flight, reverse=is_backwards)[::step]:
            self.take_out(sequence)

    @rule(choice=choices)
    def take_what_is_not_there(self, choice: int) -> None:
        candidates = [0, self.last + 1, self.last + 2 * SLOTS_MAX, *self.taken[-3:], choice]
        for sequence in candidates:
            if sequence not in self.in_flight:
                assert self.window.take(sequence) is None
                assert self.window.at(sequence) is None

    @precondition(lambda self: self.in_flight)
    @rule(choice=choices, count=counts)
    def hand_over(self, choice: int, count: int) -> None:
        """Somebody else takes over some messages, in ascending order, as one flight."""
        known = sorted(self.in_flight)
        start = choice % len(known)
        flight = self.flight(choice, known[start])
        for sequence in known[start : start + count]:
            assert self.window.take(sequence) is self.in_flight[sequence]
            self.window.put(sequence, flight)
            self.in_flight[sequence] = flight

    @precondition(lambda self: self.taken)
    @rule(choice=choices)
    def put_back(self, choice: int) -> None:
        """Something old is in flight once more, whether or not anything else is."""
        sequence = self.taken[choice % len(self.taken)]
        if sequence not in self.in_flight:
            flight = self.flight(choice, sequence)
            self.window.put(sequence, flight)
            self.in_flight[sequence] = flight

    @precondition(lambda self: not self.in_flight)
    @rule(choice=choices)
    def put_into_nothing(self, choice: int) -> None:
        """What a recovered position begins with: a message that was never added here."""
        sequence = self.last + 1 + choice
        flight = self.flight(choice, sequence)
        self.window.put(sequence, flight)
        self.in_flight[sequence] = flight
        self.last = sequence

    @invariant()
    def it_holds_what_is_in_flight(self) -> None:
        assert self.window.sequences() == sorted(self.in_flight)
        assert self.window.count == len(self.in_flight)

    @invariant()
    def it_knows_who_has_what(self) -> None:
        remaining = dict.fromkeys(map(id, self.flights), 0)
        for sequence, flight in self.in_flight.items():
            assert self.window.at(sequence) is flight
            assert flight.first <= sequence <= flight.last
            remaining[id(flight)] += 1
        assert [flight.remaining for flight in self.flights] == list(remaining.values())

    @invariant()
    def holders_know_what_they_hold(self) -> None:
        for holder in self.holders:
            held = [flight for flight in self.flights if flight.holder is holder and flight.remaining]
            assert holder.pending == sum(flight.remaining for flight in held)
            assert [flight for flight in holder.flights if flight.remaining] == held

    @invariant()
    def it_keeps_no_more_than_it_must(self) -> None:
        assert len(self.window._slots) <= SLOTS_MAX + GAP_MAX
        if not self.in_flight:
            assert not self.window._slots
            assert not self.window._stragglers


TestWindow = WindowMachine.TestCase
TestWindow.settings = settings(max_examples=100, stateful_step_count=40)


def test_a_message_that_is_never_acknowledged_holds_no_others() -> None:
    window, holder = Window(), Holder()
    lost = Flight(holder, 1, 0)
    window.add(1, lost)
    largest = 0
    for first in range(2, 600_000, 1000):
        flight = Flight(holder, first, 0)
        holder.add_flight(flight)
        window.add_run(first, 1000, flight)
        for sequence in range(first, first + 1000):
            assert window.take(sequence) is flight
        largest = max(largest, len(window._slots))
    assert largest <= SLOTS_MAX + 1000
    assert window.sequences() == [1]
    assert len(window._stragglers) == 1
    assert len(window._slots) <= 1000, "what follows a straggler is as light as if it had never been"
    assert len(holder.flights) <= 64, "landed flights are forgotten"
    assert window.take(1) is lost
    assert (window.count, holder.pending) == (0, 0)


def test_many_messages_that_are_not_acknowledged_stay_known() -> None:
    window, holder = Window(), Holder()
    flight = Flight(holder, 1, 0)
    lost = list(range(1, 300_000, 1000))
    for first in lost:
        window.add_run(first, 1000, flight)
        for sequence in range(first + 1, first + 1000):
            window.take(sequence)
    assert window.sequences() == lost
    assert holder.pending == flight.remaining == len(lost)
    assert len(window._slots) <= SLOTS_MAX + 1000
    for sequence in reversed(lost):
        assert window.take(sequence) is flight
        assert window.take(sequence) is None
    assert window.sequences() == []


def test_acknowledged_slots_are_freed_from_the_front() -> None:
    window, holder = Window(), Holder()
    flight = Flight(holder, 1, 0)
    window.add_run(1, 10_000, flight)
    for sequence in range(1, 9001):
        window.take(sequence)
    assert len(window._slots) < 5000
    assert window.sequences() == list(range(9001, 10_001))


def test_a_large_gap_costs_no_slots() -> None:
    window, holder = Window(), Holder()
    flight = Flight(holder, 1, 0)
    window.add_run(1, 10, flight)
    window.add(10_000_000, flight)
    assert len(window._slots) == 1
    assert window.sequences() == [*range(1, 11), 10_000_000]
    assert [window.take(sequence) for sequence in (10, 11, 1, 10_000_000)] == [flight, None, flight, flight]


def test_a_holder_keeps_every_flight_that_has_not_landed() -> None:
    holder, window = Holder(), Window()
    flights = [Flight(holder, sequence, sequence) for sequence in range(1, 1001)]
    for sequence, flight in enumerate(flights, 1):
        holder.add_flight(flight)
        window.add(sequence, flight)
    assert holder.flights == flights
    for sequence in range(1, 1001, 2):
        window.take(sequence)
    for sequence in range(1001, 3001):
        flight = Flight(holder, sequence, sequence)
        holder.add_flight(flight)
        window.add(sequence, flight)
        window.take(sequence)
    assert [flight for flight in holder.flights if flight.remaining] == flights[1::2]
    assert len(holder.flights) <= 1024


def test_a_holder_has_no_time_of_its_own() -> None:
    holder = Holder()
    holder.on_time(1)
    assert holder.deadline_ns == 0
