"""JSON as definitions have it, and what $ref and allOf come to."""

from pathlib import Path

import pytest

from durabus.definitions.json_document import SchemaDocument, assertions, child, parse_json
from durabus.definitions.model import DefinitionError

pytestmark = pytest.mark.once

PATH = Path("x.json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"a": 1,}', "x.json: line 1 column 9: broken JSON"),
        ('{"a": 1, "a": 2}', "has 'a' twice"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_broken_text(text: str, complaint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_json(PATH, text)
    assert complaint in str(caught.value)


def test_a_pointer_escapes_names() -> None:
    assert child("#", "a/b", "c~d", 3) == "#/a~1b/c~0d/3"


def test_references_lead_to_names_that_are_escaped_and_into_lists() -> None:
    document = SchemaDocument(PATH, {"$defs": {"a/b": {"anyOf": [{"type": "string"}]}}})
    assert document.target("#/$defs/a~1b/anyOf/0", "#") == ({"type": "string"}, "#/$defs/a~1b/anyOf/0")


def test_a_circle_of_references_is_told() -> None:
    document = SchemaDocument(PATH, {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})
    with pytest.raises(DefinitionError, match="leads to itself"):
        document.follow({"$ref": "#/$defs/a"}, "#")
    with pytest.raises(DefinitionError, match="leads to itself"):
        document.flatten({"$ref": "#/$defs/a", "type": "string"}, "#")


def test_parts_are_joined_to_what_holds_when_all_hold() -> None:
    document = SchemaDocument(PATH, {})
    joined = document.flatten(
        {
            "allOf": [
                {"type": ["integer", "null"], "minimum": 1, "maximum": 9, "enum": [1, 2, 3]},
                {"type": "number", "minimum": 2, "maximum": 5, "enum": [3, 2]},
                {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"a": {"minLength": 1}, "b": True}, "required": ["b", "a"], "description": "words"},
            ]
        },
        "#",
    )
    assert joined == {
        "type": ["integer"],
        "minimum": 2,
        "maximum": 5,
        "enum": [2, 3],
        "properties": {"a": {"allOf": [{"type": "string"}, {"minLength": 1}]}, "b": True},
        "required": ["a", "b"],
        "description": "words",
    }


def test_words_demand_nothing() -> None:
    assert assertions({"title": "a", "x-subject": "b", "$defs": {}, "type": "string"}) == {"type"}
