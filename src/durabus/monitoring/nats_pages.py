"""The pages about the broker, as nats-server has them; `/connz` is in a module of its own (docs/protocol.md §13).

There is one account, and there are no routes, gateways, leaf nodes or JetStream: their pages say so in the form that they
have in a nats-server without them.
"""

from collections.abc import Callable, Iterator

from durabus.monitoring import process
from durabus.monitoring.connz import ACCOUNT, detail_parameter, interest_row
from durabus.monitoring.go_json import JsonRows, JsonValue, format_time, format_uptime
from durabus.monitoring.query import LIMIT_DEFAULT, Query, bool_parameter, int_parameter
from durabus.monitoring.replies import Reply, bad_request, document, json_reply
from durabus.monitoring.state import InterestState, Listening, StateSource, SubjectsState
from durabus.monitoring.steps import Pace, Steps
from durabus.version import python_name

__all__ = [
    "LINKS",
    "accountz",
    "accstatz",
    "gatewayz",
    "healthz",
    "jsz",
    "leafz",
    "routez",
    "subsz",
    "varz_rows",
]

LINKS = (
    ("varz", "varz"),
    ("connz", "connz"),
    ("routez", "routez"),
    ("gatewayz", "gatewayz"),
    ("leafz", "leafz"),
    ("subsz", "subsz"),
    ("accountz", "accountz"),
    ("accstatz", "accstatz"),
    ("jsz", "jsz"),
    ("healthz", "healthz"),
)


def healthz(source: StateSource, query: Query) -> Steps[Reply]:
    """Whether clients are served, for probes: 200 or 503. On one line, as nats-server answers it."""
    for name in ("js-enabled-only", "js-enabled", "js-server-only"):
        bool_parameter(query, name)
    yield from ()
    if source.is_ready():
        return json_reply(200, b'{"status":"ok"}', query)
    return json_reply(503, b'{"status":"unavailable","error":"the server is not ready"}', query)


def varz_rows(source: StateSource, base_path: str, requests: dict[str, int], cpu: process.CpuMeter) -> Steps[JsonRows]:
    """The broker: how it is configured, and its numbers."""
    state = yield from source.broker()
    listening = source.listening()
    now_ns = source.identity().now_ns
    rows: dict[str, JsonRows] = {
        **configuration(listening, base_path),
        "start": format_time(listening.start_time_ns, utc=True),
        "now": format_time(now_ns, utc=True),
        "uptime": format_uptime(max(0, now_ns - listening.start_time_ns)),
        "mem": process.resident_bytes(),
        "cores": process.processor_count(),
        "gomaxprocs": 1,  # the Python code of a process runs on one processor at a time
        "cpu": cpu.percent(now_ns),
        "connections": state.connections,
        "total_connections": state.total_connections,
        "routes": 0,
        "remotes": 0,
        "leafnodes": 0,
        "in_msgs": state.in_messages,
        "out_msgs": state.out_messages,
        "in_bytes": state.in_bytes,
        "out_bytes": state.out_bytes,
        "slow_consumers": state.slow_consumers,
        "subscriptions": state.subscriptions,
        "http_req_stats": {path: requests[path] for path in sorted(requests)},
        "config_load_time": format_time(listening.config_load_time_ns, utc=True),
    }
    if listening.tags:
        rows["tags"] = listening.tags
    return rows


def configuration(listening: Listening, base_path: str) -> dict[str, JsonRows]:
    """What of the broker's state only a reload changes."""
    rows: dict[str, JsonRows] = {
        "server_id": listening.server_id,
        "server_name": listening.server_name,
        "version": listening.version,
        "proto": listening.protocol,
        "go": python_name(),
        "host": listening.host,
        "port": listening.port,
    }
    for name, is_set in (
        ("auth_required", listening.auth_required),
        ("tls_required", listening.tls_required),
        ("tls_verify", listening.tls_verify),
    ):
        if is_set:
            rows[name] = True
    rows["max_connections"] = listening.max_connections
    if listening.max_subscriptions:
        rows["max_subscriptions"] = listening.max_subscriptions
    rows["ping_interval"] = listening.ping_interval_ns
    rows["ping_max"] = listening.ping_max
    rows["http_host"] = listening.monitor_host
    rows["http_port"] = listening.http_port
    rows["http_base_path"] = base_path
    rows["https_port"] = listening.https_port
    rows["auth_timeout"] = listening.auth_timeout_s
    rows["max_control_line"] = listening.max_control_line
    rows["max_payload"] = listening.max_payload
    rows["max_pending"] = listening.max_pending
    for part in ("cluster", "gateway", "leaf", "mqtt", "websocket", "jetstream"):
        rows[part] = {}
    rows["tls_timeout"] = listening.tls_timeout_s
    rows["write_deadline"] = listening.write_deadline_ns
    return rows


def subsz(source: StateSource, query: Query) -> Steps[Reply]:
    """The register of subscriptions, and with `subs=1` what is in it."""
    with_subscriptions = bool_parameter(query, "subs")
    offset = max(0, int_parameter(query, "offset"))
    limit = int_parameter(query, "limit")
    limit = limit if limit > 0 else LIMIT_DEFAULT
    test = query.get("test", "")
    if test and not is_publish_subject(test):
        return bad_request(f"invalid test subject, must be valid publish subject: {test}")
    is_ours = query.get("acc", "") in ("", ACCOUNT)
    statistics = subject_rows(source.subjects()) if is_ours else subject_rows(NO_SUBJECTS)
    page: list[InterestState] = []
    if with_subscriptions and is_ours:
        subject = test.encode("utf-8", "surrogateescape")
        page = yield from sliced(source.interest_in(subject) if test else source.interest(), offset, limit)
    if not page:
        return (yield from document(statistics, query))
    shown: dict[str, JsonRows] = {
        "server_id": source.listening().server_id,
        "now": format_time(source.identity().now_ns, utc=True),
        **statistics,
        "total": len(page),
        "offset": offset,
        "limit": limit,
        "subscriptions_list": (interest_row(one, ACCOUNT, one.max_messages) for one in page),
    }
    return (yield from document(shown, query))


def sliced(found: Iterator[InterestState], offset: int, limit: int) -> Steps[list[InterestState]]:
    """`limit` of what is found, from `offset` on."""
    page: list[InterestState] = []
    pace = Pace()
    for index, one in enumerate(found):
        if index >= offset:
            page.append(one)
        if len(page) >= limit:
            break
        if pace.spent(3):
            yield
    return page


def is_publish_subject(subject: str) -> bool:
    """Whether nats-server takes a subject for one that can be published on: it does not look for blanks."""
    tokens = subject.split(".")
    return "" not in tokens and "*" not in tokens and ">" not in tokens


NO_SUBJECTS = SubjectsState(
    subscriptions=0, cached=0, inserts=0, removes=0, matches=0, hits=0, max_fanout=0, total_fanout=0
)


def subject_rows(state: SubjectsState) -> dict[str, JsonRows]:
    """The numbers of the register."""
    return {
        "num_subscriptions": state.subscriptions,
        "num_cache": state.cached,
        "num_inserts": state.inserts,
        "num_removes": state.removes,
        "num_matches": state.matches,
        "cache_hit_rate": state.hits / state.matches if state.matches else 0,
        "max_fanout": state.max_fanout,
        "avg_fanout": state.total_fanout / state.cached if state.cached else 0,
    }


def routez(source: StateSource, query: Query) -> Steps[Reply]:
    """Routes to other servers: none."""
    detail_parameter(query)
    return (yield from document({**heading(source), "num_routes": 0, "routes": []}, query))


def gatewayz(source: StateSource, query: Query) -> Steps[Reply]:
    """Gateways to other clusters: none."""
    bool_parameter(query, "accs")
    return (yield from document({**heading(source), "outbound_gateways": {}, "inbound_gateways": {}}, query))


def leafz(source: StateSource, query: Query) -> Steps[Reply]:
    """Leaf nodes: none."""
    bool_parameter(query, "subs")
    return (yield from document({**heading(source), "leafnodes": 0, "leafs": None}, query))


def jsz(source: StateSource, query: Query) -> Steps[Reply]:
    """JetStream: disabled."""
    for name, check in JSZ_PARAMETERS:
        check(query, name)
    rows: dict[str, JsonRows] = {
        **heading(source),
        "disabled": True,
        "config": {"max_memory": 0, "max_storage": 0},
        **dict.fromkeys(("memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets"), 0),
        "api": {"total": 0, "errors": 0},
        **dict.fromkeys(("streams", "consumers", "messages", "bytes"), 0),
    }
    return (yield from document(rows, query))


JSZ_PARAMETERS: tuple[tuple[str, Callable[[Query, str], object]], ...] = (
    ("accounts", bool_parameter),
    ("streams", bool_parameter),
    ("consumers", bool_parameter),
    ("config", bool_parameter),
    ("offset", int_parameter),
    ("limit", int_parameter),
    ("leader-only", bool_parameter),
)


def accountz(source: StateSource, query: Query) -> Steps[Reply]:
    """The accounts, of which there is one, or all about it."""
    name = query.get("acc", "")
    if name not in ("", ACCOUNT):
        return bad_request(f"Account {name} does not exist")
    if not name:
        return (yield from document({**heading(source), "accounts": [ACCOUNT]}, query))
    state = yield from source.broker()
    subjects = source.subjects()
    detail: dict[str, JsonRows] = {
        "account_name": ACCOUNT,
        "update_time": format_time(source.listening().start_time_ns, utc=True),
        "expired": False,
        "complete": True,
        "jetstream_enabled": False,
        "leafnode_connections": 0,
        "client_connections": state.connections,
        "subscriptions": subjects.subscriptions,
        "sublist_stats": subject_rows(subjects),
    }
    return (yield from document({**heading(source), "account_detail": detail}, query))


def accstatz(source: StateSource, query: Query) -> Steps[Reply]:
    """The account in numbers; without connections only with `unused=1`."""
    unused = bool_parameter(query, "unused")
    state = yield from source.broker()
    accounts: list[JsonValue] = []
    if unused or state.connections:
        accounts.append(
            {
                "acc": ACCOUNT,
                "conns": state.connections,
                "leafnodes": 0,
                "total_conns": state.connections,
                "sent": {"msgs": state.out_messages, "bytes": state.out_bytes},
                "received": {"msgs": state.in_messages, "bytes": state.in_bytes},
                "slow_consumers": state.slow_consumers,
            }
        )
    return (yield from document({**heading(source), "account_statz": accounts}, query))


def heading(source: StateSource) -> dict[str, JsonRows]:
    """How most documents begin."""
    return {
        "server_id": source.listening().server_id,
        "now": format_time(source.identity().now_ns, utc=True),
    }
