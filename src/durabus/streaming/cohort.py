"""Those who share one position in a channel: a plain or durable subscription, or all members of a queue group.

A cohort owns the position (`last_sent`) and what is in flight; its members are whom messages can go to. A durable whose
client is away has no member but a `shadow`: what is in flight is with it, and whoever resumes takes over from it.
"""

from mypy_extensions import i64, mypyc_attr

from durabus.broker.bus import InterestWatcher
from durabus.streaming.clients import Client
from durabus.streaming.records import SubscriptionRecord
from durabus.streaming.store_port import Cursor
from durabus.streaming.window import Flight, Holder, Window

__all__ = ["Cohort", "Member", "MemberOwner"]


@mypyc_attr(allow_interpreted_subclasses=True)
class MemberOwner:
    """Who acts on what members notice; the delivery implements it."""

    def on_member_time(self, member: "Member", now_ns: int) -> None:
        """Something that is in flight to `member` is due again."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_member_interest(self, member: "Member") -> None:
        """The member's inbox gained its first listener or lost its last one."""
        raise NotImplementedError  # pragma: no cover - abstract


class Member(Holder):
    """One subscription. Without a `client` it is a shadow: remembered, and with nobody to send to."""

    def __init__(self, cohort: "Cohort", record: SubscriptionRecord, client: Client | None, owner: MemberOwner) -> None:
        """A subscription that is not active yet: its response must be on its way before any message."""
        super().__init__()
        self.cohort = cohort
        self.record = record
        self.client = client
        self.inbox = record.inbox
        self.max_in_flight: i64 = record.max_in_flight
        self.ack_wait_ns = record.ack_wait_s * 1_000_000_000
        self.is_active = False
        self.is_congested = False  # so much is on its way to the inbox that more waits a moment
        self.is_resending = False  # something of `to_resend` is being read, or waits because too much is on its way
        self.to_resend: list[int] = []  # what is to be sent again after that, in this order
        self.is_ended = False  # closed, unsubscribed or offline: this object will never be active again
        self.inbox_seen = False  # somebody has listened on the inbox
        self.inbox_gone = False  # and nobody does now
        self.inbox_watcher = _InboxWatcher(self)
        self._owner = owner

    @property
    def subscription_id(self) -> int:
        """The number of this subscription, unique in the store."""
        return self.record.subscription_id

    def is_stalled(self) -> bool:
        """Whether no new message may be sent until one is acknowledged."""
        return self.pending >= self.max_in_flight

    def is_reachable(self) -> bool:
        """Whether what is sent now has somebody to reach: docs/protocol.md §5.6. Nobody has an inbox without a name."""
        client = self.client
        return (
            self.is_active
            and client is not None
            and client.is_registered  # else it is on its way out, and its subscriptions end one after the other
            and not client.is_absent
            and not self.inbox_gone
            and len(self.inbox) > 0
        )

    def on_time(self, now_ns: int) -> None:
        """Something in flight is due again."""
        self._owner.on_member_time(self, now_ns)

    def on_inbox(self, present: bool) -> None:
        """Note whether somebody listens on the inbox."""
        gone = self.inbox_seen and not present
        self.inbox_seen = self.inbox_seen or present
        if gone != self.inbox_gone:
            self.inbox_gone = gone
            self._owner.on_member_interest(self)


class _InboxWatcher(InterestWatcher):
    """Lets a member watch its inbox: a native class has one base only."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def on_interest(self, subject: bytes, present: bool) -> None:
        self._member.on_inbox(present)


class Cohort:
    """One position in a channel, and who shares it. `key` is empty for a plain subscription."""

    def __init__(self, channel_id: int, channel_name: bytes, key: bytes, is_queue: bool, is_durable: bool) -> None:
        """A position before the first message, shared by nobody."""
        self.channel_id = channel_id
        self.channel_name = channel_name
        self.key = key
        self.is_queue = is_queue
        self.is_durable = is_durable
        self.last_sent: i64 = 0
        self.window = Window()
        self.members: list[Member] = []
        self.shadow: Member | None = None
        self.redelivered: dict[int, int] = {}  # sequence -> how often, until it is acknowledged
        self.recovered: list[Flight] = []  # with all flights that are `is_recovered`
        self.acks_may_be_lost = False  # of what is in flight since before a restart, some may have been acknowledged
        self.on_hold = False  # no new message before what was pending has gone out again
        self.is_woken = False
        self.is_dirty = False
        self.page_request = 0  # the number of the read that is under way, 0 for none
        self.again_reads = 0  # for how many members something is being read, or waits, that is to be sent again

    def everybody(self) -> list[Member]:
        """All members and the shadow."""
        return self.members if self.shadow is None else [*self.members, self.shadow]

    def cursors(self) -> list[Cursor]:
        """Where everybody stands, for the store."""
        ranges: dict[int, list[tuple[int, int]]] = {member.subscription_id: [] for member in self.everybody()}
        if self.window.count:
            for sequence in self.window.sequences():
                flight = self.window.at(sequence)
                if flight is None or not isinstance(flight.holder, Member):
                    continue
                pending = ranges.setdefault(flight.holder.subscription_id, [])
                if pending and pending[-1][1] == sequence - 1:
                    pending[-1] = (pending[-1][0], sequence)
                else:
                    pending.append((sequence, sequence))
        return [Cursor(number, int(self.last_sent), pending) for number, pending in ranges.items()]
