"""What the core says about itself, as a port: the core never writes anywhere."""

from mypy_extensions import mypyc_attr

__all__ = ["Log"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Log:
    """Takes log lines; this one drops them. `debug_on` and `trace_on` say which ones are worth building."""

    def __init__(self, debug_on: bool = False, trace_on: bool = False) -> None:
        """Say whether debug and trace lines are wanted."""
        self.debug_on = debug_on
        self.trace_on = trace_on

    def trace(self, text: str) -> None:
        """A line about one message, for whoever asked for traces."""

    def debug(self, text: str) -> None:
        """A line for whoever asked for debug output."""

    def info(self, text: str) -> None:
        """A line about normal life."""

    def warning(self, text: str) -> None:
        """A line about something that needs attention."""

    def error(self, text: str) -> None:
        """A line about something that failed."""
