"""Waiting for something to become so on a bus: looked at whenever the server has ended a turn of its work."""

import asyncio
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """Tells that a turn of the server has ended, to whoever waits for something."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiters: list[asyncio.Future[None]] = []

    def end(self) -> None:
        """A turn has ended."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `is_so`, at most `timeout_s` seconds of real time; whether it became so."""
        if is_so():
            return True
        try:
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiters.append(waiter)
                    await waiter
        except TimeoutError:
            return is_so()
        return True
