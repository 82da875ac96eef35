"""The listener that the suite binds to a store: it waits for answers, and notes everything that breaks the port."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from durabus.streaming.store_port import FATAL, REFUSED, UNKNOWN, Batch, Store, StoreListener

__all__ = ["Probe", "expect", "within"]

OUTCOMES = (REFUSED, UNKNOWN, FATAL)

T = TypeVar("T")


def expect(holds: bool, text: str) -> None:
    """Raise AssertionError with `text` unless `holds`; unlike the statement, also when Python runs with -O."""
    if not holds:
        raise AssertionError(text)


async def within(seconds: float, what: str, work: Awaitable[T]) -> T:
    """What `work` comes to; AssertionError when it takes longer than `seconds`."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:
        raise AssertionError(f"{what}: nothing came within {seconds:g} s") from None


class Probe(StoreListener):
    """Listens to one store. What arrives when it must not is kept in `complaints`, for `check` to raise.

    `at_durable` is called from within every `on_durable`, after the batch was noted; `at_measured` from within the first
    `on_measured` to come.
    """

    def __init__(self, store: Store, patience_s: float) -> None:
        """Bind to `store`; wait at most `patience_s` for any one answer."""
        self.store = store
        self.patience_s = patience_s
        self.complaints: list[str] = []
        self.durable: list[int] = []
        self.failed: dict[int, tuple[int, str]] = {}
        self.at_durable: Callable[[int], None] | None = None
        self.at_measured: Callable[[], None] | None = None
        self._thread = threading.get_ident()
        self._unended: list[int] = []
        self._requests = 0
        self._asked: dict[int, str] = {}
        self._pages: dict[int, list[bytes]] = {}
        self._found: dict[int, int] = {}
        self._measured: dict[int, tuple[int, int]] = {}
        self._news = asyncio.Event()
        store.bind(self)

    def check(self) -> None:
        """Raise AssertionError when something broke the port so far."""
        expect(not self.complaints, "; ".join(self.complaints))

    async def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        while not holds():
            self.check()
            self._news.clear()
            await within(self.patience_s, what, self._news.wait())
        self.check()

    def _note(self, what: str, fault: str = "") -> None:
        if threading.get_ident() != self._thread:
            fault = "came on another thread than the core's"
        if fault:
            self.complaints.append(f"{what} {fault}")
        self._news.set()

    def begin_again(self) -> None:
        """The store was recovered: everything before that must have had its end, and numbers start anew."""
        expect(not self._unended, f"recover returned before the batches {self._unended} had ended")
        expect(not self._asked, f"recover returned before these requests were answered: {self._asked}")
        self.check()
        self.durable.clear()
        self.failed.clear()

    # Batches

    def submit(self, batch: Batch) -> None:
        """Submit `batch`, without waiting for its end."""
        self._unended.append(batch.number)
        self.store.submit(batch)

    def has_ended(self, number: int) -> bool:
        """Whether the end of batch `number` was reported."""
        return number in self.failed or number in self.durable

    async def wait_ended(self, number: int) -> None:
        """Wait for the end of batch `number`, whichever it is."""
        await self._wait(f"the end of batch {number}", lambda: self.has_ended(number))

    async def wait_room(self) -> None:
        """Wait until the store may be given one more batch."""
        await self._wait("room for a batch", lambda: len(self._unended) < self.store.batches_in_flight_max)

    async def wait_all_ended(self) -> None:
        """Wait until every batch has ended."""
        await self._wait(f"the end of the batches {self._unended}", lambda: not self._unended)

    def on_durable(self, number: int) -> None:
        """Batch `number` is safe: it must be the oldest that has not ended."""
        what = f"on_durable({number})"
        if number not in self._unended:
            self._note(what, "came for a batch that had ended, or never was")
            return
        waiting = self._unended[0]
        self._unended.remove(number)
        self.durable.append(number)
        self._note(what, f"came before batch {waiting} had ended" if waiting != number else "")
        if self.at_durable is not None:
            self.at_durable(number)

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """Batch `number` failed: it must not have ended, and there must be a reason."""
        what = f"on_failed({number}, {outcome}, {text!r})"
        if number not in self._unended:
            self._note(what, "came for a batch that had ended, or never was")
            return
        self._unended.remove(number)
        self.failed[number] = (outcome, text)
        fault = "has no such outcome" if outcome not in OUTCOMES else "does not say why" if not text else ""
        self._note(what, fault)

    # Questions

    def ask_page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> int:
        """Ask for a page with `read`; the number of the request."""
        self._requests += 1
        self._asked[self._requests] = "page"
        self.store.read(self._requests, channel_id, first, count_max, bytes_max)
        return self._requests

    def ask_measure(self, channel_id: int, first: int, end: int, enough_bytes: int) -> int:
        """Ask for a size with `measure`; the number of the request."""
        self._requests += 1
        request = self._requests  # what is asked within the answer has a later one
        self._asked[request] = "measure"
        self.store.measure(request, channel_id, first, end, enough_bytes)
        return request

    async def measured(self, request: int) -> tuple[int, int]:
        """The end and the bytes that answer the measure `request`."""
        await self._wait(f"the answer of measure {request}", lambda: request in self._measured)
        return self._measured[request]

    async def page(self, request: int) -> list[bytes]:
        """The page that answers `request`."""
        await self._wait(f"the page of read {request}", lambda: request in self._pages)
        return self._pages[request]

    def page_now(self, request: int) -> list[bytes] | None:
        """The page that answers `request`, if it is there already."""
        return self._pages.get(request)

    def ask_seek(self, channel_id: int, timestamp_ns: int) -> int:
        """Ask for a sequence with `seek`; the number of the request."""
        self._requests += 1
        self._asked[self._requests] = "seek"
        self.store.seek(self._requests, channel_id, timestamp_ns)
        return self._requests

    async def found(self, request: int) -> int:
        """The sequence that answers the seek `request`."""
        await self._wait(f"the answer of seek {request}", lambda: request in self._found)
        return self._found[request]

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """A page: it must answer a read, once."""
        self._note(f"on_page({request})", self._answered(request, "page"))
        self._pages.setdefault(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        """A sequence: it must answer a seek, once."""
        self._note(f"on_seek({request}, {sequence})", self._answered(request, "seek"))
        self._found.setdefault(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        """A size: it must answer a measure, once."""
        self._note(f"on_measured({request}, {end}, {size_bytes})", self._answered(request, "measure"))
        self._measured.setdefault(request, (end, size_bytes))
        at_measured, self.at_measured = self.at_measured, None
        if at_measured is not None:
            at_measured()

    def _answered(self, request: int, kind: str) -> str:
        return "" if self._asked.pop(request, "") == kind else f"answers no open {kind}"
