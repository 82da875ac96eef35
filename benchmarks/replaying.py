"""The replay of stored messages: one subscriber after the other asks for a channel from its beginning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks import counting
from benchmarks.connection import Subscriber
from benchmarks.dialects import (
    MESSAGES,
    REPLIES,
    Line,
    acknowledgement_inbox,
    streaming_connect,
    subscription_request,
    text_of,
)
from benchmarks.frames import publish, streaming_acknowledgement_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.connection import Connection
    from benchmarks.frames import Frame

_INBOX: Final = "_INBOX." + "?" * 22
"""Stands for the inbox for acknowledgements, until the server has named it."""


class Replayer(Subscriber):
    """A subscriber that does not wait for the answer to its request: deliveries may come right behind it."""

    def __init__(self, line: Line, channel: str, messages: int) -> None:
        """Be ready to ask for `messages` of a channel; the acknowledgements are encoded already."""
        counter = counting.streaming_deliveries(line.inbox, MESSAGES)
        super().__init__(line.socket, line.rest, counter, None, messages)
        self._channel: Final = channel
        self._prepared: Final = streaming_acknowledgement_frames(_INBOX, channel, messages)

    def _answer(self) -> None:
        for frame in self.counter.foreign:
            if frame.identifier == REPLIES.encode():
                self._begin(frame)
        self.counter.foreign = [frame for frame in self.counter.foreign if frame.identifier != REPLIES.encode()]
        super()._answer()

    def _begin(self, answer: Frame) -> None:
        inbox = acknowledgement_inbox(answer)
        self.frames = (
            self._prepared.replaced(_INBOX.encode(), inbox.encode())
            if len(inbox) == len(_INBOX)
            else streaming_acknowledgement_frames(inbox, self._channel, self.messages)
        )
        self.outgoing.use(self.frames)


def replay(
    port: int, channels: list[str], messages: int, drive: Callable[[list[Connection]], None]
) -> tuple[float, list[Connection]]:
    """Replay the first `messages` of each channel, one channel at a time; return the seconds of all and the connections.

    `drive` returns when a connection has everything. The time of a channel begins with its request.
    """
    seconds = 0.0
    connections: list[Connection] = []
    for index, channel in enumerate(channels):
        name = f"replayer{index}"
        line, subjects = streaming_connect(port, name)
        line.subscribe(line.inbox, MESSAGES)
        request = publish(text_of(subjects, 2), f"{line.inbox}.r", subscription_request(name, channel, line.inbox))
        replayer = Replayer(line, channel, messages)
        start_seconds = time.perf_counter()
        replayer.outgoing.answers = request
        replayer.flush()
        drive([replayer])
        seconds += time.perf_counter() - start_seconds
        connections.append(replayer)
    return seconds, connections
