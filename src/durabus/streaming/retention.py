"""What limits remove: old messages by count, bytes and age, and idle channels (docs/protocol.md §11).

A limit takes effect by moving the channel's floor: what lies below is gone for every reader, at once and for good.
"""

from typing import Final

from mypy_extensions import i64

from durabus.sizes import format_size
from durabus.streaming.channel import Channel, ChannelOwner
from durabus.streaming.delivery import Delivery
from durabus.streaming.options import MILLISECOND_NS, SECOND_NS
from durabus.streaming.state import State, text
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION

__all__ = ["Retention"]

_SIZES_AT_ONCE: Final = 512


class Retention(ChannelOwner):
    """Keeps channels within their limits."""

    def __init__(self, state: State, delivery: Delivery) -> None:
        """Work on `state`."""
        self._state = state
        self._delivery = delivery
        self._measures: dict[int, tuple[Channel, int]] = {}  # whose sizes were asked for, and from where on
        self._age_seeks: dict[int, Channel] = {}

    def after_batch(self, channel: Channel) -> None:
        """Messages were decided for `channel`: apply the limit of their number; time begins to run for them."""
        limits = channel.limits
        channel.last_active_ns = self._state.now_ns
        if limits.messages_max and channel.message_count > limits.messages_max:
            self._raise_floor(channel, int(channel.last) - limits.messages_max + 1)
            self._report(channel, channel.message_count, int(channel.stored_bytes))
        if limits.age_max_ns and channel.deadline_ns == 0 and channel.stamps:
            self._arm_age(channel)

    def after_durable(self, channel: Channel) -> None:
        """Messages of `channel` became durable: apply the limit of their bytes; at least one message stays."""
        limits = channel.limits
        if not limits.bytes_max or channel.stored_bytes <= limits.bytes_max or channel.is_measured:
            return  # when the sizes have come that were asked for, it is looked at again
        while channel.stored_bytes > limits.bytes_max and channel.first < channel.durable_last:
            first = int(channel.first)
            sizes = self._state.store.sizes_now(channel.channel_id, first, _SIZES_AT_ONCE)
            if not sizes:
                excess = int(channel.stored_bytes) - limits.bytes_max
                self._measure(channel, first, int(channel.durable_last), excess)
                return
            self._drop_for_bytes(channel, sizes)

    def _drop_for_bytes(self, channel: Channel, sizes: list[int]) -> None:
        overhead: i64 = self._state.store.message_overhead_bytes
        floor: i64 = channel.first
        stored: i64 = channel.stored_bytes
        bytes_max: i64 = channel.limits.bytes_max
        for size in sizes:
            if stored <= bytes_max or floor >= channel.durable_last:
                break
            stored -= size + overhead
            floor += 1
            if not channel.limits_reached:
                self._report(channel, int(channel.last - floor + 1), int(stored))
        channel.stored_bytes = stored
        self._set_floor(channel, int(floor))

    def _raise_floor(self, channel: Channel, floor: int) -> None:
        """Drop everything below `floor`, which is at most the next sequence."""
        if channel.uncounted_first == 0:
            channel.uncounted_first = channel.first
        self._set_floor(channel, floor)
        if channel.message_count == 0:
            channel.stored_bytes = 0
            channel.uncounted_first = 0
        else:
            self._count_dropped(channel)

    def _count_dropped(self, channel: Channel) -> None:
        """Take what was dropped out of the bytes, as far as its sizes are at hand; ask the store for the rest.

        The store is asked before it is told the floor: so it still knows.
        """
        at = int(channel.uncounted_first)
        first = int(channel.first)
        while at < first:
            sizes = self._sizes_at_hand(channel, at, first - at)
            if not sizes:
                break
            for size in sizes:
                channel.stored_bytes -= size
            at += len(sizes)
        channel.uncounted_first = at if at < first else 0
        if at < first and not channel.is_measured:
            self._measure(channel, at, min(first, int(channel.durable_last) + 1), 0)

    def _measure(self, channel: Channel, first: int, end: int, enough_bytes: int) -> None:
        """Ask the store for sizes: of all messages up to `end`, or of as many of the oldest as have `enough_bytes`."""
        state = self._state
        request = state.next_request()
        self._measures[request] = (channel, first)
        channel.is_measured = True
        if enough_bytes and state.store.message_overhead_bytes:
            enough_bytes = 1  # one by one: how many it takes does not only depend on what they have
        state.store.measure(request, channel.channel_id, first, end, enough_bytes)

    def on_measured(self, request: int, end: int, size_bytes: int) -> bool:
        """The size of old messages has come; whether the request was one of ours."""
        asked = self._measures.pop(request, None)
        if asked is None:
            return False
        channel, first = asked
        channel.is_measured = False
        if channel.is_deleted:
            return True
        if end <= first:
            # Nobody knows. What is dropped goes on counting until the next start.
            channel.uncounted_first = 0
            return True
        if first == (channel.uncounted_first or channel.first):
            channel.stored_bytes -= size_bytes + (end - first) * self._state.store.message_overhead_bytes
            if end > channel.first:
                self._set_floor(channel, end)
                self._report(channel, channel.message_count, int(channel.stored_bytes))
            channel.uncounted_first = end if end < channel.first else 0
        if channel.uncounted_first:
            self._count_dropped(channel)
        self.after_durable(channel)
        return True

    def _sizes_at_hand(self, channel: Channel, at: int, count: int) -> list[int]:
        """What messages from `at` on count for, as far as that needs no waiting.

        They are in the store, on their way to it, or in the open batch.
        """
        state = self._state
        if at <= channel.durable_last:
            overhead = state.store.message_overhead_bytes
            return [size + overhead for size in state.store.sizes_now(channel.channel_id, at, count)]
        for batch in [*[pending.batch for pending in state.in_flight], state.batch]:
            for run in batch.runs:
                index = int(at - run.first_sequence)
                if run.channel_id == channel.channel_id and 0 <= index < len(run.bodies):
                    return [channel.size_of(body) for body in run.bodies[index : index + count]]
        return []

    def _set_floor(self, channel: Channel, floor: int) -> None:
        """Let the channel begin at `floor`, and forget when the messages before it came."""
        channel.first = floor
        self._state.batch.floors[channel.channel_id] = floor
        stamps = channel.stamps
        while len(stamps) > 1 and stamps[1][0] <= floor:
            stamps.popleft()

    def _report(self, channel: Channel, count: int, stored_bytes: int) -> None:
        """Tell, once, that a limit has dropped something of `channel`, and what it holds after the first drop."""
        if channel.limits_reached:
            return
        channel.limits_reached = True
        limits = channel.limits
        self._state.log.warning(
            f'Reached limits for store "{text(channel.name)}" (msgs={count}/{limits.messages_max} '
            f"bytes={format_size(stored_bytes)}/{format_size(limits.bytes_max)}), "
            "dropping old messages to make room for new ones"
        )

    # Age.

    def _arm_age(self, channel: Channel) -> None:
        """Come back when the oldest message is too old."""
        state = self._state
        if not channel.stamps:
            return
        left_ns = channel.stamps[0][1] + channel.limits.age_max_ns - state.wall_ns
        state.timers.set(channel, state.now_ns + max(left_ns, MILLISECOND_NS))

    def on_age_time(self, channel: Channel, now_ns: int) -> None:
        """Drop what is too old."""
        state = self._state
        if channel.is_deleted:
            return
        if channel.first <= channel.recovered_last:
            self._seek_age(channel)
            return
        cut_ns = state.wall_ns - channel.limits.age_max_ns
        stamps = channel.stamps
        count = len(stamps)
        while stamps and stamps[0][1] <= cut_ns:
            stamps.popleft()
        if len(stamps) < count:
            floor = stamps[0][0] if stamps else int(channel.last) + 1
            # What is not durable yet cannot be dropped yet: it is looked at again in a moment.
            if floor > channel.durable_last + 1:
                floor = int(channel.durable_last) + 1
                stamps.appendleft((floor, cut_ns))
            if floor > channel.first:
                self._raise_floor(channel, floor)
        self._arm_age(channel)

    def begin(self, channel: Channel) -> None:
        """Look after a recovered channel: its messages are as old as the store says."""
        limits = channel.limits
        if limits.messages_max and channel.message_count > limits.messages_max:
            self._raise_floor(channel, int(channel.last) - limits.messages_max + 1)
        self.after_durable(channel)
        if limits.age_max_ns and channel.message_count:
            channel.recovered_last = channel.last
            self._seek_age(channel)

    def _seek_age(self, channel: Channel) -> None:
        """Ask the store which recovered messages are too old: only it knows when they came."""
        request = self._state.next_request()
        self._age_seeks[request] = channel
        self._state.store.seek(request, channel.channel_id, self._state.wall_ns - channel.limits.age_max_ns + 1)

    def on_seek(self, request: int, sequence: int) -> bool:
        """The first message of a recovered channel that is not too old; whether the search was one of ours."""
        channel = self._age_seeks.pop(request, None)
        if channel is None:
            return False
        if channel.is_deleted:
            return True
        floor = min(sequence, int(channel.durable_last) + 1)
        if floor > channel.first:
            self._raise_floor(channel, floor)
        if channel.first <= channel.recovered_last:
            self._state.timers.set(channel, self._state.now_ns + SECOND_NS)
        else:
            self._arm_age(channel)
        return True

    # Inactivity.

    def on_idle_time(self, channel: Channel, now_ns: int) -> None:
        """Delete the channel, offline durables and all, if nothing has happened in it for its time."""
        state = self._state
        limit_ns = channel.limits.inactivity_max_ns
        if channel.is_deleted or not limit_ns or channel.has_active_subscription():
            return
        if channel.run is not None or channel.last_active_ns + limit_ns > now_ns:
            state.timers.set(channel.idle, max(channel.last_active_ns + limit_ns, now_ns + MILLISECOND_NS))
            return
        for cohort in channel.cohorts:
            for member in cohort.everybody():
                state.batch.state.append((KIND_SUBSCRIPTION, b"%d" % member.subscription_id, None))
        state.batch.state.append((KIND_CHANNEL, b"%d" % channel.channel_id, None))
        state.batch.floors.pop(channel.channel_id, None)
        state.forget_channel(channel)
        state.log.info(f'Channel "{text(channel.name)}" has been deleted')
