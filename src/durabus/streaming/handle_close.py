"""Closing a connection (docs/protocol.md §10.3): what the client sent before, publishes and acks, is decided by now."""

from typing import Final

from durabus.broker.bus import Receiver
from durabus.streaming.leaving import Leaving
from durabus.streaming.state import State, text
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import decode_client_id, encode_error_response
from durabus.wire.varint import DecodeError

__all__ = ["CloseHandler"]

_ERROR_FIELD: Final = 1
REFUSED_CLOSES: Final = "Close requests refused"


class CloseHandler(Receiver):
    """Takes CloseRequests."""

    def __init__(self, state: State, leaving: Leaving) -> None:
        """Work on `state`."""
        self._state = state
        self._leaving = leaving

    def on_publish(self, publish: Publish) -> None:
        """Decide a run of close requests."""
        for payload in publish.payloads:
            error = self._handle(payload, publish.subject)
            response = encode_error_response(_ERROR_FIELD, error)
            self._state.reply(publish.reply, response, 0 if error else _ERROR_FIELD)

    def _handle(self, payload: bytes, subject: bytes) -> str:
        try:
            client_id = decode_client_id(payload)
        except DecodeError:
            self._state.complain(REFUSED_CLOSES, f"Received invalid close request, subject={text(subject)}")
            return "stan: invalid close request"
        if self._state.failure:
            return self._state.failure
        client = self._state.clients.by_id.get(client_id)
        if client is None:
            self._state.complain(REFUSED_CLOSES, f'Unknown client "{text(client_id)}" in close request')
            return "stan: unknown clientID"
        self._leaving.close_client(client)
        return ""
