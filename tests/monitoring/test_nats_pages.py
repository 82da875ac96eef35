"""The pages about the broker, except connections: documents that nats-server printed, and what it refused."""

import dataclasses
import json
from typing import Any

import pytest

from durabus.monitoring import nats_pages, process
from durabus.monitoring.state import SubjectsState
from durabus.version import python_name
from tests.monitoring.sources import INTEREST, LISTENING, FixedSource, ask

VARZ = """{
  "server_id": "id8fA952MoCAvT7xE3Qr8N",
  "server_name": "bus",
  "version": "2.9.10",
  "proto": 1,
  "go": "GO",
  "host": "127.0.0.1",
  "port": 24222,
  "max_connections": 65536,
  "ping_interval": 120000000000,
  "ping_max": 2,
  "http_host": "127.0.0.1",
  "http_port": 28222,
  "http_base_path": "",
  "https_port": 0,
  "auth_timeout": 2,
  "max_control_line": 4096,
  "max_payload": 1048576,
  "max_pending": 67108864,
  "cluster": {},
  "gateway": {},
  "leaf": {},
  "mqtt": {},
  "websocket": {},
  "jetstream": {},
  "tls_timeout": 2,
  "write_deadline": 10000000000,
  "start": "2026-11-23T11:13:29.634413132Z",
  "now": "2026-11-23T11:14:46.931757337Z",
  "uptime": "1m17s",
  "mem": 25550848,
  "cores": 2,
  "gomaxprocs": 1,
  "cpu": 0,
  "connections": 4,
  "total_connections": 6,
  "routes": 0,
  "remotes": 0,
  "leafnodes": 0,
  "in_msgs": 252,
  "out_msgs": 234,
  "in_bytes": 6861,
  "out_bytes": 6801,
  "slow_consumers": 0,
  "subscriptions": 51,
  "http_req_stats": {
    "/varz": 1
  },
  "config_load_time": "2026-11-23T11:13:29.634413132Z"
}"""

SUBSZ = """{
  "num_subscriptions": 51,
  "num_cache": 7,
  "num_inserts": 156,
  "num_removes": 105,
  "num_matches": 232,
  "cache_hit_rate": 0.4267241379310345,
  "max_fanout": 1,
  "avg_fanout": 0.7142857142857143
}"""
SUBJECTS = SubjectsState(
    subscriptions=51, cached=7, inserts=156, removes=105, matches=232, hits=99, max_fanout=1, total_fanout=5
)

HEADING = """{
  "server_id": "id8fA952MoCAvT7xE3Qr8N",
  "now": "2026-11-23T11:14:46.931757337Z",
"""
ROUTEZ = '  "num_routes": 0,\n  "routes": []\n}'
GATEWAYZ = '  "outbound_gateways": {},\n  "inbound_gateways": {}\n}'
LEAFZ = '  "leafnodes": 0,\n  "leafs": null\n}'
ACCOUNTZ = '  "accounts": [\n    "$G"\n  ]\n}'
JSZ = """  "disabled": true,
  "config": {
    "max_memory": 0,
    "max_storage": 0
  },
  "memory": 0,
  "storage": 0,
  "reserved_memory": 0,
  "reserved_storage": 0,
  "accounts": 0,
  "ha_assets": 0,
  "api": {
    "total": 0,
    "errors": 0
  },
  "streams": 0,
  "consumers": 0,
  "messages": 0,
  "bytes": 0
}"""


def shown(source: FixedSource, target: str) -> dict[str, Any]:
    """A document, decoded."""
    reply = ask(source, target)
    assert reply.status == 200
    document: dict[str, Any] = json.loads(reply.body)
    return document


@pytest.fixture
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "resident_bytes", lambda: 25550848)
    monkeypatch.setattr(process, "processor_count", lambda: 2)


@pytest.mark.usefixtures("_process")
def test_varz_is_the_originals_byte_for_byte() -> None:
    reply = ask(FixedSource(), "/varz")
    assert reply.headers == {"content-type": "application/json"}
    assert reply.body.decode() == VARZ.replace("GO", python_name())


def test_what_is_configured_shows() -> None:
    source = FixedSource()
    source.where = dataclasses.replace(
        LISTENING,
        auth_required=True,
        tls_required=True,
        tls_verify=True,
        max_subscriptions=77,
        auth_timeout_s=2.5,
        http_port=0,
        https_port=28223,
        tags=("a:b", "c"),
    )
    document = shown(source, "/varz")
    keys = list(document)
    assert keys[7:13] == [
        "auth_required",
        "tls_required",
        "tls_verify",
        "max_connections",
        "max_subscriptions",
        "ping_interval",
    ]
    assert keys[-1] == "tags"
    assert document["tags"] == ["a:b", "c"]
    assert (document["http_port"], document["https_port"]) == (0, 28223)
    assert (document["auth_timeout"], document["max_subscriptions"]) == (2.5, 77)


def test_subsz_is_the_originals_byte_for_byte() -> None:
    source = FixedSource()
    source.registered = SUBJECTS
    for path in ("/subsz", "/subscriptionsz", "/subsz?limit=3&test=foo.a", "/subsz?acc=$G"):
        assert ask(source, path).body.decode() == SUBSZ
    assert set(shown(FixedSource(), "/subsz").values()) == {0}
    assert set(shown(source, "/subsz?subs=1&acc=foo").values()) == {0}


def test_subscriptions_in_detail() -> None:
    source = FixedSource()
    source.registered = SUBJECTS
    source.listeners = [
        INTEREST,
        dataclasses.replace(INTEREST, subject=b"bar", queue=b"q1", sid=b"abc", max_messages=5, messages=2),
        dataclasses.replace(INTEREST, subject=b"_STAN.close.test-cluster", client_id=0),
    ]
    document = shown(source, "/subsz?subs=1")
    assert list(document)[:2] == ["server_id", "now"]
    assert list(document)[-4:] == ["total", "offset", "limit", "subscriptions_list"]
    assert document["subscriptions_list"] == [
        {"account": "$G", "subject": "foo.>", "sid": "7", "msgs": 1, "cid": 5},
        {"account": "$G", "subject": "bar", "qgroup": "q1", "sid": "abc", "msgs": 2, "max": 5, "cid": 5},
        {"account": "$G", "subject": "_STAN.close.test-cluster", "sid": "7", "msgs": 1, "cid": 0},
    ]
    assert list(document["subscriptions_list"][1]) == ["account", "subject", "qgroup", "sid", "msgs", "max", "cid"]
    # The original's total is that of the page.
    page = shown(source, "/subsz?subs=true&limit=1&offset=1")
    assert [page[key] for key in ("total", "offset", "limit")] == [1, 1, 1]
    assert page["subscriptions_list"][0]["subject"] == "bar"
    assert shown(source, "/subsz?subs=1&limit=-1&offset=-1")["limit"] == 1024
    # And an empty page has no list, nor what goes with it.
    assert ask(source, "/subsz?subs=1&offset=3").body.decode() == SUBSZ


def test_who_would_get_a_message() -> None:
    source = FixedSource()
    source.listeners = [INTEREST, INTEREST]
    assert len(shown(source, "/subsz?subs=1&test=foo.%ff")["subscriptions_list"]) == 1
    shown(source, "/subsz?subs=1&test=a%20b")
    assert source.asked_for == [b"foo.\xff", b"a b"]
    shown(source, "/subsz?test=foo")
    assert len(source.asked_for) == 2


@pytest.mark.parametrize("subject", ["a..b", ".", "foo.*", "*", ">", "a.>"])
def test_only_subjects_that_can_be_published_on(subject: str) -> None:
    reply = ask(FixedSource(), f"/subsz?acc=nope&test={subject}")
    assert (reply.status, reply.body.decode()) == (
        400,
        f"invalid test subject, must be valid publish subject: {subject}",
    )


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/routez", ROUTEZ),
        ("/routez?subs=detail", ROUTEZ),
        ("/gatewayz?accs=1&gw_name=x", GATEWAYZ),
        ("/leafz?subs=1", LEAFZ),
        ("/accountz", ACCOUNTZ),
        ("/jsz?accounts=1&limit=5&leader-only=true", JSZ),
        ("/accstatz", '  "account_statz": []\n}'),
    ],
)
def test_what_there_is_not_has_an_empty_document(path: str, rest: str) -> None:
    source = FixedSource()
    source.connected = dataclasses.replace(source.connected, connections=0)
    assert ask(source, path).body.decode() == HEADING + rest


def test_the_one_account() -> None:
    source = FixedSource()
    source.registered = SUBJECTS
    detail = shown(source, "/accountz?acc=$G")["account_detail"]
    assert detail == {
        "account_name": "$G",
        "update_time": "2026-11-23T11:13:29.634413132Z",
        "expired": False,
        "complete": True,
        "jetstream_enabled": False,
        "leafnode_connections": 0,
        "client_connections": 4,
        "subscriptions": 51,
        "sublist_stats": json.loads(SUBSZ),
    }
    reply = ask(source, "/accountz?acc=$SYS")
    assert (reply.status, reply.body) == (400, b"Account $SYS does not exist")


def test_the_account_in_numbers() -> None:
    source = FixedSource()
    statistics = shown(source, "/accstatz")["account_statz"]
    assert statistics == [
        {
            "acc": "$G",
            "conns": 4,
            "leafnodes": 0,
            "total_conns": 4,
            "sent": {"msgs": 234, "bytes": 6801},
            "received": {"msgs": 252, "bytes": 6861},
            "slow_consumers": 0,
        }
    ]
    source.connected = dataclasses.replace(source.connected, connections=0)
    assert shown(source, "/accstatz")["account_statz"] == []
    assert shown(source, "/accstatz?unused=1")["account_statz"][0]["conns"] == 0


def test_health() -> None:
    ready = ask(FixedSource(), "/healthz?js-enabled=true")
    assert (ready.status, ready.body) == (200, b'{"status":"ok"}')
    assert ready.headers == {"content-type": "application/json"}
    starting = ask(FixedSource(ready=False), "/healthz")
    assert starting.status == 503
    assert json.loads(starting.body)["status"] == "unavailable"
    assert ask(FixedSource(), "/healthz?callback=x").body == b'x({"status":"ok"})'


BOOLEAN = "Error decoding boolean for '{}': strconv.ParseBool: parsing \"x\": invalid syntax"
INTEGER = "Error decoding int for '{}': strconv.Atoi: parsing \"x\": invalid syntax"


# What stands first in the original's order of checks is refused first.
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/subsz?offset=x&subs=x", BOOLEAN.format("subs")),
        ("/subsz?limit=x&offset=x", INTEGER.format("offset")),
        ("/subsz?test=a..b&limit=x", INTEGER.format("limit")),
        ("/routez?subs=x", BOOLEAN.format("subs")),
        ("/gatewayz?accs=x", BOOLEAN.format("accs")),
        ("/leafz?subs=x", BOOLEAN.format("subs")),
        ("/accstatz?unused=x", BOOLEAN.format("unused")),
        ("/jsz?streams=x&accounts=x", BOOLEAN.format("accounts")),
        ("/jsz?consumers=x&streams=x", BOOLEAN.format("streams")),
        ("/jsz?config=x&consumers=x", BOOLEAN.format("consumers")),
        ("/jsz?offset=x&config=x", BOOLEAN.format("config")),
        ("/jsz?limit=x&offset=x", INTEGER.format("offset")),
        ("/jsz?leader-only=x&limit=x", INTEGER.format("limit")),
        ("/jsz?leader-only=x", BOOLEAN.format("leader-only")),
        ("/healthz?js-server-only=x", BOOLEAN.format("js-server-only")),
    ],
)
def test_bad_parameters(target: str, words: str) -> None:
    reply = ask(FixedSource(), target)
    assert (reply.status, reply.body.decode()) == (400, words)


def test_the_index_leads_to_the_pages() -> None:
    reply = ask(FixedSource(), "/")
    assert reply.headers == {"content-type": "text/html; charset=utf-8"}
    for place, _ in nats_pages.LINKS:
        assert f"<a href=./{place}>".encode() in reply.body
        assert ask(FixedSource(), f"/{place}").status == 200
