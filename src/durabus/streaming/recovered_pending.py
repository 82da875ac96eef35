"""What was in flight before a restart: when it goes out again (docs/protocol.md §10.6).

A message is due AckWait after the time at which it was *stored*, which only the message itself tells. So the messages
in flight are read once; until that is done nothing goes to those who share the position. None is due before one with a
lower sequence, whatever their times say: clocks are set back, and what is unacknowledged comes in order.
"""

from typing import cast

from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.delivery import Delivery
from durabus.streaming.in_flight import TOGETHER_NS, run_length
from durabus.streaming.resending import PAGE_BYTES_MAX
from durabus.streaming.state import State
from durabus.streaming.window import Flight
from durabus.wire.stan_messages import decode_timestamp_ns
from durabus.wire.varint import DecodeError

__all__ = ["RecoveredPending"]


class _Look:
    """One member, and how far through what it holds the reading has come: `due_ns` is as long as that."""

    def __init__(self, member: Member, sequences: list[int], flight: Flight) -> None:
        self.member = member
        self.sequences = sequences
        self.flight = flight  # where all of it is until the times are known, and what is overdue stays
        self.due_ns: list[int] = []  # 0 where that cannot be known


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
        flight.is_recovered = True
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
        while len(look.due_ns) < len(look.sequences):
            index = len(look.due_ns)
            first = look.sequences[index]
            channel = self._state.channels_by_id.get(cohort.channel_id)
            if channel is None:
                return  # deleted meanwhile, and everybody in it with it
            if first < channel.first:
                look.due_ns.append(0)  # removed by a limit: it counts as acknowledged when it is sent
                continue
            count = run_length(look.sequences, index)
            found = store.read_now(cohort.channel_id, first, count, PAGE_BYTES_MAX)
            if found is None:
                request = self._state.next_request()
                self._reads[request] = look
                store.read(request, cohort.channel_id, first, count, PAGE_BYTES_MAX)
                return
            self._take(look, found)
        self._finish(look)

    def _take(self, look: _Look, bodies: list[bytes]) -> None:
        """Note when messages are due; one that is not there is tried with what is overdue."""
        state = self._state
        latest_ns = state.now_ns + look.member.ack_wait_ns
        for body in bodies:
            try:
                stored_ns = decode_timestamp_ns(body)
            except DecodeError:
                look.due_ns.append(0)
                continue
            # A clock that was set back must not postpone anything for longer than AckWait.
            look.due_ns.append(min(latest_ns, stored_ns - state.wall_ns + latest_ns))
        if not bodies:
            look.due_ns.append(0)

    def _finish(self, look: _Look) -> None:
        """All times are known: what is due later gets flights of its own, and what is overdue goes out."""
        member, flight = look.member, look.flight
        cohort = member.cohort
        cohort.again_reads -= 1
        if cohort.again_reads == 0:
            cohort.on_hold = False
        if flight.is_recovered and flight.holder is member:
            self._set_times(look)
            flight.deadline_ns = min(flight.deadline_ns, self._state.now_ns)
        self._delivery.send_overdue(member, flight)
        self._state.wake(cohort)

    def _set_times(self, look: _Look) -> None:
        member, window = look.member, look.member.cohort.window
        soon_ns = self._state.now_ns + TOGETHER_NS
        due_ns = 0
        flight: Flight | None = None
        for index in range(len(look.sequences)):
            due_ns = max(due_ns, look.due_ns[index])
            number = look.sequences[index]
            if due_ns <= soon_ns or window.at(number) is not look.flight:
                continue  # overdue; or acknowledged meanwhile, or with somebody else
            if flight is None or flight.deadline_ns != due_ns:
                flight = Flight(member, number, due_ns)
                flight.is_recovered = True
                member.add_flight(flight)
                member.cohort.recovered.append(flight)
            window.take(number)
            window.put(number, flight)


def _flight_of(cohort: Cohort, sequence: int) -> Flight:
    return cast(Flight, cohort.window.at(sequence))
