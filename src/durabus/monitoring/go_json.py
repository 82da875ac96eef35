"""JSON, times and durations written as the original writes them, byte for byte, because tools parse them by pattern.

That is Go's encoder with an indentation of two blanks: `<`, `>`, `&` and the two line separators of Unicode are escaped,
bytes that are no UTF-8 become the replacement character, a float without a fraction has no point.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

from durabus.monitoring.steps import Pace, Steps

__all__ = [
    "PAUSE",
    "JsonRows",
    "JsonValue",
    "Pause",
    "encode_json",
    "encode_steps",
    "format_time",
    "format_uptime",
    "text_of",
]

JsonValue: TypeAlias = str | int | float | bool | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
"""What can be encoded; a mapping keeps its order."""


class Pause:
    """What an iterator of rows yields in place of a row when making the next one takes longer."""


PAUSE: Final = Pause()

JsonRows: TypeAlias = JsonValue | Iterator["JsonRows | Pause"] | Mapping[str, "JsonRows"]
"""What can be encoded in steps: an iterator is a list whose items are made while it is written."""

# Lone surrogates stand for bytes that were not UTF-8 (see `surrogateescape`).
ESCAPED = re.compile('["\\\\\x00-\x1f<>&\u2028\u2029\ud800-\udfff]')
SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
INDENT = "  "

LEAVES: Final = (str, int, float)
"""What has nothing in it; looking for these first is quicker than asking whether something is a mapping."""

SECOND_NS = 1_000_000_000


def encode_json(value: JsonValue) -> bytes:
    """`value` as indented JSON in UTF-8, without a line end behind it."""
    return json_text(value, "\n").encode()


def encode_steps(value: JsonRows) -> Steps[bytes]:
    """The same in steps, for documents that may be long."""
    pieces: list[str] = []
    parts: list[bytes] = []
    for _ in write(value, "\n", pieces, Pace()):
        parts.append("".join(pieces).encode())
        pieces.clear()
        yield
    parts.append("".join(pieces).encode())
    return b"".join(parts)


def write(value: JsonRows, line_start: str, pieces: list[str], pace: Pace) -> Steps[None]:
    """Append `value` to `pieces`."""
    inner = line_start + INDENT
    if isinstance(value, Iterator):
        count = 0
        for item in value:
            if isinstance(item, Pause):
                yield
                continue
            pieces.append(f",{inner}" if count else f"[{inner}")
            count += 1
            yield from write(item, inner, pieces, pace)
        pieces.append(f"{line_start}]" if count else "[]")
    elif isinstance(value, Mapping) and any(not isinstance(item, LEAVES) for item in value.values()):
        opening = "{"
        for key, item in value.items():
            pieces.append(f'{opening}{inner}"{ESCAPED.sub(escape, key)}": ')
            opening = ","
            yield from write(item, inner, pieces, pace)
        pieces.append(f"{line_start}}}")
    else:
        pieces.append(json_text(value, line_start))  # type: ignore[arg-type]  # nothing in it is an iterator
        if pace.spent(len(value) if isinstance(value, Mapping) else 1):
            yield


def text_of(name: bytes) -> str:
    """A name as text for a document, byte for byte."""
    return name.decode("utf-8", "surrogateescape")


def json_text(value: JsonValue, line_start: str) -> str:
    """`value` as JSON; `line_start` is a line end and the indentation of the line that the value stands on."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{ESCAPED.sub(escape, value)}"'
        case float():
            return float_text(value)
        case int():
            return str(value)
        case Mapping():
            rows = [
                f'"{ESCAPED.sub(escape, key)}": {json_text(item, line_start + INDENT)}' for key, item in value.items()
            ]
            return bracket("{", rows, "}", line_start)
        case _:
            return bracket("[", [json_text(item, line_start + INDENT) for item in value], "]", line_start)


def float_text(value: float) -> str:
    """A float with as few digits as tell it from its neighbours; with an exponent only where Go has one, too."""
    if not 1e-6 <= abs(value) < 1e21 and value:
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


def bracket(opening: str, rows: list[str], closing: str, line_start: str) -> str:
    """The rows of a list or an object, one to a line, in their brackets."""
    if not rows:
        return opening + closing
    inner = line_start + INDENT
    return f"{opening}{inner}{f',{inner}'.join(rows)}{line_start}{closing}"


def escape(match: re.Match[str]) -> str:
    """The escape of one character."""
    char = match[0]
    if "\ud800" <= char <= "\udfff":
        return "\\ufffd"
    return SHORT_ESCAPES.get(char) or f"\\u{ord(char):04x}"


def format_time(time_ns: int, *, utc: bool = False) -> str:
    """Nanoseconds since 1970 as RFC 3339 with as many digits of the second as it needs: local time, or UTC."""
    second, part = divmod(time_ns, SECOND_NS)
    local = time.gmtime(second) if utc else time.localtime(second)
    digits = f".{part:09d}".rstrip("0").rstrip(".")
    offset = local.tm_gmtoff // 60
    zone = "Z"
    if offset:
        hours, minutes = divmod(abs(offset), 60)
        zone = f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + digits + zone


def format_uptime(duration_ns: int) -> str:
    """A duration (0 or more nanoseconds) in whole seconds: `0s`, `1m17s`, `2d3h4m5s`, `1y2d0h0m0s` (years of 365 days)."""
    minutes, seconds = divmod(duration_ns // SECOND_NS, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    years, days = divmod(days, 365)
    parts = [(years, "y"), (days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return "".join(f"{value}{unit}" for value, unit in parts)
