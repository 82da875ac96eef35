"""Events as Protobuf messages: against the library's own JSON, and with whatever bytes come."""

import contextlib
import datetime
import enum
import json
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from google.protobuf import descriptor_pb2, json_format
from hypothesis import given
from hypothesis import strategies as st

from durabus.definitions.folder import read_folder
from durabus.events import PROTOBUF, AvroSchema, DecodeError, EncodeError, Event, ProtobufSchema, event, event_type
from durabus.events.codecs.protobuf import _message_class, protobuf_codec

pytestmark = pytest.mark.once

MOMENT = datetime.datetime(1969, 12, 31, 23, 59, 59, 250_001, tzinfo=datetime.UTC)
FIELD = descriptor_pb2.FieldDescriptorProto


def schema() -> ProtobufSchema:
    """A message with a field of each kind, without protoc."""
    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="p", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="count", number=1, type=FIELD.TYPE_SINT32, label=FIELD.LABEL_OPTIONAL)
    mode = file.enum_type.add(name="Mode")
    mode.value.add(name="ON", number=0)
    mode.value.add(name="OFF", number=1)
    made = file.message_type.add(name="Made")
    entry = made.nested_type.add(name="ByNumberEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, type=FIELD.TYPE_INT64, label=FIELD.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=FIELD.TYPE_MESSAGE, type_name=".p.Inner", label=FIELD.LABEL_OPTIONAL)
    one, many = FIELD.LABEL_OPTIONAL, FIELD.LABEL_REPEATED
    fields = [
        ("text", FIELD.TYPE_STRING, one, ""),
        ("big", FIELD.TYPE_UINT64, one, ""),
        ("raw", FIELD.TYPE_BYTES, one, ""),
        ("ratio", FIELD.TYPE_FLOAT, one, ""),
        ("flag", FIELD.TYPE_BOOL, one, ""),
        ("mode", FIELD.TYPE_ENUM, one, ".p.Mode"),
        ("at", FIELD.TYPE_MESSAGE, one, ".google.protobuf.Timestamp"),
        ("inner", FIELD.TYPE_MESSAGE, one, ".p.Inner"),
        ("inners", FIELD.TYPE_MESSAGE, many, ".p.Inner"),
        ("modes", FIELD.TYPE_ENUM, many, ".p.Mode"),
        ("by_number", FIELD.TYPE_MESSAGE, many, ".p.Made.ByNumberEntry"),
    ]
    for number, (name, kind, label, type_name) in enumerate(fields, 1):
        made.field.add(name=name, number=number, type=kind, label=label, type_name=type_name or None)
    made.oneof_decl.add(name="choice")
    for number, name in ((20, "left"), (21, "right")):
        made.field.add(name=name, number=number, type=FIELD.TYPE_STRING, label=one, oneof_index=0)
    timestamp = descriptor_pb2.FileDescriptorProto(
        name="google/protobuf/timestamp.proto", package="google.protobuf", syntax="proto3"
    )
    message = timestamp.message_type.add(name="Timestamp")
    message.field.add(name="seconds", number=1, type=FIELD.TYPE_INT64, label=one)
    message.field.add(name="nanos", number=2, type=FIELD.TYPE_INT32, label=one)
    return ProtobufSchema("p.Made", descriptor_pb2.FileDescriptorSet(file=[timestamp, file]).SerializeToString())


SCHEMA = schema()


class Mode(enum.IntEnum):
    ON = 0
    OFF = 1


class Inner(msgspec.Struct, frozen=True):
    count: int


@event("made", encoding=PROTOBUF, schema=SCHEMA)
class Made(Event, rename={"number": "big"}):
    text: str
    number: int
    raw: bytes
    ratio: float
    flag: bool
    mode: Mode
    at: datetime.datetime | None = None
    inner: Inner | None = None
    inners: list[Inner] = msgspec.field(default_factory=list)
    modes: list[Mode] = msgspec.field(default_factory=list)
    by_number: dict[int, Inner] = msgspec.field(default_factory=dict)
    left: str | None = None
    right: str | None = None


CODEC = event_type(Made)
EXAMPLE = Made(
    text="ä",
    number=2**64 - 1,
    raw=b"\xff",
    ratio=0.5,
    flag=True,
    mode=Mode.OFF,
    at=MOMENT,
    inner=Inner(-5),
    inners=[Inner(1), Inner(2)],
    modes=[Mode.ON],
    by_number={-(2**60): Inner(3)},
    left="",
)
PAYLOAD = CODEC.encode(EXAMPLE)


def with_values(**values: object) -> Made:
    """The example with other values, whatever their types are."""
    return Made(**{**{name: getattr(EXAMPLE, name) for name in Made.__struct_fields__}, **values})


def test_what_is_written_is_what_the_library_reads() -> None:
    message = _message_class("Made", SCHEMA).FromString(PAYLOAD)
    assert json.loads(json_format.MessageToJson(message)) == {
        "text": "ä",
        "big": str(2**64 - 1),
        "raw": "/w==",
        "ratio": 0.5,
        "flag": True,
        "mode": "OFF",
        "at": "1969-12-31T23:59:59.250001Z",
        "inner": {"count": -5},
        "inners": [{"count": 1}, {"count": 2}],
        "modes": ["ON"],
        "byNumber": {str(-(2**60)): {"count": 3}},
        "left": "",
    }
    assert CODEC.decode(PAYLOAD) == EXAMPLE


def test_an_empty_message_is_one_of_zeros() -> None:
    assert CODEC.decode(b"") == Made(text="", number=0, raw=b"", ratio=0.0, flag=False, mode=Mode.ON)


def test_unknown_fields_are_let_pass() -> None:
    assert CODEC.decode(PAYLOAD + b"\xfa\x01\x03abc" + b"\xf0\x03\x05") == EXAMPLE


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"number": 2**64}, r"expected an int from 0 to 18446744073709551615, got 18446744073709551616 at \$\.big"),
        ({"number": True}, r"got True at \$\.big"),
        ({"inner": Inner(2**31)}, r"got 2147483648 at \$\.inner\.count"),
        ({"inners": [Inner(1), Inner("x")]}, r"got 'x' at \$\.inners\[1\]\.count"),  # type: ignore[arg-type] # on purpose
        ({"inners": Inner(1)}, r"expected a list, .* at \$\.inners"),
        ({"by_number": {"x": Inner(1)}}, r"got 'x' at \$\.by_number\['x'\]"),
        ({"by_number": [1]}, r"expected a dict, .* at \$\.by_number"),
        ({"at": MOMENT.replace(tzinfo=None)}, r"expected a datetime with a time zone, .* at \$\.at"),
        ({"text": b"x"}, r"expected a str, got b'x' at \$\.text"),
        ({"raw": "x"}, r"expected bytes, got 'x' at \$\.raw"),
        ({"flag": 1}, r"expected a bool, got 1 at \$\.flag"),
        ({"ratio": "1"}, r"expected a float, got '1' at \$\.ratio"),
        ({"text": None}, r"expected a value, got None at \$\.text"),
        ({"right": "x"}, r"expected None, because left of the same oneof is set, got 'x' at \$\.right"),
        ({"text": "\ud800"}, ""),
    ],
)
def test_what_the_schema_does_not_allow(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(EncodeError, match=f"Made cannot be written: .*{complaint}"):
        CODEC.encode(with_values(**values))


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    try:
        found = CODEC.decode(data)
    except DecodeError:
        return
    assert repr(CODEC.decode(CODEC.encode(found))) == repr(found)  # what was let in can be said again


@given(st.integers(0, len(PAYLOAD) - 1), st.binary(min_size=1, max_size=4))
def test_broken_bytes(at: int, data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        CODEC.decode(PAYLOAD[:at] + data + PAYLOAD[at + len(data) :])


def test_truncated() -> None:
    with pytest.raises(DecodeError, match=r"are no p\.Made"):
        CODEC.decode(PAYLOAD[:-1])


def test_values_that_no_class_can_have() -> None:
    with pytest.raises(DecodeError, match="Invalid enum value 9") as caught:
        CODEC.decode(PAYLOAD + b"\x30\x09")
    assert caught.value.path == "$.mode"
    far = b"\x3a\x0a\x08" + b"\xff" * 8 + b"\x7f"  # a timestamp of some hundred million years
    with pytest.raises(DecodeError, match="expected a timestamp of the years 1 to 9999") as caught:
        CODEC.decode(far)
    assert caught.value.path == "$.at"


def test_pydantic_models() -> None:
    class Model(pydantic.BaseModel):
        text: str
        inner: dict[str, int] | None = None

    codec = protobuf_codec(Model, SCHEMA)
    assert codec.decode(codec.encode(Model(text="x", inner={"count": 5}))) == Model(text="x", inner={"count": 5})


def test_required_fields_of_proto2(tmp_path: Path) -> None:
    (tmp_path / "old.proto").write_text(
        'syntax = "proto2"; import "durabus/event.proto"; message Old { option (durabus.event) = {subject: "old"};'
        " required string text = 1; optional int32 number = 2 [default = 7]; }",
        encoding="utf-8",
    )
    (definition,) = read_folder(tmp_path)
    assert isinstance(definition.source, bytes)

    class Old(msgspec.Struct):
        text: str | None = None
        number: int | None = None

    codec = protobuf_codec(Old, ProtobufSchema(definition.message, definition.source))
    with pytest.raises(EncodeError, match=r"expected a value, got None at \$\.text"):
        codec.encode(Old())
    with pytest.raises(DecodeError, match=r"expected a value, got None at \$\.text"):
        codec.decode(b"\x10\x05")
    assert codec.decode(codec.encode(Old(text="x"))) == Old(text="x")


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (None, r"has the encoding Protobuf and no schema; say schema=ProtobufSchema\(...\)"),
        (AvroSchema("{}"), "no schema"),
        (ProtobufSchema("p.Made", b"\xff"), "is no FileDescriptorSet with p.Made"),
        (ProtobufSchema("p.Missing", SCHEMA.descriptors), "is no FileDescriptorSet with p.Missing"),
        (ProtobufSchema("p.Inner", SCHEMA.descriptors), "has the field 'text', which p.Inner does not have"),
    ],
)
def test_schemas_that_do_not_fit(made: Any, complaint: str) -> None:  # noqa: ANN401 - of either kind, or none
    class Text(msgspec.Struct):
        text: str

    with pytest.raises(EncodeError, match=complaint):
        protobuf_codec(Text, made)
