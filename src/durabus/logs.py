"""The log: lines in the original's form, to standard error, a file or a syslog, and the lines of a start.

    [7411] 2026/11/23 16:51:30.634090 [INF] STREAM: Streaming Server is ready

Process ID, local date and time to the microsecond (`-T=false` leaves them out), level, and text; lines of the NATS half
have no `STREAM: `. People and scripts search for these lines, so their words are part of what is compatible.

A `LogOutput` belongs to one server. It hands out two `Log`s, which share its destination; each knows whether its debug
and trace lines are wanted, so that a hot path asks one attribute and builds no text for nothing:

    if log.trace_enabled:
        log.trace(f"...")

Text from the network is escaped, so that nobody can forge a line. A destination that cannot be written to, a full disk
for instance, loses lines and never stops the server. A file with a size limit is set aside when it is above it, under
its name and the time, and a new one begun. Where lines go, and what they tell, may change while the server runs.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from durabus.config.addresses import format_address
from durabus.config.limits import limit_lines
from durabus.config.options import Limits, LogOptions, OptionsError
from durabus.config.units import escape_char, quote
from durabus.errors import StartError
from durabus.version import NATS_VERSION, STREAMING_VERSION, VERSION, runtime

if TYPE_CHECKING:
    import socket

__all__ = [
    "BROKER_READY_LINE",
    "ENCRYPTION_LINE",
    "READY_LINE",
    "RECOVERING_LINE",
    "TRACE",
    "Log",
    "LogFileError",
    "LogOutput",
    "SyslogError",
    "acknowledgement_line",
    "broker_lines",
    "config_line",
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

# The words of syslogs (RFC 3164): how bad it is, and who says it. The original calls itself a daemon only at home.
SEVERITIES = {TRACE: 5, logging.DEBUG: 7, logging.INFO: 5, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
LOCAL_FACILITY, REMOTE_FACILITY = 3 << 3, 0 << 3
LOCAL_SYSLOGS = ("/dev/log", "/var/run/syslog", "/var/run/log")
SYSLOG_WAIT_S = 1.0
"""How long a syslog may hold up the server, and how long it is left alone after it did not answer."""


class LogFileError(OptionsError):
    """The log file cannot be opened; the text names it and says why."""

    def __init__(self, text: str) -> None:
        """`text` says what is wrong."""
        super().__init__(text, "log.file")


class SyslogError(StartError):
    """The syslog cannot be reached; the text says why."""


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
        return f"{self._head}{self._clock(record.created)}{self._labels[record.levelno]}{printable(record)}"

    def _clock(self, created: float) -> str:
        """Local date and time of `created` (seconds since 1970) with a blank behind it, or nothing."""
        if not self._with_time:
            return ""
        second = int(created)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))
        return f"{self._date}.{int((created - second) * 1_000_000):06d} "


class TextFormatter(logging.Formatter):
    """One record as its text only: a syslog adds the rest."""

    def format(self, record: logging.LogRecord) -> str:
        """The text, without anything that could end the line."""
        return printable(record)


def printable(record: logging.LogRecord) -> str:
    """The text of a record as one line."""
    text = record.getMessage()
    return text if text.isprintable() else "".join(escape_char(char) for char in text)


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


class FileHandler(LineHandler):
    """Writes to a file, and begins a new one when it has grown above a size."""

    def __init__(self, name: str, bytes_max: int) -> None:
        """Open the file `name`, for appending; `bytes_max` 0 is no limit. Raises LogFileError."""
        super().__init__(open_log_file(name))
        self._name = name
        self._bytes_max = bytes_max
        self._rotate_above = bytes_max

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; when it was one too many, set the file aside."""
        super().emit(record)
        if self._bytes_max > 0 and self._size() > self._rotate_above:
            self._rotate(record)

    def reopen(self) -> None:
        """Go on in the file that has the name now; raises LogFileError."""
        close_quietly(self.replace_stream(open_log_file(self._name)))

    def close(self) -> None:
        """Close the file."""
        close_quietly(self.stream)
        super().close()

    def _size(self) -> int:
        try:
            return os.fstat(self.stream.fileno()).st_size
        except (OSError, ValueError):  # ValueError: it is closed
            return 0

    def _rotate(self, record: logging.LogRecord) -> None:
        """Rename the file after the time of `record`, and tell in the new one where the old one is."""
        second = int(record.created)
        stamp = time.strftime("%Y.%m.%d.%H.%M.%S", time.localtime(second))
        nanosecond = int((record.created - second) * 1_000_000_000)
        while Path(aside := f"{self._name}.{stamp}.{nanosecond:09d}").exists():
            nanosecond += 1
        try:
            Path(self._name).rename(aside)
            self.reopen()
        except (OSError, LogFileError) as error:
            # Where the original gives up, lines go on into the file that is open.
            self._rotate_above *= 2
            text = f"Unable to rotate the log ({error}), will attempt next rotation at size {self._rotate_above}"
            super().emit(line_record(logging.ERROR, text))
            return
        self._rotate_above = self._bytes_max
        super().emit(line_record(logging.INFO, f"Rotated log, backup saved as {quote(aside)}"))


class SyslogHandler(logging.Handler):
    """Sends each line to a syslog, of this machine or another; its level and time are the syslog's business."""

    lines_lost = 0

    def __init__(self, url: str, name: str) -> None:
        """Connect to `url` (`udp://host:port`, `tcp://host:port`, `unix:///path`; empty: here) as the program `name`.

        Raises SyslogError.
        """
        super().__init__()
        self._network, self._address = syslog_address(url)
        self._name = name or Path(sys.argv[0]).name
        self._is_local = self._network == "unix"
        self._quiet_until = 0.0
        self._socket: socket.socket | None = None
        try:
            self._connect()
        except OSError as error:
            raise SyslogError(f"error connecting to syslog: {quote(self._why(error))}") from None

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line; after a failure connect anew, at most once per second."""
        line = self._line(record).encode("utf-8", "backslashreplace")
        for _ in range(2):
            if self._socket is None and record.created < self._quiet_until:
                break
            try:
                self._connect()
                if self._socket is not None:
                    self._socket.sendall(line)
                    return
            except OSError:
                self.disconnect()
                self._quiet_until = record.created + SYSLOG_WAIT_S
        self.lines_lost += 1

    def close(self) -> None:
        """Close the connection."""
        self.disconnect()
        super().close()

    def disconnect(self) -> None:
        """Forget a connection that is of no use any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        """Have a connection; raises OSError."""
        if self._socket is not None:
            return
        import socket  # only who logs to a syslog needs it here

        kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM) if self._is_local else (socket.SOCK_DGRAM,)
        if self._network == "tcp":
            self._socket = socket.create_connection(host_port(self._address), SYSLOG_WAIT_S)
            return
        failure: OSError = FileNotFoundError()
        for path in (self._address,) if self._address else LOCAL_SYSLOGS:
            for kind in kinds:
                try:
                    self._socket = connected(self._network, path, kind)
                except OSError as error:
                    failure = error
                else:
                    return
        raise failure

    def _why(self, error: OSError) -> str:
        """What the original says when it cannot connect."""
        if self._is_local and not self._address:
            return "Unix syslog delivery error"
        reason = os.strerror(error.errno) if error.errno else str(error)
        return f"dial {self._network} {self._address}: {reason[:1].lower()}{reason[1:]}"

    def _line(self, record: logging.LogRecord) -> str:
        """The line with the head that syslogs expect."""
        text = self.format(record)
        moment = time.localtime(int(record.created))
        severity = SEVERITIES[record.levelno]
        if self._is_local:
            day = time.strftime("%b", moment) + f" {moment.tm_mday:2d} " + time.strftime("%H:%M:%S", moment)
            facility = REMOTE_FACILITY if self._address else LOCAL_FACILITY
            return f"<{facility | severity}>{day} {self._name}[{os.getpid()}]: {text}\n"
        zone = time.strftime("%z", moment)
        zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
        day = time.strftime("%Y-%m-%dT%H:%M:%S", moment) + zone
        return f"<{REMOTE_FACILITY | severity}>{day} {os.uname().nodename} {self._name}[{os.getpid()}]: {text}\n"


def connected(network: str, address: str, kind: int) -> "socket.socket":
    """A socket to a syslog; raises OSError."""
    import socket

    if network == "udp":
        found = socket.getaddrinfo(*host_port(address), type=kind)[0]
        made = socket.socket(found[0], kind)
        target: tuple[object, ...] | str = found[4]
    else:
        made, target = socket.socket(socket.AF_UNIX, kind), address
    try:
        made.settimeout(SYSLOG_WAIT_S)
        made.connect(target)
    except OSError:
        made.close()
        raise
    return made


def syslog_address(url: str) -> tuple[str, str]:
    """Network and address out of the URL of a syslog, both of this machine's when it is empty; raises SyslogError."""
    if not url:
        return "unix", ""
    from urllib.parse import urlsplit  # only who logs to a syslog needs it here

    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
    except ValueError as error:
        raise SyslogError(f"error invalid syslog address {quote(url)}: {error}") from None
    match parts.scheme:
        case "udp" | "tcp" if has_port and parts.hostname:
            return parts.scheme, parts.netloc.rpartition("@")[2]
        case "udp" | "tcp":
            raise SyslogError(f"error invalid syslog address {quote(url)}: it needs a host and a port")
        case "unix" if parts.path:
            return "unix", parts.path
        case _:
            raise SyslogError(f"error invalid network type: {quote(parts.scheme)}")


def host_port(address: str) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


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

    def replace_handler(self, handler: logging.Handler) -> None:
        """Write to `handler` from now on."""
        self._handler = handler

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
        """Open what `options` say; `stream` stands in for standard error. Raises LogFileError or SyslogError."""
        self._options = options
        self._standard = stream
        self._lines_lost = 0
        self._handler = self._make_handler(options)
        self.streaming = Log(self._handler, STREAM_PREFIX, debug=options.streaming_debug, trace=options.streaming_trace)
        """Lines of the durable half, with `STREAM: `."""
        self.broker = Log(self._handler, "", debug=options.broker_debug, trace=options.broker_trace)
        """Lines of the NATS half."""

    def _make_handler(self, options: LogOptions) -> LineHandler | SyslogHandler:
        """What `options` say: a file, a remote syslog, the syslog, or standard error, whichever comes first."""
        handler: LineHandler | SyslogHandler
        if not options.file and (options.remote_syslog or options.syslog):
            handler = SyslogHandler(options.remote_syslog, options.syslog_name)
            handler.setFormatter(TextFormatter())
            return handler
        with_colour = False
        # A process may have been started without standard error; Python has None for it then.
        standard = self._standard or sys.stderr
        if options.file or not standard:
            handler = FileHandler(options.file or os.devnull, options.file_bytes_max)
        else:
            handler = LineHandler(standard)
            with_colour = standard.isatty() and "NO_COLOR" not in os.environ
        handler.setFormatter(LineFormatter(with_time=options.with_time, with_colour=with_colour))
        return handler

    @property
    def lines_lost(self) -> int:
        """How many lines could not be written."""
        return self._lines_lost + self._handler.lines_lost

    def reopen(self) -> None:
        """Go on in a new file of the same name, after somebody moved the old one away (SIGUSR1).

        If it cannot be opened, logging goes on in the old one and says so.
        """
        if not self._options.file or not isinstance(self._handler, FileHandler):
            self.streaming.info("File log re-open ignored, not a file logger")
            return
        try:
            self._handler.reopen()
        except LogFileError as error:
            self.streaming.error(str(error))
            return
        self.streaming.info("File log re-opened")

    def reload(self, options: LogOptions) -> None:
        """Go on as `options` say; raises LogFileError or SyslogError, and then nothing is changed.

        What the durable half tells is not taken from them: that half is never reloaded.
        """
        former, self._options = self._options, options
        try:
            handler = self._make_handler(options)
        except StartError:
            self._options = former
            raise
        old, self._handler = self._handler, handler
        for log in (self.streaming, self.broker):
            log.replace_handler(handler)
        self.broker.debug_enabled, self.broker.trace_enabled = options.broker_debug, options.broker_trace
        self._lines_lost += old.lines_lost
        old.close()

    def close(self) -> None:
        """Close the file, if there is one; lines written later are lost."""
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

ENCRYPTION_LINE = "The data of messages are encrypted in the store"
"""With encryption at rest."""
RECOVERING_LINE = "Recovering the state..."
"""Before the store is read."""

READY_LINE = "Streaming Server is ready"
"""The line that the original's operators and test suites wait for."""

ACKNOWLEDGEMENTS = {
    "MEMORY": (
        "An acknowledged event is kept in the memory of this process and nowhere else: "
        "ALL EVENTS ARE LOST when the process ends"
    ),
    "FILE": "A message is acknowledged when it is on the disk, synced",
    "SQL": "A message is acknowledged when the database has committed it",
}


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


def config_line(file: str) -> str:
    """Which configuration file the NATS half read; the original tells it after its ID."""
    return f"Using configuration file: {file}"


def recovery_line(channel_count: int | None) -> str:
    """What was found in the store; None: nothing at all, it is a new one."""
    return "No recovered state" if channel_count is None else f"Recovered {channel_count} channel(s)"


def acknowledgement_line(store: str) -> str:
    """What an acknowledgement is worth with this store; to be logged as a warning where it is less than one expects."""
    return ACKNOWLEDGEMENTS[store]


def store_lines(store: str, limits: Limits, directory: str = "") -> list[str]:
    """The store, where its files are if it has any, and its limits as a table; `*` marks a built-in default."""
    location = [f"Store location: {directory}"] if directory else []
    return [f"Message store is {store}", *location, *limit_lines(limits)]
