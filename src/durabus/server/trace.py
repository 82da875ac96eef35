"""The protocol of connections as trace lines (-V), in the form of nats-server, and what the server says itself (-VV).

    [TRC] 127.0.0.1:5222 - cid:8 - "v1:go:shop" - <<- [PUB foo 5]
    [TRC] 127.0.0.1:5222 - cid:8 - "v1:go:shop" - <<- MSG_PAYLOAD: ["hello"]
    [TRC] 127.0.0.1:5222 - cid:9 - ->> [MSG foo 1 5]

`<<-` was heard, `->>` was said, `<->` happened. Nothing here shows what a client proves its identity with.
"""

from durabus.broker.broker import Broker
from durabus.broker.session import Session, Tracer
from durabus.config.options import LogOptions
from durabus.config.units import quote
from durabus.logs import Log
from durabus.wire.operations import Connect, Operation, Ping, Pong, Publish, Subscribe, Unsubscribe

__all__ = ["ProtocolTrace", "trace_broker"]

SECRETS = ("pass", "auth_token", "jwt", "sig")
REDACTED = "[REDACTED]"
OWN = "SERVER"


def trace_broker(broker: Broker, options: LogOptions, log: Log) -> None:
    """Have `broker` traced as `options` say, from now on."""
    tracer = ProtocolTrace(log, options.max_traced_message_bytes) if options.broker_trace else None
    broker.settings.limits.tracer = tracer
    broker.router.tracer = tracer if options.broker_trace_verbose else None


class ProtocolTrace(Tracer):
    """Writes what it reads to a log."""

    def __init__(self, log: Log, message_bytes_max: int) -> None:
        """Show at most `message_bytes_max` bytes of a message; 0: all of it."""
        self._log = log
        self._message_bytes_max = message_bytes_max

    def on_heard(self, session: Session, operation: Operation) -> None:
        """A line for what a client said, and one more for each message."""
        label = session.label()
        if isinstance(operation, Publish):
            verb = "HPUB" if operation.header_bytes else "PUB"
            words = words_of(verb, operation.subject, operation.reply, operation.header_bytes or "")
            for payload in operation.payloads:
                self._log.trace(f"{label} - <<- [{words} {len(payload)}]")
                self._log.trace(f"{label} - <<- MSG_PAYLOAD: [{self._shown(payload)}]")
            return
        line = control_line(operation)
        if line:
            self._log.trace(f"{label} - <<- [{line}]")

    def on_said(self, session: Session, lines: bytes) -> None:
        """A line for each that a client is told; INFO is none of them, as in the original."""
        label = session.label()
        for line in text(lines).split("\r\n"):
            verb, _, rest = line.partition(" ")
            if verb == "-ERR":
                self._log.trace(f"{label} - ->> [-ERR {rest[1:-1]}]")
            elif verb and verb != "INFO":
                self._log.trace(f"{label} - ->> [{verb.removeprefix('+')}]")

    def on_delivered(self, session: Session, start: bytes, head_bytes: int, payloads: list[bytes]) -> None:
        """A line for each message that a client gets."""
        label, begin = session.label(), text(start)
        for payload in payloads:
            self._log.trace(f"{label} - ->> [{begin}{head_bytes + len(payload)}]")

    def on_ended(self, session: Session, sid: bytes) -> None:
        """A line for the end of a subscription."""
        self._log.trace(f"{session.label()} - <-> [DELSUB {text(sid)}]")

    def on_own(self, line: bytes, head: bytes, payloads: list[bytes]) -> None:
        """A line for what the server does by itself, and two for each message."""
        if not payloads:
            self._log.trace(f"{OWN} - <<- [{text(line)}]")
        for payload in payloads:
            self._log.trace(f"{OWN} - <<- [{text(line)}{len(head) + len(payload)}]")
            self._log.trace(f"{OWN} - <<- MSG_PAYLOAD: [{self._shown(head + payload)}]")

    def _shown(self, payload: bytes) -> str:
        """A message in quotes, cut off where it is too long."""
        if not 0 < self._message_bytes_max < len(payload):
            return quote(text(payload))
        return quote(text(payload[: self._message_bytes_max]))[:-1] + '..."'


def control_line(operation: Operation) -> str:
    """The line of what is no message; empty for what breaks the protocol, which the answer tells."""
    match operation:
        case Connect():
            return f"CONNECT {shown_document(operation.document)}"
        case Subscribe():
            return words_of("SUB", operation.subject, operation.queue, operation.sid)
        case Unsubscribe():
            return words_of("UNSUB", operation.sid, operation.message_count_max or "")
        case Ping():
            return "PING"
        case Pong():
            return "PONG"
    return ""


def shown_document(document: bytes) -> str:
    """What a client says of itself, without its secrets; nothing of it where they cannot be told from the rest."""
    import json  # only who traces needs it

    try:
        said = json.loads(document)
    except (ValueError, RecursionError):
        return REDACTED
    if not isinstance(said, dict):
        return REDACTED
    shown = {name: REDACTED if name.lower() in SECRETS and value else value for name, value in said.items()}
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)


def words_of(*parts: bytes | str | int) -> str:
    """The parts that there are, as words of a line."""
    return " ".join(
        text(part) if isinstance(part, bytes) else str(part) for part in parts if part != b"" and part != ""
    )


def text(data: bytes) -> str:
    """Bytes as text, for the log to escape what is not printable."""
    return data.decode("utf-8", "surrogateescape")
