"""A store that fails on demand, for tests of what stands on top of a store.

It holds batches and answers back until it is told to let them go, fails chosen batches in each way that the port knows,
and can forget that messages are at hand.
"""

from collections import deque

from durabus.errors import StoreError
from durabus.stores.delegating import DelegatingStore
from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN, Batch, Lease, Recovered, Store

__all__ = ["FaultyStore"]


class _Fault:
    """How one batch is going to fail; `applied` when it is written all the same."""

    def __init__(self, outcome: int, text: str, applied: bool) -> None:
        self.outcome = outcome
        self.text = text
        self.applied = applied


class FaultyStore(DelegatingStore):
    """`inner` with faults. Without any asked for, it behaves as `inner` does.

    `submitted` are all batches ever submitted, in order; `reads` counts the questions that `read_now` did not answer.
    Set `answers_now` to False to let `read_now` answer None always, and `recover_errors` to texts with which the next
    calls of `recover` fail.
    """

    def __init__(self, inner: Store) -> None:
        """Wrap `inner`, with no fault yet."""
        super().__init__(inner)
        self.answers_now = True
        self.recover_errors: list[str] = []
        self.submitted: list[Batch] = []
        self.reads = 0
        self._faults: dict[int, _Fault] = {}  # by the place of a batch in `submitted`, from 1
        self._holding = False
        self._held: deque[tuple[Batch, _Fault | None]] = deque()
        self._holding_answers = False
        self._held_answers: deque[tuple[int, list[bytes] | int | tuple[int, int]]] = deque()
        self._unended: deque[int] = deque()  # numbers that were passed on or are about to fail, in order
        self._failing: dict[int, _Fault] = {}
        self._broken: _Fault | None = None

    # Batches

    def hold(self) -> None:
        """Keep every batch from now on: it is neither written nor reported until it is released."""
        self._holding = True

    def release(self, count: int | None = None) -> int:
        """Let the `count` oldest held batches go (None: all that are held now); how many went. Later ones are held."""
        number = len(self._held) if count is None else min(count, len(self._held))
        for _ in range(number):
            self._pass_on(*self._held.popleft())
        return number

    def stop_holding(self) -> None:
        """Let all held batches go, and hold no more."""
        self._holding = False
        while self._held:
            self.release()

    def lose_held(self) -> int:
        """Forget all held batches without a report, as a crash would; how many they were."""
        count = len(self._held)
        self._held.clear()
        return count

    @property
    def held_count(self) -> int:
        """How many batches are held."""
        return len(self._held)

    def fail(self, outcome: int, text: str, *, nth: int = 1, applied: bool = False) -> None:
        """Let the `nth` batch submitted from now on fail with `outcome` and `text`; `applied`: it is written all the same.

        After UNKNOWN every batch is refused until `recover`; after FATAL every batch fails with it.
        """
        if nth < 1:
            raise ValueError("the next batch is number 1")
        if applied and outcome == REFUSED:
            raise ValueError("a refused batch is not written")
        self._faults[len(self.submitted) + nth] = _Fault(outcome, text, applied)

    def submit(self, batch: Batch) -> None:
        """Hold `batch`, fail it or pass it on, as was asked for."""
        self.submitted.append(batch)
        fault = self._faults.pop(len(self.submitted), None)
        if self._holding or self._held:
            self._held.append((batch, fault))
        else:
            self._pass_on(batch, fault)

    def _pass_on(self, batch: Batch, fault: _Fault | None) -> None:
        if self._broken is not None:
            text = f"{self._broken.text}; the store was not recovered since"
            fault = self._broken if self._broken.outcome == FATAL else _Fault(REFUSED, text, applied=False)
        elif fault is not None and fault.outcome != REFUSED:
            self._broken = _Fault(fault.outcome, fault.text, applied=False)
        self._unended.append(batch.number)
        if fault is not None:
            self._failing[batch.number] = fault
        if fault is None or fault.applied:
            self.inner.submit(batch)
        else:
            self._report_failures()

    def _report_failures(self) -> None:
        """Report what fails without the inner store's knowledge, as soon as everything before it has ended."""
        while self._unended:
            fault = self._failing.get(self._unended[0])
            if fault is None or fault.applied:
                return
            number = self._unended.popleft()
            del self._failing[number]
            super().on_failed(number, fault.outcome, fault.text)

    def on_durable(self, number: int) -> None:
        """The inner store is done: report it, or the failure that was asked for."""
        self._unended.remove(number)
        fault = self._failing.pop(number, None)
        if fault is None:
            super().on_durable(number)
        else:
            super().on_failed(number, fault.outcome, fault.text)
        self._report_failures()

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """The inner store failed by itself: report that."""
        self._unended.remove(number)
        self._failing.pop(number, None)
        super().on_failed(number, outcome, text)
        self._report_failures()

    async def recover(self, lease: Lease | None) -> Recovered:
        """Let everything go that is held (an activation ends), then recover the inner store; or fail as was asked for."""
        while self._held or self._held_answers:
            self.release()
            self.release_answers()
        if self.recover_errors:
            raise StoreError(self.recover_errors.pop(0))
        recovered = await self.inner.recover(lease)
        if self._broken is not None and self._broken.outcome == UNKNOWN:
            self._broken = None
        return recovered

    # Answers

    def hold_answers(self) -> None:
        """Keep every page, every seek's and every measure's answer from now on, as they are now, until they are released."""
        self._holding_answers = True

    def release_answers(self, count: int | None = None) -> int:
        """Let the `count` oldest held answers go (None: all that are held now); how many went."""
        number = len(self._held_answers) if count is None else min(count, len(self._held_answers))
        for _ in range(number):
            self._answer(*self._held_answers.popleft())
        return number

    def stop_holding_answers(self) -> None:
        """Let all held answers go, and hold no more."""
        self._holding_answers = False
        while self._held_answers:
            self.release_answers()

    @property
    def held_answers_count(self) -> int:
        """How many pages, seeks and measures wait to be answered."""
        return len(self._held_answers)

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """As the inner store does, or None while `answers_now` is False."""
        return self.inner.read_now(channel_id, first, count_max, bytes_max) if self.answers_now else None

    def sizes_now(self, channel_id: int, first: int, count_max: int) -> list[int]:
        """As the inner store does, or none while `answers_now` is False."""
        return self.inner.sizes_now(channel_id, first, count_max) if self.answers_now else []

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Count the question and pass it on."""
        self.reads += 1
        self.inner.read(request, channel_id, first, count_max, bytes_max)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """Hold the page or pass it on."""
        self._hold_or_answer(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        """Hold the answer or pass it on."""
        self._hold_or_answer(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        """Hold the answer or pass it on."""
        self._hold_or_answer(request, (end, size_bytes))

    def _hold_or_answer(self, request: int, answer: list[bytes] | int | tuple[int, int]) -> None:
        if self._holding_answers or self._held_answers:
            self._held_answers.append((request, answer))
        else:
            self._answer(request, answer)

    def _answer(self, request: int, answer: list[bytes] | int | tuple[int, int]) -> None:
        if isinstance(answer, int):
            super().on_seek(request, answer)
        elif isinstance(answer, tuple):
            super().on_measured(request, *answer)
        else:
            super().on_page(request, answer)

    async def close(self) -> None:
        """Let everything go that is held, then close the inner store."""
        self.stop_holding()
        self.stop_holding_answers()
        await self.inner.close()
