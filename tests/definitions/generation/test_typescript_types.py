"""Types as TypeScript says them, and as the codec for JSON is told them."""

from pathlib import Path

import pytest

from durabus.definitions.generation.typescript_types import json_shapes, named_type_lines, typescript_names
from durabus.definitions.model import (
    AnyType,
    ArrayType,
    Definition,
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
    Type,
    Union,
)

pytestmark = pytest.mark.once

STATUS = Enumeration(
    "Status", (Symbol("in progress", "in progress"), Symbol("DONE", "DONE", "All is well.")), "How far."
)


def definition(type_: Type, format_: Format = Format.JSON_SCHEMA) -> Definition:
    types = (Record("Made", (Field("some_value", type_, False),), allows_more=False), STATUS)
    return Definition("Made", "made", 1, format_, types, Path("made"), {})


@pytest.mark.parametrize(
    ("type_", "text", "shape"),
    [
        (Scalar.UUID, "string", "uuid"),
        (Scalar.INT32, "number", "integer"),
        (Scalar.UINT64, "bigint", "uint64"),
        (Scalar.TIMESTAMP, "Date", "timestamp"),
        (Scalar.BYTES, "Uint8Array", "bytes"),
        (AnyType(), "unknown", "any"),
        (Literal(("a", 1, True)), '"a" | 1 | true', {"literal": ["a", 1, True]}),
        (
            Nullable(ArrayType(Nullable(Scalar.DATE))),
            "(string | null)[] | null",
            {"nullable": {"array": {"nullable": "date"}}},
        ),
        (MapType(Scalar.INT64), "Record<string, bigint>", {"map": "int64"}),
        (Union((Scalar.STRING, Scalar.INT32)), "string | number", {"union": ["string", "integer"]}),
        (Reference("Status"), "Status", {"literal": ["in progress", "DONE"]}),
        (Reference("Made"), "Made", {"ref": "Made"}),
    ],
)
def test_types(type_: Type, text: str, shape: object) -> None:
    made = definition(type_)
    lines = named_type_lines(made.types[0], typescript_names(made))
    assert lines == ["export interface Made {", f"  some_value?: {text};", "}"]
    assert json_shapes(made) == {"Made": {"fields": {"some_value": {"shape": shape, "optional": True}}, "closed": True}}


def test_fields_of_protobuf_are_in_camel_case() -> None:
    made = definition(MapType(Scalar.STRING, Scalar.INT32), Format.PROTOBUF)
    assert named_type_lines(made.types[0], typescript_names(made))[1] == "  someValue?: Record<number, string>;"


def test_enumerations_are_objects_and_types() -> None:
    assert named_type_lines(STATUS, typescript_names(definition(Scalar.STRING))) == [
        "/** How far. */",
        "export const Status = {",
        '  InProgress: "in progress",',
        "  /** All is well. */",
        '  DONE: "DONE",',
        "} as const;",
        "",
        "export type Status = (typeof Status)[keyof typeof Status];",
    ]
