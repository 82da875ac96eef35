"""What was written or read a moment ago, kept in memory so that it need not be read again."""

from collections import OrderedDict, deque
from typing import Final

from mypy_extensions import i64

from durabus.streaming.store_port import Run

__all__ = ["RecentMessages", "Tail"]

_MESSAGE_BYTES: Final = 64
"""What a message costs in memory beyond its body."""
_BLOCK_BYTES: Final = 300
"""What a block costs beyond its messages."""
_BLOCK_COUNT_MAX: Final = 32
"""Messages that came one by one and are kept as one block: that many go at once."""
_BLOCK_SHARE: Final = 16
"""The part of all memory that such a block may take."""
_PAGES_MAX: Final = 32


class Block:
    """Consecutive messages of one channel, and what they cost in bytes."""

    def __init__(self, first: i64, bodies: list[bytes], cost_bytes: int) -> None:
        """The messages from `first` on; the list belongs to the block."""
        self.first: i64 = first
        self.bodies = bodies
        self.cost_bytes = cost_bytes


_GONE: Final = Block(0, [], _BLOCK_BYTES)


class Tail:
    """The newest messages of one channel, ascending; those before `head` are gone."""

    def __init__(self) -> None:
        """No messages yet."""
        self.blocks: list[Block] = []
        self.head = 0
        self.growing: Block | None = None  # the newest block, when it takes more

    def drop_oldest(self) -> Block:
        """Forget the oldest block, and return it."""
        block = self.blocks[self.head]
        if block is self.growing:
            self.growing = None
        self.blocks[self.head] = _GONE
        self.head += 1
        if self.head * 2 > len(self.blocks):  # so a channel never holds more dead blocks than live ones
            del self.blocks[: self.head]
            self.head = 0
        return block

    def find(self, sequence: int) -> Block | None:
        """The block that a message is in; None when it is not here."""
        low, high = self.head, len(self.blocks)
        while low < high:
            middle = (low + high) // 2
            if self.blocks[middle].first <= sequence:
                low = middle + 1
            else:
                high = middle
        if low == self.head:
            return None
        block = self.blocks[low - 1]
        return block if sequence - block.first < len(block.bodies) else None


class RecentMessages:
    """The newest messages of all channels, up to `bytes_max`, and as much of the pages read last. First in, first out."""

    def __init__(self, bytes_max: int) -> None:
        """Keep nothing yet."""
        self._bytes_max = bytes_max
        self._block_bytes_max = bytes_max // _BLOCK_SHARE
        self._bytes = 0
        self._tails: dict[int, Tail] = {}
        self._order: deque[Tail] = deque()  # whose block is the oldest, the next one, and so on
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
        """Messages were written. The list of several is kept as it is; one that follows another is kept with it."""
        bodies = run.bodies
        count = len(bodies)
        cost_bytes = bodies_bytes + _MESSAGE_BYTES * count
        growing = tail.growing
        if count == 1 and growing is not None and growing.first + len(growing.bodies) == run.first_sequence:
            growing.bodies.append(bodies[0])
            growing.cost_bytes += cost_bytes
            if len(growing.bodies) >= _BLOCK_COUNT_MAX or growing.cost_bytes >= self._block_bytes_max:
                tail.growing = None
        else:
            cost_bytes += _BLOCK_BYTES
            block = Block(run.first_sequence, bodies if count != 1 else [bodies[0]], cost_bytes)
            tail.growing = block if count == 1 and cost_bytes < self._block_bytes_max else None
            tail.blocks.append(block)
            self._order.append(tail)
        self._bytes += cost_bytes
        while self._bytes > self._bytes_max:
            self._bytes -= self._order.popleft().drop_oldest().cost_bytes

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
        if tail is not None:  # its blocks still count, as empty ones, until each would have gone by itself
            tail.growing = None
            for index in range(tail.head, len(tail.blocks)):
                self._bytes -= tail.blocks[index].cost_bytes - _BLOCK_BYTES
                tail.blocks[index] = _GONE
        self.drop_page(channel_id)

    def find(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages from `first` on, of one block; None when it is not here."""
        tail = self._tails.get(channel_id)
        block = tail.find(first) if tail is not None else None
        if block is not None:
            return _within(block.bodies, first - int(block.first), count_max, bytes_max)
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
