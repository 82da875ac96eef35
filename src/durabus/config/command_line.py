"""From the words of a command line to checked Options: files and flags of the tables, in the order in which they count.

Built-in values count least, then configuration files, then flags.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from durabus.config.checks import check_options
from durabus.config.flag_table import CHECK, CONFIG, FLAGS, HELP, SIGNAL, STREAMING_CONFIG, TLS_HELP, VERSION
from durabus.config.flags import CommandLine, UsageError, parse_flags
from durabus.config.options import (
    ENCRYPTION_KEY_VARIABLE,
    ConfigError,
    Options,
    OptionsError,
    Setting,
    with_settings,
)
from durabus.config.refusals import CLUSTERING_MODE, refusal
from durabus.config.store_table import effect_notes
from durabus.config.units import quote

__all__ = ["Action", "Request", "read_command_line"]


class Action(Enum):
    """What a command line asks for."""

    SERVE = auto()
    CHECK = auto()
    SIGNAL = auto()
    VERSION = auto()
    HELP = auto()
    TLS_HELP = auto()


@dataclass(frozen=True, slots=True)
class Request:
    """The answer to a command line: what to do, and with which options when it is to serve."""

    action: Action
    options: Options
    signal: str = ""
    """The signal to send, perhaps with a process: `reload=4711`."""
    warnings: tuple[str, ...] = ()
    """What the user should know about the configuration, though it is taken."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each option was set, by dotted names: file, line, column and key, or the flag."""


def read_command_line(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Request:
    """What `arguments` (without the program's name) ask for; the options are checked.

    Reads configuration files, whose variables come from `environment`, as a key of encryption may; None stands for the
    process's own. Raises
    UsageError for a line that cannot be followed, ConfigError for a file that cannot be read, OptionsError for values
    that no server can start with. The order is the original's: grammar, then version and help as flags, then the first
    word, then signals, then the files, then what the values mean.
    """
    line = parse_flags(arguments, FLAGS)
    action = asked_action(line)
    if action in (Action.VERSION, Action.HELP, Action.TLS_HELP):
        return Request(action, Options())
    if action is Action.SIGNAL:
        return Request(action, Options(), str(line.value(SIGNAL)))
    environment = os.environ if environment is None else environment
    asked = settings_of_files(line, environment)
    options = with_settings(Options(), asked.settings | settings_of_flags(line))
    options = with_key_of(environment, options, asked.warnings)
    origins = asked.origins | origins_of_flags(line)
    refuse_missing_features(line, asked.refusals, options)
    try:
        check_options(options)
    except OptionsError as error:
        raise error.with_origin(origins) from None
    warnings = tuple(asked.warnings)
    if action is Action.CHECK:  # a server tells it in its log
        warnings += tuple(effect_notes(options))
    return Request(action, options, warnings=warnings, origins=origins)


def with_key_of(environment: Mapping[str, str], options: Options, warnings: list[str]) -> Options:
    """The same `options` with the key of encryption in `environment`, if that has one and encryption is turned on."""
    key = environment.get(ENCRYPTION_KEY_VARIABLE, "")
    if not key:
        return options
    if not options.encryption.is_on:
        warnings.append(f"{ENCRYPTION_KEY_VARIABLE} is set, but nothing is encrypted: that takes -encrypt")
        return options
    return with_settings(options, {"encryption.key": key})


def asked_action(line: CommandLine) -> Action:
    """Version and help may be flags, or the first word in any case; other words are errors."""
    for flag, action in ((VERSION, Action.VERSION), (HELP, Action.HELP), (TLS_HELP, Action.TLS_HELP)):
        if line.value(flag):
            return action
    if line.words:
        match line.words[0].lower():
            case "version":
                return Action.VERSION
            case "help":
                return Action.HELP
        raise UsageError(f"unrecognized command: {quote(line.words[0])}")
    if line.value(SIGNAL):
        return Action.SIGNAL
    if not line.value(CHECK):
        return Action.SERVE
    if not line.value(CONFIG) and not line.value(STREAMING_CONFIG):
        raise UsageError("must specify [-c, --config] option to check configuration file syntax")
    return Action.CHECK


@dataclass(slots=True)
class FromFiles:
    """What files ask for; empty without files."""

    settings: dict[str, Setting] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def settings_of_files(line: CommandLine, environment: Mapping[str, str]) -> FromFiles:
    """What the files given with -c and -sc set and where, what they ask for and cannot have, and what is odd in them."""
    broker_file, streaming_file = str(line.value(CONFIG)), str(line.value(STREAMING_CONFIG))
    if not broker_file and not streaming_file:
        return FromFiles()
    # Only who has a file needs to load what reads it.
    from durabus.config.files import read_files

    draft = read_files(broker_file, streaming_file, environment)
    return FromFiles(draft.settings, draft.origins, draft.refusals, draft.warnings)


def refuse_missing_features(line: CommandLine, refusals: Sequence[str], options: Options) -> None:
    """Refuse the first flag that asks for what is not there, its default asks for nothing; then the first key."""
    found: list[UsageError | ConfigError] = []
    for given in line.given:
        if given.flag.refused and line.value(given.flag) != given.flag.default:
            found.append(UsageError(refusal(f"flag -{given.name}", given.flag.refused)))
    found += [ConfigError(text) for text in refusals]
    if options.streaming.partitioning and any(str(error).endswith(CLUSTERING_MODE) for error in found):
        raise OptionsError("stan: channels partitioning in clustering mode is not supported")
    if found:
        raise found[0]


def settings_of_flags(line: CommandLine) -> dict[str, Setting]:
    """What the flags set, by dotted name.

    A flag that is short for several, -DV for instance, counts after all the plain ones wherever it stands, and those
    among themselves in the order of their names: so the original does it (`-DV -D=false` is -DV).
    """
    plain = [given.flag for given in line.given if len(given.flag.settings) == 1]
    several = [given.flag for given in line.given if len(given.flag.settings) > 1]
    settings: dict[str, Setting] = {flag.turns_on: True for flag in plain if flag.turns_on}
    for flag in plain + sorted(several, key=lambda flag: flag.names):
        for name in flag.settings:
            settings[name] = flag.option_value(line.value(flag))
    return settings


def origins_of_flags(line: CommandLine) -> dict[str, str]:
    """The flag that sets each option, by the dotted name of the option."""
    origins = {given.flag.turns_on: f"-{given.name}" for given in line.given if given.flag.turns_on}
    for given in line.given:
        origins |= dict.fromkeys(given.flag.settings, f"-{given.name}")
    return origins
