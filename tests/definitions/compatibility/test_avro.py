"""Avro: what is found of each kind of change, and that what is called compatible is decoded, by fastavro."""

import copy
import io
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from durabus.definitions.avro import read_avro
from durabus.definitions.compatibility.avro import compare_avro
from durabus.definitions.compatibility.verdicts import Direction
from durabus.definitions.json_document import Json
from durabus.definitions.model import DefinitionError
from tests.definitions.texts import record

pytestmark = pytest.mark.once

EXAMPLES = 250
BACKWARD, FORWARD = "backward", "forward"
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
UUID = {"type": "string", "logicalType": "uuid"}


def enum(*symbols: str, name: str = "E", **more: Json) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def inner(*fields: dict[str, Any], name: str = "R", **more: Json) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def found(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[str]]:
    findings = compare_avro(read_avro(Path("x.avsc"), old), read_avro(Path("x.avsc"), new))
    made: dict[str, list[str]] = {}
    for finding in findings:
        assert finding.reason
        made.setdefault(finding.path, []).extend(direction.value for direction in finding.breaks)
    return {path: sorted(set(breaks)) for path, breaks in made.items()}


INT_A = {"name": "a", "type": "int"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("string", "string", []),
        ("string", {"type": "string"}, []),
        ("string", "int", [BACKWARD, FORWARD]),
        ("int", "long", [FORWARD]),
        ("int", "float", [FORWARD]),
        ("int", "double", [FORWARD]),
        ("long", "double", [FORWARD]),
        ("float", "double", [FORWARD]),
        ("double", "long", [BACKWARD]),
        ("string", "bytes", [FORWARD]),  # any string is bytes, not all bytes are a string
        ("string", UUID, [BACKWARD]),
        (MILLIS, MICROS, [BACKWARD, FORWARD]),
        (MILLIS, "long", [BACKWARD, FORWARD]),
        ({"type": "int", "logicalType": "date"}, "long", [BACKWARD, FORWARD]),
        ({"type": "int", "logicalType": "unheard-of"}, "int", []),
        ("string", ["null", "string"], [FORWARD]),
        (["null", "string"], ["string", "null"], []),
        (["null", "string"], ["null", "string", "int"], [FORWARD]),
        (["int", "string"], ["string", "long"], [FORWARD]),
        (enum("A", "B"), enum("B", "A"), []),
        (enum("A"), enum("A", "B"), [FORWARD]),
        (enum("A", default="A"), enum("A", "B", default="A"), []),
        (enum("A", "B"), enum("A", default="A"), []),
        (enum("A"), enum("A", name="G"), [BACKWARD, FORWARD]),
        (enum("A"), enum("A", name="G", aliases=["E"]), [FORWARD]),
        (enum("A"), "string", [BACKWARD, FORWARD]),
        (fixed(2), fixed(3), [BACKWARD, FORWARD]),
        (fixed(2), fixed(2, "G"), [BACKWARD, FORWARD]),
        (fixed(2), "bytes", [BACKWARD, FORWARD]),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, [FORWARD]),
        ({"type": "map", "values": "int"}, {"type": "map", "values": ["null", "int"]}, [FORWARD]),
        (inner(INT_A), inner(INT_A, {"name": "b", "type": "int"}), [BACKWARD]),
        (inner(INT_A), inner(INT_A, {"name": "b", "type": "int", "default": 1}), []),
        (inner(INT_A), inner({"name": "z", "type": "int", "aliases": ["a"]}), [FORWARD]),
        (inner(INT_A), inner({"name": "z", "type": "int", "aliases": ["a"], "default": 0}), [FORWARD]),
        (inner({**INT_A, "default": 0}), inner({"name": "z", "type": "int", "default": 0}), []),
        (inner(INT_A), inner(INT_A, namespace="n"), [BACKWARD, FORWARD]),
        (inner(INT_A), inner(INT_A, name="n.Q", aliases=["R"]), [BACKWARD, FORWARD]),
        (inner(INT_A, namespace="n"), inner(INT_A, name="n.Q", aliases=["R"]), [FORWARD]),
        (["null", inner(INT_A)], ["null", inner({"name": "a", "type": "string"})], [BACKWARD, FORWARD]),
    ],
)
def test_a_value(old: Json, new: Json, expected: list[str]) -> None:
    before, after = (record({"name": "v", "type": one}) for one in (old, new))
    changes = found(before, after)
    assert sorted({direction for breaks in changes.values() for direction in breaks}) == expected, changes
    assert all(path.startswith("v") for path in changes)


def test_paths_lead_into_records_arrays_and_maps() -> None:
    def event(kind: str) -> dict[str, Any]:
        line = inner(
            {"name": "prices", "type": {"type": "map", "values": kind}}, {"name": "next", "type": ["null", "R"]}
        )
        return record({"name": "lines", "type": {"type": "array", "items": line}})

    assert found(event("int"), event("string")) == {"lines[].prices{}": [BACKWARD, FORWARD]}
    assert found(event("int"), event("int")) == {}


def test_an_event_of_another_name_needs_an_alias() -> None:
    old, new = record(INT_A), record(INT_A, name="TicketMade", aliases=["TicketCreated"])
    assert found(old, new) == {"": [FORWARD]}


def test_a_name_is_known_wherever_it_is_written() -> None:
    shared = enum("A", name="shop.Status")
    old = record({"name": "a", "type": shared}, {"name": "b", "type": "shop.Status"}, namespace="tickets")
    new = record({"name": "b", "type": shared}, {"name": "a", "type": "shop.Status"}, namespace="tickets")
    assert found(old, new) == {}


def test_the_reason_is_told_as_who_made_the_change_sees_it() -> None:
    old = read_avro(Path("x.avsc"), record({"name": "a", "type": "int"}, {"name": "n", "type": ["null", "int"]}))
    new = read_avro(Path("x.avsc"), record({"name": "a", "type": "string"}, {"name": "n", "type": "int"}))
    reasons = {(finding.path, finding.reason) for finding in compare_avro(old, new)}
    assert reasons == {
        ("a", "the type is string, was int"),
        ("n", "old events may have null there, which the new definition does not take"),
    }


# Whatever is called compatible is: by what fastavro decodes.

LEAVES: list[Any] = [
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "bytes",
    "string",
    MILLIS,
    MICROS,
    UUID,
    {"type": "int", "logicalType": "date"},
]
SYMBOLS = ["A", "B", "C"]
DEFAULTS: dict[str, Any] = {
    "boolean": True,
    "int": 1,
    "long": 1,
    "float": 1.5,
    "double": 1.5,
    "bytes": "x",
    "string": "x",
}


def key_of(one: Json) -> str:
    """What may be in a union once only."""
    return str(one if isinstance(one, str) else one["type"] if "name" not in one else one["name"])


@st.composite
def types(draw: st.DrawFn, depth: int = 2) -> Json:
    kind = draw(st.integers(0, 9 if depth else 4))
    if kind <= 3:
        return draw(st.sampled_from(LEAVES))
    if kind == 4:
        symbols = draw(st.lists(st.sampled_from(SYMBOLS), unique=True, min_size=1))
        return enum(*symbols, **({"default": symbols[0]} if draw(st.booleans()) else {}))
    if kind == 5:
        return fixed(draw(st.integers(1, 2)))
    if kind == 6:
        return {"type": "array", "items": draw(types(depth - 1))}
    if kind == 7:
        return {"type": "map", "values": draw(types(depth - 1))}
    if kind == 8:
        options: dict[str, Any] = {}
        for option in draw(st.lists(st.one_of(st.just("null"), types(0)), min_size=2, max_size=4)):
            options.setdefault(key_of(option), option)
        return list(options.values())
    return inner(*draw(fields(depth - 1)), name=draw(st.sampled_from(["R", "Q"])))


@st.composite
def fields(draw: st.DrawFn, depth: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for name in draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True, min_size=1)):
        made.append(draw(field(name, depth)))
    return made


@st.composite
def field(draw: st.DrawFn, name: str, depth: int) -> dict[str, Any]:
    kind = draw(types(depth))
    made = {"name": name, "type": kind}
    if isinstance(kind, str) and draw(st.booleans()):
        made["default"] = DEFAULTS[kind]
    if draw(st.integers(0, 5)) == 0:
        made["aliases"] = [draw(st.sampled_from(["a", "b", "c", "d"]))]
    return made


@st.composite
def changed(draw: st.DrawFn, one: Json) -> Json:
    """A type that is mostly as `one`."""
    if draw(st.integers(0, 5)) == 0:
        return draw(types(1))
    made: Json
    if isinstance(one, list):
        options = [draw(changed(option)) if draw(st.booleans()) else option for option in one]
        return list({key_of(option): option for option in options if not isinstance(option, list)}.values())
    if isinstance(one, str):
        wider = {
            "int": ["int", "long", "double"],
            "long": ["long", "float"],
            "float": ["float", "double"],
            "string": ["string", "bytes"],
        }
        name = draw(st.sampled_from(wider.get(one, [one])))
        return [*draw(st.permutations(["null", name]))] if one != "null" and draw(st.integers(0, 3)) == 0 else name
    made = copy.deepcopy(one)
    for part in ("items", "values"):
        if part in made:
            made[part] = draw(changed(made[part]))
    if "symbols" in made:
        made["symbols"] = [*{*made["symbols"], draw(st.sampled_from(SYMBOLS))}]
    if "fields" in made:
        kept = [
            {**each, "type": draw(changed(each["type"]))} if "default" not in each and draw(st.booleans()) else each
            for each in made["fields"]
        ]
        if draw(st.booleans()):
            kept = [*kept[1:], draw(field("d", 0))]
        made["fields"] = kept
    return made


def values(one: Json) -> st.SearchStrategy[Any]:
    """What may be written as a type, in the form in which a union shows which of its types it is."""
    if isinstance(one, list):
        return st.one_of([values(option) for option in one])
    kind = one if isinstance(one, str) else one["type"]
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "int" | "long":
            return st.integers(0, 2**20)
        case "float" | "double":
            return st.sampled_from([0.0, 1.5, -2.0])
        case "bytes":
            return st.binary(max_size=3)
        case "string":
            return st.just("0d6f2b1e-1d54-4c7f-8a3a-111111111111") if isinstance(one, dict) else st.text(max_size=3)
        case "fixed":
            return st.binary(min_size=one["size"], max_size=one["size"])
        case "enum":
            return st.sampled_from(one["symbols"])
        case "array":
            return st.lists(values(one["items"]), max_size=2)
        case "map":
            return st.dictionaries(st.sampled_from(["k", "l"]), values(one["values"]), max_size=2)
    return st.fixed_dictionaries({each["name"]: values(each["type"]) for each in one["fields"]})


def encoded(writer: Json, value: Json) -> bytes:
    """An event on the wire."""
    buffer = io.BytesIO()
    try:
        fastavro.schemaless_writer(buffer, fastavro.parse_schema(writer), {"v": value})
        fastavro.schemaless_reader(io.BytesIO(buffer.getvalue()), fastavro.parse_schema(writer), None)
    except ValueError:
        reject()  # in a union it takes text for a date or a UUID, and stumbles over it
    return buffer.getvalue()


def readable(one: Json) -> bool:
    try:
        read_avro(Path("x.avsc"), record({"name": "v", "type": one}))
    except DefinitionError:
        return False
    return True


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_what_is_called_compatible_is_decoded(data: st.DataObject) -> None:
    before = data.draw(types().filter(readable))
    after = data.draw(changed(before).filter(readable))
    old, new = (record({"name": "v", "type": one}) for one in (before, after))
    broken = {
        direction
        for finding in compare_avro(read_avro(Path("x.avsc"), old), read_avro(Path("x.avsc"), new))
        for direction in finding.breaks
    }
    for direction, writer, reader in ((Direction.BACKWARD, old, new), (Direction.FORWARD, new, old)):
        if direction in broken:
            continue
        for value in data.draw(st.lists(values(writer["fields"][0]["type"]), max_size=5)):
            buffer = io.BytesIO(encoded(writer, value))
            fastavro.schemaless_reader(buffer, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
            assert buffer.read() == b""
