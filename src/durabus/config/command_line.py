"""From the words of a command line to checked Options: the flags of the table, in the order in which they count."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from durabus.config.checks import check_options, check_store
from durabus.config.flag_table import FLAGS, HELP, VERSION
from durabus.config.flags import CommandLine, UsageError, parse_flags
from durabus.config.options import Options, Setting, with_settings
from durabus.config.units import quote

__all__ = ["Action", "Request", "read_command_line"]


class Action(Enum):
    """What a command line asks for."""

    SERVE = auto()
    VERSION = auto()
    HELP = auto()


@dataclass(frozen=True, slots=True)
class Request:
    """The answer to a command line: what to do, and with which options when it is to serve."""

    action: Action
    options: Options


def read_command_line(arguments: Sequence[str]) -> Request:
    """What `arguments` (without the program's name) ask for; the options are checked.

    Raises UsageError for a line that cannot be followed, OptionsError for values that no server can start with. The
    order is the original's: grammar, then version and help as flags, then the first word, then what the values mean.
    """
    line = parse_flags(arguments, FLAGS)
    action = asked_action(line)
    if action is not Action.SERVE:
        return Request(action, Options())
    options = with_settings(Options(), settings_of(line))
    # First of all the store: what is wrong with `-st FILE -dir x` is not -dir.
    check_store(options.streaming.store)
    refuse_missing_features(line)
    check_options(options)
    return Request(action, options)


def asked_action(line: CommandLine) -> Action:
    """Version and help may be flags, or the first word in any case; other words are errors."""
    if line.value(VERSION):
        return Action.VERSION
    if line.value(HELP):
        return Action.HELP
    if not line.words:
        return Action.SERVE
    match line.words[0].lower():
        case "version":
            return Action.VERSION
        case "help":
            return Action.HELP
    raise UsageError(f"unrecognized command: {quote(line.words[0])}")


def refuse_missing_features(line: CommandLine) -> None:
    """Refuse the first flag that asks for what is not there; its default asks for nothing."""
    for given in line.given:
        if given.flag.refused and line.value(given.flag) != given.flag.default:
            raise UsageError(f"flag -{given.name} is not available: {given.flag.refused}")


def settings_of(line: CommandLine) -> dict[str, Setting]:
    """What the flags set, by dotted name.

    A flag that is short for several, -DV for instance, counts after all the plain ones wherever it stands, and those
    among themselves in the order of their names: so the original does it (`-DV -D=false` is -DV).
    """
    plain = [given.flag for given in line.given if len(given.flag.settings) == 1]
    several = [given.flag for given in line.given if len(given.flag.settings) > 1]
    settings: dict[str, Setting] = {}
    for flag in plain + sorted(several, key=lambda flag: flag.names):
        for name in flag.settings:
            settings[name] = flag.option_value(line.value(flag))
    return settings
