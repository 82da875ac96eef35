"""Tools for tests: a real bus in the test's own process, and what holds a store of somebody else to the port.

async with durabus.testing.bus() as bus:
    async with bus.connect("shop") as shop:
        await shop.publish("orders", b"{}")
    await bus.advance(30)  # AckWait is over

`bus` and `bus_in_thread` start a server; it is imported then, not before. For whoever writes a store there are
`durabus.testing.conformance`, `faults`, `disk` and `shared_store`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durabus.testing.running.bus import StartingBus
    from durabus.testing.running.thread import BusInThread

__all__ = ["bus", "bus_in_thread"]


def bus(
    *flags: str, store: str = "", directory: str | Path | None = None, controlled_time: bool = True
) -> "StartingBus":
    """A bus for a test: `async with durabus.testing.bus() as bus`, on a free port of this machine.

    It is the server itself, on the test's event loop; `bus.url` is for clients in any language, `bus.connect()` for ours.
    `flags` are those of `durabus serve` (`"-max_age", "1h"`), but for ports, monitoring and log files. `store`: MEMORY, or FILE, in
    `directory` or one that is removed at the end. With `controlled_time` the time of the server stands still but for
    `bus.advance()`; without, it goes on by itself as well.

    Raises StartError or UsageError when it is entered.
    """
    from durabus.testing.running.bus import StartingBus

    return StartingBus(flags, store, directory, controlled_time=controlled_time)


def bus_in_thread(
    *flags: str, store: str = "", directory: str | Path | None = None, controlled_time: bool = True
) -> "BusInThread":
    """The same for tests without asyncio: `with durabus.testing.bus_in_thread() as bus`; its calls block.

    The server has an event loop in a thread of its own, which ends with the block.
    """
    from durabus.testing.running.thread import BusInThread

    return BusInThread(bus(*flags, store=store, directory=directory, controlled_time=controlled_time))
