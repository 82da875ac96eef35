"""The thin shell of the streaming core: gives it time, ends its turns, wakes it up, and recovers it.

It has no `if` about what messages mean. Turns end once per turn of the event loop, so that everything that came in
together is stored together and leaves together.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from durabus.broker.bus import Bus
from durabus.clock import Clock
from durabus.errors import StartError, StoreLostError
from durabus.sizes import format_size
from durabus.streaming.core import Core
from durabus.streaming.effects import Effect
from durabus.streaming.log_port import Log
from durabus.streaming.options import CoreOptions
from durabus.streaming.recovery import is_unfinished_copy
from durabus.streaming.store_port import Lease, Recovered, Store, StoreListener

__all__ = ["StreamingService", "new_instance"]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RETRY_S = 1.0


def new_instance() -> str:
    """Twenty-two random base-62 characters: the name of one activation."""
    return "".join(secrets.choice(_DIGITS) for _ in range(22))


Inspect = Callable[[Store, Recovered], Awaitable[list[str]]]
"""Looks into a store that was just recovered, at the start, as its listener; what is odd about it, for the log."""


class _StoreTurns(StoreListener):
    """The core at work, as the store sees it: an answer that comes between two turns makes one of its own."""

    def __init__(self, service: "StreamingService") -> None:
        self._service = service

    def on_durable(self, number: int) -> None:
        self._service.open_turn()
        self._service.core.on_durable(number)

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        self._service.open_turn()
        self._service.core.on_failed(number, outcome, text)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        self._service.open_turn()
        self._service.core.on_page(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        self._service.open_turn()
        self._service.core.on_seek(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        self._service.open_turn()
        self._service.core.on_measured(request, end, size_bytes)


class _Confirmation(Effect):
    """Tells that the store has taken something, or not."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def release(self, bus: Bus) -> None:
        self._set(True)

    def refuse(self, bus: Bus, text: str) -> None:
        self._set(False)

    def _set(self, is_taken: bool) -> None:
        if not self.done.done():
            self.done.set_result(is_taken)


class StreamingService:
    """Drives one core at a time on one store and one bus. `flush` sends what the bus has gathered."""

    def __init__(
        self,
        options: CoreOptions,
        bus: Bus,
        store: Store,
        log: Log,
        clock: Clock,
        flush: Callable[[], None],
        hold_back: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Put the parts together; `start` begins. `hold_back` keeps whoever sends much from sending more, until told otherwise."""
        self._options = options
        self._bus = bus
        self._store = store
        self._log = log
        self._clock = clock
        self._flush = flush
        self._hold_back = hold_back
        self._core = Core(options, bus, store, log)
        self._lease: Lease | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._recovering: asyncio.Task[None] | None = None
        self._is_open = False  # whether a turn has begun and not ended
        self._is_stopping = False
        self._is_holding_back = False
        self._recovered_s = 0.0  # when, on the loop's clock, the store was recovered after a failure
        self._turn_ended = asyncio.Event()
        self.failed: asyncio.Future[str] | None = None  # done with the reason when the store is beyond recovery
        self.inspect: Inspect | None = None
        self.retry_s = _RETRY_S  # between two attempts to have the store back
        self.on_turn: Callable[[], None] | None = (
            None  # called when a turn has ended, for tests that wait for something
        )

    @property
    def core(self) -> Core:
        """The core at work."""
        return self._core

    async def recover(self, lease: Lease | None = None) -> bool:
        """Take over what the store remembers, before anybody is served; whether there was anything.

        In a group of servers that share the store, `lease` is the right to write to it. Raises StartError or StoreError.
        """
        self.failed = asyncio.get_running_loop().create_future()
        self._lease = lease
        recovered = await self._store.recover(lease)
        for finding in recovered.damage:
            self._log.error(finding)
        for weakness in recovered.weaknesses:
            self._log.warning(weakness)
        if is_unfinished_copy(recovered):  # serving half of it would be losing the other half
            raise StartError(
                "the store holds a copy that was not finished: finish it with the same command "
                "(durabus store copy, or import), or begin with an empty store"
            )
        if self.inspect is not None:
            for finding in await self.inspect(self._store, recovered):
                self._log.warning(finding)
        self.begin()
        self._core.restore(recovered, lease.epoch if lease is not None else 0)
        self._listen_to_store()
        return bool(recovered.state)

    def _listen_to_store(self) -> None:
        """Let answers that come between two turns make turns of their own; where none does, the core hears them itself."""
        if not self._store.is_immediate:
            self._store.bind(_StoreTurns(self))

    def listen(self) -> None:
        """Serve requests from now on."""
        self._core.listen()
        self.end_turn()

    def begin(self) -> None:
        """Input is about to come: tell the core what time it is."""
        self._is_open = True
        self._core.begin(self._clock.monotonic_ns(), self._clock.wall_ns())

    def open_turn(self) -> None:
        """Something comes: if that is not within a turn, it is one, which ends when the event loop has its turn."""
        if not self._is_open:
            self.begin()
            asyncio.get_running_loop().call_soon(self.end_turn)

    def end_turn(self) -> None:
        """All input of this turn has come: decide, store, release what is safe, and see when to wake up again."""
        self._core.end_turn()
        self._is_open = False
        self._flush()
        self._balance()
        if self.on_turn is not None:
            self.on_turn()
        if self._is_stopping:
            self._turn_ended.set()
            return
        if self._core.must_recover and self._recovering is None and not self._has_failed():
            self._recovering = asyncio.get_running_loop().create_task(self._recover_again())
        self._set_timer()

    def _balance(self) -> None:
        """When the store is far behind, publishers have to wait for it; when it is not any more, they may go on."""
        state = self._core.state
        undurable_bytes = state.undurable_bytes()
        hold_bytes = self._options.undurable_bytes_max // 2
        if not self._is_holding_back and undurable_bytes > hold_bytes:
            self._log.warning(
                f"The store is behind, {format_size(undurable_bytes)} wait for it: publishers have to wait, too"
            )
            self._is_holding_back = True
            self._hold_back(True)
        elif self._is_holding_back and undurable_bytes <= hold_bytes // 2:
            self._log.info("The store has caught up: publishers may go on")
            self._is_holding_back = False
            self._hold_back(False)
        state.is_holding_back = self._is_holding_back

    def _set_timer(self) -> None:
        deadline_ns = self._core.next_deadline_ns()
        if deadline_ns == self._timer_ns:
            return
        if self._timer is not None:
            if deadline_ns and self._timer_ns < deadline_ns:
                return  # it wakes up early, sees that, and sets the next one: cheaper than moving it each turn
            self._timer.cancel()
            self._timer = None
        self._timer_ns = deadline_ns
        if deadline_ns:
            delay_s = max(deadline_ns - self._clock.monotonic_ns(), 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._timer_ns = 0
        self.do_due()

    def do_due(self) -> None:
        """Do what is due by the clock: it was time for that, or somebody has moved the clock."""
        self._is_open = True
        self._core.advance(self._clock.monotonic_ns(), self._clock.wall_ns())
        if not self._clock.is_running:
            self._core.look_again()  # what is on its way to clients arrives in real time
        self.end_turn()

    async def _recover_again(self) -> None:
        """After a failed batch: a new core takes over what the store remembers, as after a restart."""
        loop = asyncio.get_running_loop()
        try:
            if self._recovered_s and loop.time() - self._recovered_s < self.retry_s:
                # It failed again at once (a full disk, say): publishers are refused meanwhile, and the log is not filled.
                await asyncio.sleep(self.retry_s)
            recovered: Recovered | None = None
            while recovered is None:
                if self._core.is_fatal:
                    self._fail(self._core.state.failure)
                    return
                try:
                    recovered = await self._store.recover(self._lease)
                except StoreLostError as error:
                    self._fail(str(error))
                    return
                except Exception as error:  # noqa: BLE001 - whatever a store raises: publishers are told why
                    self._log.error(f"the store cannot be recovered yet: {error}")
                    await asyncio.sleep(self.retry_s)
            old = self._core
            old.end_turn()  # what it still has to say are refusals
            old.detach()
            self._options.instance = new_instance().encode()
            self._core = Core(self._options, self._bus, self._store, self._log)
            self._core.state.take_over(old.state)
            self.begin()
            self._core.restore(recovered, old.state.epoch)
            self._listen_to_store()
            self._core.listen()
            self._recovered_s = loop.time()
            self._log.info("the store is recovered, serving again")
        except Exception as error:  # noqa: BLE001 - whatever it is, serving cannot go on without a core
            self._fail(str(error))
        finally:
            self._recovering = None
        self.end_turn()

    def _fail(self, reason: str) -> None:
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(reason)

    def _has_failed(self) -> bool:
        return self.failed is not None and self.failed.done()

    async def confirm(self) -> bool:
        """Whether the store still takes what we write: found out by writing again what it knows."""
        confirmation = _Confirmation()
        self.open_turn()
        self._core.confirm(confirmation)
        return await confirmation.done

    def give_up(self, reason: str) -> None:
        """Write nothing any more: the store may be somebody else's. Whoever asks for something is told the `reason`."""
        if self._recovering is not None:
            self._recovering.cancel()
        self._core.state.failure = reason
        self._fail(reason)

    async def stop(self) -> None:
        """Store what is decided, say what is to be said, and close the store."""
        self._is_stopping = True
        if self._recovering is not None:
            self._recovering.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self.begin()
        self._core.finish()
        self.end_turn()
        while self._core.state.in_flight:
            self._turn_ended.clear()
            await self._turn_ended.wait()
        self._core.state.failure = "the server is shutting down"
        await self._store.close()
