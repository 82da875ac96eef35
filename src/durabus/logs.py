"""The log: lines in the original's form, to standard error or to a file, and the lines of a start.

    [7411] 2026/11/23 16:51:30.634090 [INF] STREAM: Streaming Server is ready

Process ID, local date and time to the microsecond (`-T=false` leaves them out), level, and text; lines of the NATS half
have no `STREAM: `. People and scripts search for these lines, so their words are part of what is compatible.

A `LogOutput` belongs to one server. It hands out two `Log`s, which share its destination; each knows whether its debug
and trace lines are wanted, so that a hot path asks one attribute and builds no text for nothing:

    if log.trace_enabled:
        log.trace(f"...")

Text from the network is escaped, so that nobody can forge a line. A destination that cannot be written to, a full disk
for instance, loses lines and never stops the server.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from durabus.config.addresses import format_address
from durabus.config.options import Limits, LogOptions
from durabus.config.units import escape_char, format_duration, format_size
from durabus.errors import StartError
from durabus.version import NATS_VERSION, STREAMING_VERSION, VERSION, runtime

__all__ = [
    "BROKER_READY_LINE",
    "READY_LINE",
    "RECOVERING_LINE",
    "TRACE",
    "Log",
    "LogFileError",
    "LogOutput",
    "acknowledgement_line",
    "broker_lines",
    "fatal_line",
    "listening_line",
    "monitor_line",
    "recovery_line",
    "starting_lines",
    "store_lines",
]

TRACE = 5
"""The level below debug, which the standard library has no name for."""

LABELS = {
    TRACE: "TRC",
    logging.DEBUG: "DBG",
    logging.INFO: "INF",
    logging.WARNING: "WRN",
    logging.ERROR: "ERR",
    logging.CRITICAL: "FTL",
}
COLOURS = {TRACE: "33", logging.DEBUG: "36", logging.INFO: "32", logging.WARNING: "0;93"}
RED = "31"

STREAM_PREFIX = "STREAM: "
FILE_MODE = 0o660  # before the umask; as the original creates it


class LogFileError(StartError):
    """The log file cannot be opened; the text names it and says why."""


class LineFormatter(logging.Formatter):
    """One record as one line of the original's form."""

    def __init__(self, *, with_time: bool, with_colour: bool) -> None:
        """Date and time only `with_time`; the level in colours only `with_colour`."""
        super().__init__()
        self._head = f"[{os.getpid()}] "
        self._with_time = with_time
        self._labels = {
            level: f"[\x1b[{COLOURS.get(level, RED)}m{label}\x1b[0m] " if with_colour else f"[{label}] "
            for level, label in LABELS.items()
        }
        self._second = -1
        self._date = ""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        text = record.getMessage()
        if not text.isprintable():
            text = "".join(escape_char(char) for char in text)
        return f"{self._head}{self._clock(record.created)}{self._labels[record.levelno]}{text}"

    def _clock(self, created: float) -> str:
        """Local date and time of `created` (seconds since 1970) with a blank behind it, or nothing."""
        if not self._with_time:
            return ""
        second = int(created)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))
        return f"{self._date}.{int((created - second) * 1_000_000):06d} "


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes and flushes each line; one that cannot be written is counted, not reported into the same trouble."""

    lines_lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Count the line that was lost."""
        self.lines_lost += 1

    def replace_stream(self, stream: TextIO) -> TextIO:
        """Write to `stream` from now on; returns the former one, which setStream would flush: a full disk refuses."""
        self.acquire()
        try:
            former, self.stream = self.stream, stream
        finally:
            self.release()
        return former


class Log:
    """The lines of one half of the server, each with a prefix of its own."""

    __slots__ = ("_handler", "_prefix", "debug_enabled", "trace_enabled")

    def __init__(self, handler: logging.Handler, prefix: str, *, debug: bool, trace: bool) -> None:
        """Write to `handler`; debug and trace lines only when they are asked for."""
        self._handler = handler
        self._prefix = prefix
        self.debug_enabled = debug
        self.trace_enabled = trace

    def trace(self, text: str) -> None:
        """A step of the protocol."""
        if self.trace_enabled:
            self._write(TRACE, text)

    def debug(self, text: str) -> None:
        """Something that helps to find out why."""
        if self.debug_enabled:
            self._write(logging.DEBUG, text)

    def info(self, *lines: str) -> None:
        """What an operator should know."""
        for text in lines:
            self._write(logging.INFO, text)

    def warning(self, text: str) -> None:
        """What an operator should look at."""
        self._write(logging.WARNING, text)

    def error(self, text: str) -> None:
        """Something failed, and the server goes on."""
        self._write(logging.ERROR, text)

    def fatal(self, text: str) -> None:
        """Why the server ends; it does not end here."""
        self._write(logging.CRITICAL, text)

    def _write(self, level: int, text: str) -> None:
        # Without a logging.Logger: those belong to the process, which may run several servers and log for itself, and
        # they walk the stack for a place in the source that no line shows.
        self._handler.handle(line_record(level, self._prefix + text))


def line_record(level: int, text: str) -> logging.LogRecord:
    """A record of the standard library with nothing in it but a level, a text and the time."""
    return logging.LogRecord("durabus", level, "", 0, text, (), None)


class LogOutput:
    """Where a server's lines go, and the two logs that write there."""

    def __init__(self, options: LogOptions, stream: TextIO | None = None) -> None:
        """Open what `options` say; `stream` stands in for standard error. Raises LogFileError."""
        self._options = options
        # A process may have been started without standard error; Python has None for it then.
        file = options.file or ("" if stream or sys.stderr else os.devnull)
        self._owns_stream = bool(file)
        stream = open_log_file(file) if file else stream or sys.stderr
        self._handler = LineHandler(stream)
        with_colour = not file and stream.isatty() and "NO_COLOR" not in os.environ
        self._handler.setFormatter(LineFormatter(with_time=options.with_time, with_colour=with_colour))
        self.streaming = Log(self._handler, STREAM_PREFIX, debug=options.streaming_debug, trace=options.streaming_trace)
        """Lines of the durable half, with `STREAM: `."""
        self.broker = Log(self._handler, "", debug=options.broker_debug, trace=options.broker_trace)
        """Lines of the NATS half."""

    @property
    def lines_lost(self) -> int:
        """How many lines could not be written."""
        return self._handler.lines_lost

    def reopen(self) -> None:
        """Go on in a new file of the same name, after somebody moved the old one away (SIGUSR1).

        If it cannot be opened, logging goes on in the old one and says so.
        """
        if not self._options.file:
            self.streaming.info("File log re-open ignored, not a file logger")
            return
        try:
            stream = open_log_file(self._options.file)
        except LogFileError as error:
            self.streaming.error(str(error))
            return
        close_quietly(self._handler.replace_stream(stream))
        self.streaming.info("File log re-opened")

    def close(self) -> None:
        """Close the file, if there is one; lines written later are lost."""
        if self._owns_stream:
            close_quietly(self._handler.stream)
        self._handler.close()


def open_log_file(name: str) -> TextIO:
    """The file, opened for appending; raises LogFileError."""
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "invalid argument"
        raise LogFileError(f"error opening file: open {name}: {reason[:1].lower()}{reason[1:]}") from None
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def close_quietly(stream: TextIO) -> None:
    """Close a log file; what its buffer still holds on a full disk is lost anyway."""
    try:
        stream.close()
    except OSError:
        return


def fatal_line(text: str) -> str:
    """A fatal line of the durable half as a text, for when there is no log yet."""
    record = line_record(logging.CRITICAL, STREAM_PREFIX + text)
    return LineFormatter(with_time=True, with_colour=False).format(record)


BROKER_READY_LINE = "Server is ready"
"""The last line with which the NATS half starts."""

RECOVERING_LINE = "Recovering the state..."
"""Before the store is read."""

READY_LINE = "Streaming Server is ready"
"""The line that the original's operators and test suites wait for."""

ACKNOWLEDGEMENTS = {
    "MEMORY": (
        "An acknowledged event is kept in the memory of this process and nowhere else: "
        "ALL EVENTS ARE LOST when the process ends"
    ),
}
LIMIT_ROW_CHARS = 30


def starting_lines(cluster_id: str, server_id: str) -> list[str]:
    """The first lines of a start; where the original tells its Go version and commit, they tell ours."""
    return [
        f"Starting nats-streaming-server[{cluster_id}] version {STREAMING_VERSION}",
        f"ServerID: {server_id}",
        f"Durabus version: {VERSION}",
        f"Running on: {runtime()}",
    ]


def broker_lines(server_name: str, server_id: str) -> list[str]:
    """The lines with which the NATS half starts; they have no `STREAM: `."""
    return [
        "Starting nats-server",
        f"  Version:  {NATS_VERSION}",
        f"  Name:     {server_name}",
        f"  ID:       {server_id}",
    ]


def monitor_line(host: str, port: int) -> str:
    """Where monitoring listens."""
    return f"Starting http monitor on {format_address(host, port)}"


def listening_line(host: str, port: int) -> str:
    """Where clients connect."""
    return f"Listening for client connections on {format_address(host, port)}"


def recovery_line(channel_count: int) -> str:
    """What was found in the store."""
    return f"Recovered {channel_count} channel(s)" if channel_count else "No recovered state"


def acknowledgement_line(store: str) -> str:
    """What an acknowledgement is worth with this store; to be logged as a warning where it is less than one expects."""
    return ACKNOWLEDGEMENTS[store]


def store_lines(store: str, limits: Limits) -> list[str]:
    """The store and its limits as a table; `*` marks a built-in default."""
    defaults = Limits()
    rows: list[tuple[str, int, int, Callable[[int], str]]] = [
        ("Channels:", limits.max_channels, defaults.max_channels, str),
        ("  Subscriptions:", limits.max_subscriptions, defaults.max_subscriptions, str),
        ("  Messages     :", limits.max_messages, defaults.max_messages, str),
        ("  Bytes        :", limits.max_bytes, defaults.max_bytes, format_size),
        ("  Age          :", limits.max_age_ns, defaults.max_age_ns, format_duration),
        ("  Inactivity   :", limits.max_inactivity_ns, defaults.max_inactivity_ns, format_duration),
    ]
    shown = [
        limit_row(label, "unlimited" if value == 0 else show(value), is_default=value == default)
        for label, value, default, show in rows
    ]
    return [
        f"Message store is {store}",
        "---------- Store Limits ----------",
        shown[0],
        "--------- Channels Limits --------",
        *shown[1:],
        "----------------------------------",
    ]


def limit_row(label: str, value: str, *, is_default: bool) -> str:
    """A label, and its value at the right edge of the table (or beyond, if it is a long one)."""
    return f"{label} {value:>{LIMIT_ROW_CHARS - len(label) - 1}}{' *' if is_default else ''}"
