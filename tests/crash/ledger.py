"""What a server promised, and whether it kept it: the books of the crash tests. No I/O and no clock here.

A *life* is the time from one start of the server to its end; lives are counted. Promises are publish acknowledgements, and
deliveries: what somebody was sent at a sequence has to stay there. What is wrong goes to `Complaints`, in words.
"""

from array import array
from collections import deque
from collections.abc import Callable

from tests.crash.messages import describe, key_within, publisher_of

__all__ = ["ChannelLedger", "Complaints", "DurableLedger"]

COMPLAINTS_MAX = 30
NEVER, ACKNOWLEDGED, SETTLED = range(3)


class Complaints:
    """What was found to be wrong. Many faults come in thousands: the first ones tell enough."""

    def __init__(self) -> None:
        self.life = 0
        self.texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.texts)

    def add(self, text: str) -> None:
        """One more."""
        if len(self.texts) < COMPLAINTS_MAX:
            self.texts.append(f"life {self.life}: {text}")


class ChannelLedger:
    """One channel: what was sent to it, what of that was acknowledged, and what was seen at which sequence.

    A reader tells what it reads, in order: `begin_reading`, `read` for each message, `end_reading` when it has come to a
    message that was published after everything else. `verified` is the last sequence that a reader has seen.
    """

    def __init__(self, name: bytes, complaints: Complaints, messages_max: int = 0) -> None:
        """Of a channel that keeps `messages_max` messages; 0 for all."""
        self.name = name
        self.messages_max = messages_max
        self.sent_count = 0
        self.acknowledged_count = 0
        self.checked_count = 0
        self._complaints = complaints
        self._unfound: dict[int, int] = {}  # what was sent and not read yet: key -> life
        self._order: dict[int, deque[int]] = {}  # the same per publisher, as it was sent
        self._acknowledged: set[int] = set()  # those of the unfound that were
        self._keys = array("Q", [0])  # by sequence, as readers saw them; 0 where none did
        self._timestamps = array("Q", [0])
        self._seen: dict[int, tuple[int, int]] = {}  # beyond what is verified: sequence -> key, timestamp
        self._next = 0  # what the reader must get next
        self._after_gap: set[int] = set()  # publishers some of whose messages a limit has removed unread

    @property
    def verified(self) -> int:
        """The last sequence that a reader has seen."""
        return len(self._keys) - 1

    def _complain(self, text: str) -> None:
        self._complaints.add(f"{self.name.decode()}: {text}")

    # Promises.

    def sent(self, key: int) -> None:
        """A publisher sends this, after what it sent before."""
        self.sent_count += 1
        self._unfound[key] = self._complaints.life
        self._order.setdefault(publisher_of(key), deque()).append(key)

    def acknowledged(self, key: int) -> None:
        """The server says that this is stored."""
        self.acknowledged_count += 1
        if key in self._unfound:
            self._acknowledged.add(key)

    def seen(self, sequence: int, data: bytes, timestamp_ns: int) -> None:
        """Somebody was sent this message."""
        key = self._key(sequence, data)
        if sequence <= self.verified:
            self._compare(sequence, key, timestamp_ns)
        else:
            self._compare_seen(sequence, key, timestamp_ns)
            self._seen[sequence] = key, timestamp_ns

    # Reading.

    def begin_reading(self, first: int) -> None:
        """A reader begins at `first`, which is at most one above what is verified."""
        assert 1 <= first <= self.verified + 1
        self._next = first
        self._after_gap.clear()

    def read(self, sequence: int, data: bytes, timestamp_ns: int) -> None:
        """The next message of the reader."""
        self.checked_count += 1
        key = self._key(sequence, data)
        if sequence < self._next:
            self._complain(f"sequence {sequence} came after {self._next - 1}")
            return
        if sequence > self._next:
            self._skip(sequence)
        self._next = sequence + 1
        if sequence <= self.verified:
            self._compare(sequence, key, timestamp_ns)
            return
        self._compare_seen(sequence, key, timestamp_ns)
        self._seen.pop(sequence, None)
        if timestamp_ns < self._timestamps[-1]:
            self._complain(f"sequence {sequence} is older than the one before it")
        self._find(sequence, key)
        self._keys.append(key)
        self._timestamps.append(timestamp_ns)

    def end_reading(self) -> None:
        """The reader has come to the end: what was not there is not there. Nothing was published meanwhile."""
        for sequence, (key, _) in sorted(self._seen.items()):
            self._complain(f"sequence {sequence} ({describe(key)}) was delivered once, and is not there")
        for key in self._unfound:
            if key in self._acknowledged and publisher_of(key) not in self._after_gap:
                self._complain(f"{describe(key)} of life {self._unfound[key]} was acknowledged, and is not there")
        self._seen.clear()
        self._unfound.clear()
        self._acknowledged.clear()
        self._order.clear()

    def check_first(self, first: int) -> None:
        """Readers begin at `first`: that is what the limit allows, no less."""
        allowed = max(1, self.verified - self.messages_max + 1) if self.messages_max else 1
        if first != allowed:
            self._complain(f"the first message is {first}, by the limit it is {allowed}")

    # What is compared.

    def _key(self, sequence: int, data: bytes) -> int:
        key = key_within(data)
        if key is None:
            self._complain(f"sequence {sequence} is not what anybody published: {data[:60]!r}, {len(data)} bytes")
            return 0
        return key

    def _compare(self, sequence: int, key: int, timestamp_ns: int) -> None:
        """With what a reader saw there before."""
        known = self._keys[sequence]
        if known and (known != key or self._timestamps[sequence] != timestamp_ns):
            self._complain(
                f"sequence {sequence} is {describe(key)} stored at {timestamp_ns},"
                f" it was {describe(known)} stored at {self._timestamps[sequence]}"
            )

    def _compare_seen(self, sequence: int, key: int, timestamp_ns: int) -> None:
        """With what somebody was sent from there."""
        known = self._seen.get(sequence)
        if known is not None and known != (key, timestamp_ns):
            self._complain(
                f"sequence {sequence} is {describe(key)} stored at {timestamp_ns},"
                f" delivered was {describe(known[0])} stored at {known[1]}"
            )

    def _skip(self, sequence: int) -> None:
        """The reader gets `sequence`, and not the one that is next."""
        if not self.messages_max:
            self._complain(f"sequences {self._next} to {sequence - 1} are missing")
        for missing in range(max(self._next, self.verified + 1), sequence):
            self._seen.pop(missing, None)
            self._keys.append(0)
            self._timestamps.append(0)
            self._after_gap.update(self._order)

    def _find(self, sequence: int, key: int) -> None:
        """`key` is read for the first time: somebody sent it, and what the same one sent before it is there, too."""
        life = self._unfound.get(key)
        if life is None:
            self._complain(f"sequence {sequence} is {describe(key)}, which was stored before, or is not there any more")
            return
        publisher = publisher_of(key)
        order = self._order[publisher]
        while (skipped := order.popleft()) != key:
            skipped_life = self._unfound.pop(skipped)
            is_promised = skipped in self._acknowledged
            self._acknowledged.discard(skipped)
            if publisher in self._after_gap:
                continue
            if is_promised:
                self._complain(f"{describe(skipped)} of life {skipped_life} was acknowledged, and is not there")
            elif skipped_life == life:
                self._complain(f"{describe(skipped)} is not there, but {describe(key)} is, which was sent after it")
        self._after_gap.discard(publisher)
        del self._unfound[key]
        self._acknowledged.discard(key)


class DurableLedger:
    """One durable, or durable group: what it was sent and what it acknowledged.

    Positions may lag behind by a second, so an acknowledgement is *settled*, and its message must never come again,
    when the server had read it and then took up and acknowledged a publish that was sent `SETTLING_S` later: what the
    store is given, it keeps in order, so that no clock is trusted.
    """

    SETTLING_S = 2.0

    def __init__(self, name: str, channel: ChannelLedger, complaints: Complaints, *, is_group: bool) -> None:
        """Of a durable that began with the first message of `channel`."""
        self.name = name
        self.channel = channel
        self.delivered_count = 0
        self.repeated_count = 0
        self.settled_count = 0
        self._complaints = complaints
        self._is_group = is_group
        self._states = bytearray(1)  # by sequence
        self._first_unacknowledged = 1
        self._resumes_at = 0  # where it has to go on; 0 when it has
        self._delivered: set[int] = set()  # in this life
        self._expected: set[int] = set()  # what has to come in this life, and has not yet
        self._on_complete: Callable[[], None] = lambda: None
        self._confirmed: list[tuple[float, list[int]]] = []  # what the server has read, and since when that is known

    @property
    def first_confirmed_s(self) -> float | None:
        """When the server of this life is known to have read an acknowledgement first."""
        return self._confirmed[0][0] if self._confirmed else None

    def begin_life(self) -> None:
        """The server starts."""
        self._delivered.clear()
        self._confirmed.clear()
        self._expected = set()
        states = self._states
        while self._first_unacknowledged < len(states) and states[self._first_unacknowledged] != NEVER:
            self._first_unacknowledged += 1
        self._resumes_at = self._first_unacknowledged

    def end_life(self, published_s: float) -> None:
        """The server was killed; the last of the publishes that it acknowledged was sent at `published_s`."""
        for confirmed_s, sequences in self._confirmed:
            if confirmed_s + self.SETTLING_S <= published_s:
                for sequence in sequences:
                    self.settled_count += self._states[sequence] != SETTLED
                    self._states[sequence] = SETTLED

    def delivered(self, sequence: int, *, is_new: bool) -> None:
        """It is sent a message; one that is not `is_new` is marked as a redelivery."""
        self.delivered_count += 1
        states = self._states
        if sequence >= len(states):
            states.extend(bytes(sequence + 1 - len(states)))
        if states[sequence] != NEVER:
            self.repeated_count += 1
        if states[sequence] == SETTLED:
            self._complaints.add(
                f"{self.name}: {sequence} came again, although it was acknowledged long before the kill"
            )
        self._check_order(sequence, is_new=is_new)
        self._delivered.add(sequence)
        if sequence in self._expected:
            self._expected.discard(sequence)
            if not self._expected:
                self._on_complete()

    def _check_order(self, sequence: int, *, is_new: bool) -> None:
        """Nothing new before all that is unacknowledged since the life before; a group's members have own sockets."""
        if sequence == self._resumes_at:
            self._resumes_at = 0
        elif is_new and 0 < self._resumes_at < sequence and not self._is_group:
            self._complaints.add(
                f"{self.name}: goes on with {sequence}, its first unacknowledged message is {self._resumes_at}"
            )
            self._resumes_at = 0

    def acknowledged(self, sequence: int) -> None:
        """It acknowledges what it was sent."""
        if self._states[sequence] == NEVER:
            self._states[sequence] = ACKNOWLEDGED

    def confirmed(self, now_s: float, sequences: list[int]) -> None:
        """The server has read these acknowledgements."""
        self._confirmed.append((now_s, sequences))

    def expect(self, last: int, on_complete: Callable[[], None]) -> None:
        """Call `on_complete` when, up to `last`, it was sent all that it never acknowledged; perhaps within this call."""
        states, delivered = self._states, self._delivered
        self._on_complete = on_complete
        self._expected = {
            sequence
            for sequence in range(self._first_unacknowledged, last + 1)
            if sequence not in delivered and (sequence >= len(states) or states[sequence] == NEVER)
        }
        if not self._expected:
            on_complete()

    def give_up(self) -> None:
        """What was expected does not come."""
        if self._expected:
            self._complaints.add(
                f"{self.name}: was not sent {len(self._expected)} messages that it never acknowledged,"
                f" {min(self._expected)} first and {max(self._expected)} last"
            )
