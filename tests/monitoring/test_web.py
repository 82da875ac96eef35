"""The HTTP shell, asked as an ASGI application: bugs in documents, other kinds of traffic, and who waits for whom."""

import asyncio
import logging

import pytest
from starlette.types import Message, Scope

from durabus.monitoring import web
from durabus.monitoring.endpoints import Site
from durabus.monitoring.replies import Reply, text
from durabus.monitoring.state import StateSource
from durabus.monitoring.steps import Steps
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
    await web.application(Site(source), reported.append)(scope, receive, send)
    return sent, reported


async def test_the_query_comes_through() -> None:
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


async def test_a_reply_is_made_a_step_per_turn() -> None:
    taken: list[str] = []

    def work(name: str, steps: int) -> Steps[Reply]:
        for _ in range(steps):
            taken.append(name)
            yield
        taken.append(name)
        return text(200, name)

    turn = asyncio.Lock()
    long_ones = [asyncio.create_task(web.made(work(name, 20), turn)) for name in ("a", "b")]
    while len(taken) < 10:
        before = len(taken)
        await asyncio.sleep(0)
        assert len(taken) - before <= (2 if before == 0 else 1)
    short = await web.made(work("c", 0), turn)
    assert short.body == b"c\n"
    replies = await asyncio.gather(*long_ones)
    assert [reply.body for reply in replies] == [b"a\n", b"b\n"]
    assert len(taken) == 43
    first_half = taken[:20]
    assert abs(first_half.count("a") - first_half.count("b")) <= 2


def test_the_loggers_of_the_process_stay_as_they_are() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        assert logger.propagate
        assert logger.handlers == []


async def test_a_long_reply_is_sent_in_slices() -> None:
    source = FixedSource()
    for number in range(1, 1001):
        source.connect(number)
    sent, _ = await ask(source, "/connz", "callback=f")
    body = b"".join(message.get("body", b"") for message in sent)
    headers = dict(sent[0]["headers"])
    assert (headers[b"content-length"], headers[b"content-type"]) == (b"%d" % len(body), b"application/javascript")
    assert body.startswith(b"f({\n")
    assert body.endswith(b"})")
    assert len(sent) > 5
    assert [message.get("more_body", True) for message in sent] == [True] * (len(sent) - 1) + [False]
    assert max(len(message.get("body", b"")) for message in sent) == web.SLICE_BYTES


async def test_who_does_not_read_does_not_keep_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_S_MAX", 0.01)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    reply = text(200, "x" * 1_000_000)
    with pytest.raises(TimeoutError):
        await web.send_reply(reply, {"type": "http"}, receive, send)
    assert len(sent) == 3
