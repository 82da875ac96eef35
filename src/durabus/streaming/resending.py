"""Sending messages again: to each member in the order asked for, however long the store takes (docs/protocol.md §8.4, §10.6).

What a member is to get again is one queue. While its beginning is being read, or too much is on its way to the member, what
is added waits behind it. So no answer of the store overtakes another one, and nothing stands in the queue twice.
"""

from typing import Final

from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.in_flight import holder_of, run_length
from durabus.streaming.options import MILLISECOND_NS
from durabus.streaming.state import State
from durabus.streaming.timers import Timed
from durabus.streaming.trace import trace_deliveries
from durabus.streaming.window import Flight
from durabus.wire.varint import uint_field

__all__ = ["PAGE_BYTES_MAX", "Drain", "Resending", "publish_to"]

PAGE_BYTES_MAX: Final = 1024 * 1024
"""How much is read, and sent, without a look at how the receiver keeps up."""
_DRAIN_NS: Final = 10 * MILLISECOND_NS
"""How long whoever has too much on its way is left alone before anybody looks again."""
_REDELIVERED_FIELD: Final = b"\x30\x01"


def publish_to(state: State, member: Member, bodies: list[bytes]) -> None:
    """Send `bodies` to a member, count and trace them."""
    statistics = state.statistics
    statistics.out_messages += len(bodies)
    for body in bodies:
        statistics.out_bytes += len(body)
    if state.log.trace_on:
        trace_deliveries(state.log, member, bodies)
    state.bus.publish_run(member.inbox, b"", bodies)


class Drain(Timed):
    """What waits for a moment, because so much is on its way already. Who derives from it says in `on_time` what that is."""

    def __init__(self, state: State) -> None:
        """Nothing waits."""
        super().__init__()
        self.state = state

    def begin(self) -> None:
        """Something waits: the moment begins, unless it has."""
        if self.deadline_ns == 0:
            self.state.timers.set(self, self.state.now_ns + _DRAIN_NS)

    def look_again(self, now_ns: int) -> None:
        """Look now, whatever the time is."""
        if self.deadline_ns:
            self.state.timers.cancel(self)
            self.on_time(now_ns)


class _DrainOfMembers(Drain):
    """Those who have so much on its way to them that more waits."""

    def __init__(self, resending: "Resending", state: State) -> None:
        super().__init__(state)
        self._resending = resending
        self._members: list[Member] = []

    def wait_for(self, member: Member) -> None:
        """Go on with `member` in a moment."""
        self._members.append(member)
        self.begin()

    def on_time(self, now_ns: int) -> None:
        members, self._members = self._members, []
        for member in members:
            self._resending.go_on(member)


class Resending:
    """Owner of what is to be sent again."""

    def __init__(self, state: State) -> None:
        """Work on `state`."""
        self._state = state
        self._drain = _DrainOfMembers(self, state)
        self._reads: dict[int, Member] = {}
        self._request_now = 0  # the read that is being asked for at this moment
        self._answers_now: list[list[bytes]] = []  # and its answer, when there is one

    def look_again(self, now_ns: int) -> None:
        """Go on with those to whom too much was on its way, as far as it has arrived."""
        self._drain.look_again(now_ns)

    def send(self, member: Member, sequences: list[int]) -> None:
        """Send messages that `member` holds, with the redelivered flag and their count.

        What limits have removed counts as acknowledged.
        """
        if member.is_resending:
            waiting = set(member.to_resend)
            member.to_resend.extend([number for number in sequences if number not in waiting])
            return
        member.to_resend = sequences
        self._work_off(member)

    def on_page(self, request: int, bodies: list[bytes]) -> bool:
        """Messages that were not at hand have come; whether the request was one of ours."""
        member = self._reads.pop(request, None)
        if member is None:
            return False
        if request == self._request_now:
            self._answers_now.append(bodies)
            return True
        if self._can_reach(member):
            self._send_page(member, bodies)
        self.go_on(member)
        return True

    def go_on(self, member: Member) -> None:
        """What was waited for has come: send the rest, as far as it is still with `member`."""
        cohort = member.cohort
        member.to_resend = [number for number in member.to_resend if holder_of(cohort, number) is member]
        if self._can_reach(member):
            self._work_off(member)
        else:
            self._leave_off(member)

    def _can_reach(self, member: Member) -> bool:
        return member.is_reachable() and self._state.bus.is_open()

    def _work_off(self, member: Member) -> None:
        """Send what is at hand, until the queue is empty or something has to be waited for."""
        while True:
            count = self._send_at_hand(member)
            if count > 0:
                found = self._read(member, count)
                if found is not None:
                    self._send_page(member, found)
                    continue
            elif member.to_resend:
                self._drain.wait_for(member)
            self._set_waiting(member, len(member.to_resend) > 0)
            return

    def _send_at_hand(self, member: Member) -> int:
        """Send what is at hand of the queue, and keep the rest; how many at its beginning have to be read first.

        Nothing has to be when all was sent, or when there is so much on its way that the rest waits for that.
        """
        state, cohort = self._state, member.cohort
        sequences, member.to_resend = member.to_resend, []
        channel = state.channels_by_id.get(cohort.channel_id)
        bodies: list[bytes] = []
        total = 0
        index = 0
        to_read = 0
        while index < len(sequences) and channel is not None:
            first = sequences[index]
            if first < channel.first:
                self._forget(cohort, first)
                index += 1
                continue
            count = run_length(sequences, index)
            found = state.store.read_now(channel.channel_id, first, count, PAGE_BYTES_MAX)
            if found is None:
                to_read = count
                break
            if not found:
                self._report_lost(member, first)
            for offset in range(len(found)):
                if not found[offset]:
                    self._forget(cohort, first + offset)
                    continue
                bodies.append(self._marked(cohort, first + offset, found[offset]))
                total += len(found[offset])
            index += len(found) or 1
            if total > PAGE_BYTES_MAX:
                publish_to(state, member, bodies)
                bodies = []
                total = 0
                if state.bus.is_congested(member.inbox):
                    break
        if bodies:
            publish_to(state, member, bodies)
        if channel is not None:
            member.to_resend = sequences[index:]
        return to_read

    def _set_waiting(self, member: Member, is_waiting: bool) -> None:
        """Note whether something has to be waited for; when nothing has any more, new messages may follow."""
        cohort = member.cohort
        if is_waiting == member.is_resending:
            return
        member.is_resending = is_waiting
        if is_waiting:
            cohort.again_reads += 1
            return
        cohort.again_reads -= 1
        if cohort.again_reads == 0 and cohort.on_hold:
            cohort.on_hold = False
            self._state.wake(cohort)

    def _read(self, member: Member, count: int) -> list[bytes] | None:
        """Ask for the first `count` messages of the queue; what the store says, if it answers within the call."""
        request = self._state.next_request()
        self._reads[request] = member
        self._request_now = request
        self._state.store.read(request, member.cohort.channel_id, member.to_resend[0], count, PAGE_BYTES_MAX)
        self._request_now = 0
        return self._answers_now.pop() if self._answers_now else None

    def _send_page(self, member: Member, found: list[bytes]) -> None:
        """Send what was read of the beginning of the queue, as far as it is still with `member`."""
        cohort = member.cohort
        sequences = member.to_resend
        bodies: list[bytes] = []
        for index in range(len(found)):
            if not found[index]:
                self._forget(cohort, sequences[index])
            elif holder_of(cohort, sequences[index]) is member:
                bodies.append(self._marked(cohort, sequences[index], found[index]))
        if bodies:
            publish_to(self._state, member, bodies)
        if not found:
            self._report_lost(member, sequences[0])  # and looked at again when it is due
        member.to_resend = sequences[len(found) or 1 :]

    def _leave_off(self, member: Member) -> None:
        """Nobody is there any more. What new messages wait for stays what comes first when somebody is there again."""
        cohort = member.cohort
        sequences, member.to_resend = member.to_resend, []
        if sequences and cohort.on_hold and not member.is_ended:
            flight = Flight(member, sequences[0], self._state.now_ns)
            flight.is_recovered = True
            member.add_flight(flight)
            cohort.recovered.append(flight)
            for number in sequences:
                cohort.window.take(number)
                cohort.window.put(number, flight)
        self._set_waiting(member, False)

    def _forget(self, cohort: Cohort, sequence: int) -> None:
        """A message that was in flight is gone: it counts as acknowledged."""
        cohort.window.take(sequence)
        cohort.redelivered.pop(sequence, None)
        self._state.touch(cohort)
        self._state.wake(cohort)

    def _marked(self, cohort: Cohort, sequence: int, body: bytes) -> bytes:
        """`body` as a redelivery: one more than last time; the count skips zero when it wraps."""
        count = (cohort.redelivered.get(sequence, 0) + 1) & 0xFFFFFFFF or 1
        cohort.redelivered[sequence] = count
        return body + _REDELIVERED_FIELD + uint_field(7, count)

    def _report_lost(self, member: Member, sequence: int) -> None:
        """A message that is to be sent again is not there: it stays pending. One below the floor is no error."""
        channel = self._state.channels_by_id.get(member.cohort.channel_id)
        if channel is not None and sequence >= channel.first:
            line = f"Error getting message for redelivery subid={member.subscription_id}, seq={sequence}"
            self._state.complain("Error getting messages for redelivery", f"{line}, err=the store has nothing there")
