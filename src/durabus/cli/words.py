"""The words of a group of commands, such as `durabus store`: a table of commands, from which the command line is read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from durabus.config.flags import UsageError
from durabus.config.units import quote

__all__ = ["Command", "Usage", "command_line", "option_lines", "parse_command"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the names of what it takes, its options with the names of their values (empty: none), what it does."""

    names: tuple[str, ...]
    summary: str
    details: str
    options: dict[str, tuple[str, str]] = field(default_factory=dict)
    required: tuple[str, ...] = ()


class Usage:
    """What a command is to do: the words by the names that the table gives them, the options by theirs."""

    def __init__(self, words: dict[str, str], options: dict[str, str]) -> None:
        """Keep both. An option without a value is there with an empty one."""
        self.words = words
        self.options = options


def parse_command(shown: str, command: Command, words: Sequence[str]) -> Usage:
    """The words behind a command; `shown` is how it is called, as `durabus store check`. Raises UsageError."""
    found: list[str] = []
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            found += rest
            break
        if not word.startswith("-") or word == "-":
            found.append(word)
            continue
        option, equals, value = word.partition("=")
        option = "--" + option.lstrip("-")
        if option not in command.options:
            raise UsageError(f"`{shown}` has no option {quote(word)}")
        if option in options:
            raise UsageError(f"{option} is given twice")
        takes = command.options[option][0]
        if not takes and equals:
            raise UsageError(f"{option} takes no value")
        if takes and not equals:
            if not rest:
                raise UsageError(f"{option} needs a value: {takes}")
            value = rest.pop(0)
        options[option] = value
    if len(found) != len(command.names):
        raise UsageError(f"`{shown}` takes {' and '.join(command.names)}; {len(found)} given")
    for option in command.required:
        if not options.get(option):
            raise UsageError(f"`{shown}` needs {option} {command.options[option][0]}")
    return Usage(dict(zip(command.names, found, strict=True)), options)


def command_line(name: str, command: Command) -> str:
    """A command as it is written, with what it must have."""
    needed = [f"{option} {command.options[option][0]}" for option in command.required]
    return " ".join([name, *command.names, *needed])


def option_lines(command: Command) -> list[str]:
    """The options of a command, one line each."""
    names = {option: f"{option} {value}" for option, (value, _) in command.options.items()}
    width = max([24, *(len(name) + 2 for name in names.values())])
    return [f"    {names[option]:<{width}}{what}" for option, (_, what) in command.options.items()]
