"""One server: configuration, broker, streaming, one store and monitoring, put together.

The order of the start is the original's (docs/protocol.md §14.2): the port opens, the store is recovered, requests are
taken, and only then `Streaming Server is ready` is logged.
"""

import asyncio
import gc
import sys
from typing import Final

from durabus import logs
from durabus.broker.broker import Broker, BrokerSettings
from durabus.broker.router import Router
from durabus.broker.session import SessionLimits
from durabus.clock import Clock
from durabus.config.addresses import describe_listen_error
from durabus.config.options import Options
from durabus.errors import StartError
from durabus.monitoring.port import MonitoringPort
from durabus.server.monitoring_source import MonitoringSource, make_port
from durabus.stores.names import make_store
from durabus.streaming.log_port import Log
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.service import StreamingService, new_instance
from durabus.version import NATS_VERSION, python_name
from durabus.wire.documents import InfoDocument, encode_info

__all__ = ["Server"]

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread may keep the interpreter from another: a store's writer thread must not wait 5 ms for its turn."""


class _StreamingLog(Log):
    """The core's log lines in the server's log."""

    def __init__(self, log: logs.Log) -> None:
        super().__init__(log.debug_enabled)
        self._log = log

    def debug(self, text: str) -> None:
        self._log.debug(text)

    def info(self, text: str) -> None:
        self._log.info(text)

    def warning(self, text: str) -> None:
        self._log.warning(text)

    def error(self, text: str) -> None:
        self._log.error(text)


class Server:
    """Everything of one server. `start`, then wait for `failed`, then `stop`."""

    def __init__(self, options: Options, output: logs.LogOutput, clock: Clock) -> None:
        """Put the parts together; nothing is opened yet."""
        self.options = options
        self.server_id = new_instance()
        self._log = output.streaming
        self._broker_log = output.broker
        self._clock = clock
        self._store = make_store(options.streaming.store)
        self._router = Router()
        self._broker = Broker(broker_settings(options, self.server_id), self._router, clock)
        self._service = StreamingService(
            core_options(options, self.server_id),
            self._router,
            self._store,
            _StreamingLog(output.streaming),
            clock,
            self._router.flush,
        )
        self._source = MonitoringSource(options, self.server_id, clock, self._service, self._broker)
        self._monitoring: MonitoringPort | None = None
        self._monitoring_task: asyncio.Task[None] | None = None
        self._freezing: asyncio.Task[None] | None = None

    @property
    def service(self) -> StreamingService:
        """The streaming half, for tools and tests that look inside."""
        return self._service

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self._broker.settings.port

    async def start(self) -> None:
        """Open the ports, recover, serve. Raises StartError; what was opened is closed again by `stop`."""
        options = self.options
        log = self._log
        log.info(*logs.starting_lines(options.streaming.cluster_id, self.server_id))
        self._broker_log.info(*logs.broker_lines(self._broker.settings.info.server_name, self.server_id))
        self._broker.on_notice = self._broker_log.info
        if self._broker_log.debug_enabled:
            self._broker.on_debug = self._broker_log.debug
        self._monitoring = make_port(options, self._source, log.error)
        if self._monitoring is not None:
            self._monitoring.open()
            self._source.set_port(self._monitoring.port)
        await self._open_port()
        self._broker_log.info(logs.BROKER_READY_LINE)
        log.info(logs.RECOVERING_LINE)
        await self._service.recover()
        log.info(logs.recovery_line(len(self._service.core.state.channels)))
        log.info(*logs.store_lines(self._store.name, options.limits))
        log.warning(logs.acknowledgement_line(self._store.name))
        self._service.listen()
        if self._monitoring is not None:
            line = logs.monitor_line(options.monitoring.host or options.broker.host, self._monitoring.port)
            self._broker_log.info(line.replace("http", "https", 1) if options.monitoring.is_secure else line)
            self._monitoring_task = asyncio.get_running_loop().create_task(self._monitoring.serve())
        self._source.is_serving = True
        log.info(logs.READY_LINE)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._freeze()
        if self._monitoring_task is not None:
            self._freezing = asyncio.get_running_loop().create_task(self._freeze_with_monitoring())

    async def _open_port(self) -> None:
        """Listen for clients; raises StartError."""
        broker = self.options.broker
        try:
            await self._broker.start(self._service.begin, self._service.end_turn)
        except OSError as error:
            reason = describe_listen_error(broker.host, broker.port, error)
            raise StartError(f"{reason} (choose another port with -p, or stop what listens there)") from None
        self._broker_log.info(logs.listening_line(broker.host, self.port))

    def _freeze(self) -> None:
        """What is there now stays: the collector need not look at it again, nor ever walk the stored log for long."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 1000)

    async def _freeze_with_monitoring(self) -> None:
        """HTTP is loaded after the ports are open; it stays, too."""
        if self._monitoring is not None:
            await self._monitoring.wait_serving()
            self._freeze()

    async def wait_failed(self) -> str:
        """Wait until the server cannot go on; the reason."""
        failed = self._service.failed
        assert failed is not None, "start() comes before wait_failed()"
        return await failed

    async def stop(self) -> None:
        """Answer what is under way, store what is decided, close everything. Twice is once."""
        source = self._source
        if source.state == "SHUTDOWN":
            return
        if source.is_serving:
            self._log.info("Shutting down.")
            self._take_no_newcomers()
        source.is_serving = False
        source.state = "SHUTDOWN"
        await self._broker.drain()
        await self._service.stop()
        await self._broker.stop()
        if self._freezing is not None:
            self._freezing.cancel()
        if self._monitoring is not None:
            if self._monitoring_task is None:
                self._monitoring.close()
            else:
                self._monitoring.stop()
                await self._monitoring_task

    def _take_no_newcomers(self) -> None:
        """A client or a subscription that began now would end at once: as at the original's end, nobody answers."""
        subjects = self._service.core.state.subjects
        for subject in (subjects.discover, subjects.subscribe):
            self._router.unsubscribe(subject)


def core_options(options: Options, instance: str) -> CoreOptions:
    """The core's options out of the server's."""
    streaming = options.streaming
    limits = options.limits
    core = CoreOptions(streaming.cluster_id, instance)
    core.channels_max = limits.max_channels
    core.channel_limits = ChannelLimits(
        limits.max_messages,
        limits.max_bytes,
        limits.max_age_ns,
        limits.max_subscriptions,
        limits.max_inactivity_ns,
    )
    core.heartbeat_interval_ns = streaming.heartbeat_interval_ns
    core.heartbeat_timeout_ns = streaming.heartbeat_timeout_ns
    core.heartbeat_failures_max = streaming.heartbeat_fail_count
    core.presence_grace_ns = streaming.presence_grace_ns
    core.replace_durable = streaming.replace_durable
    core.batch_messages_max = streaming.io_batch_size
    return core


def broker_settings(options: Options, server_id: str) -> BrokerSettings:
    """The broker's settings out of the server's options."""
    broker = options.broker
    info = InfoDocument(
        server_id=server_id,
        server_name=broker.server_name or server_id,
        version=NATS_VERSION,
        proto=1,
        go=python_name(),
        host=broker.host,
        port=broker.port,
        headers=True,
        max_payload=broker.max_payload_bytes,
    )
    try:
        encode_info(info)  # each client is told; whether it can be told is known now
    except ValueError as error:
        raise StartError(f"the server's name cannot be told to clients: {error}") from None
    limits = SessionLimits(
        broker.max_control_line_bytes,
        broker.max_payload_bytes,
        broker.max_pending_bytes,
        broker.ping_interval_ns,
        broker.ping_max,
    )
    settings = BrokerSettings(broker.host, broker.port, info, limits)
    settings.connections_max = broker.max_connections
    settings.write_deadline_s = broker.write_deadline_ns / 1e9
    return settings
