"""Reading Avro: what each type becomes, and that what cannot be said is refused."""

from pathlib import Path

import pytest

from durabus.definitions.avro import full_name, read_avro
from durabus.definitions.json_document import Json
from durabus.definitions.model import (
    ArrayType,
    DefinitionError,
    Enumeration,
    Field,
    Format,
    MapType,
    Nullable,
    Record,
    Reference,
    Scalar,
    Symbol,
    Union,
)
from tests.definitions.texts import record

pytestmark = pytest.mark.once

PATH = Path("ticket.avsc")
STATUS = {"type": "enum", "name": "Status", "symbols": ["OPEN", "SOLD"], "doc": "How it is", "default": "OPEN"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("string", Scalar.STRING),
        ({"type": "string"}, Scalar.STRING),
        ("int", Scalar.INT32),
        ("long", Scalar.INT64),
        ("float", Scalar.FLOAT32),
        ("double", Scalar.FLOAT64),
        ("bytes", Scalar.BYTES),
        ("boolean", Scalar.BOOLEAN),
        ({"type": "long", "logicalType": "timestamp-millis"}, Scalar.TIMESTAMP),
        ({"type": "long", "logicalType": "timestamp-micros"}, Scalar.TIMESTAMP),
        ({"type": "int", "logicalType": "date"}, Scalar.DATE),
        ({"type": "string", "logicalType": "uuid"}, Scalar.UUID),
        ({"type": "long", "logicalType": "unheard-of"}, Scalar.INT64),
        ({"type": "fixed", "name": "Hash", "size": 16}, Scalar.BYTES),
        (["null", "string"], Nullable(Scalar.STRING)),
        (["string", {"type": "null"}], Nullable(Scalar.STRING)),
        (["null", "int", "string"], Nullable(Union((Scalar.INT32, Scalar.STRING)))),
        (STATUS, Reference("Status")),
        ({"type": "array", "items": ["null", STATUS]}, ArrayType(Nullable(Reference("Status")))),
        ({"type": "map", "values": "double"}, MapType(Scalar.FLOAT64)),
    ],
)
def test_a_value(kind: Json, expected: object) -> None:
    found = read_avro(PATH, record({"name": "value", "type": kind, "doc": "words"}))
    assert found.record.fields == (Field("value", expected, True, "words"),)  # type: ignore[arg-type]


def test_a_whole_event() -> None:
    line = {"type": "record", "name": "Line", "fields": [{"name": "next", "type": ["null", "Line"], "default": None}]}
    source = record(
        {"name": "id", "type": "string"},
        {"name": "status", "type": STATUS, "default": "OPEN"},
        {"name": "before", "type": "shop.Status"},
        {"name": "line", "type": line},
        {"name": "other", "type": {**STATUS, "namespace": "other", "symbols": ["OPEN"]}},
        namespace="shop",
        version=2,
        identity=["id"],
        doc="A ticket",
    )
    found = read_avro(PATH, source)
    assert (found.name, found.message, found.subject, found.version) == (
        "TicketCreated",
        "shop.TicketCreated",
        "ticket:created",
        2,
    )
    assert (found.identity, found.description, found.format, found.source) == (("id",), "A ticket", Format.AVRO, source)
    assert found.types == (
        Record(
            "TicketCreated",
            (
                Field("id", Scalar.STRING, True),
                Field("status", Reference("Status"), True, "", True, "OPEN"),
                Field("before", Reference("Status"), True),
                Field("line", Reference("Line"), True),
                Field("other", Reference("OtherStatus"), True),
            ),
            "A ticket",
        ),
        Enumeration("Status", (Symbol("OPEN", "OPEN"), Symbol("SOLD", "SOLD")), "How it is"),
        Record("Line", (Field("next", Nullable(Reference("Line")), True, "", True, None),)),
        Enumeration("OtherStatus", (Symbol("OPEN", "OPEN"),), "How it is"),
    )


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}, "two fields of this name"),
        ({"type": "record", "name": "R-S", "fields": []}, "'R-S' is no name in Avro"),
        ({"type": "record", "name": "R", "fields": [{"name": "2a", "type": "int"}]}, "'2a' is no name in Avro"),
        ({"type": "fixed", "name": "F G", "size": 2}, "'F G' is no name in Avro"),
        ("null", "always null"),
        (["null"], "always null"),
        ("nobody", "not valid Avro"),
        ({"type": "enum", "name": "E"}, "'symbols' is missing"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, "decimals are not read"),
        ({"type": "int", "logicalType": "time-millis"}, "times without a date"),
        ({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}, "durations are not read"),
        ({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}, "use a string for a uuid"),
        (["bytes", {"type": "fixed", "name": "F", "size": 2}], "look the same"),
        ({"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}, "symbols list"),
        ({"type": "enum", "name": "TicketCreated", "symbols": ["A"]}, "TicketCreated"),
    ],
)
def test_what_cannot_be_said_is_refused(kind: Json, complaint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_avro(PATH, record({"name": "value", "type": kind}))
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("ticket.avsc: ")


@pytest.mark.parametrize(
    ("kind", "default", "is_right"),
    [
        ("int", 1, True),
        ("int", 2**31, False),
        ("int", True, False),
        ("double", 1, True),
        ("bytes", "\u00ff", True),
        ("bytes", "\u0100", False),
        (["null", "int"], None, True),
        (["null", "int"], 1, False),
        (["int", "null"], 1, True),
        ({"type": "array", "items": "int"}, [1], True),
        ({"type": "array", "items": "int"}, ["a"], False),
        ({"type": "map", "values": "int"}, {"a": 1}, True),
        ({"type": "map", "values": "int"}, [], False),
        ({"type": "fixed", "name": "F", "size": 2}, "ab", True),
        ({"type": "fixed", "name": "F", "size": 2}, "abc", False),
        (STATUS, "SOLD", True),
        (STATUS, "GONE", False),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}, {"a": 1}, True),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}, {}, False),
    ],
)
def test_defaults_are_values_of_the_first_type(kind: Json, default: Json, is_right: bool) -> None:
    source = record({"name": "value", "type": kind, "default": default})
    if is_right:
        assert read_avro(PATH, source).record.fields[0].default == default
        return
    with pytest.raises(DefinitionError, match=r"[Dd]efault"):
        read_avro(PATH, source)


@pytest.mark.parametrize(
    ("schema", "namespace", "expected"),
    [
        ({"name": "A"}, "", "A"),
        ({"name": "A"}, "x", "x.A"),
        ({"name": "A", "namespace": "y"}, "x", "y.A"),
        ({"name": "z.A", "namespace": "y"}, "x", "z.A"),
        ({"name": "A", "namespace": ""}, "x", "A"),
    ],
)
def test_full_names(schema: dict[str, str], namespace: str, expected: str) -> None:
    assert full_name(schema, namespace) == expected


def test_an_event_is_a_record() -> None:
    sources: tuple[Json, ...] = ([], "string", STATUS)
    for source in sources:
        with pytest.raises(DefinitionError, match="an event is one record"):
            read_avro(PATH, source)
