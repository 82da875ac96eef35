"""Starting: the log, the ports, what is refused, how long it takes (docs/protocol.md §12, §14.2; architecture of the start)."""

import http.client
import json
import re
import socket
import sys
import time

import pytest

from durabus import version
from tests.blackbox.stan_client import StanClient
from tests.blackbox.wire_client import WireClient
from tests.conftest import EXPECTED_BUILD
from tests.server_process import HOST, ServerProcess, failed_start, running_server

MIB = 1 << 20
LINE = re.compile(r"\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(INF|WRN)\] .*\S")


def tell(capfd: pytest.CaptureFixture[str], text: str) -> None:
    """Show a figure also where the test passes."""
    with capfd.disabled():
        sys.stderr.write(f"\n{text}\n")


def get(port: int, path: str) -> tuple[int, bytes]:
    """Ask the monitoring port."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.row(130)
def test_the_lines_of_a_start() -> None:
    with running_server("-cid", "shop", "-n", "the bus", "-m", "-1") as server:
        lines = server.log.splitlines()
        server.wait_line("Starting http monitor on ")
    assert server.log.count("Streaming Server is ready") == 1
    expected = [
        "STREAM: Starting nats-streaming-server[shop] version ",
        "STREAM: ServerID: ",
        "Starting nats-server",
        "Name:     the bus",
        "Listening for client connections on 127.0.0.1:",
        "STREAM: Recovering the state...",
        "STREAM: No recovered state",
        "STREAM: Message store is MEMORY",
        "STREAM:   Messages     :       1000000 *",
        "[WRN] STREAM: An acknowledged event is kept in the memory of this process and nowhere else",
        "STREAM: Streaming Server is ready",
    ]
    places = [next(i for i, line in enumerate(lines) if words in line) for words in expected]
    assert places == sorted(places)
    assert all(LINE.fullmatch(line) for line in lines)
    assert len({line.split()[0] for line in lines}) == 1, "the process ID"


def test_what_runs_is_what_was_to_be_tested() -> None:
    with running_server() as server:
        assert version.runtime() in server.log
        assert EXPECTED_BUILD in server.log


def test_a_ready_server_serves() -> None:
    for _ in range(3):
        with running_server("-m", "-1") as server, StanClient(server.port) as client:
            assert client.try_connect() == b""
            assert get(server.monitor_port, "/healthz") == (200, b'{"status":"ok"}')


def test_the_log_can_go_to_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "bus.log"
    port = free_port()
    server = ServerProcess("-l", str(path), "-T=false", port=port)
    with wait_for_greeting(server, port) as client:
        assert client.ask() == b""
    assert server.stop() == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith("[INF] STREAM: Starting nats-streaming-server[test-cluster] version 0.25.6")
    assert "Streaming Server is ready" in "\n".join(lines)
    assert server.log == ""


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for_greeting(server: ServerProcess, port: int) -> WireClient:
    """The first connection that is accepted; trying is how official test suites wait for a server, too."""
    while True:
        try:
            return WireClient(port)
        except ConnectionRefusedError:
            assert server.is_running(), server.log


@pytest.mark.row(34, 132)
def test_monitoring_counts_what_happens() -> None:
    with running_server("-m", "-1", "-cid", "counted") as server:
        with StanClient(server.port, cluster=b"counted") as client:
            client.connect()
            subscription = client.subscribe(b"counted.channel")
            client.publish(b"counted.channel", b"12345", b"678")
            assert [got.sequence for got in client.deliveries(2, subscription)] == [1, 2]
            status, body = get(server.monitor_port, "/streaming/serverz")
        serverz = json.loads(body)
        assert status == 200
        counted = {
            key: serverz[key] for key in ("clients", "subscriptions", "channels", "total_msgs", "in_msgs", "out_msgs")
        }
        assert counted == {
            "clients": 1, "subscriptions": 1, "channels": 1, "total_msgs": 2, "in_msgs": 2, "out_msgs": 2,
        }  # fmt: skip
        assert serverz["cluster_id"] == "counted"
        assert serverz["server_id"] in server.log
        assert serverz["state"] == "STANDALONE"
        assert serverz["total_bytes"] > 8


@pytest.mark.parametrize("flag", ["-p", "-m"])
def test_an_occupied_port_is_one_clear_line(flag: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        ended = failed_start("-a", HOST, *(() if flag == "-p" else ("-p", "-1")), flag, str(port))
    lines = (ended.stdout + ended.stderr).splitlines()
    fatal = [line for line in lines if "[FTL]" in line]
    assert ended.returncode == 1
    assert len(fatal) == 1
    assert "[FTL] STREAM: Failed to start: " in fatal[0]
    assert f"{HOST}:{port}" in fatal[0]
    assert "address already in use" in fatal[0]
    assert ("choose another port with -p" in fatal[0]) == (flag == "-p")
    assert not [line for line in lines if "Traceback" in line or "Error:" in line or "is ready" in line]


def test_an_address_that_is_not_ours() -> None:
    ended = failed_start("-a", "192.0.2.1", "-p", "-1")
    assert ended.returncode == 1
    assert len([line for line in ended.stderr.splitlines() if "[FTL] STREAM: Failed to start: " in line]) == 1
    assert "choose another port" not in ended.stderr, "it is not the port that is wrong"
    assert "Traceback" not in ended.stderr


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["-ma", "10"], 'invalid value "10" for flag -ma'),
        (["-p"], "flag needs an argument: -p"),
        (["-p", "99999"], "99999"),
        (["-mm", "-5"], "max messages limit cannot be negative (-5)"),
        (["-st", "BOGUS"], "unsupported store type: BOGUS"),
        (["-st", "FILE"], "for FILE stores, root directory must be specified"),
        (["-st", "FILE", "-dir", "data", "-file_sync=false"], "-file_sync"),
        (["-st", "SQL"], 'sql: unknown driver "" (forgotten import?)'),
        (["-clustered"], "-clustered"),
        (["-c", "no-such-file.conf"], "no-such-file.conf"),
        (["-cid", "a b"], "a b"),
        (["serve-me"], 'unrecognized command: "serve-me"'),
    ],
)
def test_bad_flags(flags: list[str], words: str) -> None:
    ended = failed_start(*flags)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert words in ended.stderr.splitlines()[0]
    assert len(ended.stderr.splitlines()) <= 2
    assert "Traceback" not in ended.stderr


def test_start_is_quick_and_an_idle_server_is_small(capfd: pytest.CaptureFixture[str]) -> None:
    open_s = []
    for _ in range(3):
        port = free_port()
        began_s = time.monotonic()
        server = ServerProcess(port=port)
        wait_for_greeting(server, port).close()
        open_s.append(time.monotonic() - began_s)
        server.wait_ready()
        resident_bytes = server.resident_bytes
        assert server.stop() == 0
    tell(
        capfd,
        f"{version.build_kind()}: from process start to the first greeting {min(open_s):.3f} s (to be below 0.3 s), "
        f"idle memory {resident_bytes / MIB:.0f} MiB (to be below 60 MiB)",
    )
    # What decides is the benchmark on a quiet machine; here, only that nothing is out of all proportion.
    assert min(open_s) < 5
    assert resident_bytes < 120 * MIB
