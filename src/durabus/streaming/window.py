"""What is in flight: the sent and not yet acknowledged sequences of one position in a channel (docs/protocol.md §8.1).

A sequence in flight is one slot of a list and no object of its own: all messages that went to one member together share
one `Flight`, which knows when they are due again.
"""

from typing import Final

from mypy_extensions import i64

from durabus.streaming.timers import Timed

__all__ = ["Flight", "Holder", "Window"]

_GAP_MAX: Final = 4096
_SLOTS_MAX: Final = 65536
"""Slots kept for a run of sequences whose first one is never acknowledged; older ones then move to a dictionary."""


class Holder(Timed):
    """Whom messages in flight are with: how many (`pending`), and in which flights, in the order of sending."""

    def __init__(self) -> None:
        """Nothing is in flight to this one."""
        super().__init__()
        self.pending: i64 = 0
        self.flights: list[Flight] = []
        self._flights_max: i64 = 64

    def add_flight(self, flight: "Flight") -> None:
        """Remember `flight`; those that have landed are forgotten when there are many."""
        if len(self.flights) >= self._flights_max:
            self.flights = [known for known in self.flights if known.remaining > 0]
            self._flights_max = max(i64(64), i64(2 * len(self.flights)))
        self.flights.append(flight)

    def on_time(self, now_ns: int) -> None:
        """Nothing to do here; a holder with a deadline says what happens then."""


class Flight:
    """Messages `first` to `last` that went to `holder` together, as far as its slots still point here.

    `remaining` of them are unacknowledged; they are due again at `deadline_ns`.
    """

    def __init__(self, holder: Holder, first: i64, deadline_ns: int) -> None:
        """An empty flight to `holder`, for sequences from `first` on."""
        self.holder = holder
        self.first: i64 = first
        self.last: i64 = first - 1
        self.remaining: i64 = 0
        self.deadline_ns = deadline_ns
        self.is_recovered = False  # in flight since before a restart, and not sent again since


class Window:
    """The sequences in flight. They are added in ascending order and taken out in any."""

    def __init__(self) -> None:
        """Nothing is in flight."""
        self.count: i64 = 0
        self._base: i64 = 1  # the sequence of slot 0
        self._head: i64 = 0  # no slot before this one is taken
        self._slots: list[Flight | None] = []
        self._stragglers: dict[int, Flight] = {}

    def add(self, sequence: i64, flight: Flight) -> None:
        """Put one message in flight; `sequence` is higher than all before it."""
        self._reach(sequence)
        self._slots.append(flight)
        self._count_in(flight, sequence, 1)

    def add_run(self, sequence: i64, count: i64, flight: Flight) -> None:
        """Put `count` messages from `sequence` on in flight."""
        self._reach(sequence)
        slots: list[Flight | None] = [flight]
        self._slots.extend(slots * int(count))
        self._count_in(flight, sequence + count - 1, count)

    def put(self, sequence: i64, flight: Flight) -> None:
        """Put one message in flight that is not: taken from somebody else, or older than the others."""
        index: i64 = sequence - self._base
        if index >= len(self._slots):
            self.add(sequence, flight)
            return
        if index >= 0:
            self._slots[index] = flight
            if index < self._head:
                self._head = index
        else:
            self._stragglers[int(sequence)] = flight
        if sequence < flight.first:
            flight.first = sequence
        self._count_in(flight, max(sequence, flight.last), 1)

    def take(self, sequence: i64) -> Flight | None:
        """Take one message out; the flight it was in, or None when it is not in flight."""
        index: i64 = sequence - self._base
        if index < 0:
            flight = self._stragglers.pop(int(sequence), None) if self._stragglers else None
            if flight is not None:
                self._count_out(flight)
            return flight
        slots = self._slots
        if index >= len(slots):
            return None
        found = slots[index]
        if found is None:
            return None
        slots[index] = None
        self._count_out(found)
        if index == self._head:
            self._advance()
        return found

    def at(self, sequence: i64) -> Flight | None:
        """The flight that a message is in, or None."""
        index: i64 = sequence - self._base
        if index < 0:
            return self._stragglers.get(int(sequence))
        return self._slots[index] if index < len(self._slots) else None

    def sequences(self) -> list[int]:
        """Everything in flight, ascending."""
        found = sorted(self._stragglers)
        index: i64 = self._head
        while index < len(self._slots):
            if self._slots[index] is not None:
                found.append(int(self._base + index))
            index += 1
        return found

    def _count_in(self, flight: Flight, last: i64, count: i64) -> None:
        flight.last = last
        flight.remaining += count
        flight.holder.pending += count
        self.count += count

    def _count_out(self, flight: Flight) -> None:
        flight.remaining -= 1
        flight.holder.pending -= 1
        self.count -= 1

    def _reach(self, sequence: i64) -> None:
        """Make `sequence` the one that the next slot stands for."""
        following: i64 = self._base + len(self._slots)
        if sequence == following:
            if len(self._slots) - self._head > _SLOTS_MAX:
                self._set_aside(len(self._slots) - _SLOTS_MAX // 2)
            return
        if self.count - len(self._stragglers) == 0:
            self._slots = []
            self._head = 0
            self._base = sequence
            return
        gap: i64 = sequence - following
        if gap < _GAP_MAX:
            nothing: list[Flight | None] = [None]
            self._slots.extend(nothing * int(gap))
            return
        self._set_aside(len(self._slots))
        self._base = sequence

    def _set_aside(self, stop: i64) -> None:
        """Move what is in flight in the slots before `stop` to the dictionary, and drop those slots."""
        index: i64 = self._head
        while index < stop:
            flight = self._slots[index]
            if flight is not None:
                self._stragglers[int(self._base + index)] = flight
            index += 1
        del self._slots[:stop]
        self._base += stop
        self._head = 0
        self._advance()

    def _advance(self) -> None:
        """Move the head over slots that are free, and drop them when they are the larger part."""
        head: i64 = self._head
        size: i64 = len(self._slots)
        slots = self._slots
        while head < size and slots[head] is None:
            head += 1
        self._head = head
        if head == size:
            slots.clear()
            self._base += size
            self._head = 0
        elif head > 1024 and head * 2 > size:
            del slots[:head]
            self._base += head
            self._head = 0
