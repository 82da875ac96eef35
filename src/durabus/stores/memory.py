"""The memory store: everything in this process, nothing beyond it. The default, as it was in NATS Streaming Server.

Messages lie in blocks of a fixed number of sequences, so that a limit drops whole blocks from the front and no list is
ever moved as a whole.
"""

from typing import Final

from mypy_extensions import i64

from durabus.errors import StoreError
from durabus.streaming.store_port import (
    KIND_CHANNEL,
    KIND_SUBSCRIPTION,
    REFUSED,
    Batch,
    ChannelState,
    Cursor,
    Lease,
    Recovered,
    Run,
    Store,
    StoreListener,
    gap_text,
)

__all__ = ["MemoryStore"]

_BLOCK: Final = 4096
"""Sequences per block: what a floor may keep too much of, and what a list of blocks is shortened by."""


class _Log:
    """The messages of one channel: `blocks[k][i]` is message `origin + k * _BLOCK + i`."""

    def __init__(self) -> None:
        self.blocks: list[list[bytes]] = []
        self.origin: i64 = 1
        self.first: i64 = 0
        self.last: i64 = 0
        self.stored_bytes: i64 = 0
        self.body_bytes_max: i64 = 0
        self.has_lost = False
        self.stamps: list[tuple[int, int]] = []  # (sequence, timestamp_ns): holds from that sequence on
        self.stamps_dropped = 0

    def append(self, run: Run) -> None:
        """Add `run`, which leaves no gap; what is there from an earlier try of the same batch is left out."""
        count: i64 = len(run.bodies)
        if self.last == 0 and count:
            self.origin = run.first_sequence
            self.first = run.first_sequence
            self.last = run.first_sequence - 1
        skip: i64 = self.last + 1 - run.first_sequence
        if skip >= count:
            return
        bodies = run.bodies[skip:] if skip else run.bodies
        at: i64 = 0
        left: i64 = len(bodies)
        total: i64 = 0
        for body in bodies:
            size: i64 = len(body)
            total += size
            if size > self.body_bytes_max:
                self.body_bytes_max = size
            elif size == 0:
                self.has_lost = True
        self.stored_bytes += total
        while left > 0:
            if not self.blocks or len(self.blocks[-1]) == _BLOCK:
                self.blocks.append([])
            block = self.blocks[-1]
            take: i64 = min(left, _BLOCK - len(block))
            block.extend(bodies if take == left and at == 0 else bodies[at : at + take])
            at += take
            left -= take
        for index, timestamp_ns in run.stamps:
            first: i64 = run.first_sequence + index
            if first <= self.last:
                first = self.last + 1
                if self.stamps[-1][0] == first:
                    self.stamps.pop()  # it held for messages that were there
            if not self.stamps or self.stamps[-1][1] != timestamp_ns:
                self.stamps.append((int(first), timestamp_ns))
        self.last += len(bodies)

    def read(self, first: i64, count_max: i64, bytes_max: i64) -> list[bytes]:
        """Messages from `first` on, of one block at most."""
        if first < self.first or first > self.last:
            return []
        at: i64 = first - self.origin
        block = self.blocks[at // _BLOCK]
        start: i64 = at % _BLOCK
        stop: i64 = min(start + count_max, i64(len(block)))
        if (stop - start) * self.body_bytes_max > bytes_max:
            stop = _within(block, start, stop, bytes_max)
        return block[start:stop]

    def drop_below(self, floor: i64) -> None:
        """Forget everything below `floor`."""
        if floor <= self.first or self.last == 0:
            return
        end: i64 = min(floor, self.last + 1)
        sequence: i64 = self.first
        while sequence < end:
            at: i64 = sequence - self.origin
            block = self.blocks[at // _BLOCK]
            index: i64 = at % _BLOCK
            stop: i64 = min(i64(len(block)), index + end - sequence)
            sequence += stop - index
            while index < stop:
                self.stored_bytes -= len(block[index])
                block[index] = b""
                index += 1
        self.first = end
        dropped: i64 = (end - self.origin) // _BLOCK
        if dropped:
            del self.blocks[:dropped]
            self.origin += dropped * _BLOCK
        self._drop_stamps()

    def _drop_stamps(self) -> None:
        """Forget stamps that no kept message needs, once they are the larger part."""
        while self.stamps_dropped + 1 < len(self.stamps) and self.stamps[self.stamps_dropped + 1][0] <= self.first:
            self.stamps_dropped += 1
        if self.stamps_dropped > 1024 and self.stamps_dropped * 2 > len(self.stamps):
            del self.stamps[: self.stamps_dropped]
            self.stamps_dropped = 0

    def seek(self, timestamp_ns: int) -> int:
        """The first kept sequence whose timestamp is at or after `timestamp_ns`; last + 1 when there is none."""
        if self.last == 0:
            return 0
        low = self.stamps_dropped
        high = len(self.stamps)
        while low < high:
            middle = (low + high) // 2
            if self.stamps[middle][1] < timestamp_ns:
                low = middle + 1
            else:
                high = middle
        if low == len(self.stamps):
            return int(self.last + 1)
        return max(self.stamps[low][0], int(self.first))


def _within(block: list[bytes], start: i64, stop: i64, bytes_max: i64) -> i64:
    """Where to stop so that no more than `bytes_max` bytes are taken, but at least one message is."""
    total: i64 = 0
    at: i64 = start
    while at < stop:
        total += len(block[at])
        if total > bytes_max and at > start:
            break
        at += 1
    return at


class MemoryStore(Store):
    """Keeps batches in this object. A new core on the same object finds everything as the last one left it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.name = "MEMORY"
        self.durability = "an acknowledged event is kept in memory only: it is lost when this process ends"
        self.message_bytes_max = 64 * 1024 * 1024
        self.message_overhead_bytes = 0
        self.batches_in_flight_max = 1
        self.is_immediate = True
        self._listener: StoreListener | None = None
        self._failure = ""  # of an earlier batch: what comes after it rests on it
        self._state: dict[tuple[int, bytes], bytes] = {}
        self._cursors: dict[int, Cursor] = {}
        self._logs: dict[int, _Log] = {}

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how work ends, from now on."""
        self._listener = listener

    async def acquire(self, owner: str) -> Lease | None:
        """Refuse: memory cannot be shared, so nobody could take over. Raises StoreError, always."""
        raise StoreError("not supported")

    async def recover(self, lease: Lease | None) -> Recovered:
        """All that this object holds."""
        self._failure = ""
        recovered = Recovered()
        for (kind, key), value in self._state.items():
            recovered.state.append((kind, key, value))
        recovered.cursors.extend(self._cursors.values())
        for channel_id, log in self._logs.items():
            last_ns = log.stamps[-1][1] if log.stamps else 0
            recovered.channels.append(
                ChannelState(channel_id, int(log.first), int(log.last), int(log.stored_bytes), last_ns)
            )
        return recovered

    def submit(self, batch: Batch) -> None:
        """Apply `batch` and report it durable, within the call: in memory there is nothing to wait for."""
        if not self._failure:
            self._failure = self._gap(batch)
        if self._failure:
            if self._listener is not None:
                self._listener.on_failed(batch.number, REFUSED, self._failure)
            return
        for run in batch.runs:
            log = self._logs.get(run.channel_id)
            if log is None:
                log = _Log()
                self._logs[run.channel_id] = log
            log.append(run)
            self.has_lost = self.has_lost or log.has_lost
        for channel_id, floor in batch.floors.items():
            log = self._logs.get(channel_id)
            if log is not None:
                log.drop_below(floor)
        for cursor in batch.cursors:
            self._cursors[cursor.subscription_id] = cursor
        if batch.state:  # last, so that nothing of what it deletes comes back
            self._apply_state(batch)
        if self._listener is not None:
            self._listener.on_durable(batch.number)

    def _gap(self, batch: Batch) -> str:
        """Which messages `batch` leaves out, in words; empty when there is no gap."""
        for run in batch.runs:
            log = self._logs.get(run.channel_id)
            if log is None or run.first_sequence > log.last + 1:
                return self._gap_between(batch)
        return ""

    def _gap_between(self, batch: Batch) -> str:
        """The same, for runs that may continue an earlier one of their own batch."""
        lasts: dict[int, int] = {}
        for run in batch.runs:
            last: i64 = lasts.get(run.channel_id, 0)
            if last == 0:
                log = self._logs.get(run.channel_id)
                last = 0 if log is None else log.last
            if last > 0 and run.first_sequence > last + 1:
                return gap_text(run.channel_id, int(last), int(run.first_sequence))
            lasts[run.channel_id] = int(max(last, run.first_sequence + len(run.bodies) - 1))
        return ""

    def _apply_state(self, batch: Batch) -> None:
        for kind, key, value in batch.state:
            if value is not None:
                self._state[(kind, key)] = value
                continue
            self._state.pop((kind, key), None)
            if kind == KIND_CHANNEL:
                self._logs.pop(int(key), None)
            elif kind == KIND_SUBSCRIPTION:
                self._cursors.pop(int(key), None)

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages from `first` on: always at hand."""
        log = self._logs.get(channel_id)
        return [] if log is None else log.read(first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Answer at once."""
        bodies = self.read_now(channel_id, first, count_max, bytes_max)
        if self._listener is not None:
            self._listener.on_page(request, bodies or [])

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Answer at once."""
        log = self._logs.get(channel_id)
        if self._listener is not None:
            self._listener.on_seek(request, 0 if log is None else log.seek(timestamp_ns))

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Answer at once."""
        at, total = first, 0
        while at < end and not 0 < enough_bytes <= total:
            sizes = self.sizes_now(channel_id, at, end - at)
            if not sizes:
                break
            for size in sizes:
                total += size
                at += 1
                if 0 < enough_bytes <= total:
                    break
        if self._listener is not None:
            self._listener.on_measured(request, at, total)

    async def close(self) -> None:
        """Nothing to let go of: the next core may want it."""
