"""Requests of clients that this server does not know yet (docs/protocol.md §16.3).

With partitioning a client connects to all servers at once and goes on when the first one has answered, so that its
requests may be here before it is registered. They wait for that, a second at most, and are then handled in the order in
which they came. A sender that did not register in time is remembered: its next request does not wait.
"""

from typing import Final

from durabus.broker.bus import Receiver
from durabus.streaming.timers import Timed, Timers
from durabus.wire.operations import Publish

__all__ = ["Newcomers", "sender_key"]

_INVALID_MAX: Final = 256
_HELD_BYTES_MAX: Final = 64 * 1024 * 1024
_REQUEST_BYTES: Final = 1000
"""What a request of a sender of its own takes beyond its payload and its subjects; measured, and rounded up."""


def sender_key(client_id: bytes, connection_id: bytes) -> bytes:
    """Who sent a request, as far as it says so: by connection ID alone where there is one (docs/protocol.md §5.3)."""
    return b"connection " + connection_id if connection_id else b"client " + client_id


class _Request:
    """A request, and who takes it when its time has come."""

    def __init__(self, number: int, receiver: Receiver, publish: Publish) -> None:
        self.number = number
        self.receiver = receiver
        self.publish = publish


class _Sender(Timed):
    """Somebody who is waited for."""

    def __init__(self, newcomers: "Newcomers", key: bytes) -> None:
        super().__init__()
        self.key = key
        self.requests: list[_Request] = []
        self._newcomers = newcomers

    def on_time(self, now_ns: int) -> None:
        self._newcomers.on_overdue(self)


class Newcomers:
    """Holds requests until their sender is known, or known to be nobody. `contested` are client IDs with a probe under way.

    Who holds a client ID is not known while it is probed (docs/protocol.md §5.2): the same wait.
    """

    def __init__(self, timers: Timers, wait_ns: int) -> None:
        """Nobody is waited for; a wait is `wait_ns` long."""
        self.contested: set[bytes] = set()
        self._timers = timers
        self._wait_ns = wait_ns
        self._senders: dict[bytes, _Sender] = {}
        self._invalid: dict[bytes, None] = {}  # the oldest first
        self._is_closed = False
        self._request_count = 0
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much memory waits here."""
        return self._held_bytes

    def hold(self, key: bytes, receiver: Receiver, publish: Publish, now_ns: int) -> bool:
        """Keep one request of the sender `key` for `receiver`; False when it is not to wait, and is refused at once."""
        size_bytes = _memory_bytes(publish)
        if self._is_closed or key in self._invalid or self._held_bytes + size_bytes > _HELD_BYTES_MAX:
            return False
        sender = self._senders.get(key)
        if sender is None:
            sender = _Sender(self, key)
            self._senders[key] = sender
            self._timers.set(sender, now_ns + self._wait_ns)
        self._request_count += 1
        self._held_bytes += size_bytes
        sender.requests.append(_Request(self._request_count, receiver, publish))
        return True

    def admit(self, client_id: bytes, connection_id: bytes) -> None:
        """This client is known now: whatever it has sent is handled, in the order in which it came."""
        keys = [sender_key(client_id, b"")]
        if connection_id:
            keys.append(sender_key(b"", connection_id))
        requests: list[_Request] = []
        for key in keys:
            self._invalid.pop(key, None)
            sender = self._senders.get(key)
            if sender is not None:
                requests += self._take(sender)
        requests.sort(key=_number)
        _hand_on(requests)

    def on_overdue(self, sender: _Sender) -> None:
        """A sender had its time: its receivers refuse what it sent, and what it will send."""
        self._invalid[sender.key] = None
        if len(self._invalid) > _INVALID_MAX:
            del self._invalid[next(iter(self._invalid))]
        _hand_on(self._take(sender))

    def close(self) -> None:
        """Wait for nobody any more: everything held is refused by its receiver, now and later."""
        self._is_closed = True
        for sender in list(self._senders.values()):
            _hand_on(self._take(sender))

    def _take(self, sender: _Sender) -> list[_Request]:
        self._timers.cancel(sender)
        self._senders.pop(sender.key, None)
        for request in sender.requests:
            self._held_bytes -= _memory_bytes(request.publish)
        return sender.requests


def _memory_bytes(publish: Publish) -> int:
    """About how much memory a held request takes."""
    return _REQUEST_BYTES + len(publish.payloads[0]) + len(publish.subject) + len(publish.reply)


def _number(request: _Request) -> int:
    return request.number


def _hand_on(requests: list[_Request]) -> None:
    for request in requests:
        request.receiver.on_publish(request.publish)
