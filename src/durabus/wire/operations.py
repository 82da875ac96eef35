"""What the two ends of a NATS connection can say, as values: parsers make them, sessions act on them.

A client's words are those of docs/protocol.md §1; at the end are the words of a server, for when we are the client.
"""

__all__ = [
    "Connect",
    "Delivery",
    "Info",
    "Ok",
    "Operation",
    "Ping",
    "Pong",
    "Publish",
    "Refusal",
    "Subscribe",
    "Unsubscribe",
    "Violation",
]


class Operation:
    """Anything that a client said."""


class Connect(Operation):
    """CONNECT: `document` is the JSON text, not yet decoded."""

    def __init__(self, document: bytes) -> None:
        """Keep the JSON text of the line."""
        self.document = document


class Publish(Operation):
    """PUB and HPUB: a run of consecutive messages whose control lines were the same, byte for byte.

    A run costs one object however many messages it holds: this is what keeps the hot path free of an object per
    message. `payloads` has at least one entry, each of the same size; with `header_bytes` > 0 every payload begins with
    a header block of that many bytes.
    """

    def __init__(self, subject: bytes, reply: bytes, header_bytes: int, payloads: list[bytes]) -> None:
        """Keep the run; `reply` is empty when the line had none."""
        self.subject = subject
        self.reply = reply
        self.header_bytes = header_bytes
        self.payloads = payloads


class Subscribe(Operation):
    """SUB: `queue` is empty for a plain subscription; `sid` is the client's own name for it."""

    def __init__(self, subject: bytes, queue: bytes, sid: bytes) -> None:
        """Keep the arguments of the line, not yet validated."""
        self.subject = subject
        self.queue = queue
        self.sid = sid


class Unsubscribe(Operation):
    """UNSUB: at once when `message_count_max` is 0, else once that many messages were delivered in total."""

    def __init__(self, sid: bytes, message_count_max: int) -> None:
        """Keep the arguments of the line."""
        self.sid = sid
        self.message_count_max = message_count_max


class Ping(Operation):
    """PING: wants a PONG."""


class Pong(Operation):
    """PONG: answers ours."""


class Violation(Operation):
    """The peer broke the protocol: the last operation of its connection.

    `answer` is the text for the `-ERR` line (empty: the original closes without a word), `detail` names the bytes, for
    the log.
    """

    def __init__(self, answer: str, detail: str) -> None:
        """Keep both texts."""
        self.answer = answer
        self.detail = detail


class Info(Operation):
    """INFO, from a server: `document` is the JSON text, not yet decoded."""

    def __init__(self, document: bytes) -> None:
        """Keep the JSON text of the line."""
        self.document = document


class Delivery(Operation):
    """MSG and HMSG, from a server: a run of consecutive messages with the same control line, for subscription `sid`."""

    def __init__(self, sid: bytes, publish: Publish) -> None:
        """Keep the run, in the form in which receivers take it."""
        self.sid = sid
        self.publish = publish


class Ok(Operation):
    """+OK, from a server."""


class Refusal(Operation):
    """-ERR, from a server: `text` without its quotes."""

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self.text = text
