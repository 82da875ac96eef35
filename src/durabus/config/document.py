"""What a configuration file says, as values: sections of entries, each with its place, so that a mistake can be shown.

    port: 4222                Entry("port", 4222, Place("bus.conf", 1, 1))
    streaming { id: a }       Entry("streaming", Section({"id": Entry(...)}), ...)

Values are those of the NATS configuration language: text, true and false, whole numbers of 64 bits, other numbers,
dates, arrays and sections. Nothing here knows what a key means, except that some keys hold secrets, which no error tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "Array",
    "Date",
    "Entry",
    "Place",
    "Section",
    "Value",
    "is_secret",
    "kind_of",
    "text_of",
]

TEXT_CHARS_MAX = 200
TEXT_DEPTH_MAX = 16
SECRET_WORDS = ("pass", "token", "secret", "seed", "nkey", "key", "credential", "jwt", "source", "url", "auth", "users")
"""A key with one of these in its name may hold a secret: passwords, keys, and addresses with passwords in them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a configuration file something stands; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """As compilers and editors write it."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Date:
    """A date with time in UTC; no key takes one, and errors show it as the original does."""

    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value; in an array, only the value."""

    key: str
    value: "Value"
    place: Place
    is_secret: bool = False
    """Whether the value may be a secret: because of its key, or of a section that it is in."""


@dataclass(slots=True)
class Section:
    """Keys with their values, in the order of the file. A key that is given again replaces the earlier one."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def put(self, entry: Entry) -> None:
        """Add `entry`, at the end."""
        self.entries.pop(entry.key, None)
        self.entries[entry.key] = entry

    def find(self, key: str) -> Entry | None:
        """The entry of `key`, in exactly this spelling."""
        return self.entries.get(key)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())


Array = tuple[Entry, ...]
Value = str | bool | int | float | Date | Array | Section


def is_secret(key: str) -> bool:
    """Whether what stands under `key` must not be shown."""
    name = key.lower()
    return name == "ns" or name.startswith("nats_server") or any(word in name for word in SECRET_WORDS)


def kind_of(value: Value) -> str:
    """What Go calls the kind of `value`; the original's errors have these words."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int64"
        case float():
            return "float64"
        case Date():
            return "struct"
        case Section():
            return "map"
        case _:
            return "slice"


def text_of(entry: Entry) -> str:
    """The value of `entry` as Go prints it, cut off where it gets long, with secrets left out."""
    text = ""
    for part in text_parts(entry):
        text += part
        if len(text) > TEXT_CHARS_MAX:
            return text[:TEXT_CHARS_MAX] + "..."
    return text


def text_parts(entry: Entry, depth: int = 0) -> Iterator[str]:
    """The pieces of that text, made one by one: variables can make a value huge, and nested without end."""
    value = entry.value
    if depth > TEXT_DEPTH_MAX:
        yield "..."
    elif isinstance(value, Section):
        yield "map["
        for index, key in enumerate(sorted(value.entries)):
            yield f"{' ' if index else ''}{key}:"
            yield from text_parts(value.entries[key], depth + 1)
        yield "]"
    elif isinstance(value, tuple):
        yield "["
        for index, item in enumerate(value):
            yield " " if index else ""
            yield from text_parts(item, depth + 1)
        yield "]"
    elif entry.is_secret:
        yield "[REDACTED]"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, Date):
        yield value.text
    else:
        yield f"{value:g}" if isinstance(value, float) else str(value)
