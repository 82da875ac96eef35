"""Reading JSON Schema: what each form becomes, and that what cannot be said is refused."""

from pathlib import Path
from typing import Any

import pytest

from durabus.definitions.json_document import Json
from durabus.definitions.json_schema import read_json_schema
from durabus.definitions.model import (
    AnyType,
    ArrayType,
    DefinitionError,
    Enumeration,
    Field,
    Format,
    Literal,
    MapType,
    Nullable,
    Record,
    Reference,
    Scalar,
    Symbol,
    Union,
)
from tests.definitions.texts import schema

pytestmark = pytest.mark.once

PATH = Path("ticket.schema.json")
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
USER = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"], "description": "Who"}
DEFS = {
    "user": USER,
    "Status": {"enum": ["open", "sold"], "description": "How it is"},
    "Id": {"type": "string", "format": "uuid"},
    "A": {"type": "object", "properties": {"kind": {"const": "a"}, "child": {"$ref": "#/$defs/A"}}, "required": ["kind"]},
    "B": {"allOf": [{"$ref": "#/$defs/user"}, {"type": "object", "properties": {"kind": {"const": "b"}}}]},
}  # fmt: skip
STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def read_value(value: Json) -> Field:
    return read_json_schema(PATH, schema({"value": value}, **{"$defs": DEFS})).record.fields[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (STRING, Scalar.STRING),
        ({"type": "string", "format": "email", "minLength": 3}, Scalar.STRING),
        ({"type": "string", "format": "date-time"}, Scalar.TIMESTAMP),
        ({"type": "string", "format": "date"}, Scalar.DATE),
        ({"type": "string", "format": "uuid"}, Scalar.UUID),
        ({"type": "string", "contentEncoding": "base64"}, Scalar.BYTES),
        (INTEGER, Scalar.INTEGER),
        ({"type": "integer", "format": "int64"}, Scalar.INT64),
        ({"type": "number"}, Scalar.FLOAT64),
        ({"type": ["integer", "number"]}, Scalar.FLOAT64),
        ({"type": "boolean"}, Scalar.BOOLEAN),
        (True, AnyType()),
        ({"description": "whatever"}, AnyType()),
        ({"type": ["string", "null"]}, Nullable(Scalar.STRING)),
        ({"anyOf": [STRING, {"type": "null"}]}, Nullable(Scalar.STRING)),
        ({"oneOf": [{"const": None}, {"$ref": "#/$defs/user"}]}, Nullable(Reference("User"))),
        ({"type": ["string", "integer"]}, Union((Scalar.STRING, Scalar.INTEGER))),
        ({"anyOf": [STRING, {"anyOf": [INTEGER, {"type": "null"}]}]}, Nullable(Union((Scalar.STRING, Scalar.INTEGER)))),
        ({"enum": ["a", "b"]}, Literal(("a", "b"))),
        ({"enum": ["a", 1, None]}, Nullable(Literal(("a", 1)))),
        ({"const": True}, Literal((True,))),
        ({"oneOf": [{"const": 1}, {"const": True}, {"enum": [1, 2]}]}, Literal((1, True, 2))),
        ({"oneOf": [{"const": "a", "title": "first"}, {"const": "b"}]}, Literal(("a", "b"))),
        ({"$ref": "#/$defs/Status"}, Reference("Status")),
        ({"enum": ["x"], "title": "ticket kind"}, Reference("TicketKind")),
        ({"$ref": "#/$defs/Id"}, Scalar.UUID),
        ({"$ref": "#/$defs/user", "description": "the buyer"}, Reference("User")),
        ({"allOf": [{"$ref": "#/$defs/user"}]}, Reference("User")),
        ({"type": "array"}, ArrayType(AnyType())),
        ({"type": "array", "items": STRING}, ArrayType(Scalar.STRING)),
        ({"type": "array", "items": USER}, ArrayType(Reference("TicketCreatedValueItem"))),
        ({"type": "object"}, MapType(AnyType())),
        ({"type": "object", "additionalProperties": INTEGER}, MapType(Scalar.INTEGER)),
        ({"type": "object", "additionalProperties": USER}, MapType(Reference("TicketCreatedValueValue"))),
        (USER, Reference("TicketCreatedValue")),
        ({**USER, "title": "Buyer"}, Reference("Buyer")),
        ({"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}, Union((Reference("A"), Reference("B")))),
        ({"type": "object", "oneOf": [{"$ref": "#/$defs/A"}]}, Reference("A")),
        ({"$ref": "#"}, Reference("TicketCreated")),
        ({**USER, "anyOf": [{"required": ["id"]}]}, Reference("TicketCreatedValue")),
    ],
)
def test_a_value(value: Json, expected: object) -> None:
    assert read_value(value).type == expected


def test_a_whole_event() -> None:
    source = schema(
        {
            "id": {"$ref": "#/$defs/Id", "description": "of the ticket"},
            "owner": {"$ref": "#/$defs/user"},
            "status": {"$ref": "#/$defs/Status", "default": "open"},
            "either": {"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]},
        },
        "id",
        "owner",
        description="A ticket is for sale",
        additionalProperties=False,
        **{"$defs": DEFS, "x-version": 3, "x-identity": ["id"]},
    )
    found = read_json_schema(PATH, source)
    assert (found.name, found.subject, found.version, found.identity) == ("TicketCreated", "ticket:created", 3, ("id",))
    assert (found.format, found.path, found.source, found.message) == (Format.JSON_SCHEMA, PATH, source, "")
    assert found.types == (
        Record(
            "TicketCreated",
            (
                Field("id", Scalar.UUID, True, "of the ticket"),
                Field("owner", Reference("User"), True),
                Field("status", Reference("Status"), False, "", True, "open"),
                Field("either", Union((Reference("A"), Reference("B"))), False),
            ),
            "A ticket is for sale",
            allows_more=False,
        ),
        Record("User", (Field("id", Scalar.STRING, True),), "Who"),
        Enumeration("Status", (Symbol("open", "open"), Symbol("sold", "sold")), "How it is"),
        Record("A", (Field("kind", Literal(("a",)), True), Field("child", Reference("A"), False))),
        Record("B", (Field("id", Scalar.STRING, True), Field("kind", Literal(("b",)), False)), "Who"),
    )


def test_draft_7() -> None:
    source = schema({"user": {"$ref": "#/definitions/User"}}, definitions={"User": USER}, **{"$schema": DRAFT_7})
    assert read_json_schema(PATH, source).record.fields[0].type == Reference("User")


def test_an_event_may_be_a_reference_to_its_record() -> None:
    source = {
        "title": "TicketCreated",
        "x-subject": "ticket:created",
        "$ref": "#/$defs/T",
        "$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}, "top": {"$ref": "#"}}}},
    }
    found = read_json_schema(PATH, source)
    assert [field.type for field in found.record.fields] == [Reference("TicketCreated"), Reference("TicketCreated")]


def test_enumerations_with_one_title_and_the_same_values_are_one() -> None:
    kind = {"enum": ["x"], "title": "kind"}
    other = {"enum": ["y"], "title": "kind"}
    found = read_json_schema(PATH, schema({"a": kind, "b": kind, "c": other}))
    assert [field.type for field in found.record.fields] == [
        Reference("Kind"),
        Reference("Kind"),
        Reference("TicketCreatedC"),
    ]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (False, "false lets no value pass"),
        ({"type": "null"}, "always null"),
        ({"const": None}, "always null"),
        ({"minLength": 3}, "minLength but no type"),
        ({"enum": ["a", 1.5]}, "1.5"),
        ({"enum": ["a", 1], "type": "string"}, "1 is listed, but its type is string"),
        ({"type": "array", "prefixItems": [STRING]}, "tuples"),
        ({"type": "object", "patternProperties": {"^a": STRING}}, "by pattern"),
        ({"type": "string", "if": {"const": "a"}, "then": {"const": "b"}}, "conditions"),
        ({"type": "string", "nullable": True}, "of OpenAPI"),
        (
            {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
            "both properties and a schema",
        ),
        ({"type": "object", "properties": {"a": STRING}, "required": ["b"]}, "requires 'b'"),
        ({"type": "object", "properties": {"a": STRING}, "oneOf": [STRING, INTEGER]}, "oneOf beside properties"),
        ({"$ref": "other.json#/$defs/A"}, "leads out of this file"),
        ({"$ref": "#/$defs/Nobody"}, "names nothing"),
        ({"type": "string", "$id": "https://example.org/x"}, "$id"),
        ({"type": "integer", "default": "a"}, "does not fit the schema"),
        ({"type": "strin"}, "not valid JSON Schema"),
        ({"type": "string", "pattern": 5}, "not valid JSON Schema"),
        (
            {"allOf": [{**USER, "additionalProperties": False}, {"type": "object", "properties": {"x": STRING}}]},
            "unevaluatedProperties: false",
        ),
        ({"allOf": [{"type": "string", "pattern": "a"}, {"pattern": "b"}]}, "different things of pattern"),
        ({"allOf": [{"$ref": "#"}, {"type": "object", "properties": {"x": STRING}}]}, "contains itself by allOf"),
        ({"type": "array", "items": {"$ref": "#/properties/value"}}, "contains itself"),
    ],
)
def test_what_cannot_be_said_is_refused(value: Json, complaint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_value(value)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("ticket.schema.json: #/")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ([], "a definition is an object"),
        ({"title": "A", "x-subject": "a", "type": "string"}, "an event is an object"),
        ({**schema({}), "title": None}, "not valid JSON Schema"),
        ({"x-subject": "a", "type": "object", "properties": {}}, "the name of the event is missing"),
        ({**schema({}), "$schema": "https://json-schema.org/draft/2019-09/schema"}, "draft 2020-12 and draft 7 are"),
        (
            schema({"a": {**USER, "title": "Same"}, "b": {"$ref": "#/$defs/Same"}}, **{"$defs": {"Same": USER}}),
            "another type with the name Same",
        ),
        (
            schema(
                {"a": {"$ref": "#/definitions/U", "type": "object"}}, definitions={"U": USER}, **{"$schema": DRAFT_7}
            ),
            "draft 7 ignores type beside $ref",
        ),
    ],
)
def test_documents_that_are_no_definitions(source: Any, complaint: str) -> None:  # noqa: ANN401 - whatever a file has
    with pytest.raises(DefinitionError) as caught:
        read_json_schema(PATH, source)
    assert complaint in str(caught.value)
