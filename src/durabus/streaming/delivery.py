"""Sending messages to subscriptions: first deliveries, acknowledgements, redeliveries (docs/protocol.md §8 and §9).

The rule that nothing may break: if a message can be delivered and the window is open, it is sent. So everything that
could open a way (a message became durable, an acknowledgement came, a member joined or came back) wakes the cohort, and
every woken cohort is looked at before the turn ends.
"""

from typing import cast

from mypy_extensions import i64

from durabus.broker.bus import Receiver
from durabus.streaming.channel import Channel
from durabus.streaming.choice import best_for_redelivery, best_member, can_redeliver
from durabus.streaming.cohort import Cohort, Member, MemberOwner
from durabus.streaming.in_flight import TOGETHER_NS, due_order, held_of, holder_of, postpone
from durabus.streaming.resending import PAGE_BYTES_MAX, Drain, Resending, publish_to
from durabus.streaming.state import State, text
from durabus.streaming.trace import trace_ack
from durabus.streaming.window import Flight
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import decode_ack
from durabus.wire.varint import DecodeError, varint

__all__ = ["Delivery"]


class _AckReceiver(Receiver):
    """The ack inbox of one subscription."""

    def __init__(self, delivery: "Delivery", member: Member) -> None:
        name = member.cohort.channel_name
        self._delivery = delivery
        self._log = delivery.log
        self._member = member
        self._prefix = b"\x0a" + varint(len(name)) + name + b"\x10"
        self._prefix_bytes: i64 = len(self._prefix)

    def on_publish(self, publish: Publish) -> None:
        """Take a run of acknowledgements; the usual form is read in place, any other by the decoder."""
        cohort = self._member.cohort
        prefix_bytes: i64 = self._prefix_bytes
        done = False
        for payload in publish.payloads:
            end: i64 = len(payload)
            sequence: i64 = -1
            if end > prefix_bytes and end < prefix_bytes + 9 and payload[:prefix_bytes] == self._prefix:
                at: i64 = prefix_bytes
                shift: i64 = 0
                sequence = 0
                group: i64 = 128
                while at < end:
                    group = payload[at]
                    sequence |= (group & 127) << shift
                    shift += 7
                    at += 1
                    if group < 128:
                        break
                if at != end or group > 127:
                    sequence = -1
            if sequence < 0:
                sequence = self._delivery.decode_ack(payload, cohort)
                if sequence <= 0:
                    continue
            if self._log.trace_on:
                trace_ack(self._log, self._member, int(sequence))
            if cohort.window.take(sequence) is not None:
                done = True
                if cohort.redelivered:
                    cohort.redelivered.pop(int(sequence), None)
        if done:
            self._delivery.on_acknowledged(cohort)


class _DrainOfCohorts(Drain):
    """Those to whom so much is on its way that new messages wait."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._cohorts: list[Cohort] = []

    def wait_for(self, cohort: Cohort) -> None:
        """Look at `cohort` again in a moment."""
        if cohort not in self._cohorts:
            self._cohorts.append(cohort)
            self.begin()

    def on_time(self, now_ns: int) -> None:
        cohorts, self._cohorts = self._cohorts, []
        for cohort in cohorts:
            self.state.wake(cohort)


class Delivery(MemberOwner):
    """Sends what can be sent, and nothing twice that was acknowledged."""

    def __init__(self, state: State) -> None:
        """Work on `state`."""
        self.log = state.log
        self._state = state
        self._page_reads: dict[int, tuple[Cohort, int]] = {}
        self._drain = _DrainOfCohorts(state)
        self._resending = Resending(state)

    def look_again(self, now_ns: int) -> None:
        """Go on with those to whom too much was on its way, as far as it has arrived, before the time for that has come."""
        self._drain.look_again(now_ns)
        self._resending.look_again(now_ns)

    # Members come and go.

    def activate(self, member: Member) -> None:
        """Listen on the member's ack inbox. Comes before the response that tells the client of it."""
        self._state.bus.subscribe(member.record.ack_inbox, _AckReceiver(self, member))
        member.on_inbox(self._state.bus.watch(member.inbox, member.inbox_watcher))

    def start(self, member: Member) -> None:
        """From now on, messages may be sent to `member`: its response is on its way."""
        if member.client is None or member.is_ended:
            return
        member.is_active = True
        if member.pending:
            self.arm(member)  # others left before it began, and it has what they held
        self._state.wake(member.cohort)
        if member.cohort.is_queue:
            self.move_from_absent(member.cohort)

    def deactivate(self, member: Member) -> None:
        """Send nothing more to `member`, and take nothing more from it."""
        member.is_active = False
        self._state.timers.cancel(member)
        self._state.bus.unsubscribe(member.record.ack_inbox)
        self._state.bus.unwatch(member.inbox, member.inbox_watcher)

    # Acknowledgements.

    def decode_ack(self, payload: bytes, cohort: Cohort) -> i64:
        """The sequence of an Ack in an unusual form; 0 when it is none, or none for this channel."""
        try:
            ack = decode_ack(payload)
        except DecodeError as error:
            self._state.complain("Unable to unmarshal Ack", f"Unable to unmarshal Ack: {error}")
            return 0
        if ack.subject != cohort.channel_name:
            if ack.subject not in self._state.channels:
                line = f"Unable to process ack seq={ack.sequence}, channel {text(ack.subject)} not found"
                self._state.complain("Unable to process ack", line)
            return 0
        return ack.sequence if ack.sequence < 1 << 62 else 0

    def on_acknowledged(self, cohort: Cohort) -> None:
        """Something in `cohort` was acknowledged: there may be room for more."""
        self._state.touch(cohort)
        self._state.wake(cohort)

    # First deliveries.

    def pump_woken(self) -> None:
        """Send everything that can be sent to whoever was woken."""
        while self._state.woken:
            woken = self._state.woken
            self._state.woken = []
            for cohort in woken:
                cohort.is_woken = False
                self._pump(cohort)

    def _pump(self, cohort: Cohort) -> None:
        channel = self._state.channels_by_id.get(cohort.channel_id)
        if channel is None or not cohort.members or cohort.page_request or cohort.on_hold:
            return
        if not self._state.bus.is_open():
            return  # what is sent now is lost: `reopen` looks again
        while True:
            following: i64 = cohort.last_sent + 1
            if following < channel.first:
                following = channel.first
            available: i64 = channel.durable_last - following + 1
            if available <= 0:
                return
            room = self._room(cohort)
            if cohort.recovered and (room > 0 or _may_be_full_no_more(cohort)) and not self._bring_forward(cohort):
                return
            if room <= 0:
                return
            count: i64 = min(room, available)
            bodies = self._state.store.read_now(channel.channel_id, int(following), int(count), PAGE_BYTES_MAX)
            if bodies is None:
                request = self._state.next_request()
                cohort.page_request = request
                self._page_reads[request] = (cohort, int(following))
                self._state.store.read(request, channel.channel_id, int(following), int(count), PAGE_BYTES_MAX)
                return
            if not bodies:
                self._report_missing(channel, int(following))
                return
            self._send_page(cohort, following, bodies)

    def on_page(self, request: int, bodies: list[bytes]) -> bool:
        """Messages that were not at hand have come; whether the request was one of ours."""
        if self._resending.on_page(request, bodies):
            return True
        page = self._page_reads.pop(request, None)
        if page is None:
            return False
        cohort = page[0]
        if cohort.page_request != request:
            return True
        cohort.page_request = 0
        channel = self._state.channels_by_id.get(cohort.channel_id)
        if channel is None:
            return True
        # Since it was asked for, limits may have moved the floor, and members may have gone or come.
        following: i64 = max(cohort.last_sent + 1, channel.first)
        skip: i64 = following - page[1]
        if not bodies and skip == 0:
            self._report_missing(channel, page[1])
            return True
        room: i64 = self._room(cohort)
        if skip < len(bodies) and room > 0 and not cohort.on_hold:
            self._send_page(cohort, following, bodies[skip : skip + room])
        self._state.wake(cohort)
        return True

    def _report_missing(self, channel: Channel, sequence: int) -> None:
        """A message that should be there is not: it is tried again with the next occasion."""
        line = f"Error looking up message {text(channel.name)}:{sequence} (the store has nothing there)"
        self._state.complain("Error looking up messages", line)

    def _room(self, cohort: Cohort) -> i64:
        """How many new messages may be sent now, at least to one member."""
        room: i64 = 0
        for member in cohort.members:
            left: i64 = member.max_in_flight - member.pending
            if left <= 0 or not member.is_reachable():
                continue
            member.is_congested = self._state.bus.is_congested(member.inbox)
            if member.is_congested:
                self._drain.wait_for(cohort)
            else:
                room += left
        return room

    def _send_page(self, cohort: Cohort, first: i64, bodies: list[bytes]) -> None:
        """Send new messages; what the store has lost of them is passed over, as if a limit had removed it."""
        if not self._state.store.has_lost or b"" not in bodies:
            self._send_new(cohort, first, bodies)
            return
        at: i64 = 0
        count: i64 = len(bodies)
        while at < count and cohort.last_sent < first + at:
            stop: i64 = at
            while stop < count and bodies[stop]:
                stop += 1
            if stop > at:
                self._send_new(cohort, first + at, bodies[at:stop])
                if cohort.last_sent < first + stop - 1:
                    return  # nobody had room for the rest
            elif stop < count:
                cohort.last_sent = first + stop
                stop += 1
            at = stop

    def _send_new(self, cohort: Cohort, first: i64, bodies: list[bytes]) -> None:
        if cohort.is_queue and len(cohort.members) > 1:
            self._spread_new(cohort, first, bodies)
            return
        member = cohort.members[0]
        count: i64 = len(bodies)
        flight = Flight(member, first, self._state.now_ns + member.ack_wait_ns)
        member.add_flight(flight)
        cohort.window.add_run(first, count, flight)
        cohort.last_sent = first + count - 1
        publish_to(self._state, member, bodies)
        self._sent(cohort, member, flight)

    def _spread_new(self, cohort: Cohort, first: i64, bodies: list[bytes]) -> None:
        """Give each message to the member that is best at that moment, then send each member's share in one go."""
        shares: dict[Member, list[bytes]] = {}
        flights: dict[Member, Flight] = {}
        sequence: i64 = first
        for body in bodies:
            member = best_member(cohort)
            if member is None:
                break
            flight = flights.get(member)
            if flight is None:
                flight = Flight(member, sequence, self._state.now_ns + member.ack_wait_ns)
                member.add_flight(flight)
                flights[member] = flight
                shares[member] = [body]
            else:
                shares[member].append(body)
            cohort.window.add(sequence, flight)
            cohort.last_sent = sequence
            sequence += 1
        for member, share in shares.items():
            publish_to(self._state, member, share)
            self._sent(cohort, member, flights[member])

    def _sent(self, cohort: Cohort, member: Member, flight: Flight) -> None:
        self._state.touch(cohort)
        # What is pending since before a durable was resumed may be due later than what is sent now.
        if (member.deadline_ns == 0 or flight.deadline_ns < member.deadline_ns) and self._state.options.redelivery_on:
            self._state.timers.set(member, flight.deadline_ns)

    # Redeliveries.

    def on_member_time(self, member: Member, now_ns: int) -> None:
        """Send again what is due, and ask to be told of what is due next."""
        client = member.client
        if not member.is_active or client is None:
            return
        if self._state.bus.is_open() and can_redeliver(member, client):
            self._redeliver(member, now_ns)
            self.arm(member)
        elif member.pending:
            # Nobody there, or its heartbeats fail: look again later. Coming back also looks at once.
            self._state.timers.set(member, now_ns + member.ack_wait_ns)

    def arm(self, member: Member) -> None:
        """Set the member's deadline to that of what is due first."""
        earliest = 0
        for flight in member.flights:
            if flight.remaining and (earliest == 0 or flight.deadline_ns < earliest):
                earliest = flight.deadline_ns
        if earliest and member.is_active and self._state.options.redelivery_on:
            self._state.timers.set(member, earliest)
        else:
            self._state.timers.cancel(member)

    def _redeliver(self, member: Member, now_ns: int) -> None:
        """Send again what is due with `member`: to the same member, in a group to whoever is best now."""
        cohort = member.cohort
        due = [flight for flight in member.flights if flight.remaining and flight.deadline_ns <= now_ns + TOGETHER_NS]
        due.sort(key=due_order)  # what is in flight since before a restart is due in the order of its sequences
        sequences: list[int] = []
        is_first_since_restart = False
        for flight in due:
            sequences.extend(held_of(cohort, flight))
            postpone(flight, member, now_ns)
            is_first_since_restart = is_first_since_restart or flight.is_recovered
        if not cohort.is_queue or len(cohort.members) == 1:
            self._resending.send(member, sequences)
        else:
            self._spread_again(member, sequences, now_ns)
        if is_first_since_restart:
            _forget_recovered(cohort, due)
            cohort.on_hold = cohort.again_reads > 0  # what is not at hand is not overtaken either

    def _spread_again(self, member: Member, sequences: list[int], now_ns: int) -> None:
        """Give each message that is with `member` to the one that is best at that moment, then send each its share."""
        cohort = member.cohort
        shares: dict[Member, list[int]] = {}
        for number in sequences:
            best = best_for_redelivery(cohort) or member
            shares.setdefault(best, []).append(number)
            if best is not member:
                self._hand_over(cohort, number, best, now_ns + best.ack_wait_ns)
        for best, share in shares.items():
            self._resending.send(best, share)
            if best is not member:
                self.arm(best)

    def _hand_over(self, cohort: Cohort, sequence: int, member: Member, deadline_ns: int) -> None:
        """Let `member` hold what another one held, who may have room now."""
        if cohort.window.take(sequence) is None:
            return
        self._state.touch(cohort)
        self._state.wake(cohort)
        flights = member.flights
        last = flights[len(flights) - 1] if flights else None
        if last is None or last.deadline_ns != deadline_ns or last.last > sequence:
            last = Flight(member, sequence, deadline_ns)
            member.add_flight(last)
        cohort.window.put(sequence, last)

    # Whom messages are with changes.

    def resend_pending(self, cohort: Cohort, member: Member) -> None:
        """A durable was resumed by `member`: everything that is pending goes out again, before anything new."""
        held = [number for number in cohort.window.sequences() if holder_of(cohort, number) is member]
        for flight in member.flights:
            postpone(flight, member, self._state.now_ns)
        _forget_recovered(cohort, member.flights)
        self._resending.send(member, held)
        self.arm(member)
        cohort.on_hold = cohort.again_reads > 0
        self._state.wake(cohort)

    def send_overdue(self, member: Member, flight: Flight) -> None:
        """Send what is left of a recovered flight again, to the same member, if it is there; else when it comes back."""
        cohort = member.cohort
        held = held_of(cohort, flight)
        if held and flight.is_recovered and member.is_reachable() and self._state.bus.is_open():
            postpone(flight, member, self._state.now_ns)
            _forget_recovered(cohort, [flight])
            self._resending.send(member, held)
            cohort.on_hold = cohort.again_reads > 0
        self.arm(member)

    def _bring_forward(self, cohort: Cohort) -> bool:
        """A new message is at hand: what was in flight before a restart goes out again first, due or not.

        Whether the new message may follow at once.
        """
        shares: dict[Member, list[int]] = {}
        sent: list[Flight] = []
        for flight in cohort.recovered:
            member = cast(Member, flight.holder)
            if flight.remaining and not member.is_reachable():
                continue
            sent.append(flight)
            shares.setdefault(member, []).extend(held_of(cohort, flight))
            postpone(flight, member, self._state.now_ns)
        _forget_recovered(cohort, sent)
        for member, share in shares.items():
            if share:
                share.sort()
                self._resending.send(member, share)
                self.arm(member)
        cohort.on_hold = cohort.again_reads > 0
        return not cohort.on_hold

    def move_pending(self, cohort: Cohort, leaving: Member, targets: list[Member]) -> None:
        """Spread what `leaving` holds over `targets`, in the order in which it is due, and send it again at once."""
        if not targets or leaving.pending == 0:
            return
        turn = 0
        shares: dict[Member, list[int]] = {}
        flights = [flight for flight in leaving.flights if flight.remaining]
        flights.sort(key=due_order)
        for flight in flights:
            for number in range(int(flight.first), int(flight.last) + 1):
                if cohort.window.at(number) is flight:
                    target = targets[turn % len(targets)]
                    turn += 1
                    wait_ns = target.ack_wait_ns if target.is_reachable() else 0
                    self._hand_over(cohort, number, target, self._state.now_ns + wait_ns)
                    shares.setdefault(target, []).append(number)
        for target, share in shares.items():
            if target.is_reachable():
                self._resending.send(target, share)
            self.arm(target)

    def move_from_absent(self, cohort: Cohort) -> None:
        """Move what members hold that have been away for longer than granted to members that are there."""
        targets = [member for member in cohort.members if member.is_reachable()]
        for member in cohort.members:
            client = member.client
            if client is not None and client.is_absent and client.grace_is_over and member.pending:
                self.move_pending(cohort, member, targets)

    def on_member_interest(self, member: Member) -> None:
        """A member's inbox is listened to again, or no longer."""
        if member.is_reachable():
            self.come_back(member)

    def come_back(self, member: Member) -> None:
        """A member is reachable again: what is overdue goes out now, and so does what is new."""
        if member.is_active and member.pending:
            self.arm(member)
        self._state.wake(member.cohort)
        if member.cohort.is_queue:
            self.move_from_absent(member.cohort)


def _forget_recovered(cohort: Cohort, flights: list[Flight]) -> None:
    """From now on `flights` are like any others: they are being sent again."""
    for flight in flights:
        flight.is_recovered = False
    cohort.recovered = [flight for flight in cohort.recovered if flight.is_recovered]


def _may_be_full_no_more(cohort: Cohort) -> bool:
    """Whether somebody has no room only because of messages that it may have acknowledged before a restart."""
    if not cohort.acks_may_be_lost:
        return False
    for member in cohort.members:
        if member.is_reachable() and member.is_stalled():
            return True
    return False
