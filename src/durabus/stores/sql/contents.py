"""What is in the tables, as far as writing and reading need to know it. Pure: the store keeps it, plans change it."""

__all__ = ["Contents", "StoredChannel", "StoredSubscription"]


class StoredChannel:
    """One channel. `first` and `last` as in `ChannelState`; `swept` is the first sequence that may still have a row."""

    def __init__(self, channel_id: int, name: bytes) -> None:
        """A channel without messages."""
        self.channel_id = channel_id
        self.name = name
        self.first = 0
        self.last = 0
        self.swept = 0
        self.last_timestamp_ns = 0
        self.body_bytes_max = 0
        self.has_gaps = False  # whether messages between the first and the last have no row, or one of size 0
        self.measured: list[int] = []  # from where on the sizes of messages were asked for
        self.lost_last = 0  # the last message, when that is lost and a row of size 0 keeps its number

    @property
    def needed_first(self) -> int:
        """The first message whose row must be there: of those that are wanted, or are being measured."""
        return min(self.first, *self.measured) if self.measured else self.first


class StoredSubscription:
    """One subscription: under which channel its row is, and whether there are rows of what it has pending."""

    def __init__(self, row_id: int, has_pending_rows: bool) -> None:
        """Keep both; `row_id` is the column Subscriptions.id."""
        self.row_id = row_id
        self.has_pending_rows = has_pending_rows


class Contents:
    """All of it. `tombstones` are rows of subscriptions marked as deleted, with the channel they stand under."""

    def __init__(self) -> None:
        """Empty tables."""
        self.server: bytes | None = None  # the proto, None when there is no row
        self.clients: dict[bytes, str] = {}  # a client's key and its column Clients.id
        self.channels: dict[int, StoredChannel] = {}
        self.channel_ids: dict[bytes, int] = {}
        self.subscriptions: dict[int, StoredSubscription] = {}
        self.tombstones: dict[int, int] = {}
        self.subscription_id_max = 0
        self.dead_channels: list[int] = []  # marked as deleted, with rows to sweep

    def add_channel(self, channel: StoredChannel) -> None:
        """Know `channel`."""
        self.channels[channel.channel_id] = channel
        self.channel_ids[channel.name] = channel.channel_id

    def remove_channel(self, channel_id: int) -> None:
        """Forget a channel, which is marked as deleted: its rows are to be swept."""
        channel = self.channels.pop(channel_id, None)
        if channel is None:
            return
        if self.channel_ids.get(channel.name) == channel_id:
            del self.channel_ids[channel.name]
        self.dead_channels.append(channel_id)
        for subscription in self.subscriptions.values():
            if subscription.row_id == channel_id:
                subscription.row_id = 0
        for number, row_id in self.tombstones.items():
            if row_id == channel_id:
                self.tombstones[number] = 0
