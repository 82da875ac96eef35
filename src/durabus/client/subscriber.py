"""One subscription over all of its sessions: asks for it, and again; gives its messages to whoever takes them.

What the program sees of it is `Subscription`. What comes again and is known already is sorted out by the `Intake`; where a new session
has to begin is decided here.
"""

import asyncio
import contextlib
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from durabus.client.errors import ClientError, SubscriptionRefusedError
from durabus.client.intake import Intake, Message
from durabus.client.options import StartPosition, SubscriptionOptions
from durabus.client.session import Session
from durabus.clock import Clock
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import (
    START_LAST_RECEIVED,
    START_NEW_ONLY,
    START_SEQUENCE,
    START_TIME_DELTA,
    SubscriptionRequest,
)

__all__ = ["Handler", "Loop", "Subscriber", "is_cancelled_from_outside", "start_again"]

Handler = Callable[[Message], Awaitable[None] | None]
"""What a program does with a message; a coroutine function, or a plain one."""

_PROBE_S: Final = 1.0
_FROM_THEN_ON: Final = (START_NEW_ONLY, START_LAST_RECEIVED)  # when there was nothing yet
_MARGIN_NS: Final = 100_000_000
_HANDLED_IN_A_ROW: Final = 64
_log = logging.getLogger("durabus.client")


class Loop:
    """An `async for` over a subscription, as far as a drain has to wait for it."""

    def __init__(self) -> None:
        """Nobody has asked for a message yet."""
        self.task: asyncio.Task[object] | None = None  # that runs it

    def is_busy(self) -> bool:
        """Whether its program is at work on a message that it has not acknowledged."""
        raise NotImplementedError  # pragma: no cover - abstract


class Subscriber:
    """A subscription that is kept up."""

    def __init__(
        self,
        channel: str,
        options: SubscriptionOptions,
        clock: Clock,
        on_acks: Callable[[Intake], None],
        on_reset: Callable[[str, int], None],
    ) -> None:
        """Not attached to a session yet. `on_reset` is told a channel that begins anew, and its last sequence before."""
        is_alone = not options.queue_group
        self.channel = channel
        self.options = options
        self.intake = Intake(channel, is_alone, is_alone and not options.durable_name, on_acks)
        self.error: ClientError | None = None  # why it ended, if not because the program ended it
        self.is_over = False
        self.session: Session | None = None
        self.ack_inbox = b""
        self.loops: weakref.WeakSet[Loop] = weakref.WeakSet()
        self._name = channel.encode()
        self._clock = clock
        self._on_acks = on_acks
        self._on_reset = on_reset
        self._since_ns = clock.monotonic_ns()  # when it was asked for first
        self._sid = b""
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._workers: list[asyncio.Task[None]] = []
        self._idle: asyncio.Event | None = None  # set when a loop may have become idle, while somebody wants to know

    # Sessions.

    async def attach(self, session: Session, start: StartPosition) -> None:
        """Ask for the subscription; raises SubscriptionRefusedError, RequestTimeoutError, LinkLostError."""
        link = session.link
        request = SubscriptionRequest()
        request.subject = self._name
        request.queue_group = self.options.queue_group.encode()
        request.durable_name = self.options.durable_name.encode()
        request.inbox = session.new_inbox()
        request.max_in_flight = self.options.max_in_flight
        request.ack_wait_s = int(self.options.ack_wait_s)
        request.start_position = start.kind
        request.start_sequence = start.sequence
        request.start_time_delta_ns = start.delta_ns(self._clock.wall_ns())
        sid = link.subscribe(request.inbox, self._on_run)
        try:
            ack_inbox = await session.subscribe(request)
        except BaseException:
            link.unsubscribe(sid)
            raise
        self._sid = sid
        self.session = session
        self.ack_inbox = ack_inbox
        self.intake.send_acks_to(ack_inbox)
        if self.intake.acks:
            self._on_acks(self.intake)

    async def attach_again(self, session: Session, was_known: bool) -> None:
        """Ask for it in a new session, so that nothing is missing; raises what `attach` raises."""
        if not self.intake.last_sequence:
            if self.options.durable_name and not was_known and self.options.start.kind in _FROM_THEN_ON:
                # Either the durable is there, and this does not count; or the store is new, and all in it came since.
                await self.attach(session, StartPosition.all_available())
            else:
                await self._attach_since(session)
            return
        start = StartPosition(START_SEQUENCE, sequence=self.intake.resume_sequence)
        if not was_known:
            try:
                if await self._has_begun_anew(session):
                    self._report_anew()
                    start = StartPosition.all_available()
            except SubscriptionRefusedError:
                start = StartPosition.all_available()  # twice is better than never
            self.intake.distrust()
        await self.attach(session, start)

    async def _attach_since(self, session: Session) -> None:
        """Begin where the subscription began that nothing came from yet.

        For "new only" that is a time, which the server counts back from when it gets the request. Should that take
        longer than the margin, something may have been left out: then it is asked again.
        """
        margin_ns = _MARGIN_NS
        while True:
            sent_ns = self._clock.monotonic_ns()
            start = start_again(self.options.start, sent_ns - self._since_ns + margin_ns)
            await self.attach(session, start)
            taken_ns = self._clock.monotonic_ns() - sent_ns
            if start.kind != START_TIME_DELTA or taken_ns <= margin_ns:
                return
            margin_ns = 2 * taken_ns
            await self.leave(removes=False)
            self.intake.begin_anew()  # what came meanwhile comes once more, in its order
            self.intake.lost_sequence = 0

    def _report_anew(self) -> None:
        self.intake.begin_anew()
        self._on_reset(self.channel, self.intake.lost_sequence)
        self.intake.lost_sequence = 0

    async def _has_begun_anew(self, session: Session) -> bool:
        """Whether the channel is not the one of before: it is shorter, or what was its last message is another one."""
        before = self.intake
        found = await self._probe(session, StartPosition.last_received())
        if found.last_sequence > before.last_sequence:
            # A new store that is ahead already, or the old one: the message under the number of then tells. When that is
            # gone, as the oldest of a channel may be, nobody can tell any more.
            found = await self._probe(session, StartPosition(START_SEQUENCE, sequence=int(before.last_sequence)))
            if found.last_sequence > before.last_sequence:
                return False
        is_same = found.last_sequence == before.last_sequence and found.last_timestamp_ns == before.last_timestamp_ns
        return not is_same

    async def _probe(self, session: Session, start: StartPosition) -> Intake:
        """The message of the channel at a position, in an intake of its own; an empty one when there is none."""
        probe = Intake(self.channel, is_alone=True, is_plain=True, on_acks=_ignore)
        came = asyncio.Event()

        def on_run(run: Publish) -> None:
            probe.take(run.payloads)
            came.set()

        request = SubscriptionRequest()
        request.subject = self._name
        request.inbox = session.new_inbox()
        request.max_in_flight = 1
        request.ack_wait_s = 30
        request.start_position = start.kind
        request.start_sequence = start.sequence
        sid = session.link.subscribe(request.inbox, on_run)
        ack_inbox = await session.subscribe(request)
        with contextlib.suppress(TimeoutError):  # it has none
            async with asyncio.timeout(_PROBE_S):
                await came.wait()
        session.link.unsubscribe(sid)
        with contextlib.suppress(SubscriptionRefusedError):
            await session.end_subscription(self._name, ack_inbox, b"", removes=False)
        return probe

    def detach(self) -> None:
        """The session is lost."""
        self.session = None
        self.ack_inbox = b""
        self.intake.send_acks_to(b"")

    async def leave(self, removes: bool) -> None:
        """Close or (`removes`) unsubscribe in the session that there is.

        Raises SubscriptionRefusedError, RequestTimeoutError, LinkLostError, NoRespondersError.
        """
        session, ack_inbox = self.session, self.ack_inbox
        if session is None:
            return
        self.detach()
        session.link.unsubscribe(self._sid)
        await session.end_subscription(self._name, ack_inbox, self.options.durable_name.encode(), removes)

    # Messages.

    def _on_run(self, run: Publish) -> None:
        count = self.intake.take(run.payloads)
        if self.intake.lost_sequence:
            self._on_reset(self.channel, self.intake.lost_sequence)
            self.intake.lost_sequence = 0
        while count > 0 and self._waiters:
            count -= 1
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)

    async def take(self) -> Message | None:
        """The next message; None when there will be no more. Raises why it ended, if that is an error."""
        waiting = self.intake.waiting
        while not waiting:
            if self.is_over or self.intake.is_draining:
                if self.error is not None:
                    raise self.error
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():  # woken, and then told to stop: pass it on
                    if self._waiters:
                        self._wake()
                else:
                    self._waiters.remove(waiter)
                raise
        return waiting.popleft()

    def put_back(self, message: Message) -> None:
        """Give a message that was taken once more, before all others."""
        if not self.is_over and message.put_back() and self._waiters:
            self._wake()

    def work(self, handler: Handler, concurrency: int) -> None:
        """Give messages to `handler`, up to `concurrency` at a time."""
        loop = asyncio.get_running_loop()
        self._workers = [loop.create_task(self._work(handler)) for _ in range(concurrency)]

    async def _work(self, handler: Handler) -> None:
        in_a_row = 0
        try:
            while (message := await self.take()) is not None:
                await self._handle(handler, message)
                in_a_row += 1
                if in_a_row % _HANDLED_IN_A_ROW == 0:
                    await asyncio.sleep(0)  # handlers that never wait must not keep everybody else waiting
        except ClientError:
            return  # said elsewhere: there are no more messages

    async def _handle(self, handler: Handler, message: Message) -> None:
        try:
            result = handler(message)
            if result is not None:
                await result
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            message.let_go()
            raise
        except BaseException as error:
            message.let_go()
            if isinstance(error, asyncio.CancelledError) and is_cancelled_from_outside():
                raise
            _log.exception("the handler failed for %s, message %d: left for redelivery", self.channel, message.sequence)
        else:
            if self.options.manual_ack:
                message.let_go()
            else:
                message.ack()

    # The end.

    def end(self, error: ClientError | None = None) -> None:
        """No more messages than are waiting now."""
        if self.is_over:
            return
        self.is_over = True
        self.error = error
        if error is not None:
            self.intake.drop_waiting()
        while self._waiters:
            self._wake()

    def begin_drain(self) -> None:
        """Take no more from the server; handlers still get what is waiting."""
        self.intake.is_draining = True
        if not self._workers:
            self.intake.drop_waiting()
        while self._waiters:
            self._wake()

    async def wait_handled(self, me: asyncio.Task[object] | None) -> None:
        """Wait until handlers have dealt with everything that is waiting, and loops with what they are at.

        The handler or loop that the task `me` runs is not waited for: it waits for us.
        """
        workers = [worker for worker in self._workers if worker is not me]
        if workers:
            await asyncio.wait(workers)
        self._idle = asyncio.Event()
        while any(loop.is_busy() for loop in self.loops if loop.task is not me):
            self._idle.clear()
            await self._idle.wait()

    def note_idle(self) -> None:
        """A loop asks for a message, or is over."""
        if self._idle is not None:
            self._idle.set()

    async def stop_working(self, me: asyncio.Task[object] | None) -> None:
        """Cancel the handlers that are at work, but that of the task `me`, and wait for them."""
        others = [worker for worker in self._workers if worker is not me]
        for worker in others:
            worker.cancel()
        if others:
            await asyncio.wait(others)


def is_cancelled_from_outside() -> bool:
    """Whether the task that runs is told to stop; else what it waited for was cancelled, which is no more than a failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def start_again(wanted: StartPosition, elapsed_ns: int) -> StartPosition:
    """Where a subscription that was asked for `elapsed_ns` ago, and had nothing since, has to begin in a new session.

    A durable that the server still knows goes on where it is, whatever this says.
    """
    if wanted.kind in _FROM_THEN_ON:
        return StartPosition(START_TIME_DELTA, time_delta_ns=elapsed_ns)  # nothing was there then
    if wanted.kind == START_TIME_DELTA and not wanted.moment_ns:
        return StartPosition(START_TIME_DELTA, time_delta_ns=wanted.time_delta_ns + elapsed_ns)
    return wanted


def _ignore(_: Intake) -> None:
    """A probe acknowledges nothing."""
