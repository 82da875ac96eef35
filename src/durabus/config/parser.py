"""The NATS configuration language: files to sections, with includes and variables.

    http: 8222
    limits = { max: 64k, names: [a, b] }      values are divided by line ends, "," or ";"
    include "more.conf"                       its keys, as if they stood here; relative to this file
    port: $PORT                               a key seen before, in this section or one around it; else the environment

A name with `$` is looked up among the keys read so far, from the innermost section outwards, and then in the
environment, whose value is read like a value in the file. An included file sees only its own keys and the environment.
The outermost braces may be there, so that JSON is read, too.

Whatever the text, the answer is a section or a ConfigError: nesting, includes and their sizes are bounded.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from durabus.config.document import Array, Entry, Place, Section, Value, is_secret
from durabus.config.lexer import Lexer, Variable
from durabus.config.options import ConfigError

__all__ = ["FILE_BYTES_MAX", "parse_file", "parse_text"]

FILE_BYTES_MAX = 16 * 1024 * 1024
INCLUDES_MAX = 256
INCLUDE_DEPTH_MAX = 16
NESTING_MAX = 64
VARIABLE_DEPTH_MAX = 16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_file(name: str, environment: Mapping[str, str]) -> Section:
    """What the file `name` says; raises ConfigError."""
    return read_file(name, _Context(environment))


def parse_text(text: str, file: str, environment: Mapping[str, str]) -> Section:
    """What `text` says, as if it came from `file`; raises ConfigError."""
    return _Parser(text, file, _Context(environment), str(Path(file).parent)).parse()


class _TooDeepError(ConfigError):
    """Environment variables that refer to each other; told once, not once per variable."""


@dataclass(slots=True)
class _Context:
    """What is the same for a file and all that it includes."""

    environment: Mapping[str, str]
    open_files: list[str] = field(default_factory=list)
    """The real names of the files being read, the outermost first."""
    include_count: int = 0
    looked_up: dict[tuple[str, bool], Value] = field(default_factory=dict)
    """The values of environment variables, by name and whether they are secret; each is read once."""


def read_file(name: str, context: _Context) -> Section:
    """What a file says, included or not; raises ConfigError."""
    # Not Path.resolve, which does not take links that lead in a circle.
    real_name = os.path.realpath(name) if "\0" not in name else name
    if real_name in context.open_files:
        raise ConfigError(f"{name} includes itself")
    if len(context.open_files) > INCLUDE_DEPTH_MAX:
        raise ConfigError(f"files include each other more than {INCLUDE_DEPTH_MAX} deep")
    try:
        with Path(name).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        raise ConfigError(f"error opening config file: {why_not_read(name, error)}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"error opening config file: {name} has more than {FILE_BYTES_MAX} bytes")
    context.open_files.append(real_name)
    text = data.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")
    section = _Parser(text, name, context, str(Path(name).parent)).parse()
    context.open_files.pop()
    return section


def why_not_read(name: str, error: OSError | ValueError) -> str:
    """Why a file cannot be read, in the words of Go."""
    reason = (error.strerror if isinstance(error, OSError) else None) or "invalid argument"
    verb = "read" if isinstance(error, IsADirectoryError) else "open"
    return f"{verb} {name}: {reason[:1].lower()}{reason[1:]}"


class _Parser:
    """Reads one text."""

    def __init__(self, text: str, file: str, context: _Context, folder: str | None, variable_depth: int = 0) -> None:
        """Begin; includes are looked for in `folder`, None forbids them."""
        self._lexer = Lexer(text, file)
        self._context = context
        self._folder = folder
        self._variable_depth = variable_depth
        self._scopes: list[Section] = []
        self._nesting = 0

    def parse(self) -> Section:
        """All of it."""
        lexer = self._lexer
        section = Section()
        self._scopes.append(section)
        while True:
            lexer.skip_spaces()
            if lexer.skip_comment() or lexer.take("{", "}"):
                continue
            if not lexer.peek():
                return section
            self._assignment(section, secret=False, is_top=True)
            self._end_top_value()
            lexer.hides_values = False

    def parse_value(self, secret: bool) -> Value:
        """A text that is nothing but a value."""
        self._lexer.hides_values = secret
        self._lexer.skip_blanks()
        value = self._value(secret)
        self._end_top_value()
        return value

    def _end_top_value(self) -> None:
        """What may stand behind a value at the top."""
        lexer = self._lexer
        lexer.skip_blanks()
        if lexer.skip_comment() or lexer.take("\n", "\r", ",", ";", "}") or not lexer.peek():
            return
        raise lexer.error(
            "Expected a top-level value to end with a new line, comment or EOF, "
            f"but got '{lexer.shown(lexer.peek())}' instead."
        )

    def _assignment(self, section: Section, secret: bool, is_top: bool) -> None:
        """A key with its value, or an include."""
        lexer = self._lexer
        place = lexer.place()
        key = lexer.key(in_map=not is_top)
        if key.is_include:
            self._include(section, place, secret)
            return
        lexer.skip_spaces()
        if lexer.take("=", ":"):
            if is_top:
                lexer.skip_blanks()
            else:
                lexer.skip_spaces()
        elif not lexer.peek():
            raise lexer.error("Expected a value, but found the end")
        if not is_top and lexer.peek() in (",", "}"):
            if lexer.peek() == ",":
                raise lexer.error('Unexpected map value terminator ",".')
            raise lexer.error("Expected a value, but found the end of the map")
        secret = secret or is_secret(key.text)
        lexer.hides_values = secret
        section.put(Entry(key.text, self._value(secret, key.text), place, secret))

    def _include(self, section: Section, place: Place, secret: bool) -> None:
        """The keys of another file."""
        name = self._lexer.include()
        if self._folder is None:
            raise ConfigError("an environment variable cannot include a file", place)
        self._context.include_count += 1
        if self._context.include_count > INCLUDES_MAX:
            raise ConfigError(f"more than {INCLUDES_MAX} includes", place)
        try:
            # As in the original a name that begins with "/" is looked for in the same folder, too.
            included = read_file(os.path.normpath(f"{self._folder}/{name}"), self._context)
        except ConfigError as error:
            raise ConfigError(f"error parsing include file '{name}', {error}", place) from None
        for entry in included:
            section.put(Entry(entry.key, entry.value, entry.place, secret or entry.is_secret))

    def _value(self, secret: bool, key: str = "") -> Value:
        """A value of any kind."""
        lexer = self._lexer
        if lexer.peek() not in ("[", "{"):
            place = lexer.place()
            scalar = lexer.scalar()
            return self._look_up(scalar.name, place, secret, key) if isinstance(scalar, Variable) else scalar
        if self._nesting == NESTING_MAX:
            raise lexer.error(f"Maps and arrays are nested more than {NESTING_MAX} deep")
        self._nesting += 1
        value = self._array(secret) if lexer.take("[") else self._map(secret)
        self._nesting -= 1
        return value

    def _map(self, secret: bool) -> Section:
        """What stands between braces."""
        lexer = self._lexer
        lexer.take("{")
        section = Section()
        self._scopes.append(section)
        while True:
            lexer.skip_spaces()
            if lexer.skip_comment():
                continue
            if lexer.take("}"):
                self._scopes.pop()
                return section
            if not lexer.peek():
                raise lexer.error("Unexpected EOF processing map.")
            if lexer.peek() == "]":
                raise lexer.error("Unexpected array end ']' processing map.")
            self._assignment(section, secret, is_top=False)
            self._end_map_value()
            lexer.hides_values = secret

    def _end_map_value(self) -> None:
        """What may stand behind a value in a map; a `}` stays for the map."""
        lexer = self._lexer
        lexer.skip_blanks()
        if lexer.skip_comment() or lexer.take("\n", "\r", ",", ";") or lexer.peek() == "}":
            return
        raise lexer.error(
            'Expected a map value terminator "," or a map terminator "}", '
            f"but got '{lexer.shown(lexer.peek())}' instead."
        )

    def _array(self, secret: bool) -> Array:
        """What stands between brackets."""
        lexer = self._lexer
        items: list[Entry] = []
        while True:
            lexer.hides_values = secret
            lexer.skip_spaces()
            if lexer.skip_comment():
                continue
            if lexer.take("]"):
                return tuple(items)
            if lexer.peek() == ",":
                raise lexer.error("Unexpected array value terminator ','.")
            place = lexer.place()
            items.append(Entry("", self._value(secret), place, secret))
            self._end_array_value(secret)

    def _end_array_value(self, secret: bool) -> None:
        """What may stand behind a value in an array; a `]` stays for the array."""
        lexer = self._lexer
        lexer.hides_values = secret
        while True:
            lexer.skip_blanks()
            if not lexer.skip_comment():
                break
        if lexer.take("\n", "\r", ",") or lexer.peek() == "]":
            return
        raise lexer.error(
            'Expected an array value terminator "," or an array terminator "]", '
            f"but got '{lexer.shown(lexer.peek())}' instead."
        )

    def _look_up(self, name: str, place: Place, secret: bool, key: str) -> Value:
        """What a variable stands for. Where a secret is expected, its name may be one that only looks like a variable."""
        shown = f"the value of {key or 'a secret'}" if secret else f"'{name}'"
        for scope in reversed(self._scopes):
            entry = scope.find(name)
            if entry is not None:
                return entry.value
        looked_up = self._context.looked_up
        if (name, secret) not in looked_up:
            looked_up[name, secret] = self._read_environment(name, shown, place, secret)
        return looked_up[name, secret]

    def _read_environment(self, name: str, shown: str, place: Place, secret: bool) -> Value:
        """The value of an environment variable, which errors call `shown`."""
        text = self._context.environment.get(name)
        if text is None:
            raise ConfigError(f"variable reference for {shown} on line {place.line} can not be found", place)
        if self._variable_depth == VARIABLE_DEPTH_MAX:
            raise _TooDeepError(f"environment variables refer to each other more than {VARIABLE_DEPTH_MAX} deep")
        parser = _Parser(text, "environment", self._context, None, self._variable_depth + 1)
        try:
            return parser.parse_value(secret)
        except _TooDeepError:
            raise
        except ConfigError as error:
            what = f"variable reference for {shown} on line {place.line} could not be parsed: {error}"
            raise ConfigError(what, place) from None
