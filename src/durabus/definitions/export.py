"""Definitions from Python classes: each class with @event as a JSON Schema document that reads back to the same shape."""

import json
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from durabus.definitions.json_document import Json
from durabus.definitions.json_schema import read_json_schema
from durabus.definitions.model import DefinitionError
from durabus.events.event import JSON, MARK, EventType, event_type

__all__ = ["ExportError", "export_class", "export_module", "file_name"]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Final = "#/$defs/"
_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class ExportError(DefinitionError):
    """A class or a module of which no definition can be made; the text says why."""


def file_name(name: str) -> str:
    """The file of an event: TicketCreated is in ticket_created.schema.json."""
    return _WORD_START.sub("_", name).lower() + ".schema.json"


def export_module(target: str) -> dict[str, str]:
    """The files for `module`, or for one class as `module:Class`: their texts by their names. Raises ExportError."""
    module_name, _, class_name = target.partition(":")
    module = _import(module_name)
    if class_name:
        found = getattr(module, class_name, None)
        if not isinstance(found, type):
            raise ExportError(module_name, class_name, "there is no such class in the module")
        classes = [found]
    else:
        named = {id(value): value for _, value in sorted(vars(module).items()) if isinstance(value, type)}
        classes = [value for value in named.values() if MARK in value.__dict__]
        if not classes:
            raise ExportError(module_name, "", "there is no class with @event in the module")
    files: dict[str, str] = {}
    for cls in sorted(classes, key=lambda cls: cls.__name__):
        name = file_name(cls.__name__)
        if name in files:
            raise ExportError(
                module_name, cls.__name__, f"another event of the module is written to {name} too; rename one"
            )
        files[name] = export_class(cls)
    return files


def export_class(cls: type[Any]) -> str:
    """The text of the definition of one event class; raises ExportError, or EventDefinitionError for a class that is no event."""
    known = event_type(cls)
    if known.encoding != JSON:
        reason = f"its payloads are {known.encoding}: its definition is the file that it was generated from"
        raise ExportError(cls.__module__, cls.__name__, reason)
    is_pydantic = "__pydantic_validator__" in cls.__dict__
    try:
        root, shared, names = _pydantic_schema(cls) if is_pydantic else _msgspec_schema(cls)
    except Exception as error:  # noqa: BLE001 - the libraries raise TypeError, NameError and errors of their own
        raise ExportError(cls.__module__, cls.__name__, f"it has no JSON Schema: {error}") from None
    document = _document(known, root, shared, names)
    try:
        read_json_schema(Path(file_name(cls.__name__)), document)
    except DefinitionError as error:
        raise ExportError(cls.__module__, cls.__name__, f"{error.place}: {error.reason}") from None
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _import(name: str) -> ModuleType:
    if not name:
        raise ExportError("", "", "no module is named")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ExportError(name, "", f"there is no module {error.name}") from None
    except (Exception, SystemExit) as error:
        raise ExportError(name, "", f"it cannot be imported: {type(error).__name__}: {error}") from error


def _document(
    known: EventType[Any], root: Json, shared: Mapping[str, Json], names: Mapping[str, str]
) -> dict[str, Any]:
    """The schema of a class with what makes it a definition, in an order that people like to read."""
    document: dict[str, Any] = {"$schema": _DRAFT, "title": known.name}
    if root.get("description"):
        document["description"] = root["description"]
    document["x-subject"] = known.subject
    document["x-version"] = known.version
    if known.identity:
        document["x-identity"] = [names.get(name, name) for name in known.identity]
    document.update({name: value for name, value in root.items() if name not in document})
    # What has an identity has it in every event, though Python makes one up where none is given.
    if known.identity:
        needed = {*document.get("required", ()), *document["x-identity"]}
        document["required"] = [name for name in document["properties"] if name in needed]
    if shared:
        document["$defs"] = {name: shared[name] for name in sorted(shared)}
    return document


def _split(cls: type[Any], schema: Json, shared: dict[str, Json]) -> tuple[Json, dict[str, Json]]:
    """The schema of the event itself, and those of the others; who referred to the event refers to the document."""
    while "$ref" in schema:
        name = schema["$ref"].removeprefix(_REFERENCE)
        schema = shared.pop(name)
        schema = _point_to_root(schema, _REFERENCE + name)
        shared = {one: _point_to_root(value, _REFERENCE + name) for one, value in shared.items()}
    _drop_made_up_words(cls.__name__, schema)
    for name, value in shared.items():
        _drop_made_up_words(name, value)
    return schema, shared


def _point_to_root(schema: Json, reference: str) -> Json:
    if isinstance(schema, list):
        return [_point_to_root(one, reference) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("$ref") == reference:
        return {**schema, "$ref": "#"}
    return {name: _point_to_root(value, reference) for name, value in schema.items()}


def _drop_made_up_words(name: str, schema: dict[str, Any]) -> None:
    """What nobody wrote: the description that @dataclass makes, titles of properties."""
    description = schema.get("description", "")
    if description.startswith(f"{name}("):
        del schema["description"]
    elif description:
        schema["description"] = " ".join(description.split()) if "\n\n" not in description else description
    for property_schema in schema.get("properties", {}).values():
        if isinstance(property_schema, dict):
            property_schema.pop("title", None)


# msgspec: Structs and dataclasses.


def _msgspec_schema(cls: type[Any]) -> tuple[Json, dict[str, Json], dict[str, str]]:
    import msgspec

    (schema,), components = msgspec.json.schema_components([cls], ref_template=_REFERENCE + "{name}")
    info = msgspec.inspect.type_info(cls)
    seen: list[Any] = []
    _add_moments(info, schema, components, seen)
    names = {field.name: field.encode_name for field in getattr(info, "fields", ())}
    plain = json.loads(msgspec.json.encode({"schema": schema, "shared": components}))
    return *_split(cls, plain["schema"], plain["shared"]), names


def _add_moments(info: Any, schema: Json, components: dict[str, Json], seen: list[Any]) -> None:  # noqa: ANN401 - of msgspec
    """Say `date-time` of every datetime: msgspec does not, unless the annotation demands a zone."""
    import msgspec

    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        if any(info is one for one in seen):
            return
        seen.append(info)
        schema = components[schema["$ref"].removeprefix(_REFERENCE)]
    match info:
        case msgspec.inspect.DateTimeType():
            if schema.get("type") == "string":
                schema.setdefault("format", "date-time")
        case msgspec.inspect.UnionType():
            for option in info.types:
                for part in schema.get("anyOf", [schema]):
                    if _may_be(option, part, components):
                        _add_moments(option, part, components, seen)
        case msgspec.inspect.DictType():
            _add_moments(info.value_type, schema.get("additionalProperties"), components, seen)
        case msgspec.inspect.StructType() | msgspec.inspect.DataclassType():
            for field in info.fields:
                _add_moments(field.type, schema["properties"].get(field.encode_name), components, seen)
        case _:
            if hasattr(info, "item_type"):  # lists, sets, tuples of any length
                _add_moments(info.item_type, schema.get("items"), components, seen)


def _may_be(info: Any, schema: dict[str, Any], components: Mapping[str, Json]) -> bool:  # noqa: ANN401 - of msgspec
    """Whether an option of a union is what `schema` says: there is at most one for each type of JSON, but for objects."""
    import msgspec

    if "$ref" in schema:
        target = components[schema["$ref"].removeprefix(_REFERENCE)]
        return bool(getattr(getattr(info, "cls", None), "__name__", "") == target.get("title"))
    if isinstance(info, msgspec.inspect.DateTimeType):
        return bool(schema.get("type") == "string")
    if isinstance(info, msgspec.inspect.DictType):
        return bool(schema.get("type") == "object")
    return schema.get("type") == "array" and hasattr(info, "item_type")


# pydantic: models and dataclasses of it.


def _pydantic_schema(cls: type[Any]) -> tuple[Json, dict[str, Json], dict[str, str]]:
    adapter = sys.modules["pydantic"].TypeAdapter(cls)
    schema = adapter.json_schema(by_alias=True, ref_template=_REFERENCE + "{model}")
    shared = schema.pop("$defs", {})
    fields = getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", {})
    names = {name: field.serialization_alias or field.alias or name for name, field in fields.items()}
    return *_split(cls, schema, shared), names
