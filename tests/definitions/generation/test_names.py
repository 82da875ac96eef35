"""Names in every style, and no two alike."""

import keyword

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.definitions.generation.names import (
    PYTHON_KEYWORDS,
    camel_case,
    msgspec_camel_case,
    pascal_case,
    snake_case,
    unique_names,
    upper_case,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("name", "snake", "camel", "pascal", "upper"),
    [
        ("userId", "user_id", "userId", "UserId", "USER_ID"),
        ("user_id", "user_id", "userId", "UserId", "USER_ID"),
        ("HTTPServer", "http_server", "httpServer", "HTTPServer", "HTTP_SERVER"),
        ("awaiting:payment", "awaiting_payment", "awaitingPayment", "AwaitingPayment", "AWAITING_PAYMENT"),
        ("order2Item", "order2_item", "order2Item", "Order2Item", "ORDER2_ITEM"),
        ("line2", "line2", "line2", "Line2", "LINE2"),
        ("2nd", "field_2nd", "field2nd", "Type2nd", "VALUE_2ND"),
        ("TicketCreated", "ticket_created", "ticketCreated", "TicketCreated", "TICKET_CREATED"),
        ("", "field_", "field", "Type", "VALUE_"),
        ("größe", "größe", "größe", "Größe", "GRÖSSE"),
    ],
)
def test_styles(name: str, snake: str, camel: str, pascal: str, upper: str) -> None:
    assert (snake_case(name), camel_case(name), pascal_case(name), upper_case(name)) == (snake, camel, pascal, upper)


@given(st.text(max_size=12))
def test_every_name_becomes_an_identifier(name: str) -> None:
    for style in (snake_case, camel_case, pascal_case, upper_case):
        assert style(name).isidentifier()


@given(st.from_regex(r"[a-z]{1,4}(_[a-z0-9]{1,4}){0,3}", fullmatch=True))
def test_camel_case_of_msgspec(attribute: str) -> None:
    if not keyword.iskeyword(attribute):
        made = msgspec.defstruct("Made", [(attribute, int)], rename="camel")
        assert made.__struct_encode_fields__ == (msgspec_camel_case(attribute),)


def test_names_are_unique_and_no_keywords() -> None:
    names = unique_names(["class", "userId", "user_id", "user-id", "str"], snake_case, {*PYTHON_KEYWORDS, "str"})
    assert list(names.values()) == ["class_", "user_id", "user_id_", "user_id_2", "str_"]
