"""The keys of configuration files, driven by tables: what is a key, of what kind is its value, which option does it set.

Keys are written in any case, and a key that no table knows is ignored, as in the original. A value of another kind than
its key takes is an error in the original's words, with the place in front:

    bus.conf:3:5: parameter "max_msgs" value is expected to be int64, got string

A key whose feature is not there is refused, unless its value asks for what the server does anyway. Refusals are told
after all mistakes, so they are collected.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from durabus.config.document import Array, Entry, Section, Value, kind_of, text_of
from durabus.config.options import ConfigError, OptionsError, Setting
from durabus.config.refusals import refusal
from durabus.config.units import UnitError, parse_duration, quote

__all__ = [
    "Draft",
    "Key",
    "array_of",
    "duration",
    "duration_of",
    "number",
    "number_of",
    "read_section",
    "refused",
    "section",
    "section_of",
    "special",
    "switch",
    "switch_of",
    "text",
    "text_value",
    "without_effect",
    "wrong_kind",
]

STRING, BOOL, INT64, FLOAT64, SLICE, MAP, ANY = "string", "bool", "int64", "float64", "slice", "map", "any"
DURATION = "duration"
"""A string that is a duration; the other kinds are Go's words for what a value is."""


@dataclass(slots=True)
class Draft:
    """What configuration files asked for."""

    settings: dict[str, Setting] = field(default_factory=dict)
    """Options by dotted names."""
    warnings: list[str] = field(default_factory=list)
    """What is taken, but should be written in another way."""
    refusals: list[str] = field(default_factory=list)
    """What cannot be had; the first one is told."""
    origins: dict[str, str] = field(default_factory=dict, compare=False)
    """Where each option was set, by dotted names: file, line, column and key."""

    def put(self, entry: Entry, option: str, value: Setting) -> None:
        """Set `option`, as `entry` asks for."""
        self.settings[option] = value
        self.origins[option] = f"{entry.place}: {entry.key}"

    def refuse(self, entry: Entry, why: str) -> None:
        """Note that what `entry` asks for is not there."""
        self.refusals.append(f"{entry.place}: {refusal(entry.key, why)}")


Read = Callable[[Entry, Draft], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key under all its names."""

    names: tuple[str, ...]
    """In small letters."""
    kind: str
    """What its value must be; `any` where it is not that simple."""
    read: Read
    """Takes an entry with this key into a draft; raises ConfigError."""
    keys: tuple["Key", ...] = ()
    """The keys of the section that it opens, if it does."""


def read_section(entries: Section, keys: Iterable[Key], draft: Draft) -> None:
    """Take what `entries` say by the table `keys` into `draft`; raises ConfigError."""
    by_name = {name: key for key in keys for name in key.names}
    for entry in entries:
        key = by_name.get(entry.key.lower())
        if key is not None:
            key.read(entry, draft)


# What an entry's value is.


def wrong_kind(entry: Entry, wanted: str) -> ConfigError:
    """The error for a value of another kind than `wanted`."""
    text = f"parameter {quote(entry.key)} value is expected to be {wanted}, got {kind_of(entry.value)}"
    return ConfigError(text, entry.place)


def text_value(entry: Entry) -> str:
    """A text; raises ConfigError."""
    if isinstance(entry.value, str):
        return entry.value
    raise wrong_kind(entry, STRING)


def switch_of(entry: Entry) -> bool:
    """True or false; raises ConfigError."""
    if isinstance(entry.value, bool):
        return entry.value
    raise wrong_kind(entry, BOOL)


def number_of(entry: Entry) -> int:
    """A whole number; raises ConfigError."""
    if isinstance(entry.value, int) and not isinstance(entry.value, bool):
        return entry.value
    raise wrong_kind(entry, INT64)


def duration_of(entry: Entry) -> int:
    """A duration, written as text, in nanoseconds; raises ConfigError."""
    try:
        return parse_duration(text_value(entry))
    except UnitError as error:
        raise ConfigError(f"parameter {quote(entry.key)}: {error}", entry.place) from None


def array_of(entry: Entry) -> Array:
    """An array; raises ConfigError."""
    if isinstance(entry.value, tuple):
        return entry.value
    raise wrong_kind(entry, SLICE)


def section_of(entry: Entry, what: str = "") -> Section:
    """A section, which errors call `what`; raises ConfigError."""
    if isinstance(entry.value, Section):
        return entry.value
    if not what:
        raise wrong_kind(entry, MAP)
    raise ConfigError(f"expected {what} to be a map/struct, got {text_of(entry)}", entry.place)


def any_of(entry: Entry) -> Value:
    """Whatever it is."""
    return entry.value


# Keys; `names` are divided by blanks, the first one is the usual one.


def unchanged(value: Setting) -> Setting:
    """The value of a key is the value of its option, as nearly always."""
    return value


Convert = Callable[[Setting], Setting]


def special(names: str, kind: str, read: Read, keys: tuple[Key, ...] = ()) -> Key:
    """A key that is read by a function of its own."""
    return Key(names=tuple(names.split()), kind=kind, read=read, keys=keys)


def setting(names: str, kind: str, value_of: Callable[[Entry], Setting], option: str, convert: Convert) -> Key:
    """A key that sets an option; what `convert` refuses gets the place of the key."""

    def read(entry: Entry, draft: Draft) -> None:
        try:
            draft.put(entry, option, convert(value_of(entry)))
        except OptionsError as error:
            raise ConfigError(str(error), entry.place) from None

    return special(names, kind, read)


def text(names: str, option: str, convert: Convert = unchanged) -> Key:
    """A key with a text."""
    return setting(names, STRING, text_value, option, convert)


def switch(names: str, option: str, convert: Convert = unchanged) -> Key:
    """A key with true or false."""
    return setting(names, BOOL, switch_of, option, convert)


def number(names: str, option: str, convert: Convert = unchanged) -> Key:
    """A key with a whole number, which may have a suffix of sizes."""
    return setting(names, INT64, number_of, option, convert)


def duration(names: str, option: str, convert: Convert = unchanged) -> Key:
    """A key with a duration."""
    return setting(names, DURATION, duration_of, option, convert)


def section(names: str, what: str, keys: tuple[Key, ...], why_refused: str = "") -> Key:
    """A key that opens a section, which errors call `what`; refused as a whole when there is a reason."""

    def read(entry: Entry, draft: Draft) -> None:
        read_section(section_of(entry, what), keys, draft)
        if why_refused:
            draft.refuse(entry, why_refused)

    return special(names, MAP, read, keys)


VALUES: dict[str, Callable[[Entry], Value]] = {
    STRING: text_value,
    BOOL: switch_of,
    INT64: number_of,
    DURATION: duration_of,
    SLICE: array_of,
    MAP: section_of,
    ANY: any_of,
}


def refused(names: str, kind: str, harmless: Value | None, why: str) -> Key:
    """A key whose feature is not there; `harmless` is the value that asks for nothing, None: every value asks."""

    def read(entry: Entry, draft: Draft) -> None:
        value = VALUES[kind](entry)
        if harmless is None or type(value) is not type(harmless) or value != harmless:
            draft.refuse(entry, why)

    return special(names, kind, read)


def without_effect(names: str, kind: str) -> Key:
    """A key about something that does not exist here, so that any value is as good as another; its kind still counts."""

    def read(entry: Entry, draft: Draft) -> None:
        VALUES[kind](entry)

    return special(names, kind, read)
