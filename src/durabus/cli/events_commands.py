"""`durabus events …`: what developers and their CI do with definitions of events. What was found is printed.

The exit code is 0 when all is well, 1 when definitions are not compatible or a file is not as it should be, and 2 when
the command could not be done: a wrong word, a definition that cannot be read.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from durabus.cli import main as program
from durabus.cli.events_words import COMMANDS, events_help, parse_words
from durabus.cli.words import Usage
from durabus.config.flags import UsageError
from durabus.config.units import quote
from durabus.errors import DurabusError

__all__ = ["EXIT_NOT_DONE", "events"]

EXIT_NOT_DONE: Final = 2

_HELP: Final = "durabus events help"
_HELP_WORDS: Final = ("--help", "-help", "-h")


def events(words: Sequence[str]) -> int:
    """Do what `words`, those behind `durabus events`, say; returns the exit code."""
    if not words:
        return _not_done("a command for events is missing", _HELP)
    if words[0] in ("help", *_HELP_WORDS):
        return program.say(events_help(), sys.stdout)
    if words[0] not in COMMANDS:
        return _not_done(f"unrecognized command for events: {quote(words[0])}", _HELP)
    if any(word in _HELP_WORDS for word in words[1:]):
        return program.say(events_help(words[0]), sys.stdout)
    try:
        usage = parse_words(words[0], words[1:])
        return _run(_WORK[words[0]], usage)
    except UsageError as error:
        return _not_done(str(error), f"durabus events {words[0]} --help")


def _not_done(text: str, help_command: str) -> int:
    program.fail(text, help_command)
    return EXIT_NOT_DONE


def _run(work: Callable[[Usage], int], usage: Usage) -> int:
    """Do `work`. Whatever goes wrong is told without a traceback."""
    try:
        return work(usage)
    except KeyboardInterrupt:
        program.complain("interrupted")
        return program.EXIT_INTERRUPTED
    except UsageError:
        raise
    except DurabusError as error:
        for line in str(error).splitlines():  # protoc has a line for each mistake
            program.complain(line)
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        program.complain(f"{what}: {error.filename}" if error.filename else what)
    except Exception as error:
        if os.environ.get(program.TRACEBACK_SWITCH):
            raise
        shown = f"{type(error).__name__}: {error}"
        program.complain(f"internal error, please report it with what {program.TRACEBACK_SWITCH}=1 shows: {shown}")
    return EXIT_NOT_DONE


def _check(usage: Usage) -> int:
    from durabus.cli.events_check import check_events

    return check_events(usage)


def _export(usage: Usage) -> int:
    from durabus.cli.events_export import export_events

    return export_events(usage)


def _generate(usage: Usage) -> int:
    from durabus.cli.events_generate import generate_events

    return generate_events(usage)


def _docs(usage: Usage) -> int:
    from durabus.cli.events_generate import document_events

    return document_events(usage)


# Each imports what it needs when it is asked for: only these commands need the libraries of the formats.
_WORK: Final[dict[str, Callable[[Usage], int]]] = {
    "check": _check,
    "docs": _docs,
    "export": _export,
    "generate": _generate,
}
