"""Messages of Protobuf as protobufjs is told them: its JSON, made from a FileDescriptorSet. Field names are in camel case."""

from typing import TYPE_CHECKING, Final

from durabus.definitions.generation.names import camel_case, unique_names
from durabus.definitions.generation.plan import GenerationError
from durabus.definitions.libraries import import_library

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FieldDescriptorProto,
    )

__all__ = ["protobufjs_root"]

_TYPES: Final = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string",
    12: "bytes", 13: "uint32", 15: "sfixed32", 16: "sfixed64", 17: "sint32", 18: "sint64",
}  # fmt: skip
"""By the numbers of FieldDescriptorProto.Type."""
_BOOL: Final = 8
_REPEATED, _REQUIRED = 3, 2


def protobufjs_root(descriptors: bytes) -> dict[str, object]:
    """The root of all messages in a serialized FileDescriptorSet."""
    root: dict[str, object] = {}
    files = import_library("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(descriptors).file
    for file in files:
        space = root
        for part in file.package.split(".") if file.package else ():
            inner = space.setdefault(part, {"nested": {}})
            assert isinstance(inner, dict)
            space = inner["nested"]
        edition = file.syntax or "proto2"
        if edition == "editions":
            raise GenerationError(
                f'{file.name} has an edition, which TypeScript is not generated for: write syntax = "proto3"'
            )
        for enum in file.enum_type:
            space[enum.name] = {"edition": edition, **_enum(enum)}
        for message in file.message_type:
            space[message.name] = {"edition": edition, **_message(message)}
    return {"nested": root}


def _enum(enum: "EnumDescriptorProto") -> dict[str, object]:
    return {"values": {value.name: value.number for value in enum.value}}


def _message(message: "DescriptorProto") -> dict[str, object]:
    entries = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
    names = unique_names((field.name for field in message.field), camel_case, ())
    fields: dict[str, object] = {}
    groups: dict[int, list[str]] = {}
    for field in message.field:
        fields[names[field.name]] = _field(field, entries)
        if field.HasField("oneof_index"):
            groups.setdefault(field.oneof_index, []).append(names[field.name])
    told: dict[str, object] = {}
    if groups:
        oneofs = {index: camel_case(oneof.name) for index, oneof in enumerate(message.oneof_decl)}
        # A field with a presence of its own is in a oneof that only it is in, with an underscore before its name.
        told["oneofs"] = {
            (f"_{oneofs[index]}" if message.oneof_decl[index].name.startswith("_") else f"{oneofs[index]}Case"): {
                "oneof": those
            }
            for index, those in sorted(groups.items())
        }
    told["fields"] = fields
    nested: dict[str, object] = {enum.name: _enum(enum) for enum in message.enum_type}
    nested |= {inner.name: _message(inner) for inner in message.nested_type if inner.name not in entries}
    if nested:
        told["nested"] = nested
    return told


def _field(field: "FieldDescriptorProto", entries: dict[str, "DescriptorProto"]) -> dict[str, object]:
    entry = entries.get(field.type_name.rpartition(".")[2]) if field.type_name and field.label == _REPEATED else None
    if entry is not None:
        key, value = entry.field
        if key.type == _BOOL:
            raise GenerationError(
                f"{field.name} is a map with bool as keys, which protobufjs cannot write; take strings"
            )
        return {"keyType": _TYPES[key.type], "type": _type(value), "id": field.number}
    told: dict[str, object] = {}
    if field.label == _REPEATED:
        told["rule"] = "repeated"
    elif field.label == _REQUIRED:
        told["rule"] = "required"
    told |= {"type": _type(field), "id": field.number}
    options: dict[str, object] = {}
    if field.options.HasField("packed"):
        options["packed"] = field.options.packed
    if field.proto3_optional:
        options["proto3_optional"] = True
    if options:
        told["options"] = options
    return told


def _type(field: "FieldDescriptorProto") -> str:
    return _TYPES.get(field.type) or field.type_name
