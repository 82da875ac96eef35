"""Heartbeats and presence: is a client there, and for how long has it not been (docs/protocol.md §5.4, §5.6).

Two clocks run for each client. The original's formula ends its session; presence, which only a server that owns the
sockets can see, says at once where messages can go.
"""

from typing import Final, cast

from mypy_extensions import mypyc_attr

from durabus.broker.bus import Receiver
from durabus.streaming.clients import Client, ClientOwner
from durabus.streaming.cohort import Member
from durabus.streaming.delivery import Delivery
from durabus.streaming.options import MILLISECOND_NS, SECOND_NS
from durabus.streaming.state import State, text
from durabus.wire import framing
from durabus.wire.operations import Publish

__all__ = ["AnswerTaker", "HeartbeatCloser", "Heartbeats"]

_PAUSE_NS: Final = SECOND_NS
"""A deadline noticed this late means that this process stood still (stopped, swapped out), not that a client did."""


@mypyc_attr(allow_interpreted_subclasses=True)
class HeartbeatCloser:
    """Who ends the session of a client that has failed too many heartbeats."""

    def close_expired(self, client: Client) -> None:
        """End the session of `client`."""
        raise NotImplementedError  # pragma: no cover - abstract


@mypyc_attr(allow_interpreted_subclasses=True)
class AnswerTaker:
    """Who else asks clients whether they are there."""

    def on_answer(self, token: int) -> bool:
        """The question `token` was answered; whether it was one of this taker's."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_nobody(self, token: int) -> None:
        """Nobody was there to be asked the question `token`, if it was one of this taker's."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_gone(self, client: Client) -> None:
        """`client` has gone: whatever it was asked will not be answered."""
        raise NotImplementedError  # pragma: no cover - abstract


class _Answers(Receiver):
    """Where clients answer heartbeats: the last token of the subject is the number of the question."""

    def __init__(self, heartbeats: "Heartbeats", prefix: bytes) -> None:
        self._heartbeats = heartbeats
        self._prefix = prefix

    def on_publish(self, publish: Publish) -> None:
        token = publish.subject[len(self._prefix) :]
        if not token.isdigit() or len(token) > 18:
            return
        if framing.is_no_responders(publish):
            self._heartbeats.on_nobody(int(token))
        else:
            self._heartbeats.on_answer(int(token))


class Heartbeats(ClientOwner):
    """Sends heartbeats, counts failures, watches presence."""

    def __init__(self, state: State, delivery: Delivery) -> None:
        """Work on `state`; `closer` and `taker` are set by the core before anything happens."""
        self._state = state
        self._delivery = delivery
        self._prefix = state.next_inbox() + b"."
        self._asked: dict[int, Client] = {}
        self.closer: HeartbeatCloser | None = None
        self.taker: AnswerTaker | None = None

    def listen(self) -> None:
        """Take answers from now on."""
        self._state.bus.subscribe(self._prefix + b">", _Answers(self, self._prefix))

    def stop_listening(self) -> None:
        """Take no answers any more."""
        self._state.bus.unsubscribe(self._prefix + b">")

    def reply_subject(self, token: int) -> bytes:
        """Where question number `token` is to be answered."""
        return self._prefix + b"%d" % token

    def begin(self, client: Client) -> None:
        """Look after a client that was registered or recovered."""
        client.on_presence(self._state.bus.watch(client.record.heartbeat_inbox, client.watcher))
        self._set(client, self._state.now_ns + self._state.options.heartbeat_interval_ns)

    def end(self, client: Client) -> None:
        """Look after a client no longer."""
        self._state.timers.cancel(client)
        self._state.timers.cancel(client.absence)
        self._asked.pop(client.heartbeat_token, None)
        self._state.bus.unwatch(client.record.heartbeat_inbox, client.watcher)

    def hurry(self, client: Client) -> None:
        """Ask `client` in a moment, unless a question is under way: it pinged us while its heartbeats failed."""
        if client.heartbeat_token == 0:
            self._set(client, self._state.now_ns + MILLISECOND_NS)

    def on_heartbeat_time(self, client: Client, now_ns: int) -> None:
        """Ask, or count the question that was not answered."""
        options = self._state.options
        if client.heartbeat_token:
            self._asked.pop(client.heartbeat_token, None)
            client.heartbeat_token = 0
            if now_ns - client.due_ns < _PAUSE_NS and not self._state.is_holding_back:
                self._fail(client, now_ns)
                return
            # This process stood still, or does not read: the answer may be waiting, so ask again instead of counting a failure.
        if not self._state.bus.is_open():
            # It is us who cannot be heard: nobody has failed.
            self._set(client, now_ns + options.heartbeat_interval_ns)
            return
        token = self._state.next_request()
        client.heartbeat_token = token
        self._asked[token] = client
        self._set(client, now_ns + options.heartbeat_timeout_ns)
        if not self._state.bus.publish(client.record.heartbeat_inbox, self.reply_subject(token), b""):
            # Nobody listens: the answer is known without waiting for it.
            self._asked.pop(token, None)
            client.heartbeat_token = 0
            self._fail(client, now_ns)

    def on_nobody(self, token: int) -> None:
        """The network says that nobody listens where a question was asked."""
        client = self._asked.pop(token, None)
        if client is not None:
            client.heartbeat_token = 0
            self._fail(client, self._state.now_ns)
        elif self.taker is not None:
            self.taker.on_nobody(token)

    def on_answer(self, token: int) -> None:
        """A client answered."""
        client = self._asked.pop(token, None)
        if client is None:
            if self.taker is not None:
                self.taker.on_answer(token)
            return
        client.heartbeat_token = 0
        had_failed = client.failed_heartbeats > 0
        client.failed_heartbeats = 0
        self._set(client, self._state.now_ns + self._state.options.heartbeat_interval_ns)
        if had_failed:
            self._wake_subscriptions(client)

    def _set(self, client: Client, due_ns: int) -> None:
        client.due_ns = due_ns
        self._state.timers.set(client, due_ns)

    def _fail(self, client: Client, now_ns: int) -> None:
        options = self._state.options
        client.failed_heartbeats += 1
        if client.failed_heartbeats > options.heartbeat_failures_max:
            self._state.log.error(f"[Client:{text(client.client_id)}] Timed out on heartbeats")
            if self.closer is not None:
                self.closer.close_expired(client)
            return
        self._set(client, now_ns + options.heartbeat_interval_ns)

    def on_presence(self, client: Client) -> None:
        """A client has come or gone, as its socket shows."""
        client.grace_is_over = False
        if client.is_absent:
            grace_ns = self._state.options.presence_grace_ns
            self._state.timers.set(client.absence, self._state.now_ns + max(grace_ns, 1))
            self._state.log.debug(f"[Client:{text(client.client_id)}] Is away")
            if self.taker is not None:
                self.taker.on_gone(client)
        else:
            self._state.timers.cancel(client.absence)
            if client.failed_heartbeats:
                self.hurry(client)  # what is due goes out when it has answered
            if client.subscriptions:
                self._wake_subscriptions(client)

    def on_absence_time(self, client: Client, now_ns: int) -> None:
        """The client has been away for long enough: others of its groups get what it holds."""
        client.grace_is_over = True
        for holder in list(client.subscriptions.values()):
            cohort = cast(Member, holder).cohort
            if cohort.is_queue:
                self._delivery.move_from_absent(cohort)

    def _wake_subscriptions(self, client: Client) -> None:
        for holder in list(client.subscriptions.values()):
            member = cast(Member, holder)
            if member.is_reachable():
                self._delivery.come_back(member)
