"""Events as plain values, of all three kinds of classes."""

import dataclasses
import datetime
from typing import Annotated

import msgspec
import pydantic
import pytest

from durabus.events.codecs import DecodeError, EncodeError
from durabus.events.codecs.plain import Mismatch, PlainForm, import_codec_library

pytestmark = pytest.mark.once

MOMENT = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


class StructEvent(msgspec.Struct, rename="camel"):
    made_at: datetime.datetime
    raw: bytes


@dataclasses.dataclass
class DataclassEvent:
    made_at: datetime.datetime
    raw: bytes


class ModelEvent(pydantic.BaseModel):
    made_at: Annotated[datetime.datetime, pydantic.Field(alias="madeAt")]
    raw: bytes


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (StructEvent(made_at=MOMENT, raw=b"\xff"), "madeAt"),
        (DataclassEvent(made_at=MOMENT, raw=b"\xff"), "made_at"),
        (ModelEvent.model_validate({"madeAt": MOMENT, "raw": b"\xff"}), "madeAt"),
    ],
)
def test_there_and_back(event: object, name: str) -> None:
    form = PlainForm(type(event))
    assert form.wire_names == (name, "raw")
    plain = form.to_plain(event)
    assert plain == {name: MOMENT, "raw": b"\xff"}
    assert form.from_plain(plain) == event
    with pytest.raises(DecodeError) as caught:
        form.from_plain({name: MOMENT, "raw": 5})
    assert caught.value.path == "$.raw"
    with pytest.raises(EncodeError, match=r"has the field 'raw', which its schema does not have"):
        form.check_names(frozenset([name]), "its schema")


def test_a_class_that_could_be_written_and_never_read() -> None:
    class Unreadable(msgspec.Struct):
        value: str | bytes

    with pytest.raises(EncodeError, match=r"Unreadable cannot be read: .*more than one str-like type"):
        PlainForm(Unreadable)


def test_what_cannot_be_plain() -> None:
    class Odd(msgspec.Struct):
        value: object

    with pytest.raises(EncodeError, match="Odd cannot be written"):
        PlainForm(Odd).to_plain(Odd(value=object()))


def test_checks_of_the_class_itself() -> None:
    class Positive(msgspec.Struct):
        value: int

        def __post_init__(self) -> None:
            if self.value < 0:
                raise ValueError("below zero")

    with pytest.raises(DecodeError, match="no Positive: below zero"):
        PlainForm(Positive).from_plain({"value": -1})


def test_a_mismatch_is_short() -> None:
    assert str(Mismatch("$.a", "a number", "x" * 100)) == f"expected a number, got '{'x' * 59}… at $.a"


def test_a_library_that_is_not_there() -> None:
    with pytest.raises(EncodeError, match=r"no_such_library is not installed: run pip install 'durabus\[avro\]'"):
        import_codec_library("no_such_library", "avro")
