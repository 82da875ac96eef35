"""What was written or read a moment ago, kept in memory so that it need not be read again."""

from collections import OrderedDict, deque
from typing import Final

from durabus.streaming.store_port import Run

__all__ = ["RecentMessages", "Tail"]

_MESSAGE_BYTES: Final = 64
"""What a message costs in memory beyond its body."""
_RUN_BYTES: Final = 300
"""What a run costs beyond its messages."""
_PAGES_MAX: Final = 32


_GONE: Final = Run(0, 0)


class Tail:
    """The newest messages of one channel, ascending, as the runs in which they were written; those before `head` are gone."""

    def __init__(self) -> None:
        """No messages yet."""
        self.runs: list[Run] = []
        self.head = 0

    def drop_oldest(self) -> Run:
        """Forget the oldest run, and return it."""
        run = self.runs[self.head]
        self.runs[self.head] = _GONE
        self.head += 1
        if self.head * 2 > len(self.runs):  # so a channel never holds more dead runs than live ones
            del self.runs[: self.head]
            self.head = 0
        return run

    def find(self, sequence: int) -> Run | None:
        """The run that a message is in; None when it is not here."""
        low, high = self.head, len(self.runs)
        while low < high:
            middle = (low + high) // 2
            if self.runs[middle].first_sequence <= sequence:
                low = middle + 1
            else:
                high = middle
        if low == self.head:
            return None
        run = self.runs[low - 1]
        return run if sequence - run.first_sequence < len(run.bodies) else None


class RecentMessages:
    """The newest messages of all channels, up to `bytes_max`, and as much of the pages read last. First in, first out."""

    def __init__(self, bytes_max: int) -> None:
        """Keep nothing yet."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._tails: dict[int, Tail] = {}
        self._order: deque[Tail] = deque()  # whose run is the oldest, the next one, and so on
        self._pages: OrderedDict[int, tuple[int, list[bytes], int]] = OrderedDict()  # first sequence, bodies, bytes
        self._pages_bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self._bytes = 0
        self._tails.clear()
        self._order.clear()
        self._pages.clear()
        self._pages_bytes = 0

    def tail(self, channel_id: int) -> Tail:
        """The newest messages of a channel, to `add` to; it is that channel's until `drop` or `clear`."""
        tail = self._tails.get(channel_id)
        if tail is None:
            tail = self._tails[channel_id] = Tail()
        return tail

    def add(self, tail: Tail, run: Run, bodies_bytes: int) -> None:
        """Messages were written. The run is kept as it is."""
        tail.runs.append(run)
        self._order.append(tail)
        self._bytes += bodies_bytes + _MESSAGE_BYTES * len(run.bodies) + _RUN_BYTES
        while self._bytes > self._bytes_max:
            self._bytes -= _cost(self._order.popleft().drop_oldest())

    def add_page(self, channel_id: int, first: int, bodies: list[bytes]) -> None:
        """Messages were read, more of them than were wanted now."""
        self.drop_page(channel_id)
        size = sum(map(len, bodies)) + _MESSAGE_BYTES * len(bodies)
        self._pages[channel_id] = (first, bodies, size)
        self._pages_bytes += size
        while len(self._pages) > _PAGES_MAX or (self._pages_bytes > self._bytes_max and len(self._pages) > 1):
            self.drop_page(next(iter(self._pages)))

    def drop_page(self, channel_id: int) -> None:
        """Forget the page that was read last."""
        page = self._pages.pop(channel_id, None)
        if page is not None:
            self._pages_bytes -= page[2]

    def drop(self, channel_id: int) -> None:
        """The channel is gone."""
        tail = self._tails.pop(channel_id, None)
        if tail is not None:  # its runs still count, as empty ones, until each would have gone by itself
            for index in range(tail.head, len(tail.runs)):
                self._bytes -= _cost(tail.runs[index]) - _RUN_BYTES
                tail.runs[index] = _GONE
        self.drop_page(channel_id)

    def find(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages from `first` on, of one run; None when it is not here."""
        tail = self._tails.get(channel_id)
        run = tail.find(first) if tail is not None else None
        if run is not None:
            return _within(run.bodies, first - run.first_sequence, count_max, bytes_max)
        page = self._pages.get(channel_id)
        if page is not None and 0 <= first - page[0] < len(page[1]):
            return _within(page[1], first - page[0], count_max, bytes_max)
        return None


def _cost(run: Run) -> int:
    """What it costs to keep a run, in bytes."""
    bodies = run.bodies
    size = len(bodies[0]) if len(bodies) == 1 else sum(map(len, bodies))
    return size + _MESSAGE_BYTES * len(bodies) + _RUN_BYTES


def _within(bodies: list[bytes], start: int, count_max: int, bytes_max: int) -> list[bytes]:
    """As many as fit, and at least one."""
    found = bodies[start : start + count_max]
    total = 0
    for index, body in enumerate(found):
        total += len(body)
        if total > bytes_max and index:
            return found[:index]
    return found
