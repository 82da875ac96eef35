"""The HTTP shell, asked as an ASGI application: first values of parameters, bugs in documents, other kinds of traffic."""

import logging

from starlette.types import Message, Scope

from durabus.monitoring import web
from durabus.monitoring.state import StateSource
from tests.monitoring.sources import BrokenSource, FixedSource


async def ask(source: StateSource, path: str, query: str = "", kind: str = "http") -> tuple[list[Message], list[str]]:
    """What the application sends for one request, and what it reports."""
    sent: list[Message] = []
    reported: list[str] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {"type": kind, "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
    await web.application(source, reported.append)(scope, receive, send)
    return sent, reported


async def test_the_first_of_several_values_counts() -> None:
    sent, _ = await ask(FixedSource(), "/healthz", "a=1&callback=f&callback=g")
    assert sent[1]["body"] == b'f({"status":"ok"})'


async def test_a_date_is_told() -> None:
    sent, _ = await ask(FixedSource(), "/healthz")
    assert any(name == b"date" and value.endswith(b" GMT") for name, value in sent[0]["headers"])


async def test_a_bug_is_one_line_and_a_500() -> None:
    sent, reported = await ask(BrokenSource(), "/streaming/serverz")
    assert sent[0]["status"] == 500
    assert sent[1]["body"] == b"Error getting information about /streaming/serverz\n"
    assert reported == ["Error getting information about /streaming/serverz: KeyError: 'channel'"]


async def test_other_kinds_of_traffic_get_nothing() -> None:
    assert await ask(FixedSource(), "/healthz", kind="websocket") == ([], [])


def test_the_loggers_of_the_process_stay_as_they_are() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        assert logger.propagate
        assert logger.handlers == []
