"""All that the streaming core knows, in one object, and the way its changes take: decide, persist, release.

Requests are decided at once, into the open batch and a list of effects. Closing the batch submits it; when the store
says that it is durable, its effects are released in the order in which they were decided. Nothing here waits or reads a
clock: `begin` says what time it is.
"""

from collections import deque
from typing import Final

from mypy_extensions import i64, mypyc_attr

from durabus.broker.bus import Bus
from durabus.streaming.channel import Channel, ChannelOwner
from durabus.streaming.clients import Clients
from durabus.streaming.cohort import Cohort
from durabus.streaming.complaints import Complaints
from durabus.streaming.effects import Effect, Reply
from durabus.streaming.log_port import Log
from durabus.streaming.newcomers import Newcomers
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.partition import Partition
from durabus.streaming.records import encode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, Batch, Store
from durabus.streaming.timers import Timers
from durabus.wire.publish_request import StampField
from durabus.wire.subjects import matches

__all__ = ["BatchCloser", "ChannelRefusedError", "Pending", "State", "Statistics", "Subjects"]

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX_DIGITS: Final = 10
_MESSAGE_BYTES: Final = 200
"""What a message that waits for the store takes in memory beyond itself: objects, its place in lists, its GUID."""


class ChannelRefusedError(Exception):
    """A channel may not be created; the text is what the client is told."""


@mypyc_attr(allow_interpreted_subclasses=True)
class BatchCloser:
    """Who sends full batches on their way; the core implements it."""

    def close_full_batch(self) -> None:
        """The open batch has as many messages as a batch may have."""
        raise NotImplementedError  # pragma: no cover - abstract


class Statistics:
    """Counters since the start; messages and bytes that came in from publishers, and went out to subscribers."""

    def __init__(self) -> None:
        """All zero."""
        self.in_messages: i64 = 0
        self.in_bytes: i64 = 0
        self.out_messages: i64 = 0
        self.out_bytes: i64 = 0


class Subjects:
    """The subjects that a server of one cluster ID listens on: docs/protocol.md §3.2."""

    def __init__(self, cluster_id: bytes, discover_prefix: bytes = b"_STAN.discover") -> None:
        """Build them all."""
        self.discover = discover_prefix + b"." + cluster_id
        self.pings = self.discover + b".pings"
        self.publish_prefix = b"_STAN.pub." + cluster_id
        self.subscribe = b"_STAN.sub." + cluster_id
        self.unsubscribe = b"_STAN.unsub." + cluster_id
        self.subscription_close = b"_STAN.subclose." + cluster_id
        self.close = b"_STAN.close." + cluster_id


class Pending:
    """A batch on its way to the store, and what waits for it."""

    def __init__(self, batch: Batch, effects: list[Effect], channels: list[Channel]) -> None:
        """Keep the batch with its effects and the channels that it has messages for."""
        self.batch = batch
        self.effects = effects
        self.channels = channels
        self.lasts = [int(channel.last) for channel in channels]
        self.bytes: i64 = 0  # of its messages in memory


class State:
    """Owner of everything that changes in the core. One writer, one thread."""

    def __init__(self, options: CoreOptions, bus: Bus, store: Store, log: Log) -> None:
        """Nothing recovered yet, nothing decided."""
        self.options = options
        self.bus = bus
        self.store = store
        self.log = log
        self.subjects = Subjects(options.cluster_id, options.discover_prefix)
        self.now_ns = 0
        self.wall_ns = 0
        self.timers = Timers()
        self._complaints = Complaints(log, self.timers)
        self.clients = Clients()
        self.partition = Partition(options.partition)
        self.newcomers = Newcomers(self.timers, options.newcomer_wait_ns) if options.partition else None
        self.channels: dict[bytes, Channel] = {}
        self.channels_by_id: dict[int, Channel] = {}
        self.statistics = Statistics()
        self.channel_id_last = 0
        self.subscription_id_last = 0
        self.epoch = 0
        self.failure = ""  # why nothing is decided at the moment; empty when all is well
        self.batch = Batch(1, 0)
        self.batch_messages: i64 = 0
        self.batch_bytes: i64 = 0  # of the open batch's messages in memory
        self.in_flight_bytes: i64 = 0  # of those that are in flight
        self.is_holding_back = False  # whether publishers are kept from sending more
        self.effects: list[Effect] = []
        self.open_channels: list[Channel] = []
        self.in_flight: deque[Pending] = deque()
        self.woken: list[Cohort] = []
        self.dirty: list[Cohort] = []
        self.channel_owner: ChannelOwner | None = None
        self.batch_closer: BatchCloser | None = None
        self._folded_names: dict[bytes, bytes] = {}
        self._inbox_count = 0
        self._stamp_field = StampField()
        self.request_count = 0

    def begin(self, now_ns: int, wall_ns: int) -> None:
        """It is `now_ns` (monotonic) and `wall_ns` (since 1970) for everything that follows."""
        self.now_ns = now_ns
        self.wall_ns = wall_ns

    def count_publishes(self, count: i64, payload_bytes: i64, decided: i64, are_refused: bool) -> None:
        """So many requests came, with so many bytes; `decided` of them are in the open batch now."""
        self.statistics.in_messages += count
        self.statistics.in_bytes += payload_bytes
        self.batch_messages += decided
        if not are_refused:
            self.batch_bytes += payload_bytes + count * _MESSAGE_BYTES

    def undurable_bytes(self) -> i64:
        """What the messages take in memory that are decided and not durable."""
        return self.batch_bytes + self.in_flight_bytes

    def is_overfull(self) -> bool:
        """Whether the store is so far behind that no more messages can be taken."""
        limit: i64 = self.options.undurable_bytes_max
        return self.batch_bytes + self.in_flight_bytes > limit

    def batch_room(self) -> i64:
        """How many more messages the open batch takes before it is sent on its way; at least 1."""
        limit: i64 = self.options.batch_messages_max
        best: i64 = self.store.batch_messages_best
        if 0 < best < limit:
            limit = best
        return limit - self.batch_messages % limit

    def close_full_batch(self) -> None:
        """Send the open batch on its way, if the store takes another one now; else it goes on growing."""
        if self.batch_closer is not None:
            self.batch_closer.close_full_batch()

    def reply(self, subject: bytes, payload: bytes, error_field: int) -> None:
        """Respond to a request, after everything decided so far is durable."""
        if subject:
            self.effects.append(Reply(subject, payload, error_field))

    def complain(self, kind: str, text: str) -> None:
        """Log `text` about something that a client did, and can do as often as it likes: `complaints.py`."""
        self._complaints.tell(kind, text, self.now_ns)

    def wake(self, cohort: Cohort) -> None:
        """There may be something to send to `cohort`: look at it at the end of the turn."""
        if not cohort.is_woken:
            cohort.is_woken = True
            self.woken.append(cohort)

    def wake_channel(self, channel: Channel) -> None:
        """There may be something to send to everybody in `channel`."""
        for cohort in channel.cohorts:
            if not cohort.is_woken:
                cohort.is_woken = True
                self.woken.append(cohort)

    def touch(self, cohort: Cohort) -> None:
        """The position of `cohort` changed: the store will be told, within a second."""
        if not cohort.is_dirty:
            cohort.is_dirty = True
            self.dirty.append(cohort)

    def next_inbox(self) -> bytes:
        """A subject that nobody has ever used: `_INBOX.` and 22 characters."""
        self._inbox_count += 1
        rest = self._inbox_count
        digits = bytearray()
        for _ in range(_SUFFIX_DIGITS):
            digits.append(_DIGITS[rest % 62])
            rest //= 62
        digits.reverse()
        return b"_INBOX." + self.options.instance[:12] + bytes(digits)

    def take_over(self, former: "State") -> None:
        """Go on counting where `former` stopped: a late answer to its questions must not be taken for one to ours."""
        self.statistics = former.statistics
        self.request_count = former.request_count

    def next_request(self) -> int:
        """A number for a request to the store, never zero, never used before."""
        self.request_count += 1
        return self.request_count

    def open_channel(self, name: bytes) -> Channel:
        """The channel `name`, created if need be; raises ChannelRefusedError with the text for the client."""
        channel = self.channels.get(name)
        if channel is not None:
            return channel
        # Behaviour since 0.25.0, typing error included: clients match on the text.
        other = self._folded_names.get(_folded(name))
        if other is not None:
            raise self._refused(
                name,
                f'rejecting channel "{text(name)}" because channel "{text(other)}" alreay exists '
                "(different cases not allowed)",
            )
        if self.options.channels_max and len(self.channels) >= self.options.channels_max:
            raise self._refused(name, "too many channels")
        complaint = self.store.channel_complaint(name)
        if complaint:
            raise self._refused(name, complaint)
        self.channel_id_last += 1
        channel = self.adopt_channel(self.channel_id_last, name)
        self.batch.state.append((KIND_CHANNEL, b"%d" % channel.channel_id, encode_channel_name(name)))
        self.log.info(f'Channel "{text(name)}" has been created')
        return channel

    def _refused(self, name: bytes, error: str) -> ChannelRefusedError:
        """The error for a channel that may not be created, which the log tells too."""
        self.complain("Creating channels failed", f'Creating channel "{text(name)}" failed: {error}')
        return ChannelRefusedError(error)

    def adopt_channel(self, channel_id: int, name: bytes) -> Channel:
        """Make the channel known, without remembering it: it is new, or comes from the store."""
        limits = self.limits_for(name)
        channel = Channel(channel_id, name, limits, self.store.message_overhead_bytes, self._stamp_field)
        channel.data_overhead_bytes = self.store.data_overhead_bytes
        channel.owner = self.channel_owner
        channel.last_active_ns = self.now_ns
        self.channels[name] = channel
        self.channels_by_id[channel_id] = channel
        self._folded_names[_folded(name)] = name
        if channel.limits.inactivity_max_ns:
            self.timers.set(channel.idle, self.now_ns + channel.limits.inactivity_max_ns)
        return channel

    def forget_channel(self, channel: Channel) -> None:
        """Make the channel unknown."""
        channel.is_deleted = True
        self.timers.cancel(channel)
        self.timers.cancel(channel.idle)
        self.channels.pop(channel.name, None)
        self.channels_by_id.pop(channel.channel_id, None)
        self._folded_names.pop(_folded(channel.name), None)

    def limits_for(self, name: bytes) -> ChannelLimits:
        """The limits of the channel `name`: those of the narrowest rule that matches it."""
        for pattern, limits in reversed(self.options.channel_rules):
            if matches(pattern, name):
                return limits
        return self.options.channel_limits


def _folded(name: bytes) -> bytes:
    """`name` in lower case, letters of any script; bytes that are not UTF-8 stay as they are."""
    if name.isascii():
        return name.lower()
    letters = name.decode("utf-8", "surrogateescape")
    # Letter by letter, and one for one: "Σ" does not depend on where in a word it stands, "İ" does not become two.
    return "".join([letter.lower()[0] for letter in letters]).encode("utf-8", "surrogateescape")


def text(name: bytes) -> str:
    """A name as text for logs and errors; what is not UTF-8 shows as escapes."""
    return name.decode("utf-8", "backslashreplace")
