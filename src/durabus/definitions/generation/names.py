"""Names of definitions as names of a programming language."""

import keyword
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

__all__ = [
    "PYTHON_KEYWORDS",
    "TYPESCRIPT_KEYWORDS",
    "camel_case",
    "identifier",
    "msgspec_camel_case",
    "pascal_case",
    "snake_case",
    "unique_names",
    "upper_case",
]

PYTHON_KEYWORDS: Final = frozenset(keyword.kwlist)
TYPESCRIPT_KEYWORDS: Final = frozenset(
    [
        "abstract",
        "any",
        "arguments",
        "as",
        "async",
        "await",
        "boolean",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "constructor",
        "continue",
        "debugger",
        "declare",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "eval",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "from",
        "function",
        "get",
        "if",
        "implements",
        "import",
        "in",
        "infer",
        "instanceof",
        "interface",
        "is",
        "keyof",
        "let",
        "module",
        "namespace",
        "never",
        "new",
        "null",
        "number",
        "object",
        "of",
        "package",
        "private",
        "protected",
        "public",
        "readonly",
        "require",
        "return",
        "set",
        "static",
        "string",
        "super",
        "switch",
        "symbol",
        "this",
        "throw",
        "true",
        "try",
        "type",
        "typeof",
        "undefined",
        "union",
        "unique",
        "unknown",
        "var",
        "void",
        "while",
        "with",
        "yield",
    ]
)


def _words(name: str) -> list[str]:
    """The words of a name: userId, HTTPServer, order_2, in progress. What no identifier can have stands between words."""
    text = unicodedata.normalize("NFKC", name)  # as Python reads identifiers
    words: list[str] = [""]
    for index, char in enumerate(text):
        if char == "_" or not f"a{char}".isidentifier():
            words.append("")
            continue
        before = text[index - 1 : index] if words[-1] else ""
        is_start = char.isupper() and (
            not before.isupper() or text[index + 1 : index + 2].islower()  # the S of HTTPServer
        )
        if before and is_start:
            words.append("")
        words[-1] += char
    return [word for word in words if word]


def identifier(name: str, prefix: str) -> str:
    """`name`, with `prefix` before what cannot begin an identifier, and without what cannot be in one."""
    shown = name if name and name.isidentifier() else f"{prefix}{name}"
    return shown if shown.isidentifier() else "".join(char for char in shown if f"a{char}".isidentifier())


def snake_case(name: str) -> str:
    """`userId` as `user_id`; underscores at either end stay away."""
    return identifier("_".join(word.lower() for word in _words(name)), "field_")


def camel_case(name: str) -> str:
    """`user_id` as `userId`."""
    first, *rest = _words(name) or [""]
    return identifier(first.lower() + "".join(word[:1].upper() + word[1:].lower() for word in rest), "field")


def pascal_case(name: str) -> str:
    """`ticket created` as `TicketCreated`; a name that is one already stays as it is."""
    if re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        return name
    return identifier("".join(word[:1].upper() + word[1:] for word in _words(name)), "Type")


def upper_case(name: str) -> str:
    """`in progress` as `IN_PROGRESS`."""
    return identifier("_".join(word.upper() for word in _words(name)), "VALUE_")


def msgspec_camel_case(attribute: str) -> str:
    """What msgspec makes of an attribute with `rename="camel"`."""
    first, *rest = attribute.split("_")
    return first + "".join(word.title() for word in rest)


def unique_names(names: Iterable[str], shape: Callable[[str], str], taken: Iterable[str]) -> dict[str, str]:
    """Each of `names` in another form, no two alike and none of those `taken`, which get an underscore at their end."""
    used = set(taken)
    found: dict[str, str] = {}
    for name in names:
        candidate = shaped = shape(name)
        if candidate in used:
            candidate = f"{shaped}_"
        number = 2
        while candidate in used:
            candidate = f"{shaped}_{number}"
            number += 1
        used.add(candidate)
        found[name] = candidate
    return found
