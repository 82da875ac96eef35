"""Types of definitions as TypeScript says them, and as the codec for JSON is told them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from durabus.definitions.generation.names import (
    TYPESCRIPT_KEYWORDS,
    camel_case,
    pascal_case,
    unique_names,
)
from durabus.definitions.generation.plan import may_be_left_out
from durabus.definitions.generation.typescript_text import (
    LINE_LENGTH,
    comment,
    property_name,
    typescript_string,
)
from durabus.definitions.model import (
    AnyType,
    ArrayType,
    Definition,
    Enumeration,
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

__all__ = ["TypeScriptNames", "json_shapes", "named_type_lines", "typescript_names"]

_SCALARS: Final = {
    Scalar.STRING: "string",
    Scalar.BOOLEAN: "boolean",
    Scalar.INT32: "number",
    Scalar.INT64: "bigint",
    Scalar.UINT32: "number",
    Scalar.UINT64: "bigint",
    Scalar.INTEGER: "number",
    Scalar.FLOAT32: "number",
    Scalar.FLOAT64: "number",
    Scalar.BYTES: "Uint8Array",
    Scalar.DATE: "string",
    Scalar.TIMESTAMP: "Date",
    Scalar.UUID: "string",
}
_SHAPES: Final = {
    **{scalar: scalar.value for scalar in (Scalar.STRING, Scalar.BOOLEAN, Scalar.BYTES, Scalar.DATE)},
    **{scalar: scalar.value for scalar in (Scalar.TIMESTAMP, Scalar.UUID, Scalar.INT64, Scalar.UINT64)},
    Scalar.INT32: "integer",
    Scalar.UINT32: "integer",
    Scalar.INTEGER: "integer",
    Scalar.FLOAT32: "number",
    Scalar.FLOAT64: "number",
}
_RESERVED: Final = TYPESCRIPT_KEYWORDS | {
    "AnyEvent", "Array", "Codec", "Date", "DecodeError", "EncodeError", "Listener", "Publisher", "Record", "Subjects", "Uint8Array",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TypeScriptNames:
    """What is known while the types of one definition are written."""

    types: dict[str, NamedType]
    interfaces: dict[str, str]  # of each named type
    properties: dict[str, dict[str, str]]  # by record, by the name in the definition
    members: dict[str, dict[str, str]]  # by enumeration, by the name in the definition
    format: Format


def typescript_names(definition: Definition) -> TypeScriptNames:
    """How the types, fields and symbols of a definition are called in TypeScript."""
    types = {one.name: one for one in definition.types}
    event = pascal_case(definition.types[0].name)
    taken = {*_RESERVED, f"{event}Event"}
    if f"{event}Event" in _RESERVED:
        taken.add(event)
    interfaces = unique_names(types, pascal_case, taken)
    properties: dict[str, dict[str, str]] = {}
    members: dict[str, dict[str, str]] = {}
    for one in definition.types:
        if isinstance(one, Record):
            fields = [field.name for field in one.fields]
            is_numbered = definition.format is Format.PROTOBUF
            properties[one.name] = (
                unique_names(fields, camel_case, ()) if is_numbered else {name: name for name in fields}
            )
        else:
            members[one.name] = unique_names((symbol.name for symbol in one.symbols), _member_name, ())
    return TypeScriptNames(types, interfaces, properties, members, definition.format)


def _member_name(name: str) -> str:
    """`awaiting:payment` as `AwaitingPayment`; `METHOD_CARD` stays as it is."""
    return name if name.isidentifier() and name.isascii() and name[0].isupper() else pascal_case(name)


def named_type_lines(named: NamedType, names: TypeScriptNames) -> list[str]:
    """An interface for a record; for an enumeration an object with its values, and the type of these."""
    name = names.interfaces[named.name]
    lines = comment(named.description)
    if isinstance(named, Enumeration):
        lines.append(f"export const {name} = {{")
        for symbol in named.symbols:
            value = typescript_string(symbol.value) if isinstance(symbol.value, str) else str(symbol.value)
            lines += [*comment(symbol.description, "  "), f"  {names.members[named.name][symbol.name]}: {value},"]
        values = f"(typeof {name})[keyof typeof {name}];"
        lines += ["} as const;", ""]
        line = f"export type {name} = {values}"
        return [*lines, *([line] if len(line) <= LINE_LENGTH else [f"export type {name} =", f"  {values}"])]
    if not named.fields:
        return [*lines, f"export type {name} = Record<string, never>;"]
    lines.append(f"export interface {name} {{")
    for field in named.fields:
        mark = "?" if may_be_left_out(field, names.format) else ""
        start = f"  {property_name(names.properties[named.name][field.name])}{mark}:"
        lines += [*comment(field.description, "  "), *_property(start, field.type, names)]
    return [*lines, "}"]


def _property(start: str, type_: Type, names: TypeScriptNames) -> list[str]:
    parts = list(dict.fromkeys(_union_parts(type_, names)))
    line = f"{start} {' | '.join(parts)};"
    if len(line) <= LINE_LENGTH or len(parts) == 1:
        return [line]
    return [start, *(f"    | {part}" for part in parts[:-1]), f"    | {parts[-1]};"]


def _union_parts(type_: Type, names: TypeScriptNames) -> list[str]:
    """The members of a type as a union; of most types it is the type itself."""
    match type_:
        case Scalar():
            return [_SCALARS[type_]]
        case AnyType():
            return ["unknown"]
        case Literal(values):
            return [typescript_string(one) if isinstance(one, str) else str(one).lower() for one in values]
        case ArrayType(items):
            parts = list(dict.fromkeys(_union_parts(items, names)))
            return [f"{parts[0]}[]" if len(parts) == 1 else f"({' | '.join(parts)})[]"]
        case MapType(values, keys):
            key = "number" if keys in (Scalar.INT32, Scalar.UINT32) else "string"
            return [f"Record<{key}, {' | '.join(dict.fromkeys(_union_parts(values, names)))}>"]
        case Nullable(inner):
            parts = _union_parts(inner, names)
            return parts if parts == ["unknown"] else [*parts, "null"]
        case Union(types):
            return [part for one in types for part in _union_parts(one, names)]
        case Reference(name):
            return [names.interfaces[name]]


def json_shapes(definition: Definition) -> dict[str, object]:
    """What the codec for JSON is told of each record."""
    types = {one.name: one for one in definition.types}
    found: dict[str, object] = {}
    for one in definition.types:
        if not isinstance(one, Record):
            continue
        fields: dict[str, object] = {}
        for field in one.fields:
            described: dict[str, object] = {"shape": _shape(field.type, types)}
            if not field.is_required:
                described["optional"] = True
                if field.has_default:
                    described["default"] = field.default
            fields[field.name] = described
        found[one.name] = {"fields": fields} if one.allows_more else {"fields": fields, "closed": True}
    return found


def _shape(type_: Type, types: Mapping[str, NamedType]) -> object:
    match type_:
        case Scalar():
            return _SHAPES[type_]
        case AnyType():
            return "any"
        case Literal(values):
            return {"literal": list(values)}
        case ArrayType(items):
            return {"array": _shape(items, types)}
        case MapType(values):
            return {"map": _shape(values, types)}
        case Nullable(inner):
            return {"nullable": _shape(inner, types)}
        case Union(members):
            return {"union": [_shape(one, types) for one in members]}
        case Reference(name):
            named = types[name]
            if isinstance(named, Enumeration):
                return {"literal": [symbol.value for symbol in named.symbols]}
            return {"ref": name}
