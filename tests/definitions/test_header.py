"""Subject, version and identity, whatever the format."""

from pathlib import Path
from typing import Any

import pytest

from durabus.definitions.header import Header, read_header
from durabus.definitions.model import DefinitionError, Field, Record, Scalar

pytestmark = pytest.mark.once

RECORD = Record("TicketCreated", (Field("id", Scalar.STRING, True), Field("version", Scalar.INTEGER, True)))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"subject": "ticket:created"}, Header("ticket:created", 1, ())),
        ({"subject": "a.b", "version": 7, "identity": ["id", "version"]}, Header("a.b", 7, ("id", "version"))),
        ({"subject": "a", "identity": "id"}, Header("a", 1, ("id",))),
    ],
)
def test_what_is_said(said: dict[str, Any], expected: Header) -> None:
    assert read_header(Path("x"), said, "", RECORD) == expected
    assert read_header(Path("x"), {f"x-{name}": value for name, value in said.items()}, "x-", RECORD) == expected


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, 'the subject is missing, as in "subject": "ticket:created"'),
        ({"subject": "a b"}, "without blanks"),
        ({"subject": 3}, "without blanks"),
        ({"subject": "a.*"}, "no wildcards"),
        ({"subject": "a..b"}, "no empty parts"),
        ({"subject": "a", "version": 0}, "versions are numbers from 1"),
        ({"subject": "a", "version": True}, "versions are numbers from 1"),
        ({"subject": "a", "identity": [1]}, "it is a list of fields"),
        ({"subject": "a", "identity": ["nobody"]}, "'nobody', which is no field"),
        ({"subject": "a", "identity": ["id", "id"]}, "twice"),
    ],
)
def test_what_is_refused(said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_header(Path("x.avsc"), said, "", RECORD)
    assert str(caught.value).startswith("x.avsc: TicketCreated: ")
    assert complaint in str(caught.value)
