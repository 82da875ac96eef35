"""Publishing: a message is decoded, checked, numbered and put into the open batch (docs/protocol.md §6).

The hot path of the whole server. Per message: one look at its fields, the stored body, the GUID for the
acknowledgement, and two list appends; everything else is per run or per batch.
"""

from typing import Final

from mypy_extensions import i64

from durabus.broker.bus import Receiver
from durabus.streaming.channel import Channel
from durabus.streaming.clients import Client
from durabus.streaming.effects import Acks
from durabus.streaming.newcomers import sender_key
from durabus.streaming.state import ChannelRefusedError, State, text
from durabus.streaming.trace import TracedAcks
from durabus.wire.operations import Publish
from durabus.wire.publish_request import PublishRequest
from durabus.wire.stan_messages import encode_publish_ack, is_control_message
from durabus.wire.subjects import is_channel_name

__all__ = ["PublishHandler"]

INVALID_PUBLISH: Final = "stan: invalid publish request"
REFUSED_PUBLISHES: Final = "Publish requests refused"
TOO_LARGE: Final = "message too large for this store"
OVERFULL: Final = "too many messages are waiting for the store, try again later"
SILENT: Final = "silent"  # no error, and no answer: the request waits for its sender, or is none


class PublishHandler(Receiver):
    """Takes what is published below the cluster's publish prefix."""

    def __init__(self, state: State) -> None:
        """Work on `state`."""
        self._state = state
        self._request = PublishRequest()
        self.message_bytes_max: i64 = state.store.message_bytes_max
        self._client: Client | None = None  # who published last
        self._channel: Channel | None = None  # and where

    def on_publish(self, publish: Publish) -> None:
        """Decide a run of publish requests."""
        state = self._state
        request = self._request
        acks = self._acks_for(publish.reply)
        guid_fields = acks.guid_fields
        decoded: i64 = 0
        decoded_bytes: i64 = 0
        decided: i64 = 0
        room: i64 = state.batch_room()
        trace_on = state.log.trace_on
        client = self._client
        is_overfull = state.is_overfull()
        channel = None if is_overfull else self._channel  # without one, each message is looked at closely
        for payload in publish.payloads:
            is_decoded = request.decode(payload)
            # Mostly it is the next message of the same client, if not for the same channel then for one that is there.
            if is_decoded and channel is not None and channel.name != request.subject:
                channel = self._channel = state.channels.get(request.subject)
            if (
                not is_decoded
                or client is None
                or channel is None
                or not client.connection_id
                or client.connection_id != request.connection_id
                or not request.guid_field
                or channel.is_deleted
                or not client.is_registered
                or state.failure
                or len(payload) > self.message_bytes_max
            ):
                error = self._check(publish, payload) if is_decoded else self._undecoded(payload)
                client, channel = self._client, self._channel
                if error or channel is None:
                    if error != SILENT:
                        acks = self._refuse(acks, publish.reply, error)
                        guid_fields = acks.guid_fields
                        if is_decoded:
                            decoded += 1
                            decoded_bytes += len(payload)
                    continue
            decoded += 1
            decoded_bytes += len(payload)
            if channel.run is None or channel.run_wall_ns != state.wall_ns:
                self._begin_run(channel)
            body = channel.builder.build(channel.last + 1, payload, request, channel.last_timestamp_ns)
            channel.append(body)
            guid_fields.append(request.guid_field)
            if trace_on and isinstance(acks, TracedAcks):
                acks.trace_publish(payload, request)
            decided += 1
            if decided >= room:
                acks = self._close_batch(acks, decided, publish.reply)
                guid_fields = acks.guid_fields
                decided = 0
                room = state.batch_room()
        state.count_publishes(decoded, decoded_bytes, decided, is_overfull)
        self._list(acks)

    def _begin_run(self, channel: Channel) -> None:
        """The first message of this batch in `channel`, or of this moment."""
        if channel.run is None:
            self._state.open_channels.append(channel)
        channel.begin_run(self._state.wall_ns)

    def _close_batch(self, acks: Acks, decided: i64, reply: bytes) -> Acks:
        """The open batch has got the last `decided` messages that it takes: send it on its way; new acknowledgements."""
        self._state.batch_messages += decided
        self._list(acks)
        self._state.close_full_batch()
        return self._new_acks(reply)

    def _undecoded(self, payload: bytes) -> str:
        """What servers say to each other comes on the same subject, and gets no answer."""
        if is_control_message(payload):
            return SILENT
        self._state.complain(REFUSED_PUBLISHES, "Unable to unmarshal PubMsg: it is none")
        return INVALID_PUBLISH

    def _acks_for(self, reply: bytes) -> Acks:
        """Where acknowledgements for `reply` go: those decided last, when they go there too, so that they leave together."""
        effects = self._state.effects
        if effects:
            last = effects[-1]
            if isinstance(last, Acks) and last.reply == reply and not self._state.log.trace_on:
                return last
        return self._new_acks(reply)

    def _list(self, acks: Acks) -> None:
        """`acks` are to be released in their turn, if there are any and they are not listed yet."""
        if not acks.guid_fields:
            return
        effects = self._state.effects
        if not effects or effects[-1] is not acks:
            effects.append(acks)

    def _new_acks(self, reply: bytes) -> Acks:
        """The acknowledgements of messages whose publisher waits at `reply`; none yet."""
        log = self._state.log
        return TracedAcks(reply, log) if log.trace_on else Acks(reply)

    def _check(self, publish: Publish, payload: bytes) -> str:
        """The request in `payload` is not one more of the same: why it is refused, empty when it is not."""
        error = self._decide(publish, payload)
        if error == INVALID_PUBLISH:
            request = self._request
            sender = text(payload[request.client_id_start : request.client_id_end])
            line = f'Received invalid client publish message clientID:"{sender}" subject:"{text(request.subject)}"'
            self._state.complain(REFUSED_PUBLISHES, line)
        return error

    def _decide(self, publish: Publish, payload: bytes) -> str:
        """Find the publisher and the channel of the request in `payload`; why it is refused, empty when it is not."""
        request = self._request
        state = self._state
        client = self._client
        identity = request.connection_id
        if client is None or not client.is_registered or not identity or client.connection_id != identity:
            client = state.clients.sender(payload[request.client_id_start : request.client_id_end], identity)
            self._client = client
        if client is None or not request.guid_field:
            return self._refuse_or_hold(publish, payload)
        if state.failure or len(payload) > self.message_bytes_max:
            return state.failure or TOO_LARGE
        if state.is_overfull():
            self._channel = None
            return OVERFULL
        channel = self._channel
        if channel is None or channel.is_deleted or channel.name != request.subject:
            return self._open_channel(request.subject)
        return ""

    def _refuse_or_hold(self, publish: Publish, payload: bytes) -> str:
        """Why a request without GUID or of an unknown sender is refused; SILENT when its sender may be about to register."""
        state = self._state
        newcomers = state.newcomers
        request = self._request
        if newcomers is None or not request.guid_field or state.failure or not is_channel_name(request.subject):
            return INVALID_PUBLISH
        if not state.partition.owns(request.subject):
            return INVALID_PUBLISH
        sender = sender_key(payload[request.client_id_start : request.client_id_end], request.connection_id)
        one = Publish(publish.subject, publish.reply, 0, [payload])
        return SILENT if newcomers.hold(sender, self, one, state.now_ns) else INVALID_PUBLISH

    def _open_channel(self, name: bytes) -> str:
        """Make the channel `name` the one to store in; why that cannot be, empty when it can."""
        self._channel = self._state.channels.get(name)
        if self._channel is not None:
            return ""  # its name was looked at when it was made
        if not is_channel_name(name) or not self._state.partition.owns(name):
            return INVALID_PUBLISH
        try:
            self._channel = self._state.open_channel(name)
        except ChannelRefusedError as error:
            return str(error)
        return ""

    def _refuse(self, acks: Acks, reply: bytes, error: str) -> Acks:
        """Answer the request that was just decoded with an error, in its turn; where acknowledgements go on."""
        if acks.guid_fields:
            self._list(acks)
            acks = self._new_acks(reply)
        field = self._request.guid_field
        start = 0
        while start < len(field) and field[start] > 127:
            start += 1
        guid = field[start + 1 :]
        if error == OVERFULL:  # what waits for its turn takes memory, and there is none left
            if reply:
                self._state.bus.publish(reply, b"", encode_publish_ack(guid, error))
            return acks
        self._state.reply(reply, encode_publish_ack(guid, error), 0)
        return acks
