"""What is in flight: with whom, what is left, in which order and when it is due."""

from durabus.streaming.cohort import Cohort, Member, MemberOwner
from durabus.streaming.in_flight import due_order, first_order, held_of, holder_of, postpone, run_length
from durabus.streaming.records import SubscriptionRecord
from durabus.streaming.window import Flight

SECOND_NS = 1_000_000_000


def member_of(cohort: Cohort, number: int, ack_wait_s: int = 30) -> Member:
    record = SubscriptionRecord(number, b"foo")
    record.ack_wait_s = ack_wait_s
    return Member(cohort, record, None, MemberOwner())


def test_what_is_left_of_a_flight_and_with_whom() -> None:
    cohort = Cohort(1, b"foo", b"q", True, False)
    first, second = member_of(cohort, 1), member_of(cohort, 2)
    flight = Flight(first, 1, 100)
    cohort.window.add_run(1, 5, flight)
    cohort.window.take(2)
    cohort.window.take(4)
    cohort.window.put(4, Flight(second, 4, 100))
    assert held_of(cohort, flight) == [1, 3, 5]
    assert [holder_of(cohort, sequence) for sequence in (1, 2, 4, 9)] == [first, None, second, None]


def test_orders() -> None:
    holder = member_of(Cohort(1, b"foo", b"", False, False), 1)
    flights = [Flight(holder, 7, 20), Flight(holder, 3, 20), Flight(holder, 9, 10)]
    assert [int(flight.first) for flight in sorted(flights, key=due_order)] == [9, 3, 7]
    assert [int(flight.first) for flight in sorted(flights, key=first_order)] == [3, 7, 9]


def test_the_next_time_counts_from_the_last_one_but_is_never_past() -> None:
    holder = member_of(Cohort(1, b"foo", b"", False, False), 1, 10)
    flight = Flight(holder, 1, 100 * SECOND_NS)
    postpone(flight, holder, 103 * SECOND_NS)
    assert flight.deadline_ns == 110 * SECOND_NS
    postpone(flight, holder, 150 * SECOND_NS)
    assert flight.deadline_ns == 160 * SECOND_NS


def test_runs_of_sequences() -> None:
    sequences = [3, 4, 5, 7, 9, 10]
    assert [run_length(sequences, start) for start in range(6)] == [3, 2, 1, 1, 2, 1]
