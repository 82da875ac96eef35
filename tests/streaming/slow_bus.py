"""A bus on a store that has nothing at hand: it reads when a test tells it to."""

from collections.abc import Callable

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import Store
from tests.streaming.harness import Bus


class SlowStore(DelegatingStore):
    """Reads when it is told to: what a read finds is what is there then.

    From sequence `at_hand_from` on nothing has to be read.
    """

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.waiting: list[Callable[[], None]] = []
        self.at_hand_from = 1 << 60

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        return None if first < self.at_hand_from else self.inner.read_now(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        def answer() -> None:
            # Nothing is there any more that lies below the floor.
            bodies = self.inner.read_now(channel_id, first, count_max, bytes_max)
            self.on_page(request, bodies or [])

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
