"""The bus as a program sees it: publish, subscribe, drain, close. What keeps it connected is the `Keeper`."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from functools import partial

from durabus.client.errors import (
    ClientError,
    ClosedError,
    RequestTimeoutError,
    SubscriptionRefusedError,
    UsageError,
)
from durabus.client.events import BusEvent, Connected, Disconnected, Stopped, StoreReset
from durabus.client.intake import Intake
from durabus.client.keeper import Keeper
from durabus.client.link import Link, LinkLostError, NoRespondersError
from durabus.client.options import BusOptions, StartPosition, SubscriptionOptions, channel_bytes
from durabus.client.outbox import Events, Outbox
from durabus.client.publications import Publication
from durabus.client.session import Session
from durabus.client.subscriber import Handler, Subscriber
from durabus.client.subscription import Subscription
from durabus.clock import Clock, SystemClock

__all__ = ["Bus"]

_log = logging.getLogger("durabus.client")


class Bus:
    """A connected bus, made by `durabus.connect`. All of it belongs to one event loop; threads use `durabus.sync`."""

    def __init__(self, options: BusOptions, clock: Clock | None = None) -> None:
        """Not connected yet: `start` connects."""
        options.check()
        self.options = options
        self._clock = clock or SystemClock()
        self._outbox = Outbox(options, self._clock, self._check_session)
        self._keeper = Keeper(options, self)
        self._session: Session | None = None
        self._session_waiters: list[asyncio.Future[None]] = []
        self._had_session = False
        self._is_closing = False
        self._ending: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._subscribers: list[Subscriber] = []
        self._dirty: list[Intake] = []  # that have acknowledgements to send
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    # The life of a bus.

    async def start(self) -> None:
        """Connect; raises ConnectError, ClientIdInUseError, NotAuthorizedError."""
        await self._keeper.start()

    @property
    def client_id(self) -> str:
        """The client ID: that of `connect`, or the one that was made up."""
        return self.options.client_id

    @property
    def is_connected(self) -> bool:
        """Whether there is a session now. Without one, publishes wait for the next."""
        return self._session is not None

    @property
    def is_closed(self) -> bool:
        """Whether it is over: closed, or stopped because another instance took its place."""
        return self._closed.is_set()

    async def wait_connected(self) -> None:
        """Wait until there is a session; raises ClosedError, ReplacedError."""
        await self._next_session(None)

    async def wait_closed(self) -> None:
        """Wait until the bus is over; raises ReplacedError when another instance took its place."""
        await self._closed.wait()
        error = self._outbox.error
        if error is not None and not isinstance(error, ClosedError):
            raise type(error)(error.what)

    async def drain(self, timeout_s: float = 30.0) -> None:
        """Come to an end in order: take no more, finish what came, acknowledge it, wait for publishes, and close.

        After `timeout_s` it is closed as it is. Nothing is raised: what could not be published is an error of that
        publish, and what was not acknowledged is delivered again.
        """
        await self._end(timeout_s)

    async def close(self) -> None:
        """Come to an end now: handlers are cancelled, and publishes that wait get an error that says what is known."""
        await self._end(0)

    async def _end(self, drain_s: float) -> None:
        """Wait for the end, and begin it if nobody has. Who gives up waiting does not stop it."""
        if self._ending is None:
            self._is_closing = True
            self._ending = self._loop.create_task(self._work_to_end(drain_s, asyncio.current_task()))
        await asyncio.shield(self._ending)

    async def _work_to_end(self, drain_s: float, caller: asyncio.Task[object] | None) -> None:
        """Finish what there is within `drain_s`, then close. `caller` may be at work on a message: it is not waited for."""
        if drain_s and not self.is_closed:
            try:
                async with asyncio.timeout(drain_s):
                    await self._finish_work(caller)
            except TimeoutError:
                _log.warning("%s: not everything was finished after %g s", self.client_id, drain_s)
            except ClientError as error:
                _log.warning("%s: closing while disconnected: %s", self.client_id, error)
        for subscriber in self._subscribers:
            await subscriber.stop_working(caller)
        await self._keeper.stop()
        session, self._session = self._session, None
        if session is not None:
            self._say_acks(session.link)
            # An answer is not needed: the server sees the end of the connection, too.
            with contextlib.suppress(ClientError):
                await session.close()
        if not self.is_closed:
            self._finish(ClosedError("the bus is closed"), "the bus was closed before the acknowledgement came")
        if session is not None:
            await session.link.close()
        self._closed.set()

    async def _finish_work(self, caller: asyncio.Task[object] | None) -> None:
        subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber.begin_drain()
        for subscriber in subscribers:
            await subscriber.wait_handled(caller)
        await self._outbox.wait_settled()
        if self._session is not None:
            await self._session.link.sync(self.options.request_timeout_s)

    def _finish(self, error: ClientError, reason: str) -> None:
        """Nothing will come any more."""
        self._session = None
        self._outbox.end(error, reason)
        for subscriber in self._subscribers:
            subscriber.detach()
            subscriber.end(None if isinstance(error, ClosedError) else error)
        self._wake_session_waiters()

    def drain_on_signals(self, *signals: signal.Signals, timeout_s: float = 30.0) -> None:
        """From now on SIGTERM and SIGINT (or `signals`) drain the bus, once; `wait_closed` returns when that is done.

        To be called in the main thread. A second signal acts as if this had not been called.
        """
        numbers = signals or (signal.SIGTERM, signal.SIGINT)

        def drain() -> None:
            for number in numbers:
                self._loop.remove_signal_handler(number)
            _log.info("%s: draining because of a signal", self.client_id)
            self._spawn(self.drain(timeout_s))

        for number in numbers:
            self._loop.add_signal_handler(number, drain)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Publishing.

    async def publish(self, channel: str, data: bytes | str) -> Publication:
        """Publish an event, and wait until the server has stored it; text is sent as UTF-8.

        Waits for room in the window first. While there is no session it is kept for the next one, where it is also sent
        again when its acknowledgement was lost with the connection.

        Raises PublishRefusedError, PublishNotSentError (not stored, both), PublishUnknownError (perhaps stored),
        UsageError, ClosedError, ReplacedError.
        """
        return await self._outbox.publish(channel, data)

    def publish_nowait(self, channel: str, data: bytes | str) -> Publication:
        """Begin to publish an event; what becomes of it is in what is returned, and its error in the next `flush`.

        Raises WindowFullError, UsageError, ClosedError, ReplacedError.
        """
        return self._outbox.publish_nowait(channel, data)

    async def publish_all(self, events: Events) -> int:
        """Publish events, pairs of channel and data, as fast as the window allows; how many they were.

        Returns when all are stored. Raises FlushError, with the errors of those that are not, when the last is answered;
        and at once what `publish_nowait` raises.
        """
        return await self._outbox.publish_all(events)

    async def wait_room(self, data_bytes: int = 0) -> None:
        """Wait until `publish_nowait` has room for an event of this size; raises ClosedError, ReplacedError."""
        await self._outbox.wait_room(data_bytes)

    async def flush(self) -> None:
        """Wait until everything that was published before is answered, or has failed.

        Raises FlushError with the errors of what `publish_nowait` began since the last flush.
        """
        await self._outbox.flush()

    # Subscribing.

    async def subscribe(
        self,
        channel: str,
        handler: Handler | None = None,
        *,
        queue_group: str = "",
        durable_name: str = "",
        ack_wait_s: int = 30,
        max_in_flight: int = 1024,
        start: StartPosition | None = None,
        manual_ack: bool = False,
        concurrency: int = 1,
    ) -> Subscription:
        """Listen to a channel: with a `handler` that is called for each message, or by looping over what is returned.

        `queue_group`: each message goes to one member of the group. `durable_name`: the server keeps the position, under
        this name and the client ID (for a group: under this name and the group's). `start`: where a new subscription
        begins, `StartPosition.new_only()` by default. The server sends at most `max_in_flight` messages that are not
        acknowledged, and sends one again that was not acknowledged within `ack_wait_s` seconds.

        A message is acknowledged when the handler returns, or the loop asks for the next one; with `manual_ack` by
        `message.ack()` alone. When a handler fails, that is logged, and the message is left for redelivery. Up to
        `concurrency` calls of the handler are at work at a time.

        Raises SubscriptionRefusedError, DurableInUseError, RequestTimeoutError, UsageError, ClosedError, ReplacedError.
        """
        position = StartPosition.new_only() if start is None else start
        options = SubscriptionOptions(queue_group, durable_name, ack_wait_s, max_in_flight, position, manual_ack)
        options.check()
        channel_bytes(channel)
        if handler is not None and not callable(handler):
            raise UsageError(f"the handler is a function of a message, not {handler!r}")
        if concurrency < 1:
            raise UsageError(f"concurrency is a number from 1 up, not {concurrency}")
        if durable_name and not queue_group and not self.options.has_own_client_id:
            raise UsageError("a durable is known by its client ID too: give connect() a client_id of your own")
        if self._is_closing and not self.is_closed:
            raise ClosedError("the bus is closing")
        subscriber = Subscriber(channel, options, self._clock, self._on_acks, self._on_reset)
        try:
            async with asyncio.timeout(2 * self.options.request_timeout_s):
                await self._attach(subscriber)
        except TimeoutError:
            raise RequestTimeoutError(f"no session to subscribe to {channel!r} in") from None
        if handler is not None:
            subscriber.work(handler, concurrency)
        return Subscription(subscriber, self._leave)

    async def _attach(self, subscriber: Subscriber) -> None:
        """Ask for a new subscription; once more in the next session when this one is lost meanwhile."""
        session: Session | None = None
        while True:
            session = await self._next_session(session)
            try:
                await subscriber.attach(session, subscriber.options.start)
            except LinkLostError:
                continue
            except NoRespondersError:
                self._keeper.check_soon()
                continue
            if session is self._session:
                self._subscribers.append(subscriber)
                return
            subscriber.detach()

    async def _next_session(self, before: Session | None) -> Session:
        """The session that there is, or the next one, but not `before`."""
        while True:
            if self._outbox.error is not None:
                raise type(self._outbox.error)(self._outbox.error.what)
            if self._session is not None and self._session is not before:
                return self._session
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._session_waiters.append(waiter)
            await waiter

    def _wake_session_waiters(self) -> None:
        waiters, self._session_waiters = self._session_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _leave(self, subscriber: Subscriber, removes: bool) -> None:
        """Close a subscription, or unsubscribe."""
        if subscriber.is_over:
            return
        await subscriber.stop_working(asyncio.current_task())
        subscriber.end()
        subscriber.begin_drain()
        subscriber.intake.drop_waiting()
        if subscriber.session is not None:
            self._say_acks(subscriber.session.link)
        try:
            if removes:
                await self._remove(subscriber)
            else:
                with contextlib.suppress(LinkLostError, NoRespondersError):
                    await subscriber.leave(removes=False)
        finally:
            subscriber.detach()
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

    async def _remove(self, subscriber: Subscriber) -> None:
        """Unsubscribe; when the session is lost meanwhile, in the next one, where the subscription was begun again."""
        session: Session | None = None
        try:
            async with asyncio.timeout(2 * self.options.request_timeout_s):
                while True:
                    session = await self._next_session(session)
                    with contextlib.suppress(LinkLostError, NoRespondersError):
                        await subscriber.leave(removes=True)
                        return
        except TimeoutError:
            raise RequestTimeoutError(f"no session to unsubscribe from {subscriber.channel!r} in") from None

    def _on_acks(self, intake: Intake) -> None:
        self._dirty.append(intake)
        if self._session is not None:
            self._session.link.flush_soon()

    def _say_acks(self, link: Link) -> None:
        """What is said at the end of a turn: the acknowledgements of all subscriptions."""
        dirty, self._dirty = self._dirty, []
        for intake in dirty:
            intake.take_acks(link.out)

    def _on_reset(self, channel: str, last_sequence: int) -> None:
        self._tell(StoreReset(channel, last_sequence))

    # Sessions, as the keeper makes them.

    async def open_session(self, session: Session, was_known: bool) -> None:
        """Put everything that this bus has into a new session; raises ClientError when another one is needed."""
        link = session.link
        link.subscribe(session.ack_prefix + b".*", self._outbox.on_run)
        link.on_flush = partial(self._say_acks, link)
        attempts = [self._attach_again(subscriber, session, was_known) for subscriber in self._subscribers]
        errors = [error for error in await asyncio.gather(*attempts, return_exceptions=True) if error is not None]
        if not errors and link.lost.done():
            errors.append(LinkLostError(link.reason))
        if errors:
            for subscriber in self._subscribers:
                subscriber.detach()
            raise errors[0]
        self._session = session
        self._outbox.open_session(session)
        self._tell(Connected(str(link.server), self._had_session, was_known))
        self._had_session = True
        self._wake_session_waiters()

    async def _attach_again(self, subscriber: Subscriber, session: Session, was_known: bool) -> None:
        try:
            await subscriber.attach_again(session, was_known)
        except SubscriptionRefusedError as error:
            _log.error("%s: a subscription has ended: %s", self.client_id, error)
            self._subscribers.remove(subscriber)
            subscriber.end(error)

    def close_session(self, reason: str) -> None:
        """The session is lost."""
        self._session = None
        self._outbox.close_session()
        for subscriber in self._subscribers:
            subscriber.detach()
        self._tell(Disconnected(reason))

    def stop(self, error: ClientError) -> None:
        """There will be no more sessions."""
        self._is_closing = True
        self._finish(error, error.what)
        self._tell(Stopped(error))
        self._closed.set()

    def _check_session(self, then: Callable[[], None]) -> None:
        """Ask whether the session stands, and go on if it does."""
        checked = self._keeper.check_soon()
        checked.add_done_callback(lambda _: None if checked.cancelled() else then())

    def _tell(self, event: BusEvent) -> None:
        level = logging.INFO if isinstance(event, Connected) else logging.WARNING
        _log.log(level, "%s: %s", self.client_id, event)
        if self.options.on_event is not None:
            try:
                self.options.on_event(event)
            except Exception:  # noqa: BLE001 - it is the program's
                _log.exception("%s: on_event failed", self.client_id)
