"""JSON of each kind of class; whatever the bytes are, there is an event or a DecodeError."""

import dataclasses
import enum
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass as pydantic_dataclass

from durabus.events import DecodeError, EncodeError, Event, EventDefinitionError, event, event_type
from tests.events.kinds import Body, Kind, Model, TicketCreated, make

pytestmark = pytest.mark.once
KINDS = [TicketCreated, Body, Model]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["id", "price", "version", "event_id", "eventId", "userId", "other"])
PAYLOADS = st.binary() | st.dictionaries(NAMES, JSON_VALUES).map(lambda value: json.dumps(value).encode())


class Color(enum.Enum):
    RED = "red"


class Seat(msgspec.Struct):
    row: int


@event("wide")
class Wide(Event):
    at: datetime
    number: UUID
    price: Decimal
    color: Color
    seats: list[Seat]
    names: dict[str, int | None]


@pytest.mark.parametrize("kind", KINDS)
@given(payload=PAYLOADS)
def test_any_bytes_are_an_event_or_a_decode_error(kind: type[Kind], payload: bytes) -> None:
    got: Kind | DecodeError
    try:
        got = event_type(kind).decode(payload)
    except DecodeError as error:
        got = error
    if isinstance(got, DecodeError):
        assert got.path.startswith("$")
        assert str(got).startswith(f"no {kind.__name__}: ")
        assert "\n" not in str(got)
    else:
        assert isinstance(got, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opening", [b"[", b'{"id":', b'{"other":['])
def test_payloads_that_nest_deeply(kind: type[Kind], opening: bytes) -> None:
    with pytest.raises(DecodeError):
        event_type(kind).decode(opening * 100_000)


@pytest.mark.parametrize("kind", KINDS)
def test_members_that_the_class_does_not_have_are_passed_over(kind: type[Kind]) -> None:
    body = json.dumps({"id": "1", "price": 2, "eventId": "e", "event_id": "e", "added": [1]}).encode()
    got = event_type(kind).decode(body)
    assert (got.id, got.price, got.version, got.event_id) == ("1", 2.0, 1, "e")


@pytest.mark.parametrize(
    ("cls", "data", "path", "text"),
    [
        (TicketCreated, b'{"id":1,"price":1}', "$.id", "no TicketCreated: Expected `str`, got `int` at $.id"),
        (TicketCreated, b'{"id":"1"}', "$", "no TicketCreated: Object missing required field `price`"),
        (Body, b'{"id":"1","price":"x"}', "$.price", "no Body: Expected `float`, got `str` at $.price"),
        (Model, b'{"id":"1","price":"x"}', "$.price", "no Model: Input should be a valid number"),
        (Model, b"{}", "$.id", "no Model: Field required at $.id (and 1 more)"),
        (Wide, b'{"seats":[{"row":1},{"row":"x"}]}', "$.seats[1].row", "no Wide: Expected `int`, got `str`"),
    ],
)
def test_an_error_says_where(cls: type[object], data: bytes, path: str, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        event_type(cls).decode(data)
    assert caught.value.path == path
    assert str(caught.value).startswith(text)


def test_names_on_the_wire() -> None:
    struct = json.loads(event_type(TicketCreated).encode(TicketCreated(event_id="e", id="1", price=2, user_id="7")))
    assert struct == {"eventId": "e", "id": "1", "version": 1, "price": 2, "userId": "7"}
    assert "eventId" in json.loads(event_type(Model).encode(Model(id="1", price=2)))


def test_what_json_has_no_words_for() -> None:
    wide = Wide(
        at=datetime(2030, 1, 2, 3, tzinfo=UTC),
        number=UUID(int=7),
        price=Decimal("1.10"),
        color=Color.RED,
        seats=[Seat(row=3)],
        names={"a": None, "b": 3},
    )
    known = event_type(Wide)
    assert known.decode(known.encode(wide)) == wide
    assert json.loads(known.encode(wide))["at"] == "2030-01-02T03:00:00Z"


def test_checks_of_the_class_itself_are_decode_errors() -> None:
    @event("checked")
    class Checked(Event):
        price: float

        def __post_init__(self) -> None:
            if self.price < 0:
                raise KeyError("below zero")

    @event("checked")
    @pydantic_dataclass
    class CheckedBody:
        price: float

        @pydantic.field_validator("price")
        @classmethod
        def check(cls, price: float) -> float:
            if price < 0:
                raise ValueError("below zero")
            return price

    for cls in (Checked, CheckedBody):
        known = event_type(cls)
        assert known.encode(known.decode(b'{"price":1.5}')) == b'{"price":1.5}'
        with pytest.raises(DecodeError, match="below zero"):
            known.decode(b'{"price":-1}')


def test_classes_that_are_complete_only_later() -> None:
    @event("tree:grown")
    class Tree(Event):
        branches: "list[Tree]" = msgspec.field(default_factory=list)

    globals()["Tree"] = Tree
    known = event_type(Tree)
    tree = Tree(branches=[Tree(), Tree(branches=[Tree()])])
    assert known.decode(known.encode(tree)) == tree
    with pytest.raises(DecodeError, match=r"at \$\.branches\[0\]"):
        known.decode(b'{"branches":[1]}')


def test_a_model_of_a_class_that_is_defined_further_below() -> None:
    @event("root:grown")
    class Root(pydantic.BaseModel):
        stem: "Stem"

    class Stem(pydantic.BaseModel):
        height: int

    known = event_type(Root)
    Root.model_rebuild(_types_namespace={"Stem": Stem})
    globals()["Stem"] = Stem
    root = Root(stem=Stem(height=3))
    assert known.encode(root) == b'{"stem":{"height":3}}'
    assert known.decode(known.encode(root)) == root
    with pytest.raises(DecodeError, match=r"at \$\.stem\.height"):
        known.decode(b'{"stem":{"height":"tall"}}')


def test_fields_that_json_cannot_have() -> None:
    class Strange(Event):
        what: dict[tuple[int, int], set[bytes | bytearray]]

    with pytest.raises(EventDefinitionError, match="Strange cannot be JSON"):
        event("strange")(Strange)

    @event("loose")
    class Loose(Event):
        what: Any

    @event("loose")
    @dataclasses.dataclass
    class LooseBody:
        what: Any

    @event("loose")
    class LooseModel(pydantic.BaseModel):
        what: Any

    circle: list[object] = []
    circle.append(circle)
    for value in (object(), circle):
        for cls in (Loose, LooseBody):
            with pytest.raises(EncodeError, match=f"{cls.__name__} cannot be JSON"):
                event_type(cls).encode(cls(what=value))
    with pytest.raises(EncodeError, match="LooseModel cannot be JSON"):
        event_type(LooseModel).encode(LooseModel(what=object()))


def test_a_model_with_a_value_of_the_wrong_type_is_not_published() -> None:
    wrong = Model.model_construct(id=7, price="x")
    with pytest.raises(EncodeError, match="Model cannot be JSON"):
        event_type(Model).encode(wrong)
    assert make(Model).price == 1.5
