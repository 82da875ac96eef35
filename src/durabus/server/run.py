"""Runs one server as a process: the event loop, the signals, its files, the exit code (docs/protocol.md §12.6)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from durabus import logs
from durabus.clock import SystemClock
from durabus.config.options import Options
from durabus.errors import StartError
from durabus.server.process_files import ProcessFiles, urls
from durabus.server.reload import Reloader
from durabus.server.reload_broker import BrokerReload
from durabus.server.server import Server
from durabus.server.signals import handle_signals

__all__ = ["run"]

EXIT_FAILED = 1

ReadOptions = Callable[[], Options]
"""Reads the configuration again, for a reload; raises DurabusError."""


def run(options: Options, read_again: ReadOptions | None = None) -> int:
    """Serve until a signal ends it; the exit code: 0 after INT, 143 after TERM, 2 after QUIT, 1 when the store failed.

    Raises StartError when the server cannot start.
    """
    output = logs.LogOutput(options.log)
    try:
        return _runner()(_serve(options, read_again, output))
    except StartError as error:
        log = options.log
        if log.file or log.syslog or log.remote_syslog:
            # The original's log has the reason too, not only the terminal.
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


async def _serve(options: Options, read_again: ReadOptions | None, output: logs.LogOutput) -> int:
    server = Server(options, output, SystemClock())
    files = ProcessFiles(options.process, output.broker)
    broker = server.broker
    apply = BrokerReload(broker, server.server_id, options, output.broker).apply if broker is not None else None
    reloader = Reloader(options, read_again, output, files, apply, server.on_reloaded)
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(exit_code: int) -> None:
        if not stopped.done():
            stopped.set_result(exit_code)

    handle_signals(loop, stop, reloader.reload, output)
    files.write_pid()
    try:
        await server.start(lambda: files.write_ports(*_urls(options, server)))
        failed = asyncio.ensure_future(server.wait_failed())
        await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            failed.cancel()
            return stopped.result()
        output.streaming.fatal(failed.result())
        return EXIT_FAILED
    finally:
        await server.stop()
        files.remove()


def _urls(options: Options, server: Server) -> tuple[list[str], list[str]]:
    """How clients and tools can reach the server; with an external network, clients do not."""
    monitoring = options.monitoring
    nats = urls("tls" if options.tls.enabled else "nats", options.broker.host, server.port) if server.port else []
    if not server.monitoring_port:
        return nats, []
    scheme = "https" if monitoring.is_secure else "http"
    return nats, urls(scheme, monitoring.host or options.broker.host, server.monitoring_port)
