"""Where log lines go: files with a size limit, syslogs, and another destination while the server runs."""

import io
import logging
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from durabus import logs
from durabus.config.options import LogOptions
from durabus.logs import LogFileError, LogOutput, SyslogError

PID = os.getpid()


# A file with a size limit.


def set_aside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "bus.log")


def test_a_file_above_its_limit_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durabus.logs.time.localtime", time.gmtime)
    path = tmp_path / "bus.log"
    output = LogOutput(LogOptions(file=str(path), with_time=False, file_bytes_max=60))
    head = f"[{PID}] [INF] "
    line = "x" * (60 - len(head) - 1)
    output.broker.info(line)
    assert set_aside(tmp_path) == []  # as large as allowed
    output.broker.info("one too many")
    (former,) = set_aside(tmp_path)
    assert re.fullmatch(r"bus\.log\.\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d\.\d{9}", former.name)
    assert former.read_text() == f"{head}{line}\n{head}one too many\n"
    assert path.read_text() == f'{head}Rotated log, backup saved as "{former}"\n'
    output.close()


def test_every_file_that_was_set_aside_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when two are in one microsecond."""
    make = logs.line_record

    def record(level: int, text: str) -> logging.LogRecord:
        made = make(level, text)
        made.created = 1795452690.25
        return made

    monkeypatch.setattr("durabus.logs.line_record", record)
    path = tmp_path / "bus.log"
    output = LogOutput(LogOptions(file=str(path), with_time=False, file_bytes_max=1))
    for index in range(5):
        output.broker.info(f"line {index}")
    output.close()
    assert len(set_aside(tmp_path)) == 5
    text = "".join(former.read_text() for former in set_aside(tmp_path))
    assert re.findall(r"line \d", text) == [f"line {index}" for index in range(5)]


def test_a_file_that_was_large_before_is_set_aside_soon(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_text("y" * 100)
    output = LogOutput(LogOptions(file=str(path), file_bytes_max=60))
    output.broker.info("first")
    output.close()
    assert set_aside(tmp_path)[0].read_text().startswith("y" * 100)


def test_a_file_that_cannot_be_set_aside_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    path = tmp_path / "bus.log"
    output = LogOutput(LogOptions(file=str(path), with_time=False, file_bytes_max=300))
    for _ in range(4):
        output.broker.info("x" * 300)
    output.close()
    text = path.read_text()
    assert text.count("x" * 300) == 4
    errors = re.findall(r"\[ERR\] Unable to rotate the log \((.*)\), will attempt next rotation at size (\d+)\n", text)
    assert errors == [("[Errno 13] Permission denied", size) for size in ("600", "1200", "2400")]


def test_reopening_keeps_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    output = LogOutput(LogOptions(file=str(path), file_bytes_max=200))
    path.rename(tmp_path / "moved")
    output.reopen()
    for _ in range(5):
        output.broker.info("x" * 50)
    output.close()
    assert len(set_aside(tmp_path)) >= 2


@pytest.mark.parametrize("bytes_max", [0, -5])
def test_without_a_limit_a_file_grows(tmp_path: Path, bytes_max: int) -> None:
    output = LogOutput(LogOptions(file=str(tmp_path / "bus.log"), file_bytes_max=bytes_max))
    for _ in range(100):
        output.broker.info("x" * 100)
    output.close()
    assert set_aside(tmp_path) == []


# Syslogs.


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a name that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="log") as name:
        yield Path(name)


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    """A syslog that listens on UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(10)
        yield listening


def heard(listening: socket.socket) -> str:
    return listening.recv(4096).decode()


PROGRAM = re.escape(Path(sys.argv[0]).name)


def test_a_remote_syslog_gets_the_lines_as_the_original_sends_them(udp: socket.socket) -> None:
    url = f"udp://127.0.0.1:{udp.getsockname()[1]}"
    output = LogOutput(LogOptions(remote_syslog=url, streaming_debug=True, streaming_trace=True))
    log = output.streaming
    for tell, severity in (
        (log.info, 5),
        (log.trace, 5),
        (log.debug, 7),
        (log.warning, 4),
        (log.error, 3),
        (log.fatal, 2),
    ):
        tell("a\nb")
        assert re.fullmatch(
            rf"<{severity}>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) {re.escape(os.uname().nodename)} "
            rf"{PROGRAM}\[{PID}\]: STREAM: a\\x0ab\n",
            heard(udp),
        )
    output.broker.info("of the broker")
    assert heard(udp).endswith("]: of the broker\n")
    output.close()


@pytest.mark.parametrize(("zone", "shown"), [("UTC0", "Z"), ("XYZ-5:30", "+05:30"), ("XYZ3", "-03:00")])
def test_time_zones(udp: socket.socket, monkeypatch: pytest.MonkeyPatch, zone: str, shown: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        output = LogOutput(LogOptions(remote_syslog=f"udp://127.0.0.1:{udp.getsockname()[1]}", syslog_name="bus"))
        output.broker.info("x")
        assert re.fullmatch(rf"<5>\S+\d{re.escape(shown)} \S+ bus\[{PID}\]: x\n", heard(udp))
        output.close()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_syslog_of_this_machine(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(short_folder / "log")
    monkeypatch.setattr("durabus.logs.LOCAL_SYSLOGS", (f"{path}.nope", path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(10)
        output = LogOutput(LogOptions(syslog=True, syslog_name="bus"))
        output.streaming.info("hello")
        line = heard(listening)
        output.close()
    assert re.fullmatch(rf"<29>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d bus\[{PID}\]: STREAM: hello\n", line)


def test_no_syslog_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durabus.logs.LOCAL_SYSLOGS", ("/nope/log",))
    with pytest.raises(SyslogError) as caught:
        LogOutput(LogOptions(syslog=True))
    assert str(caught.value) == 'error connecting to syslog: "Unix syslog delivery error"'


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_syslog_with_a_path(short_folder: Path, kind: socket.SocketKind) -> None:
    path = str(short_folder / "log")
    with socket.socket(socket.AF_UNIX, kind) as listening:
        listening.bind(path)
        listening.settimeout(10)
        if kind is socket.SOCK_STREAM:
            listening.listen()
        output = LogOutput(LogOptions(remote_syslog=f"unix://{path}", syslog_name="bus"))
        output.broker.info("hello")
        taken = listening.accept()[0] if kind is socket.SOCK_STREAM else listening
        assert re.fullmatch(rf"<5>[A-Z].* bus\[{PID}\]: hello\n", heard(taken))
        taken.close()
        output.close()


def test_a_syslog_that_goes_away_is_connected_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    make = logs.line_record

    def record(level: int, text: str) -> logging.LogRecord:
        made = make(level, text)
        made.created = clock[0]
        return made

    monkeypatch.setattr("durabus.logs.line_record", record)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    output = LogOutput(LogOptions(remote_syslog=f"tcp://127.0.0.1:{port}"))
    output.broker.info("one")
    first = listening.accept()[0]
    assert heard(first).endswith(": one\n")
    listening.close()
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.close()  # with a reset
    output.broker.info("lost")
    output.broker.info("lost without even trying")
    assert output.lines_lost == 2
    listening = socket.create_server(("127.0.0.1", port))
    clock[0] += 2
    output.broker.info("two")
    second = listening.accept()[0]
    assert heard(second).endswith(": two\n")
    for closing in (second, listening):
        closing.close()
    output.close()
    assert output.lines_lost == 2


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nope", 'error invalid network type: ""'),
        ("http://h:514", 'error invalid network type: "http"'),
        ("udp://h", 'error invalid syslog address "udp://h": it needs a host and a port'),
        ("tcp://:514", 'error invalid syslog address "tcp://:514": it needs a host and a port'),
        ("udp://h:x", 'error invalid syslog address "udp://h:x": '),
        ("unix://", 'error invalid network type: "unix"'),
        ("unix:///nope/log", 'error connecting to syslog: "dial unix /nope/log: no such file or directory"'),
    ],
)
def test_syslogs_that_cannot_be_reached(url: str, error: str) -> None:
    with pytest.raises(SyslogError) as caught:
        LogOutput(LogOptions(remote_syslog=url))
    assert str(caught.value).startswith(error)


def test_a_syslog_that_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(SyslogError, match=f"dial tcp 127.0.0.1:{port}: connection refused"):
        LogOutput(LogOptions(remote_syslog=f"tcp://127.0.0.1:{port}"))


def test_a_file_comes_before_a_remote_syslog_and_that_before_the_local_one(tmp_path: Path, udp: socket.socket) -> None:
    url = f"udp://127.0.0.1:{udp.getsockname()[1]}"
    output = LogOutput(LogOptions(file=str(tmp_path / "bus.log"), remote_syslog=url, syslog=True))
    output.broker.info("to the file")
    output.close()
    output = LogOutput(LogOptions(remote_syslog=url, syslog=True))
    output.broker.info("to the syslog")
    output.close()
    assert heard(udp).endswith("to the syslog\n")
    assert (tmp_path / "bus.log").read_text().endswith("to the file\n")


# Other options while the server runs.


def test_debug_and_trace_of_the_broker_can_be_switched() -> None:
    stream = io.StringIO()
    output = LogOutput(LogOptions(with_time=False), stream)
    output.broker.debug("no")
    output.reload(LogOptions(with_time=False, broker_debug=True, streaming_debug=True, streaming_trace=True))
    output.broker.debug("d")
    output.broker.trace("no")
    output.streaming.debug("no")
    output.reload(LogOptions(with_time=False, broker_trace=True))
    output.broker.debug("no")
    output.broker.trace("t")
    assert stream.getvalue() == f"[{PID}] [DBG] d\n[{PID}] [TRC] t\n"


def test_the_time_can_be_switched() -> None:
    stream = io.StringIO()
    output = LogOutput(LogOptions(), stream)
    output.reload(LogOptions(with_time=False))
    output.broker.info("x")
    assert stream.getvalue() == f"[{PID}] [INF] x\n"


def test_the_destination_can_be_switched(tmp_path: Path, udp: socket.socket) -> None:
    stream = io.StringIO()
    output = LogOutput(LogOptions(with_time=False), stream)
    for options in (
        LogOptions(with_time=False, file=str(tmp_path / "a.log")),
        LogOptions(with_time=False, file=str(tmp_path / "b.log")),
        LogOptions(remote_syslog=f"udp://127.0.0.1:{udp.getsockname()[1]}"),
        LogOptions(with_time=False),
    ):
        output.reload(options)
        output.streaming.info("s")
        output.broker.info("b")
    lines = f"[{PID}] [INF] STREAM: s\n[{PID}] [INF] b\n"
    assert (tmp_path / "a.log").read_text() == (tmp_path / "b.log").read_text() == stream.getvalue() == lines
    assert heard(udp).endswith(": STREAM: s\n")
    output.reopen()
    assert stream.getvalue().endswith("File log re-open ignored, not a file logger\n")


def test_a_destination_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    stream = io.StringIO()
    output = LogOutput(LogOptions(with_time=False), stream)
    with pytest.raises(LogFileError):
        output.reload(LogOptions(file=str(tmp_path / "nope" / "x"), broker_debug=True))
    with pytest.raises(SyslogError):
        output.reload(LogOptions(remote_syslog="nope"))
    output.broker.info("still here")
    output.broker.debug("no")
    assert stream.getvalue() == f"[{PID}] [INF] still here\n"
