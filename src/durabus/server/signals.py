"""What each signal does to a server (docs/protocol.md §12.7)."""

import asyncio
import contextlib
import faulthandler
import signal
from collections.abc import Callable

from durabus.logs import LogOutput

__all__ = ["EXIT_INTERRUPT", "EXIT_QUIT", "EXIT_TERMINATE", "handle_signals"]

EXIT_INTERRUPT = 0
EXIT_TERMINATE = 143
EXIT_QUIT = 2
"""That of a Go program, which tells its stacks too."""

QUIT_LINE = "QUIT: standard error shows what every thread was doing; stopping"


def handle_signals(
    loop: asyncio.AbstractEventLoop, stop: Callable[[int], None], reload: Callable[[], None], output: LogOutput
) -> None:
    """From now on: INT and TERM call `stop` with an exit code, HUP calls `reload`, USR1 begins a new log file.

    QUIT tells what every thread is doing, also when the event loop does not turn any more, and then calls `stop`.
    USR2, which stops nats-server gently, has no effect on the original; so nothing ends a server that did not end before.
    """
    loop.add_signal_handler(signal.SIGINT, stop, EXIT_INTERRUPT)
    loop.add_signal_handler(signal.SIGTERM, stop, EXIT_TERMINATE)
    loop.add_signal_handler(signal.SIGQUIT, quit_server, stop, output)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # standard error may be closed, or no file
        faulthandler.register(signal.SIGQUIT, all_threads=True, chain=True)
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR1, output.reopen)
    loop.add_signal_handler(
        signal.SIGUSR2, output.streaming.warning, "Lame duck mode is not available: send INT or TERM to stop the server"
    )


def quit_server(stop: Callable[[int], None], output: LogOutput) -> None:
    """Stop because of QUIT; the stacks were told already."""
    output.streaming.warning(QUIT_LINE)
    stop(EXIT_QUIT)
