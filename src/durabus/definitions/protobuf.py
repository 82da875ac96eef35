"""Definitions in Protobuf: every message with the option `(durabus.event)` of the files of a folder.

protoc, which comes with grpcio-tools, reads them; imports are looked for in the folder, among the types that Protobuf
itself brings, and `durabus/event.proto` is here.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from durabus.definitions.header import make_definition
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
    Record,
    Reference,
    Scalar,
    Symbol,
    Type,
)
from durabus.definitions.naming import type_name

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool

__all__ = ["EVENT_PROTO", "INCLUDE", "TYPE_NAMES", "make_pool", "read_protobuf"]

INCLUDE: Final = Path(__file__).parent / "include"
"""The folder with `durabus/event.proto`, for a protoc that is called by hand."""

EVENT_PROTO: Final = "durabus/event.proto"

_OPTION: Final = "durabus.event"
_PATIENCE_S: Final = 60.0
_TIMESTAMP: Final = "google.protobuf.Timestamp"
_WRAPPERS: Final = ("DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value", "UInt32Value", "BoolValue",
                    "StringValue", "BytesValue")  # fmt: skip
TYPE_NAMES: Final = dict(
    enumerate(
        ("double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group", "message", "bytes",
         "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64"),
        1,
    )
)  # fmt: skip
"""The types of fields as `.proto` files write them, by the numbers that descriptors have."""

_SCALARS: Final = {
    "double": Scalar.FLOAT64,
    "float": Scalar.FLOAT32,
    "int64": Scalar.INT64,
    "uint64": Scalar.UINT64,
    "int32": Scalar.INT32,
    "fixed64": Scalar.UINT64,
    "fixed32": Scalar.UINT32,
    "bool": Scalar.BOOLEAN,
    "string": Scalar.STRING,
    "bytes": Scalar.BYTES,
    "uint32": Scalar.UINT32,
    "sfixed32": Scalar.INT32,
    "sfixed64": Scalar.INT64,
    "sint32": Scalar.INT32,
    "sint64": Scalar.INT64,
}
# Field numbers of descriptor.proto, of which the paths of comments are made.
_FILE_MESSAGES, _FILE_ENUMS, _MESSAGE_FIELDS, _MESSAGE_NESTED, _MESSAGE_ENUMS, _ENUM_VALUES = 4, 5, 2, 3, 4, 2


def read_protobuf(folder: Path, files: Sequence[Path]) -> tuple[Definition, ...]:
    """The events in `files`, in the order of the files; imports are looked for in `folder`. Raises DefinitionError."""
    names = [file.relative_to(folder).as_posix() for file in files]
    names = [name for name in names if name != EVENT_PROTO]  # a copy of ours, for tools that know no other place
    if not names:
        return ()
    everything = _compile(folder, names)
    found: list[Definition] = []
    for name in names:
        minimal = _minimal(everything, name)
        found += _read_file(folder / name, name, everything, minimal)
    return tuple(found)


def make_pool(descriptors: bytes) -> "DescriptorPool":
    """A descriptor pool with the files of a serialized FileDescriptorSet."""
    pool: DescriptorPool = import_library("google.protobuf.descriptor_pool").DescriptorPool()
    for file in import_library("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return pool


def _compile(folder: Path, names: Sequence[str]) -> "FileDescriptorSet":
    """The FileDescriptorSet of all files and what they import."""
    import_library("grpc_tools.protoc")
    descriptor_pb2 = import_library("google.protobuf.descriptor_pb2")
    with tempfile.TemporaryDirectory(prefix="durabus-") as place:
        out = Path(place, "descriptors")
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-I{INCLUDE}"]
        command += ["--include_imports", "--include_source_info", f"--descriptor_set_out={out}", *names]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise DefinitionError(folder, "", f"protoc did not end within {_PATIENCE_S:g} s") from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip() and ": warning:" not in line]
            raise DefinitionError("protoc", "", "\n".join(lines) or f"it ended with {done.returncode}")
        read: FileDescriptorSet = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
        return read


def _minimal(everything: "FileDescriptorSet", name: str) -> bytes:
    """The set that one file needs, without comments and without our option: programs carry it."""
    files = {file.name: file for file in everything.file}
    made = type(everything)()
    done: set[str] = set()

    def add(wanted: str) -> None:
        if wanted in done:
            return
        done.add(wanted)
        file = type(files[wanted]).FromString(files[wanted].SerializeToString())
        file.ClearField("source_code_info")
        _drop_option(file)
        for dependency in file.dependency:
            add(dependency)
        made.file.append(file)

    add(name)
    return bytes(made.SerializeToString(deterministic=True))


def _drop_option(file: "FileDescriptorProto") -> None:
    """Take the option `(durabus.event)` out of a file, and the import that it needed."""
    kept = [dependency for dependency in file.dependency if dependency != EVENT_PROTO]
    if len(kept) == len(file.dependency):
        return
    index = list(file.dependency).index(EVENT_PROTO)
    for indexes in (file.public_dependency, file.weak_dependency):
        moved = [one - (one > index) for one in indexes if one != index]
        del indexes[:]
        indexes.extend(moved)
    del file.dependency[:]
    file.dependency.extend(kept)
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        if message.HasField("options"):
            message.options.DiscardUnknownFields()
            if not message.options.ListFields():
                message.ClearField("options")
        messages += message.nested_type


def _read_file(path: Path, name: str, everything: "FileDescriptorSet", minimal: bytes) -> list[Definition]:
    pool = make_pool(everything.SerializeToString())
    comments = {name: text for file in everything.file for name, text in _comments(file).items()}
    found: list[Definition] = []
    for descriptor in _messages(pool.FindFileByName(name).message_types_by_name.values()):
        said = _said(pool, descriptor)
        if said is None:
            continue
        reader = _Reader(path, comments)
        reader.read_message(descriptor)
        types = tuple(reader.types[one] for one in reader.order)
        found.append(make_definition(path, said, "", Format.PROTOBUF, types, minimal, descriptor.full_name))
    return found


def _messages(tops: Iterable["Descriptor"]) -> list["Descriptor"]:
    """The messages of a file, each before those inside it."""
    found: list[Descriptor] = []
    for message in tops:
        found += [message, *_messages(message.nested_types)]
    return found


def _said(pool: "DescriptorPool", descriptor: "Descriptor") -> dict[str, Any] | None:
    """What the option of a message says; None without it."""
    try:
        extension = pool.FindExtensionByName(_OPTION)
    except KeyError:
        return None  # no file of the folder imports it
    factory = import_library("google.protobuf.message_factory")
    # The options of this pool, not those that the library was generated with, know our extension.
    options_class = factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MessageOptions"))
    options = options_class.FromString(descriptor.GetOptions().SerializeToString())
    if not options.HasExtension(extension):
        return None
    said = options.Extensions[extension]
    return {"subject": said.subject, "version": said.version or 1, "identity": list(said.identity)}


def _comments(file: "FileDescriptorProto") -> dict[str, str]:
    """The comments of a file by the full names of what they speak of."""
    texts = {
        tuple(place.path): _comment(place.leading_comments or place.trailing_comments)
        for place in file.source_code_info.location
    }
    found: dict[str, str] = {}

    def enums(owner: "FileDescriptorProto | DescriptorProto", prefix: str, path: tuple[int, ...], number: int) -> None:
        for index, enum in enumerate(owner.enum_type):
            here = (*path, number, index)
            found[prefix + enum.name] = texts.get(here, "")
            for position, value in enumerate(enum.value):
                found[f"{prefix}{enum.name}/{value.name}"] = texts.get((*here, _ENUM_VALUES, position), "")

    def messages(several: "Iterable[DescriptorProto]", prefix: str, path: tuple[int, ...]) -> None:
        for index, message in enumerate(several):
            here = (*path, index)
            name = prefix + message.name
            found[name] = texts.get(here, "")
            for position, field in enumerate(message.field):
                found[f"{name}.{field.name}"] = texts.get((*here, _MESSAGE_FIELDS, position), "")
            enums(message, name + ".", here, _MESSAGE_ENUMS)
            messages(message.nested_type, name + ".", (*here, _MESSAGE_NESTED))

    prefix = file.package + "." if file.package else ""
    enums(file, prefix, (), _FILE_ENUMS)
    messages(file.message_type, prefix, (_FILE_MESSAGES,))
    return found


def _comment(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


class _Reader:
    """Of one message and all it refers to."""

    def __init__(self, path: Path, comments: dict[str, str]) -> None:
        self.path = path
        self.comments = comments
        self.types: dict[str, NamedType] = {}
        self.order: list[str] = []
        self.names: dict[str, str] = {}  # from full names

    def read_message(self, descriptor: "Descriptor") -> Reference:
        """The record of a message."""
        if descriptor.full_name in self.names:
            return Reference(self.names[descriptor.full_name])
        name = self._name(descriptor)
        fields = tuple(self._field(field) for field in descriptor.fields)
        self.types[name] = Record(name, fields, self.comments.get(descriptor.full_name, ""))
        return Reference(name)

    def _name(self, descriptor: "Descriptor | EnumDescriptor") -> str:
        """The name in programs: without the package, `Ticket.Status` as TicketStatus."""
        package = descriptor.file.package
        inside = descriptor.full_name.removeprefix(package + ".") if package else descriptor.full_name
        if not self.order:
            inside = descriptor.name  # the event, wherever it stands
        for wanted in (type_name(inside), type_name(descriptor.full_name)):
            if wanted and wanted not in self.order:
                self.order.append(wanted)
                self.names[descriptor.full_name] = wanted
                return wanted
        raise DefinitionError(
            self.path, descriptor.full_name, "its name is taken by another type, or is no name of a class"
        )

    def _field(self, field: "FieldDescriptor") -> Field:
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) == 1 and oneof.name == "_" + field.name:
            oneof = None  # how protoc writes `optional`
        is_repeated = field.is_repeated
        made = self._repeated(field) if is_repeated else self._single(field)
        has_default = bool(field.has_default_value)
        default = field.default_value if has_default else None
        if isinstance(default, bytes):
            default = default.decode("latin-1")
        return Field(
            name=field.name,
            type=made,
            is_required=is_repeated or field.is_required or not field.has_presence,
            description=self.comments.get(field.full_name, ""),
            has_default=has_default,
            default=default,
            number=field.number,
            oneof="" if oneof is None else oneof.name,
        )

    def _repeated(self, field: "FieldDescriptor") -> Type:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            key, value = message.fields_by_name["key"], message.fields_by_name["value"]
            return MapType(self._single(value), _SCALARS[TYPE_NAMES[key.type]])
        return ArrayType(self._single(field))

    def _single(self, field: "FieldDescriptor") -> Type:
        """The type of one value."""
        scalar = _SCALARS.get(TYPE_NAMES[field.type])
        if scalar is not None:
            return scalar
        if field.enum_type is not None:
            return self._enumeration(field.enum_type)
        message = field.message_type
        assert message is not None
        full = message.full_name
        if full == _TIMESTAMP:
            return Scalar.TIMESTAMP
        if TYPE_NAMES[field.type] == "group":
            raise DefinitionError(self.path, field.full_name, "groups are not read: write a message")
        if full.startswith("google.protobuf."):
            is_wrapper = full.rpartition(".")[2] in _WRAPPERS
            advice = "`optional` before a plain type" if is_wrapper else "a message of your own, or a plain type"
            raise DefinitionError(self.path, field.full_name, f"{full} is not read ({_TIMESTAMP} is): write {advice}")
        return self.read_message(message)

    def _enumeration(self, enum: "EnumDescriptor") -> Reference:
        if enum.full_name in self.names:
            return Reference(self.names[enum.full_name])
        name = self._name(enum)
        symbols = tuple(
            Symbol(value.name, value.number, self.comments.get(f"{enum.full_name}/{value.name}", ""))
            for value in enum.values
        )
        self.types[name] = Enumeration(name, symbols, self.comments.get(enum.full_name, ""))
        return Reference(name)
