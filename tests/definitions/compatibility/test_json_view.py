"""A definition as comparisons see it."""

from pathlib import Path

import pytest

from durabus.definitions.compatibility.json_view import SchemaView
from durabus.definitions.json_document import Json
from durabus.definitions.json_schema import read_json_schema
from tests.definitions.texts import schema

pytestmark = pytest.mark.once

A = {"type": "object", "properties": {"next": {"$ref": "#/$defs/A"}, "n": {"type": "integer", "description": "words"}}}


def view(**more: Json) -> SchemaView:
    return SchemaView(
        read_json_schema(Path("x.json"), schema({"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": A}}, **more))
    )


def test_values_are_held_against_schemas_with_references() -> None:
    found = view(**{"$id": "https://example.org/x"})
    values = [{"n": 1}, {"n": "1"}, {"next": {"next": {"n": 2}}}, {"next": {"n": None}}]
    assert found.valid_values({"$ref": "#/$defs/A"}, values) == [values[0], values[2]]
    assert found.valid_values(
        {"type": "object", "properties": {"x": {"$ref": "#"}}}, [{"x": {"a": {"n": 1}}}, {"x": 3}]
    ) == [{"x": {"a": {"n": 1}}}]
    assert found.valid_values(True, [1]) == [1]


def test_what_says_the_same_is_equal() -> None:
    found = view()
    spelled = {
        "properties": {"n": {"type": "integer"}, "next": {"$ref": "#/$defs/A", "title": "words"}},
        "type": "object",
    }
    assert found.canonical({"$ref": "#/$defs/A"}, "#/x") == found.canonical(A, "#/$defs/A")
    joined = {"allOf": [{"type": "string"}, {"minLength": 1}]}
    assert found.canonical(joined, "#/y1") == found.canonical({"minLength": 1, "type": "string"}, "#/y2")
    assert found.canonical({"required": ["b", "a"]}, "#/z1") == found.canonical({"required": ["a", "b"]}, "#/z2")
    assert found.canonical(spelled, "#/w") != found.canonical({**spelled, "required": ["n"]}, "#/v")


def test_a_part_of_a_schema() -> None:
    found = view()
    one = found.part({"not": {"const": 1, "title": "one"}}, "not", "#/x")
    assert one == found.part({"type": "integer", "not": {"const": 1}}, "not", "#/y")
    assert one != found.part({"not": {"const": 2}}, "not", "#/z")
    assert found.part({}, "not", "#/x") is None
