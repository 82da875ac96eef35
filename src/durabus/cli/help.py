"""The words of `--help`, made from the table of flags, so that no flag can be missing or wrong."""

import textwrap

from durabus.config.ciphers import CIPHERS
from durabus.config.flag_table import FLAGS, GROUPS, REFUSED, WITHOUT_EFFECT
from durabus.config.flags import Flag, Kind
from durabus.config.units import format_duration

__all__ = ["COMMANDS", "serve_help", "tls_help"]

COMMANDS = """\
Durabus, a durable event bus: the successor of NATS Streaming Server.

    durabus serve [flags]    run the bus; `durabus serve --help` lists the flags
    durabus store COMMAND    check, repair, copy or back up its data; `durabus store help` says more
    durabus events COMMAND   check definitions of events, or make them; `durabus events help` says more
    durabus version          print the version
    durabus help             print this

`nats-streaming-server [flags]` is the same as `durabus serve [flags]`.
"""

SERVE = """\
Usage: {program} [flags]

Runs the bus until it is told to stop (INT or TERM). Every flag may begin with one dash or two, and its value may
follow after a blank or after "=". Durations are written 300ms, 5s, 1h30m; sizes 4096, 64KB, 1GB.
"""

TLS = """\
TLS between clients and the server is turned on with flags, for example

    -tlscert server.pem -tlskey server.key                              clients see who the server is
    -tlscert server.pem -tlskey server.key -tlsverify -tlscacert ca.pem   and show who they are

or in a configuration file, where there is more to be told:

    tls {
        cert_file: "server.pem"
        key_file: "server.key"
        ca_file: "ca.pem"
        verify: true
        timeout: 2
        cipher_suites: ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
    }

Cipher suites (those of TLS 1.3 are always on):

"""

WIDTH = 36


def serve_help(program: str) -> str:
    """The help of the server; `program` is how the user called it, for example `durabus serve`."""
    parts = [SERVE.format(program=program)]
    for group in GROUPS:
        rows = [flag_row(flag) for flag in FLAGS if flag.group == group]
        parts.append("\n".join([f"{group}:", *rows, ""]))
    for group, words in (
        (WITHOUT_EFFECT, "accepted, and have no effect here; the log says why"),
        (REFUSED, "known and refused; giving one says why"),
    ):
        names = ", ".join("-" + "/".join(flag.names) for flag in FLAGS if flag.group == group)
        said = f"These flags of NATS Streaming Server are {words}: {names}."
        parts.append(textwrap.fill(said, 116, break_on_hyphens=False) + "\n")
    return "\n".join(parts)


def tls_help() -> str:
    """What TLS can be told, and the names of the cipher suites."""
    return TLS + "\n".join(f"    {name}" for name in CIPHERS)


def flag_row(flag: Flag) -> str:
    """One line: names, kind of value, what it is for, the default."""
    left = "    " + ", ".join(f"-{name}" for name in flag.names)
    if flag.kind is not Kind.BOOL:
        left += f" <{flag.kind.value}>"
    row = f"{left:<{WIDTH}}  {flag.help}"
    default = shown_default(flag)
    return f"{row} ({default})" if default else row


def shown_default(flag: Flag) -> str:
    """The default as one would write it on the command line; empty where there is nothing to say."""
    match flag.kind:
        case Kind.BOOL:
            return f"on; -{flag.names[0]}=false turns it off" if flag.default else ""
        case Kind.DURATION:
            return format_duration(flag.default) if isinstance(flag.default, int) else ""
        case _:
            return str(flag.default)
