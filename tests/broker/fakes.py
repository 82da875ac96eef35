"""A client of the broker without a socket: a link that records, and a session behind it that a test talks to."""

from durabus.broker.bus import InterestWatcher, Receiver
from durabus.broker.router import Router
from durabus.broker.session import ClientSubscription, Exchange, Link, Session, SessionLimits
from durabus.clock import ManualClock
from durabus.wire.operations import Publish

SECOND_NS = 1_000_000_000
PENDING_BYTES_MAX = 1_000_000
QUIET = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
WITH_HEADERS = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'


def session_limits(pending_bytes_max: int = PENDING_BYTES_MAX) -> SessionLimits:
    """Small limits: lines of 256 bytes, messages of 100 kB, a ping every 10 s, two of them unanswered."""
    return SessionLimits(
        control_line_bytes_max=256,
        payload_bytes_max=100_000,
        pending_bytes_max=pending_bytes_max,
        ping_interval_ns=10 * SECOND_NS,
        pings_out_max=2,
    )


class FakeLink(Link):
    """A socket whose peer reads everything at once, or nothing while `stuck`."""

    def __init__(self) -> None:
        self.stuck = False
        self.arrived = bytearray()
        self.unsent = bytearray()
        self.unsent_bytes_seen_max = 0
        self.closed: tuple[str, bool] | None = None

    def unsent_bytes(self) -> int:
        return len(self.unsent)

    def write(self, data: bytes) -> None:
        assert self.closed is None, "written after the end"
        assert data, "a write of nothing"
        (self.unsent if self.stuck else self.arrived).extend(data)
        self.unsent_bytes_seen_max = max(self.unsent_bytes_seen_max, len(self.unsent))

    def close(self, reason: str, at_once: bool) -> None:
        assert self.closed is None, "closed twice"
        self.closed = (reason, at_once)


class Client:
    """One client of a router: `say` is what it sends, `heard` what it got since the last time."""

    _count = 0

    def __init__(
        self,
        router: Router,
        connect: bytes = QUIET,
        clock: ManualClock | None = None,
        limits: SessionLimits | None = None,
    ) -> None:
        Client._count += 1
        self.router = router
        self.clock = clock or ManualClock()
        self.link = FakeLink()
        self.session = Session(Client._count, "10.0.0.1:1", router.exchange, self.link, limits or session_limits())
        if connect:
            self.say(connect)
            assert self.heard() == b""

    def say(self, data: bytes) -> None:
        """Send bytes, and let everybody have what they caused."""
        self.session.feed(data, self.clock.monotonic_ns())
        self.router.flush()

    def publish(self, subject: bytes, *payloads: bytes, reply: bytes = b"") -> None:
        """Publish messages, all in one chunk."""
        arguments = subject + b" " + reply if reply else subject
        self.say(b"".join(b"PUB %b %d\r\n%b\r\n" % (arguments, len(payload), payload) for payload in payloads))

    def heard(self) -> bytes:
        """What arrived since the last time."""
        data = bytes(self.link.arrived)
        self.link.arrived.clear()
        return data


class FakeExchange(Exchange):
    """A router that only keeps what a session asks of it."""

    def __init__(self) -> None:
        self.routed: list[Publish] = []
        self.subscriptions: list[ClientSubscription] = []
        self.dirty: list[Session] = []

    def route(self, publish: Publish, origin: Session) -> None:
        self.routed.append(publish)

    def add(self, subscription: ClientSubscription) -> None:
        self.subscriptions.append(subscription)

    def discard(self, subscription: ClientSubscription) -> None:
        self.subscriptions.remove(subscription)

    def mark_dirty(self, session: Session) -> None:
        self.dirty.append(session)


class FakeReceiver(Receiver):
    """Keeps what it gets, a message at a time."""

    def __init__(self) -> None:
        self.runs: list[Publish] = []

    def on_publish(self, publish: Publish) -> None:
        self.runs.append(publish)

    def got(self) -> list[tuple[bytes, bytes, bytes]]:
        """Subject, reply and payload of every message."""
        return [(run.subject, run.reply, payload) for run in self.runs for payload in run.payloads]


class FakeWatcher(InterestWatcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes, bool]] = []

    def on_interest(self, subject: bytes, present: bool) -> None:
        self.told.append((subject, present))
