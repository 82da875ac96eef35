"""`/connz`: the connections of the broker, open and closed, sorted, paged and in detail (docs/protocol.md §13)."""

from collections.abc import Callable, Iterator
from typing import Final

from durabus.config.units import format_duration
from durabus.monitoring.go_json import JsonRows, format_time, format_uptime, text_of
from durabus.monitoring.query import (
    LIMIT_DEFAULT,
    BadParameterError,
    Query,
    bool_parameter,
    int_parameter,
    uint_parameter,
)
from durabus.monitoring.replies import Reply, document
from durabus.monitoring.state import ConnectionState, InterestState, StateSource
from durabus.monitoring.steps import Pace, Steps, lowest

__all__ = ["ACCOUNT", "Detail", "connz", "detail_parameter", "interest_row"]

ACCOUNT: Final = "$G"
"""The one account that there is, under the name that nats-server gives it."""

MICROSECOND_NS: Final = 1_000
MILLISECOND_NS: Final = 1_000_000

STATES: Final = {"": "open", "open": "open", "closed": "closed", "any": "any", "all": "any"}

Key = Callable[[ConnectionState, int], int]

# By what each word sorts; the smallest first, so what shows the largest first is negative. The second argument is now.
ORDERS: Final[dict[str, Key]] = {
    "": lambda connection, now_ns: connection.client_id,
    "cid": lambda connection, now_ns: connection.client_id,
    "start": lambda connection, now_ns: connection.start_ns,
    "subs": lambda connection, now_ns: -connection.subscriptions,
    "pending": lambda connection, now_ns: -connection.pending_bytes,
    "msgs_to": lambda connection, now_ns: -connection.out_messages,
    "msgs_from": lambda connection, now_ns: -connection.in_messages,
    "bytes_to": lambda connection, now_ns: -connection.out_bytes,
    "bytes_from": lambda connection, now_ns: -connection.in_bytes,
    "last": lambda connection, now_ns: -connection.last_activity_ns,
    "idle": lambda connection, now_ns: connection.last_activity_ns - (connection.stop_ns or now_ns),
    "uptime": lambda connection, now_ns: (connection.stop_ns or now_ns) - connection.start_ns,
    "stop": lambda connection, now_ns: -connection.stop_ns,
}
BY_REASON: Final = "reason"
OF_CLOSED_ONLY: Final = ("stop", BY_REASON)


class Detail:
    """How much a document says of subscriptions."""

    NONE: Final = 0
    SUBJECTS: Final = 1
    ALL: Final = 2


class Request:
    """What was asked for; raises BadParameterError, in the original's order of checks."""

    def __init__(self, query: Query) -> None:
        self.order = query.get("sort", "")
        self.with_user = bool_parameter(query, "auth")
        self.detail = detail_parameter(query)
        self.offset = max(0, int_parameter(query, "offset"))
        limit = int_parameter(query, "limit")
        self.client_id = uint_parameter(query, "cid")
        self.limit = 1 if self.client_id else limit if limit > 0 else LIMIT_DEFAULT
        state = query.get("state", "")
        if state.lower() not in STATES:
            raise BadParameterError(f"Error decoding state for {state}")
        self.state = STATES[state.lower()]
        if self.order not in ORDERS and self.order != BY_REASON:
            raise BadParameterError(f"invalid sorting option: {self.order}")
        if self.order in OF_CLOSED_ONLY and self.state != "closed":
            raise BadParameterError(f"sort by {self.order} only valid on closed connections")
        self.user = query.get("user", "")
        self.account = query.get("acc", "")
        self.mqtt_client = query.get("mqtt_client", "")


def detail_parameter(query: Query) -> int:
    """`subs=1` or `subs=detail`; raises BadParameterError."""
    if query.get("subs", "").lower() == "detail":
        return Detail.ALL
    return Detail.SUBJECTS if bool_parameter(query, "subs") else Detail.NONE


def connz(source: StateSource, query: Query) -> Steps[Reply]:
    """The connections."""
    request = Request(query)
    now_ns = source.identity().now_ns
    if request.account not in ("", ACCOUNT):
        nobody = listing("", now_ns, request, 0, 0)
        nobody["connections"] = None
        return (yield from document(nobody, query))
    numbers: list[int] = []
    if request.state != "closed":
        numbers += source.open_connections()
    if request.state != "open":
        numbers += source.closed_connections()
    total = len(numbers)
    first, last = request.offset, request.offset + request.limit
    if request.mqtt_client:
        page = []
    elif request.client_id:
        page = [number for number in numbers if number == request.client_id][first:last]
    elif request.user or request.order not in ("", "cid"):
        page = (yield from selected(source, request, numbers, now_ns))[first:last]
    else:
        page = sorted(numbers)[first:last]
    shown = listing(source.listening().server_id, now_ns, request, len(page), total)
    shown["connections"] = rows(source, request, page, now_ns)
    return (yield from document(shown, query))


def listing(server_id: str, now_ns: int, request: Request, count: int, total: int) -> dict[str, JsonRows]:
    """How the document begins."""
    return {
        "server_id": server_id,
        "now": format_time(now_ns, utc=True),
        "num_connections": count,
        "total": total,
        "offset": request.offset,
        "limit": request.limit,
    }


def selected(source: StateSource, request: Request, numbers: list[int], now_ns: int) -> Steps[list[int]]:
    """The connections that are asked for, sorted; of equal ones the older first."""
    key = ORDERS.get(request.order)
    by_number: list[tuple[int, int]] = []
    by_text: list[tuple[str, int]] = []
    pace = Pace()
    for number in numbers:
        connection = source.connection(number)
        if connection is not None and request.user in ("", connection.user):
            if key is None:
                by_text.append((connection.reason, number))
            else:
                by_number.append((key(connection, now_ns), number))
        if pace.spent(8):
            yield
    count = request.offset + request.limit
    if key is None:
        return [number for _, number in (yield from lowest(by_text, count))]
    return [number for _, number in (yield from lowest(by_number, count))]


def rows(source: StateSource, request: Request, numbers: list[int], now_ns: int) -> Iterator[JsonRows]:
    """The entries of connections."""
    for number in numbers:
        connection = source.connection(number)
        if connection is not None:
            yield connection_row(source, request, connection, now_ns)


def connection_row(
    source: StateSource, request: Request, connection: ConnectionState, now_ns: int
) -> dict[str, JsonRows]:
    """The entry of one connection."""
    until_ns = connection.stop_ns or now_ns
    row: dict[str, JsonRows] = {
        "cid": connection.client_id,
        "kind": "Client",
        "type": "nats",
        "ip": connection.ip,
        "port": connection.port,
        "start": format_time(connection.start_ns, utc=True),
        "last_activity": format_time(connection.last_activity_ns, utc=True),
    }
    if connection.stop_ns:
        row["stop"] = format_time(connection.stop_ns, utc=True)
        row["reason"] = connection.reason
    row["rtt"] = round_trip(connection.round_trip_ns)
    row["uptime"] = format_uptime(max(0, until_ns - connection.start_ns))
    row["idle"] = format_uptime(max(0, until_ns - connection.last_activity_ns))
    row["pending_bytes"] = connection.pending_bytes
    row["in_msgs"] = connection.in_messages
    row["out_msgs"] = connection.out_messages
    row["in_bytes"] = connection.in_bytes
    row["out_bytes"] = connection.out_bytes
    row["subscriptions"] = connection.subscriptions
    optional = {
        "name": connection.name,
        "lang": connection.lang,
        "version": connection.version,
        "tls_version": connection.tls_version,
        "tls_cipher_suite": connection.tls_cipher_suite,
        "authorized_user": connection.user if request.with_user else "",
    }
    row.update((key, value) for key, value in optional.items() if value)
    if request.detail and connection.subscriptions:
        interest = source.connection_interest(connection.client_id)
        if request.detail == Detail.SUBJECTS:
            row["subscriptions_list"] = (text_of(one.subject) for one in interest)
        elif connection.stop_ns:
            row["subscriptions_list_detail"] = (interest_row(one, ACCOUNT, 0) for one in interest)
        else:
            row["subscriptions_list_detail"] = (interest_row(one, "", one.max_messages) for one in interest)
    return row


def interest_row(interest: InterestState, account: str, max_messages: int) -> JsonRows:
    """The entry of a subscription; without `account` and `max_messages` where they are empty."""
    row: dict[str, JsonRows] = {"account": account} if account else {}
    row["subject"] = text_of(interest.subject)
    if interest.queue:
        row["qgroup"] = text_of(interest.queue)
    row["sid"] = text_of(interest.sid)
    row["msgs"] = interest.messages
    if max_messages:
        row["max"] = max_messages
    row["cid"] = interest.client_id
    return row


def round_trip(duration_ns: int) -> str:
    """A round-trip time, below a millisecond in whole microseconds."""
    if MICROSECOND_NS < duration_ns < MILLISECOND_NS:
        duration_ns -= duration_ns % MICROSECOND_NS
    return format_duration(duration_ns)
