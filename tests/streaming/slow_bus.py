"""A bus on a store that has nothing at hand: it reads when a test tells it to."""

from collections.abc import Callable

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import Batch, Store
from tests.streaming.harness import Bus


class SlowStore(DelegatingStore):
    """Reads and measures when it is told to: what a read finds is what is there then, what a measure finds is all that was.

    From sequence `at_hand_from` on nothing has to be read.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.waiting: list[Callable[[], None]] = []
        self.at_hand_from = 1 << 60
        self.sizes: dict[int, list[int]] = {}  # of each channel, of all messages ever

    def submit(self, batch: Batch) -> None:
        for run in batch.runs:
            sizes = self.sizes.setdefault(run.channel_id, [])
            del sizes[int(run.first_sequence) - 1 :]
            sizes += map(len, run.bodies)
        super().submit(batch)

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        return None if first < self.at_hand_from else self.inner.read_now(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        def answer() -> None:
            # Nothing is there any more that lies below the floor.
            bodies = self.inner.read_now(channel_id, first, count_max, bytes_max)
            self.on_page(request, bodies or [])

        self.waiting.append(answer)

    def sizes_now(self, channel_id: int, first: int, count_max: int) -> list[int]:
        return [] if first < self.at_hand_from else self.inner.sizes_now(channel_id, first, count_max)

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        def answer() -> None:
            at, total = first, 0
            while at < end and not 0 < enough_bytes <= total:
                total += self.sizes[channel_id][at - 1]
                at += 1
            self.on_measured(request, at, total)

        self.waiting.append(answer)


class SlowBus(Bus):
    """A bus on a slow store."""

    def __init__(self, options: CoreOptions | None = None) -> None:
        self.slow = SlowStore(MemoryStore())
        super().__init__(self.slow, options)

    def read(self, *, is_backwards: bool = False) -> int:
        """Let the store do what it was asked so far, each answer in a turn of its own; how much that was."""
        waiting, self.slow.waiting = self.slow.waiting, []
        for answer in reversed(waiting) if is_backwards else waiting:
            with self.turn():
                answer()
        return len(waiting)

    def read_all(self) -> None:
        """Let the store work until it is asked nothing more."""
        for _ in range(1000):
            if not self.read():
                return
        raise AssertionError("there is no end to its questions")
