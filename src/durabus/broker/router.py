"""Core NATS routing in one process: who gets what, for clients and for the receivers inside the server.

The router is the embedded `Bus`. It owns the subscriptions, knows which sessions have output to flush, and tells
watchers about interest in the subjects that they watch.
"""

from typing import cast

from mypy_extensions import i64, mypyc_attr

from durabus.broker.bus import Bus, InterestWatcher, Receiver, as_received
from durabus.broker.session import ClientSubscription, Exchange, Session, Tracer
from durabus.broker.sublist import Match, Sublist, Subscription
from durabus.wire import framing
from durabus.wire.operations import Publish
from durabus.wire.subjects import has_wildcard, matches

__all__ = ["Router"]

_NOTHING: bytes = b""


class _ReceiverSubscription(Subscription):
    """A subscription that leads to a receiver inside the server."""

    def __init__(self, subject: bytes, receiver: Receiver) -> None:
        super().__init__(subject, b"")
        self.receiver = receiver


@mypyc_attr(allow_interpreted_subclasses=True)
class _RouterExchange(Exchange):
    """The router as sessions see it."""

    def __init__(self, router: "Router") -> None:
        self._router = router

    def route(self, publish: Publish, origin: Session) -> None:
        self._router.route(publish, origin)

    def add(self, subscription: ClientSubscription) -> None:
        self._router.add(subscription)

    def discard(self, subscription: ClientSubscription) -> None:
        self._router.discard(subscription)

    def mark_dirty(self, session: Session) -> None:
        self._router.dirty.append(session)


class Router(Bus):
    """The embedded broker's heart: routes runs of messages, in the order in which they come."""

    def __init__(self) -> None:
        """Begin without subscriptions."""
        self.sublist = Sublist()
        self.exchange: Exchange = _RouterExchange(self)
        self.dirty: list[Session] = []
        self.tracer: Tracer | None = None  # who reads along what the server says by itself
        self._receivers: dict[bytes, _ReceiverSubscription] = {}
        self._watchers: dict[bytes, list[InterestWatcher]] = {}
        self._interest: dict[bytes, bool] = {}
        self._receiver_count = 0
        self._turn: i64 = 0

    # The bus, for what is built on it.

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        """Give everything published on `subject` to `receiver`."""
        replaced = self._receivers.get(subject)
        if replaced is not None:
            self.sublist.remove(replaced)
        subscription = _ReceiverSubscription(subject, receiver)
        self._receiver_count += 1
        subscription.sid = b"%d" % self._receiver_count
        if self.tracer is not None:
            self.tracer.on_own(b"SUB %b %b" % (subject, subscription.sid), _NOTHING, [])
        self._receivers[subject] = subscription
        self.sublist.insert(subscription)
        self._notify(subject)

    def receivers(self) -> list[Subscription]:
        """The subscriptions of receivers inside the server, for monitoring."""
        return list(self._receivers.values())

    def unsubscribe(self, subject: bytes) -> None:
        """End the receiver's subscription on `subject`, if there is one."""
        subscription = self._receivers.pop(subject, None)
        if subscription is not None:
            self.sublist.remove(subscription)
            if self.tracer is not None:
                self.tracer.on_own(b"UNSUB " + subscription.sid, _NOTHING, [])
            self._notify(subject)

    def publish(self, subject: bytes, reply: bytes, payload: bytes) -> bool:
        """Publish one message; whether anybody was there to receive it."""
        if self.tracer is not None:
            self.tracer.on_own(framing.publish_start(subject, reply), _NOTHING, [payload])
        return self._spread(Publish(subject, reply, 0, [payload]), _NOTHING, None)

    def publish_run(self, subject: bytes, head: bytes, payloads: list[bytes]) -> bool:
        """Publish the messages `head + payload`; whether anybody was there to receive them."""
        if self.tracer is not None:
            self.tracer.on_own(framing.publish_start(subject, _NOTHING), head, payloads)
        return self._spread(Publish(subject, _NOTHING, 0, payloads), head, None)

    def is_open(self) -> bool:
        """The network is in this process: always."""
        return True

    def is_congested(self, subject: bytes) -> bool:
        """Whether one of those who listen on `subject` has much to read already."""
        match = self.sublist.match(subject)
        for subscription in match.plain:
            if isinstance(subscription, ClientSubscription) and subscription.session.is_congested():
                return True
        for members in match.groups:
            for subscription in members:
                if isinstance(subscription, ClientSubscription) and subscription.session.is_congested():
                    return True
        return False

    def has_interest(self, subject: bytes) -> bool:
        """Whether anybody listens on the literal `subject`."""
        return not self.sublist.match(subject).is_empty

    def watch(self, subject: bytes, watcher: InterestWatcher) -> bool:
        """Tell `watcher` of changes of interest in `subject`; the interest now."""
        present = self.has_interest(subject)
        self._watchers.setdefault(subject, []).append(watcher)
        self._interest[subject] = present
        return present

    def unwatch(self, subject: bytes, watcher: InterestWatcher) -> None:
        """End what `watch` began."""
        watchers = self._watchers.get(subject)
        if watchers is not None and watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[subject]
                del self._interest[subject]

    # The exchange, for sessions.

    def route(self, publish: Publish, origin: Session) -> None:
        """Give a client's run to whoever listens; tell the client when it asked to know that nobody does."""
        if not self._spread(publish, _NOTHING, origin) and publish.reply and origin.no_responders:
            for subscription in origin.subscriptions.values():
                if matches(subscription.subject, publish.reply):
                    answers = [framing.NO_RESPONDERS] * len(publish.payloads)
                    origin.deliver(subscription, publish.reply, _NOTHING, len(framing.NO_RESPONDERS), _NOTHING, answers)
                    return

    def add(self, subscription: ClientSubscription) -> None:
        """Begin a client's subscription."""
        self.sublist.insert(subscription)
        self._notify(subscription.subject)

    def discard(self, subscription: ClientSubscription) -> None:
        """End a client's subscription."""
        self.sublist.remove(subscription)
        self._notify(subscription.subject)

    def flush(self) -> None:
        """Hand all gathered output to the sockets: once per turn of the event loop, not once per message."""
        while self.dirty:
            sessions = self.dirty
            self.dirty = []
            for session in sessions:
                session.flush()

    def _notify(self, subject: bytes) -> None:
        if not self._watchers:
            return
        if has_wildcard(subject):
            changed = [watched for watched in self._watchers if matches(subject, watched)]
        elif subject in self._watchers:
            changed = [subject]
        else:
            return
        for watched in changed:
            present = self.has_interest(watched)
            if present != self._interest.get(watched, present):
                self._interest[watched] = present
                self._tell(watched, present)

    def _tell(self, watched: bytes, present: bool) -> None:
        """Tell every watcher of `watched`; what one of them does may end the watch of the next, or undo the change."""
        for watcher in list(self._watchers[watched]):
            if self._interest.get(watched) != present:
                return
            if watcher in self._watchers[watched]:
                watcher.on_interest(watched, present)

    def _spread(self, publish: Publish, head: bytes, origin: Session | None) -> bool:
        """Give the run to everybody whom its subject leads to; whether there was anybody."""
        match = self.sublist.match(publish.subject)
        if match.is_empty:
            return False
        taken = False
        for subscription in match.plain:
            if self._give(subscription, publish, head, publish.payloads, origin):
                taken = True
        if match.groups and self._spread_groups(match, publish, head, origin):
            taken = True
        return taken

    def _spread_groups(self, match: Match, publish: Publish, head: bytes, origin: Session | None) -> bool:
        """Give each message to one member of each group; a member that cannot take it is passed over.

        Not in turn: a counter that all groups share would move by the same step for one of them again and again, and
        always hit the same member. `_turn` is a linear congruential generator, of which the high bits are good.
        """
        taken = False
        for members in match.groups:
            for payload in publish.payloads:
                self._turn = (self._turn * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
                start: i64 = (self._turn >> 16) % len(members)
                one = [payload]
                for offset in range(len(members)):
                    at: i64 = (start + offset) % len(members)
                    if self._give(members[at], publish, head, one, origin):
                        taken = True
                        break
        return taken

    def _give(
        self, subscription: Subscription, publish: Publish, head: bytes, payloads: list[bytes], origin: Session | None
    ) -> bool:
        if isinstance(subscription, ClientSubscription):
            session = subscription.session
            if session is origin and not session.echo:
                return False
            return session.deliver(subscription, publish.subject, publish.reply, publish.header_bytes, head, payloads)
        receiver = cast(_ReceiverSubscription, subscription).receiver
        subscription.delivered_count += len(payloads)
        if head or payloads is not publish.payloads:
            whole = [head + payload for payload in payloads]
            publish = Publish(publish.subject, publish.reply, publish.header_bytes, whole)
        receiver.on_publish(as_received(publish))
        return True
