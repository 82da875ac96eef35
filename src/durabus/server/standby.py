"""Stands by until the store is ours, and says so from then on: puts a network, a clock and a store to `FTGroup`."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from durabus import logs
from durabus.broker.bus import Receiver
from durabus.clock import Clock
from durabus.server.ft_group import Abort, Action, Activate, Confirm, FTGroup, Say, Send, TryLock
from durabus.server.network import Network
from durabus.streaming.store_port import Lease, Store
from durabus.wire.operations import Publish

__all__ = ["Standby", "about"]


def about(duration_ns: int) -> int:
    """A duration of this length, give or take a tenth, so that not all servers of a group do the same at once."""
    tenth_ns = duration_ns // 10
    return duration_ns - tenth_ns + secrets.randbelow(2 * tenth_ns + 1)


class _Heartbeats(Receiver):
    """What servers of the group say."""

    def __init__(self, standby: "Standby") -> None:
        self._standby = standby

    def on_publish(self, publish: Publish) -> None:
        for payload in publish.payloads:
            self._standby.on_message(payload)


class Standby:
    """Drives one server's part in its group, from `begin` to `stop`."""

    def __init__(
        self, group: FTGroup, subject: bytes, owner: str, network: Network, store: Store, clock: Clock, log: logs.Log
    ) -> None:
        """Put the parts together: the group speaks on `subject`, the store knows us as `owner`."""
        self._group = group
        self._subject = subject
        self._owner = owner
        self._network = network
        self._store = store
        self._clock = clock
        self._log = log
        self._activate: Callable[[Lease], Awaitable[None]] | None = None
        self._confirm: Callable[[], Awaitable[bool]] | None = None
        self._abort: Callable[[str], None] | None = None
        self._fail: Callable[[Exception], None] | None = None
        self._lease: Lease | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None  # asking for the lock, or activating
        self._asking: asyncio.Task[None] | None = None  # whether the store is still ours

    def begin(
        self,
        activate: Callable[[Lease], Awaitable[None]],
        confirm: Callable[[], Awaitable[bool]],
        abort: Callable[[str], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Listen to the group, and wait for the store.

        When the store is ours, `activate` is awaited, while heartbeats go out; `fail` is told when it raises. `confirm`
        finds out whether the store is still ours. `abort` is told, with the reason for the log, that another server is
        the active one: nothing may be written any more.
        """
        self._activate, self._confirm, self._abort, self._fail = activate, confirm, abort, fail
        self._network.bus.subscribe(self._subject, _Heartbeats(self))
        self._network.flush()  # no turn has to end here that would do it
        self._do(self._group.begin(self._clock.monotonic_ns()))

    async def stop(self) -> None:
        """Take no part any more; what was under way is given up. Twice is once."""
        self._end()
        tasks = [task for task in (self._work, self._asking) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def on_message(self, payload: bytes) -> None:
        """Something was said in the group."""
        self._do(self._group.on_message(payload, self._clock.monotonic_ns()))

    def _on_time(self) -> None:
        self._timer = None
        self._do(self._group.on_time(self._clock.monotonic_ns()))

    def _do(self, actions: list[Action]) -> None:
        """Do what the group says, and see when it has something to say again."""
        for action in actions:
            if isinstance(action, Say):
                (self._log.error if action.is_error else self._log.info)(action.text)
            elif isinstance(action, Send):
                self._send(action.payload)
            elif isinstance(action, TryLock):
                self._work = asyncio.get_running_loop().create_task(self._lock())
            elif isinstance(action, Activate):
                self._work = asyncio.get_running_loop().create_task(self._become_active())
            elif isinstance(action, Confirm):
                self._asking = asyncio.get_running_loop().create_task(self._ask_store())
            elif isinstance(action, Abort):
                self._end()
                if self._work is not None:
                    self._work.cancel()
                if self._abort is not None:
                    self._abort(action.text)
        self._set_timer()

    def _send(self, payload: bytes) -> None:
        is_open = self._network.bus.is_open()  # what is published may be for nobody: that is no failure
        if is_open:
            self._network.bus.publish(self._subject, b"", payload)
            self._network.flush()
        self._do(self._group.on_sent(is_open, self._clock.monotonic_ns()))

    async def _lock(self) -> None:
        lease: Lease | None = None
        error = ""
        try:
            lease = await self._store.acquire(self._owner)
        except Exception as problem:  # noqa: BLE001 - whatever a store raises: it may be better next time
            error = str(problem) or type(problem).__name__
        self._lease = lease
        self._do(self._group.on_lock(lease is not None, error, self._clock.monotonic_ns(), self._clock.wall_ns()))

    async def _become_active(self) -> None:
        assert self._activate is not None, "begin() comes first"
        assert self._lease is not None, "the group activates with the lock only"
        try:
            await self._activate(self._lease)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the server
            self._end()
            if self._fail is not None:
                self._fail(error)

    async def _ask_store(self) -> None:
        assert self._confirm is not None, "begin() comes first"
        is_ours = await self._confirm()
        self._do(self._group.on_confirmed(is_ours, self._clock.monotonic_ns()))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_ns = self._group.next_ns()
        if deadline_ns:
            delay_s = max(deadline_ns - self._clock.monotonic_ns(), 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    def _end(self) -> None:
        self._group.end()
        self._set_timer()
        self._network.bus.unsubscribe(self._subject)
