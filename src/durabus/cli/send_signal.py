"""`-sl`: a signal to a server that runs, found by its process ID, a file with that, or its name.

    reload            to the only server of this machine
    reload=4711       to the process 4711
    reload=bus.pid    to the process whose ID is in the file

Commands and errors are the original's. It looks for a program of the name `nats-streaming-server`; a Python program has
another name for the system, so here the words of the command line count.
"""

import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from durabus.errors import DurabusError

__all__ = ["SIGNALS", "SignalError", "is_server", "send_signal"]

SIGNALS = {
    "stop": signal.SIGKILL,
    "quit": signal.SIGINT,
    "term": signal.SIGTERM,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
    "ldm": signal.SIGUSR2,
}

NAME = "nats-streaming-server"
OWN_NAME, OWN_COMMAND = "durabus", "serve"
NO_SERVERS = ("-sl", "--sl", "-signal", "--signal", "-t", "--t")
"""Flags of a process that only looks like a server."""
PROCESSES = Path("/proc")
INTERPRETER = re.compile(r"(?:python|pypy)[0-9.]*\Z")
OPTIONS_WITH_VALUE = ("-W", "-X")
NUMBER = re.compile(r"[+-]?[0-9]+\Z")
PID_FILE_BYTES_MAX = 64


class SignalError(DurabusError):
    """A signal that cannot be sent; the text is the original's."""


def send_signal(request: str, processes: Path = PROCESSES) -> None:
    """Do what `request` says, a command or `command=process`; raises SignalError."""
    command, *rest = request.split("=")
    if len(rest) > 1:
        raise SignalError(f"invalid signal parameters: [{' '.join(rest[1:])}]")
    pid = named_process(rest[0]) if rest and rest[0] else only_server(processes)
    number = SIGNALS.get(command)
    if number is None:
        raise SignalError(f'unknown signal "{command}"')
    try:
        os.kill(pid, number)
    except PermissionError:
        raise SignalError("operation not permitted") from None
    except (ProcessLookupError, OverflowError):
        raise SignalError("no such process") from None


def named_process(name: str) -> int:
    """The process that `name` stands for: itself, or what is in the file of that name."""
    text = name
    try:
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            text = file.read(PID_FILE_BYTES_MAX).strip()
    except (OSError, ValueError):
        pass  # no file: a number then
    # 0 and less would reach whole groups of processes.
    if not NUMBER.match(text) or int(text) < 1:
        raise SignalError(f"invalid pid: {text}")
    return int(text)


def only_server(processes: Path) -> int:
    """The process of the one server that runs here."""
    found = sorted(pid for pid, words in command_lines(processes) if pid != os.getpid() and is_server(words))
    if not found:
        raise SignalError(f"no {NAME} processes running")
    if len(found) > 1:
        raise SignalError(f"multiple {NAME} processes running:\n" + "\n".join(map(str, found)))
    return found[0]


def command_lines(processes: Path) -> Iterator[tuple[int, list[str]]]:
    """Process IDs with command lines; `processes` is the folder where the system tells them."""
    try:
        folders = list(processes.iterdir())
    except OSError:
        raise SignalError("unable to resolve pid, try providing one") from None
    for folder in folders:
        if folder.name.isdecimal():
            try:
                data = (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            words = data.decode("utf-8", "surrogateescape").removesuffix("\0").split("\0")
            yield int(folder.name), words


def is_server(words: Sequence[str]) -> bool:
    """Whether a command line is that of a server."""
    program, arguments = split_program(words)
    is_one = arguments[:1] == [OWN_COMMAND] if program == OWN_NAME else program == NAME
    return is_one and not any(word.partition("=")[0] in NO_SERVERS for word in arguments)


def split_program(words: Sequence[str]) -> tuple[str, list[str]]:
    """What is run, without its folder, and with which arguments; for Python it is the script or the module."""
    if not words:
        return "", []
    program = Path(words[0]).name
    if not INTERPRETER.match(program):
        return program, list(words[1:])
    return script_of(iter(words[1:]))


def script_of(words: Iterator[str]) -> tuple[str, list[str]]:
    """The script or module among the words of an interpreter, and its arguments."""
    for word in words:
        if word == "-m":
            return next(words, ""), list(words)
        if word == "-c":
            break
        if word in OPTIONS_WITH_VALUE:
            next(words, "")
        elif not word.startswith("-"):
            return Path(word).name, list(words)
    return "", []
