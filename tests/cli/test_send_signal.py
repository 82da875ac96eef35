"""Signals to a server that runs: commands, errors, and which processes are servers; no real process gets one by name."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from durabus.cli.send_signal import SIGNALS, SignalError, is_server, send_signal

Sent = list[tuple[int, int]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The signals that were sent, to nobody."""
    signals: Sent = []
    monkeypatch.setattr("os.kill", lambda pid, number: signals.append((pid, number)))
    return signals


def machine(folder: Path, *command_lines: str) -> Path:
    """A folder like /proc, with processes of the given command lines: 100, 101, ..."""
    for number, line in enumerate(command_lines, start=100):
        (folder / str(number)).mkdir()
        (folder / str(number) / "cmdline").write_bytes(line.replace(" ", "\0").encode() + b"\0")
    (folder / "999").mkdir()  # one that has ended meanwhile
    (folder / "self").mkdir()
    return folder


def error_of(request: str, processes: Path) -> str:
    with pytest.raises(SignalError) as caught:
        send_signal(request, processes)
    return str(caught.value)


@pytest.mark.row(124)
@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("stop", signal.SIGKILL),
        ("quit", signal.SIGINT),
        ("term", signal.SIGTERM),
        ("reopen", signal.SIGUSR1),
        ("reload", signal.SIGHUP),
        ("ldm", signal.SIGUSR2),
    ],
)
def test_commands(sent: Sent, tmp_path: Path, command: str, number: signal.Signals) -> None:
    send_signal(f"{command}=4711", tmp_path)
    send_signal(command, machine(tmp_path, "/nats-streaming-server -m 8222"))
    assert sent == [(4711, number), (100, number)]


def test_all_commands_are_tested() -> None:
    assert set(SIGNALS) == {"stop", "quit", "term", "reopen", "reload", "ldm"}


@pytest.mark.parametrize("text", ["4711", "4711\n", " 4711 "])
def test_a_file_with_a_process_id(sent: Sent, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bus.pid"
    path.write_text(text)
    send_signal(f"reload={path}")
    assert sent == [(4711, signal.SIGHUP)]


# The original's words.
@pytest.mark.row(124)
@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("bogus=5", 'unknown signal "bogus"'),
        ("=5", 'unknown signal ""'),
        ("stop=x", "invalid pid: x"),
        ("stop=1=2", "invalid signal parameters: [2]"),
        ("stop=1=2=3", "invalid signal parameters: [2 3]"),
        ("stop", "no nats-streaming-server processes running"),
        ("bogus", "no nats-streaming-server processes running"),
        ("stop=", "no nats-streaming-server processes running"),
        # These would reach whole groups of processes; the original sends them.
        ("stop=0", "invalid pid: 0"),
        ("stop=-1", "invalid pid: -1"),
        ("stop=1_0", "invalid pid: 1_0"),
        ("stop=\0", "invalid pid: \0"),
    ],
)
def test_mistakes(sent: Sent, tmp_path: Path, request_: str, error: str) -> None:
    assert error_of(request_, machine(tmp_path, "bash", "nats-server")) == error
    assert sent == []


def test_a_file_without_a_process_id(sent: Sent, tmp_path: Path) -> None:
    path = tmp_path / "bus.pid"
    path.write_text("nonsense")
    assert error_of(f"stop={path}", tmp_path) == "invalid pid: nonsense"
    assert error_of(f"stop={tmp_path}", tmp_path) == f"invalid pid: {tmp_path}"


def test_several_servers(sent: Sent, tmp_path: Path) -> None:
    processes = machine(tmp_path, "durabus serve", "bash", "nats-streaming-server")
    assert error_of("stop", processes) == "multiple nats-streaming-server processes running:\n100\n102"


def test_a_machine_that_does_not_tell_its_processes(tmp_path: Path) -> None:
    assert error_of("stop", tmp_path / "nope") == "unable to resolve pid, try providing one"


def test_it_does_not_signal_itself(sent: Sent, tmp_path: Path) -> None:
    folder = tmp_path / str(os.getpid())
    folder.mkdir()
    (folder / "cmdline").write_bytes(b"nats-streaming-server\0")
    assert error_of("stop", tmp_path) == "no nats-streaming-server processes running"


@pytest.mark.parametrize(
    "line",
    [
        "nats-streaming-server",
        "/nats-streaming-server -m 8222",
        "/usr/bin/python3 /usr/local/bin/nats-streaming-server -p 4222",
        "python3.11 -I -X dev -W error /x/nats-streaming-server",
        "durabus serve -p 4222",
        "/venv/bin/python /venv/bin/durabus serve",
        "python -m durabus serve",
        "/usr/bin/pypy3.11 -m durabus serve",
    ],
)
def test_servers(line: str) -> None:
    assert is_server(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "bash",
        "nats-server",
        "durabus version",
        "durabus",
        "python -m durabus help",
        "python -m other durabus serve",
        "python -c nats-streaming-server",
        "python -X",
        "python",
        "vim nats-streaming-server",
        "grep durabus serve",
        "nats-streaming-server -sl stop",
        "nats-streaming-server --signal=stop",
        "python -m durabus serve -t -c bus.conf",
    ],
)
def test_others(line: str) -> None:
    assert not is_server(line.split())


def test_a_real_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        send_signal(f"term={process.pid}")
        assert process.wait(20) == -signal.SIGTERM
    with pytest.raises(SignalError, match=r"^no such process$"):
        send_signal(f"term={process.pid}")
    with pytest.raises(SignalError, match=r"^no such process$"):
        send_signal("term=" + "9" * 30)


def test_a_process_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.kill", refuse)
    with pytest.raises(SignalError, match=r"^operation not permitted$"):
        send_signal("stop=4711")
