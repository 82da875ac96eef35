"""What one subscription has received and not finished: bytes in, messages and acknowledgements out. No I/O, no clock.

A subscription outlives connections and sessions, so this knows what a new session has to be asked for, and what of the
messages that come again has been dealt with (docs/protocol.md §7.4, §8). Written for its hot case: runs of new messages.

Sequences can begin anew, when a server comes back without its store. Whatever was received before that belongs to an
older *generation*: its acknowledgements would fall on other messages, and go nowhere.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from durabus.wire.varint import varint

__all__ = ["Intake", "Message"]

_REMEMBERED_MAX: Final = 16384
"""How many acknowledged sequences are remembered, at least: several windows of the usual size."""


class Message:
    """One event as it came: `channel`, `sequence` (from 1), `data`, `reply` (a text that its publisher chose to send along).

    `timestamp_ns` is when the server stored it, in nanoseconds since 1970; `redelivery_count` is 0 for a first delivery.
    """

    def __init__(
        self,
        intake: "Intake",
        generation: int,
        channel: str,
        sequence: int,
        data: bytes,
        timestamp_ns: int,
        redelivery_count: int,
        reply: str,
    ) -> None:
        """Keep what came."""
        self.channel = channel
        self.sequence = sequence
        self.data = data
        self.timestamp_ns = timestamp_ns
        self.redelivery_count = redelivery_count
        self.reply = reply
        self._intake = intake
        self._generation = generation

    def ack(self) -> None:
        """Say that the event was dealt with: it is not delivered again. Leaves with the end of the loop's turn.

        Twice is once. One that comes too late, because the event went to somebody else or is gone, changes nothing.
        """
        self._intake.acknowledge(self.sequence, self._generation)

    def let_go(self) -> None:
        """Leave the event for redelivery: the server sends it again when its AckWait is over."""
        self._intake.let_go(self.sequence, self._generation)

    def put_back(self) -> bool:
        """For `Subscription.put_back`: wait once more, before all others; False when it is not this store's any more."""
        return self._intake.put_back(self, self._generation)

    @property
    def is_redelivered(self) -> bool:
        """Whether the server has sent the event before."""
        return self.redelivery_count > 0

    def __repr__(self) -> str:
        return f"Message(channel={self.channel!r}, sequence={self.sequence}, data={self.data!r})"


class Intake:
    """Messages of one subscription.

    `is_alone`: no queue group, so whatever is not acknowledged comes back here. `is_plain`: nor durable, so a new
    session begins where this says.
    """

    def __init__(self, channel: str, is_alone: bool, is_plain: bool, on_acks: Callable[["Intake"], None]) -> None:
        """Nothing received; `on_acks` is called when the first acknowledgement is waiting to be sent."""
        name = channel.encode()
        self.channel = channel
        self.waiting: deque[Message] = deque()  # for the program to take
        self.acks: list[int] = []  # to be sent
        self.last_sequence: i64 = 0  # the highest of this generation
        self.last_timestamp_ns: i64 = 0
        self.generation = 0
        self.lost_sequence = 0  # the last one before the sequences began anew; whoever reports it sets it to 0
        self.malformed_count = 0
        self.suppressed_count = 0  # copies of what is here, or was acknowledged, already
        self.is_draining = False  # take no more
        self._is_alone = is_alone
        self._is_plain = is_plain
        self._on_acks = on_acks
        self._open: dict[int, bool] = {}  # not acknowledged; True: still here, False: the program has let go of it
        self._recent: list[list[int]] = []  # acknowledged, in the lists in which that was sent
        self._recent_count = 0
        self._acked: set[int] = set()  # the same, once somebody needs to look them up
        self._acked_before: set[int] = set()
        self._ack_field = b"\x0a" + varint(len(name)) + name + b"\x10"
        self._ack_starts: list[bytes] = []  # up to the number, by the bytes of that
        # What `_read` found.
        self._sequence: i64 = 0
        self._timestamp_ns: i64 = 0
        self._redelivery_count: i64 = 0
        self._data = b""
        self._reply = b""

    # Messages.

    def take(self, payloads: list[bytes]) -> int:
        """Take what the server delivered; how many messages are new in `waiting`."""
        count = 0
        if self.is_draining:
            return 0
        for payload in payloads:
            if not self._read(payload):
                self.malformed_count += 1
                continue
            sequence: i64 = self._sequence
            if sequence <= self.last_sequence:
                if self._timestamp_ns > self.last_timestamp_ns:
                    self.begin_anew()
                elif self._is_known(int(sequence)):
                    continue
            if sequence > self.last_sequence:
                self.last_sequence = sequence
                self.last_timestamp_ns = self._timestamp_ns
            number = int(sequence)
            self._open[number] = True
            self.waiting.append(
                Message(
                    self,
                    self.generation,
                    self.channel,
                    number,
                    self._data,
                    int(self._timestamp_ns),
                    int(self._redelivery_count),
                    self._reply.decode("utf-8", "backslashreplace") if self._reply else "",
                )
            )
            count += 1
        return count

    def _is_known(self, sequence: int) -> bool:
        """Whether nothing is to be done with a message that came before: it is here, or was acknowledged."""
        if sequence in self._open:
            if self._open[sequence]:
                self.suppressed_count += 1
                return True
            return False
        # A plain subscription has had everything up to the last one; of others only what is remembered is certain.
        if self._is_plain or self._was_acknowledged(sequence):
            self.suppressed_count += 1
            self._queue_ack(sequence)
            return True
        return False

    def _was_acknowledged(self, sequence: int) -> bool:
        for numbers in self._recent:
            self._acked.update(numbers)
        self._recent.clear()
        self._recent_count = 0
        if len(self._acked) > _REMEMBERED_MAX:
            self._acked_before = self._acked
            self._acked = set()
        return sequence in self._acked or sequence in self._acked_before or sequence in self.acks

    def begin_anew(self) -> None:
        """The server counts from 1 again: nothing of before has a meaning to it."""
        self.lost_sequence = int(self.last_sequence)
        self.last_sequence = 0
        self.last_timestamp_ns = 0
        self._open.clear()
        self.distrust()

    def distrust(self) -> None:
        """The server may be another one than before: acknowledgements of what came until now are not for it."""
        self.generation += 1
        self.acks.clear()
        self._recent.clear()
        self._recent_count = 0
        self._acked.clear()
        self._acked_before.clear()
        if self._is_alone:
            for sequence in self._open:
                self._open[sequence] = False
        else:
            self._open.clear()

    def acknowledge(self, sequence: int, generation: int) -> None:
        """The program is done with a message."""
        if generation == self.generation:
            self._open.pop(sequence, None)
            self._queue_ack(sequence)

    def _queue_ack(self, sequence: int) -> None:
        self.acks.append(sequence)
        if len(self.acks) == 1:
            self._on_acks(self)

    def let_go(self, sequence: int, generation: int) -> None:
        """The program will not acknowledge this message, or is on its own with it: when it comes again, it is news."""
        if generation == self.generation and sequence in self._open:
            if self._is_alone:
                self._open[sequence] = False
            else:
                del self._open[sequence]

    def put_back(self, message: Message, generation: int) -> bool:
        """The program has not finished with a message, and wants it again, as the next one."""
        if generation != self.generation:
            return False  # the server delivers it again, or has another one under its number
        self._open[message.sequence] = True
        self.waiting.appendleft(message)
        return True

    def drop_waiting(self) -> None:
        """Forget what nobody took; the server sends it again."""
        while self.waiting:
            self.waiting.popleft().let_go()

    @property
    def resume_sequence(self) -> int:
        """The first message that a new session has to begin with: what is not acknowledged, else the one behind the last."""
        return min(self._open) if self._open else int(self.last_sequence) + 1

    @property
    def open_count(self) -> int:
        """How many messages are not acknowledged."""
        return len(self._open)

    # Acknowledgements.

    def send_acks_to(self, ack_inbox: bytes) -> None:
        """From now on acknowledgements go to `ack_inbox`; nowhere, and they wait, when it is empty."""
        self._ack_starts = []
        if ack_inbox:
            head_bytes = len(self._ack_field)
            for number_bytes in range(11):
                size = head_bytes + number_bytes
                self._ack_starts.append(b"PUB " + ack_inbox + b" %d\r\n" % size + self._ack_field)

    def take_acks(self, out: list[bytes]) -> None:
        """Append to `out` the frames of the acknowledgements that wait, and remember them."""
        if not self._ack_starts or not self.acks:
            return
        acks = self.acks
        self.acks = []
        for sequence in acks:
            number = varint(sequence)
            out.append(self._ack_starts[len(number)])
            out.append(number)
            out.append(b"\r\n")
        self._recent.append(acks)
        self._recent_count += len(acks)
        if self._recent_count > 2 * _REMEMBERED_MAX:
            half = len(self._recent) // 2
            for numbers in self._recent[:half]:
                self._recent_count -= len(numbers)
            del self._recent[:half]

    # Bytes.

    def _read(self, payload: bytes) -> bool:
        """Take a MsgProto apart (docs/protocol.md §2.4); False when it is none."""
        position: i64 = 0
        end: i64 = len(payload)
        self._sequence = 0
        self._timestamp_ns = 0
        self._redelivery_count = 0
        self._data = b""
        self._reply = b""
        while position < end:
            tag: i64 = payload[position]
            position += 1
            number: i64 = 0
            shift: i64 = 0
            if tag > 127 or (tag & 7 != 0 and tag & 7 != 2):
                return False  # no field that a server sends
            while True:
                if position >= end or shift > 63:
                    return False
                group: i64 = payload[position]
                position += 1
                number |= (group & 127) << shift
                if group < 128:
                    break
                shift += 7
            if tag & 7 == 2:
                start: i64 = position
                if number < 0 or number > end - start:
                    return False
                position += number
                if tag == 34:
                    self._data = payload[start:position]
                elif tag == 26:
                    self._reply = payload[start:position]
            elif tag == 8:
                self._sequence = number
            elif tag == 40:
                self._timestamp_ns = number
            elif (tag == 48 and self._redelivery_count == 0) or tag == 56:
                self._redelivery_count = number
        return self._sequence > 0
