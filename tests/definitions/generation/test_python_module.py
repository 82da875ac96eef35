"""Classes and imports as text; whole modules are in test_python_package.py."""

from pathlib import Path

import pytest

from durabus.definitions.generation.plan import GenerationError
from durabus.definitions.generation.python_module import docstring, import_lines, python_names, type_lines
from durabus.definitions.generation.python_types import Imports
from durabus.definitions.model import (
    Definition,
    Enumeration,
    Field,
    Format,
    Literal,
    Record,
    Reference,
    Scalar,
    Symbol,
    Union,
)

pytestmark = pytest.mark.once


def constant(name: str, value: str) -> Field:
    return Field(name, Literal((value,)), True)


def definition(*types: Record | Enumeration) -> Definition:
    return Definition(types[0].name, "made", 1, Format.JSON_SCHEMA, types, Path("made.json"), {})


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("One\nline.", ['"""One line."""']),
        ('Ends "so"', ['"""Ends "so" """']),
        ("First.\n\nSecond.", ['"""First.', "", "Second.", '"""']),
    ],
)
def test_docstrings(text: str, lines: list[str]) -> None:
    assert docstring(text, "") == lines


def test_enumerations() -> None:
    numbers = Enumeration("Level", (Symbol("LOW", 1), Symbol("mro", 2, "What is it?")), "How high.")
    made = definition(Record("Made", ()), numbers)
    assert type_lines(numbers, python_names(made), Imports()) == [
        "class Level(enum.IntEnum):",
        '    """How high."""',
        "",
        "    LOW = 1",
        "    MRO = 2",
        '    """What is it?"""',
    ]


def test_records_that_a_constant_tells_apart() -> None:
    card = Record("Card", (constant("kind", "card"), Field("digits", Scalar.STRING, True)))
    cash = Record("Cash", (constant("kind", "cash"), constant("currency", "EUR")))
    made = definition(Record("Made", (Field("by", Union((Reference("Card"), Reference("Cash"))), True),)), card, cash)
    names = python_names(made)
    assert names.tags == {"Card": ("kind", "card"), "Cash": ("kind", "cash")}
    assert type_lines(card, names, Imports()) == [
        'class Card(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="card"):',
        "    digits: str",
    ]


def test_a_record_in_two_unions_that_differ() -> None:
    one = Record("One", (constant("kind", "1"), constant("sort", "a")))
    two = Record("Two", (constant("kind", "2"),))
    three = Record("Three", (constant("sort", "b"),))
    fields = (
        Field("a", Union((Reference("One"), Reference("Two"))), True),
        Field("b", Union((Reference("One"), Reference("Three"))), True),
    )
    with pytest.raises(GenerationError, match="One is in two unions"):
        python_names(definition(Record("Made", fields), one, two, three))


def test_a_union_that_python_does_not_tell_apart_is_named() -> None:
    field = Field("when", Union((Scalar.DATE, Scalar.UUID)), True)
    made = definition(Record("Made", (field,)))
    with pytest.raises(GenerationError, match=r"Made\.when: one of date, uuid"):
        type_lines(made.record, python_names(made), Imports())


def test_names_on_the_wire_may_have_commas() -> None:
    fields = tuple(Field(f"{number}, and a name that is rather long", Scalar.STRING, True) for number in range(3))
    made = definition(Record("Made", fields))
    lines = type_lines(made.record, python_names(made), Imports())
    assert '        "field_1_and_a_name_that_is_rather_long": "1, and a name that is rather long",' in lines


def test_imports_are_in_order() -> None:
    imports = Imports()
    imports.add("uuid")
    imports.add("msgspec")
    imports.add("datetime")
    imports.add("typing", "Literal", "Any")
    imports.add("durabus.events", "event", "Event", "AVRO")
    assert import_lines(imports, {".types": ["Ticket"], ".empty": []}) == [
        "import datetime",
        "import uuid",
        "from typing import Any, Literal",
        "",
        "import msgspec",
        "from durabus.events import AVRO, Event, event",
        "",
        "from .types import Ticket",
    ]
