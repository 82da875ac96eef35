"""Starts Durabus with redelivery switched off: what is not acknowledged is not delivered again when AckWait is over.

Test-only, and only for the test that shows that the story notices it. Takes the arguments of `durabus serve`. Everything
else works, also the move of a message away from a client that has left, so the story fails at its third step.
"""

import sys

from durabus.config.command_line import read_command_line
from durabus.config.options import Options
from durabus.server import server
from durabus.server.run import run
from durabus.streaming.options import CoreOptions

core_options = server.core_options


def without_redelivery(options: Options, instance: str) -> CoreOptions:
    """The core's options, with the one difference that this launcher is for."""
    core = core_options(options, instance)
    core.redelivery_on = False
    return core


def main(arguments: list[str]) -> int:
    """Serve, until told to stop."""
    server.core_options = without_redelivery
    return run(read_command_line(arguments).options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
