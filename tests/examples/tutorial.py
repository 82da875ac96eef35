"""Reads a tutorial as its reader would: files to write, commands to run, terminals, and what is to be seen in them."""

import re
from dataclasses import dataclass

__all__ = ["Commands", "File", "Seen", "Step", "Stop", "read_tutorial"]

_PART = re.compile(
    r"^`(?P<path>[\w./-]+)`\n\n```\w+\n(?P<text>.*?)^```$"
    r"|^```sh(?: (?P<terminal>\w+))?\n(?P<commands>.*?)^```$"
    r"|^<!-- (?P<what>Ctrl-C|still): (?P<whose>\w+) -->$"
    r"|(?P<output>(?:^ {4}[^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class File:
    """A file that the reader writes."""

    path: str
    text: str


@dataclass(frozen=True)
class Commands:
    """What the reader types, in a terminal with this name that it keeps, or (no name) in one that it gives back."""

    terminal: str
    lines: list[str]


@dataclass(frozen=True)
class Seen:
    """What the reader sees then in that terminal."""

    terminal: str
    text: str


@dataclass(frozen=True)
class Stop:
    """Ctrl-C in a terminal."""

    terminal: str


Step = File | Commands | Seen | Stop


def read_tutorial(text: str) -> list[Step]:
    """All steps, in order."""
    steps: list[Step] = []
    terminal = ""
    for part in _PART.finditer(text):
        if part["path"]:
            steps.append(File(part["path"], part["text"]))
        elif part["commands"]:
            terminal = part["terminal"] or ""
            steps.append(Commands(terminal, part["commands"].splitlines()))
        elif part["what"] == "still":
            terminal = part["whose"]
        elif part["what"]:
            steps.append(Stop(part["whose"]))
        else:
            steps.append(Seen(terminal, re.sub(r"^ {4}", "", part["output"], flags=re.MULTILINE)))
    return steps
