"""What a bus has stored, as tests see it: noted on its way between the server and its store."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from durabus.stores.delegating import DelegatingStore
from durabus.streaming.records import decode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, REFUSED, Batch, Lease, Recovered, Store
from durabus.wire.varint import WIRE_BYTES, DecodeError, FieldReader

__all__ = ["History", "RecordingStore", "StoredMessage"]

_SHOWN: Final = 200
_FIRST_QUESTION: Final = 1 << 60
"""Numbers of our own questions to the store; the server's begin at 1."""
_PAGE: Final = 1000
_PAGE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it is stored. `timestamp_ns` is nanoseconds since 1970, on the clock of the bus."""

    channel: str
    sequence: int
    data: bytes
    timestamp_ns: int
    reply: str = ""

    def __str__(self) -> str:
        """One line, for people: long data are cut off."""
        text = self.data.decode("utf-8", "backslashreplace")
        return f"{self.channel} #{self.sequence} {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"


def read_message(channel: str, body: bytes) -> StoredMessage | None:
    """What a stored body says; None when it is none."""
    texts: dict[int, bytes] = {}
    numbers: dict[int, int] = {}
    reader = FieldReader(body)
    try:
        while number := reader.next():
            if reader.wire_type == WIRE_BYTES:
                texts[number] = reader.data
            else:
                numbers[number] = reader.value
    except DecodeError:
        return None
    if not numbers.get(1):
        return None  # a message that was lost in the store
    reply = texts.get(3, b"").decode("utf-8", "backslashreplace")
    return StoredMessage(channel, numbers[1], texts.get(4, b""), numbers.get(5, 0), reply)


class History:
    """What was published, over all restarts, and what is stored now."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.published: list[StoredMessage] = []  # in the order in which it was stored
        self._names: dict[int, str] = {}
        self._stored: dict[int, dict[int, StoredMessage]] = {}
        self._is_begun = False

    def stored(self, channel: str) -> list[StoredMessage]:
        """What a channel holds now."""
        return [
            message
            for number, name in self._names.items()
            if name == channel
            for message in self._stored[number].values()
        ]

    def channels(self) -> list[str]:
        """The channels that there are now."""
        return list(self._names.values())

    def forget(self) -> None:
        """Let only count as published what is published from now on."""
        self.published = []

    def take(self, batch: Batch) -> None:
        """`batch` is stored."""
        for kind, key, value in batch.state:
            if kind == KIND_CHANNEL and value is not None:
                self._open(int(key), value)
        for run in batch.runs:
            self._add(run.channel_id, run.bodies, are_new=True)
        for channel_id, floor in batch.floors.items():
            kept = self._stored.get(channel_id, {})
            self._stored[channel_id] = {number: message for number, message in kept.items() if number >= floor}
        for kind, key, value in batch.state:
            if kind == KIND_CHANNEL and value is None:
                self._names.pop(int(key), None)
                self._stored.pop(int(key), None)

    def begin_again(self, recovered: Recovered, pages: dict[int, list[bytes]]) -> None:
        """A store was opened, and holds these messages, by the numbers of their channels."""
        known = {message for kept in self._stored.values() for message in kept.values()}
        self._names, self._stored = {}, {}
        for kind, key, value in recovered.state:
            if kind == KIND_CHANNEL:
                self._open(int(key), value)
        for channel_id, bodies in pages.items():
            self._add(channel_id, bodies, are_new=False)
        if self._is_begun:  # what a batch has left behind whose outcome was not known
            found = [message for kept in self._stored.values() for message in kept.values() if message not in known]
            earlier = set(self.published) if found else set()
            self.published += [message for message in found if message not in earlier]
        self._is_begun = True

    def _open(self, channel_id: int, record: bytes) -> None:
        self._names[channel_id] = decode_channel_name(record).decode("utf-8", "backslashreplace")
        self._stored.setdefault(channel_id, {})

    def _add(self, channel_id: int, bodies: list[bytes], *, are_new: bool) -> None:
        name = self._names.get(channel_id, "")
        for body in bodies:
            message = read_message(name, body)
            if message is not None:
                self._stored.setdefault(channel_id, {})[message.sequence] = message
                if are_new:
                    self.published.append(message)


class RecordingStore(DelegatingStore):
    """`inner`, the store of the bus, which tells `history` what it has stored, and knows what it was asked for."""

    def __init__(self, inner: Store, history: History) -> None:
        """Nothing is opened yet."""
        super().__init__(inner)
        self.is_immediate = inner.is_immediate
        self.refusal = ""  # why messages are refused; empty: they are not
        self._history = history
        self._open_batches: dict[int, Batch] = {}
        self._open_questions: set[int] = set()
        self._question_last = _FIRST_QUESTION
        self._answers: dict[int, Callable[[list[bytes]], None]] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether everything is stored and answered that was asked for."""
        return not self._open_batches and not self._open_questions

    async def recover(self, lease: Lease | None) -> Recovered:
        """As the inner store does; what is there is history from then on."""
        recovered = await super().recover(lease)
        self._open_batches.clear()
        self._open_questions.clear()
        pages: dict[int, list[bytes]] = {}
        for channel in recovered.channels:
            bodies: list[bytes] = []
            if channel.last_sequence:
                at = channel.first_sequence
                while at <= channel.last_sequence and (page := await self._page(channel.channel_id, at)):
                    bodies += page
                    at += len(page)
            pages[channel.channel_id] = bodies
        self._history.begin_again(recovered, pages)
        return recovered

    async def _page(self, channel_id: int, first: int) -> list[bytes]:
        page = self.inner.read_now(channel_id, first, _PAGE, _PAGE_BYTES)
        if page is not None:
            return page
        self._question_last += 1
        answer: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self._answers[self._question_last] = answer.set_result
        self.inner.read(self._question_last, channel_id, first, _PAGE, _PAGE_BYTES)
        return await answer

    def submit(self, batch: Batch) -> None:
        """Pass `batch` on, unless messages are refused and it has some."""
        if self.refusal and batch.runs:
            self.on_failed(batch.number, REFUSED, self.refusal)
            return
        self._open_batches[batch.number] = batch
        super().submit(batch)

    def on_durable(self, number: int) -> None:
        """Note what is stored, then pass it on."""
        batch = self._open_batches.pop(number, None)
        if batch is not None:
            self._history.take(batch)
        super().on_durable(number)

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """Pass it on."""
        self._open_batches.pop(number, None)
        super().on_failed(number, outcome, text)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Pass the question on."""
        self._open_questions.add(request)
        super().read(request, channel_id, first, count_max, bytes_max)

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Pass the question on."""
        self._open_questions.add(request)
        super().measure(request, channel_id, first, end, enough_bytes)

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Pass the question on."""
        self._open_questions.add(request)
        super().seek(request, channel_id, timestamp_ns)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """Pass the answer on, or take it, if the question was our own."""
        own = self._answers.pop(request, None)
        if own is not None:
            own(bodies)
            return
        self._open_questions.discard(request)
        super().on_page(request, bodies)

    def on_seek(self, request: int, sequence: int) -> None:
        """Pass the answer on."""
        self._open_questions.discard(request)
        super().on_seek(request, sequence)

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        """Pass the answer on."""
        self._open_questions.discard(request)
        super().on_measured(request, end, size_bytes)
