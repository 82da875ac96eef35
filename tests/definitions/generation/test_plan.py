"""Which types are written once, and what is refused."""

from pathlib import Path

import pytest

from durabus.definitions.generation.plan import GenerationError, Plan, make_plan, may_be_left_out, refuse_twins
from durabus.definitions.model import Definition, Enumeration, Field, Format, Record, Reference, Scalar, Symbol

pytestmark = pytest.mark.once


def definition(name: str, *others: Record | Enumeration, subject: str = "") -> Definition:
    """An event whose record refers to all of `others`."""
    fields = tuple(Field(one.name.lower(), Reference(one.name), True) for one in others)
    types = (Record(name, fields), *others)
    return Definition(name, subject or name.lower(), 1, Format.JSON_SCHEMA, types, Path(f"{name}.json"), {})


PRICE = Record("Price", (Field("amount", Scalar.INTEGER, True),))
OTHER_PRICE = Record("Price", (Field("amount", Scalar.FLOAT64, True),))
TICKET = Record("Ticket", (Field("price", Reference("Price"), True),))
STATUS = Enumeration("Status", (Symbol("a", "a"),))


def shared(plan: Plan) -> list[str]:
    return [one.name for one in plan.shared]


def test_what_several_have_alike_is_shared() -> None:
    plan = make_plan([definition("B", TICKET, PRICE), definition("A", STATUS, PRICE, TICKET)])
    assert [module.definition.name for module in plan.modules] == ["A", "B"]
    assert shared(plan) == ["Price", "Ticket"]
    assert [one.name for one in plan.modules[0].own] == ["A", "Status"]


def test_what_differs_somewhere_is_not_shared() -> None:
    assert shared(make_plan([definition("A", PRICE), definition("B", OTHER_PRICE)])) == []
    # Ticket looks the same in both, but what it refers to does not.
    assert shared(make_plan([definition("A", TICKET, PRICE), definition("B", TICKET, OTHER_PRICE)])) == []


def test_twins_are_refused() -> None:
    with pytest.raises(GenerationError, match=r"A\.json and A\.json both define the name A"):
        make_plan([definition("A"), definition("A")])
    twins = [definition("A", subject="x"), definition("B", subject="x")]
    make_plan(twins)  # of one subject: that is for those to refuse who cannot tell them apart
    with pytest.raises(GenerationError, match=r"A\.json and B\.json both define the subject x"):
        refuse_twins(twins, "subject")
    with pytest.raises(GenerationError, match="no definition"):
        make_plan([])


@pytest.mark.parametrize(
    ("is_required", "has_default", "format_", "expected"),
    [
        (True, False, Format.JSON_SCHEMA, False),
        (False, False, Format.JSON_SCHEMA, True),
        (True, True, Format.JSON_SCHEMA, False),  # it must be in every payload
        (True, True, Format.AVRO, True),  # the codec writes the default
        (True, False, Format.PROTOBUF, False),
    ],
)
def test_what_may_be_left_out(is_required: bool, has_default: bool, format_: Format, expected: bool) -> None:
    field = Field("a", Scalar.STRING, is_required, has_default=has_default)
    assert may_be_left_out(field, format_) is expected
