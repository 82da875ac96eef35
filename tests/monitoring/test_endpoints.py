"""Which path leads where, whatever page it is."""

import json

import pytest

from durabus.monitoring.endpoints import NATS_PAGES, STREAMING_PAGES, Site
from durabus.monitoring.steps import finish
from tests.monitoring.sources import FixedSource, ask


@pytest.mark.parametrize(
    "path",
    ["/nope", "/streaming/", "/streaming/serverz/", "/streaming/nope", "/Healthz", "/varz/", "/stacksz", "/subszz"],
)
def test_other_paths_are_not_there(path: str) -> None:
    reply = ask(FixedSource(), path)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")
    assert reply.headers == {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}


@pytest.mark.parametrize("path", [*STREAMING_PAGES, *NATS_PAGES, "/", "/varz", "/subscriptionsz"])
def test_every_page_answers(path: str) -> None:
    assert ask(FixedSource(), path).status in (200, 204)


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("//varz", b"", "/varz"),
        ("//varz", b"a=b%20c", "/varz?a=b%20c"),
        ("/streaming/../varz", b"", "/varz"),
        ("/./varz", b"", "/varz"),
        ("/streaming//serverz", b"", "/streaming/serverz"),
        ("/a//", b"", "/a/"),
        ("/..", b"", "/"),
        ("", b"", "/"),
        ("/\u00e9//\n", b"", "/%C3%A9/%0A"),
    ],
)
def test_paths_that_are_not_clean_lead_to_the_clean_one(path: str, query: bytes, location: str) -> None:
    reply = finish(Site(FixedSource()).answer(path, query))
    assert (reply.status, reply.headers["location"]) == (301, location)


def test_requests_are_counted_as_nats_server_counts_them() -> None:
    site = Site(FixedSource())

    def counted() -> dict[str, int]:
        found: dict[str, int] = json.loads(finish(site.answer("/varz", b"")).body)["http_req_stats"]
        return found

    assert counted() == {"/varz": 1}
    for path in ("/", "/subsz", "/subscriptionsz", "/connz", "/nope", "/streaming", "/streaming/serverz"):
        finish(site.answer(path, b"limit=x"))
    assert list(counted().items()) == [("/", 1), ("/connz", 1), ("/subsz", 2), ("/varz", 2)]


@pytest.mark.parametrize("base_path", ["/nats", "nats", "/nats/"])
def test_a_base_path_is_that_of_the_broker_s_pages(base_path: str) -> None:
    source = FixedSource()
    assert json.loads(ask(source, "/nats/varz", base_path).body)["http_base_path"] == "/nats"
    assert json.loads(ask(source, "/nats/varz", base_path).body)["http_req_stats"] == {"/varz": 1}
    assert b"<a href=./nats/connz>" in ask(source, "/nats", base_path).body
    assert ask(source, "/nats/subscriptionsz", base_path).status == 200
    assert ask(source, "/streaming/storez", base_path).status == 200
    for path in ("/", "/varz", "/nats/", "/natsvarz", "/nats/streaming", "/nats/nats/varz"):
        assert ask(source, path, base_path).status == 404, path
