"""The streaming core as one object: told what happened and at what time, it decides, and releases what is safe.

begin(now)  ->  requests, through the receivers  ->  end_turn()
the store:  on_durable / on_failed / on_page / on_seek
time:       next_deadline_ns(), then advance(now)
"""

from durabus.broker.bus import Bus, Receiver
from durabus.streaming.clients import Client
from durabus.streaming.delivery import Delivery
from durabus.streaming.effects import Acks, Effect
from durabus.streaming.handle_close import CloseHandler
from durabus.streaming.handle_connect import ConnectHandler
from durabus.streaming.handle_ping import PingHandler
from durabus.streaming.handle_publish import PublishHandler
from durabus.streaming.handle_subscribe import SubscribeHandler
from durabus.streaming.handle_unsubscribe import UnsubscribeHandler
from durabus.streaming.heartbeats import AnswerTaker, Heartbeats
from durabus.streaming.leaving import Leaving
from durabus.streaming.log_port import Log
from durabus.streaming.options import CoreOptions
from durabus.streaming.records import SERVER_KEY, encode_server
from durabus.streaming.recovered_pending import RecoveredPending
from durabus.streaming.recovery import Recovery
from durabus.streaming.retention import Retention
from durabus.streaming.state import BatchCloser, Pending, State
from durabus.streaming.store_port import (
    FATAL,
    KIND_CHANNEL,
    KIND_SERVER,
    KIND_SUBSCRIPTION,
    Batch,
    Recovered,
    Store,
    StoreListener,
)
from durabus.streaming.timers import Timed

__all__ = ["Core"]


class _ProbeAnswers(AnswerTaker):
    """Answers to questions that connecting clients caused."""

    def __init__(self, connect: ConnectHandler) -> None:
        self._connect = connect

    def on_answer(self, token: int) -> bool:
        return self._connect.on_answer(token)

    def on_nobody(self, token: int) -> None:
        self._connect.on_nobody(token)

    def on_gone(self, client: Client) -> None:
        self._connect.on_gone(client)


class _FullBatches(BatchCloser):
    """The core as the closer of full batches: a native class has one base only."""

    def __init__(self, core: "Core") -> None:
        self._core = core

    def close_full_batch(self) -> None:
        self._core.close_full_batch()


class _CursorTime(Timed):
    """The moment when the store is told where everybody stands."""

    def __init__(self, core: "Core") -> None:
        super().__init__()
        self._core = core

    def on_time(self, now_ns: int) -> None:
        self._core.save_cursors()


class Core(StoreListener):
    """Owner of the state and of everything that acts on it."""

    def __init__(self, options: CoreOptions, bus: Bus, store: Store, log: Log) -> None:
        """Put the parts together. Nothing happens before `restore`."""
        state = State(options, bus, store, log)
        self.state = state
        self.delivery = Delivery(state)
        self.heartbeats = Heartbeats(state, self.delivery)
        self.recovered_pending = RecoveredPending(state, self.delivery)
        self.leaving = Leaving(state, self.delivery, self.heartbeats)
        self.retention = Retention(state, self.delivery)
        self.connect = ConnectHandler(state, self.heartbeats, self.leaving)
        self.subscribe = SubscribeHandler(state, self.delivery, self.leaving, self.heartbeats)
        self.publish = PublishHandler(state)
        subjects = state.subjects
        self._handlers: list[tuple[bytes, Receiver]] = [
            (subjects.discover, self.connect),
            (subjects.pings, PingHandler(state, self.heartbeats)),
            *state.partition.receivers(subjects.publish_prefix, self.publish),
            (subjects.subscribe, self.subscribe),
            (subjects.unsubscribe, UnsubscribeHandler(state, self.leaving, True)),
            (subjects.subscription_close, UnsubscribeHandler(state, self.leaving, False)),
            (subjects.close, CloseHandler(state, self.leaving)),
        ]
        self.is_fatal = False
        self.must_recover = False
        self._is_identified = False  # the store's record says that it is ours
        self._knew_all_acks = False
        self._is_serving = False
        self._is_finished = False
        self._cursor_time = _CursorTime(self)
        state.channel_owner = self.retention
        state.batch_closer = _FullBatches(self)
        self.heartbeats.closer = self.leaving
        self.heartbeats.taker = _ProbeAnswers(self.connect)

    def restore(self, recovered: Recovered, epoch: int) -> None:
        """Begin with what the store remembers, as the writer of `epoch`; raises StartError."""
        state = self.state
        state.epoch = epoch
        state.batch.epoch = epoch
        state.store.bind(self)
        self.publish.message_bytes_max = state.store.message_bytes_max  # known when the store is open, not before
        self.heartbeats.listen()
        recovery = Recovery(state, self.delivery, self.recovered_pending, self.heartbeats, self.retention)
        recovery.restore(recovered)
        self._is_identified = recovery.is_identified
        self._knew_all_acks = recovery.knows_all_acks
        self.end_turn()

    def listen(self) -> None:
        """Take requests from now on."""
        self._is_serving = True
        if self._knew_all_acks:
            # From now on acknowledgements come that the store does not know of for a while.
            self.state.batch.state.append((KIND_SERVER, SERVER_KEY, self._server_record()))
        for subject, handler in self._handlers:
            self.state.bus.subscribe(subject, handler)

    # Time.

    def begin(self, now_ns: int, wall_ns: int) -> None:
        """A turn begins: it is `now_ns` (monotonic) and `wall_ns` (since 1970)."""
        self.state.begin(now_ns, wall_ns)

    def advance(self, now_ns: int, wall_ns: int) -> None:
        """Time has passed: do what is due, as a turn of its own."""
        self.state.begin(now_ns, wall_ns)
        self.state.timers.fire(now_ns)
        self.end_turn()

    def look_again(self) -> None:
        """Go on with clients to which too much was on its way: for a shell whose clock stands still. Within a turn."""
        self.delivery.look_again(self.state.now_ns)

    def reopen(self) -> None:
        """The bus is open again: whatever became due meanwhile goes out now."""
        for channel in self.state.channels.values():
            for cohort in channel.cohorts:
                for member in list(cohort.members):
                    if member.is_reachable():
                        self.delivery.come_back(member)

    def next_deadline_ns(self) -> int:
        """When `advance` has something to do, in monotonic nanoseconds; 0 when it has not."""
        return self.state.timers.next_ns()

    # Batches.

    def end_turn(self) -> None:
        """Close the open batch, and send what can be sent. What that decides (floors, say) makes a batch of its own."""
        state = self.state
        while True:
            if state.woken:
                self.delivery.pump_woken()
            if len(state.in_flight) >= state.store.batches_in_flight_max or not self._close_batch():
                break
        if state.dirty and self._cursor_time.deadline_ns == 0:
            state.timers.set(self._cursor_time, state.now_ns + state.options.cursor_interval_ns)

    def close_full_batch(self) -> None:
        """The open batch is full: it need not wait for the end of the turn."""
        if len(self.state.in_flight) < self.state.store.batches_in_flight_max:
            self._close_batch()

    def _close_batch(self) -> bool:
        """Submit the open batch; False when nothing was decided."""
        state = self.state
        batch = state.batch
        if state.failure:
            # Nothing is remembered until the store was recovered, so nothing may be promised either.
            for effect in state.effects:
                effect.refuse(state.bus, state.failure)
            state.effects = []
            state.batch_bytes = 0
            return False
        for channel in state.open_channels:
            run = channel.run
            channel.run = None
            if run is not None and not channel.is_deleted:
                batch.runs.append(run)
                self.retention.after_batch(channel)
        effects = state.effects
        if batch.is_empty() and not state.in_flight:
            # Nothing to remember and nothing to wait for: refusals, pings.
            state.effects = []
            state.batch_bytes = 0
            self._release_effects(effects)
            return bool(effects)
        if batch.is_empty() and not effects:
            return False
        if batch.state:
            self._keep_numbers(batch)
        pending = Pending(batch, effects, state.open_channels)
        pending.bytes = state.batch_bytes
        state.in_flight_bytes += state.batch_bytes
        state.batch_bytes = 0
        state.in_flight.append(pending)
        state.batch = Batch(batch.number + 1, state.epoch)
        state.effects = []
        state.open_channels = []
        state.batch_messages = 0
        state.store.submit(batch)
        return True

    def _keep_numbers(self, batch: Batch) -> None:
        """When the highest number is given up, remember that it was given: none is ever given twice."""
        state = self.state
        for kind, key, value in batch.state:
            if value is not None:
                continue
            if (kind == KIND_CHANNEL and key == b"%d" % state.channel_id_last) or (
                kind == KIND_SUBSCRIPTION and key == b"%d" % state.subscription_id_last
            ):
                batch.state.append((KIND_SERVER, SERVER_KEY, self._server_record()))
                return

    def _server_record(self) -> bytes:
        state = self.state
        knows_all_acks = self._is_finished and state.options.acks_wait_for_us
        return encode_server(
            state.options.cluster_id, state.channel_id_last, state.subscription_id_last, knows_all_acks
        )

    def confirm(self, effect: Effect) -> None:
        """Write again what the store knows of this server; `effect` is released if the store takes it."""
        self.state.batch.state.append((KIND_SERVER, SERVER_KEY, self._server_record()))
        self.state.effects.append(effect)

    def on_durable(self, number: int) -> None:
        """A batch is safe: release what rests on it. The shell ends the turn after a call from outside of one."""
        in_flight = self.state.in_flight
        if in_flight and in_flight[0].batch.number == number:
            self._release(in_flight[0])

    def _release(self, pending: Pending) -> None:
        state = self.state
        state.in_flight.popleft()
        state.in_flight_bytes -= pending.bytes
        for channel, last in zip(pending.channels, pending.lasts, strict=True):
            channel.durable_last = last
            if channel.cohorts:
                state.wake_channel(channel)
            if channel.limits.bytes_max and channel.stored_bytes > channel.limits.bytes_max:
                self.retention.after_durable(channel)
        self._release_effects(pending.effects)

    def _release_effects(self, effects: list[Effect]) -> None:
        state = self.state
        for effect in effects:
            if state.woken and isinstance(effect, Acks):
                # Subscribers see a message before its publisher sees the acknowledgement: docs/protocol.md §6.3.
                self.delivery.pump_woken()
            effect.release(state.bus)

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """A batch failed: nothing of it or after it was released, and all of it is answered with `text`."""
        state = self.state
        state.failure = text or "the store failed"
        self.is_fatal = self.is_fatal or outcome == FATAL
        self.must_recover = True
        state.batch = Batch(number, state.epoch)
        state.open_channels = []
        refused = list(state.in_flight)
        state.in_flight.clear()
        state.in_flight_bytes = state.batch_bytes = 0
        for pending in refused:
            for effect in pending.effects:
                effect.refuse(state.bus, state.failure)
        for effect in state.effects:
            effect.refuse(state.bus, state.failure)
        state.effects = []
        self.connect.refuse_waiting(state.failure)
        if state.newcomers is not None:
            state.newcomers.close()
        state.log.error(f"batch {number} could not be stored, recovering: {state.failure}")

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """Messages that were asked for have come."""
        if not self.delivery.on_page(request, bodies):
            self.recovered_pending.on_page(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        """A position that was asked for has come."""
        if not self.subscribe.on_seek(request, sequence):
            self.retention.on_seek(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        """A size that was asked for has come."""
        self.retention.on_measured(request, end, size_bytes)

    def save_cursors(self) -> None:
        """Put the positions that changed into the open batch."""
        state = self.state
        dirty = state.dirty
        state.dirty = []
        for cohort in dirty:
            cohort.is_dirty = False
            if (cohort.members or cohort.shadow is not None) and cohort.channel_id in state.channels_by_id:
                state.batch.cursors.extend(cohort.cursors())

    def detach(self) -> None:
        """Let go of the bus: another core takes over what the store remembers."""
        state = self.state
        for subject, _ in self._handlers:
            state.bus.unsubscribe(subject)
        self.heartbeats.stop_listening()
        for client in state.clients.by_id.values():
            self.heartbeats.end(client)
        for channel in state.channels.values():
            for cohort in channel.cohorts:
                for member in cohort.members:
                    self.delivery.deactivate(member)

    def finish(self) -> None:
        """The last turn: everything decided goes to the store, positions too."""
        self.save_cursors()
        self._is_finished = True
        if self._is_serving and self._is_identified and not self.state.failure:
            self.state.batch.state.append((KIND_SERVER, SERVER_KEY, self._server_record()))
        self.end_turn()
