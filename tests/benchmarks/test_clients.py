"""The benchmark of client libraries: small runs of every program on a real server, and what counts as wrong."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import servers
from benchmarks.clients import __main__ as program
from benchmarks.clients import costs, report, running, typed_event, ways
from benchmarks.clients.running import Load, Run
from benchmarks.clients.ways import DURABUS, NODE, OLD_PYTHON, WAYS, Library, Way
from benchmarks.workloads import BenchmarkError
from durabus.events import event_type
from tests.clients.packages import DIRECTORY, install_packages

if TYPE_CHECKING:
    from benchmarks.servers import Target

pytestmark = pytest.mark.once

LOAD = Load(messages=1500, warm_up_messages=20, size_bytes=128)
PUBLISH, RECEIVE = WAYS[0], next(way for way in WAYS if not way.publishes)
OLD_PROGRAM = ways.HERE / "old_python_program.py"


def server() -> Target:
    return servers.target(f"durabus={shlex.quote(sys.executable)} -m durabus serve")


def saying(script: str) -> Library:
    """A library whose program is a line of shell."""
    return Library("shell", "1", ("sh", "-c", script), {})


@pytest.mark.parametrize("way", [way for way in WAYS if way.library != OLD_PYTHON], ids=lambda way: " ".join(way[:2]))
def test_a_small_run(way: Way) -> None:
    if way.library == NODE:
        install_packages()
    library = ways.durabus_library(sys.executable) if way.library == DURABUS else ways.node_library(DIRECTORY)
    run = running.measure(way, library, server(), LOAD)
    assert run.per_second > 0
    assert run.cpu_us > 0


def test_a_program_that_fails_is_reported_in_its_own_words() -> None:
    with pytest.raises(BenchmarkError, match="the reason"):
        running.measure(PUBLISH, saying("echo the reason >&2; exit 3"), server(), LOAD)


@pytest.mark.parametrize(("way", "words"), [(PUBLISH, "does not tell of the channel"), (RECEIVE, "not 0")])
def test_a_program_that_only_says_it_did_it_is_found_out(way: Way, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_SETTLE_S", 0.05)
    liar = saying("""echo '{"seconds": 1, "cpu_seconds": 1}'; read line""")
    with pytest.raises(BenchmarkError, match=words):
        running.measure(way, liar, server(), LOAD)


def channel(last_sent: int, pending: int) -> dict[str, Any]:
    """What the server's monitoring tells."""
    return {"msgs": 9, "last_seq": 9, "subscriptions": [{"last_sent": last_sent, "pending_count": pending}]}


def test_what_is_missing_or_too_much_is_wrong() -> None:
    assert running.complaint(PUBLISH, {"msgs": 9, "last_seq": 9}, 9) == ""
    for messages, last in ((8, 8), (10, 10), (9, 10)):
        assert "9 events were published" in running.complaint(PUBLISH, {"msgs": messages, "last_seq": last}, 9)
    assert running.complaint(RECEIVE, channel(9, 0), 9) == ""
    assert "2 of them are not acknowledged" in running.complaint(RECEIVE, channel(9, 2), 9)
    assert "8 were sent" in running.complaint(RECEIVE, channel(8, 0), 9)


FAKES = {
    "nats/aio/client.py": """
class Client:
    async def connect(self, url, io_loop): assert url == "nats://here"
    async def close(self): pass
""",
    "stan/aio/client.py": """
import asyncio, types
class Client:
    async def connect(self, cluster, client_id, nats, max_pub_acks_inflight): assert max_pub_acks_inflight == 4
    async def publish(self, channel, payload, ack_handler):
        asyncio.ensure_future(ack_handler(types.SimpleNamespace(error=ERROR)))
    async def subscribe(self, channel, cb, start_at, max_inflight, manual_acks):
        async def deliver():
            for seq in SEQUENCES[channel]:
                await cb(types.SimpleNamespace(seq=seq, data=b"12345", proto=types.SimpleNamespace(redelivered=False)))
        asyncio.ensure_future(deliver())
        return self
    async def ack(self, message): pass
    async def close(self): pass
ERROR = ""
SEQUENCES = {"warm": [1, 2], "c": [1, 2, 3]}
""",
}


def run_old_program(folder: Path, way: str) -> subprocess.CompletedProcess[str]:
    """Run the program for the old library, with the modules that are in `folder` in its place."""
    task = {
        "url": "nats://here", "cluster_id": "test-cluster", "way": way, "channel": "c", "count": 3,
        "warm_up_channel": "warm", "warm_up_count": 2, "payload": "12345", "window": 4, "max_in_flight": 4,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(OLD_PROGRAM), json.dumps(task)],
        env={"PYTHONPATH": str(folder)}, input="", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """Modules as the program for the old library imports them, which need no old Python."""
    for name, source in FAKES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(source)
    return tmp_path


def test_the_program_for_the_old_library_counts_what_its_callbacks_get(fakes: Path) -> None:
    for way in WAYS:
        if way.library == OLD_PYTHON:
            done = run_old_program(fakes, way.name)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["seconds"] > 0


@pytest.mark.parametrize(
    ("way", "old", "new", "words"),
    [("publish", 'ERROR = ""', 'ERROR = "no"', "RuntimeError: no"), ("receive", "[1, 2, 3]", "[1, 3]", "3 behind 1")],
)
def test_the_program_for_the_old_library_fails_where_something_is_wrong(
    fakes: Path, way: str, old: str, new: str, words: str
) -> None:
    path = fakes / "stan/aio/client.py"
    path.write_text(path.read_text().replace(old, new))
    done = run_old_program(fakes, way)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_program_for_the_old_library_is_written_in_the_python_of_its_time() -> None:
    ast.parse(OLD_PROGRAM.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_libraries_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="Cannot find module"):
        ways.node_library(tmp_path)
    with pytest.raises(BenchmarkError, match="no program"):
        ways.old_python_library("there-is-no-such-python")
    with pytest.raises(BenchmarkError, match="No module named"):
        ways.old_python_library(sys.executable)


def runs(*rates: float) -> list[Run]:
    return [Run(rate, 1.0) for rate in rates]


def test_ratios_are_taken_round_by_round_to_the_best_way_of_a_library() -> None:
    node = [way for way in WAYS if way.library == NODE and not way.publishes]
    results = {RECEIVE: runs(100, 300, 50), node[0]: runs(10, 10, 10), node[1]: runs(50, 100, 100)}
    assert report.best(results, NODE) == node[1]
    assert report.best(results, OLD_PYTHON) is None
    assert report.ratio(results[RECEIVE], results[node[1]]) == 2.0
    lines = report.rates_report(results, [NODE, OLD_PYTHON]).splitlines()
    assert lines[0].split()[-4:] == ["x", NODE, "x", OLD_PYTHON]
    assert lines[1].split()[-4:] == ["100", "250%", "1.0", "2.00"]
    assert lines[2].split()[-3:] == ["10", "0%", "1.0"]


def test_what_an_event_costs_is_the_least_that_was_seen() -> None:
    lines = report.costs_report({"Event": [costs.Cost(1, 4), costs.Cost(2, 3)]}).splitlines()
    assert lines[1].split() == ["Event", "1.00", "3.00", "4.00"]
    for cls in costs.classes().values():
        assert costs.measure(cls, calls=10).both_us > 0


def test_payloads_have_the_size_that_was_asked_for() -> None:
    assert len(typed_event.payload(128)) == 128
    assert event_type(typed_event.Measured).decode(typed_event.payload(128)).version == 1
    with pytest.raises(ValueError, match="at least"):
        typed_event.payload(10)


def test_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(costs, "_CALLS", 10)
    served = f"durabus={shlex.quote(sys.executable)} -m durabus serve"
    arguments = ["--server", served, "--node-packages", str(tmp_path), "--json", str(tmp_path / "all.json")]
    arguments += ["--parts", "publish,events", "--rounds", "1", "--messages", "600", "--warm-up", "10"]
    monkeypatch.setattr(sys, "argv", ["clients", *arguments])
    assert program.main() == 0
    said = capsys.readouterr().out
    assert f"{NODE} is left out: " in said
    assert f"{OLD_PYTHON} is left out: --old-python" in said
    assert "durabus: bus.publish_all" in said
    assert "pydantic model" in said
    assert set(json.loads((tmp_path / "all.json").read_text())["publish on durabus"]) == {
        "durabus: publish_all", "durabus: publish", "durabus: publisher",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [["--parts", "nothing"], ["--rounds", "0"], ["--server", "sh"], ["--old-python", "/no-such-python"]]
)
def test_what_cannot_be_run_is_said_at_once(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["clients", *arguments])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
