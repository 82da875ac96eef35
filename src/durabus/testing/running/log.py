"""The log of a bus in a test: the server's lines go to `logging`, where pytest shows them for tests that fail."""

import io
import logging
from dataclasses import replace

from durabus.config.options import LogOptions
from durabus.logs import LogOutput, acknowledgement_line

__all__ = ["forwarded_log"]

_logger = logging.getLogger("durabus.server")


class _Forwarder(logging.Handler):
    """Gives each line to the logger `durabus.server`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on. That the memory store forgets is no news in a test."""
        if record.msg.endswith(acknowledgement_line("MEMORY")):
            record.levelno = logging.INFO
        record.levelname = logging.getLevelName(record.levelno)
        record.name = _logger.name
        if _logger.isEnabledFor(record.levelno):
            _logger.handle(record)


def forwarded_log(options: LogOptions) -> LogOutput:
    """A log for a server that tells what `options` say, and to nobody but `logging`."""
    output = LogOutput(replace(options, file="", syslog=False, remote_syslog=""), io.StringIO())
    handler = _Forwarder()
    for log in (output.streaming, output.broker):
        log.replace_handler(handler)
    return output
