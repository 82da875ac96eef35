"""Command line: sets up what the story needs, plays it, and leaves the bus running.

    python -m examples.ticketing.story [--once] [--bus COMMAND] [--bus-args=ARGUMENTS] [--steps=NAME,NAME]

Exit code 0: every check held. 1: one did not, and the last line names the step. 2: the story could not begin.
"""

import argparse
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from .bus import Bus, default_command, free_ports
from .narrator import Narrator, SetupError, StoryError, tell
from .newcomers_steps import NEWCOMERS_STEPS
from .packages import install_packages
from .shop import Shop
from .steps import STEPS as FIRST_STEPS

HOLDS, BROKEN, NOT_BEGUN = 0, 1, 2
USUAL_PORTS = 4222, 8222
STEPS = FIRST_STEPS | NEWCOMERS_STEPS


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_by_signal)
    directory = Path(tempfile.mkdtemp(prefix="ticketing-"))
    code = NOT_BEGUN
    try:
        with ExitStack() as stack:
            code = run(options, directory, stack)
    except SetupError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    finally:
        if code != BROKEN:
            shutil.rmtree(directory)
    return code


def run(options: argparse.Namespace, directory: Path, stack: ExitStack) -> int:
    """Whatever is started here is ended by `stack`."""
    install_packages()
    bus = Bus(options.bus, options.bus_args, options.port, options.monitor_port, directory / "bus.log")
    stack.callback(bus.end)
    tell(f"The bus: {shlex.join(bus.command)}")
    bus.wait_open()
    with ExitStack() as shop_stack:
        shop = Shop(bus, directory)
        shop_stack.callback(shop.end)
        if not play(shop, options.steps, directory):
            return BROKEN
    if options.once:
        return HOLDS
    try:
        tell(f"\nThe shop is closed, the bus goes on: {bus.url}, cluster ID ticketing, log {bus.log}")
        tell("Ctrl-C ends it. How to run one service by hand: examples/ticketing/README.md")
        code = bus.wait_end()
    except KeyboardInterrupt:
        return HOLDS
    tell(f"The bus ended with exit code {code}.")
    return BROKEN


def play(shop: Shop, steps: Sequence[str], directory: Path) -> bool:
    """Tells the story; False if it does not hold."""
    began_at = time.monotonic()
    narrator = Narrator(shop.check_runs)
    names = list(STEPS)
    try:
        shop.start()
        for name in steps:
            step = STEPS[name]
            narrator.step(names.index(name) + 1, name, step.__doc__ or "")
            step(shop, narrator)
    except StoryError as error:
        tell(f"\n{error}\nLogs and databases are kept in {directory}")
        tell(f"The story does not hold: it failed at {narrator.where()}")
        return False
    tell(f"\nThe story holds: {narrator.check_count} checks in {time.monotonic() - began_at:.1f} s.")
    return True


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, from the arguments and the environment variable ONCE."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.ticketing.story",
        description="Plays the story of the ticket shop on a bus and checks it step by step.",
    )
    once = os.environ.get("ONCE", "") not in ("", "0")
    parser.add_argument("--once", action="store_true", default=once, help="end with the story (or set ONCE=1)")
    parser.add_argument(
        "--bus", metavar="COMMAND", default=default_command(), help="the command that starts the bus (%(default)s)"
    )
    parser.add_argument(
        "--bus-args",
        metavar="ARGUMENTS",
        type=shlex.split,
        default=[],
        help='more arguments for it: --bus-args="-mm 1"',
    )
    parser.add_argument("--port", type=int, help="of the bus (4222; a free one with --once)")
    parser.add_argument("--monitor-port", type=int, help="of its monitoring (8222; a free one with --once)")
    parser.add_argument(
        "--steps", metavar="NAMES", type=step_names, default=list(STEPS), help=f"some of {','.join(STEPS)} (all)"
    )
    options = parser.parse_args(arguments)
    port, monitor_port = free_ports() if options.once else USUAL_PORTS
    options.port, options.monitor_port = options.port or port, options.monitor_port or monitor_port
    return options


def step_names(text: str) -> list[str]:
    """Steps given by name, in the order of the story."""
    names = text.split(",")
    if unknown := [name for name in names if name not in STEPS]:
        raise argparse.ArgumentTypeError(f"there is no step {unknown[0]}")
    return [name for name in STEPS if name in names]


def end_by_signal(number: int, _frame: FrameType | None) -> None:
    """Everything that was started is ended on the way out, and no second signal comes in between."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
