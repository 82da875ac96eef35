"""Events as Protobuf messages, without generated code: each schema has a descriptor pool of its own."""

import contextlib
import enum
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from durabus.events.codecs import AvroSchema, Codec, DecodeError, EncodeError, ProtobufSchema
from durabus.events.codecs.plain import Mismatch, PlainForm, import_codec_library

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["protobuf_codec"]

E = TypeVar("E")
Container: TypeAlias = Any  # a repeated field, a map, a message by its own attributes
Field: TypeAlias = Any  # a FieldDescriptor, of which the library has two kinds
Plain: TypeAlias = Any  # of whatever type its field has

_TIMESTAMP: Final = "google.protobuf.Timestamp"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The values of FieldDescriptor.cpp_type.
_INT32, _INT64, _UINT32, _UINT64, _DOUBLE, _FLOAT, _BOOL, _ENUM, _STRING, _MESSAGE = range(1, 11)
_RANGES: Final = {
    _INT32: (-(2**31), 2**31 - 1),
    _ENUM: (-(2**31), 2**31 - 1),
    _INT64: (-(2**63), 2**63 - 1),
    _UINT32: (0, 2**32 - 1),
    _UINT64: (0, 2**64 - 1),
}
_BYTES_TYPE: Final = 12  # of FieldDescriptor.type


def protobuf_codec(cls: type[E], schema: AvroSchema | ProtobufSchema | None) -> Codec[E]:
    """The codec of a Struct, a dataclass or a pydantic model; raises EncodeError when class and schema do not fit."""
    if not isinstance(schema, ProtobufSchema):
        raise EncodeError(f"{cls.__name__} has the encoding Protobuf and no schema; say schema=ProtobufSchema(...)")
    return _ProtobufCodec(cls, schema)


class _ProtobufCodec(Codec[E]):
    def __init__(self, cls: type[E], schema: ProtobufSchema) -> None:
        self._form = PlainForm(cls)
        self._make = _message_class(cls.__name__, schema)
        self._decode_error = import_codec_library("google.protobuf.message", "protobuf").DecodeError
        self._form.check_names(frozenset(field.name for field in self._make.DESCRIPTOR.fields), schema.message)

    def encode(self, event: E) -> bytes:
        """The payload; raises EncodeError."""
        plain = self._form.to_plain(event)
        message = self._make()
        try:
            _fill(message, plain, "$")
            return message.SerializeToString(deterministic=True)
        except Mismatch as error:
            raise EncodeError(f"{self._form.name} cannot be written: {error}") from error
        except Exception as error:  # what the library refuses, such as text with surrogates
            raise EncodeError(f"{self._form.name} cannot be written: {error}") from error

    def decode(self, data: bytes) -> E:
        """The event; raises DecodeError. Fields that the schema does not have are passed over."""
        try:
            message = self._make.FromString(data)
            _refuse_missing(message)
            plain = _plain(message, "$")
        except Mismatch as error:
            raise DecodeError(f"no {self._form.name}: {error}", error.path) from error
        except self._decode_error as error:
            raise DecodeError(
                f"no {self._form.name}: the {len(data)} bytes are no {self._make.DESCRIPTOR.full_name}"
            ) from error
        return self._form.from_plain(plain)


def _message_class(name: str, schema: ProtobufSchema) -> "type[Message]":
    """The class of the messages of a schema, from a pool that nobody else has."""
    descriptor_pb2 = import_codec_library("google.protobuf.descriptor_pb2", "protobuf")
    pool = import_codec_library("google.protobuf.descriptor_pool", "protobuf").DescriptorPool()
    factory = import_codec_library("google.protobuf.message_factory", "protobuf")
    try:
        for file in descriptor_pb2.FileDescriptorSet.FromString(schema.descriptors).file:
            pool.Add(file)
        made: type[Message] = factory.GetMessageClass(pool.FindMessageTypeByName(schema.message))
    except Exception as error:  # the library raises whatever it stumbles over
        raise EncodeError(f"the schema of {name} is no FileDescriptorSet with {schema.message}: {error}") from error
    return made


def _refuse_missing(message: Container) -> None:
    """Raises Mismatch when a required field (of proto2) is absent."""
    for name in message.FindInitializationErrors():
        raise Mismatch(f"$.{name}", "a value", None)


def _is_map(field: Field) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


# From messages to plain values.


def _plain(message: "Message", path: str) -> dict[str, Any]:
    """The fields of a message; those that are absent, and can be, are left out."""
    found: dict[str, Any] = {}
    field: Field
    for field in message.DESCRIPTOR.fields:
        here = f"{path}.{field.name}"
        if field.is_repeated:
            values = getattr(message, field.name)
            if _is_map(field):
                inner = field.message_type.fields_by_name["value"]
                found[field.name] = {key: _plain_value(inner, values[key], f"{here}[...]") for key in values}
            else:
                found[field.name] = [_plain_value(field, one, f"{here}[{index}]") for index, one in enumerate(values)]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _plain_value(field, getattr(message, field.name), here)
    return found


def _plain_value(field: Field, value: Plain, path: str) -> Plain:
    if field.cpp_type != _MESSAGE:
        return value
    if value.DESCRIPTOR.full_name != _TIMESTAMP:
        return _plain(value, path)
    if 0 <= value.nanos < 1_000_000_000:
        with contextlib.suppress(OverflowError):
            # A datetime has microseconds; what is below is cut.
            return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    raise Mismatch(path, "a timestamp of the years 1 to 9999", f"{value.seconds} s {value.nanos} ns")


# From plain values to messages.


def _fill(message: "Message", values: Plain, path: str) -> None:
    """Set the fields of a message; None and what is missing leaves a field as it is, where it may be absent."""
    if not isinstance(values, Mapping):
        raise Mismatch(path, f"a {message.DESCRIPTOR.full_name}", values)
    chosen: dict[str, str] = {}  # of each oneof
    for field in message.DESCRIPTOR.fields:
        here = f"{path}.{field.name}"
        if field.name not in values:
            if field.is_required:
                raise Mismatch(here, "a value", None)
            continue
        value = values[field.name]
        if value is None:
            if not field.has_presence or field.is_required:
                raise Mismatch(here, "a value", None)
            continue
        if field.containing_oneof is not None:
            first = chosen.setdefault(field.containing_oneof.name, field.name)
            if first != field.name:
                raise Mismatch(here, f"None, because {first} of the same oneof is set", value)
        if field.is_repeated:
            _fill_several(getattr(message, field.name), field, value, here)
        elif field.cpp_type == _MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _fill_message(inner, value, here)
        else:
            setattr(message, field.name, _scalar(field, value, here))


def _fill_several(container: Container, field: Field, value: Plain, path: str) -> None:
    if _is_map(field):
        if not isinstance(value, Mapping):
            raise Mismatch(path, "a dict", value)
        key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for key, one in value.items():
            here = f"{path}[{key!r}]"
            checked = _scalar(key_field, key, here)
            if value_field.cpp_type == _MESSAGE:
                _fill_message(container[checked], one, here)
            else:
                container[checked] = _scalar(value_field, one, here)
        return
    if not isinstance(value, list | tuple):
        raise Mismatch(path, "a list", value)
    for index, one in enumerate(value):
        here = f"{path}[{index}]"
        if field.cpp_type == _MESSAGE:
            _fill_message(container.add(), one, here)
        else:
            container.append(_scalar(field, one, here))


def _fill_message(message: "Message", value: Plain, path: str) -> None:
    if message.DESCRIPTOR.full_name != _TIMESTAMP:
        _fill(message, value, path)
        return
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Mismatch(path, "a datetime with a time zone", value)
    since = value - _EPOCH
    stamp: Container = message
    stamp.seconds = since.days * 86_400 + since.seconds
    stamp.nanos = since.microseconds * 1000


def _scalar(field: Field, value: Plain, path: str) -> Plain:
    """A value that the library takes, and does not change."""
    if isinstance(value, enum.Enum):
        value = value.value
    kind = field.cpp_type
    if kind in _RANGES:
        least, most = _RANGES[kind]
        if type(value) is int and least <= value <= most:
            return value
        expected = "a number of its enumeration" if kind == _ENUM else f"an int from {least} to {most}"
        raise Mismatch(path, expected, value)
    if kind in (_DOUBLE, _FLOAT):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise Mismatch(path, "a float", value)
    if kind == _BOOL:
        if isinstance(value, bool):
            return value
        raise Mismatch(path, "a bool", value)
    if field.type == _BYTES_TYPE:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise Mismatch(path, "bytes", value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        return value
    raise Mismatch(path, "a str", value)
