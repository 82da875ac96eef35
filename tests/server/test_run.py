"""One server as a process: which signal ends it with which code, and what the log says when it cannot go on."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from durabus import logs
from durabus.clock import Clock
from durabus.config.options import LogOptions, Options, with_settings
from durabus.errors import StartError
from durabus.server import run as package_run
from durabus.server import run as run_function

run_module = sys.modules["durabus.server.run"]


class StubServer:
    """A server whose start does what a test wants, and which may say that it failed."""

    started = stopped = 0
    start_error: Exception | None = None
    signals: tuple[signal.Signals, ...] = ()
    failure = ""
    loop_module = ""
    port = 4222
    monitoring_port = 0
    broker = None
    server_id = "id"

    def __init__(self, options: Options, output: logs.LogOutput, clock: Clock) -> None:
        self.options = options

    def on_reloaded(self, options: Options) -> None:
        raise AssertionError("nothing is reloaded here")

    async def start(self, on_listening: Callable[[], None]) -> None:
        StubServer.started += 1
        on_listening()
        StubServer.loop_module = type(asyncio.get_running_loop()).__module__
        if self.start_error is not None:
            raise self.start_error
        for number in self.signals:
            os.kill(os.getpid(), number)

    async def wait_failed(self) -> str:
        if self.failure:
            return self.failure
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def stop(self) -> None:
        StubServer.stopped += 1


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubServer]:
    """The stub in the place of the server, as it is at first."""
    for name in ("started", "stopped"):
        monkeypatch.setattr(StubServer, name, 0)
    monkeypatch.setattr(run_module, "Server", StubServer)
    return StubServer


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ((signal.SIGINT,), 0),
        ((signal.SIGTERM,), 143),
        ((signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM), 143),
        ((signal.SIGINT, signal.SIGINT), 0),
    ],
)
def test_a_signal_ends_it_with_its_code(
    stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, numbers: tuple[signal.Signals, ...], code: int
) -> None:
    monkeypatch.setattr(stub, "signals", numbers)
    assert run_function(Options()) == code
    assert (stub.started, stub.stopped) == (1, 1)


def test_a_server_that_cannot_go_on(
    stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stub, "failure", "the store failed: the disk is gone")
    assert run_function(Options()) == 1
    assert stub.stopped == 1
    assert capsys.readouterr().err.endswith("[FTL] STREAM: the store failed: the disk is gone\n")


def test_a_start_that_fails(
    stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stub, "start_error", StartError("the port is taken"))
    with pytest.raises(StartError, match="the port is taken"):
        run_function(Options())
    assert stub.stopped == 1, "what was opened is closed again"
    # The command line tells it; here it would be told twice.
    assert capsys.readouterr().err == ""


def test_a_start_that_fails_is_told_in_the_log_file(
    stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stub, "start_error", StartError("the port is taken"))
    path = tmp_path / "bus.log"
    with pytest.raises(StartError):
        run_function(with_settings(Options(), {"log.file": str(path)}))
    assert path.read_text(encoding="utf-8").endswith("[FTL] STREAM: Failed to start: the port is taken\n")


def test_the_log_file_is_opened_anew_on_request(
    stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "bus.log"
    monkeypatch.setattr(stub, "signals", (signal.SIGUSR1, signal.SIGHUP, signal.SIGINT))
    assert run_function(Options(log=LogOptions(file=str(path), with_time=False))) == 0
    lines = [line.partition("] ")[2] for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == "[INF] STREAM: File log re-opened"
    assert "STREAM: Reload" in lines[1]


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_uvloop_where_it_is_installed(
    stub: type[StubServer], monkeypatch: pytest.MonkeyPatch, has_uvloop: bool
) -> None:
    if has_uvloop:
        pytest.importorskip("uvloop")
    else:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(stub, "signals", (signal.SIGINT,))
    assert run_function(Options()) == 0
    assert stub.loop_module.partition(".")[0] == ("uvloop" if has_uvloop else "asyncio")


def test_the_package_offers_it() -> None:
    assert package_run is run_function
