"""The latest messages in memory, so that whoever keeps up never waits for the database. Bounded in bytes over all channels."""

from bisect import bisect_right
from collections import deque

__all__ = ["Tail"]

_BLOCK_MESSAGES = 1024


class _Block:
    """Consecutive messages of one channel, from `first` on."""

    __slots__ = ("bodies", "channel_id", "first", "size_bytes")

    def __init__(self, channel_id: int, first: int) -> None:
        self.channel_id = channel_id
        self.first = first
        self.bodies: list[bytes] = []
        self.size_bytes = 0


class Tail:
    """Blocks of messages, the oldest of which goes when there are too many bytes."""

    def __init__(self, bytes_max: int) -> None:
        """Keep at most `bytes_max` bytes, and at least what was added last."""
        self._bytes_max = bytes_max
        self._bytes = 0
        self._blocks: deque[_Block] = deque()  # of all channels, the oldest first
        self._channels: dict[int, deque[_Block]] = {}

    def add(self, channel_id: int, first: int, bodies: list[bytes]) -> None:
        """Remember `bodies`, which follow what is there of the channel (else what is there is forgotten)."""
        if not bodies:
            return
        blocks = self._channels.setdefault(channel_id, deque())
        if blocks and blocks[-1].first + len(blocks[-1].bodies) != first:
            self.forget(channel_id)
            blocks = self._channels.setdefault(channel_id, deque())
        if not blocks or len(blocks[-1].bodies) >= _BLOCK_MESSAGES:
            block = _Block(channel_id, first)
            blocks.append(block)
            self._blocks.append(block)
        block = blocks[-1]
        size_bytes = sum(map(len, bodies))
        block.bodies += bodies
        block.size_bytes += size_bytes
        self._bytes += size_bytes
        while self._bytes > self._bytes_max and len(self._blocks) > 1:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        block = self._blocks.popleft()
        if not block.bodies:
            return  # forgotten before
        self._bytes -= block.size_bytes
        blocks = self._channels[block.channel_id]
        blocks.popleft()
        if not blocks:
            del self._channels[block.channel_id]

    def forget(self, channel_id: int) -> None:
        """Forget a channel."""
        for block in self._channels.pop(channel_id, ()):
            self._bytes -= block.size_bytes
            block.bodies = []
            block.size_bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
        self._channels.clear()
        self._bytes = 0

    def read(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Messages from `first` on, of one block at most and at least one; None when they are not there."""
        blocks = self._channels.get(channel_id)
        if not blocks or first < blocks[0].first:
            return None
        last = blocks[-1]
        block = last if first >= last.first else blocks[bisect_right(blocks, first, key=lambda one: one.first) - 1]
        at = first - block.first
        bodies = block.bodies[at : at + count_max]
        if not bodies:
            return None
        if len(bodies) > 1 and block.size_bytes > bytes_max:
            total = 0
            for index, body in enumerate(bodies):
                total += len(body)
                if total > bytes_max and index:
                    return bodies[:index]
        return bodies
