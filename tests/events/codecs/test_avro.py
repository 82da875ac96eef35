"""Events as Avro binary: against fastavro alone, and with whatever bytes come."""

import contextlib
import dataclasses
import datetime
import enum
import io
import json
import uuid
from typing import Any

import fastavro
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.events import AVRO, AvroSchema, DecodeError, EncodeError, Event, ProtobufSchema, event, event_type
from durabus.events.codecs.avro import avro_codec

pytestmark = pytest.mark.once

MOMENT = datetime.datetime(2026, 11, 24, 12, 30, 15, 250_001, tzinfo=datetime.UTC)

INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "count", "type": "int"}, {"name": "more", "type": ["null", "Inner"]}],
}
DOCUMENT: dict[str, Any] = {
    "type": "record",
    "name": "Made",
    "namespace": "some.space",
    "fields": [
        {"name": "userId", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "mode", "type": {"type": "enum", "name": "Mode", "symbols": ["ON", "OFF"]}, "default": "ON"},
        {"name": "raw", "type": {"type": "fixed", "name": "Two", "size": 2}},
        {"name": "inner", "type": INNER},
        {"name": "list", "type": {"type": "array", "items": ["null", "long", "string"]}},
        {"name": "map", "type": {"type": "map", "values": "float"}},
        {"name": "flag", "type": "boolean"},
        {
            "name": "either",
            "type": ["Inner", {"type": "record", "name": "Other", "fields": [{"name": "count", "type": "int"}]}],
        },
    ],
}
SCHEMA = AvroSchema(json.dumps(DOCUMENT))


class Mode(enum.StrEnum):
    ON = "ON"
    OFF = "OFF"


class Inner(msgspec.Struct, frozen=True, tag_field="-type", tag="some.space.Inner"):
    count: int
    more: "Inner | None" = None


class Other(msgspec.Struct, frozen=True, tag_field="-type", tag="some.space.Other"):
    count: int


@event("made", encoding=AVRO, schema=SCHEMA)
class Made(Event, rename={"user_id": "userId"}):
    user_id: uuid.UUID
    at: datetime.datetime
    day: datetime.date
    mode: Mode = Mode.ON
    raw: bytes
    inner: Inner
    list: list[int | str | None]
    map: dict[str, float]
    flag: bool
    either: Inner | Other


CODEC = event_type(Made)
EXAMPLE = Made(
    user_id=uuid.UUID(int=5),
    at=MOMENT,
    day=datetime.date(2026, 1, 2),
    mode=Mode.OFF,
    raw=b"ab",
    inner=Inner(1, Inner(2)),
    list=[1, "two", None],
    map={"a": 0.5},
    flag=True,
    either=Other(7),
)
PAYLOAD = CODEC.encode(EXAMPLE)


def with_values(**values: object) -> Made:
    """The example with other values, whatever their types are."""
    return Made(**{**{name: getattr(EXAMPLE, name) for name in Made.__struct_fields__}, **values})


def test_what_is_written_is_what_fastavro_reads() -> None:
    found = fastavro.schemaless_reader(io.BytesIO(PAYLOAD), fastavro.parse_schema(DOCUMENT), None)
    assert found == {
        "userId": uuid.UUID(int=5),
        "at": MOMENT,
        "day": datetime.date(2026, 1, 2),
        "mode": "OFF",
        "raw": b"ab",
        "inner": {"count": 1, "more": {"count": 2, "more": None}},
        "list": [1, "two", None],
        "map": {"a": 0.5},
        "flag": True,
        "either": {"count": 7},
    }
    assert CODEC.decode(PAYLOAD) == EXAMPLE
    assert CODEC.decode(CODEC.encode(with_values(either=Inner(7)))).either == Inner(7)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"inner": Inner(2**31)}, r"expected an int of 32 bits, got 2147483648 at \$\.inner\.count"),
        ({"inner": Inner(1, Inner(True))}, r"got True at \$\.inner\.more\.count"),
        ({"at": MOMENT.replace(tzinfo=None)}, r"expected a datetime with a time zone, .* at \$\.at"),
        ({"day": MOMENT}, r"expected a date, .* at \$\.day"),
        ({"mode": "SOMEHOW"}, r"expected one of ON, OFF, got 'SOMEHOW' at \$\.mode"),
        ({"raw": b"abc"}, r"expected 2 bytes, .* at \$\.raw"),
        ({"list": [1, 2.5]}, r"expected one of several types, got 2.5 at \$\.list\[1\]"),
        ({"list": [2**63]}, r"at \$\.list\[0\]"),
        ({"map": {"a": 1e39}}, r"expected a float, .* at \$\.map"),
        ({"map": {1: 2.0}}, r"strings as keys, .* at \$\.map"),
        ({"flag": 1}, r"expected a boolean, got 1 at \$\.flag"),
        ({"user_id": "no UUID"}, r"expected a UUID, .* at \$\.userId"),
        ({"inner": None}, r"expected a some\.space\.Inner, got None at \$\.inner"),
        ({"list": None}, r"expected a list, got None at \$\.list"),
    ],
)
def test_what_the_schema_does_not_allow(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(EncodeError, match=f"Made cannot be written: .*{complaint}"):
        CODEC.encode(with_values(**values))


def test_too_much_and_too_little() -> None:
    with pytest.raises(DecodeError, match="1 bytes are left behind its end"):
        CODEC.decode(PAYLOAD + b"\0")
    for length in range(len(PAYLOAD)):
        with pytest.raises(DecodeError):
            CODEC.decode(PAYLOAD[:length])


@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    try:
        found = CODEC.decode(data)
    except DecodeError:
        return
    CODEC.encode(found)  # what was let in can be said again


@given(st.integers(0, len(PAYLOAD) - 1), st.binary(min_size=1, max_size=4))
def test_broken_bytes(at: int, data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        CODEC.decode(PAYLOAD[:at] + data + PAYLOAD[at + len(data) :])


def test_a_payload_of_another_range_is_refused_with_its_path() -> None:
    wide = fastavro.parse_schema({"type": "record", "name": "W", "fields": [{"name": "count", "type": "long"}]})
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, wide, {"count": 2**40})
    narrow = AvroSchema('{"type": "record", "name": "N", "fields": [{"name": "count", "type": "int"}]}')

    class Narrow(msgspec.Struct):
        count: int

    with pytest.raises(DecodeError, match=r"expected an int of 32 bits, got 1099511627776 at \$\.count") as caught:
        avro_codec(Narrow, narrow).decode(buffer.getvalue())
    assert caught.value.path == "$.count"


SMALL = AvroSchema(
    '{"type": "record", "name": "S", "fields": [{"name": "id", "type": {"type": "string", "logicalType": "uuid"}},'
    ' {"name": "note", "type": ["null", "string"], "default": null}]}'
)


def test_dataclasses_and_models_and_text_for_uuids() -> None:
    @dataclasses.dataclass
    class AsDataclass:
        id: str
        note: str | None = None

    class AsModel(pydantic.BaseModel):
        id: uuid.UUID
        note: str | None = None

    text = str(uuid.UUID(int=9))
    payload = avro_codec(AsDataclass, SMALL).encode(AsDataclass(id=text))
    assert avro_codec(AsDataclass, SMALL).decode(payload) == AsDataclass(id=text)
    assert avro_codec(AsModel, SMALL).decode(payload) == AsModel(id=uuid.UUID(int=9))
    assert avro_codec(AsModel, SMALL).encode(AsModel(id=uuid.UUID(int=9))) == payload


def test_defaults_are_written_for_what_a_class_does_not_have() -> None:
    class Short(msgspec.Struct):
        id: str

    class Whole(msgspec.Struct):
        id: str
        note: str | None

    text = str(uuid.UUID(int=9))
    payload = avro_codec(Short, SMALL).encode(Short(id=text))
    assert avro_codec(Whole, SMALL).decode(payload) == Whole(id=text, note=None)


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        (None, r"has the encoding Avro and no schema; say schema=AvroSchema\(...\)"),
        (ProtobufSchema("a", b""), "no schema"),
        (AvroSchema("{"), "is no Avro schema"),
        (AvroSchema('{"type": "record"}'), "is no Avro schema"),
        (AvroSchema('"string"'), "is no record"),
        (
            AvroSchema('{"type": "record", "name": "A", "fields": []}'),
            "has the field 'count', which its schema does not have",
        ),
    ],
)
def test_schemas_that_do_not_fit(schema: AvroSchema | ProtobufSchema | None, complaint: str) -> None:
    with pytest.raises(EncodeError, match=complaint):
        avro_codec(Other, schema)
