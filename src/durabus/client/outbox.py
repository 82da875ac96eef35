"""What a bus publishes: the window, whoever waits for it or for an answer, and the time that an answer may take."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Final

from durabus.client.errors import ClientError, FlushError, PossiblyDuplicatedError, WindowFullError
from durabus.client.link import new_name
from durabus.client.options import BusOptions, channel_bytes, data_bytes
from durabus.client.publications import GUID_BYTES, GUID_DIGITS, Publication, PublishWindow
from durabus.client.session import Session
from durabus.clock import Clock
from durabus.wire.framing import is_no_responders
from durabus.wire.operations import Publish

__all__ = ["Events", "Outbox"]

Events = Iterable[tuple[str, bytes | str]] | AsyncIterable[tuple[str, bytes | str]]
"""Pairs of a channel and data."""

_NAMES_MAX: Final = 8192


class Outbox:
    """The publishing side of one bus. `check_session` asks the server whether the session stands: done when it does."""

    def __init__(self, options: BusOptions, clock: Clock, check_session: Callable[[Callable[[], None]], None]) -> None:
        """No session yet."""
        self.window = PublishWindow(
            options.client_id.encode(),
            new_name(GUID_BYTES - GUID_DIGITS),
            options.window_messages_max,
            options.window_bytes_max,
            int(options.publish_timeout_s * 1e9),
            options.retries_publishes,
        )
        self.error: ClientError | None = None  # why nothing can be published any more
        self._options = options
        self._clock = clock
        self._check_session = check_session
        self._loop = asyncio.get_running_loop()
        self._names: dict[str, bytes] = {}
        self._room_waiters: deque[asyncio.Future[None]] = deque()
        self._flush_waiters: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._flush_soon: Callable[[], None] | None = None

    # For the program; `Bus` says what each does.

    async def publish(self, channel: str, data: bytes | str) -> Publication:
        """See `Bus.publish`."""
        name = self._names.get(channel) or self._name(channel)
        body = data if type(data) is bytes else data_bytes(data)
        if self._room_waiters or not self.window.has_room(len(body)):
            await self._wait_room(len(body))
        self._check_open()
        waiter: asyncio.Future[None] = self._loop.create_future()
        publication = self._begin(channel, name, body, waiter)
        await waiter
        if publication.error is not None:
            raise publication.error
        if publication.is_possibly_duplicated and self._options.raises_possibly_duplicated:
            words = f"acknowledged after it was sent {publication.attempts} times"
            raise PossiblyDuplicatedError(words, channel, publication.guid)
        return publication

    def publish_nowait(self, channel: str, data: bytes | str) -> Publication:
        """See `Bus.publish_nowait`."""
        name = self._names.get(channel) or self._name(channel)
        body = data if type(data) is bytes else data_bytes(data)
        self._check_open()
        if not self.window.has_room(len(body)):
            raise WindowFullError(f"{len(self.window.pending)} publishes wait for their acknowledgement")
        return self._begin(channel, name, body, None)

    async def publish_all(self, events: Events) -> int:
        """See `Bus.publish_all`."""
        count = 0
        if isinstance(events, AsyncIterable):
            async for channel, data in events:
                await self._publish_next(channel, data)
                count += 1
        else:
            for channel, data in events:
                body = data if type(data) is bytes else data_bytes(data)
                if self._room_waiters or not self.window.has_room(len(body)):
                    await self._publish_next(channel, body)
                else:
                    self.publish_nowait(channel, body)
                count += 1
        await self.flush()
        return count

    async def _publish_next(self, channel: str, data: bytes | str) -> None:
        body = data if type(data) is bytes else data_bytes(data)
        await self.wait_room(len(body))
        self.publish_nowait(channel, body)

    async def wait_room(self, data_bytes: int) -> None:
        """See `Bus.wait_room`."""
        if self._room_waiters or not self.window.has_room(data_bytes):
            await self._wait_room(data_bytes)
        self._check_open()

    async def flush(self) -> None:
        """See `Bus.flush`."""
        await self.wait_settled()
        count = self.window.failure_count
        failures = self.window.take_failures()
        if failures:
            raise FlushError(failures, count)

    async def wait_settled(self) -> None:
        """Wait until everything that was published before is answered, or has failed."""
        guid = self.window.last_guid
        if not self.window.is_settled_up_to(guid):
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._flush_waiters.append((guid, waiter))
            await waiter

    def _begin(self, channel: str, name: bytes, data: bytes, waiter: "asyncio.Future[None] | None") -> Publication:
        publication = self.window.add(channel, name, data, self._clock.monotonic_ns(), waiter)
        if self._flush_soon is not None:
            self._flush_soon()
        if self._timer is None:
            self._timer = self._loop.call_later(self._options.publish_timeout_s, self._on_timer)
        if self.window.settled:
            self._settle()
        return publication

    def _name(self, channel: str) -> bytes:
        name = channel_bytes(channel)
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()
        self._names[channel] = name
        return name

    def _check_open(self) -> None:
        if self.error is not None:
            raise type(self.error)(self.error.what)

    # Waiting.

    async def _wait_room(self, data_bytes: int) -> None:
        while True:
            self._check_open()
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._room_waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._pass_room_on(waiter)
                raise
            if self.error is not None or self.window.has_room(data_bytes):
                return

    def _pass_room_on(self, waiter: "asyncio.Future[None]") -> None:
        """Somebody who waited for room, or was just told of it, does not want it any more."""
        if waiter in self._room_waiters:
            self._room_waiters.remove(waiter)
        elif self._room_waiters:
            _wake(self._room_waiters.popleft())

    def _settle(self) -> None:
        """Wake whoever waited for what has happened."""
        window = self.window
        if window.settled:
            settled, window.settled = window.settled, []
            for publication in settled:
                if publication.waiter is not None:
                    _wake(publication.waiter)
        if self._room_waiters:
            for _ in range(min(window.room_count, len(self._room_waiters))):
                _wake(self._room_waiters.popleft())
        while self._flush_waiters and window.is_settled_up_to(self._flush_waiters[0][0]):
            _wake(self._flush_waiters.popleft()[1])

    def _on_timer(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self.window.expire(now_ns)
        self._settle()
        next_ns = self.window.next_deadline_ns()
        delay_s = max((next_ns - now_ns) / 1e9, 0.001)
        self._timer = self._loop.call_later(delay_s, self._on_timer) if next_ns else None

    # Sessions.

    def open_session(self, session: Session) -> None:
        """There is a session: send what waits."""
        link = session.link
        self._flush_soon = link.flush_soon
        self.window.open_session(
            session.publish_prefix, session.ack_prefix, session.connection_id, link.payload_bytes_max, link.out
        )
        link.flush_soon()
        self._settle()

    def close_session(self) -> None:
        """The session is lost: what waits is for the next one."""
        self._flush_soon = None
        self.window.close_session()
        self._settle()

    def end(self, error: ClientError, reason: str) -> None:
        """Nothing can be published any more, because of `error`; `reason` is for what waits for its answer."""
        self.error = error
        self._flush_soon = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.window.fail_all(reason)
        self._settle()
        while self._room_waiters:
            _wake(self._room_waiters.popleft())

    def on_run(self, run: Publish) -> None:
        """Take acknowledgements."""
        window = self.window
        if is_no_responders(run):
            number = int(run.subject.rpartition(b".")[2])
            self._check_session(lambda: self._fail_channel(number))
            return
        window.take_acks(run.payloads)
        if window.suspects:
            # Refused as if the server did not know us. If it does they are wrong, else a new session is due.
            self._check_session(self._refuse_suspects)
        if window.settled or self._room_waiters or self._flush_waiters:
            self._settle()

    def _fail_channel(self, number: int) -> None:
        """There is a streaming server, and it took no publish to this channel."""
        self.window.fail_channel(number)
        self._settle()

    def _refuse_suspects(self) -> None:
        self.window.refuse_suspects()
        self._settle()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
