"""Going: what remains of a subscription that is closed or unsubscribed, and of a client that leaves (docs/protocol.md §10).

| kind | closed, or its client left | unsubscribed |
|---|---|---|
| plain | removed | removed |
| durable | offline, its position stays | removed |
| member of a queue group | removed, the others get what it held | the same |
| last member of a durable queue group | a shadow keeps the position | the group is removed |
"""

from typing import cast

from durabus.streaming.channel import Channel
from durabus.streaming.clients import Client
from durabus.streaming.cohort import Cohort, Member
from durabus.streaming.delivery import Delivery
from durabus.streaming.heartbeats import HeartbeatCloser, Heartbeats
from durabus.streaming.records import SubscriptionRecord, encode_subscription
from durabus.streaming.state import State, text
from durabus.streaming.store_port import KIND_CLIENT, KIND_SUBSCRIPTION

__all__ = ["Leaving", "subscription_line"]


class Leaving(HeartbeatCloser):
    """Ends subscriptions and sessions."""

    def __init__(self, state: State, delivery: Delivery, heartbeats: Heartbeats) -> None:
        """Work on `state`."""
        self._state = state
        self._delivery = delivery
        self._heartbeats = heartbeats

    def close_expired(self, client: Client) -> None:
        """A client has failed too many heartbeats."""
        self.close_client(client)

    def close_client(self, client: Client) -> None:
        """End a session: from now on it can neither publish nor acknowledge, then its subscriptions are closed."""
        state = self._state
        state.clients.remove(client)
        self._heartbeats.end(client)
        state.batch.state.append((KIND_CLIENT, client.client_id, None))
        for holder in list(client.subscriptions.values()):
            member = cast(Member, holder)
            channel = state.channels_by_id.get(member.cohort.channel_id)
            if channel is not None:
                self.end(channel, member, False)
        state.log.debug(f"[Client:{text(client.client_id)}] Closed (Inbox={text(client.record.heartbeat_inbox)})")

    def end(self, channel: Channel, member: Member, is_unsubscribe: bool) -> None:
        """End one subscription, for good (`is_unsubscribe`) or as the table above says."""
        state = self._state
        cohort = member.cohort
        client = member.client
        if client is not None:
            client.subscriptions.pop(member.subscription_id, None)
        self._delivery.deactivate(member)
        member.is_ended = True
        if member in cohort.members:
            cohort.members.remove(member)
        if state.log.debug_on:
            did = "Removed" if is_unsubscribe or not cohort.is_durable else "Suspended"
            did = "Removed member from" if cohort.is_queue and cohort.members else did
            state.log.debug(subscription_line(did, cohort, member.record))
        if cohort.members:
            there = [other for other in cohort.members if other.is_reachable()]
            self._delivery.move_pending(cohort, member, there or cohort.members)
            # With the member goes what the store knows of what it held: who holds it now must be known from then on.
            state.batch.cursors.extend(cohort.cursors())
            state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % member.subscription_id, None))
        elif cohort.is_durable and not is_unsubscribe:
            self._suspend(cohort, member)
        else:
            self._remove(channel, cohort, member)
        if not channel.has_active_subscription() and channel.limits.inactivity_max_ns:
            channel.last_active_ns = state.now_ns
            state.timers.set(channel.idle, state.now_ns + channel.limits.inactivity_max_ns)

    def _suspend(self, cohort: Cohort, member: Member) -> None:
        """Nobody is left, but the position stays: `member` becomes the shadow."""
        record = member.record
        record.is_closed = True
        record.last_sent = int(cohort.last_sent)
        member.client = None
        cohort.shadow = member
        last_client_id = record.client_id
        if cohort.is_queue:
            record.client_id = b""  # in the store a group belongs to nobody
        self._state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % record.subscription_id, encode_subscription(record)))
        record.client_id = last_client_id  # monitoring shows who was there last
        # The record says how far it came, so what is in flight must be known with it.
        self._state.batch.cursors.extend(cohort.cursors())

    def _remove(self, channel: Channel, cohort: Cohort, member: Member) -> None:
        """Nobody is left and nothing stays."""
        channel.cohorts.remove(cohort)
        if cohort.key:
            channel.by_key.pop(cohort.key, None)
        cohort.page_request = 0
        self._state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % member.subscription_id, None))


def subscription_line(did: str, cohort: Cohort, record: SubscriptionRecord) -> str:
    """What happened to a subscription, in the original's words: docs/protocol.md §14.3."""
    kind = ("durable " if cohort.is_durable else "") + ("queue " if cohort.is_queue else "")
    name = ""
    if cohort.is_queue:
        name = f" queue={text(record.queue_group)},"
    elif cohort.is_durable:
        name = f" durable={text(record.durable_name)},"
    return (
        f"[Client:{text(record.client_id)}] {did} {kind}subscription, subject={text(cohort.channel_name)}, "
        f"inbox={text(record.inbox)},{name} subid={record.subscription_id}"
    )
