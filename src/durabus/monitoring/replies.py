"""Answers to requests as values: documents, texts and pages, with the headers that go with them. No I/O of HTTP here."""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from durabus.monitoring.go_json import JsonRows, encode_steps
from durabus.monitoring.query import Query
from durabus.monitoring.steps import Steps

__all__ = ["Reply", "bad_request", "document", "failure", "json_reply", "moved", "not_found", "page", "text"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its headers (names in lower case), its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def document(value: JsonRows, query: Query) -> Steps[Reply]:
    """A JSON document, made in steps."""
    body = yield from encode_steps(value)
    return json_reply(200, body, query)


def json_reply(status: int, body: bytes, query: Query) -> Reply:
    """JSON; with `?callback=name` as a call of that function, for pages of another origin."""
    callback = query.get("callback")
    if not callback:
        return Reply(status, {"content-type": "application/json"}, body)
    called = callback.encode("utf-8", "surrogateescape") + b"(" + body + b")"
    return Reply(status, {"content-type": "application/javascript"}, called)


def text(status: int, words: str) -> Reply:
    """A line of text, as Go's HTTP server writes its errors."""
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    return Reply(status, headers, f"{words}\n".encode("utf-8", "surrogateescape"))


def not_found() -> Reply:
    """No such page."""
    return text(404, "404 page not found")


def failure(path: str) -> Reply:
    """The reply when the document of `path` could not be made."""
    return text(500, f"Error getting information about {path}")


def bad_request(words: str) -> Reply:
    """A parameter that is not what it must be: the words, without a line end."""
    reply = text(400, words)
    return Reply(reply.status, reply.headers, reply.body.removesuffix(b"\n"))


def moved(location: str) -> Reply:
    """The page is elsewhere."""
    body = f'<a href="{html.escape(location)}">Moved Permanently</a>.\n\n'
    return Reply(301, {"content-type": "text/html; charset=utf-8", "location": location}, body.encode())


def page(title: str, links: Iterable[tuple[str, str]]) -> Reply:
    """An index for people: relative links, and nothing that is loaded from elsewhere."""
    rows = "".join(f"    <a href=./{html.escape(place)}>{html.escape(name)}</a><br/>\n" for place, name in links)
    body = (
        '<html lang="en">\n'
        "  <head>\n"
        f"    <title>{html.escape(title)}</title>\n"
        '    <link rel="icon" href="data:,">\n'
        "    <style>body { font-family: sans-serif; font-size: 22px; } a { margin-left: 32px; }</style>\n"
        "  </head>\n"
        "  <body>\n"
        f"    <h1>{html.escape(title)}</h1>\n"
        f"{rows}"
        "  </body>\n"
        "</html>"
    )
    return Reply(200, {"content-type": "text/html; charset=utf-8"}, body.encode())
