"""All that a journal remembers except the messages: state, cursors, and how far each channel goes.

Everything is as decided: what is being written counts already, since what follows rests on it.
"""

from array import array

from durabus.stores.file.frame import Figures, Frame
from durabus.stores.file.index import Entries
from durabus.stores.file.recent import Tail
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SUBSCRIPTION, Cursor

__all__ = ["ChannelLog", "Contents"]


class ChannelLog:
    """One channel: which of its messages are wanted, and which segments they lie in.

    Message numbers `first` to `last` are kept; first is last + 1 when none is. What lies in segment `segments[i]` begins
    with message `firsts[i]`. Messages up to `durable_last` can be read, those below `durable_first` need not be there any more.
    """

    def __init__(self, channel_id: int) -> None:
        """A channel that never had a message."""
        self.channel_id = channel_id
        self.first = 0
        self.last = 0
        self.bytes_ever = 0
        self.last_timestamp_ns = 0
        self.durable_first = 0
        self.durable_last = 0
        self.firsts = array("Q")
        self.segments = array("Q")
        self.last_segment = 0  # the last of these
        self.entries: Entries | None = None  # its runs there, once something was written
        self.tail: Tail | None = None  # its newest messages, once something was written
        self.batch_mark = 0  # of the last batch with messages for it
        self.is_gone = False  # deleted
        self.measured: list[int] = []  # from where on the sizes of messages were asked for

    @property
    def needed_first(self) -> int:
        """The first message that must be there: one that is wanted, or is being measured."""
        return min(self.durable_first, *self.measured) if self.measured else self.durable_first

    def append(self, first: int, count: int, bytes_ever: int, timestamp_ns: int) -> None:
        """Messages were added at the end; `bytes_ever` are those of all bodies up to there, lost ones too."""
        if self.last == 0:
            self.first = first
        self.last = first + count - 1
        self.bytes_ever = bytes_ever
        self.last_timestamp_ns = timestamp_ns

    def raise_floor(self, floor: int) -> None:
        """Messages below `floor` are wanted no more."""
        if self.last and floor > self.first:
            self.first = min(floor, self.last + 1)


class Contents:
    """What a start finds, and what batches change."""

    def __init__(self) -> None:
        """Nothing."""
        self.state: dict[tuple[int, bytes], bytes] = {}
        self.cursors: dict[int, Cursor] = {}
        self.channels: dict[int, ChannelLog] = {}

    def channel(self, channel_id: int) -> ChannelLog:
        """What is known of a channel, from now on if not before."""
        log = self.channels.get(channel_id)
        if log is None:
            log = self.channels[channel_id] = ChannelLog(channel_id)
        return log

    def apply(self, frame: Frame) -> list[ChannelLog]:
        """Let the changes of `frame` take effect; the channels that went with them."""
        for place in frame.places:
            bytes_ever = place.bytes_before + place.bodies_bytes
            self.channel(place.channel_id).append(place.first, place.count, bytes_ever, place.last_timestamp_ns)
        return self.apply_rest(frame)

    def apply_rest(self, frame: Frame) -> list[ChannelLog]:
        """Let all but the messages of `frame` take effect; the channels that went with it."""
        for channel_id, floor in frame.floors:
            log = self.channels.get(channel_id)
            if log is not None:
                log.raise_floor(floor)
        for cursor in frame.cursors:
            self.cursors[cursor.subscription_id] = cursor
        gone: list[ChannelLog] = []
        for kind, key, value in frame.state:
            if value is not None:
                self.state[(kind, key)] = value
                continue
            self.state.pop((kind, key), None)
            if kind == KIND_CHANNEL:
                log = self.channels.pop(_number(key), None)
                if log is not None:
                    log.is_gone = True
                    gone.append(log)
            elif kind == KIND_SUBSCRIPTION:
                self.cursors.pop(_number(key), None)
        return gone

    def begin(self, snapshot: Frame) -> None:
        """Be what `snapshot` says."""
        self.state = {(kind, key): value for kind, key, value in snapshot.state if value is not None}
        self.cursors = {cursor.subscription_id: cursor for cursor in snapshot.cursors}
        self.channels = {}
        for one in snapshot.figures:
            log = self.channel(one.channel_id)
            log.first, log.last, log.bytes_ever = one.first, one.last, one.bytes_ever
            log.last_timestamp_ns = one.last_timestamp_ns

    def into(self, snapshot: Frame) -> None:
        """Put everything into `snapshot`."""
        snapshot.state = [(kind, key, value) for (kind, key), value in self.state.items()]
        snapshot.cursors = list(self.cursors.values())
        snapshot.figures = [
            Figures(log.channel_id, log.first, log.last, log.bytes_ever, log.last_timestamp_ns)
            for log in self.channels.values()
            if log.last
        ]


def _number(key: bytes) -> int:
    """The channel or subscription whose state this is; 0, which is none, for a key that nobody wrote."""
    return int(key) if key.isdigit() and len(key) <= 20 else 0
