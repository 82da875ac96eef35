"""Ending one subscription: unsubscribe for good, or close (docs/protocol.md §10.1, §10.2)."""

from durabus.broker.bus import Receiver
from durabus.streaming.channel import Channel
from durabus.streaming.cohort import Member
from durabus.streaming.leaving import Leaving
from durabus.streaming.state import State, text
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import decode_unsubscribe_request, encode_subscription_response
from durabus.wire.varint import DecodeError

__all__ = ["UnsubscribeHandler"]

_ERROR_FIELD = 3


class UnsubscribeHandler(Receiver):
    """Takes UnsubscribeRequests, which on another subject mean: close."""

    def __init__(self, state: State, leaving: Leaving, is_unsubscribe: bool) -> None:
        """Work on `state`; unsubscribe for good, or close."""
        self._state = state
        self._leaving = leaving
        self._is_unsubscribe = is_unsubscribe
        self._action = "unsub" if is_unsubscribe else "sub close"

    def on_publish(self, publish: Publish) -> None:
        """Decide a run of requests."""
        for payload in publish.payloads:
            error = self._handle(payload, publish.subject)
            if error is None:
                continue
            response = encode_subscription_response(b"", error)
            self._state.reply(publish.reply, response, 0 if error else _ERROR_FIELD)

    def _handle(self, payload: bytes, subject: bytes) -> str | None:
        """End the subscription; the error text, empty when it was ended, None when another server will answer."""
        try:
            request = decode_unsubscribe_request(payload)
        except DecodeError:
            self._complain(f"Invalid {self._action} request from {text(subject)}")
            return "stan: invalid unsubscribe request"
        if not self._state.partition.owns(request.subject):
            return None
        if self._state.failure:
            return self._state.failure
        channel = self._state.channels.get(request.subject)
        label = f"[Client:{text(request.client_id)}] {self._action} request"
        if channel is None:
            self._complain(f"{label} missing subject {text(request.subject)}")
            return "stan: unknown channel"
        member = _find(channel, request.inbox)
        if member is None:
            self._complain(f"{label} for missing inbox {text(request.inbox)}")
            return "stan: invalid subscription"
        client = self._state.clients.by_id.get(request.client_id)
        if client is None or member.client is not client:
            self._complain(f"{label} for missing client")
            return "stan: unknown clientID"
        self._leaving.end(channel, member, self._is_unsubscribe)
        return ""

    def _complain(self, line: str) -> None:
        self._state.complain("Requests to end a subscription refused", line)


def _find(channel: Channel, inbox: bytes) -> Member | None:
    """The subscription with this ack inbox or, failing that, the last one with this inbox."""
    by_inbox: Member | None = None
    for cohort in channel.cohorts:
        for member in cohort.members:
            if member.record.ack_inbox == inbox:
                return member
            if member.inbox == inbox:
                by_inbox = member
    return by_inbox
