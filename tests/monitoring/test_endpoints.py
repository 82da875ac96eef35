"""What each path answers, without HTTP."""

import json
from pathlib import Path

import pytest

from durabus.monitoring import endpoints
from durabus.monitoring.endpoints import answer, failure
from durabus.monitoring.go_json import format_time
from durabus.version import python_name
from tests.monitoring.sources import STATE, BrokenSource, FixedSource

# What the original printed, with its values for what differs from process to process replaced.
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


def expected_serverz() -> bytes:
    text = SERVERZ.replace("GO", python_name()).replace("NOW", format_time(STATE.now_ns))
    return text.replace("START", format_time(STATE.start_time_ns)).encode()


@pytest.fixture
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "open_file_count", lambda: 37)
    monkeypatch.setattr("durabus.monitoring.endpoints.resource.getrlimit", lambda _: (20000, 20000))


@pytest.mark.usefixtures("_limits")
def test_serverz_is_the_originals_byte_for_byte() -> None:
    reply = answer("/streaming/serverz", {}, FixedSource())
    assert reply.status == 200
    assert reply.headers == {"content-type": "application/json"}
    assert reply.body == expected_serverz()


@pytest.mark.usefixtures("_limits")
def test_a_callback_wraps_the_document() -> None:
    reply = answer("/streaming/serverz", {"callback": "fn"}, FixedSource())
    assert reply.headers == {"content-type": "application/javascript"}
    assert reply.body == b"fn(" + expected_serverz() + b")"
    assert answer("/streaming/serverz", {"callback": ""}, FixedSource()).body == expected_serverz()


def test_open_files_are_counted_where_the_system_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    (tmp_path / "1").touch()
    monkeypatch.setattr(endpoints, "OPEN_FILES", tmp_path)
    shown = json.loads(answer("/streaming/serverz", {}, FixedSource()).body)
    assert shown["open_fds"] == 2
    assert shown["max_fds"] > 0
    monkeypatch.setattr(endpoints, "OPEN_FILES", tmp_path / "nothing")
    shown = json.loads(answer("/streaming/serverz", {}, FixedSource()).body)
    assert "open_fds" not in shown
    assert "max_fds" not in shown


def test_health() -> None:
    ready = answer("/healthz", {}, FixedSource())
    assert (ready.status, ready.body) == (200, b'{"status":"ok"}')
    assert ready.headers == {"content-type": "application/json"}
    starting = answer("/healthz", {}, FixedSource(ready=False))
    assert starting.status == 503
    assert json.loads(starting.body)["status"] == "unavailable"
    assert answer("/healthz", {"callback": "x"}, FixedSource()).body == b'x({"status":"ok"})'


def test_serverz_answers_while_the_server_is_not_ready() -> None:
    assert answer("/streaming/serverz", {}, FixedSource(ready=False)).status == 200


@pytest.mark.parametrize("path", ["", "/", "/nope", "/streaming/", "/streaming/serverz/", "/Healthz"])
def test_other_paths_are_not_there(path: str) -> None:
    reply = answer(path, {}, BrokenSource())
    assert reply.status == 404
    assert reply.body == b"404 page not found\n"
    assert reply.headers == {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}


def test_a_failure_names_the_path() -> None:
    reply = failure("/streaming/serverz")
    assert (reply.status, reply.body) == (500, b"Error getting information about /streaming/serverz\n")
