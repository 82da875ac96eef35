"""Types, strings and defaults as Python says them."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.definitions.generation.plan import GenerationError
from durabus.definitions.generation.python_module import python_names
from durabus.definitions.generation.python_types import (
    Imports,
    PythonNames,
    default_expression,
    python_string,
    python_type,
)
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

STATUS = Enumeration("Status", (Symbol("a b", "a b"), Symbol("c", "c")))
TICKET = Record("Ticket", (Field("ticketId", Scalar.STRING, True), Field("price", Scalar.FLOAT64, True)))


def names() -> PythonNames:
    types = (Record("Made", ()), STATUS, TICKET, Record("Other", ()))
    return python_names(Definition("Made", "made", 1, Format.JSON_SCHEMA, types, Path("made"), {}))


@given(st.text())
def test_strings_are_literals(text: str) -> None:
    shown = python_string(text)
    assert ast.literal_eval(shown) == text
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("type_", "text", "imported"),
    [
        (Scalar.STRING, "str", set()),
        (Scalar.UINT64, "int", set()),
        (Scalar.DATE, "datetime.date", {"datetime"}),
        (Scalar.UUID, "uuid.UUID", {"uuid"}),
        (Nullable(AnyType()), "Any", set()),
        (Literal((1, "x", True)), 'Literal[1, "x", True]', set()),
        (Nullable(ArrayType(Nullable(Scalar.BYTES))), "list[bytes | None] | None", set()),
        (MapType(Scalar.FLOAT32, Scalar.INT64), "dict[int, float]", set()),
        (Union((Scalar.INT32, Scalar.UUID, Reference("Ticket"))), "int | uuid.UUID | Ticket", {"uuid"}),
        (Union((Scalar.UUID, Scalar.STRING, Reference("Status"), Scalar.INT32)), "str | int", set()),
        (Union((Scalar.INT32, Scalar.INT64)), "int", set()),
        (Reference("Status"), "Status", set()),
    ],
)
def test_types(type_: Type, text: str, imported: set[str]) -> None:
    imports = Imports()
    assert python_type(type_, names(), imports).text == text
    assert imports.modules == imported


def test_a_union_whose_members_nothing_tells_apart() -> None:
    union = Union((Reference("Ticket"), Reference("Other")))
    with pytest.raises(GenerationError, match=r'Ticket, Other: nothing tells these records apart; .*"const"'):
        python_type(union, names(), Imports())


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ((Scalar.DATE, Scalar.UUID), "one of date, uuid: Python does not tell these apart"),
        ((Reference("Status"), Literal(("x",))), "one of Status, some values: Python does not tell"),
        ((ArrayType(Scalar.STRING), ArrayType(Scalar.INT32)), "one of several arrays"),
        ((MapType(Scalar.STRING), Reference("Ticket")), "one of a map, Ticket"),
        ((MapType(Scalar.STRING), MapType(Scalar.INT32)), "one of a map, a map"),
    ],
)
def test_a_union_that_python_does_not_tell_apart(members: tuple[Type, ...], reason: str) -> None:
    with pytest.raises(GenerationError, match=reason):
        python_type(ArrayType(Union(members)), names(), Imports())


def test_texts_in_avro_are_not_made_one() -> None:
    with pytest.raises(GenerationError, match="one of string, bytes"):
        python_type(Union((Scalar.STRING, Scalar.BYTES)), replace(names(), format=Format.AVRO), Imports())


@pytest.mark.parametrize(
    ("type_", "default", "text"),
    [
        (Scalar.STRING, 'a"b', "'a\"b'"),
        (Scalar.FLOAT64, 1, "1.0"),
        (Nullable(Scalar.INT32), None, "None"),
        (Scalar.BYTES, "AP8=", 'bytes.fromhex("00ff")'),
        (Scalar.BYTES, "YWI=", 'b"ab"'),
        (Scalar.DATE, "2026-01-02", 'datetime.date.fromisoformat("2026-01-02")'),
        (Scalar.UUID, "6f1c3a52-6a0f-4d0e-9d5c-0d7a8f3a2b10", 'uuid.UUID("6f1c3a52-6a0f-4d0e-9d5c-0d7a8f3a2b10")'),
        (Reference("Status"), "a b", "Status.A_B"),
        (ArrayType(Reference("Status")), ["c"], "msgspec.field(default_factory=lambda: [Status.C])"),
        (ArrayType(Scalar.STRING), [], "msgspec.field(default_factory=list)"),
        (MapType(Scalar.INT32), {"a": 1}, 'msgspec.field(default_factory=lambda: {"a": 1})'),
        (
            Reference("Ticket"),
            {"ticketId": "x", "price": 2},
            'msgspec.field(default_factory=lambda: Ticket(ticket_id="x", price=2.0))',
        ),
        (Union((Scalar.INT64, Scalar.STRING)), "x", '"x"'),
        (Union((Scalar.UUID, Scalar.STRING)), "x", '"x"'),
    ],
)
def test_defaults(type_: Type, default: object, text: str) -> None:
    field = Field("a", type_, False, has_default=True, default=default)
    assert default_expression(field, names(), Imports()).text == text


def test_a_default_that_is_no_symbol() -> None:
    field = Field("a", Reference("Status"), False, has_default=True, default="d")
    with pytest.raises(GenerationError, match='Status has no "d"'):
        default_expression(field, names(), Imports())
