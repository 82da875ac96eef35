"""The modules that differ from package to package."""

from dataclasses import replace
from pathlib import Path

import pytest

from durabus.definitions.generation.plan import GenerationError, Plan, make_plan
from durabus.definitions.generation.typescript_module import (
    codec_names,
    codecs_module,
    events_module,
    index_module,
    static_module,
    subjects_module,
)
from durabus.definitions.generation.writing import MARK
from durabus.definitions.model import Definition, Field, Format, Record, Reference, Scalar

pytestmark = pytest.mark.once


def event(name: str, scalar: Scalar) -> Definition:
    item = Record("Item", (Field("a", scalar, True),))
    types = (Record(name, (Field("item", Reference("Item"), True),)), item)
    return Definition(name, f"some.{name}", 1, Format.JSON_SCHEMA, types, Path(f"{name}.json"), {}, description="Why.")


@pytest.fixture
def two() -> Plan:
    """Two events that have different types of one name."""
    return make_plan([event("One", Scalar.STRING), event("Two", Scalar.INT32)])


FILES = {"One": "one", "Two": "two"}


def test_subjects(two: Plan) -> None:
    assert subjects_module(two).split("\n\n")[1] == (
        "/** Everything that services say to each other. */\nexport enum Subjects {\n"
        '  /** Why. */\n  One = "some.One",\n  /** Why. */\n  Two = "some.Two",\n}\n'
    )


def test_types_of_one_name_are_exported_under_the_names_of_their_events(two: Plan) -> None:
    text = events_module(two, FILES)
    assert 'export type { Item as OneItem, One, OneEvent } from "./one";' in text
    assert "export type AnyEvent = OneEvent | TwoEvent;" in text


def test_types_that_several_events_have_are_exported_once() -> None:
    text = events_module(make_plan([event("One", Scalar.STRING), event("Two", Scalar.STRING)]), FILES)
    assert 'export type { Item } from "../types";' in text


def test_each_subject_has_a_codec(two: Plan) -> None:
    assert "  [Subjects.One]: oneCodec," in codecs_module(two, FILES)


def test_codecs_of_names_that_look_alike() -> None:
    plan = make_plan([event(name, Scalar.STRING) for name in ("HTTPServer", "HttpServer", "Json")])
    assert list(codec_names(plan).values()) == ["httpServerCodec", "httpServerCodec_", "jsonCodec_"]


def test_two_types_that_would_have_one_name_are_refused() -> None:
    plan = make_plan([event("Ticket", Scalar.STRING), event("TicketEvent", Scalar.STRING)])
    with pytest.raises(GenerationError, match="two types would be TicketEvent in TypeScript"):
        events_module(plan, {"Ticket": "ticket", "TicketEvent": "ticket-event"})


def test_an_event_whose_name_would_hide_the_union_of_all() -> None:
    text = events_module(make_plan([event("Any", Scalar.STRING)]), {"Any": "any"})
    assert "export type AnyEvent = Any_Event;" in text


def test_the_others_are_marked_as_generated() -> None:
    for text in (index_module(), static_module("listener.ts"), static_module("codec.ts")):
        assert MARK in text.splitlines()[0]


def test_a_member_of_subjects_is_an_identifier() -> None:
    odd = replace(event("One", Scalar.STRING), name="One")
    assert "One = " in subjects_module(make_plan([odd]))
