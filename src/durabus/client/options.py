"""What can be chosen: for a bus, for a subscription, and where a subscription starts. Checked when it is said."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from durabus.client.errors import UsageError
from durabus.client.events import BusEvent
from durabus.client.servers import Server
from durabus.wire.stan_messages import (
    START_FIRST,
    START_LAST_RECEIVED,
    START_NEW_ONLY,
    START_SEQUENCE,
    START_TIME_DELTA,
)
from durabus.wire.subjects import is_channel_name

__all__ = ["BusOptions", "StartPosition", "SubscriptionOptions", "channel_bytes", "check_client_id", "data_bytes"]

_INT32_MAX: Final = 2**31 - 1
_EPOCH_SECOND_NS: Final = 1_000_000_000
_CLIENT_ID_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class StartPosition:
    """The first message of a subscription that is new: docs/protocol.md §7.3. Made by the functions of the class."""

    __slots__ = ("kind", "moment_ns", "sequence", "time_delta_ns")

    def __init__(self, kind: int, sequence: int = 0, time_delta_ns: int = 0, moment_ns: int = 0) -> None:
        """Keep what the wire wants to know; `moment_ns` becomes a delta when it is asked for."""
        self.kind = kind
        self.sequence = sequence
        self.time_delta_ns = time_delta_ns
        self.moment_ns = moment_ns

    @classmethod
    def new_only(cls) -> "StartPosition":
        """The next message that is published: the default."""
        return cls(START_NEW_ONLY)

    @classmethod
    def last_received(cls) -> "StartPosition":
        """The last message that is stored."""
        return cls(START_LAST_RECEIVED)

    @classmethod
    def all_available(cls) -> "StartPosition":
        """The first message that is stored."""
        return cls(START_FIRST)

    @classmethod
    def at_sequence(cls, sequence: int) -> "StartPosition":
        """This message; the first stored if it has gone, new ones only if it is not there yet."""
        if not 0 <= sequence < 2**64:
            raise UsageError(f"a sequence is a number from 0 up, not {sequence}")
        return cls(START_SEQUENCE, sequence=sequence)

    @classmethod
    def at_time(cls, moment: datetime) -> "StartPosition":
        """The first message that is not older than `moment`, which needs a time zone."""
        if moment.tzinfo is None:
            raise UsageError("a moment needs a time zone, such as datetime(2030, 1, 31, tzinfo=UTC)")
        return cls(START_TIME_DELTA, moment_ns=int(moment.timestamp() * 1e6) * 1000)

    @classmethod
    def time_delta(cls, back: timedelta | float) -> "StartPosition":
        """The first message that is not older than this; a number is in seconds."""
        delta_ns = int((back.total_seconds() if isinstance(back, timedelta) else back) * _EPOCH_SECOND_NS)
        if not 0 <= delta_ns < 2**63:
            raise UsageError(f"a time delta is 0 or more, not {back}")
        return cls(START_TIME_DELTA, time_delta_ns=delta_ns)

    def delta_ns(self, wall_ns: int) -> int:
        """How far back to start, in nanoseconds, at the moment `wall_ns`."""
        return max(0, wall_ns - self.moment_ns) if self.moment_ns else self.time_delta_ns


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """What a subscription asks for; `ack_wait_s` in whole seconds."""

    queue_group: str = ""
    durable_name: str = ""
    ack_wait_s: int = 30
    max_in_flight: int = 1024
    start: StartPosition = field(default_factory=StartPosition.new_only)
    manual_ack: bool = False

    def check(self) -> None:
        """Raise UsageError for what no server takes."""
        if not isinstance(self.start, StartPosition):
            raise UsageError(f"start is a StartPosition, such as StartPosition.all_available(), not {self.start!r}")
        if not 1 <= self.ack_wait_s <= _INT32_MAX or self.ack_wait_s != int(self.ack_wait_s):
            raise UsageError(f"ack_wait_s is a whole number of seconds from 1 up, not {self.ack_wait_s}")
        if not 1 <= self.max_in_flight <= _INT32_MAX:
            raise UsageError(f"max_in_flight is a number from 1 up, not {self.max_in_flight}")
        if self.queue_group and self.durable_name and ":" in self.durable_name:
            raise UsageError("the durable_name of a queue group cannot contain ':'")


@dataclass(frozen=True, slots=True)
class BusOptions:
    """How a bus behaves; what `durabus.connect` explains, already checked. Times in seconds."""

    servers: list[Server]
    cluster_id: str
    client_id: str
    has_own_client_id: bool = True
    user: str = ""
    password: str = ""
    token: str = ""
    tls: ssl.SSLContext | None = None
    tls_server_name: str = ""
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 5.0
    publish_timeout_s: float = 30.0
    window_messages_max: int = 4096
    window_bytes_max: int = 16 * 1024 * 1024
    ping_interval_s: float = 5.0
    pings_out_max: int = 3
    reconnect_wait_s: float = 0.1
    reconnect_wait_max_s: float = 5.0
    retries_publishes: bool = True
    raises_possibly_duplicated: bool = False
    on_event: Callable[[BusEvent], None] | None = None

    def check(self) -> None:
        """Raise UsageError for values that make no sense."""
        check_client_id(self.client_id)
        if not self.cluster_id or any(char.isspace() or char in "*>" for char in self.cluster_id):
            raise UsageError(f"the cluster ID {self.cluster_id!r} cannot be one")
        for name in (
            "connect_timeout_s", "request_timeout_s", "publish_timeout_s", "window_messages_max", "window_bytes_max",
            "ping_interval_s", "pings_out_max", "reconnect_wait_s", "reconnect_wait_max_s",
        ):  # fmt: skip
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be more than 0, not {getattr(self, name)}")


def check_client_id(client_id: str) -> None:
    """Raise UsageError for a client ID that the server would refuse."""
    if not client_id or not _CLIENT_ID_LETTERS.issuperset(client_id):
        raise UsageError(
            f"the client ID {client_id!r} may have letters, digits, - and _ only, and at least one of them"
        )


def channel_bytes(channel: str) -> bytes:
    """The name of a channel as bytes; raises UsageError for what cannot be one, or cannot be published to."""
    try:
        name = channel.encode()
    except (AttributeError, UnicodeEncodeError):  # no text, or half of a character
        raise UsageError(f"{channel!r} is no name of a channel: it cannot be UTF-8") from None
    if not is_channel_name(name):
        raise UsageError(f"{channel!r} is no name of a channel: no /, * or >, and no empty part between dots")
    if any(byte in b" \t\r\n" for byte in name):
        raise UsageError(f"the channel {channel!r} has blanks in it, which no client can publish to")
    return name


def data_bytes(data: bytes | bytearray | memoryview | str) -> bytes:
    """What is published, as bytes that nobody changes; raises UsageError for what is neither bytes nor text."""
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"this text cannot be UTF-8: {error}") from None
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise UsageError(f"data is bytes or text, not {type(data).__name__}; durabus.events publishes objects")
