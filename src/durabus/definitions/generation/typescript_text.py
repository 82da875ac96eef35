"""Pieces of TypeScript, formatted as prettier formats them by default: lines of 80 characters, two blanks, double quotes."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["LINE_LENGTH", "Raw", "comment", "literal", "property_name", "typescript_string"]

LINE_LENGTH: Final = 80
_DOC_WIDTH: Final = 100
_BREAKABLE_KEY_LENGTH: Final = 5
"""Behind a shorter key a long string stays on its line."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An expression that stands as it is, as a value of `literal`."""

    text: str


def typescript_string(text: str) -> str:
    """A string literal."""
    quoted = json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    if text.count('"') <= text.count("'"):
        return quoted
    return "'" + quoted[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def property_name(name: str) -> str:
    """A name before a colon."""
    return name if name.replace("$", "_").isidentifier() else typescript_string(name)


def comment(text: str, indent: str = "") -> list[str]:
    """A documentation comment of one or several lines; none for an empty text."""
    lines: list[str] = []
    for paragraph in filter(None, (" ".join(part.split()) for part in text.split("\n\n"))):
        lines += [*([""] if lines else []), *textwrap.wrap(paragraph, _DOC_WIDTH, break_long_words=False)]
    lines = [line.replace("*/", "*\\/") for line in lines]
    if len(lines) < 2:
        return [f"{indent}/** {line} */" for line in lines]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def literal(value: object, start: str, end: str, indent: str = "") -> list[str]:
    """The lines of `start`, a JSON value, `end`: on one line where it fits."""
    flat = f"{indent}{start}{_flat(value)}{end}"
    if not _must_break(value) and (len(flat) <= LINE_LENGTH or isinstance(value, int | float | Raw | None)):
        return [flat]
    if isinstance(value, str):
        key = start.partition(":")[0].strip()
        if start.endswith(": ") and len(key) >= _BREAKABLE_KEY_LENGTH:
            return [f"{indent}{start.rstrip()}", f"{indent}  {_flat(value)}{end}"]
        return [flat]
    inner = indent + "  "
    if isinstance(value, Mapping):
        members = [line for key, one in value.items() for line in literal(one, f"{property_name(key)}: ", ",", inner)]
        return [f"{indent}{start}{{", *members, f"{indent}}}{end}"]
    assert isinstance(value, Sequence)
    if all(isinstance(one, int | float) for one in value):
        filled = textwrap.wrap(", ".join(map(_flat, value)) + ",", LINE_LENGTH - len(inner))
        return [f"{indent}{start}[", *(inner + line for line in filled), f"{indent}]{end}"]
    items = [line for one in value for line in literal(one, "", ",", inner)]
    return [f"{indent}{start}[", *items, f"{indent}]{end}"]


def _flat(value: object) -> str:
    match value:
        case Raw(text):
            return text
        case str():
            return typescript_string(value)
        case Mapping():
            members = ", ".join(f"{property_name(key)}: {_flat(one)}" for key, one in value.items())
            return f"{{ {members} }}" if members else "{}"
        case Sequence():
            return f"[{', '.join(map(_flat, value))}]"
        case _:
            return json.dumps(value)


def _must_break(value: object) -> bool:
    """Prettier sets several objects of several members, and several lists of several items, below each other."""
    if isinstance(value, Mapping):
        return any(_must_break(one) for one in value.values())
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False
    are_objects = all(isinstance(one, Mapping) and len(one) > 1 for one in value)
    are_lists = all(isinstance(one, Sequence) and not isinstance(one, str) and len(one) > 1 for one in value)
    return (len(value) > 1 and (are_objects or are_lists)) or any(_must_break(one) for one in value)
