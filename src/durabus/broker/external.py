"""A NATS network behind one connection to another server: the same `Bus`, without the presence that sockets give.

This is the connection's mind, without its socket: `feed` takes what the server said, `take_output` gives what to send.
`durabus.broker.uplink` puts a socket to it, and a new one when that is lost. One connection carries everything, so that
what a client said in an order is heard in that order.

The life of a connection: `begin`, `greet` when the server's INFO is there, `open` when it has answered the greeting's
PING, `close` when it is lost. Subscriptions outlive it; what was published and not sent does not.
"""

from typing import Final

from mypy_extensions import i64

from durabus.broker.bus import Bus, InterestWatcher, Receiver, as_received
from durabus.wire import framing
from durabus.wire.documents import DocumentError, decode_info
from durabus.wire.limits import CONTROL_LINE_BYTES_MAX, PAYLOAD_BYTES_MAX, SIZE_DIGITS_MAX
from durabus.wire.operations import Delivery, Info, Operation, Ping, Pong, Refusal, Violation
from durabus.wire.server_parser import ServerParser
from durabus.wire.subjects import is_subject

__all__ = ["ExternalBus"]

_COMPLAINTS_MAX: Final = 100
_SUBJECTS_BYTES_MAX: Final = CONTROL_LINE_BYTES_MAX - SIZE_DIGITS_MAX - 3  # with the blanks between, and a sid
_CONGESTED_BYTES: Final = 8 * 1024 * 1024  # an eighth of what nats-server lets a slow client have unread


class ExternalBus(Bus):
    """The core's bus while it is a client of another NATS server."""

    def __init__(self) -> None:
        """Not connected, nothing subscribed."""
        self.info = b""  # the JSON text of the server's last INFO that could be read
        self.complaints: list[str] = []  # what the server, or we, had to refuse: whoever takes them out logs them
        self.failure = ""  # why the connection is of no use any more: these are not a NATS server's words
        self.pings: i64 = 0  # sent on this connection
        self.pongs: i64 = 0
        self._receivers: dict[bytes, Receiver] = {}  # by sid
        self._sids: dict[bytes, bytes] = {}  # by subject
        self._ended: dict[bytes, bytes] = {}  # by subject: what the server is not told yet
        self._sid_last: i64 = 0
        self._is_open = False
        self._payload_bytes_max: i64 = PAYLOAD_BYTES_MAX
        self._complained: set[str] = set()
        self._parser = ServerParser()
        self._output: list[bytes] = []
        self._output_bytes: i64 = 0
        self.socket_unsent_bytes: i64 = 0  # what the socket had not taken at the last flush

    # The bus.

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        """Give everything published on `subject` to `receiver`; asked for again after every reconnect.

        Nothing can be heard on a subject that has no place on a control line. When somebody else listened on it until now,
        the server need not know: so nothing is lost in between.
        """
        if not is_subject(subject) or len(subject) > _SUBJECTS_BYTES_MAX:
            return
        sid = self._sids.get(subject)
        if sid is None:
            sid = self._ended.pop(subject, None)
        if sid is None:
            self._sid_last += 1
            sid = b"%d" % int(self._sid_last)
            self._subscribe(subject, sid)
        self._sids[subject] = sid
        self._receivers[sid] = receiver

    def unsubscribe(self, subject: bytes) -> None:
        """End what `subscribe` began. What is still under way from the server goes nowhere."""
        sid = self._sids.pop(subject, None)
        if sid is not None:
            del self._receivers[sid]
            if self._is_open:
                self._ended[subject] = sid

    def publish(self, subject: bytes, reply: bytes, payload: bytes) -> bool:
        """Publish one message; False when it cannot leave.

        Nobody knows who listens: a question to nobody is answered on `reply`, see `wire.framing.is_no_responders`.
        """
        return self._publish(subject, reply, b"", [payload])

    def publish_run(self, subject: bytes, head: bytes, payloads: list[bytes]) -> bool:
        """Publish the messages `head + payload`, in order; False when not all of them can leave (the others do)."""
        return self._publish(subject, b"", head, payloads)

    def _publish(self, subject: bytes, reply: bytes, head: bytes, payloads: list[bytes]) -> bool:
        if not self._is_open or not _can_be_said(subject, reply):
            return False
        room: i64 = self._payload_bytes_max - len(head)
        for payload in payloads:
            if len(payload) > room:
                return self._publish_fitting(subject, reply, head, payloads, room)
        self._output_bytes += framing.frame_run(framing.publish_start(subject, reply), head, payloads, self._output)
        return True

    def _publish_fitting(self, subject: bytes, reply: bytes, head: bytes, payloads: list[bytes], room: i64) -> bool:
        """A message that is too large would end the connection, and with it everybody's: leave it out."""
        fitting = [payload for payload in payloads if len(payload) <= room]
        if fitting:
            self._publish(subject, reply, head, fitting)
        name = subject.decode("utf-8", "backslashreplace")
        self._complain(
            f"maximum payload exceeded: a message to {name} (more than {int(self._payload_bytes_max)} bytes)"
        )
        return False

    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._is_open

    def is_congested(self, subject: bytes) -> bool:
        """Whether the server is behind with what we send: all subjects share one connection."""
        return self._output_bytes + self.socket_unsent_bytes > _CONGESTED_BYTES

    def has_interest(self, subject: bytes) -> bool:
        """Cannot be known from here."""
        return True

    def watch(self, subject: bytes, watcher: InterestWatcher) -> bool:
        """Cannot be seen from here: everybody counts as present, and heartbeats tell."""
        return True

    def unwatch(self, subject: bytes, watcher: InterestWatcher) -> None:
        """Nothing was begun."""

    # The connection.

    def begin(self) -> None:
        """A socket is about to open: the server will speak first."""
        self.close()
        self.info = b""
        self.complaints = []
        self.failure = ""
        self.pings = 0
        self.pongs = 0
        self._complained = set()

    def greet(self, document: bytes) -> None:
        """Introduce ourselves with the JSON `document`; the PONG to the PING behind it says that we are taken."""
        self._say(b"CONNECT " + document + b"\r\n")
        self.ping()

    def open(self) -> None:
        """The server has taken us: subscribe again to everything. Nothing unsent of before is sent again."""
        self._is_open = True
        for subject, sid in self._sids.items():
            self._subscribe(subject, sid)

    def close(self) -> None:
        """The connection is lost: what was not sent is dropped, so that nothing old goes out later."""
        self._is_open = False
        self._ended.clear()
        self._output = []
        self._output_bytes = 0
        self.socket_unsent_bytes = 0
        self._parser = ServerParser()

    def stop_listening(self) -> None:
        """Hear no message any more; what was published before can still be sent."""
        self._sids.clear()
        self._receivers.clear()

    def ping(self) -> int:
        """Ask the server for a PONG; the connection's `pongs` is the number returned when this one is answered."""
        self.pings += 1
        self._say(framing.PING)
        return int(self.pings)

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the server, and give its messages to their receivers."""
        for operation in self._parser.feed(data):
            if isinstance(operation, Delivery):
                receiver = self._receivers.get(operation.sid)
                if receiver is not None and self._is_open:
                    receiver.on_publish(as_received(operation.publish))
            else:
                self._control(operation)

    def _control(self, operation: Operation) -> None:
        if isinstance(operation, Ping):
            self._say(framing.PONG)
        elif isinstance(operation, Pong):
            self.pongs += 1
        elif isinstance(operation, Info):
            self._inform(operation.document)
        elif isinstance(operation, Refusal):
            self._complain(operation.text)
        elif isinstance(operation, Violation):
            self.failure = operation.detail

    def _inform(self, document: bytes) -> None:
        """Learn what the server says of itself. It may say it again; nonsense counts only when it is all there is."""
        try:
            said = decode_info(document)
        except DocumentError as error:
            if not self.info:
                self.failure = f"its INFO is not understood: {error}"
            return
        self.info = document
        self._payload_bytes_max = said.max_payload if 0 < said.max_payload < 1 << 62 else 1 << 62

    def take_output(self) -> bytes:
        """What to send now; no bytes when there is nothing."""
        for sid in self._ended.values():
            self._say(b"UNSUB " + sid + b"\r\n")
        self._ended.clear()
        if not self._output:
            return b""
        data = b"".join(self._output)
        self._output = []
        self._output_bytes = 0
        return data

    @property
    def payload_bytes_max(self) -> int:
        """The largest message that the server takes, in bytes."""
        return int(self._payload_bytes_max)

    @property
    def output_bytes(self) -> int:
        """How much is waiting to be sent."""
        return int(self._output_bytes)

    def _subscribe(self, subject: bytes, sid: bytes) -> None:
        if self._is_open:
            self._say(b"SUB " + subject + b" " + sid + b"\r\n")

    def _say(self, data: bytes) -> None:
        self._output.append(data)
        self._output_bytes += len(data)

    def _complain(self, text: str) -> None:
        """Keep `text` for the log, once per connection, and not without end."""
        if text not in self._complained and len(self._complained) < _COMPLAINTS_MAX:
            self._complained.add(text)
            self.complaints.append(text)


def _can_be_said(subject: bytes, reply: bytes) -> bool:
    """Whether both fit on a control line as one word each: inboxes are what clients say they are."""
    return _is_word(subject) and (not reply or _is_word(reply)) and len(subject) + len(reply) <= _SUBJECTS_BYTES_MAX


def _is_word(name: bytes) -> bool:
    return bool(name) and b" " not in name and b"\r" not in name and b"\n" not in name and b"\t" not in name
