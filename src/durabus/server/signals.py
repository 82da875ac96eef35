"""What each signal does to a server (docs/protocol.md §12.7)."""

import asyncio
import signal
from collections.abc import Callable

from durabus.logs import LogOutput

__all__ = ["EXIT_INTERRUPT", "EXIT_TERMINATE", "handle_signals"]

EXIT_INTERRUPT = 0
EXIT_TERMINATE = 143


def handle_signals(
    loop: asyncio.AbstractEventLoop, stop: Callable[[int], None], reload: Callable[[], None], output: LogOutput
) -> None:
    """From now on: INT and TERM call `stop` with an exit code, HUP calls `reload`, USR1 begins a new log file.

    USR2, which stops nats-server gently, has no effect on the original; so nothing ends a server that did not end before.
    """
    loop.add_signal_handler(signal.SIGINT, stop, EXIT_INTERRUPT)
    loop.add_signal_handler(signal.SIGTERM, stop, EXIT_TERMINATE)
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR1, output.reopen)
    loop.add_signal_handler(
        signal.SIGUSR2, output.streaming.warning, "Lame duck mode is not available: send INT or TERM to stop the server"
    )
