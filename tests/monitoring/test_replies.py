"""Replies: their headers and forms."""

from durabus.monitoring.replies import bad_request, document, failure, json_reply, moved, not_found, page, text
from durabus.monitoring.steps import finish

PLAIN = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}


def test_a_document() -> None:
    reply = finish(document({"a": iter([1, 2])}, {}))
    assert (reply.status, reply.headers) == (200, {"content-type": "application/json"})
    assert reply.body == b'{\n  "a": [\n    1,\n    2\n  ]\n}'


def test_a_callback_wraps_the_document() -> None:
    reply = json_reply(200, b"{}", {"callback": "a<\udcff"})
    assert (reply.headers, reply.body) == ({"content-type": "application/javascript"}, b"a<\xff({})")
    assert json_reply(200, b"{}", {"callback": ""}).body == b"{}"


def test_texts() -> None:
    assert (text(404, "Client a\udcff not found").body, text(404, "").headers) == (b"Client a\xff not found\n", PLAIN)
    assert (not_found().status, not_found().body) == (404, b"404 page not found\n")
    gone = failure("/streaming/serverz")
    assert (gone.status, gone.body) == (500, b"Error getting information about /streaming/serverz\n")
    bad = bad_request("no\n")
    assert (bad.status, bad.headers, bad.body) == (400, PLAIN, b"no\n")


def test_another_place() -> None:
    reply = moved('/varz?a="b"&c')
    assert reply.status == 301
    assert reply.headers == {"content-type": "text/html; charset=utf-8", "location": '/varz?a="b"&c'}
    assert reply.body == b'<a href="/varz?a=&quot;b&quot;&amp;c">Moved Permanently</a>.\n\n'


def test_a_page_loads_nothing_from_elsewhere() -> None:
    body = page("N&S", [("varz", "general"), ("a<b", "<")]).body.decode()
    assert body.startswith('<html lang="en">\n')
    assert body.endswith("\n</html>")
    assert "    <a href=./varz>general</a><br/>\n    <a href=./a&lt;b>&lt;</a><br/>\n" in body
    assert "http" not in body
    assert "N&amp;S" in body
