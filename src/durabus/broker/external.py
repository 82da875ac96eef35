"""A NATS network behind one connection to another server: the same `Bus`, without the presence that sockets give.

This is the connection's mind, without its socket: `feed` takes what the server said, `take_output` gives what to send.
`durabus.broker.uplink` puts a socket to it, and a new one when that is lost. One connection carries everything, so that
what a client said in an order is heard in that order.
"""

from mypy_extensions import i64

from durabus.broker.bus import Bus, InterestWatcher, Receiver
from durabus.wire import framing
from durabus.wire.operations import Delivery, Info, Operation, Ping, Pong, Refusal, Violation
from durabus.wire.server_parser import ServerParser

__all__ = ["ExternalBus"]


class ExternalBus(Bus):
    """The core's bus while it is a client of another NATS server."""

    def __init__(self) -> None:
        """Not connected, nothing subscribed."""
        self.info = b""  # the JSON text of the server's last INFO
        self.refusal = ""  # the server's last -ERR
        self.pongs: i64 = 0
        self.failure = ""  # why the connection is of no use any more, from the parser
        self._receivers: dict[bytes, Receiver] = {}  # by sid
        self._sids: dict[bytes, bytes] = {}  # by subject
        self._sid_last = 0
        self._is_open = False
        self._parser = ServerParser()
        self._output: list[bytes] = []
        self._output_bytes: i64 = 0

    # The bus.

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        """Give everything published on `subject` to `receiver`; asked for again after every reconnect."""
        self.unsubscribe(subject)
        self._sid_last += 1
        sid = b"%d" % self._sid_last
        self._sids[subject] = sid
        self._receivers[sid] = receiver
        self._say(b"SUB " + subject + b" " + sid + b"\r\n")

    def unsubscribe(self, subject: bytes) -> None:
        """End what `subscribe` began."""
        sid = self._sids.pop(subject, None)
        if sid is not None:
            del self._receivers[sid]
            self._say(b"UNSUB " + sid + b"\r\n")

    def publish(self, subject: bytes, reply: bytes, payload: bytes) -> bool:
        """Publish one message. Nobody knows who listens: the answer to a request without listeners says so."""
        if not subject or not self._is_open:
            return False
        return self._publish(framing.publish_start(subject, reply), b"", [payload])

    def publish_run(self, subject: bytes, head: bytes, payloads: list[bytes]) -> bool:
        """Publish the messages `head + payload`, in order."""
        if not subject or not self._is_open:
            return False
        return self._publish(framing.publish_start(subject, b""), head, payloads)

    def _publish(self, start: bytes, head: bytes, payloads: list[bytes]) -> bool:
        self._output_bytes += framing.frame_run(start, head, payloads, self._output)
        return True

    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._is_open

    def has_interest(self, subject: bytes) -> bool:
        """Cannot be known from here."""
        return True

    def watch(self, subject: bytes, watcher: InterestWatcher) -> bool:
        """Cannot be seen from here: everybody counts as present, and heartbeats tell."""
        return True

    def unwatch(self, subject: bytes, watcher: InterestWatcher) -> None:
        """Nothing was begun."""

    # The connection.

    def open(self, greeting: bytes) -> None:
        """A connection stands: say `greeting`, and subscribe again to everything. Nothing unsent is sent again."""
        self._is_open = True
        self._output = [greeting]
        self._output_bytes = len(greeting)
        for subject, sid in self._sids.items():
            self._say(b"SUB " + subject + b" " + sid + b"\r\n")

    def close(self) -> None:
        """The connection is lost: what was not sent is dropped, so that nothing old goes out later."""
        self._is_open = False
        self._output = []
        self._output_bytes = 0
        self._parser = ServerParser()
        self.failure = ""

    def begin(self) -> None:
        """A socket is open: the server will speak first."""
        self._parser = ServerParser()
        self.info = b""
        self.refusal = ""
        self.failure = ""

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the server, and give its messages to their receivers."""
        for operation in self._parser.feed(data):
            if isinstance(operation, Delivery):
                receiver = self._receivers.get(operation.sid)
                if receiver is not None:
                    receiver.on_publish(operation.publish)
            else:
                self._control(operation)

    def _control(self, operation: Operation) -> None:
        if isinstance(operation, Ping):
            self._output.append(framing.PONG)
            self._output_bytes += len(framing.PONG)
        elif isinstance(operation, Pong):
            self.pongs += 1
        elif isinstance(operation, Info):
            self.info = operation.document
        elif isinstance(operation, Refusal):
            self.refusal = operation.text
        elif isinstance(operation, Violation):
            self.failure = operation.detail

    def take_output(self) -> bytes:
        """What to send now; no bytes when there is nothing."""
        if not self._output:
            return b""
        data = b"".join(self._output)
        self._output = []
        self._output_bytes = 0
        return data

    @property
    def output_bytes(self) -> int:
        """How much is waiting to be sent."""
        return int(self._output_bytes)

    def _say(self, data: bytes) -> None:
        if self._is_open:
            self._output.append(data)
            self._output_bytes += len(data)
