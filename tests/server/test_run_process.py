"""The real process with configuration files, signals and the files by which it is found.

What is not marked `ours` holds for the original, too: DURABUS_TEST_SERVER runs it against another program.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.blackbox.stan_client import StanClient
from tests.conftest import ROOT
from tests.server_process import HOST, PATIENCE_S, ServerProcess, failed_start, running_server, server_command

ours = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is how Durabus differs")


def write(folder: Path, text: str, name: str = "bus.conf") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def reload(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGHUP)


def texts(server: ServerProcess, words: str) -> list[str]:
    """The lines with these words, without their heads."""
    return [line.partition("[INF] ")[2] for line in server.lines if words in line]


@pytest.mark.row(112)
@pytest.mark.row(128)
@pytest.mark.parametrize("flag", ["-c", "-sc"])
def test_a_configuration_file(tmp_path: Path, flag: str) -> None:
    name = write(
        tmp_path,
        """
        NAME: filed
        debug: true
        max_payload: 1000
        streaming {
            id: $NAME
            store_limits { max_msgs: 7k, channels { "foo.>": { max_bytes: 1KB }, bar: { max_msgs: 0 } } }
        }
        """,
    )
    with running_server(flag, name) as server:
        assert "Starting nats-streaming-server[filed] version " in server.log
        table = [line.partition("STREAM: ")[2] for line in server.lines if "STREAM: " in line]
        start = table.index("---------- Store Limits ----------")
        assert table[start + 3 : start + 5] == ["  Subscriptions:          1000 *", "  Messages     :          7000"]
        listed = table[table.index("-------- List of Channels --------") + 1 :]
        assert sorted(listed[:4]) == sorted(
            ["foo.>", " |-> Bytes                 1.00 KB", "bar", " |-> Messages            unlimited"]
        )
        with socket.create_connection((HOST, server.port), PATIENCE_S) as client:
            assert b'"max_payload":1000' in client.recv(4096)
        server.wait_line("Client connection created")


@pytest.mark.row(128)
def test_the_command_line_comes_before_the_file(tmp_path: Path) -> None:
    name = write(tmp_path, "port: 1\nhost: 203.0.113.1\nstreaming { id: filed, store_limits { max_msgs: 7 } }")
    with running_server("-c", name, "-cid", "given", "-mm", "0") as server:
        assert "Starting nats-streaming-server[given] version " in server.log
        assert "  Messages     :     unlimited" in server.log


@pytest.mark.row(128)
def test_two_files(tmp_path: Path) -> None:
    one = write(tmp_path, "max_payload: 1000\nstreaming { id: one }")
    other = write(tmp_path, "max_payload: 2000\nstreaming { id: other }", "other.conf")
    with running_server("-c", one, "-sc", other) as server:
        assert "Starting nats-streaming-server[other] version " in server.log
        with socket.create_connection((HOST, server.port), PATIENCE_S) as client:
            assert b'"max_payload":1000' in client.recv(4096)


@pytest.mark.row(127)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("streaming: 5", "expected streaming section to be a map/struct, got 5"),
        ("store_limits {max_msgs: a}", 'parameter "max_msgs" value is expected to be int64, got string'),
        ("store_limits {channels {foo 5}}", "expected channel limits to be a map/struct, got 5"),
        ('store_limits {channels {"foo..bar" {mm 1}}}', 'invalid channel name "foo..bar"'),
        ("st: bogus", "unknown store type: bogus"),
        ("tls {x: 1}", 'error parsing tls config, unknown field ["x"]'),
        ("authorization {user: a, pass: b, token: c}", "Cannot have a user/pass and token"),
        ("max_payload: 10gb", "max_payload value is too big"),
        ("a: [1 2", "Parse error on line 1: "),
        ("port: $NOPE", "variable reference for 'NOPE' on line 1 can not be found"),
        ("include nope.conf", "nope.conf: no such file or directory"),
        ("store_limits {mc: 1, channels {a {}, b {}}}", "too many channels defined (2). The max channels limit is set to 1"),
        ("ft_group: g", "ft: only FILE or SQL stores supported in FT mode"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_ends_it(tmp_path: Path, text: str, error: str) -> None:
    done = failed_start("-c", write(tmp_path, text), "-a", HOST, "-p", "-1")
    assert done.returncode == 1
    assert error in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there() -> None:
    for flag in ("-c", "-sc"):
        done = failed_start(flag, "nope.conf")
        assert done.returncode == 1
        assert "open nope.conf: no such file or directory" in done.stderr


@pytest.mark.row(123)
def test_the_process_id_and_the_ports(tmp_path: Path) -> None:
    with running_server("-P", str(tmp_path / "pid"), "-ports_file_dir", str(tmp_path), "-m", "-1") as server:
        assert (tmp_path / "pid").read_text() == str(server.process.pid)
        wait_for(lambda: any(path.stat().st_size for path in tmp_path.glob("*.ports")))
        (path,) = tmp_path.glob(f"*_{server.process.pid}.ports")
        ports = json.loads(path.read_text())
        assert ports == {
            "nats": [f"nats://{HOST}:{server.port}"],
            "monitoring": [f"http://{HOST}:{server.monitor_port}"],
        }
    assert list(tmp_path.glob("*.ports")) == []


@ours
def test_the_process_id_goes_with_the_process(tmp_path: Path) -> None:
    with running_server("-P", str(tmp_path / "pid")) as server:
        assert server.stop(signal.SIGTERM) == 143
    assert list(tmp_path.iterdir()) == []


def test_a_process_id_that_cannot_be_written() -> None:
    done = failed_start("-a", HOST, "-p", "-1", "-P", "/nope/x")
    assert done.returncode == 1
    assert "Could not write pidfile: open /nope/x: no such file or directory" in done.stderr


@pytest.mark.row(124)
def test_a_reload(tmp_path: Path) -> None:
    text = "authorization { user: a, password: s3cret1 }\nstreaming { id: one, store_limits { mm: 7 } }"
    name = write(tmp_path, text)
    with running_server("-c", name) as server:
        write(
            tmp_path,
            """
            debug: true
            ping_interval: "5s"
            ping_max: 7
            write_deadline: "3s"
            max_connections: 50
            authorization { user: a, password: s3cret2, timeout: 5 }
            streaming { id: one, store_limits { mm: 7 } }
            """,
        )
        reload(server)
        server.wait_line("Reloaded server configuration")
        assert sorted(texts(server, "Reloaded: ")) == [
            "Reloaded: authorization password",
            "Reloaded: authorization timeout = 5",
            "Reloaded: debug = true",
            "Reloaded: max_connections = 50",
            "Reloaded: ping_interval = 5s",
            "Reloaded: ping_max = 7",
            "Reloaded: write_deadline = 3s",
        ]
        with socket.create_connection((HOST, server.port), PATIENCE_S) as client:
            client.recv(4096)
            client.sendall(b'CONNECT {"user":"a","pass":"s3cret2","verbose":true}\r\n')
            assert client.recv(4096) == b"+OK\r\n"
        server.wait_line("Client connection created")
        assert "s3cret" not in server.log


@ours
@pytest.mark.row(124)
def test_monitoring_shows_what_a_reload_changed(tmp_path: Path) -> None:
    name = write(tmp_path, "ping_max: 3")
    with running_server("-c", name, "-m", "-1") as server:
        before = varz(server)
        write(
            tmp_path, "ping_max: 7, max_connections: 50, max_payload: 1000, authorization { token: s3cret, timeout: 5 }"
        )
        reload(server)
        server.wait_line("Reloaded server configuration")
        after = varz(server)
        changed = ("ping_max", "max_connections", "max_payload", "auth_required", "auth_timeout")
        assert [before.get(key) for key in changed] == [3, 65536, 1048576, None, 2]
        assert [after.get(key) for key in changed] == [7, 50, 1000, True, 5]
        assert before["config_load_time"] == before["start"] == after["start"] != after["config_load_time"]
        reload(server)
        server.wait_line("Reloaded server configuration", 2)
        assert varz(server)["config_load_time"] != after["config_load_time"], "also where nothing has changed"


def varz(server: ServerProcess, base_path: str = "") -> dict[str, object]:
    """What the server says of its NATS half."""
    return page(server, f"{base_path}/varz")


def page(server: ServerProcess, path: str) -> dict[str, object]:
    """A document of the monitoring port."""
    with urlopen(f"http://{HOST}:{server.monitor_port}{path}", timeout=PATIENCE_S) as answer:
        document: dict[str, object] = json.load(answer)
    return document


def test_labels_and_a_base_path_for_monitoring(tmp_path: Path) -> None:
    name = write(tmp_path, "server_tags: [eu, blue]\nhttp_base_path: /nats")
    with running_server("-c", name, "-m", "-1") as server:
        document = varz(server, "/nats")
        assert (document["http_base_path"], document["tags"]) == ("/nats", ["eu", "blue"])
        assert page(server, "/streaming/serverz")["state"] == "STANDALONE", "only the pages of the NATS half have it"
        with pytest.raises(HTTPError, match="404"):
            varz(server)


@pytest.mark.row(124)
def test_a_reload_that_fails_changes_nothing(tmp_path: Path) -> None:
    name = write(tmp_path, "debug: false")
    with running_server("-c", name) as server:
        write(tmp_path, "debug: true\nmax_pending: 2mb")
        reload(server)
        server.wait_line("Reload: config reload not supported for MaxPending: old=67108864, new=2097152")
        write(tmp_path, "debug: true\nbad: [")
        reload(server)
        server.wait_line("Parse error on line 2")
        Path(name).unlink()
        reload(server)
        server.wait_line("no such file or directory")
        assert "Reloaded" not in server.log


@pytest.mark.row(124)
def test_a_reload_without_a_file() -> None:
    with running_server() as server:
        reload(server)
        server.wait_line("STREAM: Reload: can only reload config when a file is provided using -c or --config")


@pytest.mark.row(124)
def test_signals_that_have_no_effect(tmp_path: Path) -> None:
    with running_server() as server:
        server.process.send_signal(signal.SIGUSR2)
        server.process.send_signal(signal.SIGUSR1)
        server.wait_line("STREAM: File log re-open ignored, not a file logger")
        with socket.create_connection((HOST, server.port), PATIENCE_S) as client:
            assert client.recv(4096).startswith(b"INFO ")


@pytest.mark.row(124, 125)
def test_a_log_file_that_was_moved_is_begun_anew_and_tells_as_much(tmp_path: Path) -> None:
    """Debug lines and traces of both halves go on in the new file."""
    path, moved = tmp_path / "bus.log", tmp_path / "moved.log"
    server = ServerProcess("-l", str(path), "-DV", "-SDV", "-P", str(tmp_path / "pid"), port=free_port())
    wait_for(lambda: path.exists() and "is ready" in path.read_text())
    for file in (path, moved):
        with StanClient(server.port, b"me") as client:
            client.connect()
            client.publish(b"foo", b"x")
            assert client.disconnect() == b""
        told = file if file == path else path
        wait_for(lambda told=told: "Client connection closed" in told.read_text())  # type: ignore[misc]
        text = told.read_text()
        for words in (
            "[DBG] 127.0.0.1:",
            "[TRC] 127.0.0.1:",
            "[DBG] STREAM: [Client:me] Connected",
            "[TRC] STREAM: [Client:me] Received message",
        ):
            assert words in text
        if file == path:
            path.rename(moved)
            server.process.send_signal(signal.SIGUSR1)
            wait_for(lambda: path.exists() and "STREAM: File log re-opened" in path.read_text())
    assert server.stop() == 0
    assert "File log re-opened" not in moved.read_text()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_a_log_file_of_a_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    done = subprocess.Popen(  # its log is not where the others look for it
        [*server_command(), "-a", HOST, "-p", "-1", "-l", str(path), "-log_size_limit", "900"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    with done:
        wait_for(lambda: any("is ready" in text for text in logged(tmp_path)))
        done.send_signal(signal.SIGINT)
        assert done.wait(PATIENCE_S) == 0
    files = sorted(tmp_path.iterdir())
    assert len(files) > 1
    assert all(900 < file.stat().st_size < 1200 for file in files if file.name != "bus.log")
    assert path.read_text().startswith(f"[{done.pid}] ")
    assert "Rotated log, backup saved as " in path.read_text().splitlines()[0]


def logged(folder: Path) -> list[str]:
    """All lines in the log files of a folder."""
    lines: list[str] = []
    for file in folder.iterdir():
        try:
            lines += file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:  # renamed meanwhile
            continue
    return lines


def wait_for(is_so: Callable[[], bool]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def signal_command(request: str) -> subprocess.CompletedProcess[str]:
    """Run `-sl` as somebody at a terminal would."""
    return subprocess.run(
        [sys.executable, "-m", "durabus", "serve", "-sl", request],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


@pytest.mark.row(124)
@ours
def test_signals_by_command(tmp_path: Path) -> None:
    name = write(tmp_path, "debug: true")
    with running_server("-c", name, "-P", str(tmp_path / "pid")) as server:
        assert signal_command(f"reload={server.process.pid}").returncode == 0
        server.wait_line("Reloaded server configuration")
        assert signal_command(f"reopen={tmp_path / 'pid'}").returncode == 0
        server.wait_line("File log re-open ignored")
        done = signal_command(f"nope={server.process.pid}")
        assert (done.returncode, done.stderr) == (1, 'unknown signal "nope"\n')
        assert signal_command(f"term={tmp_path / 'pid'}").returncode == 0
        assert server.wait_end() == 143


@ours
def test_a_check_does_not_start_the_server(tmp_path: Path) -> None:
    done = failed_start("-t", "-c", write(tmp_path, "port: 4333"))
    assert done.returncode == 0
    assert done.stderr.endswith(f"configuration file {tmp_path}/bus.conf is valid\n")


@ours
def test_a_mistake_names_file_line_and_key(tmp_path: Path) -> None:
    name = write(tmp_path, "\nstreaming {\n  hbf: x\n}")
    done = failed_start("-c", name)
    assert done.stderr == f'{name}:3:3: parameter "hbf" value is expected to be int64, got string\n'


@ours
def test_links_between_servers_are_refused(tmp_path: Path) -> None:
    name = write(tmp_path, "cluster { port: 6222 }\nstreaming {}")
    done = failed_start("-c", name)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}:1:1: cluster is not available: ")
    assert "-ns" in done.stderr
    assert done.stderr.count("\n") == 1
