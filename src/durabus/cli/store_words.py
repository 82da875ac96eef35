"""The words of `durabus store`: a table of its commands, from which the command line is read and the help is made."""

from collections.abc import Sequence

from durabus.cli.words import Command, Usage, command_line, option_lines, parse_command

__all__ = ["COMMANDS", "parse_words", "store_help"]

HEAD = """\
Usage: durabus store COMMAND ...

Works on the data of a server, without the server.

"""

STORES = """\
A store is named by

    DIR                  the directory of a FILE store
    sqlite:PATH          the file of a SQL store
    postgres://...       a database, as a URL; or postgres:SOURCE, with what -sql_source has
    mysql:SOURCE         a database, likewise
    PATH.tar             a backup
    env:NAME             what the environment variable NAME says: so that no password is in the list of processes

`file:DIR` and `backup:PATH` are the same where a name could be taken for something else. The exit code is 0 when all is
well, and 1 when something is damaged, or could not be done. `durabus store COMMAND --help` says more of a command.
"""

WIDTH = 44


QUIET = {"--quiet": ("", "do not say how far it is")}
ASIDE = "where damaged bytes are set aside"

COMMANDS = {
    "init": Command(
        ("STORE",),
        "make a store, or what is missing of one",
        """\
Makes the directory of a FILE store, or the tables of a SQL store. Tables that are there stay as they are; what an old
one lacks is added. A server does the same when it starts.

    durabus store init /var/lib/durabus
    durabus store init env:DATABASE
""",
        QUIET,
    ),
    "check": Command(
        ("STORE",),
        "read all of a store, or of a backup, and say what is damaged",
        """\
Verifies every checksum and every row, and writes nothing. It works beside a server that uses the store: then it sees
what the server had written by the end.

    durabus store check /var/lib/durabus
    durabus store check nightly.tar
""",
        QUIET,
    ),
    "repair": Command(
        ("STORE",),
        "set aside what is damaged, so that nothing but the rest is left",
        """\
What `check` finds is written to a file, one JSON document per line with the bytes in base64, and then taken out of the
store; lost messages keep their numbers. Nothing that can be read is lost. No server may be using the store.

    durabus store repair /var/lib/durabus
""",
        {
            "--dry-run": ("", "only say what would be set aside"),
            "--quarantine": ("FILE", f"{ASIDE} (durabus-quarantine.jsonl, beside the data)"),
            **QUIET,
        },
    ),
    "import": Command(
        ("DIR",),
        "take over a directory of NATS Streaming Server",
        """\
Copies channels, messages, durables and what is pending out of the data directory of NATS Streaming Server, which must
be stopped, into a store that is empty. Its files stay as they are. When it is interrupted, the same command goes on.
(`durabus serve -st FILE -dir DIR` takes over such a directory by itself.)

    durabus store import /var/lib/stan --to postgres:'host=db dbname=bus'
""",
        {
            "--to": ("STORE", "where to"),
            "--cluster-id": ("NAME", "the cluster ID, where the directory does not tell it any more"),
            "--crc-poly": ("NUMBER", "the polynomial of its checksums, if it had a -file_crc_poly"),
            "--quarantine": ("FILE", f"{ASIDE} (in DIR)"),
            **QUIET,
        },
        ("--to",),
    ),
    "backup": Command(
        ("FILE",),
        "make a backup of a store, which a server may be using",
        """\
Writes one file with all that the store has at one moment: everything that was acknowledged before it began is in it.
The file has its name when it is complete. Check it with `durabus store check FILE`, restore it with `durabus store copy
FILE STORE`; it is a tar archive that can also be unpacked into an empty directory.

    durabus store backup nightly.tar --from /var/lib/durabus
""",
        {"--from": ("STORE", "what to back up"), **QUIET},
        ("--from",),
    ),
    "copy": Command(
        ("FROM", "TO"),
        "copy a store, or a backup, into another store",
        """\
Copies everything between any two stores. TO is empty, or new; when the copy is interrupted, the same command goes on.
No server may be using FROM if it is a directory (make a backup and copy that), nor TO.

    durabus store copy nightly.tar /var/lib/durabus
    durabus store copy /var/lib/durabus env:DATABASE

What is encrypted stays as it is, unless you say otherwise; a key is in an environment variable, whose name you give.
""",
        {
            "--decrypt": ("VARIABLE", "the key that FROM is encrypted with"),
            "--encrypt": ("VARIABLE", "the key for TO"),
            **QUIET,
        },
    ),
}


def parse_words(name: str, words: Sequence[str]) -> Usage:
    """The words behind `durabus store NAME`; raises UsageError."""
    return parse_command(f"durabus store {name}", COMMANDS[name], words)


def store_help(name: str = "") -> str:
    """What there is, or all about one command."""
    if not name:
        rows = [f"    {_line(one):<{WIDTH}}{command.summary}" for one, command in COMMANDS.items()]
        return HEAD + "\n".join(rows) + "\n\n" + STORES
    command = COMMANDS[name]
    parts = [f"Usage: durabus store {_line(name)}", "", command.details, *option_lines(command)]
    return "\n".join(parts) + "\n\n`durabus store help` says how stores are named.\n"


def _line(name: str) -> str:
    return command_line(name, COMMANDS[name])
