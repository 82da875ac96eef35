"""The pages about the streaming server, below `/streaming` (docs/protocol.md §13)."""

from collections.abc import Iterator

from durabus.monitoring import process
from durabus.monitoring.go_json import PAUSE, JsonRows, JsonValue, Pause, format_time, format_uptime, text_of
from durabus.monitoring.query import LIMIT_DEFAULT, Query, lenient_int
from durabus.monitoring.replies import Reply, document, page, text
from durabus.monitoring.state import ChannelState, ClientState, LimitsState, StateSource, SubscriptionState
from durabus.monitoring.steps import Pace, Steps, lowest
from durabus.version import STREAMING_VERSION, python_name

__all__ = ["channelsz", "clientsz", "index", "is_ft_active", "serverz", "storez"]

LINKS = (
    ("streaming/serverz", "server"),
    ("streaming/storez", "store"),
    ("streaming/clientsz", "clients"),
    ("streaming/channelsz", "channels"),
)


def index(source: StateSource, query: Query) -> Steps[Reply]:
    """The pages, for people."""
    yield from ()
    return page("NATS Streaming", LINKS)


def serverz(source: StateSource, query: Query) -> Steps[Reply]:
    """The server in numbers."""
    state = yield from source.server()
    identity = source.identity()
    shown: dict[str, JsonRows] = {
        "cluster_id": identity.cluster_id,
        "server_id": identity.server_id,
        "version": STREAMING_VERSION,
        "go": python_name(),
        "state": identity.state,
        "now": format_time(identity.now_ns),
        "start_time": format_time(state.start_time_ns),
        "uptime": format_uptime(max(0, identity.now_ns - state.start_time_ns)),
        "clients": state.clients,
        "subscriptions": state.subscriptions,
        "channels": state.channels,
        "total_msgs": state.total_messages,
        "total_bytes": state.total_bytes,
        "in_msgs": state.in_messages,
        "in_bytes": state.in_bytes,
        "out_msgs": state.out_messages,
        "out_bytes": state.out_bytes,
    }
    # The original leaves these two out where the system does not tell them.
    open_files = process.open_file_count()
    if open_files:
        shown["open_fds"] = open_files
        shown["max_fds"] = process.file_limit()
    return (yield from document(shown, query))


def storez(source: StateSource, query: Query) -> Steps[Reply]:
    """The store and its limits."""
    state = yield from source.store()
    limits: dict[str, JsonRows] = {"max_channels": state.max_channels, **limit_rows(state.limits)}
    if state.channel_limits:
        limits["channels"] = {text_of(name): limit_rows(limit) for name, limit in state.channel_limits.items()}
    shown: dict[str, JsonRows] = {
        **heading(source),
        "type": state.kind,
        "limits": limits,
        "total_msgs": state.total_messages,
        "total_bytes": state.total_bytes,
    }
    return (yield from document(shown, query))


def limit_rows(limits: LimitsState) -> dict[str, JsonValue]:
    """The limits of a channel."""
    return {
        "max_msgs": limits.max_messages,
        "max_bytes": limits.max_bytes,
        "max_age": limits.max_age_ns,
        "max_subscriptions": limits.max_subscriptions,
        "max_inactivity": limits.max_inactivity_ns,
    }


def clientsz(source: StateSource, query: Query) -> Steps[Reply]:
    """The clients, or one of them."""
    with_subscriptions = lenient_int(query, "subs") == 1
    name = query.get("client", "")
    if name:
        client = source.client(name.encode("utf-8", "surrogateescape"))
        if client is None:
            return text(404, f"Client {name} not found")
        # An iterator of one, because the subscriptions may be many.
        (shown,) = yield from collected(client_rows(source, iter((client,)), with_subscriptions))
        return (yield from document(shown, query))
    offset, limit = paging(query)
    known = source.client_ids()
    ids = (yield from lowest(known, offset + limit))[offset:]
    clients = (client for client in map(source.client, ids) if client is not None)
    listing: dict[str, JsonRows] = {
        **heading(source),
        "offset": offset,
        "limit": limit,
        "count": len(ids),
        "total": len(known),
        "clients": client_rows(source, clients, with_subscriptions),
    }
    return (yield from document(listing, query))


def client_rows(
    source: StateSource, clients: Iterator[ClientState], with_subscriptions: bool
) -> Iterator[JsonRows | Pause]:
    """The entries of clients."""
    pace = Pace()
    for client in clients:
        row: dict[str, JsonRows] = {
            "id": text_of(client.client_id),
            "hb_inbox": text_of(client.heartbeat_inbox),
            "subs_count": client.subscriptions,
        }
        if with_subscriptions:
            by_channel: dict[bytes, list[SubscriptionState]] = {}
            for channel, subscription in source.client_subscriptions(client.client_id):
                by_channel.setdefault(channel, []).append(subscription)
                if pace.spent(8):
                    yield PAUSE
            if by_channel:
                row["subscriptions"] = {
                    text_of(channel): map(subscription_row, by_channel[channel]) for channel in sorted(by_channel)
                }
        yield row


def channelsz(source: StateSource, query: Query) -> Steps[Reply]:
    """The names of the channels, or with `subs=1` all about them; or one channel."""
    with_subscriptions = lenient_int(query, "subs") == 1
    name = query.get("channel", "")
    if name:
        channel = source.channel(name.encode("utf-8", "surrogateescape"))
        if channel is None:
            return text(404, f"Channel {name} not found")
        return (yield from document(channel_row(source, channel, with_subscriptions), query))
    offset, limit = paging(query)
    known = source.channel_names()
    names = (yield from lowest(known, offset + limit))[offset:]
    listing: dict[str, JsonRows] = {
        **heading(source),
        "offset": offset,
        "limit": limit,
        "count": len(names),
        "total": len(known),
    }
    # An empty list is left out here, and shown in the list of clients: the original's way.
    if names and with_subscriptions:
        channels = (channel for channel in map(source.channel, names) if channel is not None)
        listing["channels"] = (channel_row(source, channel, True) for channel in channels)
    elif names:
        listing["names"] = map(text_of, names)
    return (yield from document(listing, query))


def channel_row(source: StateSource, channel: ChannelState, with_subscriptions: bool) -> dict[str, JsonRows]:
    """The entry of a channel."""
    row: dict[str, JsonRows] = {
        "name": text_of(channel.name),
        "msgs": channel.messages,
        "bytes": channel.stored_bytes,
        "first_seq": channel.first_sequence,
        "last_seq": channel.last_sequence,
        "subs_count": channel.subscriptions,
    }
    if with_subscriptions and channel.subscriptions:
        row["subscriptions"] = map(subscription_row, source.channel_subscriptions(channel.name))
    return row


def subscription_row(subscription: SubscriptionState) -> JsonRows:
    """The entry of a subscription."""
    row: dict[str, JsonRows] = {
        "client_id": text_of(subscription.client_id),
        "inbox": text_of(subscription.inbox),
        "ack_inbox": text_of(subscription.ack_inbox),
    }
    if subscription.durable_name:
        row["durable_name"] = text_of(subscription.durable_name)
    if subscription.queue_name:
        row["queue_name"] = text_of(subscription.queue_name)
    row["is_durable"] = subscription.is_durable
    row["is_offline"] = subscription.is_offline
    row["max_inflight"] = subscription.max_in_flight
    row["ack_wait"] = subscription.ack_wait_s
    row["last_sent"] = subscription.last_sent
    row["pending_count"] = subscription.pending
    row["is_stalled"] = subscription.is_stalled
    return row


def is_ft_active(source: StateSource, query: Query) -> Steps[Reply]:
    """Whether this is the active server of a group: 200, else 204; for load balancers."""
    yield from ()
    return Reply(200 if source.identity().state == "FT_ACTIVE" else 204, {}, b"")


def heading(source: StateSource) -> dict[str, JsonRows]:
    """How every list begins."""
    identity = source.identity()
    return {
        "cluster_id": identity.cluster_id,
        "server_id": identity.server_id,
        "now": format_time(identity.now_ns),
    }


def paging(query: Query) -> tuple[int, int]:
    """Offset and limit."""
    limit = lenient_int(query, "limit")
    return max(0, lenient_int(query, "offset")), limit if limit > 0 else LIMIT_DEFAULT


def collected(rows: Iterator[JsonRows | Pause]) -> Steps[list[JsonRows]]:
    """The rows of an iterator, in steps."""
    found: list[JsonRows] = []
    for row in rows:
        if isinstance(row, Pause):
            yield
        else:
            found.append(row)
    return found
