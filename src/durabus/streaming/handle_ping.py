"""Client pings: does the server still know this connection (docs/protocol.md §5.5)."""

from typing import Final

from durabus.broker.bus import Receiver
from durabus.streaming.heartbeats import Heartbeats
from durabus.streaming.state import State
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import decode_ping, encode_error_response
from durabus.wire.varint import DecodeError

__all__ = ["PingHandler"]

REPLACED: Final = "client has been replaced or is no longer registered"
_ERROR_FIELD: Final = 1


class PingHandler(Receiver):
    """Takes Pings."""

    def __init__(self, state: State, heartbeats: Heartbeats) -> None:
        """Work on `state`."""
        self._state = state
        self._heartbeats = heartbeats

    def on_publish(self, publish: Publish) -> None:
        """Answer a run of pings; what is no ping gets no answer."""
        for payload in publish.payloads:
            if not payload:
                continue
            try:
                connection_id = decode_ping(payload)
            except DecodeError:
                continue
            client = self._state.clients.by_connection(connection_id)
            if client is not None and client.failed_heartbeats:
                self._heartbeats.hurry(client)
            error = "" if client is not None else REPLACED
            self._state.reply(publish.reply, encode_error_response(_ERROR_FIELD, error), 0)
