"""The grammar of Go's flags, driven by a table: what is a flag, what is its value, what is wrong with it.

    -x v   -x=v   --x v   --x=v      the same four times; a boolean only as -x or -x=false, a word after it is a word
    --                               ends the flags; so does the first word that is no flag, also a single "-"

A flag may have several names for one value, and the last one on the line wins. Values are read as Go reads them
(`config/units.py`), and errors are in Go's words, because people and scripts know them. What a flag means, and whether
its feature is there, is not decided here: see `config/flag_table.py` and `config/command_line.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from durabus.config.options import Setting
from durabus.config.units import UnitError, parse_bool, parse_duration, parse_int, parse_size, quote
from durabus.errors import DurabusError

__all__ = ["CommandLine", "Flag", "Given", "Kind", "UsageError", "parse_flags"]


class UsageError(DurabusError):
    """A command line that cannot be followed; the text is one line that names the flag or the word."""


class Kind(Enum):
    """How a flag's value is written; the value is the word that the help shows for it."""

    BOOL = ""
    INT = "number"
    SIZE = "size"
    DURATION = "duration"
    STRING = "text"


def unchanged(value: Setting) -> Setting:
    """The value of a flag is the value of its option, as nearly always."""
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag: how it is written, what it sets, or why it is refused."""

    names: tuple[str, ...]
    """Short and long names, without dashes; they are one flag."""
    kind: Kind
    default: Setting
    """What not giving the flag means, as the value of the flag; durations in ns, sizes in bytes."""
    group: str
    """The heading of the help under which it stands."""
    help: str = ""
    """A few words for the help."""
    settings: tuple[str, ...] = ()
    """The options it sets, as dotted names; several for a flag such as -DV that is short for others."""
    option_value: Callable[[Setting], Setting] = unchanged
    """From the value of the flag to the value of the option."""
    turns_on: str = ""
    """An option that giving the flag turns on, whatever its value, unless a flag of that option says otherwise."""
    refused: str = ""
    """Why any value but the default is refused, and what to do; empty: the feature is there, or depends on the store."""


@dataclass(frozen=True, slots=True)
class Given:
    """One flag as it stands on a command line."""

    flag: Flag
    name: str
    """The name that was used, without dashes."""
    value: Setting


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The flags of a command line in their order, and the words after them."""

    given: tuple[Given, ...]
    words: tuple[str, ...]

    def value(self, flag: Flag) -> Setting:
        """The value of `flag`: the last one given under any of its names, or its default."""
        for given in reversed(self.given):
            if given.flag is flag:
                return given.value
        return flag.default


def parse_flags(arguments: Sequence[str], table: Iterable[Flag]) -> CommandLine:
    """Split `arguments` (without the program's name) into the flags of `table` and words; raises UsageError."""
    by_name = {name: flag for flag in table for name in flag.names}
    given: list[Given] = []
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "--":
            index += 1
            break
        if len(argument) < 2 or argument[0] != "-":
            break
        index += 1
        name, has_value, text = split_argument(argument)
        flag = by_name.get(name)
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if flag.kind is Kind.BOOL:
            text = text if has_value else "true"
        elif not has_value:
            if index == len(arguments):
                raise UsageError(f"flag needs an argument: -{name}")
            text = arguments[index]
            index += 1
        given.append(Given(flag, name, read_value(flag.kind, name, text)))
    return CommandLine(tuple(given), tuple(arguments[index:]))


def split_argument(argument: str) -> tuple[str, bool, str]:
    """The name in `-name`, `--name` or `--name=value`; whether there is a value; the value."""
    body = argument[2:] if argument.startswith("--") else argument[1:]
    if not body or body[0] in "-=":
        raise UsageError(f"bad flag syntax: {argument}")
    name, equals, text = body.partition("=")
    return name, bool(equals), text


def read_value(kind: Kind, name: str, text: str) -> Setting:
    """The value that `text` is for a flag of this kind; raises UsageError in Go's words."""
    try:
        match kind:
            case Kind.BOOL:
                return parse_bool(text)
            case Kind.INT:
                return parse_int(text)
            case Kind.DURATION:
                return read_duration(text)
            case Kind.SIZE:
                return parse_size(text, name)
            case Kind.STRING:
                return text
    except UnitError as error:
        if kind is Kind.SIZE:  # its text is a whole sentence
            raise UsageError(str(error)) from None
        if kind is Kind.BOOL:
            raise UsageError(f"invalid boolean value {quote(text)} for -{name}: {error}") from None
        raise UsageError(f"invalid value {quote(text)} for flag -{name}: {error}") from None


def read_duration(text: str) -> int:
    """A duration in nanoseconds; of what is wrong with it, Go's flags say no more than this."""
    try:
        return parse_duration(text)
    except UnitError:
        raise UnitError("parse error") from None
