"""What was in flight before a restart: when it goes out again (docs/protocol.md §10.6).

A message is due AckWait after the time at which it was *stored*, which only the message itself tells. So the messages
in flight are read once; until that is done nothing new goes to those who share the position.
"""

from typing import Final, cast

from mypy_extensions import i64

from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.delivery import Delivery
from durabus.streaming.in_flight import TOGETHER_NS, run_length
from durabus.streaming.state import State
from durabus.streaming.window import Flight
from durabus.wire.stan_messages import decode_timestamp_ns
from durabus.wire.varint import DecodeError

__all__ = ["RecoveredPending"]

_PAGE_BYTES_MAX: Final = 1024 * 1024


class _Look:
    """One member, and how far through what it holds the reading has come."""

    def __init__(self, member: Member, sequences: list[int], flight: Flight) -> None:
        self.member = member
        self.sequences = sequences
        self.flight = flight  # where all of it is until its time is known, and what is overdue stays
        self.index = 0


class RecoveredPending:
    """Reads what recovered members hold, and gives it the times at which it is due."""

    def __init__(self, state: State, delivery: Delivery) -> None:
        """Work on `state`."""
        self._state = state
        self._delivery = delivery
        self._reads: dict[int, _Look] = {}

    def begin(self, cohort: Cohort, member: Member) -> None:
        """Find out when what `member` holds is due: overdue messages go out at once, and before anything new."""
        flights = [flight for flight in member.flights if flight.remaining]
        if not flights:
            return
        sequences = [number for number in cohort.window.sequences() if _flight_of(cohort, number) in flights]
        flight = Flight(member, sequences[0], self._state.now_ns + member.ack_wait_ns)
        member.add_flight(flight)
        for number in sequences:
            cohort.window.take(number)
            cohort.window.put(number, flight)
        cohort.recovered.append(flight)
        cohort.again_reads += 1
        cohort.on_hold = True
        self._delivery.arm(member)
        self._go_on(_Look(member, sequences, flight))

    def on_page(self, request: int, bodies: list[bytes]) -> bool:
        """Messages that were not at hand have come; whether the request was one of ours."""
        look = self._reads.pop(request, None)
        if look is None:
            return False
        self._take(look, bodies)
        self._go_on(look)
        return True

    def _go_on(self, look: _Look) -> None:
        cohort = look.member.cohort
        store = self._state.store
        while look.index < len(look.sequences):
            first = look.sequences[look.index]
            channel = self._state.channels_by_id.get(cohort.channel_id)
            if channel is None:
                return  # deleted meanwhile, and everybody in it with it
            if first < channel.first:
                look.index += 1  # removed by a limit: it counts as acknowledged when it is due
                continue
            count = run_length(look.sequences, look.index)
            found = store.read_now(cohort.channel_id, first, count, _PAGE_BYTES_MAX)
            if found is None:
                request = self._state.next_request()
                self._reads[request] = look
                store.read(request, cohort.channel_id, first, count, _PAGE_BYTES_MAX)
                return
            self._take(look, found)
        self._finish(look)

    def _take(self, look: _Look, bodies: list[bytes]) -> None:
        """Move what is due later to flights of its own; one that is not there is tried again with what is overdue."""
        state, member = self._state, look.member
        cohort = member.cohort
        latest_ns = state.now_ns + member.ack_wait_ns
        flight: Flight | None = None
        for offset in range(len(bodies)):
            sequence: i64 = look.sequences[look.index + offset]
            if cohort.window.at(sequence) is not look.flight or look.flight.holder is not member:
                continue  # acknowledged meanwhile, or with somebody else
            try:
                stored_ns = decode_timestamp_ns(bodies[offset])
            except DecodeError:
                continue
            # A clock that was set back must not postpone anything for longer than AckWait.
            due_ns = min(latest_ns, stored_ns - state.wall_ns + latest_ns)
            if due_ns <= state.now_ns + TOGETHER_NS:
                continue
            if flight is None or flight.deadline_ns != due_ns:
                flight = Flight(member, sequence, due_ns)
                member.add_flight(flight)
                cohort.recovered.append(flight)
            cohort.window.take(sequence)
            cohort.window.put(sequence, flight)
        look.index += len(bodies) or 1

    def _finish(self, look: _Look) -> None:
        member = look.member
        cohort = member.cohort
        cohort.again_reads -= 1
        if cohort.again_reads == 0:
            cohort.on_hold = False
        look.flight.deadline_ns = min(look.flight.deadline_ns, self._state.now_ns)
        self._delivery.send_overdue(member, look.flight)
        self._state.wake(cohort)


def _flight_of(cohort: Cohort, sequence: int) -> Flight:
    return cast(Flight, cohort.window.at(sequence))
