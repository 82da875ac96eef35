"""Subscribing: validation in the original's order, start positions, durables and groups (docs/protocol.md §7)."""

from datetime import UTC, datetime, timedelta
from typing import Final

from durabus.broker.bus import Bus, Receiver
from durabus.streaming.channel import Channel
from durabus.streaming.clients import Client
from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.delivery import Delivery
from durabus.streaming.effects import Effect
from durabus.streaming.heartbeats import Heartbeats
from durabus.streaming.leaving import Leaving, subscription_line
from durabus.streaming.newcomers import sender_key
from durabus.streaming.options import SECOND_NS
from durabus.streaming.records import SubscriptionRecord, encode_subscription
from durabus.streaming.state import ChannelRefusedError, State, text
from durabus.streaming.store_port import KIND_SUBSCRIPTION
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import (
    START_FIRST,
    START_LAST_RECEIVED,
    START_NEW_ONLY,
    START_SEQUENCE,
    START_TIME_DELTA,
    SubscriptionRequest,
    decode_subscription_request,
    encode_subscription_response,
)
from durabus.wire.subjects import is_channel_name, is_subject
from durabus.wire.varint import DecodeError

__all__ = ["SubscribeHandler", "cohort_key"]

_ERROR_FIELD: Final = 3


class RefusedError(Exception):
    """The subscription is refused; the text is what the client is told, `line` what the log is."""

    def __init__(self, error: str, line: str = "") -> None:
        super().__init__(error)
        self.line = line


class _Subscribed(Effect):
    """The response to a successful request, and after it the first messages, in this order."""

    def __init__(self, delivery: Delivery, member: Member, reply: bytes, is_resumed: bool) -> None:
        self._delivery = delivery
        self._member = member
        self._reply = reply
        self._response = encode_subscription_response(member.record.ack_inbox, "")
        self._is_resumed = is_resumed

    def release(self, bus: Bus) -> None:
        member = self._member
        if not member.is_ended:
            self._delivery.activate(member)
        if self._reply:
            bus.publish(self._reply, b"", self._response)
        if member.is_ended:
            # Closed again before it began: whoever else is there need not wait for what it was to be sent first.
            member.cohort.on_hold = False
            return
        self._delivery.start(member)
        if self._is_resumed:
            self._delivery.resend_pending(member.cohort, member)

    def refuse(self, bus: Bus, text: str) -> None:
        if self._reply:
            bus.publish(self._reply, b"", encode_subscription_response(b"", text))


class _Seek:
    """A subscription whose start is being looked for by time."""

    def __init__(self, request: SubscriptionRequest, reply: bytes, channel: Channel, client: Client) -> None:
        self.request = request
        self.reply = reply
        self.channel = channel
        self.client = client


def cohort_key(record: SubscriptionRecord) -> bytes:
    """What makes two subscriptions of one channel share a position; empty when nothing does: docs/protocol.md §7.2."""
    if record.queue_group:
        return (b"durable group\0" if record.is_durable else b"group\0") + record.queue_group
    if record.durable_name:
        return b"durable\0" + record.client_id + b"\0" + record.durable_name
    return b""


class SubscribeHandler(Receiver):
    """Takes SubscriptionRequests."""

    def __init__(self, state: State, delivery: Delivery, leaving: Leaving, heartbeats: Heartbeats) -> None:
        """Work on `state`."""
        self._state = state
        self._delivery = delivery
        self._leaving = leaving
        self._heartbeats = heartbeats
        self._seeks: dict[int, _Seek] = {}

    def on_publish(self, publish: Publish) -> None:
        """Decide a run of subscription requests."""
        for payload in publish.payloads:
            try:
                self._handle(payload, publish.reply)
            except RefusedError as error:
                self._refuse(publish.reply, error)
            except ChannelRefusedError as refusal:  # another name: to the compiler, a name has one type
                self._state.reply(publish.reply, encode_subscription_response(b"", str(refusal)), 0)

    def _handle(self, payload: bytes, reply: bytes) -> None:
        state = self._state
        request = _validated(payload, text(state.subjects.subscribe))
        if not state.partition.owns(request.subject):
            return  # another server will answer
        client = state.clients.by_id.get(request.client_id)
        newcomers = state.newcomers
        if newcomers is not None and (client is None or request.client_id in newcomers.contested):
            one = Publish(state.subjects.subscribe, reply, 0, [payload])
            if not state.failure and newcomers.hold(sender_key(request.client_id, b""), self, one, state.now_ns):
                return
            line = f'{_label(request)} Rejecting subscription on "{text(request.subject)}": connection not created yet'
            raise RefusedError("stan: invalid subscription request", line)
        if client is None:
            raise _not_added(request, "stan: unknown clientID")
        if state.failure:
            raise RefusedError(state.failure)
        self._place(state.open_channel(request.subject), client, request, reply, -1)

    def _place(self, channel: Channel, client: Client, request: SubscriptionRequest, reply: bytes, start: int) -> None:
        """Let the request in, to a position that exists or to a new one that begins at `start` (-1: to be found)."""
        state = self._state
        record = _record(request)
        cohort = channel.by_key.get(cohort_key(record))
        if cohort is not None and not cohort.is_queue and cohort.members:
            if not state.options.replace_durable:
                line = f"{_label(request)} Duplicate durable subscription registration"
                raise RefusedError("stan: duplicate durable registration", line)
            self._leaving.end(channel, cohort.members[0], False)
        if cohort is not None:
            self._join(channel, cohort, client, record, request, reply)
            return
        self._check_room(channel, request)
        if start >= 0:
            self._create(channel, client, record, request, reply, start)
        elif request.start_position == START_TIME_DELTA and request.start_time_delta_ns > 0 and channel.last:
            number = state.next_request()
            self._seeks[number] = _Seek(request, reply, channel, client)
            state.store.seek(number, channel.channel_id, state.wall_ns - request.start_time_delta_ns)
        else:
            self._create(channel, client, record, request, reply, _start(channel, request))

    def on_seek(self, number: int, sequence: int) -> bool:
        """The start of a subscription was found; whether the search was one of ours."""
        seek = self._seeks.pop(number, None)
        if seek is None:
            return False
        try:
            self._finish(seek, sequence)
        except RefusedError as error:
            self._refuse(seek.reply, error)
        return True

    def _refuse(self, reply: bytes, error: RefusedError) -> None:
        if error.line:
            self._state.complain("Subscription requests refused", error.line)
        self._state.reply(reply, encode_subscription_response(b"", str(error)), 0)

    def _finish(self, seek: _Seek, sequence: int) -> None:
        """Subscribe from `sequence` on. Who was there when the search began may have gone, and others may have come."""
        if not seek.client.is_registered:
            raise RefusedError("stan: unknown clientID")
        if seek.channel.is_deleted:
            raise RefusedError("stan: channel is being deleted")
        self._place(seek.channel, seek.client, seek.request, seek.reply, max(sequence, 1))

    def _check_room(self, channel: Channel, request: SubscriptionRequest) -> None:
        if channel.limits.subscriptions_max and channel.subscription_count >= channel.limits.subscriptions_max:
            raise _not_added(request, "too many subscriptions per channel")

    def _create(
        self,
        channel: Channel,
        client: Client,
        record: SubscriptionRecord,
        request: SubscriptionRequest,
        reply: bytes,
        start: int,
    ) -> None:
        """A new position in the channel, with its first member."""
        key = cohort_key(record)
        cohort = Cohort(channel.channel_id, channel.name, key, bool(record.queue_group), record.is_durable)
        cohort.last_sent = start - 1
        channel.cohorts.append(cohort)
        if key:
            channel.by_key[key] = cohort
        self._add(cohort, client, self._number(record), reply, False)
        if self._state.log.debug_on:
            where = _told_start(request, start, self._state.wall_ns)
            self._state.log.debug(f"{subscription_line('Started new', cohort, record)}, sending {where}")

    def _join(
        self,
        channel: Channel,
        cohort: Cohort,
        client: Client,
        record: SubscriptionRecord,
        request: SubscriptionRequest,
        reply: bytes,
    ) -> None:
        """A position that exists: a durable that comes back, or one more member. Start positions do not count here."""
        shadow = cohort.shadow
        if shadow is None:
            self._check_room(channel, request)
            self._add(cohort, client, self._number(record), reply, False)
            if self._state.log.debug_on:
                self._state.log.debug(subscription_line("Added member to", cohort, record))
            return
        resumed = shadow.record
        resumed.take(request)
        resumed.is_closed = False
        member = self._add(cohort, client, resumed, reply, True)
        member.flights = shadow.flights
        member.pending = shadow.pending
        for flight in member.flights:
            flight.holder = member
        cohort.shadow = None
        cohort.on_hold = True
        if client.failed_heartbeats:
            self._heartbeats.hurry(client)  # it is alive: when it has answered, what is due goes out to it again
        if self._state.log.debug_on:
            self._state.log.debug(subscription_line("Resumed", cohort, resumed))

    def _number(self, record: SubscriptionRecord) -> SubscriptionRecord:
        self._state.subscription_id_last += 1
        record.subscription_id = self._state.subscription_id_last
        return record

    def _add(
        self, cohort: Cohort, client: Client, record: SubscriptionRecord, reply: bytes, is_resumed: bool
    ) -> Member:
        state = self._state
        record.ack_inbox = state.next_inbox()
        record.last_sent = int(cohort.last_sent)
        member = Member(cohort, record, client, self._delivery)
        cohort.members.append(member)
        client.subscriptions[record.subscription_id] = member
        state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % record.subscription_id, encode_subscription(record)))
        state.touch(cohort)
        state.effects.append(_Subscribed(self._delivery, member, reply, is_resumed))
        channel = state.channels_by_id.get(cohort.channel_id)
        if channel is not None:
            state.timers.cancel(channel.idle)
        return member


def _label(request: SubscriptionRequest) -> str:
    return f"[Client:{text(request.client_id)}]"


def _not_added(request: SubscriptionRequest, error: str) -> RefusedError:
    return RefusedError(error, f"Unable to add subscription for {text(request.subject)}: {error}")


def _validated(payload: bytes, subject: str) -> SubscriptionRequest:
    """Decode and check a request that came on `subject`, in the order of docs/protocol.md §4.2."""
    try:
        request = decode_subscription_request(payload)
    except DecodeError as error:
        line = f"Invalid Subscription request from {subject}: {error}"
        raise RefusedError("stan: invalid subscription request", line) from None
    wrong = ""
    told = ""
    if not request.client_id:
        raise RefusedError("stan: clientID missing", f"Missing ClientID in subscription request from {subject}")
    if request.ack_wait_s <= 0:
        wrong, told = f"AckWait ({request.ack_wait_s})", "stan: invalid ack wait time, should be >= 1s"
    elif request.max_in_flight <= 0:
        wrong, told = f"MaxInflight ({request.max_in_flight})", "stan: invalid MaxInflight, should be >= 1"
    elif not START_NEW_ONLY <= request.start_position <= START_FIRST:
        wrong, told = f"StartPosition ({request.start_position})", "stan: invalid start position"
    elif not is_channel_name(request.subject):
        wrong, told = f'channel "{text(request.subject)}"', "stan: invalid subject"
    elif request.inbox and not is_subject(request.inbox):
        # The original takes it; a line end in it would break the stream of whoever listens to everything.
        wrong, told = f'inbox "{text(request.inbox)}"', "stan: invalid subscription request"
    if told:
        raise RefusedError(told, f"{_label(request)} Invalid {wrong} in subscription request from {subject}")
    return request


def _record(request: SubscriptionRequest) -> SubscriptionRecord:
    record = SubscriptionRecord(0, request.subject)
    record.take(request)
    record.is_durable = bool(request.durable_name)
    if not request.queue_group:
        record.durable_name = request.durable_name
    elif not request.durable_name:
        record.queue_group = request.queue_group
    elif b":" in request.durable_name:
        raise RefusedError(
            "stan: durable name of a durable queue subscriber can't contain the character ':'",
            f'{_label(request)} Invalid DurableName ("{text(request.durable_name)}") for queue subscriber '
            f"from {text(request.subject)}",
        )
    else:
        record.queue_group = request.durable_name + b":" + request.queue_group
    return record


def _start(channel: Channel, request: SubscriptionRequest) -> int:
    """The first sequence to send: docs/protocol.md §7.3."""
    first = max(int(channel.first), 1)
    following = int(channel.last + 1)
    if request.start_position == START_LAST_RECEIVED:
        return following - 1 if channel.message_count else following
    if request.start_position == START_SEQUENCE:
        if request.start_sequence < first:
            return first
        return min(request.start_sequence, following)
    if request.start_position == START_FIRST:
        return first
    return following


def _told_start(request: SubscriptionRequest, start: int, wall_ns: int) -> str:
    """Where a new position begins, as the original's log tells it; moments in UTC."""
    if request.start_position == START_LAST_RECEIVED:
        return f"last message, seq={start}"
    if request.start_position == START_TIME_DELTA:
        seconds, rest_ns = divmod(wall_ns - request.start_time_delta_ns, SECOND_NS)
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        fraction = f".{rest_ns:09d}".rstrip("0.")
        return f"from time time='{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC' seq={start}"
    if request.start_position == START_SEQUENCE:
        return f"from sequence, asked_seq={request.start_sequence} actual_seq={start}"
    return f"from beginning, seq={start}" if request.start_position == START_FIRST else f"new-only, seq={start}"
