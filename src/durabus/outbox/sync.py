"""The relay of a program without asyncio: the same one, in the thread of a `durabus.sync` bus.

with durabus.sync.connect(URL) as bus, Relay(outbox, engine, bus):
    ...
"""

import atexit
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from durabus import client, sync
from durabus.client.errors import ClosedError, UsageError
from durabus.outbox import relay
from durabus.outbox.errors import OutboxUsageError
from durabus.outbox.outbox import Outbox, SetAside

__all__ = ["Relay"]


class Relay:
    """Publishes the events of one outbox, in the background. Like the bus, it belongs to the process that made it."""

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        bus: sync.Bus,
        *,
        poll_s: float = 1.0,
        batch_events: int = 500,
        lease_s: float = 10.0,
        retry_wait_s: float = 0.1,
        retry_wait_max_s: float = 10.0,
        is_pipelined: bool = False,
        on_set_aside: Callable[[SetAside], None] | None = None,
    ) -> None:
        """Nothing is done before `start` or `with`; the options are those of `durabus.outbox.Relay`.

        Its connection to the database is used in a thread of its own, and `on_set_aside` is called in the thread of the
        bus. Raises OutboxUsageError.
        """
        if not isinstance(bus, sync.Bus):
            raise OutboxUsageError(f"{bus!r} is no bus of durabus.sync; take one, or durabus.outbox.Relay with asyncio")
        self._bus = bus
        self._is_running = False
        self._relay = relay.Relay(
            outbox, engine, bus.run(_itself), poll_s=poll_s, batch_events=batch_events, lease_s=lease_s,
            retry_wait_s=retry_wait_s, retry_wait_max_s=retry_wait_max_s, is_pipelined=is_pipelined,
            on_set_aside=on_set_aside,
        )  # fmt: skip

    def start(self) -> None:
        """Begin; a database or a bus that is not there is waited for. Ends with the program, if not before."""

        async def start_there(_: client.Bus) -> None:
            await self._relay.start()

        self._bus.run(start_there)
        self._is_running = True
        atexit.register(self._stop_at_exit)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is being published, for `timeout_s` seconds at most, and end. Twice is once."""
        if not self._is_running:
            return
        self._is_running = False
        atexit.unregister(self._stop_at_exit)

        async def stop_there(_: client.Bus) -> None:
            await self._relay.stop(timeout_s)

        with contextlib.suppress(ClosedError):  # the bus was closed before, and the relay ended with it
            self._bus.run(stop_there)

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until nothing waits in the outbox any more; raises TimeoutError, RelayStoppedError."""

        async def flush_there(_: client.Bus) -> None:
            await self._relay.flush()

        self._bus.run(flush_there, timeout_s)

    def _stop_at_exit(self) -> None:
        with contextlib.suppress(UsageError):  # a fork of the process that made it
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def _itself(bus: client.Bus) -> client.Bus:
    return bus
