"""`/connz`: entries that nats-server printed, its orders, filters, pages and refusals."""

import dataclasses
import json
from typing import Any

import pytest

from durabus.monitoring.connz import round_trip
from durabus.monitoring.endpoints import Site
from tests.monitoring.sources import INTEREST, NOW_NS, START_NS, FixedSource, ask

S = 10**9

OPEN = """{
  "server_id": "id8fA952MoCAvT7xE3Qr8N",
  "now": "2026-11-23T11:14:46.931757337Z",
  "num_connections": 1,
  "total": 1,
  "offset": 0,
  "limit": 1024,
  "connections": [
    {
      "cid": 5,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 44236,
      "start": "2026-11-23T11:13:29.634413132Z",
      "last_activity": "2026-11-23T11:14:45.993757337Z",
      "rtt": "239\u00b5s",
      "uptime": "1m17s",
      "idle": "0s",
      "pending_bytes": 0,
      "in_msgs": 25,
      "out_msgs": 94,
      "in_bytes": 2103,
      "out_bytes": 1935,
      "subscriptions": 2,
      "name": "alice \\u003c\\u0026\\u003e",
      "lang": "go",
      "version": "1.13.0",
      "subscriptions_list": [
        "foo.\\u003e",
        "max"
      ]
    }
  ]
}"""

CLOSED = """    {
      "cid": 11,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 44236,
      "start": "2026-11-23T11:13:29.634413132Z",
      "last_activity": "2026-11-23T11:14:45.993757337Z",
      "stop": "2026-11-23T11:14:46.993757337Z",
      "reason": "Protocol Violation",
      "rtt": "239\u00b5s",
      "uptime": "1m17s",
      "idle": "1s",
      "pending_bytes": 0,
      "in_msgs": 25,
      "out_msgs": 94,
      "in_bytes": 2103,
      "out_bytes": 1935,
      "subscriptions": 1,
      "name": "dave",
      "subscriptions_list_detail": [
        {
          "account": "$G",
          "subject": "foo.\\u003e",
          "sid": "7",
          "msgs": 1,
          "cid": 5
        }
      ]
    }
"""

MAX = dataclasses.replace(INTEREST, subject=b"max", queue=b"q1", sid=b"abc", max_messages=5)


def shown(source: FixedSource, query: str = "") -> dict[str, Any]:
    """The document, decoded."""
    reply = ask(source, "/connz" + query)
    assert reply.status == 200
    document: dict[str, Any] = json.loads(reply.body)
    return document


def numbers(source: FixedSource, query: str) -> list[int]:
    """Which connections are listed, in their order."""
    return [entry["cid"] for entry in shown(source, query)["connections"]]


def many() -> FixedSource:
    """Open connections 1 to 4 and closed ones 5 to 7, that differ in everything that one can sort by."""
    source = FixedSource()
    minute = 60 * S
    for client_id, changes in {
        1: {"start_ns": START_NS, "last_activity_ns": START_NS + 5, "out_messages": 7, "in_bytes": 1, "user": "joe"},
        2: {"start_ns": START_NS + 2, "last_activity_ns": NOW_NS, "in_messages": 99, "pending_bytes": 3},
        3: {"start_ns": START_NS + 3, "last_activity_ns": START_NS + 9, "out_bytes": 9999, "user": "joe"},
        4: {"start_ns": START_NS + 1, "last_activity_ns": NOW_NS - S, "in_bytes": 9999, "out_messages": 8},
        5: {"stop_ns": NOW_NS - minute, "reason": "Stale Connection", "user": "joe"},
        6: {"stop_ns": NOW_NS - 3 * S, "reason": "Client Closed", "start_ns": START_NS + 3},
        7: {"stop_ns": NOW_NS - 2 * S, "reason": "Client Closed"},
    }.items():
        interest = [INTEREST] * (2 if client_id == 3 else 0)
        source.connect(client_id, *interest, **changes)  # type: ignore[arg-type]  # names and values of its fields
    return source


def test_an_open_connection_is_the_originals_byte_for_byte() -> None:
    source = FixedSource()
    source.connect(5, INTEREST, MAX, name="alice <&>", lang="go", version="1.13.0")
    assert ask(source, "/connz?subs=1").body.decode() == OPEN


def test_a_closed_connection_is_the_originals_byte_for_byte() -> None:
    source = FixedSource()
    source.connect(11, INTEREST, name="dave", stop_ns=NOW_NS + 62_000_000, reason="Protocol Violation")
    document = ask(source, "/connz?state=closed&subs=detail").body.decode()
    assert document.endswith('"connections": [\n' + CLOSED + "  ]\n}")


def test_nobody_is_connected() -> None:
    assert shown(FixedSource())["connections"] == []


def test_optional_keys() -> None:
    source = FixedSource()
    source.connect(5, tls_version="1.3", tls_cipher_suite="TLS_AES_128_GCM_SHA256", user="joe", name="n")
    (entry,) = shown(source, "?auth=1")["connections"]
    assert list(entry)[-4:] == ["name", "tls_version", "tls_cipher_suite", "authorized_user"]
    assert entry["authorized_user"] == "joe"
    (entry,) = shown(source, "?auth=false")["connections"]
    assert "authorized_user" not in entry
    source.connect(5)
    (entry,) = shown(source, "?auth=true&subs=detail")["connections"]
    assert list(entry)[-1] == "subscriptions"


def test_subscriptions_in_detail() -> None:
    source = FixedSource()
    source.connect(5, INTEREST, MAX)
    (entry,) = shown(source, "?subs=DETAIL")["connections"]
    assert entry["subscriptions_list_detail"] == [
        {"subject": "foo.>", "sid": "7", "msgs": 1, "cid": 5},
        {"subject": "max", "qgroup": "q1", "sid": "abc", "msgs": 1, "max": 5, "cid": 5},
    ]
    assert "subscriptions_list" not in entry
    source.connect(5, INTEREST, MAX, stop_ns=NOW_NS)
    (entry,) = shown(source, "?subs=detail&state=closed")["connections"]
    assert entry["subscriptions_list_detail"][1] == {
        "account": "$G", "subject": "max", "qgroup": "q1", "sid": "abc", "msgs": 1, "cid": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "listed"),
    [
        ("", [1, 2, 3, 4]),
        ("open", [1, 2, 3, 4]),
        ("OPEN", [1, 2, 3, 4]),
        ("closed", [5, 6, 7]),
        ("any", [1, 2, 3, 4, 5, 6, 7]),
        ("ALL", [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_open_and_closed(state: str, listed: list[int]) -> None:
    document = shown(many(), f"?state={state}")
    assert [entry["cid"] for entry in document["connections"]] == listed
    assert document["num_connections"] == document["total"] == len(listed)


@pytest.mark.parametrize(
    ("order", "listed"),
    [
        ("", [1, 2, 3, 4]),
        ("cid", [1, 2, 3, 4]),
        ("start", [1, 4, 2, 3]),
        ("subs", [3, 1, 2, 4]),
        ("pending", [2, 1, 3, 4]),
        ("msgs_to", [2, 3, 4, 1]),
        ("msgs_from", [2, 1, 3, 4]),
        ("bytes_to", [3, 1, 2, 4]),
        ("bytes_from", [4, 2, 3, 1]),
        ("last", [2, 4, 3, 1]),
        ("idle", [1, 3, 4, 2]),
        ("uptime", [3, 2, 4, 1]),
    ],
)
def test_orders(order: str, listed: list[int]) -> None:
    assert numbers(many(), f"?sort={order}") == listed


@pytest.mark.parametrize(
    ("order", "listed"), [("stop", [7, 6, 5]), ("reason", [6, 7, 5]), ("uptime", [5, 6, 7]), ("cid", [5, 6, 7])]
)
def test_orders_of_closed_connections(order: str, listed: list[int]) -> None:
    assert numbers(many(), f"?state=closed&sort={order}") == listed


@pytest.mark.parametrize(
    ("query", "offset", "limit", "listed"),
    [
        ("limit=1", 0, 1, [1]),
        ("limit=1&offset=1", 1, 1, [2]),
        ("offset=3", 3, 1024, [4]),
        ("offset=4", 4, 1024, []),
        ("offset=-1&limit=-5", 0, 1024, [1, 2, 3, 4]),
        ("limit=0", 0, 1024, [1, 2, 3, 4]),
        ("sort=start&limit=2&offset=1", 1, 2, [4, 2]),
    ],
)
def test_pages(query: str, offset: int, limit: int, listed: list[int]) -> None:
    document = shown(many(), "?" + query)
    assert [entry["cid"] for entry in document["connections"]] == listed
    assert [document[key] for key in ("num_connections", "total", "offset", "limit")] == [len(listed), 4, offset, limit]


@pytest.mark.parametrize(
    ("query", "offset", "total", "listed"),
    [
        ("cid=2", 0, 4, [2]),
        ("cid=2&limit=9", 0, 4, [2]),
        ("cid=2&offset=1", 1, 4, []),
        ("cid=5", 0, 4, []),
        ("cid=5&state=closed", 0, 3, [5]),
        ("cid=99&state=any", 0, 7, []),
    ],
)
def test_one_connection(query: str, offset: int, total: int, listed: list[int]) -> None:
    document = shown(many(), "?" + query)
    assert [entry["cid"] for entry in document["connections"]] == listed
    assert [document[key] for key in ("num_connections", "total", "offset", "limit")] == [len(listed), total, offset, 1]


def test_the_connections_of_a_user() -> None:
    assert numbers(many(), "?user=joe") == [1, 3]
    assert numbers(many(), "?user=joe&state=any&sort=start") == [1, 5, 3]
    document = shown(many(), "?user=joe&limit=1&offset=1")
    assert (document["total"], [entry["cid"] for entry in document["connections"]]) == (4, [3])
    assert numbers(many(), "?user=zed") == []
    assert numbers(many(), "?cid=0") == [1, 2, 3, 4]


def test_other_accounts_and_protocols_have_no_connections() -> None:
    assert numbers(many(), "?acc=$G") == [1, 2, 3, 4]
    document = shown(many(), "?acc=foo&cid=4")
    assert (document["server_id"], document["total"], document["limit"], document["connections"]) == ("", 0, 1, None)
    document = shown(many(), "?mqtt_client=x")
    assert (document["num_connections"], document["total"], document["connections"]) == (0, 4, [])


BOOLEAN = "Error decoding boolean for '{}': strconv.ParseBool: parsing \"x\": invalid syntax"


# What stands first in the original's order of checks is refused first.
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sort=bogus&auth=x", BOOLEAN.format("auth")),
        ("subs=x&auth=x", BOOLEAN.format("auth")),
        ("subs=x&offset=x", BOOLEAN.format("subs")),
        ("limit=x&offset=x", "Error decoding int for 'offset': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("cid=x&limit=x", "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("cid=-1&state=x", "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax"),
        ("state=bogus&sort=bogus", "Error decoding state for bogus"),
        ("state=1", "Error decoding state for 1"),
        ("sort=bogus&acc=nope", "invalid sorting option: bogus"),
        ("sort=CID", "invalid sorting option: CID"),
        ("sort=rtt", "invalid sorting option: rtt"),
        ("sort=stop", "sort by stop only valid on closed connections"),
        ("sort=stop&state=any", "sort by stop only valid on closed connections"),
        ("sort=reason&state=open", "sort by reason only valid on closed connections"),
    ],
)
def test_bad_parameters(query: str, words: str) -> None:
    reply = ask(FixedSource(), f"/connz?{query}")
    assert (reply.status, reply.body.decode()) == (400, words)


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [(0, "0s"), (735, "735ns"), (646_512, "646\u00b5s"), (1_909_133, "1.909133ms"), (137_389_807, "137.389807ms")],
)
def test_round_trips(duration_ns: int, text: str) -> None:
    assert round_trip(duration_ns) == text


class Forgetful(FixedSource):
    """Lists connections that are gone when it is asked about them."""

    def connection(self, client_id: int) -> None:
        return None


def test_what_is_gone_meanwhile_is_passed_over() -> None:
    source = Forgetful()
    source.connect(1)
    assert shown(source, "?sort=start")["connections"] == shown(source)["connections"] == []


def test_many_connections_are_listed_in_steps() -> None:
    source = FixedSource()
    for number in range(1, 3001):
        source.connect(number, INTEREST)
    site = Site(source)
    for query, fewest in ((b"", 50), (b"limit=10&sort=bytes_to", 50), (b"limit=3000&subs=1", 150)):
        assert sum(1 for _ in site.answer("/connz", query)) > fewest
