"""What a store must hold, the simplest way: dictionaries, one entry per message. Slow, obvious, and without a disk."""

from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION, Batch, Cursor

__all__ = ["ChannelModel", "Model"]


class ChannelModel:
    """The messages of one channel that are still wanted, by sequence. `first` and `last` as in `ChannelState`."""

    def __init__(self) -> None:
        """Nothing was ever stored."""
        self.first = 0
        self.last = 0
        self.last_timestamp_ns = 0
        self.bodies: dict[int, bytes] = {}
        self.stamps: dict[int, int] = {}

    def append(self, sequence: int, body: bytes, timestamp_ns: int) -> None:
        """Store one message, unless it is there or was."""
        if self.last and sequence <= self.last:
            return
        if self.last == 0:
            self.first = sequence
        self.last = sequence
        self.last_timestamp_ns = timestamp_ns
        self.bodies[sequence] = body
        self.stamps[sequence] = timestamp_ns

    def drop_below(self, floor: int) -> None:
        """Forget everything below `floor`."""
        while self.first < floor and self.first <= self.last:
            if self.last:
                self.bodies.pop(self.first, None)
                self.stamps.pop(self.first, None)
                self.first += 1
            else:
                return

    def range(self, first: int, count: int) -> list[bytes]:
        """At most `count` messages from `first` on."""
        return [self.bodies[sequence] for sequence in range(first, min(first + count, self.last + 1))]

    def seek(self, timestamp_ns: int) -> int:
        """The first sequence at or after `timestamp_ns`, last + 1 when there is none, 0 when nothing was ever stored."""
        if self.last == 0:
            return 0
        found = (sequence for sequence, stamp in self.stamps.items() if stamp >= timestamp_ns)
        return min(found, default=self.last + 1)


class Model:
    """Everything that batches asked to remember."""

    def __init__(self) -> None:
        """Nothing."""
        self.state: dict[tuple[int, bytes], bytes] = {}
        self.cursors: dict[int, Cursor] = {}
        self.channels: dict[int, ChannelModel] = {}

    def has_gap(self, batch: Batch) -> bool:
        """Whether a run of `batch` begins beyond the next sequence of its channel."""
        lasts = {channel_id: channel.last for channel_id, channel in self.channels.items()}
        for run in batch.runs:
            last = lasts.get(run.channel_id, 0)
            if last and run.first_sequence > last + 1:
                return True
            lasts[run.channel_id] = max(last, int(run.first_sequence) + len(run.bodies) - 1)
        return False

    def apply(self, batch: Batch) -> None:
        """Remember `batch`: first messages, floors and cursors, then the state, so that what it deletes is gone."""
        for run in batch.runs:
            channel = self.channels.setdefault(run.channel_id, ChannelModel())
            stamps = dict(run.stamps)
            timestamp_ns = 0
            for index, body in enumerate(run.bodies):
                timestamp_ns = stamps.get(index, timestamp_ns)
                channel.append(int(run.first_sequence) + index, body, timestamp_ns)
        for channel_id, floor in batch.floors.items():
            if channel_id in self.channels:
                self.channels[channel_id].drop_below(floor)
        for cursor in batch.cursors:
            self.cursors[cursor.subscription_id] = cursor
        for kind, key, value in batch.state:
            self._put(kind, key, value)

    def _put(self, kind: int, key: bytes, value: bytes | None) -> None:
        if value is not None:
            self.state[(kind, key)] = value
            return
        self.state.pop((kind, key), None)
        if kind == KIND_CHANNEL:
            self.channels.pop(int(key), None)
        elif kind == KIND_SUBSCRIPTION:
            self.cursors.pop(int(key), None)
