"""What each path answers: one function per path, from the server's state and the query to a reply. No I/O of HTTP here.

A new endpoint is one function and one row in `ENDPOINTS`.
"""

import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from durabus.monitoring.go_json import JsonValue, encode_json, format_time, format_uptime
from durabus.monitoring.state import StateSource
from durabus.version import STREAMING_VERSION, python_name

__all__ = ["ENDPOINTS", "Endpoint", "Query", "Reply", "answer", "failure"]

Query = Mapping[str, str]
"""The parameters of a request; of one that is given several times, the first."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its headers (names in lower case), its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Endpoint = Callable[[StateSource, Query], Reply]

OPEN_FILES = Path("/proc/self/fd")


def answer(path: str, query: Query, source: StateSource) -> Reply:
    """The reply to a request for `path`, whatever its method was."""
    endpoint = ENDPOINTS.get(path)
    return endpoint(source, query) if endpoint is not None else text(404, "404 page not found")


def healthz(source: StateSource, query: Query) -> Reply:
    """Whether clients are served, for probes: 200 or 503. On one line, as nats-server answers it."""
    if source.is_ready():
        return document(200, b'{"status":"ok"}', query)
    return document(503, b'{"status":"unavailable","error":"the server is not ready"}', query)


def serverz(source: StateSource, query: Query) -> Reply:
    """The server in numbers."""
    state = source.serverz()
    shown: dict[str, JsonValue] = {
        "cluster_id": state.cluster_id,
        "server_id": state.server_id,
        "version": STREAMING_VERSION,
        "go": python_name(),
        "state": state.state,
        "now": format_time(state.now_ns),
        "start_time": format_time(state.start_time_ns),
        "uptime": format_uptime(max(0, state.now_ns - state.start_time_ns)),
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
    open_files = open_file_count()
    if open_files:
        shown["open_fds"] = open_files
        shown["max_fds"] = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return document(200, encode_json(shown), query)


def open_file_count() -> int:
    """How many file descriptors this process has open; 0 where the system does not tell."""
    try:
        return sum(1 for _ in OPEN_FILES.iterdir())
    except OSError:
        return 0


def document(status: int, body: bytes, query: Query) -> Reply:
    """A JSON document; with `?callback=name` as a call of that function, for pages of another origin."""
    callback = query.get("callback")
    if not callback:
        return Reply(status, {"content-type": "application/json"}, body)
    called = callback.encode("utf-8", "surrogateescape") + b"(" + body + b")"
    return Reply(status, {"content-type": "application/javascript"}, called)


def failure(path: str) -> Reply:
    """The reply when the document of `path` could not be made."""
    return text(500, f"Error getting information about {path}")


def text(status: int, words: str) -> Reply:
    """A line of text, as Go's HTTP server writes its errors."""
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Reply(status, headers, f"{words}\n".encode())


ENDPOINTS: dict[str, Endpoint] = {
    "/healthz": healthz,
    "/streaming/serverz": serverz,
}
