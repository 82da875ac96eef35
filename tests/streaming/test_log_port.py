"""The log port: a base that drops everything, and one that keeps it."""

import pytest

from durabus.streaming.log_port import Log
from tests.streaming.harness import RecordingLog


@pytest.mark.parametrize("debug_on", [False, True])
def test_the_base_drops_lines(debug_on: bool, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log(debug_on, not debug_on)
    assert (log.debug_on, log.trace_on) == (debug_on, not debug_on)
    log.trace("0")
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert capsys.readouterr() == ("", "")


def test_debug_lines_and_traces_are_not_wanted_unless_asked_for() -> None:
    assert (Log().debug_on, Log().trace_on) == (False, False)


def test_an_implementation_gets_them_through_the_port() -> None:
    log = RecordingLog()
    port: Log = log
    port.trace("0")
    port.debug("a")
    port.info("b")
    port.warning("c")
    port.error("d")
    assert log.lines == [("trace", "0"), ("debug", "a"), ("info", "b"), ("warning", "c"), ("error", "d")]
