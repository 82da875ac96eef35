"""The words of `durabus events`: a table of its commands, from which the command line is read and the help is made."""

from collections.abc import Sequence

from durabus.cli.words import Command, Usage, command_line, option_lines, parse_command
from durabus.config.flags import UsageError

__all__ = ["COMMANDS", "events_help", "parse_words"]

HEAD = """\
Usage: durabus events COMMAND ...

Works on definitions of events: files of JSON Schema (.json), Protobuf (.proto) and Avro (.avsc), or folders of them.

"""

TAIL = "`durabus events COMMAND --help` says more of a command; docs/definitions.md says how definitions are written.\n"

WIDTH = 40

COMMANDS = {
    "check": Command(
        ("OLD", "NEW"),
        "say whether events of changed definitions can still be read",
        """\
Compares two files or folders of definitions and prints each finding with its path and its reason:

    backward   who reads by NEW can read what was written by OLD: readers are updated first, old messages stay readable
    forward    who reads by OLD can read what is written by NEW: writers are updated first
    full       both

    durabus events check released/definitions definitions
    durabus events check old/ticket.proto new/ticket.proto --mode backward

The exit code is 0 when everything is compatible in this mode, 1 when something is not, 2 when it cannot be told.
""",
        {
            "--mode": ("MODE", "backward, forward or full (full)"),
            "--format": ("FORMAT", "text or json (text)"),
        },
    ),
    "export": Command(
        ("MODULE",),
        "write definitions of the events of a Python module",
        """\
Writes one JSON Schema file for each class with @event in MODULE, or for the one class of MODULE:Class. The same classes
give the same bytes each time. MODULE is found from the present directory, as `python -m` would.

    durabus events export tickets.events --to definitions
    durabus events export tickets.events:TicketCreated --to definitions
""",
        {
            "--to": ("DIR", "the folder to write into; it is made if it is not there"),
            "--check": ("", "write nothing; exit code 1 if a file would change"),
        },
        ("--to",),
    ),
    "generate": Command(
        ("DEFINITIONS",),
        "write Python and TypeScript for the events of a folder",
        """\
Writes a typed class for each event in Python, and an npm package with interfaces, Subjects, Publisher and Listener for
node-nats-streaming in TypeScript. The same definitions give the same bytes each time; files of definitions that are
gone are removed. `--package NAME` behind one of the two is short for --python-package or --typescript-package.

    durabus events generate definitions --python tickets/events
    durabus events generate definitions --python common/python --package ticketing-events
    durabus events generate definitions --typescript common/typescript --package @ticketing/common

Without the name of a package the Python folder is imported as it is; with it, pip installs it. npm always has one.
""",
        {
            "--python": ("DIR", "where to write Python"),
            "--python-package": ("NAME", "make it a package to install, of this name"),
            "--typescript": ("DIR", "where to write TypeScript"),
            "--typescript-package": ("NAME", "the name of the npm package (that of the folder)"),
            "--package-version": ("VERSION", "the version of the packages (1.0.0)"),
            "--check": ("", "write nothing; exit code 1 if a file would change"),
        },
    ),
    "docs": Command(
        ("DEFINITIONS",),
        "write an AsyncAPI document of the events of a folder",
        """\
Writes an AsyncAPI 3.0 document as JSON: a channel for each subject, with its messages and their schemas. The same
definitions give the same bytes each time.

    durabus events docs definitions --to asyncapi.json --title "Ticket shop"
""",
        {
            "--to": ("FILE", "the file to write (standard output)"),
            "--title": ("TEXT", "its title (Events)"),
            "--document-version": ("VERSION", "its version (1.0.0)"),
            "--check": ("", "with --to: write nothing; exit code 1 if the file would change"),
        },
    ),
}


def parse_words(name: str, words: Sequence[str]) -> Usage:
    """The words behind `durabus events NAME`; raises UsageError."""
    return parse_command(f"durabus events {name}", COMMANDS[name], _with_owners(words) if name == "generate" else words)


def _with_owners(words: Sequence[str]) -> list[str]:
    """`--python DIR --package NAME` as `--python DIR --python-package NAME`, and so for TypeScript; raises UsageError."""
    owner = ""
    found: list[str] = []
    for word in words:
        option, equals, value = word.partition("=")
        if option in ("--python", "--typescript"):
            owner = option
        if option == "--package":
            if not owner:
                raise UsageError("--package stands behind --python DIR or --typescript DIR, whose package it names")
            word = f"{owner}-package{equals}{value}"
        found.append(word)
    return found


def events_help(name: str = "") -> str:
    """What there is, or all about one command."""
    if not name:
        rows = [f"    {command_line(one, command):<{WIDTH}}{command.summary}" for one, command in COMMANDS.items()]
        return HEAD + "\n".join(rows) + "\n\n" + TAIL
    command = COMMANDS[name]
    parts = [f"Usage: durabus events {command_line(name, command)}", "", command.details, *option_lines(command)]
    return "\n".join(parts) + "\n"
