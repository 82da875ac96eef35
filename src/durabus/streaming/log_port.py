"""What the core says about itself, as a port: the core never writes anywhere."""

from mypy_extensions import mypyc_attr

__all__ = ["Log"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Log:
    """Takes log lines; this one drops them. `debug_on` says whether debug lines are worth building."""

    def __init__(self, debug_on: bool = False) -> None:
        """Say whether debug lines are wanted."""
        self.debug_on = debug_on

    def debug(self, text: str) -> None:
        """A line for whoever asked for debug output."""

    def info(self, text: str) -> None:
        """A line about normal life."""

    def warning(self, text: str) -> None:
        """A line about something that needs attention."""

    def error(self, text: str) -> None:
        """A line about something that failed."""
