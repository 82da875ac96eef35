"""Values as Go writes them: durations, sizes, integers, booleans and quoted text.

Operators' manifests, scripts and configuration files were written for a Go program, so what they may write, what is
refused and with which words is Go's. Everything here turns text into a number or back; nothing reads a clock or a file.
"""

import re

from durabus.sizes import SIZE_LETTERS

__all__ = [
    "UnitError",
    "format_duration",
    "parse_bool",
    "parse_duration",
    "parse_int",
    "parse_size",
    "quote",
]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

PARSE_ERROR = "parse error"
OUT_OF_RANGE = "value out of range"

NS_PER_UNIT = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter, which looks the same
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}

# Two families that differ by one letter, as in the original: 1K is 1000 and 1KB is 1024.
SIZE_FACTORS = {"": 1}
for _power, _letter in enumerate(SIZE_LETTERS, start=1):
    SIZE_FACTORS[_letter] = 1000**_power
    SIZE_FACTORS[_letter + "b"] = SIZE_FACTORS[_letter + "i"] = SIZE_FACTORS[_letter + "ib"] = 1024**_power

INTEGER = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)\Z"
)
SIZE = re.compile(r"[ \t]*(-?[0-9]+)([a-z]*)[ \t]*\Z", re.IGNORECASE | re.ASCII)
SIZE_THEN_MORE = re.compile(r"[ \t]*-?[0-9]+(?:\.[0-9]+[ \t]*|[ \t]+)([^ \t])")

TRUE_WORDS = frozenset(("1", "t", "T", "TRUE", "true", "True"))
FALSE_WORDS = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class UnitError(ValueError):
    """A text that is not such a value; `str(error)` is what Go says about it."""


def parse_bool(text: str) -> bool:
    """One of Go's twelve words for true and false; raises UnitError("parse error")."""
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise UnitError(PARSE_ERROR)


def parse_int(text: str) -> int:
    """A 64-bit integer in Go's base 0: `10`, `-5`, `0x1F`, `0b101`, `0o17`, `017` (octal), `1_000`.

    Raises UnitError with `parse error` or `value out of range`.
    """
    if not INTEGER.match(text):
        raise UnitError(PARSE_ERROR)
    digits = text.replace("_", "")
    magnitude = digits.lstrip("+-")
    octal = len(magnitude) > 1 and magnitude[0] == "0" and magnitude[1] in "01234567"
    try:
        value = int(digits, 8 if octal else 0)
    except ValueError:  # Python's own bound on the digits of a decimal number, far beyond 64 bits
        raise UnitError(OUT_OF_RANGE) from None
    if not INT64_MIN <= value <= INT64_MAX:
        raise UnitError(OUT_OF_RANGE)
    return value


def parse_duration(text: str) -> int:
    """A duration as Go writes it, in nanoseconds: `300ms`, `1.5h`, `-2h45m`, `0`; units ns us ms s m h.

    The range is 64 bits, 292 years either way. Raises UnitError with Go's text, which says what is wrong and quotes it.
    """
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise invalid_duration(text)
    total = 0
    while rest:
        value, rest = duration_part(text, rest)
        total += value
        if total > 2**63:
            raise invalid_duration(text)
    if text.startswith("-"):
        return -total
    if total > INT64_MAX:
        raise invalid_duration(text)
    return total


def duration_part(whole: str, rest: str) -> tuple[int, str]:
    """One number with its unit, from the start of `rest`: its nanoseconds, and what follows it."""
    digits, rest = leading_digits(rest)
    fraction = ""
    has_point = rest.startswith(".")
    if has_point:
        fraction, rest = leading_digits(rest[1:])
    # More than 19 digits are beyond 64 bits (leading zeros aside), and Python bounds how many it would convert.
    significant = digits.lstrip("0")
    if not (digits or fraction) or len(significant) > 19 or int(significant or "0") > 2**63:
        raise invalid_duration(whole)
    length = 0
    while length < len(rest) and rest[length] != "." and rest[length] not in "0123456789":
        length += 1
    unit, rest = rest[:length], rest[length:]
    if not unit:
        raise UnitError(f"time: missing unit in duration {quote_duration(whole)}")
    if unit not in NS_PER_UNIT:
        raise UnitError(f"time: unknown unit {quote_duration(unit)} in duration {quote_duration(whole)}")
    value = int(significant or "0") * NS_PER_UNIT[unit] + fraction_ns(fraction, NS_PER_UNIT[unit])
    if value > 2**63:
        raise invalid_duration(whole)
    return value, rest


def leading_digits(text: str) -> tuple[str, str]:
    """The ASCII digits that `text` starts with, and the rest."""
    length = 0
    while length < len(text) and text[length] in "0123456789":
        length += 1
    return text[:length], text[length:]


def fraction_ns(digits: str, unit_ns: int) -> int:
    """Whole nanoseconds of `0.<digits>` units, rounded down through a float as Go does."""
    value = 0
    scale = 1.0
    for digit in digits:
        if value > INT64_MAX // 10 or value * 10 + int(digit) > 2**63:
            break  # further digits are far below a nanosecond
        value = value * 10 + int(digit)
        scale *= 10
    return int(float(value) * (float(unit_ns) / scale))


def invalid_duration(text: str) -> UnitError:
    """The error for a text that is no duration at all, or one beyond 64 bits."""
    return UnitError(f"time: invalid duration {quote_duration(text)}")


def quote_duration(text: str) -> str:
    """`text` in quotes as Go's time package does it: every byte that is not printable ASCII in hexadecimal."""
    shown = []
    for byte in text.encode("utf-8", "surrogateescape"):
        if byte in b'"\\':
            shown.append("\\" + chr(byte))
        elif 0x20 <= byte < 0x80:
            shown.append(chr(byte))
        else:
            shown.append(f"\\x{byte:02x}")
    return '"' + "".join(shown) + '"'


def format_duration(duration_ns: int) -> str:
    """Nanoseconds as Go prints a duration: `0s`, `300ms`, `1.5s`, `1h0m0s`."""
    sign = "-" if duration_ns < 0 else ""
    ns = abs(duration_ns)
    if ns == 0:
        return "0s"
    for unit, unit_ns in (("ns", 1), ("\u00b5s", 1_000), ("ms", 1_000_000)):
        if ns < unit_ns * 1000:
            return f"{sign}{decimal(ns, unit_ns)}{unit}"
    minutes, ns = divmod(ns, NS_PER_UNIT["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{decimal(ns, NS_PER_UNIT['s'])}s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def decimal(value: int, one: int) -> str:
    """`value / one`, exactly, without trailing zeros; `one` is a power of ten."""
    whole, part = divmod(value, one)
    if part == 0:
        return str(whole)
    return f"{whole}." + str(part).zfill(len(str(one)) - 1).rstrip("0")


def parse_size(text: str, name: str) -> int:
    """A number of bytes: an integer, and perhaps a suffix in any case; it may be negative (a limit's check refuses it).

    `k m g t p e` are powers of 1000; with `i`, `b` or `ib` behind the letter they are powers of 1024. `name` is the
    option's, for the error. Raises UnitError with the original's text; beyond 64 bits is an error, not a wrap-around.
    """
    match = SIZE.match(text)
    if match is None or match[2].lower() not in SIZE_FACTORS:
        raise UnitError(why_no_size(text, name))
    significant = match[1].lstrip("-0")
    if len(significant) > 19:
        raise UnitError(f"integer '{text.strip()}' is out of the range")
    value = int(significant or "0") * SIZE_FACTORS[match[2].lower()]
    if match[1].startswith("-"):
        value = -value
    if not INT64_MIN <= value <= INT64_MAX:
        raise UnitError(f"integer '{text.strip()}' is out of the range")
    return value


def why_no_size(text: str, name: str) -> str:
    """What the original says about `text`; it reads a size with the parser of its configuration language."""
    more = SIZE_THEN_MORE.match(text)
    if more is None:
        return f"{name} should be a size, got '{text}'"
    return (
        "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, "
        f"but got '{more[1]}' instead.'"
    )


GO_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quote(text: str) -> str:
    """`text` in double quotes as Go's %q: printable characters as they are, the others escaped.

    Bytes of the command line that are not UTF-8 arrive as lone surrogates and are shown in hexadecimal.
    """
    return '"' + "".join(GO_ESCAPES.get(char) or escape_char(char) for char in text) + '"'


def escape_char(char: str) -> str:
    """A printable character as it is, any other as Go's escape for it."""
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
