"""The store port: what the streaming core needs remembered, and the three verbs of every store.

A store *recovers*, takes *batches of changes*, and *reads ranges of messages*. It decides nothing about delivery. The
core calls it per batch, never per message. Names ending in `_ns` are nanoseconds, `_bytes` bytes.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

__all__ = [
    "FATAL",
    "KIND_CHANNEL",
    "KIND_CLIENT",
    "KIND_SERVER",
    "KIND_SUBSCRIPTION",
    "REFUSED",
    "UNKNOWN",
    "Batch",
    "ChannelState",
    "Cursor",
    "Lease",
    "Recovered",
    "Run",
    "Store",
    "StoreListener",
    "gap_text",
]

REFUSED: Final = 1
"""The batch was not written, and nothing of it will be."""
UNKNOWN: Final = 2
"""The batch may have been written: recover before deciding anything else."""
FATAL: Final = 3
"""A failed fsync, or the store belongs to somebody else now: stop."""

KIND_SERVER: Final = 0
KIND_CLIENT: Final = 1
KIND_CHANNEL: Final = 2
KIND_SUBSCRIPTION: Final = 3

_BYTES_AT_ONCE: Final = 4 * 1024 * 1024


class Run:
    """Consecutive messages of one channel.

    `bodies[i]` is message `first_sequence + i`, as MsgProto fields 1 to 5: what is stored is what is delivered.
    `stamps` says which timestamp holds from which index on: `(index, timestamp_ns)`, ascending, the first at index 0. Other
    runs may share the list: it MUST NOT be changed.
    An empty body stands for a message that was lost before it came here, damaged in the store that it is copied from. It
    uses its number up, and is read back as an empty body.
    """

    def __init__(
        self,
        channel_id: int,
        first_sequence: int,
        bodies: list[bytes] | None = None,
        stamps: list[tuple[int, int]] | None = None,
    ) -> None:
        """A run of the channel `channel_id` (never reused), that begins at `first_sequence` (1 and up); empty when not given."""
        self.channel_id = channel_id
        self.first_sequence: i64 = first_sequence
        self.bodies: list[bytes] = [] if bodies is None else bodies
        self.stamps: list[tuple[int, int]] = [] if stamps is None else stamps


def gap_text(channel_id: int, last: int, first: int) -> str:
    """Why a run that begins at `first` is refused in a channel whose last message is `last`."""
    return f"channel {channel_id} ends at {last}, so {first} cannot be its next message"


class Cursor:
    """Where one subscription stands, as a whole and not as a difference, so that losing one loses only freshness.

    `pending` are the sent and unacknowledged sequences, as ascending closed ranges. May lag behind by a second.
    """

    def __init__(self, subscription_id: int, last_sent: int, pending: list[tuple[int, int]]) -> None:
        """Keep the position of subscription `subscription_id`."""
        self.subscription_id = subscription_id
        self.last_sent = last_sent
        self.pending = pending


class Batch:
    """Changes that are remembered together. Applying one twice is the same as applying it once.

    Its parts take effect in this order: runs, floors, cursors, state. So what a batch deletes stays deleted, and the
    cursor of a deleted subscription goes with it.

    `state` entries are `(kind, key, value)`; a value of None deletes the key. Deleting a channel's state entry (its key
    is the decimal channel id) deletes its messages too. `floors` maps a channel id to the first sequence that is still
    wanted; what lies below is gone for every reader at once and its space is freed when it suits the store.
    """

    def __init__(self, number: int, epoch: int) -> None:
        """An empty batch; numbers are consecutive, from 1, within one activation."""
        self.number = number
        self.epoch = epoch
        self.state: list[tuple[int, bytes, bytes | None]] = []
        self.runs: list[Run] = []
        self.floors: dict[int, int] = {}
        self.cursors: list[Cursor] = []

    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.state or self.runs or self.floors or self.cursors)


class Lease:
    """The right to write, until `expires_boottime_ns`; every batch carries its `epoch`."""

    def __init__(self, epoch: int, expires_boottime_ns: int) -> None:
        """Keep both."""
        self.epoch = epoch
        self.expires_boottime_ns = expires_boottime_ns


class ChannelState:
    """What a store holds of one channel. Nothing stored ever: first 0, last 0; all removed: first is last + 1.

    `bytes` is the sum of the body sizes plus the store's overhead per message.
    """

    def __init__(
        self, channel_id: int, first_sequence: int, last_sequence: int, stored_bytes: int, last_timestamp_ns: int
    ) -> None:
        """Keep the figures."""
        self.channel_id = channel_id
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence
        self.stored_bytes = stored_bytes
        self.last_timestamp_ns = last_timestamp_ns


class Recovered:
    """All that a store remembers, except the messages themselves.

    `damage` is in words, one entry per finding; so is `weaknesses`, why an acknowledgement is worth less than it should be.
    """

    def __init__(self) -> None:
        """Nothing remembered."""
        self.state: list[tuple[int, bytes, bytes]] = []
        self.cursors: list[Cursor] = []
        self.channels: list[ChannelState] = []
        self.damage: list[str] = []
        self.weaknesses: list[str] = []


@mypyc_attr(allow_interpreted_subclasses=True)
class StoreListener:
    """Who is told how a store's work ended; the core implements it. Called on the core's own thread."""

    def on_durable(self, number: int) -> None:
        """Batch `number` is as safe as the store promises. Batches become durable in the order of their numbers."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """Batch `number` failed with `outcome` (REFUSED, UNKNOWN, FATAL); `text` says why, for publishers and logs."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """Answer `read` number `request`: messages from the wanted one on, none when there is nothing to read."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_seek(self, request: int, sequence: int) -> None:
        """Answer `seek` number `request`."""
        raise NotImplementedError  # pragma: no cover - abstract

    def on_measured(self, request: int, end: int, size_bytes: int) -> None:
        """Answer `measure` number `request`: the messages up to, not including, `end` count for `size_bytes`."""
        raise NotImplementedError  # pragma: no cover - abstract


@mypyc_attr(allow_interpreted_subclasses=True)
class Store:
    """The port. An implementation MUST keep the promises below; `durabus.testing.conformance` holds it to them.

    `name` is what monitoring reports (`MEMORY`), `durability` says in words what an acknowledgement is worth.
    `is_immediate` says that every answer comes within the call that asks for it. `has_lost` says that pages may hold empty
    bodies: each stands for a message that is lost, because it was damaged here or came as an empty body, and is left out.
    It MUST be so before the page with the first of them is given. Lost messages that are the oldest of their channel may be
    gone after the next `recover`, as if they had been removed; the number of the last message is never forgotten.
    `message_overhead_bytes` is what each message counts beyond its body, `data_overhead_bytes` what its data grow by where
    there are any, because they are stored in another form (encrypted); `batches_in_flight_max` how many batches may be
    submitted and not yet ended. `batch_messages_best`, where it is not 0, is how many messages are better sent on their way as a
    batch than kept for a larger one, while fewer batches than that are in flight: the store works on them meanwhile.
    """

    name = ""
    durability = ""
    message_bytes_max = 0
    message_overhead_bytes = 0
    data_overhead_bytes = 0
    batches_in_flight_max = 1
    batch_messages_best = 0
    is_immediate = False
    has_lost = False

    def bind(self, listener: StoreListener) -> None:
        """Tell `listener` how work ends, from now on."""
        raise NotImplementedError  # pragma: no cover - abstract

    def channel_complaint(self, name: bytes) -> str:
        """Why a channel cannot have this name here, for who asked for it; empty when it can."""
        return ""

    async def acquire(self, owner: str) -> Lease | None:
        """Become the one writer, or return None: stay standby. Raises StoreError where that is not supported."""
        raise NotImplementedError  # pragma: no cover - abstract

    async def recover(self, lease: Lease | None) -> Recovered:
        """All that is remembered; MUST agree with what `read_now` and `read` return afterwards.

        A barrier: when it returns, everything submitted or asked before has had its end, and batch numbers begin at 1
        again. So nothing that an earlier core asked for can reach a later one.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def submit(self, batch: Batch) -> None:
        """Remember `batch`. Never blocks; ends in exactly one `on_durable` or `on_failed`, perhaps within the call.

        A run that leaves a gap behind what is stored is REFUSED with the whole batch; the first run of a channel may
        begin anywhere. Floors never sink.

        After a batch that failed, every later one MUST fail too, until `recover`: it was decided on top of the failed one.
        MUST NOT call `on_durable` before the batch is as safe as `durability` says, nor out of order.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """Consecutive durable messages from `first` on, if they are at hand without waiting, else None.

        Empty when `first` lies beyond the last message. At least one message whatever `bytes_max` says. `first` MUST
        be at or above the floor.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Like `read_now`, but ends in exactly one `on_page`, perhaps within the call."""
        raise NotImplementedError  # pragma: no cover - abstract

    def sizes_now(self, channel_id: int, first: int, count_max: int) -> list[int]:
        """The bytes of durable messages from `first` on, as they are stored; as many as are at hand without waiting, or none."""
        return [len(body) for body in self.read_now(channel_id, first, count_max, _BYTES_AT_ONCE) or ()]

    def measure(self, request: int, channel_id: int, first: int, end: int, enough_bytes: int) -> None:
        """Find out what the durable messages from `first` to before `end` have together, as they are stored, in bytes.

        With `enough_bytes` above 0, only up to the message with which it is that much, or perhaps less far. Ends in exactly
        one `on_measured`, perhaps within the call, which goes no further than `first` where nothing can be found out.

        `first` MUST be at or above all floors that were submitted. Floors that are submitted later and before the answer
        change nothing about it, nor about what is asked within the answer, at or above the former `first`. A message that is
        lost counts for what `recover` counts it for.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def seek(self, request: int, channel_id: int, timestamp_ns: int) -> None:
        """Find the first message at or after `timestamp_ns`; ends in exactly one `on_seek`, perhaps within the call.

        The answer is its sequence, last + 1 when there is none, 0 when nothing was ever stored.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    async def close(self) -> None:
        """Finish what was submitted and let go of everything. Closing twice is closing once."""
        raise NotImplementedError  # pragma: no cover - abstract
