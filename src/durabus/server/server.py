"""One server: configuration, broker, streaming, one store and monitoring, put together.

The order of the start is the original's (docs/protocol.md §14.2): the port opens, the store is recovered, requests are
taken, and only then `Streaming Server is ready` is logged.
"""

import asyncio
import gc
import sys
from typing import Final

from durabus import logs
from durabus.broker.broker import Broker
from durabus.clock import Clock
from durabus.config.limits import ChannelLimitRules, ResolvedLimits
from durabus.config.options import Options
from durabus.errors import StartError
from durabus.monitoring.port import MonitoringPort
from durabus.server.duplicate_probe import refuse_duplicate
from durabus.server.monitoring_source import MonitoringSource, make_port
from durabus.server.network import make_network
from durabus.stores.names import make_store
from durabus.streaming.log_port import Log
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.service import StreamingService, new_instance

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
        if options.streaming.partitioning:
            raise StartError("partitioning is not available yet: start one server for all channels")
        self.options = options
        self.server_id = new_instance()
        self._log = output.streaming
        self._broker_log = output.broker
        self._clock = clock
        self._store = make_store(options.streaming.store)
        self._network = make_network(options, self.server_id, output, clock, self._on_network_change)
        self._service = StreamingService(
            core_options(options, self.server_id),
            self._network.bus,
            self._store,
            _StreamingLog(output.streaming),
            clock,
            self._network.flush,
        )
        self._source = MonitoringSource(options, self.server_id, clock, self._service, self._network.broker)
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
        return self._network.port

    @property
    def broker(self) -> Broker | None:
        """The broker, unless the network is another server's."""
        return self._network.broker

    @property
    def monitoring_port(self) -> int:
        """The port of monitoring; 0 when there is none."""
        return self._monitoring.port if self._monitoring is not None else 0

    async def start(self) -> None:
        """Open the ports, recover, serve. Raises StartError; what was opened is closed again by `stop`."""
        options = self.options
        log = self._log
        log.info(*logs.starting_lines(options.streaming.cluster_id, self.server_id))
        self._monitoring = make_port(options, self._source, log.error)
        if self._monitoring is not None:
            self._monitoring.open()
            self._source.set_port(self._monitoring.port)
        await self._network.start(self._service.begin, self._service.end_turn)
        log.info(logs.RECOVERING_LINE)
        await self._service.recover()
        log.info(logs.recovery_line(len(self._service.core.state.channels)))
        log.info(*logs.store_lines(self._store.name, options.limits))
        log.warning(logs.acknowledgement_line(self._store.name))
        if self.options.external.url:
            await self._refuse_duplicate()
        self._service.listen()
        await self._network.sync()
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

    async def _refuse_duplicate(self) -> None:
        """Two servers of one cluster on one network would each store a part: raises StartError for the second."""
        inbox = b"_INBOX." + self.server_id.encode()
        await refuse_duplicate(self._network.bus, self.options.streaming.cluster_id, inbox, self._network.flush)

    def _on_network_change(self, is_connected: bool) -> None:
        """The external network was lost, or is there again: then whatever became due goes out."""
        if is_connected:
            self._service.core.reopen()

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
        await self._network.drain()
        await self._service.stop()
        await self._network.stop()
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
            self._network.bus.unsubscribe(subject)


def core_options(options: Options, instance: str) -> CoreOptions:
    """The core's options out of the server's."""
    streaming = options.streaming
    limits = options.limits
    core = CoreOptions(streaming.cluster_id, instance)
    core.channels_max = limits.max_channels
    rules = ChannelLimitRules(limits)
    core.channel_limits = channel_limits(rules.common)
    core.channel_rules = [
        (pattern.encode("utf-8", "surrogateescape"), channel_limits(resolved)) for pattern, resolved in rules.rules
    ]
    core.discover_prefix = streaming.discover_prefix.encode()
    core.heartbeat_interval_ns = streaming.heartbeat_interval_ns
    core.heartbeat_timeout_ns = streaming.heartbeat_timeout_ns
    core.heartbeat_failures_max = streaming.heartbeat_fail_count
    core.presence_grace_ns = streaming.presence_grace_ns
    core.replace_durable = streaming.replace_durable
    core.batch_messages_max = streaming.io_batch_size
    return core


def channel_limits(limits: ResolvedLimits) -> ChannelLimits:
    """The core's limits of a channel out of the resolved ones."""
    return ChannelLimits(
        limits.max_messages,
        limits.max_bytes,
        limits.max_age_ns,
        limits.max_subscriptions,
        limits.max_inactivity_ns,
    )
