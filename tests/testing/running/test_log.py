"""A server's lines in `logging`."""

import logging

import pytest

from durabus.config.options import LogOptions
from durabus.logs import acknowledgement_line
from durabus.testing.running.log import forwarded_log

pytestmark = pytest.mark.once


def test_lines_go_to_logging_with_their_level_and_to_nobody_else(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    output = forwarded_log(LogOptions(file=f"{tmp_path}/x.log"))
    with caplog.at_level(logging.INFO, "durabus.server"):
        output.streaming.info("one")
        output.broker.error("two")
        output.broker.debug("not asked for")
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("durabus.server", "INFO", "STREAM: one"),
        ("durabus.server", "ERROR", "two"),
    ]
    assert capfd.readouterr() == ("", "")


def test_that_memory_forgets_is_no_warning_in_a_test(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "durabus.server"):
        forwarded_log(LogOptions()).streaming.warning(acknowledgement_line("MEMORY"))
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_what_nobody_listens_to_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "durabus.server"):
        forwarded_log(LogOptions()).streaming.info("one")
    assert caplog.records == []
