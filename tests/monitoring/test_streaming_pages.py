"""The pages below `/streaming`: documents that the original printed, and how it listed, paged and refused."""

import dataclasses
import json
from typing import Any

import pytest

from durabus.monitoring import process
from durabus.monitoring.go_json import format_time
from durabus.monitoring.state import LimitsState
from durabus.version import python_name
from tests.monitoring.sources import IDENTITY, NOW_NS, START_NS, SUBSCRIPTION, FixedSource, ask

SERVERZ = """{
  "cluster_id": "test-cluster",
  "server_id": "id8fA952MoCAvT7xE3Qr8N",
  "version": "0.25.6",
  "go": "GO",
  "state": "STANDALONE",
  "now": "NOW",
  "start_time": "START",
  "uptime": "1m17s",
  "clients": 2,
  "subscriptions": 8,
  "channels": 6,
  "total_msgs": 21,
  "total_bytes": 1320,
  "in_msgs": 35,
  "in_bytes": 1103,
  "out_msgs": 91,
  "out_bytes": 2171,
  "open_fds": 37,
  "max_fds": 20000
}"""

STOREZ = """{
  "cluster_id": "test-cluster",
  "server_id": "id8fA952MoCAvT7xE3Qr8N",
  "now": "NOW",
  "type": "FILE",
  "limits": {
    "max_channels": 100,
    "max_msgs": 1000000,
    "max_bytes": 1024000000,
    "max_age": 0,
    "max_subscriptions": 1000,
    "max_inactivity": 0
  },
  "total_msgs": 21,
  "total_bytes": 1320
}"""

LIMITS_OF_CHANNELS = """
    "max_inactivity": 0,
    "channels": {
      "one.\\u003e": {
        "max_msgs": 1000,
        "max_bytes": 1048576,
        "max_age": 3600000000000,
        "max_subscriptions": 1,
        "max_inactivity": 0
      },
      "unl": {
        "max_msgs": 0,
        "max_bytes": 1048576,
        "max_age": 0,
        "max_subscriptions": 50,
        "max_inactivity": 0
      }
    }
  },"""

CLIENT = """{
  "id": "mon-a2",
  "hb_inbox": "_INBOX.mon-a2",
  "subs_count": 1,
  "subscriptions": {
    "foo": [
      {
        "client_id": "mon-a2",
        "inbox": "_INBOX.hy5GfNRIecHPXQVECP8UUW",
        "ack_inbox": "_INBOX.id8fA952MoCAvT7xE3QrXD",
        "is_durable": false,
        "is_offline": false,
        "max_inflight": 1024,
        "ack_wait": 30,
        "last_sent": 17,
        "pending_count": 17,
        "is_stalled": false
      }
    ]
  }
}"""

CHANNEL = """{
  "name": "foo",
  "msgs": 17,
  "bytes": 170,
  "first_seq": 1,
  "last_seq": 17,
  "subs_count": 2,
  "subscriptions": [
    {
      "client_id": "p1",
      "inbox": "_INBOX.c3",
      "ack_inbox": "_INBOX.id8fA952MoCAvT7xE3QrKn",
      "durable_name": "a:b",
      "is_durable": true,
      "is_offline": true,
      "max_inflight": 1,
      "ack_wait": 1,
      "last_sent": 7,
      "pending_count": 0,
      "is_stalled": false
    },
    {
      "client_id": "mon-b2",
      "inbox": "_INBOX.i8LSqtCjUmlMnkoBNKJQjd",
      "ack_inbox": "_INBOX.id8fA952MoCAvT7xE3QrcX",
      "queue_name": "qd:qg",
      "is_durable": true,
      "is_offline": false,
      "max_inflight": 1024,
      "ack_wait": 30,
      "last_sent": 17,
      "pending_count": 17,
      "is_stalled": false
    }
  ]
}"""

DURABLE = dataclasses.replace(
    SUBSCRIPTION,
    client_id=b"p1",
    inbox=b"_INBOX.c3",
    ack_inbox=b"_INBOX.id8fA952MoCAvT7xE3QrKn",
    durable_name=b"a:b",
    is_durable=True,
    is_offline=True,
    max_in_flight=1,
    ack_wait_s=1,
    last_sent=7,
    pending=0,
)
MEMBER = dataclasses.replace(
    SUBSCRIPTION,
    client_id=b"mon-b2",
    inbox=b"_INBOX.i8LSqtCjUmlMnkoBNKJQjd",
    ack_inbox=b"_INBOX.id8fA952MoCAvT7xE3QrcX",
    queue_name=b"qd:qg",
    is_durable=True,
)


def golden(text: str) -> str:
    """A document with what differs from process to process put in."""
    text = text.replace('"GO"', f'"{python_name()}"').replace("NOW", format_time(NOW_NS))
    return text.replace("START", format_time(START_NS))


def shown(source: FixedSource, target: str) -> dict[str, Any]:
    """A document below /streaming, decoded."""
    reply = ask(source, "/streaming" + target)
    assert reply.status == 200
    assert reply.headers == {"content-type": "application/json"}
    document: dict[str, Any] = json.loads(reply.body)
    return document


@pytest.fixture
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "open_file_count", lambda: 37)
    monkeypatch.setattr(process, "file_limit", lambda: 20000)


@pytest.mark.row(132, 139)
@pytest.mark.usefixtures("_limits")
def test_serverz_is_the_originals_byte_for_byte() -> None:
    reply = ask(FixedSource(), "/streaming/serverz")
    assert reply.status == 200
    assert reply.headers == {"content-type": "application/json"}
    assert reply.body.decode() == golden(SERVERZ)


@pytest.mark.row(138)
@pytest.mark.usefixtures("_limits")
def test_a_callback_wraps_the_document() -> None:
    reply = ask(FixedSource(), "/streaming/serverz?callback=fn")
    assert reply.headers == {"content-type": "application/javascript"}
    assert reply.body.decode() == f"fn({golden(SERVERZ)})"


def test_open_files_are_left_out_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "open_file_count", lambda: 0)
    assert list(shown(FixedSource(), "/serverz"))[-1] == "out_bytes"


def test_serverz_answers_while_the_server_is_not_ready() -> None:
    source = FixedSource(ready=False)
    source.shown = dataclasses.replace(IDENTITY, cluster_id="", state="FT_STANDBY")
    document = shown(source, "/serverz")
    assert (document["cluster_id"], document["state"]) == ("", "FT_STANDBY")


@pytest.mark.row(134)
def test_storez_is_the_originals_byte_for_byte() -> None:
    source = FixedSource()
    assert ask(source, "/streaming/storez").body.decode() == golden(STOREZ)
    source.limits = {
        b"one.>": LimitsState(
            max_messages=1000, max_bytes=1048576, max_age_ns=3600 * 10**9, max_subscriptions=1, max_inactivity_ns=0
        ),
        b"unl": LimitsState(max_messages=0, max_bytes=1048576, max_age_ns=0, max_subscriptions=50, max_inactivity_ns=0),
    }
    expected = golden(STOREZ).replace('\n    "max_inactivity": 0\n  },', LIMITS_OF_CHANNELS)
    assert ask(source, "/streaming/storez").body.decode() == expected


@pytest.mark.row(135)
def test_one_client_is_the_originals_byte_for_byte() -> None:
    source = FixedSource()
    source.clients = {b"mon-a2": [(b"foo", SUBSCRIPTION)]}
    assert ask(source, "/streaming/clientsz?client=mon-a2&subs=1").body.decode() == CLIENT
    assert shown(source, "/clientsz?client=mon-a2") == {"id": "mon-a2", "hb_inbox": "_INBOX.mon-a2", "subs_count": 1}


@pytest.mark.row(135)
def test_subscriptions_of_a_client_by_channel() -> None:
    source = FixedSource()
    second = dataclasses.replace(SUBSCRIPTION, inbox=b"second")
    source.clients = {
        b"a": [(b"foo.bar", SUBSCRIPTION), (b"foo", second), (b"Zoo", SUBSCRIPTION), (b"foo", SUBSCRIPTION)]
    }
    subscriptions = shown(source, "/clientsz?client=a&subs=1")["subscriptions"]
    assert list(subscriptions) == ["Zoo", "foo", "foo.bar"]
    assert [entry["inbox"] for entry in subscriptions["foo"]] == ["second", "_INBOX.hy5GfNRIecHPXQVECP8UUW"]


@pytest.mark.row(135)
def test_the_list_of_clients() -> None:
    source = FixedSource()
    source.clients = {b"b-client": [], b"a-client": [(b"foo", SUBSCRIPTION)], b"Z_client": []}
    document = shown(source, "/clientsz")
    assert list(document) == ["cluster_id", "server_id", "now", "offset", "limit", "count", "total", "clients"]
    assert [document[key] for key in ("offset", "limit", "count", "total")] == [0, 1024, 3, 3]
    assert [entry["id"] for entry in document["clients"]] == ["Z_client", "a-client", "b-client"]
    assert [list(entry) for entry in document["clients"]] == [["id", "hb_inbox", "subs_count"]] * 3
    with_subscriptions = shown(source, "/clientsz?subs=1")["clients"]
    assert ["subscriptions" in entry for entry in with_subscriptions] == [False, True, False]
    assert shown(source, "/clientsz?client=") == document


@pytest.mark.row(135)
@pytest.mark.parametrize(
    ("query", "offset", "limit", "names"),
    [
        ("limit=1", 0, 1, ["Z_client"]),
        ("offset=1&limit=1", 1, 1, ["a-client"]),
        ("offset=2", 2, 1024, ["b-client"]),
        ("offset=3", 3, 1024, []),
        ("offset=10", 10, 1024, []),
        ("offset=-3&limit=-4", 0, 1024, ["Z_client", "a-client", "b-client"]),
        ("offset=x&limit=y", 0, 1024, ["Z_client", "a-client", "b-client"]),
        ("limit=0", 0, 1024, ["Z_client", "a-client", "b-client"]),
        ("limit=2.5", 0, 1024, ["Z_client", "a-client", "b-client"]),
        ("limit=%2B2", 0, 2, ["Z_client", "a-client"]),
        ("limit=2&limit=1", 0, 2, ["Z_client", "a-client"]),
        ("limit=99999999999999999999", 0, 2**63 - 1, ["Z_client", "a-client", "b-client"]),
        ("offset=99999999999999999999", 2**63 - 1, 1024, []),
    ],
)
def test_pages_of_clients(query: str, offset: int, limit: int, names: list[str]) -> None:
    source = FixedSource()
    source.clients = {b"b-client": [], b"a-client": [], b"Z_client": []}
    document = shown(source, "/clientsz?" + query)
    assert [document[key] for key in ("offset", "limit", "count", "total")] == [offset, limit, len(names), 3]
    assert [entry["id"] for entry in document["clients"]] == names


@pytest.mark.row(135, 136)
@pytest.mark.parametrize(("value", "is_shown"), [("1", True), ("01", True), ("true", False), ("2", False), ("", False)])
def test_only_one_asks_for_subscriptions(value: str, is_shown: bool) -> None:
    source = FixedSource()
    source.clients = {b"a": [(b"foo", SUBSCRIPTION)]}
    assert ("subscriptions" in shown(source, f"/clientsz?client=a&subs={value}")) == is_shown
    source.add_channel(b"foo", 1, [SUBSCRIPTION])
    assert ("channels" in shown(source, f"/channelsz?subs={value}")) == is_shown


@pytest.mark.row(136)
def test_one_channel_is_the_originals_byte_for_byte() -> None:
    source = FixedSource()
    source.add_channel(b"foo", 17, [DURABLE, MEMBER])
    assert ask(source, "/streaming/channelsz?channel=foo&subs=1").body.decode() == CHANNEL
    expected = {"name": "foo", "msgs": 17, "bytes": 170, "first_seq": 1, "last_seq": 17, "subs_count": 2}
    assert shown(source, "/channelsz?channel=foo") == expected


@pytest.mark.row(136)
def test_the_list_of_channels() -> None:
    source = FixedSource()
    for name in ("a b", "foo", "é", "Zoo", "foo.bar"):
        source.add_channel(name.encode(), 1)
    source.add_channel(b"\xff\xfe", 0, [MEMBER])
    document = shown(source, "/channelsz")
    assert list(document) == ["cluster_id", "server_id", "now", "offset", "limit", "count", "total", "names"]
    assert document["names"] == ["Zoo", "a b", "foo", "foo.bar", "é", "\ufffd\ufffd"]
    assert b'"\\ufffd\\ufffd"' in ask(source, "/streaming/channelsz").body
    page = shown(source, "/channelsz?limit=2&offset=4&subs=1")
    assert [page[key] for key in ("offset", "limit", "count", "total")] == [4, 2, 2, 6]
    assert "names" not in page
    assert [entry["name"] for entry in page["channels"]] == ["é", "\ufffd\ufffd"]
    assert ["subscriptions" in entry for entry in page["channels"]] == [False, True]


@pytest.mark.row(136)
@pytest.mark.parametrize("query", ["", "?subs=1", "?offset=100", "?offset=100&subs=1"])
def test_an_empty_list_of_channels_is_left_out(query: str) -> None:
    source = FixedSource()
    if "offset" in query:
        source.add_channel(b"foo")
    document = shown(source, "/channelsz" + query)
    assert list(document) == ["cluster_id", "server_id", "now", "offset", "limit", "count", "total"]
    assert document["count"] == 0


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a b", "a%20b"), ("a b", "a+b"), ("é", "%C3%A9"), ("\udcff\udcfe", "%ff%fe"), ("x&y", "x%26y")],
)
def test_a_channel_is_found_byte_for_byte(name: str, escaped: str) -> None:
    source = FixedSource()
    source.add_channel(name.encode("utf-8", "surrogateescape"), 3)
    assert shown(source, f"/channelsz?channel={escaped}")["msgs"] == 3


@pytest.mark.row(135, 136)
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/clientsz?client=nope", b"Client nope not found\n"),
        ("/clientsz?client=nope&callback=x", b"Client nope not found\n"),
        ("/channelsz?channel=nope", b"Channel nope not found\n"),
        ("/channelsz?channel=%ff%fd&subs=1", b"Channel \xff\xfd not found\n"),
        ("/channelsz?channel=%3Cno%3E", b"Channel <no> not found\n"),
    ],
)
def test_who_is_not_there(target: str, words: bytes) -> None:
    reply = ask(FixedSource(), "/streaming" + target)
    assert (reply.status, reply.body) == (404, words)
    assert reply.headers == {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}


class Forgetful(FixedSource):
    """Lists what is gone when it is asked about it."""

    def client(self, client_id: bytes) -> None:
        return None

    def channel(self, name: bytes) -> None:
        return None


def test_what_is_gone_meanwhile_is_passed_over() -> None:
    source = Forgetful()
    source.clients = {b"a": []}
    source.add_channel(b"foo")
    assert shown(source, "/clientsz?subs=1")["clients"] == []
    assert shown(source, "/channelsz?subs=1")["channels"] == []


@pytest.mark.row(137)
@pytest.mark.parametrize(
    ("state", "status"), [("FT_ACTIVE", 200), ("FT_STANDBY", 204), ("STANDALONE", 204), ("FAILED", 204)]
)
def test_a_load_balancer_is_told_who_is_active(state: str, status: int) -> None:
    source = FixedSource()
    source.shown = dataclasses.replace(IDENTITY, state=state)
    reply = ask(source, "/streaming/isFTActive")
    assert (reply.status, reply.headers, reply.body) == (status, {}, b"")


def test_the_index_leads_to_the_pages() -> None:
    reply = ask(FixedSource(), "/streaming")
    assert (reply.status, reply.headers) == (200, {"content-type": "text/html; charset=utf-8"})
    for name, words in (("serverz", "server"), ("storez", "store"), ("clientsz", "clients"), ("channelsz", "channels")):
        assert f"<a href=./streaming/{name}>{words}</a><br/>".encode() in reply.body
        assert ask(FixedSource(), f"/streaming/{name}").status == 200


def test_long_lists_are_made_in_steps() -> None:
    from durabus.monitoring.endpoints import Site

    source = FixedSource()
    source.clients = {b"%06d" % number: [(b"foo", SUBSCRIPTION)] for number in range(2000)}
    site = Site(source)
    for query, fewest in ((b"", 10), (b"subs=1", 50), (b"limit=10000&subs=1", 100)):
        assert sum(1 for _ in site.answer("/streaming/clientsz", query)) > fewest
    source.clients = {b"one": [(b"foo", SUBSCRIPTION)] * 5000}
    assert sum(1 for _ in site.answer("/streaming/clientsz", b"client=one&subs=1")) > 300
