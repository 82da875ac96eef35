"""JSON Schema: what is found of each kind of change, and that what is called compatible is valid, instance by instance."""

import copy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.definitions.compatibility.json_schema import compare_json_schema
from durabus.definitions.compatibility.verdicts import Direction
from durabus.definitions.json_document import Json
from durabus.definitions.json_schema import read_json_schema
from durabus.definitions.model import DefinitionError
from tests.definitions.texts import schema

pytestmark = pytest.mark.once

EXAMPLES = 250
BACKWARD, FORWARD = "backward", "forward"
STRING, INTEGER = {"type": "string"}, {"type": "integer"}
OPEN = {"type": "object", "properties": {"x": INTEGER}}
CAT = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": INTEGER}, "required": ["kind"]}
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}, "tricks": INTEGER}, "required": ["kind"]}
NAMELESS = {"type": "object", "properties": {"lives": INTEGER}}


def found(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[str]]:
    """Directions by paths, and the reasons are checked to be there."""
    definitions = [read_json_schema(Path("x.json"), one) for one in (old, new)]
    findings = compare_json_schema(*definitions)
    made: dict[str, list[str]] = {}
    for finding in findings:
        assert finding.reason
        made.setdefault(finding.path, []).extend(direction.value for direction in finding.breaks)
    return {path: sorted(set(breaks)) for path, breaks in made.items()}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (STRING, STRING, []),
        (STRING, {"type": "string", "description": "other words", "title": "T"}, []),
        (STRING, INTEGER, [BACKWARD, FORWARD]),
        (INTEGER, {"type": "number"}, [FORWARD]),
        (STRING, {"type": ["string", "null"]}, [FORWARD]),
        (STRING, {"anyOf": [STRING, {"type": "null"}]}, [FORWARD]),
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "null"}, STRING]}, []),
        (STRING, {"anyOf": [STRING, INTEGER]}, [FORWARD]),
        (STRING, True, [FORWARD]),
        ({"enum": ["a", "b"]}, {"enum": ["b", "a", "c"]}, [FORWARD]),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, [BACKWARD]),
        ({"const": "a"}, {"enum": ["a", "b"]}, [FORWARD]),
        ({"enum": ["a"]}, STRING, [FORWARD]),
        ({"enum": ["a", None]}, {"type": "string"}, [BACKWARD, FORWARD]),
        ({"type": "boolean"}, {"enum": [True, False]}, []),
        ({"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}, [BACKWARD]),
        ({"type": "integer", "minimum": 1}, {"type": "integer", "exclusiveMinimum": 0}, []),
        ({"type": "number", "minimum": 1}, {"type": "number", "exclusiveMinimum": 1}, [BACKWARD]),
        ({"type": "number", "maximum": 1}, {"type": "number", "exclusiveMaximum": 1}, [BACKWARD]),
        ({"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 10}, [FORWARD]),
        ({"type": "integer", "maximum": 9}, {"type": "integer", "exclusiveMaximum": 10}, []),
        ({"type": "integer", "format": "int32"}, {"type": "integer", "format": "int64"}, [FORWARD]),
        ({"type": "integer", "format": "int32"}, {"type": "integer", "minimum": -(2**31)}, [FORWARD]),
        ({"type": "number", "multipleOf": 0.2}, {"type": "number", "multipleOf": 0.1}, [FORWARD]),
        (INTEGER, {"type": "number", "multipleOf": 0.5}, [FORWARD]),
        ({"type": "string", "minLength": 1}, {"type": "string", "minLength": 2}, [BACKWARD]),
        ({"type": "string", "maxLength": 3}, {"type": "string"}, [FORWARD]),
        ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}, [BACKWARD, FORWARD]),
        (STRING, {"type": "string", "format": "date-time"}, [BACKWARD]),
        (STRING, {"type": "string", "contentEncoding": "base64"}, [BACKWARD]),
        ({"type": "array", "items": INTEGER}, {"type": "array", "items": STRING}, [BACKWARD, FORWARD]),
        ({"type": "array", "items": INTEGER}, {"type": "array", "items": {"type": "number"}}, [FORWARD]),
        ({"type": "array"}, {"type": "array", "items": STRING}, [BACKWARD]),
        ({"type": "array", "maxItems": 2}, {"type": "array", "maxItems": 3}, [FORWARD]),
        ({"type": "array"}, {"type": "array", "uniqueItems": True}, [BACKWARD]),
        ({"type": "array"}, {"type": "array", "contains": STRING}, [BACKWARD]),
        (STRING, {"type": "string", "not": {"const": "x"}}, [BACKWARD]),
        ({"type": "object", "additionalProperties": INTEGER}, {"type": "object", "additionalProperties": STRING}, [BACKWARD, FORWARD]),
        ({"type": "object"}, {"type": "object", "additionalProperties": STRING}, [BACKWARD]),
        ({"type": "object", "maxProperties": 3}, {"type": "object"}, [FORWARD]),
        ({"type": "object"}, {"type": "object", "propertyNames": {"maxLength": 2}}, [BACKWARD]),
        (OPEN, {**OPEN, "additionalProperties": False}, []),
        (OPEN, {"type": "object", "additionalProperties": INTEGER}, []),
        (OPEN, {**OPEN, "minProperties": 1}, [BACKWARD]),
        ({"oneOf": [CAT, DOG]}, {"oneOf": [DOG, CAT]}, []),
        ({"oneOf": [CAT]}, {"oneOf": [CAT, DOG]}, [FORWARD]),
        (CAT, {"oneOf": [CAT, NAMELESS]}, [BACKWARD, FORWARD]),  # a cat fits both options, and then it is refused
        (CAT, {"anyOf": [CAT, NAMELESS]}, [FORWARD]),
        (NAMELESS, {"oneOf": [CAT, NAMELESS]}, []),  # it has no kind, so it is no cat
        ({"type": "object", "oneOf": [CAT, DOG]}, {"oneOf": [CAT, DOG]}, []),
        ({"allOf": [OPEN, {"type": "object", "required": ["x"]}]}, {**OPEN, "required": ["x"]}, []),
        (
            {**OPEN, "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
            {**OPEN, "anyOf": [{"required": ["x"]}]},
            [BACKWARD],
        ),
    ],
)  # fmt: skip
def test_a_value(old: Json, new: Json, expected: list[str]) -> None:
    changes = found(schema({"v": old}), schema({"v": new}))
    assert sorted({direction for breaks in changes.values() for direction in breaks}) == expected, changes
    assert all(path.startswith("v") for path in changes)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (schema({"a": STRING}), schema({"a": STRING, "b": STRING}), {}),
        (schema({"a": STRING}), schema({"a": STRING, "b": STRING}, "b"), {"b": [BACKWARD]}),
        (schema({"a": STRING}, "a"), schema({"a": STRING}), {"a": [FORWARD]}),
        (schema({"a": STRING, "b": STRING}, "b"), schema({"a": STRING}), {"b": [FORWARD]}),
        (schema({"a": STRING, "b": STRING}), schema({"a": STRING}, additionalProperties=False), {"b": [BACKWARD]}),
        (
            schema({"a": STRING}, additionalProperties=False),
            schema({"a": STRING, "b": STRING}, additionalProperties=False),
            {"b": [FORWARD]},
        ),
        (
            schema({"user": {"type": "object", "properties": {"tags": {"type": "array", "items": STRING}}}}),
            schema({"user": {"type": "object", "properties": {"tags": {"type": "array", "items": INTEGER}}}}),
            {"user.tags[]": [BACKWARD, FORWARD]},
        ),
        (
            schema({"a b": {"type": "object", "additionalProperties": STRING}}),
            schema({"a b": {"type": "object", "additionalProperties": INTEGER}}),
            {'["a b"]{}': [BACKWARD, FORWARD]},
        ),
        (
            schema({"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": {"type": "object", "properties": {"x": STRING}}}}),
            schema({"a": {"$ref": "#/definitions/B"}}, definitions={"B": {"type": "object", "properties": {"x": INTEGER}}}),
            {"a.x": [BACKWARD, FORWARD]},
        ),
        (
            schema({"next": {"$ref": "#"}, "a": STRING}),
            schema({"next": {"oneOf": [{"$ref": "#"}, {"type": "null"}]}, "a": STRING}),
            {"next": [FORWARD]},
        ),
        (
            schema({"a": STRING, "b": STRING}),
            schema({"a": STRING, "b": STRING}, dependentRequired={"a": ["b"]}),
            {"a": [BACKWARD]},
        ),
    ],
)  # fmt: skip
def test_an_event(old: dict[str, Any], new: dict[str, Any], expected: dict[str, list[str]]) -> None:
    assert found(old, new) == expected


def test_the_reason_is_told_as_who_made_the_change_sees_it() -> None:
    old = read_json_schema(Path("x.json"), schema({"a": {"type": "integer", "minimum": 0}, "b": STRING}))
    new = read_json_schema(
        Path("x.json"), schema({"a": {"type": "integer", "minimum": 1}, "b": INTEGER, "c": STRING}, "c")
    )
    reasons = {(finding.path, finding.reason) for finding in compare_json_schema(old, new)}
    assert reasons == {
        ("a", "the lower bound is 1, was 0"),
        ("b", "the type is integer, was string"),
        ("c", "the new definition requires it; old events do not have it"),
    }


def test_records_that_share_records_are_compared_once() -> None:
    def event(last: Json) -> dict[str, Any]:
        names = [f"T{index}" for index in range(40)]
        two = {
            name: {
                "type": "object",
                "properties": {"a": {"$ref": f"#/$defs/{following}"}, "b": {"$ref": f"#/$defs/{following}"}},
            }
            for name, following in zip(names, [*names[1:], "Last"], strict=True)
        }
        return schema(
            {"first": {"$ref": "#/$defs/T0"}},
            **{"$defs": {**two, "Last": {"type": "object", "properties": {"x": last}}}},
        )

    assert found(event(INTEGER), event({"type": "integer", "description": "words"})) == {}
    wider = (
        read_json_schema(Path("x.json"), event({"type": "number"})),
        read_json_schema(Path("x.json"), event({"type": ["number", "null"]})),
    )
    assert compare_json_schema(wider[0], wider[0]) == []


# Whatever is called compatible is: by instances.

NAMES = ("a", "b", "c")
LEAVES: list[Any] = [
    STRING, INTEGER, True, {"type": "number"}, {"type": "boolean"}, {"type": ["string", "null"]}, {"enum": ["a", "b"]},
    {"enum": ["a", "b", "c"]}, {"enum": ["a", 1, None]}, {"const": "a"}, {"type": "integer", "minimum": 0},
    {"type": "integer", "exclusiveMinimum": -1, "maximum": 5}, {"type": "number", "exclusiveMaximum": 5},
    {"type": "string", "maxLength": 1}, {"type": "string", "minLength": 1}, {"type": "number", "multipleOf": 0.5},
    {"type": "string", "format": "date"}, {"anyOf": [STRING, INTEGER]}, {"oneOf": [INTEGER, {"type": "null"}]},
    {"oneOf": [{"type": "number"}, INTEGER]},
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 5, 6, 7, 1.0, 0.5, 4.9, -3, 10**10, "", "a", "b", "c", "ab", "2026-01-02", [], ["a"], [1, 1],
    {}, {"a": "a"}, {"kind": "cat"}, {"kind": "dog", "lives": 1}, {"lives": 2},
]  # fmt: skip


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas around schemas."""
    records = st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in required if name in properties],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=3),
        st.lists(st.sampled_from(NAMES), unique=True),
        st.booleans(),
    )
    arrays = st.builds(
        lambda items, most: {"type": "array", "items": items, **most},
        inner,
        st.sampled_from([{}, {"maxItems": 1}, {"uniqueItems": True}]),
    )
    maps = st.builds(lambda values: {"type": "object", "additionalProperties": values}, inner)
    unions = st.builds(
        lambda keyword, options: {keyword: options},
        st.sampled_from(["anyOf", "oneOf"]),
        st.lists(inner, min_size=1, max_size=3),
    )
    return st.one_of(
        records,
        records,
        arrays,
        maps,
        unions,
        st.sampled_from([{"oneOf": [CAT, DOG]}, {"oneOf": [CAT, NAMELESS]}, NAMELESS]),
    )


SCHEMAS = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=6)


@st.composite
def changed(draw: st.DrawFn, one: Json) -> Json:
    """A schema that is mostly as `one`."""
    if not isinstance(one, dict) or draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(LEAVES))
    made = copy.deepcopy(one)
    for keyword in ("anyOf", "oneOf"):
        if keyword in made:
            made[keyword] = [draw(changed(option)) if draw(st.booleans()) else option for option in made[keyword]]
            if draw(st.booleans()):
                made[keyword].append(draw(SCHEMAS))
    for keyword in ("items", "additionalProperties"):
        if isinstance(made.get(keyword), dict) and draw(st.booleans()):
            made[keyword] = draw(changed(made[keyword]))
    if "properties" in made:
        for name in list(made["properties"]):
            match draw(st.integers(0, 4)):
                case 0:
                    made["properties"][name] = draw(changed(made["properties"][name]))
                case 1 if len(made["properties"]) > 1:
                    del made["properties"][name]
        if draw(st.booleans()):
            made["properties"][draw(st.sampled_from(NAMES))] = draw(SCHEMAS)
        made["required"] = [
            name for name in made.get("required", []) if name in made["properties"] and draw(st.booleans())
        ]
        if draw(st.integers(0, 3)) == 0:
            made["additionalProperties"] = not made.get("additionalProperties", True)
    return made


def written(one: Json) -> st.SearchStrategy[Any]:
    """What may be written by a schema; some of it is not valid, and is left out by who asks."""
    if not isinstance(one, dict):
        return st.sampled_from(VALUES)
    for keyword in ("anyOf", "oneOf"):
        if keyword in one:
            return st.one_of([written(option) for option in one[keyword]])
    if "enum" in one or "const" in one:
        return st.sampled_from(one.get("enum", [one.get("const")]))
    if one.get("type") == "array":
        return st.lists(written(one.get("items", True)), max_size=2)
    if one.get("type") == "object" and "properties" in one:
        required = {name: written(one["properties"][name]) for name in one.get("required", [])}
        optional = {name: written(value) for name, value in one["properties"].items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if one.get("type") == "object":
        return st.dictionaries(st.sampled_from(NAMES), written(one.get("additionalProperties", True)), max_size=2)
    valid = jsonschema_rs.validator_for(one, validate_formats=True).is_valid
    return st.sampled_from([value for value in VALUES if valid(value)])


def readable(one: Json) -> bool:
    """Whether the neutral form can say it; the rest never comes to a comparison."""
    try:
        read_json_schema(Path("x.json"), schema({"v": one}))
    except DefinitionError:
        return False
    return True


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_what_is_called_compatible_is_valid_instance_by_instance(data: st.DataObject) -> None:
    before = data.draw(SCHEMAS.filter(readable))
    after = data.draw(changed(before).filter(readable))
    old, new = schema({"v": before}), schema({"v": after})
    broken = {
        direction
        for finding in compare_json_schema(read_json_schema(Path("x.json"), old), read_json_schema(Path("x.json"), new))
        for direction in finding.breaks
    }
    for direction, writer, reader in ((Direction.BACKWARD, before, new), (Direction.FORWARD, after, old)):
        if direction in broken:
            continue
        own = jsonschema_rs.validator_for(schema({"v": writer}), validate_formats=True)
        other = jsonschema_rs.validator_for(reader, validate_formats=True)
        for value in data.draw(st.lists(written(writer), max_size=8)):
            if own.is_valid({"v": value}):
                assert other.is_valid({"v": value}), (direction, value, writer, reader)
