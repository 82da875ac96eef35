"""Definitions in Apache Avro: a file has one record, with the attributes `subject`, and optionally `version` and `identity`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from durabus.definitions.header import make_definition
from durabus.definitions.json_document import Json
from durabus.definitions.libraries import import_library
from durabus.definitions.model import (
    ArrayType,
    Definition,
    DefinitionError,
    Enumeration,
    Field,
    Format,
    MapType,
    NamedType,
    Nullable,
    Record,
    Reference,
    Scalar,
    Symbol,
    Type,
    Union,
)
from durabus.definitions.naming import type_name

__all__ = ["LOGICAL_TYPES", "PRIMITIVES", "full_name", "read_avro"]

_SCALARS: Final = {
    "boolean": Scalar.BOOLEAN,
    "int": Scalar.INT32,
    "long": Scalar.INT64,
    "float": Scalar.FLOAT32,
    "double": Scalar.FLOAT64,
    "bytes": Scalar.BYTES,
    "string": Scalar.STRING,
}
PRIMITIVES: Final = ("null", *_SCALARS)

LOGICAL_TYPES: Final = {
    ("long", "timestamp-millis"): Scalar.TIMESTAMP,
    ("long", "timestamp-micros"): Scalar.TIMESTAMP,
    ("int", "date"): Scalar.DATE,
    ("string", "uuid"): Scalar.UUID,
}
"""What a logical type of an underlying type is to programs."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFUSED: Final = {
    "decimal": "decimals are not read: write it as a string, or as a long of the smallest unit (cents)",
    "time-millis": "times without a date are not read: write it as a string, or as an int of milliseconds without logicalType",
    "time-micros": "times without a date are not read: write it as a string, or as a long of microseconds without logicalType",
    "duration": "durations are not read: write it as a long, in a unit that the name of the field tells",
    "local-timestamp-millis": "a local time is no moment: use timestamp-millis",
    "local-timestamp-micros": "a local time is no moment: use timestamp-micros",
    "timestamp-nanos": "nanoseconds are not read: use timestamp-micros, or a long without logicalType",
    "local-timestamp-nanos": "a local time is no moment: use timestamp-micros",
}


def full_name(schema: Mapping[str, Any], namespace: str) -> str:
    """The full name that a named type has inside of `namespace`."""
    name = str(schema["name"])
    if "." in name:
        return name
    inside = schema.get("namespace", namespace)
    return f"{inside}.{name}" if inside else name


def read_avro(path: Path, document: object) -> Definition:
    """The definition in a parsed document; raises DefinitionError."""
    if not isinstance(document, dict) or document.get("type") != "record":
        raise DefinitionError(path, "", 'an event is one record: write {"type": "record", "name": …, "fields": […]}')
    fastavro = import_library("fastavro")
    try:
        fastavro.parse_schema(document, _write_hint=False)
    except Exception as error:  # noqa: BLE001 - it raises whatever it stumbles over: KeyError, TypeError, ValueError …
        reason = str(error) if isinstance(error, fastavro.schema.SchemaParseException) else _shown(error)
        raise DefinitionError(path, "", f"not valid Avro: {reason}") from None
    reader = _Reader(path)
    reader.read(document, "", str(document["name"]))
    types = tuple(reader.types[name] for name in reader.order)
    return make_definition(path, document, "", Format.AVRO, types, document, full_name(document, ""))


def _shown(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return f"{error} ({type(error).__name__})"


class _Reader:
    """Of one document."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.types: dict[str, NamedType] = {}  # by name in programs
        self.order: list[str] = []
        self.named: dict[str, Type] = {}  # by full name

    def error(self, place: str, reason: str) -> DefinitionError:
        return DefinitionError(self.path, place, reason)

    def read(self, schema: Json, namespace: str, place: str) -> Type:
        """The type that `schema` says."""
        if isinstance(schema, list):
            return self._union(schema, namespace, place)
        if isinstance(schema, str):
            if schema == "null":
                raise self.error(place, "a value that is always null says nothing; leave it out")
            if schema in _SCALARS:
                return _SCALARS[schema]
            inside = f"{namespace}.{schema}" if namespace and "." not in schema else schema
            return self.named[inside] if inside in self.named else self.named[schema]
        kind = schema["type"]
        if not isinstance(kind, str) or kind not in (*PRIMITIVES, "record", "enum", "fixed", "array", "map", "error"):
            return self.read(kind, namespace, place)  # a type in a type, or a name
        logical = schema.get("logicalType")
        if logical in _REFUSED:
            raise self.error(place, _REFUSED[logical])
        match kind:
            case "array":
                return ArrayType(self.read(schema["items"], namespace, f"{place}[]"))
            case "map":
                return MapType(self.read(schema["values"], namespace, f"{place}{{}}"))
            case "fixed":
                if logical is not None:
                    raise self.error(
                        place,
                        f"{logical} of a fixed is not read: use a string for a uuid, and fixed without logicalType",
                    )
                full = full_name(schema, namespace)
                self._check_full_name(full, place)
                self.named[full] = Scalar.BYTES
                return Scalar.BYTES
            case "enum":
                return self._enumeration(schema, namespace, place)
            case "record":
                return self._record(schema, namespace, place)
            case "error":
                raise self.error(place, "an error is no event: write record")
        if kind == "null":
            return self.read(kind, namespace, place)
        return LOGICAL_TYPES.get((kind, logical), _SCALARS[kind]) if isinstance(logical, str) else _SCALARS[kind]

    def _union(self, options: list[Any], namespace: str, place: str) -> Type:
        found: list[Type] = []
        for option in options:
            if option == "null" or (isinstance(option, dict) and option.get("type") == "null"):
                continue
            made = self.read(option, namespace, place)
            if made in found:
                raise self.error(
                    place, "two options of the union look the same to programs (a fixed and bytes); keep one"
                )
            found.append(made)
        if not found:
            raise self.error(place, "a value that is always null says nothing; leave it out")
        whole: Type = found[0] if len(found) == 1 else Union(tuple(found))
        return Nullable(whole) if len(found) < len(options) else whole

    def _name(self, schema: dict[str, Any], namespace: str, place: str) -> tuple[str, str]:
        """The name in programs, which is taken from now on, and the namespace inside of the type."""
        full = full_name(schema, namespace)
        outside, _, last = full.rpartition(".")
        self._check_full_name(full, place)
        name = type_name(last)
        if name in self.order:
            name = type_name(full)
        if not name or name in self.order:
            raise self.error(
                place, f"the type {full} needs another name: {name or last} is taken, or no name of a class"
            )
        self.order.append(name)
        self.named[full] = Reference(name)
        return name, outside

    def _check_name(self, name: object, place: str) -> None:
        """The rule of Avro for names, which fastavro does not hold them against."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise self.error(place, f"{name!r} is no name in Avro: letters, digits and _, no digit first")

    def _check_full_name(self, full: str, place: str) -> None:
        for part in full.split("."):
            self._check_name(part, place)

    def _enumeration(self, schema: dict[str, Any], namespace: str, place: str) -> Type:
        name, _ = self._name(schema, namespace, place)
        symbols = tuple(Symbol(symbol, symbol) for symbol in schema["symbols"])
        default = schema.get("default")
        if default is not None and default not in schema["symbols"]:
            raise self.error(place, f"the default of {name}, {default!r}, is none of its symbols")
        self.types[name] = Enumeration(name, symbols, _doc(schema))
        return Reference(name)

    def _record(self, schema: dict[str, Any], namespace: str, place: str) -> Type:
        name, inside = self._name(schema, namespace, place)
        fields: list[Field] = []
        for field in schema["fields"]:
            there = f"{place}.{field['name']}"
            self._check_name(field["name"], place)
            if any(one.name == field["name"] for one in fields):
                raise self.error(there, "there are two fields of this name")
            made = self.read(field["type"], inside, there)
            has_default = "default" in field
            if has_default:
                self._check_default(field["type"], field["default"], there)
            fields.append(Field(field["name"], made, True, _doc(field), has_default, field.get("default")))
        self.types[name] = Record(name, tuple(fields), _doc(schema))
        return Reference(name)

    def _check_default(self, schema: Json, default: object, place: str) -> None:
        """A default is a value of its type, of the first type if it is a union: older readers know it that way only."""
        first = schema[0] if isinstance(schema, list) else schema
        if not _fits(first, default):
            where = "the first type of the union" if isinstance(schema, list) else "its type"
            raise self.error(place, f"the default {default!r} is no value of {where}, {_kind(first)}")


def _kind(schema: Json) -> str:
    while isinstance(schema, dict):
        schema = schema["type"]
    return "a union" if isinstance(schema, list) else str(schema)


def _fits(schema: Json, value: object) -> bool:
    """Whether a default is of the right kind of JSON. What types of other places need is checked where they are written."""
    kind = _kind(schema)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int" | "long":
            bits = 31 if kind == "int" else 63
            return isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits
        case "float" | "double":
            return is_number
        case "string":
            return isinstance(value, str)
        case "bytes" | "fixed":
            sized = (
                not isinstance(schema, dict)
                or kind == "bytes"
                or (isinstance(value, str) and len(value) == schema["size"])
            )
            return isinstance(value, str) and all(ord(char) < 256 for char in value) and sized
        case "enum":
            return isinstance(schema, dict) and value in schema["symbols"]
        case "array":
            return (
                isinstance(value, list)
                and isinstance(schema, dict)
                and all(_fits(schema["items"], one) for one in value)
            )
        case "map":
            return (
                isinstance(value, dict)
                and isinstance(schema, dict)
                and all(_fits(schema["values"], one) for one in value.values())
            )
        case "record":
            if not isinstance(value, dict) or not isinstance(schema, dict):
                return False
            return all(
                _fits(field["type"], value[field["name"]]) if field["name"] in value else "default" in field
                for field in schema["fields"]
            )
    return True


def _doc(schema: Mapping[str, Any]) -> str:
    return str(schema.get("doc", "")).strip()
