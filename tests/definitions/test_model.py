"""The neutral form, and the error that speaks of a place in a file."""

from pathlib import Path

import pytest

from durabus.definitions.model import Definition, DefinitionError, Format, Record
from durabus.errors import DurabusError

pytestmark = pytest.mark.once


def test_an_error_names_file_place_and_reason() -> None:
    error = DefinitionError(Path("a.json"), "#/title", "it is missing")
    assert str(error) == "a.json: #/title: it is missing"
    assert str(DefinitionError("a.json", "", "broken")) == "a.json: broken"
    assert (error.path, error.place, error.reason) == (Path("a.json"), "#/title", "it is missing")
    assert isinstance(error, DurabusError)


def test_the_record_of_an_event_is_its_first_type() -> None:
    record = Record("A", ())
    definition = Definition("A", "a", 1, Format.AVRO, (record, Record("B", ())), Path("a"), {})
    assert definition.record is record
