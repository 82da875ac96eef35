"""Types and default values of definitions as Python says them, and the imports that they need."""

import base64
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from durabus.definitions.generation.plan import GenerationError
from durabus.definitions.model import (
    AnyType,
    ArrayType,
    Enumeration,
    Field,
    Format,
    Literal,
    MapType,
    NamedType,
    Nullable,
    Record,
    Reference,
    Scalar,
    Type,
    Union,
)

__all__ = ["Annotation", "Expression", "Imports", "PythonNames", "default_expression", "python_string", "python_type"]

_SCALARS: Final = {
    Scalar.STRING: "str",
    Scalar.BOOLEAN: "bool",
    Scalar.INT32: "int",
    Scalar.INT64: "int",
    Scalar.UINT32: "int",
    Scalar.UINT64: "int",
    Scalar.INTEGER: "int",
    Scalar.FLOAT32: "float",
    Scalar.FLOAT64: "float",
    Scalar.BYTES: "bytes",
    Scalar.DATE: "datetime.date",
    Scalar.TIMESTAMP: "Annotated[datetime.datetime, msgspec.Meta(tz=True)]",
    Scalar.UUID: "uuid.UUID",
}


@dataclass(slots=True)
class Imports:
    """What a module imports; filled while its text is made."""

    modules: set[str] = field(default_factory=set)
    names: dict[str, set[str]] = field(default_factory=dict)

    def add(self, module: str, *names: str) -> None:
        """`from module import names`, or `import module`."""
        if names:
            self.names.setdefault(module, set()).update(names)
        else:
            self.modules.add(module)


@dataclass(frozen=True, slots=True)
class PythonNames:
    """What is known while the types of one definition are written."""

    types: dict[str, NamedType]
    classes: dict[str, str]  # the class of each named type
    attributes: dict[str, dict[str, str]]  # by record, by the name in the definition
    members: dict[str, dict[str, str]]  # by enumeration, by the name in the definition
    tags: dict[str, tuple[str, str | int]]  # by record: the field and the value that tell it from others of its union
    format: Format


@dataclass(frozen=True, slots=True)
class Annotation:
    """A type as text, and its parts where it is too long for one line."""

    parts: tuple[str, ...]  # with `|` between
    literals: tuple[str, ...] = ()  # the values of the first part, where it is a Literal

    @property
    def text(self) -> str:
        """On one line."""
        return " | ".join(self.parts)


@dataclass(frozen=True, slots=True)
class Expression:
    """A value as text, and what stands inside its outermost brackets, where it is too long for one line."""

    opening: str
    items: tuple[str, ...] = ()
    closing: str = ""

    @property
    def text(self) -> str:
        """On one line."""
        return self.opening + ", ".join(self.items) + self.closing


def python_string(text: str) -> str:
    """A string literal as ruff writes it: in the quotes of which fewer have to be escaped, double ones otherwise."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    shown = "".join(f"\\{char}" if char == quote else char if char in "'\"" else repr(char)[1:-1] for char in text)
    return f"{quote}{shown}{quote}"


def python_type(type_: Type, names: PythonNames, imports: Imports) -> Annotation:
    """The annotation of a type."""
    inner = type_.type if isinstance(type_, Nullable) else type_
    if isinstance(inner, Union):
        parts = [_text(one, names, imports) for one in _members(inner, names)]
    else:
        parts = [_text(inner, names, imports)]
    if isinstance(type_, Nullable) and parts != ["Any"]:
        parts.append("None")
    literals = tuple(_literal(value) for value in inner.values) if isinstance(inner, Literal) else ()
    return Annotation(tuple(dict.fromkeys(parts)), literals)


def _text(type_: Type, names: PythonNames, imports: Imports) -> str:
    match type_:
        case Scalar():
            if type_ is Scalar.UUID:
                imports.add("uuid")
            if type_ in (Scalar.DATE, Scalar.TIMESTAMP):
                imports.add("datetime")
            if type_ is Scalar.TIMESTAMP:
                imports.add("typing", "Annotated")
                imports.add("msgspec")
            return _SCALARS[type_]
        case AnyType():
            imports.add("typing", "Any")
            return "Any"
        case Literal(values):
            imports.add("typing", "Literal")
            return f"Literal[{', '.join(_literal(value) for value in values)}]"
        case ArrayType(items):
            return f"list[{_text(items, names, imports)}]"
        case MapType(values, keys):
            return f"dict[{_SCALARS[keys]}, {_text(values, names, imports)}]"
        case Nullable(inner):
            text = _text(inner, names, imports)
            return text if text == "Any" else f"{text} | None"
        case Union():
            return " | ".join(dict.fromkeys(_text(one, names, imports) for one in _members(type_, names)))
        case Reference(name):
            return names.classes[name]


def _literal(value: str | int | bool) -> str:
    return python_string(value) if isinstance(value, str) else repr(value)


def _members(union: Union, names: PythonNames) -> tuple[Type, ...]:
    """The members of a union, of which Python must be able to tell which one a value is; raises GenerationError.

    In JSON texts of any kind are strings: with a plain string among them, the others say nothing more.
    """
    kinds: dict[str, list[Type]] = {}
    for one in dict.fromkeys(union.types):
        kinds.setdefault(_kind(one, names), []).append(one)
    texts, lists = kinds.get("text", []), kinds.get("list", [])
    records, maps = kinds.get("record", []), kinds.get("map", [])
    types = union.types
    if len(texts) > 1:
        if names.format is not Format.JSON_SCHEMA or Scalar.STRING not in texts:
            raise GenerationError(f"one of {_shown(texts)}: Python does not tell these apart; keep one of them")
        types = tuple(one for one in types if one not in texts or one is Scalar.STRING)
    if len(lists) > 1:
        raise GenerationError(
            "one of several arrays: Python does not tell these apart; make it one array of all their items"
        )
    if maps and len(maps) + len(records) > 1:
        raise GenerationError(
            f"one of {_shown(maps + records)}: Python does not tell these apart; put the map into a record"
        )
    untagged = [one.name for one in records if isinstance(one, Reference) and one.name not in names.tags]
    if names.format is Format.JSON_SCHEMA and len(records) > 1 and untagged:
        raise GenerationError(
            f"one of {_shown(records)}: nothing tells these records apart;"
            ' give each of them a required field of one name with a "const" of its own'
        )
    return types


def _kind(type_: Type, names: PythonNames) -> str:
    """What a value looks like to Python's reader; members of a union that have no name here are told apart."""
    match type_:
        case Scalar.STRING | Scalar.BYTES | Scalar.DATE | Scalar.TIMESTAMP | Scalar.UUID:
            return "text"
        case Literal(values) if any(isinstance(value, str) for value in values):
            return "text"
        case Reference(name):
            return "record" if isinstance(names.types[name], Record) else "text"
        case ArrayType():
            return "list"
        case MapType():
            return "map"
    return ""


def _shown(types: Iterable[Type]) -> str:
    """Types as an error names them."""
    found = []
    for one in types:
        match one:
            case Scalar():
                found.append(one.value)
            case Reference(name):
                found.append(name)
            case MapType():
                found.append("a map")
            case _:
                found.append("some values")
    return ", ".join(found)


def default_expression(field_: Field, names: PythonNames, imports: Imports) -> Expression:
    """The value behind `=` for a field that has a default in its definition; every event gets one of its own."""
    type_ = field_.type.type if isinstance(field_.type, Nullable) else field_.type
    default = field_.default
    if isinstance(default, list | dict):
        imports.add("msgspec")
        if not default:
            text = _value(type_, default, names, imports)
            factory = {"[]": "list", "{}": "dict"}.get(text, text.removesuffix("()"))
            return Expression("msgspec.field(", (f"default_factory={factory}",), ")")
        start = "msgspec.field(default_factory=lambda: "
        if isinstance(default, list) and isinstance(type_, ArrayType):
            return Expression(f"{start}[", tuple(_value(type_.items, one, names, imports) for one in default), "])")
        text = _value(type_, default, names, imports)
        if isinstance(type_, MapType) and isinstance(default, dict):
            pairs = (f"{_plain(key)}: {_value(type_.values, one, names, imports)}" for key, one in default.items())
            return Expression(f"{start}{{", tuple(pairs), "})")
        return Expression("msgspec.field(", (f"default_factory=lambda: {text}",), ")")
    text = _value(field_.type, default, names, imports)
    call, bracket, argument = text.partition("(")
    if bracket and call.replace(".", "_").isidentifier():
        return Expression(f"{call}(", (argument.removesuffix(")"),), ")")
    return Expression(text)


def _value(type_: Type, value: object, names: PythonNames, imports: Imports) -> str:
    match type_:
        case Nullable(inner):
            return "None" if value is None else _value(inner, value, names, imports)
        case ArrayType(items) if isinstance(value, list):
            return f"[{', '.join(_value(items, one, names, imports) for one in value)}]"
        case MapType(values) if isinstance(value, dict):
            pairs = (f"{_plain(key)}: {_value(values, one, names, imports)}" for key, one in value.items())
            return f"{{{', '.join(pairs)}}}"
        case Union():
            types = _members(type_, names)
            return _value(next((one for one in types if _may_be(one, value)), types[0]), value, names, imports)
        case Reference(name):
            named = names.types[name]
            if isinstance(named, Enumeration):
                return f"{names.classes[name]}.{_member(named, value, names)}"
            if isinstance(value, dict):
                given = {one.name: one for one in named.fields}
                arguments = (
                    f"{names.attributes[name][key]}={_value(given[key].type, one, names, imports)}"
                    for key, one in value.items()
                    if key in names.attributes[name]
                )
                return f"{names.classes[name]}({', '.join(arguments)})"
        case Scalar.BYTES if isinstance(value, str):
            raw = base64.b64decode(value) if names.format is Format.JSON_SCHEMA else value.encode("latin-1")
            return f"b{python_string(raw.decode('latin-1'))}" if raw.isascii() else f'bytes.fromhex("{raw.hex()}")'
        case Scalar.DATE if isinstance(value, str):
            imports.add("datetime")
            return f"datetime.date.fromisoformat({python_string(value)})"
        case Scalar.TIMESTAMP if isinstance(value, str):
            imports.add("datetime")
            return f"datetime.datetime.fromisoformat({python_string(value)})"
        case Scalar.UUID if isinstance(value, str):
            imports.add("uuid")
            return f"uuid.UUID({python_string(value)})"
        case Scalar.FLOAT32 | Scalar.FLOAT64 if isinstance(value, int | float):
            return repr(float(value)) if math.isfinite(value) else f'float("{value}")'
        case _:
            pass
    return _plain(value)


def _may_be(type_: Type, value: object) -> bool:
    """Whether a default can be of a member of a union, as far as its JSON type says."""
    kinds: dict[type[object], tuple[object, ...]] = {
        str: (Scalar.STRING, Scalar.BYTES, Scalar.DATE, Scalar.TIMESTAMP, Scalar.UUID),
        bool: (Scalar.BOOLEAN,),
        int: (Scalar.INT32, Scalar.INT64, Scalar.UINT32, Scalar.UINT64, Scalar.INTEGER),
        float: (Scalar.FLOAT32, Scalar.FLOAT64),
    }
    if isinstance(value, list):
        return isinstance(type_, ArrayType)
    if isinstance(value, dict):
        return isinstance(type_, MapType | Reference)
    return type_ in kinds.get(type(value), ())


def _member(enumeration: Enumeration, value: object, names: PythonNames) -> str:
    for symbol in enumeration.symbols:
        if value in (symbol.value, symbol.name):
            return names.members[enumeration.name][symbol.name]
    raise GenerationError(f"{enumeration.name} has no {json.dumps(value)}, which a default names")


def _plain(value: object) -> str:
    """A JSON value as a Python expression."""
    if isinstance(value, str):
        return python_string(value)
    if isinstance(value, list):
        return f"[{', '.join(_plain(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_plain(key)}: {_plain(one)}' for key, one in value.items())}}}"
    return repr(value)
