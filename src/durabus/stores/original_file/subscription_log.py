"""The subscriptions of one channel of the original: what happened to them, record by record, and where they stand now.

The checksum of a record does not cover its type, so what a record says must fit what was before. Where records are
missing, whatever may have been sent without a word is held for sent and not acknowledged: better twice than never.
"""

from typing import Final

from mypy_extensions import i64

from durabus.stores.original_file.typed_file import TypedWalk
from durabus.wire.varint import WIRE_BYTES, WIRE_VARINT, DecodeError, FieldReader

__all__ = ["KIND_MAX", "RECORDS_BEGIN", "Subscription", "SubscriptionLog"]

_NEW: Final = 1
_UPDATED: Final = 2
_DELETED: Final = 3
_ACKNOWLEDGED: Final = 4
_SENT: Final = 5
KIND_MAX: Final = 5
"""The highest type of a record."""
RECORDS_BEGIN: Final = b"\x08"
"""All records begin with the number of a subscription, in field 1."""
_NUMBER_MAX: Final = 1 << 62
_GAP_MAX: Final = 1_000_000
"""Messages between two that were sent: more than these are none that were sent in between."""
_NO_RECORD: Final = "it is no record of a subscription"


class Cohort:
    """A subscription of its own, or all of a queue group: they were sent every message once, in order."""

    def __init__(self) -> None:
        """Nothing was sent."""
        self.sent_last: i64 = 0
        self.damage_seen: i64 = 0  # damaged places up to the last record about it


class Subscription:
    """Subscription `number` of its channel: its SubState, and what it was sent and has not acknowledged."""

    def __init__(self, number: i64, cohort: Cohort) -> None:
        """Nothing is pending."""
        self.number = number
        self.cohort = cohort
        self.record = b""
        self.last_sent: i64 = 0
        self.pending: set[int] = set()


class SubscriptionLog:
    """Replays the file. `sent_last` is the highest message that a subscription of this channel was ever sent."""

    def __init__(self, walk: TypedWalk | None) -> None:
        """Of the records of `walk`; None: there are none."""
        self.subscriptions: dict[int, Subscription] = {}
        self.sent_last: i64 = 0
        self._walk = walk
        self._groups: dict[bytes, Cohort] = {}
        self._unknown: set[int] = set()  # numbers that only records without a state tell of
        self._first: i64 = 0  # of an update: the numbers in fields 1 and 2; of a state: fields 1 and 9
        self._second: i64 = 0
        self._group = b""  # of a state

    def replay(self) -> None:
        """Go through all records. Raises StoreError."""
        walk = self._walk
        if walk is None:
            return
        while walk.next():
            kind = walk.kind
            payload = walk.payload
            if kind <= _UPDATED:
                if self._read_state(payload):
                    self._take_state(payload, kind == _NEW, walk.damage_count)
                else:
                    walk.leave_out(_NO_RECORD)
                continue
            if not self._read_update(payload) or (self._second == 0) != (kind == _DELETED):
                walk.leave_out(_NO_RECORD)
                continue
            found = self.subscriptions.get(int(self._first))
            if kind == _DELETED:
                self.subscriptions.pop(int(self._first), None)
            elif found is None:
                self.sent_last = max(self.sent_last, self._second)
                self._unknown.add(int(self._first))
            elif kind == _SENT:
                self._take_sent(found, self._second, walk.damage_count)
            else:
                self._take_acknowledged(found, self._second, walk)
        lost = self._unknown - self.subscriptions.keys() if walk.damage_count else set()
        if lost:
            walk.note(f"the records of {len(lost)} subscriptions may be lost")

    def _take_state(self, record: bytes, is_new: bool, damage_count: i64) -> None:
        number, sequence = int(self._first), self._second
        found = self.subscriptions.get(number)
        if found is None or is_new:
            cohort = self._groups.setdefault(self._group, Cohort()) if self._group else Cohort()
            cohort.sent_last = max(cohort.sent_last, sequence)
            cohort.damage_seen = damage_count
            found = Subscription(number, cohort)
            self.subscriptions[number] = found
        found.record = record
        found.last_sent = sequence
        self.sent_last = max(self.sent_last, sequence)

    def _take_sent(self, found: Subscription, sequence: i64, damage_count: i64) -> None:
        self._note_sent(found, sequence, damage_count)
        found.pending.add(int(sequence))

    def _take_acknowledged(self, found: Subscription, sequence: i64, walk: TypedWalk) -> None:
        if int(sequence) in found.pending:
            found.pending.discard(int(sequence))
        elif walk.damage_count:
            self._note_sent(found, sequence, walk.damage_count)  # that it was sent is lost
        else:
            # Nobody acknowledges what he was not sent: this record said that, and its type is damaged.
            walk.leave_out("what it acknowledges was not sent")
            self._take_sent(found, sequence, walk.damage_count)

    def _note_sent(self, found: Subscription, sequence: i64, damage_count: i64) -> None:
        """Message `sequence` was sent; where records were damaged since the last one, others may have been as well."""
        cohort = found.cohort
        if sequence > cohort.sent_last:
            gap: i64 = sequence - cohort.sent_last - 1
            if gap > 0 and cohort.damage_seen != damage_count:
                first: i64 = sequence - min(gap, _GAP_MAX)
                found.pending.update(range(int(first), int(sequence)))
            cohort.sent_last = sequence
        cohort.damage_seen = damage_count
        found.last_sent = max(found.last_sent, sequence)
        self.sent_last = max(self.sent_last, sequence)

    # Records.

    def _read_update(self, payload: bytes) -> bool:
        """Read fields 1 and 2, and nothing else: a message of a subscription, or, without field 2, its end."""
        if self._read_short(payload):
            return True
        first = second = 0
        fields = FieldReader(payload)
        try:
            while number := fields.next():
                fields.expect(WIRE_VARINT)
                if number == 1:
                    first = fields.value
                elif number == 2:
                    second = fields.value
                else:
                    return False
        except DecodeError:
            return False
        if not 0 < first < _NUMBER_MAX or second >= _NUMBER_MAX:
            return False
        self._first = first
        self._second = second
        return True

    def _read_short(self, payload: bytes) -> bool:
        """The same for numbers of at most eight bytes, as they are."""
        size: i64 = len(payload)
        if size > 18 or size < 4 or payload[0] != 8:
            return False
        at: i64 = 1
        first: i64 = 0
        shift: i64 = 0
        while at < size and shift < 56:
            byte: i64 = payload[at]
            at += 1
            first |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if at >= size or payload[at] != 16 or payload[at - 1] > 127:
            return False
        at += 1
        second: i64 = 0
        shift = 0
        byte = 128
        while at < size and shift < 56:
            byte = payload[at]
            at += 1
            second |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if at != size or byte > 127 or first == 0:
            return False
        self._first = first
        self._second = second
        return True

    def _read_state(self, payload: bytes) -> bool:
        """Read a SubState. It has at least a number and a subject for acknowledgements."""
        first = last_sent = 0
        has_inbox = False
        self._group = b""
        fields = FieldReader(payload)
        try:
            while number := fields.next():
                if number > 11:
                    continue
                is_text = number in (2, 3, 4, 5, 8)
                fields.expect(WIRE_BYTES if is_text else WIRE_VARINT)
                if number == 1:
                    first = fields.value
                elif number == 3:
                    self._group = fields.data
                elif number == 5:
                    has_inbox = True
                elif number == 9:
                    last_sent = fields.value
        except DecodeError:
            return False
        if not has_inbox or not 0 < first < _NUMBER_MAX or last_sent >= _NUMBER_MAX:
            return False
        self._first = first
        self._second = last_sent
        return True
