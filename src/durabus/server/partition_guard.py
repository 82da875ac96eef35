"""Watches that no other server owns channels of ours: puts a network and a clock to `PartitionCheck`."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from durabus import logs
from durabus.broker.bus import Receiver
from durabus.clock import Clock
from durabus.errors import StartError
from durabus.server.back_off import BackOff
from durabus.server.network import Network
from durabus.server.partition_check import PartitionCheck
from durabus.wire import framing
from durabus.wire.control_messages import NameTooLongError
from durabus.wire.operations import Publish
from durabus.wire.varint import DecodeError

__all__ = ["PartitionGuard"]

_QUESTIONS_MAX: Final = 1000
"""Questions of others that may wait for their answer."""


class _Questions(Receiver):
    """What servers ask."""

    def __init__(self, guard: "PartitionGuard") -> None:
        self._guard = guard

    def on_publish(self, publish: Publish) -> None:
        if publish.reply:
            for question in publish.payloads:
                self._guard.on_question(question, publish.reply)


class _Answers(Receiver):
    """What servers answer us."""

    def __init__(self, guard: "PartitionGuard") -> None:
        self._guard = guard

    def on_publish(self, publish: Publish) -> None:
        if not framing.is_no_responders(publish):
            for answer in publish.payloads:
                self._guard.on_answer(answer)


class PartitionGuard:
    """Asks and answers for one server, from `start` to `stop`; `fail` is told of a conflict that comes up in between."""

    def __init__(
        self, check: PartitionCheck, network: Network, clock: Clock, log: logs.Log, fail: Callable[[str], None]
    ) -> None:
        """Put the parts together; nothing is sent yet."""
        self._check = check
        self._network = network
        self._bus = network.bus
        self._clock = clock
        self._log = log
        self._fail = fail
        self._subject = b""
        self._inbox = b""
        self._started: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._questions: deque[tuple[bytes, bytes]] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._shown = BackOff()

    async def start(self, cluster_id: str, inbox: bytes) -> None:
        """Ask for the first time, to be answered on `inbox`; raises StartError when another server owns what is ours."""
        self._started = asyncio.get_running_loop().create_future()
        self._subject = b"_STAN.part." + cluster_id.encode()
        self._inbox = inbox
        self._bus.subscribe(self._subject, _Questions(self))
        self._bus.subscribe(self._inbox, _Answers(self))
        try:
            self._send(self._check.begin(self._network.payload_bytes_max, self._clock.monotonic_ns()))
        except NameTooLongError as error:
            raise StartError(f"unable to send channels list: {error}") from None
        self._set_timer()
        await self._started

    def on_change(self) -> None:
        """There may be servers on the network that were not there before."""
        if self._started is not None and self._subject:
            self._check.on_change(self._clock.monotonic_ns())
            self._set_timer()

    def stop(self) -> None:
        """Neither ask nor answer any more. Twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answering is not None:
            self._answering.cancel()
        if self._subject:
            self._bus.unsubscribe(self._subject)
            self._bus.unsubscribe(self._inbox)
            self._subject = b""

    # Asking.

    def on_answer(self, answer: bytes) -> None:
        """A server has answered."""
        try:
            self._check.on_answer(answer, self._clock.monotonic_ns())
        except DecodeError as error:
            self._complain(f"Error processing partitioning reply: {error}")
            return
        self._look()

    def _on_time(self) -> None:
        self._timer = None
        try:
            self._send(self._check.on_time(self._network.payload_bytes_max, self._clock.monotonic_ns()))
        except NameTooLongError as error:
            self._fail(f"Partitioning error: unable to send channels list: {error}")
            return
        self._look()
        self._set_timer()

    def _look(self) -> None:
        """See how the round stands."""
        started = self._started
        is_starting = started is not None and not started.done()
        if self._check.conflict and is_starting and started is not None:
            started.set_exception(StartError(self._check.conflict))
        elif self._check.conflict:
            self._fail(f"Partitioning error: {self._check.conflict}")
        elif is_starting and not self._check.is_asking and started is not None:
            started.set_result(None)

    def _send(self, questions: list[bytes]) -> None:
        for question in questions:
            self._bus.publish(self._subject, self._inbox, question)
        if questions:
            self._network.flush()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_ns = self._check.next_ns()
        if deadline_ns and self._subject:
            delay_s = max(deadline_ns - self._clock.monotonic_ns(), 0) / 1e9
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    # Answering.

    def on_question(self, question: bytes, reply: bytes) -> None:
        """A server asks. A long list takes a while, so clients are served meanwhile."""
        if len(self._questions) >= _QUESTIONS_MAX:
            self._complain("Error processing partitioning request: there are too many of them")
            return
        self._questions.append((question, reply))
        if self._answering is None or self._answering.done():
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    def _complain(self, text: str) -> None:
        """Log what somebody else did wrong, not more often than people can read."""
        if self._shown.is_due(self._clock.monotonic_ns()):
            self._log.error(text)

    async def _answer_all(self) -> None:
        while self._questions:
            question, reply = self._questions.popleft()
            try:
                await self._answer(question, reply)
            except DecodeError as error:
                self._complain(f"Error processing partitioning request: {error}")

    async def _answer(self, question: bytes, reply: bytes) -> None:
        steps = self._check.answer(question)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                answer: bytes | None = done.value
                break
            await asyncio.sleep(0)
        if answer is not None:
            self._bus.publish(reply, b"", answer)
            self._network.flush()
