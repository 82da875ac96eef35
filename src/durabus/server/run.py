"""Runs one server as a process: the event loop, the signals, the exit code (docs/protocol.md §12.6)."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from durabus import logs
from durabus.clock import SystemClock
from durabus.config.options import Options
from durabus.errors import StartError
from durabus.server.server import Server

__all__ = ["run"]

EXIT_INTERRUPT = 0
EXIT_TERMINATE = 143
EXIT_FAILED = 1


def run(options: Options) -> int:
    """Serve until a signal ends it; the exit code: 0 after SIGINT, 143 after SIGTERM, 1 when the store failed for good.

    Raises StartError when the server cannot start.
    """
    output = logs.LogOutput(options.log)
    try:
        return _runner()(_serve(options, output))
    except StartError as error:
        if not options.log.file:
            raise
        # The original's log file has the reason too, not only the terminal.
        output.streaming.fatal(f"Failed to start: {error}")
        raise
    finally:
        output.close()


def _runner() -> Callable[[Coroutine[Any, Any, int]], int]:
    """How to run the main coroutine: on uvloop where it is installed, else on asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    loop: Callable[[Coroutine[Any, Any, int]], int] = uvloop.run
    return loop


async def _serve(options: Options, output: logs.LogOutput) -> int:
    server = Server(options, output, SystemClock())
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(exit_code: int) -> None:
        if not stopped.done():
            stopped.set_result(exit_code)

    loop.add_signal_handler(signal.SIGINT, stop, EXIT_INTERRUPT)
    loop.add_signal_handler(signal.SIGTERM, stop, EXIT_TERMINATE)
    loop.add_signal_handler(signal.SIGUSR1, output.reopen)
    loop.add_signal_handler(
        signal.SIGHUP, output.streaming.warning, "Reload ignored: nothing of this configuration can be reloaded"
    )
    try:
        await server.start()
        failed = asyncio.ensure_future(server.wait_failed())
        await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            failed.cancel()
            return stopped.result()
        output.streaming.fatal(f"the store failed and cannot be trusted any more: {failed.result()}")
        return EXIT_FAILED
    finally:
        await server.stop()
