"""A reload: what is taken over, what is told, and that a mistake changes nothing."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus.config.options import Options, Setting, with_settings
from durabus.errors import DurabusError, StartError
from durabus.logs import LogOutput
from durabus.server.process_files import ProcessFiles
from durabus.server.reload import Reloader

FILE: dict[str, Setting] = {"process.config_file": "bus.conf", "log.with_time": False}


class Running:
    """A server as far as a reload sees it."""

    def __init__(self, settings: dict[str, Setting] | None = None, has_broker: bool = True) -> None:
        self.stream = io.StringIO()
        self.old = with_settings(Options(), {**FILE, **(settings or {})})
        self.new: Options | DurabusError = self.old
        self.output = LogOutput(self.old.log, self.stream)
        self.files = ProcessFiles(self.old.process, self.output.broker)
        self.applied: list[Options] = []
        self.refusal: DurabusError | None = None
        apply: Callable[[Options], None] | None = self.apply if has_broker else None
        self.reloader = Reloader(self.old, self.read, self.output, self.files, apply)

    def read(self) -> Options:
        if isinstance(self.new, DurabusError):
            raise self.new
        return self.new

    def apply(self, options: Options) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.applied.append(options)

    def reload(self, settings: dict[str, Setting] | None = None) -> list[str]:
        """Reload with other settings; the lines of the log without their heads."""
        if settings is not None:
            self.new = with_settings(self.old, settings)
        start = len(self.stream.getvalue())
        self.reloader.reload()
        return [line.partition("] ")[2] for line in self.stream.getvalue()[start:].splitlines()]


def test_nothing_new_is_told() -> None:
    running = Running()
    assert running.reload() == ["[INF] Reloaded server configuration"]
    assert running.applied == []


def test_the_log_and_the_broker_get_what_is_new_for_them() -> None:
    running = Running()
    lines = running.reload({"log.broker_debug": True, "broker.ping_max": 5, "auth.user": "bob"})
    assert lines == [
        "[INF] Reloaded: debug = true",
        "[INF] Reloaded: authorization username",
        "[INF] Reloaded: ping_max = 5",
        "[INF] Reloaded server configuration",
    ]
    assert running.applied == [running.new]
    assert running.output.broker.debug_enabled
    # It is no news the next time.
    assert running.reload() == ["[INF] Reloaded server configuration"]


def test_the_files_of_the_process_move(tmp_path: Path) -> None:
    running = Running({"process.pid_file": str(tmp_path / "one")})
    running.files.write_pid()
    running.reload({"process.pid_file": str(tmp_path / "two")})
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_the_durable_half_waits_for_a_restart_every_time() -> None:
    running = Running()
    settings: dict[str, Setting] = {
        "limits.max_messages": 5,
        "log.streaming_debug": True,
        "log.broker_trace": True,
    }
    warning = "[WRN] STREAM: Reload: these options change with a restart only: limits.max_messages, log.streaming_debug"
    assert running.reload(settings) == [
        "[INF] Reloaded: trace = true",
        "[INF] Reloaded server configuration",
        warning,
    ]
    assert not running.output.streaming.debug_enabled
    assert running.reload() == ["[INF] Reloaded server configuration", warning]


def test_a_change_that_needs_a_restart_refuses_all_of_it() -> None:
    running = Running()
    lines = running.reload({"broker.port": 5222, "log.broker_debug": True})
    assert lines == ["[ERR] STREAM: Reload: config reload not supported for Port: old=4222, new=5222"]
    assert not running.output.broker.debug_enabled
    assert running.reloader.options == running.old


def test_a_file_with_a_mistake_changes_nothing() -> None:
    running = Running()
    running.new = DurabusError("bus.conf:1:1: wrong")
    assert running.reload() == ["[ERR] STREAM: Reload: bus.conf:1:1: wrong"]


def test_what_was_taken_over_is_given_back_when_something_else_fails(tmp_path: Path) -> None:
    running = Running({"process.pid_file": str(tmp_path / "one")})
    running.files.write_pid()
    running.refusal = StartError("open new.pem: no such file or directory")
    lines = running.reload({"log.broker_debug": True, "process.pid_file": str(tmp_path / "two"), "tls.enabled": True})
    assert lines == ["[ERR] STREAM: Reload: open new.pem: no such file or directory"]
    assert not running.output.broker.debug_enabled
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    running.refusal = None
    lines = running.reload({"log.broker_debug": True, "process.pid_file": f"{tmp_path}/nope/x", "broker.ping_max": 7})
    assert lines[0].startswith("[ERR] STREAM: Reload: Could not write pidfile: ")
    assert not running.output.broker.debug_enabled
    assert running.applied == []


@pytest.mark.parametrize("option", ["broker.max_connections", "auth.timeout_ns", "tls.timeout_ns"])
def test_without_a_broker_its_options_need_a_restart(option: str) -> None:
    running = Running(has_broker=False)
    assert running.reload({option: 5, "log.broker_debug": True}) == [
        f"[ERR] STREAM: Reload: config reload not supported for {option}: restart the server"
    ]
    assert running.reload({"log.broker_debug": True})[-1] == "[INF] Reloaded server configuration"


# The original's words.


def test_without_a_file_there_is_nothing_to_reload() -> None:
    running = Running({"process.config_file": ""})
    error = "[ERR] STREAM: Reload: can only reload config when a file is provided using -c or --config"
    assert running.reload() == [error]
    stream = io.StringIO()
    output = LogOutput(running.old.log, stream)
    Reloader(with_settings(Options(), FILE), None, output, running.files, None).reload()
    assert stream.getvalue().endswith(
        "STREAM: Reload: can only reload config when a file is provided using -c or --config\n"
    )


@pytest.mark.row(124)
def test_with_an_external_network_nothing_is_reloaded() -> None:
    running = Running({"external.url": "nats://h:4222"})
    assert running.reload({"log.broker_debug": True}) == [
        "[WRN] STREAM: Reload supported only for embedded NATS Server's configuration"
    ]
