"""One server: configuration, broker, streaming, one store and monitoring, put together.

The order of the start is the original's (docs/protocol.md §14.2): the port opens, the store is recovered, requests are
taken, and only then `Streaming Server is ready` is logged.
"""

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Final

from durabus import logs
from durabus.broker.broker import Broker
from durabus.clock import Clock
from durabus.config.limits import ChannelLimitRules, ResolvedLimits
from durabus.config.options import Options
from durabus.config.store_table import effect_notes
from durabus.errors import StartError, StoreError
from durabus.monitoring.port import MonitoringPort
from durabus.server.duplicate_probe import refuse_duplicate
from durabus.server.ft_group import HEARTBEAT_NS, PATIENCE_NS, FTGroup
from durabus.server.monitoring_source import MonitoringSource, make_port
from durabus.server.network import make_network
from durabus.server.partition_check import PartitionCheck
from durabus.server.partition_guard import PartitionGuard
from durabus.server.standby import Standby, about
from durabus.stores.encryption_samples import find_encrypted
from durabus.stores.names import make_store
from durabus.streaming.log_port import Log
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.service import StreamingService, new_instance
from durabus.streaming.store_port import Lease, Store
from durabus.wire.subjects import is_literal_subject, is_subject

__all__ = ["Server"]

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread may keep the interpreter from another: a store's writer thread must not wait 5 ms for its turn."""


class _StreamingLog(Log):
    """The core's log lines in the server's log."""

    def __init__(self, log: logs.Log) -> None:
        super().__init__(log.debug_enabled, log.trace_enabled)
        self._log = log

    def trace(self, text: str) -> None:
        self._log.trace(text)

    def debug(self, text: str) -> None:
        self._log.debug(text)

    def info(self, text: str) -> None:
        self._log.info(text)

    def warning(self, text: str) -> None:
        self._log.warning(text)

    def error(self, text: str) -> None:
        self._log.error(text)


class Server:
    """Everything of one server. `start`, then wait for `wait_failed`, then `stop`."""

    def __init__(
        self,
        options: Options,
        output: logs.LogOutput,
        clock: Clock,
        store: Store | None = None,
        *,
        owns_process: bool = True,
    ) -> None:
        """Put the parts together; nothing is opened yet. `store` takes the place of the one that the options name.

        `owns_process`: the interpreter is there for this server, whose start tunes its collector and its threads.
        """
        self.options = options
        self._owns_process = owns_process
        self.server_id = new_instance()
        self._log = output.streaming
        self._broker_log = output.broker
        self._clock = clock
        self._store = store if store is not None else make_store(options, output.streaming.error, output.streaming.info)
        self._network = make_network(
            options, self.server_id, output, clock, self._on_network_change, self._on_new_servers
        )
        self._service = StreamingService(
            core_options(options, self.server_id),
            self._network.bus,
            self._store,
            _StreamingLog(output.streaming),
            clock,
            self._network.flush,
            self._network.hold_back,
        )
        if not options.encryption.is_on:
            self._service.inspect = find_encrypted
        self._source = MonitoringSource(options, self.server_id, clock, self._service, self._network.broker)
        self._monitoring: MonitoringPort | None = None
        self._monitoring_task: asyncio.Task[None] | None = None
        self._freezing: asyncio.Task[None] | None = None
        self._guard = self._make_guard()
        self._standby = self._make_standby()
        self._failed: asyncio.Future[str] | None = None  # done with a line for the log when the server cannot go on

    def _make_guard(self) -> PartitionGuard | None:
        """What watches over our channels, if only some are ours; raises StartError."""
        patterns = partition(self.options)
        for pattern in patterns:
            if not is_subject(pattern):
                name = pattern.decode("utf-8", "backslashreplace")
                raise StartError(f'could not subscribe to publish subject "{name}", nats: invalid subject')
        if not patterns:
            return None
        check = PartitionCheck(self.server_id.encode(), patterns)
        return PartitionGuard(check, self._network, self._clock, self._log, self._fail)

    def _make_standby(self) -> Standby | None:
        """Our part in a group of servers with one store, if there is one; raises StartError."""
        streaming = self.options.streaming
        if not streaming.ft_group:
            return None
        subject = f"_STAN.ft.{streaming.cluster_id}.{streaming.ft_group}".encode("utf-8", "surrogateescape")
        if not is_literal_subject(subject):
            raise StartError(f"ft: unable to subscribe on ft subject: '{streaming.ft_group}' makes no NATS subject")
        group = FTGroup(self.server_id.encode(), about(HEARTBEAT_NS), about(PATIENCE_NS))
        return Standby(group, subject, self.server_id, self._network, self._store, self._clock, self._log)

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

    async def start(self, on_listening: Callable[[], None] = lambda: None) -> None:
        """Open the ports, call `on_listening`, recover, serve; in a group: stand by, and do the rest when it is our turn.

        Raises StartError; what was opened is closed again by `stop`.
        """
        options = self.options
        log = self._log
        self._failed = asyncio.get_running_loop().create_future()
        log.info(*logs.starting_lines(options.streaming.cluster_id, self.server_id))
        self._monitoring = make_port(options, self._source, log.error)
        if self._monitoring is not None:
            self._monitoring.open()
            self._source.set_port(self._monitoring.port)
        await self._network.start(self._service.begin, self._service.end_turn)
        on_listening()
        if self._standby is None:
            try:
                await self._activate(None)
            except StoreError as error:
                raise StartError(str(error)) from None
            return
        self._source.state = "FT_STANDBY"
        self._serve_monitoring()
        self._standby.begin(self._activate, self._confirm, self._abort, self._on_failed_activation)

    async def _activate(self, lease: Lease | None) -> None:
        """Recover and serve, with the `lease` of a group's store; raises StartError and StoreError."""
        options = self.options
        log = self._log
        if self._guard is not None:
            await self._guard.start(options.streaming.cluster_id, b"_INBOX." + self.server_id.encode())
        log.info(logs.RECOVERING_LINE)
        is_known = await self._service.recover(lease)
        if self._service.failed is not None:
            self._service.failed.add_done_callback(self._on_store_failed)
        log.info(logs.recovery_line(len(self._service.core.state.channels) if is_known else None))
        directory = options.file.directory if self._store.name == "FILE" else ""
        log.info(*logs.store_lines(self._store.name, options.limits, directory))
        if options.encryption.is_on:
            log.info(logs.ENCRYPTION_LINE)
        for note in effect_notes(options):
            log.warning(note)
        say = log.warning if self._store.name == "MEMORY" else log.info
        say(logs.acknowledgement_line(self._store.name))
        if options.external.url and self._guard is None and lease is None:
            await self._refuse_duplicate()
        self._service.listen()
        await self._network.sync()
        self._serve_monitoring()
        if lease is not None:
            self._source.state = "FT_ACTIVE"
        self._source.is_serving = True
        log.info(logs.READY_LINE)
        if not self._owns_process:
            return
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._freeze()
        if self._monitoring_task is not None:
            self._freezing = asyncio.get_running_loop().create_task(self._freeze_with_monitoring())

    async def _confirm(self) -> bool:
        """Whether the group's store is still ours. While it is recovered, that will show by itself."""
        return not self._source.is_serving or await self._service.confirm()

    def _serve_monitoring(self) -> None:
        """Answer on the monitoring port from now on, if there is one."""
        if self._monitoring is None or self._monitoring_task is not None:
            return
        options = self.options
        line = logs.monitor_line(options.monitoring.host or options.broker.host, self._monitoring.port)
        self._broker_log.info(line.replace("http", "https", 1) if options.monitoring.is_secure else line)
        self._monitoring_task = asyncio.get_running_loop().create_task(self._monitoring.serve())

    async def _refuse_duplicate(self) -> None:
        """Two servers of one cluster on one network would each store a part: raises StartError for the second."""
        inbox = b"_INBOX." + self.server_id.encode()
        discover = self._service.core.state.subjects.discover
        await refuse_duplicate(
            self._network.bus, self.options.streaming.cluster_id, discover, inbox, self._network.flush
        )

    def _on_network_change(self, is_connected: bool) -> None:
        """The external network was lost, or is there again: then whatever became due goes out."""
        if is_connected:
            self._service.core.reopen()
            self._on_new_servers()

    def _on_new_servers(self) -> None:
        """There may be others on the network that were not there before."""
        if self._guard is not None:
            self._guard.on_change()

    # The end.

    def _fail(self, line: str) -> None:
        """This server cannot go on; `line` is for the log."""
        if self._failed is not None and not self._failed.done() and self._source.state != "SHUTDOWN":
            self._source.state = "FAILED"
            self._failed.set_result(line)

    def _on_store_failed(self, failed: asyncio.Future[str]) -> None:
        self._fail(f"the store failed and cannot be trusted any more: {failed.result()}")

    def _on_failed_activation(self, error: Exception) -> None:
        self._fail(str(error) or type(error).__name__)

    def _abort(self, line: str) -> None:
        """Another server of the group is the active one: what we would write now could spoil the store."""
        self._fail(line)
        self._service.give_up(line)

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

    def on_reloaded(self, options: Options) -> None:
        """The broker goes on with `options`, read again."""
        self._source.take_over(options)

    async def wait_failed(self) -> str:
        """Wait until the server cannot go on; the reason, as a line for the log."""
        assert self._failed is not None, "start() comes before wait_failed()"
        return await self._failed

    async def stop(self) -> None:
        """Answer what is under way, store what is decided, close everything. Twice is once."""
        source = self._source
        if source.state == "SHUTDOWN":
            return
        if source.is_serving or source.state == "FT_STANDBY":
            self._log.info("Shutting down.")
            self._take_no_newcomers()
        source.is_serving = False
        source.state = "SHUTDOWN"
        if self._standby is not None:
            await self._standby.stop()
        if self._guard is not None:
            self._guard.stop()
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
    core.partition = partition(options)
    core.batch_messages_max = streaming.io_batch_size
    # Who is connected to another server goes on acknowledging while this one is away, and nobody hears it.
    core.acks_wait_for_us = not (options.external.url or streaming.ft_group)
    return core


def partition(options: Options) -> list[bytes]:
    """The names and patterns of the channels that are this server's; none when all are."""
    if not options.streaming.partitioning:
        return []
    return [override.name.encode("utf-8", "surrogateescape") for override in options.limits.per_channel]


def channel_limits(limits: ResolvedLimits) -> ChannelLimits:
    """The core's limits of a channel out of the resolved ones."""
    return ChannelLimits(
        limits.max_messages,
        limits.max_bytes,
        limits.max_age_ns,
        limits.max_subscriptions,
        limits.max_inactivity_ns,
    )
