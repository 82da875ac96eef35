"""A whole bus in the test's own process, under virtual time: router, core and a store, and clients with real sessions.

Everything is synchronous. What a client says is one turn of the bus; when a call returns, all that it caused has arrived
at everybody, and clients have answered their heartbeats. `with bus.turn():` makes one turn of several calls. Time stands
still but for `bus.advance(seconds)`, which stops at every deadline on its way.

    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    sub = b.subscribe("foo", durable="d", max_in_flight=2)
    assert a.publish("foo", b"one", b"two") == [PubAck("a.1"), PubAck("a.2")]
    assert sub.sequences == [1, 2]
    sub.ack(1)
    bus.advance(30)
    assert sub.messages[-1].redelivered

The messages are written and read by the protobuf library, never by the codec under test.
"""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from durabus.broker.bus import Bus as BusPort
from durabus.broker.router import Router
from durabus.broker.session import Link, Session, SessionLimits
from durabus.clock import ManualClock
from durabus.stores.memory import MemoryStore
from durabus.streaming.core import Core
from durabus.streaming.log_port import Log
from durabus.streaming.options import CoreOptions
from durabus.streaming.store_port import Recovered, Store
from tests.streaming.messages import Delivered, PubAck, as_delivered, decoded, encoded, frames

__all__ = [
    "FIRST",
    "LAST_RECEIVED",
    "NEW_ONLY",
    "SECOND_NS",
    "SEQUENCE",
    "TIME_DELTA",
    "Bus",
    "Client",
    "Delivered",
    "FakeLink",
    "PubAck",
    "RecordingLog",
    "Sub",
    "as_delivered",
    "at_once",
    "decoded",
    "encoded",
]

T = TypeVar("T")

SECOND_NS = 1_000_000_000
NEW_ONLY, LAST_RECEIVED, TIME_DELTA, SEQUENCE, FIRST = range(5)
CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"protocol":1,"headers":true,"no_responders":true}\r\n'
MAX_PAYLOAD_BYTES = 1024 * 1024
_TURNS_WITHOUT_TIME_MAX = 10_000


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise AssertionError("this coroutine waits for something")


class RecordingLog(Log):
    """Keeps its lines, as `(level, text)`."""

    def __init__(self) -> None:
        super().__init__(debug_on=True)
        self.lines: list[tuple[str, str]] = []

    def trace(self, text: str) -> None:
        self.lines.append(("trace", text))

    def debug(self, text: str) -> None:
        self.lines.append(("debug", text))

    def info(self, text: str) -> None:
        self.lines.append(("info", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def error(self, text: str) -> None:
        self.lines.append(("error", text))

    def texts(self, level: str) -> list[str]:
        """The lines of one level."""
        return [text for at, text in self.lines if at == level]


class FakeLink(Link):
    """A socket whose peer has everything at once."""

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.closed_because = ""

    def unsent_bytes(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.arrived += data

    def close(self, reason: str, at_once: bool) -> None:
        self.closed_because = reason


class Bus:
    """One server of the cluster `test-cluster`, its clients, and the time."""

    def __init__(self, store: Store | None = None, options: CoreOptions | None = None, *, listens: bool = True) -> None:
        self.clock = ManualClock()
        self.clock.advance(1000 * SECOND_NS)
        self.start_ns = self.clock.monotonic_ns()
        self.log = RecordingLog()
        self.store = store or MemoryStore()
        self.options = options or CoreOptions()
        self.clients: list[Client] = []
        self.activations = 0
        self._in_turn = False
        self._is_settling = False
        self._sessions = 0
        self.router = Router()
        self.core = self._activate(listens=listens)

    # Time and turns.

    @property
    def now_s(self) -> float:
        """Virtual seconds since the bus was made."""
        return (self.clock.monotonic_ns() - self.start_ns) / SECOND_NS

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Whatever is said within is one turn of the bus; within another turn this is a part of it."""
        if self._in_turn:
            yield
            return
        self._in_turn = True
        self.core.begin(self.clock.monotonic_ns(), self.clock.wall_ns())
        try:
            yield
        finally:
            self._in_turn = False
        self.core.end_turn()
        self.settle()

    def settle(self) -> None:
        """Let everything arrive that is on its way, everybody answer, and everything be done that is due."""
        if self._is_settling:
            return
        self._is_settling = True
        try:
            for _ in range(_TURNS_WITHOUT_TIME_MAX):
                self.router.flush()
                arrived = [client for client in self.clients if client.link is not None and client.link.arrived]
                for client in arrived:
                    client.hear()
                now_ns = self.clock.monotonic_ns()
                if arrived:
                    continue
                if not 0 < self.core.next_deadline_ns() <= now_ns:
                    return
                self.core.advance(now_ns, self.clock.wall_ns())
        finally:
            self._is_settling = False
        raise AssertionError("the bus does not come to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, with a stop at every deadline."""
        target_ns = self.clock.monotonic_ns() + round(seconds * SECOND_NS)
        self.settle()
        while 0 < self.core.next_deadline_ns() <= target_ns:
            self.clock.advance(self.core.next_deadline_ns() - self.clock.monotonic_ns())
            self.settle()
        self.clock.advance(target_ns - self.clock.monotonic_ns())

    # The server.

    def _activate(self, recovered: Recovered | None = None, *, listens: bool = True) -> Core:
        self.activations += 1
        self.options.instance = b"%012d" % self.activations
        core = Core(self.options, self.bus_port(), self.store, self.log)
        recovered = recovered or at_once(self.store.recover(None))
        core.begin(self.clock.monotonic_ns(), self.clock.wall_ns())
        core.restore(recovered, 0)
        if listens:
            core.listen()
            core.end_turn()
        return core

    def bus_port(self) -> BusPort:
        """What the core publishes on; a subclass may put something in between."""
        return self.router

    def recover(self) -> None:
        """Let a new core take over on the same sockets, as the server does after a batch that failed."""
        recovered = at_once(self.store.recover(None))
        self.core.end_turn()
        self.core.detach()
        self.core = self._activate(recovered)
        self.settle()

    def restart(self, *, crash: bool = False, absent_s: float = 0.0) -> None:
        """End the process, and start it again on the same store; clients that were connected come back by themselves.

        A graceful end stores positions, a crash does not. The server is away for `absent_s`.
        """
        if not crash:
            self.core.begin(self.clock.monotonic_ns(), self.clock.wall_ns())
            self.core.finish()
            self.settle()
        there = [client for client in self.clients if client.link is not None]
        for client in there:
            client.link = None
        self.clock.advance(round(absent_s * SECOND_NS))
        self.router = Router()
        self.core = self._activate()
        for client in there:
            client.return_()

    # Clients.

    def dial(self, name: str) -> "Client":
        """A connection to the broker, whose user has not introduced itself as a streaming client yet."""
        client = Client(self, name)
        self.clients.append(client)
        client.return_()
        return client

    def connect(self, name: str, *, hangs: bool = False, **request: object) -> "Client":
        """A registered client. It answers heartbeats unless it `hangs`; `request` are fields of its ConnectRequest."""
        client = self.dial(name)
        client.hangs = hangs
        client.connect(**request)
        assert client.is_connected, client.connect_error
        return client

    def open_session(self, link: Link) -> Session:
        """A connection of the broker."""
        self._sessions += 1
        limits = SessionLimits(4096, MAX_PAYLOAD_BYTES, 64 * 1024 * 1024, 120 * SECOND_NS, 2)
        return Session(self._sessions, "10.0.0.1:1", self.router.exchange, link, limits)

    # What the store holds.

    def stored(self, channel: str) -> list[Delivered]:
        """The messages of a channel, as they lie in the store."""
        known = self.core.state.channels.get(channel.encode())
        if known is None or not known.message_count:
            return []
        found: list[Delivered] = []
        at = int(known.first)
        while True:
            bodies = self.store.read_now(known.channel_id, at, 1000, 1 << 30)
            assert bodies is not None
            if not bodies:
                return found
            found += self.as_messages(bodies)
            at += len(bodies)

    def as_messages(self, bodies: list[bytes]) -> list[Delivered]:
        """Stored bodies as messages."""
        return [as_delivered(body, self.now_s) for body in bodies]


class Client:
    """A streaming client on a NATS connection of its own. `heard` is all that arrived: `(subject, payload)`.

    `hangs`: it is connected, and does nothing by itself. `heartbeats` are the seconds at which it was asked.
    """

    def __init__(self, bus: Bus, name: str) -> None:
        self.bus = bus
        self.name = name
        self.hangs = False
        self.link: FakeLink | None = None
        self.session: Session | None = None
        self.key = f"{name}{len(bus.clients)}"
        self.connection_id = f"conn-{self.key}".encode()
        self.heartbeat_inbox = f"_INBOX.hb-{self.key}"
        self.listens_to_heartbeats = False
        self.response: dict[str, Any] = {}
        self.heard: list[tuple[bytes, bytes]] = []
        self.heartbeats: list[float] = []
        self.subscriptions: list[Sub] = []
        self.errors: list[bytes] = []
        self._answers: dict[bytes, Callable[[bytes], None]] = {}
        self._count = 0
        self._guids = 0
        self._sid = 0
        self._inboxes: dict[bytes, bytes] = {}  # sid -> subject, kept across connections
        self._inboxes[self._next_sid()] = f"_INBOX.{self.key}.>".encode()

    # The connection.

    def say(self, data: bytes) -> None:
        """Send bytes on the socket."""
        assert self.session is not None and self.link is not None, f"{self.name} is not connected"
        with self.bus.turn():
            self.session.feed(data, self.bus.clock.monotonic_ns())

    def vanish(self) -> None:
        """Lose the socket without a word, as a process that is killed."""
        assert self.session is not None
        with self.bus.turn():
            session, self.link, self.session = self.session, None, None
            session.close("Client Closed", at_once=True)

    def return_(self) -> None:
        """Connect (again), and listen where it listened before, as a NATS client that reconnects."""
        assert self.link is None, f"{self.name} is connected"
        self.link = FakeLink()
        self.session = self.bus.open_session(self.link)
        self.say(CONNECT + b"".join(b"SUB %b %b\r\n" % (inbox, sid) for sid, inbox in self._inboxes.items()))

    def hear(self) -> None:
        """Take what has arrived."""
        assert self.link is not None
        data = bytes(self.link.arrived)
        self.link.arrived.clear()
        with self.bus.turn():
            for subject, reply, payload in frames(data, self.errors, self.pong):
                self._on_message(subject, reply, payload)

    def pong(self) -> None:
        """Answer the broker's ping."""
        if not self.hangs:
            self.say(b"PONG\r\n")

    def _on_message(self, subject: bytes, reply: bytes, payload: bytes) -> None:
        self.heard.append((subject, payload))
        if subject == self.heartbeat_inbox.encode():
            self.heartbeats.append(self.bus.now_s)
            if not self.hangs:
                self.send(reply, b"")
            return
        if (answer := self._answers.get(subject)) is not None:
            answer(payload)
            return
        for sub in self.subscriptions:
            if sub.inbox.encode() == subject:
                sub.take(payload)

    def _next_sid(self) -> bytes:
        self._sid += 1
        return b"%d" % self._sid

    def listen(self, subject: str) -> None:
        """Subscribe on the NATS level, here and after each return."""
        sid = self._next_sid()
        self._inboxes[sid] = subject.encode()
        self.say(b"SUB %b %b\r\n" % (subject.encode(), sid))

    def stop_listening(self, subject: str) -> None:
        """Unsubscribe on the NATS level."""
        for sid, inbox in list(self._inboxes.items()):
            if inbox == subject.encode():
                del self._inboxes[sid]
                self.say(b"UNSUB %b\r\n" % sid)

    def send(self, subject: bytes | str, *payloads: bytes, reply: bytes = b"") -> None:
        """Publish on the NATS level, all in one chunk."""
        where = subject.encode() if isinstance(subject, str) else subject
        line = where + b" " + reply if reply else where
        self.say(b"".join(b"PUB %b %d\r\n%b\r\n" % (line, len(payload), payload) for payload in payloads))

    def ask(self, subject: bytes | str, *payloads: bytes) -> list[bytes]:
        """Send requests; the list fills with the answers, at once or as time goes on."""
        self._count += 1
        reply = f"_INBOX.{self.key}.{self._count}".encode()
        answers: list[bytes] = []
        self._answers[reply] = answers.append
        self.send(subject, *payloads, reply=reply)
        return answers

    def request(self, subject: bytes | str, payload: bytes) -> bytes:
        """Send one request, whose answer comes at once."""
        answers = self.ask(subject, payload)
        assert len(answers) == 1, f"{len(answers)} answers"
        return answers[0]

    # Streaming.

    @property
    def is_connected(self) -> bool:
        """Whether the bus has registered it."""
        return bool(self.response.get("publish_prefix"))

    @property
    def connect_error(self) -> str:
        """Why it was not registered; empty when it was, or is not yet answered."""
        return cast("bytes", self.response.get("error", b"")).decode()

    def connect(self, **fields: object) -> None:
        """Introduce itself. The answer is in `response`, perhaps later (when somebody has the same ID)."""
        values: dict[str, object] = {
            "client_id": self.name,
            "heartbeat_inbox": self.heartbeat_inbox,
            "connection_id": self.connection_id,
            "protocol": 1,
            **fields,
        }
        if not self.listens_to_heartbeats:
            self.listens_to_heartbeats = True
            self.listen(self.heartbeat_inbox)
        self._count += 1
        reply = f"_INBOX.{self.key}.{self._count}".encode()

        def answer(payload: bytes) -> None:
            self.response = decoded("ConnectResponse", payload)

        self._answers[reply] = answer
        self.send("_STAN.discover.test-cluster", encoded("ConnectRequest", **values), reply=reply)

    def publish(self, channel: str, *data: bytes, **fields: object) -> list[PubAck]:
        """Publish messages; the list fills with what the bus says of them. `fields` are other fields of the PubMsg."""
        payloads = [self.publish_message(channel, one, **fields) for one in data]
        self._count += 1
        reply = f"_INBOX.{self.key}.{self._count}".encode()
        acks: list[PubAck] = []

        def answer(payload: bytes) -> None:
            values = decoded("PubAck", payload)
            acks.append(PubAck(values["guid"].decode(), values["error"].decode()))

        self._answers[reply] = answer
        self.send(f"_STAN.pub.test-cluster.{channel}", *payloads, reply=reply)
        return acks

    def publish_message(self, channel: str, data: bytes, **fields: object) -> bytes:
        """A PubMsg of this client, with a new guid."""
        self._guids += 1
        values: dict[str, object] = {
            "client_id": self.name,
            "guid": f"{self.name}.{self._guids}",
            "subject": channel,
            "data": data,
            "connection_id": self.connection_id,
            **fields,
        }
        return encoded("PubMsg", **values)

    def subscribe(
        self,
        channel: str,
        *,
        queue: str = "",
        durable: str = "",
        start: int = FIRST,
        start_sequence: int = 0,
        start_delta_ns: int = 0,
        max_in_flight: int = 1024,
        ack_wait_s: int = 30,
        auto_ack: bool = False,
        inbox: str = "",
    ) -> "Sub":
        """Subscribe. When it was refused, the text is in the result's `error`."""
        self._count += 1
        inbox = inbox or f"_INBOX.sub-{self.key}-{self._count}"
        sub = Sub(self, channel, inbox, auto_ack=auto_ack)
        sub.request = encoded(
            "SubscriptionRequest",
            client_id=self.name,
            subject=channel,
            queue_group=queue,
            inbox=inbox,
            max_in_flight=max_in_flight,
            ack_wait_s=ack_wait_s,
            durable_name=durable,
            start_position=start,
            start_sequence=start_sequence,
            start_time_delta_ns=start_delta_ns,
        )
        sub.send()
        return sub

    def ping(self) -> str | None:
        """Ask whether the bus knows this connection: the error, empty when it does, None when there is no answer."""
        payload = encoded("Ping", connection_id=self.connection_id)
        answers = self.ask("_STAN.discover.test-cluster.pings", payload)
        return cast("bytes", decoded("PingResponse", answers[0])["error"]).decode() if answers else None

    def close(self) -> str:
        """Close the session (the socket stays): the error, empty when it went well."""
        answer = self.request("_STAN.close.test-cluster", encoded("CloseRequest", client_id=self.name))
        return cast("bytes", decoded("CloseResponse", answer)["error"]).decode()


class Sub:
    """A subscription of a client; `messages` is what arrived, in order. With `auto_ack` each is acknowledged at once."""

    def __init__(self, client: Client, channel: str, inbox: str, *, auto_ack: bool) -> None:
        self.client = client
        self.channel = channel
        self.inbox = inbox
        self.auto_ack = auto_ack
        self.request = b""
        self.session: Session | None = None  # the connection on which it was sent: only there is it answered
        self.ack_inbox = b""
        self.error = ""
        self.is_answered = False
        self.messages: list[Delivered] = []

    def send(self) -> None:
        """Listen on the inbox, and send the request."""
        client = self.client
        self.session = client.session
        client.subscriptions.append(self)
        client.listen(self.inbox)
        client._count += 1
        reply = f"_INBOX.{client.key}.{client._count}".encode()
        client._answers[reply] = self._on_response
        client.send("_STAN.sub.test-cluster", self.request, reply=reply)

    def _on_response(self, payload: bytes) -> None:
        values = decoded("SubscriptionResponse", payload)
        self.is_answered = True
        self.ack_inbox = values["ack_inbox"]
        self.error = values["error"].decode()
        if self.error:
            self._forget()

    def take(self, payload: bytes) -> None:
        """A message has come."""
        assert self.is_answered or self.session is not self.client.session, "a message before the response"
        message = as_delivered(payload, self.client.bus.now_s)
        self.messages.append(message)
        if self.auto_ack and not self.client.hangs:
            self.ack(message.sequence)

    @property
    def sequences(self) -> list[int]:
        """The sequences of all that arrived, in order."""
        return [message.sequence for message in self.messages]

    @property
    def first_deliveries(self) -> list[int]:
        """The sequences of what arrived without the redelivered flag."""
        return [message.sequence for message in self.messages if not message.redelivered]

    def clear(self) -> list[Delivered]:
        """What arrived since the last time."""
        messages, self.messages = self.messages, []
        return messages

    def ack(self, *sequences: int) -> None:
        """Acknowledge messages, all in one chunk."""
        payloads = [encoded("Ack", subject=self.channel, sequence=sequence) for sequence in sequences]
        self.client.send(self.ack_inbox, *payloads)

    def close(self) -> str:
        """Close it (a durable stays): the error, empty when it went well."""
        return self._end("_STAN.subclose.test-cluster")

    def unsubscribe(self) -> str:
        """End it for good: the error, empty when it went well."""
        return self._end("_STAN.unsub.test-cluster")

    def _end(self, subject: str) -> str:
        client = self.client
        payload = encoded("UnsubscribeRequest", client_id=client.name, subject=self.channel, inbox=self.ack_inbox)
        error = cast("bytes", decoded("SubscriptionResponse", client.request(subject, payload))["error"]).decode()
        if not error:
            self._forget()
        return error

    def _forget(self) -> None:
        if self in self.client.subscriptions:
            self.client.subscriptions.remove(self)
            self.client.stop_listening(self.inbox)
