"""What was published and not answered yet: frames out, acknowledgements in. No I/O, no clock.

The window bounds how much may wait, in messages and bytes. It outlives connections and sessions: what is not
acknowledged when a session ends is sent again in the next one, under the same GUID (docs/protocol.md §2.3). As the server does
not look at that, an event that was sent twice may be stored twice, and whoever published it is told so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from durabus.client.errors import (
    PublishError,
    PublishNotSentError,
    PublishRefusedError,
    PublishTooLargeError,
    PublishUnknownError,
)
from durabus.wire.stan_messages import DecodeError
from durabus.wire.varint import FieldReader, varint

if TYPE_CHECKING:
    import asyncio

__all__ = ["GUID_BYTES", "GUID_DIGITS", "Publication", "PublishWindow"]

GUID_BYTES: Final = 22
GUID_DIGITS: Final = 10
_ACK_HEAD: Final = b"\x0a\x16"
_ACK_BYTES: Final = 2 + GUID_BYTES
_NOT_KNOWN_HERE: Final = "stan: invalid publish request"
_FAILURES_MAX: Final = 1000


class Publication:
    """One publish: `channel` and `guid` name it; `is_acknowledged` and `error` say what became of it."""

    def __init__(
        self,
        channel: str,
        name: bytes,
        guid: bytes,
        data: bytes,
        deadline_ns: int,
        waiter: asyncio.Future[None] | None,
    ) -> None:
        """Not sent yet; `waiter` is done when it was answered or failed."""
        self.channel = channel
        self.name = name
        self.guid_bytes = guid
        self.data = data
        self.deadline_ns = deadline_ns
        self.attempts = 0  # how often it was sent
        self.unanswered = 0  # how many of these may have been stored
        self.is_acknowledged = False
        self.error: PublishError | None = None
        self.is_suspect = False  # the server refused it in words that may mean another thing
        self.waiter = waiter

    @property
    def guid(self) -> str:
        """The name under which it was sent, each time."""
        return self.guid_bytes.decode()

    @property
    def is_possibly_duplicated(self) -> bool:
        """Whether it was acknowledged, but sent before without an answer: it is stored once or more often."""
        return self.is_acknowledged and self.unanswered > 1

    def __repr__(self) -> str:
        return f"Publication(channel={self.channel!r}, guid={self.guid!r}, is_acknowledged={self.is_acknowledged})"


class _Route:
    """The constant parts of what is published to one channel in one session."""

    def __init__(self, line: bytes, head: bytes, channel_field: bytes) -> None:
        self.line = line  # up to the size
        self.head = head  # of the payload, up to the GUID
        self.channel_field = channel_field
        self.size = -1  # of the data for which the next two hold
        self.start = b""
        self.middle = b""


class PublishWindow:
    """All publishes of one bus that wait for an answer."""

    def __init__(
        self, client_id: bytes, guid_prefix: bytes, messages_max: int, bytes_max: int, timeout_ns: int, retries: bool
    ) -> None:
        """`guid_prefix` has 12 letters and digits, unlike those of any other bus; `timeout_ns` is per publish."""
        self.pending: dict[bytes, Publication] = {}  # by GUID, in the order in which they were published
        self.pending_bytes = 0
        self.settled: list[Publication] = []  # answered or failed since somebody looked, and somebody waits for them
        self.failures: list[PublishError] = []  # of those that nobody waits for
        self.failure_count = 0
        self.suspects: list[Publication] = []
        self.out: list[bytes] = []  # frames to be sent
        self.is_open = False
        self._client_field = b"\x0a" + varint(len(client_id)) + client_id
        self._guid_prefix = guid_prefix
        self._guid_last = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._timeout_ns = timeout_ns
        self._retries = retries
        self._routes: dict[bytes, _Route] = {}
        self._route: _Route | None = None  # the one used last
        self._route_name = b""
        self._channels: list[bytes] = []  # by the number in their ack inbox
        self._publish_prefix = b""
        self._ack_prefix = b""
        self._tail = b""
        self._payload_bytes_max = 0
        assert len(guid_prefix) == GUID_BYTES - GUID_DIGITS, "GUIDs of one length make control lines of one length"

    def has_room(self, data_bytes: int) -> bool:
        """Whether a publish of so many bytes may begin now. One that is larger than the window may when it is empty."""
        count = len(self.pending)
        return count == 0 or (count < self._messages_max and self.pending_bytes + data_bytes <= self._bytes_max)

    @property
    def room_count(self) -> int:
        """How many publishes may begin now, if they are small."""
        if self.pending_bytes >= self._bytes_max:
            return 0
        return self._messages_max - len(self.pending)

    def add(
        self, channel: str, name: bytes, data: bytes, now_ns: int, waiter: asyncio.Future[None] | None
    ) -> Publication:
        """Begin a publish to `channel`, whose name is `name` in bytes. It is sent at once if there is a session."""
        self._guid_last += 1
        guid = self._guid_prefix + b"%010d" % self._guid_last
        publication = Publication(channel, name, guid, data, now_ns + self._timeout_ns, waiter)
        self.pending[guid] = publication
        self.pending_bytes += len(data)
        if self.is_open:
            self._send(publication)
        return publication

    def _send(self, publication: Publication) -> None:
        route = self._route
        if route is None or publication.name != self._route_name:
            route = self._take_route(publication.name)
        data = publication.data
        size = len(data)
        if size != route.size:
            data_field = b"\x2a" + varint(size) if size else b""
            middle = route.channel_field + data_field
            payload_bytes = len(route.head) + GUID_BYTES + len(middle) + size + len(self._tail) - 2
            if payload_bytes > self._payload_bytes_max:
                self._fail_too_large(publication, payload_bytes)
                return
            route.size = size
            route.middle = middle
            route.start = route.line + b"%d\r\n" % payload_bytes + route.head
        out = self.out
        out.append(route.start)
        out.append(publication.guid_bytes)
        out.append(route.middle)
        out.append(data)
        out.append(self._tail)
        publication.attempts += 1
        publication.unanswered += 1

    def _fail_too_large(self, publication: Publication, payload_bytes: int) -> None:
        """The server would close the connection, each time again."""
        words = f"{payload_bytes} bytes as a message, of which the server takes {self._payload_bytes_max} at most"
        if publication.unanswered > 0:
            words += "; it was sent before without an answer"
            self._end(publication, PublishUnknownError(words, publication.channel, publication.guid))
        else:
            self._end(publication, PublishTooLargeError(words, publication.channel, publication.guid))

    def _take_route(self, name: bytes) -> _Route:
        route = self._routes.get(name)
        if route is None:
            line = b"PUB %b.%b %b.%d " % (self._publish_prefix, name, self._ack_prefix, len(self._channels))
            route = _Route(line, self._client_field + b"\x12\x16", b"\x1a" + varint(len(name)) + name)
            self._routes[name] = route
            self._channels.append(name)
        self._route = route
        self._route_name = name
        return route

    # Sessions.

    def open_session(
        self, publish_prefix: bytes, ack_prefix: bytes, connection_id: bytes, payload_bytes_max: int, out: list[bytes]
    ) -> None:
        """There is a session: append to `out` the frames of everything that waits, in order, and of what is to come.

        Answers come to `<ack_prefix>.<number>`.
        """
        self._payload_bytes_max = payload_bytes_max
        self._publish_prefix = publish_prefix
        self._ack_prefix = ack_prefix
        self._tail = b"\x32" + varint(len(connection_id)) + connection_id + b"\r\n"
        self._routes.clear()
        self._channels.clear()
        self._route = None
        self.out = out
        self.suspects.clear()
        self.is_open = True
        for publication in list(self.pending.values()):
            self._send(publication)

    def close_session(self) -> None:
        """The session is lost: what waits is kept for the next one, unless nothing may be sent twice."""
        self.is_open = False
        self.out = []
        if not self._retries:
            sent = [publication for publication in self.pending.values() if publication.unanswered]
            for publication in sent:
                self._fail(publication, "the connection was lost before the acknowledgement came")

    # Answers.

    def take_acks(self, payloads: list[bytes]) -> None:
        """Take what the server says: PubAcks."""
        for payload in payloads:
            if len(payload) == _ACK_BYTES and payload.startswith(_ACK_HEAD):
                publication = self.pending.pop(payload[2:], None)
                if publication is not None:
                    self.pending_bytes -= len(publication.data)
                    publication.is_acknowledged = True
                    if publication.waiter is not None:
                        self.settled.append(publication)
            else:
                self._take_unusual(payload)

    def _take_unusual(self, payload: bytes) -> None:
        """An answer with an error; or nonsense, of which nobody can say what it answers."""
        guid = b""
        error = b""
        try:
            reader = FieldReader(payload)
            while number := reader.next():
                if number == 1:
                    guid = reader.data
                elif number == 2:
                    error = reader.data
        except DecodeError:
            return
        publication = self.pending.get(guid)
        if publication is None:
            return
        if not error:
            self._remove(publication)
            publication.is_acknowledged = True
            if publication.waiter is not None:
                self.settled.append(publication)
            return
        publication.unanswered -= 1
        text = error.decode("utf-8", "backslashreplace")
        if text == _NOT_KNOWN_HERE and not publication.is_suspect:
            publication.is_suspect = True
            self.suspects.append(publication)
        else:
            self._refuse(publication, text)

    def refuse_suspects(self) -> None:
        """The server does know us: it means what it says."""
        suspects = self.suspects
        self.suspects = []
        for publication in suspects:
            if publication.guid_bytes in self.pending:
                self._refuse(publication, _NOT_KNOWN_HERE)

    def _refuse(self, publication: Publication, text: str) -> None:
        channel, guid = publication.channel, publication.guid
        if publication.unanswered > 0:
            words = f"refused at last ({text}), but it was sent before without an answer"
            self._end(publication, PublishUnknownError(words, channel, guid))
        else:
            self._end(publication, PublishRefusedError(f"refused: {text}", channel, guid))

    def fail_channel(self, number: int) -> None:
        """Nobody took a publish to the channel with this number: no answer will come, of which one is not known."""
        if number < len(self._channels):
            name = self._channels[number]
            for publication in [each for each in self.pending.values() if each.name == name]:
                self._fail(publication, "no server of the cluster takes publishes to this channel")

    @property
    def last_guid(self) -> bytes:
        """That of the last publish; GUIDs grow, and those of what waits are in their order."""
        return self._guid_prefix + b"%010d" % self._guid_last

    def is_settled_up_to(self, guid: bytes) -> bool:
        """Whether neither the publish `guid` nor an earlier one waits."""
        for first in self.pending:
            return first > guid
        return True

    def take_failures(self) -> list[PublishError]:
        """The errors of what nobody waited for since the last time, the first thousand."""
        failures = self.failures
        self.failures = []
        self.failure_count = 0
        return failures

    # Time.

    def next_deadline_ns(self) -> int:
        """When the oldest publish has waited long enough; 0 when none waits."""
        for publication in self.pending.values():
            return publication.deadline_ns
        return 0

    def expire(self, now_ns: int) -> None:
        """Give up what has waited for its time."""
        late: list[Publication] = []
        for publication in self.pending.values():
            if publication.deadline_ns > now_ns:
                break
            late.append(publication)
        for publication in late:
            self._fail(publication, "not acknowledged in time")

    def fail_all(self, reason: str) -> None:
        """Nothing will be answered any more."""
        self.is_open = False
        for publication in list(self.pending.values()):
            self._fail(publication, reason)

    def _fail(self, publication: Publication, reason: str) -> None:
        channel, guid = publication.channel, publication.guid
        if publication.unanswered > 0:
            often = f", sent {publication.attempts} times" if publication.attempts > 1 else ""
            self._end(publication, PublishUnknownError(f"{reason}{often}", channel, guid))
        elif publication.attempts > 0:
            self._end(publication, PublishRefusedError(f"{reason}, refused: {_NOT_KNOWN_HERE}", channel, guid))
        else:
            self._end(publication, PublishNotSentError(f"{reason}, never sent", channel, guid))

    def _end(self, publication: Publication, error: PublishError) -> None:
        self._remove(publication)
        publication.error = error
        if publication.waiter is not None:
            self.settled.append(publication)
            return
        self.failure_count += 1
        if len(self.failures) < _FAILURES_MAX:
            self.failures.append(error)

    def _remove(self, publication: Publication) -> None:
        del self.pending[publication.guid_bytes]
        self.pending_bytes -= len(publication.data)
