"""One channel: its numbers, its limits, and who stands where in it.

The messages themselves are the store's. A channel knows the next sequence, what is decided (`last`) and what is durable
(`durable_last`), and the first message that its limits leave (`first`).
"""

from collections import deque

from mypy_extensions import i64, mypyc_attr

from durabus.streaming.cohort import Cohort
from durabus.streaming.options import ChannelLimits
from durabus.streaming.store_port import Run
from durabus.streaming.timers import Timed
from durabus.wire.publish_request import BodyBuilder, StampField
from durabus.wire.stored_data import grown_bytes

__all__ = ["Channel", "ChannelOwner"]


@mypyc_attr(allow_interpreted_subclasses=True)
class ChannelOwner:
    """Who acts on what time does to channels; the retention implements it."""

    def on_age_time(self, channel: "Channel", now_ns: int) -> None:
        """The oldest message of `channel` may be too old now."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_idle_time(self, channel: "Channel", now_ns: int) -> None:
        """`channel` may have been idle for too long now."""
        raise NotImplementedError  # pragma: no cover - abstract


class _Idle(Timed):
    """The moment when a channel has been idle for too long."""

    def __init__(self, channel: "Channel") -> None:
        super().__init__()
        self._channel = channel

    def on_time(self, now_ns: int) -> None:
        owner = self._channel.owner
        if owner is not None:
            owner.on_idle_time(self._channel, now_ns)


class Channel(Timed):
    """One channel. Its deadline is the moment when its oldest message gets too old; `idle` has one of its own."""

    def __init__(
        self,
        channel_id: int,
        name: bytes,
        limits: ChannelLimits,
        message_overhead_bytes: int,
        stamp_field: StampField | None = None,
    ) -> None:
        """An empty channel; `channel_id` is never used again. Channels of one core share `stamp_field`."""
        super().__init__()
        self.channel_id = channel_id
        self.name = name
        self.limits = limits
        self.first: i64 = 0
        self.last: i64 = 0
        self.durable_last: i64 = 0
        self.stored_bytes: i64 = 0
        self.last_timestamp_ns = 0
        self.last_active_ns = 0
        self.is_deleted = False
        self.limits_reached = False
        self.is_measured = False  # the store was asked for the size of its oldest messages
        self.uncounted_first: i64 = 0  # the first dropped message that is still in `stored_bytes`; 0 when none is
        self.run: Run | None = None  # the open batch's messages of this channel
        self.run_wall_ns = 0  # for which time of the turn the run was begun or gone on with
        self._stamp_field = StampField() if stamp_field is None else stamp_field
        self.builder = BodyBuilder(name, self._stamp_field)
        self.cohorts: list[Cohort] = []
        self.by_key: dict[bytes, Cohort] = {}  # durables and queue groups
        self.stamps: deque[tuple[int, int]] = deque()  # (first sequence, timestamp_ns), kept where messages get old
        self.recovered_last: i64 = 0  # up to this message, only the store knows when each came
        self.idle = _Idle(self)
        self.owner: ChannelOwner | None = None
        self._message_overhead_bytes: i64 = message_overhead_bytes
        self.data_overhead_bytes: i64 = 0  # of the store: what data grow by on their way there

    def on_time(self, now_ns: int) -> None:
        """The oldest message may be too old."""
        if self.owner is not None:
            self.owner.on_age_time(self, now_ns)

    @property
    def message_count(self) -> int:
        """How many messages the limits have left."""
        return int(self.last - self.first + 1) if self.last else 0

    @property
    def subscription_count(self) -> int:
        """How many subscriptions there are, offline durables and shadows included."""
        return sum(len(cohort.members) + (cohort.shadow is not None) for cohort in self.cohorts)

    def has_active_subscription(self) -> bool:
        """Whether anybody subscribes at this moment; offline durables do not count."""
        return any(cohort.members for cohort in self.cohorts)

    def begin_run(self, wall_ns: int) -> None:
        """Messages come at `wall_ns` from now on; no timestamp is ever lower than the one before."""
        self.run_wall_ns = wall_ns
        if wall_ns > self.last_timestamp_ns:
            self.last_timestamp_ns = wall_ns
        run = self.run
        if run is not None:
            if run.stamps[-1][1] == self.last_timestamp_ns:
                return
            run.stamps = [*run.stamps, (len(run.bodies), self.last_timestamp_ns)]
        if self.limits.age_max_ns:
            self.stamps.append((int(self.last + 1), self.last_timestamp_ns))

    def append(self, body: bytes) -> None:
        """Add the stored body of the next message to the run of the open batch."""
        run = self.run
        if run is None:
            self.run = Run(
                self.channel_id, int(self.last + 1), [body], self._stamp_field.stamps(self.last_timestamp_ns)
            )
        else:
            run.bodies.append(body)
        self.last += 1
        if self.first == 0:
            self.first = 1
        self.stored_bytes += len(body) + self._message_overhead_bytes
        if self.data_overhead_bytes:
            self.stored_bytes += grown_bytes(body, self.data_overhead_bytes)

    def size_of(self, body: bytes) -> int:
        """What a message of this channel counts for, with what the store adds to it."""
        size: i64 = len(body) + self._message_overhead_bytes
        if self.data_overhead_bytes:
            size += grown_bytes(body, self.data_overhead_bytes)
        return int(size)
