"""The parameters of a request, read as the original reads them.

The two halves of the original differ: its streaming pages take whatever is no number for 0, its NATS pages answer 400
with the words of Go's parser.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from durabus.config.units import INT64_MAX, INT64_MIN, UnitError, parse_bool, quote

__all__ = [
    "LIMIT_DEFAULT",
    "BadParameterError",
    "Query",
    "bool_parameter",
    "int_parameter",
    "lenient_int",
    "parse_query",
    "uint_parameter",
]

Query = Mapping[str, str]
"""Parameters by name; of one that is given several times, the first. Bytes that are no UTF-8 are lone surrogates."""

LIMIT_DEFAULT: Final = 1024
"""Entries of a list when the request does not say how many."""

DECIMAL = re.compile(r"[+-]?[0-9]+\Z")
UNSIGNED = re.compile(r"[0-9]+\Z")
DIGITS_MAX: Final = 20
UINT64_MAX: Final = 2**64 - 1
BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BadParameterError(ValueError):
    """A parameter that is not what it must be; the text is the answer."""


def parse_query(text: bytes) -> Query:
    """The parameters of a query string; a pair with a broken escape or a semicolon is passed over, as Go does."""
    query: dict[str, str] = {}
    for pair in text.split(b"&"):
        if not pair or b";" in pair or BROKEN_ESCAPE.search(pair):
            continue
        name, _, value = pair.partition(b"=")
        query.setdefault(decoded(name), decoded(value))
    return query


def decoded(text: bytes) -> str:
    """A part of a query string without its escapes."""
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "surrogateescape")


def lenient_int(query: Query, name: str) -> int:
    """A parameter of the streaming pages: 0 when it is no number, the nearest 64-bit number when it is beyond those."""
    text = query.get(name, "")
    if not DECIMAL.match(text):
        return 0
    return max(INT64_MIN, min(bounded_int(text), INT64_MAX))


def int_parameter(query: Query, name: str) -> int:
    """A parameter of the NATS pages, 0 when it is not given; raises BadParameterError."""
    text = query.get(name, "")
    if not text:
        return 0
    if not DECIMAL.match(text):
        raise BadParameterError(complaint("int", name, "Atoi", text, "invalid syntax"))
    value = bounded_int(text)
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadParameterError(complaint("int", name, "Atoi", text, "value out of range"))
    return value


def uint_parameter(query: Query, name: str) -> int:
    """An unsigned parameter of the NATS pages, 0 when it is not given; raises BadParameterError."""
    text = query.get(name, "")
    if not text:
        return 0
    if not UNSIGNED.match(text):
        raise BadParameterError(complaint("uint64", name, "ParseUint", text, "invalid syntax"))
    value = bounded_int(text)
    if value > UINT64_MAX:
        raise BadParameterError(complaint("uint64", name, "ParseUint", text, "value out of range"))
    return value


def bool_parameter(query: Query, name: str) -> bool:
    """A parameter of the NATS pages, false when it is not given; raises BadParameterError."""
    text = query.get(name, "")
    if not text:
        return False
    try:
        return parse_bool(text)
    except UnitError:
        raise BadParameterError(complaint("boolean", name, "ParseBool", text, "invalid syntax")) from None


def bounded_int(text: str) -> int:
    """The value of decimal digits with or without a sign; of very many of them, one that is beyond 64 bits as well."""
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lstrip("0")
    return sign * int(digits[: DIGITS_MAX + 1] or "0")


def complaint(kind: str, name: str, function: str, text: str, reason: str) -> str:
    """What the original says about a parameter."""
    return f"Error decoding {kind} for '{name}': strconv.{function}: parsing {quote(text)}: {reason}"
