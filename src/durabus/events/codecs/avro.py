"""Events as Avro binary, with fastavro: the payload is the record alone, so both sides have the same schema."""

import enum
import io
import json
import math
import struct
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, TypeAlias, TypeVar

from durabus.events.codecs import AvroSchema, Codec, DecodeError, EncodeError, ProtobufSchema
from durabus.events.codecs.plain import Mismatch, PlainForm, import_codec_library

__all__ = ["avro_codec"]

E = TypeVar("E")
Schema: TypeAlias = Any  # parsed: text, a list, a dict
Value: TypeAlias = Any  # of whatever type its schema says

_TAG: Final = "-type"  # fastavro's name for which record of a union a dict is; no field can have it
_RANGES: Final = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_FLOAT_MAX: Final = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]
_KNOWN_LOGICAL: Final = ("date", "timestamp-millis", "timestamp-micros", "uuid")


def avro_codec(cls: type[E], schema: AvroSchema | ProtobufSchema | None) -> Codec[E]:
    """The codec of a Struct, a dataclass or a pydantic model; raises EncodeError when class and schema do not fit."""
    if not isinstance(schema, AvroSchema):
        raise EncodeError(f"{cls.__name__} has the encoding Avro and no schema; say schema=AvroSchema(...)")
    return _AvroCodec(cls, schema)


class _AvroCodec(Codec[E]):
    def __init__(self, cls: type[E], schema: AvroSchema) -> None:
        self._form = PlainForm(cls)
        fastavro = import_codec_library("fastavro", "avro")
        try:
            document = json.loads(schema.text)
            # UUIDs stay text, so that a class may have them as either.
            self._parsed = fastavro.parse_schema(_without_uuids(document), _write_hint=False)
        except Exception as error:  # fastavro raises whatever it stumbles over
            raise EncodeError(f"the schema of {cls.__name__} is no Avro schema: {error}") from error
        self._values = _Values(document, keeps_tags=not self._form.is_pydantic)
        if not isinstance(document, dict) or document.get("type") != "record":
            raise EncodeError(f"the schema of {cls.__name__} is no record")
        known = frozenset(field["name"] for field in document["fields"])
        self._form.check_names(known, "its schema")
        self._read = fastavro.schemaless_reader
        self._write = fastavro.schemaless_writer

    def encode(self, event: E) -> bytes:
        """The payload; raises EncodeError."""
        plain = self._form.to_plain(event)
        try:
            buffer = io.BytesIO()
            self._write(buffer, self._parsed, self._values.check(plain))
        except Mismatch as error:
            raise EncodeError(f"{self._form.name} cannot be written: {error}") from error
        except Exception as error:  # of logical types that are not checked here
            raise EncodeError(f"{self._form.name} cannot be written: {error}") from error
        return buffer.getvalue()

    def decode(self, data: bytes) -> E:
        """The event; raises DecodeError."""
        buffer = io.BytesIO(data)
        try:
            found = self._read(buffer, self._parsed, None, return_record_name=True, return_record_name_override=True)
            plain = self._values.check(found)
        except Mismatch as error:
            raise DecodeError(f"no {self._form.name}: {error}", error.path) from error
        except EOFError as error:
            raise DecodeError(f"no {self._form.name}: it ends too early, after {len(data)} bytes") from error
        except Exception as error:  # fastavro raises whatever it stumbles over
            what = str(error) or type(error).__name__
            raise DecodeError(f"no {self._form.name}: {what} near byte {buffer.tell()}") from error
        left = len(data) - buffer.tell()
        if left:
            raise DecodeError(f"no {self._form.name}: {left} bytes are left behind its end")
        return self._form.from_plain(plain)


def _without_uuids(schema: Schema) -> Schema:
    """The same schema, with UUIDs as plain strings."""
    if isinstance(schema, list):
        return [_without_uuids(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if (name, value) != ("logicalType", "uuid")}
    for name in ("type", "items", "values"):
        if name in kept:
            kept[name] = _without_uuids(kept[name])
    if "fields" in kept:
        kept["fields"] = [_without_uuids(field) for field in kept["fields"]]
    return kept


class _Values:
    """Holds values against a schema, which fastavro does not do: it would write 2**40 as an int of 32 bits."""

    def __init__(self, document: Schema, *, keeps_tags: bool) -> None:
        self._document = document
        self._keeps_tags = keeps_tags
        self._named: dict[str, Any] = {}
        self._collect(document, "")

    def _collect(self, schema: Schema, namespace: str) -> None:
        """Find the named types; each gets its full name, and references become full names."""
        if isinstance(schema, list):
            for index, one in enumerate(schema):
                schema[index] = self._resolved(one, namespace)
                self._collect(schema[index], namespace)
            return
        if not isinstance(schema, dict):
            return
        if schema.get("type") in ("record", "error", "enum", "fixed"):
            name = schema["name"]
            inside = schema.get("namespace", namespace)
            full = name if "." in name or not inside else f"{inside}.{name}"
            namespace = full.rpartition(".")[0]
            schema["full"] = full
            self._named[full] = schema
        for key in ("type", "items", "values"):
            if key in schema:
                schema[key] = self._resolved(schema[key], namespace)
                self._collect(schema[key], namespace)
        for field in schema.get("fields", ()):
            self._collect(field, namespace)

    def _resolved(self, schema: Schema, namespace: str) -> Schema:
        """A reference by its full name."""
        if isinstance(schema, str) and schema not in self._named:
            full = f"{namespace}.{schema}" if namespace else schema
            return full if full in self._named else schema
        return schema

    def check(self, value: Value) -> Value:
        """The values as fastavro writes them, and classes have them; raises Mismatch."""
        return self._check(self._document, value, "$")

    def _check(self, schema: Schema, value: Value, path: str) -> Value:
        if isinstance(schema, list):
            return self._union(schema, value, path)
        if isinstance(schema, str):
            named = self._named.get(schema)
            return self._check(named, value, path) if named is not None else self._primitive(schema, value, path)
        if isinstance(value, enum.Enum):
            value = value.value
        logical = schema.get("logicalType")
        if logical is not None:
            if logical in _KNOWN_LOGICAL:
                return _logical(logical, value, path)
            return value
        match schema["type"]:
            case "record" | "error":
                return self._record(schema, value, path)
            case "array":
                if not isinstance(value, list | tuple):
                    raise Mismatch(path, "a list", value)
                return [self._check(schema["items"], one, f"{path}[{index}]") for index, one in enumerate(value)]
            case "map":
                if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                    raise Mismatch(path, "a dict with strings as keys", value)
                return {key: self._check(schema["values"], one, f"{path}[...]") for key, one in value.items()}
            case "enum":
                if value not in schema["symbols"]:
                    raise Mismatch(path, f"one of {', '.join(schema['symbols'])}", value)
                return value
            case "fixed":
                if not isinstance(value, bytes) or len(value) != schema["size"]:
                    raise Mismatch(path, f"{schema['size']} bytes", value)
                return value
            case inner:
                return self._check(inner, value, path)

    def _record(self, schema: dict[str, Any], value: Value, path: str) -> Value:
        tag = ""
        if isinstance(value, tuple) and len(value) == 2:  # of a union that was read
            tag, value = value
        if not isinstance(value, Mapping):
            raise Mismatch(path, f"a {schema['full']}", value)
        tag = tag or value.get(_TAG, "")
        if tag not in ("", schema["full"]):
            raise Mismatch(path, f"a {schema['full']}", tag)
        checked: dict[str, Any] = {_TAG: schema["full"]} if tag and self._keeps_tags else {}
        for field in schema["fields"]:
            name = field["name"]
            if name in value:
                checked[name] = self._check(field["type"], value[name], f"{path}.{name}")
            elif "default" not in field:
                raise Mismatch(f"{path}.{name}", "a value", None)
        return checked

    def _union(self, schemas: list[Schema], value: Value, path: str) -> Value:
        if value is None and "null" in schemas:
            return None
        complaints: list[Mismatch] = []
        for schema in schemas:
            if schema == "null":
                continue
            try:
                return self._check(schema, value, path)
            except Mismatch as error:
                complaints.append(error)
        # What is said about the inside of a member tells more than that the value is none of them.
        for complaint in complaints:
            if len(complaints) == 1 or complaint.path != path:
                raise complaint
        raise Mismatch(path, "one of several types", value)

    def _primitive(self, name: str, value: Value, path: str) -> Value:
        if isinstance(value, enum.Enum):
            value = value.value
        match name:
            case "int" | "long":
                least, most = _RANGES[name]
                if type(value) is int and least <= value <= most:
                    return value
                raise Mismatch(path, "an int of 32 bits" if name == "int" else "an int of 64 bits", value)
            case "float" | "double":
                if isinstance(value, int | float) and not isinstance(value, bool):
                    number = float(value)
                    if name == "double" or not math.isfinite(number) or abs(number) <= _FLOAT_MAX:
                        return number
            case "string":
                if isinstance(value, uuid.UUID):
                    return str(value)
                if isinstance(value, str):
                    return value
            case "bytes":
                if isinstance(value, bytes | bytearray | memoryview):
                    return bytes(value)
            case "boolean":
                if isinstance(value, bool):
                    return value
            case "null":
                if value is None:
                    return None
        raise Mismatch(path, f"a {name}", value)


def _logical(name: str, value: Value, path: str) -> Value:
    """A value of a logical type; raises Mismatch."""
    if name == "uuid":
        try:
            return str(value if isinstance(value, uuid.UUID) else uuid.UUID(value))
        except (ValueError, TypeError, AttributeError):
            raise Mismatch(path, "a UUID", value) from None
    if name == "date":
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        raise Mismatch(path, "a date", value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    raise Mismatch(path, "a datetime with a time zone", value)
