"""Connecting: a client registers, or takes the place of one with its ID that is gone (docs/protocol.md §5.1, §5.2)."""

import re
from typing import Final

from durabus.broker.bus import Receiver
from durabus.streaming.clients import Client
from durabus.streaming.heartbeats import Heartbeats
from durabus.streaming.leaving import Leaving
from durabus.streaming.options import MILLISECOND_NS
from durabus.streaming.records import ClientRecord, encode_client
from durabus.streaming.state import State, text
from durabus.streaming.store_port import KIND_CLIENT
from durabus.streaming.timers import Timed
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import (
    ConnectRequest,
    decode_connect_request,
    encode_connect_response,
    encode_error_response,
)
from durabus.wire.subjects import is_subject
from durabus.wire.varint import DecodeError

__all__ = ["ConnectHandler"]

INVALID_CONNECT: Final = "stan: invalid connection request"
INVALID_CLIENT_ID: Final = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed"
ALREADY_REGISTERED: Final = "stan: clientID already registered"
_ERROR_FIELD: Final = 5
_PAUSE_NS: Final = 250 * MILLISECOND_NS
"""A question whose end is noticed this late was not given its time: this process did not run."""
_CLIENT_ID: Final = re.compile(rb"[a-zA-Z0-9_-]+\Z")


class _Probe(Timed):
    """A question to a client whose ID another one wants: are you there? It has half a second."""

    def __init__(self, handler: "ConnectHandler", old: Client, request: ConnectRequest, reply: bytes) -> None:
        super().__init__()
        self.handler = handler
        self.old = old
        self.request = request
        self.reply = reply
        self.token = 0
        self.due_ns = 0

    def on_time(self, now_ns: int) -> None:
        self.handler.on_probe_time(self, now_ns)


class ConnectHandler(Receiver):
    """Takes ConnectRequests."""

    def __init__(self, state: State, heartbeats: Heartbeats, leaving: Leaving) -> None:
        """Work on `state`."""
        self._state = state
        self._heartbeats = heartbeats
        self._leaving = leaving
        self._probes: dict[bytes, _Probe] = {}
        self._probes_by_token: dict[int, _Probe] = {}

    def on_publish(self, publish: Publish) -> None:
        """Decide a run of connect requests."""
        for payload in publish.payloads:
            self._handle(payload, publish.reply)

    def _handle(self, payload: bytes, reply: bytes) -> None:
        try:
            request = decode_connect_request(payload)
        except DecodeError as error:
            self._complain(f"[Client:?] Invalid conn request: ClientID=, Inbox=, err={error}")
            self._refuse(reply, INVALID_CONNECT)
            return
        client_id = text(request.client_id)
        if not is_subject(request.heartbeat_inbox):
            inbox = text(request.heartbeat_inbox)
            self._complain(f"[Client:?] Invalid conn request: ClientID={client_id}, Inbox={inbox}, err=<nil>")
            self._refuse(reply, INVALID_CONNECT)
        elif not _CLIENT_ID.match(request.client_id):
            allowed = "only alphanumeric and `-` or `_` characters allowed"
            self._complain(f"[Client:{client_id}] Invalid ClientID, {allowed}")
            self._refuse(reply, INVALID_CLIENT_ID)
        elif self._state.failure:
            self._refuse(reply, self._state.failure)
        elif request.client_id in self._probes:
            self._refuse(reply, ALREADY_REGISTERED)
        else:
            old = self._state.clients.by_id.get(request.client_id)
            if old is None:
                self._register(request, reply)
            elif old.is_absent or not self._ask(old, request, reply):
                self._replace(old, request, reply)

    def _ask(self, old: Client, request: ConnectRequest, reply: bytes) -> bool:
        """Ask the client that has the ID whether it is there; False when its inbox has no listener at all."""
        probe = _Probe(self, old, request, reply)
        probe.token = self._state.next_request()
        # Remembered before it is sent: in this process the answer may be here before the call returns.
        self._probes[request.client_id] = probe
        self._probes_by_token[probe.token] = probe
        if self._state.newcomers is not None:
            self._state.newcomers.contested.add(request.client_id)
        self._wait(probe, self._state.now_ns)
        if self._state.bus.publish(old.record.heartbeat_inbox, self._heartbeats.reply_subject(probe.token), b""):
            return True
        self._forget(probe)
        return False

    def _wait(self, probe: _Probe, now_ns: int) -> None:
        probe.due_ns = now_ns + self._state.options.duplicate_probe_timeout_ns
        self._state.timers.set(probe, probe.due_ns)

    def on_probe_time(self, probe: _Probe, now_ns: int) -> None:
        """The time of a question is over, unless this process stood still: then the answer may be waiting unread."""
        if now_ns - probe.due_ns >= _PAUSE_NS:
            self._wait(probe, now_ns)
        else:
            self.on_probe_unanswered(probe)

    def on_answer(self, token: int) -> bool:
        """The old client is there: the new one is refused. Whether `token` was one of our questions."""
        probe = self._probes_by_token.get(token)
        if probe is None:
            return False
        self._forget(probe)
        self._refuse(probe.reply, ALREADY_REGISTERED)
        self._admit(probe.old.client_id, b"")
        return True

    def on_nobody(self, token: int) -> None:
        """The old client is not even there to be asked."""
        probe = self._probes_by_token.get(token)
        if probe is not None:
            self.on_probe_unanswered(probe)

    def on_gone(self, client: Client) -> None:
        """A client has gone, perhaps one that is being asked: then its place is free at once."""
        probe = self._probes.get(client.client_id)
        if probe is not None and probe.old is client:
            self.on_probe_unanswered(probe)

    def on_probe_unanswered(self, probe: _Probe) -> None:
        """The old client had its time."""
        self._forget(probe)
        if probe.old.is_registered:
            self._replace(probe.old, probe.request, probe.reply)
        elif probe.request.client_id in self._state.clients.by_id:
            self._refuse(probe.reply, ALREADY_REGISTERED)
            self._admit(probe.request.client_id, b"")
        else:
            self._register(probe.request, probe.reply)

    def refuse_waiting(self, error: str) -> None:
        """Refuse everybody who waits for the answer to a question: nobody can be registered now."""
        for probe in list(self._probes.values()):
            self._forget(probe)
            self._refuse(probe.reply, error)

    def _forget(self, probe: _Probe) -> None:
        self._state.timers.cancel(probe)
        self._probes.pop(probe.request.client_id, None)
        self._probes_by_token.pop(probe.token, None)
        if self._state.newcomers is not None:
            self._state.newcomers.contested.discard(probe.request.client_id)

    def _admit(self, client_id: bytes, connection_id: bytes) -> None:
        """Who has the client ID is settled: requests that waited for that are handled."""
        if self._state.newcomers is not None:
            self._state.newcomers.admit(client_id, connection_id)

    def _replace(self, old: Client, request: ConnectRequest, reply: bytes) -> None:
        self._leaving.close_client(old)
        self._register(request, reply, "Replaced old client")

    def _register(self, request: ConnectRequest, reply: bytes, did: str = "Connected") -> None:
        state = self._state
        record = ClientRecord(request.client_id, request.heartbeat_inbox, request.connection_id, request.protocol)
        record.ping_interval_s = request.ping_interval_s
        record.ping_out_max = request.ping_out_max
        state.batch.state.append((KIND_CLIENT, request.client_id, encode_client(record)))
        client = Client(record, self._heartbeats)
        state.clients.add(client)
        self._heartbeats.begin(client)
        subjects = state.subjects
        response = encode_connect_response(
            [
                subjects.publish_prefix,
                subjects.subscribe,
                subjects.unsubscribe,
                subjects.close,
                subjects.subscription_close,
            ],
            subjects.pings,
            request,
        )
        state.reply(reply, response, _ERROR_FIELD)
        state.log.debug(f"[Client:{text(client.client_id)}] {did} (Inbox={text(record.heartbeat_inbox)})")
        self._admit(record.client_id, record.connection_id)

    def _complain(self, line: str) -> None:
        self._state.complain("Connection requests refused", line)

    def _refuse(self, reply: bytes, error: str) -> None:
        self._state.reply(reply, encode_error_response(_ERROR_FIELD, error), 0)
