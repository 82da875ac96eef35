"""The log's lines against lines that the original printed, its file, its loss of lines, and the lines of a start.

Size limits, syslogs and changes while the server runs: `test_logs_destinations.py`.
"""

import io
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus import logs
from durabus.config.options import ChannelOverride, Limits, LogOptions
from durabus.logs import LogFileError, LogOutput
from durabus.version import runtime

PID = os.getpid()
STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(options: LogOptions, stream: io.StringIO | None = None) -> str:
    """What comes out when every kind of line is logged."""
    stream = stream or io.StringIO()
    output = LogOutput(options, stream)
    for log in (output.streaming, output.broker):
        log.trace("t")
        log.debug("d")
        log.info("i")
        log.warning("w")
        log.error("e")
        log.fatal("f")
    return stream.getvalue()


def test_the_form_of_a_line() -> None:
    stream = io.StringIO()
    output = LogOutput(LogOptions(), stream)
    output.streaming.info("Streaming Server is ready")
    output.broker.info("Server is ready")
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(rf"\[{PID}\] {STAMP} \[INF\] STREAM: Streaming Server is ready", first)
    assert re.fullmatch(rf"\[{PID}\] {STAMP} \[INF\] Server is ready", second)


@pytest.mark.parametrize(
    ("created", "stamp"),
    [
        (1795452690.634090, "2026/11/23 16:51:30.634090"),
        (1795452690.0, "2026/11/23 16:51:30.000000"),
        (1795452690.999999, "2026/11/23 16:51:30.999999"),
    ],
)
def test_date_and_time(monkeypatch: pytest.MonkeyPatch, created: float, stamp: str) -> None:
    monkeypatch.setattr("durabus.logs.time.localtime", time.gmtime)
    record = logs.line_record(20, "x")
    record.created = created
    line = logs.LineFormatter(with_time=True, with_colour=False).format(record)
    shown = line.split(" [INF]")[0].removeprefix(f"[{PID}] ")
    assert shown[:-6] == stamp[:-6]
    assert abs(int(shown[-6:]) - int(stamp[-6:])) <= 1  # the last digit is beyond a float's precision


def test_levels_without_time() -> None:
    options = LogOptions(
        with_time=False, streaming_debug=True, streaming_trace=True, broker_debug=True, broker_trace=True
    )
    lines = [f"[{PID}] [{label}] " for label in ("TRC", "DBG", "INF", "WRN", "ERR", "FTL")]
    texts = ["t", "d", "i", "w", "e", "f"]
    streaming = [f"{line}STREAM: {text}" for line, text in zip(lines, texts, strict=True)]
    broker = [f"{line}{text}" for line, text in zip(lines, texts, strict=True)]
    assert written(options).splitlines() == streaming + broker


@pytest.mark.parametrize(
    ("options", "streaming", "broker"),
    [
        (LogOptions(with_time=False), "", ""),
        (LogOptions(with_time=False, streaming_debug=True), "d", ""),
        (LogOptions(with_time=False, streaming_trace=True), "t", ""),
        (LogOptions(with_time=False, broker_debug=True, broker_trace=True), "", "td"),
    ],
)
def test_debug_and_trace_are_switched_for_each_half(options: LogOptions, streaming: str, broker: str) -> None:
    lines = written(options).splitlines()
    quiet = [line for line in lines if "[TRC]" in line or "[DBG]" in line]
    assert "".join(line[-1] for line in quiet if "STREAM" in line) == streaming
    assert "".join(line[-1] for line in quiet if "STREAM" not in line) == broker


def test_the_hot_path_can_ask_first() -> None:
    output = LogOutput(LogOptions(streaming_trace=True, broker_debug=True), io.StringIO())
    assert (output.streaming.debug_enabled, output.streaming.trace_enabled) == (False, True)
    assert (output.broker.debug_enabled, output.broker.trace_enabled) == (True, False)


def test_colours_on_a_terminal_are_the_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    options = LogOptions(with_time=False, streaming_debug=True, streaming_trace=True)
    lines = written(options, Terminal()).splitlines()[:6]
    colours = [("33", "TRC"), ("36", "DBG"), ("32", "INF"), ("0;93", "WRN"), ("31", "ERR"), ("31", "FTL")]
    assert [line.split(" STREAM")[0] for line in lines] == [
        f"[{PID}] [\x1b[{colour}m{label}\x1b[0m]" for colour, label in colours
    ]


def test_no_colours_for_those_who_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written(LogOptions(), Terminal())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n[1] [INF] STREAM: forged", "a\\x0a[1] [INF] STREAM: forged"),
        ("\x1b[2J", "\\x1b[2J"),
        ("caf\u00e9 \udcff", "caf\u00e9 \\xff"),
    ],
)
def test_text_from_the_network_cannot_forge_a_line(text: str, shown: str) -> None:
    stream = io.StringIO()
    LogOutput(LogOptions(with_time=False), stream).streaming.info(text)
    assert stream.getvalue() == f"[{PID}] [INF] STREAM: {shown}\n"


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    stream = io.StringIO()
    LogOutput(LogOptions(), stream).broker.error(text)
    assert len(stream.getvalue().splitlines()) == 1


def test_a_file_is_appended_to_and_has_no_colours(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    path.write_text("before\n")
    output = LogOutput(LogOptions(file=str(path), with_time=False), Terminal())
    output.streaming.info("one", "two")
    assert path.read_text() == f"before\n[{PID}] [INF] STREAM: one\n[{PID}] [INF] STREAM: two\n"
    output.close()


@pytest.mark.row(125)
def test_a_moved_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "bus.log"
    output = LogOutput(LogOptions(file=str(path), with_time=False, broker_debug=True))
    output.broker.debug("one")
    path.rename(tmp_path / "old.log")
    output.broker.debug("two")
    output.reopen()
    output.broker.debug("three")
    output.close()
    assert (tmp_path / "old.log").read_text() == f"[{PID}] [DBG] one\n[{PID}] [DBG] two\n"
    assert path.read_text() == f"[{PID}] [INF] STREAM: File log re-opened\n[{PID}] [DBG] three\n"


def test_reopening_without_a_file_says_so() -> None:
    stream = io.StringIO()
    LogOutput(LogOptions(with_time=False), stream).reopen()
    assert stream.getvalue() == f"[{PID}] [INF] STREAM: File log re-open ignored, not a file logger\n"


def test_a_file_that_cannot_be_reopened_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    output = LogOutput(LogOptions(file=str(folder / "bus.log"), with_time=False))
    folder.rename(tmp_path / "moved")
    output.reopen()
    output.streaming.info("still here")
    output.close()
    first, second = (tmp_path / "moved" / "bus.log").read_text().splitlines()
    assert first.startswith(f"[{PID}] [ERR] STREAM: error opening file: open {folder}/bus.log: no such file")
    assert second.endswith("still here")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nope/x", "no such file or directory"), ("", "is a directory"), ("a\x00b", "invalid argument")],
)
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(LogFileError) as caught:
        LogOutput(LogOptions(file=path))
    assert str(caught.value) == f"error opening file: open {path}: {reason}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_loses_lines_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    output = LogOutput(LogOptions(file="/dev/full"))
    output.streaming.info("one", "two")
    output.reopen()
    output.close()
    output.streaming.info("after the end")
    assert output.lines_lost == 4
    assert capfd.readouterr() == ("", "")


def test_a_process_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    output = LogOutput(LogOptions())
    output.streaming.info("to nobody")
    output.close()
    assert output.lines_lost == 0


def test_a_fatal_line_without_a_log() -> None:
    assert re.fullmatch(
        rf"\[{PID}\] {STAMP} \[FTL\] STREAM: Failed to start: x\\x0ay", logs.fatal_line("Failed to start: x\ny")
    )


def test_the_first_lines_of_a_start() -> None:
    assert logs.starting_lines("test-cluster", "BsII2hEevXt8TVVi2P2YWj") == [
        "Starting nats-streaming-server[test-cluster] version 0.25.6",
        "ServerID: BsII2hEevXt8TVVi2P2YWj",
        "Durabus version: 0.1.0",
        f"Running on: {runtime()}",
    ]
    assert logs.broker_lines("me", "id") == [
        "Starting nats-server",
        "  Version:  2.9.10",
        "  Name:     me",
        "  ID:       id",
    ]


def test_the_lines_about_ports() -> None:
    assert logs.monitor_line("0.0.0.0", 8222) == "Starting http monitor on 0.0.0.0:8222"
    assert logs.listening_line("::1", 4222) == "Listening for client connections on [::1]:4222"


def test_the_lines_that_others_wait_for() -> None:
    assert logs.BROKER_READY_LINE == "Server is ready"
    assert logs.RECOVERING_LINE == "Recovering the state..."
    assert logs.READY_LINE == "Streaming Server is ready"
    assert logs.recovery_line(None) == "No recovered state"
    assert logs.recovery_line(0) == "Recovered 0 channel(s)"
    assert logs.recovery_line(3) == "Recovered 3 channel(s)"


def test_what_an_acknowledgement_is_worth_in_memory() -> None:
    assert "LOST" in logs.acknowledgement_line("MEMORY")


def test_the_configuration_file_is_told() -> None:
    assert logs.config_line("a.conf") == "Using configuration file: a.conf"


def test_limits_of_channels_are_in_the_table() -> None:
    lines = logs.store_lines("MEMORY", Limits(per_channel=(ChannelOverride(name="foo.*", max_messages=5),)))
    assert lines[-4:] == [
        "-------- List of Channels --------",
        "foo.*",
        " |-> Messages                    5",
        "----------------------------------",
    ]


def test_the_table_of_default_limits_is_the_originals() -> None:
    assert logs.store_lines("MEMORY", Limits()) == [
        "Message store is MEMORY",
        "---------- Store Limits ----------",
        "Channels:                  100 *",
        "--------- Channels Limits --------",
        "  Subscriptions:          1000 *",
        "  Messages     :       1000000 *",
        "  Bytes        :     976.56 MB *",
        "  Age          :     unlimited *",
        "  Inactivity   :     unlimited *",
        "----------------------------------",
    ]


def test_the_table_of_other_limits_is_the_originals() -> None:
    limits = Limits(
        max_channels=0,
        max_subscriptions=0,
        max_messages=2**63 - 1,
        max_bytes=2000,
        max_age_ns=(123456 * 3600 + 61) * 10**9 + 1,
        max_inactivity_ns=123 * 10**9,
    )
    assert logs.store_lines("MEMORY", limits)[2:9] == [
        "Channels:            unlimited",
        "--------- Channels Limits --------",
        "  Subscriptions:     unlimited",
        "  Messages     : 9223372036854775807",
        "  Bytes        :       1.95 KB",
        "  Age          : 123456h1m1.000000001s",
        "  Inactivity   :          2m3s",
    ]
