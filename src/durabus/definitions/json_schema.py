"""Definitions in JSON Schema, draft 2020-12 and draft 7.

The top of a file says `title` (the name of the event), `x-subject`, and optionally `x-version` and `x-identity`. What the
neutral form cannot say (tuples, properties by pattern, conditions) is refused; what only narrows values (ranges, lengths,
patterns) is left to the checks of compatibility.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from durabus.definitions.header import make_definition
from durabus.definitions.json_document import Json, SchemaDocument, child
from durabus.definitions.model import (
    AnyType,
    ArrayType,
    Definition,
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
    Symbol,
    Type,
    Union,
)
from durabus.definitions.naming import short_title, type_name

__all__ = ["is_json_definition", "read_json_schema"]

REFUSED: Final = {
    "patternProperties": "properties by pattern have no names; use additionalProperties for a map",
    "prefixItems": "tuples are not read; use an object with named properties",
    "additionalItems": "tuples are not read; use an object with named properties",
    "if": "conditions are not read; use oneOf with a named record for each case",
    "then": "conditions are not read; use oneOf with a named record for each case",
    "else": "conditions are not read; use oneOf with a named record for each case",
    "dependentSchemas": "conditions are not read; use oneOf with a named record for each case",
    "dependencies": "conditions are not read; use oneOf with a named record for each case",
    "$dynamicRef": "only $ref is read",
    "$recursiveRef": "only $ref is read",
    "unevaluatedItems": "tuples are not read; use an object with named properties",
    "nullable": 'this is of OpenAPI; write "type": ["string", "null"] or anyOf with {"type": "null"}',
}
"""Keywords that would change what a value looks like in a way that types do not say, or that do nothing although they seem to."""

# Keywords that speak of values of one type only: without a `type` they say nothing of the others.
OF_ONE_TYPE: Final = frozenset(
    ("properties", "required", "additionalProperties", "unevaluatedProperties", "minProperties", "maxProperties",
     "propertyNames", "items", "minItems", "maxItems", "uniqueItems", "contains", "minLength", "maxLength", "pattern",
     "format", "contentEncoding", "contentMediaType", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
     "multipleOf")
)  # fmt: skip
_STRUCTURE: Final = frozenset(
    ("$ref", "allOf", "anyOf", "oneOf", "type", "properties", "items", "additionalProperties", "enum", "const")
)
_DEPTH_MAX: Final = 100
_STRINGS: Final = {"date-time": Scalar.TIMESTAMP, "date": Scalar.DATE, "uuid": Scalar.UUID}
_INTEGERS: Final = {
    "int32": Scalar.INT32,
    "int64": Scalar.INT64,
    "uint32": Scalar.UINT32,
    "uint64": Scalar.UINT64,
}
_PLAIN: Final = {
    "string": Scalar.STRING,
    "boolean": Scalar.BOOLEAN,
    "number": Scalar.FLOAT64,
    "integer": Scalar.INTEGER,
}


def is_json_definition(document: object) -> bool:
    """Whether a JSON document means to define an event: it says a subject."""
    return isinstance(document, Mapping) and "x-subject" in document


def read_json_schema(path: Path, document: object) -> Definition:
    """The definition in a parsed document; raises DefinitionError."""
    if not isinstance(document, dict):
        raise SchemaDocument(path, {}).error("", "it is no JSON Schema: a definition is an object")
    schema = SchemaDocument(path, document)
    _check_itself(schema)
    reader = _Reader(schema)
    title = document.get("title")
    if not isinstance(title, str) or not type_name(title):
        raise schema.error("#/title", 'the name of the event is missing, as in "title": "TicketCreated"')
    types = reader.read_event(type_name(title))
    return make_definition(path, document, "x-", Format.JSON_SCHEMA, types, document)


def _check_itself(schema: SchemaDocument) -> None:
    """Hold the document against the rules of JSON Schema itself."""
    from durabus.definitions.libraries import import_library

    jsonschema_rs = import_library("jsonschema_rs")
    try:
        jsonschema_rs.meta.validate(schema.root)
    except jsonschema_rs.ValidationError as error:
        raise schema.error(child("#", *error.instance_path), f"not valid JSON Schema: {error.message}") from None


class _Reader:
    """Of one document: converts schemas to types, and collects those that have names."""

    def __init__(self, schema: SchemaDocument) -> None:
        self.schema = schema
        self.types: dict[str, NamedType | None] = {}  # None while it is being read
        self.names: dict[str, str] = {}  # from pointers of what has a name
        self.trail: list[str] = []  # pointers without a name that are being read

    def read_event(self, name: str) -> tuple[NamedType, ...]:
        """The record of the event, and all it refers to."""
        root, pointer = self.schema.follow(self.schema.root, "#")
        flat = self.schema.flatten(root, pointer)
        self.names["#"] = self.names[pointer] = name
        if flat.get("type") != "object" or "properties" not in flat:
            raise self.schema.error("#", 'an event is an object: write "type": "object" and "properties"')
        self._refuse(flat, "#")
        self._record(flat, "#", name)
        return tuple(found for found in self.types.values() if found is not None)

    # Types.

    def read(self, schema: Json, pointer: str, hint: str) -> Type:
        """The type that a schema says; `hint` is the name of it, should it need one."""
        is_reference = isinstance(schema, dict) and ("$ref" in schema or "allOf" in schema)
        schema, pointer = self.schema.follow(schema, pointer)
        if pointer in self.names:
            return Reference(self.names[pointer])
        if isinstance(schema, bool):
            if schema:
                return AnyType()
            raise self.schema.error(pointer, "false lets no value pass")
        if pointer.count("/") > _DEPTH_MAX:
            raise self.schema.error(
                "/".join(pointer.split("/")[:7]),
                "it is nested too deeply, or contains itself by allOf; refer to it by $ref alone",
            )
        if pointer in self.trail:
            raise self.schema.error(pointer, "it contains itself without an object that has a name between")
        flat = self.schema.flatten(schema, pointer)
        self._refuse(flat, pointer)
        name = type_name(pointer.rsplit("/", 1)[-1]) if is_reference and _is_definition(pointer) else ""
        self.trail.append(pointer)
        made = self._read_flat(flat, pointer, name, hint)
        self.trail.pop()
        return made

    def _read_flat(self, flat: dict[str, Any], pointer: str, name: str, hint: str) -> Type:
        for keyword in ("oneOf", "anyOf"):
            if keyword in flat and any(_has_structure(option) for option in flat[keyword]):
                return self._union(flat, keyword, pointer, name, hint)
        if "const" in flat or "enum" in flat:
            return self._values(flat, pointer, name, hint)
        declared = flat.get("type")
        if declared is None:
            loose = sorted(flat.keys() & OF_ONE_TYPE)
            if loose:
                raise self.schema.error(
                    pointer, f"it has {', '.join(loose)} but no type, so it lets values of other types pass"
                )
            return AnyType()
        kinds = list(declared) if isinstance(declared, list) else [declared]
        if "number" in kinds and "integer" in kinds:
            kinds.remove("integer")
        is_nullable = "null" in kinds and len(kinds) > 1
        kinds = [kind for kind in kinds if kind != "null" or not is_nullable]
        found = [self._single(kind, flat, pointer, name, hint) for kind in kinds]
        whole: Type = found[0] if len(found) == 1 else Union(tuple(found))
        return Nullable(whole) if is_nullable else whole

    def _single(self, kind: str, flat: dict[str, Any], pointer: str, name: str, hint: str) -> Type:
        """The type for one name of `type`."""
        match kind:
            case "object":
                if flat.get("properties") or _closed(flat):
                    return self._record(flat, pointer, self._free_name(name, flat, hint, pointer))
                values = flat.get("additionalProperties", flat.get("unevaluatedProperties", True))
                return MapType(self.read(values, child(pointer, "additionalProperties"), hint + "Value"))
            case "array":
                if isinstance(flat.get("items"), list):
                    raise self.schema.error(child(pointer, "items"), REFUSED["prefixItems"])
                return ArrayType(self.read(flat.get("items", True), child(pointer, "items"), hint + "Item"))
            case "null":
                raise self.schema.error(pointer, "a value that is always null says nothing; leave it out")
            case "string":
                if flat.get("contentEncoding") == "base64":
                    return Scalar.BYTES
                return _STRINGS.get(flat.get("format", ""), Scalar.STRING)
            case "integer":
                return _INTEGERS.get(flat.get("format", ""), Scalar.INTEGER)
        return _PLAIN[kind]

    def _union(self, flat: dict[str, Any], keyword: str, pointer: str, name: str, hint: str) -> Type:
        """One of several types; with a type that repeats what the options say, and nothing else beside."""
        beside = flat.keys() & _STRUCTURE - {keyword, "type"}
        if beside:
            raise self.schema.error(
                pointer, f"{keyword} beside {', '.join(sorted(beside))} is not read; repeat it in each option"
            )
        found: list[Type] = []
        is_nullable = False
        literals: list[str | int | bool] = []
        hint = name or hint
        for index, option in enumerate(flat[keyword]):
            place = child(pointer, keyword, index)
            if self._is_null(option, place):
                is_nullable = True
                continue
            only = len(flat[keyword]) - sum(self._is_null(other, place) for other in flat[keyword]) == 1
            made = self.read(self._with_type(option, flat), place, hint if only else _option_name(hint, option, index))
            if isinstance(made, Nullable):
                is_nullable, made = True, made.type
            for part in made.types if isinstance(made, Union) else (made,):
                if isinstance(part, Literal):
                    known = {(type(value), value) for value in literals}  # True is not 1
                    literals += (value for value in part.values if (type(value), value) not in known)
                elif part not in found:
                    found.append(part)
        if literals:
            found.append(Literal(tuple(literals)))
        if not found:
            raise self.schema.error(pointer, "a value that is always null says nothing; leave it out")
        whole: Type = found[0] if len(found) == 1 else Union(tuple(found))
        if AnyType() in found:
            return AnyType()
        return Nullable(whole) if is_nullable else whole

    def _with_type(self, option: Json, flat: dict[str, Any]) -> Json:
        """An option, with the type that stands beside all options."""
        if (
            "type" not in flat
            or not isinstance(option, dict)
            or not option.keys().isdisjoint(("type", "$ref", "allOf"))
        ):
            return option
        return {**option, "type": flat["type"]}

    def _is_null(self, option: Json, pointer: str) -> bool:
        option, _ = self.schema.follow(option, pointer)
        if not isinstance(option, dict):
            return False
        return option.get("type") == "null" or option.get("const", 0) is None or option.get("enum") == [None]

    def _values(self, flat: dict[str, Any], pointer: str, name: str, hint: str) -> Type:
        """A type with its values listed."""
        listed = flat["enum"] if "enum" in flat else [flat["const"]]
        kinds = flat.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if "const" in flat and "enum" in flat:
            raise self.schema.error(pointer, "it has both const and enum")
        for value in listed:
            if value is not None and not isinstance(value, str | int | bool):
                raise self.schema.error(
                    pointer,
                    f"{value!r} in {'enum' if 'enum' in flat else 'const'}: strings, integers, booleans and null are read",
                )
            if kinds and not any(_is_of(value, kind) for kind in kinds):
                raise self.schema.error(pointer, f"{value!r} is listed, but its type is {' or '.join(kinds)}")
        values = tuple(value for value in listed if value is not None)
        if not values:
            raise self.schema.error(pointer, "a value that is always null says nothing; leave it out")
        made: Type = Literal(values)
        title = name or short_title(flat.get("title"))
        if title and "enum" in flat and all(isinstance(value, str) for value in values):
            symbols = tuple(Symbol(value, value) for value in values)
            wanted = Enumeration(title, symbols, _description(flat))
            made = self._named(wanted, pointer, [title, hint])
        return Nullable(made) if len(values) < len(listed) else made

    # Types with names.

    def _record(self, flat: dict[str, Any], pointer: str, name: str) -> Reference:
        self.names[pointer] = name
        self.types[name] = None
        trail, self.trail = self.trail, []
        properties = flat.get("properties", {})
        required = flat.get("required", [])
        for wanted in required:
            if wanted not in properties:
                raise self.schema.error(
                    child(pointer, "required"), f"it requires {wanted!r}, which its properties do not have"
                )
        extra = flat.get("additionalProperties", flat.get("unevaluatedProperties", True))
        if not (isinstance(extra, bool) or extra == {}):
            raise self.schema.error(
                pointer,
                "an object with both properties and a schema for the others is not read; put the map into a property",
            )
        fields = tuple(
            self._field(wire, schema, child(pointer, "properties", wire), name, wire in required)
            for wire, schema in properties.items()
        )
        self.types[name] = Record(name, fields, _description(flat), allows_more=extra is not False)
        self.trail = trail
        return Reference(name)

    def _field(self, wire: str, schema: Json, pointer: str, owner: str, is_required: bool) -> Field:
        made = self.read(schema, pointer, owner + (type_name("x " + wire)[1:] or "Value"))
        outer = schema if isinstance(schema, dict) else {}
        described, _ = self.schema.follow(schema, pointer)
        description = _description(outer)
        if not description and isinstance(described, dict) and not isinstance(made, Reference):
            description = _description(described)
        default = outer.get("default")
        if "default" in outer:
            self._check_default(schema, default, pointer)
        return Field(wire, made, is_required, description, "default" in outer, default)

    def _check_default(self, schema: Json, default: object, pointer: str) -> None:
        """A default is a value of its type: who reads an event without the field takes it."""
        from durabus.definitions.libraries import import_library

        shared = {
            name: self.schema.root[name] for name in ("$schema", "$defs", "definitions") if name in self.schema.root
        }
        validator = import_library("jsonschema_rs").validator_for(
            {**shared, "allOf": [schema]}, validate_formats=True, offline=True
        )
        for error in validator.iter_errors(default):
            raise self.schema.error(child(pointer, "default"), f"it does not fit the schema: {error.message}")

    def _free_name(self, name: str, flat: dict[str, Any], hint: str, pointer: str) -> str:
        """A name for a record: of its definition, of its title, of where it is."""
        for wanted in [name] if name else [short_title(flat.get("title")), hint]:
            if wanted and wanted not in self.types:
                return wanted
        raise self.schema.error(
            pointer, f"there is another type with the name {name or hint}; give this one a title, or put it into $defs"
        )

    def _named(self, wanted: Enumeration, pointer: str, names: Sequence[str]) -> Reference:
        """A place for an enumeration; one that is there already with the same values is used again."""
        for name in names:
            there = self.types.get(name)
            if isinstance(there, Enumeration) and there.symbols == wanted.symbols:
                self.names[pointer] = name
                return Reference(name)
            if name and name not in self.types:
                self.names[pointer] = name
                self.types[name] = Enumeration(name, wanted.symbols, wanted.description)
                return Reference(name)
        raise self.schema.error(pointer, f"there is another type with the name {names[0]}; give this one another title")

    def _refuse(self, flat: dict[str, Any], pointer: str) -> None:
        for keyword, reason in REFUSED.items():
            if keyword in flat:
                raise self.schema.error(child(pointer, keyword), reason)
        if flat.get("not") == {}:
            raise self.schema.error(pointer, "false lets no value pass")
        if "$id" in flat and pointer != "#":
            raise self.schema.error(child(pointer, "$id"), "an $id inside of a definition is not read")


def _is_definition(pointer: str) -> bool:
    parts = pointer.split("/")
    return len(parts) == 3 and parts[1] in ("$defs", "definitions")


def _closed(flat: Mapping[str, Any]) -> bool:
    return flat.get("additionalProperties", flat.get("unevaluatedProperties", True)) is False


def _has_structure(option: Json) -> bool:
    """Whether an option says what a value looks like; otherwise it only narrows what its neighbours say."""
    return not isinstance(option, dict) or not option.keys().isdisjoint(_STRUCTURE - {"properties"})


def _option_name(hint: str, option: Json, index: int) -> str:
    return short_title(option.get("title") if isinstance(option, dict) else None) or f"{hint}{index + 1}"


def _description(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "")).strip()


def _is_of(value: object, kind: str) -> bool:
    """Whether `value` is of the type that JSON Schema calls `kind`."""
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "integer" | "number":
            return isinstance(value, int) and not isinstance(value, bool)
    return False
