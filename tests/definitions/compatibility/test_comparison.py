"""Which event is which, and what of an event stands outside of its fields."""

from pathlib import Path
from typing import Any

import pytest

from durabus.definitions.avro import read_avro
from durabus.definitions.compatibility import Direction, Mode, check
from durabus.definitions.compatibility.avro import is_written_alike
from durabus.definitions.json_schema import read_json_schema
from durabus.definitions.model import Definition
from tests.definitions.texts import record, schema

pytestmark = pytest.mark.once

BACKWARD, FORWARD = Direction.BACKWARD, Direction.FORWARD
FIELD = {"id": {"type": "string"}}


def event(name: str = "TicketCreated", subject: str = "ticket:created", **more: Any) -> Definition:  # noqa: ANN401 - JSON
    extra = {f"x-{one}" if one in ("version", "identity") else one: value for one, value in more.items()}
    return read_json_schema(Path("x.json"), schema(FIELD) | {"title": name, "x-subject": subject} | extra)


def test_the_same_definitions() -> None:
    verdicts = check([event()], [event()])
    assert [(one.name, one.change, one.findings) for one in verdicts.events] == [("TicketCreated", "same", ())]
    assert verdicts.is_compatible(Mode.FULL)


def test_other_words_are_a_change_without_findings() -> None:
    (found,) = check([event()], [event(description="words", version=2)]).events
    assert (found.change, found.findings) == ("changed", ())


def test_added_and_removed() -> None:
    came, gone = check([event("A", "a")], [event("B", "b")]).events[::-1]
    assert (came.name, came.change, came.is_compatible(Mode.FULL)) == ("B", "added", True)
    assert (gone.name, gone.change, gone.is_compatible(Mode.BACKWARD)) == ("A", "removed", False)
    assert not gone.is_compatible(Mode.FORWARD)


@pytest.mark.parametrize(
    ("old", "new", "breaks", "reason"),
    [
        (event(), event("TicketMade"), set(), "the event is TicketMade, was TicketCreated"),
        (event(), event(subject="ticket:made"), {BACKWARD, FORWARD}, "the subject is ticket:made, was ticket:created"),
        (event(version=2), event(version=1), set(), "versions go up"),
        (event(identity=["id"]), event(), {BACKWARD}, "the identity is nothing, was id"),
        (
            event(),
            read_avro(Path("x.avsc"), record({"name": "id", "type": "string"})),
            {BACKWARD, FORWARD},
            "payloads are Avro, were JSON",
        ),
    ],
)
def test_what_stands_outside_of_the_fields(
    old: Definition, new: Definition, breaks: set[Direction], reason: str
) -> None:
    (found,) = check([old], [new]).events
    (finding,) = found.findings
    assert (finding.path, set(finding.breaks)) == ("", breaks)
    assert reason in finding.reason


def avro(*fields: dict[str, Any]) -> Definition:
    return read_avro(Path("x.avsc"), record(*fields))


ID, AMOUNT = {"name": "id", "type": "string"}, {"name": "amount", "type": "int", "default": 1}


@pytest.mark.parametrize(
    ("old", "new", "is_noted"),
    [
        (avro(ID), avro(ID, AMOUNT), True),
        (avro(ID, AMOUNT), avro(AMOUNT, ID), True),
        (avro(ID), avro({**ID, "name": "key", "aliases": ["id"], "doc": "words"}), False),
        (avro(AMOUNT), avro({**AMOUNT, "default": 2}), False),
    ],
)
def test_avro_whose_bytes_are_others_is_noted(old: Definition, new: Definition, *, is_noted: bool) -> None:
    (found,) = check([old], [new]).events
    notes = [one for one in found.findings if "the bytes are others" in one.reason]
    assert [one.breaks for one in notes] == ([frozenset()] if is_noted else [])


def test_the_layout_of_an_avro_record_that_contains_itself() -> None:
    name = record(ID)["name"]
    circle = {"name": "next", "type": ["null", name]}
    assert is_written_alike(avro(ID, circle), avro(ID, {**circle, "doc": "the next one"}))
    assert not is_written_alike(avro(ID, circle), avro(ID, {**circle, "type": [name, "null"]}))


def test_an_event_of_another_name_is_the_same_only_if_it_alone_has_the_subject() -> None:
    old = [event("A", "s"), event("B", "s", version=2)]
    changes = {one.name: one.change for one in check(old, [event("C", "s")]).events}
    assert changes == {"A": "removed", "B": "removed", "C": "added"}
    assert [one.change for one in check(old[:1], [event("C", "s")]).events] == ["changed"]
