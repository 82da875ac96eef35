"""What each signal does: stop with its code, reload, a new log file; and nothing ends a server that did not end before."""

import asyncio
import faulthandler
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from durabus.config.options import LogOptions
from durabus.logs import LogOutput
from durabus.server.signals import handle_signals


class Asked:
    """What was asked for, in its order."""

    def __init__(self) -> None:
        self.what: list[str] = []
        self.changed = asyncio.Event()

    def note(self, what: str) -> None:
        self.what.append(what)
        self.changed.set()


async def after(output: LogOutput, *numbers: signal.Signals) -> list[str]:
    """What is asked for when this process gets these signals, one after the other."""
    loop = asyncio.get_running_loop()
    asked = Asked()
    handle_signals(loop, lambda code: asked.note(f"stop {code}"), lambda: asked.note("reload"), output)
    try:
        for number in numbers:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        while "stop 143" not in asked.what:
            asked.changed.clear()
            await asyncio.wait_for(asked.changed.wait(), 20)
    finally:
        faulthandler.unregister(signal.SIGQUIT)
        for number in (
            signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
        ):  # fmt: skip
            loop.remove_signal_handler(number)
    return asked.what


@pytest.mark.row(124)
@pytest.mark.parametrize(
    ("number", "asked"),
    [(signal.SIGINT, "stop 0"), (signal.SIGHUP, "reload")],
)
async def test_what_is_asked_for(number: signal.Signals, asked: str) -> None:
    assert sorted(await after(LogOutput(LogOptions(), io.StringIO()), number)) == sorted([asked, "stop 143"])


@pytest.mark.row(124)
async def test_a_new_log_file(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    output = LogOutput(LogOptions(file=str(path)))
    path.rename(tmp_path / "old.log")
    assert await after(output, signal.SIGUSR1) == ["stop 143"]
    output.close()
    assert "File log re-opened" in path.read_text()


async def test_a_signal_that_has_no_effect() -> None:
    stream = io.StringIO()
    assert await after(LogOutput(LogOptions(with_time=False), stream), signal.SIGUSR2) == ["stop 143"]
    assert stream.getvalue().endswith(
        "[WRN] STREAM: Lame duck mode is not available: send INT or TERM to stop the server\n"
    )


@pytest.mark.row(124)
async def test_what_every_thread_is_doing(capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    asked = await after(LogOutput(LogOptions(with_time=False), stream), signal.SIGQUIT)
    assert sorted(asked) == ["stop 143", "stop 2"]
    assert "QUIT: standard error shows what every thread was doing; stopping" in stream.getvalue()
    told = capfd.readouterr().err
    assert "most recent call first" in told
    assert 'test_signals.py", line ' in told and " in after" in told


async def test_without_standard_error_a_server_stops_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert "stop 2" in await after(LogOutput(LogOptions(), io.StringIO()), signal.SIGQUIT)
