r"""The words of the NATS configuration language: keys, values, comments and what divides them.

    # comment             // comment
    port: 4222            a key ends at a blank, "=" or ":"; it may stand in quotes
    name = "a\tb"         escapes: \xHH \t \n \r \" \\; 'a' has none
    size 64MB             k m g t p e are powers of 1000; with b, i or ib behind them powers of 1024
    on_start yes          true yes on, false no off, in any case
    who $NAME             a variable; `$2a$...` is a bcrypt hash and stays text
    address 0.0.0.0:4222  what begins like a number and is none is text
    text (                a block, up to a ")" on a line of its own
    )

Which of these is expected where is the business of `config/parser.py`, which asks for one after the other. Everything
that is wrong raises ConfigError in the original's words. Where the original drops a number whose suffix it does not know
and lets sizes beyond 64 bits wrap around, that is an error here; and a number may stand right before a "]".
"""

import bisect
import datetime
import re
from dataclasses import dataclass

from durabus.config.document import Date, Place
from durabus.config.options import ConfigError
from durabus.config.units import UnitError, parse_size

__all__ = ["Key", "Lexer", "Scalar", "Variable"]

LINE_ENDS = ("\n", "\r")
BLANKS = re.compile(r"[ \t]*")
SPACES = re.compile(r"\s*")
COMMENT = re.compile(r"(?:#|//)[^\n\r]*")
BARE_KEY = re.compile(r"[^\s=:]*")
PLAIN = re.compile(r"[^\n\r;,\]} \t'\\]*")
QUOTED = re.compile(r'[^"\\]*')
INCLUDE = re.compile(r"[^\n\r;} \t']*")
DIGITS = re.compile(r"-?[0-9]+")
FRACTION = re.compile(r"\.[0-9]+")
REST_OF_ADDRESS = re.compile(r"[0-9.:-]*")
SUFFIX = re.compile(r"[kmgtpe][bi]*", re.IGNORECASE)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
BLOCK_END = re.compile(r"\n\)(?=\n|\Z)")
NAME_END = ("", "\n", "\r", "}", ";", ",", "]", " ", "\t")

WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "\\": "\\"}
BCRYPT = "2a$"
FLOAT_MAX = 1.7976931348623157e308

# What an include must not begin with.
NO_INCLUDE = {
    "[": "start of an array",
    "{": "start of a map",
    "(": "start of a block",
    "-": "start of a number",
    "\\": "escape sequence",
    "\n": "new line",
    "\r": "new line",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it was written."""

    text: str
    is_include: bool = False
    """Whether it is the word `include` with a blank behind it, and so no key."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A reference to the value of another key or of the environment."""

    name: str


Scalar = str | bool | int | float | Date | Variable


class Lexer:
    """Reads one text from its start to its end."""

    def __init__(self, text: str, file: str) -> None:
        """Begin with `text`, which came from `file`."""
        self.position = 0
        self.hides_values = False
        """Whether what is read now may be a secret, which no error must quote."""
        self._text = text
        self._file = file
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        if "\0" in text:
            self.position = text.index("\0")
            raise self.error("Unexpected NUL character")

    # Where it is.

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self._text[self.position : self.position + 1]

    def place(self) -> Place:
        """Where the next character stands."""
        line = bisect.bisect_right(self._line_starts, self.position)
        return Place(self._file, line, self.position - self._line_starts[line - 1] + 1)

    def error(self, text: str) -> ConfigError:
        """What is wrong at the next character, as the original says it."""
        return ConfigError(f"Parse error on line {self.place().line}: '{text}'", self.place())

    def shown(self, text: str) -> str:
        """`text` as an error may quote it."""
        if self.hides_values:
            return "..."
        return {"": "EOF", "\n": "\\n", "\r": "\\r"}.get(text, text)

    # What divides.

    def take(self, *wanted: str) -> bool:
        """Go past the next character, if it is one of `wanted`."""
        if self.position < len(self._text) and self._text[self.position] in wanted:
            self.position += 1
            return True
        return False

    def skip_blanks(self) -> None:
        """Go past blanks and tabs."""
        self._match(BLANKS)

    def skip_spaces(self) -> None:
        """Go past blanks and line ends."""
        self._match(SPACES)

    def skip_comment(self) -> bool:
        """Go past a comment, up to the end of its line; whether there was one."""
        return bool(self._match(COMMENT))

    def _match(self, pattern: re.Pattern[str]) -> str:
        """What `pattern` finds here, and go past it; nothing is an answer, too."""
        match = pattern.match(self._text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    # Keys.

    def key(self, in_map: bool = False) -> Key:
        """The next key. Only a bare one can be the word `include`."""
        if self.peek() in ("=", ":"):
            raise self.error(f"Unexpected key separator '{self.peek()}'")
        for quote, name in (('"', "double quoted"), ("'", "quoted")):
            if self.take(quote):
                error = f"Unexpected EOF processing {name} map key." if in_map else "Unexpected EOF."
                return Key(self._until(quote, error))
        start = self.position
        self.position += 1  # the first character may be any
        self._match(BARE_KEY)
        text = self._text[start : self.position]
        return Key(text, text.lower() == "include" and self.peek() not in ("", "=", ":"))

    def _until(self, quote: str, error: str) -> str:
        """The text up to the next `quote`, and go past that."""
        end = self._text.find(quote, self.position)
        if end < 0:
            raise self.error(error)
        text = self._text[self.position : end]
        self.position = end + 1
        return text

    def include(self) -> str:
        """The name of the file after the word `include`."""
        self.skip_blanks()
        for quote, name in (('"', "double quoted"), ("'", "quoted")):
            if self.take(quote):
                return self._until(quote, f"Unexpected EOF in {name} include")
        first = self.peek()
        wrong = "start of a number" if first.isdigit() else NO_INCLUDE.get(first)
        if wrong is not None:
            raise self.error(f"Expected include value but found {wrong}")
        text = self._match(INCLUDE)
        self.take("'")
        return text

    # Values.

    def scalar(self) -> Scalar:
        """The next value, which is neither an array nor a map."""
        first = self.peek()
        if first in LINE_ENDS:
            raise self.error("Expected value but found new line")
        if first == ".":
            raise self.error("Floats must start with a digit")
        if self.take("'"):
            return self._until("'", "Unexpected EOF.")
        if self.take('"'):
            return self._escaped('"')
        if self.take("("):
            return self._block()
        if first == "-":
            following = self._text[self.position + 1 : self.position + 2]
            if not is_digit(following):
                self.position += 1
                raise self.error(f"Expected a digit but got '{self.shown(following)}'.")
            return self._number()
        if is_digit(first):
            return self._number()
        return self._word()

    def _block(self) -> str:
        """The text up to a `)` on a line of its own."""
        match = BLOCK_END.search(self._text, self.position)
        if match is None:
            raise self.error("Unexpected EOF processing block.")
        text = self._text[self.position : match.start() + 1]
        self.position = match.end()
        return text

    def _word(self) -> Scalar:
        """A value without quotes: text, true or false, or a variable."""
        start = self.position
        plain = self._match(PLAIN)
        if self.peek() == "\\":
            self.position = start
            return self._escaped("'")
        self.take("'")
        if plain.lower() in WORDS:
            return WORDS[plain.lower()]
        if plain.startswith("$") and not plain[1:].startswith(BCRYPT):
            return Variable(plain[1:])
        return plain

    def _escaped(self, quote: str) -> str:
        """Text with escapes: up to `quote`, and go past it; text without quotes may also end with its word."""
        is_word = quote == "'"
        ordinary = PLAIN if is_word else QUOTED
        parts: list[str] = []
        while True:
            parts.append(self._match(ordinary))
            if self.take("\\"):
                parts.append(self._escape())
            elif self.take(quote) or (is_word and self.peek() in NAME_END):
                return self._joined(parts)
            else:
                raise self.error("Unexpected EOF.")

    def _joined(self, parts: list[str]) -> str:
        """The pieces as one text; escaped bytes next to each other may be one character."""
        try:
            return "".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # not from a file, where every lone surrogate stands for a byte
            raise self.error("Invalid character") from None

    def _escape(self) -> str:
        """What stands behind a backslash."""
        letter = self.peek()
        if letter in ESCAPES:
            self.position += 1
            return ESCAPES[letter]
        if letter != "x":
            raise self.error(
                f"Invalid escape character '{self.shown(letter)}'. Only the following escape characters are allowed: "
                '\\xXX, \\t, \\n, \\r, \\", \\\\.'
            )
        digits = self._text[self.position + 1 : self.position + 3]
        if not re.fullmatch("[0-9a-fA-F]{2}", digits):
            found = "hit end of line" if set(digits) & {*LINE_ENDS} else f"got '{self.shown(digits)}'"
            raise self.error(f"Expected two hexadecimal digits after '\\x', but {found}")
        self.position += 3
        return bytes([int(digits, 16)]).decode("utf-8", "surrogateescape")

    def _number(self) -> Scalar:
        """What begins with a digit, or with a minus and a digit."""
        start = self.position
        digits = self._match(DIGITS)
        is_negative = digits.startswith("-")
        following = self.peek()
        if following == "-" and not is_negative:
            return self._date(start)
        if following == ".":
            return self._decimal(start)
        if SUFFIX.match(following):
            return self._integer(digits + self._match(SUFFIX))
        if is_negative or following in NAME_END:
            return self._integer(digits)
        self.position = start
        return self._word()

    def _integer(self, text: str) -> int:
        """A whole number with or without a suffix."""
        try:
            return parse_size(text, "value")
        except UnitError as error:
            if self.hides_values:
                raise self.error("integer '...' is no number of 64 bits") from None
            if "out of the range" in str(error):
                raise self.error(str(error)) from None
            raise self.error(f"integer '{text}' has a suffix that is no size") from None

    def _decimal(self, start: int) -> float | str:
        """A number with a point; with a second point it is an address, and so a text."""
        if not self._match(FRACTION):
            self.position += 1
            raise self.error(f"Floats must have a digit after the '.', but got '{self.shown(self.peek())}' instead.")
        if self.peek() == ".":
            self._match(REST_OF_ADDRESS)
            return self._text[start : self.position]
        text = self._text[start : self.position]
        value = float(text)
        if abs(value) > FLOAT_MAX:
            raise self.error(f"float '{self.shown(text)}' is out of the range")
        return value

    def _date(self, start: int) -> Date:
        """A date with time in UTC; nothing else has a minus after a number."""
        if self.position - start != 4:
            raise self.error("All ISO8601 dates must be in full Zulu form.")
        self.position = start
        text = self._match(DATE)
        if not text:
            raise self.error("Expected an ISO8601 datetime such as 2006-01-02T15:04:05Z")
        try:
            date = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            raise self.error(f"expected Zulu formatted DateTime, but got '{self.shown(text)}'") from None
        return Date(f"{date:%Y-%m-%d %H:%M:%S} +0000 UTC")


def is_digit(char: str) -> bool:
    """Whether `char` is one ASCII digit."""
    return len(char) == 1 and char in "0123456789"
