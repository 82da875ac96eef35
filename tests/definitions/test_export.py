"""Definitions from classes: they read back to the same shape, and the same classes give the same bytes."""

import dataclasses
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from durabus.definitions.export import ExportError, export_class, export_module, file_name
from durabus.definitions.folder import read_folder
from durabus.definitions.json_schema import read_json_schema
from durabus.definitions.model import (
    AnyType,
    ArrayType,
    Definition,
    Enumeration,
    Field,
    Literal,
    MapType,
    Nullable,
    Record,
    Reference,
    Scalar,
    Symbol,
)
from durabus.events import Event, event
from durabus.events.event import EventDefinitionError
from tests.conftest import ROOT
from tests.definitions import exported_events

pytestmark = pytest.mark.once

MODULE = "tests.definitions.exported_events"


def read_back(cls: type[object]) -> Definition:
    return read_json_schema(Path("x.json"), json.loads(export_class(cls)))


def test_a_struct_with_everything() -> None:
    found = read_back(exported_events.TicketCreated)
    assert (found.name, found.subject, found.version) == ("TicketCreated", "ticket:created", 2)
    assert found.identity == ("ticketId", "version")
    assert found.types == (
        Record(
            "TicketCreated",
            (
                Field("ticketId", Scalar.UUID, True),
                Field("version", Scalar.INTEGER, True),
                Field("price", Scalar.FLOAT64, True, "in euros"),
                Field("status", Reference("Status"), True),
                Field("seats", ArrayType(Reference("Seat")), True),
                Field("day", Scalar.DATE, True),
                Field("picture", Scalar.BYTES, True),
                Field("moments", MapType(ArrayType(Scalar.TIMESTAMP)), False, "", True, {}),
                Field("kind", Literal(("adult", "child")), False, "", True, "adult"),
                Field("note", Nullable(Scalar.STRING), False, "", True, None),
                Field("again", Nullable(Reference("TicketCreated")), False, "", True, None),
                Field("anything", AnyType(), False, "", True, None),
            ),
            "A ticket is for sale.",
        ),
        Enumeration("Status", (Symbol("open", "open"), Symbol("sold", "sold"))),
        Record(
            "Seat",
            (
                Field("rowNumber", Scalar.INTEGER, True),
                Field("takenAt", Nullable(Scalar.TIMESTAMP), False, "", True, None),
            ),
        ),
    )


def test_what_has_an_identity_always_has_it() -> None:
    found = read_back(exported_events.TicketSold)
    assert found.identity == ("event_id",)
    assert found.record.fields[1] == Field("event_id", Scalar.STRING, True)


def test_a_dataclass() -> None:
    assert read_back(exported_events.OrderCreated).types == (
        Record(
            "OrderCreated",
            (
                Field("order_id", Scalar.STRING, True),
                Field("at", Scalar.TIMESTAMP, True),
                Field("numbers", ArrayType(Scalar.INTEGER), False),
            ),
        ),
    )


def test_a_pydantic_model() -> None:
    found = read_back(exported_events.PaymentCreated)
    assert found.identity == ("paymentId",)
    assert found.record == Record(
        "PaymentCreated",
        (
            Field("paymentId", Scalar.STRING, True, "whose"),
            Field("at", Scalar.TIMESTAMP, True),
            Field("status", Reference("Status"), False, "", True, "open"),
            Field("way", Literal(("card", "cash")), False, "", True, "card"),
            Field("parts", ArrayType(Reference("PaymentCreated")), False, "", True, []),
        ),
        "A payment.",
    )


def test_the_same_classes_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    files = export_module(MODULE)
    code = f"import json; from durabus.definitions.export import export_module; print(json.dumps(export_module({MODULE!r})))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONHASHSEED": seed},
        )
        assert json.loads(done.stdout) == files
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert {definition.name for definition in read_folder(tmp_path)} == {
        "OrderCreated", "PaymentCreated", "TicketCreated", "TicketSold",
    }  # fmt: skip


def test_one_class_of_a_module() -> None:
    assert list(export_module(f"{MODULE}:TicketSold")) == ["ticket_sold.schema.json"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("TicketCreated", "ticket_created"), ("HTTPDone", "http_done"), ("UserID", "user_id"), ("V2Made", "v2_made")],
)
def test_names_of_files(name: str, expected: str) -> None:
    assert file_name(name) == f"{expected}.schema.json"


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("", "no module is named"),
        ("no.such.module", "there is no module no"),
        ("tests.definitions.test_folder", "there is no class with @event"),
        (f"{MODULE}:Nobody", "there is no such class"),
    ],
)
def test_modules_without_events(target: str, complaint: str) -> None:
    with pytest.raises(ExportError) as caught:
        export_module(target)
    assert complaint in str(caught.value)


def test_a_module_that_ends_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_that_exits.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ExportError, match="it cannot be imported: SystemExit: 0"):
        export_module("module_that_exits")


def test_a_class_that_is_no_event() -> None:
    with pytest.raises(EventDefinitionError):
        export_module(f"{MODULE}:Seat")


def test_what_no_definition_can_say_is_refused() -> None:
    @event("pair")
    class Pair(Event):
        both: tuple[int, str]

    with pytest.raises(ExportError, match="tuples"):
        export_class(Pair)


def test_text_of_other_types_stays_text() -> None:
    @event("price")
    class Price(Event):
        """The price of it."""

        amount: Decimal

    assert read_back(Price).record.fields == (Field("amount", Scalar.STRING, True),)
    assert dataclasses.is_dataclass(exported_events.OrderCreated)
    assert issubclass(Price, msgspec.Struct)
