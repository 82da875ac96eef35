"""An AsyncAPI 3.0 document of definitions: channels, operations, messages, and the schemas as their files have them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from durabus.definitions.generation.names import camel_case
from durabus.definitions.generation.plan import GenerationError, refuse_twins
from durabus.definitions.libraries import import_library
from durabus.definitions.model import Definition, Format

__all__ = ["asyncapi_document", "asyncapi_text"]

Json: TypeAlias = Any

_CONTENT_TYPES: Final = {
    Format.JSON_SCHEMA: "application/json",
    Format.AVRO: "application/vnd.apache.avro",
    Format.PROTOBUF: "application/x-protobuf",
}
_AVRO: Final = "application/vnd.apache.avro+json;version=1.9.0"
_PROTOBUF: Final = "application/vnd.google.protobuf;version="
_SCHEMAS: Final = "#/components/schemas/"
_DEFINITIONS: Final = ("$defs", "definitions")
# Keywords under which a schema has schemas by name, or values that are no schemas.
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas")
_VALUES: Final = ("const", "enum", "default", "examples", "required")


def asyncapi_text(definitions: Sequence[Definition], title: str, version: str) -> str:
    """The document as JSON, the same for the same definitions; raises GenerationError."""
    return json.dumps(asyncapi_document(definitions, title, version), indent=2, ensure_ascii=False) + "\n"


def asyncapi_document(definitions: Sequence[Definition], title: str, version: str) -> dict[str, Json]:
    """The document; `version` is that of the document, each event has its own. Raises GenerationError."""
    ordered = sorted(definitions, key=lambda definition: definition.name)
    refuse_twins(ordered, "name")
    channels: dict[str, Json] = {}
    operations: dict[str, Json] = {}
    messages: dict[str, Json] = {}
    schemas: dict[str, Json] = {}
    subjects = sorted({definition.subject for definition in ordered})
    names = {subject: _channel_name(subject, subjects) for subject in subjects}
    for one in ordered:
        channel = names[one.subject]
        entry = channels.setdefault(channel, {"address": one.subject, "messages": {}})
        entry["messages"][one.name] = {"$ref": f"#/components/messages/{one.name}"}
        for action, verb in (("send", "publish"), ("receive", "listenTo")):
            operations[f"{verb}{one.name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{one.name}"}],
            }
        messages[one.name] = _message(one)
        if one.format is Format.JSON_SCHEMA:
            schemas.update(_json_schemas(one))
    components = {"messages": messages, **({"schemas": schemas} if schemas else {})}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "channels": {name: channels[name] for name in sorted(channels)},
        "operations": operations,
        "components": components,
    }


def _channel_name(subject: str, subjects: Sequence[str]) -> str:
    """A key for a channel: `order:created` as orderCreated, with a number where several subjects give the same."""
    name = camel_case(subject)
    twins = [other for other in subjects if camel_case(other) == name]
    return name if twins[0] == subject else f"{name}{twins.index(subject) + 1}"


def _message(definition: Definition) -> dict[str, Json]:
    told: dict[str, Json] = {"name": definition.name, "title": definition.name}
    if definition.description:
        told["description"] = definition.description
    told["contentType"] = _CONTENT_TYPES[definition.format]
    match definition.format:
        case Format.JSON_SCHEMA:
            told["payload"] = {"$ref": _SCHEMAS + definition.name}
        case Format.AVRO:
            told["payload"] = {"schemaFormat": _AVRO, "schema": _split_names(definition.source)}
        case Format.PROTOBUF:
            told["payload"] = {"schemaFormat": _PROTOBUF + _syntax(definition), "schema": _proto_text(definition)}
            told["x-message"] = definition.message
    told["x-version"] = definition.version
    if definition.identity:
        told["x-identity"] = list(definition.identity)
    return told


def _split_names(schema: Json) -> Json:
    """An Avro schema with `a.B` as the name B in the namespace a, which means the same: AsyncAPI takes names without dots only."""
    if isinstance(schema, list):
        return [_split_names(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    split = {key: _split_names(value) if key in ("type", "items", "values") else value for key, value in schema.items()}
    if "fields" in split:
        split["fields"] = [{**field, "type": _split_names(field["type"])} for field in split["fields"]]
    if split.get("type") in ("record", "enum", "fixed") and "." in split["name"]:
        split["namespace"], _, split["name"] = split["name"].rpartition(".")
    return split


def _syntax(definition: Definition) -> str:
    """The version of Protobuf that a definition is written in."""
    files = import_library("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(definition.source).file
    return "2" if files[-1].syntax in ("", "proto2") else "3"


def _proto_text(definition: Definition) -> str:
    try:
        return definition.path.read_text(encoding="utf-8")
    except OSError as error:
        raise GenerationError(f"{definition.path} cannot be read: {(error.strerror or str(error)).lower()}") from error


def _json_schemas(definition: Definition) -> dict[str, Json]:
    """The schema of an event, and what it defines inside, each as a component with references to the others."""
    source = definition.source
    assert isinstance(source, Mapping)
    left_out = ("$schema", "$id", "x-subject", "x-version", "x-identity", *_DEFINITIONS)
    top = {key: value for key, value in source.items() if key not in left_out}
    found = {definition.name: _moved(top, definition.name)}
    for place in _DEFINITIONS:
        for name, schema in source.get(place, {}).items():
            found[f"{definition.name}.{_component(name)}"] = _moved(schema, definition.name)
    return found


def _component(name: str) -> str:
    """A name that a component may have: letters, digits, `.`, `-` and `_`."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in name)


def _moved(schema: Json, event: str) -> Json:
    """A schema with its references changed. What stands beside a reference goes into an allOf: AsyncAPI has draft 7, which ignores it."""
    if isinstance(schema, list):
        return [_moved(one, event) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved: dict[str, Json] = {}
    for key, value in schema.items():
        if key == "$ref":
            moved[key] = _reference(value, event)
        elif key in _VALUES:
            moved[key] = value
        elif key in _NAMED and isinstance(value, Mapping):
            moved[key] = {name: _moved(one, event) for name, one in value.items()}
        else:
            moved[key] = _moved(value, event)
    if "$ref" in moved and len(moved) > 1:
        reference = {"$ref": moved.pop("$ref")}
        moved["allOf"] = [reference, *moved.get("allOf", [])]
    return moved


def _reference(reference: str, event: str) -> str:
    """Where a reference inside of a definition leads in the document."""
    parts = reference.split("/")
    if len(parts) > 2 and parts[1] in _DEFINITIONS:
        name = _component(parts[2].replace("~1", "/").replace("~0", "~"))
        return "/".join([f"{_SCHEMAS}{event}.{name}", *parts[3:]])
    return "/".join([f"{_SCHEMAS}{event}", *parts[1:]])
