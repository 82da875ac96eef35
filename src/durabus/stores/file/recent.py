"""What was written or read a moment ago, kept in memory so that it need not be read again."""

from bisect import bisect_right
from collections import OrderedDict, deque
from typing import Final

__all__ = ["RecentMessages"]

_MESSAGE_BYTES: Final = 64
"""What a message costs in memory beyond its body."""
_RUN_BYTES: Final = 300
"""What a run costs beyond its messages."""
_PAGES_MAX: Final = 32


class _Tail:
    """The newest messages of one channel: run number i begins with message `firsts[i]`; those before `head` are gone."""

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.runs: list[list[bytes]] = []
        self.head = 0

    def drop_oldest(self) -> bool:
        """Forget the oldest run; whether another one is left."""
        self.runs[self.head] = []
        self.head += 1
        if self.head * 2 > len(self.runs):  # so a channel never holds more dead runs than live ones
            del self.firsts[: self.head]
            del self.runs[: self.head]
            self.head = 0
        return self.head < len(self.runs)


class RecentMessages:
    """The newest messages of all channels, up to `bytes_max`, and as much of the pages read last. First in, first out."""

    def __init__(self, bytes_max: int) -> None:
        """Keep nothing yet."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._tails: dict[int, _Tail] = {}
        self._order: deque[tuple[int, int, int]] = deque()  # channel, first sequence, bytes
        self._pages: OrderedDict[int, tuple[int, list[bytes], int]] = OrderedDict()  # first sequence, bodies, bytes
        self._pages_bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self._bytes = 0
        self._tails.clear()
        self._order.clear()
        self._pages.clear()
        self._pages_bytes = 0

    def add(self, channel_id: int, first: int, bodies: list[bytes], bodies_bytes: int) -> None:
        """Messages were written. The list is kept as it is."""
        tail = self._tails.get(channel_id)
        if tail is None:
            tail = self._tails[channel_id] = _Tail()
        tail.firsts.append(first)
        tail.runs.append(bodies)
        size = bodies_bytes + _MESSAGE_BYTES * len(bodies) + _RUN_BYTES
        self._order.append((channel_id, first, size))
        self._bytes += size
        while self._bytes > self._bytes_max:
            old_channel, old_first, old_size = self._order.popleft()
            self._bytes -= old_size
            old = self._tails.get(old_channel)
            if old is not None and old.firsts[old.head] == old_first and not old.drop_oldest():
                del self._tails[old_channel]

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
        self._tails.pop(channel_id, None)
        self.drop_page(channel_id)

    def find(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages from `first` on, of one run; None when it is not here."""
        tail = self._tails.get(channel_id)
        if tail is not None and first >= tail.firsts[tail.head]:
            at = bisect_right(tail.firsts, first) - 1
            if first - tail.firsts[at] < len(tail.runs[at]):
                return _within(tail.runs[at], first - tail.firsts[at], count_max, bytes_max)
        page = self._pages.get(channel_id)
        if page is not None and 0 <= first - page[0] < len(page[1]):
            return _within(page[1], first - page[0], count_max, bytes_max)
        return None


def _within(bodies: list[bytes], start: int, count_max: int, bytes_max: int) -> list[bytes]:
    """As many as fit, and at least one."""
    found = bodies[start : start + count_max]
    total = 0
    for index, body in enumerate(found):
        total += len(body)
        if total > bytes_max and index:
            return found[:index]
    return found
