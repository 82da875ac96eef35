"""One client connection of the broker, without its socket: bytes in, frames for the client gathered in `take_output`.

What a session does to others it does through the router. What it cannot do itself (close a socket, know how much of
its output is still unsent) it asks of its `Link`, which the transport implements.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from durabus.broker.auth import Gate
from durabus.broker.sublist import Subscription
from durabus.wire import framing
from durabus.wire.documents import DocumentError, decode_connect
from durabus.wire.frame_parser import KnownLine
from durabus.wire.operations import Connect, Operation, Ping, Pong, Publish, Subscribe, Unsubscribe, Violation
from durabus.wire.parser import Parser
from durabus.wire.subjects import is_literal_subject, is_subject

__all__ = ["ClientSubscription", "Exchange", "Link", "Session", "SessionLimits", "Tracer"]

SLOW_CONSUMER: Final = "Slow Consumer"
_RUN_PIECES: Final = 3
"""As many pieces come out of a run of payloads of one size."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Tracer:
    """Reads along what is said on connections (-V), and what the server says and hears by itself (-VV)."""

    def on_heard(self, session: "Session", operation: Operation) -> None:
        """A client said `operation`; it is about to be followed."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_said(self, session: "Session", lines: bytes) -> None:
        """A client is told `lines`, whole ones, none of them a message."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_delivered(self, session: "Session", start: bytes, head_bytes: int, payloads: list[bytes]) -> None:
        """A client is sent messages; `start` is their control line up to the size, `head_bytes` come before each."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_ended(self, session: "Session", sid: bytes) -> None:
        """A client's subscription ended."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_own(self, line: bytes, head: bytes, payloads: list[bytes]) -> None:
        """The server itself said `line`, for messages `head + payload` with the start of one."""
        raise NotImplementedError  # pragma: no cover - abstract


class SessionLimits:
    """What one client may do; sizes in bytes, times in nanoseconds."""

    def __init__(
        self,
        control_line_bytes_max: int,
        payload_bytes_max: int,
        pending_bytes_max: int,
        ping_interval_ns: int,
        pings_out_max: int,
    ) -> None:
        """Keep the limits; docs/protocol.md §11.4 has the defaults."""
        self.control_line_bytes_max = control_line_bytes_max
        self.payload_bytes_max = payload_bytes_max
        self.pending_bytes_max: i64 = pending_bytes_max
        self.ping_interval_ns = ping_interval_ns
        self.pings_out_max = pings_out_max
        self.gate: Gate | None = None  # who may connect; None: everybody
        self.subscriptions_max = 0  # of one connection; 0: no limit
        self.subject_tokens_max = 0  # of a subject to subscribe to; 0: no limit
        self.with_headers = True
        self.tracer: Tracer | None = None  # who reads along; all sessions see a change at once
        self.known_lines: dict[bytes, KnownLine] = {}  # what their parsers remember together


@mypyc_attr(allow_interpreted_subclasses=True)
class Link:
    """The session's way to its socket."""

    def unsent_bytes(self) -> int:
        """How many bytes that were handed over are not yet taken by the kernel."""
        raise NotImplementedError  # pragma: no cover - abstract

    def write(self, data: bytes) -> None:
        """Send `data`; never blocks."""
        raise NotImplementedError  # pragma: no cover - abstract

    def close(self, reason: str, at_once: bool) -> None:
        """Close the socket, after what is unsent or (`at_once`) without it; `reason` is for the log."""
        raise NotImplementedError  # pragma: no cover - abstract


class ClientSubscription(Subscription):
    """A subscription that leads to a client."""

    def __init__(self, session: "Session", subject: bytes, queue: bytes, sid: bytes) -> None:
        """Keep the arguments of the SUB line."""
        super().__init__(subject, queue)
        self.session = session
        self.sid = sid
        self.delivered_count_max: i64 = 0  # 0: no end


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange:
    """What a session needs of the router; the router implements it."""

    def route(self, publish: Publish, origin: "Session") -> None:
        """Give the run `publish` to whoever listens."""
        raise NotImplementedError  # pragma: no cover - abstract

    def add(self, subscription: ClientSubscription) -> None:
        """Begin a subscription."""
        raise NotImplementedError  # pragma: no cover - abstract

    def discard(self, subscription: ClientSubscription) -> None:
        """End a subscription."""
        raise NotImplementedError  # pragma: no cover - abstract

    def mark_dirty(self, session: "Session") -> None:
        """`session` has output for the next flush."""
        raise NotImplementedError  # pragma: no cover - abstract


class Session:
    """One connection. `client_id` is the broker's number for it (1 and up), not a STAN client ID."""

    def __init__(self, client_id: int, address: str, exchange: Exchange, link: Link, limits: SessionLimits) -> None:
        """Begin with no subscriptions and the options of a client that has not sent CONNECT yet."""
        self.client_id = client_id
        self.address = address
        self.port = 0
        self.user = ""
        self.name = ""
        self.lang = ""
        self.version = ""
        self.is_closed = False
        self.is_admitted = limits.gate is None
        self.verbose = True
        self.pedantic = True
        self.echo = True
        self.headers = False
        self.no_responders = False
        self.subscriptions: dict[bytes, ClientSubscription] = {}
        self.ended_subscriptions: list[ClientSubscription] = []  # those that ended with the session
        self.is_dirty = False
        self.is_writing_paused = False  # the transport says that the client does not read as fast as we write
        self.in_messages: i64 = 0
        self.in_bytes: i64 = 0
        self.out_messages: i64 = 0
        self.out_bytes: i64 = 0
        self.out_payload_bytes: i64 = 0
        self.pings_out = 0
        self.start_ns = 0
        self.last_active_ns = 0
        self.last_used_ns = 0  # when the client last said something else than PING or PONG
        self.round_trip_ns = 0  # 0: never measured
        self._exchange = exchange
        self._link = link
        self._limits = limits
        self._parser = Parser(limits.control_line_bytes_max, limits.payload_bytes_max, limits.known_lines)
        self._output: list[bytes] = []
        self._output_bytes: i64 = 0
        self._is_introduced = False
        self._ping_sent_ns = 0

    def label(self) -> str:
        """The connection as the log calls it: its address, its number, and what the client calls itself."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        label = f"{host}:{self.port} - cid:{self.client_id}"
        version = "v" + self.version if self.version else ""
        own = ":".join([text for text in (version, self.lang, self.name) if text])
        own = own.replace("\\", "\\\\").replace('"', '\\"')
        return f'{label} - "{own}"' if own else label

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take the next bytes from the client, at monotonic time `now_ns`, and act on them."""
        self.last_active_ns = now_ns
        for operation in self._parser.feed(data):
            if self.is_closed:
                return
            tracer = self._limits.tracer
            if tracer is not None:
                tracer.on_heard(self, operation)
            if not self.is_admitted and not isinstance(operation, (Connect, Violation)):
                self.fail("Authorization Violation", "the client spoke before it said who it is")
                return
            if isinstance(operation, Publish):
                self.last_used_ns = now_ns
                self._publish(operation)
            else:
                self._control(operation)

    def _publish(self, publish: Publish) -> None:
        count = len(publish.payloads)
        self.in_messages += count
        self.in_bytes += count * len(publish.payloads[0])
        answer = framing.OK if self.verbose else b""
        if self.pedantic and not is_literal_subject(publish.subject):
            answer = framing.error_line("Invalid Publish Subject") + answer
        if answer:
            self.send(answer * count)
        self._exchange.route(publish, self)

    def _control(self, operation: Operation) -> None:
        if isinstance(operation, Ping):
            self.send(framing.PONG)
            if self._is_introduced and not self.round_trip_ns:
                # As the original: a client's first PING answers what it read of us.
                self.round_trip_ns = self.last_active_ns - self.start_ns
            return
        if isinstance(operation, Pong):
            self.pings_out = 0
            if self._ping_sent_ns:
                self.round_trip_ns = self.last_active_ns - self._ping_sent_ns
                self._ping_sent_ns = 0
            return
        self.last_used_ns = self.last_active_ns
        if isinstance(operation, Subscribe):
            self._subscribe(operation)
        elif isinstance(operation, Unsubscribe):
            self._unsubscribe(operation)
        elif isinstance(operation, Connect):
            self._connect(operation)
        elif isinstance(operation, Violation):
            self.fail(operation.answer, operation.detail)

    def _connect(self, connect: Connect) -> None:
        try:
            document = decode_connect(connect.document)
        except DocumentError as error:
            self.fail("", f"CONNECT: {error}")
            return
        # Monitoring shows also of those who are sent away what they said of themselves.
        self.user = document.user
        self.name = document.name
        self.lang = document.lang
        self.version = document.version
        gate = self._limits.gate
        if gate is not None and not gate.admits(document.user, document.password, document.auth_token):
            self.fail("Authorization Violation", f"user {document.user!r} was not admitted")
            return
        self.is_admitted = True
        if not 0 <= document.protocol <= 1:
            self.fail("invalid client protocol", f"CONNECT with protocol {document.protocol}")
            return
        if document.no_responders and not document.headers:
            self.fail("no responders requires headers support", "CONNECT with no_responders but not headers")
            return
        self.verbose = document.verbose
        self.pedantic = document.pedantic
        self.echo = document.echo
        self.headers = document.headers and self._limits.with_headers
        self.no_responders = document.no_responders
        self._is_introduced = True
        self._confirm()

    def _subscribe(self, subscribe: Subscribe) -> None:
        if not is_subject(subscribe.subject):
            self.send(framing.error_line("Invalid Subject"))
            return
        limits = self._limits
        if limits.subject_tokens_max and subscribe.subject.count(b".") >= limits.subject_tokens_max:
            self.send(framing.error_line("subject has exceeded number of tokens limit"))
            return
        if limits.subscriptions_max and len(self.subscriptions) >= limits.subscriptions_max:
            self.send(framing.error_line("maximum subscriptions exceeded"))
            return
        if subscribe.sid not in self.subscriptions:
            subscription = ClientSubscription(self, subscribe.subject, subscribe.queue, subscribe.sid)
            self.subscriptions[subscribe.sid] = subscription
            self._exchange.add(subscription)
        self._confirm()

    def _unsubscribe(self, unsubscribe: Unsubscribe) -> None:
        subscription = self.subscriptions.get(unsubscribe.sid)
        if subscription is not None:
            count_max: i64 = unsubscribe.message_count_max
            if count_max > subscription.delivered_count:
                subscription.delivered_count_max = count_max
            else:
                self.drop(subscription)
        self._confirm()

    def _confirm(self) -> None:
        if self.verbose:
            self.send(framing.OK)

    def drop(self, subscription: ClientSubscription) -> None:
        """End one of this session's subscriptions."""
        if self.subscriptions.pop(subscription.sid, None) is not None:
            self._exchange.discard(subscription)
            if self._limits.tracer is not None:
                self._limits.tracer.on_ended(self, subscription.sid)

    def deliver(
        self,
        subscription: ClientSubscription,
        subject: bytes,
        reply: bytes,
        header_bytes: int,
        head: bytes,
        payloads: list[bytes],
    ) -> bool:
        """Send the messages `head + payload` for `subscription`; whether at least one was due to it."""
        if self.is_closed:
            return False
        given = payloads
        if subscription.delivered_count_max:
            left: i64 = subscription.delivered_count_max - subscription.delivered_count
            if left <= len(payloads):
                given = payloads[:left]
                self.drop(subscription)
        if not given:
            return False
        if header_bytes and not self.headers:
            given = [payload[header_bytes:] for payload in given]
            header_bytes = 0
        count: i64 = len(given)
        subscription.delivered_count += count
        start = framing.message_start(subject, subscription.sid, reply, header_bytes)
        if self._limits.tracer is not None:
            self._limits.tracer.on_delivered(self, start, len(head), given)
        pieces: i64 = len(self._output)
        size = framing.frame_run(start, head, given, self._output)
        self.out_messages += count
        self.out_bytes += size
        if len(self._output) - pieces == _RUN_PIECES:
            self.out_payload_bytes += count * (len(head) + len(given[0]))
        else:
            for payload in given:
                self.out_payload_bytes += len(head) + len(payload)
        self._grow(size)
        return True

    def send(self, data: bytes) -> None:
        """Send `data`, whole protocol lines, as it is."""
        if not self.is_closed:
            if self._limits.tracer is not None:
                self._limits.tracer.on_said(self, data)
            self._output.append(data)
            self._grow(len(data))

    def _grow(self, count: i64) -> None:
        """Note `count` more bytes of output; cut this client off when it does not read."""
        self._output_bytes += count
        if self._output_bytes > self._limits.pending_bytes_max or (
            self._output_bytes > 65536
            and self._output_bytes + self._link.unsent_bytes() > self._limits.pending_bytes_max
        ):
            self._output.clear()
            self._output_bytes = 0
            self.close(SLOW_CONSUMER, True)
        elif not self.is_dirty:
            self.is_dirty = True
            self._exchange.mark_dirty(self)

    def pending_bytes(self) -> int:
        """Output that the client has not taken yet."""
        return int(self._output_bytes) + self._link.unsent_bytes()

    def is_congested(self) -> bool:
        """Whether the client has an eighth of what it may have unsent: whoever can wait should."""
        unsent: i64 = self._output_bytes
        if self.is_writing_paused:
            unsent += self._link.unsent_bytes()
        return unsent > self._limits.pending_bytes_max // 8

    def flush(self) -> None:
        """Hand the gathered output to the link; called by the shell once per turn."""
        self.is_dirty = False
        if not self._output:
            return
        data = b"".join(self._output)
        self._output.clear()
        self._output_bytes = 0
        if len(data) + self._link.unsent_bytes() > self._limits.pending_bytes_max:
            self.close(SLOW_CONSUMER, True)
        else:
            self._link.write(data)

    def on_ping_time(self, now_ns: int) -> int:
        """Check that the client is alive, at monotonic time `now_ns`; when to check again, 0 for never."""
        if self.is_closed:
            return 0
        idle_ns = now_ns - self.last_active_ns
        if idle_ns < self._limits.ping_interval_ns:
            return now_ns + self._limits.ping_interval_ns - idle_ns
        if self.pings_out >= self._limits.pings_out_max:
            self.fail("Stale Connection", "no answer to our pings")
            return 0
        self.pings_out += 1
        self._ping_sent_ns = now_ns
        self.send(framing.PING)
        return now_ns + self._limits.ping_interval_ns

    def fail(self, answer: str, detail: str) -> None:
        """Close because of the peer: with an `-ERR` line when `answer` is not empty; `detail` is for the log."""
        if not self.is_closed:
            if answer:
                line = framing.error_line(answer)
                self._output.append(line)
                if self._limits.tracer is not None:
                    self._limits.tracer.on_said(self, line)
            self.close(f"{answer or 'Protocol Violation'}: {detail}", False)

    def close(self, reason: str, at_once: bool) -> None:
        """End the session and its subscriptions, and close the link unless that is why we are here."""
        if self.is_closed:
            return
        if not at_once and self._output:
            self._link.write(b"".join(self._output))
        self._output.clear()
        self.is_closed = True
        self.ended_subscriptions = list(self.subscriptions.values())
        for subscription in self.ended_subscriptions:
            self.drop(subscription)
        self._link.close(reason, at_once)
