"""Where both programs begin: a Ctrl-C that comes while they are still loading ends them quietly, as it does later.

Imports nothing but what that takes, so that there is no moment of its own to interrupt.
"""

import os
import signal
from types import FrameType

__all__ = ["main", "main_alias"]


def leave(number: int, frame: FrameType | None) -> None:
    """End at once with the exit code of a server that was asked to stop: nothing was begun that would need an end."""
    os._exit(0)


def main() -> int:
    """Run `durabus`; returns the exit code."""
    signal.signal(signal.SIGINT, leave)
    from durabus.cli.main import main as run

    return run()


def main_alias() -> int:
    """Run `nats-streaming-server`; returns the exit code."""
    signal.signal(signal.SIGINT, leave)
    from durabus.cli.main import main_alias as run

    return run()
