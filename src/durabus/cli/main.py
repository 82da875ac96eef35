"""The two programs: `durabus`, and `nats-streaming-server`, which takes what the original took.

Both read the command line, print what was asked for, or hand checked Options to the server and end with its exit code.
Whatever goes wrong reaches the user as one clear line, and exit code 1. Nothing heavy is imported before it is needed:
a wrong flag is told at once, and the server's port is open early.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from durabus import version
from durabus.config.command_line import Action, Request, read_command_line
from durabus.config.flags import UsageError
from durabus.config.options import ENCRYPTION_KEY_VARIABLE, ConfigError, Options, OptionsError
from durabus.config.units import escape_char, quote
from durabus.errors import DurabusError, StartError

__all__ = ["main", "main_alias"]

SERVE = "durabus serve"
ALIAS = "nats-streaming-server"

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended before it could end by itself."""

TRACEBACK_SWITCH = "DURABUS_TRACEBACK"
"""With this variable set, a bug shows where it is, not only what it is: for bug reports."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `durabus` with its sub-commands; returns the exit code. None stands for the process's own arguments."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    match words[:1]:
        case []:
            return fail("a command is missing", "durabus help")
        case ["serve"]:
            return serve(words[1:], SERVE)
        case ["store"]:
            from durabus.cli.store_commands import store

            return store(words[1:])
        case ["events"]:
            from durabus.cli.events_commands import events

            return events(words[1:])
        case ["version" | "--version" | "-version" | "-v"]:
            return say(version.version_line(), sys.stdout)
        case ["help" | "--help" | "-help" | "-h"]:
            from durabus.cli.help import COMMANDS

            return say(COMMANDS, sys.stdout)
    if words[0].startswith("-"):
        return fail(f"a command must come first: {words[0]} is a flag of `{SERVE}`", "durabus help")
    return fail(f"unrecognized command: {quote(words[0])}", "durabus help")


def main_alias(arguments: Sequence[str] | None = None) -> int:
    """Run `nats-streaming-server`, flags only; returns the exit code. None stands for the process's own arguments."""
    return serve(list(sys.argv[1:] if arguments is None else arguments), ALIAS)


def serve(arguments: Sequence[str], program: str) -> int:
    """Do what the flags ask for; `program` is how the user called it."""
    environment = dict(os.environ)
    os.environ.pop(ENCRYPTION_KEY_VARIABLE, None)  # whatever this process may start one day has no use for it
    try:
        request = read_command_line(arguments, environment)
    except UsageError as error:
        return fail(str(error), f"{program} --help")
    except ConfigError as error:
        return complain(str(error))
    except StartError as error:
        return fail_to_start(str(error))
    for warning in request.warnings:
        say(one_line(warning), sys.stderr)
    match request.action:
        case Action.VERSION:
            return say(version.alias_version_line() if program == ALIAS else version.version_line(), sys.stdout)
        case Action.HELP:
            from durabus.cli.help import serve_help

            return say(serve_help(program), sys.stdout)
        case Action.TLS_HELP:
            from durabus.cli.help import tls_help

            return say(tls_help(), sys.stdout)
        case Action.CHECK:
            # The original goes on to serve; nobody who asks for a check can mean that.
            return check(request)
        case Action.SIGNAL:
            return send(request)
        case Action.SERVE:
            return run(request, lambda: read_command_line(arguments, environment).options)


def send(request: Request) -> int:
    """Send a signal to a server that runs."""
    from durabus.cli.send_signal import SignalError, send_signal

    try:
        send_signal(request.signal)
    except SignalError as error:
        for line in str(error).split("\n"):  # several servers are told one per line
            complain(line)
        return EXIT_ERROR
    return EXIT_OK


def check(request: Request) -> int:
    """Look at the files that a start would open; whether all is well."""
    from durabus.server.preflight import check_start

    try:
        check_start(request.options)
    except OptionsError as error:
        return fail_to_start(str(error.with_origin(request.origins)))
    except StartError as error:
        return fail_to_start(str(error))
    return say(f"{ALIAS}: configuration file {request.options.process.config_file} is valid", sys.stderr)


def run(request: Request, read_again: Callable[[], Options]) -> int:
    """Run the server until it ends; its exit code, or 1 after one line about what ended it."""
    try:
        from durabus.server import run as run_server

        return run_server(request.options, read_again)
    except KeyboardInterrupt:
        say("interrupted", sys.stderr)
        return EXIT_INTERRUPTED
    except OptionsError as error:
        return fail_to_start(str(error.with_origin(request.origins)))
    except StartError as error:
        return fail_to_start(str(error))
    except (DurabusError, OSError) as error:
        return fatal(str(error))
    except Exception as error:
        if os.environ.get(TRACEBACK_SWITCH):
            raise
        what = f"{type(error).__name__}: {error}"
        return fatal(f"internal error, please report it with what {TRACEBACK_SWITCH}=1 shows: {what}")


def fail(text: str, help_command: str) -> int:
    """One line about a command line that cannot be followed, and where to read more."""
    say(f"{one_line(text)}\nrun '{help_command}' for help", sys.stderr)
    return EXIT_ERROR


def complain(text: str) -> int:
    """One line about what is wrong, where the line says itself where to look."""
    say(one_line(text), sys.stderr)
    return EXIT_ERROR


def fail_to_start(text: str) -> int:
    """One line, in the form that the original's operators look for in its log."""
    return fatal(f"Failed to start: {text}")


def fatal(text: str) -> int:
    """One fatal line in the form of the log, on standard error."""
    from durabus.logs import fatal_line

    say(fatal_line(text), sys.stderr)
    return EXIT_ERROR


def one_line(text: str) -> str:
    """`text` with everything escaped that could end the line or move the cursor; it may quote what the user typed."""
    return "".join(escape_char(char) for char in text)


def say(text: str, stream: TextIO | None) -> int:
    """Print `text` and a line end; returns the exit code. A reader that is gone (`| head`) is no reason to complain."""
    if stream is None:  # a process may be started without standard output or standard error
        return EXIT_OK
    try:
        stream.write(text if text.endswith("\n") else text + "\n")
        stream.flush()
    except BrokenPipeError:
        # The interpreter flushes again when it ends, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return EXIT_OK
